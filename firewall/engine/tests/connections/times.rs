//! Tests of the timeouts of connections, to the nanosecond.

use crate::zone::{
    ACK, ASKING_PASSES, BLOCKED, BY_RULE, FIN, REPLY, RST, SECOND, SYN, TCP, UDP, Zone, answers,
    asks, flagged, said,
};
use engine::connection::{is_silent, key_of, longest_silence_ns, may_wait};
use firewall_abi::firewall::{FlowEntry, FlowKey};
use firewall_abi::packet::Direction;

const ANSWERED: u8 = FlowEntry::ANSWERED;
const CONFIRMED: u8 = ANSWERED | FlowEntry::CONFIRMED;
const ORIGINATOR_DONE: u8 = FlowEntry::ORIGINATOR_DONE;
const RESPONDER_DONE: u8 = FlowEntry::RESPONDER_DONE;
const DONE: u8 = FlowEntry::DONE;
const BROKEN_OFF: u8 = FlowEntry::BROKEN_OFF;

const TCP_LASTS: [(u8, u64); 18] = [
    (0, 120),
    (FlowEntry::CONFIRMED, 120),
    (ORIGINATOR_DONE, 120),
    (RESPONDER_DONE, 120),
    (ANSWERED, 60),
    (ANSWERED | ORIGINATOR_DONE, 60),
    (ANSWERED | RESPONDER_DONE, 60),
    (CONFIRMED, 7200),
    (CONFIRMED | ORIGINATOR_DONE, 120),
    (CONFIRMED | RESPONDER_DONE, 120),
    (DONE, 10),
    (ANSWERED | DONE, 10),
    (CONFIRMED | DONE, 10),
    (BROKEN_OFF, 10),
    (ANSWERED | BROKEN_OFF, 10),
    (CONFIRMED | BROKEN_OFF, 10),
    (CONFIRMED | BROKEN_OFF | ORIGINATOR_DONE, 10),
    (CONFIRMED | BROKEN_OFF | DONE, 10),
];

const OTHERS_LAST: [(u8, u64); 4] = [
    (0, 30),
    (ANSWERED, 30),
    (CONFIRMED, 180),
    (CONFIRMED | DONE, 180),
];

#[test]
fn each_state_of_a_connection_lasts_its_time_and_not_a_nanosecond_longer() {
    let tcp = |more| TCP_LASTS.map(|(state, seconds)| (u32::from(TCP) | more, state, seconds));
    let other = |protocol: u32| OTHERS_LAST.map(|(state, seconds)| (protocol, state, seconds));
    let group = |state| (u32::from(UDP) | FlowKey::GROUP, state, 10);
    let all = tcp(0)
        .into_iter()
        .chain(tcp(FlowKey::FORWARDED))
        .chain(
            [1, 17, 33, 58, 132, 136, 17 | FlowKey::FORWARDED]
                .into_iter()
                .flat_map(other),
        )
        .chain([0, ANSWERED, CONFIRMED].map(group));
    // Where it stands, what was told of it and whose it is does not matter.
    let besides = [0, FlowEntry::ASSURED, FlowEntry::TOLD, FlowEntry::OWNED];
    for (protocol, state, seconds) in all {
        let key = FlowKey {
            protocol,
            ..key_of(&asks(Direction::Outbound, UDP))
        };
        for besides in besides {
            let entry = FlowEntry {
                stamp_ns: 7,
                state: state | besides,
                ..FlowEntry::NEW
            };
            let lasts = seconds * SECOND;
            assert_eq!(
                longest_silence_ns(protocol, &entry),
                lasts,
                "{protocol} {state:#x}"
            );
            for (now_ns, expected) in [(0, false), (7 + lasts, false), (8 + lasts, true)] {
                assert_eq!(
                    is_silent(&key, &entry, now_ns),
                    expected,
                    "{state:#x} {now_ns}"
                );
            }
        }
    }
}

#[test]
fn who_was_heard_of_within_two_minutes_may_wait_for_an_answer_still() {
    for (stamp_ns, now_ns, expected) in [
        (0, 0, false),
        (0, 1, false),
        (5, 5, true),
        (5, 1, true),
        (5, 5 + 120 * SECOND, true),
        (5, 6 + 120 * SECOND, false),
    ] {
        assert_eq!(may_wait(stamp_ns, now_ns), expected, "{stamp_ns} {now_ns}");
    }
}

#[test]
fn what_was_silent_for_too_long_is_forgotten_with_the_first_packet_that_comes_then() {
    for (silence, expected) in [(30 * SECOND, REPLY), (30 * SECOND + 1, BLOCKED)] {
        let mut zone = Zone::under(ASKING_PASSES);
        let asked = asks(Direction::Outbound, UDP);
        zone.says(asked);
        zone.seen.now_ns += silence;
        assert_eq!(zone.says(answers(&asked)), expected);
        assert_eq!(
            zone.remembered.entries.len(),
            usize::from(expected == REPLY)
        );
    }
}

#[test]
fn any_packet_of_either_end_has_a_connection_last_from_then_on() {
    let asked = asks(Direction::Outbound, TCP);
    let reply = answers(&asked);
    for (packet, flags) in [
        (reply, SYN | ACK),
        (asked, ACK),
        (reply, ACK),
        (asked, RST),
        (reply, RST),
        (asked, FIN | ACK),
        (reply, FIN | ACK),
        (asked, SYN),
    ] {
        let mut zone = Zone::under(ASKING_PASSES);
        zone.says(asked);
        zone.seen.now_ns += 3 * SECOND;
        zone.says(flagged(packet, flags));
        let stamp = zone.entry(&asked).map(|entry| entry.stamp_ns);
        assert_eq!(stamp, Some(4 * SECOND), "{flags}");
    }
}

/// A zone in which a connection of TCP has just been ended by both ends.
fn ended(direction: Direction) -> Zone {
    let mut zone = Zone::under(ASKING_PASSES);
    let asked = asks(direction, TCP);
    let reply = answers(&asked);
    for (packet, flags) in [
        (asked, SYN),
        (reply, SYN | ACK),
        (asked, ACK),
        (asked, FIN | ACK),
        (reply, FIN | ACK),
        (asked, ACK),
    ] {
        let decision = zone.judge(flagged(packet, flags));
        assert_eq!(decision.known, u8::from(flags != SYN));
    }
    let Zone { remembered, .. } = &zone;
    assert_eq!((remembered.entries.len(), remembered.retired.len()), (0, 1));
    zone
}

#[test]
fn what_both_ends_have_ended_may_be_sent_again_for_two_minutes() {
    for direction in Direction::ALL {
        let asked = asks(direction, TCP);
        let reply = answers(&asked);
        for (after, is_late) in [(120 * SECOND - 1, false), (120 * SECOND, true)] {
            let mut zone = ended(direction);
            zone.seen.now_ns += after;
            for flags in [FIN | ACK, ACK, RST] {
                let expected = if is_late { BLOCKED } else { REPLY };
                assert_eq!(
                    zone.says(flagged(reply, flags)),
                    expected,
                    "{flags} {after}"
                );
            }
            let decision = zone.judge(flagged(asked, ACK));
            assert_eq!(said(&decision), BY_RULE, "{after}");
            assert_eq!(decision.known, u8::from(!is_late), "{after}");
            assert_eq!((decision.rule, decision.generation), (0, 1));
        }
        // The clock that a packet is judged by may be behind the one that ended it.
        let mut zone = ended(direction);
        zone.seen.now_ns = 0;
        assert_eq!(zone.says(flagged(reply, FIN | ACK)), REPLY);
    }
}

#[test]
fn what_has_ended_accepts_nothing_new_and_goes_on_with_no_later_rules() {
    for direction in Direction::ALL {
        let asked = asks(direction, TCP);
        let reply = answers(&asked);
        let mut zone = ended(direction);
        for flags in [SYN, SYN | FIN] {
            assert_eq!(zone.says(flagged(reply, flags)), BLOCKED, "{flags}");
        }
        let again = zone.judge(flagged(asked, SYN));
        assert_eq!((said(&again), again.known), (BY_RULE, 0));
        let mut zone = ended(direction);
        zone.renew(ASKING_PASSES);
        assert_eq!(zone.says(flagged(reply, FIN | ACK)), BLOCKED);
    }
    // Of other protocols nothing ends.
    let mut zone = ended(Direction::Outbound);
    let retired: Vec<_> = zone.remembered.retired.values().copied().collect();
    let datagram = answers(&asks(Direction::Outbound, UDP));
    let forwarded = answers(&asks(Direction::Forward, UDP));
    for packet in [datagram, forwarded] {
        zone.remembered.retired.insert(key_of(&packet), retired[0]);
        assert_eq!(zone.says(packet), BLOCKED);
    }
}
