//! One packet: decide, count, tell.

use crate::owner::{self, Owner};
use crate::packet::Skb;
use crate::tables::{self, FLOWS, InForce};
use aya_ebpf::helpers::generated::{bpf_ktime_get_boot_ns, bpf_loop};
use channel::driver::ebpf;
use contract::firewall::FlowEntry;
use contract::packet::{Decision, Direction, Flow, Packet, Reason, Verdict};
use contract::{Kind, SLOTS};
use core::ffi::c_void;
use engine::conversation::{beginning, key, may_answer, may_begin};
use engine::{Parsed, Shape, classify, parse};

/// Judges a packet of the zone: the verdict first, then its counter, then the record.
#[inline(always)]
pub fn judge(skb: &Skb, length: u32, direction: Direction) -> Verdict {
    let parsed = parse(skb, length, direction);
    let decision = decide(&parsed);
    tables::count(direction as u8, decision.verdict);
    if decision.log == 1 {
        report(skb, length, &parsed.flow, &decision);
    }
    if decision.verdict == Verdict::Allow as u8 { Verdict::Allow } else { Verdict::Block }
}

/// A reply to what was allowed passes; the rules decide about the rest.
#[inline(always)]
fn decide(packet: &Parsed) -> Decision {
    let rules = InForce::now();
    if packet.shape == Shape::Whole && may_answer(&packet.flow) {
        if let Some(decision) = reply(packet, &rules) {
            return decision;
        }
    }
    let decision = classify(packet, &rules);
    if decision.verdict == Verdict::Allow as u8 && packet.shape == Shape::Whole && may_begin(&packet.flow) {
        remember(&packet.flow, &decision);
    }
    decision
}

/// The verdict on a reply: that of the conversation's beginning, asked again if the rules have changed since.
#[inline(always)]
fn reply(packet: &Parsed, rules: &InForce) -> Option<Decision> {
    let key = key(&packet.flow);
    let entry = FLOWS.get_ptr_mut(&key)?;
    // SAFETY: the kernel keeps the entry's memory for as long as the program runs.
    let entry = unsafe { &mut *entry };
    if entry.direction == u32::from(packet.flow.direction) {
        return None;
    }
    if entry.generation != rules.generation() {
        let beginning = classify(&Parsed { flow: beginning(&packet.flow), shape: Shape::Whole }, rules);
        if beginning.verdict != Verdict::Allow as u8 {
            let _gone_already = FLOWS.remove(&key);
            return None;
        }
        entry.generation = beginning.generation;
        entry.rule = beginning.rule;
    }
    entry.stamp_ns = now();
    Some(Decision {
        rule: entry.rule,
        generation: entry.generation,
        verdict: Verdict::Allow as u8,
        reason: Reason::Reply as u8,
        log: 0,
        spare: 0,
    })
}

/// Remembers an allowed packet's conversation, unless the other end began it.
#[inline(always)]
fn remember(flow: &Flow, decision: &Decision) {
    let key = key(flow);
    if let Some(entry) = FLOWS.get_ptr_mut(&key) {
        // SAFETY: the kernel keeps the entry's memory for as long as the program runs.
        let entry = unsafe { &mut *entry };
        if entry.direction == u32::from(flow.direction) {
            entry.stamp_ns = now();
            entry.rule = decision.rule;
            entry.generation = decision.generation;
        }
        return;
    }
    let entry = FlowEntry {
        stamp_ns: now(),
        rule: decision.rule,
        generation: decision.generation,
        direction: flow.direction.into(),
        spare: 0,
    };
    if FLOWS.insert(&key, &entry, 0).is_err() {
        tables::count_full();
    }
}

#[inline(always)]
fn now() -> u64 {
    // SAFETY: the helper has no preconditions.
    unsafe { bpf_ktime_get_boot_ns() }
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
