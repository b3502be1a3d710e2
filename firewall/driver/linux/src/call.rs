//! Somebody of the zone asks for a connection: what the rules refuse for certain is refused at once. The first packet would only be
//! dropped, and whoever waits for its answer waits long.
//!
//! Of that packet it is known here who sends it and, unless it is translated, where to; by which device and from where it goes
//! comes out as it leaves. So what is not certain here is left to the packet; what is missed of it docs/rules.md says.
//! Datagrams are not judged here: to connect a socket for them sends none, and one that is dropped is an error for its sender.

use crate::judge;
use crate::kernel::{self, offset};
use crate::owner;
use crate::tables::{self, InForce};
use aya_ebpf::bindings::bpf_sock_addr;
use aya_ebpf::helpers::generated::bpf_loop;
use core::ffi::c_void;
use engine::connection::decide_alone;
use engine::{Parsed, Shape};
use firewall_abi::firewall::{LOOPBACK, Owner};
use firewall_abi::packet::{Decision, Direction, Local, PacketHeaders, Verdict};

const TCP: u8 = 6;
const SYN: u8 = 2;

/// What stands in the lower half of a mapped address, above it.
const MAPPED: u64 = 0xFFFF << 32;

/// Whether somebody may ask for this connection; if not, that is counted and told. Its first packet is judged in any case.
#[inline(never)]
pub fn may(call: *const bpf_sock_addr, six: bool) -> bool {
    if offset!(calls.known) == 0 {
        return true;
    }
    // SAFETY: the program's own context.
    let protocol = unsafe { &raw const (*call).protocol };
    // SAFETY: likewise. Volatile, here and below: the verifier takes no other width.
    if unsafe { protocol.read_volatile() } != TCP.into() {
        return true;
    }
    let Some(socket) = kernel::read::<u64>(call as u64, offset!(calls.socket)) else {
        return true;
    };
    let address = if six { called6(call) } else { called4(call) };
    // SAFETY: the program's own context.
    let port = unsafe { &raw const (*call).user_port };
    // SAFETY: likewise.
    let port = unsafe { port.read_volatile() };
    let mut packet = first_packet(address, u16::from_be(port as u16));
    may_send(socket, &mut packet)
}

/// The address that is called, as two words of which the higher one is first; one of IPv4 is mapped.
#[inline(always)]
fn called4(call: *const bpf_sock_addr) -> [u64; 2] {
    // SAFETY: the program's own context.
    let address = unsafe { &raw const (*call).user_ip4 };
    // SAFETY: likewise.
    let address = unsafe { address.read_volatile() };
    [0, MAPPED | u64::from(u32::from_be(address))]
}

/// The same of who calls by a socket of IPv6.
#[inline(always)]
fn called6(call: *const bpf_sock_addr) -> [u64; 2] {
    // SAFETY: the program's own context.
    let words = unsafe { &raw const (*call).user_ip6 }.cast::<u32>();
    let word = |at: usize| {
        // SAFETY: one of the four.
        let word = unsafe { words.add(at) };
        // SAFETY: likewise.
        u64::from(u32::from_be(unsafe { word.read_volatile() }))
    };
    [word(0) << 32 | word(1), word(2) << 32 | word(3)]
}

/// The first packet, as far as it is known.
#[inline(always)]
fn first_packet(address: [u64; 2], port: u16) -> Parsed {
    let [high, low] = address.map(u64::to_be_bytes);
    let (source, ip_version) = if is_v4(address) {
        ([[0; 8], MAPPED.to_be_bytes()], 4)
    } else {
        ([[0; 8]; 2], 6)
    };
    Parsed {
        flow: PacketHeaders {
            source: zerocopy::transmute!(source),
            destination: zerocopy::transmute!([high, low]),
            source_port: 0,
            destination_port: port,
            protocol: TCP,
            ip_version,
            direction: Direction::Outbound as u8,
            tcp_flags: SYN,
        },
        shape: Shape::Whole,
    }
}

#[inline(always)]
const fn is_v4(address: [u64; 2]) -> bool {
    address[0] == 0 && address[1] >> 32 == MAPPED >> 32
}

/// Where a packet goes, in two words.
#[inline(always)]
fn destination(flow: &PacketHeaders) -> [u64; 2] {
    let words: [u64; 2] = zerocopy::transmute!(flow.destination);
    words.map(u64::from_be)
}

/// Whether the socket may send the first packet, as far as that is known.
#[inline(always)]
fn may_send(socket: u64, packet: &mut Parsed) -> bool {
    let rules = InForce::now();
    let Some(head) = engine::head(&rules) else {
        return true;
    };
    // No address: the kernel takes one of the machine's own.
    let is_unspecified = matches!(destination(&packet.flow), [0, 0 | MAPPED]);
    if head.generation == 0 || is_unspecified || !tables::is_zones(socket) {
        return true;
    }
    let mut decision = Decision::default();
    let alone = if tables::service_is_gone() {
        decide_alone(&rules)
    } else {
        None
    };
    match alone {
        Some(alone) => decision = alone,
        None => ask(socket, packet, &mut decision),
    }
    if decision.verdict != Verdict::Block as u8 {
        return true;
    }
    // What never leaves the machine passes unseen.
    if !judge::judges_loopback(&rules) && stays(socket, &packet.flow) {
        return true;
    }
    rules.count(head, decision.rule);
    settle(socket, &packet.flow, &decision);
    false
}

/// Asks the rules, uncounted. What they leave to people, or to what is not known yet, is left to the packet.
#[inline(never)]
fn ask(socket: u64, packet: &mut Parsed, decision: &mut Decision) {
    let mut local = Local::UNKNOWN;
    find_caller(socket, &packet.flow, &mut local);
    judge::gatebell_classify(packet, &mut local, 0, decision);
}

/// Finds out who calls, and what of the call is known. By itself, for the small stack's sake.
#[inline(never)]
fn find_caller(socket: u64, flow: &PacketHeaders, local: &mut Local) {
    let mut owner = Owner::NOBODY;
    owner::of_socket(socket, &mut owner);
    local.program = owner.program;
    local.user = owner.user;
    // What can't be known may be.
    local.later = if may_translate(socket, flow.ip_version) == Some(false) {
        Local::CALL
    } else {
        Local::CALL_TRANSLATED
    };
}

/// Counts and tells what was refused.
#[inline(never)]
fn settle(socket: u64, flow: &PacketHeaders, decision: &Decision) {
    tables::count_refused_connect();
    if decision.log == 1 {
        judge::report_call(socket, flow, decision);
    }
}

/// `NF_INET_LOCAL_OUT`.
const LOCAL_OUT: u64 = 3;
/// How the kernel's hooks are in order: between these stands what translates where a packet goes (`NF_IP_PRI_NAT_DST`, and IPVS
/// right behind it).
const TRANSLATORS: core::ops::Range<i32> = -100..0;
/// Where chains stand that filter (`NF_IP_PRI_FILTER`): taken for such that rewrite nothing. At any other place before our own
/// (`hooks.rs` of the service has it), a chain of nftables is there to change something, an address maybe.
const FILTER: i32 = 0;
const OURS: i32 = 50;
/// `NF_HOOK_OP_NF_TABLES`: it runs a chain of nftables.
const RUNS_CHAIN: u8 = 1;
/// How many hooks are looked at.
const MOST_HOOKS: u64 = 16;
/// `size_of` a `struct nf_hook_entry`: a function and what it is given.
const HOOK: u64 = 16;

/// Whether the address may be another one before the rules see it; none: that can't be known.
#[inline(always)]
fn may_translate(socket: u64, ip_version: u8) -> Option<bool> {
    let netns: u64 = kernel::read(socket, offset!(socket_netns))?;
    let hooks = if ip_version == 4 {
        offset!(calls.netns_hooks_v4)
    } else {
        offset!(calls.netns_hooks_v6)
    };
    let hooks: u64 = kernel::read(netns + LOCAL_OUT * 8, hooks)?;
    if hooks == 0 {
        return Some(false);
    }
    let count = u64::from(kernel::read::<u16>(hooks, offset!(calls.hooks_count))?);
    let first = hooks + u64::from(offset!(calls.hooks_first));
    let descriptions = first + count * HOOK;
    let mut n = 0;
    while n < MOST_HOOKS {
        if n >= count {
            return Some(false);
        }
        let description: u64 = kernel::read(descriptions + n * 8, 0)?;
        let priority: i32 = kernel::read(description, offset!(calls.hook_priority))?;
        if priority >= OURS {
            return Some(false);
        }
        if TRANSLATORS.contains(&priority) {
            let given: u64 = kernel::read(first + n * HOOK, offset!(calls.hook_private))?;
            // The kernel's own hook of translation stands there too if nothing is translated here: it is given an empty list.
            if priority != TRANSLATORS.start || given == 0 || kernel::read::<u64>(given, 0)? != 0 {
                return Some(true);
            }
        } else if priority != FILTER
            && kernel::read::<u8>(description, offset!(calls.hook_kind))? == RUNS_CHAIN
        {
            return Some(true);
        }
        n += 1;
    }
    None
}

/// The machine's own addresses are looked through, device by device.
struct Search {
    address: [u64; 2],
    is_v4: bool,
    /// What the list of devices begins and ends with.
    devices: u64,
    /// The place in that list.
    device: u64,
    /// What the list of this device's addresses ends with.
    end: u64,
    /// The place in that list; 0: none.
    at: u64,
    /// Whether this device is the loopback one, all of whose networks are the machine's own.
    is_loopback: bool,
    /// Whether it was found that it is one of them, or that it is none.
    found: Option<bool>,
}

/// How many steps this may take.
const MOST_STEPS: u32 = 1 << 14;

/// Whether what is called is, or may be, the machine itself.
#[inline(never)]
fn stays(socket: u64, flow: &PacketHeaders) -> bool {
    const LOOPBACK_V4: u64 = MAPPED >> 24 | 127;
    let address = destination(flow);
    if address == [0, 1] || address[0] == 0 && address[1] >> 24 == LOOPBACK_V4 {
        return true;
    }
    let Some(netns) = kernel::read::<u64>(socket, offset!(socket_netns)) else {
        return true;
    };
    let is_v4 = is_v4(address);
    // Somebody has said of others that they are the machine's own: which, the routes know.
    if is_v4 && kernel::read::<u8>(netns, offset!(calls.netns_own_routes_v4)) != Some(0) {
        return true;
    }
    let devices = netns + u64::from(offset!(calls.netns_devices));
    let mut search = Search {
        address,
        is_v4,
        devices,
        device: devices,
        end: 0,
        at: 0,
        is_loopback: false,
        found: None,
    };
    let turn: extern "C" fn(u32, *mut Search) -> i64 = step;
    // SAFETY: the verifier checks the function as a program of its own; `search` outlives the loop.
    unsafe { bpf_loop(MOST_STEPS, turn as *mut c_void, (&raw mut search).cast(), 0) };
    search.found != Some(false)
}

/// One step. 0: go on.
extern "C" fn step(_: u32, search: *mut Search) -> i64 {
    // SAFETY: the kernel hands on what `stays` gave it.
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
        search.found = Some(false);
        return Some(true);
    }
    let device = search
        .device
        .wrapping_sub(offset!(calls.device_list).into());
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
    search.end = if search.is_v4 {
        0
    } else {
        addresses + u64::from(list)
    };
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
        let at = search.at.wrapping_sub(offset!(calls.v6_node).into());
        let address: [u64; 2] = kernel::read(at, offset!(calls.v6_address))?;
        let prefix: u32 = kernel::read(at, offset!(calls.v6_prefix))?;
        let prefix = if search.is_loopback { prefix } else { 128 };
        (u64::from_be(address[0]) ^ high) & first_bits(prefix) == 0
            && (u64::from_be(address[1]) ^ low) & first_bits(prefix.saturating_sub(64)) == 0
    };
    if same {
        search.found = Some(true);
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
