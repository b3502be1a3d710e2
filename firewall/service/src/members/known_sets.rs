//! Knowledge of the driver's tables of sets, and of the combinations of sets that they lack.

use super::Members;
use super::membership::Membership;
use firewall_abi::rules::SETS_TABLES;
use rules::{Combination, Rules, Sets};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

/// Known content of a table of sets that the driver has.
#[derive(Debug)]
pub struct KnownSets {
    table: Arc<Sets>,
    /// The sets' names, by their numbers.
    names: Vec<String>,
}

impl KnownSets {
    /// Returns the sets of these rules, or `None` if the rules ask for no set.
    pub fn of(rules: &Rules) -> Option<Arc<Self>> {
        let table = rules.members()?.clone();
        let names = rules.sets().map(|set| set.id.clone()).collect();
        Some(Arc::new(Self { table, names }))
    }

    /// Returns whether both tables hold the same in sets of the same names.
    pub fn is_like(&self, other: &Self) -> bool {
        self.table.content == other.table.content && self.names == other.names
    }

    /// Returns whether this describes the table with this content hash.
    pub fn is_of(&self, content: u64) -> bool {
        self.table.content == content
    }

    /// Returns whether the rules' file, or a list that it names, holds the address in this set.
    pub fn holds(&self, set: &str, address: IpAddr) -> bool {
        let named = |number: &u32| self.names.get(*number as usize);
        self.table
            .of(address)
            .iter()
            .filter_map(named)
            .any(|name| name == set)
    }

    /// The class of an address with these memberships.
    pub(super) fn class(
        &self,
        address: IpAddr,
        memberships: &[Membership],
    ) -> Result<u32, Combination> {
        let number = |membership: &Membership| {
            let place = self.names.iter().position(|name| *name == *membership.set);
            place.and_then(|place| u32::try_from(place).ok())
        };
        let joined: Vec<u32> = memberships.iter().filter_map(number).collect();
        self.table.class_with(address, &joined)
    }
}

/// Known content of each table of sets that the driver has, by its place.
pub type KnownTables = [Option<Arc<KnownSets>>; SETS_TABLES as usize];

impl Members {
    /// The combinations of sets that some address is in and this table has no class for.
    pub fn lacking(&self, known: &KnownSets) -> Vec<Combination> {
        let mut lacking = BTreeSet::new();
        for (address, memberships) in &self.of {
            for from in 0..memberships.len() {
                let lasting = memberships.get(from..).unwrap_or_default();
                lacking.extend(known.class(*address, lasting).err());
            }
        }
        lacking.into_iter().collect()
    }

    /// Has the rules know every combination that some address is in.
    ///
    /// # Errors
    /// The tables would be too large.
    pub fn combine(&self, rules: &mut Rules) -> Result<(), String> {
        match KnownSets::of(rules) {
            Some(known) => rules.combine(&self.lacking(&known)),
            None => Ok(()),
        }
    }

    /// Returns whether one of these addresses is in a combination that a table has no class for.
    pub fn any_lacking(&self, addresses: &[IpAddr], tables: &KnownTables) -> bool {
        let lacks = |known: &Arc<KnownSets>| {
            addresses.iter().any(|address| {
                let memberships = self.of.get(address).map_or(&[][..], Vec::as_slice);
                (0..memberships.len()).any(|from| {
                    let lasting = memberships.get(from..).unwrap_or_default();
                    known.class(*address, lasting).is_err()
                })
            })
        };
        tables.iter().flatten().any(lacks)
    }
}
