//! What the rules decide about connections that somebody would begin.
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod commands;

use commands::{err, gatebell_given, out};

const RULES: &str = "[default]\ninbound = \"block\"\noutbound = \"allow\"\n\
                     [[rule]]\nid = \"ssh\"\naction = \"allow\"\ndirection = \"in\"\nprotocol = \"tcp\"\nports = 22\n\
                     source = \"203.0.113.0/24\"\n\
                     [[rule]]\nid = \"curl\"\naction = \"block\"\ndirection = \"out\"\nprotocol = \"tcp\"\nports = 443\n\
                     program = \"/opt/there-is-none/curl\"\nuser = 1000\n\
                     [[rule]]\nid = \"no-ping\"\naction = \"block\"\ndirection = \"out\"\nprotocol = [\"icmp\", \"icmpv6\"]\n";

fn test(words: &[&str]) -> (i32, String) {
    let mut all = vec!["test"];
    all.extend(words);
    all.extend(["--file", "-"]);
    let output = gatebell_given(RULES.as_bytes(), &all);
    let said = out(&output) + &err(&output);
    (output.status.code().unwrap(), said)
}

#[test]
fn a_connection_is_asked_about_without_a_source_and_the_exit_code_says_the_verdict() {
    let asked = |words: &[&str], code: i32, expected: &str| {
        let (got, said) = test(words);
        assert!(
            got == code && said.contains(expected),
            "{words:?}: {got}\n{said}"
        );
    };
    let curl = ["program", "/opt/there-is-none/curl", "user", "1000"];
    let with = |words: &[&'static str]| [words, curl.as_slice()].concat();
    asked(&["out", "tcp", "192.0.2.7:443"], 0, "the default for out");
    asked(&with(&["out", "tcp", "192.0.2.7:443"]), 3, "rule `curl`");
    asked(
        &with(&["out", "tcp", "[2001:db8::7]:443"]),
        3,
        "rule `curl`",
    );
    asked(
        &with(&["out", "udp", "192.0.2.7:443"]),
        0,
        "the default for out",
    );
    asked(&["in", "tcp", "203.0.113.9:22"], 0, "rule `ssh`");
    asked(&["in", "tcp", "198.51.100.9:22"], 3, "the default for in");
    asked(&["out", "icmp", "192.0.2.7"], 3, "type echo-request");
    asked(
        &["out", "icmpv6", "2001:db8::7", "type", "echo-reply"],
        3,
        "rule `no-ping`",
    );
    asked(&["out", "tcp", "localhost:443"], 0, "not judged");
    asked(&["out", "tcp", "192.0.2.7"], 1, "has no port");
    asked(&["out", "tcp", "2001:db8::7"], 1, "has no port");
    asked(
        &["out", "icmpv6", "192.0.2.7"],
        1,
        "has no address that icmpv6 goes to",
    );
    asked(
        &["out", "tcp", "192.0.2.7:443", "program", "curl"],
        1,
        "whole path",
    );
    asked(
        &["out", "tcp", "192.0.2.7:443", "color", "red"],
        1,
        "is not understood",
    );
    asked(&["sideways", "tcp", "192.0.2.7:443"], 2, "it is in");
}

#[test]
fn a_test_and_why_give_the_same_answer() {
    let (code, tested) = test(&[
        "out",
        "tcp",
        "192.0.2.7:443",
        "program",
        "/opt/there-is-none/curl",
        "user",
        "1000",
        "--json",
    ]);
    assert_eq!(code, 3);
    let tested: serde_json::Value = serde_json::from_str(&tested).unwrap();
    let packet = tested["packet"].as_str().unwrap();
    let why = gatebell_given(
        RULES.as_bytes(),
        &["why", "-", "--packet", packet, "--json"],
    );
    let why: serde_json::Value = serde_json::from_str(&out(&why)).unwrap();
    assert_eq!(tested, why);
    assert_eq!(
        (&tested["verdict"], &tested["rule"]),
        (&"block".into(), &"curl".into())
    );
}
