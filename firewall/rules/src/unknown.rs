//! Unknown properties of judged packets, and rules that do not ask for them.
//!
//! A rule that asks for what is not known may match or may not. The same rules without these keys match whatever might
//! match, so that the engine itself says what may decide, and what surely does.

use crate::{Rule, Rules, compile};
use std::collections::BTreeSet;
use std::sync::Mutex;

/// Key of rules whose value may be unknown for a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unknown {
    /// Source address.
    Source,
    /// Destination address.
    Destination,
    /// Source port.
    SourcePorts,
    /// Destination port.
    Ports,
    /// ICMP type.
    IcmpType,
    /// Network device, or both devices of a forwarded packet.
    Interface,
    /// User at the local end.
    User,
    /// Program at the local end.
    Program,
    /// Membership of addresses in sets by their names: it changes with each DNS answer.
    Names,
}

impl Unknown {
    /// Returns the name of the key in rule files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Destination => "destination",
            Self::SourcePorts => "source_ports",
            Self::Ports => "ports",
            Self::IcmpType => "icmp_type",
            Self::Interface => "interface",
            Self::User => "user",
            Self::Program => "program",
            Self::Names => "names",
        }
    }
}

impl Rules {
    /// Returns the unknown keys that this rule asks for.
    #[must_use]
    pub fn asked_of(&self, rule: &Rule, unknown: &BTreeSet<Unknown>) -> BTreeSet<Unknown> {
        let asks = |key: &Unknown| match key {
            Unknown::Source => !rule.sources.is_empty() || !rule.source_sets.is_empty(),
            Unknown::Destination => {
                !rule.destinations.is_empty() || !rule.destination_sets.is_empty()
            }
            Unknown::SourcePorts => !rule.source_ports.is_empty(),
            Unknown::Ports => !rule.ports.is_empty(),
            Unknown::IcmpType => !rule.icmp_types.is_empty(),
            Unknown::Interface => !rule.interfaces.is_empty() || !rule.out_interfaces.is_empty(),
            Unknown::User => !rule.users.is_empty(),
            Unknown::Program => !rule.programs.is_empty(),
            Unknown::Names => {
                self.names_any(&rule.source_sets) || self.names_any(&rule.destination_sets)
            }
        };
        unknown.iter().copied().filter(asks).collect()
    }

    /// Returns a copy of the rules from this one on, none of which asks for an unknown key.
    ///
    /// # Errors
    /// Fails if they do not fit into a table.
    pub fn without(&self, unknown: &BTreeSet<Unknown>, first: usize) -> Result<Self, String> {
        let rules = (0..).zip(&self.rules).map(|(place, rule)| {
            let mut rule = rule.clone();
            rule.enabled &= place >= first;
            for key in self.asked_of(&rule, unknown) {
                self.clear(&mut rule, key);
            }
            rule
        });
        let mut without = Self {
            rules: rules.collect(),
            sets: self.sets.clone(),
            networks: self.networks.clone(),
            presences: self.presences.clone(),
            members: self.members.clone(),
            warnings: Vec::new(),
            troubles: Vec::new(),
            ready: Mutex::default(),
            ..*self
        };
        without.ready = Mutex::new(Some(compile::build(without.source())?.pages));
        Ok(without)
    }

    fn clear(&self, rule: &mut Rule, key: Unknown) {
        let source = |rule: &mut Rule| {
            rule.sources.clear();
            rule.source_sets.clear();
            rule.presumed.sources.clear();
        };
        let destination = |rule: &mut Rule| {
            rule.destinations.clear();
            rule.destination_sets.clear();
            rule.presumed.destinations.clear();
        };
        match key {
            Unknown::Source => source(rule),
            Unknown::Destination => destination(rule),
            Unknown::SourcePorts => rule.source_ports.clear(),
            Unknown::Ports => rule.ports.clear(),
            Unknown::IcmpType => rule.icmp_types.clear(),
            Unknown::Interface => {
                rule.interfaces.clear();
                rule.out_interfaces.clear();
            }
            Unknown::User => {
                rule.users.clear();
                rule.presumed.users.clear();
            }
            Unknown::Program => {
                rule.programs.clear();
                rule.presumed.programs = false;
            }
            Unknown::Names => {
                if self.names_any(&rule.source_sets) {
                    source(rule);
                }
                if self.names_any(&rule.destination_sets) {
                    destination(rule);
                }
            }
        }
    }

    /// Returns whether one of these sets asks for host names.
    fn names_any(&self, sets: &[u32]) -> bool {
        let mut sets = sets.iter().filter_map(|set| self.set(*set));
        sets.any(|set| !set.names.is_empty())
    }
}
