//! `gatebell rules check`: all that is wrong with rule files.

use crate::Error;
use crate::as_if::AsIfArguments;
use crate::import::Kind;
use crate::rule_file::{Lines, RuleFile, Severity, name, read};
use clap::{Args, ValueHint};
use rules::own_network;
use rules::{Finding, OwnNetwork, SystemResolver, clean, grouped};
use serde_json::json;
use std::io::Write;
use std::path::{Path, PathBuf};

/// `gatebell rules check`.
#[derive(Debug, Args)]
pub struct CheckArguments {
    /// Rule files; - is standard input
    #[arg(required = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub files: Vec<PathBuf>,
    /// The rules are for another machine: say nothing of what they would cut off here
    #[arg(long)]
    pub elsewhere: bool,
    /// Networks for which the files are checked.
    #[command(flatten)]
    pub networks: AsIfArguments,
    /// Print one JSON object for each finding, nothing else
    #[arg(long)]
    pub json: bool,
}

/// Checks each file; 1 if one has errors.
pub fn run(arguments: &CheckArguments, out: &mut dyn Write) -> Result<u8, Error> {
    let network = if arguments.elsewhere {
        OwnNetwork::default()
    } else {
        own_network()
    };
    let mut code = 0;
    for path in &arguments.files {
        code |= u8::from(!check(path, &network, arguments, out)?);
    }
    Ok(code)
}

/// Checks a file, prints its findings, and returns whether it has no errors.
fn check(
    path: &Path,
    network: &OwnNetwork,
    CheckArguments { networks, json, .. }: &CheckArguments,
    out: &mut dyn Write,
) -> Result<bool, Error> {
    let text = read(path)?;
    let name = name(path);
    let mut parsed = RuleFile::parse(&name, &text, &SystemResolver::beside(path))
        .map_err(|errors| foreign(&name, &text).map_or(errors, |finding| vec![finding]));
    if let Ok(file) = &mut parsed {
        networks.put(file)?;
    }
    let found = match &parsed {
        Ok(file) => said(file, network),
        Err(errors) => of(Severity::Error, errors).collect(),
    };
    let lines = Lines::of(&name, &text);
    for (severity, finding) in &found {
        if *json {
            writeln!(out, "{}", object(finding, *severity))?;
        } else {
            writeln!(out, "{}", lines.shown(finding, *severity))?;
        }
    }
    if !*json {
        writeln!(out, "{}", summary(&clean(&name), &parsed, &found))?;
    }
    Ok(parsed.is_ok())
}

/// Returns the findings about rules that were accepted, for a machine in this network.
pub fn said(file: &RuleFile, network: &OwnNetwork) -> Vec<(Severity, Finding)> {
    let cut_off = cut_off(file, network);
    of(Severity::Trouble, file.rules.troubles())
        .chain(of(Severity::Warning, &cut_off))
        .chain(of(
            Severity::Warning,
            &file.rules.misnamed(&file.name, network),
        ))
        .chain(of(Severity::Warning, file.rules.warnings()))
        .collect()
}

/// Returns a warning for each part of a network that the rules cut off, with the joined members of their sets counted.
pub fn cut_off(file: &RuleFile, network: &OwnNetwork) -> Vec<Finding> {
    let tables = (&file.table, &file.joined);
    file.rules.cut_off(&file.name, tables, network)
}

fn of(severity: Severity, findings: &[Finding]) -> impl Iterator<Item = (Severity, Finding)> {
    findings
        .iter()
        .map(move |finding| (severity, finding.clone()))
}

/// Returns the one finding about another firewall's file, or `None` if the text is not one: it replaces all syntax
/// errors.
fn foreign(name: &str, text: &str) -> Option<Finding> {
    let kind = Kind::of(text)?;
    Some(Finding {
        file: name.to_owned(),
        line: 1,
        column: 1,
        message: format!(
            "this is no rule file: it is from {}; `gatebell rules import` prints its rules as one of ours",
            kind.title()
        ),
    })
}

fn object(finding: &Finding, severity: Severity) -> serde_json::Value {
    let Finding {
        file,
        line,
        column,
        message,
    } = finding;
    json!({
        "file": file,
        "line": line,
        "column": column,
        "severity": severity.name(),
        "trouble": severity == Severity::Trouble,
        "message": message,
    })
}

fn summary(
    name: &str,
    parsed: &Result<RuleFile, Vec<Finding>>,
    found: &[(Severity, Finding)],
) -> String {
    match parsed {
        Ok(file) => {
            let count = |severity| found.iter().filter(|(of, _)| *of == severity).count();
            let counts = [
                (count(Severity::Trouble), "trouble"),
                (count(Severity::Warning), "warning"),
            ];
            let warned: String = counts
                .into_iter()
                .filter(|(count, _)| *count > 0)
                .map(|(count, what)| format!(", {}", counted(count as u64, what)))
                .collect();
            format!("{name}: ok, {}{warned}; {}", contents(file), room(file))
        }
        Err(errors) => {
            format!(
                "{name}: {}; the file would not be taken",
                counted(errors.len() as u64, "error")
            )
        }
    }
}

/// Returns the numbers of rules, sets and entries, in words.
fn contents(file: &RuleFile) -> String {
    let rules = counted(file.rules.iter().len() as u64, "rule");
    let (sets, entries) = file.rules.sets().fold((0, 0), |(sets, all), set| {
        (sets + 1, all + set.entries as u64)
    });
    let names: usize = file.rules.sets().map(|set| set.names.len()).sum();
    if sets == 0 {
        return rules;
    }
    let by_name = match names {
        0 => String::new(),
        names => format!(" and {}", counted(names as u64, "name")),
    };
    format!(
        "{rules}, {} of {} {}{by_name}",
        counted(sets, "set"),
        grouped(entries as usize),
        if entries == 1 { "entry" } else { "entries" },
    )
}

/// Returns the memory that a driver keeps for the rules, in words.
fn room(file: &RuleFile) -> String {
    let sets = file.table.sets.as_ref().map_or(0, |sets| sets.pages.len());
    let pages = counted((file.table.pages.len() + sets) as u64, "page");
    let kib = file.table.bytes() >> 10;
    if kib < 1024 {
        return format!("{pages} in the driver, {kib} KiB");
    }
    format!("{pages} in the driver, {:.1} MiB", kib as f64 / 1024.0)
}

/// `1 rule`, `2 rules`, `1,234 rules`.
pub fn counted(number: u64, word: &str) -> String {
    format!(
        "{} {word}{}",
        grouped(number as usize),
        if number == 1 { "" } else { "s" }
    )
}
