//! Maps: made, looked at, read and written.

use super::{InfoByFd, OBJ_GET_INFO_BY_FD, call, number, owned};
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::str::FromStr;

const MAP_CREATE: i32 = 0;
const MAP_LOOKUP_ELEM: i32 = 1;
const MAP_UPDATE_ELEM: i32 = 2;
const MAP_DELETE_ELEM: i32 = 3;
const MAP_GET_FD_BY_ID: i32 = 14;
const MAP_FREEZE: i32 = 22;
const MAP_LOOKUP_BATCH: i32 = 24;
const MAP_UPDATE_BATCH: i32 = 26;

/// Type of a hash: `BPF_MAP_TYPE_HASH`.
const HASH: u32 = 1;
/// Type of an array: `BPF_MAP_TYPE_ARRAY`.
pub const ARRAY: u32 = 2;
/// Type of a hash that forgets the least recently used key: `BPF_MAP_TYPE_LRU_HASH`.
const LRU_HASH: u32 = 9;
/// Type of a ring buffer: `BPF_MAP_TYPE_RINGBUF`.
pub const RINGBUF: u32 = 27;
/// Flag of a map that can be mapped: `BPF_F_MMAPABLE`.
pub const MMAPABLE: u32 = 1 << 10;
/// Flag of an array in a map of maps, in whose place one of another size may stand: `BPF_F_INNER_MAP`.
pub const INNER_MAP: u32 = 1 << 12;
/// Flag of an update that makes a new entry only: `BPF_NOEXIST`.
pub(in crate::sys::linux) const ONLY_NEW: u64 = 1;
/// Flag of a descriptor, not of its map, that can only be read: `BPF_F_RDONLY`.
const READ_ONLY: u32 = 1 << 3;

/// Start of `union bpf_attr` for the call that makes a map; each call has its own. The kernel takes a shorter one
/// for one whose rest is zero.
#[repr(C)]
struct Create {
    kind: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    flags: u32,
}

#[repr(C)]
struct Element {
    map: u32,
    spare: u32,
    key: u64,
    value: u64,
    flags: u64,
}

#[repr(C)]
struct ById {
    id: u32,
    next: u32,
    flags: u32,
}

#[repr(C)]
struct Batch {
    start: u64,
    next: u64,
    keys: u64,
    values: u64,
    count: u32,
    map: u32,
    element_flags: u64,
    flags: u64,
}

/// Start of `struct bpf_map_info`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct MapInfo {
    /// Type of the map: a number `BPF_MAP_TYPE_…`.
    pub kind: u32,
    /// Number of the map in the machine.
    pub id: u32,
    /// Size of a key, in bytes.
    pub key_size: u32,
    /// Size of a value, in bytes.
    pub value_size: u32,
    /// Number of entries, or a ring's size in bytes.
    pub max_entries: u32,
    /// Flags of the map: bits `BPF_F_…`.
    pub flags: u32,
}

/// Makes a ring buffer.
///
/// # Errors
/// What the kernel says: `EINVAL` if it is no size of a ring, `EPERM` if this user may make none.
pub fn create_ring(bytes: u32) -> io::Result<OwnedFd> {
    create(Create {
        kind: RINGBUF,
        key_size: 0,
        value_size: 0,
        max_entries: bytes,
        flags: 0,
    })
}

/// Makes an array of one value that can be mapped.
///
/// # Errors
/// What the kernel says: `EPERM` if this user may make none.
pub fn create_page(bytes: u32) -> io::Result<OwnedFd> {
    create(Create {
        kind: ARRAY,
        key_size: 4,
        value_size: bytes,
        max_entries: 1,
        flags: MMAPABLE,
    })
}

/// Makes an array of this kind with one place.
#[cfg(test)]
pub(in crate::sys::linux) fn create_array(kind: u32, value_size: u32) -> io::Result<OwnedFd> {
    create(Create {
        kind,
        key_size: 4,
        value_size,
        max_entries: 1,
        flags: 0,
    })
}

/// Reads what map a descriptor is; an error if it is nothing of BPF's at all. A program's answers here as if it were a
/// map: what it truly is, the kernel checks when it is put into a map of maps.
///
/// # Errors
/// What the kernel says: it is nothing of BPF's.
pub fn map_info(map: BorrowedFd<'_>) -> io::Result<MapInfo> {
    let mut info = MapInfo::default();
    let (length, at) = (size_of::<MapInfo>() as u32, (&raw mut info).addr() as u64);
    call(
        OBJ_GET_INFO_BY_FD,
        &mut InfoByFd {
            fd: number(map),
            length,
            info: at,
        },
    )?;
    Ok(info)
}

/// Returns the kernel's number of a map. Also where a filter of system calls keeps an app from asking for it directly.
pub(in crate::sys::linux) fn map_id(map: BorrowedFd<'_>) -> io::Result<u32> {
    map_info(map)
        .map(|info| info.id)
        .or_else(|refused| told(map, "map_id:").ok_or(refused))
}

/// Reads a number that the kernel tells of a descriptor in `fdinfo`, or `None` if it does not tell.
fn told<T: FromStr>(fd: BorrowedFd<'_>, name: &str) -> Option<T> {
    let all = fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_raw_fd())).ok()?;
    all.lines()
        .find_map(|line| line.strip_prefix(name))
        .and_then(|number| number.trim().parse().ok())
}

/// Returns the bytes of kernel memory that a map takes: what the kernel says, or what we know that it takes at least.
/// Kernels before 6.4 say nothing of a ring, and of a table with keys only the keys and values.
pub fn memory(map: BorrowedFd<'_>) -> u64 {
    let said = told(map, "memlock:").unwrap_or(0);
    map_info(map).map_or(said, |info| said.max(at_least(&info)))
}

/// Returns the bytes of kernel memory that a ring takes at least: its data, the pages beside it, and two pointers for
/// each page.
pub fn ring_memory(bytes: u32) -> u64 {
    const PAGE: u64 = 4096;
    let data = u64::from(bytes).next_multiple_of(PAGE);
    data + 3 * PAGE + data / PAGE * 16
}

fn at_least(info: &MapInfo) -> u64 {
    /// Bytes that stand before an entry, and its share of the buckets.
    const BESIDE: u64 = 64;
    let words = |bytes: u32| u64::from(bytes).next_multiple_of(8);
    match info.kind {
        RINGBUF => ring_memory(info.max_entries),
        HASH | LRU_HASH => {
            u64::from(info.max_entries) * (words(info.key_size) + words(info.value_size) + BESIDE)
        }
        _ => 0,
    }
}

/// Freezes a map: from now on only programs can write to it, by no call and no mapping.
///
/// # Errors
/// What the kernel says.
pub fn freeze(map: BorrowedFd<'_>) -> io::Result<()> {
    call(MAP_FREEZE, &mut number(map)).map(drop)
}

/// Opens another descriptor of the map, to look at and to wait on. The kernel lets nobody map anything through it.
/// Needs CAP_SYS_ADMIN.
///
/// # Errors
/// What the kernel says: `EPERM` without the right.
pub fn read_only(map: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let id = map_info(map)?.id;
    call(
        MAP_GET_FD_BY_ID,
        &mut ById {
            id,
            next: 0,
            flags: READ_ONLY,
        },
    )
    .and_then(owned)
}

/// Returns whether a map with this number lives. Needs CAP_SYS_ADMIN.
///
/// # Errors
/// What the kernel says: `EPERM` without the right.
pub fn map_exists(id: u32) -> io::Result<bool> {
    match map_by_id(id) {
        Ok(_) => Ok(true),
        Err(gone) if gone.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        Err(other) => Err(other),
    }
}

/// Reads the value at `key` into `value`; both are as long as the map's. Returns `false` if there is none.
pub(in crate::sys::linux) fn lookup(
    map: BorrowedFd<'_>,
    key: &[u8],
    value: &mut [u8],
) -> io::Result<bool> {
    let (key, value) = (key.as_ptr().addr() as u64, value.as_mut_ptr().addr() as u64);
    let mut element = element(map, key, value, 0);
    match call(MAP_LOOKUP_ELEM, &mut element) {
        Ok(_) => Ok(true),
        Err(none) if none.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        Err(other) => Err(other),
    }
}

/// Sets the value of `key`; both are as long as the map's.
pub(in crate::sys::linux) fn update(
    map: BorrowedFd<'_>,
    key: &[u8],
    value: &[u8],
    flags: u64,
) -> io::Result<()> {
    let (key, value) = (key.as_ptr().addr() as u64, value.as_ptr().addr() as u64);
    call(MAP_UPDATE_ELEM, &mut element(map, key, value, flags)).map(drop)
}

/// Deletes `key`, which is as long as the map's. Returns `false` if it was not there.
pub(in crate::sys::linux) fn delete(map: BorrowedFd<'_>, key: &[u8]) -> io::Result<bool> {
    let key = key.as_ptr().addr() as u64;
    match call(MAP_DELETE_ELEM, &mut element(map, key, 0, 0)) {
        Ok(_) => Ok(true),
        Err(none) if none.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        Err(other) => Err(other),
    }
}

fn element(map: BorrowedFd<'_>, key: u64, value: u64, flags: u64) -> Element {
    Element {
        map: number(map),
        spare: 0,
        key,
        value,
        flags,
    }
}

/// Reads the next entries of a hash, at most `most` of them, for which there is room; returns their number, and whether
/// they were the last. `place` is the kernel's position: it goes on there once it has `started`.
pub(in crate::sys::linux) fn lookup_batch(
    map: BorrowedFd<'_>,
    started: bool,
    place: &mut [u8],
    keys: &mut [u8],
    values: &mut [u8],
    most: usize,
) -> io::Result<(usize, bool)> {
    let at = place.as_mut_ptr().addr() as u64;
    let mut batch = Batch {
        start: if started { at } else { 0 },
        next: at,
        keys: keys.as_mut_ptr().addr() as u64,
        values: values.as_mut_ptr().addr() as u64,
        count: u32::try_from(most).map_err(|_| io::ErrorKind::InvalidInput)?,
        map: number(map),
        element_flags: 0,
        flags: 0,
    };
    let last = match call(MAP_LOOKUP_BATCH, &mut batch) {
        Ok(_) => false,
        Err(end) if end.raw_os_error() == Some(libc::ENOENT) => true,
        Err(other) => return Err(other),
    };
    Ok(((batch.count as usize).min(most), last))
}

/// Opens another descriptor of the map with this number. Needs CAP_SYS_ADMIN.
pub(in crate::sys::linux) fn map_by_id(id: u32) -> io::Result<OwnedFd> {
    let mut by_id = ById {
        id,
        next: 0,
        flags: 0,
    };
    call(MAP_GET_FD_BY_ID, &mut by_id).and_then(owned)
}

/// Makes an array of values of `size` bytes each, filled with `values`,
/// which can be mapped and can stand in a map of maps.
///
/// # Errors
/// What the kernel says; `InvalidInput` if they are more than an array can hold.
pub fn create_filled(values: &[u8], size: u32) -> io::Result<OwnedFd> {
    let count = values.len() / size.max(1) as usize;
    let count = u32::try_from(count).map_err(|_| io::ErrorKind::InvalidInput)?;
    let flags = MMAPABLE | INNER_MAP;
    let array = create(Create {
        kind: ARRAY,
        key_size: 4,
        value_size: size,
        max_entries: count,
        flags,
    })?;
    let keys: Vec<u32> = (0..count).collect();
    let mut batch = Batch {
        start: 0,
        next: 0,
        keys: keys.as_ptr().addr() as u64,
        values: values.as_ptr().addr() as u64,
        count,
        map: number(std::os::fd::AsFd::as_fd(&array)),
        element_flags: 0,
        flags: 0,
    };
    call(MAP_UPDATE_BATCH, &mut batch)?;
    if batch.count == count {
        Ok(array)
    } else {
        Err(io::ErrorKind::WriteZero.into())
    }
}

fn create(mut attr: Create) -> io::Result<OwnedFd> {
    call(MAP_CREATE, &mut attr).and_then(owned)
}
