//! The few `bpf()` calls that an app and the door need, without a library between.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

const MAP_CREATE: i32 = 0;
const MAP_UPDATE_ELEM: i32 = 2;
const MAP_DELETE_ELEM: i32 = 3;
const PROG_TEST_RUN: i32 = 10;
const MAP_GET_FD_BY_ID: i32 = 14;
const OBJ_GET_INFO_BY_FD: i32 = 15;
const MAP_FREEZE: i32 = 22;

/// `BPF_MAP_TYPE_ARRAY`.
pub const ARRAY: u32 = 2;
/// `BPF_MAP_TYPE_RINGBUF`.
pub const RINGBUF: u32 = 27;
/// `BPF_F_MMAPABLE`.
pub const MMAPABLE: u32 = 1 << 10;
/// `BPF_F_RDONLY`: of the descriptor, not of the map.
const READ_ONLY: u32 = 1 << 3;

/// The start of `union bpf_attr` for each call; the kernel takes a shorter one for one whose rest is zero.
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
struct InfoByFd {
    fd: u32,
    length: u32,
    info: u64,
}

#[repr(C)]
struct TestRun {
    program: u32,
    retval: u32,
    size_in: u32,
    size_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    ctx_size_in: u32,
    ctx_size_out: u32,
    ctx_in: u64,
    ctx_out: u64,
}

/// The start of `struct bpf_map_info`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct MapInfo {
    /// `BPF_MAP_TYPE_`.
    pub kind: u32,
    /// The map's number in the machine.
    pub id: u32,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// Entries, or a ring's bytes.
    pub max_entries: u32,
    /// `BPF_F_`, of the map.
    pub flags: u32,
}

/// Makes a ring buffer.
pub fn create_ring(bytes: u32) -> io::Result<OwnedFd> {
    create(Create { kind: RINGBUF, key_size: 0, value_size: 0, max_entries: bytes, flags: 0 })
}

/// Makes an array of one value that can be mapped.
pub fn create_page(bytes: u32) -> io::Result<OwnedFd> {
    create(Create { kind: ARRAY, key_size: 4, value_size: bytes, max_entries: 1, flags: MMAPABLE })
}

/// What a descriptor is; an error if it is nothing of BPF's at all. A program's answers here as if it were a map: what it
/// truly is, the kernel checks when it is put into a map of maps.
pub fn map_info(map: BorrowedFd<'_>) -> io::Result<MapInfo> {
    let mut info = MapInfo::default();
    let (length, at) = (size_of::<MapInfo>() as u32, (&raw mut info).addr() as u64);
    call(OBJ_GET_INFO_BY_FD, &mut InfoByFd { fd: number(map), length, info: at })?;
    Ok(info)
}

/// From now on only programs can write to the map: no call, and no mapping.
pub fn freeze(map: BorrowedFd<'_>) -> io::Result<()> {
    call(MAP_FREEZE, &mut number(map)).map(drop)
}

/// Another descriptor of the map, to look at and to wait on. The kernel lets nobody map anything through it. Needs
/// CAP_SYS_ADMIN.
pub fn read_only(map: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let id = map_info(map)?.id;
    call(MAP_GET_FD_BY_ID, &mut ById { id, next: 0, flags: READ_ONLY }).and_then(owned)
}

/// Whether a map with this number lives. Needs CAP_SYS_ADMIN.
pub fn map_exists(id: u32) -> io::Result<bool> {
    match call(MAP_GET_FD_BY_ID, &mut ById { id, next: 0, flags: 0 }).and_then(owned) {
        Ok(_) => Ok(true),
        Err(gone) if gone.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        Err(other) => Err(other),
    }
}

/// Sets the value of `key`.
pub fn update(map: BorrowedFd<'_>, key: u32, value: &[u8]) -> io::Result<()> {
    let (key, value) = (&raw const key, value.as_ptr());
    let (key, value) = (key.addr() as u64, value.addr() as u64);
    call(MAP_UPDATE_ELEM, &mut Element { map: number(map), spare: 0, key, value, flags: 0 }).map(drop)
}

/// Deletes `key`. From a map of maps, the kernel returns when no running program can still see what was there.
pub fn delete(map: BorrowedFd<'_>, key: u32) -> io::Result<()> {
    let key = (&raw const key).addr() as u64;
    call(MAP_DELETE_ELEM, &mut Element { map: number(map), spare: 0, key, value: 0, flags: 0 }).map(drop)
}

/// Runs a program once on `data`, as if it were a packet, and returns what the program returned. The program's changes
/// are in `data` afterwards.
pub fn run(program: BorrowedFd<'_>, data: &mut [u8]) -> io::Result<u32> {
    let (size, at) = (data.len() as u32, data.as_mut_ptr().addr() as u64);
    let mut attr = TestRun {
        program: number(program),
        retval: 0,
        size_in: size,
        size_out: size,
        data_in: at,
        data_out: at,
        repeat: 1,
        duration: 0,
        ctx_size_in: 0,
        ctx_size_out: 0,
        ctx_in: 0,
        ctx_out: 0,
    };
    call(PROG_TEST_RUN, &mut attr)?;
    Ok(attr.retval)
}

fn create(mut attr: Create) -> io::Result<OwnedFd> {
    call(MAP_CREATE, &mut attr).and_then(owned)
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
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
