//! A rule file, read and understood, and what is said about one that is not.

use crate::{Error, style};
use contract::packet::{Decision, Direction, NO_RULE};
use rules::{Finding, Rule, Rules, Table};
use std::io::{self, Read, Write};
use std::path::Path;

/// A rule file that was found right.
pub struct RuleFile {
    /// What it is called in messages.
    pub name: String,
    /// Its rules.
    pub rules: Rules,
    /// The same as the engine takes them: generation 1.
    pub table: Table,
}

impl RuleFile {
    /// Reads a rule file; what is wrong with it is shown on standard error.
    ///
    /// # Errors
    /// It can't be read, or not understood.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let text = read(path)?;
        let name = name(path);
        let errors = match Self::parse(&name, &text) {
            Ok(file) => return Ok(file),
            Err(errors) => errors,
        };
        let mut shown = anstream::stderr().lock();
        for finding in &errors {
            show(&mut shown, finding, Severity::Error, &text)?;
        }
        Err(Error::Rules { file: name, errors: errors.len() })
    }

    /// Understands a rule file's text.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn parse(name: &str, text: &str) -> Result<Self, Vec<Finding>> {
        let rules = rules::parse(name, text).map_err(|errors| errors.findings().to_vec())?;
        let table = rules.compile(1);
        Ok(Self { name: name.to_owned(), rules, table })
    }

    /// The rule that a decision names.
    pub fn rule_of(&self, decision: &Decision) -> Option<&Rule> {
        (decision.rule != NO_RULE).then(|| self.rules.rule(decision.rule))?
    }

    /// Where a rule stands.
    pub fn place(&self, rule: &Rule) -> String {
        format!("{}:{}", self.name, rule.line)
    }
}

/// What a path is called in messages.
pub fn name(path: &Path) -> String {
    if is_standard_input(path) { "standard input".to_owned() } else { path.display().to_string() }
}

/// A file's text, or that of standard input for `-`. Bytes that are no UTF-8 become errors of their place.
///
/// # Errors
/// It can't be read.
pub fn read(path: &Path) -> Result<String, Error> {
    let mut bytes = Vec::new();
    let read = if is_standard_input(path) {
        io::stdin().lock().read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|mut file| file.read_to_end(&mut bytes))
    };
    let unreadable = |cause| Error::Unreadable { file: path.to_owned(), cause };
    read.map_err(unreadable)?;
    String::from_utf8(bytes).map_err(|error| {
        let line =
            error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|b| **b == b'\n').count() + 1;
        let cause = format!("line {line} is not UTF-8; save it as UTF-8");
        unreadable(io::Error::new(io::ErrorKind::InvalidData, cause))
    })
}

/// Whether a path stands for standard input.
pub fn is_standard_input(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The file is not taken.
    Error,
    /// It is taken, but probably not meant so.
    Warning,
}

impl Severity {
    /// Its name in messages and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// Shows a finding and the line that it is about.
///
/// # Errors
/// The output can't be written.
pub fn show(out: &mut dyn Write, finding: &Finding, severity: Severity, text: &str) -> io::Result<()> {
    let Finding { file, line, column, message } = finding;
    let colour = if severity == Severity::Error { style::ERROR } else { style::WARNING };
    let strong = style::STRONG;
    writeln!(
        out,
        "{strong}{file}:{line}:{column}:{strong:#} {colour}{}:{colour:#} {message}",
        severity.name()
    )?;
    let Some(said) = text.lines().nth(line.saturating_sub(1)).filter(|said| !said.trim().is_empty()) else {
        return Ok(());
    };
    let faint = style::FAINT;
    writeln!(out, "{faint}{line:>5} |{faint:#} {}", printable(said))?;
    // A tab stays a tab, so that the mark stands under what it marks.
    let before: String =
        said.chars().take(column.saturating_sub(1)).map(|c| if c == '\t' { c } else { ' ' }).collect();
    writeln!(out, "{faint}      |{faint:#} {before}{colour}^{colour:#}")
}

/// A foreign line, without what could steer a terminal.
fn printable(line: &str) -> String {
    line.chars().map(|c| if c.is_control() && c != '\t' { '\u{FFFD}' } else { c }).collect()
}

/// The words for what a packet gets that no rule matches.
pub fn default_name(direction: Direction) -> &'static str {
    match direction {
        Direction::Inbound => "the default for in",
        Direction::Outbound => "the default for out",
    }
}
