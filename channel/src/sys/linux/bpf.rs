//! Wrappers of the few `bpf()` calls that an app, the device server and a service need, without a library between.

use std::ffi::{CStr, CString};
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::str::FromStr;

const MAP_CREATE: i32 = 0;
const MAP_LOOKUP_ELEM: i32 = 1;
const MAP_UPDATE_ELEM: i32 = 2;
const MAP_DELETE_ELEM: i32 = 3;
const PROG_LOAD: i32 = 5;
const OBJ_PIN: i32 = 6;
const OBJ_GET: i32 = 7;
const PROG_TEST_RUN: i32 = 10;
const MAP_GET_FD_BY_ID: i32 = 14;
const OBJ_GET_INFO_BY_FD: i32 = 15;
const BTF_LOAD: i32 = 18;
const MAP_FREEZE: i32 = 22;
const MAP_LOOKUP_BATCH: i32 = 24;
const MAP_UPDATE_BATCH: i32 = 26;
const LINK_CREATE: i32 = 28;
const LINK_UPDATE: i32 = 29;
const LINK_DETACH: i32 = 34;

/// Type of a netfilter program: `BPF_PROG_TYPE_NETFILTER`. The next constant is `BPF_NETFILTER`, as which it is
/// attached.
const NETFILTER: u32 = 32;
const TO_NETFILTER: u32 = 45;
/// Type of a netfilter link: `BPF_LINK_TYPE_NETFILTER`.
const LINK_NETFILTER: u32 = 10;
/// Flag of a netfilter link by which packets come whole: `BPF_F_NETFILTER_IP_DEFRAG`.
const DEFRAGMENTED: u32 = 1;

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
/// Type of a control group's link: `BPF_LINK_TYPE_CGROUP`.
const LINK_CGROUP: u32 = 3;
/// Flag of an update that makes a new entry only: `BPF_NOEXIST`.
pub(super) const ONLY_NEW: u64 = 1;
/// Flag of a descriptor, not of its map, that can only be read: `BPF_F_RDONLY`.
const READ_ONLY: u32 = 1 << 3;

/// Start of `union bpf_attr` for the call that makes a map; each call has its own below. The kernel takes a shorter one
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
struct Object {
    path: u64,
    fd: u32,
    flags: u32,
}

#[repr(C)]
struct LinkUpdate {
    link: u32,
    program: u32,
    flags: u32,
    old_program: u32,
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

/// Start of `struct bpf_link_info`, as far as a control group's link has it.
#[derive(Default)]
#[repr(C)]
struct LinkInfo {
    kind: u32,
    id: u32,
    program: u32,
    spare: u32,
    cgroup: u64,
    attach_type: u32,
    last: u32,
}

/// Start of `struct bpf_link_info`, as far as a netfilter link has it.
#[derive(Default)]
#[repr(C)]
struct NetfilterInfo {
    kind: u32,
    id: u32,
    program: u32,
    spare: u32,
    family: u32,
    hook: u32,
    priority: i32,
    flags: u32,
}

#[repr(C)]
struct TypeData {
    data: u64,
    log: u64,
    size: u32,
    log_size: u32,
    log_level: u32,
    spare: u32,
}

#[repr(C)]
struct Program {
    kind: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    device: u32,
    attach_type: u32,
    type_data: u32,
    function_size: u32,
    functions: u64,
    function_count: u32,
    line_size: u32,
    lines: u64,
    line_count: u32,
    spare: u32,
}

#[repr(C)]
struct NetfilterLink {
    program: u32,
    target: u32,
    attach_type: u32,
    flags: u32,
    place: NetfilterPlace,
}

/// Place in the IP stack at which a netfilter program is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct NetfilterPlace {
    /// Protocol family: a number `NFPROTO_…`.
    pub family: u32,
    /// Hook of that family: a number `NF_INET_…`.
    pub hook: u32,
    /// Priority at the hook: programs with lower ones are called before.
    pub priority: i32,
    flags: u32,
}

impl NetfilterPlace {
    /// Makes a place at which packets come whole: fragments are put together before, on any way that leads there.
    pub const fn defragmented(family: u32, hook: u32, priority: i32) -> Self {
        Self {
            family,
            hook,
            priority,
            flags: DEFRAGMENTED,
        }
    }
}

/// A netfilter program, as the kernel is to load it.
#[derive(Debug)]
pub struct NetfilterProgram<'a> {
    /// Name in lists of programs; what does not fit into 15 bytes is left out.
    pub name: &'a str,
    /// Instructions of the program, eight bytes each.
    pub instructions: &'a [u8],
    /// Licence of the program.
    pub license: &'a CStr,
    /// Descriptor of the kernel's of the type data (BTF) that the program was built with.
    pub type_data: BorrowedFd<'a>,
    /// Records that say which function of the type data starts where, and the size of one in bytes.
    pub functions: (&'a [u8], usize),
    /// Records that say which line of the source is where, and the size of one in bytes.
    pub lines: (&'a [u8], usize),
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
pub(super) fn create_array(kind: u32, value_size: u32) -> io::Result<OwnedFd> {
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
pub(super) fn map_id(map: BorrowedFd<'_>) -> io::Result<u32> {
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
pub(super) fn lookup(map: BorrowedFd<'_>, key: &[u8], value: &mut [u8]) -> io::Result<bool> {
    let (key, value) = (key.as_ptr().addr() as u64, value.as_mut_ptr().addr() as u64);
    let mut element = element(map, key, value, 0);
    match call(MAP_LOOKUP_ELEM, &mut element) {
        Ok(_) => Ok(true),
        Err(none) if none.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        Err(other) => Err(other),
    }
}

/// Sets the value of `key`; both are as long as the map's.
pub(super) fn update(map: BorrowedFd<'_>, key: &[u8], value: &[u8], flags: u64) -> io::Result<()> {
    let (key, value) = (key.as_ptr().addr() as u64, value.as_ptr().addr() as u64);
    call(MAP_UPDATE_ELEM, &mut element(map, key, value, flags)).map(drop)
}

/// Deletes `key`, which is as long as the map's. Returns `false` if it was not there.
pub(super) fn delete(map: BorrowedFd<'_>, key: &[u8]) -> io::Result<bool> {
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
pub(super) fn lookup_batch(
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
pub(super) fn map_by_id(id: u32) -> io::Result<OwnedFd> {
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

/// Puts another program in place of a link's: every packet meets the old one or the new one.
///
/// # Errors
/// What the kernel says: the link takes no other program.
pub fn update_link(link: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    let mut attr = LinkUpdate {
        link: number(link),
        program: number(program),
        flags: 0,
        old_program: 0,
    };
    call(LINK_UPDATE, &mut attr).map(drop)
}

/// Takes a link's program off now, whoever still holds the link. Returns `false` for a kind of link that has no such
/// call: it ends with the last who holds it, a little later.
///
/// # Errors
/// What the kernel says.
pub fn detach_link(link: BorrowedFd<'_>) -> io::Result<bool> {
    match call(LINK_DETACH, &mut number(link)) {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Returns the number of the control group that a link is at, which is its folder's inode, or `None` if it is another
/// kind of link, or its control group is gone.
///
/// # Errors
/// What the kernel says: it is nothing of BPF's.
pub fn link_cgroup(link: BorrowedFd<'_>) -> io::Result<Option<u64>> {
    let mut info = LinkInfo::default();
    let (length, at) = (size_of::<LinkInfo>() as u32, (&raw mut info).addr() as u64);
    call(
        OBJ_GET_INFO_BY_FD,
        &mut InfoByFd {
            fd: number(link),
            length,
            info: at,
        },
    )?;
    Ok((info.kind == LINK_CGROUP && info.cgroup != 0).then_some(info.cgroup))
}

/// Loads the type data (BTF) of programs into the kernel.
///
/// # Errors
/// What the kernel says: it is not well formed.
pub fn load_type_data(data: &[u8]) -> io::Result<OwnedFd> {
    call(
        BTF_LOAD,
        &mut TypeData {
            data: data.as_ptr().addr() as u64,
            log: 0,
            size: length(data, 1)?,
            log_size: 0,
            log_level: 0,
            spare: 0,
        },
    )
    .and_then(owned)
}

/// Loads a netfilter program: the kernel checks and takes it. If it is refused, what the verifier says stands in `log`,
/// up to a zero.
///
/// # Errors
/// What the kernel says: its verifier refuses the program.
pub fn load_netfilter(program: &NetfilterProgram<'_>, log: &mut [u8]) -> io::Result<OwnedFd> {
    let NetfilterProgram {
        name,
        instructions,
        license,
        type_data,
        functions,
        lines,
    } = program;
    let mut short = [0; 16];
    let fits = name.len().min(15);
    short[..fits].copy_from_slice(&name.as_bytes()[..fits]);
    call(
        PROG_LOAD,
        &mut Program {
            kind: NETFILTER,
            instruction_count: length(instructions, 8)?,
            instructions: instructions.as_ptr().addr() as u64,
            license: license.as_ptr().addr() as u64,
            log_level: u32::from(!log.is_empty()),
            log_size: length(log, 1)?,
            log: if log.is_empty() {
                0
            } else {
                log.as_mut_ptr().addr() as u64
            },
            kernel_version: 0,
            flags: 0,
            name: short,
            device: 0,
            attach_type: TO_NETFILTER,
            type_data: number(*type_data),
            function_size: functions.1 as u32,
            functions: functions.0.as_ptr().addr() as u64,
            function_count: length(functions.0, functions.1)?,
            line_size: lines.1 as u32,
            lines: lines.0.as_ptr().addr() as u64,
            line_count: length(lines.0, lines.1)?,
            spare: 0,
        },
    )
    .and_then(owned)
}

/// Returns the number of entries of this size.
fn length(bytes: &[u8], size: usize) -> io::Result<u32> {
    let count = bytes.len().checked_div(size).unwrap_or(0);
    u32::try_from(count).map_err(|_| io::ErrorKind::InvalidInput.into())
}

/// Attaches a program of netfilter, in the network namespace of the calling thread.
///
/// # Errors
/// What the kernel says: somebody stands in that place.
pub fn link_netfilter(program: BorrowedFd<'_>, place: NetfilterPlace) -> io::Result<OwnedFd> {
    call(
        LINK_CREATE,
        &mut NetfilterLink {
            program: number(program),
            target: 0,
            attach_type: TO_NETFILTER,
            flags: 0,
            place,
        },
    )
    .and_then(owned)
}

/// Returns the place of a netfilter link, or `None` if it is another kind of link.
///
/// # Errors
/// What the kernel says: it is nothing of BPF's.
pub fn netfilter_place(link: BorrowedFd<'_>) -> io::Result<Option<NetfilterPlace>> {
    let mut info = NetfilterInfo::default();
    let (length, at) = (
        size_of::<NetfilterInfo>() as u32,
        (&raw mut info).addr() as u64,
    );
    call(
        OBJ_GET_INFO_BY_FD,
        &mut InfoByFd {
            fd: number(link),
            length,
            info: at,
        },
    )?;
    Ok((info.kind == LINK_NETFILTER).then_some(NetfilterPlace {
        family: info.family,
        hook: info.hook,
        priority: info.priority,
        flags: info.flags,
    }))
}

fn name(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| io::ErrorKind::InvalidInput.into())
}

/// Runs a program once on `data`, as if it were a packet, and returns what the program returned. The program's changes
/// are in `data` afterwards.
///
/// # Errors
/// What the kernel says.
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
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}
