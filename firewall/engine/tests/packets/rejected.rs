//! Tests of the answers to rejected packets.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

use crate::made::{Piece, Plan, Transport, make};
use engine::rejected::{Answer, answer, is_sender_told, may_be_answer};
use engine::{Shape, parse};
use firewall_abi::packet::{Decision, Direction, Reason, Verdict};
use firewall_abi::rejected::MOST_BYTES;
use proptest::prelude::*;

const HERE: [u8; 4] = [10, 77, 0, 2];
const THERE: [u8; 4] = [10, 77, 0, 1];
const ROUTER: [u8; 4] = [10, 78, 0, 9];

fn mapped([a, b, c, d]: [u8; 4]) -> [u8; 16] {
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, a, b, c, d]
}

fn of_v6(last: u8) -> [u8; 16] {
    let mut address = [0; 16];
    (address[0], address[15]) = (0xFD, last);
    address
}

/// Returns the plan of a packet from THERE to HERE.
fn plan(version: u8, transport: Transport) -> Plan {
    let (source, destination) = if version == 4 {
        (mapped(THERE), mapped(HERE))
    } else {
        (of_v6(1), of_v6(2))
    };
    Plan {
        version,
        source,
        destination,
        option_words: 0,
        extensions: Vec::new(),
        transport,
        piece: Piece::Whole,
        payload_eights: 0,
        padding: 0,
        direction: Direction::Inbound,
    }
}

fn tcp(flags: u8) -> Transport {
    Transport::Tcp {
        ports: (40_000, 80),
        flags,
        option_words: 1,
    }
}

const UDP: Transport = Transport::Udp {
    ports: (40_000, 53),
};

fn answered(plan: &Plan) -> Option<Answer> {
    let made = make(plan);
    let version = plan.version;
    answer(&made.bytes, made.length as u32, plan.direction, |_| {
        Some(if version == 4 {
            mapped(ROUTER)
        } else {
            of_v6(9)
        })
    })
}

/// The sum of 16-bit words is all ones where a checksum is right.
fn adds_up(parts: &[&[u8]]) -> bool {
    let bytes = parts.concat();
    let mut sum = 0_u32;
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |low| u32::from(*low));
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    sum == 0xFFFF
}

/// Returns whether the headers of an answer are right in all that they say of it.
fn is_right(answer: &Answer) -> bool {
    let bytes = answer.bytes();
    let length = bytes.len() as u32;
    let parsed = parse(bytes, length, Direction::Outbound);
    let behind = |at: usize, protocol: u8| {
        let segment = &bytes[at..];
        let size = [0, 0, (segment.len() >> 8) as u8, segment.len() as u8];
        (segment, [&size[..], &[0, 0, 0, protocol]].concat())
    };
    let sums = if answer.ip_version == 4 {
        let (segment, more) = behind(20, bytes[9]);
        let pseudo = [&bytes[12..20], &more].concat();
        let whole = match bytes[9] {
            6 => adds_up(&[&pseudo, segment]),
            _ => adds_up(&[segment]),
        };
        whole && adds_up(&[&bytes[..20]])
    } else {
        let (segment, more) = behind(40, bytes[6]);
        adds_up(&[&bytes[8..40], &more, segment])
    };
    let said = if answer.ip_version == 4 {
        u16::from_be_bytes([bytes[2], bytes[3]])
    } else {
        40 + u16::from_be_bytes([bytes[4], bytes[5]])
    };
    parsed.shape == Shape::Whole
        && may_be_answer(&parsed.flow)
        && parsed.flow.destination == answer.to
        && sums
        && u32::from(said) == length
}

#[test]
fn tcp_is_answered_by_a_reset_that_its_sender_takes() {
    for version in [4, 6] {
        let at = if version == 4 { 20 } else { 40 };
        for (flags, eights, sequence, acknowledgement, answers) in [
            // A SYN is counted, and so are data and a FIN; 24 bytes of header with 0 to fill up.
            (2, 0, 0, 0x1001, 0x14),
            (3, 2, 0, 0x1000 + 16 + 2, 0x14),
            (1, 1, 0, 0x1000 + 8 + 1, 0x14),
            // What acknowledges names the number that is waited for.
            (0x10, 3, 0x2000, 0, 4),
            (0x12, 0, 0x2000, 0, 4),
            (0x18, 1, 0x2000, 0, 4),
        ] {
            let mut plan = plan(version, tcp(flags));
            plan.payload_eights = eights;
            let mut made = make(&plan);
            made.bytes[at + 4..at + 8].copy_from_slice(&0x1000_u32.to_be_bytes());
            made.bytes[at + 8..at + 12].copy_from_slice(&0x2000_u32.to_be_bytes());
            for direction in Direction::ALL {
                // A reset speaks for who was called, wherever it is sent from.
                let answer = answer(&made.bytes, made.length as u32, direction, |_| None).unwrap();
                assert!(is_right(&answer), "{plan:?} {answer:?}");
                let bytes = answer.bytes();
                let flow = parse(bytes, bytes.len() as u32, Direction::Outbound).flow;
                assert_eq!((flow.source_port, flow.destination_port), (80, 40_000));
                assert_eq!((flow.source, answer.to), (plan.destination, plan.source));
                let word = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
                assert_eq!(
                    (word(at + 4), word(at + 8), bytes[at + 13]),
                    (sequence, acknowledgement, answers),
                    "{plan:?}"
                );
            }
        }
    }
}

#[test]
fn the_rest_is_answered_by_an_error_as_hosts_and_routers_send_it() {
    let echo = |version| Transport::Icmp {
        kind: if version == 4 { 8 } else { 128 },
        code: 0,
    };
    for version in [4, 6] {
        let at = if version == 4 { 20 } else { 40 };
        let (kind, port, prohibited) = if version == 4 { (3, 3, 13) } else { (1, 4, 1) };
        for (transport, direction, code) in [
            (UDP, Direction::Inbound, port),
            (UDP, Direction::Outbound, port),
            (UDP, Direction::Forward, prohibited),
            (
                Transport::Ports {
                    protocol: 132,
                    ports: (5000, 9),
                },
                Direction::Inbound,
                port,
            ),
            (Transport::Other(47), Direction::Inbound, prohibited),
            (echo(version), Direction::Inbound, prohibited),
        ] {
            let mut plan = plan(version, transport);
            (plan.direction, plan.payload_eights) = (direction, 50);
            let answer = answered(&plan).unwrap();
            assert!(is_right(&answer), "{plan:?} {answer:?}");
            let bytes = answer.bytes();
            assert_eq!(bytes[at..at + 2], [kind, code], "{plan:?}");
            let made = make(&plan);
            assert_eq!(bytes[at + 8..], made.bytes[..MOST_BYTES], "it quotes it");
            let source = parse(bytes, bytes.len() as u32, Direction::Outbound)
                .flow
                .source;
            let expected = match direction {
                Direction::Inbound => plan.destination,
                Direction::Outbound => plan.source,
                Direction::Forward if version == 4 => mapped(ROUTER),
                Direction::Forward => of_v6(9),
            };
            assert_eq!(source, expected, "{plan:?}");
        }
        // A router that has no address says nothing.
        let made = make(&plan(version, UDP));
        let silent = answer(&made.bytes, made.length as u32, Direction::Forward, |_| {
            None
        });
        assert_eq!(silent, None);
    }
}

#[test]
fn what_answers_goes_to_many_or_comes_from_nobody_is_not_answered() {
    let reset = |flags| plan(4, tcp(flags));
    let icmp = |version, kind| plan(version, Transport::Icmp { kind, code: 0 });
    let mut silent = vec![reset(4), reset(0x14), reset(6)];
    silent.extend([0, 3, 4, 5, 11, 12].map(|kind| icmp(4, kind)));
    silent.extend([1, 2, 3, 4, 129, 133, 134, 135, 136, 137].map(|kind| icmp(6, kind)));
    silent.push(plan(4, Transport::Other(2)));
    silent.push(plan(6, Transport::Other(59)));
    // Of the other version.
    silent.push(plan(4, Transport::Other(58)));
    silent.push(plan(6, Transport::Other(1)));
    let mut later = plan(4, UDP);
    later.piece = Piece::Later {
        eights: 9,
        more: true,
    };
    silent.push(later);
    for many in [
        [224, 0, 0, 251],
        [255; 4],
        [239, 1, 2, 3],
        [0; 4],
        [127, 0, 0, 1],
    ] {
        let (mut to, mut from) = (plan(4, UDP), plan(4, UDP));
        to.destination = mapped(many);
        from.source = mapped(many);
        silent.extend([to, from]);
    }
    let group = {
        let mut address = of_v6(1);
        (address[0], address[1]) = (0xFF, 2);
        address
    };
    let loopback = {
        let mut address = [0; 16];
        address[15] = 1;
        address
    };
    for many in [group, [0; 16], loopback, mapped(HERE)] {
        for transport in [UDP, tcp(2)] {
            let (mut to, mut from) = (plan(6, transport), plan(6, transport));
            to.destination = many;
            from.source = many;
            silent.extend([to, from]);
        }
    }
    for plan in silent {
        assert_eq!(answered(&plan), None, "{plan:?}");
    }
    assert!(answered(&plan(4, UDP)).is_some() && answered(&plan(6, UDP)).is_some());
    // What stays on the machine has such ends, and is met as it is sent.
    let mut local = plan(4, tcp(2));
    (local.source, local.destination) = (mapped([127, 0, 0, 1]), mapped([127, 0, 0, 1]));
    local.direction = Direction::Outbound;
    assert!(answered(&local).is_some());
    let mut local = plan(6, tcp(2));
    (local.source, local.destination) = (loopback, loopback);
    local.direction = Direction::Outbound;
    assert!(answered(&local).is_some());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_bytes_an_answer_is_right_or_there_is_none(
        version in prop_oneof![Just(0x45_u8), Just(0x60_u8), any::<u8>()],
        protocol in prop_oneof![Just(6_u8), Just(17_u8), Just(1_u8), Just(58_u8), any::<u8>()],
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        more in 0_u32..3000,
        direction in prop_oneof![Just(Direction::Inbound), Just(Direction::Outbound), Just(Direction::Forward)],
    ) {
        let mut bytes = bytes;
        let length = bytes.len() as u32 + more;
        for (at, value) in [(0, version), (6, protocol), (9, protocol)] {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
        }
        // Lengths that fit, so that not all of it is malformed.
        if version == 0x45 && bytes.len() >= 20 {
            bytes[2..4].copy_from_slice(&(length as u16).to_be_bytes());
            bytes[6] = 0;
            bytes[7] = 0;
        } else if version == 0x60 && bytes.len() >= 40 {
            bytes[4..6].copy_from_slice(&((length - 40) as u16).to_be_bytes());
        }
        if let Some(answer) = answer(&bytes, length, direction, |to| Some(*to)) {
            prop_assert!(is_right(&answer), "{:?}", answer);
            prop_assert!(answer.bytes().len() <= bytes.len() + 48);
        }
    }
}

#[test]
fn a_program_is_told_of_the_answer_that_blocks_its_connection_and_of_nothing_else_that_blocks() {
    let is_told_of =
        |version, transport, direction: Direction, verdict: Verdict, reason: Reason| {
            let made = make(&plan(version, transport));
            let flow = parse(&made.bytes[..], made.length as u32, direction).flow;
            let decision = Decision {
                verdict: verdict as u8,
                reason: reason as u8,
                ..Decision::default()
            };
            is_sender_told(&flow, &decision)
        };
    let is_told = |transport, direction, verdict, reason| {
        let [four, six] =
            [4, 6].map(|version| is_told_of(version, transport, direction, verdict, reason));
        assert_eq!(four, six);
        four
    };
    let (out, block) = (Direction::Outbound, Verdict::Block);
    assert!(is_told(tcp(2), out, block, Reason::Answer));
    assert!(is_told(tcp(2), out, block, Reason::Unanswered));
    for reason in [Reason::Rule, Reason::Default, Reason::FailMode] {
        assert!(!is_told(tcp(2), out, block, reason), "{reason:?}");
    }
    // What answers, goes on or ends begins nothing.
    for flags in [0x12, 0x10, 0x18, 0x11, 0x04, 0x14, 0x06, 0x16, 0] {
        assert!(
            !is_told(tcp(flags), out, block, Reason::Answer),
            "{flags:#x}"
        );
    }
    // A SYN that offers to hear of congestion does (RFC 3168, 6.1.1).
    assert!(is_told(tcp(0xC2), out, block, Reason::Answer));
    // Whoever sends a datagram has its error at once.
    assert!(!is_told(UDP, out, block, Reason::Answer));
    assert!(!is_told(tcp(2), Direction::Inbound, block, Reason::Answer));
    assert!(!is_told(tcp(2), out, Verdict::Allow, Reason::Answer));
}

#[test]
fn only_a_reset_and_what_says_that_somebody_is_unreachable_may_be_answers_to_rejected_packets() {
    let may_be = |version, transport| {
        let made = make(&plan(version, transport));
        may_be_answer(&parse(&made.bytes[..], made.length as u32, Direction::Outbound).flow)
    };
    for version in [4, 6] {
        for flags in 0..=255 {
            let is_reset = flags & 0b111 == 0b100;
            assert_eq!(may_be(version, tcp(flags)), is_reset, "{flags:#x}");
        }
        for kind in 0..=255 {
            let unreachable = if version == 4 { 3 } else { 1 };
            let transport = Transport::Icmp { kind, code: 0 };
            assert_eq!(may_be(version, transport), kind == unreachable, "{kind}");
        }
        assert!(!may_be(version, UDP) && !may_be(version, Transport::Other(47)));
    }
}
