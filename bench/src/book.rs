//! Results that were measured in this run, and nothing else.

use crate::promises::{PROMISES, Promise};
use crate::statistics::Spread;
use serde::Serialize;
use std::collections::BTreeMap;

/// A number that stands beside a figure: a competitor's, or what the figure was computed from.
#[derive(Clone, Debug, Serialize)]
pub struct Beside {
    /// Name of the competitor, or of the component.
    pub who: String,
    /// Measured value.
    pub value: Spread,
    /// Unit of the value.
    pub unit: &'static str,
}

/// Numbers that are read side by side.
#[derive(Clone, Debug, Serialize)]
pub struct Table {
    /// Subject of the table, in a sentence.
    pub about: String,
    /// Headings of the columns behind the first, with their units.
    pub columns: Vec<String>,
    /// Rows: the subject, and a number for each column, or `None` where there is none.
    pub rows: Vec<(String, Vec<Option<Spread>>)>,
}

impl Table {
    /// Creates an empty table.
    pub fn new(about: impl Into<String>, columns: &[&str]) -> Self {
        Self {
            about: about.into(),
            columns: columns.iter().map(|&column| column.to_owned()).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row: for each column what its rounds came to.
    pub fn row(&mut self, who: impl Into<String>, columns: &[&[f64]]) {
        let numbers = columns.iter().map(|rounds| Spread::of(rounds)).collect();
        self.rows.push((who.into(), numbers));
    }
}

/// Outcome of a promise in this run.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The promise was measured.
    Measured(Spread),
    /// The promise was not measured, for this reason.
    NotMeasured(String),
}

/// The outcomes, by promise, and what stands beside them, by figure.
#[derive(Debug, Default)]
pub struct Book {
    outcomes: BTreeMap<&'static str, Outcome>,
    beside: BTreeMap<&'static str, Vec<Beside>>,
    notes: BTreeMap<&'static str, Vec<String>>,
    tables: BTreeMap<&'static str, Vec<Table>>,
    pictures: BTreeMap<&'static str, String>,
}

impl Book {
    /// Writes down what the rounds of a promise came to.
    pub fn put(&mut self, id: &'static str, rounds: &[f64]) {
        let outcome = Spread::of(rounds).map_or_else(
            || Outcome::NotMeasured("no round came to an end".to_owned()),
            Outcome::Measured,
        );
        self.outcomes.insert(id, outcome);
    }

    /// Writes down why it was not measured.
    pub fn cannot(&mut self, id: &'static str, why: impl Into<String>) {
        self.outcomes.insert(id, Outcome::NotMeasured(why.into()));
    }

    /// Writes down why it was not measured, if it was not.
    pub fn lacks(&mut self, id: &'static str, why: &str) {
        let not_measured = || Outcome::NotMeasured(why.to_owned());
        self.outcomes.entry(id).or_insert_with(not_measured);
    }

    /// Writes down why a whole figure was not: what was measured before stays.
    pub fn cannot_all(&mut self, figure: &str, why: &str) {
        for promise in PROMISES.iter().filter(|promise| promise.figure == figure) {
            self.lacks(promise.id, why);
        }
    }

    /// Writes a number beside a figure.
    pub fn beside(
        &mut self,
        figure: &'static str,
        who: impl Into<String>,
        rounds: &[f64],
        unit: &'static str,
    ) {
        if let Some(value) = Spread::of(rounds) {
            self.beside.entry(figure).or_default().push(Beside {
                who: who.into(),
                value,
                unit,
            });
        }
    }

    /// Writes words beside a figure.
    pub fn note(&mut self, figure: &'static str, what: impl Into<String>) {
        self.notes.entry(figure).or_default().push(what.into());
    }

    /// Puts a table beside a figure.
    pub fn table(&mut self, figure: &'static str, table: Table) {
        self.tables.entry(figure).or_default().push(table);
    }

    /// Keeps a drawing (SVG), to be written beside the page under this name.
    pub fn picture(&mut self, name: &'static str, drawing: String) {
        self.pictures.insert(name, drawing);
    }

    /// Returns the outcome of a promise.
    pub fn outcome(&self, promise: &Promise) -> Outcome {
        let never = || Outcome::NotMeasured("not asked for".to_owned());
        self.outcomes.get(promise.id).cloned().unwrap_or_else(never)
    }

    /// Returns the numbers that stand beside a figure.
    pub fn beside_of(&self, figure: &str) -> &[Beside] {
        self.beside.get(figure).map_or(&[], Vec::as_slice)
    }

    /// The words beside it.
    pub fn notes_of(&self, figure: &str) -> &[String] {
        self.notes.get(figure).map_or(&[], Vec::as_slice)
    }

    /// The tables beside it.
    pub fn tables_of(&self, figure: &str) -> &[Table] {
        self.tables.get(figure).map_or(&[], Vec::as_slice)
    }

    /// The drawing of this name, if this run has drawn it.
    pub fn picture_of(&self, name: &str) -> Option<&str> {
        self.pictures.get(name).map(String::as_str)
    }
}
