//! Tests of `gatebell test`: the decisions of rules about connections that somebody would begin.
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

/// Packets to an address of this machine go by `lo`: the driver judges them if a rule names that, else they pass.
#[test]
fn what_stays_on_this_machine_is_answered_as_the_driver_judges_it() {
    let defaults = "[default]\ninbound = \"block\"\noutbound = \"allow\"\n";
    let rule = |interface: &str| {
        format!(
            "{defaults}[[rule]]\nid = \"no-db\"\naction = \"block\"\ndirection = \"out\"\nprotocol = \"tcp\"\nports = 5432\n\
             interface = \"{interface}\"\n"
        )
    };
    let ask = |rules: &str, end: &str| {
        gatebell_given(
            rules.as_bytes(),
            &["test", "out", "tcp", end, "--file", "-"],
        )
    };
    let own = own_address();
    for end in [
        Some("127.0.0.1:5432".to_owned()),
        Some("[::1]:5432".to_owned()),
        own.map(|own| format!("{own}:5432")),
    ]
    .iter()
    .flatten()
    {
        let named = ask(&rule("lo"), end);
        assert_eq!(named.status.code(), Some(3), "{end}: {}", out(&named));
        assert!(out(&named).contains("interface lo") && out(&named).contains("`no-db`"));
        // How names begin is no name.
        for interface in ["eth0", "l*"] {
            let unseen = ask(&rule(interface), end);
            assert_eq!(unseen.status.code(), Some(0), "{end}: {}", out(&unseen));
            assert!(out(&unseen).contains("is not judged"), "{}", out(&unseen));
        }
    }
    let why = |rules: &str, packet: &str| {
        let answer = gatebell_given(
            rules.as_bytes(),
            &["why", "-", "--json", "--packet", packet],
        );
        let object: serde_json::Value = serde_json::from_str(&out(&answer)).unwrap();
        (object["verdict"].clone(), object["loopback"] == true)
    };
    let packet = "out tcp 127.0.0.1:50000 -> 127.0.0.1:5432";
    assert_eq!(why(&rule("lo"), packet), ("block".into(), false));
    assert_eq!(why(&rule("eth0"), packet), ("allow".into(), true));
    // Whoever says which device asks about that.
    let by_eth0 = format!("{packet} interface eth0");
    assert_eq!(why(&rule("eth0"), &by_eth0), ("block".into(), false));
    let by_lo = "out tcp 192.0.2.7:50000 -> 192.0.2.8:5432 interface lo";
    assert_eq!(why(&rule("eth0"), by_lo), ("allow".into(), true));
}

/// An address of this machine that is not a loopback one, if it has any.
fn own_address() -> Option<std::net::IpAddr> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
    // Nothing is sent.
    socket.connect("203.0.113.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_unspecified() && !address.is_loopback()).then_some(address)
}
