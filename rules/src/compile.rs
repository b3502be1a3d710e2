//! From checked rules to the rows that the engine tries.

use crate::{Network, Protocol, Rule, Rules};
use contract::packet::{Direction, Verdict};
use contract::rules::{Head, Otherwise, PortRange, RuleRow, direction_bit, version_bit};

/// One generation of the rules, ready for a driver or a dry run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// What stands before the rows.
    pub head: Head,
    /// The rows, in the order in which they are tried.
    pub rows: Vec<RuleRow>,
}

impl Table {
    /// The same, as the engine takes it.
    #[must_use]
    pub fn slices(&self) -> engine::Slices<'_> {
        engine::Slices { head: self.head, rows: &self.rows }
    }
}

pub(crate) fn table(rules: &Rules, generation: u32) -> Table {
    let rows: Vec<_> = (0..).zip(&rules.rules).flat_map(|(number, rule)| rows(number, rule)).collect();
    let head = Head {
        generation,
        rows: u32::try_from(rows.len()).unwrap_or(u32::MAX),
        inbound: otherwise(rules.inbound),
        outbound: otherwise(rules.outbound),
        spare: 0,
    };
    Table { head, rows }
}

fn otherwise(verdict: Verdict) -> Otherwise {
    Otherwise { verdict: verdict as u8, log: u8::from(verdict == Verdict::Block) }
}

/// A rule's rows: one for each combination of what it lists, none if it is disabled.
pub(crate) fn rows(number: u32, rule: &Rule) -> Vec<RuleRow> {
    let mut rows = Vec::new();
    if !rule.enabled {
        return rows;
    }
    for (source, destination) in ends(rule) {
        for protocol in each(&rule.protocols) {
            for (source_ports, destination_ports) in ports(rule) {
                rows.push(RuleRow {
                    source_ports,
                    destination_ports,
                    protocol: protocol.map_or(0, |Protocol(n)| n),
                    protocol_mask: if protocol.is_some() { 0xFF } else { 0 },
                    ..row(number, rule, source, destination)
                });
            }
        }
    }
    rows
}

/// How many rows a rule has, at most.
pub(crate) fn size(rule: &Rule) -> usize {
    if !rule.enabled {
        return 0;
    }
    let lengths = [
        rule.sources.len(),
        rule.destinations.len(),
        rule.protocols.len(),
        rule.source_ports.len() + rule.icmp_types.len(),
        rule.ports.len(),
    ];
    lengths.iter().fold(1, |product: usize, length| product.saturating_mul(*length.max(&1)))
}

/// What does not depend on protocol and ports.
fn row(rule_number: u32, rule: &Rule, source: Option<Network>, destination: Option<Network>) -> RuleRow {
    let asks_ports = !(rule.source_ports.is_empty() && rule.ports.is_empty() && rule.icmp_types.is_empty());
    RuleRow {
        source: words(source.map_or(0, Network::prefix)),
        source_mask: words(source.map_or(0, Network::mask)),
        destination: words(destination.map_or(0, Network::prefix)),
        destination_mask: words(destination.map_or(0, Network::mask)),
        rule: rule_number,
        directions: directions(rule.direction),
        versions: source
            .or(destination)
            .map_or(version_bit(4) | version_bit(6), |n| version_bit(n.version())),
        asks_ports: u8::from(asks_ports),
        verdict: rule.action as u8,
        log: u8::from(rule.log),
        ..RuleRow::default()
    }
}

/// Every pair of a source and a destination of the same IP version.
pub(crate) fn ends(rule: &Rule) -> impl Iterator<Item = (Option<Network>, Option<Network>)> {
    let pairs = each(&rule.sources).flat_map(|source| each(&rule.destinations).map(move |to| (source, to)));
    pairs.filter(|pair| match pair {
        (Some(source), Some(destination)) => source.version() == destination.version(),
        _ => true,
    })
}

/// Every pair of ports; for ICMP the types stand first, as in a flow.
fn ports(rule: &Rule) -> impl Iterator<Item = (PortRange, PortRange)> {
    let types = rule.icmp_types.iter().map(|n| PortRange { first: u16::from(*n), last: u16::from(*n) });
    let first: Vec<_> = rule.source_ports.iter().copied().chain(types).collect();
    let second = rule.ports.clone();
    each(&first)
        .map(Option::unwrap_or_default)
        .flat_map(move |from| each(&second).map(move |to| (from, to.unwrap_or_default())).collect::<Vec<_>>())
        .collect::<Vec<_>>()
        .into_iter()
}

/// Each item of a list; of an empty one, which takes anything, `None` once.
fn each<T: Copy>(list: &[T]) -> impl Iterator<Item = Option<T>> {
    list.iter().copied().map(Some).chain(list.is_empty().then_some(None))
}

fn directions(direction: Option<Direction>) -> u8 {
    direction.map_or(direction_bit(Direction::Inbound) | direction_bit(Direction::Outbound), direction_bit)
}

fn words(address: u128) -> [u64; 2] {
    [(address >> 64) as u64, address as u64]
}
