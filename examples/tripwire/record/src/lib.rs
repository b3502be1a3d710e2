//! Record of the tripwire: its driver tells its app that a program is about to open the file.
#![no_std]

use channel_abi::{Header, Kind};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Kind of the only records that there are: [`Opened`].
pub const OPENED: Kind = Kind::new::<0>();
/// Length of the longest name that is watched, in words of eight bytes; what is left is zero.
pub const NAME_WORDS: usize = 8;

/// Record of a program that opens the file: integers only, no padding, and the header first.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Opened {
    /// Header of the record, which the driver's half of the channel writes.
    pub header: Header,
    /// Number of the process that opens the file.
    pub pid: u32,
    /// User of that process.
    pub user: u32,
}
