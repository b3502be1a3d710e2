//! From text to verdicts: what a file says is what the engine does, and what is wrong is said where it stands.
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use contract::packet::{Direction, NO_RULE, Verdict};
use rules::{Rules, parse};

const DEFAULTS: &str = "[default]\ninbound = \"block\"\noutbound = \"allow\"\n";

fn errors(text: &str) -> String {
    parse("rules.toml", text).unwrap_err().to_string()
}

/// The error of one rule's text that follows the defaults: the rule's first line is line 5.
fn error(rule: &str) -> String {
    errors(&format!("{DEFAULTS}[[rule]]\n{rule}"))
}

fn good(rules: &str) -> Rules {
    parse("rules.toml", &format!("{DEFAULTS}{rules}")).unwrap()
}

/// An IPv4 TCP packet to a port, as the engine reads and judges it.
fn judged(rules: &Rules, direction: Direction, port: u16) -> (u32, u8, u8) {
    let mut packet = [0; 40];
    packet[..20].copy_from_slice(&[0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 192, 0, 2, 1, 198, 51, 100, 7]);
    packet[22..24].copy_from_slice(&port.to_be_bytes());
    packet[32] = 0x50;
    let parsed = engine::parse(&packet[..], 40, direction);
    let decision = engine::classify(&parsed, &rules.compile(7).slices());
    assert_eq!(decision.generation, 7);
    (decision.rule, decision.verdict, decision.log)
}

#[test]
fn the_workstation_example_compiles_without_a_warning() {
    let rules = parse("workstation.toml", include_str!("../examples/workstation.toml")).unwrap();
    assert_eq!(rules.warnings(), []);
    let (allow, block) = (Verdict::Allow as u8, Verdict::Block as u8);
    let (number, verdict, log) = judged(&rules, Direction::Outbound, 25);
    assert_eq!((verdict, log), (block, 1));
    assert_eq!(rules.rule(number).unwrap().id, "no-plain-mail");
    assert_eq!(judged(&rules, Direction::Outbound, 443), (NO_RULE, allow, 0));
    assert_eq!(judged(&rules, Direction::Inbound, 443), (NO_RULE, block, 1));
}

#[test]
fn the_keys_as_documented_are_the_keys_that_are_read() {
    let head = include_str!("../src/lib.rs").lines().skip_while(|line| *line != "//! ```toml").skip(1);
    let lines =
        head.take_while(|line| *line != "//! ```").map(|line| line.trim_start_matches("//!").trim_start());
    let rules = parse("documented.toml", &lines.collect::<Vec<_>>().join("\n")).unwrap();
    let (web, ping) = (rules.rule(0).unwrap(), rules.rule(1).unwrap());
    assert_eq!((web.id.as_str(), web.ports.len(), web.sources.len(), web.log), ("web", 3, 2, true));
    assert_eq!((ping.icmp_types.as_slice(), ping.log), (&[8][..], false));
    assert_eq!(rules.rule(2), None);
}

#[test]
fn an_icmp_rule_matches_its_types_only() {
    let rules = good("[[rule]]\nid='a'\naction='allow'\nprotocol='icmp'\nicmp_type=['echo-request', 3]\n");
    let table = rules.compile(1);
    let verdict = |kind| {
        let mut packet = [0; 28];
        packet[..20]
            .copy_from_slice(&[0x45, 0, 0, 28, 0, 0, 0, 0, 64, 1, 0, 0, 192, 0, 2, 1, 198, 51, 100, 7]);
        packet[20] = kind;
        let parsed = engine::parse(&packet[..], 28, Direction::Inbound);
        engine::classify(&parsed, &table.slices()).verdict
    };
    let (allow, block) = (Verdict::Allow as u8, Verdict::Block as u8);
    assert_eq!([8, 3, 0, 11].map(verdict), [allow, allow, block, block]);
}

#[test]
fn the_first_rule_that_matches_decides() {
    let rules = good(
        "[[rule]]\nid='a'\naction='allow'\nprotocol='tcp'\nports=80\nlog=true\n\
         [[rule]]\nid='off'\naction='block'\nenabled=false\n\
         [[rule]]\nid='b'\naction='block'\nprotocol='tcp'\nports='1-1000'\nlog=false\n",
    );
    assert_eq!(judged(&rules, Direction::Inbound, 80), (0, Verdict::Allow as u8, 1));
    assert_eq!(judged(&rules, Direction::Outbound, 81), (2, Verdict::Block as u8, 0));
    assert_eq!(judged(&rules, Direction::Outbound, 1001), (NO_RULE, Verdict::Allow as u8, 0));
}

#[test]
fn a_rule_that_lists_several_things_is_one_rule_in_several_rows() {
    let rules = good(
        "[[rule]]\nid='a'\naction='allow'\nprotocol=['tcp','udp']\nports=[80,'90-99']\n\
         source=['192.0.2.0/24','2001:db8::/32']\ndestination=['10.0.0.1','2001:db8::1']\n",
    );
    let rows = rules.compile(1).rows;
    // Two protocols, two port ranges, and two pairs of addresses: those of mixed versions match nothing.
    assert_eq!(rows.len(), 2 * 2 * 2);
    assert!(rows.iter().all(|row| row.rule == 0));
}

#[test]
fn every_error_is_said_at_once_with_its_place() {
    let text = "[default]\ninbound = \"blokc\"\n\n[[rule]]\nid = \"a\"\nactoin = \"allow\"\nports = 70000\n";
    assert_eq!(
        errors(text),
        "rules.toml:1:1: `outbound` is missing here; add one like outbound = \"allow\"\n\
         rules.toml:2:11: `inbound`: `blokc` is not known here; did you mean `block`?\n\
         rules.toml:4:1: `action` is missing here; add one like action = \"allow\"\n\
         rules.toml:6:1: unknown key `actoin`; did you mean `action`?\n\
         rules.toml:7:9: `ports` goes with protocols that have ports; add protocol = \"tcp\", \"udp\" or both\n\
         rules.toml:7:9: `ports`: `70000` is no port; write a number from 0 to 65535, or a range like \"8000-8080\""
    );
}

#[test]
fn an_error_says_what_would_be_right() {
    let cases = [
        (
            "id='a'\naction='allow'\nsource='10.0.0.1/8'",
            "7:8: `source`: `10.0.0.1/8` has bits set behind its prefix; write 10.0.0.0/8",
        ),
        ("id='a'\naction='allow'\nsource=['10.0.0.1', '10.0.0.']", "7:21: `source`: `10.0.0.` is no address"),
        ("id='a'\naction='allow'\nsource='10.0.0.0/33'", "no prefix length from 0 to 32"),
        ("id='a'\naction='allow'\nsource='10.0.0.0/+8'", "no prefix length from 0 to 32"),
        ("id='a'\naction='allow'\nsource='::ffff:1.2.3.4'", "write 1.2.3.4"),
        ("id='a'\naction='allow'\nsource=[]", "leave the key out"),
        (
            "id='a'\naction='allow'\nsource='1.1.1.1'\ndestination='::1'",
            "8:13: `source` is IPv4 and `destination` is not",
        ),
        ("id='a'\naction='deny'", "6:8: `action`: `deny` is not known here; there are: allow, block"),
        ("id='a'\naction='allow'\nprotocol='tpc'", "did you mean `tcp`?"),
        ("id='a'\naction='allow'\nprotocol=300", "a number from 0 to 255"),
        ("id='a'\naction='allow'\nprotocol='tcp'\nports='90-80'", "write \"80-90\""),
        ("id='a'\naction='allow'\nprotocol='udp'\nicmp_type=8", "8:11: `icmp_type` goes with one protocol"),
        ("id='a'\naction='allow'\nprotocol='icmp'\nicmp_type='echo-requst'", "did you mean `echo-request`?"),
        ("id='a'\naction='allow'\nlog='yes'", "write true or false, without quotes"),
        (
            "id='a'\naction='allow'\ndirection='inbound'",
            "there are: in, out; leave the key out for both directions",
        ),
        ("id=''\naction='allow'", "1 to 64 characters"),
        ("id=7\naction='allow'", "write it in quotes"),
        (
            "id='a'\naction='allow'\n[[rule]]\nid='a'\naction='allow'",
            "8:4: `id`: the rule in line 5 is called `a` too",
        ),
    ];
    for (rule, expected) in cases {
        let said = error(rule);
        assert!(said.contains(expected), "{rule}\nshould say: {expected}\nbut says: {said}");
        assert_eq!(said.lines().count(), 1, "{rule}\nsays more than one thing: {said}");
    }
}

#[test]
fn text_that_is_no_toml_is_said_with_its_place() {
    let said = errors(&format!("{DEFAULTS}[[rule]]\nid = \"a\naction = \"allow\"\n"));
    assert!(said.starts_with("rules.toml:5:"), "{said}");
    assert!(said.contains("not TOML"), "{said}");
    assert!(!said.contains("missing"), "{said}");
}

#[test]
fn an_empty_text_has_no_defaults_and_is_refused() {
    assert!(errors("").starts_with("rules.toml:1:1: `default` is missing; add [default]"));
}

#[test]
fn a_table_larger_than_the_driver_takes_is_refused_at_the_rule_that_is_too_much() {
    let ports: Vec<_> = (0..257).map(|n| (2 * n).to_string()).collect();
    let said = error(&format!("id='a'\naction='allow'\nprotocol='tcp'\nports=[{}]", ports.join(",")));
    assert!(said.starts_with("rules.toml:5:4: with this rule there are 257 combinations"), "{said}");
}

#[test]
fn columns_count_characters_not_bytes() {
    let said = errors(&format!("rule = [{{ id = 'äöü', action = 'x' }}]\n{DEFAULTS}"));
    assert!(said.starts_with("rules.toml:1:32: `action`"), "{said}");
}

#[test]
fn a_rule_that_can_never_match_is_a_warning() {
    let rules = good(
        "[[rule]]\nid='wide'\naction='block'\nsource='10.0.0.0/8'\nprotocol='tcp'\n\
         [[rule]]\nid='narrow'\naction='allow'\nsource='10.1.0.0/16'\nprotocol='tcp'\nports=[80, 443]\n\
         [[rule]]\nid='other'\naction='allow'\nsource='11.0.0.0/8'\nprotocol='tcp'\n\
         [[rule]]\nid='more'\naction='allow'\nsource='10.0.0.0/8'\n",
    );
    let [warning] = rules.warnings() else { panic!("{:?}", rules.warnings()) };
    assert_eq!(
        warning.to_string(),
        "rules.toml:10:1: rule `narrow` can never match: `wide` (line 5) before it takes all of its packets"
    );
}
