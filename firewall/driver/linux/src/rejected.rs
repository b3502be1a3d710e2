//! A rejected packet is dropped like any other that is refused;
//! what it takes to answer its sender is handed to the service, whose answers pass.
//!
//! Neither changes a verdict: a packet is handed on once it is refused,
//! and where there is no room for it, nobody answers.

use crate::atomics::add;
use crate::packet::{AtSocket, InStack, PacketView};
use crate::service_ring;
use crate::tables::is_answering;
use aya_ebpf::btf_maps::{Array, RingBuf};
use aya_ebpf::macros::btf_map;
use firewall_abi::packet::{Decision, Direction, NO_RULE, PacketHeaders, PacketMeta, Verdict};
use firewall_abi::rejected::{MOST_BYTES, RING_BYTES, RejectedPacket, RejectedSeen};

/// Ring of rejected packets for the service, which alone has it.
#[btf_map]
static REJECTED: RingBuf<RejectedPacket, RING_BYTES> = RingBuf::new();
/// Numbers of packets that were handed to the service, and of those that found no room.
#[btf_map]
static REJECTED_SEEN: Array<RejectedSeen, 1> = Array::new();

/// Returns whether what the zone sends is of the kind that answers are.
#[inline(always)]
pub const fn may_be_answer(flow: &PacketHeaders) -> bool {
    flow.direction == Direction::Outbound as u8 && engine::rejected::may_be_answer(flow)
}

/// Returns whether the service sends this packet to answer what was rejected: by the socket that it has for that, and
/// of a kind that begins nothing and opens nothing.
#[inline(always)]
pub fn is_answer<P: PacketView>(packet: &P, flow: &PacketHeaders) -> bool {
    gatebell_may_be_answer(flow) == 1 && is_answering(packet.socket_number())
}

/// See [`may_be_answer`]. 1: it is.
///
/// A global function for the verifier: what it learns of the headers ends here,
/// and is not followed into what comes after.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn gatebell_may_be_answer(flow: *const PacketHeaders) -> u32 {
    if flow.is_null() {
        return 0;
    }
    // SAFETY: not null; every caller hands in a value of its own.
    let flow = unsafe { &*flow };
    may_be_answer(flow).into()
}

/// Lets an answer pass whatever the rules say of it; no rule has decided that.
///
/// A global function for the verifier: it is checked by itself, whatever its callers know.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn gatebell_let_answers_pass(
    local: *const PacketMeta,
    decision: *mut Decision,
) -> i32 {
    if local.is_null() || decision.is_null() {
        return 1;
    }
    // SAFETY: not null; the one caller hands in a value of its own.
    let local = unsafe { &*local };
    // SAFETY: likewise, and another value.
    let decision = unsafe { &mut *decision };
    if local.phase == PacketMeta::ANSWERS {
        decision.rule = NO_RULE;
        decision.verdict = Verdict::Allow as u8;
        decision.log = 0;
    }
    0
}

/// Hands a packet to the service that was rejected where the IP stack shows it.
#[inline(always)]
pub fn hand_on(packet: &InStack<false>) {
    let (length, device, direction) = (packet.length(), packet.device_number(), packet.direction());
    let to_everyone = packet.goes_to_everyone();
    hand(|rejected| {
        fill(rejected, length, device, direction as u8, to_everyone);
        packet.read_into(&mut rejected.bytes, rejected.copied)
    });
}

/// Hands on a packet that was rejected where a socket would have got it.
#[inline(never)]
pub fn hand_on_at_socket(packet: &AtSocket) {
    let (length, device) = (packet.length(), packet.device_number());
    let to_everyone = packet.went_to_everyone();
    hand(|rejected| {
        fill(
            rejected,
            length,
            device,
            Direction::Inbound as u8,
            to_everyone,
        );
        packet.read_into(&mut rejected.bytes, rejected.copied)
    });
}

#[inline(always)]
fn fill(rejected: &mut RejectedPacket, length: u32, device: u32, direction: u8, to_everyone: bool) {
    rejected.length = length;
    rejected.copied = if length > MOST_BYTES as u32 {
        MOST_BYTES as u32
    } else {
        length
    };
    rejected.device = device;
    rejected.direction = direction;
    rejected.to_everyone = to_everyone.into();
    rejected.spare = [0; 2];
}

/// There is no room: that is counted, and is all.
#[inline(always)]
fn hand(fill: impl FnOnce(&mut RejectedPacket) -> bool) {
    let Some(seen) = REJECTED_SEEN.get(0) else {
        return;
    };
    if service_ring::put(&REJECTED, fill) {
        add(&seen.handed, 1);
    } else {
        add(&seen.lost, 1);
    }
}
