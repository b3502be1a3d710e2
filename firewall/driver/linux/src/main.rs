//! The firewall's driver for Linux: eBPF programs that see every IP packet of a zone, in and out, and its processes.
//!
//! - [`zone_ingress`] judges what comes in on the zone's devices.
//! - [`zone_socket_egress`] judges what the zone's sockets send, before any device sees it: a refused program gets
//!   EPERM, and the record names it.
//! - [`zone_egress`] judges what leaves by the zone's devices without having passed there: a RST or an echo reply of
//!   the kernel itself, frames of packet sockets. What was judged is not judged again, so nothing is counted twice.
//! - [`zone_socket_ingress`] judges what reaches the zone's sockets by devices that have no program of ours yet.
//! - [`socket_made`] remembers who makes a socket; [`program_started`] and [`process_ended`] report processes.
//! - [`read_clock`] is run by the service, which forgets what has been silent for long.
//!
//! What can be wrong is decided elsewhere: `engine` reads headers and decides, `channel` carries the records. It may
//! depend on these and `contract` alone.
//!
//! Rules that hold here:
//! - First the verdict, then the counter, then the record (I4): nothing that a reader does changes a verdict.
//! - ARP and whatever else is not IP passes uncounted; so does what never leaves the zone (its loopback device).
#![no_std]
#![no_main]
// Rust's own atomic types add nothing on a target without compare-and-swap, which eBPF is for it.
#![feature(core_intrinsics)]
#![expect(
    missing_docs,
    reason = "aya's macros write functions of their own without the comments of ours"
)]
#![expect(internal_features, reason = "see above")]

mod clock;
mod judge;
mod kernel;
mod owner;
mod packet;
mod process;
mod programs;
mod tables;

use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::btf_maps::CgroupArray;
use aya_ebpf::macros::{btf_map, cgroup_skb, cgroup_sock, classifier, tracepoint};
use aya_ebpf::programs::{SkBuffContext, SockContext, TcContext, TracePointContext};
use firewall_abi::firewall::LOOPBACK;
use firewall_abi::packet::{Direction, Verdict};
use packet::Skb;

/// The zone's control group. Filled by the service.
#[btf_map]
static ZONE: CgroupArray<1> = CgroupArray::new();

/// `TC_ACT_UNSPEC`: as far as we are concerned it may go on; other people's filters come next.
const GO_ON: i32 = -1;
/// `TC_ACT_SHOT`.
const DROP: i32 = 2;

/// Every frame that comes in on a device of the zone.
#[classifier]
pub fn zone_ingress(ctx: TcContext) -> i32 {
    at_device(ctx.skb.skb, Direction::Inbound)
}

/// Every frame that leaves by a device of the zone.
#[classifier]
pub fn zone_egress(ctx: TcContext) -> i32 {
    let skb = ctx.skb.skb;
    if Skb::at_socket(skb).judged_at_its_socket() {
        GO_ON
    } else {
        at_device(skb, Direction::Outbound)
    }
}

#[inline(always)]
fn at_device(skb: *mut __sk_buff, direction: Direction) -> i32 {
    let Some(device) = tables::device(Skb::at_socket(skb).interface()) else {
        return GO_ON;
    };
    if !Skb::at_socket(skb).is_ip(device.link_header) {
        return GO_ON;
    }
    // The verifier follows what comes once, not for each link that there may be.
    let link_header = tables::read_anew(&device.link_header);
    let skb = Skb::at_device(skb, link_header);
    match judge::judge(skb, skb.length().saturating_sub(link_header), direction) {
        Verdict::Allow => GO_ON,
        Verdict::Block | Verdict::Reject | Verdict::Ask | Verdict::Socket => DROP,
    }
}

/// Every packet that a socket of the zone sends. 0: the sender gets EPERM.
#[cgroup_skb]
pub fn zone_socket_egress(ctx: SkBuffContext) -> i32 {
    let skb = Skb::at_socket(ctx.skb.skb);
    if skb.interface() == LOOPBACK || skb.of_a_listener() {
        return 1;
    }
    at_socket(skb, Direction::Outbound)
}

/// Every packet that reaches a socket of the zone. What came by a device with programs of ours was judged there.
#[cgroup_skb]
pub fn zone_socket_ingress(ctx: SkBuffContext) -> i32 {
    let skb = Skb::at_socket(ctx.skb.skb);
    if skb.interface() == LOOPBACK
        || tables::device(skb.interface()).is_some_and(|device| device.guarded == 1)
    {
        return 1;
    }
    at_socket(skb, Direction::Inbound)
}

#[inline(always)]
fn at_socket(skb: Skb, direction: Direction) -> i32 {
    match judge::judge(skb, skb.length(), direction) {
        Verdict::Allow => 1,
        Verdict::Block | Verdict::Reject | Verdict::Ask | Verdict::Socket => 0,
    }
}

/// A process of the zone makes a socket. 1: it may.
#[cgroup_sock(sock_create)]
pub fn socket_made(ctx: SockContext) -> i32 {
    owner::remember(&ctx);
    1
}

/// A process starts to run a program.
#[tracepoint(category = "sched", name = "sched_process_exec")]
pub fn program_started(ctx: TracePointContext) -> u32 {
    process::started(&ctx);
    0
}

/// A process ends.
#[tracepoint(category = "sched", name = "sched_process_exit")]
pub fn process_ended(ctx: TracePointContext) -> u32 {
    process::ended(&ctx);
    0
}

/// Tells the service what time it is on the clock of the connections. Run for it alone, attached nowhere.
#[classifier]
pub fn read_clock(ctx: TcContext) -> i32 {
    clock::tell(&ctx);
    GO_ON
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
