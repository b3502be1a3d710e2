//! Tests of the page of the networks.

use super::pages::turned;
use super::*;
use control::{NetworkSign, NetworkStatus};
use egui::{Key, OutputCommand};
use rules::Presence;
use view::example::routes;

/// Label of the button of the route by the wireless network.
const COPY: &str = "Copy the default route interface = \"wlan0\", ssid = \"our flat\", connection = \"Home\", gateway = \"192.0.2.1\", gateway_hardware = \"02:00:5e:10:00:01\" as a network";

const RULES: &str = "[default]\ninbound = 'block'\noutbound = 'allow'\n\n[[rule]]\nid = 'shares'\naction = 'allow'\n\
    network = 'home'\n\n[[rule]]\nid = 'no-mail'\naction = 'block'\nnetwork = ['!home', '!office']\n\n[[rule]]\nid = \
    'asks'\naction = 'ask'\ndirection = 'out'\nnetwork = 'office'\n\n[[network]]\nid = 'home'\ngateway = '192.0.2.1'\ngateway_hardware = \
    '02:00:5e:10:00:01'\ncomment = 'ours'\n\n[[network]]\nid = 'office'\ninterface = ['eth*', 'wlan7']\n";

/// Returns the state of a network as the service says it; of these rules `on`, `off` and `blocks`.
fn network(name: &str, presence: Presence, why: NetworkSign, rules: [&[&str]; 3]) -> NetworkStatus {
    let [on, off, blocks] =
        rules.map(|rules| rules.iter().map(|rule| (*rule).to_owned()).collect());
    NetworkStatus {
        name: name.to_owned(),
        presence: presence.name().to_owned(),
        judged_as: presence.name().to_owned(),
        why: vec![why],
        on,
        off,
        blocks,
    }
}

/// Returns a sign of the route by the wireless network.
fn by_wlan0(kind: &str, asked: &[&str]) -> NetworkSign {
    NetworkSign {
        kind: kind.to_owned(),
        interface: Some("wlan0".to_owned()),
        gateway: Some([192, 0, 2, 1].into()),
        asked: asked.iter().map(|one| (*one).to_owned()).collect(),
        ..NetworkSign::default()
    }
}

/// Returns a window on its page of the networks, on a machine that is at home, and its service.
fn on_networks() -> (Harness<'static, Window>, OverviewModel) {
    let mut window = window();
    let mut service = OverviewModel::with(RULES);
    service.status.lease = None;
    service.routes = routes();
    service.status.networks = vec![
        network(
            "home",
            Presence::There,
            by_wlan0("gateway", &[]),
            [&["shares"], &["no-mail"], &[]],
        ),
        network(
            "office",
            Presence::Away,
            by_wlan0("other_device", &["eth*", "wlan7"]),
            [&[], &["no-mail", "asks"], &[]],
        ),
    ];
    window.state().shown.overview.be_followed();
    window.run_steps(3);
    turned(&mut window, "Networks", &mut service);
    (window, service)
}

fn told(window: &mut Harness<'_, Window>, service: &mut OverviewModel) {
    window.state().shown.overview.turn(service);
    window.run_steps(4);
}

fn copied(window: &Harness<'_, Window>) -> Option<String> {
    let mut commands = window.output().platform_output.commands.iter();
    commands.find_map(|command| match command {
        OutputCommand::CopyText(text) => Some(text.clone()),
        _ => None,
    })
}

#[test]
fn the_networks_are_listed_with_by_what_each_is_known_whether_it_is_there_and_what_is_on_and_off() {
    let (window, _) = on_networks();
    assert_eq!(
        rows(&window),
        [
            "home: there, known by gateway 192.0.2.1; gateway_hardware 02:00:5e:10:00:01, on: shares, off: no-mail, the \
             default route goes by wlan0, gateway 192.0.2.1; ours",
            "office: not there, known by interface eth*, wlan7, on: no rule, off: no-mail, asks, the default route goes by \
             wlan0, not eth*, wlan7",
            "as if in none: There is a default route, and it goes by none of these networks.",
            "as if not known: There is no default route, or its gateway has not been heard from.",
        ]
    );
    assert!(sees(
        &window,
        "interface = \"wlan0\"  ssid = \"our flat\"  connection = \"Home\"  gateway = \"192.0.2.1\"  gateway_hardware = \"02:00:5e:10:00:01\""
    ));
    assert!(sees(&window, "interface = \"tun0\""));
}

#[test]
fn what_the_rules_would_be_in_another_network_is_told_by_keys_alone_and_changes_nothing() {
    let (mut window, _) = on_networks();
    let at_home = "If this machine were in home, and in no other of these networks, every rule would be as it is now.";
    let expected: [(&str, &[&str]); 4] = [
        (at_home, &[]),
        (
            "If this machine were in office, and in no other of these networks:",
            &["shares: on now, off then", "asks: off now, on then"],
        ),
        (
            "If that were so:",
            &["shares: on now, off then", "no-mail: off now, on then"],
        ),
        (
            "What is not known opens nothing: a rule that allows is off, one that asks blocks, any other is on.",
            &[
                "shares: on now, off then",
                "no-mail: off now, on then",
                "asks: off now, blocking then",
            ],
        ),
    ];
    for (words, switched) in expected {
        keys(&mut window, &[Key::ArrowDown]);
        window.run_steps(3);
        assert!(sees(&window, words), "{words}");
        let said: Vec<_> = window
            .query_all_by_label_contains(" now, ")
            .map(|node| node.accesskit_node().value().unwrap().trim().to_owned())
            .collect();
        assert_eq!(said, switched, "{words}");
    }
}

#[test]
fn a_network_that_is_not_known_says_which_rules_block_until_it_is_and_what_the_safe_side_is() {
    let (mut window, mut service) = on_networks();
    service.routes.clear();
    let why = NetworkSign {
        kind: "no_route".to_owned(),
        ..NetworkSign::default()
    };
    service.status.networks = vec![
        network(
            "home",
            Presence::Unknown,
            why.clone(),
            [&["no-mail"], &["shares"], &[]],
        ),
        network(
            "office",
            Presence::Unknown,
            why,
            [&["no-mail"], &[], &["asks"]],
        ),
    ];
    told(&mut window, &mut service);
    assert!(sees(&window, "There is no default route now"));
    assert_eq!(
        rows(&window)[1],
        "office: not known, known by interface eth*, wlan7, on: no-mail, off: no rule, blocking until it is known: asks; \
         there is no default route"
    );
    keys(&mut window, &[Key::ArrowDown, Key::ArrowDown]);
    window.run_steps(3);
    assert!(sees(&window, "What is not known opens nothing"));
    assert!(sees(&window, "asks: blocking now, on then"));
    service.status.networks[1].presence = "there".to_owned();
    told(&mut window, &mut service);
    assert!(!sees(&window, "What is not known opens nothing"));
    assert!(sees(&window, "the rules are not switched yet"));
}

#[test]
fn where_there_is_no_network_the_page_says_how_one_is_written_and_offers_the_one_of_here() {
    let (mut window, mut service) = on_networks();
    service.text = "[default]\ninbound = 'block'\noutbound = 'allow'\n".to_owned();
    service.status.rules.generation += 1;
    service.status.networks.clear();
    told(&mut window, &mut service);
    assert!(rows(&window).is_empty());
    assert!(sees(
        &window,
        "There is no network in /etc/gatebell/rules.toml."
    ));
    let text = "[[network]]\nid = \"home\"\ninterface = \"wlan0\"\nssid = \"our flat\"\nconnection = \"Home\"\ngateway = \"192.0.2.1\"\ngateway_hardware = \
                \"02:00:5e:10:00:01\"\n";
    assert!(sees(&window, text.trim_end()));
    let copy = COPY;
    for _ in 0..20 {
        if window.get_by_label(copy).accesskit_node().is_focused() {
            break;
        }
        keys(&mut window, &[Key::Tab]);
    }
    assert!(window.get_by_label(copy).accesskit_node().is_focused());
    // What is copied is told with the painting of the key's pressing.
    window.key_down(Key::Space);
    window.step();
    assert_eq!(copied(&window).as_deref(), Some(text));
    window.key_up(Key::Space);
    window.step();
    service.routes.clear();
    told(&mut window, &mut service);
    assert!(sees(&window, "There is no default route now"));
}

#[test]
fn the_page_of_the_networks_fits_a_small_window_with_large_text() {
    for size in [egui::vec2(1024.0, 600.0), egui::vec2(512.0, 300.0)] {
        let (mut window, mut service) = on_networks();
        window.set_size(size);
        keys(&mut window, &[Key::ArrowDown, Key::ArrowDown]);
        told(&mut window, &mut service);
        assert!(!rows(&window).is_empty(), "the table has room at {size}");
        for name in ["Networks", "Close", COPY] {
            let place = window.get_by_label(name).rect();
            assert!(
                place.max.x <= size.x && place.max.y <= size.y && place.height() > 8.0,
                "{name} at {size}: {place:?}"
            );
        }
    }
}
