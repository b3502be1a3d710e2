//! Cache of the names by which addresses were asked for.

use crate::answer::Answered;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Number of addresses in the cache, at most. The one with the oldest answer makes room.
pub const MOST_CACHED: usize = 8192;
/// Number of addresses of one name, at most.
pub const MOST_CACHED_OF_A_NAME: usize = 64;
/// Shortest time for which a name is kept: a connection outlives an answer that holds for seconds.
pub const SHORTEST_CACHED: Duration = Duration::from_secs(300);
/// Longest time for which a name is kept.
pub const LONGEST_CACHED: Duration = Duration::from_secs(24 * 60 * 60);

/// Address with the name by which it was asked for last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Learned {
    /// Address of the name.
    pub address: IpAddr,
    /// Name that was asked for.
    pub name: Arc<str>,
    /// Time for which it holds from now on.
    pub left: Duration,
}

#[derive(Debug)]
struct Entry {
    name: Arc<str>,
    until: Instant,
    /// Number of the entry in the order of learning.
    turn: u64,
}

/// Names by address, bounded in number and in time.
#[derive(Debug, Default)]
pub struct Cache {
    entries: HashMap<IpAddr, Entry>,
    /// Addresses in the order of learning.
    turns: BTreeMap<u64, IpAddr>,
    /// Addresses of each name, the oldest first.
    of_name: HashMap<Arc<str>, VecDeque<IpAddr>>,
    last: u64,
}

impl Cache {
    /// Adds the addresses of an answer. An address that had another name has this one now.
    pub fn learn(&mut self, answered: &Answered, now: Instant) {
        let known = self.of_name.get_key_value(answered.name.as_str());
        let name = known.map_or_else(
            || Arc::from(answered.name.as_str()),
            |(name, _)| name.clone(),
        );
        // The first addresses of an answer are what programs try first: they are learned last, and so stay longest.
        for (address, holds) in answered.addresses.iter().take(MOST_CACHED_OF_A_NAME).rev() {
            let holds =
                Duration::from_secs(u64::from(*holds)).clamp(SHORTEST_CACHED, LONGEST_CACHED);
            self.forget(*address);
            self.make_room(&name);
            self.last += 1;
            let entry = Entry {
                name: name.clone(),
                until: now + holds,
                turn: self.last,
            };
            self.entries.insert(*address, entry);
            self.turns.insert(self.last, *address);
            self.of_name
                .entry(name.clone())
                .or_default()
                .push_back(*address);
        }
    }

    /// Returns the name by which this address was asked for last; `None` if there is none that holds.
    #[must_use]
    pub fn name_of(&self, address: IpAddr, now: Instant) -> Option<Arc<str>> {
        let entry = self.entries.get(&address.to_canonical())?;
        (entry.until > now).then(|| entry.name.clone())
    }

    /// Returns the addresses that were learned after this turn (0 for all) and hold still, and the last turn by now.
    #[must_use]
    pub fn since(&self, turn: u64, now: Instant) -> (Vec<Learned>, u64) {
        let learned = self
            .turns
            .range(turn.saturating_add(1)..)
            .filter_map(|(_, address)| {
                let entry = self.entries.get(address)?;
                let left = entry.until.saturating_duration_since(now);
                (!left.is_zero()).then(|| Learned {
                    address: *address,
                    name: entry.name.clone(),
                    left,
                })
            });
        (learned.collect(), self.last)
    }

    /// Returns the number of addresses that have a name, the expired ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns whether no address has a name.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn make_room(&mut self, name: &Arc<str>) {
        let own = self
            .of_name
            .get(name)
            .filter(|own| own.len() >= MOST_CACHED_OF_A_NAME);
        if let Some(oldest) = own.and_then(|own| own.front().copied()) {
            self.forget(oldest);
        }
        while self.entries.len() >= MOST_CACHED
            && let Some((_, oldest)) = self.turns.first_key_value()
        {
            self.forget(*oldest);
        }
    }

    fn forget(&mut self, address: IpAddr) {
        let Some(entry) = self.entries.remove(&address) else {
            return;
        };
        self.turns.remove(&entry.turn);
        if let Some(own) = self.of_name.get_mut(&entry.name) {
            own.retain(|other| *other != address);
            if own.is_empty() {
                self.of_name.remove(&entry.name);
            }
        }
    }
}
