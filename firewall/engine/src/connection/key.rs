//! The key of a connection, by the headers of a packet of either direction.

use super::begins::{ECHO_REPLY, ECHO_REPLY_V6, ECHO_REQUEST, ECHO_REQUEST_V6, ends_at_socket};
use crate::headers::protocol::{ICMP, ICMPV6, UDP};
use firewall_abi::firewall::FlowKey;
use firewall_abi::packet::{Direction, PacketHeaders, PacketMeta, reply_direction};

/// Returns the key of a packet's connection: both ends, the same for either direction.
#[must_use]
#[inline(always)]
pub fn key_of(flow: &PacketHeaders) -> FlowKey {
    // Of an echo, the end that asks is marked: each end may ask the other, and these are two connections.
    let (source_port, destination_port) = match (flow.protocol, flow.source_port) {
        (protocol, _) if ends_at_socket(protocol) => (flow.source_port, flow.destination_port),
        (ICMP, ECHO_REQUEST) | (ICMPV6, ECHO_REQUEST_V6) => (1, 0),
        (ICMP, ECHO_REPLY) | (ICMPV6, ECHO_REPLY_V6) => (0, 1),
        _ => (0, 0),
    };
    let mut protocol = flow.protocol.into();
    if flow.direction == Direction::Forward as u8 {
        protocol |= FlowKey::FORWARDED;
    }
    if from_local(flow) == 1 {
        let (local, remote) = (flow.source, flow.destination);
        FlowKey {
            local,
            remote,
            local_port: source_port,
            remote_port: destination_port,
            protocol,
        }
    } else {
        let (local, remote) = (flow.destination, flow.source);
        FlowKey {
            local,
            remote,
            local_port: destination_port,
            remote_port: source_port,
            protocol,
        }
    }
}

/// Returns 1 if a packet comes from the end that its [`FlowKey`] calls local: the zone's; of a forwarded one, the lower
/// address.
#[inline(always)]
pub(super) fn from_local(flow: &PacketHeaders) -> u8 {
    const INBOUND: u8 = Direction::Inbound as u8;
    const OUTBOUND: u8 = Direction::Outbound as u8;
    match flow.direction {
        INBOUND => 0,
        OUTBOUND => 1,
        _ => u8::from(number_of(&flow.source) < number_of(&flow.destination)),
    }
}

pub(super) fn number_of(address: &[u8; 16]) -> u128 {
    u128::from_be_bytes(*address)
}

pub(super) fn words(address: &[u8; 16]) -> [u64; 2] {
    let number = number_of(address);
    [(number >> 64) as u64, number as u64]
}

/// Returns the headers that the connection of a reply began with: the same ends, the other way round.
#[must_use]
pub fn beginning(reply: &PacketHeaders) -> PacketHeaders {
    let mut flow = PacketHeaders {
        tcp_flags: 0,
        ..*reply
    };
    reverse(&mut flow);
    flow
}

/// Turns a reply into the beginning of its connection, and that into a reply again, though an echo's code is lost.
#[inline(always)]
pub(super) fn reverse(flow: &mut PacketHeaders) {
    (flow.source, flow.destination) = (flow.destination, flow.source);
    (flow.source_port, flow.destination_port) = match flow.protocol {
        ICMP => (ECHO_REQUEST, 0),
        ICMPV6 => (ECHO_REQUEST_V6, 0),
        _ => (flow.destination_port, flow.source_port),
    };
    flow.direction = reply_direction(flow.direction);
}

/// Swaps the two devices of a forwarded packet: its replies come in by the device that it went out by.
#[inline(always)]
pub(super) fn reverse_devices(direction: u8, local: &mut PacketMeta) {
    if direction == Direction::Forward as u8 {
        (local.interface, local.out_interface) = (local.out_interface, local.interface);
    }
}

/// Makes of the key of a datagram that of a question to a group.
#[inline(always)]
pub(super) fn of_a_group(key: &mut FlowKey) {
    key.remote = [0; 16];
    key.protocol = UDP as u32 | FlowKey::GROUP;
}
