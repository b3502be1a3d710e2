//! Fuzzes rule files, and the lists that they name: taken or refused, and what was taken compiles and decides.
#![no_main]

use engine::{Shape, classify, parse};
use firewall_abi::packet::{Direction, NO_RULE, PacketMeta, Verdict};
use gatebell_fuzz::Machine;
use rules::{Rules, Table};

libfuzzer_sys::fuzz_target!(
    |bytes: &[u8]| any_text_is_taken_or_refused_and_what_is_taken_compiles(bytes)
);

/// Packets to decide on: a first one of TCP, and an echo's answer over IPv6.
const PACKETS: [&[u8]; 2] = [
    b"E\0\0\x28\0\0\0\0\x40\x06\0\0\x0A\x4D\0\x02\x0A\x4D\0\x01\xC0\0\0\x50\0\0\0\0\0\0\0\0\x50\x02\0\0\0\0\0\0",
    b"`\0\0\0\0\x08\x3A\x40\xFD\x77\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\xFD\x77\0\0\0\0\0\0\0\0\0\0\0\0\0\x02\x81\0\0\0\0\0\0\0",
];

/// Splits the bytes at the first zero byte: up to it they are the rule file, behind it the file of its sets.
fn any_text_is_taken_or_refused_and_what_is_taken_compiles(bytes: &[u8]) {
    let mut parts = bytes.splitn(2, |byte| *byte == 0);
    let text = String::from_utf8_lossy(parts.next().unwrap_or_default());
    let machine = Machine {
        list: parts.next().unwrap_or_default(),
        program: Some([7, 7]),
    };
    match rules::parse("any.toml", &text, &machine) {
        Ok(rules) => what_was_taken_compiles(rules),
        Err(errors) => {
            assert!(
                !errors.findings().is_empty(),
                "refused, and nothing is wrong with it"
            );
            let _told = errors.to_string();
        }
    }
}

fn what_was_taken_compiles(mut rules: Rules) {
    let table = rules.compile(1);
    assert_eq!(
        table,
        rules.compile(1),
        "the same rules make the same table"
    );
    assert_eq!(table.head().pages as usize, table.pages.len());
    assert_eq!(table.head().rules as usize, rules.iter().len());
    for packet in PACKETS {
        for direction in [Direction::Inbound, Direction::Outbound] {
            a_packet_gets_a_verdict(packet, direction, &rules, &table);
        }
    }
    // The programs are gone; which can't make the table larger.
    rules
        .look_again(&Machine::default())
        .expect("room for less");
    assert!(!rules.compile(2).pages.is_empty());
}

fn a_packet_gets_a_verdict(packet: &[u8], direction: Direction, rules: &Rules, table: &Table) {
    let parsed = parse(packet, packet.len() as u32, direction);
    assert_eq!(parsed.shape, Shape::Whole);
    let decision = classify(&parsed, &PacketMeta::default(), &table.slices());
    let said = match rules.rule(decision.rule) {
        Some(rule) => {
            assert!(rule.enabled && rule.direction.is_none_or(|only| only == direction));
            rule.action
        }
        None => {
            assert_eq!(decision.rule, NO_RULE, "a rule that the file does not have");
            rules.default_for(direction).action
        }
    };
    assert_eq!(Verdict::try_from(decision.verdict), Ok(said));
}
