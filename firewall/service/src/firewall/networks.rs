//! Rules that are on in some networks alone: followed as the machine goes from one to another.

use super::Firewall;
use crate::keeper::KeptLists;
use crate::rulebook::{PlacedNetworks, Renewal, Renewed};
use crate::surroundings::Surroundings;
use crate::troubles::Cause;
use anyhow::Context;
use control::{NetworkSign, NetworkStatus, Networks, RouteStatus};
use rules::{Effect, Network, Presence, Sign, WirelessNetwork};
use std::time::Duration;
use tracing::info;

impl Firewall {
    /// Listens for changes while rules ask for networks. Returns the time until the next look at where the machine is,
    /// if one is due: who has just begun to listen looks at once.
    pub(super) fn follow_networks(&mut self) -> Option<Duration> {
        let listens = self.routes.listen(self.rulebook.asks_networks());
        self.noted(
            Cause::Routes,
            listens.context("it is noticed late that the machine is in another network"),
        );
        self.routes.due()
    }

    /// Switches on the rules that are right where the machine is now, and the others off, if something has changed.
    pub(super) fn meet_networks(&mut self) {
        if self.routes.takes_turn() {
            self.switch_networks(&Surroundings::default());
        }
    }

    /// Switches the rules that an earlier service left in the kernel, which may have been right in another network.
    /// That happens before anybody is told that the service is ready, and before hooks are attached that are not yet.
    pub(super) fn first_networks(&mut self) {
        if self.rulebook.asks_networks() {
            self.switch_networks(&Surroundings::default());
        }
    }

    fn switch_networks(&mut self, here: &Surroundings) {
        let Renewed { generation, failed } = self.renewed(here);
        let switched = failed.map_or(Ok(()), Err).context(
            "rules stay on or off that are not right in the network that the machine is in",
        );
        self.noted(Cause::Networks, switched);
        if generation.is_some() {
            self.keep_names();
            self.programs.follow(self.rulebook.programs());
        }
        let held = self.rulebook.in_force();
        if let Some(placed) = held.and_then(|held| held.networks()) {
            here.look_for_gateways(&placed.named);
        }
    }

    /// Renews what rules name, as it is now: see [`crate::rulebook::Rulebook::renew`].
    pub(super) fn renewed(&mut self, here: &Surroundings) -> Renewed {
        let before = self.networks_in_force();
        let budget = self.budget();
        let machine = KeptLists::beside(&self.config.rules, &self.keeper);
        let by = Renewal {
            machine: &machine,
            keeper: &self.keeper,
            here,
            members: &self.members,
            budget,
        };
        let renewed = self.rulebook.renew(&self.driver, &self.state, by);
        let after = self.networks_in_force();
        if let Some(generation) = renewed.generation.filter(|_| before != after) {
            info!(
                "{}; generation {generation} is in force",
                said(&before, &after)
            );
        }
        renewed
    }

    /// Returns the networks of the rules in force, and the routes by which they are known.
    #[must_use]
    pub fn networks(&mut self) -> Networks {
        let here = Surroundings::default();
        let routes = here.routes().unwrap_or_default();
        let routes = routes.iter().map(|route| RouteStatus {
            interface: route.device.clone(),
            gateway: route.gateway,
            gateway_hardware: route.hardware.address().map(|address| address.to_string()),
            ssid: match &route.wireless {
                WirelessNetwork::In(ssid) => String::from_utf8(ssid.clone()).ok(),
                WirelessNetwork::None | WirelessNetwork::Unknown => None,
            },
            connection: route.connection.label(),
        });
        Networks {
            generation: self.rulebook.in_force().map_or(0, |held| held.generation),
            networks: self.network_status(&here),
            routes: routes.collect(),
        }
    }

    /// Returns each network of the rules in force: whether it is there now, and which rules are on for it.
    pub(super) fn network_status(&self, here: &Surroundings) -> Vec<NetworkStatus> {
        let held = self.rulebook.in_force();
        let Some(placed) = held.and_then(|held| held.networks()) else {
            return Vec::new();
        };
        let networks = (0..).zip(&placed.named.networks);
        networks
            .map(|(place, network)| status(place, network, placed, here))
            .collect()
    }

    /// Returns the networks of the rules in force that are there, and which of their rules are on.
    fn networks_in_force(&self) -> InForceNetworks {
        let held = self.rulebook.in_force();
        let Some(placed) = held.and_then(|held| held.networks()) else {
            return InForceNetworks::default();
        };
        let names = placed.named.networks.iter().zip(&placed.presences);
        let rules = placed.named.rules.iter();
        let effects = placed.named.effects(&placed.presences);
        InForceNetworks {
            there: names
                .filter(|(_, presence)| **presence == Presence::There)
                .map(|(network, _)| network.id.clone())
                .collect(),
            rules: rules.map(|rule| rule.id.clone()).zip(effects).collect(),
        }
    }
}

/// Networks that are there, and the effect of each rule for networks.
#[derive(Default, PartialEq, Eq)]
struct InForceNetworks {
    there: Vec<String>,
    rules: Vec<(String, Effect)>,
}

/// Returns a switch of networks in one line.
fn said(before: &InForceNetworks, after: &InForceNetworks) -> String {
    let there = if after.there.is_empty() {
        "none of the rules' networks is there now".to_owned()
    } else {
        format!("there is now: {}", after.there.join(", "))
    };
    let switched = |effect: Effect| {
        let is_new = |rule: &&(String, Effect)| rule.1 == effect && !before.rules.contains(rule);
        let names: Vec<_> = after.rules.iter().filter(is_new).collect();
        let names: Vec<_> = names.iter().map(|(name, _)| name.as_str()).collect();
        names.join(", ")
    };
    let rules = [
        ("on", switched(Effect::On)),
        ("off", switched(Effect::Off)),
        ("blocking until it is known", switched(Effect::Blocks)),
    ];
    let rules = rules.iter().filter(|(_, names)| !names.is_empty());
    let rules: String = rules
        .map(|(word, names)| format!("; {word}: {names}"))
        .collect();
    format!("{there}{rules}")
}

fn status(
    place: u32,
    network: &Network,
    PlacedNetworks { named, presences }: &PlacedNetworks,
    here: &Surroundings,
) -> NetworkStatus {
    let sighting = here.seen(network);
    let judged_as = presences.get(place as usize).copied().unwrap_or_default();
    let effects = named.effects(presences);
    let asking = |wanted: Effect| {
        let rules = named.rules.iter().zip(&effects);
        let rules = rules
            .filter(|(rule, effect)| **effect == wanted && rule.networks.named.contains(&place))
            .map(|(rule, _)| rule.id.clone());
        rules.collect()
    };
    NetworkStatus {
        name: network.id.clone(),
        presence: sighting.presence.name().to_owned(),
        judged_as: judged_as.name().to_owned(),
        why: sighting.signs.into_iter().map(told).collect(),
        on: asking(Effect::On),
        off: asking(Effect::Off),
        blocks: asking(Effect::Blocks),
    }
}

fn told(sign: Sign) -> NetworkSign {
    let Sign {
        kind,
        device,
        gateway,
        hardware,
        ssid,
        connection,
        asked,
        detail,
    } = sign;
    NetworkSign {
        kind: kind.name().to_owned(),
        interface: device,
        gateway,
        gateway_hardware: hardware.map(|hardware| hardware.to_string()),
        ssid,
        connection,
        asked,
        detail,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_is_one_line_with_what_is_on_and_off_for_it() {
        use Effect::{Blocks, Off, On};
        let networks = |there: &[&str], rules: &[(&str, Effect)]| InForceNetworks {
            there: there.iter().map(|name| (*name).to_owned()).collect(),
            rules: rules
                .iter()
                .map(|(name, effect)| ((*name).to_owned(), *effect))
                .collect(),
        };
        let home = networks(
            &["home"],
            &[("printer", On), ("shares", On), ("no-ssh", Off)],
        );
        let away = networks(&[], &[("printer", Off), ("shares", Off), ("no-ssh", On)]);
        assert_eq!(
            said(&home, &away),
            "none of the rules' networks is there now; on: no-ssh; off: printer, shares"
        );
        assert_eq!(
            said(&away, &home),
            "there is now: home; on: printer, shares; off: no-ssh"
        );
        let asks = |effect| networks(&[], &[("asks", effect)]);
        assert_eq!(
            said(&asks(On), &asks(Blocks)),
            "none of the rules' networks is there now; blocking until it is known: asks"
        );
    }
}
