//! `gatebell rules apply`, `confirm` and `revert`.

use super::change::changes;
use super::connect;
use super::text_in_force;
use crate::Error;
use crate::arguments::{LeaseArguments, SocketArguments, Time};
use crate::check::{self, counted};
use crate::outputs::say;
use crate::rule_file::{Lines, RuleFile, RuleSource, Severity, is_standard_input, name, read};
use crate::style;
use clap::{Args, ValueHint};
use control::Failed;
use control::{Applied, Lease};
use rules::{SystemResolver, clean, own_network};
use std::io::Write;
use std::path::{Path, PathBuf};
use view::status::in_force;

/// Text below the command's help.
pub const HELP: &str = "\
Examples:
  gatebell rules apply new.toml --lease 60s
  gatebell rules confirm 8                   these, if they are still what is tried out

Exit codes:
  0  the rules are in force
  1  they are not, and nothing was changed: errors in the file, no service, not permitted
  2  the command line is wrong";

/// `gatebell rules apply`.
#[derive(Debug, Args)]
pub struct ApplyArguments {
    /// The rule file; - is standard input
    #[arg(value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// Return to the rules before unless these are confirmed within this time: 60s, 5m
    #[arg(long, value_name = "TIME")]
    pub lease: Option<Time>,
    /// Control socket of the service.
    #[command(flatten)]
    pub service: SocketArguments,
}

/// Checks a rule file here, says what changes, and has the service take it.
pub fn apply(arguments: &ApplyArguments, out: &mut dyn Write) -> Result<u8, Error> {
    let place = std::path::absolute(&arguments.file)?;
    let source = RuleSource {
        name: full_name(&arguments.file),
        text: read(&arguments.file)?,
        place,
        members: Vec::new(),
        networks: Vec::new(),
    };
    let file = RuleFile::understand(&source, &SystemResolver::beside(&source.place))?;
    say_warnings(&source, &file);
    let mut client = connect(&arguments.service.socket)?;
    let old = text_in_force(&mut client)?;
    say_changes(&old, &file, out)?;
    let text = as_the_service_reads_it(&source, &old, &file, out)?;
    let applied = client
        .apply(&source.name, &text, arguments.lease.map(|lease| lease.0))
        .map_err(wrong)?;
    warn(&applied);
    say_taken(&applied, out)?;
    Ok(0)
}

/// Says what the rules would cut this machine off from, and which of its devices they don't call by their names.
fn say_warnings(source: &RuleSource, file: &RuleFile) {
    let network = own_network();
    let mut found = check::cut_off(file, &network);
    found.extend(file.rules.misnamed(&file.name, &network));
    Lines::of(&source.name, &source.text).say(&found, Severity::Warning);
}

/// Keeps what is tried out.
pub fn confirm(arguments: &LeaseArguments, out: &mut dyn Write) -> Result<u8, Error> {
    let applied = connect(&arguments.service.socket)?.confirm(arguments.generation)?;
    say_taken(&applied, out)?;
    Ok(0)
}

/// Takes back what is tried out.
pub fn revert(arguments: &LeaseArguments, out: &mut dyn Write) -> Result<u8, Error> {
    let rules = connect(&arguments.service.socket)?.revert(arguments.generation)?;
    let rules = clean(&in_force(&rules));
    writeln!(out, "The lease is over. In force is {rules}.")?;
    Ok(0)
}

/// The service may be started elsewhere: what a file is called there is its whole path.
fn full_name(path: &Path) -> String {
    let whole = path
        .canonicalize()
        .ok()
        .filter(|_| !is_standard_input(path));
    whole.map_or_else(|| name(path), |whole| whole.display().to_string())
}

/// The service keeps the text as its own rule file, and finds what is named in it from its own folder on. So if the
/// file is in another one, the files of sets get their whole paths: those are meant that stand beside it.
fn as_the_service_reads_it(
    new: &RuleSource,
    old: &RuleSource,
    file: &RuleFile,
    out: &mut dyn Write,
) -> Result<String, Error> {
    let folder = |place: &Path| place.parent().and_then(|folder| folder.canonicalize().ok());
    let (here, there) = (new.place.parent().unwrap_or(&new.place), folder(&old.place));
    if there.is_some() && folder(&new.place) == there {
        return Ok(new.text.clone());
    }
    for set in file.rules.sets() {
        if let Some(list) = set
            .file
            .as_ref()
            .filter(|list| Path::new(list).is_relative())
        {
            let list = here.join(list);
            writeln!(
                out,
                "The set `{}` is read from {}, by the service too.",
                set.id,
                clean(&list.display().to_string())
            )?;
        }
    }
    Ok(rules::with_whole_paths(&new.text, here))
}

fn say_changes(old: &RuleSource, new: &RuleFile, out: &mut dyn Write) -> Result<(), Error> {
    let Ok(old) = RuleFile::parse(&old.name, &old.text, &SystemResolver::beside(&old.place)) else {
        writeln!(
            out,
            "What changes can't be said: the rules in force can't be read here."
        )?;
        return Ok(());
    };
    let lines = changes(&old, new);
    if lines.is_empty() {
        writeln!(out, "No verdict changes.")?;
    }
    for line in lines {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

fn say_taken(applied: &Applied, out: &mut dyn Write) -> Result<(), Error> {
    writeln!(out, "{}", taken(applied))?;
    Ok(())
}

/// Returns a sentence that rules are in force now, and until when.
pub fn taken(applied: &Applied) -> String {
    let Applied {
        generation,
        rules,
        lease,
        ..
    } = applied;
    let strong = style::STRONG;
    let rules = counted(u64::from(*rules), "rule");
    let first = format!("{strong}Generation {generation} is in force{strong:#}: {rules}.\n");
    match lease {
        None => first + "It is confirmed, and is there after a restart too.",
        Some(Lease {
            fallback,
            milliseconds_left,
            ..
        }) => format!(
            "{first}Confirm it within {} s: gatebell rules confirm {generation}\nOtherwise generation {fallback} returns by itself, also \
             if this connection is cut; `gatebell rules revert {generation}` brings it back now.",
            milliseconds_left.div_ceil(1000)
        ),
    }
}

fn warn(applied: &Applied) {
    let warning = style::WARNING;
    for text in &applied.warnings {
        let text = rules::clean_lines(text);
        say(format_args!("{warning}warning:{warning:#} {text}"));
    }
}

/// Converts a failure of the service, whose check may find errors that this one did not: it reads other files, or is of
/// another release.
pub(super) fn wrong(failed: Failed) -> Error {
    match failed {
        Failed::Refused {
            errors, message, ..
        } if !errors.is_empty() => Error::Applied {
            errors: errors.join("\n"),
            message,
        },
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

    use super::*;

    #[test]
    fn a_lease_says_how_to_confirm_and_what_happens_otherwise() {
        let lease = Some(Lease {
            generation: 8,
            fallback: 7,
            milliseconds_left: 59_990,
        });
        let mut shown = Vec::new();
        say_taken(
            &Applied {
                generation: 8,
                rules: 1,
                warnings: vec![],
                lease,
                change: None,
            },
            &mut shown,
        )
        .unwrap();
        let shown = anstream::adapter::strip_str(&String::from_utf8(shown).unwrap()).to_string();
        assert!(
            shown.contains("Generation 8 is in force: 1 rule."),
            "{shown}"
        );
        assert!(
            shown.contains("within 60 s: gatebell rules confirm 8"),
            "{shown}"
        );
        assert!(
            shown.contains("Otherwise generation 7 returns by itself"),
            "{shown}"
        );
    }
}
