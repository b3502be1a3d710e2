//! The driver's table of who is in which sets: read as an earlier service left it, and written.

use super::kept::{FILE, WrittenMember};
use super::known_sets::KnownTables;
use super::membership::{How, Membership};
use super::{Members, Now, REST};
use crate::driver::Driver;
use anyhow::{Context, Result};
use firewall_abi::firewall::{FlowEntry, FlowKey};
use firewall_abi::members::{Member, NO_CLASS, Stage, number_of};
use firewall_abi::rules::SETS_TABLES;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Instant;
use tracing::error;

impl Members {
    pub(super) fn read_table(
        &mut self,
        driver: &Driver,
        written: &[WrittenMember],
        now: Now,
    ) -> Result<()> {
        // The driver does not know by what they are in it.
        let by_name: BTreeMap<(&str, IpAddr), Arc<str>> = written
            .iter()
            .filter_map(|member| {
                let name = member.name.as_deref()?.into();
                Some(((member.set.as_str(), member.address), name))
            })
            .collect();
        let names: BTreeMap<u64, Arc<str>> = self
            .named
            .iter()
            .map(|name| (number_of(name), name.clone()))
            .collect();
        let (mut unknown, mut found) = (Vec::new(), Vec::new());
        driver.each("MEMBERS", |key: &[u8; 16], member: &Member| {
            for stage in member.stages.iter().filter(|stage| stage.until_ns != 0) {
                match names.get(&stage.set) {
                    Some(name) => found.push((name.clone(), address(key, member), stage.until_ns)),
                    None => unknown.push(address(key, member)),
                }
            }
        })?;
        for (name, address, until_ns) in found {
            let by = by_name.get(&(&*name, address));
            let how = by.map_or(How::Added, How::Named);
            self.join(&name, address, how, until_ns, now.boot_ns);
        }
        // Rules that are compiled from here on would not know what these are in.
        if !unknown.is_empty() {
            error!(
                "{} memberships of addresses in sets end, for the sets' names are lost with {FILE}: add them again",
                unknown.len()
            );
            unknown.retain(|address| !self.of.contains_key(address));
            self.put(driver, &KnownTables::default(), &unknown)?;
        }
        Ok(())
    }

    /// Has the driver know all of them, for what is known of its tables.
    /// Of tables of which nothing is known, what it has stays.
    pub fn put_all(&self, driver: &Driver, tables: &KnownTables) -> Result<()> {
        self.put(driver, tables, self.of.keys())
    }

    /// Writes all memberships to the driver, as [`Self::put_all`] does,
    /// and takes out each address that has joined nothing.
    pub fn put_no_other(&self, driver: &Driver, tables: &KnownTables) -> Result<()> {
        let mut others = Vec::new();
        driver.each("MEMBERS", |key: &[u8; 16], member: &Member| {
            others.push(address(key, member));
        })?;
        others.retain(|address| !self.of.contains_key(address));
        self.put(driver, tables, others.iter().chain(self.of.keys()))
    }

    /// Writes the memberships of these addresses to the driver.
    pub fn put<'a>(
        &self,
        driver: &Driver,
        tables: &KnownTables,
        addresses: impl IntoIterator<Item = &'a IpAddr>,
    ) -> Result<()> {
        let table = driver.table::<[u8; 16], Member>("MEMBERS")?;
        for address in addresses {
            let key = key(address);
            let Some(memberships) = self.of.get(address) else {
                table
                    .remove(&key)
                    .context("taking an address out of sets")?;
                continue;
            };
            let before = table.get(&key).context("reading MEMBERS")?;
            let member = member(*address, memberships, tables, before.as_ref());
            table
                .set(&key, &member)
                .context("the kernel did not take an address into a set")?;
        }
        Ok(())
    }

    /// Takes out the class that each has by the table that was at this place before:
    /// of the one that is there now nothing is known.
    pub fn leave_place(&self, driver: &Driver, place: u32) -> Result<()> {
        let table = driver.table::<[u8; 16], Member>("MEMBERS")?;
        for address in self.of.keys() {
            let key = key(address);
            if let Some(before) = table.get(&key).context("reading MEMBERS")? {
                table
                    .set(&key, &without_class_at(before, place))
                    .context("taking an address out of a table's sets")?;
            }
        }
        Ok(())
    }

    /// Has the rules asked again about the connections of what has changed, if it is time to; none: it is not.
    pub fn reclassify(&mut self, driver: &Driver) -> Result<Option<()>> {
        if self.ask.is_none_or(|due| Instant::now() < due) {
            return Ok(None);
        }
        let now = Instant::now();
        self.asked = Some(now);
        // What fails is tried again.
        self.ask = Some(now + REST);
        let is_changed = |side: &[u8; 16]| self.changed.contains(side);
        driver.reclassify_all(|key, _| is_changed(&key.local) || is_changed(&key.remote))?;
        self.changed.clear();
        self.ask = None;
        Ok(Some(()))
    }
}

impl Driver {
    /// Has the rules asked again about these connections.
    pub fn reclassify_all(&self, which: impl Fn(&FlowKey, &FlowEntry) -> bool) -> Result<()> {
        let mut found = Vec::new();
        for table in ["FLOWS", "PENDING", "ARRIVING"] {
            self.each(table, |key: &FlowKey, entry: &FlowEntry| {
                if which(key, entry) {
                    found.push(*key);
                }
            })?;
        }
        found.iter().try_for_each(|key| self.reclassify(key))
    }
}

/// An address's entry.
fn member(
    address: IpAddr,
    memberships: &[Membership],
    tables: &KnownTables,
    before: Option<&Member>,
) -> Member {
    let mut member = Member {
        is_v6: u64::from(address.is_ipv6()),
        ..Member::default()
    };
    for (from, stage) in member.stages.iter_mut().enumerate().take(memberships.len()) {
        let lasting = memberships.get(from..).unwrap_or_default();
        let Some(first) = lasting.first() else { break };
        let (until_ns, set) = (first.until_ns, number_of(&first.set));
        let old = before.and_then(|before| {
            let mut stages = before.stages.iter();
            stages.find(|old| (old.until_ns, old.set) == (until_ns, set))
        });
        let mut classes = old.map_or([NO_CLASS; SETS_TABLES as usize], |old| old.classes);
        for (class, known) in classes.iter_mut().zip(tables) {
            if let Some(known) = known {
                *class = known.class(address, lasting).unwrap_or(NO_CLASS);
            }
        }
        *stage = Stage {
            until_ns,
            set,
            classes,
        };
    }
    member
}

/// The entry of an address that is in no set of the table at this place.
fn without_class_at(mut member: Member, place: u32) -> Member {
    for stage in &mut member.stages {
        if let Some(class) = stage.classes.get_mut(place as usize) {
            *class = NO_CLASS;
        }
    }
    member
}

/// Returns the address as the driver finds it in a packet: IPv4 mapped into IPv6.
pub(super) fn key(address: &IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

fn address(key: &[u8; 16], member: &Member) -> IpAddr {
    let address = Ipv6Addr::from(*key);
    let v4 = address.to_ipv4_mapped().filter(|_| member.is_v6 == 0);
    v4.map_or(IpAddr::V6(address), IpAddr::V4)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::super::known_sets::KnownSets;
    use super::super::tests::address;
    use super::*;

    #[test]
    fn of_several_memberships_each_stage_is_what_lasts_until_its_end() {
        let text = "[default]\ninbound = 'allow'\noutbound = 'allow'\n\
            [[set]]\nid = 'a'\naddresses = []\n[[set]]\nid = 'b'\naddresses = '10.0.0.0/8'\n\
            [[set]]\nid = 'c'\naddresses = []\n\
            [[rule]]\nid = 'r'\naction = 'block'\nsource = ['@a', '@b', '@c']\n";
        let mut rules = rules::parse("r", text, &rules::NoResolver).unwrap();
        let mut members = Members::default();
        let who = [address(1)];
        members.add("a", &who, 20, 1).unwrap();
        members.add("unknown", &who, 30, 1).unwrap();
        let known = KnownSets::of(&rules).unwrap();
        assert!(
            members.lacking(&known).is_empty(),
            "one more is always known"
        );
        members.add("c", &who, 10, 1).unwrap();
        assert_eq!(members.lacking(&known), [Box::from([0, 1, 2])]);
        members.combine(&mut rules).unwrap();
        let mut tables = KnownTables::default();
        tables[3] = KnownSets::of(&rules);
        let old = Member {
            stages: [
                Stage {
                    until_ns: 20,
                    set: number_of("a"),
                    classes: [77; 8],
                },
                Stage::default(),
                Stage::default(),
                Stage::default(),
            ],
            is_v6: 0,
        };
        let memberships = &members.of[&who[0]];
        let member = member(who[0], memberships, &tables, Some(&old));
        let class = |of: &[u32]| rules.members().unwrap().class_with(who[0], of).unwrap();
        let at = |place, now| member.class(place, 4, now);
        assert_eq!(at(3, 9), Some(class(&[0, 2])));
        assert_eq!(at(3, 10), Some(class(&[0])));
        assert_eq!(
            at(3, 20),
            Some(class(&[])),
            "a set that the rules do not have"
        );
        assert_eq!(at(3, 30), None);
        // Of a table that is not known what the driver had stays, and else what the table says.
        assert_eq!((at(5, 9), at(5, 15), at(5, 25)), (None, Some(77), None));
        assert_eq!(
            member.class(3, 6, 9),
            None,
            "another address that looks like it"
        );
        // Where another table comes of which nothing is known, that of the one before does not stay.
        let member = without_class_at(member, 5);
        assert_eq!(member.class(5, 4, 15), None);
        assert_eq!(member.class(3, 4, 9), Some(class(&[0, 2])));
    }
}
