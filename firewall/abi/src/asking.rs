//! What people are asked and what they answer, as the driver and the service share it.

use crate::packet::Direction;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// How many answers the driver holds.
pub const MAX_ANSWERS: usize = 8192;
/// How many questions it remembers to have asked. The oldest makes room for the next.
pub const MAX_QUESTIONS: usize = 4096;
/// Bytes of the ring by which the driver wakes the service when there is a new question.
pub const WAKER_BYTES: usize = 4096;

/// What is asked about, and what an answer is to: who, and what begins where. In an answer zeros are any.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
)]
#[repr(C, align(8))]
pub struct Subject {
    /// The other end.
    pub remote: [u8; 16],
    /// See [`crate::packet::Local::program`].
    pub program: [u64; 2],
    /// The user at this end; [`crate::packet::NO_USER`] if not known.
    pub user: u32,
    /// The port that the first packet goes to: the other end's, or of what comes in our own; 0 where there are none.
    pub port: u16,
    /// IP protocol number.
    pub protocol: u8,
    /// The [`Direction`] of the first packet.
    pub direction: u8,
}

/// How much an answer is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Width {
    /// The other end's address, protocol and port.
    Place,
    /// The other end's address, whatever the protocol and port.
    Address,
    /// The protocol and port, whatever the address.
    Port,
    /// Everything that this program of this user begins, or is begun with.
    Anywhere,
}

impl Width {
    /// From the narrowest on: the order in which answers are looked for.
    pub const ALL: [Self; 4] = [Self::Place, Self::Address, Self::Port, Self::Anywhere];

    /// The name in requests and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Place => "place",
            Self::Address => "address",
            Self::Port => "port",
            Self::Anywhere => "anywhere",
        }
    }
}

impl Subject {
    /// What an answer of this width is to.
    #[must_use]
    #[inline(always)]
    pub const fn at(self, width: Width) -> Self {
        let mut wide = self;
        if matches!(width, Width::Port | Width::Anywhere) {
            wide.remote = [0; 16];
        }
        if matches!(width, Width::Address | Width::Anywhere) {
            wide.port = 0;
            wide.protocol = 0;
        }
        wide
    }

    /// Whether it is about what begins at this end.
    #[must_use]
    pub const fn goes_out(&self) -> bool {
        self.direction == Direction::Outbound as u8
    }
}

/// An answer in force.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Answer {
    /// Until when, in nanoseconds of the clock that includes sleep; [`Answer::NO_END`].
    pub until_ns: u64,
    /// Allow or block, as a [`crate::packet::Verdict`].
    pub verdict: u8,
    /// [`crate::packet::Reason::Answer`], or `Unanswered` where nobody gave one.
    pub reason: u8,
    /// Fills the word.
    pub spare: [u8; 6],
}

impl Answer {
    /// It does not end by itself.
    pub const NO_END: u64 = u64::MAX;
}

/// A question as the driver has asked it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Question {
    /// When it was asked, on the clock that includes sleep.
    pub since_ns: u64,
    /// How many packets wanted to know.
    pub count: u64,
    /// The process's name.
    pub name: [u64; 2],
    /// The process; 0: not known.
    pub pid: u32,
    /// The rule that asks; [`crate::packet::NO_RULE`]: the default.
    pub rule: u32,
    /// The generation that it is of.
    pub generation: u32,
    /// Fills the word.
    pub spare: u32,
}

const _: () = {
    assert!(size_of::<Subject>() == 40 && size_of::<Answer>() == 16 && size_of::<Question>() == 48);
};
