//! What the tripwire's driver tells its app: a program is about to open the file.
#![no_std]

use channel_abi::{Header, Kind};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The only kind of record there is.
pub const OPENED: Kind = Kind::new::<0>();
/// The longest name that is watched, in words of eight bytes; what is left is zero.
pub const NAME_WORDS: usize = 8;

/// A record: integers only, no padding, and the header first.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Opened {
    /// The driver's half of the channel writes it.
    pub header: Header,
    /// The process that opens the file.
    pub pid: u32,
    /// Its user.
    pub user: u32,
}
