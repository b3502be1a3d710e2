//! Decisions on packets that belong together: what begins a conversation, and what is a reply in one.
//!
//! Where the conversations are kept (a kernel map, a dry run's table) is the caller's: [`Conversations`]. What is
//! remembered, and what passes because of it, is decided here, once for both.

use crate::headers::protocol::{ICMP, ICMPV6, TCP, UDP};
use crate::{Parsed, Shape, Tables, classify};
use contract::firewall::{FlowEntry, FlowKey};
use contract::packet::{Decision, Direction, Flow, Reason, Verdict};

/// Where conversations are kept.
pub trait Conversations {
    /// The conversation's entry, unless it is forgotten. What is changed in it stays.
    fn find(&mut self, key: &FlowKey) -> Option<&mut FlowEntry>;

    /// Remembers a new one; where there is no room it counts that, and forgets no other for it.
    fn begin(&mut self, key: &FlowKey, entry: &FlowEntry);

    /// Forgets one.
    fn forget(&mut self, key: &FlowKey);
}

/// Decides on a packet: a reply to what was allowed passes, the rules decide about the rest, and what they allow is
/// remembered if it can begin a conversation.
#[inline(always)]
pub fn decide<T: Tables, C: Conversations>(
    packet: &Parsed,
    tables: &T,
    conversations: &mut C,
    now_ns: u64,
) -> Decision {
    let whole = packet.shape == Shape::Whole;
    if whole
        && may_answer(&packet.flow)
        && let Some(decision) = reply(packet, tables, conversations, now_ns)
    {
        return decision;
    }
    let decision = classify(packet, tables);
    if whole && decision.verdict == Verdict::Allow as u8 && may_begin(&packet.flow) {
        remember(&packet.flow, &decision, conversations, now_ns);
    }
    decision
}

/// The verdict on a reply: that of the conversation's beginning, asked again if the rules have changed since.
#[inline(always)]
fn reply<T: Tables, C: Conversations>(
    packet: &Parsed,
    tables: &T,
    conversations: &mut C,
    now_ns: u64,
) -> Option<Decision> {
    let key = key(&packet.flow);
    let entry = conversations.find(&key)?;
    if entry.direction == u32::from(packet.flow.direction) {
        return None;
    }
    if entry.generation != tables.head().map_or(0, |head| head.generation) {
        let beginning = classify(&Parsed { flow: beginning(&packet.flow), shape: Shape::Whole }, tables);
        if beginning.verdict != Verdict::Allow as u8 {
            conversations.forget(&key);
            return None;
        }
        entry.generation = beginning.generation;
        entry.rule = beginning.rule;
    }
    entry.stamp_ns = now_ns;
    let (rule, generation) = (entry.rule, entry.generation);
    let (verdict, reason) = (Verdict::Allow as u8, Reason::Reply as u8);
    Some(Decision { rule, generation, verdict, reason, log: 0, spare: 0 })
}

/// Remembers an allowed packet's conversation, unless the other end began it.
#[inline(always)]
fn remember<C: Conversations>(flow: &Flow, decision: &Decision, conversations: &mut C, now_ns: u64) {
    let key = key(flow);
    let Decision { rule, generation, .. } = *decision;
    let direction = u32::from(flow.direction);
    let Some(entry) = conversations.find(&key) else {
        conversations.begin(&key, &FlowEntry { stamp_ns: now_ns, rule, generation, direction, spare: 0 });
        return;
    };
    if entry.direction == direction {
        entry.stamp_ns = now_ns;
        entry.rule = rule;
        entry.generation = generation;
    }
}

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

const ECHO_REQUEST: u16 = 8;
const ECHO_REPLY: u16 = 0;
const ECHO_REQUEST_V6: u16 = 128;
const ECHO_REPLY_V6: u16 = 129;

/// Whether a packet can begin a conversation: for TCP whatever is no end of one, for ICMP a question.
#[must_use]
#[inline(always)]
pub fn may_begin(flow: &Flow) -> bool {
    match flow.protocol {
        TCP => flow.tcp_flags & (RST | FIN) == 0,
        UDP => true,
        ICMP => flow.source_port == ECHO_REQUEST,
        ICMPV6 => flow.source_port == ECHO_REQUEST_V6,
        _ => false,
    }
}

/// Whether a packet can be a reply: for TCP all but a first SYN, for ICMP an answer.
#[must_use]
#[inline(always)]
pub fn may_answer(flow: &Flow) -> bool {
    match flow.protocol {
        TCP => flow.tcp_flags & (SYN | ACK) != SYN,
        UDP => true,
        ICMP => flow.source_port == ECHO_REPLY,
        ICMPV6 => flow.source_port == ECHO_REPLY_V6,
        _ => false,
    }
}

/// Both ends of a packet's conversation, the same for either direction.
#[must_use]
#[inline(always)]
pub fn key(flow: &Flow) -> FlowKey {
    // Of an echo, the end that asks is marked: each end may ask the other, and these are two conversations.
    let (source_port, destination_port) = match (flow.protocol, flow.source_port) {
        (TCP | UDP, _) => (flow.source_port, flow.destination_port),
        (ICMP, ECHO_REQUEST) | (ICMPV6, ECHO_REQUEST_V6) => (1, 0),
        (ICMP, ECHO_REPLY) | (ICMPV6, ECHO_REPLY_V6) => (0, 1),
        _ => (0, 0),
    };
    let protocol = flow.protocol.into();
    if flow.direction == Direction::Outbound as u8 {
        let (local, remote) = (flow.source, flow.destination);
        FlowKey { local, remote, local_port: source_port, remote_port: destination_port, protocol }
    } else {
        let (local, remote) = (flow.destination, flow.source);
        FlowKey { local, remote, local_port: destination_port, remote_port: source_port, protocol }
    }
}

/// What the conversation began with, of a reply: the same ends, the other way round.
#[must_use]
#[inline(always)]
pub fn beginning(reply: &Flow) -> Flow {
    let (source_port, destination_port) = match reply.protocol {
        ICMP => (ECHO_REQUEST, 0),
        ICMPV6 => (ECHO_REQUEST_V6, 0),
        _ => (reply.destination_port, reply.source_port),
    };
    Flow {
        source: reply.destination,
        destination: reply.source,
        source_port,
        destination_port,
        protocol: reply.protocol,
        ip_version: reply.ip_version,
        direction: if reply.direction == Direction::Inbound as u8 {
            Direction::Outbound as u8
        } else {
            Direction::Inbound as u8
        },
        tcp_flags: 0,
    }
}

/// How long a conversation may be silent before it is forgotten, in nanoseconds.
#[must_use]
pub const fn longest_silence_ns(protocol: u32) -> u64 {
    const SECOND: u64 = 1_000_000_000;
    if protocol == TCP as u32 { 2 * 60 * 60 * SECOND } else { 180 * SECOND }
}
