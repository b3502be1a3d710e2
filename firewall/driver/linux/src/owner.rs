//! Whose socket it is: the process that made it, remembered in the socket's own storage. The service tells of those sockets that
//! are older than the driver.
//!
//! The kernel frees the storage with the socket, and a connection that is accepted inherits its listener's owner.

use crate::kernel::Task;
use crate::packet::Skb;
use crate::tables;
use aya_ebpf::EbpfContext;
use aya_ebpf::bindings::bpf_map_type::BPF_MAP_TYPE_SK_STORAGE;
use aya_ebpf::bindings::{BPF_F_CURRENT_NETNS, BPF_SK_STORAGE_GET_F_CREATE, bpf_sock};
use aya_ebpf::helpers::generated::{
    bpf_get_current_comm, bpf_sk_lookup_tcp, bpf_sk_lookup_udp, bpf_sk_release, bpf_sk_storage_get,
};
use aya_ebpf::macros::btf_map;
use aya_ebpf::programs::SockContext;
use core::ffi::c_void;
use firewall_abi::firewall::Owner;
use firewall_abi::packet::{Direction, PacketHeaders};

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

/// Remembers the current process as the maker of the socket.
#[inline(always)]
pub fn remember(ctx: &SockContext) {
    let Some(owner) = storage(ctx.sock, BPF_SK_STORAGE_GET_F_CREATE.into()) else {
        return;
    };
    owner.pid = ctx.tgid();
    owner.user = ctx.uid();
    // SAFETY: 16 bytes of the socket's storage.
    unsafe { bpf_get_current_comm(owner.name.as_mut_ptr().cast(), 16) };
    owner.program = Task::current().map_or([0; 2], |task| task.program());
}

/// Shows who is at the zone's end of a packet, if that is known: its socket's maker, or of one that comes in at a device,
/// the maker of the socket that will get it.
#[inline(always)]
pub fn with(skb: &Skb, flow: &PacketHeaders, mut see: impl FnMut(&Owner)) {
    let socket = skb.socket();
    let outbound = flow.direction == Direction::Outbound as u8;
    // What comes in at a device may still have the socket that sent it, if that is in the same kernel.
    let senders = !outbound && tables::device(skb.interface()).is_some();
    if socket.is_null() || senders {
        if !outbound {
            with_receiver(skb, flow, see);
        }
    } else if outbound {
        // The user as it is now: who made the socket may have been root, and given it away.
        let mut owner = of(socket);
        owner.user = skb.user();
        see(&owner);
    } else {
        see(&of(socket));
    }
}

#[inline(always)]
fn with_receiver(skb: &Skb, flow: &PacketHeaders, mut see: impl FnMut(&Owner)) {
    const TCP: u8 = 6;
    const UDP: u8 = 17;
    if flow.protocol != TCP && flow.protocol != UDP {
        return;
    }
    let mut words = [0; 9];
    let length = ends(flow, &mut words);
    let (context, ends) = (skb.context().cast(), words.as_mut_ptr().cast());
    let here = BPF_F_CURRENT_NETNS as i64 as u64;
    let socket = if flow.protocol == TCP {
        // SAFETY: the program's own context, and as many bytes of `ends` as said.
        unsafe { bpf_sk_lookup_tcp(context, ends, length, here, 0) }
    } else {
        // SAFETY: as above.
        unsafe { bpf_sk_lookup_udp(context, ends, length, here, 0) }
    };
    if socket.is_null() {
        return;
    }
    see(&of(socket));
    // SAFETY: looked up just now, let go of once.
    unsafe { bpf_sk_release(socket.cast()) };
}

/// Both ends as the kernel's look-up has them (`struct bpf_sock_tuple`, in words), and how many bytes of them count.
#[inline(always)]
fn ends(flow: &PacketHeaders, words: &mut [u32; 9]) -> u32 {
    let ports =
        u32::from(flow.source_port.to_be()) | u32::from(flow.destination_port.to_be()) << 16;
    let (source, destination) = (numbers(flow.source), numbers(flow.destination));
    if flow.ip_version == 4 {
        words[0] = source[3];
        words[1] = destination[3];
        words[2] = ports;
        return 12;
    }
    words[..4].copy_from_slice(&source);
    words[4..8].copy_from_slice(&destination);
    words[8] = ports;
    36
}

#[inline(always)]
fn numbers(address: [u8; 16]) -> [u32; 4] {
    zerocopy::transmute!(address)
}

/// Who made the socket, if that was seen.
#[inline(always)]
fn of(socket: *mut bpf_sock) -> Owner {
    let Some(owner) = storage(socket, 0) else {
        return Owner::NOBODY;
    };
    let Owner {
        pid,
        user,
        name,
        program,
    } = owner;
    Owner {
        pid: tables::read_anew(pid),
        user: tables::read_anew(user),
        name: tables::read_anew(name),
        program: tables::read_anew(program),
    }
}

#[inline(always)]
fn storage<'a>(socket: *mut bpf_sock, flags: u64) -> Option<&'a mut Owner> {
    let owners: *mut c_void = core::ptr::from_ref(&OWNERS).cast_mut().cast();
    // SAFETY: the verifier knows the socket; the kernel checks that it is a whole one.
    let owner = unsafe { bpf_sk_storage_get(owners, socket.cast(), core::ptr::null_mut(), flags) }
        .cast::<Owner>();
    // SAFETY: null, or the kernel's storage for an `Owner`, zeroed when it was made; it outlives the program.
    unsafe { owner.as_mut() }
}
