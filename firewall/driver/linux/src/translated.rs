//! Original destination of a packet, before it was translated, as the kernel's connection tracking remembers it.
//!
//! While the rules are asked about it as it was sent, where it goes instead stands in what no rule asks for then: of
//! what comes in there is no device that it goes out by, and at no end of it is a program of this machine's.

use crate::kernel::{self, offset};
use engine::connection::{Asked, ends_at_socket};
use firewall_abi::packet::{Direction, PacketHeaders, PacketMeta};

/// The lowest bits of `sk_buff._nfct` are no part of the address: they say what the packet is in its connection. From
/// `IP_CT_ESTABLISHED_REPLY` on it is a reply.
const STATE: u64 = 7;
const REPLY: u64 = 3;
/// `IPS_DST_NAT`
const TRANSLATED: u64 = 1 << 5;
/// `AF_INET` and `AF_INET6`
const V4: u16 = 2;
const V6: u16 = 10;

/// An end of a connection, as tracking has it: the address, the port and, of the source, its family;
/// of the destination its protocol and a direction.
type End = [u32; 5];

/// Results: the packet was sent elsewhere than it goes, or it was not.
pub const YES: i32 = 1;
const NO: i32 = 0;

/// Has the headers say what was sent: of a reply, what it answers. `tracked` is the packet's `sk_buff._nfct`.
///
/// [`YES`], or it goes where it was sent, or that can't be known.
/// A global function for the verifier, as `gatebell_classify` is.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn gatebell_as_sent(
    tracked: u64,
    flow: *mut PacketHeaders,
    asked: u32,
    local: *mut PacketMeta,
) -> i32 {
    if flow.is_null() || local.is_null() {
        return NO;
    }
    // SAFETY: not null; the one caller hands in a value of its own.
    let flow = unsafe { &mut *flow };
    // SAFETY: likewise, and another value.
    let local = unsafe { &mut *local };
    let asked = Asked::numbered(asked);
    let connection = tracked & !STATE;
    let is_reply = tracked & STATE >= REPLY;
    // Of other protocols, what stands there is no port; and an error has the connection that it is about.
    if connection == 0
        || is_reply != (asked == Asked::Beginning)
        || !ends_at_socket(flow.protocol)
        || kernel::peek::<u64>(connection, offset!(translated.status)) & TRANSLATED == 0
    {
        return NO;
    }
    let (source, port) = match asked {
        Asked::Packet => (&flow.source, flow.source_port),
        Asked::Beginning => (&flow.destination, flow.destination_port),
    };
    let Some(from) = kernel::read::<End>(connection, offset!(translated.source)) else {
        return NO;
    };
    let family = (from[4] >> 16) as u16;
    let source: [u64; 2] = zerocopy::transmute!(*source);
    if !matches!(family, V4 | V6) || address_of(&from, family) != source || port_of(&from) != port {
        return NO;
    }
    let Some(to) = kernel::read::<End>(connection, offset!(translated.destination)) else {
        return NO;
    };
    if (to[4] >> 16) as u8 != flow.protocol {
        return NO;
    }
    local.out_interface = address_of(&to, family);
    local.program = PacketMeta::ELSEWHERE;
    local.program[1] |= u64::from(port_of(&to)) << PORT;
    exchange(flow, asked, local);
    YES
}

/// Above what [`PacketMeta::ELSEWHERE`] takes of a word.
const PORT: u32 = 16;

/// Makes of what was sent what is forwarded, and the other way round.
#[inline(always)]
pub fn exchange(flow: &mut PacketHeaders, asked: Asked, local: &mut PacketMeta) {
    const FORWARD: u8 = Direction::Forward as u8;
    let (address, port, sent) = match asked {
        Asked::Packet => (
            &mut flow.destination,
            &mut flow.destination_port,
            Direction::Inbound,
        ),
        Asked::Beginning => (&mut flow.source, &mut flow.source_port, Direction::Outbound),
    };
    let (other, other_port) = (local.out_interface, (local.program[1] >> PORT) as u16);
    local.out_interface = zerocopy::transmute!(*address);
    local.program[1] = PacketMeta::ELSEWHERE[1] | u64::from(*port) << PORT;
    *address = zerocopy::transmute!(other);
    *port = other_port;
    flow.direction = if flow.direction == FORWARD {
        sent as u8
    } else {
        FORWARD
    };
}

/// The address to which it was sent, in two words, once the headers say again where it goes.
#[inline(always)]
pub fn address(local: &PacketMeta) -> [u64; 2] {
    local.out_interface.map(u64::from_be)
}

/// An end's address as [`PacketHeaders`] has it.
#[inline(always)]
const fn address_of(end: &End, family: u16) -> [u64; 2] {
    if family == V4 {
        [0, (end[0] as u64) << 32 | 0xFFFF_u32.to_be() as u64]
    } else {
        [
            (end[1] as u64) << 32 | end[0] as u64,
            (end[3] as u64) << 32 | end[2] as u64,
        ]
    }
}

#[inline(always)]
const fn port_of(end: &End) -> u16 {
    u16::from_be(end[4] as u16)
}
