//! Tests of what the head of the crate promises each kind of packet.

use crate::made::{Made, Piece, Plan, Transport, make};
use crate::seen::{Seen, compiled, table};
use engine::{Parsed, Row, Shape, Slices, classify, default_of, head};
use firewall_abi::packet::{Decision, Direction, NO_RULE, PacketMeta, Reason, Verdict};
use firewall_abi::rules::{Head, PAGE_WORDS};

fn packet(piece: Piece) -> Parsed {
    let plan = Plan {
        version: 4,
        source: [0; 16],
        destination: [0; 16],
        option_words: 0,
        extensions: Vec::new(),
        transport: Transport::Udp { ports: (9, 53) },
        piece,
        payload_eights: 0,
        padding: 0,
        direction: Direction::Inbound,
    };
    let Made {
        bytes, direction, ..
    } = make(&plan);
    engine::parse(&bytes[..], bytes.len() as u32, direction)
}

/// A rule file with these rules, and the same default both ways.
fn decide(packet: &Parsed, otherwise: &str, rules: &str) -> Decision {
    let text = format!("[default]\ninbound = '{otherwise}'\noutbound = '{otherwise}'\n{rules}");
    let table = rules::parse("made.toml", &text, &rules::NoResolver)
        .expect("these rules are right")
        .compile(1);
    classify(packet, &PacketMeta::UNKNOWN, &table.slices())
}

fn outcome(decision: Decision) -> (u8, u8, u32) {
    (decision.verdict, decision.reason, decision.rule)
}

const ALLOW_ALL: &str = "[[rule]]\nid = 'all'\naction = 'allow'\n";
const BLOCK_DNS: &str =
    "[[rule]]\nid = 'dns'\naction = 'block'\nprotocol = 'udp'\nports = '0-53'\n";

#[test]
fn a_malformed_packet_is_blocked_and_reported_whatever_the_rules_say() {
    let malformed = Parsed {
        shape: Shape::Malformed,
        ..packet(Piece::Whole)
    };
    let decision = decide(&malformed, "allow", ALLOW_ALL);
    assert_eq!(
        outcome(decision),
        (Verdict::Block as u8, Reason::Malformed as u8, NO_RULE)
    );
    assert_eq!(decision.log, 1);
}

#[test]
fn a_first_fragment_is_judged_by_its_ports() {
    let decision = decide(&packet(Piece::First), "allow", BLOCK_DNS);
    assert_eq!(
        outcome(decision),
        (Verdict::Block as u8, Reason::Rule as u8, 0)
    );
}

#[test]
fn a_later_fragment_passes_over_rules_that_ask_for_ports() {
    let later = packet(Piece::Later {
        eights: 100,
        more: false,
    });
    let by_default = (Verdict::Block as u8, Reason::Fragment as u8, NO_RULE);
    let allow_dns = BLOCK_DNS.replace("'block'", "'allow'");
    assert_eq!(outcome(decide(&later, "block", &allow_dns)), by_default);
    let both = [&allow_dns, ALLOW_ALL].concat();
    assert_eq!(
        outcome(decide(&later, "block", &both)),
        (Verdict::Allow as u8, Reason::Fragment as u8, 1)
    );
}

#[test]
fn a_table_that_nobody_filled_blocks() {
    let blocked = (Verdict::Block as u8, Reason::Default as u8, NO_RULE);
    let whole = packet(Piece::Whole);
    for rules in [&[][..], &[[0; PAGE_WORDS]]] {
        let tables = Slices {
            rules: Row(rules),
            sets: Row(&[]),
        };
        assert_eq!(
            outcome(classify(&whole, &PacketMeta::UNKNOWN, &tables)),
            blocked
        );
    }
}

#[test]
fn a_table_that_names_pages_which_it_has_not_blocks() {
    let text = format!("[default]\ninbound = 'allow'\noutbound = 'allow'\n{ALLOW_ALL}");
    let whole = rules::parse("made.toml", &text, &rules::NoResolver)
        .expect("this rule is right")
        .compile(1);
    let allowed = (Verdict::Allow as u8, Reason::Rule as u8, 0);
    let blocked = (Verdict::Block as u8, Reason::Default as u8, NO_RULE);
    let decided: Vec<_> = (1..=whole.pages.len())
        .map(|pages| {
            let tables = Slices {
                rules: Row(&whole.pages[..pages]),
                sets: Row(&[]),
            };
            outcome(classify(
                &packet(Piece::Whole),
                &PacketMeta::UNKNOWN,
                &tables,
            ))
        })
        .collect();
    // Some pages are needed for other packets only.
    assert!(
        decided.is_sorted_by(|fewer, more| fewer.0 >= more.0),
        "{decided:?}"
    );
    assert_eq!(
        (decided.first(), decided.last()),
        (Some(&blocked), Some(&allowed))
    );
    assert!(
        decided
            .iter()
            .all(|decision| [blocked, allowed].contains(decision)),
        "{decided:?}"
    );
}

#[test]
fn a_verdict_that_is_none_blocks() {
    let text = format!("[default]\ninbound = 'allow'\noutbound = 'allow'\n{ALLOW_ALL}");
    let mut table = rules::parse("made.toml", &text, &rules::NoResolver)
        .expect("this rule is right")
        .compile(1);
    let outcomes = table.head().outcomes as usize;
    table.pages[outcomes][0] = 77;
    let decision = classify(&packet(Piece::Whole), &PacketMeta::UNKNOWN, &table.slices());
    assert_eq!(decision.verdict, Verdict::Block as u8);
}

#[test]
fn each_direction_has_a_default_of_its_own_which_says_whether_it_is_reported() {
    let verdicts = [Verdict::Allow, Verdict::Block, Verdict::Reject];
    for n in 0..9 {
        // Each verdict in each direction, and in each one of them reported.
        let said = [0, 1, 2].map(|way| (verdicts[(n + way) % 3], n / 3 == way));
        let named = ["inbound", "outbound", "forward"].iter().zip(said);
        let lines = named.map(|(name, (verdict, log))| {
            format!("{name} = '{}'\nlog_{name} = {log}\n", verdict.name())
        });
        let table = compiled(&format!("[default]\n{}", lines.collect::<String>()));
        for (direction, (verdict, log)) in Direction::ALL.into_iter().zip(said) {
            let expected = Decision {
                rule: NO_RULE,
                generation: 1,
                verdict: verdict as u8,
                reason: Reason::Default as u8,
                log: log.into(),
                known: 0,
            };
            let tables = table.slices();
            assert_eq!(Seen::of(4, direction).decided_by(&tables), expected);
            assert_eq!(default_of(head(&tables), direction), expected);
            let fragment = Seen::of(4, direction).with(|it| it.shape = Shape::LaterFragment);
            let by_default = Decision {
                reason: Reason::Fragment as u8,
                ..expected
            };
            assert_eq!(fragment.decided_by(&tables), by_default);
        }
    }
}

#[test]
fn the_default_of_a_table_that_nobody_filled_blocks() {
    let allows_in_vain = Head {
        outbound: compiled("[default]\ninbound = 'allow'\noutbound = 'allow'\n")
            .head()
            .outbound,
        ..Head::default()
    };
    for head in [None, Some(&allows_in_vain)] {
        let decision = default_of(head, Direction::Outbound);
        assert_eq!(
            outcome(decision),
            (Verdict::Block as u8, Reason::Default as u8, NO_RULE)
        );
        assert_eq!((decision.generation, decision.log), (0, 1));
    }
}

#[test]
fn a_rule_says_each_verdict_that_it_has_and_whether_it_is_reported() {
    for verdict in [
        Verdict::Allow,
        Verdict::Block,
        Verdict::Reject,
        Verdict::Ask,
    ] {
        for log in [false, true] {
            let table = table(&format!(
                "[[rule]]\nid = 'x'\naction = '{}'\ndirection = 'in'\nlog = {log}\n",
                verdict.name()
            ));
            let decision = Seen::of(4, Direction::Inbound).decided_by(&table.slices());
            let expected = Decision {
                rule: 0,
                generation: 1,
                verdict: verdict as u8,
                reason: Reason::Rule as u8,
                log: log.into(),
                known: 0,
            };
            assert_eq!(decision, expected);
        }
    }
}

#[test]
fn a_table_whose_head_has_any_number_wrong_gives_a_decision() {
    let rule = "[[rule]]\nid = 'x'\naction = 'allow'\nprotocol = 'tcp'\nports = [1, 3, 5, 7, 9, 11, 13, 15, 17]\n\
                user = [1, 3, 5, 7, 9, 11, 13, 15, 17]\nsource = ['@from', '10.0.0.9']\nprogram = 'kernel'\n";
    let right = table(rule);
    let words = size_of::<Head>() / 8;
    for word in 0..words {
        for shift in [0, 32] {
            for wrong in [0, 1, 3, 5, 77, u64::from(u32::MAX)] {
                let mut table = right.clone();
                let number = &mut table.pages[0][word];
                *number = *number & !(u64::from(u32::MAX) << shift) | wrong << shift;
                for ip_version in [4, 6] {
                    let seen = Seen::of(ip_version, Direction::Inbound);
                    let verdict = seen.decided_by(&table.slices()).verdict;
                    assert!(Verdict::try_from(verdict).is_ok(), "{word} {shift} {wrong}");
                }
            }
        }
    }
}
