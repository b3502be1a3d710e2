//! The ledger: what the driver counts for one app, exactly and for ever.
//!
//! `offered = committed + lost[..]` for each processor once things are quiet (I1). The driver alone writes it,
//! by atomic adds (I5); the app reads it without its ring, so a loss that no later record follows is seen (I3).

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// How many causes of loss there are.
pub const CAUSES: usize = 3;

/// Processors with a line of their own in a ledger. Higher ones share lines: `processor % PROCESSORS`.
pub const PROCESSORS: usize = 64;

/// Why a record did not get into an app's ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Cause {
    /// The app's ring had no room: the app reads too slowly or not at all.
    NoRoom = 0,
    /// The reference was being let go while the record was on its way.
    Closing = 1,
    /// The record is larger than the app's whole ring.
    TooLarge = 2,
}

impl Cause {
    /// Every cause, in the order of the counters.
    pub const ALL: [Self; CAUSES] = [Self::NoRoom, Self::Closing, Self::TooLarge];

    /// The name in JSON and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoRoom => "no_room",
            Self::Closing => "closing",
            Self::TooLarge => "too_large",
        }
    }
}

/// What one processor counted for one app. One cache line, so that processors do not share.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Counters {
    /// Records that the app's mask asked for: attempts, whatever became of them.
    pub offered: u64,
    /// Records put into the app's ring or queue.
    pub committed: u64,
    /// Records lost, by [`Cause`].
    pub lost: [u64; CAUSES],
    /// Fills the cache line.
    pub spare: [u64; 3],
}

/// One app's account as the driver keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Ledger {
    /// An [`Ending`]; 0 while the reference stands. The tombstone: it can't be lost for want of room.
    pub ended: u64,
    /// Fills the cache line.
    pub spare: [u64; 7],
    /// One line per processor.
    pub processors: [Counters; PROCESSORS],
}

/// Why a reference ended. What the app finds as its tombstone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u64)]
pub enum Ending {
    /// The app asked for it.
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

/// Not an ending that this version knows (0: the reference still stands).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownEnding(pub u64);

/// A ledger summed over its processors, or several apps' together.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Totals {
    /// See [`Counters::offered`].
    pub offered: u64,
    /// See [`Counters::committed`].
    pub committed: u64,
    /// See [`Counters::lost`].
    pub lost: [u64; CAUSES],
}

impl Ledger {
    /// A ledger in which nothing has happened.
    pub const ZERO: Self = Self {
        ended: 0,
        spare: [0; 7],
        processors: [Counters::ZERO; PROCESSORS],
    };

    /// The sum over all processors.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.processors
            .iter()
            .fold(Totals::default(), |sum, line| sum.plus(line.totals()))
    }
}

impl Counters {
    /// Nothing counted.
    pub const ZERO: Self = Self {
        offered: 0,
        committed: 0,
        lost: [0; CAUSES],
        spare: [0; 3],
    };

    /// This line alone.
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
    /// Both together.
    #[must_use]
    pub fn plus(mut self, other: Self) -> Self {
        self.offered = self.offered.wrapping_add(other.offered);
        self.committed = self.committed.wrapping_add(other.committed);
        for (mine, theirs) in self.lost.iter_mut().zip(other.lost) {
            *mine = mine.wrapping_add(theirs);
        }
        self
    }

    /// Losses of every cause together.
    #[must_use]
    pub fn lost_in_all(&self) -> u64 {
        self.lost.iter().fold(0, |sum, n| sum.wrapping_add(*n))
    }

    /// I1, the kernel's half: whether what was offered is what was committed and lost.
    #[must_use]
    pub fn balances(&self) -> bool {
        self.offered == self.committed.wrapping_add(self.lost_in_all())
    }
}

const _: () = assert!(size_of::<Counters>() == 64 && size_of::<Ledger>() == 64 + 64 * PROCESSORS);
