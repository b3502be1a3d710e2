//! One packet: decide, count, tell.

use crate::clock;
use crate::owner;
use crate::packet::Skb;
use crate::tables::{self, Flows, InForce};
use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::helpers::generated::bpf_loop;
use channel::driver::ebpf;
use core::ffi::c_void;
use engine::connection::{Asked, Ends, classify_as, decide, decide_alone};
use engine::{Parsed, head, parse};
use firewall_abi::firewall::{FlowKey, Owner};
use firewall_abi::kind;
use firewall_abi::packet::{Decision, Direction, Local, Packet, PacketHeaders, Verdict};

/// Judges a packet of the zone: the verdict first, then its counters, then the record.
#[inline(always)]
pub fn judge(skb: Skb, length: u32, direction: Direction) -> Verdict {
    let mut parsed = parse(&skb, length, direction);
    let mut ends = AtSocket(skb);
    let rules = InForce::now();
    let alone = if tables::service_is_gone() {
        decide_alone(&rules)
    } else {
        None
    };
    let decision = match alone {
        Some(decision) => decision,
        None => decide(&mut parsed, &mut ends, &rules, &mut Flows),
    };
    tables::count(direction as u8, decision.verdict);
    if decision.log == 1 {
        report(&ends.0, length, &parsed.flow, &decision);
    }
    if decision.verdict == Verdict::Allow as u8 {
        Verdict::Allow
    } else {
        Verdict::Block
    }
}

/// Who is at the zone's end of a packet, by its socket.
struct AtSocket(Skb);

impl Ends<InForce> for AtSocket {
    #[inline(always)]
    fn now_ns(&self) -> u64 {
        clock::now_ns()
    }

    #[inline(always)]
    fn socket(&mut self) -> u64 {
        self.0.socket_number()
    }

    #[inline(always)]
    fn quoted(&mut self, error: &PacketHeaders, key: &mut FlowKey) -> bool {
        engine::quoted(&self.0, error, key)
    }

    #[inline(always)]
    fn find(&mut self, flow: &PacketHeaders, local: &mut Local) {
        find_local(&self.0, flow, local);
    }

    /// Asks a function of its own, which the verifier follows once, and not once for each state that leads here.
    #[inline(always)]
    fn classify(
        &mut self,
        packet: &mut Parsed,
        asked: Asked,
        _: &InForce,
        decision: &mut Decision,
    ) {
        gatebell_classify(self.0.context(), packet, asked as u32, decision);
    }
}

/// Answers by one generation of the rules: the one that is in force now, if a new one was published since the packet was
/// looked at. What it answers of a packet itself is the verdict, and is counted in that generation.
///
/// A global function for the verifier: it is checked by itself, whatever its callers know.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn gatebell_classify(
    skb: *mut __sk_buff,
    packet: *mut Parsed,
    asked: u32,
    answer: *mut Decision,
) -> i32 {
    if packet.is_null() || answer.is_null() {
        return 1;
    }
    // SAFETY: not null; it comes from the one caller above, which the verifier holds to a packet's bytes, all written.
    let packet = unsafe { &mut *packet };
    let rules = InForce::now();
    let head = head(&rules);
    let mut local = Local::UNKNOWN;
    if let Some(head) = head.filter(|head| head.asks != 0) {
        find_local(&Skb::at_socket(skb), &packet.flow, &mut local);
        launder(&mut local, head.user.opaque_zero);
    }
    let asked = if asked == Asked::Packet as u32 {
        Asked::Packet
    } else {
        Asked::Beginning
    };
    let decision = classify_as(packet, asked, &mut local, head, &rules);
    if let Some(head) = head.filter(|_| asked == Asked::Packet) {
        rules.count(head, decision.rule);
    }
    // SAFETY: not null, and the verifier knows that there is room for one.
    unsafe { answer.write(decision) };
    0
}

/// Changes nothing, because `opaque_zero` is 0. The verifier forgets by it what it knows of who was found, and by which way: it
/// would follow the search through the rules for each of them.
#[inline(always)]
fn launder(local: &mut Local, opaque_zero: u64) {
    local.program[0] ^= opaque_zero;
    local.program[1] ^= opaque_zero;
    local.interface[0] ^= opaque_zero;
    local.interface[1] ^= opaque_zero;
    local.user ^= opaque_zero as u32;
}

/// Finds out who is at the zone's end.
#[inline(never)]
fn find_local(skb: &Skb, flow: &PacketHeaders, local: &mut Local) {
    local.interface = tables::device(skb.interface()).map_or([0; 2], |device| device.name);
    owner::with(skb, flow, |Owner { program, user, .. }| {
        local.program = *program;
        local.user = *user;
    });
}

/// What there is to tell of a packet.
struct Seen<'a> {
    flow: &'a PacketHeaders,
    decision: &'a Decision,
    owner: Owner,
    length: u32,
    interface: u32,
}

/// Tells every app that wants to know. The kernel does the loop: its verifier then follows one turn of it, not sixteen
/// times as many states as lead here. Who sent the packet is looked for only if somebody listens.
#[inline(never)]
fn report(skb: &Skb, length: u32, flow: &PacketHeaders, decision: &Decision) {
    let used = ebpf::used();
    if used == 0 {
        return;
    }
    let mut seen = Seen {
        flow,
        decision,
        owner: Owner::NOBODY,
        length,
        interface: skb.interface(),
    };
    owner::with(skb, flow, |owner| seen.owner = *owner);
    let turn: extern "C" fn(u32, *mut Seen<'_>) -> i64 = tell;
    // SAFETY: the verifier checks the function as a program of its own; `seen` outlives the loop.
    unsafe { bpf_loop(used, turn as *mut c_void, (&raw mut seen).cast(), 0) };
}

/// One turn: the app in `slot`. 0: go on.
extern "C" fn tell(slot: u32, seen: *mut Seen<'_>) -> i64 {
    // SAFETY: the kernel hands on what `report` gave it.
    let seen = unsafe { &*seen };
    ebpf::offer_to(
        slot,
        kind::PACKET,
        seen.owner.user,
        |packet: &mut Packet| {
            packet.flow = *seen.flow;
            packet.decision = *seen.decision;
            packet.length = seen.length;
            packet.interface = seen.interface;
            packet.pid = seen.owner.pid;
            packet.user = seen.owner.user;
            packet.out_interface = 0;
            packet.program = seen.owner.program;
            packet.name = zerocopy::transmute!(seen.owner.name);
        },
    );
    0
}
