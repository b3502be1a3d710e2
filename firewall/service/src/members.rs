//! Addresses that have joined sets since the rules were read: who asked for it, `gatebell set` or a program, needs no
//! rules read again and no generation.
//!
//! Rules that hold here:
//! - The driver's table is what holds, over restarts of the service too; the file on disk is for a start at which the
//!   kernel has none. It is written as a whole, at most once a second, and at the end.
//! - What joins a set joins it by the set's name: it is in it under rules that have one of
//!   that name, whatever else changes.
//! - Nothing is dropped in silence: what finds no room is refused.
//! - When a membership ends the driver compares; the service tidies up after it.

mod by_name;
mod clocks;
mod driver_table;
mod kept;
mod known_sets;
mod membership;

pub use by_name::JoinedByName;
pub use clocks::Now;
pub use kept::FILE;
pub use known_sets::{KnownSets, KnownTables};

use crate::driver::Driver;
use crate::keeper::Keeper;
use crate::sweep::EVERY;
use crate::troubles::Trouble;
use anyhow::Result;
use control::{Refused, SetMember};
use driver_table::key;
use firewall_abi::members::{MAX_MEMBERS, MEMBER_STAGES, NO_END};
use kept::Written;
use membership::{How, Membership};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Interval of writing the file, and of looking for the connections about which the rules are asked again.
const REST: Duration = Duration::from_secs(1);
/// Interval of writing what joined by its name alone: the next DNS answer says it again.
const NAMED_REST: Duration = Duration::from_secs(60);

/// Memberships of addresses in sets.
#[derive(Debug, Default)]
pub struct Members {
    /// Each address's memberships in the order in which they end.
    of: BTreeMap<IpAddr, Vec<Membership>>,
    /// The names of sets that the file on disk has, by which the next service reads the driver's table.
    named: BTreeSet<Arc<str>>,
    /// `true` if a set of some membership is not among these names.
    unnamed: bool,
    /// Moment at which the file is written, or `None` if it holds what is in force.
    save: Option<Instant>,
    saved: Option<Instant>,
    /// Lead of the day's clock over the one that ends are told by, in milliseconds, at the last look.
    ahead_ms: Option<u64>,
    /// Addresses about whose connections the rules are to be asked again, and when.
    changed: HashSet<[u8; 16]>,
    ask: Option<Instant>,
    asked: Option<Instant>,
    /// Message about memberships that are lost, or `None` if none are.
    lost: Option<String>,
    trouble: Trouble,
}

/// Memberships from before a change that could not be put in force.
pub struct MembersBefore(Vec<(IpAddr, Option<Vec<Membership>>)>);

impl MembersBefore {
    /// Keeps the memberships of these addresses alone.
    pub fn of(self, addresses: &[IpAddr]) -> Self {
        let before = self.0.into_iter();
        Self(
            before
                .filter(|(address, _)| addresses.contains(address))
                .collect(),
        )
    }
}

impl Members {
    /// Reads the memberships that an earlier service left in the kernel or, if there are none, those on disk.
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
        members.trouble.stands(lost.or(members.lost.take()));
        Ok(members)
    }

    fn knowing(sets: &[String]) -> Self {
        Self {
            named: sets.iter().map(|set| set.as_str().into()).collect(),
            ..Self::default()
        }
    }

    /// Returns whether there is room for an address in this set.
    fn has_room(&self, set: &str, address: IpAddr, now_ns: u64) -> bool {
        if self.of.contains_key(&address) {
            !self.is_crowded(set, &address, now_ns)
        } else {
            self.of.len() < MAX_MEMBERS
        }
    }

    /// Returns whether an address is in as many other sets as it may be.
    fn is_crowded(&self, set: &str, address: &IpAddr, now_ns: u64) -> bool {
        let others =
            |membership: &&Membership| *membership.set != *set && now_ns < membership.until_ns;
        let memberships = self.of.get(address).map_or(&[][..], Vec::as_slice);
        memberships.iter().filter(others).count() >= MEMBER_STAGES
    }

    /// Returns the trouble that says why something is in no set any more that was, since this service began.
    pub fn trouble(&self) -> &Trouble {
        &self.trouble
    }

    /// Returns whether no address has joined a set.
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
    ) -> Result<(u64, MembersBefore), Refused> {
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
    pub fn remove(&mut self, set: &str, addresses: &[IpAddr]) -> (u64, MembersBefore) {
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
    pub fn restore(&mut self, MembersBefore(before): MembersBefore) {
        for (address, memberships) in before {
            match memberships {
                Some(memberships) => self.of.insert(address, memberships),
                None => self.of.remove(&address),
            };
        }
    }

    /// Returns whether the address has joined this set, by now.
    pub fn has(&self, set: &str, address: IpAddr, now_ns: u64) -> bool {
        let memberships = self.of.get(&address).into_iter().flatten();
        memberships
            .filter(|membership| now_ns < membership.until_ns)
            .any(|membership| *membership.set == *set)
    }

    /// Returns the members of this set, or of any, by now.
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

    fn before(&self, addresses: &[IpAddr]) -> MembersBefore {
        let before = addresses
            .iter()
            .map(|address| (*address, self.of.get(address).cloned()));
        MembersBefore(before.collect())
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

    /// Has the file written again if somebody has set the clock of the day: it says by that when each is over.
    pub fn meet_clock(&mut self, now: Now) {
        let ahead_ms = now.ahead_ms();
        let before_ms = self.ahead_ms.unwrap_or(ahead_ms);
        self.ahead_ms = Some(before_ms);
        // What corrects it little by little is taken together.
        if ahead_ms
            .wrapping_sub(before_ms)
            .cast_signed()
            .unsigned_abs()
            >= CLOCK_SET_MS
        {
            self.ahead_ms = Some(ahead_ms);
            self.note_save(REST);
        }
    }

    /// The rules are to be asked again about their connections.
    fn note_asked(&mut self, addresses: &[IpAddr]) {
        if addresses.is_empty() {
            return;
        }
        self.changed.extend(addresses.iter().map(key));
        self.ask.get_or_insert_with(|| due(self.asked, REST));
    }

    /// Returns the time until something is to be done, or `None` if nothing is.
    pub fn due(&self) -> Option<Duration> {
        let first = self.save.into_iter().chain(self.ask).min()?;
        Some(first.saturating_duration_since(Instant::now()))
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
            at: now.unix_ms,
        };
        self.unnamed = false;
        self.save = None;
        self.saved = Some(Instant::now());
        keeper.keep_members(serde_json::to_string(&written).unwrap_or_default() + "\n");
    }
}

/// Smallest jump of the day's clock, in milliseconds, that counts as the clock having been set.
const CLOCK_SET_MS: u64 = 1000;

/// Returns the earliest moment at which something may be done again that was done at `last`.
fn due(last: Option<Instant>, rest: Duration) -> Instant {
    let now = Instant::now();
    last.map_or(now, |last| (last + rest).max(now))
}

const _: () = assert!(REST.as_secs() < EVERY.as_secs());

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;
    use crate::named_sets::Join;

    pub fn address(n: u32) -> IpAddr {
        std::net::Ipv4Addr::from_bits(0x0A00_0000 + n).into()
    }

    /// Returns a join of this set by a name with this address, valid for so many seconds from now on.
    pub fn join(set: &str, name: &str, n: u32, now: Instant, seconds: u64) -> Join {
        Join {
            set: set.into(),
            holds: names::Holds {
                name: name.into(),
                address: address(n),
                resolver: names::Answerer {
                    address: address(0),
                    is_own: true,
                },
                until: now + Duration::from_secs(seconds),
            },
        }
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
    fn a_clock_that_is_set_a_year_on_or_back_changes_no_end_and_none_after_a_restart() {
        const SECOND_MS: u64 = 1000;
        const YEAR_MS: u64 = 366 * 24 * 60 * 60 * SECOND_MS;
        let at = |seconds: u64, unix_ms| Now {
            boot_ns: seconds * 1_000_000_000 + 1,
            unix_ms,
        };
        let begun = 50 * YEAR_MS;
        for set_to in [begun - YEAR_MS, begun + YEAR_MS, 0] {
            let mut members = Members::default();
            let end_ns = at(100, 0).boot_ns;
            members.add("a", &[address(1)], end_ns, 1).unwrap();
            members.save = None;
            members.meet_clock(at(0, begun));
            members.meet_clock(at(10, begun + 10 * SECOND_MS + 500));
            assert!(members.save.is_none(), "it goes as it should");
            members.meet_clock(at(20, set_to));
            assert!(members.save.is_some(), "{set_to}");
            assert_eq!(
                members.list(None, at(20, 0).boot_ns)[0].seconds_left,
                Some(80)
            );
            let sets = vec!["a".to_owned()];
            let written = kept::Written {
                sets,
                members: members.written(at(20, set_to)),
                at: set_to,
            };
            // The machine is started again, which takes it half a minute.
            let then = at(5, set_to + 30 * SECOND_MS);
            let members = Members::of_written(written, then);
            let left = members.list(None, then.boot_ns)[0].seconds_left;
            assert_eq!(left, Some(50), "{set_to}");
            let end_ns = at(55, 0).boot_ns;
            assert!(
                members.has("a", address(1), end_ns - 1) && !members.has("a", address(1), end_ns)
            );
        }
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
}
