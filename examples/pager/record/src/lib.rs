//! What the pager's apps say to its driver, and the driver to its apps: a few words.
#![no_std]

use channel_abi::{DriverCommand, DriverRequest, Header, Kind, RequestHeader};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The only kind of record there is.
pub const PAGED: Kind = Kind::new::<0>();
/// The most that is said at once, in bytes; what is left is zero.
pub const WORDS: usize = 64;

/// A request: to be told to everybody.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Page {
    /// The app's half of the channel writes it.
    pub header: RequestHeader,
    /// UTF-8.
    pub words: [u8; WORDS],
}

impl DriverRequest for Page {
    const COMMAND: DriverCommand = DriverCommand::new::<64>();
}

/// A record: integers only, no padding, and the header first.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Paged {
    /// The driver's half of the channel writes it.
    pub header: Header,
    /// As an app said it: it can be anything.
    pub words: [u8; WORDS],
}
