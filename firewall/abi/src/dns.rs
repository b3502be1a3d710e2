//! Answers of DNS on their way in, and the questions before them on their way out, as the driver hands them to the service, and to
//! nobody else.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The port that answers come from.
pub const PORT: u16 = 53;
/// As many bytes of a packet travel: what DNS puts into a datagram that no network has to take apart (1,232), and the headers.
pub const MOST_BYTES: usize = 1280;
/// As many of one that is longer, by TCP or with larger datagrams: what is longer still is cut.
pub const LONG_BYTES: usize = 4088;
/// As many of a question: a longest name, and the headers with what may stand between.
pub const QUESTION_BYTES: usize = 376;
/// Bytes of the ring that both wait in: for some hundred and fifty of each.
pub const RING_BYTES: usize = 256 * 1024;

/// A packet that carries an answer, or a segment of TCP with a part of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct AnswerPacket {
    /// How long it was, from its IP header on.
    pub length: u32,
    /// How much of it is here.
    pub copied: u32,
    /// The number of the device that it came in by, or goes out by.
    pub device: u32,
    /// Nothing.
    pub rest: u32,
    /// Its first bytes, from its IP header on. What stands behind `copied` says nothing.
    pub bytes: [u8; MOST_BYTES],
}

/// The same of one that has no room in that. It is told from others by its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct LongPacket {
    /// How long it was, from its IP header on.
    pub length: u32,
    /// How much of it is here.
    pub copied: u32,
    /// The number of the device that it came in by, or goes out by.
    pub device: u32,
    /// Nothing.
    pub rest: u32,
    /// Its first bytes, from its IP header on. What stands behind `copied` says nothing.
    pub bytes: [u8; LONG_BYTES],
}

/// A packet that carries a question. It is told from an answer by its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct QuestionPacket {
    /// How long it was, from its IP header on.
    pub length: u32,
    /// How much of it is here.
    pub copied: u32,
    /// The number of the device that it came in by, or goes out by.
    pub device: u32,
    /// Nothing.
    pub rest: u32,
    /// Its first bytes, from its IP header on. What stands behind `copied` says nothing.
    pub bytes: [u8; QUESTION_BYTES],
}

/// What became of them.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct AnswersSeen {
    /// Handed to the service.
    pub handed: u64,
    /// Lost, because the ring was full or a packet could not be read. They label nothing.
    pub lost: u64,
    /// Questions that were lost likewise. What answers them labels nothing, and has no address join a set.
    pub questions_lost: u64,
}

const _: () = {
    assert!(size_of::<AnswerPacket>() == 16 + MOST_BYTES && MOST_BYTES.is_multiple_of(8));
    assert!(size_of::<LongPacket>() == 16 + LONG_BYTES && LONG_BYTES.is_multiple_of(8));
    assert!(size_of::<QuestionPacket>() == 16 + QUESTION_BYTES && QUESTION_BYTES.is_multiple_of(8));
    assert!(size_of::<AnswersSeen>() == 24 && RING_BYTES.is_power_of_two());
};
