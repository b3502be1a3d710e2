//! Start of a program by a process, and end of a process: record kinds [`crate::kind::PROCESS_START`] and
//! [`crate::kind::PROCESS_EXIT`].

use channel_abi::Header;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Bytes of a program's path in the record.
pub const PATH_BYTES: usize = 128;

/// Bytes of a program's arguments in the record.
pub const ARGUMENT_BYTES: usize = 192;

/// Record of one process that starts a program or ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Process {
    /// Header of every record; stands first.
    pub header: Header,
    /// Number of the process in the machine's first pid namespace.
    pub pid: u32,
    /// Number of its parent process; 0 if not known.
    pub parent: u32,
    /// Number of the user on Linux; 0 on Windows.
    pub user: u32,
    /// Exit status (of an exit only), as `wait` returns it: the code in the second byte, the signal in the first.
    pub exit_code: u32,
    /// Name that the kernel gives its first thread; the rest is zero.
    pub name: [u8; 16],
    /// Path of the program as requested, cut to its first bytes; the rest is zero.
    pub path: [u8; PATH_BYTES],
    /// File of the program, as in [`crate::packet::PacketMeta::program`].
    pub program: [u64; 2],
    /// Length of all its arguments together, in bytes, which may be more than there is room for.
    pub arguments_length: u32,
    /// Padding to a whole word.
    pub spare: u32,
    /// Arguments, the first one too, each ended by a zero; cut to the first bytes, the rest zero.
    pub arguments: [u8; ARGUMENT_BYTES],
}

const _: () = assert!(size_of::<Process>() == 432);
