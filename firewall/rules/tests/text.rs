//! From text to verdicts: what a file says is what the engine does, and what is wrong is said where it stands.
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod place;

use firewall_abi::packet::{
    Decision, Direction, NO_RULE, NO_USER, PacketHeaders, PacketMeta, Reason, Verdict, name_words,
};
use firewall_abi::rules::{FailMode, MAX_RULES, NEEDS_PERSON};
use place::Place;
use rules::{Rules, parse};

const DEFAULTS: &str = "[default]\ninbound = \"block\"\noutbound = \"allow\"\n";

/// Where every test's file is: a user, a program and a list.
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

/// The error of one rule's text that follows the defaults: the rule's first line is line 5.
fn error(rule: &str) -> String {
    errors(&format!("{DEFAULTS}[[rule]]\n{rule}"))
}

fn good(rules: &str) -> Rules {
    parse("rules.toml", &format!("{DEFAULTS}{rules}"), &here()).unwrap()
}

/// An IPv4 TCP packet to a port, as the engine reads and judges it.
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
fn what_asks_says_so_in_its_verdict_and_for_how_long() {
    let text = "[default]\ninbound='ask'\noutbound='allow'\nunanswered='allow'\n\
                [[rule]]\nid='a'\naction='ask'\ndirection='out'\nprotocol='tcp'\nports=80\nanswer_within=5\n";
    let rules = rules::parse("r", text, &rules::NoResolver).unwrap();
    let (ask, block) = (Verdict::Ask, Verdict::Block);
    assert_eq!(judged(&rules, Direction::Outbound, 80), (0, ask as u8, 1));
    assert_eq!(
        judged(&rules, Direction::Inbound, 80),
        (NO_RULE, ask as u8, 1)
    );
    // Nobody can be asked about what passes through, and it is not let through unasked.
    assert_eq!(rules.default_for(Direction::Forward).action, block);
    let of_rule = rules.rule(0).unwrap().asking;
    assert_eq!((of_rule.unanswered, of_rule.within.as_secs()), (block, 5));
    let of_default = rules.default_asking();
    assert_eq!(
        (of_default.unanswered, of_default.within.as_secs()),
        (Verdict::Allow, 30)
    );
    assert!(rules.asks() && rules.compile(1).head().needs & NEEDS_PERSON != 0);
    let off = text
        .replace("'ask'\noutbound", "'block'\noutbound")
        .replace("unanswered='allow'\n", "");
    let off = rules::parse("r", &format!("{off}enabled=false\n"), &rules::NoResolver).unwrap();
    assert!(!off.asks() && off.compile(1).head().needs & NEEDS_PERSON == 0);
}

#[test]
fn a_default_asks_about_what_begins_or_ends_here_alone() {
    let text = "[default]\ninbound='block'\noutbound='ask'\nforward='ask'\n";
    let wrong = rules::parse("r", text, &rules::NoResolver).unwrap_err();
    assert!(
        wrong
            .to_string()
            .contains("4:9: `forward`: nobody at this machine can be asked"),
        "{wrong}"
    );
}

#[test]
fn a_rule_that_asks_is_not_passed_by_what_can_t_be_known() {
    let text = "[default]\ninbound='block'\noutbound='allow'\n\
                [[rule]]\nid='a'\naction='ask'\ndirection='out'\nprogram='/usr/bin/curl'\n";
    let rules = rules::parse("r", text, &here()).unwrap();
    let flow = PacketHeaders {
        protocol: 6,
        ip_version: 4,
        direction: Direction::Outbound as u8,
        ..PacketHeaders::default()
    };
    let verdict = |program, shape| {
        let local = PacketMeta {
            program,
            ..PacketMeta::UNKNOWN
        };
        engine::classify(
            &engine::Parsed { flow, shape },
            &local,
            &rules.compile(1).slices(),
        )
        .verdict
    };
    let whole = engine::Shape::Whole;
    assert_eq!(verdict(PacketMeta::UNSURE, whole), Verdict::Ask as u8);
    assert_eq!(verdict([1, 7], whole), Verdict::Ask as u8);
    assert_eq!(verdict([1, 9], whole), Verdict::Allow as u8);
    // Its port is not shown, and an answer may be about one.
    let fragment = verdict([1, 7], engine::Shape::LaterFragment);
    assert_eq!(fragment, Verdict::Block as u8);
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
fn an_error_says_what_would_be_right() {
    let cases = [
        (
            "id='a'\naction='allow'\nsource='10.0.0.1/8'",
            "7:8: `source`: `10.0.0.1/8` has bits set behind its prefix; write 10.0.0.0/8",
        ),
        (
            "id='a'\naction='allow'\nsource=['10.0.0.1', '10.0.0.']",
            "7:21: `source`: `10.0.0.` is no address",
        ),
        (
            "id='a'\naction='allow'\nsource='10.0.0.0/33'",
            "no prefix length from 0 to 32",
        ),
        (
            "id='a'\naction='allow'\nsource='10.0.0.0/+8'",
            "no prefix length from 0 to 32",
        ),
        (
            "id='a'\naction='allow'\nsource='::ffff:1.2.3.4'",
            "write 1.2.3.4",
        ),
        ("id='a'\naction='allow'\nsource=[]", "leave the key out"),
        (
            "id='a'\naction='allow'\nsource='1.1.1.1'\ndestination='::1'",
            "8:13: `source` is IPv4 and `destination` is not",
        ),
        (
            "id='a'\naction='deny'",
            "6:8: `action`: `deny` is not known here; there are: allow, block, reject, ask",
        ),
        (
            "id='a'\naction='allow'\nprotocol='tpc'",
            "did you mean `tcp`?",
        ),
        (
            "id='a'\naction='allow'\nprotocol=300",
            "a number from 0 to 255",
        ),
        (
            "id='a'\naction='allow'\nprotocol='tcp'\nports='90-80'",
            "write \"80-90\"",
        ),
        (
            "id='a'\naction='allow'\nprotocol='udp'\nicmp_type=8",
            "8:11: `icmp_type` goes with one protocol",
        ),
        (
            "id='a'\naction='allow'\nprotocol='icmp'\nicmp_type='echo-requst'",
            "did you mean `echo-request`?",
        ),
        (
            "id='a'\naction='allow'\nlog='yes'",
            "write true or false, without quotes",
        ),
        (
            "id='a'\naction='allow'\ndirection='inbound'",
            "there are: in, out, forward; leave the key out for every direction",
        ),
        (
            "id='a'\naction='ask'",
            "6:8: action = \"ask\" goes with direction = \"out\" or \"in\"",
        ),
        (
            "id='a'\naction='ask'\ndirection='forward'",
            "7:11: action = \"ask\" goes with direction = \"out\" or \"in\"",
        ),
        (
            "id='a'\naction='allow'\nunanswered='allow'",
            "7:12: `unanswered` goes with action = \"ask\"",
        ),
        (
            "id='a'\naction='ask'\ndirection='out'\nunanswered='ask'",
            "there are: block, allow",
        ),
        (
            "id='a'\naction='ask'\ndirection='out'\nanswer_within=0",
            "a number of seconds, from 1 to 3600",
        ),
        (
            "id='a'\naction='allow'\ninterface='@hosts'",
            "`@hosts` is no kind of device; \"@guests\" is the only one",
        ),
        (
            "id='a'\naction='allow'\nout_interface='docker0'",
            "7:15: `out_interface` goes with direction = \"forward\"",
        ),
        (
            "id='a'\naction='allow'\ndirection='out'\nout_interface='docker0'",
            "of what goes out, `interface` is the device",
        ),
        (
            "id='a'\naction='allow'\ndirection='forward'\nuser=0",
            "8:6: `user` asks who is at this machine's end, and what is forwarded has none there",
        ),
        (
            "id='a'\naction='allow'\nsource='10.0.0.9-10.0.0.1'",
            "write 10.0.0.1-10.0.0.9",
        ),
        (
            "id='a'\naction='allow'\nsource='10.0.0.9-::1'",
            "make it two ranges",
        ),
        (
            "id='a'\naction='allow'\nsource='@bad'",
            "7:8: `source`: there is no set `bad`; add [[set]] with id = \"bad\"",
        ),
        (
            "id='a'\naction='allow'\nsource='@bda'\n[[set]]\nid='bad'\naddresses='::1'",
            "did you mean `bad`?",
        ),
        (
            "id='a'\naction='allow'\nuser=4294967295",
            "a number from 0 to 4294967294",
        ),
        (
            "id='a'\naction='allow'\nuser=-1",
            "a number from 0 to 4294967294",
        ),
        (
            "id='a'\naction='allow'\nprogram='curl'",
            "write it like /usr/bin/curl",
        ),
        (
            "id='a'\naction='allow'\ninterface='a-very-long-name'",
            "longer than the 15 bytes",
        ),
        (
            "id='a'\naction='allow'\ninterface='eth/0'",
            "no device's name",
        ),
        (
            "id='a'\naction='allow'\ninterface='v*th0'",
            "`v*th0` is no pattern that works here: write a device's whole name, or how names begin and one *",
        ),
        (
            "id='a'\naction='allow'\ninterface='br-+'",
            "no pattern that works",
        ),
        (
            "id='a'\naction='allow'\ninterface='eth?'",
            "no pattern that works",
        ),
        (
            "id='a'\naction='allow'\ninterface='eth[0-9]'",
            "no pattern that works",
        ),
        (
            "id='a'\naction='allow'\ninterface='eth**'",
            "no pattern that works",
        ),
        (
            "id='a'\naction='allow'\ninterface='*'",
            "no pattern that works",
        ),
        (
            "id='a'\naction='allow'\nprogram='/tmp/.mount_A*/app'",
            "`/tmp/.mount_A*/app` is a pattern, and a program is one file",
        ),
        (
            "id='a'\naction='allow'\nprogram='/usr/bin/curl http://192.0.2.1'",
            "is a program with arguments",
        ),
        (
            "id='a'\naction='allow'\nprogram='/usr/bin/python3 /opt/x.py'",
            "scripts are not told apart; write /usr/bin/python3, which means all that it runs",
        ),
        (
            "id='a'\naction='allow'\n[service]\nfail_mode='block'",
            "8:11: `fail_mode`: `block` is not known here; there are: static, open, closed",
        ),
        (
            "id='a'\naction='allow'\n[[service]]\nfail_mode='static'",
            "`service` is a table; write [service]",
        ),
        (
            "id='a'\naction='allow'\n[[set]]\nid='s'",
            "this set holds nothing; add addresses",
        ),
        (
            "id='a'\naction='allow'\n[[set]]\nid='s'\naddresses='::1'\n[[set]]\nid='s'\naddresses='::1'",
            "11:4: `id`: the set in line 8 is called `s` too",
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
        assert!(
            said.contains(expected),
            "{rule}\nshould say: {expected}\nbut says: {said}"
        );
        assert_eq!(
            said.lines().count(),
            1,
            "{rule}\nsays more than one thing: {said}"
        );
    }
}

#[test]
fn text_that_is_no_toml_is_said_with_its_place() {
    let said = errors(&format!(
        "{DEFAULTS}[[rule]]\nid = \"a\naction = \"allow\"\n"
    ));
    assert!(said.starts_with("rules.toml:5:"), "{said}");
    assert!(said.contains("not TOML"), "{said}");
    assert!(!said.contains("missing"), "{said}");
}

#[test]
fn an_empty_text_has_no_defaults_and_is_refused() {
    assert!(errors("").starts_with("rules.toml:1:1: `default` is missing; add [default]"));
}

#[test]
fn columns_count_characters_not_bytes() {
    let said = errors(&format!(
        "rule = [{{ id = 'äöü', action = 'x' }}]\n{DEFAULTS}"
    ));
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
    let [warning] = rules.warnings() else {
        panic!("{:?}", rules.warnings())
    };
    assert_eq!(
        warning.to_string(),
        "rules.toml:10:1: rule `narrow` can never match: `wide` (line 5) before it takes all of its packets"
    );
}

/// Whether the second of two rules is said never to match.
fn shadowed(first: &str, second: &str) -> bool {
    let text = format!(
        "[[set]]\nid='s'\naddresses='10.0.0.0/8'\n[[set]]\nid='t'\naddresses='10.0.0.0/8'\n\
         [[rule]]\nid='uses'\naction='allow'\nenabled=false\nsource=['@s','@t']\n\
         [[rule]]\nid='first'\naction='block'\n{first}\n[[rule]]\nid='second'\naction='allow'\n{second}\n"
    );
    let rules = good(&text);
    rules.warnings().iter().any(|warning| {
        warning
            .message
            .starts_with("rule `second` can never match: `first`")
    })
}

#[test]
fn a_rule_is_shadowed_by_what_another_takes_in_all_and_by_nothing_less() {
    let yes = [
        ("", ""),
        (
            "",
            "protocol='tcp'\nports=80\nuser=1\nprogram='/not/there'\ninterface='eth0'\nsource='@s'",
        ),
        (
            "protocol='tcp'\nports=['1-100','101-200']",
            "protocol='tcp'\nports='50-150'",
        ),
        (
            "source=['10.0.0.0/9','10.128.0.0/9']",
            "source=['10.0.0.0/8']",
        ),
        (
            "source='10.0.0.5-10.0.0.20'",
            "source=['10.0.0.8/30','10.0.0.20']",
        ),
        ("source='0.0.0.0/0'", "source='10.0.0.1'"),
        ("source=['@s','@t']", "source='@s'"),
        ("source=['@s','11.0.0.0/8']", "source=['11.1.0.0/16','@s']"),
        ("program=['/a','/b']", "program='/b'"),
        ("user=[1,2,'root']", "user=[2,0]"),
        (
            "protocol=['icmp']\nicmp_type=[8,0]",
            "protocol='icmp'\nicmp_type=0",
        ),
        ("protocol=['tcp','udp']", "protocol='udp'\ndirection='in'"),
    ];
    for (first, second) in yes {
        assert!(shadowed(first, second), "{first:?} takes all of {second:?}");
    }
    let no = [
        ("enabled=false", ""),
        ("direction='in'", ""),
        ("protocol='tcp'\nports='0-65535'", "protocol='tcp'"),
        ("protocol='icmp'\nicmp_type=8", "protocol='icmp'"),
        ("source='0.0.0.0/0'", ""),
        ("source='10.0.0.0/9'", "source='10.0.0.0/8'"),
        (
            "source=['10.0.0.0/9','10.128.0.1-10.255.255.255']",
            "source='10.0.0.0/8'",
        ),
        // What a set holds may be another thing tomorrow.
        ("source='@s'", "source='@t'"),
        ("source='@s'", "source='10.0.0.1'"),
        ("source='10.0.0.0/8'", "source='@s'"),
        ("source='@s'", "destination='@s'"),
        // And so may be what stands behind a path.
        ("program='/usr/bin/curl'", "program='/not/there'"),
        ("program='/not/there'", "program='/nor/this'"),
        ("interface='eth0'", "interface=['eth0','eth1']"),
        ("user=1", ""),
    ];
    for (first, second) in no {
        assert!(
            !shadowed(first, second),
            "{first:?} does not take all of {second:?}"
        );
    }
}

#[test]
fn of_many_errors_in_a_list_of_the_rule_file_likewise() {
    let list = "'ads.example', ".repeat(1244);
    let said = errors(&format!(
        "{DEFAULTS}[[set]]\nid='s'\naddresses=[{list}'::1']\n"
    ));
    assert_eq!(said.lines().count(), 11);
    let last = said.lines().last().unwrap();
    assert_eq!(
        last,
        "rules.toml:6:162: `addresses`: and 1,234 more of this list are wrong, from here on"
    );
}

#[test]
fn what_is_hardly_meant_is_a_warning() {
    let rules = good(
        "[[set]]\nid='unused'\naddresses='::1'\n[[set]]\nid='empty'\nfile='empty.txt'\n\
         [[rule]]\nid='a'\naction='block'\nsource='@empty'\nprogram=['/usr/bin/curl', '/not/there']\n",
    );
    let said: Vec<_> = rules.warnings().iter().map(ToString::to_string).collect();
    let expected = [
        "rules.toml:5:4: no rule asks for the set `unused`; one would by \"@unused\"",
        "rules.toml:8:4: the set `empty` is empty: it holds no address",
        "rules.toml:14:27: `program`: there is no file /not/there; the rule matches it once it is there",
    ];
    assert_eq!(said, expected);
}

/// Somebody at the zone's end of the same packet.
fn judged_of(rules: &Rules, local: PacketMeta) -> u32 {
    decided_of(rules, local).rule
}

fn decided_of(rules: &Rules, local: PacketMeta) -> Decision {
    let mut packet = [0; 40];
    packet[..20].copy_from_slice(&[
        0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 192, 0, 2, 1, 198, 51, 100, 7,
    ]);
    packet[32] = 0x50;
    let parsed = engine::parse(&packet[..], 40, Direction::Outbound);
    engine::classify(&parsed, &local, &rules.compile(1).slices())
}

#[test]
fn a_call_is_decided_only_by_rules_that_ask_for_what_is_known_of_it() {
    let block = |keys: &str| good(&format!("[[rule]]\nid='a'\naction='block'\n{keys}\n"));
    let (decided, left) = (Verdict::Block as u8, Verdict::Socket as u8);
    // Of any source and device, and where the destination may be translated too.
    for (keys, call, translated) in [
        ("", decided, decided),
        ("direction='out'\nprotocol='tcp'", decided, decided),
        ("user='alice'", decided, decided),
        ("program='/usr/bin/curl'", decided, decided),
        ("destination='198.51.100.0/24'", decided, left),
        ("protocol='tcp'\nports=0", decided, left),
        ("source='192.0.2.1'", left, left),
        ("source='203.0.113.9'", left, left),
        ("protocol='tcp'\nsource_ports=9", left, left),
        ("interface='eth0'", left, left),
        ("interface='eth0'\nuser='alice'", left, left),
    ] {
        let rules = block(keys);
        for (later, expected) in [
            (PacketMeta::CONNECT, call),
            (PacketMeta::CONNECT_TRANSLATED, translated),
        ] {
            let local = PacketMeta {
                program: [1, 7],
                user: 1000,
                phase: later,
                ..PacketMeta::UNKNOWN
            };
            let decision = decided_of(&rules, local);
            assert_eq!(decision.verdict, expected, "{keys:?}, {later}");
        }
    }
    // What can't match whatever comes out does not stand in the way of the default.
    for keys in [
        "user='alice'\ninterface='eth0'",
        "direction='in'\nsource='192.0.2.1'",
    ] {
        let local = PacketMeta {
            user: 1001,
            phase: PacketMeta::CONNECT,
            ..PacketMeta::UNKNOWN
        };
        let decision = decided_of(&block(keys), local);
        assert_eq!(
            (decision.rule, decision.reason),
            (NO_RULE, Reason::Default as u8),
            "{keys:?}"
        );
    }
}

#[test]
fn who_is_not_known_matches_no_rule_that_asks_who_it_is() {
    let rules = good(
        "[[rule]]\nid='u'\naction='block'\nuser=['alice', 4294967294]\n\
         [[rule]]\nid='p'\naction='block'\nprogram='/usr/bin/curl'\n\
         [[rule]]\nid='i'\naction='block'\ninterface='eth0'\n",
    );
    let unknown = PacketMeta::UNKNOWN;
    assert_eq!(judged_of(&rules, unknown), NO_RULE);
    for (user, rule) in [(1000, 0), (1001, NO_RULE), (NO_USER - 1, 0), (0, NO_RULE)] {
        assert_eq!(judged_of(&rules, PacketMeta { user, ..unknown }), rule);
    }
    assert_eq!(
        judged_of(
            &rules,
            PacketMeta {
                program: [1, 7],
                ..unknown
            }
        ),
        1
    );
    assert_eq!(
        judged_of(
            &rules,
            PacketMeta {
                program: [2, 7],
                ..unknown
            }
        ),
        NO_RULE
    );
    assert_eq!(
        judged_of(
            &rules,
            PacketMeta {
                interface: name_words("eth0").unwrap(),
                ..unknown
            }
        ),
        2
    );
    assert_eq!(
        judged_of(
            &rules,
            PacketMeta {
                interface: name_words("eth00").unwrap(),
                ..unknown
            }
        ),
        NO_RULE
    );
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

#[test]
fn devices_are_asked_for_by_how_their_names_begin() {
    let rules = good(
        "[[rule]]\nid='p'\naction='block'\ninterface=['veth*', 'br-*', 'eth0']\n\
         [[rule]]\nid='never'\naction='allow'\ninterface='veth1'\n",
    );
    let [warning] = rules.warnings() else {
        panic!("{:?}", rules.warnings())
    };
    assert!(warning.message.starts_with("rule `never` can never match"));
    for (name, rule) in [
        ("veth0a1b2c3", 0),
        ("veth", 0),
        ("br-d41d8cd98f00", 0),
        ("eth0", 0),
        ("eth01", NO_RULE),
        ("vet", NO_RULE),
        ("veti", NO_RULE),
        ("br0", NO_RULE),
        ("", NO_RULE),
    ] {
        let interface = name_words(name).unwrap();
        let local = PacketMeta {
            interface,
            ..PacketMeta::UNKNOWN
        };
        assert_eq!(judged_of(&rules, local), rule, "{name}");
    }
}

#[test]
fn what_has_no_program_can_be_asked_for() {
    let mut rules = good(
        "[[rule]]\nid='k'\naction='block'\nprogram='kernel'\n\
         [[rule]]\nid='u'\naction='block'\nprogram=['unknown', '/usr/bin/curl']\n",
    );
    assert_eq!(rules.warnings(), []);
    for looked_again in [false, true] {
        let of = |program| {
            let local = PacketMeta {
                program,
                ..PacketMeta::UNKNOWN
            };
            judged_of(&rules, local)
        };
        let found = [
            PacketMeta::KERNEL,
            PacketMeta::UNKNOWN.program,
            [1, 7],
            [1, 8],
        ]
        .map(of);
        assert_eq!(found, [0, 1, 1, NO_RULE]);
        if !looked_again {
            assert_eq!(rules.look_again(&here()), Ok(false));
        }
    }
}

#[test]
fn a_path_with_blanks_is_a_path() {
    let rules = good("[[rule]]\nid='p'\naction='block'\nprogram='/opt/My App/app'\n");
    assert_eq!(rules.warnings().len(), 1);
}

#[test]
fn a_program_that_comes_or_is_replaced_is_matched_once_it_was_looked_for() {
    let text = format!("{DEFAULTS}[[rule]]\nid='p'\naction='block'\nprogram='/opt/new'\n");
    let mut rules = parse("rules.toml", &text, &here()).unwrap();
    let new = PacketMeta {
        program: [1, 99],
        ..PacketMeta::UNKNOWN
    };
    assert_eq!(judged_of(&rules, new), NO_RULE);
    assert_eq!(rules.look_again(&here()), Ok(false));
    assert_eq!(
        rules.look_again(&here().program("/opt/new", [1, 99])),
        Ok(true)
    );
    assert_eq!(judged_of(&rules, new), 0);
    assert_eq!(rules.look_again(&here()), Ok(true));
    assert_eq!(judged_of(&rules, new), NO_RULE);
}

#[test]
fn tables_share_their_sets_by_content() {
    let rule = |rest: &str| {
        let set = "[[set]]\nid='s'\naddresses=['192.0.2.0/24', '::1']\n[[rule]]\nid='a'\naction='block'\nsource='@s'\n";
        good(&format!("{set}{rest}")).compile(1)
    };
    let (one, other) = (
        rule(""),
        rule("[[rule]]\nid='b'\naction='block'\ndestination='@s'\n"),
    );
    let (one_sets, other_sets) = (one.sets.clone().unwrap(), other.sets.unwrap());
    assert_eq!(
        (one_sets.content, &one_sets.pages),
        (other_sets.content, &other_sets.pages)
    );
    let more = good(
        "[[set]]\nid='s'\naddresses='192.0.2.0/23'\n[[rule]]\nid='a'\naction='block'\nsource='@s'\n",
    );
    assert_ne!(one_sets.content, more.compile(1).sets.unwrap().content);
    let mut one = one;
    one.place_sets(5);
    assert_eq!(one.head().sets, 5);
    // A set that only a disabled rule asks for costs no packet anything.
    let off = good(
        "[[set]]\nid='s'\naddresses='::1'\n[[rule]]\nid='a'\naction='block'\nsource='@s'\nenabled=false\n",
    );
    assert_eq!(off.compile(1).sets, None);
}

/// A file of so many rules, each for a port and an address of its own.
fn many(count: u32) -> String {
    let rule = |n: u32| {
        format!(
            "[[rule]]\nid='r{n}'\naction='block'\nprotocol='tcp'\nports={}\nsource='10.{}.{}.0/24'\n",
            n + 1,
            n >> 8,
            n & 255
        )
    };
    let rules: Vec<String> = (0..count).map(rule).collect();
    format!("{DEFAULTS}{}", rules.concat())
}

#[test]
fn as_many_rules_as_there_may_be_are_taken_and_one_more_is_refused_where_it_stands() {
    let rules = parse("rules.toml", &many(MAX_RULES), &here()).unwrap();
    let last = MAX_RULES - 1;
    let mut packet = [0; 40];
    packet[..20].copy_from_slice(&[
        0x45,
        0,
        0,
        40,
        0,
        0,
        0,
        0,
        64,
        6,
        0,
        0,
        10,
        (last >> 8) as u8,
        last as u8,
        1,
        1,
        1,
        1,
        1,
    ]);
    packet[22..24].copy_from_slice(&(last as u16 + 1).to_be_bytes());
    packet[32] = 0x50;
    let parsed = engine::parse(&packet[..], 40, Direction::Inbound);
    assert_eq!(
        engine::classify(&parsed, &PacketMeta::UNKNOWN, &rules.compile(1).slices()).rule,
        last
    );
    assert_eq!(rules.warnings(), []);
    let said = errors(&many(MAX_RULES + 1));
    let line = 4 + 6 * MAX_RULES + 1;
    assert_eq!(
        said,
        format!(
            "rules.toml:{line}:4: there are 16,129 rules, and 16,128 is the most; a rule may list many addresses and \
             ports, or a set"
        )
    );
}

#[test]
fn a_table_that_is_too_large_says_what_takes_the_room() {
    // Spans that overlap in another order at each end: wherever one begins or ends, other rules are left than anywhere else.
    const COUNT: u32 = 8400;
    let rule = |n: u32| {
        let [a, b, c, d] = [1, 11, 13, 17].map(|step| n * step % COUNT);
        let v4 = |at: u32| {
            let [first, last] =
                [at, at + COUNT].map(|at| std::net::Ipv4Addr::from_bits(10 << 24 | at));
            format!("'{first}-{last}'")
        };
        let v6 = |at: u32| format!("'2001:db8::{at:x}-2001:db8::{:x}'", at + COUNT);
        let (from, to) = (
            format!("{},{}", v4(a), v6(b)),
            format!("{},{}", v4(c), v6(d)),
        );
        format!("[[rule]]\nid='r{n}'\naction='block'\nsource=[{from}]\ndestination=[{to}]\n")
    };
    let text = format!("{DEFAULTS}{}", (0..COUNT).map(rule).collect::<String>());
    let said = errors(&text);
    assert!(
        said.starts_with("rules.toml:1:1: these rules need more than 65,536 pages of memory"),
        "{said}"
    );
    assert!(
        said.contains("what takes them: IPv6 sources (16,990), IPv4 sources (16,868);"),
        "{said}"
    );
}
