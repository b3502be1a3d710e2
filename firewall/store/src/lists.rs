//! Files that the service and the fetcher of its lists exchange.
//!
//! The service writes one file that names the wanted lists ([`Wanted`]). The fetcher has a folder of its own, with two
//! files for each list: `NAME.list` is a copy behind a line with its origin ([`CopyHead`]), `NAME.tried` the result of
//! the last try ([`Tried`]). To the service that folder is untrusted input, as anything that a stranger sends.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Ending of the name of a copy.
pub const COPY: &str = "list";
/// Ending of the name of a try's result.
pub const TRIED: &str = "tried";
/// Longest line before a copy, and longest result of a try, in bytes.
pub const LONGEST_HEAD: usize = 16 << 10;

/// Lists that are to be fetched.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// Lists, each once.
    pub lists: Vec<WantedList>,
}

/// List that is to be fetched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WantedList {
    /// URL of the list.
    pub url: String,
    /// Name of its files, without their endings.
    pub name: String,
    /// Interval at which it is fetched again, in seconds.
    pub refresh_seconds: u64,
    /// Time of the last request to fetch it at once, in seconds since 1970; 0 if there was none. A later try is enough.
    pub asked: u64,
}

/// Head of a copy, in one line before it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyHead {
    /// URL that it was fetched from.
    pub url: String,
    /// Time when it was fetched, in seconds since 1970.
    pub fetched: u64,
    /// Entity tag (`ETag`) that the server gave it.
    pub etag: Option<String>,
    /// Time of its last change (`Last-Modified`), as the server wrote it.
    pub last_modified: Option<String>,
}

/// Result of the last try to fetch a list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tried {
    /// URL of the list.
    pub url: String,
    /// Time of the try, in seconds since 1970.
    pub tried: u64,
    /// The reason why there is no new copy; none: there is one, or the last is the newest.
    pub failed: Option<FetchFailure>,
}

/// A reason why there is no new copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchFailure {
    /// The kind of the failure.
    pub kind: FetchFailureKind,
    /// Details, if there are any: how much, or what a server or the system says of it.
    pub detail: Option<String>,
}

/// A kind of failure that can keep a list from being fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FetchFailureKind {
    /// The server's answer, which is none.
    Status,
    /// The answer does not say where it ends.
    NoEnd,
    /// It is longer than this.
    TooLong,
    /// It takes longer than this.
    TooSlow,
    /// Nobody knows the server's name.
    UnknownHost,
    /// It sends elsewhere more often than this.
    Redirects,
    /// It sends to an address without TLS.
    WithoutTls,
    /// It ended before its end.
    CutOff,
    /// It can't be written.
    NotWritten,
    /// There is nobody who could vouch for a server.
    NoRoots,
    /// Anything else that the system, or TLS, says.
    #[serde(other)]
    Other,
}

impl FetchFailureKind {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Status,
        Self::NoEnd,
        Self::TooLong,
        Self::TooSlow,
        Self::UnknownHost,
        Self::Redirects,
        Self::WithoutTls,
        Self::CutOff,
        Self::NotWritten,
        Self::NoRoots,
        Self::Other,
    ];

    /// Its name, as it is written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::NoEnd => "no_end",
            Self::TooLong => "too_long",
            Self::TooSlow => "too_slow",
            Self::UnknownHost => "unknown_host",
            Self::Redirects => "redirects",
            Self::WithoutTls => "without_tls",
            Self::CutOff => "cut_off",
            Self::NotWritten => "not_written",
            Self::NoRoots => "no_roots",
            Self::Other => "other",
        }
    }

    /// This, of which there is no more to say.
    #[must_use]
    pub const fn alone(self) -> FetchFailure {
        FetchFailure {
            kind: self,
            detail: None,
        }
    }

    /// This, with what there is to say of it.
    #[must_use]
    pub fn with(self, detail: impl Into<String>) -> FetchFailure {
        FetchFailure {
            kind: self,
            detail: Some(detail.into()),
        }
    }
}

/// As a journal has it.
impl std::fmt::Display for FetchFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = self.kind.name().replace('_', " ");
        match &self.detail {
            None => f.write_str(&kind),
            Some(detail) => write!(f, "{kind}: {detail}"),
        }
    }
}

impl WantedList {
    /// Time after which a failed try is repeated, or sooner if the list is to be fetched more often.
    pub const AGAIN: Duration = Duration::from_secs(15 * 60);

    /// Returns whether it is time to fetch the list, after this last try.
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
        // A try in the second in which somebody asked may have been before.
        // A clock that was set back is no reason to wait.
        self.asked >= last.tried || last.tried > now || now - last.tried >= rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_a_list_could_not_be_fetched_is_written_by_its_name_and_one_of_a_later_release_is_another()
     {
        for kind in FetchFailureKind::ALL {
            let written = serde_json::to_value(kind).ok();
            assert_eq!(written, Some(serde_json::json!(kind.name())));
        }
        let later = serde_json::from_str::<FetchFailureKind>("\"of a later release\"").ok();
        assert_eq!(later, Some(FetchFailureKind::Other));
    }

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
            failed: failed.map(|detail| FetchFailureKind::Status.with(detail)),
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
