//! Answers of DNS that the zone gets are handed to the service, which knows addresses by their names then; and the
//! zone's questions before them, for an answer is believed only by what was asked.
//!
//! By TCP they are handed on segment by segment, with those that begin and end a connection:
//! the service puts them together.
//!
//! A verdict is never asked for that, nor changed by it: a packet is handed on once it is known to pass. Only replies
//! to what the zone itself began are, so whoever sends packets from that port unasked costs
//! nothing here and names nothing.
//!
//! A resolver on this machine asks whom it likes, or nobody if it remembers, and what it answers never leaves. So where
//! such a one is asked, what goes to and fro between it and its clients is handed on too,
//! as long as it takes a right to answer from that port.

use crate::atomics::add;
use crate::kernel::{self, offset};
use crate::packet::{InStack, PacketView};
use crate::service_ring;
use crate::tables;
use aya_ebpf::btf_maps::{Array, RingBuf};
use aya_ebpf::macros::btf_map;
use firewall_abi::dns::{
    AnswerPacket, AnswersSeen, DNS_PORT, LONG_BYTES, LongPacket, MOST_BYTES, QUESTION_BYTES,
    QuestionPacket, RING_BYTES,
};
use firewall_abi::packet::{Decision, Direction, PacketHeaders, Reason, Verdict};

/// Ring of DNS answers for the service, which alone has it.
#[btf_map]
static DNS_ANSWERS: RingBuf<AnswerPacket, RING_BYTES> = RingBuf::new();
/// Numbers of answers that were handed to the service, and of those that found no room.
#[btf_map]
static DNS_SEEN: Array<AnswersSeen, 1> = Array::new();

const TCP: u8 = 6;
const UDP: u8 = 17;

/// Returns 1 if a packet that comes in is an answer that the zone gets, or one that goes out a question.
///
/// A global function for the verifier: what it knows of the decision ends here,
/// and is not followed into what comes after.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn gatebell_is_of_dns(flow: *const PacketHeaders, decision: *const Decision) -> u32 {
    if flow.is_null() || decision.is_null() {
        return 0;
    }
    // SAFETY: not null; every caller hands in a value of its own.
    let flow = unsafe { &*flow };
    // SAFETY: likewise.
    let decision = unsafe { &*decision };
    let passes = matches!(flow.protocol, UDP | TCP) && decision.verdict == Verdict::Allow as u8;
    let is_of_dns = if flow.direction == Direction::Outbound as u8 {
        flow.destination_port == DNS_PORT
    } else {
        flow.source_port == DNS_PORT && decision.reason == Reason::Reply as u8
    };
    (passes && is_of_dns).into()
}

/// Returns 1 if a packet that never leaves the machine is a question to a resolver on it,
/// or an answer of one. No rule is asked about it.
#[inline(always)]
pub fn is_of_resolver_here<P: PacketView>(packet: &P, direction: Direction) -> u32 {
    if !tables::resolver_is_here() || !takes_a_right(packet) {
        return 0;
    }
    let out = direction as u8 == Direction::Outbound as u8;
    is_at_port(packet, if out { DESTINATION } else { SOURCE })
        .unwrap_or(false)
        .into()
}

/// Returns whether a program has to have a right to bind the port of DNS where this packet is.
#[inline(always)]
fn takes_a_right<P: PacketView>(packet: &P) -> bool {
    if offset!(guests.known) == 0 || offset!(netns_first_free_port) == 0 {
        return false;
    }
    let netns = kernel::peek(packet.device_address(), offset!(guests.device_netns));
    kernel::peek::<u32>(netns, offset!(netns_first_free_port)) > DNS_PORT.into()
}

/// Offsets of both ports in the headers of TCP and UDP.
const SOURCE: u32 = 0;
const DESTINATION: u32 = 2;

/// Returns whether a packet of TCP or UDP has the port of DNS here. What has options of IPv6 before that is none.
#[inline(always)]
fn is_at_port<P: PacketView>(packet: &P, place: u32) -> Option<bool> {
    let first: u8 = packet.load(0)?;
    let (protocol, ports) = if first >> 4 == 6 {
        (6, 40)
    } else {
        (9, u32::from(first & 0xF) * 4)
    };
    if !matches!(packet.load(protocol)?, UDP | TCP) {
        return Some(false);
    }
    let port: [u8; 2] = packet.load(ports + place)?;
    Some(u16::from_be_bytes(port) == DNS_PORT)
}

/// Hands an answer to the service. There is no room: that is counted, and is all.
#[inline(always)]
pub fn hand_on(packet: &InStack<false>) {
    let Some(seen) = DNS_SEEN.get(0) else {
        return;
    };
    let (length, device) = (packet.length(), packet.device_number());
    let copied = if length > MOST_BYTES as u32 {
        service_ring::put(&DNS_ANSWERS, |answer: &mut LongPacket| {
            answer.length = length;
            answer.device = device;
            answer.copied = least(length, LONG_BYTES as u32);
            packet.read_into(&mut answer.bytes, answer.copied)
        })
    } else {
        service_ring::put(&DNS_ANSWERS, |answer: &mut AnswerPacket| {
            answer.length = length;
            answer.device = device;
            answer.copied = length;
            packet.read_into(&mut answer.bytes, answer.copied)
        })
    };
    if copied {
        add(&seen.handed, 1);
    } else {
        add(&seen.lost, 1);
    }
}

/// Hands a DNS question on to the service.
#[inline(always)]
pub fn hand_on_question(packet: &InStack<false>) {
    let Some(seen) = DNS_SEEN.get(0) else {
        return;
    };
    let (length, device) = (packet.length(), packet.device_number());
    let copied = service_ring::put(&DNS_ANSWERS, |question: &mut QuestionPacket| {
        question.length = length;
        question.device = device;
        question.copied = least(length, QUESTION_BYTES as u32);
        packet.read_into(&mut question.bytes, question.copied)
    });
    if !copied {
        add(&seen.questions_lost, 1);
    }
}

#[inline(always)]
const fn least(length: u32, most: u32) -> u32 {
    if length > most { most } else { length }
}
