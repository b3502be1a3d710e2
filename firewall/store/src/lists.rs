//! What the service and who fetches lists for it leave each other, in files.
//!
//! The service writes one file that says what is wanted ([`Wanted`]). Who fetches has a folder of its own, with two files for each
//! list: `NAME.list` is a copy with a line before it that says what it is ([`CopyHead`]), `NAME.tried` is what became of the last try
//! ([`Tried`]). The service believes nothing of that folder; it reads it as it reads what a stranger sends.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The ending of a copy's name.
pub const COPY: &str = "list";
/// The ending of the name of what became of a try.
pub const TRIED: &str = "tried";
/// The longest line before a copy, and the longest text of a try, in bytes.
pub const LONGEST_HEAD: usize = 16 << 10;

/// What is to be fetched.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// Each list once.
    pub lists: Vec<WantedList>,
}

/// A list that is to be fetched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WantedList {
    /// Where it is.
    pub url: String,
    /// What its files are called.
    pub name: String,
    /// When it is fetched again: so many seconds later.
    pub refresh_seconds: u64,
    /// When somebody asked for it, in seconds since 1970: a try since then is enough.
    pub asked: u64,
}

/// What stands before a copy, in one line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyHead {
    /// Where it is from.
    pub url: String,
    /// When it was fetched, in seconds since 1970.
    pub fetched: u64,
    /// What the server calls this state of it.
    pub etag: Option<String>,
    /// When it was changed, as the server writes that.
    pub last_modified: Option<String>,
}

/// What became of the last try.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tried {
    /// What was to be fetched.
    pub url: String,
    /// When that was tried, in seconds since 1970.
    pub tried: u64,
    /// Why there is no new copy; none: there is one, or the last is the newest.
    pub failed: Option<String>,
}

impl WantedList {
    /// A try that failed is followed by another one after this time, or sooner if the list is to be fetched more often.
    pub const AGAIN: Duration = Duration::from_secs(15 * 60);

    /// Whether it is time, after this last try.
    #[must_use]
    pub fn is_due(&self, last: Option<&Tried>, now: u64) -> bool {
        let Some(last) = last.filter(|last| last.url == self.url) else {
            return true;
        };
        let rest = if last.failed.is_some() {
            self.refresh_seconds.min(Self::AGAIN.as_secs())
        } else {
            self.refresh_seconds
        };
        // A try in the second in which somebody asked may have been before. A clock that was set back is no reason to wait.
        self.asked >= last.tried || last.tried > now || now - last.tried >= rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_due_when_its_time_has_come_when_a_try_failed_and_when_somebody_asks() {
        let wanted = WantedList {
            url: "https://a/".to_owned(),
            name: "a".to_owned(),
            refresh_seconds: 86_400,
            asked: 0,
        };
        let tried = |failed: Option<&str>| Tried {
            url: wanted.url.clone(),
            tried: 10_000,
            failed: failed.map(str::to_owned),
        };
        assert!(wanted.is_due(None, 10_000));
        let done = tried(None);
        assert!(!wanted.is_due(Some(&done), 96_399) && wanted.is_due(Some(&done), 96_400));
        assert!(wanted.is_due(Some(&done), 9_000), "the clock was set back");
        let failed = tried(Some("404"));
        assert!(!wanted.is_due(Some(&failed), 10_899) && wanted.is_due(Some(&failed), 10_900));
        for (asked, is_due) in [(9_999, false), (10_000, true), (10_001, true)] {
            let asked = WantedList {
                asked,
                ..wanted.clone()
            };
            assert_eq!(asked.is_due(Some(&done), 10_001), is_due);
        }
        let other = Tried {
            url: "https://b/".to_owned(),
            ..done
        };
        assert!(wanted.is_due(Some(&other), 10_001), "another list's");
    }
}
