//! `gatebell rules check`: all that is wrong with rule files.

use crate::Error;
use crate::arguments::CheckArguments;
use crate::rule_file::{Lines, RuleFile, Severity, name, read, show};
use rules::{Finding, SystemResolver, grouped};
use serde_json::json;
use std::io::Write;
use std::path::Path;

/// Checks each file; 1 if one has errors.
pub fn run(arguments: &CheckArguments, out: &mut dyn Write) -> Result<u8, Error> {
    let mut code = 0;
    for path in &arguments.files {
        code |= u8::from(!check(path, arguments.json, out)?);
    }
    Ok(code)
}

/// Whether a file is right.
fn check(path: &Path, json: bool, out: &mut dyn Write) -> Result<bool, Error> {
    let text = read(path)?;
    let name = name(path);
    let parsed = RuleFile::parse(&name, &text, &SystemResolver::beside(path));
    let (severity, findings) = match &parsed {
        Ok(file) => (Severity::Warning, file.rules.warnings()),
        Err(errors) => (Severity::Error, errors.as_slice()),
    };
    let lines = Lines::of(&name, &text);
    for finding in findings {
        if json {
            writeln!(out, "{}", object(finding, severity))?;
        } else {
            show(out, finding, severity, &lines)?;
        }
    }
    if !json {
        writeln!(out, "{}", summary(&name, &parsed))?;
    }
    Ok(parsed.is_ok())
}

fn object(finding: &Finding, severity: Severity) -> serde_json::Value {
    let Finding {
        file,
        line,
        column,
        message,
    } = finding;
    json!({ "file": file, "line": line, "column": column, "severity": severity.name(), "message": message })
}

fn summary(name: &str, parsed: &Result<RuleFile, Vec<Finding>>) -> String {
    match parsed {
        Ok(file) => {
            let warnings = file.rules.warnings().len() as u64;
            let warned = if warnings == 0 {
                String::new()
            } else {
                format!(", {}", counted(warnings, "warning"))
            };
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

/// How many rules there are, and sets with what they hold.
fn contents(file: &RuleFile) -> String {
    let rules = counted(file.rules.iter().len() as u64, "rule");
    let (sets, entries) = file.rules.sets().fold((0, 0), |(sets, all), set| {
        (sets + 1, all + set.entries as u64)
    });
    if sets == 0 {
        rules
    } else {
        format!(
            "{rules}, {} of {} entries",
            counted(sets, "set"),
            grouped(entries as usize)
        )
    }
}

/// What a driver keeps of it.
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
