//! Answers to rejected packets: bytes in, bytes out.
//!
//! As nftables' `reject` has it by default, and the standards of hosts and routers: TCP is answered by a RST that its
//! sender's stack takes, whatever has ports by "port unreachable", the rest by "administratively prohibited", and so is
//! all but TCP that is forwarded, for which a router speaks (RFC 1812, 5.2.7.1; RFC 4443, 3.1).
//!
//! Rules that hold here:
//! - Any bytes give an answer or none, which is never longer than what it is made of and the headers before it.
//! - Nothing is answered that is an answer itself (a RST, an error of ICMP), that shows no beginning (a later
//!   fragment), that goes to many or comes from nobody (RFC 1122, 3.2.2; RFC 4443, 2.4).

use crate::connection::ends_at_socket;
use crate::headers::Tcp;
use crate::headers::protocol::{ICMP, ICMPV6, TCP};
use crate::parse::{Payload, payload_of};
use crate::{Bytes, Parsed, Shape, parse};
use firewall_abi::packet::{Decision, Direction, PacketHeaders, Reason, Verdict};
use firewall_abi::rejected::MOST_BYTES;

/// The longest answer.
pub const LONGEST: usize = IPV6 + ICMP_HEADER + MOST_BYTES;

const IPV4: usize = 20;
const IPV6: usize = 40;
const ICMP_HEADER: usize = 8;
const TCP_HEADER: usize = 20;

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

const ECHO_REQUEST: u16 = 8;
const ECHO_REQUEST_V6: u16 = 128;

/// Answer to a rejected packet, from its IP header on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    bytes: [u8; LONGEST],
    length: usize,
    /// Address of the receiver; of IPv4, the mapped form.
    pub to: [u8; 16],
    /// Version of IP: 4 or 6.
    pub ip_version: u8,
}

impl Answer {
    /// The packet.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

/// Returns whether the service tells the sender that a person's answer blocks its connection, or that nobody gave one.
/// The sender is told as of a rejected packet, else it waits until TCP gives up: two minutes for what can't come any
/// more. The verdict stays a block.
#[must_use]
#[inline(always)]
pub const fn is_sender_told(flow: &PacketHeaders, decision: &Decision) -> bool {
    const BY_ANSWER: u8 = Reason::Answer as u8;
    const UNANSWERED: u8 = Reason::Unanswered as u8;
    flow.protocol == TCP
        && flow.tcp_flags & (SYN | ACK | RST) == SYN
        && flow.direction == Direction::Outbound as u8
        && decision.verdict == Verdict::Block as u8
        && matches!(decision.reason, BY_ANSWER | UNANSWERED)
}

/// Returns whether an outbound packet may be an answer to a rejected one: a RST, or an error that says "unreachable".
#[must_use]
#[inline(always)]
pub const fn may_be_answer(flow: &PacketHeaders) -> bool {
    const UNREACHABLE: u16 = 3;
    const UNREACHABLE_V6: u16 = 1;
    match flow.protocol {
        TCP => flow.tcp_flags & (RST | SYN | FIN) == RST,
        ICMP => flow.source_port == UNREACHABLE,
        ICMPV6 => flow.source_port == UNREACHABLE_V6,
        _ => false,
    }
}

/// The answer to a packet that was rejected, if there is one to it: its first bytes, from its IP header on, and how
/// long it was. `own` says which of the machine's own addresses a packet has that it sends to this one; it is asked
/// where the machine itself speaks, as a router.
pub fn answer(
    packet: &[u8],
    length: u32,
    direction: Direction,
    own: impl FnOnce(&[u8; 16]) -> Option<[u8; 16]>,
) -> Option<Answer> {
    let packet = packet.get(..packet.len().min(MOST_BYTES))?;
    let Parsed { flow, shape } = parse(packet, length, direction);
    if shape != Shape::Whole || !may_be_answered(&flow) {
        return None;
    }
    let forwarded = direction == Direction::Forward;
    let from = match direction {
        _ if flow.protocol == TCP => flow.destination,
        Direction::Inbound => flow.destination,
        Direction::Outbound => flow.source,
        Direction::Forward => own(&flow.source)?,
    };
    let mut answer = Writer::of(&flow, from);
    if flow.protocol == TCP {
        answer.reset(packet, &payload_of(packet, length)?, &flow)?;
    } else {
        answer.unreachable(packet, ends_at_socket(flow.protocol) && !forwarded)?;
    }
    Some(answer.0)
}

fn may_be_answered(flow: &PacketHeaders) -> bool {
    let says_something = match flow.protocol {
        TCP => flow.tcp_flags & RST == 0,
        ICMP => flow.source_port == ECHO_REQUEST,
        ICMPV6 => flow.source_port == ECHO_REQUEST_V6,
        // Nothing comes behind the headers, or what says which groups somebody listens to.
        59 | 2 => false,
        _ => true,
    };
    let local = flow.direction == Direction::Outbound as u8;
    let of_version = matches!((flow.protocol, flow.ip_version), (ICMP, 6) | (ICMPV6, 4));
    says_something
        && !of_version
        && is_one(&flow.source, flow.ip_version, local)
        && is_one(&flow.destination, flow.ip_version, local)
}

/// Returns whether an address is a single machine's, as far as the address alone says. A loopback address is met only
/// on packets that never leave the machine.
fn is_one(address: &[u8; 16], ip_version: u8, local: bool) -> bool {
    const LOOPBACK_V6: u128 = 1;
    if ip_version == 4 {
        let [.., first, _, _, _] = *address;
        return match first {
            0 | 224.. => false,
            127 => local,
            _ => true,
        };
    }
    match u128::from_be_bytes(*address) {
        0 => false,
        LOOPBACK_V6 => local,
        address => address >> 120 != 0xFF && address >> 32 != 0xFFFF,
    }
}

/// Writes an answer.
struct Writer(Answer);

impl Writer {
    /// Creates an answer with IP headers, but for the fields that depend on the payload.
    fn of(flow: &PacketHeaders, from: [u8; 16]) -> Self {
        let mut writer = Self(Answer {
            bytes: [0; LONGEST],
            length: 0,
            to: flow.source,
            ip_version: flow.ip_version,
        });
        if flow.ip_version == 4 {
            // No options; may not be fragmented; lives as long as what the kernel sends itself.
            writer.put(&[0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 0, 0, 0]);
            writer.put(&from[12..]);
            writer.put(&flow.source[12..]);
        } else {
            writer.put(&[0x60, 0, 0, 0, 0, 0, 0, 64]);
            writer.put(&from);
            writer.put(&flow.source);
        }
        writer
    }

    fn put(&mut self, bytes: &[u8]) {
        let end = self.0.length + bytes.len();
        if let Some(room) = self.0.bytes.get_mut(self.0.length..end) {
            room.copy_from_slice(bytes);
            self.0.length = end;
        }
    }

    /// Writes over what is there.
    fn set(&mut self, at: usize, bytes: &[u8]) -> Option<()> {
        let room = self.0.bytes.get_mut(at..at.checked_add(bytes.len())?)?;
        room.copy_from_slice(bytes);
        Some(())
    }

    /// A RST that answers a segment (RFC 9293, 3.5.2): of the number that is waited for,
    /// or one that acknowledges all of it.
    fn reset(&mut self, packet: &[u8], payload: &Payload, flow: &PacketHeaders) -> Option<()> {
        let tcp: Tcp = packet.load(payload.start)?;
        let header = u32::from(tcp.words >> 4) * 4;
        let data = payload
            .end
            .checked_sub(payload.start)?
            .checked_sub(header)?;
        let (sequence, acknowledgement, flags) = if tcp.flags & ACK != 0 {
            (tcp.acknowledgement, [0; 4], RST)
        } else {
            let counted = u32::from(tcp.flags & SYN != 0) + u32::from(tcp.flags & FIN != 0);
            let next = u32::from_be_bytes(tcp.sequence)
                .wrapping_add(data)
                .wrapping_add(counted);
            ([0; 4], next.to_be_bytes(), RST | ACK)
        };
        let start = self.0.length;
        self.put(&flow.destination_port.to_be_bytes());
        self.put(&flow.source_port.to_be_bytes());
        self.put(&sequence);
        self.put(&acknowledgement);
        self.put(&[(TCP_HEADER as u8 / 4) << 4, flags, 0, 0, 0, 0, 0, 0]);
        let sum = self.sum_with_ends(start, TCP);
        self.set(start + 16, &sum)?;
        self.finish(TCP)
    }

    /// An error that quotes the packet.
    fn unreachable(&mut self, packet: &[u8], port: bool) -> Option<()> {
        let four = self.0.ip_version == 4;
        let (kind, code) = match (four, port) {
            (true, true) => (3, 3),
            (true, false) => (3, 13),
            (false, true) => (1, 4),
            (false, false) => (1, 1),
        };
        let start = self.0.length;
        self.put(&[kind, code, 0, 0, 0, 0, 0, 0]);
        self.put(packet);
        let (protocol, sum) = if four {
            (ICMP, checksum(self.0.bytes().get(start..)?, 0))
        } else {
            (ICMPV6, self.sum_with_ends(start, ICMPV6))
        };
        self.set(start + 2, &sum)?;
        self.finish(protocol)
    }

    /// The checksum of what stands behind the headers of IP and of these.
    fn sum_with_ends(&self, start: usize, protocol: u8) -> [u8; 2] {
        let bytes = self.0.bytes();
        let ends = if self.0.ip_version == 4 { 12 } else { 8 };
        let (head, behind) = bytes.split_at_checked(start).unwrap_or_default();
        let ends = sum(head.get(ends..).unwrap_or_default());
        checksum(behind, ends + u32::from(protocol) + behind.len() as u32)
    }

    /// Writes the fields of the IP header that depend on the payload: length, protocol and checksum.
    fn finish(&mut self, protocol: u8) -> Option<()> {
        let length = self.0.length as u16;
        if self.0.ip_version == 4 {
            self.set(2, &length.to_be_bytes())?;
            self.set(9, &[protocol])?;
            let sum = checksum(self.0.bytes().get(..IPV4)?, 0);
            self.set(10, &sum)
        } else {
            self.set(4, &(length - IPV6 as u16).to_be_bytes())?;
            self.set(6, &[protocol])
        }
    }
}

/// The sum of 16-bit words (RFC 1071); 32 bits are enough for what is as short as this.
fn sum(bytes: &[u8]) -> u32 {
    let (words, rest) = bytes.as_chunks::<2>();
    let last = rest.first().map_or(0, |byte| u32::from(*byte) << 8);
    let words = words
        .iter()
        .map(|word| u32::from(u16::from_be_bytes(*word)));
    words.sum::<u32>() + last
}

fn checksum(bytes: &[u8], more: u32) -> [u8; 2] {
    let mut all = sum(bytes) + more;
    while all > 0xFFFF {
        all = (all & 0xFFFF) + (all >> 16);
    }
    (!(all as u16)).to_be_bytes()
}
