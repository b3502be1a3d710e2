//! `gatebell rules show`: the rules in the order in which they are tried.

use crate::Error;
use crate::arguments::ShowArguments;
use crate::rule_file::RuleFile;
use crate::style;
use contract::packet::{Direction, Verdict};
use contract::rules::PortRange;
use rules::{Network, Protocol, Rule};
use serde_json::{Value, json};
use std::io::Write;

/// Shows a rule file.
pub fn run(arguments: &ShowArguments, out: &mut dyn Write) -> Result<u8, Error> {
    let file = RuleFile::load(&arguments.file)?;
    if arguments.json {
        writeln!(out, "{}", object(&file))?;
    } else {
        table(&file, out)?;
    }
    Ok(0)
}

fn object(file: &RuleFile) -> Value {
    let default = |direction| file.rules.default_for(direction).name();
    json!({
        "file": file.name,
        "rows": file.table.rows.len(),
        "default": { "in": default(Direction::Inbound), "out": default(Direction::Outbound) },
        "rules": (0..).zip(file.rules.iter()).map(|(number, rule)| rule_object(number, rule)).collect::<Vec<_>>(),
    })
}

fn rule_object(number: u32, rule: &Rule) -> Value {
    let texts = |networks: &[Network]| networks.iter().map(|n| network(*n)).collect::<Vec<_>>();
    let ports = |ranges: &[PortRange]| {
        ranges.iter().map(|range| json!([range.first, range.last])).collect::<Vec<_>>()
    };
    json!({
        "number": number,
        "id": rule.id,
        "line": rule.line,
        "enabled": rule.enabled,
        "action": rule.action.name(),
        "direction": rule.direction.map(Direction::name),
        "protocols": rule.protocols.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "sources": texts(&rule.sources),
        "source_ports": ports(&rule.source_ports),
        "destinations": texts(&rule.destinations),
        "ports": ports(&rule.ports),
        "icmp_types": rule.icmp_types,
        "log": rule.log,
        "comment": rule.comment,
    })
}

/// A network as people write it: one address without its slash.
pub fn network(network: Network) -> String {
    network.single().map_or_else(|| network.to_string(), |address| address.to_string())
}

/// A port, or a range of them.
pub fn range(range: PortRange) -> String {
    let PortRange { first, last } = range;
    if first == last { first.to_string() } else { format!("{first}-{last}") }
}

/// An ICMP type by its name, if it has one.
pub fn icmp_type(protocol: Option<&Protocol>, number: u8) -> String {
    let name = protocol.and_then(|protocol| protocol.icmp_type_name(number));
    name.map_or_else(|| number.to_string(), str::to_owned)
}

const COLUMNS: usize = 10;
const TITLES: [&str; COLUMNS] =
    ["#", "line", "id", "action", "dir", "protocol", "from", "to", "log", "comment"];
const ACTION: usize = 3;

/// A rule as lines of cells: a list goes down its column.
struct Entry {
    cells: [Vec<String>; COLUMNS],
    action: Verdict,
    enabled: bool,
}

fn table(file: &RuleFile, out: &mut dyn Write) -> Result<(), Error> {
    let mut entries: Vec<_> =
        (0..).zip(file.rules.iter()).map(|(number, rule)| entry(number, rule)).collect();
    entries.extend([Direction::Inbound, Direction::Outbound].map(|direction| default_entry(file, direction)));
    let widths = widths(&entries);
    let faint = style::FAINT;
    writeln!(out, "{faint}{}{faint:#}", line(&widths, |column| TITLES[column].to_owned(), None))?;
    for entry in &entries {
        let colour = if entry.enabled { style::verdict(entry.action) } else { faint };
        let height = entry.cells.iter().map(Vec::len).max().unwrap_or(0);
        for row in 0..height {
            let cell = |column: usize| entry.cells[column].get(row).cloned().unwrap_or_default();
            writeln!(out, "{}", line(&widths, cell, Some(colour)))?;
        }
    }
    Ok(())
}

fn entry(number: u32, rule: &Rule) -> Entry {
    let one = |text: &str| vec![text.to_owned()];
    let ends = |networks: &[Network], ports: &[PortRange]| {
        let mut cell: Vec<_> = networks.iter().map(|n| network(*n)).collect();
        if !ports.is_empty() {
            let ports: Vec<_> = ports.iter().map(|ports| range(*ports)).collect();
            cell.push(format!("port {}", ports.join(", ")));
        }
        if cell.is_empty() { vec!["any".to_owned()] } else { cell }
    };
    Entry {
        cells: [
            vec![number.to_string()],
            vec![rule.line.to_string()],
            vec![rule.id.clone()],
            one(if rule.enabled { rule.action.name() } else { "off" }),
            one(rule.direction.map_or("both", Direction::name)),
            protocols(rule),
            ends(&rule.sources, &rule.source_ports),
            ends(&rule.destinations, &rule.ports),
            one(if rule.log { "yes" } else { "no" }),
            vec![rule.comment.clone().unwrap_or_default()],
        ],
        action: rule.action,
        enabled: rule.enabled,
    }
}

fn protocols(rule: &Rule) -> Vec<String> {
    let mut cell: Vec<_> = rule.protocols.iter().map(ToString::to_string).collect();
    cell.extend(rule.icmp_types.iter().map(|number| icmp_type(rule.protocols.first(), *number)));
    if cell.is_empty() { vec!["any".to_owned()] } else { cell }
}

fn default_entry(file: &RuleFile, direction: Direction) -> Entry {
    let action = file.rules.default_for(direction);
    let log = if action == Verdict::Block { "yes" } else { "no" };
    let cells = ["", "", "(default)", action.name(), direction.name(), "any", "any", "any", log, ""];
    Entry { cells: cells.map(|cell| vec![cell.to_owned()]), action, enabled: true }
}

fn widths(entries: &[Entry]) -> [usize; COLUMNS] {
    let mut widths = TITLES.map(|title| title.chars().count());
    for entry in entries {
        for (width, cell) in widths.iter_mut().zip(&entry.cells) {
            *width = cell.iter().map(|text| text.chars().count()).max().unwrap_or(0).max(*width);
        }
    }
    widths
}

fn line(widths: &[usize; COLUMNS], cell: impl Fn(usize) -> String, colour: Option<anstyle::Style>) -> String {
    let cells = widths.iter().enumerate().map(|(column, width)| {
        let text = format!("{:<width$}", cell(column));
        match colour {
            Some(colour) if column == ACTION => format!("{colour}{text}{colour:#}"),
            _ => text,
        }
    });
    cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
}
