//! History: what was kept of what happened.

use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// State of the history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryStatus {
    /// Age after which records are forgotten, in days.
    pub days: u32,
    /// Room that the history may have on the disk, in bytes.
    pub budget: u64,
    /// Room that the history has on the disk, in bytes.
    pub used: u64,
    /// Number of records that the history took since the service started.
    pub kept: u64,
    /// Number of records that the history could not take.
    pub lost: u64,
    /// `true` if a history could not be read at this start, or since: it lies beside the one that was begun.
    pub put_aside: bool,
}

/// Page of the history.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryPage {
    /// Rows, in the order in which they were begun.
    pub rows: Vec<HistoryRow>,
    /// Row to ask for as `after` to get more, which there may be where this page has no rows, or `None` if there is no
    /// more.
    pub next: Option<u64>,
    /// Number that differs from the page before's if the history has been put together since. Begin again then.
    pub turn: u64,
    /// Number of rows that can't be read and are left out here, as those that a later release wrote.
    #[serde(default)]
    pub unread: u64,
}

/// Traffic of two ends in one minute, hour or day, with its verdict and counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct HistoryRow {
    /// Time at which that period begins, in seconds since 1970.
    pub start: u64,
    /// Length of the period, in seconds: a minute, an hour or a day.
    pub seconds: u64,
    /// `in`, `out` or `forward`.
    pub direction: String,
    /// `allow`, `block` or `ask`.
    pub verdict: String,
    /// Reason of the verdict: `rule`, `default`, `reply`, ….
    pub reason: String,
    /// Number of the protocol.
    pub protocol: u8,
    /// Address of the other end, of forwarded traffic the destination, or `None` if many are counted together.
    pub remote: Option<IpAddr>,
    /// Source address of forwarded traffic.
    pub source: Option<IpAddr>,
    /// Port that was asked for: of what goes out the other end's, of what comes in our own, or `None` if there are no
    /// ports.
    pub port: Option<u16>,
    /// Path of the program, if known.
    pub program: Option<String>,
    /// Name of the process; empty if not known.
    pub process: String,
    /// User at this end, if known.
    pub user: Option<u32>,
    /// Name of the rule that decided, if one did.
    pub rule: Option<String>,
    /// Name that the other end was asked for by, if known.
    pub name: Option<String>,
    /// `first`: the program had never talked before. `changed`: it had,
    /// and its file is another one by now, or was changed.
    pub contact: Option<String>,
    /// Number of records.
    pub count: u64,
    /// Time of the first record, in seconds since 1970.
    pub first: u64,
    /// Time of the last record, in seconds since 1970.
    pub last: u64,
    /// Packets that this end sent; 0 if not counted.
    pub packets_sent: u64,
    /// Bytes of the packets that this end sent.
    pub bytes_sent: u64,
    /// Packets that this end got; 0 if not counted.
    pub packets_received: u64,
    /// Bytes of the packets that this end got.
    pub bytes_received: u64,
}

/// History of a period, as it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Rows, in the order in which they were begun.
    pub rows: Vec<HistoryRow>,
    /// Number of rows that were begun before these and left out.
    pub left_out: usize,
    /// Number of rows that can't be read.
    pub unread: u64,
}
