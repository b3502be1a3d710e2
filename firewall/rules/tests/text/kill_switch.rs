//! Warnings of rules that let guests out past those that refuse what the machine itself sends.

use super::*;

const PACKAGED: &str = include_str!("../../../../package/gatebell/rules.toml");

/// A default that blocks, and a way out by a tunnel.
const SWITCH: &str = "[default]\ninbound='block'\noutbound='block'\n\
    [[rule]]\nid='by-the-tunnel'\naction='allow'\ndirection='out'\ninterface='wg0'\n";
/// The rule that lets guests out by any device, as it is packaged.
const GUESTS: &str =
    "[[rule]]\nid='guests-out'\naction='allow'\ndirection='forward'\ninterface='@guests'\n";

/// Returns the warnings of rules of guests' that go past a kill switch.
fn said(text: &str) -> Vec<String> {
    let rules = parse("rules.toml", text, &here()).unwrap();
    let all = rules.warnings().iter();
    let those = all.filter(|warning| warning.message.contains("kill switch"));
    those.map(ToString::to_string).collect()
}

fn rule(id: &str, keys: &str) -> String {
    format!("[[rule]]\nid='{id}'\n{keys}\n")
}

/// Returns rules that let the machine's own packets out or refuse them, in the ways in which people write them.
fn switches() -> Vec<String> {
    let exceptions = [
        "action='allow'\ndirection='out'\nprotocol='udp'\ndestination='192.0.2.1'\nports=51820",
        "action='allow'\ndirection='out'\nprotocol='udp'\nsource_ports=68\nports=67",
        "action='allow'\ndirection='out'\ndestination='192.168.0.0/16'",
        "action='allow'\ndirection='out'\nprogram='/usr/bin/curl'",
        "action='allow'\ndirection='out'\nuser='alice'",
        "action='allow'\ndirection='out'\nprotocol='icmp'",
        "action='allow'\ndirection='out'\ninterface='docker0'",
    ];
    let exceptions: String = exceptions
        .iter()
        .enumerate()
        .map(|(number, keys)| rule(&format!("exception-{number}"), keys))
        .collect();
    let blocked = "[default]\ninbound='block'\noutbound='block'\n";
    let allowed = "[default]\ninbound='block'\noutbound='allow'\n";
    let by_tunnel = "action='allow'\ndirection='out'\ninterface='wg0'";
    vec![
        SWITCH.to_owned(),
        SWITCH.to_owned() + &exceptions,
        SWITCH.replace("outbound='block'", "outbound='reject'"),
        // In no direction: also what comes in by the tunnel.
        SWITCH.replace("direction='out'\n", ""),
        // By a rule in place of the default.
        format!(
            "{allowed}{}{}",
            rule("t", by_tunnel),
            rule("no", "action='block'\ndirection='out'")
        ),
        // Of TCP, and of one version of IP.
        format!(
            "{blocked}{}",
            rule("t", &format!("{by_tunnel}\nprotocol='tcp'\nports=443"))
        ),
        format!(
            "{blocked}{}",
            rule("t", &format!("{by_tunnel}\ndestination='0.0.0.0/0'"))
        ),
        // What is off opens nothing.
        SWITCH.to_owned() + &rule("off", "action='allow'\ndirection='out'\nenabled=false"),
    ]
}

#[test]
fn a_rule_that_lets_guests_past_a_kill_switch_is_a_warning_with_what_to_add() {
    for switch in switches() {
        let warnings = said(&format!("{switch}{GUESTS}"));
        let [warning] = &warnings[..] else {
            panic!("{warnings:?}\n{switch}")
        };
        assert!(
            warning.ends_with(
                "rule `guests-out` lets what it takes leave by any device, and this machine's own packets leave by wg0 alone: what \
                 it lets through goes past this kill switch; add out_interface = \"wg0\""
            ),
            "{warning}"
        );
        let mended = format!("{switch}{GUESTS}out_interface = \"wg0\"\n");
        assert_eq!(said(&mended), [""; 0], "{mended}");
    }
    let line = said(&format!("{SWITCH}{GUESTS}"));
    assert!(line[0].starts_with("rules.toml:10:1: "), "{line:?}");
    // What is packaged, with a kill switch.
    let packaged = PACKAGED.replace("outbound = \"allow\"", "outbound = \"block\"")
        + &rule(
            "t",
            "action='allow'\ndirection='out'\ninterface=['wg0', 'tun*']",
        );
    let warnings = said(&packaged);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].ends_with("leave by tun*, wg0 alone: what it lets through goes past this kill switch; add out_interface = [\"tun*\", \"wg0\"]"));
}

#[test]
fn whatever_lets_guests_out_to_anywhere_by_any_device_is_said() {
    let through = [
        "action='allow'\ndirection='forward'",
        "action='allow'\ndirection='forward'\ninterface=['docker0','wg0']",
        "action='allow'\ndirection='forward'\nsource='172.16.0.0/12'",
        "action='allow'\ndirection='forward'\nprotocol='udp'\nports=53",
        "action='allow'\ndirection='forward'\ndestination=['0.0.0.0/0','::/0']",
    ];
    for keys in through {
        let text = format!("{SWITCH}{}", rule("through", keys));
        assert_eq!(said(&text).len(), 1, "{text}");
    }
    // What is blocked before it is something else.
    for before in [
        "action='block'\ndirection='forward'\nout_interface='eth0'",
        "action='block'\ndirection='forward'\nprotocol='tcp'\nports=25",
        "action='block'\ndirection='forward'\ninterface='docker0'",
        "action='block'\ndirection='out'",
    ] {
        let text = format!("{SWITCH}{}{GUESTS}", rule("before", before));
        assert_eq!(said(&text).len(), 1, "{text}");
    }
    let by_default = SWITCH.replace("outbound=", "forward='allow'\noutbound=");
    let warnings = said(&by_default);
    assert!(
        matches!(&warnings[..], [one] if one.contains("the default for forward") && one.contains("out_interface = \"wg0\"")),
        "{warnings:?}"
    );
}

#[test]
fn a_device_that_is_refused_but_for_a_tunnels_own_packets_is_a_kill_switch_too() {
    let allowed = "[default]\ninbound='block'\noutbound='allow'\n".to_owned();
    let switch = allowed
        + &rule(
            "to-the-tunnels-other-end",
            "action='allow'\ndirection='out'\nprotocol='udp'\ndestination='192.0.2.1'\nports=51820",
        )
        + &rule(
            "nothing-else",
            "action='block'\ndirection='out'\ninterface=['eth0','wlan*']",
        );
    let warnings = said(&format!("{switch}{GUESTS}"));
    let [warning] = &warnings[..] else {
        panic!("{warnings:?}")
    };
    assert!(
        warning.ends_with(
            "this machine's own packets don't leave by eth0, wlan*: what it lets through goes past this kill switch; before it, add a \
             rule with action = \"block\", direction = \"forward\" and out_interface = [\"eth0\", \"wlan*\"]"
        ),
        "{warning}"
    );
    let stop = |devices: &str| {
        rule(
            "stop",
            &format!("action='block'\ndirection='forward'\nout_interface={devices}"),
        )
    };
    assert_eq!(
        said(&format!("{switch}{}{GUESTS}", stop("['eth0','wlan*']"))),
        [""; 0]
    );
    assert_eq!(
        said(&format!("{switch}{}{GUESTS}", stop("'eth0'"))).len(),
        1
    );
}

#[test]
fn what_is_no_kill_switch_is_no_warning() {
    assert_eq!(said(PACKAGED), [""; 0]);
    let (allowed, blocked) = (
        "[default]\ninbound='block'\noutbound='allow'\n",
        "[default]\ninbound='block'\noutbound='block'\n",
    );
    let out = |keys: &str| rule("out", &format!("direction='out'\n{keys}"));
    let none = [
        allowed.to_owned(),
        // Nothing goes out, or what rules name by destination, port, program or user.
        blocked.to_owned(),
        blocked.to_owned() + &out("action='allow'\nprogram='/usr/bin/curl'"),
        blocked.to_owned() + &out("action='allow'\nprogram='/usr/bin/curl'\ninterface='wg0'"),
        blocked.to_owned() + &out("action='allow'\ndestination='192.0.2.0/24'\ninterface='eth0'"),
        // To its guests the machine speaks by their bridges.
        blocked.to_owned() + &out("action='allow'\ninterface='@guests'"),
        blocked.to_owned() + &out("action='allow'\ninterface=['docker0','virbr0','br-*','lo']"),
        // Another device is open to anywhere too.
        format!("{SWITCH}{}", out("action='allow'")),
        format!(
            "{SWITCH}{}",
            out("action='allow'\nprotocol='tcp'\nports=[80,443]")
        ),
        // People are asked.
        SWITCH.replace("outbound='block'", "outbound='ask'"),
        // Something is refused, or a device, or a version of IP.
        allowed.to_owned() + &out("action='block'\nprotocol='udp'\nports=443"),
        allowed.to_owned() + &out("action='block'\ninterface='eth1'\ndestination='198.51.100.9'"),
        allowed.to_owned()
            + &out("action='block'\ninterface='eth1'\nprogram='/usr/bin/curl'\nuser='alice'"),
        allowed.to_owned() + &out("action='block'\ninterface='wwan0'"),
        allowed.to_owned() + &out("action='block'\ndestination='::/0'"),
    ];
    for text in none {
        let text = text + GUESTS;
        assert_eq!(said(&text), [""; 0], "{text}");
    }
    // A kill switch past which nothing leaves.
    let through = |keys: &str| rule("through", &format!("direction='forward'\n{keys}"));
    for keys in [
        "action='allow'\ninterface='@guests'\nout_interface='eth0'",
        "action='allow'\ninterface='wg0'",
        "action='allow'\nprotocol='icmp'",
        "action='allow'\ndestination='172.17.0.2'\nprotocol='tcp'\nports=80\ninterface='eth0'",
        "action='allow'\ninterface='@guests'\nenabled=false",
        "action='block'",
    ] {
        let text = SWITCH.to_owned() + &through(keys);
        assert_eq!(said(&text), [""; 0], "{text}");
    }
    for before in ["", "interface='@guests'"] {
        let stop = rule(
            "stop",
            &format!("action='block'\ndirection='forward'\n{before}"),
        );
        let text = format!("{SWITCH}{stop}{GUESTS}");
        assert_eq!(said(&text), [""; 0], "{text}");
    }
}
