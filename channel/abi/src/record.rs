//! A record: what a driver has to say, once, to one app.

use crate::ledger::CAUSES;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The longest record in bytes, header included. A driver never makes a longer one; a reader refuses one.
pub const MAX_RECORD: usize = 1024;

/// Stands at the start of every record.
///
/// `sequence` counts the attempts for this app on this processor, failed ones too, from 0: a gap is a loss.
/// `lost` holds what was lost for this app on this processor *before* this attempt, by [`Cause`](crate::Cause).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Header {
    /// The whole record in bytes, this header included: a multiple of 8, at most [`MAX_RECORD`].
    pub length: u32,
    /// A [`Kind`].
    pub kind: u32,
    /// The contract's [`VERSION`](crate::VERSION) that the driver was built with.
    pub version: u32,
    /// The processor that made the record.
    pub processor: u32,
    /// The number of this attempt for this app on this processor.
    pub sequence: u64,
    /// When, in nanoseconds of the machine's monotonic clock that includes sleep.
    pub stamp_ns: u64,
    /// Losses so far, by cause.
    pub lost: [u64; CAUSES],
}

/// What a record is about: a number from 0 to 63 that the driver chooses. A driver's own crate declares its kinds, each once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Kind(u32);

impl Kind {
    /// The kind with this number. One above 63 does not compile.
    #[must_use]
    pub const fn new<const NUMBER: u32>() -> Self {
        const { assert!(NUMBER < 64) };
        Self(NUMBER)
    }

    /// The number that crosses.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for Kind {
    type Error = UnknownKind;

    fn try_from(n: u32) -> Result<Self, UnknownKind> {
        if n < 64 {
            Ok(Self(n))
        } else {
            Err(UnknownKind(n))
        }
    }
}

/// A kind's number above 63: no mask can ask for it, so no driver may send it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownKind(pub u32);

/// What an app wants to be told of: one bit per [`Kind`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mask(pub u64);

impl Mask {
    /// Everything.
    pub const ALL: Self = Self(u64::MAX);
    /// Nothing: the event is only operated, never told of records.
    pub const NONE: Self = Self(0);

    /// Just this kind.
    #[must_use]
    pub const fn of(kind: Kind) -> Self {
        Self(1 << kind.0)
    }

    /// This mask and that kind.
    #[must_use]
    pub const fn and(self, kind: Kind) -> Self {
        Self(self.0 | 1 << kind.0)
    }

    /// Whether the mask asks for this kind.
    #[must_use]
    pub const fn wants(self, kind: Kind) -> bool {
        self.0 >> kind.0 & 1 == 1
    }
}

const _: () = assert!(size_of::<Header>() == 56 && align_of::<Header>() == 8);
