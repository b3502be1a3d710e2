//! Request and record of the pager: a few words, which an app sends to the driver, and the driver to all apps.
#![no_std]

use channel_abi::{DriverCommand, DriverRequest, Header, Kind, RequestHeader};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Kind of the only records that there are: [`Paged`].
pub const PAGED: Kind = Kind::new::<0>();
/// Length of the words, in bytes; what is left is zero.
pub const WORDS: usize = 64;

/// Request to send words to all apps.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Page {
    /// Header of the request, which the app's half of the channel writes.
    pub header: RequestHeader,
    /// Words in UTF-8.
    pub words: [u8; WORDS],
}

impl DriverRequest for Page {
    const COMMAND: DriverCommand = DriverCommand::new::<64>();
}

/// Record with the words of an app: integers only, no padding, and the header first.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Paged {
    /// Header of the record, which the driver's half of the channel writes.
    pub header: Header,
    /// Words as an app sent them: they can be anything.
    pub words: [u8; WORDS],
}
