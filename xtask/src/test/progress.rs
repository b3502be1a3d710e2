//! What is said while the steps run: a line for each that ended and, on a terminal, one below that says what runs.

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::account::Account;
use super::task::Verdict;

/// As much of the line that says what runs as every terminal has room for.
const WIDTH: usize = 78;

/// The lines, and the sum. Both ways write to it, a whole step's words at once.
pub struct Progress {
    steps: usize,
    terminal: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    running: Vec<(usize, String)>,
    account: Account,
}

impl Progress {
    /// For so many steps.
    pub fn new(steps: usize) -> Self {
        Self {
            steps,
            terminal: io::stdout().is_terminal(),
            state: Mutex::default(),
        }
    }

    /// Says that a step runs.
    pub fn begin(&self, number: usize, name: &str) {
        let mut state = self.state();
        state.running.push((number, name.to_owned()));
        self.show_running(&state);
    }

    /// Says how a step ended, with all its output if it failed.
    pub fn end(&self, number: usize, name: &str, verdict: Verdict, took: Duration, log: &Path) {
        let mut state = self.state();
        state.running.retain(|(running, _)| *running != number);
        let line = format!("[{number}/{}] {name}", self.steps);
        let outcome = match &verdict {
            Verdict::Passed => "",
            Verdict::Failed(_) => " FAILED",
            Verdict::Skipped(_) => " SKIPPED",
            Verdict::Interrupted => " INTERRUPTED",
        };
        let start = if self.terminal { "\r\x1b[K" } else { "" };
        println!("{start}{line} … {:.1} s{outcome}", took.as_secs_f64());
        match &verdict {
            Verdict::Skipped(reason) => println!("    {reason}"),
            Verdict::Failed(reason) => {
                println!("----- {reason}; its output, also in {}:", log.display());
                // Who can't be told of a failure by the terminal is told by the exit code.
                let _ = io::stdout().write_all(&fs::read(log).unwrap_or_default());
                println!("----- end of the output of {line}");
            }
            Verdict::Passed | Verdict::Interrupted => {}
        }
        state.account.add(&line, verdict);
        self.show_running(&state);
    }

    /// Prints the sum, and gives the exit code.
    pub fn close(&self) -> i32 {
        self.state().account.close()
    }

    fn show_running(&self, state: &State) {
        if self.terminal && !state.running.is_empty() {
            print!("\r\x1b[K{}", running(&state.running, self.steps));
            let _ = io::stdout().flush();
        }
    }

    /// A panic elsewhere leaves it whole: a step is counted at once.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What runs, in one line that fits.
fn running(steps: &[(usize, String)], of: usize) -> String {
    let names: Vec<String> = steps
        .iter()
        .map(|(number, name)| format!("[{number}/{of}] {name}"))
        .collect();
    let line = names.join(" + ");
    match line.char_indices().nth(WIDTH) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => format!("{line} …"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_fits_into_one_line() {
        let step = |number, name: &str| (number, name.to_owned());
        assert_eq!(
            running(&[step(3, "style: clippy")], 40),
            "[3/40] style: clippy …"
        );
        let two = running(&[step(3, &"ü".repeat(70)), step(4, &"ü".repeat(70))], 40);
        assert_eq!(two.chars().count(), WIDTH + 1);
    }
}
