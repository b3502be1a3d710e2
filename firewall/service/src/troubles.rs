//! Troubles of the service: each is logged when it begins, and shown in the status until it is over.
//!
//! There is one way for it: a [`Trouble`] for each thing that can fail, held by the part that finds out, on whichever
//! thread, and known to the status by its [`Cause`]. It stands until the same thing succeeds. What else succeeds
//! meanwhile says nothing about it.

pub use control::TroubleCause as Cause;
use control::TroubleStatus;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tracing::error;

/// One fault, as the log and the status show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// The set that it is about, if it is about one.
    pub about: Option<String>,
    /// Description of the fault in a sentence that says what to do, except for what views know by the cause.
    pub detail: String,
}

impl From<String> for Wrong {
    fn from(detail: String) -> Self {
        Self {
            about: None,
            detail,
        }
    }
}

impl From<TroubleStatus> for Wrong {
    fn from(status: TroubleStatus) -> Self {
        let TroubleStatus { about, detail, .. } = status;
        Self { about, detail }
    }
}

/// Formats the fault as the log has it.
impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.about {
            None => f.write_str(&self.detail),
            Some(set) => write!(f, "the list of the set `{set}`: {}", self.detail),
        }
    }
}

/// Current faults of one thing that can fail. Its clones share them.
#[derive(Clone, Debug, Default)]
pub struct Trouble(Arc<Mutex<Vec<Wrong>>>);

impl Trouble {
    /// Replaces the current faults by these, and logs those that are new.
    pub fn stands(&self, now: impl IntoIterator<Item = impl Into<Wrong>>) {
        let now: Vec<Wrong> = now.into_iter().map(Into::into).collect();
        let mut before = self.lock();
        for new in now.iter().filter(|said| !before.contains(said)) {
            error!("{new}");
        }
        *before = now;
    }

    /// Ends the trouble. Returns whether there was a fault.
    pub fn is_over(&self) -> bool {
        !std::mem::take(&mut *self.lock()).is_empty()
    }

    /// Returns whether there is a fault now.
    pub fn holds(&self) -> bool {
        !self.lock().is_empty()
    }

    /// Returns the current faults.
    pub fn said(&self) -> Vec<Wrong> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Wrong>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All that can be wrong.
#[derive(Debug, Default)]
pub struct Troubles(BTreeMap<Cause, Trouble>);

impl Troubles {
    /// Registers a trouble, whose owner reports its faults from now on, under its cause.
    pub fn hear_of(&mut self, cause: Cause, trouble: &Trouble) {
        self.0.insert(cause, trouble.clone());
    }

    /// Returns the trouble of this cause, without faults if it is new.
    pub fn of(&mut self, cause: Cause) -> &Trouble {
        self.0.entry(cause).or_default()
    }

    /// Records a result under this cause: an error is its only fault, success ends the trouble.
    pub fn note<T>(&mut self, cause: Cause, result: &anyhow::Result<T>) {
        let failed = result.as_ref().err();
        self.of(cause)
            .stands(failed.map(|failed| format!("{failed:#}")));
    }

    /// Returns whether there is a fault of this cause now.
    pub fn holds(&self, cause: Cause) -> bool {
        self.0.get(&cause).is_some_and(Trouble::holds)
    }

    /// All that is wrong, worst first.
    pub fn all(&self) -> Vec<TroubleStatus> {
        let all = self.0.iter().flat_map(|(cause, trouble)| {
            let wrong = trouble.said().into_iter();
            wrong.map(|Wrong { about, detail }| TroubleStatus::of(*cause, about, detail))
        });
        all.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::{Result, anyhow};

    fn details(troubles: &Troubles) -> Vec<String> {
        let all = troubles.all().into_iter();
        all.map(|trouble| trouble.detail).collect()
    }

    #[test]
    fn a_failure_stands_until_the_same_thing_succeeds_and_no_other_does_away_with_it() {
        let mut troubles = Troubles::default();
        let failed = |why: &str| -> Result<()> { Err(anyhow!(why.to_owned())) };
        troubles.note(Cause::History, &failed("the disk is full"));
        troubles.note(Cause::Programs, &failed("no room"));
        // Each turn of the main loop ends in one that has nothing to do.
        troubles.note(Cause::Lease, &Ok(()));
        troubles.note(Cause::Sweep, &Ok(()));
        assert_eq!(details(&troubles), ["no room", "the disk is full"]);
        troubles.note(Cause::Programs, &failed("no file"));
        assert_eq!(details(&troubles), ["no file", "the disk is full"]);
        troubles.note(Cause::Programs, &Ok(()));
        assert!(!troubles.holds(Cause::Programs) && troubles.holds(Cause::History));
        assert_eq!(details(&troubles), ["the disk is full"]);
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
        assert_eq!(details(&troubles), ["no user", "no list", "no room"]);
        assert!(found.is_over() && !found.is_over());
        troubles.of(Cause::Missing).stands(["no list".to_owned()]);
        assert_eq!(details(&troubles), ["no list"]);
        assert_eq!(troubles.all()[0].cause, "missing");
        assert!(troubles.holds(Cause::Missing) && !troubles.holds(Cause::Recorder));
    }
}
