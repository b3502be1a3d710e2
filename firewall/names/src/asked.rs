//! Queries that wait for their answers, and answers that match one: by these alone an address joins a set.

use crate::answer::{Answered, Asked, DnsExchange};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Number of queries that wait for their answers, at most. The oldest makes room.
pub const MOST_QUESTIONS: usize = 4096;
/// Time for which a query waits: enough for a slow resolver, and for a query that is repeated.
pub const QUESTION_WAITS: Duration = Duration::from_secs(30);
/// Number of addresses that are remembered in all, at most. Further ones are not, until others expire.
pub const MOST_REMEMBERED: usize = 8192;
/// Number of addresses that are remembered of one name, at most.
pub const MOST_REMEMBERED_OF_ONE: usize = 256;
/// Time for which an answer holds beyond its time to live: a program that looked the name up at its end connects a
/// little later.
pub const HOLD_GRACE: Duration = Duration::from_secs(15);
/// Longest time for which an answer holds.
pub const LONGEST_HOLD: Duration = Duration::from_secs(24 * 60 * 60);

/// Queries that wait for their answers.
#[derive(Debug, Default)]
pub struct Questions {
    asked: HashMap<(DnsExchange, u16), (String, Instant)>,
    /// Queries in the order in which they were asked; some are answered by now.
    order: VecDeque<((DnsExchange, u16), Instant)>,
}

impl Questions {
    /// Adds a query that was sent at this time.
    pub fn ask(&mut self, ends: DnsExchange, asked: Asked, now: Instant) {
        let key = (ends, asked.id);
        self.asked.insert(key, (asked.name, now));
        self.order.push_back((key, now));
        while let Some((key, at)) = self.order.front().copied()
            && (self.order.len() > MOST_QUESTIONS || at + QUESTION_WAITS <= now)
        {
            self.order.pop_front();
            // It may have been asked again since.
            if self.asked.get(&key).is_some_and(|(_, asked)| *asked == at) {
                self.asked.remove(&key);
            }
        }
    }

    /// Returns whether an answer matches a waiting query, and removes that query. It must have the query's endpoints,
    /// ID and name.
    pub fn is_answer(&mut self, ends: DnsExchange, answered: &Answered, now: Instant) -> bool {
        let key = (ends, answered.id);
        let waits = |(name, at): &(String, Instant)| {
            *name == answered.name && now.saturating_duration_since(*at) < QUESTION_WAITS
        };
        let is_answer = self.asked.get(&key).is_some_and(waits);
        if is_answer {
            self.asked.remove(&key);
        }
        is_answer
    }
}

/// Resolver that answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Answerer {
    /// Address of the resolver.
    pub address: IpAddr,
    /// `true` if the answer came from the resolver that this machine asks on that link: another link may have another
    /// machine with its address.
    pub is_own: bool,
}

/// Address of a name, by an answer that matches a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holds {
    /// Name that was asked for.
    pub name: Arc<str>,
    /// Address of the name.
    pub address: IpAddr,
    /// Resolver that answered.
    pub resolver: Answerer,
    /// Time until which the answer holds.
    pub until: Instant,
}

/// Addresses of names by their answers, while these hold.
#[derive(Debug, Default)]
pub struct Remembered {
    /// Addresses by name, each with the resolver that answered and the time until which it holds.
    of: HashMap<Arc<str>, BTreeMap<(IpAddr, Answerer), Instant>>,
    count: usize,
}

impl Remembered {
    /// Adds an answer. Returns the addresses that hold by it, whether there is room to remember them or not.
    pub fn learn(&mut self, answered: &Answered, resolver: Answerer, now: Instant) -> Vec<Holds> {
        let known = self.of.get_key_value(answered.name.as_str());
        let name: Arc<str> =
            known.map_or_else(|| answered.name.as_str().into(), |(name, _)| name.clone());
        let mut holds = Vec::new();
        for (address, seconds) in &answered.addresses {
            let time = Duration::from_secs(u64::from(*seconds)) + HOLD_GRACE;
            let until = now + time.min(LONGEST_HOLD);
            self.remember(&name, (*address, resolver), until, now);
            holds.push(Holds {
                name: name.clone(),
                address: *address,
                resolver,
                until,
            });
        }
        holds
    }

    fn remember(
        &mut self,
        name: &Arc<str>,
        said: (IpAddr, Answerer),
        until: Instant,
        now: Instant,
    ) {
        let is_known = self.of.get(name).is_some_and(|of| of.contains_key(&said));
        if !is_known {
            let own = self.of.get(name).map_or(0, BTreeMap::len);
            if own >= MOST_REMEMBERED_OF_ONE || self.count >= MOST_REMEMBERED {
                self.forget_over(now);
            }
            let own = self.of.get(name).map_or(0, BTreeMap::len);
            if own >= MOST_REMEMBERED_OF_ONE || self.count >= MOST_REMEMBERED {
                return;
            }
            self.count += 1;
        }
        self.of.entry(name.clone()).or_default().insert(said, until);
    }

    /// Returns all addresses that hold at this time.
    pub fn all(&self, now: Instant) -> impl Iterator<Item = Holds> {
        let each = self.of.iter().flat_map(|(name, of)| {
            of.iter()
                .map(move |(address, said)| (name, *address, *said))
        });
        each.filter(move |(.., until)| now < *until)
            .map(|(name, (address, resolver), until)| Holds {
                name: name.clone(),
                address,
                resolver,
                until,
            })
    }

    fn forget_over(&mut self, now: Instant) {
        self.of.retain(|_, of| {
            of.retain(|_, until| now < *until);
            !of.is_empty()
        });
        self.count = self.of.values().map(BTreeMap::len).sum();
    }
}
