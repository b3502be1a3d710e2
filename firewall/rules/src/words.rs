//! Words of rules: directions, verdicts, times, addresses, users, ports and networks, to and from text.

use crate::{Addresses, Protocol, Rule, Rules, User, device_words};
use firewall_abi::packet::{Direction, NO_USER, Verdict};
use firewall_abi::rules::PortRange;
use std::time::Duration;

/// Parses a direction by its name.
///
/// # Errors
/// Fails if there is none of this name.
pub fn direction(text: &str) -> Result<Direction, String> {
    let mut all = Direction::ALL.into_iter();
    let found = all.find(|direction| direction.name() == text);
    found.ok_or_else(|| "it is in, out or forward, seen from what is protected".to_owned())
}

/// Parses a verdict by its name.
///
/// # Errors
/// Fails if there is none of this name.
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

/// Checks the name of a network device or a prefix of names, like `wg*`, for [`names_device`](crate::names_device).
///
/// # Errors
/// Fails if it is neither.
pub fn interface(text: &str) -> Result<String, String> {
    let name = text.strip_suffix('*').unwrap_or(text);
    let fits = !name.is_empty() && !name.contains(['*', '@']) && device_words(name).is_some();
    fits.then(|| text.to_owned())
        .ok_or_else(|| "it is a device's name, like eth0, or how names begin, like wg*".to_owned())
}

/// Parses a time in whole seconds, as people write it: 60s, 5m, 1h, 7d.
///
/// # Errors
/// Fails if it is not so written, or is zero.
pub fn time(text: &str) -> Result<Duration, String> {
    let units = [("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)];
    let (number, unit) = units
        .iter()
        .find_map(|(name, unit)| Some((text.strip_suffix(name)?, *unit)))
        .unwrap_or((text, 1));
    let count: Option<u64> = number.parse().ok().filter(|count| *count > 0);
    let seconds = count.and_then(|count| count.checked_mul(unit));
    seconds
        .map(Duration::from_secs)
        .ok_or_else(|| "write it like 60s, 5m, 1h or 7d".to_owned())
}

/// Returns the addresses and sets of an end, as rule files name them.
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

/// Writes a user by name and number.
#[must_use]
pub fn user(user: &User) -> String {
    let User { number, name } = user;
    match (name, number) {
        (Some(name), Some(number)) => format!("{name} ({number})"),
        (Some(name), None) => format!("{name} (nobody known)"),
        (None, number) => number.unwrap_or(NO_USER).to_string(),
    }
}

/// Writes a port or a range of ports.
#[must_use]
pub fn range(range: PortRange) -> String {
    let PortRange { first, last } = range;
    if first == last {
        first.to_string()
    } else {
        format!("{first}-{last}")
    }
}

/// Writes an ICMP type by its name, or by its number if it has none.
#[must_use]
pub fn icmp_type(protocol: Option<&Protocol>, number: u8) -> String {
    let name = protocol.and_then(|protocol| protocol.icmp_type_name(number));
    name.map_or_else(|| number.to_string(), str::to_owned)
}

/// Returns the names of a rule's protocols and ICMP types; an empty list stands for any.
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

/// Writes the networks in which a rule is on, like `at home, office` or `not at home`; `None` if it is on in all.
#[must_use]
pub fn networks(rule: &Rule, rules: &Rules) -> Option<String> {
    let names = network_names(rule, rules);
    let word = if rule.networks.elsewhere {
        "not at"
    } else {
        "at"
    };
    (!names.is_empty()).then(|| format!("{word} {}", names.join(", ")))
}

/// Returns the names of the networks that a rule asks for.
#[must_use]
pub fn network_names<'r>(rule: &Rule, rules: &'r Rules) -> Vec<&'r str> {
    let networks = rule.networks.named.iter();
    networks
        .filter_map(|place| rules.network(*place))
        .map(|network| network.id.as_str())
        .collect()
}
