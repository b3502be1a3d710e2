//! Addresses that join sets by the names that answers of DNS gave them, within bounds of their own.

use super::membership::{How, Membership};
use super::{Members, MembersBefore, NAMED_REST};
use crate::named_sets::Join;
use firewall_abi::members::{MAX_MEMBERS, NO_END};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

/// Largest numbers of addresses in sets by their names: in all, in one set, and of one name there. The rest of the room
/// is for addresses that are added.
const MOST_NAMED: usize = MAX_MEMBERS / 4;
const MOST_NAMED_OF_A_SET: usize = MOST_NAMED / 2;
const MOST_NAMED_OF_A_NAME: usize = 256;

/// Result of having addresses join sets by their names.
pub struct JoinedByName {
    /// Addresses that are in a set by their name.
    pub addresses: Vec<IpAddr>,
    pub before: MembersBefore,
    /// Number of addresses that found no room.
    pub no_room: u64,
}

impl Members {
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

    /// Counts the addresses in sets by names; `None`: so few that there is room for `more` in any case.
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
}

/// Numbers of addresses in sets by names.
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

    /// Takes room for one more address. Returns whether there was room.
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

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::super::tests::{address, join};
    use super::*;

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
}
