//! `gatebell rules undo` and `gatebell rules log`: the last states of a rule file.

use super::Change;
use super::arguments::{LogArguments, UndoArguments};
use super::wrong::Wrong;
use crate::Error;
use crate::columns::{padded, width};
use crate::rule_file::RuleSource;
use crate::style;
use rules::clean;
use serde_json::json;
use std::io::Write;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};
use store::{History, last_made};

/// The text as it was before a change.
pub fn change(arguments: &UndoArguments, old: &RuleSource) -> Result<Change, Error> {
    let history = History::beside(&old.place);
    let changes = read(&history)?;
    let file = || old.name.clone();
    let undone = match arguments.change {
        Some(number) => changes
            .iter()
            .find(|change| change.number == number)
            .ok_or_else(|| Wrong::NoSuchChange {
                number,
                file: file(),
            })?,
        None => last_made(&changes).ok_or_else(|| Wrong::NothingToUndo { file: file() })?,
    };
    let number = undone.number;
    let text = history.before(number).ok_or_else(|| Wrong::NoSuchChange {
        number,
        file: file(),
    })?;
    Ok(Change {
        text,
        what: format!("undo {number}: {}", undone.what),
        undoes: Some(number),
    })
}

/// Lists the changes, the last one first.
pub fn log(arguments: &LogArguments, out: &mut dyn Write) -> Result<u8, Error> {
    let file = file(arguments)?;
    let changes = read(&History::beside(&file))?;
    let next = last_made(&changes).map(|change| change.number);
    if changes.is_empty() && !arguments.json {
        let file = clean(&file.display().to_string());
        writeln!(out, "No change to {file} is kept.")?;
    }
    let makers: Vec<_> = changes.iter().map(|change| clean(&change.by)).collect();
    let width = width(makers.iter().map(String::as_str));
    for (change, by) in changes.iter().zip(&makers).rev() {
        if arguments.json {
            let object = json!({
                "number": change.number,
                "time": change.time,
                "by": change.by,
                "what": change.what,
                "undoes": change.undoes,
            });
            writeln!(out, "{object}")?;
            continue;
        }
        let faint = style::FAINT;
        let mark = if next == Some(change.number) {
            "  <- undo takes back this one"
        } else {
            ""
        };
        writeln!(
            out,
            "{:>4}  {:>10} ago  {}  {}{faint}{mark}{faint:#}",
            change.number,
            ago(change.time),
            padded(by, width),
            clean(&change.what),
        )?;
    }
    Ok(0)
}

fn read(history: &History) -> Result<Vec<store::Change>, Error> {
    history.changes().map_err(|cause| Error::Unreadable {
        file: history.folder().to_owned(),
        cause,
    })
}

fn ago(time: u64) -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    let seconds = now.saturating_sub(time);
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(target_os = "linux")]
fn file(arguments: &LogArguments) -> Result<PathBuf, Error> {
    match &arguments.file {
        Some(file) => Ok(file.clone()),
        None => crate::live::file_of_the_service(&arguments.service.socket),
    }
}

#[cfg(not(target_os = "linux"))]
fn file(arguments: &LogArguments) -> Result<PathBuf, Error> {
    arguments.file.clone().ok_or_else(|| Wrong::NoFile.into())
}
