//! The engine beside a naive oracle: the same decision for every packet and every table.

use crate::made::{address, any_plan, make};
use contract::packet::{Decision, Direction, Flow, NO_RULE, Reason, Verdict};
use contract::rules::{Head, MAX_ROWS, Otherwise, PortRange, RuleRow};
use engine::{Parsed, Shape, Slices, classify};
use proptest::collection::vec;
use proptest::prelude::*;

/// What the engine is to decide, said as plainly as can be.
fn oracle(packet: &Parsed, head: &Head, rows: &[RuleRow]) -> Decision {
    let decide = |rule, verdict, reason: Reason, log| {
        let verdict = if verdict == Verdict::Allow as u8 { verdict } else { Verdict::Block as u8 };
        Decision { rule, generation: head.generation, verdict, reason: reason as u8, log, spare: 0 }
    };
    let unless_fragment =
        |reason| if packet.shape == Shape::LaterFragment { Reason::Fragment } else { reason };
    if packet.shape == Shape::Malformed {
        return decide(NO_RULE, Verdict::Block as u8, Reason::Malformed, 1);
    }
    let rows = rows.iter().take(head.rows as usize).take(MAX_ROWS as usize);
    for row in rows {
        if takes(row, packet) {
            return decide(row.rule, row.verdict, unless_fragment(Reason::Rule), row.log);
        }
    }
    let otherwise =
        if packet.flow.direction == Direction::Inbound as u8 { head.inbound } else { head.outbound };
    if head.generation == 0 {
        return decide(NO_RULE, Verdict::Block as u8, unless_fragment(Reason::Default), 1);
    }
    decide(NO_RULE, otherwise.verdict, unless_fragment(Reason::Default), otherwise.log)
}

fn takes(row: &RuleRow, packet: &Parsed) -> bool {
    let Flow { source, destination, source_port, destination_port, protocol, ip_version, direction, .. } =
        packet.flow;
    let inside = |address, mask, prefix| u128::from_be_bytes(address) & joined(mask) == joined(prefix);
    let between = |port, range: PortRange| (range.first..=range.last).contains(&port);
    inside(source, row.source_mask, row.source)
        && inside(destination, row.destination_mask, row.destination)
        && between(source_port, row.source_ports)
        && between(destination_port, row.destination_ports)
        && (row.protocol_mask == 0 || protocol == row.protocol)
        && row.directions & direction == direction
        && row.versions & (1 << ip_version) != 0
        && (row.asks_ports == 0 || packet.shape != Shape::LaterFragment)
}

fn joined([high, low]: [u64; 2]) -> u128 {
    u128::from(high) << 64 | u128::from(low)
}

fn split(address: u128) -> [u64; 2] {
    [(address >> 64) as u64, address as u64]
}

/// Prefix and mask, or two zeros, which take any address.
fn any_prefix() -> impl Strategy<Value = ([u64; 2], [u64; 2])> {
    let bits = prop_oneof![Just(0_u32), Just(96), Just(112), Just(40), Just(128), 0..=128_u32];
    (prop_oneof![Just(4_u8), Just(6)].prop_flat_map(address), bits).prop_map(|(address, bits)| {
        let mask = !u128::MAX.checked_shr(bits).unwrap_or(0);
        (split(u128::from_be_bytes(address) & mask), split(mask))
    })
}

fn any_range() -> impl Strategy<Value = PortRange> {
    prop_oneof![
        3 => Just(PortRange::ANY),
        1 => prop_oneof![Just(22_u16), Just(80), Just(443)].prop_map(|port| PortRange { first: port, last: port }),
        1 => (any::<u16>(), any::<u16>()).prop_map(|(first, last)| PortRange { first, last }),
    ]
}

fn any_row() -> impl Strategy<Value = RuleRow> {
    let protocol =
        prop_oneof![Just((0_u8, 0_u8)), Just((6, 255)), Just((17, 255)), Just((1, 255)), Just((58, 255))];
    let classes = (1..=3_u8, prop_oneof![Just(0x10_u8), Just(0x40), Just(0x50)], protocol, 0..=1_u8);
    let outcome = (0..4_u8, 0..=1_u8, any::<u32>());
    (any_prefix(), any_prefix(), any_range(), any_range(), classes, outcome).prop_map(
        |(source, destination, source_ports, destination_ports, classes, (verdict, log, rule))| {
            let (directions, versions, (protocol, protocol_mask), asks_ports) = classes;
            RuleRow {
                source: source.0,
                source_mask: source.1,
                destination: destination.0,
                destination_mask: destination.1,
                source_ports,
                destination_ports,
                rule,
                directions,
                versions,
                protocol,
                protocol_mask,
                asks_ports,
                verdict,
                log,
                spare: [0; 5],
            }
        },
    )
}

fn any_head() -> impl Strategy<Value = Head> {
    let otherwise = (0..4_u8, 0..=1_u8).prop_map(|(verdict, log)| Otherwise { verdict, log });
    let rows = prop_oneof![0..12_u32, 250..300_u32, any::<u32>()];
    (0..3_u32, rows, otherwise.clone(), otherwise).prop_map(|(generation, rows, inbound, outbound)| Head {
        generation,
        rows,
        inbound,
        outbound,
        spare: 0,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn engine_and_oracle_agree(
        head in any_head(),
        rows in prop_oneof![19 => vec(any_row(), 0..12), 1 => vec(any_row(), 255..260)],
        plans in vec(any_plan(), 1..32),
    ) {
        for plan in &plans {
            let made = make(plan);
            for shape in [made.expected.shape, Shape::Malformed] {
                let packet = Parsed { shape, ..made.expected };
                let tables = Slices { head, rows: &rows };
                prop_assert_eq!(classify(&packet, &tables), oracle(&packet, &head, &rows));
            }
        }
    }
}
