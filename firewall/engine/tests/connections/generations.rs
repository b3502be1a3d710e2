//! Tests of connections when new rules are in force, or none.

use crate::zone::{
    ACK, ASKING_PASSES, BLOCKED, BY_RULE, CONVERSING, REFUSE_ALL, REPLY, SECOND, TCP, UDP, Zone,
    answers, asks, flagged, goes_on, said, table,
};
use engine::connection::decide_alone;
use engine::{Row, Slices};
use firewall_abi::firewall::carried;
use firewall_abi::packet::{Direction, NO_RULE, PacketMeta, Reason, Verdict};

/// Returns `ASKING_PASSES` with a rule before its own, so that the numbers of rules differ.
fn one_rule_more() -> String {
    let first = "[[rule]]\nid = 'first'\naction = 'block'\nports = 1\nprotocol = 'udp'\n";
    ASKING_PASSES.replacen("[[rule]]", &format!("{first}[[rule]]"), 1)
}

#[test]
fn a_reply_goes_on_under_new_rules_that_allow_what_it_answers() {
    for protocol in CONVERSING {
        for direction in Direction::ALL {
            let mut zone = Zone::under(ASKING_PASSES);
            let asked = asks(direction, protocol);
            let first = zone.judge(asked);
            zone.renew(&one_rule_more());
            zone.seen.now_ns += SECOND;
            let heard = zone.judge(answers(&asked));
            assert_eq!(said(&heard), REPLY, "{asked:?}");
            assert_eq!((heard.rule, heard.generation), (first.rule + 1, 2));
            assert_eq!((heard.log, heard.known), (0, 1));
            let entry = zone.entry(&asked).expect("it goes on");
            assert_eq!((entry.rule, entry.generation), (first.rule + 1, 2));
            assert_eq!(entry.reason, Reason::Rule as u8);
            assert_eq!(entry.stamp_ns, 2 * SECOND);
            let carried_back = carried(1, 100);
            assert_eq!((entry.sent, entry.received), (carried_back, carried_back));
            assert_eq!(said(&zone.judge(answers(&asked))), REPLY);
        }
    }
}

#[test]
fn a_reply_is_refused_under_new_rules_that_refuse_what_it_answers_and_it_is_forgotten() {
    for protocol in CONVERSING {
        for direction in Direction::ALL {
            let mut zone = Zone::under(ASKING_PASSES);
            let asked = asks(direction, protocol);
            zone.judge(asked);
            let reply = goes_on(&answers(&asked));
            zone.renew(REFUSE_ALL);
            assert_eq!(zone.says(reply), BLOCKED, "{asked:?}");
            assert_eq!(zone.entry(&asked), None);
            // Nor do the rules that allowed it bring it back.
            zone.renew(ASKING_PASSES);
            assert_eq!(zone.says(reply), BLOCKED);
        }
    }
}

#[test]
fn what_its_originator_sends_is_judged_by_new_rules() {
    for direction in Direction::ALL {
        let mut zone = Zone::under(ASKING_PASSES);
        let asked = asks(direction, TCP);
        for packet in [asked, answers(&asked), flagged(asked, ACK)] {
            zone.judge(packet);
        }
        let before = zone.entry(&asked).expect("it goes on");
        zone.renew(&one_rule_more());
        let decision = zone.judge(flagged(asked, ACK));
        assert_eq!((said(&decision), decision.known), (BY_RULE, 0));
        let entry = zone.entry(&asked).expect("it goes on");
        assert_eq!((entry.rule, entry.generation), (before.rule + 1, 2));
        assert_eq!(entry.state, before.state, "it lasts as it did");
        zone.renew(REFUSE_ALL);
        assert_eq!(zone.says(flagged(asked, ACK)), BLOCKED);
    }
}

#[test]
fn a_reply_of_which_comes_out_at_the_socket_whose_it_is_is_left_to_that() {
    let by_user = "
        [default]
        inbound = 'block'
        outbound = 'block'
        [[rule]]
        id = 'his'
        action = 'allow'
        protocol = 'udp'
        ports = 443
        user = 1000
    ";
    let mut zone = Zone::under(by_user);
    zone.seen.local.user = 1000;
    let asked = asks(Direction::Outbound, UDP);
    assert_eq!(zone.says(asked), BY_RULE);
    zone.renew(by_user);
    zone.seen.local = PacketMeta {
        phase: PacketMeta::BEFORE_SOCKET,
        ..PacketMeta::UNKNOWN
    };
    let left = zone.judge(answers(&asked));
    assert_eq!(said(&left).0, Verdict::Socket);
    let entry = zone.entry(&asked).expect("nothing is said of it yet");
    assert_eq!(entry.generation, 1);
    zone.seen.local = PacketMeta {
        user: 1000,
        ..PacketMeta::UNKNOWN
    };
    assert_eq!(said(&zone.judge_at_socket(answers(&asked))), REPLY);
    let entry = zone.entry(&asked).expect("it goes on");
    assert_eq!(entry.generation, 2);
}

#[test]
fn rules_that_are_asked_who_sends_are_told() {
    let by_user = "
        [default]
        inbound = 'block'
        outbound = 'block'
        [[rule]]
        id = 'his'
        action = 'allow'
        user = 1000
    ";
    let mut zone = Zone::under(by_user);
    let asked = asks(Direction::Outbound, UDP);
    assert_eq!(zone.says(asked), BLOCKED);
    zone.seen.local.user = 1000;
    assert_eq!(zone.says(asked), BY_RULE);
}

#[test]
fn without_its_service_everything_passes_or_nothing_does_or_the_rules_hold_as_they_are_told_to() {
    for (fail_mode, expected) in [
        ("open", Some(Verdict::Allow)),
        ("closed", Some(Verdict::Block)),
        ("static", None),
    ] {
        let rules = table(
            &format!(
                "[service]\nfail_mode = '{fail_mode}'\n[default]\ninbound = 'block'\noutbound = 'block'\n"
            ),
            9,
        );
        let decision = decide_alone(&rules.slices());
        assert_eq!(
            decision.map(|it| said(&it)),
            expected.map(|verdict| (verdict, Reason::FailMode)),
            "{fail_mode}"
        );
        if let Some(decision) = decision {
            assert_eq!((decision.rule, decision.generation), (NO_RULE, 9));
            assert_eq!((decision.log, decision.known), (0, 1));
        }
    }
    let none = Slices {
        rules: Row(&[]),
        sets: Row(&[]),
    };
    assert_eq!(decide_alone(&none), None);
}
