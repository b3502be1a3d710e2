//! Errors of a text: all at once, each with its place and what would be right.

use super::*;

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
