//! `gatebell rules import`: the rules of another firewall as a rule file.
//!
//! A reader for each kind of export says what stands in it ([`model`]); what can't be said in our words is never left
//! out, guessed or widened: it becomes a comment with its reason, and the exit code says so.

mod arguments;
mod chains;
mod fields;
mod firewalld;
mod icmp;
mod iptables;
mod json;
mod kind;
mod model;
mod nft;
mod ports;
mod simplewall;
mod write;
mod xml;

pub use arguments::{HELP, ImportArguments};
pub use kind::Kind;

use crate::Error;
use crate::check::counted;
use crate::outputs::say;
use crate::rule_file::{RuleFile, RuleSource, name, read};
use crate::style;
use rules::{SystemResolver, clean};
use serde_json::json;
use std::io::Write;

/// Writes the rule file; 1 if something could not be said.
pub fn run(arguments: &ImportArguments, out: &mut dyn Write) -> Result<u8, Error> {
    let name = name(&arguments.file);
    let text = read(&arguments.file)?;
    let kind = match arguments.from {
        Some(kind) => kind,
        None => Kind::of(&text).ok_or_else(|| Error::UnknownExport(name.clone()))?,
    };
    let imported = kind.understand(&text).map_err(|wrong| Error::Export {
        file: name.clone(),
        kind: kind.title(),
        wrong,
    })?;
    let machine = SystemResolver::beside(std::path::Path::new(""));
    let head = format!("From {}, {name}.", kind.title());
    let written = write::rule_file(&head, &imported, &machine);
    // What is written is taken as it stands; if it is too large as a whole, that is shown.
    let whole = RuleSource {
        name: format!("the rules from {name}"),
        text: written.text,
        place: std::path::PathBuf::new(),
        members: Vec::new(),
        networks: Vec::new(),
    };
    RuleFile::understand(&whole, &machine)?;
    let unsaid = &written.unsaid;
    if arguments.json {
        let unsaid: Vec<_> = unsaid
            .iter()
            .map(|(place, why)| json!({ "line": place.line, "text": place.text, "why": why }))
            .collect();
        let object = json!({ "from": kind.name(), "file": name, "rules": written.rules, "text": whole.text, "unsaid": unsaid });
        writeln!(out, "{object}")?;
    } else {
        out.write_all(whole.text.as_bytes())?;
        let strong = style::STRONG;
        let rules = counted(written.rules as u64, "rule");
        say(format_args!(
            "{strong}{} is from {}{strong:#}: {rules}.",
            clean(&name),
            kind.title()
        ));
        if !unsaid.is_empty() {
            let parts = counted(unsaid.len() as u64, "part");
            say(format_args!(
                "{parts} could not be said: each is a comment that begins with \"Not said\"."
            ));
        }
    }
    Ok(u8::from(!unsaid.is_empty()))
}
