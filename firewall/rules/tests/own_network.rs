//! Warnings of rules that would cut a machine off.
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod place;

use place::Place;
use rules::{Joined, Login, OwnNetwork, parse};

/// A machine behind a router of a private network.
fn home() -> OwnNetwork {
    OwnNetwork {
        addresses: vec![
            ("192.168.1.5".parse().unwrap(), "eth0".into()),
            ("fe80::5".parse().unwrap(), "eth0".into()),
        ],
        other_names: vec![("enp0s3".into(), "eth0".into())],
        routers: vec!["192.168.1.1".parse().unwrap()],
        resolvers: vec!["9.9.9.9".parse().unwrap()],
        login: None,
    }
}

fn said(inbound: &str, rules: &str, network: &OwnNetwork) -> Vec<String> {
    let text = format!("[default]\ninbound = '{inbound}'\noutbound = 'allow'\n{rules}");
    let place = Place::default().file("bogons.txt", "10.0.0.0/8\n192.168.0.0/16\n224.0.0.0/3\n");
    let rules = parse("r.toml", &text, &place).unwrap();
    let table = rules.compile(1);
    let found = rules.cut_off("r.toml", (&table, &Joined::default()), network);
    found.iter().map(ToString::to_string).collect()
}

const BOGONS: &str = "[[set]]\nid = 'bogons'\nfile = 'bogons.txt'\n";

#[test]
fn a_list_that_holds_this_machines_own_network_is_warned_of() {
    let from = format!(
        "{BOGONS}[[rule]]\nid = 'r'\naction = 'block'\ndirection = 'in'\nsource = '@bogons'\n"
    );
    assert_eq!(
        said("block", &from, &home()),
        [
            "r.toml:8:1: rule `r` blocks your router 192.168.1.1, which is in the set `bogons`; name it in `except` of the set, \
          or allow it in a rule before"
        ]
    );
    let to = format!(
        "{BOGONS}[[rule]]\nid = 'r'\naction = 'block'\ndirection = 'out'\ndestination = '@bogons'\n"
    );
    let found = said("block", &to, &home());
    for what in [
        "your router 192.168.1.1",
        "the local group 224.0.0.251",
        "the local group 239.255.255.250",
    ] {
        assert!(found.iter().any(|said| said.contains(what)), "{found:#?}");
    }
    assert_eq!(found.len(), 3, "{found:#?}");
    let own = format!("{BOGONS}[[rule]]\nid = 'r'\naction = 'block'\nsource = '@bogons'\n");
    let found = said("block", &own, &home());
    assert!(
        found
            .iter()
            .any(|said| said.contains("this machine's own address 192.168.1.5")),
        "{found:#?}"
    );
}

#[test]
fn what_joins_a_set_and_cuts_this_machine_off_is_warned_of() {
    let text = "[default]\ninbound = 'block'\noutbound = 'allow'\n\
                [[set]]\nid = 'banned'\naddresses = ['198.51.100.7']\n\
                [[rule]]\nid = 'r'\naction = 'block'\ndirection = 'out'\ndestination = '@banned'\n";
    let mut rules = parse("r.toml", text, &Place::default()).unwrap();
    for (joins, warned) in [("192.0.2.7", false), ("192.168.1.1", true)] {
        let joined = rules
            .know_joined([("banned", joins.parse().unwrap())])
            .unwrap();
        let table = rules.compile(1);
        let found = rules.cut_off("r.toml", (&table, &joined), &home());
        let is_warned = found.iter().any(|found| {
            let said = found.to_string();
            said.contains("your router 192.168.1.1, which is in the set `banned`")
        });
        assert_eq!(
            (is_warned, found.len()),
            (warned, usize::from(warned)),
            "{found:?}"
        );
    }
}

#[test]
fn what_is_excepted_or_allowed_before_is_not_warned_of() {
    let rule = "[[rule]]\nid = 'r'\naction = 'block'\nsource = '@bogons'\n";
    let allowed = "[[rule]]\nid = 'lan'\naction = 'allow'\nsource = '192.168.1.0/24'\n";
    for rules in [
        format!("{BOGONS}except = '192.168.1.0/24'\n{rule}"),
        format!("{BOGONS}{allowed}{rule}"),
        format!("{BOGONS}{rule}enabled = false\n"),
        format!("{BOGONS}{rule}interface = 'wg0'\n"),
        format!("{BOGONS}{rule}protocol = 'tcp'\nports = 25\n"),
    ] {
        assert_eq!(said("block", &rules, &home()), [""; 0], "{rules}");
    }
}

#[test]
fn a_rule_that_is_written_for_groups_or_for_no_address_means_it() {
    for rule in [
        "destination = ['224.0.0.0/4', 'ff00::/8']",
        "direction = 'in'\nprotocol = 'udp'",
    ] {
        let rules = format!("[[rule]]\nid = 'r'\naction = 'block'\n{rule}\n");
        assert_eq!(said("block", &rules, &home()), [""; 0], "{rule}");
    }
    let wider = "[[rule]]\nid = 'r'\naction = 'block'\ndestination = ['9.0.0.0/8', 'fe80::/9', '224.0.0.0/3']\n";
    let found = said("block", wider, &home());
    for what in [
        "your resolver 9.9.9.9, which is in 9.0.0.0/8",
        "own address fe80::5",
        "the local group 239.255.255.250",
    ] {
        assert!(found.iter().any(|said| said.contains(what)), "{found:#?}");
    }
}

/// Condition in a warning: the service keeps copies of lists, and may read more than the caller.
const NO_COPY: &str =
    ", as long as the service can't read its set either and has kept no copy of it";

#[test]
fn a_set_that_cannot_be_read_is_warned_of_with_what_it_cuts() {
    let rules = "[[set]]\nid = 's'\nfile = 'gone.txt'\nexcept = '192.168.0.0/16'\n\
                 [[rule]]\nid = 'r'\naction = 'block'\ndirection = 'out'\ndestination = '@s'\n";
    let found = said("block", rules, &home());
    assert!(
        found
            .iter()
            .any(|said| said.contains(&format!("your resolver 9.9.9.9{NO_COPY}; name it"))),
        "{found:#?}"
    );
    assert!(
        found.iter().all(|said| !said.contains("your router")),
        "{found:#?}"
    );
}

#[test]
fn what_a_set_that_cannot_be_read_cuts_off_is_said_to_hold_as_long_as_the_service_has_no_copy_of_it()
 {
    let sets = format!("[[set]]\nid = 's'\nfile = 'gone.txt'\n{BOGONS}");
    let rule = |ends: &str| format!("{sets}[[rule]]\nid = 'r'\naction = 'block'\n{ends}");
    let network = OwnNetwork {
        login: Some(Login {
            from: ("203.0.113.7".parse().unwrap(), 50000),
            to: ("192.168.1.5".parse().unwrap(), 22),
        }),
        ..home()
    };
    let found = said("allow", &rule("source = '@s'\n"), &network);
    let locked_out = format!("from where you are logged in to port 22{NO_COPY}: once");
    assert!(
        found.iter().any(|said| said.contains(&locked_out)),
        "{found:#?}"
    );
    assert!(
        found.iter().all(|said| said.contains(NO_COPY)),
        "{found:#?}"
    );
    // What is known of one end says nothing of the other.
    let found = said(
        "allow",
        &rule("direction = 'out'\nsource = '@s'\ndestination = '@bogons'\n"),
        &network,
    );
    let router = format!("your router 192.168.1.1, which is in the set `bogons`{NO_COPY}; name");
    assert!(
        found.iter().any(|said| said.contains(&router)),
        "{found:#?}"
    );
    // What is surely in another set of the rule's, or listed beside it, is cut off either way.
    for known in ["'@bogons'", "'192.168.1.0/24'"] {
        let ends = format!("direction = 'in'\nsource = ['@s', {known}]\n");
        let found = said("allow", &rule(&ends), &network);
        let router = |said: &&String| said.contains("your router 192.168.1.1, which is in");
        let router = found.iter().find(router).unwrap();
        assert!(!router.contains(NO_COPY), "{router}");
    }
}

#[test]
fn whoever_is_logged_in_is_told_before_being_locked_out() {
    let network = OwnNetwork {
        login: Some(Login {
            from: ("203.0.113.7".parse().unwrap(), 50000),
            to: ("192.168.1.5".parse().unwrap(), 22),
        }),
        ..home()
    };
    let found = said("block", "", &network);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].starts_with(
        "r.toml:1:1: the default for in blocks 203.0.113.7, from where you are logged in to port 22"
    ));
    let ssh =
        "[[rule]]\nid = 'ssh'\naction = 'allow'\ndirection = 'in'\nprotocol = 'tcp'\nports = 22\n";
    assert_eq!(said("block", ssh, &network), [""; 0]);
    let tested = "[[rule]]\nid = 'r'\naction = 'block'\ndirection = 'in'\nprotocol = 'tcp'\n";
    let found = said("allow", tested, &network);
    assert!(
        found[0].starts_with("r.toml:5:1: rule `r` blocks 203.0.113.7"),
        "{found:#?}"
    );
}

#[test]
fn a_rule_or_a_network_for_a_device_by_another_name_of_its_is_warned_of() {
    let said = |word: &str| {
        let text = format!(
            "[default]\ninbound = 'block'\noutbound = 'allow'\n[[network]]\nid = 'n'\ninterface = {word}\n\
             [[rule]]\nid = 'r'\naction = 'block'\ninterface = {word}\n"
        );
        let rules = parse("r.toml", &text, &Place::default()).unwrap();
        let found = rules.misnamed("r.toml", &home());
        found.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let asks = "asks for `enp0s3`, which is another name (altname) of the device `eth0`: nothing comes or goes by that; write `eth0`";
    let expected = [
        format!("r.toml:8:1: rule `r` {asks}"),
        format!("r.toml:5:1: network `n` {asks}"),
    ];
    assert_eq!(said("['wg0', 'enp0s3']"), expected);
    for word in ["'eth0'", "'enp*'", "'enp0s'"] {
        assert!(said(word).is_empty(), "{word}");
    }
}
