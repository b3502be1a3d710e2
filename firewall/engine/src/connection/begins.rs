//! Packets that may begin a connection, and packets that may answer one.

use crate::headers::protocol::{DCCP, ICMP, ICMPV6, SCTP, TCP, UDP, UDP_LITE};
use firewall_abi::packet::PacketHeaders;

pub(super) const FIN: u8 = 1;
pub(super) const SYN: u8 = 2;
pub(super) const RST: u8 = 4;
pub(super) const ACK: u8 = 16;

pub(super) const ECHO_REQUEST: u16 = 8;
pub(super) const ECHO_REPLY: u16 = 0;
pub(super) const ECHO_REQUEST_V6: u16 = 128;
pub(super) const ECHO_REPLY_V6: u16 = 129;

/// Returns whether the receiver of packets of this protocol is a socket, which the kernel asks before it takes them: so
/// it is for protocols with ports. What is not decided before is decided there; of other protocols the kernel itself is
/// at the end.
#[must_use]
#[inline(always)]
pub fn ends_at_socket(protocol: u8) -> bool {
    SOCKETS[(protocol >> 6) as usize] >> (protocol & 63) & 1 == 1
}

/// A bit for each protocol that ends at a socket. Looked up, and not compared with each: a verifier would follow the
/// packets of each by themselves from there on.
static SOCKETS: [u64; 4] = {
    let mut bits = [0; 4];
    let mut rest: &[u8] = &[TCP, UDP, DCCP, SCTP, UDP_LITE];
    while let [protocol, more @ ..] = rest {
        bits[(*protocol >> 6) as usize] |= 1 << (*protocol & 63);
        rest = more;
    }
    bits
};

/// Returns whether a packet can begin a connection. Of TCP that is any without RST and FIN but a SYN-ACK, of ICMP a
/// question; of the other protocols with ports any packet: whoever sends first begins.
#[must_use]
#[inline(always)]
pub fn may_begin(flow: &PacketHeaders) -> bool {
    match flow.protocol {
        TCP => flow.tcp_flags & (RST | FIN) == 0 && flow.tcp_flags & (SYN | ACK) != SYN | ACK,
        ICMP => flow.source_port == ECHO_REQUEST,
        ICMPV6 => flow.source_port == ECHO_REQUEST_V6,
        protocol => ends_at_socket(protocol),
    }
}

/// Returns whether a packet can be a reply: of TCP any but a first SYN, of ICMP an answer.
#[must_use]
#[inline(always)]
pub fn may_answer(flow: &PacketHeaders) -> bool {
    match flow.protocol {
        TCP => flow.tcp_flags & (SYN | ACK) != SYN,
        ICMP => flow.source_port == ECHO_REPLY,
        ICMPV6 => flow.source_port == ECHO_REPLY_V6,
        protocol => ends_at_socket(protocol),
    }
}

/// Returns whether the flags of a packet ask for a new TCP connection or SCTP association.
#[inline(always)]
pub(super) const fn asks_anew(flow: &PacketHeaders) -> bool {
    flow.tcp_flags & (SYN | ACK) == SYN
}

/// Returns whether a packet is the first SYN of a TCP connection.
#[inline(always)]
pub(super) fn is_first_syn(flow: &PacketHeaders) -> bool {
    flow.protocol == TCP && flow.tcp_flags & (SYN | ACK) == SYN
}
