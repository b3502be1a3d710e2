//! Processes that start to run a program, or end.

use channel_abi::Header;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Length of a program's path in the record, in bytes.
pub const PATH_BYTES: usize = 128;

/// Record of a process, as the driver saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Process {
    /// Header of the record, its first field.
    pub header: Header,
    /// Number of the process in the machine's first pid namespace.
    pub pid: u32,
    /// Number of the parent, of a process that starts (Windows). Linux: 0.
    pub parent: u32,
    /// Number of the user (Linux). Windows: 0.
    pub user: u32,
    /// Padding up to a multiple of 8 bytes.
    pub spare: u32,
    /// Name that the kernel gives its first thread; the rest is zero.
    pub name: [u8; 16],
    /// Path of the program as it was asked for; the rest is zero. One that is too long is cut: on Linux at its end, on
    /// Windows at its beginning, and a `…` stands there.
    pub path: [u8; PATH_BYTES],
}

const _: () = assert!(size_of::<Process>() == 216);
