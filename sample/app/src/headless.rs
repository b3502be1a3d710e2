//! Runs all operations, one after the other, with no display: the same log lines on the standard output.

use crate::kernel::Kernel;
use crate::log::{Line, Log};
use crate::operations::Session;
use crate::step::{Act, script};
use channel::{Attachment, Error, Refusal};
use serde::Serialize;
use std::fmt;

/// Result of a run.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// Name of the kernel.
    pub kernel: &'static str,
    /// Number of operations that were asked for.
    pub operations: usize,
    /// Operations that ended otherwise than they must, in words.
    pub unexpected: Vec<String>,
}

/// Runs the script of all operations.
pub fn run<S: Kernel>(device: &str, log: Log) -> Result<Outcome, Error>
where
    Attachment<S>: Send,
{
    let mut session = Session::<S>::open(device, log)?;
    let script = script::<S>();
    let unexpected = script
        .iter()
        .filter_map(|act| surprise(act, &session.perform(act.step)))
        .collect();
    Ok(Outcome {
        kernel: S::NAME,
        operations: script.len(),
        unexpected,
    })
}

/// Returns what is wrong with a line, or `None` if nothing is.
fn surprise(act: &Act, line: &Line) -> Option<String> {
    let wanted = act.refusal.map(Refusal::name);
    if line.refusal != wanted {
        let answer = |name: Option<&'static str>| name.unwrap_or("done");
        return Some(format!(
            "{}: {}, not {}",
            line.told(),
            answer(line.refusal),
            answer(wanted)
        ));
    }
    let told = line.told();
    let short = line.app.split_once(" of ").is_some_and(|(arrived, rest)| {
        rest.strip_suffix(" arrived")
            .is_some_and(|sent| sent != arrived)
    });
    let wrong =
        act.app.is_some_and(|app| app != line.app) || short || told.contains("DOES NOT BALANCE");
    wrong.then(|| format!("{told}; wanted {}", act.app.unwrap_or("all of it")))
}

/// Prints a line as a person reads it, or as JSON.
pub fn print(line: &Line, json: bool) {
    match json.then(|| serde_json::to_string(line)) {
        Some(Ok(object)) => println!("{object}"),
        _ => println!("{line}"),
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kernel,
            operations,
            unexpected,
        } = self;
        write!(
            f,
            "{operations} operations on the {kernel} kernel, {} unexpected",
            unexpected.len()
        )?;
        unexpected
            .iter()
            .try_for_each(|what| write!(f, "\n  unexpected: {what}"))
    }
}
