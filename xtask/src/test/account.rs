//! Account of the steps that passed, and of those that did not.

use super::task::Verdict;

/// The sum at the end.
#[derive(Default)]
pub struct Account {
    passed: usize,
    failed: Vec<String>,
    skipped: Vec<String>,
    interrupted: bool,
}

impl Account {
    /// Counts one step.
    pub fn add(&mut self, line: &str, verdict: Verdict) {
        match verdict {
            Verdict::Passed => self.passed += 1,
            Verdict::Failed(reason) => self.failed.push(format!("{line}: {reason}")),
            Verdict::Skipped(reason) => self.skipped.push(format!("{line}: {reason}")),
            Verdict::Interrupted => self.interrupted = true,
        }
    }

    /// Returns whether somebody wants the run to end.
    pub fn interrupted(&self) -> bool {
        self.interrupted
    }

    /// Prints the sum, its last line always the same way, and gives the exit code.
    pub fn close(&self) -> i32 {
        println!();
        for line in &self.skipped {
            println!("skipped {line}");
        }
        for line in &self.failed {
            println!("FAILED  {line}");
        }
        println!(
            "{} passed, {} failed, {} skipped",
            self.passed,
            self.failed.len(),
            self.skipped.len()
        );
        match (self.interrupted, self.failed.is_empty()) {
            (true, _) => 130,
            (false, true) => 0,
            (false, false) => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failure_fails_all_and_a_skipped_step_does_not() {
        let mut account = Account::default();
        account.add("a", Verdict::Passed);
        account.add("b", Verdict::Skipped("no root".into()));
        assert_eq!(account.close(), 0);
        account.add("c", Verdict::Failed("exit code 1".into()));
        assert_eq!(account.close(), 1);
    }
}
