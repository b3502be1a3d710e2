//! Rules in words: for the window.

use crate::text;
use firewall_abi::rules::PortRange;
use rules::words::{end_names, network_names, protocols, range};
use rules::{Addresses, Rule, RuleKeys, Rules, User, clean};

/// Returns the conditions of a rule in one line: `in, tcp from 192.0.2.0/24 to port 22, user root (0)`.
#[must_use]
pub fn takes(rule: &Rule, rules: &Rules) -> String {
    let end = |addresses: &[Addresses], sets: &[u32], ranges: &[PortRange]| {
        let names = end_names(addresses, sets, rules).join(", ");
        let said = [Some(names).filter(|it| !it.is_empty()), ports(ranges)];
        let said: Vec<_> = said.into_iter().flatten().collect();
        (!said.is_empty()).then(|| said.join(" "))
    };
    let from = end(&rule.sources, &rule.source_sets, &rule.source_ports);
    let to = end(&rule.destinations, &rule.destination_sets, &rule.ports);
    let protocols = protocols(rule).join(", ");
    let packet = [
        Some(protocols).filter(|it| !it.is_empty()),
        from.map(|ends| text!("takes-from", ends = ends)),
        to.map(|ends| text!("takes-to", ends = ends)),
    ];
    let packet: Vec<_> = packet.into_iter().flatten().collect();
    let mut all: Vec<String> = rule.direction.map(crate::entry::way).into_iter().collect();
    if !packet.is_empty() {
        all.push(packet.join(" "));
    }
    all.extend(who(rule));
    all.extend(networks(rule, rules));
    if all.is_empty() {
        return text!("takes-everything");
    }
    all.join(", ")
}

/// Returns the networks in which a rule is on, if not in all.
fn networks(rule: &Rule, rules: &Rules) -> Option<String> {
    let names = network_names(rule, rules).join(", ");
    if names.is_empty() {
        return None;
    }
    Some(if rule.networks.elsewhere {
        text!("takes-not-at", networks = names)
    } else {
        text!("takes-at", networks = names)
    })
}

/// Returns ports in words, if there are any: `port 80, 8000-8080`.
#[must_use]
pub fn ports(ranges: &[PortRange]) -> Option<String> {
    let all: Vec<_> = ranges.iter().map(|ports| range(*ports)).collect();
    (!all.is_empty()).then(|| text!("takes-port", ports = all.join(", ")))
}

/// Returns the conditions of a rule on the zone's end, each in a few words: users, programs and devices.
#[must_use]
pub fn who(rule: &Rule) -> Vec<String> {
    let RuleKeys {
        // What a packet shows is said elsewhere.
        direction: _,
        protocols: _,
        sources: _,
        source_sets: _,
        destinations: _,
        destination_sets: _,
        source_ports: _,
        ports: _,
        icmp_types: _,
        interfaces,
        out_interfaces: out,
        users,
        programs,
    } = rule.keys();
    let users = users
        .iter()
        .map(|asked| text!("takes-user", user = clean(&user(asked))));
    let programs = programs.iter().map(|program| clean(&program.path));
    let devices = interfaces
        .iter()
        .map(|name| text!("takes-on", device = clean(name)));
    let out = out
        .iter()
        .map(|name| text!("takes-out-by", device = clean(name)));
    users.chain(programs).chain(devices).chain(out).collect()
}

fn user(user: &User) -> String {
    match user {
        User {
            name: Some(name),
            number: None,
        } => text!("takes-nobody", name = name),
        known => rules::words::user(known),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;
    use rules::{NoResolver, parse};

    #[test]
    fn a_rule_is_said_in_one_line_with_all_that_it_asks_for() {
        let text = "[default]\ninbound = 'block'\noutbound = 'block'\n[[set]]\nid = 'friends'\naddresses = '192.0.2.1'\n\
            [[rule]]\nid = 'a'\naction = 'allow'\ndirection = 'in'\nprotocol = ['tcp', 'udp']\nsource = ['10.0.0.0/8', \
            '@friends']\nports = [22, '8000-8080']\nuser = 7\ninterface = 'eth0'\n\
            [[rule]]\nid = 'b'\naction = 'allow'\nprotocol = 'icmp'\nicmp_type = 'echo-request'\n\
            [[rule]]\nid = 'c'\naction = 'block'\n\
            [[network]]\nid = 'home'\ngateway = '192.0.2.1'\n\
            [[rule]]\nid = 'd'\naction = 'allow'\ndirection = 'in'\nnetwork = 'home'\n\
            [[rule]]\nid = 'e'\naction = 'block'\ndirection = 'out'\nnetwork = '!home'\n";
        let rules = parse("f", text, &NoResolver).unwrap();
        let said: Vec<_> = rules.iter().map(|rule| takes(rule, &rules)).collect();
        assert_eq!(
            said,
            [
                "in, tcp, udp from 10.0.0.0/8, @friends to port 22, 8000-8080, user 7, on eth0",
                "icmp, echo-request",
                "everything",
                "in, at home",
                "out, not at home"
            ]
        );
    }
}
