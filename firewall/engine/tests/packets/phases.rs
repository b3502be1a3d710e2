//! Tests of what rules decide before everything is known of a packet: in a call of `connect`, and before its receiver.

use crate::seen::{SETS, Seen, allowing, compiled, table};
use engine::Shape;
use firewall_abi::packet::{Decision, Direction, NO_RULE, NO_USER, PacketMeta, Reason, Verdict};

/// The decision to leave a packet to the socket that gets it, or a call to its first packet.
const LEFT: Decision = Decision {
    rule: NO_RULE,
    generation: 1,
    verdict: Verdict::Socket as u8,
    reason: Reason::Rule as u8,
    log: 0,
    known: 0,
};

const IS_ALLOWED: Verdict = Verdict::Allow;
const IS_LEFT: Verdict = Verdict::Socket;
/// By the default: the rule does not take it.
const IS_BLOCKED: Verdict = Verdict::Block;

/// Asserts what a rule with these keys, which allows what it takes, says of a packet.
fn assert_said(keys: &str, seen: &Seen, expected: Verdict) {
    let decision = seen.decided_by(&table(&allowing("x", keys)).slices());
    assert_eq!(decision.verdict, expected as u8, "{keys}: {seen:?}");
    match expected {
        IS_LEFT => assert_eq!(decision, LEFT),
        IS_ALLOWED => assert_eq!((decision.rule, decision.reason), (0, Reason::Rule as u8)),
        _ => assert_eq!(
            (decision.rule, decision.reason),
            (NO_RULE, Reason::Default as u8)
        ),
    }
}

#[test]
fn at_a_call_a_rule_decides_that_asks_for_nothing_unknown_yet_and_any_other_is_left_to_the_packet()
{
    for (keys, at_connect, if_translated) in [
        ("", IS_ALLOWED, IS_ALLOWED),
        ("direction = 'in'", IS_BLOCKED, IS_BLOCKED),
        ("user = 1000", IS_ALLOWED, IS_ALLOWED),
        ("user = 1001", IS_BLOCKED, IS_BLOCKED),
        ("program = 'kernel'", IS_ALLOWED, IS_ALLOWED),
        ("program = 'unknown'", IS_BLOCKED, IS_BLOCKED),
        // Where it goes to is known unless it may be translated.
        ("destination = '192.0.2.1'", IS_ALLOWED, IS_LEFT),
        ("destination = '192.0.2.9'", IS_BLOCKED, IS_LEFT),
        ("destination = '@to'", IS_ALLOWED, IS_LEFT),
        ("destination = '@others'", IS_BLOCKED, IS_LEFT),
        ("protocol = 'tcp'\nports = 443", IS_ALLOWED, IS_LEFT),
        ("protocol = 'tcp'\nports = 80", IS_BLOCKED, IS_LEFT),
        ("protocol = 'udp'\nports = 443", IS_BLOCKED, IS_BLOCKED),
        // Where it comes from is not, nor by what device.
        ("source = '10.0.0.2'", IS_LEFT, IS_LEFT),
        ("source = '10.0.0.9'", IS_LEFT, IS_LEFT),
        ("source = '@from'", IS_LEFT, IS_LEFT),
        ("source = '@others'", IS_LEFT, IS_LEFT),
        ("protocol = 'tcp'\nsource_ports = 9", IS_LEFT, IS_LEFT),
        ("interface = 'eth0'", IS_LEFT, IS_LEFT),
        ("interface = 'eth9'", IS_LEFT, IS_LEFT),
        ("interface = 'eth0'\nuser = 1001", IS_BLOCKED, IS_BLOCKED),
        ("source = '@from'\nuser = 1001", IS_BLOCKED, IS_BLOCKED),
    ] {
        for (phase, expected) in [
            (PacketMeta::CONNECT, at_connect),
            (PacketMeta::ANSWERS, at_connect),
            (PacketMeta::CONNECT_TRANSLATED, if_translated),
        ] {
            let seen = Seen::of(4, Direction::Outbound).with(|it| it.local.phase = phase);
            assert_said(keys, &seen, expected);
        }
    }
}

#[test]
fn before_its_socket_a_packet_is_left_to_it_by_a_rule_that_asks_who_receives_it() {
    for (keys, before, at_socket) in [
        ("", IS_ALLOWED, IS_ALLOWED),
        ("user = 1000", IS_LEFT, IS_ALLOWED),
        ("user = 1001", IS_LEFT, IS_BLOCKED),
        ("program = 'kernel'", IS_LEFT, IS_ALLOWED),
        ("program = 'unknown'", IS_LEFT, IS_BLOCKED),
        // All else is known.
        ("interface = 'eth0'", IS_ALLOWED, IS_ALLOWED),
        ("interface = 'eth9'", IS_BLOCKED, IS_BLOCKED),
        ("interface = 'eth9'\nuser = 1000", IS_BLOCKED, IS_BLOCKED),
        ("source = '10.0.0.2'", IS_ALLOWED, IS_ALLOWED),
        ("source = '@others'", IS_BLOCKED, IS_BLOCKED),
        ("protocol = 'tcp'\nports = 80", IS_BLOCKED, IS_BLOCKED),
    ] {
        let at = |phase| Seen::of(4, Direction::Inbound).with(|it| it.local.phase = phase);
        let seen = at(PacketMeta::BEFORE_SOCKET);
        assert_said(keys, &seen, before);
        let of_nobody = seen.with(|it| it.local.user = NO_USER);
        assert_said(keys, &of_nobody, before);
        assert_said(keys, &at(0), at_socket);
    }
}

#[test]
fn where_a_person_is_to_be_asked_it_is_about_a_packet_whose_sender_is_known_and_not_about_a_fragment()
 {
    let asks_by_rule = "
        [default]
        inbound = 'block'
        outbound = 'block'
        [[rule]]
        id = 'out'
        action = 'ask'
        direction = 'out'
        [[rule]]
        id = 'in'
        action = 'ask'
        direction = 'in'
    ";
    let asks_by_default = "
        [default]
        inbound = 'ask'
        outbound = 'ask'
    ";
    for direction in [Direction::Inbound, Direction::Outbound] {
        for (text, rule, reason) in [
            (
                asks_by_rule,
                u32::from(direction == Direction::Inbound),
                Reason::Rule,
            ),
            (asks_by_default, NO_RULE, Reason::Default),
        ] {
            let table = compiled(&text.replace("[default]", &format!("{SETS}[default]")));
            let asked = Decision {
                rule,
                verdict: Verdict::Ask as u8,
                reason: reason as u8,
                log: 1,
                ..LEFT
            };
            for phase in [
                0,
                PacketMeta::BEFORE_SOCKET,
                PacketMeta::CONNECT,
                PacketMeta::CONNECT_TRANSLATED,
            ] {
                let seen = Seen::of(4, direction).with(|it| it.local.phase = phase);
                let is_left = direction == Direction::Outbound && phase != 0;
                let expected = if is_left { LEFT } else { asked };
                let decision = seen.decided_by(&table.slices());
                assert_eq!(decision, expected, "{seen:?}");
            }
            let fragment = Seen::of(4, direction).with(|it| it.shape = Shape::LaterFragment);
            let blocked = Decision {
                verdict: Verdict::Block as u8,
                reason: Reason::Fragment as u8,
                ..asked
            };
            assert_eq!(fragment.decided_by(&table.slices()), blocked);
        }
    }
}
