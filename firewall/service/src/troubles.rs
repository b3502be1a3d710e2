//! What failed and still does, by what it is a failure of.
//!
//! A failure stands until the same thing succeeds. What else succeeds meanwhile says nothing about it.

use std::collections::BTreeMap;

/// What can fail, worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// The end of a lease.
    Lease,
    /// Rules compiled anew as what they name has changed.
    Rules,
    /// Rules compiled anew as a program is another file.
    Programs,
    /// The driver's table of what has joined sets.
    Members,
    /// Connections about which the rules are to be asked again.
    AskedAgain,
    /// The driver's table of answers.
    Answers,
    /// Connections that answers had allowed which were taken back.
    AnswersAskedAgain,
    /// The search for idle connections.
    Sweep,
    /// The rule file's earlier states.
    History,
    /// The table that judged before a driver did.
    Fallback,
}

/// What failed last, and has not succeeded since.
#[derive(Debug, Default)]
pub struct Troubles(BTreeMap<Cause, String>);

impl Troubles {
    /// What has become of this. Returns a failure that was not known yet.
    pub fn note<T>(&mut self, cause: Cause, result: &anyhow::Result<T>) -> Option<&str> {
        let Err(failed) = result else {
            self.0.remove(&cause);
            return None;
        };
        let said = format!("{failed:#}");
        if self.0.get(&cause) == Some(&said) {
            return None;
        }
        self.0.insert(cause, said);
        self.0.get(&cause).map(String::as_str)
    }

    /// Whether this failed last.
    pub fn holds(&self, cause: Cause) -> bool {
        self.0.contains_key(&cause)
    }

    /// All of it, worst first.
    pub fn iter(&self) -> impl Iterator<Item = &String> {
        self.0.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::{Result, anyhow};

    #[test]
    fn a_failure_stands_until_the_same_thing_succeeds_and_no_other_does_away_with_it() {
        let mut troubles = Troubles::default();
        let failed = |why: &str| -> Result<()> { Err(anyhow!(why.to_owned())) };
        let all = |troubles: &Troubles| troubles.iter().cloned().collect::<Vec<_>>();
        assert_eq!(
            troubles.note(Cause::History, &failed("the disk is full")),
            Some("the disk is full")
        );
        assert_eq!(
            troubles.note(Cause::Programs, &failed("no room")),
            Some("no room")
        );
        // Each turn of the main loop ends in one that has nothing to do.
        troubles.note(Cause::Lease, &Ok(()));
        troubles.note(Cause::Sweep, &Ok(()));
        assert_eq!(all(&troubles), ["no room", "the disk is full"]);
        assert_eq!(
            troubles.note(Cause::Programs, &failed("no room")),
            None,
            "it is said once"
        );
        assert_eq!(
            troubles.note(Cause::Programs, &failed("no file")),
            Some("no file")
        );
        troubles.note(Cause::Programs, &Ok(()));
        assert!(!troubles.holds(Cause::Programs) && troubles.holds(Cause::History));
        assert_eq!(all(&troubles), ["the disk is full"]);
        troubles.note(Cause::History, &Ok(()));
        assert!(all(&troubles).is_empty());
    }
}
