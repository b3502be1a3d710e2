//! What is known of the tables of sets that the driver has, and which combinations of sets they lack.

use super::Members;
use super::membership::Membership;
use firewall_abi::rules::SETS_TABLES;
use rules::{Combination, Rules, Sets};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

/// What is known of a table of sets that the driver has.
#[derive(Debug)]
pub struct KnownSets {
    table: Arc<Sets>,
    /// The sets' names, by their numbers.
    names: Vec<String>,
}

impl KnownSets {
    /// Of these rules; none if they ask for no set.
    pub fn of(rules: &Rules) -> Option<Arc<Self>> {
        let table = rules.members()?.clone();
        let names = rules.sets().map(|set| set.id.clone()).collect();
        Some(Arc::new(Self { table, names }))
    }

    /// Whether what is in a set here is so there.
    pub fn is_like(&self, other: &Self) -> bool {
        self.table.content == other.table.content && self.names == other.names
    }

    /// Whether this is known of the table with this content.
    pub fn is_of(&self, content: u64) -> bool {
        self.table.content == content
    }

    /// Whether the rules' file, or a list that it names, holds the address in this set.
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

/// What is known of each table of sets that the driver has, by its place.
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

    /// Whether one of these addresses is in a combination that a table has no class for.
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
