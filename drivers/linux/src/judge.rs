//! One packet: decide, count, tell.

use crate::owner::{self, Owner};
use crate::packet::Skb;
use crate::tables::{self, Flows, InForce};
use aya_ebpf::helpers::generated::{bpf_ktime_get_boot_ns, bpf_loop};
use channel::driver::ebpf;
use contract::packet::{Decision, Direction, Flow, Packet, Verdict};
use contract::{Kind, SLOTS};
use core::ffi::c_void;
use engine::conversation::decide;
use engine::parse;

/// Judges a packet of the zone: the verdict first, then its counter, then the record.
#[inline(always)]
pub fn judge(skb: &Skb, length: u32, direction: Direction) -> Verdict {
    let parsed = parse(skb, length, direction);
    // SAFETY: the helper has no preconditions.
    let now_ns = unsafe { bpf_ktime_get_boot_ns() };
    let decision = decide(&parsed, &InForce::now(), &mut Flows, now_ns);
    tables::count(direction as u8, decision.verdict);
    if decision.log == 1 {
        report(skb, length, &parsed.flow, &decision);
    }
    if decision.verdict == Verdict::Allow as u8 { Verdict::Allow } else { Verdict::Block }
}

/// What there is to tell of a packet.
struct Seen<'a> {
    flow: &'a Flow,
    decision: &'a Decision,
    owner: Owner,
    user: u32,
    length: u32,
    interface: u32,
}

/// Tells every app that wants to know. The kernel does the loop: its verifier then follows one turn of it, not sixteen
/// times as many states as lead here.
#[inline(never)]
fn report(skb: &Skb, length: u32, flow: &Flow, decision: &Decision) {
    let outbound = flow.direction == Direction::Outbound as u8;
    let socket = skb.socket();
    let known = outbound && !socket.is_null();
    let owner = if known { owner::of(socket) } else { Owner::default() };
    let user = if known { skb.user() } else { u32::MAX };
    let mut seen = Seen { flow, decision, owner, user, length, interface: skb.interface() };
    let turn: extern "C" fn(u32, *mut Seen<'_>) -> i64 = tell;
    // SAFETY: the verifier checks the function as a program of its own; `seen` outlives the loop.
    unsafe { bpf_loop(SLOTS as u32, turn as *mut c_void, (&raw mut seen).cast(), 0) };
}

/// One turn: the app in `slot`. 0: go on.
extern "C" fn tell(slot: u32, seen: *mut Seen<'_>) -> i64 {
    // SAFETY: the kernel hands on what `report` gave it.
    let seen = unsafe { &*seen };
    ebpf::offer_to(slot, Kind::PACKET, |packet: &mut Packet| {
        packet.flow = *seen.flow;
        packet.decision = *seen.decision;
        packet.length = seen.length;
        packet.interface = seen.interface;
        packet.user = seen.user;
        packet.spare = 0;
        packet.pid = seen.owner.pid;
        packet.name = seen.owner.name_bytes();
    });
    0
}
