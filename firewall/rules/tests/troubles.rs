//! Troubles: what the machine can't provide never voids the rules; each rule that names it holds on its safe side.
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod place;

use firewall_abi::packet::{Direction, NO_USER, PacketMeta, Verdict};
use place::Place;
use rules::{Rules, parse};
use std::net::Ipv4Addr;

const ALLOW: u8 = Verdict::Allow as u8;
const BLOCK: u8 = Verdict::Block as u8;

fn rules(default: &str, text: &str) -> Rules {
    let text = format!("[default]\ninbound = '{default}'\noutbound = '{default}'\n{text}");
    let mut place = Place::default().user("alice", 1000);
    place.others = vec![0, 33, 1000];
    place.hidden = vec!["/secret/app".to_owned()];
    parse("rules.toml", &text, &place).unwrap()
}

fn verdict(rules: &Rules, source: Ipv4Addr, local: PacketMeta) -> u8 {
    let mut packet = [0; 40];
    packet[..12].copy_from_slice(&[0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0]);
    packet[12..16].copy_from_slice(&source.octets());
    packet[16..20].copy_from_slice(&[198, 51, 100, 7]);
    packet[32] = 0x50;
    let parsed = engine::parse(&packet[..], 40, Direction::Outbound);
    engine::classify(&parsed, &local, &rules.compile(1).slices()).verdict
}

fn verdicts(rules: &Rules, sources: [[u8; 4]; 4]) -> [u8; 4] {
    sources.map(|source| verdict(rules, source.into(), PacketMeta::UNKNOWN))
}

fn of_users(rules: &Rules, users: [u32; 5]) -> [u8; 5] {
    users.map(|user| {
        let local = PacketMeta {
            user,
            ..PacketMeta::UNKNOWN
        };
        verdict(rules, [192, 0, 2, 1].into(), local)
    })
}

fn trouble(rules: &Rules) -> String {
    let [trouble] = rules.troubles() else {
        panic!("{:?}", rules.troubles())
    };
    trouble.to_string()
}

const SET: &str = "[[set]]\nid = 's'\nfile = 'gone.txt'\naddresses = '10.0.0.0/8'\n\
                   except = ['10.1.0.0/16', '192.0.2.53']\n";
const SOURCES: [[u8; 4]; 4] = [
    [10, 0, 0, 1],
    [10, 1, 0, 1],
    [192, 0, 2, 53],
    [192, 0, 2, 54],
];

#[test]
fn a_set_whose_file_is_missing_blocks_all_that_it_does_not_except() {
    let rules = rules(
        "allow",
        &format!("{SET}[[rule]]\nid = 'r'\naction = 'block'\nsource = '@s'\n"),
    );
    let said = trouble(&rules);
    assert!(
        said.starts_with("rules.toml:6:8: `file`: gone.txt can't be read: not made; until it can"),
        "{said}"
    );
    assert_eq!(verdicts(&rules, SOURCES), [BLOCK, ALLOW, ALLOW, BLOCK]);
}

#[test]
fn a_set_whose_file_is_missing_allows_only_what_the_rule_file_lists() {
    let rules = rules(
        "block",
        &format!("{SET}[[rule]]\nid = 'r'\naction = 'allow'\nsource = '@s'\n"),
    );
    assert_eq!(verdicts(&rules, SOURCES), [ALLOW, BLOCK, BLOCK, BLOCK]);
}

#[test]
fn a_set_that_no_rule_asks_for_is_no_trouble() {
    let rules = rules("block", SET);
    assert_eq!(rules.troubles(), []);
    assert_eq!(rules.warnings().len(), 1);
}

const USERS: [u32; 5] = [0, 33, 1000, 1001, NO_USER];

#[test]
fn a_user_whom_nobody_knows_may_be_anybody_without_a_name_here_to_a_rule_that_blocks() {
    let rules = rules(
        "allow",
        "[[rule]]\nid = 'r'\naction = 'block'\nuser = ['alice', 'ghost']\n",
    );
    let said = trouble(&rules);
    assert!(
        said.starts_with("rules.toml:7:18: `user`: no user is called `ghost`; until then the rule blocks everybody"),
        "{said}"
    );
    assert_eq!(of_users(&rules, USERS), [ALLOW, ALLOW, BLOCK, BLOCK, ALLOW]);
}

#[test]
fn a_user_whom_nobody_knows_is_nobody_to_a_rule_that_allows() {
    let rules = rules(
        "block",
        "[[rule]]\nid = 'r'\naction = 'allow'\nuser = ['alice', 'ghost']\n",
    );
    assert!(trouble(&rules).contains("allows nothing for this name"));
    assert_eq!(of_users(&rules, USERS), [BLOCK, BLOCK, ALLOW, BLOCK, BLOCK]);
}

#[test]
fn a_program_that_cannot_be_looked_at_may_be_any_to_a_rule_that_blocks_and_none_to_one_that_allows()
{
    for (default, action, expected) in [("allow", "block", BLOCK), ("block", "allow", BLOCK)] {
        let rules = rules(
            default,
            &format!("[[rule]]\nid = 'r'\naction = '{action}'\nprogram = '/secret/app'\n"),
        );
        let said = trouble(&rules);
        assert!(
            said.contains("/secret/app can't be looked at: not for you"),
            "{said}"
        );
        for program in [[0, 0], [1, 7]] {
            let local = PacketMeta {
                program,
                ..PacketMeta::UNKNOWN
            };
            assert_eq!(verdict(&rules, [192, 0, 2, 1].into(), local), expected);
        }
    }
}

/// A rule for a program that is not there is exact as it is: nobody runs it.
#[test]
fn a_program_that_is_surely_not_there_is_a_warning_and_blocks_nobody_else() {
    let rules = rules(
        "allow",
        "[[rule]]\nid = 'r'\naction = 'block'\nprogram = '/not/there'\n",
    );
    assert_eq!((rules.troubles(), rules.warnings().len()), (&[][..], 1));
    assert_eq!(
        verdict(&rules, [192, 0, 2, 1].into(), PacketMeta::UNKNOWN),
        ALLOW
    );
}

#[test]
fn what_is_presumed_of_a_rule_shadows_no_other() {
    let rules = rules(
        "allow",
        &format!(
            "{SET}[[rule]]\nid = 'r'\naction = 'block'\nsource = '@s'\n\
             [[rule]]\nid = 'q'\naction = 'allow'\nsource = '11.0.0.1'\n"
        ),
    );
    assert_eq!(rules.warnings(), []);
}
