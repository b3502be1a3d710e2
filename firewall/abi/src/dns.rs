//! DNS answers on their way in, and the queries before them on their way out: copies of packets that the driver hands
//! to the service, and to nobody else.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Source port of DNS answers.
pub const DNS_PORT: u16 = 53;
/// Bytes copied of a packet at most: what DNS puts into a datagram that no network has to fragment (1,232), and the
/// headers.
pub const MOST_BYTES: usize = 1280;
/// Bytes copied of a longer packet, by TCP or with larger datagrams: what is longer still is cut.
pub const LONG_BYTES: usize = 4088;
/// Bytes copied of a query: the longest name, and the headers with what may stand between.
pub const QUESTION_BYTES: usize = 376;
/// Size, in bytes, of the ring that both wait in: for some hundred and fifty of each.
pub const RING_BYTES: usize = 256 * 1024;

/// A packet that carries a DNS answer, or a TCP segment with a part of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct AnswerPacket {
    /// Length of the packet, in bytes from its IP header on.
    pub length: u32,
    /// Number of its bytes that are here.
    pub copied: u32,
    /// Index of the network device that it came in by, or goes out by.
    pub device: u32,
    /// Padding to a whole word; its contents are undefined.
    pub rest: u32,
    /// First bytes of the packet, from its IP header on. The contents behind `copied` are undefined.
    pub bytes: [u8; MOST_BYTES],
}

/// A packet with a DNS answer that is too long for [`AnswerPacket`]. The length of the record tells it from the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct LongPacket {
    /// Length of the packet, in bytes from its IP header on.
    pub length: u32,
    /// Number of its bytes that are here.
    pub copied: u32,
    /// Index of the network device that it came in by, or goes out by.
    pub device: u32,
    /// Padding to a whole word; its contents are undefined.
    pub rest: u32,
    /// First bytes of the packet, from its IP header on. The contents behind `copied` are undefined.
    pub bytes: [u8; LONG_BYTES],
}

/// A packet that carries a DNS query. The length of the record tells it from an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct QuestionPacket {
    /// Length of the packet, in bytes from its IP header on.
    pub length: u32,
    /// Number of its bytes that are here.
    pub copied: u32,
    /// Index of the network device that it came in by, or goes out by.
    pub device: u32,
    /// Padding to a whole word; its contents are undefined.
    pub rest: u32,
    /// First bytes of the packet, from its IP header on. The contents behind `copied` are undefined.
    pub bytes: [u8; QUESTION_BYTES],
}

/// Counters of DNS packets that were handed over and lost.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct AnswersSeen {
    /// Packets handed to the service.
    pub handed: u64,
    /// Answers lost because the ring was full or a packet could not be read. They label no address.
    pub lost: u64,
    /// Queries lost for these reasons. An answer to one of them labels no address, and adds none to a set.
    pub questions_lost: u64,
}

const _: () = {
    assert!(size_of::<AnswerPacket>() == 16 + MOST_BYTES && MOST_BYTES.is_multiple_of(8));
    assert!(size_of::<LongPacket>() == 16 + LONG_BYTES && LONG_BYTES.is_multiple_of(8));
    assert!(size_of::<QuestionPacket>() == 16 + QUESTION_BYTES && QUESTION_BYTES.is_multiple_of(8));
    assert!(size_of::<AnswersSeen>() == 24 && RING_BYTES.is_power_of_two());
};
