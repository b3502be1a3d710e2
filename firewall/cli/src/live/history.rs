//! `gatebell history`: what happened before, as the service kept it.

use super::connect;
use super::filter::FilterArguments;
use crate::Error;
use crate::arguments::{SocketArguments, Time};
use crate::columns::{padded, padded_left, width};
use crate::style;
use clap::Args;
use control::{HistoryRow, Kept};
use rules::clean;
use serde_json::{Value, json};
use std::io::Write;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};
use view::csv::csv;
use view::history::{self, By};

/// Text below the command's help.
pub const HELP: &str = "\
Examples:
  gatebell history --verdict block
  gatebell history --since 7d --by program
  gatebell history --since 30d --program /usr/bin/curl --by endpoint --csv
  gatebell history --since 7d --first

Exit codes:
  0  it is as you asked, also if there is nothing
  1  there is no service, or it can't read what it kept; a message says what to do
  2  the command line is wrong";

/// `gatebell history`.
#[derive(Debug, Args)]
pub struct HistoryArguments {
    /// Only what happened in this time: 10m, 24h, 7d
    #[arg(long, value_name = "TIME", default_value = "1d")]
    pub since: Time,
    /// Filter of the rows.
    #[command(flatten)]
    pub only: FilterArguments,
    /// Only what programs did that had never talked before, or whose file has changed since they had
    #[arg(long)]
    pub first: bool,
    /// Put together what has this in common: program, name, rule, user or endpoint
    #[arg(long, value_name = "WHAT")]
    pub by: Option<Together>,
    /// Print one JSON object for each line
    #[arg(long)]
    pub json: bool,
    /// Print it as CSV, with a line of names first
    #[arg(long, conflicts_with = "json")]
    pub csv: bool,
    /// Control socket of the service.
    #[command(flatten)]
    pub service: SocketArguments,
}

/// Key by which rows are grouped, parsed from its name.
#[derive(Clone, Copy, Debug)]
pub struct Together(pub By);

impl FromStr for Together {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = By::ALL.into_iter().find(|by| by.name() == text);
        found
            .map(Self)
            .ok_or_else(|| "it is program, name, rule, user or endpoint".to_owned())
    }
}

/// Prints what was kept: row by row, or put together.
pub fn history(arguments: &HistoryArguments, out: &mut dyn Write) -> Result<u8, Error> {
    let mut client = connect(&arguments.service.socket)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let since = now
        .unwrap_or_default()
        .saturating_sub(arguments.since.0)
        .as_secs();
    let Kept {
        mut rows, unread, ..
    } = client.latest_history(since, usize::MAX, arguments.only.one_program())?;
    if unread > 0 {
        // Whoever does not hear it gets the rows all the same.
        let _unheard = writeln!(anstream::stderr(), "{}", said_of_unread(unread));
    }
    let only = arguments.only.filter();
    rows.retain(|row| only.row(row) && (!arguments.first || row.contact.is_some()));
    rows.sort_by_key(|row| (row.last, row.first));
    if rows.is_empty() && !arguments.json && !arguments.csv {
        said_of_nothing(client.status()?.history.is_some(), out)?;
        return Ok(0);
    }
    match (arguments.by.map(|by| by.0), arguments.json, arguments.csv) {
        (Some(by), true, _) => named(&rows, by)
            .iter()
            .try_for_each(|sum| writeln!(out, "{sum}"))?,
        (None, true, _) => rows
            .iter()
            .try_for_each(|row| writeln!(out, "{}", json!(row)))?,
        (Some(by), _, true) => csv(&named(&rows, by), out)?,
        (None, _, true) => csv(&rows.iter().map(|row| json!(row)).collect::<Vec<_>>(), out)?,
        (Some(by), ..) => {
            let sums = history::sums(&rows, by);
            let cells: Vec<_> = sums.iter().map(|sum| sum.cells().to_vec()).collect();
            let mut titles = history::sum_titles();
            titles[0] = by.words();
            table(&titles.each_ref().map(String::as_str), &cells, out)?;
        }
        (None, ..) => {
            let cells: Vec<_> = rows
                .iter()
                .map(|row| history::cells(row).to_vec())
                .collect();
            let titles = history::titles();
            table(&titles.each_ref().map(String::as_str), &cells, out)?;
        }
    }
    Ok(0)
}

/// Message of `gatebell history` and `gatebell top` if the service keeps no history.
pub const NOT_KEPT: &str = "nothing is kept: gatebelld was started with --history-days 0";

fn said_of_unread(rows: u64) -> String {
    format!(
        "{rows} rows of the history can't be read and are left out, as those that a later release wrote; `gatebell status` says what to do"
    )
}

fn said_of_nothing(is_kept: bool, out: &mut dyn Write) -> Result<(), Error> {
    if !is_kept {
        writeln!(out, "{NOT_KEPT}")?;
        return Ok(());
    }
    writeln!(out, "nothing of that was kept")?;
    if !nix::unistd::geteuid().is_root() {
        writeln!(
            out,
            "only what your own programs did is shown to you; all of it is shown to root: sudo gatebell history"
        )?;
    }
    Ok(())
}

fn named(rows: &[HistoryRow], by: By) -> Vec<Value> {
    history::named(&history::sums(rows, by), by)
}

/// Names of the columns of counts: one that holds only zeros is left out, for what was not counted is not zero.
const COUNTS: [&str; 5] = ["Allowed", "Refused", "Asked", "Sent", "Received"];

/// Columns as wide as they have to be.
pub fn table(names: &[&str], rows: &[Vec<String>], out: &mut dyn Write) -> Result<(), Error> {
    let rows: Vec<Vec<_>> = rows
        .iter()
        .map(|row| row.iter().map(|cell| clean(cell)).collect())
        .collect();
    let shown: Vec<_> = (0..names.len())
        .filter(|n| !COUNTS.contains(&names[*n]) || rows.iter().any(|row| row[*n] != "0"))
        .collect();
    let is_number = |n: usize| rows.iter().all(|row| row[n].parse::<u64>().is_ok());
    let columns: Vec<_> = shown
        .into_iter()
        .map(|n| {
            let cells = rows.iter().map(|row| row[n].as_str());
            (n, width(cells.chain([names[n]])), is_number(n))
        })
        .collect();
    let line = |cell: &dyn Fn(usize) -> String| {
        let cells: Vec<_> = columns
            .iter()
            .map(|(n, width, right)| {
                if *right {
                    padded_left(&cell(*n), *width)
                } else {
                    padded(&cell(*n), *width)
                }
            })
            .collect();
        cells.join("  ").trim_end().to_owned()
    };
    let faint = style::FAINT;
    writeln!(out, "{faint}{}{faint:#}", line(&|n| names[n].to_owned()))?;
    for row in &rows {
        writeln!(out, "{}", line(&|n| row[n].clone()))?;
    }
    Ok(())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;

    fn printed(print: impl Fn(&mut dyn Write) -> Result<(), Error>) -> String {
        let mut out = Vec::new();
        print(&mut out).unwrap();
        anstream::adapter::strip_str(&String::from_utf8(out).unwrap()).to_string()
    }

    #[test]
    fn a_table_is_as_wide_as_its_cells_and_leaves_out_what_nobody_counted() {
        let rows = [["curl", "0", "12", "0"], ["a longer one", "0", "3", "0"]];
        let rows = rows.map(|row| row.map(str::to_owned).to_vec());
        let table = printed(|out| table(&["program", "User", "Refused", "Sent"], &rows, out));
        assert_eq!(
            table,
            "program       User  Refused\ncurl             0       12\na longer one     0        3\n"
        );
    }
}
