//! What was kept of what happened.

use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// How the history is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryStatus {
    /// What is older than so many days is forgotten.
    pub days: u32,
    /// Bytes that it may have on the disk.
    pub budget: u64,
    /// Bytes that it has.
    pub used: u64,
    /// Records that it took since the service started.
    pub kept: u64,
    /// Records that it could not take.
    pub lost: u64,
    /// Whether one could not be read at this start, or since: it lies beside the one that was begun.
    pub put_aside: bool,
}

/// Some of what was kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryPage {
    /// In the order in which it was begun.
    pub rows: Vec<HistoryRow>,
    /// What to ask for as `after` to get more, which there may be where this page has no rows; none: there is no more.
    pub next: Option<u64>,
    /// Another number than in the page before: what was kept has been put together since. Begin again.
    pub turn: u64,
    /// So many rows here can't be read and are left out, as those that a later release wrote.
    #[serde(default)]
    pub unread: u64,
}

/// Who talked with whom in one minute, hour or day, what became of it and how often.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct HistoryRow {
    /// When that time begins, in seconds since 1970.
    pub start: u64,
    /// How long it is: a minute, an hour or a day.
    pub seconds: u64,
    /// `in`, `out` or `forward`.
    pub direction: String,
    /// `allow`, `block` or `ask`.
    pub verdict: String,
    /// Why: `rule`, `default`, `reply`, ….
    pub reason: String,
    /// The protocol's number.
    pub protocol: u8,
    /// The other end: of what is forwarded, where it goes; none: many, that are counted together.
    pub remote: Option<IpAddr>,
    /// Of what is forwarded, where it comes from.
    pub source: Option<IpAddr>,
    /// The port that was asked for: of what goes out the other end's, of what comes in our own; none: there are no ports.
    pub port: Option<u16>,
    /// The program's path, if known.
    pub program: Option<String>,
    /// The process's name; empty: not known.
    pub process: String,
    /// The user at this end, if known.
    pub user: Option<u32>,
    /// The rule that decided, if one did.
    pub rule: Option<String>,
    /// The name that the other end was asked for by, if known.
    pub name: Option<String>,
    /// `first`: the program had never talked before. `changed`: it had, and its file is another one by now, or was changed.
    pub contact: Option<String>,
    /// How many records there were.
    pub count: u64,
    /// When the first was, in seconds since 1970.
    pub first: u64,
    /// When the last was.
    pub last: u64,
    /// Packets that this end sent; 0: not counted.
    pub packets_sent: u64,
    /// Their bytes.
    pub bytes_sent: u64,
    /// Packets that it got; 0: not counted.
    pub packets_received: u64,
    /// Their bytes.
    pub bytes_received: u64,
}

/// What was kept of a time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// In the order in which it was begun.
    pub rows: Vec<HistoryRow>,
    /// So many rows that were begun before these.
    pub left_out: usize,
    /// And so many that can't be read.
    pub unread: u64,
}
