//! Bridges that lead to guests of this machine alone, by the kernel's own lists of devices and of network namespaces.
//!
//! A bridge's name says nothing of that, and what is true of one now need not be so once it has another port. So
//! whenever the rules ask, its ports are looked through: each has to be a virtual machine's or another program's (tap),
//! or to have its other end in a namespace that was made after the zone's own.
//! One that is older is where the zone itself is a guest.

use crate::kernel::{self, offset};
use crate::tables::InForce;
use aya_ebpf::helpers::generated::{bpf_loop, bpf_probe_read_kernel_str};
use core::ffi::c_void;
use firewall_abi::packet::{GUESTS, MAYBE_GUESTS};
use firewall_abi::rules::NEEDS_GUESTS;

/// The ports are looked through, and of one that leads to a namespace all that are younger than the zone's.
struct Search {
    /// The zone's network namespace (`struct net`).
    zone: u64,
    /// `true` if all other namespaces are younger.
    is_first: bool,
    /// Head of the list of ports.
    ports: u64,
    /// and where the search is in it.
    port: u64,
    /// The namespace that is looked for; 0: none is.
    wanted: u64,
    /// Position of the search in the list of namespaces.
    at: u64,
    /// `true` if there was a port at all.
    any: bool,
    /// Result of the search.
    found: i32,
}

/// Largest number of steps of the search: a bridge has 1024 ports at most.
const MOST_STEPS: u32 = 1 << 13;

/// Result of [`gatebell_guests`], a number because eBPF returns nothing else: the device is no bridge that leads to
/// guests alone, or nobody asks,
pub const NO: i32 = 0;
/// it is one,
const YES: i32 = 1;
/// it can't be known.
const UNKNOWN: i32 = 2;

/// Returns the bits that stand before a device's name for this result.
#[inline(always)]
pub const fn before_name(found: i32) -> u64 {
    const KIND: u32 = GUESTS.trailing_zeros();
    const { assert!(GUESTS == (YES as u64) << KIND && MAYBE_GUESTS == (UNKNOWN as u64) << KIND) };
    (found as u64 & 3) << KIND
}

/// Returns whether the device at this address leads to guests alone. Unless it is asked for anyway (1), only rules ask.
///
/// A global function for the verifier, as `gatebell_classify` is.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn gatebell_guests(device: u64, anyway: u32) -> i32 {
    let asked = anyway == 1
        || engine::head(&InForce::now()).is_some_and(|head| head.needs & NEEDS_GUESTS != 0);
    if !asked || device == 0 {
        return NO;
    }
    if offset!(guests.known) == 0 {
        return UNKNOWN;
    }
    match kind_of(device) {
        Some(BRIDGE) => {}
        Some(_) => return NO,
        None => return UNKNOWN,
    }
    let Some(zone) = kernel::read::<u64>(device, offset!(guests.device_netns)) else {
        return UNKNOWN;
    };
    let Some(is_first) = is_first(zone) else {
        return UNKNOWN;
    };
    let ports = device + offset!(guests.device_lower);
    let mut search = Search {
        zone,
        is_first,
        ports,
        port: ports,
        wanted: 0,
        at: 0,
        any: false,
        found: UNKNOWN,
    };
    let callback: extern "C" fn(u32, *mut Search) -> i64 = step;
    // SAFETY: the verifier checks the function as a program of its own; `search` outlives the loop.
    unsafe {
        bpf_loop(
            MOST_STEPS,
            callback as *mut c_void,
            (&raw mut search).cast(),
            0,
        )
    };
    search.found
}

/// One step. 0: go on. What can't be read is no answer.
extern "C" fn step(_: u32, search: *mut Search) -> i64 {
    // SAFETY: the kernel hands on what `gatebell_guests` gave it.
    let search = unsafe { &mut *search };
    let done = if search.wanted == 0 {
        next_port(search)
    } else {
        next_namespace(search)
    };
    i64::from(done != Some(false))
}

/// Goes on to the next port; true: there is none, or it leads elsewhere.
#[inline(always)]
fn next_port(search: &mut Search) -> Option<bool> {
    search.port = kernel::read(search.port, 0)?;
    if search.port == search.ports {
        search.found = if search.any { YES } else { NO };
        return Some(true);
    }
    search.any = true;
    let neighbour = search.port.wrapping_sub(offset!(guests.neighbour_list));
    let device: u64 = kernel::read(neighbour, offset!(guests.neighbour_device))?;
    match kind_of(device)? {
        // What a program reads and writes: a virtual machine's, mostly.
        TAP => return Some(false),
        VETH => {}
        _ => {
            search.found = NO;
            return Some(true);
        }
    }
    // What its kind keeps begins with the other end, which has this one there: no other structure does.
    let peer: u64 = kernel::read(device, offset!(guests.device_private))?;
    let back: u64 = kernel::read(peer, offset!(guests.device_private))?;
    let netns: u64 = kernel::read(peer, offset!(guests.device_netns))?;
    if back != device {
        return None;
    }
    if netns == search.zone {
        search.found = NO;
        return Some(true);
    }
    if !search.is_first {
        search.wanted = netns;
        search.at = search.zone + offset!(guests.netns_list);
    }
    Some(false)
}

/// Goes on to the next younger namespace; true: the one that is looked for is not among them.
#[inline(always)]
fn next_namespace(search: &mut Search) -> Option<bool> {
    search.at = kernel::read(search.at, 0)?;
    let netns = search.at.wrapping_sub(offset!(guests.netns_list));
    if netns == search.wanted {
        search.wanted = 0;
        return Some(false);
    }
    let at_the_end = !is_namespace(netns);
    if at_the_end {
        search.found = NO;
    }
    Some(at_the_end)
}

/// Returns whether no namespace is older than this one: before it then stands the list's head, which is no namespace.
#[inline(always)]
fn is_first(netns: u64) -> Option<bool> {
    /// `list_head.prev`
    const PREVIOUS: u64 = 8;
    let before: u64 = kernel::read(netns, offset!(guests.netns_list) + PREVIOUS)?;
    let before = before.wrapping_sub(offset!(guests.netns_list));
    Some(!is_namespace(before))
}

/// Returns whether a namespace is at this address: its loopback device is in it.
#[inline(always)]
fn is_namespace(netns: u64) -> bool {
    let device: Option<u64> = kernel::read(netns, offset!(guests.netns_loopback));
    device
        .and_then(|device| kernel::read::<u64>(device, offset!(guests.device_netns)))
        .is_some_and(|of_device| of_device == netns)
}

/// Kinds of devices, as the kernel calls them.
const BRIDGE: u64 = u64::from_ne_bytes(*b"bridge\0\0");
const VETH: u64 = u64::from_ne_bytes(*b"veth\0\0\0\0");
const TAP: u64 = u64::from_ne_bytes(*b"tun\0\0\0\0\0");

/// The first letters of what a device is; 0: it is a network card, or another that nobody made.
#[inline(always)]
fn kind_of(device: u64) -> Option<u64> {
    let link: u64 = kernel::read(device, offset!(guests.device_link))?;
    if link == 0 {
        return Some(0);
    }
    let kind: u64 = kernel::read(link, offset!(guests.link_kind))?;
    let mut name = 0_u64;
    let (to, from) = ((&raw mut name).cast(), kind as *const c_void);
    // SAFETY: the helper checks the address, and writes no more than there is room for.
    let length = unsafe { bpf_probe_read_kernel_str(to, size_of::<u64>() as u32, from) };
    (length > 0).then_some(name)
}
