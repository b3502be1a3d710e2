//! Links: programs attached to control groups and to netfilter.

use super::{InfoByFd, OBJ_GET_INFO_BY_FD, TO_NETFILTER, call, number, owned};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

const LINK_CREATE: i32 = 28;
const LINK_UPDATE: i32 = 29;
const LINK_DETACH: i32 = 34;

/// Type of a netfilter link: `BPF_LINK_TYPE_NETFILTER`.
const LINK_NETFILTER: u32 = 10;
/// Flag of a netfilter link by which packets come whole: `BPF_F_NETFILTER_IP_DEFRAG`.
const DEFRAGMENTED: u32 = 1;
/// Type of a control group's link: `BPF_LINK_TYPE_CGROUP`.
const LINK_CGROUP: u32 = 3;

#[repr(C)]
struct LinkUpdate {
    link: u32,
    program: u32,
    flags: u32,
    old_program: u32,
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
