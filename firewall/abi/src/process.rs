//! A process that starts to run a program, or ends: [`crate::kind::PROCESS_START`] and [`crate::kind::PROCESS_EXIT`].

use channel_abi::Header;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Bytes of a program's path that travel in the record.
pub const PATH_BYTES: usize = 128;

/// Bytes of its arguments that travel in the record.
pub const ARGUMENT_BYTES: usize = 192;

/// One process, as the driver saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Process {
    /// Stands first in every record.
    pub header: Header,
    /// The process's number in the machine's first pid namespace.
    pub pid: u32,
    /// Its parent's, 0 if not known.
    pub parent: u32,
    /// Linux: the user's number. Windows: 0.
    pub user: u32,
    /// How it ended (exit only), as `wait` has it: the code in the second byte, the signal in the first.
    pub exit_code: u32,
    /// The name that the kernel gives its first thread; the rest is zero.
    pub name: [u8; 16],
    /// The program's path as it was asked for, cut to its first bytes; the rest is zero.
    pub path: [u8; PATH_BYTES],
    /// The program's file, as [`crate::packet::PacketMeta::program`].
    pub program: [u64; 2],
    /// Bytes of all its arguments together, which may be more than there is room for.
    pub arguments_length: u32,
    /// Fills the word.
    pub spare: u32,
    /// Its arguments, the first one too, each ended by a zero; cut to the first bytes, the rest zero.
    pub arguments: [u8; ARGUMENT_BYTES],
}

const _: () = assert!(size_of::<Process>() == 432);
