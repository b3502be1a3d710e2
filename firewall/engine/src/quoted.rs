//! Packet that an ICMP error quotes: the quoted beginning of it is enough to know its connection.

use crate::Bytes;
use crate::connection::{ends_at_socket, key_of};
use crate::headers::protocol::{ICMP, ICMPV6};
use crate::parse::mapped;
use firewall_abi::firewall::FlowKey;
use firewall_abi::packet::{PacketHeaders, reply_direction};

/// Length of the ICMP header before the quoted packet, in bytes: type, code, checksum, and four bytes that depend on
/// the type (RFC 792, RFC 4443).
const ICMP_HEADER: u32 = 8;
const IPV6_HEADER: u32 = 40;
/// Greatest length of an error, in bytes from its IP header on (RFC 1812, 4.3.2.3; RFC 4443, 2.4).
const LONGEST_V4: u16 = 576;
const LONGEST_V6: u16 = 1280;

/// Returns whether a packet is an ICMP error that quotes another packet: destination unreachable, time exceeded,
/// parameter problem, and packet too big, which is IPv6's alone. A redirect is none: it asks for another way, and rules
/// have to say who may.
#[must_use]
#[inline(always)]
pub fn is_error(flow: &PacketHeaders) -> bool {
    match flow.protocol {
        ICMP => matches!(flow.source_port, 3 | 11 | 12),
        ICMPV6 => matches!(flow.source_port, 1..=4),
        _ => false,
    }
}

/// Finds the connection of the packet that an error quotes, which went the other way; false: it shows none. It is cut
/// off too early, a later fragment, of a protocol without ports, or has IPv4 options or IPv6 extension headers; or the
/// error goes to somebody else than who sent the packet, or is longer than errors are, and might carry anything.
///
/// Out of line, and through a reference, for the sake of eBPF's small stack.
#[must_use]
#[inline(never)]
pub fn quoted<B: Bytes + ?Sized>(bytes: &B, error: &PacketHeaders, key: &mut FlowKey) -> bool {
    let mut flow = PacketHeaders {
        direction: reply_direction(error.direction),
        ..PacketHeaders::default()
    };
    if !read(bytes, error.protocol == ICMP, &mut flow) {
        return false;
    }
    if flow.source != error.destination {
        return false;
    }
    *key = key_of(&flow);
    true
}

#[inline(never)]
fn read<B: Bytes + ?Sized>(bytes: &B, four: bool, flow: &mut PacketHeaders) -> bool {
    if four {
        ipv4(bytes, flow)
    } else {
        ipv6(bytes, flow)
    }
    .is_some()
}

#[inline(always)]
fn ipv4<B: Bytes + ?Sized>(bytes: &B, flow: &mut PacketHeaders) -> Option<()> {
    /// Version 4, and a header of five words.
    const PLAIN: u8 = 0x45;
    let [first, _, high, low] = word(bytes, 0)?;
    if u16::from_be_bytes([high, low]) > LONGEST_V4 {
        return None;
    }
    let start = u32::from(first & 15) * 4 + ICMP_HEADER;
    let [first, ..] = word(bytes, start)?;
    let [_, _, high, low] = word(bytes, start + 4)?;
    let [_, protocol, ..] = word(bytes, start + 8)?;
    let later = u16::from_be_bytes([high, low]) & 0x1FFF != 0;
    if first != PLAIN || later {
        return None;
    }
    flow.ip_version = 4;
    flow.protocol = protocol;
    flow.source = mapped(word(bytes, start + 12)?);
    flow.destination = mapped(word(bytes, start + 16)?);
    ends(word(bytes, start + 20)?, flow)
}

#[inline(always)]
fn ipv6<B: Bytes + ?Sized>(bytes: &B, flow: &mut PacketHeaders) -> Option<()> {
    let start = IPV6_HEADER + ICMP_HEADER;
    let [high, low, outer_next, _] = word(bytes, 4)?;
    if u16::from_be_bytes([high, low]) > LONGEST_V6 - IPV6_HEADER as u16 {
        return None;
    }
    let [first, ..] = word(bytes, start)?;
    let [_, _, next, _] = word(bytes, start + 4)?;
    if outer_next != ICMPV6 || first >> 4 != 6 {
        return None;
    }
    flow.ip_version = 6;
    flow.protocol = next;
    flow.source = address(bytes, start + 8)?;
    flow.destination = address(bytes, start + 24)?;
    ends(word(bytes, start + IPV6_HEADER)?, flow)
}

#[inline(always)]
fn address<B: Bytes + ?Sized>(bytes: &B, offset: u32) -> Option<[u8; 16]> {
    let [a, b, c, d] = [0, 4, 8, 12].map(|more| word(bytes, offset + more));
    Some(zerocopy::transmute!([a?, b?, c?, d?]))
}

/// Reads one word of a header: of a whole header eBPF's compiler would keep each byte by itself on the stack.
#[inline(always)]
fn word<B: Bytes + ?Sized>(bytes: &B, offset: u32) -> Option<[u8; 4]> {
    let word = load_word(bytes, offset);
    (word != NOTHING).then(|| (word as u32).to_be_bytes())
}

/// Value that stands for a word which the packet does not have. A number, because eBPF's functions return nothing else.
const NOTHING: u64 = u64::MAX;

#[inline(never)]
fn load_word<B: Bytes + ?Sized>(bytes: &B, offset: u32) -> u64 {
    bytes
        .load(offset)
        .map_or(NOTHING, |word| u32::from_be_bytes(word).into())
}

#[inline(always)]
fn ends([a, b, c, d]: [u8; 4], flow: &mut PacketHeaders) -> Option<()> {
    (flow.source_port, flow.destination_port) = match flow.protocol {
        protocol if ends_at_socket(protocol) => {
            (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))
        }
        ICMP | ICMPV6 => (a.into(), b.into()),
        _ => return None,
    };
    Some(())
}
