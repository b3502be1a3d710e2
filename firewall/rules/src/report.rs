//! Report of the errors and warnings of a text, with their places.

use crate::clean;
use std::fmt;
use std::ops::Range;

/// Finding in a text: an error, a warning or a trouble, with its place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Name of the file, as the caller gave it.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Message that says what is wrong and what would be right.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}:{}: {}",
            self.file, self.line, self.column, self.message
        )
    }
}

/// All errors of a text, in the order of their places; one line each when displayed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", lines(.findings))]
pub struct Errors {
    findings: Vec<Finding>,
}

fn lines(findings: &[Finding]) -> String {
    findings
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}

impl Errors {
    pub(crate) fn of(finding: Finding) -> Self {
        Self {
            findings: vec![finding],
        }
    }

    /// Returns the errors in the order of their places.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }
}

/// Remarks on a valid text.
pub(crate) struct Remarks {
    /// Warnings of what is suspicious in the text.
    pub(crate) warnings: Vec<Finding>,
    /// Troubles: what the text names and the machine could not provide.
    pub(crate) troubles: Vec<Finding>,
    /// Warnings of what is suspicious in the files of sets, in the order of the sets.
    pub(crate) elsewhere: Vec<Finding>,
}

/// Number of errors of one list that are shown one by one.
pub(crate) const SHOWN: usize = 10;

/// Message of an error of one value, before it has a place.
pub(crate) type Wrong = String;

/// Collector of errors, warnings and troubles while a text is read.
pub(crate) struct Report<'a> {
    file: &'a str,
    text: &'a str,
    /// Position at which each line starts.
    lines: Vec<usize>,
    errors: Vec<(usize, String)>,
    warnings: Vec<(usize, String)>,
    /// Troubles: what the text names and the machine could not provide.
    troubles: Vec<(usize, String)>,
    /// Warnings about the files of sets.
    elsewhere: Vec<Finding>,
    broken: bool,
}

impl<'a> Report<'a> {
    pub(crate) fn new(file: &'a str, text: &'a str) -> Self {
        let after_newlines = text.match_indices('\n').map(|(at, _)| at + 1);
        let lines = std::iter::once(0).chain(after_newlines).collect();
        Self {
            file,
            text,
            lines,
            errors: Vec::new(),
            warnings: Vec::new(),
            troubles: Vec::new(),
            elsewhere: Vec::new(),
            broken: false,
        }
    }

    /// Reports that the text is no TOML here: what comes after may be cut off.
    pub(crate) fn syntax(&mut self, place: Range<usize>, message: &str) {
        self.broken = true;
        self.error(place, format!("this is not TOML: {message}"));
    }

    pub(crate) fn error(&mut self, place: Range<usize>, message: impl Into<String>) {
        self.errors.push((place.start, message.into()));
    }

    /// Adds a warning of what is not wrong but suspicious.
    pub(crate) fn warning(&mut self, place: Range<usize>, message: impl Into<String>) {
        self.warnings.push((place.start, message.into()));
    }

    /// Adds an error of something missing, unless the text is broken: there it may only be out of sight.
    pub(crate) fn missing(&mut self, place: Range<usize>, message: impl Into<String>) {
        if !self.broken {
            self.error(place, message);
        }
    }

    /// Adds a trouble: something that the text names can't be had, which is no error of the text.
    pub(crate) fn trouble(&mut self, place: Range<usize>, message: impl Into<String>) {
        self.troubles.push((place.start, message.into()));
    }

    /// Adds a warning of something in another file that is passed over.
    pub(crate) fn warning_elsewhere(&mut self, finding: Finding) {
        self.elsewhere.push(finding);
    }

    /// Returns the line that a place is in, from 1.
    pub(crate) fn line(&self, at: usize) -> usize {
        self.lines.partition_point(|start| *start <= at)
    }

    /// Returns the remarks on a valid text, or all errors.
    pub(crate) fn close(mut self) -> Result<Remarks, Errors> {
        let errors = std::mem::take(&mut self.errors);
        if !errors.is_empty() {
            let findings = self.placed(errors);
            return Err(Errors { findings });
        }
        let (warnings, troubles) = (
            std::mem::take(&mut self.warnings),
            std::mem::take(&mut self.troubles),
        );
        Ok(Remarks {
            warnings: self.placed(warnings),
            troubles: self.placed(troubles),
            elsewhere: self.elsewhere,
        })
    }

    /// Sorts the findings and computes their lines and columns. Characters are counted once, however many findings a
    /// line has.
    fn placed(&self, mut found: Vec<(usize, String)>) -> Vec<Finding> {
        found.sort();
        found.dedup();
        let (mut counted, mut characters) = (0, 0);
        let mut findings = Vec::with_capacity(found.len());
        for (at, message) in found {
            let line = self.line(at);
            let start = line
                .checked_sub(1)
                .and_then(|before| self.lines.get(before))
                .copied()
                .unwrap_or(0);
            if counted < start {
                (counted, characters) = (start, 0);
            }
            characters += self
                .text
                .get(counted..at)
                .map_or(0, |before| before.chars().count());
            counted = at;
            let message = clean(&message);
            findings.push(Finding {
                file: self.file.to_owned(),
                line,
                column: characters + 1,
                message,
            });
        }
        findings
    }
}

/// Cuts a foreign text to the length that a message can hold.
pub(crate) fn shown(text: &str) -> &str {
    const MOST: usize = 64;
    text.char_indices()
        .nth(MOST)
        .map_or(text, |(at, _)| text.get(..at).unwrap_or(text))
}

/// Suggests the known word that was probably meant by `word`; else names all known words, if they are few.
#[must_use]
pub fn suggestion(word: &str, known: &[&str]) -> String {
    const MUCH: usize = 32;
    let word = shown(word);
    let near = known
        .iter()
        .map(|k| (strsim::damerau_levenshtein(word, k), k))
        .min();
    match near {
        Some((distance, k)) if distance <= 1 + word.len() / 4 => format!("did you mean `{k}`?"),
        _ if known.len() > MUCH => format!("there are {} others", known.len()),
        _ => format!("there are: {}", known.join(", ")),
    }
}
