//! Rejected packets, as the driver hands them to the service, and to nobody else: it answers their senders, for a program of
//! netfilter's can drop a packet and no more.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// As many bytes of a packet travel: its headers, of IPv6 with what may stand between, and what an error quotes.
pub const MOST_BYTES: usize = 240;
/// Bytes of the ring that they wait in: for some two hundred and fifty.
pub const RING_BYTES: usize = 64 * 1024;

/// A packet that was rejected, and dropped by then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RejectedPacket {
    /// How long it was, from its IP header on.
    pub length: u32,
    /// How much of it is here.
    pub copied: u32,
    /// The number of the device that it came in by, or was to go out by.
    pub device: u32,
    /// A [`crate::packet::Direction`].
    pub direction: u8,
    /// 1 if it goes to everyone on its link, or to a group, as its route has it.
    pub to_everyone: u8,
    /// Fills the word.
    pub spare: [u8; 2],
    /// Its first bytes, from its IP header on. What stands behind `copied` says nothing.
    pub bytes: [u8; MOST_BYTES],
}

/// What became of them.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct RejectedSeen {
    /// Handed to the service.
    pub handed: u64,
    /// Not: the ring was full, or the packet could not be read. Nobody answers them.
    pub lost: u64,
}

const _: () = {
    assert!(size_of::<RejectedPacket>() == 16 + MOST_BYTES && MOST_BYTES.is_multiple_of(8));
    assert!(size_of::<RejectedSeen>() == 16 && RING_BYTES.is_power_of_two());
};
