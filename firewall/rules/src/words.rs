//! What rules say, in words.

use crate::{Addresses, Protocol, Rule, RuleKeys, Rules, User};
use firewall_abi::packet::{Direction, NO_USER, Verdict};
use firewall_abi::rules::PortRange;

/// A direction by its name.
///
/// # Errors
/// There is none of this name.
pub fn direction(text: &str) -> Result<Direction, String> {
    let mut all = Direction::ALL.into_iter();
    let found = all.find(|direction| direction.name() == text);
    found.ok_or_else(|| "it is in, out or forward, seen from what is protected".to_owned())
}

/// A verdict by its name.
///
/// # Errors
/// There is none of this name.
pub fn verdict(text: &str) -> Result<Verdict, String> {
    let all = [
        Verdict::Allow,
        Verdict::Block,
        Verdict::Reject,
        Verdict::Ask,
    ];
    let found = all.into_iter().find(|verdict| verdict.name() == text);
    found.ok_or_else(|| "it is allow, block, reject or ask".to_owned())
}

/// Addresses and sets as people write them.
#[must_use]
pub fn end_names(addresses: &[Addresses], sets: &[u32], rules: &Rules) -> Vec<String> {
    let sets = sets
        .iter()
        .filter_map(|set| rules.set(*set))
        .map(|set| format!("@{}", set.id));
    addresses
        .iter()
        .map(ToString::to_string)
        .chain(sets)
        .collect()
}

/// A user by name and number.
#[must_use]
pub fn user(user: &User) -> String {
    let User { number, name } = user;
    match (name, number) {
        (Some(name), Some(number)) => format!("{name} ({number})"),
        (Some(name), None) => format!("{name} (nobody known)"),
        (None, number) => number.unwrap_or(NO_USER).to_string(),
    }
}

/// A port, or a range of them.
#[must_use]
pub fn range(range: PortRange) -> String {
    let PortRange { first, last } = range;
    if first == last {
        first.to_string()
    } else {
        format!("{first}-{last}")
    }
}

/// An ICMP type by its name, if it has one.
#[must_use]
pub fn icmp_type(protocol: Option<&Protocol>, number: u8) -> String {
    let name = protocol.and_then(|protocol| protocol.icmp_type_name(number));
    name.map_or_else(|| number.to_string(), str::to_owned)
}

/// Protocols and ICMP types, each by its name; none: any.
#[must_use]
pub fn protocols(rule: &Rule) -> Vec<String> {
    let mut all: Vec<_> = rule.protocols.iter().map(ToString::to_string).collect();
    all.extend(
        rule.icmp_types
            .iter()
            .map(|number| icmp_type(rule.protocols.first(), *number)),
    );
    all
}

/// Ports, if there are any: `port 80, 8000-8080`.
#[must_use]
pub fn ports(ranges: &[PortRange]) -> Option<String> {
    let all: Vec<_> = ranges.iter().map(|ports| range(*ports)).collect();
    (!all.is_empty()).then(|| format!("port {}", all.join(", ")))
}

/// What is asked of whoever is at the zone's end, each in a few words.
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
    let users = users.iter().map(|asked| format!("user {}", user(asked)));
    let programs = programs.iter().map(|program| program.path.clone());
    let devices = interfaces.iter().map(|name| format!("on {name}"));
    let out = out.iter();
    users
        .chain(programs)
        .chain(devices)
        .chain(out.map(|name| format!("out by {name}")))
        .collect()
}

/// What a rule takes, in one line: `in, tcp from 192.0.2.0/24 to port 22, user root (0)`.
#[must_use]
pub fn takes(rule: &Rule, rules: &Rules) -> String {
    let end = |word: &str, addresses: &[Addresses], sets: &[u32], ranges: &[PortRange]| {
        let names = end_names(addresses, sets, rules);
        let said: Vec<_> = [(!names.is_empty()).then(|| names.join(", ")), ports(ranges)]
            .into_iter()
            .flatten()
            .collect();
        (!said.is_empty()).then(|| format!("{word} {}", said.join(" ")))
    };
    let protocols = protocols(rule);
    let packet: Vec<_> = [
        (!protocols.is_empty()).then(|| protocols.join(", ")),
        end("from", &rule.sources, &rule.source_sets, &rule.source_ports),
        end(
            "to",
            &rule.destinations,
            &rule.destination_sets,
            &rule.ports,
        ),
    ]
    .into_iter()
    .flatten()
    .collect();
    let mut all: Vec<String> = rule
        .direction
        .map(Direction::name)
        .map(str::to_owned)
        .into_iter()
        .collect();
    if !packet.is_empty() {
        all.push(packet.join(" "));
    }
    all.extend(who(rule));
    if all.is_empty() {
        return "everything".to_owned();
    }
    all.join(", ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

    use super::*;
    use crate::{NoResolver, parse};

    #[test]
    fn a_rule_is_said_in_one_line_with_all_that_it_asks_for() {
        let text = "[default]\ninbound = 'block'\noutbound = 'block'\n[[set]]\nid = 'friends'\naddresses = '192.0.2.1'\n\
            [[rule]]\nid = 'a'\naction = 'allow'\ndirection = 'in'\nprotocol = ['tcp', 'udp']\nsource = ['10.0.0.0/8', \
            '@friends']\nports = [22, '8000-8080']\nuser = 7\ninterface = 'eth0'\n\
            [[rule]]\nid = 'b'\naction = 'allow'\nprotocol = 'icmp'\nicmp_type = 'echo-request'\n\
            [[rule]]\nid = 'c'\naction = 'block'\n";
        let rules = parse("f", text, &NoResolver).unwrap();
        let said: Vec<_> = rules.iter().map(|rule| takes(rule, &rules)).collect();
        assert_eq!(
            said,
            [
                "in, tcp, udp from 10.0.0.0/8, @friends to port 22, 8000-8080, user 7, on eth0",
                "icmp, echo-request",
                "everything"
            ]
        );
    }
}
