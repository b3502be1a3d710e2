//! Tests of why a packet was decided on as it was.

use crate::commands::{captures, err, gatebell, gatebell_given, golden};
use serde_json::Value;

#[test]
fn why_names_the_rule_and_what_those_before_it_missed_on() {
    golden(
        "why-rule.txt",
        &gatebell(&[
            "why",
            "rules.toml",
            "--packet",
            "in icmp 10.0.0.1 -> 10.0.0.2 type echo-request",
        ]),
    );
    golden(
        "why-default.txt",
        &gatebell(&[
            "why",
            "rules.toml",
            "--packet",
            "in tcp 10.0.0.1:80 -> 10.0.0.2:50000",
        ]),
    );
    golden(
        "why.json",
        &gatebell(&[
            "why",
            "rules.toml",
            "--packet",
            "out tcp [fd00::2]:5000 -> [fd00::1]:23",
            "--json",
        ]),
    );
    golden(
        "why-error.txt",
        &gatebell(&[
            "why",
            "rules.toml",
            "--packet",
            "in icmp 10.0.0.1 -> 10.0.0.2 type time-exceeded",
        ]),
    );
    golden(
        "why-what.txt",
        &gatebell(&[
            "why",
            "rules.toml",
            "--packet",
            "out tcp 10.0.0.2 -> 10.0.0.1:23",
        ]),
    );
}

#[test]
fn the_rule_that_why_proposes_turns_the_verdict() {
    let rules = std::fs::read_to_string(captures().join("rules.toml")).unwrap();
    for packet in [
        "out tcp 10.0.0.2:5000 -> 10.0.0.1:23",
        "out udp [fd00::2]:5000 -> [fd00::1]:53",
        "in icmp 10.0.0.1 -> 10.0.0.2 type echo-request",
        "in icmp 10.0.0.1 -> 10.0.0.2 type 77 code 3",
        "in icmpv6 fd00::1 -> fd00::2 type echo-reply",
        "out 47 10.0.0.2 -> 10.0.0.1",
        "in tcp 10.0.0.1 -> 10.0.0.2 fragment",
        "out tcp 10.0.0.2:5000 -> 10.0.0.1:23 user 1000 program /opt/there-is-none/tool interface eth0",
        "out tcp 10.0.0.2:5000 -> 10.0.0.1:23 user root",
    ] {
        let first = answer(&rules, packet);
        let snippet = first["to_change"].as_str().unwrap();
        let changed = rules.replacen("[[rule]]", &format!("{snippet}\n[[rule]]"), 1);
        let second = answer(&changed, packet);
        assert_ne!(first["verdict"], second["verdict"], "{packet}");
        // And back, although a rule of the first name is there already.
        let snippet = second["to_change"].as_str().unwrap();
        let back = answer(
            &changed.replacen("[[rule]]", &format!("{snippet}\n[[rule]]"), 1),
            packet,
        );
        assert_eq!(first["verdict"], back["verdict"], "{packet}");
    }
}

fn answer(rules: &str, packet: &str) -> Value {
    let output = gatebell_given(
        rules.as_bytes(),
        &["why", "-", "--packet", packet, "--json"],
    );
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}
