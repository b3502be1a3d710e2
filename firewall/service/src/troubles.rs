//! What is not as it should be: said in the log when it comes to be, and shown in the status until it is over.
//!
//! There is one way for it: a [`Trouble`] for each thing that can fail, held by the part that finds out, on whichever thread, and known to the
//! status by its [`Cause`]. It stands until the same thing succeeds. What else succeeds meanwhile says nothing about it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tracing::error;

/// What can fail, worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// Hooks that are gone.
    Hooks,
    /// The rule file is no good at a start, and something else is in force.
    StandIn,
    /// The rule file on disk.
    RuleFile,
    /// What the rules in force name and could not be had.
    Missing,
    /// The end of a lease.
    Lease,
    /// Rules compiled anew as what they name has changed.
    Rules,
    /// Rules compiled anew as the machine is in another network.
    Networks,
    /// Word of changes of the routes by which networks are known.
    Routes,
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
    /// By whom the driver has what is rejected answered.
    Answering,
    /// The table that judged before a driver did.
    Fallback,
    /// The socket at which apps attach.
    DeviceServer,
    /// Lists that rules subscribe to.
    Lists,
    /// The watch over the files of programs.
    ProgramFiles,
    /// What is kept for a start without a kernel's tables.
    Kept,
    /// What had joined sets and is lost.
    LostMembers,
    /// The file of answers for always.
    AnswersFile,
    /// What is written down for the next service.
    State,
    /// The thread that learns names.
    Names,
    /// Sets that ask for names.
    NamedSets,
    /// The process that answers what was rejected.
    Rejected,
    /// The thread that keeps what happens.
    Recorder,
    /// What was kept of what happened, where it is read.
    HistoryRows,
}

/// What is wrong with one thing, in sentences that say what to do. Its clones are one and the same.
#[derive(Clone, Debug, Default)]
pub struct Trouble(Arc<Mutex<Vec<String>>>);

impl Trouble {
    /// This is wrong now, and nothing else. What was not wrong before is said in the log.
    pub fn stands(&self, now: impl IntoIterator<Item = String>) {
        let now: Vec<_> = now.into_iter().collect();
        let mut before = self.lock();
        for new in now.iter().filter(|said| !before.contains(said)) {
            error!("{new}");
        }
        *before = now;
    }

    /// Nothing is wrong any more. Returns whether something was.
    pub fn is_over(&self) -> bool {
        !std::mem::take(&mut *self.lock()).is_empty()
    }

    /// Whether something is wrong.
    pub fn holds(&self) -> bool {
        !self.lock().is_empty()
    }

    /// What is wrong.
    pub fn said(&self) -> Vec<String> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All that can be wrong.
#[derive(Debug, Default)]
pub struct Troubles(BTreeMap<Cause, Trouble>);

impl Troubles {
    /// What is wrong with this is said by its owner from now on.
    pub fn hear_of(&mut self, cause: Cause, trouble: &Trouble) {
        self.0.insert(cause, trouble.clone());
    }

    /// What is wrong with this.
    pub fn of(&mut self, cause: Cause) -> &Trouble {
        self.0.entry(cause).or_default()
    }

    /// What has become of this: where it failed it stands, else it is over.
    pub fn note<T>(&mut self, cause: Cause, result: &anyhow::Result<T>) {
        let failed = result.as_ref().err();
        self.of(cause)
            .stands(failed.map(|failed| format!("{failed:#}")));
    }

    /// Whether something is wrong with this.
    pub fn holds(&self, cause: Cause) -> bool {
        self.0.get(&cause).is_some_and(Trouble::holds)
    }

    /// All that is wrong, worst first.
    pub fn all(&self) -> Vec<String> {
        self.0.values().flat_map(Trouble::said).collect()
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
        troubles.note(Cause::History, &failed("the disk is full"));
        troubles.note(Cause::Programs, &failed("no room"));
        // Each turn of the main loop ends in one that has nothing to do.
        troubles.note(Cause::Lease, &Ok(()));
        troubles.note(Cause::Sweep, &Ok(()));
        assert_eq!(troubles.all(), ["no room", "the disk is full"]);
        troubles.note(Cause::Programs, &failed("no file"));
        assert_eq!(troubles.all(), ["no file", "the disk is full"]);
        troubles.note(Cause::Programs, &Ok(()));
        assert!(!troubles.holds(Cause::Programs) && troubles.holds(Cause::History));
        assert_eq!(troubles.all(), ["the disk is full"]);
        troubles.note(Cause::History, &Ok(()));
        assert!(troubles.all().is_empty());
    }

    #[test]
    fn what_another_thread_finds_wrong_is_in_the_status_in_its_place_until_it_is_over() {
        let mut troubles = Troubles::default();
        let found = Trouble::default();
        troubles.hear_of(Cause::Recorder, &found);
        let teller = found.clone();
        let told = std::thread::spawn(move || teller.stands(["no room".to_owned()]));
        assert!(told.join().is_ok());
        troubles
            .of(Cause::Missing)
            .stands(["no user", "no list"].map(str::to_owned));
        assert_eq!(troubles.all(), ["no user", "no list", "no room"]);
        assert!(found.is_over() && !found.is_over());
        troubles.of(Cause::Missing).stands(["no list".to_owned()]);
        assert_eq!(troubles.all(), ["no list"]);
        assert!(troubles.holds(Cause::Missing) && !troubles.holds(Cause::Recorder));
    }
}
