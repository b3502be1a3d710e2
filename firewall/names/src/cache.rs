//! What answers said, for a while.

use crate::answer::Answered;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Addresses that are kept. Whose answer is the oldest makes room.
pub const MOST: usize = 8192;
/// Addresses that one name has.
pub const MOST_OF_A_NAME: usize = 64;
/// A name is kept for so long at least: a connection outlives an answer that holds for seconds.
pub const SHORTEST: Duration = Duration::from_secs(300);
/// And for so long at most.
pub const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// An address and the name by which it was asked for last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Learned {
    /// The address.
    pub address: IpAddr,
    /// The name.
    pub name: Arc<str>,
    /// How long it holds from now on.
    pub left: Duration,
}

#[derive(Debug)]
struct Entry {
    name: Arc<str>,
    until: Instant,
    /// Its place among all that were learned.
    turn: u64,
}

/// Names by address.
#[derive(Debug, Default)]
pub struct Cache {
    entries: HashMap<IpAddr, Entry>,
    /// In the order in which they were learned.
    turns: BTreeMap<u64, IpAddr>,
    /// The addresses of each name, the oldest first.
    of_name: HashMap<Arc<str>, VecDeque<IpAddr>>,
    last: u64,
}

impl Cache {
    /// Takes in what an answer says. An address that had another name has this one now.
    pub fn learn(&mut self, answered: &Answered, now: Instant) {
        let known = self.of_name.get_key_value(answered.name.as_str());
        let name = known.map_or_else(
            || Arc::from(answered.name.as_str()),
            |(name, _)| name.clone(),
        );
        // The first addresses of an answer are what programs try first: they are learned last, and so stay longest.
        for (address, holds) in answered.addresses.iter().take(MOST_OF_A_NAME).rev() {
            let holds = Duration::from_secs(u64::from(*holds)).clamp(SHORTEST, LONGEST);
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

    /// The name that this address was asked for by last, while that holds.
    #[must_use]
    pub fn name_of(&self, address: IpAddr, now: Instant) -> Option<Arc<str>> {
        let entry = self.entries.get(&address.to_canonical())?;
        (entry.until > now).then(|| entry.name.clone())
    }

    /// What was learned after this turn and holds still, and the last turn by now: 0 for all of it.
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

    /// How many addresses have a name, those whose time is over too.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none has.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn make_room(&mut self, name: &Arc<str>) {
        let own = self
            .of_name
            .get(name)
            .filter(|own| own.len() >= MOST_OF_A_NAME);
        if let Some(oldest) = own.and_then(|own| own.front().copied()) {
            self.forget(oldest);
        }
        while self.entries.len() >= MOST
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
