//! Rule texts and their verdicts: the engine does what a file says, and each error is reported at its place.
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

#[path = "text/asking.rs"]
mod asking;
#[path = "text/errors.rs"]
mod errors;
#[path = "text/kill_switch.rs"]
mod kill_switch;
#[path = "text/local_end.rs"]
mod local_end;
mod place;
#[path = "text/size.rs"]
mod size;
#[path = "text/table.rs"]
mod table;
#[path = "text/warnings.rs"]
mod warnings;

use firewall_abi::packet::{
    Decision, Direction, NO_RULE, NO_USER, PacketHeaders, PacketMeta, Reason, Verdict, name_words,
};
use firewall_abi::rules::{FailMode, MAX_RULES, NEEDS_PERSON};
use place::Place;
use rules::{Rules, parse};

const DEFAULTS: &str = "[default]\ninbound = \"block\"\noutbound = \"allow\"\n";

/// Returns the resolver of every test: users, a program and lists.
fn here() -> Place {
    let place = Place::default()
        .user("root", 0)
        .user("alice", 1000)
        .program("/usr/bin/curl", [1, 7]);
    place
        .file("lists/bad.txt", "192.0.2.1\n")
        .file("empty.txt", "# nobody today\n")
}

fn errors(text: &str) -> String {
    parse("rules.toml", text, &here()).unwrap_err().to_string()
}

/// Returns the error of one rule's text behind the defaults: the rule's first line is line 5.
fn error(rule: &str) -> String {
    errors(&format!("{DEFAULTS}[[rule]]\n{rule}"))
}

fn good(rules: &str) -> Rules {
    parse("rules.toml", &format!("{DEFAULTS}{rules}"), &here()).unwrap()
}

/// Judges an IPv4 TCP packet to a port: rule, verdict, and whether it is reported.
fn judged(rules: &Rules, direction: Direction, port: u16) -> (u32, u8, u8) {
    let mut packet = [0; 40];
    packet[..20].copy_from_slice(&[
        0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 192, 0, 2, 1, 198, 51, 100, 7,
    ]);
    packet[22..24].copy_from_slice(&port.to_be_bytes());
    packet[32] = 0x50;
    let parsed = engine::parse(&packet[..], 40, direction);
    let decision = engine::classify(&parsed, &PacketMeta::UNKNOWN, &rules.compile(7).slices());
    assert_eq!(decision.generation, 7);
    (decision.rule, decision.verdict, decision.log)
}

#[test]
fn the_workstation_example_compiles_without_a_warning() {
    let rules = parse(
        "workstation.toml",
        include_str!("../examples/workstation.toml"),
        &here().program("/usr/sbin/exim4", [1, 8]),
    )
    .unwrap();
    assert_eq!(rules.warnings(), []);
    let (allow, block) = (Verdict::Allow as u8, Verdict::Block as u8);
    let (number, verdict, log) = judged(&rules, Direction::Outbound, 25);
    assert_eq!((verdict, log), (block, 1));
    assert_eq!(rules.rule(number).unwrap().id, "no-plain-mail");
    assert_eq!(
        judged(&rules, Direction::Outbound, 443),
        (NO_RULE, allow, 0)
    );
    assert_eq!(judged(&rules, Direction::Inbound, 443), (NO_RULE, block, 1));
}

#[test]
fn the_keys_as_documented_are_the_keys_that_are_read() {
    let head = include_str!("../src/lib.rs")
        .lines()
        .skip_while(|line| *line != "//! ```toml")
        .skip(1);
    let lines = head
        .take_while(|line| *line != "//! ```")
        .map(|line| line.trim_start_matches("//!").trim_start());
    let rules = parse(
        "documented.toml",
        &lines.collect::<Vec<_>>().join("\n"),
        &here(),
    )
    .unwrap();
    let (web, ping) = (rules.rule(0).unwrap(), rules.rule(1).unwrap());
    assert_eq!(
        (web.id.as_str(), web.ports.len(), web.sources.len(), web.log),
        ("web", 3, 2, true)
    );
    assert_eq!((ping.icmp_types.as_slice(), ping.log), (&[8][..], false));
    assert_eq!(
        (web.source_sets.as_slice(), web.interfaces.len()),
        (&[0][..], 2)
    );
    assert_eq!(
        web.users.iter().map(|user| user.number).collect::<Vec<_>>(),
        [Some(1000), Some(0)]
    );
    assert_eq!(web.programs.first().unwrap().identity, Some([1, 7]));
    let (into, out) = (
        rules.default_for(Direction::Inbound),
        rules.default_for(Direction::Outbound),
    );
    assert_eq!(
        (into.log, out.log, rules.fail_mode()),
        (true, false, FailMode::Static)
    );
    let home = rules.network(web.networks.named[0]).unwrap();
    assert_eq!((home.id.as_str(), home.interfaces.len()), ("home", 2));
    let set = rules.set(0).unwrap();
    assert_eq!(
        (set.id.as_str(), set.entries, set.file.as_deref()),
        ("bad-hosts", 3, Some("lists/bad.txt"))
    );
    assert_eq!((rules.rule(2), rules.set(1)), (None, None));
    assert_eq!(rules.warnings(), []);
}

#[test]
fn an_icmp_rule_matches_its_types_only() {
    let rules =
        good("[[rule]]\nid='a'\naction='allow'\nprotocol='icmp'\nicmp_type=['echo-request', 3]\n");
    let table = rules.compile(1);
    let verdict = |kind| {
        let mut packet = [0; 28];
        packet[..20].copy_from_slice(&[
            0x45, 0, 0, 28, 0, 0, 0, 0, 64, 1, 0, 0, 192, 0, 2, 1, 198, 51, 100, 7,
        ]);
        packet[20] = kind;
        let parsed = engine::parse(&packet[..], 28, Direction::Inbound);
        engine::classify(&parsed, &PacketMeta::UNKNOWN, &table.slices()).verdict
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
    assert_eq!(
        judged(&rules, Direction::Inbound, 80),
        (0, Verdict::Allow as u8, 1)
    );
    assert_eq!(
        judged(&rules, Direction::Outbound, 81),
        (2, Verdict::Block as u8, 0)
    );
    assert_eq!(
        judged(&rules, Direction::Outbound, 1001),
        (NO_RULE, Verdict::Allow as u8, 0)
    );
}

#[test]
fn what_nobody_says_of_forwarding_is_said_by_the_default_for_inbound() {
    let default_for = |text: &str| {
        let rules = rules::parse("r", text, &rules::NoResolver).unwrap();
        let rules::DefaultAction { action, log } = rules.default_for(Direction::Forward);
        (action, log)
    };
    let allowed = (Verdict::Allow, false);
    let blocked = (Verdict::Block, true);
    for (text, expected) in [
        ("inbound='block'\noutbound='allow'", blocked),
        ("inbound='allow'\noutbound='block'", allowed),
        (
            "inbound='block'\noutbound='block'\nforward='allow'",
            allowed,
        ),
        (
            "inbound='allow'\noutbound='allow'\nforward='block'\nlog_forward=false",
            (Verdict::Block, false),
        ),
    ] {
        let text = format!("[default]\n{text}\n");
        assert_eq!(default_for(&text), expected, "{text}");
    }
}

#[test]
fn what_stays_on_the_machine_is_judged_if_a_rule_in_force_names_lo_and_not_for_a_pattern() {
    use firewall_abi::rules::NEEDS_LOOPBACK;
    for (rule, judged) in [
        ("interface='lo'", true),
        ("interface=['eth0', 'lo']", true),
        ("interface='lo'\nenabled=false", false),
        ("interface='lo*'", false),
        ("interface='l*'", false),
        ("interface='eth0'", false),
    ] {
        let rules = good(&format!("[[rule]]\nid='r'\naction='block'\n{rule}\n"));
        assert_eq!(rules.judges_loopback(), judged, "{rule}");
        let asks = rules.compile(1).head().needs;
        assert_eq!(asks & NEEDS_LOOPBACK != 0, judged, "{rule}");
    }
}
