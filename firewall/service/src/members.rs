//! Addresses that have joined sets since the rules were read: who asked for it, `gatebell set` or a program, needs no rules read
//! again and no generation.
//!
//! Rules that hold here:
//! - The driver's table is what holds, over restarts of the service too; the file on disk is for a start at which the kernel has
//!   none. It is written as a whole, at most once a second, and at the end.
//! - What joins a set joins it by the set's name: it is in it under rules that have one of that name, whatever else changes.
//! - Nothing is dropped in silence: what finds no room is refused.
//! - When a membership ends the driver compares; the service tidies up after it.

use crate::driver::Driver;
use crate::folders;
use crate::keeper::Keeper;
use crate::sweep::EVERY;
use anyhow::{Context, Result};
use control::{Refused, SetMember};
use firewall_abi::firewall::{FlowEntry, FlowKey};
use firewall_abi::members::{
    MAX_MEMBERS, MEMBER_STAGES, Member, NO_CLASS, NO_END, Stage, number_of,
};
use firewall_abi::rules::SETS_TABLES;
use rules::{Combination, Rules, Set, Sets};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracing::error;

/// The file, in the folder for what is kept.
pub const FILE: &str = "members.json";
/// How often it is written, and connections are looked through for those that the rules are asked about again.
const REST: Duration = Duration::from_secs(1);

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
    fn class(&self, address: IpAddr, memberships: &[Membership]) -> Result<u32, Combination> {
        let number = |membership: &Membership| {
            let place = self.names.iter().position(|name| *name == *membership.set);
            place.and_then(|place| u32::try_from(place).ok())
        };
        let joined: Vec<u32> = memberships.iter().filter_map(number).collect();
        self.table.class_with(address, &joined)
    }
}

/// What is known of each table of sets that the driver has, by its place.
pub type Tables = [Option<Arc<KnownSets>>; SETS_TABLES as usize];

/// A set that an address has joined.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Membership {
    set: Arc<str>,
    until_ns: u64,
}

/// Who has joined what.
#[derive(Debug, Default)]
pub struct Members {
    /// Each address's memberships in the order in which they end.
    of: BTreeMap<IpAddr, Vec<Membership>>,
    /// The names of sets that the file on disk has, by which the next service reads the driver's table.
    named: BTreeSet<Arc<str>>,
    /// Whether one of them is in none of these.
    unnamed: bool,
    /// When the file is written, if it is not what holds.
    save: Option<Instant>,
    saved: Option<Instant>,
    /// Addresses about whose connections the rules are to be asked again, and when.
    changed: HashSet<[u8; 16]>,
    ask: Option<Instant>,
    asked: Option<Instant>,
}

/// What was there before a change that could not be put in force.
pub struct Before(Vec<(IpAddr, Option<Vec<Membership>>)>);

/// The file on disk.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Written {
    /// The names of all sets that something has joined.
    sets: Vec<String>,
    members: Vec<WrittenMember>,
}

#[derive(Debug, Serialize, Deserialize)]
struct WrittenMember {
    set: String,
    address: IpAddr,
    /// Milliseconds since 1970; none: no end.
    until: Option<u64>,
}

impl Members {
    /// What an earlier service left in the kernel; where that has nothing, what is on disk.
    pub fn found(driver: &Driver, folder: &Path, now: Now) -> Result<Self> {
        let written = read(folder).unwrap_or_else(|cause| {
            error!("what had joined sets is not known: {cause:#}");
            Written::default()
        });
        let mut members = Self {
            named: written.sets.iter().map(|set| set.as_str().into()).collect(),
            ..Self::default()
        };
        if driver.adopted() {
            members.read_table(driver, now)?;
            // A service that was killed may not have written all of it.
            members.save = Some(Instant::now());
        } else {
            for WrittenMember {
                set,
                address,
                until,
            } in written.members
            {
                let until_ns = until.map_or(NO_END, |until| now.boot_ns(until));
                members.join(&set, address, until_ns, now.boot_ns);
            }
        }
        Ok(members)
    }

    fn read_table(&mut self, driver: &Driver, now: Now) -> Result<()> {
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
            self.join(&name, address, until_ns, now.boot_ns);
        }
        // Rules that are compiled from here on would not know what these are in.
        if !unknown.is_empty() {
            error!(
                "{} memberships of addresses in sets end, for the sets' names are lost with {FILE}: add them again",
                unknown.len()
            );
            unknown.retain(|address| !self.of.contains_key(address));
            self.put(driver, &Tables::default(), &unknown)?;
        }
        Ok(())
    }

    /// Whether nothing has joined anything.
    pub fn is_empty(&self) -> bool {
        self.of.is_empty()
    }

    /// Has these addresses join a set until then. Returns how many were not in it by this, and what was there before.
    ///
    /// # Errors
    /// There is no room; nothing has changed.
    pub fn add(
        &mut self,
        set: &str,
        addresses: &[IpAddr],
        until_ns: u64,
        now_ns: u64,
    ) -> Result<(u64, Before), Refused> {
        let new: BTreeSet<&IpAddr> = addresses
            .iter()
            .filter(|address| !self.of.contains_key(address))
            .collect();
        if self.of.len() + new.len() > MAX_MEMBERS {
            return Err(Refused::SetFull(format!(
                "{MAX_MEMBERS} addresses may be in sets by being added, and {} are: take some out, let them end with --for, or put \
                 them into a file that the rule file names; nothing was changed",
                self.of.len()
            )));
        }
        let crowded = addresses.iter().find(|address| {
            let others =
                |membership: &&Membership| *membership.set != *set && now_ns < membership.until_ns;
            let memberships = self.of.get(address).map_or(&[][..], Vec::as_slice);
            memberships.iter().filter(others).count() >= MEMBER_STAGES
        });
        if let Some(crowded) = crowded {
            return Err(Refused::SetFull(format!(
                "{crowded} is in {MEMBER_STAGES} sets by being added, which is the most; nothing was changed"
            )));
        }
        let before = self.before(addresses);
        let mut added = 0;
        for address in addresses {
            added += u64::from(self.join(set, *address, until_ns, now_ns));
        }
        self.note(addresses);
        Ok((added, before))
    }

    /// Takes these addresses out of a set. Returns how many were in it by having joined it, and what was there before.
    pub fn remove(&mut self, set: &str, addresses: &[IpAddr]) -> (u64, Before) {
        let before = self.before(addresses);
        let mut removed = 0;
        for address in addresses {
            let Some(memberships) = self.of.get_mut(address) else {
                continue;
            };
            let were = memberships.len();
            memberships.retain(|membership| *membership.set != *set);
            removed += (were - memberships.len()) as u64;
            if memberships.is_empty() {
                self.of.remove(address);
            }
        }
        self.note(addresses);
        (removed, before)
    }

    /// Undoes a change.
    pub fn restore(&mut self, Before(before): Before) {
        for (address, memberships) in before {
            match memberships {
                Some(memberships) => self.of.insert(address, memberships),
                None => self.of.remove(&address),
            };
        }
    }

    /// Whether the address has joined this set, by now.
    pub fn has(&self, set: &str, address: IpAddr, now_ns: u64) -> bool {
        let memberships = self.of.get(&address).into_iter().flatten();
        memberships
            .filter(|membership| now_ns < membership.until_ns)
            .any(|membership| *membership.set == *set)
    }

    /// Who is in this set by now, or in any.
    pub fn list(&self, set: Option<&str>, now_ns: u64) -> Vec<SetMember> {
        let of = self.of.iter().flat_map(|(address, memberships)| {
            memberships
                .iter()
                .map(move |membership| (address, membership))
        });
        of.filter(|(_, membership)| {
            now_ns < membership.until_ns && set.is_none_or(|set| *membership.set == *set)
        })
        .map(|(address, Membership { set, until_ns })| SetMember {
            set: set.to_string(),
            address: *address,
            seconds_left: (*until_ns != NO_END)
                .then(|| (until_ns - now_ns).div_ceil(1_000_000_000)),
        })
        .collect()
    }

    /// True: it was not in it.
    fn join(&mut self, set: &str, address: IpAddr, until_ns: u64, now_ns: u64) -> bool {
        if until_ns <= now_ns {
            return false;
        }
        let memberships = self.of.entry(address).or_default();
        memberships.retain(|membership| now_ns < membership.until_ns);
        let were = memberships.len();
        memberships.retain(|membership| *membership.set != *set);
        let is_new = were == memberships.len();
        let set: Arc<str> = match self.named.get(set) {
            Some(known) => known.clone(),
            None => {
                self.unnamed = true;
                set.into()
            }
        };
        // Of those that end at the same time the order is the same each time.
        let place =
            memberships.partition_point(|other| (other.until_ns, &other.set) < (until_ns, &set));
        memberships.insert(place, Membership { set, until_ns });
        is_new
    }

    fn before(&self, addresses: &[IpAddr]) -> Before {
        let before = addresses
            .iter()
            .map(|address| (*address, self.of.get(address).cloned()));
        Before(before.collect())
    }

    /// Something has changed of these.
    fn note(&mut self, addresses: &[IpAddr]) {
        let due = |last: Option<Instant>| {
            let now = Instant::now();
            last.map_or(now, |last| (last + REST).max(now))
        };
        self.save.get_or_insert_with(|| due(self.saved));
        self.changed.extend(addresses.iter().map(key));
        self.ask.get_or_insert_with(|| due(self.asked));
    }

    /// When there is something to be done.
    pub fn due(&self) -> Option<Duration> {
        let first = self.save.into_iter().chain(self.ask).min()?;
        Some(first.saturating_duration_since(Instant::now()))
    }

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
    pub fn any_lacking(&self, addresses: &[IpAddr], tables: &Tables) -> bool {
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

    /// Has the driver know all of them, for what is known of its tables. Of tables of which nothing is known, what it has stays.
    pub fn put_all(&self, driver: &Driver, tables: &Tables) -> Result<()> {
        self.put(driver, tables, self.of.keys())
    }

    /// The same, and takes out whoever has joined nothing.
    pub fn put_no_other(&self, driver: &Driver, tables: &Tables) -> Result<()> {
        let mut others = Vec::new();
        driver.each("MEMBERS", |key: &[u8; 16], member: &Member| {
            others.push(address(key, member));
        })?;
        others.retain(|address| !self.of.contains_key(address));
        self.put(driver, tables, others.iter().chain(self.of.keys()))
    }

    /// The same of these addresses.
    pub fn put<'a>(
        &self,
        driver: &Driver,
        tables: &Tables,
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

    /// Forgets the memberships that are over. Returns whose they were.
    pub fn forget_over(&mut self, now_ns: u64) -> Vec<IpAddr> {
        let mut over = Vec::new();
        self.of.retain(|address, memberships| {
            let were = memberships.len();
            memberships.retain(|membership| now_ns < membership.until_ns);
            if memberships.len() < were {
                over.push(*address);
            }
            !memberships.is_empty()
        });
        if !over.is_empty() {
            self.note(&over);
        }
        over
    }

    /// Writes the file, if it is time to or has to be at once.
    pub fn save(&mut self, keeper: &Keeper, now: Now, at_once: bool) {
        let is_due = self.save.is_some_and(|due| due <= Instant::now());
        if self.save.is_none() || !(at_once || is_due || self.unnamed) {
            return;
        }
        let sets = self.of.values().flatten().map(|of| of.set.clone());
        self.named = sets.collect();
        let written = Written {
            sets: self.named.iter().map(ToString::to_string).collect(),
            members: self.written(now),
        };
        self.unnamed = false;
        self.save = None;
        self.saved = Some(Instant::now());
        keeper.keep_members(serde_json::to_string(&written).unwrap_or_default() + "\n");
    }

    fn written(&self, now: Now) -> Vec<WrittenMember> {
        let of = self.of.iter().flat_map(|(address, memberships)| {
            memberships.iter().map(|membership| WrittenMember {
                set: membership.set.to_string(),
                address: *address,
                until: (membership.until_ns != NO_END).then(|| now.since_1970(membership.until_ns)),
            })
        });
        of.collect()
    }

    /// Has the rules asked again about the connections of what has changed, if it is time to; none: it is not.
    pub fn ask_anew(&mut self, driver: &Driver) -> Result<Option<()>> {
        if self.ask.is_none_or(|due| Instant::now() < due) {
            return Ok(None);
        }
        let now = Instant::now();
        self.asked = Some(now);
        // What fails is tried again.
        self.ask = Some(now + REST);
        let is_changed = |side: &[u8; 16]| self.changed.contains(side);
        driver.ask_anew_about(|key| is_changed(&key.local) || is_changed(&key.remote))?;
        self.changed.clear();
        self.ask = None;
        Ok(Some(()))
    }
}

/// Now, by both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// The clock that includes sleep.
    pub boot_ns: u64,
    /// Milliseconds since 1970.
    pub unix_ms: u64,
}

impl Now {
    /// A moment of the other clock.
    fn boot_ns(self, unix_ms: u64) -> u64 {
        let left = unix_ms.saturating_sub(self.unix_ms);
        if left == 0 {
            return 0;
        }
        self.boot_ns
            .saturating_add(left.saturating_mul(1_000_000))
            .min(NO_END - 1)
    }

    fn since_1970(self, boot_ns: u64) -> u64 {
        let left = boot_ns.saturating_sub(self.boot_ns).div_ceil(1_000_000);
        self.unix_ms.saturating_add(left)
    }
}

/// An address's entry.
fn member(
    address: IpAddr,
    memberships: &[Membership],
    tables: &Tables,
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

/// As the driver finds it in a packet.
fn key(address: &IpAddr) -> [u8; 16] {
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

fn read(folder: &Path) -> Result<Written> {
    let path = folder.join(FILE);
    if !path.exists() {
        return Ok(Written::default());
    }
    folders::check(folder)?;
    let text =
        fs::read_to_string(&path).with_context(|| format!("can't read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is no such file", path.display()))
}

/// What is said of a set that the rules do not have.
pub fn no_such_set(set: &str, sets: &[Set]) -> Refused {
    let names: Vec<_> = sets.iter().map(|set| format!("`{}`", set.id)).collect();
    let known = match &names[..] {
        [] => {
            "they have none; add a [[set]] to the rule file, and a rule that asks for it".to_owned()
        }
        names => format!("they have {}", names.join(", ")),
    };
    Refused::NoSuchSet(format!(
        "the rules in force have no set `{set}`: {known}; nothing was changed"
    ))
}

/// What is said of an address that the rule file has in a set.
pub fn stays(set: &Set, rule_file: &str, address: IpAddr) -> Refused {
    let list = set
        .file
        .as_ref()
        .map_or(String::new(), |list| format!(", or its list {list}"));
    Refused::StaysInSet(format!(
        "{address} was not added to `{0}`: the rule file has it there, {rule_file}:{1}{list}, and only what was added can be removed; take \
         it out there, or name it in `except`; nothing was changed",
        set.id, set.line
    ))
}

impl Driver {
    /// Has the rules asked again about these connections.
    pub fn ask_anew_about(&self, which: impl Fn(&FlowKey) -> bool) -> Result<()> {
        let mut found = Vec::new();
        for table in ["FLOWS", "PENDING", "ARRIVING"] {
            self.each(table, |key: &FlowKey, _: &FlowEntry| {
                if which(key) {
                    found.push(*key);
                }
            })?;
        }
        found.iter().try_for_each(|key| self.ask_anew(key))
    }
}

const _: () = assert!(REST.as_secs() < EVERY.as_secs());

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;

    fn address(n: u32) -> IpAddr {
        std::net::Ipv4Addr::from_bits(0x0A00_0000 + n).into()
    }

    #[test]
    fn what_finds_no_room_in_sets_is_refused_and_changes_nothing() {
        let mut members = Members::default();
        let all: Vec<_> = (0..MAX_MEMBERS as u32).map(address).collect();
        assert_eq!(
            members.add("a", &all, NO_END, 1).unwrap().0,
            MAX_MEMBERS as u64
        );
        let beyond = [address(7), address(MAX_MEMBERS as u32)];
        let refused = members.add("b", &beyond, NO_END, 1);
        assert!(matches!(refused, Err(Refused::SetFull(_))));
        assert!(!members.has("b", address(7), 1));
        for set in ["b", "c", "d"] {
            members.add(set, &beyond[..1], NO_END, 1).unwrap();
        }
        let fifth = members.add("e", &beyond[..1], NO_END, 1);
        assert!(matches!(fifth, Err(Refused::SetFull(_))));
        assert_eq!(members.list(None, 1).len(), MAX_MEMBERS + 3);
        // What is over makes room.
        members.add("d", &beyond[..1], 9, 1).unwrap();
        members.add("e", &beyond[..1], NO_END, 9).unwrap();
        assert!(!members.has("d", address(7), 9) && members.has("e", address(7), 9));
    }

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
        let mut tables = Tables::default();
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
    }
}
