//! A process that starts to run a program, or ends.

use channel_abi::Header;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Bytes of a program's path that travel in the record.
pub const PATH_BYTES: usize = 128;

/// One process, as the driver saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Process {
    /// Stands first in every record.
    pub header: Header,
    /// The process's number in the machine's first pid namespace.
    pub pid: u32,
    /// Windows: its parent's, of a process that starts. Linux: 0.
    pub parent: u32,
    /// Linux: the user's number. Windows: 0.
    pub user: u32,
    /// Fills the word.
    pub spare: u32,
    /// The name that the kernel gives its first thread; the rest is zero.
    pub name: [u8; 16],
    /// The program's path as it was asked for; the rest is zero. One that is too long is cut: on Linux at its end, on Windows
    /// at its beginning, and a `…` stands there.
    pub path: [u8; PATH_BYTES],
}

const _: () = assert!(size_of::<Process>() == 216);
