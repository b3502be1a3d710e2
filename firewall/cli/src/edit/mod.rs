//! `gatebell rules add`, `remove`, `move`, `enable`, `disable` and `edit`: a rule file changed by command.
//!
//! The text is changed where it has to be and nowhere else ([`rules::document`]), checked as `rules check` does, shown
//! as a difference, and only then written or put in force ([`target`]).

mod arguments;
mod difference;
mod target;
mod undo;
mod wrong;

#[cfg(target_os = "linux")]
pub use arguments::TargetArguments;
pub use arguments::{EditCommand, KeyArguments};
pub use wrong::Wrong;

use crate::Error;
use crate::check;
use crate::outputs::say;
use crate::rule_file::{Lines, RuleFile, RuleSource, Severity};
use crate::style;
use arguments::{AddArguments, EditArguments};
use rules::document::{self, RulePosition, text_value};
use rules::own_network;
use rules::{Finding, SystemResolver, clean};
use serde_json::json;
use std::io::Write;
use target::{Taken, Target};

/// Makes a change.
pub fn run(command: &EditCommand, out: &mut dyn Write) -> Result<u8, Error> {
    let arguments = match command {
        EditCommand::Log(log) => return undo::log(log, out),
        EditCommand::Undo(undo) => &undo.target,
        EditCommand::Add(add) => &add.target,
        EditCommand::Remove(named) | EditCommand::Enable(named) | EditCommand::Disable(named) => {
            &named.target
        }
        EditCommand::Move(moved) => &moved.target,
        EditCommand::Edit(edit) => &edit.target,
    };
    let mut target = Target::open(arguments)?;
    let old = target.source();
    let Change {
        text: new,
        what,
        undoes,
    } = command.change(old)?;
    let warnings = checked(old, &new, undoes.is_some())?;
    if !arguments.json {
        // Whoever is cut off by the change may see nothing that comes after it.
        warn(&warnings);
    }
    let taken = if new == old.text || arguments.dry_run {
        Taken::Nothing
    } else {
        target.take(&new, &what, undoes)?
    };
    let old = target.source();
    if arguments.json {
        return say_object(out, old, &new, &warnings, &taken);
    }
    difference::print(out, &old.text, &new)?;
    writeln!(out, "{}", taken.sentence(old, new != old.text))?;
    Ok(0)
}

impl EditCommand {
    fn change(&self, old: &RuleSource) -> Result<Change, Error> {
        let text = &old.text;
        let (text, what) = match self {
            Self::Undo(asked) => return undo::change(asked, old),
            // It changes nothing.
            Self::Log(_) => (text.clone(), String::new()),
            Self::Add(add) => added(add, text)?,
            Self::Remove(named) => each(text, &named.rules, "remove", document::remove)?,
            Self::Enable(named) => each(text, &named.rules, "enable", |text, id| {
                document::enable(text, id, true)
            })?,
            Self::Disable(named) => each(text, &named.rules, "disable", |text, id| {
                document::enable(text, id, false)
            })?,
            Self::Move(moved) => {
                // The command line asks for one of them.
                let place = moved.place.place().unwrap_or(RulePosition::Last);
                let new = document::move_to(text, &moved.rule, &place).map_err(Wrong::from)?;
                (new, format!("move {}", moved.rule))
            }
            Self::Edit(edit) => edited(edit, text)?,
        };
        Ok(Change {
            text,
            what,
            undoes: None,
        })
    }
}

/// A rule file's text after a change.
struct Change {
    text: String,
    /// Description of the change, in a few words.
    what: String,
    /// The earlier change that it takes back.
    undoes: Option<u64>,
}

fn added(add: &AddArguments, text: &str) -> Result<(String, String), Wrong> {
    let mut keys = add.keys.values(Some(&add.action));
    let id = match &add.keys.id {
        Some(id) => id.clone(),
        None => {
            let id = add.keys.made_up_id(&add.action, &document::names(text)?);
            keys.insert(0, ("id", text_value(&id)));
            id
        }
    };
    let place = add.place.place().unwrap_or(RulePosition::Last);
    let new = document::add(text, &keys, &place)?;
    Ok((new, format!("add {id}")))
}

fn edited(edit: &EditArguments, text: &str) -> Result<(String, String), Wrong> {
    let id = &edit.rule;
    let (set, unset) = edit.changes()?;
    let mut new = text.to_owned();
    for key in unset {
        new = document::unset(&new, id, &key)?.ok_or_else(|| Wrong::NoSuchKey {
            id: id.clone(),
            key: key.clone(),
        })?;
    }
    // Its name last: until then it is found by the old one.
    let (name, others): (Vec<_>, Vec<_>) = set.into_iter().partition(|(key, _)| *key == "id");
    for (key, value) in others.into_iter().chain(name) {
        new = document::set(&new, id, key, &value)?;
    }
    Ok((new, format!("edit {id}")))
}

fn each(
    text: &str,
    ids: &[String],
    what: &str,
    change: impl Fn(&str, &str) -> Result<String, document::DocumentError>,
) -> Result<(String, String), Wrong> {
    let new = ids
        .iter()
        .try_fold(text.to_owned(), |text, id| change(&text, id))?;
    Ok((new, format!("{what} {}", ids.join(", "))))
}

/// Returns the findings about the new text, as `rules check` has them on this machine. Its errors are printed; so are
/// those of the old text, unless the change may heal them.
fn checked(old: &RuleSource, new: &str, heals: bool) -> Result<Vec<Finding>, Error> {
    let parse = |text: &str| {
        RuleFile::parse(&old.name, text, &SystemResolver::beside(&old.place)).map_err(|errors| {
            Lines::of(&old.name, text).say(&errors, Severity::Error);
            errors.len()
        })
    };
    if !heals {
        parse(&old.text).map_err(|errors| Wrong::Before { errors })?;
    }
    let file = parse(new).map_err(|errors| Wrong::After { errors })?;
    let found = check::said(&file, &own_network());
    Ok(found.into_iter().map(|(_, finding)| finding).collect())
}

fn warn(warnings: &[Finding]) {
    let warning = style::WARNING;
    for found in warnings {
        let found = clean(&found.to_string());
        say(format_args!("{warning}warning:{warning:#} {found}"));
    }
}

fn say_object(
    out: &mut dyn Write,
    old: &RuleSource,
    new: &str,
    warnings: &[Finding],
    taken: &Taken,
) -> Result<u8, Error> {
    let warnings: Vec<_> = warnings.iter().map(ToString::to_string).collect();
    let object = json!({
        "file": old.name,
        "changed": new != old.text,
        "difference": difference::unified(&old.text, new),
        "warnings": warnings,
        "written": taken.is_written(),
        "generation": taken.generation(),
        "change": taken.number(),
    });
    writeln!(out, "{object}")?;
    Ok(0)
}
