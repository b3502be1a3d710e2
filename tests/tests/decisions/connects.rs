//! Tests of connects that are told the decision at once.

use super::*;

#[test]
fn a_refused_connection_fails_at_once_and_is_counted_and_told_once() {
    let mut rules = QUIET.to_owned();
    for (id, action, keys) in [
        (
            "no-telnet",
            "block",
            "direction = \"out\"\nprotocol = \"tcp\"\nports = 23",
        ),
        (
            "by-device",
            "allow",
            "direction = \"out\"\nprotocol = \"tcp\"\nports = 24\ninterface = \"gb*\"",
        ),
        (
            "by-tunnel",
            "allow",
            "direction = \"out\"\nprotocol = \"tcp\"\nports = 80\ninterface = \"wg0\"",
        ),
        (
            "no-web",
            "block",
            "direction = \"out\"\nprotocol = \"tcp\"\nports = [24, 80]",
        ),
        (
            "by-source",
            "block",
            "direction = \"out\"\nprotocol = \"tcp\"\nports = 25\nsource = \"10.77.0.0/24\"",
        ),
    ] {
        rules += &rule(id, action, keys);
    }
    let zone = Protected::with(&rules);
    let mut told = Told::of(&zone, Mask::of(kind::PACKET));
    let before = zone.ask().stats().unwrap();
    let refused = [
        format!("{OUTSIDE}:23"),
        format!("[{OUTSIDE_V6}]:23"),
        format!("[::ffff:{OUTSIDE}]:23"),
    ];
    for (number, to) in refused.iter().enumerate() {
        assert!(
            !Somebody::user(USER).does(&zone, &format!("call {to}"), true),
            "{to}"
        );
        let packet = told.refused(TCP, 23);
        assert_eq!((packet.user, packet.decision.rule), (USER, 1), "{to}");
        assert_eq!(text(&packet.name), "somebody::acts", "{to}");
        assert_eq!(
            packet.headers.ip_version,
            if number == 1 { 6 } else { 4 },
            "{to}"
        );
    }
    // What a rule may decide that asks for a device, or from where, is decided when that is known.
    assert!(Somebody::root().does(&zone, &format!("call {OUTSIDE}:24"), true));
    assert!(!Somebody::root().does(&zone, &format!("connect {OUTSIDE}:80"), false));
    assert!(!Somebody::root().does(&zone, &format!("connect {OUTSIDE}:25"), false));
    // It stays on the machine, and passes unseen.
    for to in [
        format!("{INSIDE}:23"),
        format!("[{INSIDE_V6}]:23"),
        "127.0.0.1:23".into(),
        "127.1.2.3:23".into(),
        "[::1]:23".into(),
        "0.0.0.0:23".into(),
    ] {
        assert!(
            Somebody::root().does(&zone, &format!("call {to}"), true),
            "{to}"
        );
    }
    told.hear(Duration::from_millis(300));
    let again = told
        .kept
        .iter()
        .filter(|(_, packet)| packet.headers.destination_port == 23);
    assert_eq!(again.count(), 0, "told once");
    let hits = zone.ask().hits().unwrap().hits;
    assert_eq!(hits[1], 3, "{hits:?}");
    let after = zone.ask().stats().unwrap();
    assert_eq!(after.refused_connects - before.refused_connects, 3);
    // What was refused as a packet is counted as one.
    let packets = after.blocked_out - before.blocked_out;
    assert_eq!(packets, hits[4] + hits[5], "{hits:?}");
    assert!(hits[4] > 0 && hits[5] > 0, "{hits:?}");
}

#[test]
fn a_connection_is_not_refused_at_once_where_its_first_packet_would_pass() {
    let rules = "[default]\ninbound = \"block\"\noutbound = \"block\"\n".to_owned()
        + &rule(
            "not-him",
            "block",
            &format!("direction = \"out\"\nuser = {USER}"),
        )
        + &rule(
            "web",
            "allow",
            &format!(
                "direction = \"out\"\nprotocol = \"tcp\"\ndestination = \"{OUTSIDE}\"\nports = 80"
            ),
        )
        + &rule("neighbours", "allow", "protocol = \"icmpv6\"");
    let zone = Protected::with(&rules);
    let inside = |program: &str, arguments: &str| {
        let program = program.to_owned();
        let arguments: Vec<String> = arguments.split(' ').map(str::to_owned).collect();
        let status = within(&zone.lab.netns(), move || {
            Command::new(program).args(arguments).status()
        });
        assert!(status.unwrap().success());
    };
    let nft = |what: &str| inside("nft", what);
    let calls = |to: &str| Somebody::root().does(&zone, &format!("call {to}"), true);
    let elsewhere = "10.77.0.40:23";
    assert!(!calls(elsewhere), "refused at once");

    // A table that translates what comes in translates nothing here, and one that filters rewrites nothing.
    nft(
        "table ip to { chain in { type nat hook prerouting priority dstnat; tcp dport 23 dnat to 10.77.0.1:80; }; chain sift { type filter hook output priority filter; }; }",
    );
    assert!(!calls(elsewhere), "refused at once");
    nft("delete table ip to");

    nft(
        "table ip to { chain out { type nat hook output priority -100; ip daddr 10.77.0.40 tcp dport 23 dnat to 10.77.0.1:80; ip daddr 10.77.0.1 tcp dport 80 dnat to 10.77.0.40:23; }; }",
    );
    assert!(calls(elsewhere), "translated to where the rules allow");
    assert!(
        !Somebody::root().does(&zone, &format!("connect {OUTSIDE}:80"), false),
        "translated to where they refuse"
    );
    assert!(
        !Somebody::user(USER).does(&zone, &format!("call {elsewhere}"), true),
        "wherever it is translated to"
    );
    nft("delete table ip to");
    assert!(!calls(elsewhere), "refused at once again");

    nft(
        "table ip to { chain out { type route hook output priority mangle; ip daddr 10.77.0.40 tcp dport set 80 ip daddr set 10.77.0.1; }; chain in { type filter hook input priority 100; ip saddr 10.77.0.1 tcp sport set 23 ip saddr set 10.77.0.40; }; }",
    );
    assert!(calls(elsewhere), "rewritten to where the rules allow");
    nft("delete table ip to");

    assert!(!calls("10.99.0.5:23"), "refused at once");
    inside("ip", "route add local 10.99.0.0/24 dev lo");
    assert!(calls("10.99.0.5:23"), "the machine's own by a route");
}
