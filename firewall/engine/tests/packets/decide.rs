//! Tests of what the head of the crate promises each kind of packet.

use crate::made::{Made, Piece, Plan, Transport, make};
use engine::{Parsed, Row, Shape, Slices, classify};
use firewall_abi::packet::{Decision, Direction, NO_RULE, PacketMeta, Reason, Verdict};
use firewall_abi::rules::PAGE_WORDS;

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
