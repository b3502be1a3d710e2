//! `gatebell rules check`: all that is wrong with rule files.

use crate::Error;
use crate::arguments::CheckArguments;
use crate::rule_file::{RuleFile, Severity, name, read, show};
use rules::Finding;
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
    let parsed = RuleFile::parse(&name, &text);
    let (severity, findings) = match &parsed {
        Ok(file) => (Severity::Warning, file.rules.warnings()),
        Err(errors) => (Severity::Error, errors.as_slice()),
    };
    for finding in findings {
        if json {
            writeln!(out, "{}", object(finding, severity))?;
        } else {
            show(out, finding, severity, &text)?;
        }
    }
    if !json {
        writeln!(out, "{}", summary(&name, &parsed))?;
    }
    Ok(parsed.is_ok())
}

fn object(finding: &Finding, severity: Severity) -> serde_json::Value {
    let Finding { file, line, column, message } = finding;
    json!({ "file": file, "line": line, "column": column, "severity": severity.name(), "message": message })
}

fn summary(name: &str, parsed: &Result<RuleFile, Vec<Finding>>) -> String {
    match parsed {
        Ok(file) => {
            let warnings = file.rules.warnings().len();
            let (count, rows) = (file.rules.iter().len(), file.table.rows.len());
            let warned = if warnings == 0 {
                String::new()
            } else {
                format!(", {}", counted(warnings as u64, "warning"))
            };
            format!(
                "{name}: ok, {} in {}{warned}",
                counted(count as u64, "rule"),
                counted(rows as u64, "row")
            )
        }
        Err(errors) => {
            format!("{name}: {}; the file would not be taken", counted(errors.len() as u64, "error"))
        }
    }
}

/// `1 rule`, `2 rules`.
pub fn counted(number: u64, word: &str) -> String {
    format!("{number} {word}{}", if number == 1 { "" } else { "s" })
}
