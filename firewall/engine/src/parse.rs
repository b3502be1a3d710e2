//! Parser of packets: from bytes to headers.

use crate::connection::ends_at_socket;
use crate::headers::{Extension, Icmp, Ipv4, Ipv4Option, Ipv6, Tcp, Udp, protocol};
use firewall_abi::packet::{Direction, PacketHeaders};
use zerocopy::FromBytes;

/// The bytes of a packet, from its IP header on.
///
/// Slices back it in user space, `bpf_skb_load_bytes` does in eBPF: loads of a fixed size at any offset, which every
/// verifier takes.
pub trait Bytes {
    /// The bytes at `offset`, or `None` if the packet does not reach that far.
    fn load<T: FromBytes>(&self, offset: u32) -> Option<T>;

    /// Walks over IPv4's options, step by step. In eBPF the kernel does the loop, so that its verifier follows one step
    /// and not [`Ipv4Options::MOST`].
    #[inline(always)]
    fn walk(&self, options: &mut Ipv4Options) {
        while options.step(self) {}
    }
}

impl Bytes for [u8] {
    fn load<T: FromBytes>(&self, offset: u32) -> Option<T> {
        let bytes = self.get(usize::try_from(offset).ok()?..)?;
        Some(T::read_from_prefix(bytes).ok()?.0)
    }
}

/// Headers of a packet, and how far they can be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// Headers of the packet; of a malformed one, as far as they could be read.
    pub flow: PacketHeaders,
    /// Extent to which the headers can be judged.
    pub shape: Shape,
}

impl Parsed {
    /// Placeholder for no packet, with all fields 0.
    pub const NOTHING: Self = Self {
        flow: PacketHeaders {
            source: [0; 16],
            destination: [0; 16],
            source_port: 0,
            destination_port: 0,
            protocol: 0,
            ip_version: 0,
            direction: 0,
            tcp_flags: 0,
        },
        shape: Shape::Malformed,
    };
}

/// Extent to which a packet shows its headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Shape {
    /// All that rules ask for. First fragments are whole, as far as rules are concerned.
    Whole = 0,
    /// A later fragment: addresses and protocol, no ports.
    LaterFragment = 1,
    /// Cut off, in contradiction with itself, or bound for elsewhere than it says.
    Malformed = 2,
}

/// The most extension headers that are followed: each kind once, and destination options twice (RFC 8200, 4.1).
pub const MAX_EXTENSIONS: u32 = 6;

/// Reads a packet's headers.
///
/// `length` is the packet's length on the way, from the IP header on; `bytes` may hold less of it (a capture that was
/// cut) as long as the headers are there.
///
/// A packet is malformed if
/// - its version is neither 4 nor 6, or a header that has to be read is cut off or does not fit into its lengths;
/// - it says it is longer than it is (it may be shorter: Ethernet pads);
/// - a UDP or TCP header's own length is less than that header, or more than what is there;
/// - SCTP has no chunk;
/// - IPv6 has more than [`MAX_EXTENSIONS`] extension headers, or two fragment headers;
/// - a fragment reaches beyond 65,535 bytes, has a length that no fragment before the last may have, or begins inside
///   of a TCP header;
/// - it goes on from the address that it shows: an IPv6 routing header has segments left (RFC 8200, 4.4), or a source
///   route of IPv4 stops (RFC 791, 3.1). The kernel that it is delivered to sends it on, or takes it for another of its
///   own addresses, and asks nobody again.
#[inline(always)]
pub fn parse<B: Bytes + ?Sized>(bytes: &B, length: u32, direction: Direction) -> Parsed {
    let mut flow = PacketHeaders {
        direction: direction as u8,
        ..PacketHeaders::default()
    };
    let shape = network(bytes, length, &mut flow).unwrap_or(Shape::Malformed);
    Parsed { flow, shape }
}

/// Payload of the IP headers.
pub(crate) struct Payload {
    /// Offset of the first byte in the packet.
    pub(crate) start: u32,
    /// Offset of the end in the packet.
    pub(crate) end: u32,
    /// Offset in the whole payload, if this is a fragment.
    fragment: Fragment,
}

#[derive(Clone, Copy)]
struct Fragment {
    offset: u32,
    more: bool,
}

/// Out of line, and through a reference: so eBPF's small stack holds the flow once, in the caller's frame.
#[inline(never)]
fn network<B: Bytes + ?Sized>(bytes: &B, length: u32, flow: &mut PacketHeaders) -> Option<Shape> {
    // One load for both: no packet that is whole is shorter, of either version.
    let ip: Ipv4 = bytes.load(0)?;
    match ip.version_and_words >> 4 {
        4 => ipv4(bytes, &ip, length, flow),
        6 => ipv6(bytes, length, flow),
        _ => None,
    }
}

#[inline(always)]
fn ipv4<B: Bytes + ?Sized>(
    bytes: &B,
    ip: &Ipv4,
    length: u32,
    flow: &mut PacketHeaders,
) -> Option<Shape> {
    flow.ip_version = 4;
    flow.source = mapped(ip.source);
    flow.destination = mapped(ip.destination);
    flow.protocol = ip.protocol;
    let payload = ipv4_payload(ip, length)?;
    if payload.start > 20 && !ends_where_it_says(bytes, payload.start) {
        return None;
    }
    transport(bytes, &payload, flow)
}

/// Returns whether no option between IPv4's header and its `end` leads the packet on from its destination.
///
/// Out of line, for the sake of eBPF's small stack.
#[inline(never)]
fn ends_where_it_says<B: Bytes + ?Sized>(bytes: &B, end: u32) -> bool {
    let mut options = Ipv4Options {
        at: 20,
        end,
        lead_on: 0,
    };
    bytes.walk(&mut options);
    options.lead_on == 0
}

/// The options of an IPv4 header, as far as they were walked over.
pub struct Ipv4Options {
    /// Offset of the next option.
    at: u32,
    /// Offset of the header's end.
    end: u32,
    /// 1 if an option leads the packet on from its stated destination, or is cut off; else 0.
    lead_on: u32,
}

impl Ipv4Options {
    /// Greatest number of options that a header has room for, all of the shortest kind.
    pub const MOST: u32 = 40;

    /// Walks over the next one. False: there is none, or those behind it do not matter any more.
    #[inline(always)]
    pub fn step<B: Bytes + ?Sized>(&mut self, bytes: &B) -> bool {
        const END: u8 = 0;
        const NO_OPERATION: u8 = 1;
        const LOOSE_ROUTE: u8 = 131;
        const STRICT_ROUTE: u8 = 137;
        // What is shorter leads nowhere.
        if self.at + 3 > self.end {
            return false;
        }
        let Some(option) = bytes.load::<Ipv4Option>(self.at) else {
            self.lead_on = 1;
            return false;
        };
        self.at += match option.kind {
            END => return false,
            NO_OPERATION => 1,
            LOOSE_ROUTE | STRICT_ROUTE if option.pointer <= option.length => {
                self.lead_on = 1;
                return false;
            }
            // One of no length is the last that anybody reads.
            _ if option.length == 0 => return false,
            _ => u32::from(option.length),
        };
        true
    }
}

#[inline(always)]
fn ipv4_payload(ip: &Ipv4, length: u32) -> Option<Payload> {
    let start = u32::from(ip.version_and_words & 15) * 4;
    let said = u32::from(u16::from_be_bytes(ip.length));
    let end = said_length(said, said == 0, length)?;
    if start < 20 {
        return None;
    }
    let field = u32::from(u16::from_be_bytes(ip.fragment));
    let fragment = Fragment {
        offset: (field & 0x1FFF) * 8,
        more: field & 0x2000 != 0,
    };
    Some(Payload {
        start,
        end,
        fragment,
    })
}

#[inline(always)]
fn ipv6<B: Bytes + ?Sized>(bytes: &B, length: u32, flow: &mut PacketHeaders) -> Option<Shape> {
    let ip: Ipv6 = bytes.load(0)?;
    flow.ip_version = 6;
    flow.source = ip.source();
    flow.destination = ip.destination();
    flow.protocol = ip.next();
    let payload = ipv6_payload(bytes, &ip, length, flow)?;
    transport(bytes, &payload, flow)
}

#[inline(always)]
fn ipv6_payload<B: Bytes + ?Sized>(
    bytes: &B,
    ip: &Ipv6,
    length: u32,
    flow: &mut PacketHeaders,
) -> Option<Payload> {
    const HEADER: u32 = 40;
    let said = u32::from(ip.payload()) + HEADER;
    let end = said_length(said, said == HEADER, length)?;
    extensions(bytes, end, flow)
}

/// Returns the payload of a packet's IP headers.
pub(crate) fn payload_of<B: Bytes + ?Sized>(bytes: &B, length: u32) -> Option<Payload> {
    let ip: Ipv4 = bytes.load(0)?;
    if ip.version_and_words >> 4 == 4 {
        return ipv4_payload(&ip, length);
    }
    let ip: Ipv6 = bytes.load(0)?;
    let mut flow = PacketHeaders {
        protocol: ip.next(),
        ..PacketHeaders::default()
    };
    ipv6_payload(bytes, &ip, length, &mut flow)
}

/// Walks over IPv6's extension headers and leaves in `flow.protocol` what comes behind them.
#[inline(always)]
fn extensions<B: Bytes + ?Sized>(bytes: &B, end: u32, flow: &mut PacketHeaders) -> Option<Payload> {
    let mut start = 40;
    let mut fragment = Fragment {
        offset: 0,
        more: false,
    };
    let mut fragmented = false;
    let mut seen = 0;
    while let protocol::HOP_BY_HOP
    | protocol::ROUTING
    | protocol::DESTINATION
    | protocol::AUTHENTICATION
    | protocol::FRAGMENT = flow.protocol
    {
        if seen == MAX_EXTENSIONS {
            return None;
        }
        seen += 1;
        let header: Extension = bytes.load(start)?;
        let words = u32::from(header.length);
        match flow.protocol {
            protocol::FRAGMENT if fragmented => return None,
            protocol::FRAGMENT => {
                let field = u32::from(u16::from_be_bytes(header.more));
                fragment = Fragment {
                    offset: field & 0xFFF8,
                    more: field & 1 != 0,
                };
                fragmented = true;
                start += 8;
            }
            protocol::AUTHENTICATION => start += words * 4 + 8,
            protocol::ROUTING if header.more[1] != 0 => return None,
            _ => start += words * 8 + 8,
        }
        flow.protocol = header.next;
        if fragment.offset != 0 {
            break;
        }
    }
    Some(Payload {
        start,
        end,
        fragment,
    })
}

#[inline(always)]
fn transport<B: Bytes + ?Sized>(
    bytes: &B,
    payload: &Payload,
    flow: &mut PacketHeaders,
) -> Option<Shape> {
    let room = payload.end.checked_sub(payload.start)?;
    let Fragment { offset, more } = payload.fragment;
    let reaches_too_far = room > 0xFFFF - offset;
    if (more || offset != 0) && reaches_too_far || more && room % 8 != 0 {
        return None;
    }
    if offset != 0 {
        return later_fragment(offset, flow);
    }
    match flow.protocol {
        protocol::TCP => tcp(bytes, payload.start, room, flow),
        protocol::UDP => udp(bytes, payload.start, room, more, flow),
        protocol::ICMP | protocol::ICMPV6 => icmp(bytes, payload.start, room, flow),
        other if ends_at_socket(other) => ports(bytes, payload.start, room, flow),
        _ => Some(Shape::Whole),
    }
}

#[inline(always)]
fn later_fragment(offset: u32, flow: &PacketHeaders) -> Option<Shape> {
    let inside_the_header = flow.protocol == protocol::TCP && offset < 20;
    if inside_the_header {
        None
    } else {
        Some(Shape::LaterFragment)
    }
}

#[inline(always)]
fn tcp<B: Bytes + ?Sized>(
    bytes: &B,
    start: u32,
    room: u32,
    flow: &mut PacketHeaders,
) -> Option<Shape> {
    let tcp: Tcp = within(20, room).and_then(|()| bytes.load(start))?;
    flow.source_port = u16::from_be_bytes(tcp.source);
    flow.destination_port = u16::from_be_bytes(tcp.destination);
    flow.tcp_flags = tcp.flags;
    let length = u32::from(tcp.words >> 4) * 4;
    if length < 20 || length > room {
        None
    } else {
        Some(Shape::Whole)
    }
}

#[inline(always)]
fn udp<B: Bytes + ?Sized>(
    bytes: &B,
    start: u32,
    room: u32,
    more: bool,
    flow: &mut PacketHeaders,
) -> Option<Shape> {
    let udp: Udp = within(8, room).and_then(|()| bytes.load(start))?;
    flow.source_port = u16::from_be_bytes(udp.source);
    flow.destination_port = u16::from_be_bytes(udp.destination);
    let length = u32::from(u16::from_be_bytes(udp.length));
    // The first fragment says how long the datagram is that all of them make.
    if length < 8 || length > room && !more {
        None
    } else {
        Some(Shape::Whole)
    }
}

/// Reads the ports of a packet of which no more is to be read, and of SCTP whether it begins an association: by its
/// first chunk, without which Linux takes no packet of SCTP's. The shortest header of the others is UDP-Lite's.
#[inline(always)]
fn ports<B: Bytes + ?Sized>(
    bytes: &B,
    start: u32,
    room: u32,
    flow: &mut PacketHeaders,
) -> Option<Shape> {
    let [source, destination]: [[u8; 2]; 2] = within(8, room).and_then(|()| bytes.load(start))?;
    flow.source_port = u16::from_be_bytes(source);
    flow.destination_port = u16::from_be_bytes(destination);
    if flow.protocol == protocol::SCTP {
        // The kind of its first chunk. One that begins an association stands alone (RFC 9260, 6.10).
        let chunk: u8 = within(12 + 4, room).and_then(|()| bytes.load(start + 12))?;
        flow.tcp_flags = u8::from(chunk == SCTP_INIT) * SYN;
    }
    Some(Shape::Whole)
}

/// The chunk of SCTP that asks for an association, and TCP's flag for the same.
const SCTP_INIT: u8 = 1;
const SYN: u8 = 2;

#[inline(always)]
fn icmp<B: Bytes + ?Sized>(
    bytes: &B,
    start: u32,
    room: u32,
    flow: &mut PacketHeaders,
) -> Option<Shape> {
    let icmp: Icmp = within(4, room).and_then(|()| bytes.load(start))?;
    flow.source_port = u16::from(icmp.kind);
    flow.destination_port = u16::from(icmp.code);
    Some(Shape::Whole)
}

#[inline(always)]
fn within(header: u32, room: u32) -> Option<()> {
    (header <= room).then_some(())
}

/// Returns the length of the packet by its header, or `None` if fewer bytes are there.
///
/// A field of 0 stands for a length that it can't hold: Linux hands such packets around inside of a machine (BIG TCP).
#[inline(always)]
fn said_length(said: u32, zero: bool, length: u32) -> Option<u32> {
    let beyond_the_field = zero && length > said + 0xFFFF;
    if beyond_the_field {
        Some(length)
    } else {
        (said <= length).then_some(said)
    }
}

/// An IPv4 address in its IPv4-mapped form. Put together as a word: it is read as one,
/// for which a processor waits if it was written by bytes.
#[inline(always)]
pub(crate) const fn mapped(address: [u8; 4]) -> [u8; 16] {
    const PREFIX: u64 = 0xFFFF << 32;
    let low = PREFIX | u32::from_be_bytes(address) as u64;
    zerocopy::transmute!([0, low.to_be()])
}
