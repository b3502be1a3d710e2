//! History of a firewall: what it saw and decided, in a bounded database.
//!
//! A [`Batch`] gathers what came in a second or so, one [`Conversation`] for each of its minutes, and bounds how many
//! there are. A [`Database`] takes batches, adds minutes up to hours and hours to days, and forgets what is too old or
//! too much. [`page`] reads. There are no threads and no clocks here: who has them calls.
//!
//! Rules that hold here:
//! - What [`Database::write`] has returned is in the file, whatever becomes of the process.
//! - What was told and is not in the file is an error of whoever was told: nothing is dropped in silence.
//! - A file that is none of ours, or broken, is put aside, never mended and never deleted: [`Opened::put_aside`].
//! - Whoever talks a lot makes no row of others' go: each has a share of a minute ([`Batch`]),
//!   and of the file ([`Bounds`]).
#![forbid(unsafe_code)]

mod batch;
mod contact;
mod database;
mod page;

pub use batch::{Batch, MOST_OF_ONE};
pub use contact::{Change, Contact, Contacts, Glances, KnownFile, Look};
pub use database::{Bounds, Database, FILE, Failed, Opened};
pub use page::{Page, PageRequest, RequestedProgram, Row, page};

use firewall_abi::packet::{Direction, Reason, Verdict};
use std::net::IpAddr;
use std::sync::Arc;

/// Conversation: packets or connections with the same ends, owner, verdict and reason, which are counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Conversation {
    /// Direction of the packets, seen from the protected zone.
    pub direction: Direction,
    /// Verdict on them.
    pub verdict: Verdict,
    /// Reason of the verdict.
    pub reason: Reason,
    /// IP protocol number.
    pub protocol: u8,
    /// Remote address; of forwarded packets the destination. `None` in a row of many conversations that found no row of
    /// their own.
    pub remote: Option<IpAddr>,
    /// Source address of forwarded packets.
    pub source: Option<IpAddr>,
    /// Destination port of the first packet: the remote one if outbound, the local one if inbound. `None` if there are
    /// no ports.
    pub port: Option<u16>,
    /// Path of the program, if known.
    pub program: Option<Arc<str>>,
    /// Name that the kernel has of the process; empty if not known.
    pub process: Arc<str>,
    /// User at the local end, if known.
    pub user: Option<u32>,
    /// Name of the rule that decided, if one did and its name is known.
    pub rule: Option<Arc<str>>,
    /// Name by which the remote address was asked for, if known.
    pub name: Option<Arc<str>>,
    /// Contact of the program: whether it had never talked before, or its file has changed since.
    pub contact: Contact,
}

/// Tally of a conversation in a span of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Number of the driver's records.
    pub count: u64,
    /// Time of the first record, in seconds since 1970.
    pub first: u64,
    /// Time of the last record, in seconds since 1970.
    pub last: u64,
    /// Traffic that the local end sent.
    pub sent: Traffic,
    /// Traffic that the local end received.
    pub received: Traffic,
}

/// Number of packets, and of their bytes; zeros if not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Number of packets.
    pub packets: u64,
    /// Number of their bytes, from the IP header on.
    pub bytes: u64,
}

impl Tally {
    /// Makes the tally of one record at this time, in seconds since 1970.
    #[must_use]
    pub const fn one(at: u64) -> Self {
        let nothing = Traffic {
            packets: 0,
            bytes: 0,
        };
        Self {
            count: 1,
            first: at,
            last: at,
            sent: nothing,
            received: nothing,
        }
    }

    /// Adds another tally to this one.
    pub fn add(&mut self, other: &Self) {
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        self.count = self.count.saturating_add(other.count);
        self.sent.add(other.sent);
        self.received.add(other.received);
    }
}

impl Traffic {
    const fn add(&mut self, other: Self) {
        self.packets = self.packets.saturating_add(other.packets);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

impl Conversation {
    /// Returns whether others than this machine's own programs make such rows: anybody outside can.
    fn is_others(&self) -> bool {
        self.direction != Direction::Outbound
    }

    /// Returns the conversation that counts many together: without anything that a program chooses, its own name and
    /// file included.
    fn among_many(mut self) -> Self {
        (self.remote, self.source, self.port, self.name) = (None, None, None, None);
        (self.program, self.process) = (None, "".into());
        self
    }
}

/// Length of a minute, in seconds: the shortest span of rows.
pub const MINUTE: u64 = 60;
/// Length of an hour, in seconds.
pub const HOUR: u64 = 60 * MINUTE;
/// Earliest time of a clock that is set, in seconds since 1970: this program was made later (2026-11-01).
pub const EARLIEST: u64 = 1_793_491_200;
/// Length of a day, in seconds. Rows of days begin at midnight UTC.
pub const DAY: u64 = 24 * HOUR;

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests;
