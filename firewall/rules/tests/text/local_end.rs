//! Rules about the local identity, and about network devices.

use super::*;

/// Returns the rule that decides about one packet with this local identity.
fn judged_of(rules: &Rules, local: PacketMeta) -> u32 {
    decided_of(rules, local).rule
}

fn decided_of(rules: &Rules, local: PacketMeta) -> Decision {
    let mut packet = [0; 40];
    packet[..20].copy_from_slice(&[
        0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 192, 0, 2, 1, 198, 51, 100, 7,
    ]);
    packet[32] = 0x50;
    let parsed = engine::parse(&packet[..], 40, Direction::Outbound);
    engine::classify(&parsed, &local, &rules.compile(1).slices())
}

#[test]
fn a_call_is_decided_only_by_rules_that_ask_for_what_is_known_of_it() {
    let block = |keys: &str| good(&format!("[[rule]]\nid='a'\naction='block'\n{keys}\n"));
    let (decided, left) = (Verdict::Block as u8, Verdict::Socket as u8);
    // Of any source and device, and where the destination may be translated too.
    for (keys, call, translated) in [
        ("", decided, decided),
        ("direction='out'\nprotocol='tcp'", decided, decided),
        ("user='alice'", decided, decided),
        ("program='/usr/bin/curl'", decided, decided),
        ("destination='198.51.100.0/24'", decided, left),
        ("protocol='tcp'\nports=0", decided, left),
        ("source='192.0.2.1'", left, left),
        ("source='203.0.113.9'", left, left),
        ("protocol='tcp'\nsource_ports=9", left, left),
        ("interface='eth0'", left, left),
        ("interface='eth0'\nuser='alice'", left, left),
    ] {
        let rules = block(keys);
        for (later, expected) in [
            (PacketMeta::CONNECT, call),
            (PacketMeta::CONNECT_TRANSLATED, translated),
        ] {
            let local = PacketMeta {
                program: [1, 7],
                user: 1000,
                phase: later,
                ..PacketMeta::UNKNOWN
            };
            let decision = decided_of(&rules, local);
            assert_eq!(decision.verdict, expected, "{keys:?}, {later}");
        }
    }
    // What can't match whatever comes out does not stand in the way of the default.
    for keys in [
        "user='alice'\ninterface='eth0'",
        "direction='in'\nsource='192.0.2.1'",
    ] {
        let local = PacketMeta {
            user: 1001,
            phase: PacketMeta::CONNECT,
            ..PacketMeta::UNKNOWN
        };
        let decision = decided_of(&block(keys), local);
        assert_eq!(
            (decision.rule, decision.reason),
            (NO_RULE, Reason::Default as u8),
            "{keys:?}"
        );
    }
}

#[test]
fn who_is_not_known_matches_no_rule_that_asks_who_it_is() {
    let rules = good(
        "[[rule]]\nid='u'\naction='block'\nuser=['alice', 4294967294]\n\
         [[rule]]\nid='p'\naction='block'\nprogram='/usr/bin/curl'\n\
         [[rule]]\nid='i'\naction='block'\ninterface='eth0'\n",
    );
    let unknown = PacketMeta::UNKNOWN;
    assert_eq!(judged_of(&rules, unknown), NO_RULE);
    for (user, rule) in [(1000, 0), (1001, NO_RULE), (NO_USER - 1, 0), (0, NO_RULE)] {
        assert_eq!(judged_of(&rules, PacketMeta { user, ..unknown }), rule);
    }
    assert_eq!(
        judged_of(
            &rules,
            PacketMeta {
                program: [1, 7],
                ..unknown
            }
        ),
        1
    );
    assert_eq!(
        judged_of(
            &rules,
            PacketMeta {
                program: [2, 7],
                ..unknown
            }
        ),
        NO_RULE
    );
    assert_eq!(
        judged_of(
            &rules,
            PacketMeta {
                interface: name_words("eth0").unwrap(),
                ..unknown
            }
        ),
        2
    );
    assert_eq!(
        judged_of(
            &rules,
            PacketMeta {
                interface: name_words("eth00").unwrap(),
                ..unknown
            }
        ),
        NO_RULE
    );
}

#[test]
fn devices_are_asked_for_by_how_their_names_begin() {
    let rules = good(
        "[[rule]]\nid='p'\naction='block'\ninterface=['veth*', 'br-*', 'eth0']\n\
         [[rule]]\nid='never'\naction='allow'\ninterface='veth1'\n",
    );
    let [warning] = rules.warnings() else {
        panic!("{:?}", rules.warnings())
    };
    assert!(warning.message.starts_with("rule `never` can never match"));
    for (name, rule) in [
        ("veth0a1b2c3", 0),
        ("veth", 0),
        ("br-d41d8cd98f00", 0),
        ("eth0", 0),
        ("eth01", NO_RULE),
        ("vet", NO_RULE),
        ("veti", NO_RULE),
        ("br0", NO_RULE),
        ("", NO_RULE),
    ] {
        let interface = name_words(name).unwrap();
        let local = PacketMeta {
            interface,
            ..PacketMeta::UNKNOWN
        };
        assert_eq!(judged_of(&rules, local), rule, "{name}");
    }
}

#[test]
fn what_has_no_program_can_be_asked_for() {
    let mut rules = good(
        "[[rule]]\nid='k'\naction='block'\nprogram='kernel'\n\
         [[rule]]\nid='u'\naction='block'\nprogram=['unknown', '/usr/bin/curl']\n",
    );
    assert_eq!(rules.warnings(), []);
    for looked_again in [false, true] {
        let of = |program| {
            let local = PacketMeta {
                program,
                ..PacketMeta::UNKNOWN
            };
            judged_of(&rules, local)
        };
        let found = [
            PacketMeta::KERNEL,
            PacketMeta::UNKNOWN.program,
            [1, 7],
            [1, 8],
        ]
        .map(of);
        assert_eq!(found, [0, 1, 1, NO_RULE]);
        if !looked_again {
            assert_eq!(rules.look_again(&here()), Ok(false));
        }
    }
}

#[test]
fn a_path_with_blanks_is_a_path() {
    let rules = good("[[rule]]\nid='p'\naction='block'\nprogram='/opt/My App/app'\n");
    assert_eq!(rules.warnings().len(), 1);
}

#[test]
fn a_program_that_comes_or_is_replaced_is_matched_once_it_was_looked_for() {
    let text = format!("{DEFAULTS}[[rule]]\nid='p'\naction='block'\nprogram='/opt/new'\n");
    let mut rules = parse("rules.toml", &text, &here()).unwrap();
    let new = PacketMeta {
        program: [1, 99],
        ..PacketMeta::UNKNOWN
    };
    assert_eq!(judged_of(&rules, new), NO_RULE);
    assert_eq!(rules.look_again(&here()), Ok(false));
    assert_eq!(
        rules.look_again(&here().program("/opt/new", [1, 99])),
        Ok(true)
    );
    assert_eq!(judged_of(&rules, new), 0);
    assert_eq!(rules.look_again(&here()), Ok(true));
    assert_eq!(judged_of(&rules, new), NO_RULE);
}
