//! Somebody of the zone asks for a connection: what the rules refuse for certain is refused at once. The first packet
//! would only be dropped, and the program that waits for its answer waits long.
//!
//! Of that packet it is known here who sends it and, unless it is translated, where to; by which device and from where
//! it goes comes out as it leaves. So what is not certain here is left to the packet; what is missed of it
//! docs/rules.md says. Datagrams are not judged here: to connect a socket for them sends none,
//! and one that is dropped is an error for its sender.

use crate::classify;
use crate::judge;
use crate::kernel::{self, offset};
use crate::local_addresses::{self, MAPPED, is_v4};
use crate::report;
use crate::socket_owner;
use crate::tables::{self, InForce};
use aya_ebpf::bindings::bpf_sock_addr;
use aya_ebpf::helpers::generated::bpf_set_retval;
use engine::connection::decide_alone;
use engine::{Parsed, Shape};
use firewall_abi::firewall::Owner;
use firewall_abi::packet::{Decision, Direction, PacketHeaders, PacketMeta, Verdict};
use firewall_abi::rules::NEEDS_NAMES;

const TCP: u8 = 6;
const SYN: u8 = 2;

/// Returns whether this connect is allowed; if not, counts and tells it. The first packet is judged in any case.
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
    let Some(socket) = kernel::follow(call as u64, offset!(calls.socket)) else {
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

/// Returns the address called by a socket of IPv6.
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
    let (source, ip_version) = if is_v4(&address) {
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

/// Returns a packet's destination, in two words.
#[inline(always)]
fn destination(flow: &PacketHeaders) -> [u64; 2] {
    let words: [u64; 2] = zerocopy::transmute!(flow.destination);
    words.map(u64::from_be)
}

/// Returns whether the socket may send the first packet, as far as that is known.
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
    if !Verdict::refuses(decision.verdict) {
        return true;
    }
    // What never leaves the machine passes unseen.
    if !judge::judges_loopback(&rules) && stays(socket, &packet.flow) {
        return true;
    }
    rules.count(head, decision.rule);
    settle(socket, &packet.flow, &decision);
    if decision.verdict == Verdict::Reject as u8 {
        // SAFETY: a number; it becomes what the call says, for the program refuses it.
        unsafe { bpf_set_retval(-CONNECTION_REFUSED) };
    }
    false
}

/// `ECONNREFUSED`. Else the call says `EPERM`.
const CONNECTION_REFUSED: i32 = 111;

/// Asks the rules, uncounted. What they leave to people, or to what is not known yet, is left to the packet.
#[inline(never)]
fn ask(socket: u64, packet: &mut Parsed, decision: &mut Decision) {
    let mut local = PacketMeta::UNKNOWN;
    find_caller(socket, &packet.flow, &mut local);
    classify::gatebell_classify(packet, &mut local, 0, decision);
}

/// Finds out who calls, and what of the call is known. By itself, for the small stack's sake.
#[inline(never)]
fn find_caller(socket: u64, flow: &PacketHeaders, local: &mut PacketMeta) {
    let mut owner = Owner::NOBODY;
    socket_owner::of_socket(socket, &mut owner);
    local.program = owner.program;
    local.user = owner.user;
    // What can't be known may be. An answer of DNS may name the address that nobody has read yet: what is sent again
    // passes then, and a program that was told EPERM sends nothing again.
    let names = engine::head(&InForce::now()).is_none_or(|head| head.needs & NEEDS_NAMES != 0);
    local.phase = if !names && may_translate(socket, flow.ip_version) == Some(false) {
        PacketMeta::CONNECT
    } else {
        PacketMeta::CONNECT_TRANSLATED
    };
}

/// Counts and tells what was refused.
#[inline(never)]
fn settle(socket: u64, flow: &PacketHeaders, decision: &Decision) {
    tables::count_refused_connect();
    if decision.log == 1 {
        report::report_call(socket, flow, decision);
    }
}

/// `NF_INET_LOCAL_OUT`.
const LOCAL_OUT: u64 = 3;
/// Priorities of hooks between which a packet's destination is translated (`NF_IP_PRI_NAT_DST`, and IPVS
/// right behind it).
const TRANSLATORS: core::ops::Range<i32> = -100..0;
/// Priority of chains that filter (`NF_IP_PRI_FILTER`): taken for such that rewrite nothing. At any other priority
/// before our own (`hooks.rs` of the service has it), a chain of nftables is there to
/// change something, an address maybe.
const FILTER: i32 = 0;
const OURS: i32 = 50;
/// `NF_HOOK_OP_NF_TABLES`: it runs a chain of nftables.
const RUNS_CHAIN: u8 = 1;
/// Largest number of hooks that are looked at.
const MOST_HOOKS: u64 = 16;
/// `size_of` a `struct nf_hook_entry`: a function and what it is given.
const HOOK: u64 = 16;

/// Returns whether the address may be another one before the rules see it; `None`: that can't be known.
#[inline(always)]
fn may_translate(socket: u64, ip_version: u8) -> Option<bool> {
    let netns = kernel::follow(socket, offset!(socket_netns))?;
    let hooks = if ip_version == 4 {
        offset!(calls.netns_hooks_v4)
    } else {
        offset!(calls.netns_hooks_v6)
    };
    let hooks: u64 = kernel::read(netns + LOCAL_OUT * 8, hooks)?;
    if hooks == 0 {
        return Some(false);
    }
    let count = u64::from(kernel::peek::<u16>(hooks, offset!(calls.hooks_count)));
    let first = hooks + offset!(calls.hooks_first);
    let descriptions = first + count * HOOK;
    let mut n = 0;
    while n < MOST_HOOKS {
        if n >= count {
            return Some(false);
        }
        let description = kernel::follow(descriptions + n * 8, 0)?;
        let priority: u32 = kernel::peek(description, offset!(calls.hook_priority));
        let priority = priority.cast_signed();
        if priority >= OURS {
            return Some(false);
        }
        if TRANSLATORS.contains(&priority) {
            let given: u64 = kernel::peek(first + n * HOOK, offset!(calls.hook_private));
            // The kernel's own hook of translation stands there too if nothing is translated
            // here: it is given an empty list.
            if priority != TRANSLATORS.start || given == 0 || kernel::read::<u64>(given, 0)? != 0 {
                return Some(true);
            }
        } else if priority != FILTER
            && kernel::peek::<u8>(description, offset!(calls.hook_kind)) == RUNS_CHAIN
        {
            return Some(true);
        }
        n += 1;
    }
    None
}

/// Returns whether the destination is, or may be, the machine itself.
#[inline(always)]
fn stays(socket: u64, flow: &PacketHeaders) -> bool {
    const LOOPBACK_V4: u64 = MAPPED >> 24 | 127;
    let address = destination(flow);
    if address == [0, 1] || address[0] == 0 && address[1] >> 24 == LOOPBACK_V4 {
        return true;
    }
    let Some(netns) = kernel::follow(socket, offset!(socket_netns)) else {
        return true;
    };
    local_addresses::is_own(netns, &address) != local_addresses::NO
}
