//! Addresses that have joined sets while rules were in force, for asking what these rules decide: in the driver's form,
//! and by the sets' index.

use crate::Rules;
use crate::own_network::mapped;
use engine::{Slices, Tables, WithMembers};
use firewall_abi::members::{Member, NO_CLASS, NO_END, Stage};
use firewall_abi::rules::SETS_TABLES;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

/// Addresses that have joined sets of a rule file; made by [`Rules::know_joined`].
#[derive(Clone, Debug, Default)]
pub struct Joined {
    sets: HashMap<IpAddr, Vec<u32>>,
    members: HashMap<[u8; 16], Member>,
}

impl Joined {
    /// Returns the sets that this address has joined, by their index in the file.
    #[must_use]
    pub fn sets_of(&self, address: IpAddr) -> &[u32] {
        self.sets.get(&address).map_or(&[], Vec::as_slice)
    }

    /// Combines a table of these rules with the addresses that have joined its sets.
    #[must_use]
    pub fn beside<'a>(&'a self, tables: Slices<'a>) -> impl Tables {
        WithMembers {
            tables,
            member: |address: &[u8; 16]| self.members.get(address).copied(),
            // Whatever is over by now is not among them.
            now_ns: 0,
        }
    }
}

impl Rules {
    /// Tells the rules which addresses have joined their sets, by the sets' names; names of no set are ignored. Tables
    /// that are compiled after this have an equivalence class for each of these addresses.
    ///
    /// # Errors
    /// Fails if the tables would be too large; nothing has changed then.
    pub fn know_joined<'a>(
        &mut self,
        joined: impl IntoIterator<Item = (&'a str, IpAddr)>,
    ) -> Result<Joined, String> {
        let places: HashMap<String, u32> = (0..)
            .zip(self.sets())
            .map(|(place, set)| (set.id.clone(), place))
            .collect();
        let mut of: BTreeMap<IpAddr, Vec<u32>> = BTreeMap::new();
        for (set, address) in joined {
            if let Some(place) = places.get(set) {
                of.entry(address).or_default().push(*place);
            }
        }
        let Some(members) = self.members().cloned() else {
            return Ok(Joined::default());
        };
        let class = |(address, sets): (&IpAddr, &Vec<u32>)| members.class_with(*address, sets);
        let mut lacking: Vec<_> = of.iter().filter_map(|entry| class(entry).err()).collect();
        lacking.sort();
        lacking.dedup();
        self.combine(&lacking)?;
        let members = self.members().cloned().unwrap_or(members);
        let member = |(address, sets): (&IpAddr, &Vec<u32>)| {
            let class = members.class_with(*address, sets).unwrap_or(NO_CLASS);
            let mut member = Member {
                is_v6: u64::from(address.is_ipv6()),
                ..Member::default()
            };
            member.stages[0] = Stage {
                until_ns: NO_END,
                set: 0,
                classes: [class; SETS_TABLES as usize],
            };
            (mapped(*address), member)
        };
        Ok(Joined {
            members: of.iter().map(member).collect(),
            sets: of.into_iter().collect(),
        })
    }
}
