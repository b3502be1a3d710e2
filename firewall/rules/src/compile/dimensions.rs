//! Values that a rule takes of each dimension.

use super::sweep::Takes;
use crate::device;
use crate::{Addresses, Protocol, Rule, RuleKeys};
use firewall_abi::packet::{Direction, PacketMeta, Verdict};
use firewall_abi::rules::class;

/// A dimension of 32-bit values: its name, and the function that returns what a rule takes of it.
pub(crate) type Narrow = (&'static str, fn(&Rule) -> Takes<u32>);
/// A dimension of 128-bit values, likewise.
pub(crate) type Wide = (&'static str, fn(&Rule) -> Takes<u128>);

pub(crate) const CLASS: Narrow = ("directions and protocols", of_class);
pub(crate) const SOURCE_V4: Narrow = ("IPv4 sources", |rule| {
    addresses(
        &rule.sources,
        &rule.source_sets,
        &rule.presumed.sources,
        Addresses::v4,
    )
});
pub(crate) const DESTINATION_V4: Narrow = ("IPv4 destinations", |rule| {
    addresses(
        &rule.destinations,
        &rule.destination_sets,
        &rule.presumed.destinations,
        Addresses::v4,
    )
});
pub(crate) const SOURCE_PORT: Narrow = ("source ports and ICMP types", source_port);
pub(crate) const DESTINATION_PORT: Narrow = ("destination ports", destination_port);
pub(crate) const USER: Narrow = ("users", user);
pub(crate) const SOURCE_V6: Wide = ("IPv6 sources", |rule| {
    addresses(
        &rule.sources,
        &rule.source_sets,
        &rule.presumed.sources,
        Addresses::v6,
    )
});
pub(crate) const DESTINATION_V6: Wide = ("IPv6 destinations", |rule| {
    addresses(
        &rule.destinations,
        &rule.destination_sets,
        &rule.presumed.destinations,
        Addresses::v6,
    )
});
pub(crate) const PROGRAM: Wide = ("programs", program);
pub(crate) const INTERFACE: Wide = ("devices", |rule| devices(rule, &rule.interfaces));
pub(crate) const OUT_INTERFACE: Wide = ("devices to go out by", |rule| {
    devices(rule, &rule.out_interfaces)
});

/// Returns the devices that a rule takes, by name, by a prefix of names or by what they lead to; an empty list takes
/// all.
fn devices(rule: &Rule, words: &[String]) -> Takes<u128> {
    if words.is_empty() {
        return Takes::All;
    }
    let opens = rule.action == Verdict::Allow;
    Takes::Only(
        words
            .iter()
            .flat_map(|word| device::names(word, opens))
            .collect(),
    )
}

/// Returns the users that a rule takes. An unknown user is no value, but for the numbers that are presumed.
fn user(rule: &Rule) -> Takes<u32> {
    if rule.users.is_empty() {
        return Takes::All;
    }
    let known = rule.users.iter().filter_map(|user| user.number);
    let known = known.map(|number| (number, number));
    Takes::Only(known.chain(rule.presumed.users.iter().copied()).collect())
}

/// Returns the programs that a rule takes. A program that is not there is no value. Programs that can't be identified
/// are taken by rules that ask for unknown ones, and by any rule that blocks: not knowing opens nothing.
fn program(rule: &Rule) -> Takes<u128> {
    if rule.programs.is_empty() || rule.presumed.programs {
        return Takes::All;
    }
    let named = || {
        let each = rule.programs.iter();
        each.flat_map(|program| program.identities())
    };
    let unsure = rule.action != Verdict::Allow || named().any(|identity| identity == [0; 2]);
    let there = named()
        .chain(unsure.then_some(PacketMeta::UNSURE))
        .map(joined_words);
    Takes::Only(there.map(|value| (value, value)).collect())
}

fn joined_words([high, low]: [u64; 2]) -> u128 {
    u128::from(high) << 64 | u128::from(low)
}

/// Returns the addresses of one IP version that a rule takes at an end, without those of its sets.
fn addresses<K>(
    asked: &[Addresses],
    sets: &[u32],
    presumed: &[Addresses],
    version: impl Fn(Addresses) -> Option<(K, K)>,
) -> Takes<K> {
    if asked.is_empty() && sets.is_empty() {
        return Takes::All;
    }
    Takes::Only(
        asked
            .iter()
            .chain(presumed)
            .filter_map(|addresses| version(*addresses))
            .collect(),
    )
}

/// Returns the source ports that a rule takes, or the ICMP types, which stand in their place.
fn source_port(rule: &Rule) -> Takes<u32> {
    if rule.source_ports.is_empty() && rule.icmp_types.is_empty() {
        return Takes::All;
    }
    let ports = rule
        .source_ports
        .iter()
        .map(|range| (range.first.into(), range.last.into()));
    let types = rule
        .icmp_types
        .iter()
        .map(|number| (u32::from(*number), u32::from(*number)));
    Takes::Only(ports.chain(types).collect())
}

fn destination_port(rule: &Rule) -> Takes<u32> {
    if rule.ports.is_empty() {
        return Takes::All;
    }
    Takes::Only(
        rule.ports
            .iter()
            .map(|range| (range.first.into(), range.last.into()))
            .collect(),
    )
}

/// Returns whether a rule asks for neither the source of a packet nor a device: for nothing that is not known yet while
/// a program calls `connect`.
pub(crate) fn takes_any_source(rule: &Rule) -> bool {
    let RuleKeys {
        direction: _,
        protocols: _,
        sources,
        source_sets,
        destinations: _,
        destination_sets: _,
        source_ports,
        ports: _,
        icmp_types,
        interfaces,
        out_interfaces,
        users: _,
        programs: _,
    } = rule.keys();
    sources.is_empty()
        && source_sets.is_empty()
        && source_ports.is_empty()
        && icmp_types.is_empty()
        && interfaces.is_empty()
        && out_interfaces.is_empty()
}

/// Returns whether a rule asks for nothing of the destination, which may be translated (NAT) after `connect`.
pub(crate) fn takes_any_destination(rule: &Rule) -> bool {
    let RuleKeys {
        direction: _,
        protocols: _,
        sources: _,
        source_sets: _,
        destinations,
        destination_sets,
        source_ports: _,
        ports,
        icmp_types: _,
        interfaces: _,
        out_interfaces: _,
        users: _,
        programs: _,
    } = rule.keys();
    destinations.is_empty() && destination_sets.is_empty() && ports.is_empty()
}

/// Returns whether a rule asks for ports or ICMP types, which a later fragment does not show.
pub(crate) fn asks_ports(rule: &Rule) -> bool {
    !(rule.source_ports.is_empty() && rule.ports.is_empty() && rule.icmp_types.is_empty())
}

/// Returns whether packets of this IP version can match a rule, judged by its addresses.
pub(crate) fn can_be(rule: &Rule, version: u8) -> bool {
    let end = |addresses: &[Addresses], sets: &[u32]| {
        let any = addresses.is_empty() && sets.is_empty();
        any || !sets.is_empty()
            || addresses
                .iter()
                .any(|addresses| addresses.version() == version)
    };
    end(&rule.sources, &rule.source_sets) && end(&rule.destinations, &rule.destination_sets)
}

fn of_class(rule: &Rule) -> Takes<u32> {
    let directions = Direction::ALL
        .into_iter()
        .filter(|direction| rule.direction.is_none_or(|only| only == *direction));
    let mut spans = Vec::new();
    for direction in directions {
        for version in [4, 6].into_iter().filter(|version| can_be(rule, *version)) {
            let class = |protocol| class(direction as u8, version, protocol);
            if rule.protocols.is_empty() {
                spans.push((class(0), class(u8::MAX)));
            }
            spans.extend(
                rule.protocols
                    .iter()
                    .map(|Protocol(number)| (class(*number), class(*number))),
            );
        }
    }
    Takes::Only(spans)
}
