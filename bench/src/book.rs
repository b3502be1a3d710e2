//! What was measured in this run, and nothing else.

use crate::promises::{PROMISES, Promise};
use crate::statistics::Spread;
use serde::Serialize;
use std::collections::BTreeMap;

/// A number that stands beside a figure: a competitor's, or what the figure was computed from.
#[derive(Clone, Debug, Serialize)]
pub struct Beside {
    /// Whose.
    pub who: String,
    /// What it came to.
    pub value: Spread,
    /// In which unit.
    pub unit: &'static str,
}

/// What became of a promise in this run.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was measured.
    Measured(Spread),
    /// It was not, and why.
    NotMeasured(String),
}

/// The outcomes, by promise, and what stands beside them, by figure.
#[derive(Debug, Default)]
pub struct Book {
    outcomes: BTreeMap<&'static str, Outcome>,
    beside: BTreeMap<&'static str, Vec<Beside>>,
    notes: BTreeMap<&'static str, Vec<String>>,
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

    /// Writes down why a whole figure was not: what was measured before stays.
    pub fn cannot_all(&mut self, figure: &str, why: &str) {
        for promise in PROMISES.iter().filter(|promise| promise.figure == figure) {
            self.outcomes
                .entry(promise.id)
                .or_insert_with(|| Outcome::NotMeasured(why.to_owned()));
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

    /// What became of a promise.
    pub fn outcome(&self, promise: &Promise) -> Outcome {
        let never = || Outcome::NotMeasured("not asked for".to_owned());
        self.outcomes.get(promise.id).cloned().unwrap_or_else(never)
    }

    /// What stands beside a figure.
    pub fn beside_of(&self, figure: &str) -> &[Beside] {
        self.beside.get(figure).map_or(&[], Vec::as_slice)
    }

    /// The words beside it.
    pub fn notes_of(&self, figure: &str) -> &[String] {
        self.notes.get(figure).map_or(&[], Vec::as_slice)
    }
}
