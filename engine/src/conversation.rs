//! Which packets begin a conversation, and which can be replies in one.
//!
//! Whoever keeps the conversations (a kernel map, a dry run's table) asks here, so that both remember the same.

use crate::headers::protocol::{ICMP, ICMPV6, TCP, UDP};
use contract::firewall::FlowKey;
use contract::packet::{Direction, Flow};

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
