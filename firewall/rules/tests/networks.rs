//! Networks in rule files: their presence, and the rules that are on for them.
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use engine::{Parsed, Shape, classify};
use firewall_abi::packet::{Direction, PacketHeaders, PacketMeta, Verdict};
use rules::{
    ActiveConnection, DefaultRoute, Effect, GatewayHardware, HardwareAddress, NoResolver, Presence,
    Rules, SignKind, WirelessNetwork, as_if,
};

const NETWORKS: &str = "[default]\ninbound = 'block'\noutbound = 'block'\n\
    [[network]]\nid = 'home'\ninterface = ['eth0', 'wlan*']\ngateway = '192.0.2.1'\ngateway_hardware = '02:00:00:00:00:01'\n\
    [[network]]\nid = 'office'\ngateway = ['198.51.100.0/24', '2001:db8::1']\n\
    [[network]]\nid = 'tunnel'\ninterface = 'wg0'\n";

fn parse(rules: &str) -> Result<Rules, String> {
    let text = format!("{NETWORKS}{rules}");
    rules::parse("r", &text, &NoResolver).map_err(|errors| errors.to_string())
}

fn rule(id: &str, action: &str, network: &str) -> String {
    format!("[[rule]]\nid = '{id}'\naction = '{action}'\ndirection = 'in'\nnetwork = {network}\n")
}

fn route(device: &str, gateway: Option<&str>, hardware: Option<u8>) -> DefaultRoute {
    DefaultRoute {
        device: device.to_owned(),
        index: 2,
        gateway: gateway.map(|gateway| gateway.parse().unwrap()),
        wireless: WirelessNetwork::None,
        connection: ActiveConnection::None,
        hardware: hardware.map_or(GatewayHardware::Unknown, |last| {
            GatewayHardware::Is(HardwareAddress([2, 0, 0, 0, 0, last]))
        }),
    }
}

/// Returns the presence of each network with these routes.
fn seen(rules: &Rules, routes: &[DefaultRoute]) -> Vec<Presence> {
    rules
        .networks()
        .map(|network| network.seen(routes).presence)
        .collect()
}

fn on(rules: &Rules) -> Vec<&str> {
    let on = rules.iter().filter(|rule| rule.is_on());
    on.map(|rule| rule.id.as_str()).collect()
}

#[test]
fn a_network_is_there_while_one_default_route_has_all_that_it_asks_for() {
    use Presence::{Away, There, Unknown};
    let rules = parse(&rule("a", "allow", "['home', 'office', 'tunnel']")).unwrap();
    let home = Some("192.0.2.1");
    for (routes, expected) in [
        (vec![route("wlan1", home, Some(1))], [There, Away, Away]),
        (vec![route("eth0", home, Some(1))], [There, Away, Away]),
        (vec![route("eth1", home, Some(1))], [Away, Away, Away]),
        (vec![route("wlan0", home, Some(2))], [Away, Away, Away]),
        (vec![route("wlan0", home, None)], [Unknown, Away, Away]),
        (
            vec![route("wlan0", Some("192.0.2.2"), Some(1))],
            [Away, Away, Away],
        ),
        (
            vec![route("ppp0", Some("198.51.100.77"), None)],
            [Away, There, Away],
        ),
        (
            vec![route("ppp0", Some("2001:db8::1"), None)],
            [Away, There, Away],
        ),
        (vec![route("wg0", None, None)], [Away, Away, There]),
        // What one route has and the other does not is had by none.
        (
            vec![
                route("wlan0", Some("192.0.2.9"), Some(1)),
                route("eth1", home, Some(1)),
            ],
            [Away, Away, Away],
        ),
        (
            vec![route("wg0", None, None), route("wlan0", home, Some(1))],
            [There, Away, There],
        ),
        (
            vec![route("wlan0", home, Some(2)), route("wlan1", home, None)],
            [Unknown, Away, Away],
        ),
        (vec![], [Unknown, Unknown, Unknown]),
    ] {
        assert_eq!(seen(&rules, &routes), expected, "{routes:?}");
    }
    let signs = |routes: &[DefaultRoute]| {
        let network = rules.networks().next().unwrap();
        let signs = network.seen(routes).signs.into_iter();
        let kinds: Vec<_> = signs
            .map(|sign| (sign.kind, sign.asked.join(", ")))
            .collect();
        kinds
    };
    let other = "02:00:00:00:00:01".to_owned();
    for (routes, kind, asked) in [
        (
            vec![route("wlan0", home, Some(1))],
            SignKind::Hardware,
            String::new(),
        ),
        (
            vec![route("wlan0", home, Some(2))],
            SignKind::OtherHardware,
            other,
        ),
        (
            vec![route("ppp0", home, None)],
            SignKind::OtherDevice,
            "eth0, wlan*".to_owned(),
        ),
        (
            vec![route("wlan0", home, None)],
            SignKind::UnknownHardware,
            String::new(),
        ),
        (vec![], SignKind::NoRoute, String::new()),
    ] {
        assert_eq!(signs(&routes), [(kind, asked)], "{routes:?}");
    }
    // It is not waited for what there can't be.
    let mut tunnel = route("wlan0", home, None);
    tunnel.hardware = GatewayHardware::None;
    assert_eq!(seen(&rules, std::slice::from_ref(&tunnel))[0], Away);
    assert_eq!(signs(&[tunnel]), [(SignKind::NoHardware, String::new())]);
}

#[test]
fn a_network_is_there_by_its_wireless_networks_name_to_the_letter_and_by_all_else_that_it_asks_for()
{
    use Presence::{Away, There, Unknown};
    let file = |key: &str| {
        format!(
            "[default]\ninbound = 'block'\noutbound = 'block'\n[[network]]\nid = 'flat'\n{key}\n{}",
            rule("a", "allow", "'flat'")
        )
    };
    let read = |key: &str| rules::parse("r", &file(key), &NoResolver);
    let rules = read("ssid = ['our flat', 'Café']\ngateway = '192.0.2.1'").unwrap();
    let by = |wireless: WirelessNetwork, gateway: &str| {
        let route = DefaultRoute {
            wireless,
            ..route("wlan0", Some(gateway), None)
        };
        let network = rules.networks().next().unwrap();
        let seen = network.seen(&[route]);
        let kinds: Vec<_> = seen.signs.iter().map(|sign| sign.kind).collect();
        (seen.presence, kinds)
    };
    let named = |name: &[u8]| WirelessNetwork::In(name.to_owned());
    let home = "192.0.2.1";
    for name in ["our flat", "Café"] {
        let seen = by(named(name.as_bytes()), home);
        assert_eq!(
            seen,
            (There, vec![SignKind::Ssid, SignKind::Gateway]),
            "{name}"
        );
    }
    for name in [
        &b"our flat "[..],
        b"Our flat",
        b"our fla\xff",
        b"our flat\0",
    ] {
        assert_eq!(by(named(name), home), (Away, vec![SignKind::OtherSsid]));
    }
    let elsewhere = by(named(b"our flat"), "192.0.2.2");
    assert_eq!(elsewhere, (Away, vec![SignKind::OtherGateway]));
    assert_eq!(
        by(WirelessNetwork::None, home),
        (Away, vec![SignKind::NoSsid])
    );
    let unknown = by(WirelessNetwork::Unknown, home);
    assert_eq!(unknown, (Unknown, vec![SignKind::UnknownSsid]));
    assert!(read("ssid = 'x'").is_ok());
    for wrong in [
        "ssid = ''",
        "ssid = 7",
        &format!("ssid = '{}'", "é".repeat(17)),
    ] {
        assert!(read(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_network_is_there_by_networkmanagers_connection_by_its_name_or_its_uuid_and_by_all_else_that_it_asks_for()
 {
    use Presence::{Away, There, Unknown};
    const UUID: &str = "24350f96-ff2c-4807-9da7-5d772d9f215f";
    let read = |key: &str| {
        let text = format!(
            "[default]\ninbound = 'block'\noutbound = 'block'\n[[network]]\nid = 'flat'\n{key}\n{}",
            rule("a", "allow", "'flat'")
        );
        rules::parse("r", &text, &NoResolver)
    };
    let by = |key: &str, connection: ActiveConnection, gateway: &str| {
        let rules = read(&format!("connection = {key}\ngateway = '192.0.2.1'")).unwrap();
        let route = DefaultRoute {
            connection,
            ..route("wlan0", Some(gateway), None)
        };
        let seen = rules.networks().next().unwrap().seen(&[route]);
        let kinds: Vec<_> = seen.signs.iter().map(|sign| sign.kind).collect();
        (seen.presence, kinds)
    };
    let of = |uuid: &str, name: Option<&str>| ActiveConnection::Is {
        uuid: uuid.to_owned(),
        name: name.map(str::to_owned),
    };
    let home = "192.0.2.1";
    let there = (There, vec![SignKind::Connection, SignKind::Gateway]);
    let other = (Away, vec![SignKind::OtherConnection]);
    let uuid = format!("'{}'", UUID.to_uppercase());
    assert_eq!(by("'Home'", of(UUID, Some("Home")), home), there);
    assert_eq!(by("['x', 'Home']", of(UUID, Some("Home")), home), there);
    assert_eq!(by(&uuid, of(UUID, None), home), there);
    assert_eq!(by("'Home'", of(UUID, Some("home")), home), other);
    // Anybody who may add a connection gives it a name: one that is a UUID is not taken for it.
    let imitated = of("aa808ac0-e870-4bc8-8a1a-65f4b5e8d547", Some(UUID));
    assert_eq!(by(&format!("'{UUID}'"), imitated, home), other);
    let elsewhere = by("'Home'", of(UUID, Some("Home")), "192.0.2.2");
    assert_eq!(elsewhere, (Away, vec![SignKind::OtherGateway]));

    let none = by("'Home'", ActiveConnection::None, home);
    assert_eq!(none, (Away, vec![SignKind::NoConnection]));
    for (connection, kind) in [
        (of(UUID, None), SignKind::UnnamedConnection),
        (ActiveConnection::Unknown, SignKind::UnknownConnection),
        (ActiveConnection::NoManager, SignKind::NoManager),
    ] {
        let seen = by("'Home'", connection.clone(), home);
        assert_eq!(seen, (Unknown, vec![kind]));
        // The rest settles that it is another network.
        let seen = by("'Home'", connection, "192.0.2.2");
        assert_eq!(seen, (Away, vec![SignKind::OtherGateway]));
    }
    assert!(read("connection = 'x'").is_ok());
    for wrong in [
        "connection = ''",
        "connection = 7",
        &format!("connection = '{}'", "é".repeat(128)),
    ] {
        assert!(read(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn what_is_not_known_of_a_network_opens_nothing() {
    use Presence::{Away, There, Unknown};
    let text: String = [
        ("allow-home", "allow", "'home'"),
        ("block-home", "block", "'home'"),
        ("ask-home", "ask", "'home'"),
        ("ask-not-home", "ask", "'!home'"),
        ("allow-not-home", "allow", "'!home'"),
        ("block-not-home", "block", "'!home'"),
        ("reject-not-home", "reject", "'!home'"),
        ("allow-either", "allow", "['home', 'office']"),
        ("allow-neither", "allow", "['!home', '!office']"),
        ("block-neither", "block", "['!home', '!office']"),
    ]
    .iter()
    .map(|(id, action, network)| rule(id, action, network))
    .collect();
    let mut rules = parse(&text).unwrap();
    let unknown = [
        "block-home",
        "ask-home",
        "ask-not-home",
        "block-not-home",
        "reject-not-home",
        "block-neither",
    ];
    // Before anybody says where the machine is.
    assert_eq!(on(&rules), unknown);
    let at_home = ["allow-home", "block-home", "ask-home", "allow-either"];
    let away = [
        "ask-not-home",
        "allow-not-home",
        "block-not-home",
        "reject-not-home",
        "allow-neither",
        "block-neither",
    ];
    for ([home, office], expected) in [
        ([There, Away], &at_home[..]),
        ([There, There], &at_home),
        ([There, Unknown], &at_home),
        ([Away, Away], &away),
        (
            [Away, There],
            &[
                "ask-not-home",
                "allow-not-home",
                "block-not-home",
                "reject-not-home",
                "allow-either",
            ],
        ),
        (
            [Away, Unknown],
            &[
                "ask-not-home",
                "allow-not-home",
                "block-not-home",
                "reject-not-home",
                "block-neither",
            ],
        ),
        ([Unknown, Unknown], &unknown),
    ] {
        let put = rules.put_at(|network| match network.id.as_str() {
            "home" => home,
            "office" => office,
            _ => Unknown,
        });
        put.unwrap();
        assert_eq!(on(&rules), expected, "{home:?} {office:?}");
        let named = rules.network_rules();
        let effects = named.effects(&[home, office, Unknown]);
        assert!(rules.iter().map(|rule| rule.effect).eq(effects));
        for rule in rules.iter().filter(|rule| rule.is_on()) {
            let asks_in_doubt = rule.action == Verdict::Ask && home == Unknown;
            let verdict = if asks_in_doubt {
                Verdict::Block
            } else {
                rule.action
            };
            assert_eq!(rule.verdict(), verdict, "{}: {home:?}", rule.id);
        }
        assert_eq!(rules.asks(), home != Unknown);
    }
}

#[test]
fn a_rule_that_asks_a_person_blocks_while_its_network_is_not_known_whatever_is_to_become_of_what_nobody_answers()
 {
    let asks = rule("ask", "ask", "'home'") + "unanswered = 'allow'\n";
    let below = "[[rule]]\nid = 'below'\naction = 'allow'\ndirection = 'in'\n";
    let mut rules = parse(&(asks + below)).unwrap();
    let flow = PacketHeaders {
        direction: Direction::Inbound as u8,
        ip_version: 4,
        protocol: 17,
        ..PacketHeaders::default()
    };
    let packet = Parsed {
        flow,
        shape: Shape::Whole,
    };
    let decided = |rules: &Rules| {
        let decision = classify(&packet, &PacketMeta::UNKNOWN, &rules.compile(1).slices());
        (decision.verdict, decision.rule)
    };
    // A person could answer, and nobody would: both may open. So may the rule behind it.
    assert_eq!(decided(&rules), (Verdict::Block as u8, 0));
    assert_eq!(rules.rule(0).unwrap().effect, Effect::Blocks);
    rules.put_at(|_| Presence::There).unwrap();
    assert_eq!(decided(&rules), (Verdict::Ask as u8, 0));
    rules.put_at(|_| Presence::Unknown).unwrap();
    assert_eq!(decided(&rules), (Verdict::Block as u8, 0));
    rules.put_at(|_| Presence::Away).unwrap();
    assert_eq!(decided(&rules), (Verdict::Allow as u8, 1));
}

#[test]
fn only_rules_that_are_on_are_in_the_tables_and_what_is_kept_is_on_the_safe_side() {
    let text = rule("shares", "allow", "'home'") + &rule("no-ssh", "block", "'!home'");
    let mut rules = parse(&text).unwrap();
    let unknown = rules.compile(3).pages;
    rules.put_at(|_| Presence::There).unwrap();
    let home = rules.compile(3).pages;
    assert!(home != unknown);
    assert!(rules.compile_for_anywhere(3).unwrap().pages == unknown);
    rules.put_at(|_| Presence::Away).unwrap();
    assert!(
        rules.compile(3).pages == unknown,
        "as much is on as where nothing is known"
    );
    assert_eq!(rules.presences(), [Presence::Away; 3]);
}

#[test]
fn what_is_wrong_with_a_network_is_said_in_its_place_with_what_would_be_right() {
    for (text, place, wrong) in [
        (
            "network = 'hone'",
            "r:18:11",
            "there is no network `hone`; did you mean `home`?",
        ),
        (
            "network = ['home', '!ofice']",
            "r:18:20",
            "there is no network `ofice`; did you mean `office`?",
        ),
        (
            "network = ['home', '!office']",
            "r:18:11",
            "not both; make it two rules",
        ),
        ("network = []", "r:18:11", "this list is empty"),
        ("network = 7", "r:18:11", "not text"),
        (
            "[[network]]\nid = 'x'",
            "r:18:1",
            "nothing is said by which this network is known",
        ),
        (
            "[[network]]\nid = 'home'\ngateway = '::1'",
            "r:19:6",
            "is called `home` too",
        ),
        (
            "[[network]]\nid = '!x'\ngateway = '::1'",
            "r:19:6",
            "choose another name",
        ),
        (
            "[[network]]\nid = 'a,b'\ngateway = '::1'",
            "r:19:6",
            "choose another name",
        ),
        (
            "[[network]]\nid = 'none'\ngateway = '::1'",
            "r:19:6",
            "stands for no network in particular",
        ),
        (
            "[[network]]\nid = 'x'\ngateway = 'router'",
            "r:20:11",
            "`gateway`",
        ),
        (
            "[[network]]\nid = 'x'\ninterface = '@guests'",
            "r:20:13",
            "no device that a default route goes by",
        ),
        (
            "[[network]]\nid = 'x'\ngateway_hardware = '02:00:00:00:00'",
            "r:20:20",
            "no hardware address",
        ),
        (
            "[[network]]\nid = 'x'\ngateway_hardware = '+2:00:00:00:00:01'",
            "r:20:20",
            "no hardware address",
        ),
        (
            "[[network]]\nid = 'x'\ngateway_hardware = '02:00:00:00:00:01:02'",
            "r:20:20",
            "no hardware address",
        ),
        (
            "[[network]]\nid = 'x'\nbssid = 'cafe'",
            "r:20:1",
            "unknown key `bssid`",
        ),
    ] {
        let rule = "[[rule]]\nid = 'a'\naction = 'allow'\n";
        let said = parse(&format!("{rule}{text}\n")).unwrap_err();
        let is_said = said
            .lines()
            .any(|line| line.starts_with(place) && line.contains(wrong));
        assert!(is_said, "{text}: {said}");
    }
    let none = "[default]\ninbound = 'block'\noutbound = 'block'\n[[rule]]\nid = 'a'\naction = 'allow'\nnetwork = 'home'\n";
    let said = rules::parse("r", none, &NoResolver)
        .unwrap_err()
        .to_string();
    assert!(
        said.contains("add [[network]] with id = \"home\""),
        "{said}"
    );
}

#[test]
fn a_rule_that_is_off_in_some_networks_covers_none_but_those_of_the_same() {
    let warnings = |rules: &str| {
        let rules = parse(rules).unwrap();
        let found = rules
            .warnings()
            .iter()
            .map(|finding| finding.message.clone());
        found
            .filter(|message| message.contains("never match"))
            .count()
    };
    let plain = "[[rule]]\nid = 'b'\naction = 'allow'\ndirection = 'in'\n";
    assert_eq!(warnings(&(rule("a", "block", "'home'") + plain)), 0);
    assert_eq!(
        warnings(&(rule("a", "block", "'home'") + &rule("b", "block", "'!home'"))),
        0
    );
    assert_eq!(
        warnings(&(rule("a", "block", "'home'") + &rule("b", "block", "'home'"))),
        1
    );
    // While it is not known whether home is there, the one that allows is off and the other decides.
    assert_eq!(
        warnings(&(rule("a", "allow", "'home'") + &rule("b", "block", "'home'"))),
        0
    );
    let first = plain.replace("'b'", "'c'");
    assert_eq!(warnings(&(first + &rule("b", "block", "'home'"))), 1);
    let unasked = parse(&rule("a", "block", "'home'")).unwrap();
    let unasked: Vec<_> = unasked
        .warnings()
        .iter()
        .map(|finding| &finding.message)
        .collect();
    assert_eq!(unasked.len(), 2, "{unasked:?}");
    assert!(unasked[0].contains("no rule asks for the network `office`"));
}

#[test]
fn the_laptop_example_shares_at_home_alone() {
    let text = include_str!("../examples/laptop.toml");
    let mut rules = rules::parse("laptop.toml", text, &NoResolver).unwrap();
    assert_eq!(rules.warnings(), []);
    let mut on_at = |routes: &[DefaultRoute]| {
        rules
            .put_at(|network| network.seen(routes).presence)
            .unwrap();
        let on = on(&rules).into_iter().map(str::to_owned);
        on.filter(|id| !["dhcp", "ipv6-works"].contains(&id.as_str()))
            .collect::<Vec<_>>()
    };
    let mut home = route("wlan0", Some("192.168.1.1"), None);
    home.hardware = GatewayHardware::Is("02-00-5E-10-00-01".parse().unwrap());
    assert_eq!(on_at(&[home]), ["shares", "printers-and-players"]);
    let office = route("enx0123456789ab", Some("2001:db8:77::1"), None);
    assert_eq!(on_at(&[office]), ["printers-and-players"]);
    let cafe = route("wlan0", Some("192.168.1.1"), Some(9));
    assert_eq!(on_at(&[cafe]), ["no-shares-of-strangers"]);
    assert_eq!(on_at(&[]), ["no-shares-of-strangers"]);
}

#[test]
fn where_to_judge_is_said_by_names_that_the_file_has() {
    use Presence::{Away, There, Unknown};
    let rules = parse(&rule("a", "allow", "['home', 'office', 'tunnel']")).unwrap();
    let told = |names: &[&str]| {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let told = as_if(&names, &rules.network_rules().networks)?;
        Ok::<_, String>(
            told.into_iter()
                .map(|(_, presence)| presence)
                .collect::<Vec<_>>(),
        )
    };
    assert_eq!(told(&["office"]), Ok(vec![Away, There, Away]));
    assert_eq!(told(&["office", "home"]), Ok(vec![There, There, Away]));
    assert_eq!(told(&["none"]), Ok(vec![Away; 3]));
    assert_eq!(told(&["unknown"]), Ok(vec![Unknown; 3]));
    assert!(
        told(&["hone"])
            .unwrap_err()
            .contains("did you mean `home`?")
    );
}
