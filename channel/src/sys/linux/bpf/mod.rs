//! Wrappers of the few `bpf()` calls that an app, the device server and a service need, without a library between.

mod link;
mod map;
mod program;

pub use link::{
    NetfilterPlace, detach_link, link_cgroup, link_netfilter, netfilter_place, update_link,
};
#[cfg(test)]
pub(super) use map::create_array;
pub use map::{
    ARRAY, INNER_MAP, MMAPABLE, MapInfo, RINGBUF, create_filled, create_page, create_ring, freeze,
    map_exists, map_info, memory, read_only, ring_memory,
};
pub(super) use map::{ONLY_NEW, delete, lookup, lookup_batch, map_by_id, map_id, update};
pub use program::{NetfilterProgram, load_netfilter, load_type_data, run};

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

const OBJ_PIN: i32 = 6;
const OBJ_GET: i32 = 7;
const OBJ_GET_INFO_BY_FD: i32 = 15;

/// Type of attachment of a netfilter program: `BPF_NETFILTER`.
const TO_NETFILTER: u32 = 45;

#[repr(C)]
struct Object {
    path: u64,
    fd: u32,
    flags: u32,
}

#[repr(C)]
struct InfoByFd {
    fd: u32,
    length: u32,
    info: u64,
}

/// Gives a map, a program or a link a name in a bpffs: it then outlives whoever made it.
///
/// # Errors
/// What the kernel says: the name is taken, or lies in no bpffs.
pub fn pin(object: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let path = name(path)?;
    let path = path.as_ptr().addr() as u64;
    call(
        OBJ_PIN,
        &mut Object {
            path,
            fd: number(object),
            flags: 0,
        },
    )
    .map(drop)
}

/// Opens the object that has this name in a bpffs, or returns `None` if there is none.
///
/// # Errors
/// What the kernel says; that no object has the name is no error.
pub fn pinned(path: &Path) -> io::Result<Option<OwnedFd>> {
    let path = name(path)?;
    let path = path.as_ptr().addr() as u64;
    match call(
        OBJ_GET,
        &mut Object {
            path,
            fd: 0,
            flags: 0,
        },
    )
    .and_then(owned)
    {
        Ok(object) => Ok(Some(object)),
        Err(none) if none.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        Err(other) => Err(other),
    }
}

fn name(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| io::ErrorKind::InvalidInput.into())
}

fn owned(fd: i64) -> io::Result<OwnedFd> {
    let fd = i32::try_from(fd).map_err(|_| io::ErrorKind::InvalidData)?;
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn number(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd().cast_unsigned()
}

fn call<T>(command: i32, attr: &mut T) -> io::Result<i64> {
    // SAFETY: `attr` is the start of the union for this command, all of it initialised; what it points to outlives the
    // call and is as long as it says.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut *attr, size_of::<T>()) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}
