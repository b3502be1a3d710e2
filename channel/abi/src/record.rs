//! Records: each a message from a driver to one app.

use crate::ledger::CAUSES;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Length of the longest record in bytes, header included. A driver never makes a longer one; a reader refuses one.
pub const MAX_RECORD: usize = 1024;

/// Header of a record, its first field.
///
/// `sequence` counts the attempts for this app on this processor, failed ones too, from 0: a gap is a loss.
/// `lost` holds what was lost for this app on this processor *before* this attempt, by [`Cause`](crate::Cause).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Header {
    /// Length of the whole record in bytes, this header included: a multiple of 8, at most [`MAX_RECORD`].
    pub length: u32,
    /// Number of the record's [`Kind`].
    pub kind: u32,
    /// Version of the channel that the driver was built with: its [`VERSION`](crate::VERSION).
    pub version: u32,
    /// Number of the processor that made the record.
    pub processor: u32,
    /// Sequence number: the number of this attempt for this app on this processor.
    pub sequence: u64,
    /// Time of the record, in nanoseconds of the machine's monotonic clock that includes sleep.
    pub stamp_ns: u64,
    /// Number of losses for this app on this processor before this attempt, by cause.
    pub lost: [u64; CAUSES],
}

/// Kind of a record: its subject, a number from 0 to 63 that the driver chooses. A driver's own crate declares its
/// kinds, each once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Kind(u32);

impl Kind {
    /// Returns the kind with this number. A number above 63 does not compile.
    #[must_use]
    pub const fn new<const NUMBER: u32>() -> Self {
        const { assert!(NUMBER < 64) };
        Self(NUMBER)
    }

    /// Returns the kind's number, as records carry it.
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

/// Error of a kind's number above 63: no mask can ask for it, so no driver may send it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownKind(pub u32);

impl core::fmt::Display for UnknownKind {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} is no kind of records: they go from 0 to 63", self.0)
    }
}

impl core::error::Error for UnknownKind {}

/// A set of kinds of records that an app wants: one bit per [`Kind`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mask(pub u64);

impl Mask {
    /// The mask of all kinds.
    pub const ALL: Self = Self(u64::MAX);
    /// The mask of no kind, for an app that wants no records: its event is only signalled.
    pub const NONE: Self = Self(0);

    /// Returns the mask of this kind alone.
    #[must_use]
    pub const fn of(kind: Kind) -> Self {
        Self(1 << kind.0)
    }

    /// Returns the mask with this kind added.
    #[must_use]
    pub const fn and(self, kind: Kind) -> Self {
        Self(self.0 | 1 << kind.0)
    }

    /// Returns whether the mask asks for this kind.
    #[must_use]
    pub const fn wants(self, kind: Kind) -> bool {
        self.0 >> kind.0 & 1 == 1
    }
}

const _: () = assert!(size_of::<Header>() == 56 && align_of::<Header>() == 8);
