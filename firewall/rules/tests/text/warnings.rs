//! Warnings of what is suspicious in a valid text.

use super::*;

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

/// Returns whether the second of two rules gets the warning that it can never match.
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
