//! Owner of a socket: the process that made it, or has asked to connect or to send by it, remembered in the socket's
//! own storage. The service tells of those sockets that are older than the driver.
//!
//! The kernel frees the storage with the socket, and a connection that is accepted inherits its listener's owner.
//! Netfilter's programs may not ask for the storage, so they look for it where the kernel keeps it.

use crate::kernel::{self, Task, offset};
use aya_ebpf::EbpfContext;
use aya_ebpf::bindings::BPF_SK_STORAGE_GET_F_CREATE;
use aya_ebpf::bindings::bpf_map_type::BPF_MAP_TYPE_SK_STORAGE;
use aya_ebpf::helpers::generated::{
    bpf_get_current_comm, bpf_get_current_pid_tgid, bpf_get_current_uid_gid, bpf_get_socket_cookie,
    bpf_sk_storage_get,
};
use aya_ebpf::macros::btf_map;
use aya_ebpf::programs::{SockAddrContext, SockContext};
use core::ffi::c_void;
use core::mem::offset_of;
use engine::asking::Asker;
use engine::quota;
use firewall_abi::firewall::Owner;
use firewall_abi::packet::{NO_USER, PacketMeta};

/// `BPF_F_NO_PREALLOC`, which the kernel demands, and `BPF_F_CLONE`: an accepted connection inherits.
const FLAGS: usize = 1 | 1 << 9;

/// The map, as BTF describes one: pointers to arrays stand for numbers. Never read, only its address is used.
#[repr(C)]
struct Sockets {
    r#type: *const [i32; BPF_MAP_TYPE_SK_STORAGE as usize],
    key: *const i32,
    value: *const Owner,
    max_entries: *const [i32; 0],
    map_flags: *const [i32; FLAGS],
}

// SAFETY: as said above; what it stands for is the kernel's, and the kernel's helpers share it.
unsafe impl Sync for Sockets {}

impl Sockets {
    const fn new() -> Self {
        const fn none<T>() -> *const T {
            core::ptr::null()
        }
        Self {
            r#type: none(),
            key: none(),
            value: none(),
            max_entries: none(),
            map_flags: none(),
        }
    }
}

#[btf_map]
static OWNERS: Sockets = Sockets::new();

/// Remembers who makes a socket, and has the kernel give it a number, by which what it begins is known as its own.
#[inline(always)]
pub fn remember_new(ctx: &SockContext) {
    remember(ctx.as_ptr());
    // SAFETY: the program's own context.
    unsafe { bpf_get_socket_cookie(ctx.as_ptr()) };
}

/// The socket by which a process calls somebody.
#[inline(always)]
pub fn of_call(ctx: &SockAddrContext) -> *mut c_void {
    // SAFETY: the program's own context.
    let call = unsafe { &*ctx.sock_addr };
    // SAFETY: a pointer, whatever it is called here.
    unsafe { call.__bindgen_anon_1.sk }.cast()
}

/// Remembers the current process as the owner of the socket. A thread of the kernel that acts for others owns nothing.
#[inline(always)]
pub fn remember(socket: *mut c_void) {
    if socket.is_null() {
        return;
    }
    let Some(task) = Task::current() else {
        return;
    };
    let Some(program) = task.find_program() else {
        return;
    };
    let owners: *mut c_void = core::ptr::from_ref(&OWNERS).cast_mut().cast();
    let create = BPF_SK_STORAGE_GET_F_CREATE.into();
    // SAFETY: the verifier knows the socket; the kernel checks that it is a whole one.
    let owner = unsafe { bpf_sk_storage_get(owners, socket, core::ptr::null_mut(), create) }
        .cast::<Owner>();
    // SAFETY: null, or the kernel's storage for an `Owner`, zeroed when it was made; it outlives the program.
    let Some(owner) = (unsafe { owner.as_mut() }) else {
        return;
    };
    // SAFETY: no preconditions.
    let process = unsafe { bpf_get_current_pid_tgid() };
    // SAFETY: no preconditions.
    let user = unsafe { bpf_get_current_uid_gid() };
    owner.pid = (process >> 32) as u32;
    owner.user = user as u32;
    owner.began_ns = task.process_began().unwrap_or(0);
    // SAFETY: 16 bytes of the socket's storage.
    unsafe { bpf_get_current_comm(owner.name.as_mut_ptr().cast(), 16) };
    owner.program = program;
}

/// No socket's: the kernel counts them from 1.
const NO_STATE: u8 = 0;
/// `TCP_TIME_WAIT`, `TCP_CLOSE` and `TCP_NEW_SYN_RECV`.
const TIME_WAIT: u8 = 6;
const CLOSE: u8 = 7;
const NEW_SYN_RECV: u8 = 12;
const TCP: u16 = 6;

/// Writes down who owns a socket of the kernel, by its address; 0: there is none, and the kernel itself sends.
#[inline(never)]
pub fn of_socket(socket: u64, owner: &mut Owner) {
    if socket == 0 {
        owner.program = PacketMeta::KERNEL;
        owner.user = 0;
        return;
    }
    let state: u8 = kernel::peek(socket, offset!(socket_state));
    owner.program = PacketMeta::UNSURE;
    // The one ends before most of what a socket has; none is in the other.
    if matches!(state, TIME_WAIT | NO_STATE) {
        return;
    }
    let whole = if state == NEW_SYN_RECV {
        kernel::peek(socket, offset!(socket_listener))
    } else {
        socket
    };
    let Some(mut user) = kernel::read(whole, offset!(socket_user)) else {
        return;
    };
    if !find(whole, owner) {
        if let Some(connection) = connection_of(whole) {
            find(connection, owner);
            user = kernel::read(connection, offset!(socket_user)).unwrap_or(NO_USER);
        } else if is_kernels_own(whole, state) {
            owner.program = PacketMeta::KERNEL;
        }
    }
    // The user as it is now: who made the socket may have been root, and given it away.
    owner.user = user;
}

/// The user of a socket of the kernel, by its address; `NO_USER`: not known.
#[inline(always)]
pub fn user_of(socket: u64) -> u32 {
    if socket == 0 {
        return quota::KERNEL;
    }
    let state: u8 = kernel::peek(socket, offset!(socket_state));
    // These end before most of what a socket has.
    if matches!(state, TIME_WAIT | NEW_SYN_RECV | NO_STATE) {
        return NO_USER;
    }
    kernel::read(socket, offset!(socket_user)).unwrap_or(NO_USER)
}

/// `IPPROTO_MPTCP`
const MPTCP: u16 = 262;

/// The socket of a program that a subflow of MPTCP is a part of: a worker of the kernel makes all but the first, as
/// root, and they are whose the connection is.
#[inline(always)]
fn connection_of(socket: u64) -> Option<u64> {
    let protocol: u16 = kernel::peek(socket, offset!(socket_protocol));
    if offset!(subflows.known) == 0 || protocol != TCP {
        return None;
    }
    let context = kernel::follow(socket, offset!(subflows.socket_context))?;
    // Other protocols that lie upon TCP have something else there.
    let back: u64 = kernel::peek(context, offset!(subflows.context_socket));
    let connection: u64 = kernel::peek(context, offset!(subflows.context_connection));
    let is_one =
        back == socket && kernel::peek::<u16>(connection, offset!(socket_protocol)) == MPTCP;
    is_one.then_some(connection)
}

/// Returns whether the kernel made the socket for itself. One of TCP may be a part of a program's own (SMC): nobody's,
/// then.
#[inline(always)]
fn is_kernels_own(socket: u64, state: u8) -> bool {
    let bits: u8 = kernel::read(socket, offset!(socket_kernel)).unwrap_or(0);
    let protocol: u16 = kernel::read(socket, offset!(socket_protocol)).unwrap_or(TCP);
    u64::from(bits) & offset!(socket_kernel_bit) != 0 && (protocol != TCP || state == CLOSE)
}

/// Largest number of others' storages that are looked through for ours.
const MOST: u32 = 8;

/// Reads who owns a socket.
#[inline(always)]
fn find(socket: u64, owner: &mut Owner) -> bool {
    match note_of(socket) {
        Some(note) => kernel::read_into(note, 0, owner),
        None => false,
    }
}

/// Reads who asks for something by a socket of the kernel, as far as that is known.
#[inline(never)]
pub fn asker_of(socket: u64, asker: &mut Asker) {
    let state: u8 = kernel::peek(socket, offset!(socket_state));
    // These end before most of what a socket has.
    if matches!(state, TIME_WAIT | NEW_SYN_RECV | NO_STATE) {
        return;
    }
    asker.cookie = kernel::peek(socket, offset!(socket_cookie));
    let note = note_of(socket).or_else(|| note_of(connection_of(socket)?));
    let Some(note) = note else {
        return;
    };
    const PID: u64 = offset_of!(Owner, pid) as u64;
    const BEGAN: u64 = offset_of!(Owner, began_ns) as u64;
    let began_ns = kernel::peek(note, BEGAN);
    if began_ns != 0 {
        asker.pid = kernel::peek(note, PID);
        asker.began_ns = began_ns;
    }
}

/// Returns the address of our note of a socket, among what others keep with it: a list,
/// each with the address of its map.
#[inline(always)]
fn note_of(socket: u64) -> Option<u64> {
    let ours = (&raw const OWNERS).addr() as u64;
    let storage = kernel::follow(socket, offset!(socket_storage))?;
    let mut node: u64 = kernel::peek(storage, offset!(storage_list));
    let mut n = 0;
    while n < MOST && node != 0 {
        let data = node
            .wrapping_sub(offset!(element_node))
            .wrapping_add(offset!(element_data));
        if kernel::peek::<u64>(data, 0) == ours {
            return Some(data + offset!(data_value));
        }
        node = kernel::peek(node, 0);
        n += 1;
    }
    None
}

/// Returns whether a socket is in the zone's network namespace: those of the control group may be in others.
#[inline(always)]
pub fn is_in(socket: u64, netns: u64) -> bool {
    kernel::follow(socket, offset!(socket_netns))
        .is_some_and(|at| kernel::peek::<u64>(at, offset!(netns_cookie)) == netns)
}
