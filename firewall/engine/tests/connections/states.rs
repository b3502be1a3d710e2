//! Tests of a connection's state as each packet changes it, and of its counters.

use crate::zone::{
    ACK, ASKING_PASSES, BLOCKED, BY_RULE, FIN, ICMP, RST, SECOND, SYN, TCP, UDP, Zone, answers,
    asks, flagged, goes_on, said,
};
use firewall_abi::firewall::{FlowEntry, carried};
use firewall_abi::packet::{Direction, PacketHeaders, Verdict};

const ANSWERED: u8 = FlowEntry::ANSWERED;
const LASTING: u8 = ANSWERED | FlowEntry::CONFIRMED | FlowEntry::ASSURED;
const ORIGINATOR_DONE: u8 = FlowEntry::ORIGINATOR_DONE;
const RESPONDER_DONE: u8 = FlowEntry::RESPONDER_DONE;
const DONE: u8 = FlowEntry::DONE;
const BROKEN_OFF: u8 = FlowEntry::BROKEN_OFF;

#[derive(Clone, Copy, Debug)]
enum Sender {
    Originator,
    Responder,
}
use Sender::{Originator, Responder};

/// Packets of a connection, each with the state that it leaves; none: it is no connection any more.
type Course = &'static [(Sender, u8, Option<u8>)];

const BEGUN: (Sender, u8, Option<u8>) = (Originator, SYN, Some(0));
const ACCEPTED: (Sender, u8, Option<u8>) = (Responder, SYN | ACK, Some(ANSWERED));
const GOES_ON: (Sender, u8, Option<u8>) = (Originator, ACK, Some(LASTING));

const COURSES: [Course; 15] = [
    &[
        BEGUN,
        ACCEPTED,
        GOES_ON,
        GOES_ON,
        (Responder, ACK, Some(LASTING)),
    ],
    // Whoever answers, and answers again, confirms nothing.
    &[BEGUN, ACCEPTED, ACCEPTED, (Responder, ACK, Some(ANSWERED))],
    // Nor does who goes on without an answer.
    &[
        BEGUN,
        (Originator, ACK, Some(0)),
        (Originator, ACK, Some(0)),
    ],
    // What breaks off is no answer, and confirms none.
    &[BEGUN, (Responder, RST | ACK, Some(BROKEN_OFF))],
    &[
        BEGUN,
        (Originator, RST, Some(BROKEN_OFF)),
        (Originator, RST, Some(BROKEN_OFF)),
    ],
    &[
        BEGUN,
        ACCEPTED,
        (Originator, RST, Some(ANSWERED | BROKEN_OFF)),
    ],
    // It still goes on where that was forged.
    &[
        BEGUN,
        (Responder, RST, Some(BROKEN_OFF)),
        (Responder, SYN | ACK, Some(ANSWERED | BROKEN_OFF)),
        (Originator, ACK, Some(LASTING | BROKEN_OFF)),
    ],
    // Whatever begins anew confirms nothing, and has been answered by nobody yet.
    &[BEGUN, ACCEPTED, (Originator, SYN | ACK, Some(ANSWERED))],
    &[BEGUN, ACCEPTED, BEGUN],
    &[
        BEGUN,
        ACCEPTED,
        GOES_ON,
        (Originator, SYN, Some(FlowEntry::ASSURED)),
    ],
    // One end sends no more, then the other; the packet after that is the last.
    &[
        BEGUN,
        ACCEPTED,
        GOES_ON,
        (Originator, FIN | ACK, Some(LASTING | ORIGINATOR_DONE)),
        (Originator, FIN | ACK, Some(LASTING | ORIGINATOR_DONE)),
        (Responder, ACK, Some(LASTING | ORIGINATOR_DONE)),
        (Responder, FIN | ACK, Some(LASTING | DONE)),
        (Responder, FIN | ACK, Some(LASTING | DONE)),
        (Originator, ACK, None),
    ],
    &[
        BEGUN,
        ACCEPTED,
        GOES_ON,
        (Responder, FIN | ACK, Some(LASTING | RESPONDER_DONE)),
        (Responder, FIN | ACK, Some(LASTING | RESPONDER_DONE)),
        (Originator, ACK, Some(LASTING | RESPONDER_DONE)),
        (Originator, FIN | ACK, Some(LASTING | DONE)),
        (Responder, ACK, None),
    ],
    // A FIN says that its sender goes on.
    &[
        BEGUN,
        ACCEPTED,
        (Originator, FIN | ACK, Some(LASTING | ORIGINATOR_DONE)),
    ],
    // What breaks off ends nothing in order.
    &[
        BEGUN,
        ACCEPTED,
        GOES_ON,
        (Originator, RST | FIN, Some(LASTING | BROKEN_OFF)),
    ],
    // One end alone ends nothing.
    &[
        BEGUN,
        ACCEPTED,
        GOES_ON,
        (Responder, FIN | ACK, Some(LASTING | RESPONDER_DONE)),
        (Responder, ACK, Some(LASTING | RESPONDER_DONE)),
        (Responder, RST, Some(LASTING | RESPONDER_DONE | BROKEN_OFF)),
        (Responder, ACK, Some(LASTING | RESPONDER_DONE | BROKEN_OFF)),
    ],
];

#[test]
fn each_packet_moves_a_connection_as_its_sender_and_its_flags_say() {
    for direction in Direction::ALL {
        for course in COURSES {
            let mut zone = Zone::under(ASKING_PASSES);
            let asked = asks(direction, TCP);
            for (at, (sender, flags, state)) in course.iter().enumerate() {
                let packet = match sender {
                    Originator => asked,
                    Responder => answers(&asked),
                };
                zone.judge(flagged(packet, *flags));
                assert_eq!(
                    zone.state(&asked),
                    *state,
                    "{direction:?} {at} of {course:?}"
                );
            }
        }
    }
}

#[test]
fn without_flags_an_answer_and_what_goes_on_after_it_confirm_a_connection() {
    for protocol in [UDP, ICMP] {
        for direction in Direction::ALL {
            let mut zone = Zone::under(ASKING_PASSES);
            let asked = asks(direction, protocol);
            let reply = answers(&asked);
            for (packet, state) in [
                (asked, 0),
                (asked, 0),
                (reply, ANSWERED),
                (reply, ANSWERED),
                (asked, LASTING),
                (reply, LASTING),
            ] {
                zone.judge(packet);
                assert_eq!(zone.state(&asked), Some(state));
            }
        }
    }
}

#[test]
fn an_answer_is_noted_also_where_nobody_knows_whose_the_connection_is() {
    for direction in Direction::ALL {
        let mut zone = Zone::under(ASKING_PASSES);
        let asked = asks(direction, UDP);
        zone.judge(asked);
        for (packet, state) in [(answers(&asked), ANSWERED), (asked, LASTING)] {
            for entry in zone.remembered.entries.values_mut() {
                entry.state &= !FlowEntry::OWNED;
            }
            zone.judge(packet);
            assert_eq!(zone.state(&asked), Some(state), "{direction:?}");
        }
    }
}

#[test]
fn lasting_room_is_asked_for_until_there_is_some_and_never_again() {
    for protocol in [TCP, UDP] {
        let mut zone = Zone::under(ASKING_PASSES);
        let asked = asks(Direction::Outbound, protocol);
        zone.remembered.is_full = true;
        zone.judge(asked);
        zone.judge(answers(&asked));
        assert_eq!(zone.remembered.assured, 0);
        for asked_for in 1..=3 {
            zone.judge(goes_on(&asked));
            assert_eq!(zone.remembered.assured, asked_for);
        }
        zone.remembered.is_full = false;
        zone.judge(goes_on(&answers(&asked)));
        zone.judge(goes_on(&asked));
        zone.judge(goes_on(&answers(&asked)));
        assert_eq!(zone.remembered.assured, 4);
    }
}

#[test]
fn what_either_end_sends_is_counted_once_and_a_look_at_the_socket_counts_nothing() {
    for (direction, protocol) in [
        (Direction::Outbound, TCP),
        (Direction::Inbound, UDP),
        (Direction::Forward, UDP),
    ] {
        let mut zone = Zone::under(ASKING_PASSES);
        let asked = asks(direction, protocol);
        for (length, packet) in [
            (40, asked),
            (50, answers(&asked)),
            (60, goes_on(&asked)),
            (1000, goes_on(&answers(&asked))),
            (7, goes_on(&answers(&asked))),
        ] {
            zone.seen.length = length;
            assert_eq!(said(&zone.judge(packet)).0, Verdict::Allow);
        }
        // Of what is forwarded the lower address is the one that is called local.
        let is_local = direction != Direction::Inbound;
        let (by_originator, by_responder) = (carried(2, 100), carried(3, 1057));
        let expected = if is_local {
            (by_originator, by_responder)
        } else {
            (by_responder, by_originator)
        };
        let counted =
            |zone: &mut Zone| zone.entry(&asked).map(|entry| (entry.sent, entry.received));
        assert_eq!(counted(&mut zone), Some(expected), "{direction:?}");
        if direction == Direction::Inbound {
            zone.judge_at_socket(asked);
        } else if direction == Direction::Outbound {
            zone.judge_at_socket(goes_on(&answers(&asked)));
        }
        assert_eq!(counted(&mut zone), Some(expected), "{direction:?}");
    }
}

#[test]
fn what_is_remembered_of_a_beginning_is_what_the_rules_said_of_it() {
    for direction in Direction::ALL {
        let mut zone = Zone::under(ASKING_PASSES);
        (zone.seen.socket, zone.seen.device, zone.seen.first_device) = (5, 6, 0x1_0003);
        let asked = asks(direction, UDP);
        let decision = zone.judge(asked);
        let entry = zone.entry(&asked).expect("it is remembered");
        assert_eq!(
            (entry.rule, entry.generation, entry.reason, entry.logged),
            (decision.rule, decision.generation, decision.reason, 1)
        );
        assert_eq!((entry.stamp_ns, entry.direction), (SECOND, direction as u8));
        assert_eq!((entry.device, entry.came_by), (6, 2), "both halves in one");
        let is_out = direction == Direction::Outbound;
        assert_eq!(entry.socket, if is_out { 5 } else { 0 });
        let is_local = direction != Direction::Inbound;
        assert_eq!(entry.local_is_originator, u8::from(is_local));
    }
}

/// Rules that let either end begin.
const BOTH_MAY: &str = "
    [default]
    inbound = 'allow'
    outbound = 'allow'
    forward = 'allow'
";

#[test]
fn who_has_not_begun_begins_the_same_only_once_it_is_ending() {
    let asked = asks(Direction::Outbound, TCP);
    let reply = answers(&asked);
    let other_begins = flagged(reply, SYN);
    for (end, is_anew) in [
        ((asked, ACK), false),
        ((asked, FIN | ACK), true),
        ((reply, FIN | ACK), true),
        ((reply, RST), true),
    ] {
        let mut zone = Zone::under(BOTH_MAY);
        for packet in [asked, reply, flagged(end.0, end.1)] {
            zone.judge(packet);
        }
        zone.seen.now_ns += 1;
        let (verdict, _) = said(&zone.judge(other_begins));
        assert_eq!(verdict, Verdict::Allow);
        let entry = zone.entry(&asked).expect("one of both");
        assert_eq!(
            entry.direction == Direction::Inbound as u8,
            is_anew,
            "{end:?}"
        );
        assert_eq!(entry.local_is_originator == 0, is_anew);
        assert_eq!(entry.stamp_ns == SECOND + 1, is_anew);
        assert_eq!(entry.state & FlowEntry::ENDING, 0);
    }
}

#[test]
fn what_is_refused_is_not_remembered_nor_what_ends() {
    let mut zone = Zone::under(ASKING_PASSES);
    let unasked = PacketHeaders {
        destination_port: 80,
        ..asks(Direction::Outbound, UDP)
    };
    assert_eq!(zone.says(unasked), BLOCKED);
    let asked = asks(Direction::Outbound, TCP);
    for flags in [FIN | ACK, RST, RST | ACK, SYN | ACK] {
        assert_eq!(zone.says(flagged(asked, flags)), BY_RULE, "{flags}");
    }
    assert!(zone.remembered.entries.is_empty());
}
