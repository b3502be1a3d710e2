//! Rule tables: what the service hands to a driver, one generation at a time.
//!
//! A table is a [`Head`] and [`RuleRow`]s in the order in which they are tried. Text becomes rows in `rules`, rows
//! become verdicts in `engine`. A rule that lists several addresses or ports has several rows, side by side, which
//! share its number.

use crate::packet::Direction;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The most rows that one generation may have.
pub const MAX_ROWS: u32 = 256;

/// What stands before the rows of one generation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Head {
    /// The generation's number, from 1. 0: a table that nobody has filled yet.
    pub generation: u32,
    /// How many rows there are, at most [`MAX_ROWS`].
    pub rows: u32,
    /// What packets get that no rule matches, into the zone.
    pub inbound: Otherwise,
    /// What packets get that no rule matches, out of the zone.
    pub outbound: Otherwise,
    /// Fills the last 8 bytes.
    pub spare: u32,
}

/// What a packet gets that no rule matches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Otherwise {
    /// A [`crate::packet::Verdict`].
    pub verdict: u8,
    /// 1 if such packets are to be reported.
    pub log: u8,
}

/// One row of a table: what a packet must be like, and what becomes of it then.
///
/// Addresses stand as in [`crate::packet::Flow`], 16 bytes, read as two big-endian words. An address matches if
/// `address & mask == prefix`: a mask of zeros takes any. A prefix has no bits outside its mask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RuleRow {
    /// Where the packet must come from.
    pub source: [u64; 2],
    /// Which bits of that count.
    pub source_mask: [u64; 2],
    /// Where the packet must go.
    pub destination: [u64; 2],
    /// Which bits of that count.
    pub destination_mask: [u64; 2],
    /// Ports that it may come from; for ICMP the types.
    pub source_ports: PortRange,
    /// Ports that it may go to; for ICMP the codes.
    pub destination_ports: PortRange,
    /// The rule's number in its generation, from 0: its place in the file.
    pub rule: u32,
    /// One bit for each direction it holds for: [`direction_bit`].
    pub directions: u8,
    /// One bit for each IP version it holds for: [`version_bit`].
    pub versions: u8,
    /// The IP protocol's number.
    pub protocol: u8,
    /// 255 if the protocol counts, 0 if any will do.
    pub protocol_mask: u8,
    /// 1 if the rule asks for ports or an ICMP type: then it can't match a packet that shows none.
    pub asks_ports: u8,
    /// A [`crate::packet::Verdict`].
    pub verdict: u8,
    /// 1 if such packets are to be reported.
    pub log: u8,
    /// Fills the last 8 bytes.
    pub spare: [u8; 5],
}

/// Ports from the first to the last, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct PortRange {
    /// The lowest port.
    pub first: u16,
    /// The highest port.
    pub last: u16,
}

impl PortRange {
    /// Every port.
    pub const ANY: Self = Self { first: 0, last: u16::MAX };
}

impl Default for PortRange {
    fn default() -> Self {
        Self::ANY
    }
}

/// The bit of a direction in [`RuleRow::directions`].
#[must_use]
pub const fn direction_bit(direction: Direction) -> u8 {
    direction as u8
}

/// The bit of an IP version, 4 or 6, in [`RuleRow::versions`].
#[must_use]
pub const fn version_bit(version: u8) -> u8 {
    1 << (version & 7)
}

const _: () = {
    assert!(size_of::<Head>() == 16 && size_of::<Otherwise>() == 2 && size_of::<PortRange>() == 4);
    assert!(size_of::<RuleRow>() == 88 && align_of::<RuleRow>() == 8);
    assert!(direction_bit(Direction::Inbound) & direction_bit(Direction::Outbound) == 0);
};
