//! What the firewall's driver and the service that fills its tables share.

use crate::packet::{Direction, Verdict};
use crate::rules::{Head, MAX_ROWS, RuleRow};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// One generation of the rules, as a whole: what is read through one reference to it is of one generation (I8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Generation {
    /// Stands before the rows.
    pub head: Head,
    /// The rows; `head.rows` of them count.
    pub rows: [RuleRow; MAX_ROWS as usize],
}

/// What the driver counted since it was loaded. Only grows, by atomic adds (I5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Verdicts {
    /// Packets into the zone that went on.
    pub allowed_in: u64,
    /// Packets into the zone that were dropped.
    pub blocked_in: u64,
    /// Packets out of the zone that went on.
    pub allowed_out: u64,
    /// Packets out of the zone that were dropped.
    pub blocked_out: u64,
    /// Allowed packets whose flow found no room in the table: their replies are judged by the rules alone.
    pub flows_full: u64,
}

impl Verdicts {
    /// Dropped packets, both directions.
    #[must_use]
    pub const fn blocked(&self) -> u64 {
        self.blocked_in.wrapping_add(self.blocked_out)
    }

    /// Packets that went on, both directions.
    #[must_use]
    pub const fn allowed(&self) -> u64 {
        self.allowed_in.wrapping_add(self.allowed_out)
    }

    /// The counter of one direction and verdict, given as numbers of the contract.
    #[must_use]
    pub const fn counter(&self, direction: u8, verdict: u8) -> &u64 {
        match (direction == Direction::Inbound as u8, verdict == Verdict::Allow as u8) {
            (true, true) => &self.allowed_in,
            (true, false) => &self.blocked_in,
            (false, true) => &self.allowed_out,
            (false, false) => &self.blocked_out,
        }
    }
}

/// Both ends of a conversation, as seen from the zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FlowKey {
    /// The zone's end.
    pub local: [u8; 16],
    /// The other one.
    pub remote: [u8; 16],
    /// The zone's port; for an ICMP echo 1 at the end that asks, 0 at the other.
    pub local_port: u16,
    /// The other one's.
    pub remote_port: u16,
    /// IP protocol number.
    pub protocol: u32,
}

/// Who began the conversation, and by which rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FlowEntry {
    /// When it was last used, in nanoseconds of the clock that includes sleep.
    pub stamp_ns: u64,
    /// The rule that allowed its beginning; [`crate::packet::NO_RULE`] if none did.
    pub rule: u32,
    /// The generation that this rule is of.
    pub generation: u32,
    /// The initiator's [`Direction`].
    pub direction: u32,
    /// Fills the last 8 bytes.
    pub spare: u32,
}

/// How many conversations the driver remembers.
pub const MAX_FLOWS: usize = 65_536;
/// How many devices a zone may have.
pub const MAX_DEVICES: usize = 64;

/// A device of the zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ZoneDevice {
    /// Bytes of the link's header before the IP header: 14 for Ethernet, 0 for a tunnel.
    pub link_header: u32,
}

const _: () = {
    assert!(size_of::<Generation>() == 16 + 88 * MAX_ROWS as usize && size_of::<Verdicts>() == 40);
    assert!(size_of::<FlowKey>() == 40 && size_of::<FlowEntry>() == 24 && size_of::<ZoneDevice>() == 4);
};
