//! `gatebell networks`: which of the rules' networks is there, and by what that is known.

use super::connect;
use crate::Error;
use crate::arguments::AskArguments;
use crate::style;
use control::Networks;
use rules::{Presence, clean};
use std::io::Write;
use view::status;

/// Text below the command's help.
pub const HELP: &str = "\
Exit codes:
  0  it is known of each network whether it is there
  1  of one it is not known: rules that ask for it are on their safe side; or there is no service
  2  the command line is wrong";

/// Says where the machine is; 1 if that is not known of a network.
pub fn networks(arguments: &AskArguments, out: &mut dyn Write) -> Result<u8, Error> {
    let networks = connect(&arguments.socket)?.networks()?;
    if arguments.json {
        writeln!(out, "{}", serde_json::json!(networks))?;
    } else {
        print(&networks, out)?;
    }
    let unknown = Presence::Unknown.name();
    let mut told = networks.networks.iter();
    Ok(u8::from(told.any(|network| network.presence == unknown)))
}

fn print(networks: &Networks, out: &mut dyn Write) -> Result<(), Error> {
    let (strong, faint) = (style::STRONG, style::FAINT);
    if networks.networks.is_empty() {
        writeln!(out, "The rules in force name no network.")?;
    }
    for network in &networks.networks {
        let line = clean(&status::network(network));
        let (name, rest) = line.split_once(':').unwrap_or((&line, ""));
        writeln!(out, "{strong}{name}{strong:#}:{rest}")?;
    }
    if networks.routes.is_empty() {
        writeln!(out, "{faint}route{faint:#} there is no default route")?;
    }
    for route in &networks.routes {
        let keys = clean(&view::network::route_keys(route).join("  "));
        writeln!(out, "{faint}route{faint:#} {keys}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

    use super::*;
    use control::{NetworkSign, NetworkStatus, RouteStatus};

    #[test]
    fn each_network_is_said_with_its_reason_and_each_route_as_a_network_asks_for_it() {
        let network = |name: &str, presence: &str, rules: [&[&str]; 3]| {
            let [on, off, blocks] =
                rules.map(|rules| rules.iter().map(|rule| (*rule).to_owned()).collect());
            NetworkStatus {
                name: name.to_owned(),
                presence: presence.to_owned(),
                judged_as: presence.to_owned(),
                why: vec![NetworkSign {
                    kind: "no_route".to_owned(),
                    ..NetworkSign::default()
                }],
                on,
                off,
                blocks,
            }
        };
        let networks = Networks {
            generation: 7,
            networks: vec![
                network("home", "there", [&["a", "b"], &["c"], &[]]),
                network("office: b", "away", [&[], &[], &[]]),
                network("lab", "unknown", [&[], &["d"], &["e", "f"]]),
            ],
            routes: vec![
                RouteStatus {
                    interface: "wlan0".to_owned(),
                    gateway: Some([192, 0, 2, 1].into()),
                    gateway_hardware: Some("02:00:00:00:00:01".to_owned()),
                    ssid: Some("our flat".to_owned()),
                    connection: Some("Home".to_owned()),
                },
                RouteStatus {
                    interface: "tun0".to_owned(),
                    ..RouteStatus::default()
                },
            ],
        };
        let mut shown = Vec::new();
        print(&networks, &mut shown).unwrap();
        let shown = anstream::adapter::strip_str(&String::from_utf8(shown).unwrap()).to_string();
        let lines = [
            "home: there: there is no default route; on: a, b; off: c",
            "office: b: not there: there is no default route",
            "lab: not known: there is no default route; off: d; blocking until it is known: e, f",
            "route interface = \"wlan0\"  ssid = \"our flat\"  connection = \"Home\"  gateway = \"192.0.2.1\"  gateway_hardware = \"02:00:00:00:00:01\"",
            "route interface = \"tun0\"",
        ];
        assert_eq!(shown.lines().collect::<Vec<_>>(), lines);
        let mut none = Vec::new();
        print(&Networks::default(), &mut none).unwrap();
        let none = anstream::adapter::strip_str(&String::from_utf8(none).unwrap()).to_string();
        assert_eq!(
            none,
            "The rules in force name no network.\nroute there is no default route\n"
        );
    }

    #[test]
    fn rules_in_force_are_judged_where_they_are_switched_to_and_not_where_the_machine_has_gone_since()
     {
        let network = |judged_as: &str| NetworkStatus {
            presence: "unknown".to_owned(),
            judged_as: judged_as.to_owned(),
            ..NetworkStatus::default()
        };
        let networks = Networks {
            networks: ["there", "away", "unknown", "?"].map(network).to_vec(),
            ..Networks::default()
        };
        let told: Vec<_> = status::judged_as(&networks.networks)
            .into_iter()
            .map(|(_, presence)| presence)
            .collect();
        let expected = [
            Presence::There,
            Presence::Away,
            Presence::Unknown,
            Presence::Unknown,
        ];
        assert_eq!(told, expected);
    }
}
