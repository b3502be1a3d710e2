//! Rejected packets, which the driver hands to the service, and to nobody else: the service answers their senders, for
//! a netfilter program can drop a packet and no more.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Bytes copied of a packet at most: its headers, of IPv6 with what may stand between, and what an ICMP error quotes.
pub const MOST_BYTES: usize = 240;
/// Size, in bytes, of the ring that they wait in: for some two hundred and fifty.
pub const RING_BYTES: usize = 64 * 1024;

/// A packet that was rejected, and is dropped by then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RejectedPacket {
    /// Length of the packet, in bytes from its IP header on.
    pub length: u32,
    /// Number of its bytes that are here.
    pub copied: u32,
    /// Index of the network device that it came in by, or was to go out by.
    pub device: u32,
    /// Number of the [`crate::packet::Direction`].
    pub direction: u8,
    /// 1 if its route says that it is broadcast or multicast.
    pub to_everyone: u8,
    /// Padding to a whole word.
    pub spare: [u8; 2],
    /// First bytes of the packet, from its IP header on. The contents behind `copied` are undefined.
    pub bytes: [u8; MOST_BYTES],
}

/// Counters of rejected packets that were handed over and lost.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct RejectedSeen {
    /// Packets handed to the service.
    pub handed: u64,
    /// Packets lost because the ring was full or the packet could not be read. Nobody answers them.
    pub lost: u64,
}

const _: () = {
    assert!(size_of::<RejectedPacket>() == 16 + MOST_BYTES && MOST_BYTES.is_multiple_of(8));
    assert!(size_of::<RejectedSeen>() == 16 && RING_BYTES.is_power_of_two());
};
