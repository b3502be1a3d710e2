//! What a firewall saw and decided, kept in a bounded database.
//!
//! A [`Batch`] gathers what came in a second or so, one [`Conversation`] for each of its minutes, and bounds how many there are. A
//! [`Database`] takes batches, adds minutes up to hours and hours to days, and forgets what is too old or too much. [`page`] reads.
//! There are no threads and no clocks here: who has them calls.
//!
//! Rules that hold here:
//! - What [`Database::write`] has returned is in the file, whatever becomes of the process.
//! - What was told and is not in the file is an error of whoever was told: nothing is dropped in silence.
//! - A file that is none of ours, or broken, is put aside, never mended and never deleted: [`Opened::put_aside`].
//! - Whoever talks a lot makes no row of others' go: each has a share of a minute ([`Batch`]), and of the file ([`Bounds`]).
#![forbid(unsafe_code)]

mod batch;
mod contact;
mod database;
mod page;

pub use batch::{Batch, MOST_OF_ONE};
pub use contact::{Change, Contact, Contacts, Glances, KnownFile, Look};
pub use database::{Bounds, Database, FILE, Failed, Opened};
pub use page::{Page, PageRequest, Program, Row, page};

use firewall_abi::packet::{Direction, Reason, Verdict};
use std::net::IpAddr;
use std::sync::Arc;

/// Who talked with whom, what became of it, and why: what is counted as one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Conversation {
    /// Which way the packets went, seen from what is protected.
    pub direction: Direction,
    /// What became of them.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
    /// The protocol's number.
    pub protocol: u8,
    /// The other end: of what is forwarded, where it goes. None: one of many that found no row of their own.
    pub remote: Option<IpAddr>,
    /// Of what is forwarded, where it comes from.
    pub source: Option<IpAddr>,
    /// The port that was asked for: of what goes out the other end's, of what comes in our own. None: there are no ports.
    pub port: Option<u16>,
    /// The program's path, if known.
    pub program: Option<Arc<str>>,
    /// The kernel's name of the process; empty: not known.
    pub process: Arc<str>,
    /// The user at this end, if known.
    pub user: Option<u32>,
    /// The rule that decided, if one did and its name is known.
    pub rule: Option<Arc<str>>,
    /// The name that the other end was asked for by, if known.
    pub name: Option<Arc<str>>,
    /// Whether the program had never talked before, or its file has changed since.
    pub contact: Contact,
}

/// How much of it there was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Records of the driver's.
    pub count: u64,
    /// When the first was, in seconds since 1970.
    pub first: u64,
    /// When the last was.
    pub last: u64,
    /// What this end sent.
    pub sent: Traffic,
    /// What it got.
    pub received: Traffic,
}

/// Packets, and their bytes from the IP header on. Zeros where that is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Tally {
    /// Of one record at this time.
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

    /// Both together.
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
    /// Whether others than this machine's own programs make such rows: any that come by.
    fn is_others(&self) -> bool {
        self.direction != Direction::Outbound
    }

    /// The same, of many together: by nothing that a program chooses, its own name and its file among it.
    fn among_many(mut self) -> Self {
        (self.remote, self.source, self.port, self.name) = (None, None, None, None);
        (self.program, self.process) = (None, "".into());
        self
    }
}

/// A minute, in seconds: the shortest time that has rows of its own.
pub const MINUTE: u64 = 60;
/// An hour.
pub const HOUR: u64 = 60 * MINUTE;
/// When no clock that is set can be any more, in seconds since 1970: this program was made later (2026-11-01).
pub const EARLIEST: u64 = 1_793_491_200;
/// A day, of the clock of 1970.
pub const DAY: u64 = 24 * HOUR;

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests;
