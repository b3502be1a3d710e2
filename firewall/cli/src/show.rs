//! `gatebell rules show`: the rules in the order in which they are tried.

use crate::Error;
#[cfg(target_os = "linux")]
use crate::arguments::SocketArguments;
use crate::as_if::AsIfArguments;
use crate::columns::{padded, width as width_of};
use crate::rule_file::{RuleFile, RuleSource};
use crate::style;
use clap::{Args, ValueHint};
use firewall_abi::packet::{Direction, Verdict};
use firewall_abi::rules::PortRange;
use rules::words::{self, end_names};
use rules::{
    Addresses, DefaultAction, Effect, Network, Rule, Rules, Set, SystemResolver, clean, clean_lines,
};
use serde_json::{Value, json};
use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;

/// `gatebell rules show`.
#[derive(Debug, Args)]
pub struct ShowArguments {
    /// The rule file; - is standard input; left out: the rules in force
    #[arg(value_hint = ValueHint::FilePath)]
    pub file: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// Print the text: of the rules in force, what the rule file held before it was changed by hand;
    /// a terminal obeys nothing of it
    #[arg(long, conflicts_with_all = ["json", "as_if"])]
    pub text: bool,
    /// Networks for which the rules are shown.
    #[command(flatten)]
    pub networks: AsIfArguments,
    /// Control socket of the service.
    #[cfg(target_os = "linux")]
    #[command(flatten)]
    pub service: SocketArguments,
}

/// Shows a rule file.
pub fn run(arguments: &ShowArguments, out: &mut dyn Write) -> Result<u8, Error> {
    let source = arguments.source()?;
    if arguments.text {
        out.write_all(text_for(&source.text, io::stdout().is_terminal()).as_bytes())?;
        return Ok(0);
    }
    let mut file = RuleFile::understand(&source, &SystemResolver::beside(&source.place))?;
    arguments.networks.put(&mut file)?;
    if arguments.json {
        writeln!(out, "{}", object(&file))?;
    } else {
        table(&file, out)?;
    }
    Ok(0)
}

/// The text as it is for a file or another program; a terminal obeys nothing of it.
fn text_for(text: &str, terminal: bool) -> Cow<'_, str> {
    if terminal {
        Cow::Owned(clean_lines(text) + "\n")
    } else {
        Cow::Borrowed(text)
    }
}

impl ShowArguments {
    #[cfg(target_os = "linux")]
    fn source(&self) -> Result<RuleSource, Error> {
        RuleSource::given(self.file.as_deref(), &self.service)
    }

    #[cfg(not(target_os = "linux"))]
    fn source(&self) -> Result<RuleSource, Error> {
        RuleSource::given(self.file.as_deref())
    }
}

fn object(file: &RuleFile) -> Value {
    let rules = &file.rules;
    let default = |direction| rules.default_for(direction).action.name();
    let asking = rules.default_asking();
    let log = |direction| rules.default_for(direction).log;
    json!({
        "file": file.name,
        "pages": file.table.pages.len(),
        "set_pages": file.table.sets.as_ref().map_or(0, |sets| sets.pages.len()),
        "default": {
            "in": default(Direction::Inbound),
            "out": default(Direction::Outbound),
            "forward": default(Direction::Forward),
            "log_in": log(Direction::Inbound),
            "log_out": log(Direction::Outbound),
            "log_forward": log(Direction::Forward),
            "unanswered": asking.unanswered.name(),
            "answer_within": asking.within.as_secs(),
        },
        "fail_mode": rules.fail_mode().name(),
        "networks": rules.networks().map(network_object).collect::<Vec<_>>(),
        "sets": rules.sets().map(set_object).collect::<Vec<_>>(),
        "rules": (0..).zip(rules.iter()).map(|(number, rule)| rule_object(number, rule, rules)).collect::<Vec<_>>(),
    })
}

fn set_object(set: &Set) -> Value {
    let Set {
        id,
        line,
        file,
        subscription,
        is_awaited: _,
        entries,
        trouble,
        except,
        names,
        resolvers,
        comment,
    } = set;
    json!({
        "id": id,
        "line": line,
        "file": file,
        "url": subscription.as_ref().map(|list| &list.url),
        "refresh": subscription.as_ref().map(|list| list.refresh.as_secs()),
        "entries": entries,
        "trouble": trouble,
        "names": names.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "resolvers": resolvers,
        "except": except.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "comment": comment,
    })
}

fn network_object(network: &Network) -> Value {
    let Network {
        id,
        line,
        interfaces,
        ssids,
        connections,
        gateways,
        gateway_hardware,
        comment,
    } = network;
    let words = |all: &[Addresses]| all.iter().map(ToString::to_string).collect::<Vec<_>>();
    json!({
        "id": id,
        "line": line,
        "interfaces": interfaces,
        "ssids": ssids,
        "connections": connections,
        "gateways": words(gateways),
        "gateway_hardware": gateway_hardware.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "comment": comment,
    })
}

fn rule_object(number: u32, rule: &Rule, rules: &Rules) -> Value {
    let ports = |ranges: &[PortRange]| {
        ranges
            .iter()
            .map(|range| json!([range.first, range.last]))
            .collect::<Vec<_>>()
    };
    let asks = rule.action == Verdict::Ask;
    json!({
        "number": number,
        "id": rule.id,
        "line": rule.line,
        "enabled": rule.enabled,
        "action": rule.action.name(),
        "unanswered": asks.then_some(rule.asking.unanswered.name()),
        "answer_within": asks.then_some(rule.asking.within.as_secs()),
        "direction": rule.direction.map(Direction::name),
        "protocols": rule.protocols.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "sources": end_names(&rule.sources, &rule.source_sets, rules),
        "source_ports": ports(&rule.source_ports),
        "destinations": end_names(&rule.destinations, &rule.destination_sets, rules),
        "ports": ports(&rule.ports),
        "icmp_types": rule.icmp_types,
        "interfaces": rule.interfaces,
        "out_interfaces": rule.out_interfaces,
        "users": rule.users.iter().map(|user| json!({ "number": user.number, "name": user.name })).collect::<Vec<_>>(),
        "programs": rule.programs.iter().map(|program| &program.path).collect::<Vec<_>>(),
        "networks": words::network_names(rule, rules),
        "elsewhere": rule.networks.elsewhere,
        "on": rule.is_on(),
        "log": rule.log,
        "comment": rule.comment,
    })
}

const COLUMNS: usize = 11;
const TITLES: [&str; COLUMNS] = [
    "#", "line", "id", "action", "dir", "protocol", "from", "to", "who", "log", "comment",
];
const ACTION: usize = 3;

/// A rule as lines of cells: a list goes down its column.
struct Entry {
    cells: [Vec<String>; COLUMNS],
    action: Verdict,
    is_on: bool,
}

fn table(file: &RuleFile, out: &mut dyn Write) -> Result<(), Error> {
    let mut entries: Vec<_> = (0..)
        .zip(file.rules.iter())
        .map(|(number, rule)| entry(number, rule, &file.rules))
        .collect();
    entries.extend(Direction::ALL.map(|direction| default_entry(file, direction)));
    for text in entries
        .iter_mut()
        .flat_map(|entry| entry.cells.iter_mut().flatten())
    {
        *text = clean(text);
    }
    let widths = widths(&entries);
    let faint = style::FAINT;
    writeln!(
        out,
        "{faint}{}{faint:#}",
        line(&widths, |column| TITLES[column].to_owned(), None)
    )?;
    for entry in &entries {
        let colour = if entry.is_on {
            style::verdict(entry.action)
        } else {
            faint
        };
        let height = entry.cells.iter().map(Vec::len).max().unwrap_or(0);
        for row in 0..height {
            let cell = |column: usize| entry.cells[column].get(row).cloned().unwrap_or_default();
            writeln!(out, "{}", line(&widths, cell, Some(colour)))?;
        }
    }
    Ok(())
}

fn entry(number: u32, rule: &Rule, rules: &Rules) -> Entry {
    let one = |text: &str| vec![text.to_owned()];
    let ends = |addresses: &[Addresses], sets: &[u32], ports: &[PortRange]| {
        let mut cell = end_names(addresses, sets, rules);
        cell.extend(view::rule::ports(ports));
        or_any(cell)
    };
    Entry {
        cells: [
            vec![number.to_string()],
            vec![rule.line.to_string()],
            vec![rule.id.clone()],
            action(rule, rules),
            one(rule.direction.map_or("any", Direction::name)),
            or_any(words::protocols(rule)),
            ends(&rule.sources, &rule.source_sets, &rule.source_ports),
            ends(&rule.destinations, &rule.destination_sets, &rule.ports),
            or_any(view::rule::who(rule)),
            one(if rule.log { "yes" } else { "no" }),
            vec![rule.comment.clone().unwrap_or_default()],
        ],
        action: rule.action,
        is_on: rule.is_on(),
    }
}

/// Returns the action of a rule and the networks in which it is on, in words: also where it is off, if it is enabled.
fn action(rule: &Rule, rules: &Rules) -> Vec<String> {
    if !rule.enabled {
        return vec!["off".to_owned()];
    }
    let mut cell = vec![rule.action.name().to_owned()];
    cell.extend(words::networks(rule, rules));
    match rule.effect {
        Effect::On => {}
        Effect::Off => cell.push("(off here)".to_owned()),
        Effect::Blocks => cell.push("(blocks: not known)".to_owned()),
    }
    cell
}

fn or_any(cell: Vec<String>) -> Vec<String> {
    if cell.is_empty() {
        vec!["any".to_owned()]
    } else {
        cell
    }
}

fn default_entry(file: &RuleFile, direction: Direction) -> Entry {
    let DefaultAction { action, log } = file.rules.default_for(direction);
    let log = if log { "yes" } else { "no" };
    let cells = [
        "",
        "",
        "(default)",
        action.name(),
        direction.name(),
        "any",
        "any",
        "any",
        "any",
        log,
        "",
    ];
    Entry {
        cells: cells.map(|cell| vec![cell.to_owned()]),
        action,
        is_on: true,
    }
}

fn widths(entries: &[Entry]) -> [usize; COLUMNS] {
    let mut widths = TITLES.map(|title| title.chars().count());
    for entry in entries {
        for (width, cell) in widths.iter_mut().zip(&entry.cells) {
            *width = width_of(cell.iter().map(String::as_str)).max(*width);
        }
    }
    widths
}

fn line(
    widths: &[usize; COLUMNS],
    cell: impl Fn(usize) -> String,
    colour: Option<anstyle::Style>,
) -> String {
    let cells = widths.iter().enumerate().map(|(column, width)| {
        let text = padded(&cell(column), *width);
        match colour {
            Some(colour) if column == ACTION => format!("{colour}{text}{colour:#}"),
            _ => text,
        }
    });
    cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_files_text_is_as_it_is_but_for_what_a_terminal_would_obey() {
        let text = "# a\tb \u{1b}[2J\u{202e}c\n[default]";
        assert_eq!(text_for(text, false), text);
        let shown = text_for(text, true);
        assert_eq!(shown, "# a\tb \u{fffd}[2J\\u{202e}c\n[default]\n");
    }
}
