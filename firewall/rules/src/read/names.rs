//! Cache of the networks, sets, users and programs that rules name: each is looked up once.

use super::network::ReadNetwork;
use super::set::ReadSet;
use crate::network::no_network;
use crate::program::identity;
use crate::report::suggestion;
use crate::resolver::Resolver;
use crate::set::outside;
use crate::{Addresses, Program};
use firewall_abi::packet::NO_USER;
use std::collections::HashMap;

/// Networks, sets, users and programs that rules name, with the results of their lookups.
pub(super) struct Names<'a> {
    pub(super) resolver: &'a dyn Resolver,
    networks: HashMap<String, u32>,
    /// `true` for each network that a rule asks for, by its index.
    pub(super) networks_asked: Vec<bool>,
    sets: HashMap<String, u32>,
    /// Addresses that each set may hold while its file is not known.
    presumed: Vec<Vec<Addresses>>,
    /// `true` for each set that a rule asks for, by its index.
    pub(super) asked: Vec<bool>,
    users: HashMap<String, Result<u32, String>>,
    programs: HashMap<String, (Option<[u64; 2]>, Option<String>)>,
}

impl<'a> Names<'a> {
    pub(super) fn new(
        sets: &[ReadSet],
        networks: &[ReadNetwork],
        resolver: &'a dyn Resolver,
    ) -> Self {
        let places = (0..)
            .zip(sets)
            .map(|(place, (set, ..))| (set.id.clone(), place));
        let network_places = (0..)
            .zip(networks)
            .map(|(place, (network, _))| (network.id.clone(), place));
        Self {
            resolver,
            networks: network_places.collect(),
            networks_asked: vec![false; networks.len()],
            sets: places.collect(),
            presumed: sets.iter().map(|(set, ..)| set.presumed()).collect(),
            asked: vec![false; sets.len()],
            users: HashMap::new(),
            programs: HashMap::new(),
        }
    }

    pub(super) fn set(&mut self, name: &str) -> Result<u32, String> {
        let Some(place) = self.sets.get(name) else {
            if self.sets.is_empty() {
                return Err(format!(
                    "there is no set `{name}`; add [[set]] with id = \"{name}\""
                ));
            }
            let known: Vec<_> = self.sets.keys().map(String::as_str).collect();
            return Err(format!(
                "there is no set `{name}`; {}",
                suggestion(name, &known)
            ));
        };
        self.asked
            .get_mut(*place as usize)
            .into_iter()
            .for_each(|asked| *asked = true);
        Ok(*place)
    }

    pub(super) fn network(&mut self, name: &str) -> Result<u32, String> {
        let Some(place) = self.networks.get(name) else {
            let known: Vec<_> = self.networks.keys().map(String::as_str).collect();
            return Err(no_network(name, &known));
        };
        self.networks_asked
            .get_mut(*place as usize)
            .into_iter()
            .for_each(|asked| *asked = true);
        Ok(*place)
    }

    pub(super) fn user(&mut self, name: &str) -> Result<u32, String> {
        let resolver = self.resolver;
        self.users
            .entry(name.to_owned())
            .or_insert_with(|| resolver.user(name))
            .clone()
    }

    /// Looks up a program; the second value is the reason if it can't be looked at.
    pub(super) fn program(&mut self, path: String) -> (Program, Option<String>) {
        let resolver = self.resolver;
        let look = || {
            let identity = identity(&path, resolver);
            let known = identity.is_some();
            let trouble = if known {
                None
            } else {
                resolver.program_trouble(&path)
            };
            (identity, trouble)
        };
        let (identity, trouble) = self
            .programs
            .entry(path.clone())
            .or_insert_with(look)
            .clone();
        let program = Program {
            path,
            identity,
            former: Vec::new(),
        };
        (program, trouble)
    }

    /// Returns the numbers, as ranges, that a user whom nobody knows may have.
    pub(super) fn strangers(&self) -> Vec<(u32, u32)> {
        let mut others: Vec<_> = self
            .resolver
            .other_users()
            .into_iter()
            .map(|number| (number, number))
            .collect();
        others.push((NO_USER, NO_USER));
        outside(&others)
    }

    /// Returns the addresses that these sets may hold while their files are not known.
    pub(super) fn presumed(&self, sets: &[u32]) -> Vec<Addresses> {
        let presumed = sets
            .iter()
            .filter_map(|set| self.presumed.get(*set as usize));
        presumed.flatten().copied().collect()
    }
}
