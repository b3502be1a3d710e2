//! What the head of the crate promises each kind of packet.

use crate::made::{Made, Piece, Plan, Transport, make};
use contract::packet::{Decision, Direction, NO_RULE, Reason, Verdict};
use contract::rules::{Head, Otherwise, PortRange, RuleRow};
use engine::{Parsed, Shape, Slices, Tables, classify};

const ALLOW: Otherwise = Otherwise { verdict: Verdict::Allow as u8, log: 0 };
const BLOCK: Otherwise = Otherwise { verdict: Verdict::Block as u8, log: 1 };

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
    let Made { bytes, direction, .. } = make(&plan);
    engine::parse(&bytes[..], bytes.len() as u32, direction)
}

fn row(rule: u32, verdict: Verdict) -> RuleRow {
    RuleRow { rule, verdict: verdict as u8, directions: 3, versions: 0x50, ..RuleRow::default() }
}

fn asking_for_ports(row: RuleRow) -> RuleRow {
    RuleRow { destination_ports: PortRange { first: 0, last: 53 }, asks_ports: 1, ..row }
}

fn decide(packet: &Parsed, otherwise: Otherwise, rows: &[RuleRow]) -> Decision {
    let head =
        Head { generation: 1, rows: rows.len() as u32, inbound: otherwise, outbound: otherwise, spare: 0 };
    classify(packet, &Slices { head, rows })
}

fn outcome(decision: Decision) -> (u8, u8, u32) {
    (decision.verdict, decision.reason, decision.rule)
}

#[test]
fn a_malformed_packet_is_blocked_and_reported_whatever_the_rules_say() {
    let malformed = Parsed { shape: Shape::Malformed, ..packet(Piece::Whole) };
    let decision = decide(&malformed, ALLOW, &[row(0, Verdict::Allow)]);
    assert_eq!(outcome(decision), (Verdict::Block as u8, Reason::Malformed as u8, NO_RULE));
    assert_eq!(decision.log, 1);
}

#[test]
fn a_first_fragment_is_judged_by_its_ports() {
    let rows = [asking_for_ports(row(0, Verdict::Block))];
    let decision = decide(&packet(Piece::First), ALLOW, &rows);
    assert_eq!(outcome(decision), (Verdict::Block as u8, Reason::Rule as u8, 0));
}

#[test]
fn a_later_fragment_passes_over_rules_that_ask_for_ports() {
    let later = packet(Piece::Later { eights: 100, more: false });
    let rows = [asking_for_ports(row(0, Verdict::Allow)), row(1, Verdict::Allow)];
    let by_default = (Verdict::Block as u8, Reason::Fragment as u8, NO_RULE);
    assert_eq!(outcome(decide(&later, BLOCK, &rows[..1])), by_default);
    assert_eq!(outcome(decide(&later, BLOCK, &rows)), (Verdict::Allow as u8, Reason::Fragment as u8, 1));
}

#[test]
fn a_table_that_nobody_filled_blocks() {
    struct Nothing;
    impl Tables for Nothing {
        fn head(&self) -> Option<Head> {
            None
        }
        fn row(&self, _: u32) -> Option<&RuleRow> {
            None
        }
    }
    let blocked = (Verdict::Block as u8, Reason::Default as u8, NO_RULE);
    assert_eq!(outcome(classify(&packet(Piece::Whole), &Nothing)), blocked);
    let zeros = Slices { head: Head::default(), rows: &[] };
    assert_eq!(outcome(classify(&packet(Piece::Whole), &zeros)), blocked);
}

#[test]
fn a_verdict_that_is_none_blocks() {
    let rows = [RuleRow { verdict: 77, ..row(0, Verdict::Allow) }];
    assert_eq!(decide(&packet(Piece::Whole), ALLOW, &rows).verdict, Verdict::Block as u8);
}
