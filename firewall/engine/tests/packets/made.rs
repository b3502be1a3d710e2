//! Packets made from their plan, to see whether the engine reads just that.

use engine::{Parsed, Shape};
use firewall_abi::packet::{Direction, PacketHeaders};
use proptest::prelude::*;

/// A packet's bytes and what is to be read of them.
#[derive(Clone, Debug)]
pub struct Made {
    pub bytes: Vec<u8>,
    pub direction: Direction,
    pub expected: Parsed,
    /// The packet's length without the padding behind it.
    pub length: usize,
}

#[derive(Clone, Copy, Debug)]
pub enum Transport {
    Tcp {
        ports: (u16, u16),
        flags: u8,
        option_words: u8,
    },
    Udp {
        ports: (u16, u16),
    },
    /// SCTP, DCCP or UDP-Lite.
    Ports {
        protocol: u8,
        ports: (u16, u16),
    },
    Icmp {
        kind: u8,
        code: u8,
    },
    Other(u8),
}

#[derive(Clone, Copy, Debug)]
pub enum Piece {
    Whole,
    First,
    Later { eights: u16, more: bool },
}

#[derive(Clone, Debug)]
pub struct Plan {
    pub version: u8,
    pub source: [u8; 16],
    pub destination: [u8; 16],
    /// IPv4: words of options. IPv6: extension headers.
    pub option_words: u8,
    pub extensions: Vec<(u8, u8)>,
    pub transport: Transport,
    pub piece: Piece,
    /// Payload in units of 8 bytes, as all fragments but the last have it.
    pub payload_eights: u8,
    pub padding: u8,
    pub direction: Direction,
}

pub fn make(plan: &Plan) -> Made {
    let mut body = transport(plan);
    body.resize(
        body.len().next_multiple_of(8) + usize::from(plan.payload_eights) * 8,
        0xA5,
    );
    if let (Transport::Udp { .. }, Piece::Whole) = (plan.transport, plan.piece) {
        let length = (body.len() as u16).to_be_bytes();
        body[4..6].copy_from_slice(&length);
    }
    let mut bytes = if plan.version == 4 {
        ipv4(plan, &body)
    } else {
        ipv6(plan, &body)
    };
    let length = bytes.len();
    bytes.resize(length + usize::from(plan.padding), 0);
    Made {
        bytes,
        direction: plan.direction,
        expected: expected(plan),
        length,
    }
}

fn protocol(plan: &Plan) -> u8 {
    match plan.transport {
        Transport::Tcp { .. } => 6,
        Transport::Udp { .. } => 17,
        Transport::Icmp { .. } if plan.version == 4 => 1,
        Transport::Icmp { .. } => 58,
        Transport::Ports { protocol, .. } | Transport::Other(protocol) => protocol,
    }
}

fn transport(plan: &Plan) -> Vec<u8> {
    let (mut bytes, (source, destination)) = match plan.transport {
        Transport::Tcp {
            ports,
            flags,
            option_words,
        } => {
            let mut tcp = vec![0; 20 + usize::from(option_words) * 4];
            tcp[12] = (5 + option_words) << 4;
            tcp[13] = flags;
            (tcp, ports)
        }
        Transport::Udp { ports } => (vec![0, 0, 0, 0, 0xFF, 0xFF, 0, 0], ports),
        Transport::Ports { protocol, ports } => {
            // SCTP's with a chunk, without which it is no packet.
            let header = match protocol {
                132 => 16,
                136 => 8,
                _ => 12,
            };
            (vec![0; header], ports)
        }
        Transport::Icmp { kind, code } => return vec![kind, code, 0, 0, 0, 0, 0, 0],
        Transport::Other(_) => return Vec::new(),
    };
    bytes[..2].copy_from_slice(&source.to_be_bytes());
    bytes[2..4].copy_from_slice(&destination.to_be_bytes());
    bytes
}

fn ipv4(plan: &Plan, body: &[u8]) -> Vec<u8> {
    let header = 20 + usize::from(plan.option_words) * 4;
    let fragment = match plan.piece {
        Piece::Whole => 0x4000,
        Piece::First => 0x2000,
        Piece::Later { eights, more } => eights | if more { 0x2000 } else { 0 },
    };
    let mut bytes = vec![0x40 | (5 + plan.option_words), 0];
    bytes.extend(((header + body.len()) as u16).to_be_bytes());
    bytes.extend([0, 0]);
    bytes.extend(u16::to_be_bytes(fragment));
    bytes.extend([64, protocol(plan), 0, 0]);
    bytes.extend(&plan.source[12..]);
    bytes.extend(&plan.destination[12..]);
    bytes.resize(header, 1);
    [&bytes, body].concat()
}

fn ipv6(plan: &Plan, body: &[u8]) -> Vec<u8> {
    let fragment = match plan.piece {
        Piece::Whole => None,
        Piece::First => Some(1),
        Piece::Later { eights, more } => Some(eights << 3 | u16::from(more)),
    };
    let mut chain: Vec<_> = plan
        .extensions
        .iter()
        .map(|(kind, words)| (*kind, extension(*kind, *words)))
        .collect();
    if let Some(field) = fragment {
        let [high, low] = field.to_be_bytes();
        chain.push((44, vec![0, 0, high, low, 0, 0, 0, 0]));
    }
    let mut next = protocol(plan);
    for (kind, bytes) in chain.iter_mut().rev() {
        bytes[0] = next;
        next = *kind;
    }
    let rest: Vec<u8> = chain
        .into_iter()
        .flat_map(|(_, bytes)| bytes)
        .chain(body.iter().copied())
        .collect();
    let mut bytes = vec![0x60, 0, 0, 0];
    bytes.extend((rest.len() as u16).to_be_bytes());
    bytes.extend([next, 64]);
    bytes.extend(plan.source);
    bytes.extend(plan.destination);
    [bytes, rest].concat()
}

fn extension(kind: u8, words: u8) -> Vec<u8> {
    let length = if kind == 51 {
        usize::from(words) * 4 + 8
    } else {
        usize::from(words) * 8 + 8
    };
    let mut bytes = vec![0; length];
    bytes[1] = words;
    bytes
}

fn expected(plan: &Plan) -> Parsed {
    let mut flow = PacketHeaders {
        source: plan.source,
        destination: plan.destination,
        protocol: protocol(plan),
        ip_version: plan.version,
        direction: plan.direction as u8,
        ..PacketHeaders::default()
    };
    if let Piece::Later { .. } = plan.piece {
        return Parsed {
            flow,
            shape: Shape::LaterFragment,
        };
    }
    match plan.transport {
        Transport::Tcp { ports, flags, .. } => {
            (flow.source_port, flow.destination_port) = ports;
            flow.tcp_flags = flags;
        }
        Transport::Udp { ports } | Transport::Ports { ports, .. } => {
            (flow.source_port, flow.destination_port) = ports;
        }
        Transport::Icmp { kind, code } => {
            (flow.source_port, flow.destination_port) = (kind.into(), code.into());
        }
        Transport::Other(_) => {}
    }
    Parsed {
        flow,
        shape: Shape::Whole,
    }
}

/// A few addresses, so that rules meet them.
pub fn address(version: u8) -> impl Strategy<Value = [u8; 16]> {
    (0..4_u8, 0..4_u8).prop_map(move |(net, host)| {
        if version == 4 {
            [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 10, net, 0, host]
        } else {
            [0x20, 1, 0x0D, 0xB8, net, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, host]
        }
    })
}

fn any_transport() -> impl Strategy<Value = Transport> {
    let port = prop_oneof![Just(22_u16), Just(80), Just(443), any::<u16>()];
    let ports = (port.clone(), port);
    prop_oneof![
        (ports.clone(), any::<u8>(), 0..=10_u8).prop_map(|(ports, flags, option_words)| {
            Transport::Tcp {
                ports,
                flags,
                option_words,
            }
        }),
        ports.clone().prop_map(|ports| Transport::Udp { ports }),
        (prop_oneof![Just(33_u8), Just(132), Just(136)], ports)
            .prop_map(|(protocol, ports)| Transport::Ports { protocol, ports }),
        (any::<u8>(), any::<u8>()).prop_map(|(kind, code)| Transport::Icmp { kind, code }),
        prop_oneof![Just(47_u8), Just(50), Just(255)].prop_map(Transport::Other),
    ]
}

fn any_piece() -> impl Strategy<Value = Piece> {
    prop_oneof![
        3 => Just(Piece::Whole),
        1 => Just(Piece::First),
        // Behind any TCP header, and not beyond what a packet can hold.
        1 => (3..8000_u16, any::<bool>()).prop_map(|(eights, more)| Piece::Later { eights, more }),
    ]
}

pub fn any_plan() -> impl Strategy<Value = Plan> {
    let direction = prop_oneof![Just(Direction::Inbound), Just(Direction::Outbound)];
    let kind = prop_oneof![Just(0_u8), Just(43), Just(51), Just(60)];
    // One place is left for the fragment header.
    let extensions = proptest::collection::vec((kind, 0..4_u8), 0..engine::MAX_EXTENSIONS as usize);
    let ends =
        prop_oneof![Just(4_u8), Just(6)].prop_flat_map(|v| (Just(v), address(v), address(v)));
    (
        ends,
        0..=10_u8,
        extensions,
        any_transport(),
        any_piece(),
        0..4_u8,
        0..20_u8,
        direction,
    )
        .prop_map(
            |(
                (version, source, destination),
                option_words,
                extensions,
                transport,
                piece,
                payload_eights,
                padding,
                direction,
            )| {
                Plan {
                    version,
                    source,
                    destination,
                    option_words,
                    extensions,
                    transport,
                    piece,
                    payload_eights,
                    padding,
                    direction,
                }
            },
        )
}
