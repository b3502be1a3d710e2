//! Tests of parsing packets, and of those that are refused as malformed.

use crate::made::{Made, Piece, Plan, Transport, any_plan, make};
use engine::{Parsed, Shape, parse};
use firewall_abi::packet::Direction;
use proptest::prelude::*;

const TCP: Transport = Transport::Tcp {
    ports: (40_000, 443),
    flags: 2,
    option_words: 0,
};
const UDP: Transport = Transport::Udp {
    ports: (40_000, 53),
};

fn plan(version: u8, transport: Transport) -> Plan {
    let mut address = [0; 16];
    address[10..].copy_from_slice(&[0xFF, 0xFF, 192, 0, 2, 1]);
    Plan {
        version,
        source: address,
        destination: address,
        option_words: 0,
        extensions: Vec::new(),
        transport,
        piece: Piece::Whole,
        payload_eights: 1,
        padding: 0,
        direction: Direction::Inbound,
    }
}

fn read(bytes: &[u8]) -> Parsed {
    parse(bytes, bytes.len() as u32, Direction::Inbound)
}

fn changed(plan: &Plan, at: usize, byte: u8) -> Shape {
    let Made { mut bytes, .. } = make(plan);
    bytes[at] = byte;
    read(&bytes).shape
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_packet_is_read_as_it_was_made(plan in any_plan()) {
        let made = make(&plan);
        let read = parse(&made.bytes[..], made.bytes.len() as u32, made.direction);
        prop_assert_eq!(read, made.expected);
    }

    #[test]
    fn a_packet_cut_anywhere_is_read_the_same_or_malformed(plan in any_plan(), cut in 0..300_usize) {
        let made = make(&plan);
        let cut = cut.min(made.length);
        // As a capture that kept less than the packet's length: its lengths still hold.
        let kept = parse(&made.bytes[..cut], made.length as u32, made.direction);
        prop_assert!(kept.shape == Shape::Malformed || kept == made.expected);
        // As a packet that is shorter than it says.
        if cut < made.length {
            prop_assert_eq!(parse(&made.bytes[..cut], cut as u32, made.direction).shape, Shape::Malformed);
        }
    }

    #[test]
    fn any_bytes_at_all_are_read_or_refused(
        first in prop_oneof![Just(0x45_u8), Just(0x4F), Just(0x60), any::<u8>()],
        rest in proptest::collection::vec(any::<u8>(), 0..200),
        length in any::<u32>(),
    ) {
        let bytes = [&[first], &rest[..]].concat();
        parse(&bytes[..], length, Direction::Outbound);
        parse(&rest[..], length, Direction::Outbound);
    }

    #[test]
    fn a_made_packet_with_bytes_changed_is_read_or_refused(
        plan in any_plan(),
        changes in proptest::collection::vec((0..120_usize, any::<u8>()), 1..6),
    ) {
        let Made { mut bytes, direction, .. } = make(&plan);
        for (at, byte) in changes {
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
        }
        parse(&bytes[..], bytes.len() as u32, direction);
    }
}

#[test]
fn a_version_that_is_neither_four_nor_six_is_malformed() {
    for first in [0x05, 0x55, 0x75, 0xF5] {
        assert_eq!(changed(&plan(4, TCP), 0, first), Shape::Malformed);
    }
    assert_eq!(read(&[]).shape, Shape::Malformed);
}

#[test]
fn an_ipv4_header_shorter_than_itself_is_malformed() {
    assert_eq!(changed(&plan(4, TCP), 0, 0x44), Shape::Malformed);
}

#[test]
fn a_packet_that_says_it_is_longer_than_it_is_is_malformed() {
    let ipv4 = make(&plan(4, TCP)).length;
    assert_eq!(changed(&plan(4, TCP), 3, ipv4 as u8 + 1), Shape::Malformed);
    let ipv6 = make(&plan(6, TCP)).length - 40;
    assert_eq!(changed(&plan(6, TCP), 5, ipv6 as u8 + 1), Shape::Malformed);
}

#[test]
fn a_length_of_zero_is_malformed_unless_the_packet_is_too_long_for_the_field() {
    for (version, at) in [(4, 3), (6, 5)] {
        assert_eq!(changed(&plan(version, TCP), at, 0), Shape::Malformed);
        let mut bytes = make(&plan(version, TCP)).bytes;
        bytes[at] = 0;
        bytes.resize(70_000, 0);
        assert_eq!(read(&bytes).shape, Shape::Whole);
    }
}

#[test]
fn a_length_beyond_every_field_is_no_trouble() {
    for version in [4, 6] {
        let piece = Piece::Later {
            eights: 0x1FFF,
            more: false,
        };
        let Made { mut bytes, .. } = make(&Plan {
            piece,
            ..plan(version, UDP)
        });
        let field = if version == 4 { 2..4 } else { 4..6 };
        bytes[field].fill(0);
        assert_eq!(
            parse(&bytes[..], u32::MAX, Direction::Inbound).shape,
            Shape::Malformed
        );
    }
}

#[test]
fn a_length_of_zero_stands_for_what_the_field_has_no_room_for_and_for_no_less() {
    for (version, at, longest) in [(4, 3, 0xFFFF), (6, 5, 40 + 0xFFFF)] {
        let mut bytes = make(&plan(version, TCP)).bytes;
        bytes[at] = 0;
        for (length, expected) in [
            (longest, Shape::Malformed),
            (longest + 1, Shape::Whole),
            (longest + 2, Shape::Whole),
        ] {
            let shape = parse(&bytes[..], length, Direction::Inbound).shape;
            assert_eq!(shape, expected, "{version} {length}");
        }
    }
}

#[test]
fn what_is_whole_and_a_last_fragment_may_have_any_length() {
    for version in [4, 6] {
        let at = if version == 4 { 3 } else { 5 };
        let last = Piece::Later {
            eights: 100,
            more: false,
        };
        for (piece, expected) in [
            (Piece::Whole, Shape::Whole),
            (last, Shape::LaterFragment),
            (Piece::First, Shape::Malformed),
        ] {
            for cut in 1..8 {
                let made = make(&Plan {
                    piece,
                    ..plan(version, TCP)
                });
                let mut bytes = made.bytes;
                bytes.truncate(bytes.len() - cut);
                bytes[at] -= cut as u8;
                assert_eq!(read(&bytes).shape, expected, "{version} {piece:?} {cut}");
            }
        }
    }
}

#[test]
fn a_header_that_ends_with_a_route_leads_on_though_the_route_is_cut_off() {
    for (options, expected) in [
        ([1, 131, 7, 4], Shape::Malformed),
        ([131, 7, 4, 0], Shape::Malformed),
        // What is too short to name a stop is none.
        ([1, 1, 131, 7], Shape::Whole),
        ([1, 1, 1, 131], Shape::Whole),
    ] {
        let mut bytes = make(&Plan {
            option_words: 1,
            ..plan(4, UDP)
        })
        .bytes;
        bytes[20..24].copy_from_slice(&options);
        assert_eq!(read(&bytes).shape, expected, "{options:?}");
    }
}

#[test]
fn an_ipv6_header_with_nothing_behind_it_is_whole() {
    let nothing = make(&Plan {
        payload_eights: 0,
        padding: 6,
        ..plan(6, Transport::Other(59))
    });
    assert_eq!(read(&nothing.bytes), nothing.expected);
}

#[test]
fn a_tcp_header_whose_length_lies_is_malformed() {
    for words in [0x40, 0xF0] {
        assert_eq!(changed(&plan(4, TCP), 32, words), Shape::Malformed);
        assert_eq!(changed(&plan(6, TCP), 52, words), Shape::Malformed);
    }
}

#[test]
fn a_udp_header_whose_length_lies_is_malformed() {
    for length in [0, 7, 17] {
        assert_eq!(changed(&plan(4, UDP), 25, length), Shape::Malformed);
    }
    assert_eq!(changed(&plan(4, UDP), 25, 9), Shape::Whole);
}

#[test]
fn a_packet_with_ports_whose_header_is_cut_off_is_malformed() {
    for (protocol, header) in [(33, 8), (132, 16), (136, 8)] {
        let ports = (40_000, 5060);
        let whole = make(&plan(4, Transport::Ports { protocol, ports }));
        assert_eq!(read(&whole.bytes), whole.expected);
        for (length, shape) in [(header, Shape::Whole), (header - 1, Shape::Malformed)] {
            let mut bytes = whole.bytes[..20 + length].to_vec();
            bytes[3] = 20 + length as u8;
            assert_eq!(read(&bytes).shape, shape, "{protocol}: {length}");
        }
    }
}

#[test]
fn what_is_bound_for_elsewhere_than_it_says_is_malformed() {
    // Whatever kind of way it is, and whichever header it stands behind.
    for extensions in [vec![(43, 2)], vec![(0, 0), (60, 1), (43, 2)]] {
        let before: usize = extensions
            .iter()
            .take_while(|(kind, _)| *kind != 43)
            .map(|(_, words)| usize::from(*words) * 8 + 8)
            .sum();
        let plan = Plan {
            extensions,
            ..plan(6, UDP)
        };
        for kind in [0, 2, 3, 4, 253] {
            let mut bytes = make(&plan).bytes;
            let kind_and_left = 40 + before + 2;
            bytes[kind_and_left] = kind;
            assert_eq!(read(&bytes).shape, Shape::Whole, "none left, {kind}");
            for left in [1, 255] {
                bytes[kind_and_left + 1] = left;
                assert_eq!(read(&bytes).shape, Shape::Malformed, "{left} of {kind}");
            }
        }
    }
    let options = |options: [u8; 12]| {
        let mut bytes = make(&Plan {
            option_words: 3,
            ..plan(4, UDP)
        })
        .bytes;
        bytes[20..32].copy_from_slice(&options);
        read(&bytes).shape
    };
    for (left, shape) in [
        (4, Shape::Malformed),
        (7, Shape::Malformed),
        (8, Shape::Whole),
    ] {
        for kind in [131, 137] {
            let [a, b, c, d] = [10, 0, 0, 9];
            let route = [kind, 7, left, a, b, c, d];
            let [k, l, p, ..] = route;
            assert_eq!(options([k, l, p, a, b, c, d, 0, 0, 0, 0, 0]), shape);
            assert_eq!(options([1, 1, k, l, p, a, b, c, d, 0, 0, 0]), shape);
            // Behind a router alert; and no option where the list has ended.
            assert_eq!(options([148, 4, 0, 0, k, l, p, a, b, c, d, 0]), shape);
            assert_eq!(options([0, 1, 1, k, l, p, a, b, c, d, 0, 0]), Shape::Whole);
        }
    }
    // What is in an option is none, whatever it looks like.
    assert_eq!(
        options([7, 11, 4, 131, 7, 4, 137, 7, 4, 0, 0, 0]),
        Shape::Whole
    );
}

#[test]
fn what_asks_for_an_association_of_sctp_is_told_by_its_first_chunk() {
    let ports = (40_000, 5060);
    for (protocol, chunk, flags) in [(132, 1, 2), (132, 0, 0), (132, 2, 0), (33, 1, 0)] {
        let mut bytes = make(&plan(4, Transport::Ports { protocol, ports })).bytes;
        bytes.truncate(20 + 12);
        bytes.extend([chunk, 0, 0, 4]);
        bytes[3] = bytes.len() as u8;
        let Parsed { flow, shape } = read(&bytes);
        assert_eq!(
            (flow.tcp_flags, shape),
            (flags, Shape::Whole),
            "{protocol}: {chunk}"
        );
    }
}

#[test]
fn what_begins_an_association_is_not_read_from_behind_the_packets_end() {
    let (protocol, ports) = (132, (40_000, 5060));
    let mut bytes = make(&plan(4, Transport::Ports { protocol, ports })).bytes;
    bytes[20 + 12] = 1;
    assert_eq!(read(&bytes).flow.tcp_flags, 2);
    for length in 20..20 + 16 {
        bytes[3] = length;
        assert_eq!(read(&bytes).shape, Shape::Malformed, "{length}");
        // A capture kept no more of it.
        bytes[3] = 20 + 16;
        let kept = &bytes[..usize::from(length).min(20 + 12)];
        assert_eq!(
            parse(kept, 20 + 16, Direction::Inbound).shape,
            Shape::Malformed
        );
    }
}

#[test]
fn a_first_fragment_without_its_whole_tcp_header_is_malformed() {
    let tcp = Transport::Tcp {
        ports: (1, 2),
        flags: 0,
        option_words: 5,
    };
    let Made { mut bytes, .. } = make(&Plan {
        piece: Piece::First,
        payload_eights: 0,
        ..plan(4, tcp)
    });
    assert_eq!(read(&bytes).shape, Shape::Whole);
    // Of the 40 bytes of header, 24 are in the first fragment.
    bytes.truncate(44);
    bytes[3] = 44;
    assert_eq!(read(&bytes).shape, Shape::Malformed);
}

#[test]
fn a_fragment_that_begins_inside_of_a_tcp_header_is_malformed() {
    for version in [4, 6] {
        for (eights, expected) in [
            (1, Shape::Malformed),
            (2, Shape::Malformed),
            (3, Shape::LaterFragment),
        ] {
            let piece = Piece::Later {
                eights,
                more: false,
            };
            assert_eq!(
                read(
                    &make(&Plan {
                        piece,
                        ..plan(version, TCP)
                    })
                    .bytes
                )
                .shape,
                expected
            );
            assert_eq!(
                read(
                    &make(&Plan {
                        piece,
                        ..plan(version, UDP)
                    })
                    .bytes
                )
                .shape,
                Shape::LaterFragment
            );
        }
    }
}

#[test]
fn fragments_that_make_more_than_a_packet_can_hold_are_malformed() {
    for version in [4, 6] {
        let piece = Piece::Later {
            eights: 0x1FFF,
            more: false,
        };
        assert_eq!(
            read(
                &make(&Plan {
                    piece,
                    ..plan(version, UDP)
                })
                .bytes
            )
            .shape,
            Shape::Malformed
        );
    }
}

#[test]
fn a_last_fragment_may_reach_as_far_as_a_packet_can() {
    for version in [4, 6] {
        let Made { mut bytes, .. } = make(&Plan {
            piece: Piece::Later {
                eights: 0x1FFF,
                more: false,
            },
            payload_eights: 0,
            ..plan(version, UDP)
        });
        assert_eq!(read(&bytes).shape, Shape::Malformed, "eight bytes");
        bytes.pop();
        bytes[if version == 4 { 3 } else { 5 }] -= 1;
        assert_eq!(read(&bytes).shape, Shape::LaterFragment, "seven bytes");
    }
}

#[test]
fn a_fragment_before_the_last_has_a_multiple_of_eight_bytes() {
    let piece = Piece::Later {
        eights: 100,
        more: true,
    };
    let mut bytes = make(&Plan {
        piece,
        ..plan(4, UDP)
    })
    .bytes;
    assert_eq!(read(&bytes).shape, Shape::LaterFragment);
    bytes.push(0);
    bytes[3] += 1;
    assert_eq!(read(&bytes).shape, Shape::Malformed);
}

#[test]
fn more_extension_headers_than_a_packet_may_have_are_malformed() {
    let with = |count| Plan {
        extensions: vec![(60, 0); count],
        ..plan(6, TCP)
    };
    assert_eq!(read(&make(&with(6)).bytes).shape, Shape::Whole);
    assert_eq!(read(&make(&with(7)).bytes).shape, Shape::Malformed);
}

#[test]
fn a_second_fragment_header_is_malformed() {
    // An extension of kind 44 and all zeros is a fragment header that says "whole".
    let plan = Plan {
        extensions: vec![(44, 0)],
        ..plan(6, TCP)
    };
    assert_eq!(read(&make(&plan).bytes).shape, Shape::Whole);
    assert_eq!(
        read(
            &make(&Plan {
                piece: Piece::First,
                ..plan
            })
            .bytes
        )
        .shape,
        Shape::Malformed
    );
}

#[test]
fn of_a_malformed_packet_the_addresses_are_still_told() {
    let made = make(&plan(4, TCP));
    let read = parse(&made.bytes[..24], made.length as u32, Direction::Inbound);
    assert_eq!(read.shape, Shape::Malformed);
    assert_eq!(read.flow.source, made.expected.flow.source);
    assert_eq!(read.flow.protocol, 6);
}

#[test]
fn an_option_of_no_length_is_the_last_that_is_read() {
    for (options, expected) in [
        ([7, 0, 131, 7, 4, 0, 0, 0], Shape::Whole),
        ([1, 7, 0, 131, 7, 4, 0, 0], Shape::Whole),
        ([7, 2, 131, 7, 4, 0, 0, 0], Shape::Malformed),
    ] {
        let mut bytes = make(&Plan {
            option_words: 2,
            ..plan(4, UDP)
        })
        .bytes;
        bytes[20..28].copy_from_slice(&options);
        assert_eq!(read(&bytes).shape, expected, "{options:?}");
    }
}

#[test]
fn an_authentication_header_is_as_long_as_it_says_in_words_of_four_bytes() {
    for words in 0..4 {
        for extensions in [
            vec![(51, words)],
            vec![(0, 1), (51, words)],
            vec![(51, words), (60, 0)],
        ] {
            let made = make(&Plan {
                extensions,
                ..plan(6, UDP)
            });
            assert_eq!(read(&made.bytes), made.expected, "{words}");
        }
    }
}
