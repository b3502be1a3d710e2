//! Tests of packets that begin a connection, of packets that answer one, and of the connection that they belong to.

use crate::zone::{
    ACK, ASKING_PASSES, BLOCKED, BY_RULE, CONVERSING, DCCP, FIN, GUEST, HERE, ICMP, ICMPV6, REPLY,
    RST, SCTP, SEED, SYN, TCP, THERE, UDP, UDP_LITE, Zone, answers, asks, flagged, goes_on, mapped,
    of_v6, said,
};
use engine::connection::{Asked, beginning, ends_at_socket, key_of, may_answer, may_begin};
use engine::quota;
use firewall_abi::firewall::FlowKey;
use firewall_abi::packet::{Direction, PacketHeaders, Verdict};

#[test]
fn five_protocols_end_at_a_socket() {
    let sockets: Vec<u8> = (0..=255).filter(|it| ends_at_socket(*it)).collect();
    assert_eq!(sockets, [TCP, UDP, DCCP, SCTP, UDP_LITE]);
}

#[test]
fn tcp_is_begun_by_what_neither_ends_nor_accepts_and_answered_by_all_but_a_first_syn() {
    for flags in 0..=255 {
        let packet = flagged(asks(Direction::Outbound, TCP), flags);
        let says = flags & (FIN | SYN | RST | ACK);
        assert_eq!(
            may_begin(&packet),
            [0, SYN, ACK].contains(&says),
            "{flags:#x}"
        );
        let first_syn = [SYN, SYN | FIN, SYN | RST, SYN | FIN | RST].contains(&says);
        assert_eq!(may_answer(&packet), !first_syn, "{flags:#x}");
    }
}

#[test]
fn of_icmp_only_an_echo_is_begun_and_answered_and_whoever_has_ports_does_both() {
    for number in 0..=255 {
        let of = |protocol| PacketHeaders {
            source_port: number,
            ..asks(Direction::Outbound, protocol)
        };
        for (protocol, request, reply) in [(ICMP, 8, 0), (ICMPV6, 128, 129)] {
            assert_eq!(may_begin(&of(protocol)), number == request, "{number}");
            assert_eq!(may_answer(&of(protocol)), number == reply, "{number}");
        }
        for protocol in [UDP, DCCP, SCTP, UDP_LITE] {
            assert!(may_begin(&of(protocol)) && may_answer(&of(protocol)));
        }
        for protocol in [0, 2, 47, 50, 255] {
            assert!(!may_begin(&of(protocol)) && !may_answer(&of(protocol)));
        }
    }
}

#[test]
fn either_direction_of_a_connection_has_its_key_and_the_zones_end_is_the_local_one() {
    for protocol in CONVERSING {
        let address = if protocol == ICMPV6 { of_v6 } else { mapped };
        let (asking, asked) = match protocol {
            ICMP | ICMPV6 => (1, 0),
            _ => (5000, 443),
        };
        let of = |(local, local_port), (remote, remote_port), protocol| FlowKey {
            local: address(local),
            remote: address(remote),
            local_port,
            remote_port,
            protocol,
        };
        let number = u32::from(protocol);
        let forwarded = number | FlowKey::FORWARDED;
        for (direction, expected) in [
            (
                Direction::Outbound,
                of((HERE, asking), (THERE, asked), number),
            ),
            (
                Direction::Inbound,
                of((HERE, asked), (THERE, asking), number),
            ),
            // The lower address's.
            (
                Direction::Forward,
                of((GUEST, asking), (THERE, asked), forwarded),
            ),
        ] {
            let packet = asks(direction, protocol);
            let reply = answers(&packet);
            assert_eq!((key_of(&packet), key_of(&reply)), (expected, expected));
            let began = flagged(packet, 0);
            assert_eq!(beginning(&reply), began, "{protocol}");
        }
    }
    // What is no echo is of no connection by its type.
    for kind in [3, 5, 13, 129] {
        for protocol in [ICMP, ICMPV6] {
            let packet = PacketHeaders {
                source_port: kind,
                ..asks(Direction::Outbound, protocol)
            };
            let ports = (key_of(&packet).local_port, key_of(&packet).remote_port);
            let is_reply = (protocol, kind) == (ICMPV6, 129);
            assert_eq!(ports, (0, u16::from(is_reply)));
        }
    }
}

#[test]
fn the_zones_end_is_the_local_one_also_where_its_address_is_the_higher() {
    /// Lower than all others.
    const LOW: [u8; 4] = [9, 0, 0, 1];
    for protocol in CONVERSING {
        let address = if protocol == ICMPV6 { of_v6 } else { mapped };
        for (direction, local, remote) in [
            (Direction::Outbound, HERE, LOW),
            (Direction::Inbound, HERE, LOW),
            // Neither end is the zone's.
            (Direction::Forward, LOW, GUEST),
        ] {
            let mut asked = asks(direction, protocol);
            if direction == Direction::Inbound {
                asked.source = address(LOW);
            } else {
                asked.destination = address(LOW);
            }
            for packet in [asked, answers(&asked)] {
                let key = key_of(&packet);
                assert_eq!((key.local, key.remote), (address(local), address(remote)));
            }
            let mut zone = Zone::under(ASKING_PASSES);
            assert_eq!(zone.says(asked), BY_RULE);
            assert_eq!(zone.says(answers(&asked)), REPLY);
            let entry = zone.entry(&asked).expect("it is remembered");
            let is_local = direction == Direction::Outbound;
            assert_eq!(entry.local_is_originator, u8::from(is_local));
        }
    }
}

#[test]
fn what_is_allowed_is_answered_by_the_other_end_alone_whatever_it_is_of() {
    for protocol in CONVERSING {
        for direction in Direction::ALL {
            let mut zone = Zone::under(ASKING_PASSES);
            let asked = asks(direction, protocol);
            let reply = answers(&asked);
            assert_eq!(zone.says(goes_on(&reply)), BLOCKED, "{reply:?}");
            let first = zone.judge(asked);
            assert_eq!(said(&first), BY_RULE, "{asked:?}");
            assert_eq!((first.generation, first.log, first.known), (1, 1, 0));
            let heard = zone.judge(reply);
            assert_eq!(said(&heard), REPLY, "{reply:?}");
            assert_eq!(
                (heard.rule, heard.generation, heard.log, heard.known),
                (first.rule, 1, 0, 1)
            );
            let more = zone.judge(goes_on(&asked));
            assert_eq!(said(&more), BY_RULE);
            assert_eq!((more.rule, more.log, more.known), (first.rule, 0, 1));
            let elsewhere = PacketHeaders {
                source: mapped([192, 0, 2, 99]),
                ..goes_on(&reply)
            };
            assert_eq!(zone.says(elsewhere), BLOCKED, "{elsewhere:?}");
            if ends_at_socket(protocol) {
                let by_another_port = PacketHeaders {
                    source_port: 444,
                    ..reply
                };
                assert_eq!(zone.says(by_another_port), BLOCKED);
                let unasked = PacketHeaders {
                    destination_port: 80,
                    ..asked
                };
                assert_eq!(zone.says(unasked), BLOCKED);
                assert_eq!(zone.says(answers(&unasked)), BLOCKED, "nor answered");
            }
        }
    }
}

#[test]
fn each_end_may_ask_for_an_echo_and_these_are_two_connections() {
    for protocol in [ICMP, ICMPV6] {
        let mut zone = Zone::under(ASKING_PASSES);
        let (out, into) = (
            asks(Direction::Outbound, protocol),
            asks(Direction::Inbound, protocol),
        );
        assert_eq!(zone.says(out), BY_RULE);
        assert_eq!(zone.says(answers(&into)), BLOCKED, "nobody has asked");
        assert_eq!(zone.says(into), BY_RULE);
        assert_eq!(zone.says(answers(&into)), REPLY);
        assert_eq!(zone.says(answers(&out)), REPLY);
        assert_eq!(zone.remembered.entries.len(), 2);
    }
}

#[test]
fn a_later_fragment_begins_nothing_and_answers_nothing() {
    let all_pass_out = "
        [default]
        inbound = 'block'
        outbound = 'allow'
        forward = 'allow'
    ";
    for protocol in [TCP, UDP] {
        let mut zone = Zone::under(all_pass_out);
        let fragment = PacketHeaders {
            source_port: 0,
            destination_port: 0,
            tcp_flags: 0,
            ..asks(Direction::Outbound, protocol)
        };
        let to_group = PacketHeaders {
            destination: mapped([224, 0, 0, 251]),
            ..fragment
        };
        for packet in [fragment, to_group] {
            let decision = zone.judge_fragment(packet);
            assert_eq!(
                (decision.verdict, decision.known),
                (Verdict::Allow as u8, 0)
            );
        }
        assert!(zone.remembered.entries.is_empty());
        // And where a whole packet between ports 0 has begun something.
        zone.judge(fragment);
        let decision = zone.judge_fragment(answers(&fragment));
        assert_eq!(decision.verdict, Verdict::Block as u8);
    }
}

/// The answer to who begins a connection of TCP.
fn accepts(direction: Direction) -> PacketHeaders {
    answers(&asks(direction, TCP))
}

#[test]
fn who_accepts_is_heard_though_the_beginning_had_to_make_room() {
    let mut zone = Zone::under(ASKING_PASSES);
    let reply = accepts(Direction::Inbound);
    let decision = zone.judge(reply);
    assert_eq!(said(&decision), REPLY);
    assert_eq!((decision.log, decision.known), (0, 1));
    assert!(zone.remembered.entries.is_empty(), "it begins nothing");
    for more in [8, 32, 64, 128] {
        assert_eq!(zone.says(flagged(reply, SYN | ACK | more)), REPLY, "{more}");
    }
    for flags in [
        0,
        ACK,
        SYN,
        SYN | ACK | RST,
        SYN | ACK | FIN,
        ACK | FIN,
        RST,
    ] {
        assert_eq!(zone.says(flagged(reply, flags)), BLOCKED, "{flags}");
    }
    // Nor what no rule lets begin, nor an answer to the zone itself, nor to a datagram.
    let unasked = PacketHeaders {
        source_port: 80,
        ..reply
    };
    assert_eq!(zone.says(unasked), BLOCKED);
    assert_eq!(zone.says(accepts(Direction::Outbound)), BLOCKED);
    for protocol in [UDP, SCTP, DCCP] {
        let reply = flagged(answers(&asks(Direction::Inbound, protocol)), SYN | ACK);
        assert_eq!(zone.says(reply), BLOCKED);
    }
}

#[test]
fn what_is_forwarded_is_such_an_answer_only_while_its_receivers_beginnings_make_room() {
    let mut zone = Zone::under(ASKING_PASSES);
    let reply = accepts(Direction::Forward);
    zone.seen.last_device = 3;
    assert_eq!(zone.says(reply), BLOCKED);
    let guest = u64::from_be_bytes([0, 0, 0xFF, 0xFF, GUEST[0], GUEST[1], GUEST[2], GUEST[3]]);
    zone.remembered.short = Some(quota::of_forwarded(3, [0, guest], SEED));
    assert_eq!(zone.says(reply), REPLY);
    zone.seen.last_device = 4;
    assert_eq!(zone.says(reply), BLOCKED, "somebody else's");
    zone.seen.last_device = 3;
    assert_eq!(zone.says(flagged(reply, ACK)), BLOCKED);
}

#[test]
fn who_has_begun_accepts_nothing() {
    let mut zone = Zone::under(ASKING_PASSES);
    let asked = asks(Direction::Outbound, TCP);
    assert_eq!(zone.says(asked), BY_RULE);
    // Its other end may begin the same, and it itself nothing any more.
    zone.renew(
        "
        [default]
        inbound = 'allow'
        outbound = 'block'
        ",
    );
    assert_eq!(zone.says(flagged(asked, SYN | ACK)), BLOCKED);
}

#[test]
fn a_number_says_what_is_asked_about_whatever_else_stands_in_it() {
    for (number, expected) in [
        (0, Asked::Packet),
        (1, Asked::Beginning),
        (2, Asked::Packet),
        (3, Asked::Beginning),
        (u32::MAX - 1, Asked::Packet),
        (u32::MAX, Asked::Beginning),
    ] {
        assert_eq!(Asked::numbered(number), expected, "{number}");
    }
}
