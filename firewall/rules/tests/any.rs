//! Random and damaged files: each is taken or refused, and none makes the reader panic.
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod place;

use place::Place;
use proptest::prelude::*;

const EXAMPLE: &str = include_str!("../examples/workstation.toml");

/// Every key with values that are nearly right.
const KEYS: &str = "version = 1\n[default]\ninbound = 'block'\noutbound = 'allow'\nlog_inbound = true\n[service]\nfail_mode = 'open'\n\
    [[set]]\nid = 's'\nfile = 's.txt'\naddresses = ['::1-::2', '10.0.0.0/8']\n\
    [[rule]]\nid = 'r'\naction = 'block'\ndirection = 'in'\nprotocol = 'tcp'\nsource = ['@s', '10.0.0.0-10.255.255.255']\n\
    destination = '::/0'\nports = [0, '1-65535']\nsource_ports = 65535\ninterface = 'eth0'\nuser = ['root', 4294967294]\n\
    program = '/bin/sh'\nlog = true\n";

fn place(list: impl Into<Vec<u8>>) -> Place {
    Place::default()
        .file("s.txt", list)
        .user("root", 0)
        .program("/bin/sh", [u64::MAX; 2])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_at_all_is_taken_or_refused(text in ".{0,200}", from in 0..4000_usize, to in 0..4000_usize) {
        let _either = rules::parse("any.toml", &text, &place(""));
        for example in [EXAMPLE, KEYS] {
            let cut = |at: usize| example.get(..at).unwrap_or(example);
            let mixed = [cut(from), &text, &example[cut(to).len()..]].concat();
            let _either = rules::parse("mixed.toml", &mixed, &place(""));
        }
    }

    #[test]
    fn any_list_at_all_is_taken(bytes in proptest::collection::vec(any::<u8>(), 0..200), lines in "(([{\\[\"<#!;,x\t]|add s |cidr)?[0-9a-f:./, \t\"}\\]-]{0,40}\r?\n){0,8}") {
        for list in [bytes, lines.into_bytes()] {
            let rules = rules::parse("any.toml", KEYS, &place(list)).expect("a list is no error of the rule file");
            prop_assert!(!rules.compile(1).pages.is_empty());

        }
    }
}

#[test]
fn what_the_mixtures_are_made_of_is_right() {
    assert!(rules::parse("keys.toml", KEYS, &place("192.0.2.1\n")).is_ok());
}
