//! The firewall's driver for Linux: eBPF programs that see every IP packet of a zone, in,
//! out and through, and its processes.
//!
//! - [`zone_local_in`], [`zone_forward`] and [`zone_local_out`] judge where the IP stack itself delivers, forwards and
//!   sends (netfilter): what comes there has no tag, tunnel or fragment left that the stack has not dealt with, and
//!   nothing gets past. They are called by [`enter_local_in`] and its like,
//!   which are attached once and stay over an upgrade.
//! - [`zone_socket`] judges what depends on who gets it, at the very socket.
//! - [`zone_rejected`] goes on with what they reject: it is dropped, and the service is told how to answer it.
//! - [`socket_made`], [`socket_bound4`], [`connects4`], [`sends4`] and their like remember whose a socket is;
//!   [`connects4`] and [`connects6`] refuse at once what is refused for certain.
//!   [`socket_released`] forgets what was asked about one.
//! - [`program_started`] and [`process_ended`] report processes.
//! - [`read_clock`] and [`forget_silent`] are run by the service, which looks for what has been silent for long; and
//!   [`reclassify`] for what an address has begun that has joined a set.
//!
//! What can be wrong is decided elsewhere: `engine` reads headers and decides, `channel` carries the records. It may
//! depend on these and `firewall_abi` alone.
//!
//! Rules that hold here:
//! - First the verdict, then the counter, then the record (I4): nothing that a reader does changes a verdict.
//! - ARP and whatever else is not IP is not seen; nor is what never leaves the machine,
//!   unless a rule names the device `lo`.
#![no_std]
#![no_main]
// Rust's own atomic types add nothing on a target without compare-and-swap, which eBPF is for it.
#![feature(core_intrinsics)]
// The kernel's own functions have numbers, which Rust can't call otherwise.
#![feature(asm_experimental_arch)]
#![expect(
    missing_docs,
    reason = "aya's macros write functions of their own without the comments of ours"
)]
#![expect(internal_features, reason = "see above")]

mod arrived;
mod asking;
mod atomics;
mod classify;
mod clock;
mod connect;
mod dns;
mod entry_ends;
mod flows;
mod guests;
mod judge;
mod kernel;
mod local_addresses;
mod packet;
mod pending;
mod process;
mod programs;
mod rejected;
mod report;
mod service_ring;
mod socket_owner;
mod tables;
mod translated;

use aya_ebpf::EbpfContext;
use aya_ebpf::btf_maps::{CgroupArray, ProgramArray};
use aya_ebpf::helpers::generated::{bpf_get_socket_cookie, bpf_tail_call};
use aya_ebpf::macros::{
    btf_map, cgroup_skb, cgroup_sock, cgroup_sock_addr, classifier, raw_tracepoint,
};
use aya_ebpf::programs::{
    RawTracePointContext, SkBuffContext, SockAddrContext, SockContext, TcContext,
};
use firewall_abi::firewall::FlowKey;
use firewall_abi::packet::{Direction, Verdict};
use packet::{AtSocket, InStack, bpf_nf_ctx};

/// The zone's control group. Filled by the service.
#[btf_map]
static ZONE: CgroupArray<1> = CgroupArray::new();

/// Programs that judge, and those that go on after that, by the numbers below. Filled by the service:
/// another program is put in by one update.
#[btf_map]
static JUDGES: ProgramArray<6> = ProgramArray::new();
const LOCAL_IN: u32 = 0;
const FORWARD: u32 = 1;
const LOCAL_OUT: u32 = 2;
/// Programs that hand on a packet of DNS that passes.
const DNS_ANSWER: u32 = 3;
const DNS_QUESTION: u32 = 4;
/// Program that hands on what was rejected.
const REJECTED: u32 = 5;

/// `NF_DROP` and `NF_ACCEPT`.
const DROP: i32 = 0;
const ACCEPT: i32 = 1;

macro_rules! netfilter {
    ($($(#[doc = $doc:literal])+ $entry:ident, $judge:ident: $direction:expr, $index:ident;)+) => {$(
        /// Goes on with the program that judges here. There is none: nothing passes.
        #[unsafe(no_mangle)]
        #[unsafe(link_section = "netfilter")]
        pub extern "C" fn $entry(ctx: *mut bpf_nf_ctx) -> i32 {
            go_on(ctx, $index);
            DROP
        }

        $(#[doc = $doc])+
        #[unsafe(no_mangle)]
        #[unsafe(link_section = "netfilter")]
        pub extern "C" fn $judge(ctx: *mut bpf_nf_ctx) -> i32 {
            in_stack::<{ $index == FORWARD }>(ctx, $direction)
        }
    )+};
}

netfilter! {
    /// Every packet that the stack is about to deliver to the machine itself.
    enter_local_in, zone_local_in: Direction::Inbound, LOCAL_IN;
    /// Every packet that goes through the machine.
    enter_forward, zone_forward: Direction::Forward, FORWARD;
    /// Every packet that the machine itself sends. Dropped, its sender gets EPERM.
    enter_local_out, zone_local_out: Direction::Outbound, LOCAL_OUT;
}

#[inline(always)]
fn in_stack<const FORWARDED: bool>(ctx: *mut bpf_nf_ctx, direction: Direction) -> i32 {
    let mut packet = InStack::<FORWARDED>::of(ctx);
    // A frame that stays on its bridge is none of the zone's packets.
    if FORWARDED && packet.is_bridged() {
        return ACCEPT;
    }
    if !packet.open(Some(direction as u8 == Direction::Outbound as u8)) {
        return DROP;
    }
    let mut is_of_dns = 0;
    let verdict = match judge::judge(&packet, direction, &mut is_of_dns) {
        Verdict::Allow | Verdict::Socket => ACCEPT,
        Verdict::Reject => {
            let ctx = if FORWARDED { packet.context() } else { ctx };
            go_on(ctx, REJECTED);
            DROP
        }
        _ => DROP,
    };
    if !FORWARDED && is_of_dns == 1 {
        let index = if direction as u8 == Direction::Inbound as u8 {
            DNS_ANSWER
        } else {
            DNS_QUESTION
        };
        go_on(ctx, index);
    }
    verdict
}

/// Goes on with the program at this index of the table (a tail call). It comes back if there is none.
#[inline(always)]
fn go_on(ctx: *mut bpf_nf_ctx, index: u32) {
    let judges = core::ptr::from_ref(&JUDGES).cast_mut().cast();
    // SAFETY: the program's own context and a map of programs.
    unsafe { bpf_tail_call(ctx.cast(), judges, index) };
}

/// An answer of DNS that passes: its verdict stands, and only then it is handed to the service. Gone on with from
/// [`zone_local_in`], so that the verifier follows it by itself.
#[unsafe(no_mangle)]
#[unsafe(link_section = "netfilter")]
pub extern "C" fn zone_dns_answer(ctx: *mut bpf_nf_ctx) -> i32 {
    let mut packet = InStack::<false>::of(ctx);
    if packet.open(None) {
        dns::hand_on(&packet);
    }
    ACCEPT
}

/// A question of DNS that passes, likewise: gone on with from [`zone_local_out`].
#[unsafe(no_mangle)]
#[unsafe(link_section = "netfilter")]
pub extern "C" fn zone_dns_question(ctx: *mut bpf_nf_ctx) -> i32 {
    let mut packet = InStack::<false>::of(ctx);
    if packet.open(None) {
        dns::hand_on_question(&packet);
    }
    ACCEPT
}

/// A packet that was rejected: it is dropped, and only then what answers its sender is handed to the service. Gone on
/// with from each program that judges in the IP stack.
#[unsafe(no_mangle)]
#[unsafe(link_section = "netfilter")]
pub extern "C" fn zone_rejected(ctx: *mut bpf_nf_ctx) -> i32 {
    let mut packet = InStack::<false>::of(ctx);
    if packet.open(None) {
        rejected::hand_on(&packet);
    }
    DROP
}

/// Every packet that a socket of the zone is about to get: what depends on who gets it is
/// judged here. 0: it does not get it.
#[cgroup_skb]
pub fn zone_socket(ctx: SkBuffContext) -> i32 {
    let packet = AtSocket::of(ctx.skb.skb);
    match judge::judge_at_socket(&packet) {
        Verdict::Allow => 1,
        Verdict::Reject => {
            rejected::hand_on_at_socket(&packet);
            0
        }
        _ => 0,
    }
}

/// A process of the zone makes a socket. 1: it may.
#[cgroup_sock(sock_create)]
pub fn socket_made(ctx: SockContext) -> i32 {
    socket_owner::remember_new(&ctx);
    1
}

/// A socket of the zone is released. 1: it may be.
#[cgroup_sock(sock_release)]
pub fn socket_released(ctx: SockContext) -> i32 {
    if asking::any_socket() {
        // SAFETY: the program's own context.
        asking::socket_released(unsafe { bpf_get_socket_cookie(ctx.as_ptr()) });
    }
    1
}

macro_rules! noted {
    ($($kind:ident $hook:ident $name:ident: $context:ident, $socket:expr;)+) => {$(
        /// A process of the zone does something with a socket that may be another's. 1: it may.
        #[$kind($hook)]
        pub fn $name(ctx: $context) -> i32 {
            socket_owner::remember($socket(&ctx));
            1
        }
    )+};
}

noted! {
    cgroup_sock post_bind4 socket_bound4: SockContext, EbpfContext::as_ptr;
    cgroup_sock post_bind6 socket_bound6: SockContext, EbpfContext::as_ptr;
    cgroup_sock_addr sendmsg4 sends4: SockAddrContext, socket_owner::of_call;
    cgroup_sock_addr sendmsg6 sends6: SockAddrContext, socket_owner::of_call;
}

/// A process of the zone calls an address of IPv4. 0: it is told EPERM, or that the connection was refused.
#[cgroup_sock_addr(connect4)]
pub fn connects4(ctx: SockAddrContext) -> i32 {
    called(&ctx, false)
}

/// A process of the zone calls an address of IPv6, or one of IPv4 that is mapped. 0: likewise.
#[cgroup_sock_addr(connect6)]
pub fn connects6(ctx: SockAddrContext) -> i32 {
    called(&ctx, true)
}

#[inline(always)]
fn called(ctx: &SockAddrContext, six: bool) -> i32 {
    socket_owner::remember(socket_owner::of_call(ctx));
    i32::from(connect::may(ctx.sock_addr, six))
}

/// A process starts to run a program.
#[raw_tracepoint(tracepoint = "sched_process_exec")]
pub fn program_started(ctx: RawTracePointContext) -> i32 {
    process::started(&ctx);
    0
}

/// A process ends.
#[raw_tracepoint(tracepoint = "sched_process_exit")]
pub fn process_ended(ctx: RawTracePointContext) -> i32 {
    process::ended(&ctx);
    0
}

/// Tells the service what time it is on the clock of the connections. Run for it alone, attached nowhere.
#[classifier]
pub fn read_clock(ctx: TcContext) -> i32 {
    clock::tell(&ctx);
    0
}

/// Forgets the connection whose key it is given, if that has been silent for long.
/// Run for the service alone, attached nowhere.
#[classifier]
pub fn forget_silent(ctx: TcContext) -> i32 {
    if let Ok(key) = ctx.load::<FlowKey>(0) {
        flows::forget_silent(&key);
    }
    0
}

/// Tells what the connection has carried whose key it is given. Run for the service alone, attached nowhere.
#[classifier]
pub fn tell_carried(ctx: TcContext) -> i32 {
    if let Ok(key) = ctx.load::<FlowKey>(0) {
        flows::tell_carried(&key);
    }
    0
}

/// Has the rules asked again about the connection whose key it is given,
/// as if they were new. Run for the service alone.
#[classifier]
pub fn reclassify(ctx: TcContext) -> i32 {
    if let Ok(key) = ctx.load::<FlowKey>(0) {
        flows::reclassify(&key);
    }
    0
}

/// Licensed so that the kernel lends its tracepoint helpers.
#[used]
#[unsafe(link_section = "license")]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// No path leads here: the kernel's verifier refuses an object in which one does, for its endless loop.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
