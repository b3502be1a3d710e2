//! Rules and defaults that ask a person.

use super::*;

#[test]
fn what_asks_says_so_in_its_verdict_and_for_how_long() {
    let text = "[default]\ninbound='ask'\noutbound='allow'\nunanswered='allow'\n\
                [[rule]]\nid='a'\naction='ask'\ndirection='out'\nprotocol='tcp'\nports=80\nanswer_within=5\n";
    let rules = rules::parse("r", text, &rules::NoResolver).unwrap();
    let (ask, block) = (Verdict::Ask, Verdict::Block);
    assert_eq!(judged(&rules, Direction::Outbound, 80), (0, ask as u8, 1));
    assert_eq!(
        judged(&rules, Direction::Inbound, 80),
        (NO_RULE, ask as u8, 1)
    );
    // Nobody can be asked about what passes through, and it is not let through unasked.
    assert_eq!(rules.default_for(Direction::Forward).action, block);
    let of_rule = rules.rule(0).unwrap().asking;
    assert_eq!((of_rule.unanswered, of_rule.within.as_secs()), (block, 5));
    let of_default = rules.default_asking();
    assert_eq!(
        (of_default.unanswered, of_default.within.as_secs()),
        (Verdict::Allow, 30)
    );
    assert!(rules.asks() && rules.compile(1).head().needs & NEEDS_PERSON != 0);
    let off = text
        .replace("'ask'\noutbound", "'block'\noutbound")
        .replace("unanswered='allow'\n", "");
    let off = rules::parse("r", &format!("{off}enabled=false\n"), &rules::NoResolver).unwrap();
    assert!(!off.asks() && off.compile(1).head().needs & NEEDS_PERSON == 0);
}

#[test]
fn a_default_asks_about_what_begins_or_ends_here_alone() {
    let text = "[default]\ninbound='block'\noutbound='ask'\nforward='ask'\n";
    let wrong = rules::parse("r", text, &rules::NoResolver).unwrap_err();
    assert!(
        wrong
            .to_string()
            .contains("4:9: `forward`: nobody at this machine can be asked"),
        "{wrong}"
    );
}

#[test]
fn a_rule_that_asks_is_not_passed_by_what_can_t_be_known() {
    let text = "[default]\ninbound='block'\noutbound='allow'\n\
                [[rule]]\nid='a'\naction='ask'\ndirection='out'\nprogram='/usr/bin/curl'\n";
    let rules = rules::parse("r", text, &here()).unwrap();
    let flow = PacketHeaders {
        protocol: 6,
        ip_version: 4,
        direction: Direction::Outbound as u8,
        ..PacketHeaders::default()
    };
    let verdict = |program, shape| {
        let local = PacketMeta {
            program,
            ..PacketMeta::UNKNOWN
        };
        engine::classify(
            &engine::Parsed { flow, shape },
            &local,
            &rules.compile(1).slices(),
        )
        .verdict
    };
    let whole = engine::Shape::Whole;
    assert_eq!(verdict(PacketMeta::UNSURE, whole), Verdict::Ask as u8);
    assert_eq!(verdict([1, 7], whole), Verdict::Ask as u8);
    assert_eq!(verdict([1, 9], whole), Verdict::Allow as u8);
    // Its port is not shown, and an answer may be about one.
    let fragment = verdict([1, 7], engine::Shape::LaterFragment);
    assert_eq!(fragment, Verdict::Block as u8);
}
