//! Questions to people, and their answers.

use firewall_abi::asking::Width;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::time::Duration;

/// A question of a rule's, or of a default's, that waits for its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// Its number: no other has had it since the service started.
    pub id: u64,
    /// `out` or `in`.
    pub direction: String,
    /// The protocol's number.
    pub protocol: u8,
    /// The other end.
    pub remote: IpAddr,
    /// The name that the other end was asked for by last, if known. It labels, and proves nothing.
    pub remote_name: Option<String>,
    /// The port that is asked for: the other end's, or of what comes in our own; none: there are no ports.
    pub port: Option<u16>,
    /// The user at this end, if known.
    pub user: Option<u32>,
    /// The program's path, if known.
    pub program: Option<String>,
    /// The process's name, if known.
    pub name: String,
    /// The process; 0: not known.
    pub pid: u32,
    /// The rule that asks, if it is not the default.
    pub rule: Option<String>,
    /// Packets that waited for the answer.
    pub count: u64,
    /// Other questions of the same program that are not asked before this one is answered.
    pub more: u64,
    /// Whether an answer can be to this connection alone.
    pub of_connection: bool,
    /// Whether an answer can be to this process alone, until it ends.
    pub of_process: bool,
    /// Milliseconds in which it is to be answered.
    pub milliseconds_left: u64,
    /// What becomes of it if nobody does: `block` or `allow`.
    pub unanswered: String,
}

/// An answer that holds, or that is kept for always.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldAnswer {
    /// By what it is taken back: 16 hexadecimal digits. Another answer to the same has another one.
    pub id: String,
    /// `allow` or `block`.
    pub verdict: String,
    /// Nobody answered in time, and this became of it for a minute.
    pub unanswered: bool,
    /// How much it is about: `place`, `address`, `port` or `anywhere`.
    pub width: String,
    /// How long it holds: for the `connection`, until the process of the `program` ends, for a `time`, until a `restart`, `always`.
    pub lasts: String,
    /// For how many seconds it holds from now on; none: until something else ends it.
    pub seconds_left: Option<u64>,
    /// `out` or `in`.
    pub direction: String,
    /// The other end; none: any.
    pub remote: Option<IpAddr>,
    /// The name that the other end had been asked for by then, if known. It labels, and proves nothing.
    pub remote_name: Option<String>,
    /// The protocol's number; none: any.
    pub protocol: Option<u8>,
    /// The port that is asked for; none: any, or there are none.
    pub port: Option<u16>,
    /// The user at this end, if known.
    pub user: Option<u32>,
    /// The program's path, if known.
    pub program: Option<String>,
    /// The name of the process that asked, if known.
    pub name: String,
    /// The process that asked; 0: not known.
    pub pid: u32,
    /// Whether the driver has it. One for always to a program that is not there is kept, and comes into force with it.
    pub in_force: bool,
    /// Who answered, if known.
    pub by: Option<String>,
    /// When, in seconds since 1970, if known.
    pub at: Option<u64>,
}

/// Which answers are taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Forgotten {
    /// These, by [`HeldAnswer::id`].
    Those(Vec<String>),
    /// What was answered about this program, by its path.
    Program(String),
    /// All.
    All,
}

/// An answer to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Given {
    /// Let it through.
    pub allow: bool,
    /// What it is about.
    pub width: Width,
    /// For how long.
    pub lasts: Lasts,
}

/// How long an answer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasts {
    /// For this connection alone; of datagrams, for what this socket sends to this place.
    Connection,
    /// Until this process ends, or runs another program.
    Process,
    /// So long.
    For(Duration),
    /// Until the service starts again.
    UntilRestart,
    /// Always.
    Always,
}
