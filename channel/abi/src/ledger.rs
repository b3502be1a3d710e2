//! The ledger: what the driver counts for one app, exactly and for ever.
//!
//! `offered = committed + lost[..]` for each processor once things are quiet (I1). The driver alone writes it,
//! by atomic adds (I5); the app reads it without its ring, so a loss that no later record follows is seen (I3).

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Number of causes of loss: the variants of [`Cause`].
pub const CAUSES: usize = 3;

/// Number of lines of a ledger: processors above it share lines, `processor % PROCESSORS`.
pub const PROCESSORS: usize = 64;

/// Cause of a loss: the reason for which a record did not get into an app's ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Cause {
    /// The app's ring had no room: the app reads too slowly or not at all.
    NoRoom = 0,
    /// The app's reference was ending while the record was on its way.
    Closing = 1,
    /// The record is larger than the app's whole ring.
    TooLarge = 2,
}

impl Cause {
    /// All causes, in the order of the counters.
    pub const ALL: [Self; CAUSES] = [Self::NoRoom, Self::Closing, Self::TooLarge];

    /// Returns the cause's name in JSON and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoRoom => "no_room",
            Self::Closing => "closing",
            Self::TooLarge => "too_large",
        }
    }
}

/// Counters of one processor for one app: one cache line, so that processors do not share.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Counters {
    /// Number of records that the app's mask asked for: attempts, whatever became of them.
    pub offered: u64,
    /// Number of records put into the app's ring or queue.
    pub committed: u64,
    /// Number of records lost, by [`Cause`].
    pub lost: [u64; CAUSES],
    /// Padding up to a cache line.
    pub spare: [u64; 3],
}

/// The driver's counters of one app, and the tombstone of its reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Ledger {
    /// The tombstone: an [`Ending`], or 0 while the reference stands. A field of the ledger, it can't be lost for want
    /// of room.
    pub ended: u64,
    /// Padding up to a cache line.
    pub spare: [u64; 7],
    /// Counters of each processor: number `processor % PROCESSORS`.
    pub processors: [Counters; PROCESSORS],
}

/// Reason for which a reference ended; the app finds it in the ledger as its tombstone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u64)]
pub enum Ending {
    /// The app asked for the end.
    Dereferenced = 1,
    /// The driver is being stopped.
    DriverStopping = 2,
    /// The driver is replaced by one that speaks another version of the channel.
    Incompatible = 3,
}

impl TryFrom<u64> for Ending {
    type Error = UnknownEnding;

    fn try_from(n: u64) -> Result<Self, UnknownEnding> {
        match n {
            1 => Ok(Self::Dereferenced),
            2 => Ok(Self::DriverStopping),
            3 => Ok(Self::Incompatible),
            n => Err(UnknownEnding(n)),
        }
    }
}

/// Error of a number that is not an [`Ending`] that this version knows. 0: the reference still stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownEnding(pub u64);

impl core::fmt::Display for UnknownEnding {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.0 {
            0 => f.write_str("the reference has not ended"),
            n => write!(
                f,
                "{n} is no ending that this version knows; install the same release of driver and app"
            ),
        }
    }
}

impl core::error::Error for UnknownEnding {}

/// Sum of a ledger over its processors, or of several apps' ledgers.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Totals {
    /// Number of records that the apps' masks asked for: see [`Counters::offered`].
    pub offered: u64,
    /// Number of records put into the apps' rings or queues: see [`Counters::committed`].
    pub committed: u64,
    /// Number of records lost, by [`Cause`]: see [`Counters::lost`].
    pub lost: [u64; CAUSES],
}

impl Ledger {
    /// An empty ledger: all counters 0, and no tombstone.
    pub const ZERO: Self = Self {
        ended: 0,
        spare: [0; 7],
        processors: [Counters::ZERO; PROCESSORS],
    };

    /// Returns the sum over all processors.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.processors
            .iter()
            .fold(Totals::default(), |sum, line| sum.plus(line.totals()))
    }
}

impl Counters {
    /// Counters that are all 0.
    pub const ZERO: Self = Self {
        offered: 0,
        committed: 0,
        lost: [0; CAUSES],
        spare: [0; 3],
    };

    /// Returns the counts of this processor alone.
    #[must_use]
    pub const fn totals(&self) -> Totals {
        Totals {
            offered: self.offered,
            committed: self.committed,
            lost: self.lost,
        }
    }
}

impl Totals {
    /// Adds the two sums up.
    #[must_use]
    pub fn plus(mut self, other: Self) -> Self {
        self.offered = self.offered.wrapping_add(other.offered);
        self.committed = self.committed.wrapping_add(other.committed);
        for (mine, theirs) in self.lost.iter_mut().zip(other.lost) {
            *mine = mine.wrapping_add(theirs);
        }
        self
    }

    /// Returns the number of losses of all causes together.
    #[must_use]
    pub fn lost_in_all(&self) -> u64 {
        self.lost.iter().fold(0, |sum, n| sum.wrapping_add(*n))
    }

    /// Returns whether the kernel's half of I1 holds: records offered = records committed + records lost.
    #[must_use]
    pub fn balances(&self) -> bool {
        self.offered == self.committed.wrapping_add(self.lost_in_all())
    }
}

const _: () = assert!(size_of::<Counters>() == 64 && size_of::<Ledger>() == 64 + 64 * PROCESSORS);
