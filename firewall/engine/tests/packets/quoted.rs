//! Tests of the connection that an ICMP error shows.

use crate::made::{Piece, Plan, Transport, make};
use engine::connection::key_of;
use engine::{parse, quoted};
use firewall_abi::firewall::FlowKey;
use firewall_abi::packet::{Direction, PacketHeaders, reply_direction};

/// Returns the plan of the quoted packet, from the machine whose address ends in 2 to that whose ends in 1.
fn sent(version: u8, transport: Transport) -> Plan {
    let address = |last: u8| -> [u8; 16] {
        let mut address = [0; 16];
        if version == 4 {
            address[10..].copy_from_slice(&[0xFF, 0xFF, 10, 0, 0, last]);
        } else {
            (address[0], address[7], address[8], address[15]) = (0xFD, 7, 8, last);
        }
        address
    };
    Plan {
        version,
        source: address(2),
        destination: address(1),
        option_words: 0,
        extensions: Vec::new(),
        transport,
        piece: Piece::Whole,
        payload_eights: 2,
        padding: 0,
        direction: Direction::Outbound,
    }
}

/// An error that quotes these bytes of a packet, and goes to who has sent it.
fn error_about(plan: &Plan, quoted: &[u8]) -> (Vec<u8>, PacketHeaders) {
    let (protocol, kind) = if plan.version == 4 { (1, 3) } else { (58, 1) };
    let error = Plan {
        source: plan.destination,
        destination: plan.source,
        option_words: 0,
        extensions: Vec::new(),
        transport: Transport::Icmp { kind, code: 0 },
        piece: Piece::Whole,
        payload_eights: 0,
        direction: Direction::Inbound,
        ..plan.clone()
    };
    let mut bytes = make(&error).bytes;
    bytes.extend(quoted);
    let (at, said) = match plan.version {
        4 => (2, bytes.len()),
        _ => (4, bytes.len() - 40),
    };
    bytes[at..at + 2].copy_from_slice(&(said as u16).to_be_bytes());
    let headers = parse(&bytes[..], bytes.len() as u32, Direction::Inbound).flow;
    assert_eq!(
        (headers.protocol, headers.source_port),
        (protocol, kind.into())
    );
    (bytes, headers)
}

fn shown(bytes: &[u8], error: &PacketHeaders) -> Option<FlowKey> {
    let mut key = key_of(error);
    quoted(bytes, error, &mut key).then_some(key)
}

const TCP: Transport = Transport::Tcp {
    ports: (40_000, 443),
    flags: 2,
    option_words: 0,
};
const UDP: Transport = Transport::Udp {
    ports: (40_000, 53),
};

fn echo(version: u8) -> Transport {
    Transport::Icmp {
        kind: if version == 4 { 8 } else { 128 },
        code: 0,
    }
}

#[test]
fn an_error_shows_the_connection_of_what_it_quotes_if_it_quotes_four_bytes_behind_its_header() {
    for version in [4, 6] {
        for transport in [
            TCP,
            UDP,
            echo(version),
            Transport::Ports {
                protocol: 132,
                ports: (5000, 9),
            },
        ] {
            let plan = sent(version, transport);
            let made = make(&plan);
            let expected = key_of(&made.expected.flow);
            let header = if version == 4 { 20 } else { 40 };
            for kept in 0..=made.length {
                let (bytes, error) = error_about(&plan, &made.bytes[..kept]);
                let shows = kept >= header + 4;
                assert_eq!(shown(&bytes, &error), shows.then_some(expected), "{kept}");
            }
        }
    }
}

#[test]
fn an_error_is_about_what_went_the_other_way() {
    for version in [4, 6] {
        let plan = sent(version, UDP);
        let made = make(&plan);
        let (bytes, error) = error_about(&plan, &made.bytes);
        for direction in Direction::ALL {
            let error = PacketHeaders {
                direction: direction as u8,
                ..error
            };
            let sent = PacketHeaders {
                direction: reply_direction(direction as u8),
                ..made.expected.flow
            };
            assert_eq!(shown(&bytes, &error), Some(key_of(&sent)), "{direction:?}");
        }
    }
}

#[test]
fn an_error_to_somebody_else_than_who_has_sent_what_it_quotes_shows_nothing() {
    for version in [4, 6] {
        let plan = sent(version, UDP);
        let (bytes, error) = error_about(&plan, &make(&plan).bytes);
        for at in [0, 7, 8, 10, 11, 12, 15] {
            let mut elsewhere = error;
            elsewhere.destination[at] ^= 1;
            assert_eq!(shown(&bytes, &elsewhere), None, "{at}");
        }
    }
}

#[test]
fn an_error_that_is_longer_than_errors_are_shows_nothing() {
    for (version, at, longest) in [(4, 2, 576), (6, 4, 1280 - 40)] {
        let plan = sent(version, UDP);
        let (mut bytes, error) = error_about(&plan, &make(&plan).bytes);
        for (length, shows) in [(longest, true), (longest + 1, false), (u16::MAX, false)] {
            bytes[at..at + 2].copy_from_slice(&length.to_be_bytes());
            assert_eq!(shown(&bytes, &error).is_some(), shows, "{version} {length}");
        }
    }
}

#[test]
fn what_is_no_plain_packet_with_ports_shows_nothing_where_an_error_quotes_it() {
    for version in [4, 6] {
        let silent = |plan: Plan| {
            let (bytes, error) = error_about(&plan, &make(&plan).bytes);
            assert_eq!(shown(&bytes, &error), None, "{plan:?}");
        };
        for protocol in [0, 2, 47, 50, 255] {
            silent(sent(version, Transport::Other(protocol)));
        }
        let mut long = sent(version, UDP);
        (long.option_words, long.extensions) = (1, vec![(60, 0)]);
        silent(long);
        // Each bit of the place, and not the flags beside it.
        let plan = sent(4, UDP);
        for bit in 0..16 {
            let mut quoted = make(&plan).bytes;
            quoted[6..8].copy_from_slice(&(1_u16 << bit).to_be_bytes());
            let (bytes, error) = error_about(&plan, &quoted);
            assert_eq!(shown(&bytes, &error).is_some(), bit >= 13, "{bit}");
        }
        let mut fragment = sent(version, UDP);
        fragment.piece = Piece::Later {
            eights: 3,
            more: true,
        };
        silent(fragment);
        // Of the other version, or none.
        let plan = sent(version, UDP);
        for first in [0x05, 0x44, 0x46, 0x55, 0x75, 0xF0, 0x45, 0x60] {
            let mut quoted = make(&plan).bytes;
            quoted[0] = first;
            let (bytes, error) = error_about(&plan, &quoted);
            let is_right = first >> 4 == version && first != 0x44 && first != 0x46;
            assert_eq!(
                shown(&bytes, &error).is_some(),
                is_right,
                "{version} {first:#x}"
            );
        }
    }
}

#[test]
fn an_error_with_headers_before_it_is_read_of_ipv4_and_not_of_ipv6() {
    for version in [4, 6] {
        let plan = sent(version, UDP);
        let made = make(&plan);
        let (bytes, error) = error_about(&plan, &made.bytes);
        let header = if version == 4 { 20 } else { 40 };
        let (mut ip, icmp) = (bytes[..header].to_vec(), &bytes[header..]);
        if version == 4 {
            ip[0] = 0x46;
            ip.extend([1; 4]);
        } else {
            ip[6] = 60;
            ip.extend([58, 0, 0, 0, 0, 0, 0, 0]);
        }
        let longer = [&ip, icmp].concat();
        let expected = (version == 4).then(|| key_of(&made.expected.flow));
        assert_eq!(shown(&longer, &error), expected);
    }
}
