//! The figures, one file each.

mod channel;
mod guard;
mod history;
mod idle;
mod latency;
mod program;
mod refused;
mod rules;
mod storm;
mod through;
mod window;

use crate::book::Book;
use crate::gatebell::Programs;
use crate::ground::{Ground, go_on};
use anyhow::Result;

/// Setting in which a figure is measured.
pub struct Setting<'a> {
    /// Paths of the programs.
    pub programs: &'a Programs,
    /// Network namespaces in which the figure is measured.
    pub ground: &'a Ground,
    /// Fewer and shorter rounds.
    pub quick: bool,
}

impl Setting<'_> {
    /// One number for a whole run, another for a short one.
    pub fn choose<T>(&self, whole: T, quick: T) -> T {
        if self.quick { quick } else { whole }
    }
}

/// A part of a figure, and the promises that it is of.
type Part = (
    fn(&Setting<'_>, &mut Book) -> Result<()>,
    &'static [&'static str],
);

/// Measures parts by themselves: one that fails leaves the others alone, and its promises are not measured.
fn by_parts(figure: &str, parts: &[Part], setting: &Setting<'_>, book: &mut Book) -> Result<()> {
    for (part, ids) in parts {
        if let Err(why) = part(setting, book) {
            go_on()?;
            not_measured(figure, ids, &why, book);
        }
    }
    Ok(())
}

/// Says why these were not.
fn not_measured(figure: &str, ids: &[&'static str], why: &anyhow::Error, book: &mut Book) {
    eprintln!("figures: {figure}: {why:#}");
    for id in ids {
        book.lacks(id, &format!("{why:#}"));
    }
}

/// Measures a figure.
pub fn measure(figure: &str, setting: &Setting<'_>, book: &mut Book) -> Result<()> {
    match figure {
        "refused" => refused::measure(setting, book),
        "program" => program::measure(setting, book),
        "through" => through::measure(setting, book),
        "storm" => storm::measure(setting, book),
        "latency" => latency::measure(setting, book),
        "channel" => channel::measure(setting, book),
        "rules" => rules::measure(setting, book),
        "idle" => idle::measure(setting, book),
        "window" => window::measure(setting, book),
        "history" => history::measure(setting, book),
        // Names are checked on the command line.
        _ => Ok(()),
    }
}
