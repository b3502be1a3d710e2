//! Addresses that have joined sets since the rules were read: who asked for it, `gatebell set` or a program, needs no rules read
//! again and no generation.
//!
//! Rules that hold here:
//! - The driver's table is what holds, over restarts of the service too; the file on disk is for a start at which the kernel has
//!   none. It is written as a whole, at most once a second, and at the end.
//! - What joins a set joins it by the set's name: it is in it under rules that have one of that name, whatever else changes.
//! - Nothing is dropped in silence: what finds no room is refused.
//! - When a membership ends the driver compares; the service tidies up after it.

mod kept;

pub use kept::FILE;

use crate::driver::Driver;
use crate::keeper::Keeper;
use crate::named_sets::Join;
use crate::sweep::EVERY;
use anyhow::{Context, Result};
use control::{Refused, SetMember};
use firewall_abi::firewall::{FlowEntry, FlowKey};
use firewall_abi::members::{
    MAX_MEMBERS, MEMBER_STAGES, Member, NO_CLASS, NO_END, Stage, number_of,
};
use firewall_abi::rules::SETS_TABLES;
use kept::{Written, WrittenMember};
use rules::{Combination, Rules, Set, Sets};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracing::error;

/// How often it is written, and connections are looked through for those that the rules are asked about again.
const REST: Duration = Duration::from_secs(1);
/// How often what joined by its name alone is written: the next answer says it again.
const NAMED_REST: Duration = Duration::from_secs(60);
/// How many addresses may be in sets by their names: in all, in one set, and of one name there. The rest is for what is added.
const MOST_NAMED: usize = MAX_MEMBERS / 4;
const MOST_NAMED_OF_A_SET: usize = MOST_NAMED / 2;
const MOST_NAMED_OF_A_NAME: usize = 256;

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
    /// Until when it is in it by being added; 0: it was not.
    added_ns: u64,
    /// The name by which it is in it, and until when.
    named: Option<(Arc<str>, u64)>,
}

impl Membership {
    /// The name by which it is in it by now.
    fn name(&self, now_ns: u64) -> Option<&Arc<str>> {
        let (name, until_ns) = self.named.as_ref()?;
        (now_ns < *until_ns).then_some(name)
    }

    fn settle(&mut self) {
        let named = self.named.as_ref().map_or(0, |(_, until_ns)| *until_ns);
        self.until_ns = self.added_ns.max(named);
    }
}

/// How an address comes to be in a set.
enum How<'a> {
    Added,
    Named(&'a Arc<str>),
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
    /// What of it is lost.
    lost: Option<String>,
}

/// What was there before a change that could not be put in force.
pub struct Before(Vec<(IpAddr, Option<Vec<Membership>>)>);

impl Before {
    /// The same of these addresses alone.
    pub fn of(self, addresses: &[IpAddr]) -> Self {
        let before = self.0.into_iter();
        Self(
            before
                .filter(|(address, _)| addresses.contains(address))
                .collect(),
        )
    }
}

/// What has become of addresses that were to join sets by their names.
pub struct JoinedByName {
    /// Those that are in one by that.
    pub addresses: Vec<IpAddr>,
    pub before: Before,
    /// How many found no room.
    pub no_room: u64,
}

impl Members {
    /// What an earlier service left in the kernel; where that has nothing, what is on disk.
    pub fn found(driver: &Driver, folder: &Path, now: Now) -> Result<Self> {
        let (written, lost) = kept::read(folder);
        let mut members = if driver.adopted() {
            let mut members = Self::knowing(&written.sets);
            members.read_table(driver, &written.members, now)?;
            // A service that was killed may not have written all of it.
            members.save = Some(Instant::now());
            members
        } else {
            Self::of_written(written, now)
        };
        members.lost = lost.or(members.lost);
        members.lost.iter().for_each(|lost| error!("{lost}"));
        Ok(members)
    }

    fn knowing(sets: &[String]) -> Self {
        Self {
            named: sets.iter().map(|set| set.as_str().into()).collect(),
            ..Self::default()
        }
    }

    /// A file may hold more than there is room for: another release's, or one that people have put together.
    fn of_written(written: Written, now: Now) -> Self {
        let mut members = Self::knowing(&written.sets);
        let mut no_room = 0_u64;
        for WrittenMember {
            set,
            address,
            until,
            name,
        } in written.members
        {
            let until_ns = until.map_or(NO_END, |until| now.boot_ns(until));
            if !members.has_room(&set, address, now.boot_ns) {
                no_room += 1;
                continue;
            }
            let name = name.map(Arc::from);
            let how = name.as_ref().map_or(How::Added, How::Named);
            members.join(&set, address, how, until_ns, now.boot_ns);
        }
        members.lost = (no_room > 0).then(|| {
            format!(
                "{no_room} addresses that had joined sets are in them no more: {MAX_MEMBERS} may be, each in {MEMBER_STAGES} sets; put \
                 them into a file that the rule file names"
            )
        });
        members
    }

    /// Whether there is room for an address in this set.
    fn has_room(&self, set: &str, address: IpAddr, now_ns: u64) -> bool {
        if self.of.contains_key(&address) {
            !self.is_crowded(set, &address, now_ns)
        } else {
            self.of.len() < MAX_MEMBERS
        }
    }

    /// Whether an address is in as many other sets as it may be.
    fn is_crowded(&self, set: &str, address: &IpAddr, now_ns: u64) -> bool {
        let others =
            |membership: &&Membership| *membership.set != *set && now_ns < membership.until_ns;
        let memberships = self.of.get(address).map_or(&[][..], Vec::as_slice);
        memberships.iter().filter(others).count() >= MEMBER_STAGES
    }

    /// Why something is in no set any more that was, since this service began.
    pub fn trouble(&self) -> Option<String> {
        self.lost.clone()
    }

    fn read_table(&mut self, driver: &Driver, written: &[WrittenMember], now: Now) -> Result<()> {
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
        let crowded = addresses
            .iter()
            .find(|address| self.is_crowded(set, address, now_ns));
        if let Some(crowded) = crowded {
            return Err(Refused::SetFull(format!(
                "{crowded} is in {MEMBER_STAGES} sets by being added, which is the most; nothing was changed"
            )));
        }
        let before = self.before(addresses);
        let mut added = 0;
        for address in addresses {
            added += u64::from(self.join(set, *address, How::Added, until_ns, now_ns));
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
        .map(|(address, membership)| SetMember {
            set: membership.set.to_string(),
            address: *address,
            seconds_left: (membership.until_ns != NO_END)
                .then(|| (membership.until_ns - now_ns).div_ceil(1_000_000_000)),
            name: membership.name(now_ns).map(ToString::to_string),
        })
        .collect()
    }

    /// True: it was not in it.
    fn join(
        &mut self,
        set: &str,
        address: IpAddr,
        how: How<'_>,
        until_ns: u64,
        now_ns: u64,
    ) -> bool {
        if until_ns <= now_ns {
            return false;
        }
        let memberships = self.of.entry(address).or_default();
        memberships.retain(|membership| now_ns < membership.until_ns);
        let place = memberships
            .iter()
            .position(|membership| *membership.set == *set);
        let known = place.map(|place| memberships.remove(place));
        let is_new = known.is_none();
        let set: Arc<str> = match self.named.get(set) {
            Some(known) => known.clone(),
            None => {
                self.unnamed = true;
                set.into()
            }
        };
        let mut membership = known.unwrap_or(Membership {
            set,
            until_ns: 0,
            added_ns: 0,
            named: None,
        });
        match how {
            How::Added => membership.added_ns = until_ns,
            How::Named(name) => {
                let lasts = membership
                    .named
                    .take()
                    .filter(|(_, other)| until_ns < *other);
                membership.named = lasts.or_else(|| Some((name.clone(), until_ns)));
            }
        }
        membership.settle();
        // Of those that end at the same time the order is the same each time.
        let order = |of: &Membership| (of.until_ns, of.set.clone());
        let place = memberships.partition_point(|other| order(other) < order(&membership));
        memberships.insert(place, membership);
        is_new
    }

    /// Has addresses join sets by their names. What finds no room does not.
    pub fn join_by_name(&mut self, joins: &[Join], now: Instant, now_ns: u64) -> JoinedByName {
        let addresses: Vec<IpAddr> = joins.iter().map(|join| join.holds.address).collect();
        let before = self.before(&addresses);
        let mut room = self.named_room(joins.len(), now_ns);
        let (mut joined, mut new, mut no_room) = (Vec::new(), Vec::new(), 0);
        for Join { set, holds } in joins {
            let left = holds.until.saturating_duration_since(now).as_nanos();
            let left = u64::try_from(left).unwrap_or(u64::MAX);
            let until_ns = now_ns.saturating_add(left).min(NO_END - 1);
            if !self.has_room_by_name(set, &holds.name, holds.address, now_ns, &mut room) {
                no_room += 1;
                continue;
            }
            if self.join(
                set,
                holds.address,
                How::Named(&holds.name),
                until_ns,
                now_ns,
            ) {
                new.push(holds.address);
            }
            joined.push(holds.address);
        }
        if !joined.is_empty() {
            self.note_save(NAMED_REST);
        }
        // What had joined before is asked about no more than once.
        self.note_asked(&new);
        joined.sort_unstable();
        joined.dedup();
        JoinedByName {
            addresses: joined,
            before,
            no_room,
        }
    }

    fn has_room_by_name(
        &self,
        set: &Arc<str>,
        name: &Arc<str>,
        address: IpAddr,
        now_ns: u64,
        room: &mut Option<NamedCount>,
    ) -> bool {
        let memberships = self.of.get(&address).map_or(&[][..], Vec::as_slice);
        let lasts = |membership: &&Membership| now_ns < membership.until_ns;
        let own = memberships
            .iter()
            .filter(lasts)
            .find(|membership| membership.set == *set);
        if own.is_some_and(|own| own.name(now_ns).is_some()) {
            return true;
        }
        self.has_room(set, address, now_ns) && room.as_mut().is_none_or(|room| room.take(set, name))
    }

    /// What is in sets by names; none: so little that there is room for so many more in any case.
    fn named_room(&self, more: usize, now_ns: u64) -> Option<NamedCount> {
        if self.of.len() + more < MOST_NAMED_OF_A_NAME {
            return None;
        }
        let mut count = NamedCount::default();
        for membership in self.of.values().flatten() {
            if let Some(name) = membership.name(now_ns) {
                count.add(&membership.set, name);
            }
        }
        Some(count)
    }

    /// Has names for which no set asks any more keep nothing in one. Returns whose they were.
    pub fn drop_unasked(&mut self, asks: impl Fn(&str, &str) -> bool) -> Vec<IpAddr> {
        let mut changed = Vec::new();
        self.of.retain(|address, memberships| {
            for membership in memberships.iter_mut() {
                let unasked = |(name, _): &(Arc<str>, u64)| !asks(&membership.set, name);
                if membership.named.as_ref().is_some_and(unasked) {
                    membership.named = None;
                    membership.settle();
                    changed.push(*address);
                }
            }
            memberships.retain(|membership| membership.until_ns != 0);
            memberships
                .sort_by(|one, other| (one.until_ns, &one.set).cmp(&(other.until_ns, &other.set)));
            !memberships.is_empty()
        });
        if !changed.is_empty() {
            self.note(&changed);
        }
        changed
    }

    fn before(&self, addresses: &[IpAddr]) -> Before {
        let before = addresses
            .iter()
            .map(|address| (*address, self.of.get(address).cloned()));
        Before(before.collect())
    }

    /// Something has changed of these.
    fn note(&mut self, addresses: &[IpAddr]) {
        self.note_save(REST);
        self.note_asked(addresses);
    }

    fn note_save(&mut self, rest: Duration) {
        let due = due(self.saved, rest);
        self.save = Some(self.save.map_or(due, |before| before.min(due)));
    }

    /// The rules are to be asked again about their connections.
    fn note_asked(&mut self, addresses: &[IpAddr]) {
        if addresses.is_empty() {
            return;
        }
        self.changed.extend(addresses.iter().map(key));
        self.ask.get_or_insert_with(|| due(self.asked, REST));
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
        let (mut over, mut ended) = (Vec::new(), Vec::new());
        self.of.retain(|address, memberships| {
            let are_over = memberships.iter().filter(|of| of.until_ns <= now_ns);
            // Connections outlive the answer of DNS by which they began: what was allowed goes on.
            let by_name = are_over.clone().all(|of| of.added_ns < of.until_ns);
            if are_over.count() > 0 {
                over.push(*address);
                ended.extend((!by_name).then_some(*address));
            }
            memberships.retain(|membership| now_ns < membership.until_ns);
            !memberships.is_empty()
        });
        if !over.is_empty() {
            self.note_save(if ended.is_empty() { NAMED_REST } else { REST });
        }
        self.note_asked(&ended);
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
            memberships.iter().flat_map(|membership| {
                let written = |until_ns: u64, name: Option<String>| WrittenMember {
                    set: membership.set.to_string(),
                    address: *address,
                    until: (until_ns != NO_END).then(|| now.since_1970(until_ns)),
                    name,
                };
                let added = membership.added_ns;
                let added = (added != 0).then(|| written(added, None));
                let named = membership.named.as_ref();
                let named = named.map(|(name, until)| written(*until, Some(name.to_string())));
                added.into_iter().chain(named)
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
        driver.ask_anew_about(|key, _| is_changed(&key.local) || is_changed(&key.remote))?;
        self.changed.clear();
        self.ask = None;
        Ok(Some(()))
    }
}

/// How many addresses are in sets by names.
#[derive(Default)]
struct NamedCount {
    all: usize,
    of_set: HashMap<Arc<str>, usize>,
    of_name: HashMap<(Arc<str>, Arc<str>), usize>,
}

impl NamedCount {
    fn add(&mut self, set: &Arc<str>, name: &Arc<str>) {
        self.all += 1;
        *self.of_set.entry(set.clone()).or_default() += 1;
        *self.of_name.entry((set.clone(), name.clone())).or_default() += 1;
    }

    /// Whether there is room for one more; it is taken.
    fn take(&mut self, set: &Arc<str>, name: &Arc<str>) -> bool {
        let of_set = self.of_set.get(set).copied().unwrap_or(0);
        let of_name = self.of_name.get(&(set.clone(), name.clone()));
        let has_room = self.all < MOST_NAMED
            && of_set < MOST_NAMED_OF_A_SET
            && of_name.copied().unwrap_or(0) < MOST_NAMED_OF_A_NAME;
        if has_room {
            self.add(set, name);
        }
        has_room
    }
}

/// When something may be done again that was done then.
fn due(last: Option<Instant>, rest: Duration) -> Instant {
    let now = Instant::now();
    last.map_or(now, |last| (last + rest).max(now))
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
    pub fn ask_anew_about(&self, which: impl Fn(&FlowKey, &FlowEntry) -> bool) -> Result<()> {
        let mut found = Vec::new();
        for table in ["FLOWS", "PENDING", "ARRIVING"] {
            self.each(table, |key: &FlowKey, entry: &FlowEntry| {
                if which(key, entry) {
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
    fn what_a_file_holds_beyond_the_room_is_left_out_and_said_and_the_rest_holds() {
        let member = |set: &str, n: u32| WrittenMember {
            set: set.to_owned(),
            address: address(n),
            until: None,
            name: None,
        };
        let beyond = (0..MAX_MEMBERS as u32 + 10).map(|n| member("a", n));
        let crowded = ["b", "c", "d", "e", "f"].map(|set| member(set, 7));
        let written = Written {
            sets: Vec::new(),
            members: beyond.chain(crowded).collect(),
        };
        let now = Now {
            boot_ns: 1,
            unix_ms: 1,
        };
        let members = Members::of_written(written, now);
        assert_eq!(members.list(None, 1).len(), MAX_MEMBERS + 3);
        let lost = members.trouble().unwrap_or_default();
        assert!(lost.starts_with("12 addresses"), "{lost}");
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

    /// What says of this name that it has this address, for so long from now on.
    fn join(set: &str, name: &str, n: u32, now: Instant, seconds: u64) -> Join {
        Join {
            set: set.into(),
            holds: names::Holds {
                name: name.into(),
                address: address(n),
                resolver: address(0),
                until: now + Duration::from_secs(seconds),
            },
        }
    }

    #[test]
    fn what_joins_by_names_is_bounded_and_leaves_room_for_what_is_added() {
        let (now, mut members) = (Instant::now(), Members::default());
        let all = |names: u32, of_each: u32| -> Vec<Join> {
            let each = (0..names * of_each).map(|n| {
                let (set, name) = (format!("s{}", n % 4), format!("{}.example", n % names));
                join(&set, &name, n, now, 60)
            });
            each.collect()
        };
        let one = all(1, 4 * MOST_NAMED_OF_A_NAME as u32 + 9);
        assert_eq!(members.join_by_name(&one, now, 1).no_room, 9, "of one name");
        let again = members.join_by_name(&one[..9], now, 2);
        assert_eq!((again.no_room, again.addresses.len()), (0, 9));
        let mut members = Members::default();
        let beyond = all(512, 40);
        let joined = members.join_by_name(&beyond, now, 1);
        assert_eq!(joined.no_room as usize, beyond.len() - MOST_NAMED, "in all");
        let added: Vec<_> = (100_000..100_000 + (MAX_MEMBERS - MOST_NAMED) as u32)
            .map(address)
            .collect();
        members.add("a", &added, NO_END, 1).unwrap();
        // An address may be in four sets, and what is over makes room.
        let mut members = Members::default();
        for set in ["a", "b", "c", "d"] {
            members.add(set, &[address(7)], 9, 1).unwrap();
        }
        let fifth = [join("e", "x.example", 7, now, 60)];
        assert_eq!(members.join_by_name(&fifth, now, 1).no_room, 1);
        assert_eq!(members.join_by_name(&fifth, now, 9).no_room, 0);
    }

    #[test]
    fn an_address_that_was_added_and_has_a_name_stays_as_long_as_the_longer_and_its_connections_outlive_the_answer()
     {
        const SECOND: u64 = 1_000_000_000;
        let (now, mut members) = (Instant::now(), Members::default());
        let asked_about = |members: &mut Members| !std::mem::take(&mut members.changed).is_empty();
        members.join_by_name(&[join("a", "x.example", 1, now, 60)], now, 1);
        assert!(asked_about(&mut members), "it is new there");
        members.join_by_name(&[join("a", "y.example", 1, now, 30)], now, 1);
        assert!(!asked_about(&mut members));
        let shown = |members: &Members, at: u64| {
            let list = members.list(None, at);
            list.into_iter()
                .next()
                .map(|member| (member.name, member.seconds_left))
        };
        let x = Some("x.example".to_owned());
        assert_eq!(shown(&members, 1), Some((x.clone(), Some(60))));
        members.add("a", &[address(1)], 90 * SECOND + 1, 1).unwrap();
        assert_eq!(shown(&members, 1), Some((x, Some(90))));
        assert_eq!(shown(&members, 70 * SECOND + 1), Some((None, Some(20))));
        asked_about(&mut members);
        assert_eq!(members.forget_over(90 * SECOND + 1), [address(1)]);
        assert!(asked_about(&mut members), "it was added for so long");
        members.join_by_name(&[join("a", "x.example", 1, now, 60)], now, 1);
        asked_about(&mut members);
        assert_eq!(members.forget_over(60 * SECOND + 1), [address(1)]);
        assert!(!asked_about(&mut members), "an answer was over");
        members.join_by_name(&[join("a", "x.example", 1, now, 60)], now, 1);
        members.add("b", &[address(1)], NO_END, 1).unwrap();
        assert_eq!(
            members.drop_unasked(|_, name| name != "x.example"),
            [address(1)]
        );
        assert!(!members.has("a", address(1), 1) && members.has("b", address(1), 1));
        // Both are written, each by itself.
        let at = Now {
            boot_ns: 1,
            unix_ms: 1000,
        };
        members.join_by_name(&[join("b", "x.example", 1, now, 60)], now, 1);
        let written = members.written(at);
        let names: Vec<_> = written
            .iter()
            .map(|of| (of.until, of.name.as_deref()))
            .collect();
        assert_eq!(names, [(None, None), (Some(61_000), Some("x.example"))]);
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
