//! Addresses of the machine itself, by the kernel's own lists of devices and of their addresses.

use crate::kernel::{self, offset};
use aya_ebpf::helpers::generated::bpf_loop;
use core::ffi::c_void;
use firewall_abi::firewall::LOOPBACK;

/// Upper half of a mapped address's lower word, above the address of IPv4.
pub const MAPPED: u64 = 0xFFFF << 32;

/// Returns whether an address, in two words, is a mapped one of IPv4.
#[inline(always)]
pub const fn is_v4(address: &[u64; 2]) -> bool {
    address[0] == 0 && address[1] >> 32 == MAPPED >> 32
}

/// Result of [`is_own`], a number because eBPF returns nothing else: the address is none of the machine's,
pub const NO: u32 = 0;
/// it is one of them,
pub const YES: u32 = 1;
/// it can't be known.
pub const UNKNOWN: u32 = 2;

/// The machine's own addresses are looked through, device by device.
struct Search {
    address: [u64; 2],
    is_v4: bool,
    /// Head of the list of devices.
    devices: u64,
    /// Position of the search in the list of devices.
    device: u64,
    /// Head of the list of this device's addresses.
    end: u64,
    /// Position of the search in the list of addresses; 0: nowhere.
    at: u64,
    /// `true` if this device is the loopback one, all of whose networks are the machine's own.
    is_loopback: bool,
    /// Result of the search.
    found: u32,
}

/// Largest number of steps of the search.
const MOST_STEPS: u32 = 1 << 14;

/// Returns whether this is an address of a device in this network namespace (`struct net`). Others may be the machine's
/// own by a route: of IPv4 it is known whether there is such a one, and not which; of IPv6 neither.
#[inline(never)]
pub fn is_own(netns: u64, address: &[u64; 2]) -> u32 {
    if offset!(calls.known) == 0 || netns == 0 {
        return UNKNOWN;
    }
    let is_v4 = is_v4(address);
    let devices = netns + offset!(calls.netns_devices);
    let mut search = Search {
        address: *address,
        is_v4,
        devices,
        device: devices,
        end: 0,
        at: 0,
        is_loopback: false,
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
    let by_route = is_v4
        && search.found == NO
        && kernel::read::<u8>(netns, offset!(calls.netns_own_routes_v4)) != Some(0);
    if by_route { UNKNOWN } else { search.found }
}

/// One step. 0: go on.
extern "C" fn step(_: u32, search: *mut Search) -> i64 {
    // SAFETY: the kernel hands on what `is_own` gave it.
    let search = unsafe { &mut *search };
    let done = if search.at == 0 {
        next_device(search)
    } else {
        next_address(search)
    };
    // What can't be read is no answer.
    i64::from(done != Some(false))
}

/// Goes on to the next device; true: there is none.
#[inline(always)]
fn next_device(search: &mut Search) -> Option<bool> {
    search.device = kernel::read(search.device, 0)?;
    if search.device == search.devices {
        search.found = NO;
        return Some(true);
    }
    let device = search.device.wrapping_sub(offset!(calls.device_list));
    search.is_loopback = kernel::read::<u32>(device, offset!(device_index))? == LOOPBACK;
    let (addresses, list) = if search.is_v4 {
        (offset!(calls.device_v4), offset!(calls.v4_list))
    } else {
        (offset!(calls.device_v6), offset!(calls.v6_list))
    };
    let addresses: u64 = kernel::read(device, addresses)?;
    if addresses == 0 {
        return Some(false);
    }
    search.at = kernel::read(addresses, list)?;
    search.end = if search.is_v4 { 0 } else { addresses + list };
    if search.at == search.end {
        search.at = 0;
    }
    Some(false)
}

/// Looks at an address and goes on to the next one; true: it is what is called.
#[inline(always)]
fn next_address(search: &mut Search) -> Option<bool> {
    let [high, low] = search.address;
    let same = if search.is_v4 {
        let address: u32 = kernel::read(search.at, offset!(calls.v4_address))?;
        let mask: u32 = kernel::read(search.at, offset!(calls.v4_mask))?;
        let mask = if search.is_loopback { mask } else { u32::MAX };
        (address ^ (low as u32).to_be()) & mask == 0
    } else {
        let at = search.at.wrapping_sub(offset!(calls.v6_node));
        let address: [u64; 2] = kernel::read(at, offset!(calls.v6_address))?;
        let prefix: u32 = kernel::read(at, offset!(calls.v6_prefix))?;
        let prefix = if search.is_loopback { prefix } else { 128 };
        (u64::from_be(address[0]) ^ high) & first_bits(prefix) == 0
            && (u64::from_be(address[1]) ^ low) & first_bits(prefix.saturating_sub(64)) == 0
    };
    if same {
        search.found = YES;
        return Some(true);
    }
    search.at = if search.is_v4 {
        kernel::read(search.at, offset!(calls.v4_next))?
    } else {
        kernel::read(search.at, 0)?
    };
    if search.at == search.end {
        search.at = 0;
    }
    Some(false)
}

/// A word whose first bits are set, at most all.
#[inline(always)]
const fn first_bits(count: u32) -> u64 {
    if count >= 64 {
        u64::MAX
    } else {
        !(u64::MAX >> count)
    }
}
