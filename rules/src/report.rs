//! What is wrong with a text, and where.

use std::fmt;
use std::ops::Range;

/// One thing that was found, and its place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The file, as the caller calls it.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What is wrong and what would be right.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)
    }
}

/// All that is wrong with a text, in the order of its places; one line each when displayed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", lines(.findings))]
pub struct Errors {
    findings: Vec<Finding>,
}

fn lines(findings: &[Finding]) -> String {
    findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

impl Errors {
    /// Each error, in the order of their places.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }
}

/// What goes wrong with one value, before it has a place.
pub(crate) type Wrong = String;

/// Collects what is wrong while a text is read.
pub(crate) struct Report<'a> {
    file: &'a str,
    text: &'a str,
    /// Where each line starts.
    lines: Vec<usize>,
    findings: Vec<Finding>,
    broken: bool,
}

impl<'a> Report<'a> {
    pub(crate) fn new(file: &'a str, text: &'a str) -> Self {
        let after_newlines = text.match_indices('\n').map(|(at, _)| at + 1);
        let lines = std::iter::once(0).chain(after_newlines).collect();
        Self { file, text, lines, findings: Vec::new(), broken: false }
    }

    /// The text is no TOML here: what comes after may be cut off.
    pub(crate) fn syntax(&mut self, place: Range<usize>, message: &str) {
        self.broken = true;
        self.error(place, format!("this is not TOML: {message}"));
    }

    pub(crate) fn error(&mut self, place: Range<usize>, message: impl Into<String>) {
        let (line, column) = self.position(place.start);
        let file = self.file.to_owned();
        self.findings.push(Finding { file, line, column, message: message.into() });
    }

    /// Something is missing; not said of a broken text, where it may only be out of sight.
    pub(crate) fn missing(&mut self, place: Range<usize>, message: impl Into<String>) {
        if !self.broken {
            self.error(place, message);
        }
    }

    /// The line that a place is in, from 1.
    pub(crate) fn line(&self, at: usize) -> usize {
        self.position(at).0
    }

    pub(crate) fn close(mut self) -> Result<(), Errors> {
        if self.findings.is_empty() {
            return Ok(());
        }
        self.findings.sort();
        self.findings.dedup();
        Err(Errors { findings: self.findings })
    }

    fn position(&self, at: usize) -> (usize, usize) {
        let line = self.lines.partition_point(|start| *start <= at);
        let start = line.checked_sub(1).and_then(|before| self.lines.get(before)).copied().unwrap_or(0);
        (line, self.text.get(start..at).map_or(0, |before| before.chars().count()) + 1)
    }
}

/// What was probably meant by `word`, of what there is; else all there is, if that is not much.
pub(crate) fn suggestion(word: &str, known: &[&str]) -> String {
    let near = known.iter().map(|k| (strsim::damerau_levenshtein(word, k), k)).min();
    match near {
        Some((distance, k)) if distance <= 1 + word.len() / 4 => format!("did you mean `{k}`?"),
        _ => format!("there are: {}", known.join(", ")),
    }
}
