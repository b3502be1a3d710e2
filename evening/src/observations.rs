//! Observations of an evening. No clock, no kernel: times are milliseconds since the evening began.

use std::collections::BTreeMap;
use std::net::IpAddr;

/// Time that a question waits for its answer, in milliseconds: the rules of the evening say it.
pub const ANSWER_WITHIN_MS: u64 = 30_000;

/// Destination of a program: the command line calls it the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The protocol's number.
    pub protocol: u8,
    /// The other end, by one of its addresses: a host that has two, of both versions, is one place.
    pub remote: IpAddr,
    /// Port of the other end, or 0 if the protocol has none.
    pub port: u16,
}

/// Scope of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// The endpoint.
    Endpoint,
    /// All places of the program.
    Anywhere,
}

/// A question that somebody was shown.
#[derive(Clone, Debug)]
pub struct Question {
    /// Number of the question.
    pub id: u64,
    /// Name that a person has for the program, with its user.
    pub program: String,
    /// Places that the program wants to go to, as far as they are listed.
    pub places: Vec<Place>,
    /// `true` if the question is about all other places of the program as well.
    pub many: bool,
    /// Time at which the question was shown, in milliseconds.
    pub shown_ms: u64,
    /// Time after which no answer counts, in milliseconds.
    pub deadline_ms: u64,
    /// Questions of the same program that stood behind it, at most.
    pub more: u64,
}

impl Question {
    /// Returns the time at which the question began to wait, in milliseconds: a slow machine shows it later.
    pub(crate) const fn asked_ms(&self) -> u64 {
        self.deadline_ms.saturating_sub(ANSWER_WITHIN_MS)
    }
}

/// An answer that was given.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    /// The question's number.
    pub id: u64,
    /// Time at which the answer was typed, in milliseconds.
    pub at_ms: u64,
    /// Allow or block.
    pub allow: bool,
    /// Scope of the answer.
    pub width: Width,
    /// Time that the answer holds, in milliseconds, or `None` if longer than an evening.
    pub lasts_ms: Option<u64>,
    /// Number of keys typed for the answer, Return included.
    pub keys: u64,
}

/// Result of an attempt to connect, with its time in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Connected at this time.
    Connected(u64),
    /// Refused, or given up, at this time.
    Gone(u64),
    /// Still waiting at this time, when it was last seen.
    Waits(u64),
}

impl End {
    pub(crate) const fn at_ms(self) -> u64 {
        match self {
            Self::Connected(at) | Self::Gone(at) | Self::Waits(at) => at,
        }
    }
}

/// An attempt to connect by TCP, as the kernel's list of sockets showed it.
#[derive(Clone, Debug)]
pub struct Connect {
    /// The program, as a person calls it.
    pub program: String,
    /// Destination of the connection.
    pub place: Place,
    /// Time at which the connection was first seen to wait, in milliseconds.
    pub began_ms: u64,
    /// Result of the attempt.
    pub end: End,
    /// `true` if the other end would answer.
    pub reachable: bool,
}

/// Record of all that was seen in an evening.
#[derive(Clone, Debug, Default)]
pub struct Evening {
    /// The questions, as they were shown.
    pub questions: Vec<Question>,
    /// The answers.
    pub answers: Vec<Answer>,
    /// Connections that were seen to wait.
    pub connects: Vec<Connect>,
    /// Answers of the command line that were about another question than was meant, or said that nothing was answered.
    pub misunderstood: u64,
    /// Questions that nobody expected: of a program that is none of the evening's.
    pub unexpected: u64,
    /// Records of packets that who watched was handed.
    pub records: u64,
    /// Records that the driver could not hand to who watched.
    pub lost: u64,
    /// Runs of the programs that came to what they were meant to, and that did not.
    pub runs: BTreeMap<String, Runs>,
    /// Time at which the last load ended, in milliseconds: later questions are asked while nothing happens.
    pub idle_from_ms: u64,
}

/// Counts of a program's runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Runs {
    /// Runs that ended as they were meant to.
    pub well: u64,
    /// Runs that did not.
    pub ill: u64,
}
