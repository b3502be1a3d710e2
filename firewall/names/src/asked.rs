//! What was asked, whom, and what their answers said: by that alone an address joins a set.

use crate::answer::{Answered, Asked, DnsExchange};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Questions that wait for their answers. The oldest makes room.
pub const MOST_QUESTIONS: usize = 4096;
/// For so long one waits: a resolver that has to go far, and one that is asked again.
pub const QUESTION_WAITS: Duration = Duration::from_secs(30);
/// Addresses of names that are remembered in all. What is beyond is not, until something is over.
pub const MOST_REMEMBERED: usize = 8192;
/// Of one name.
pub const MOST_OF_ONE: usize = 256;
/// How long an answer is taken to hold beyond its time: who looked the name up at its end connects a little later.
pub const GRACE: Duration = Duration::from_secs(15);
/// And how long at most.
pub const LONGEST_HOLD: Duration = Duration::from_secs(24 * 60 * 60);

/// Questions that wait for their answers.
#[derive(Debug, Default)]
pub struct Questions {
    asked: HashMap<(DnsExchange, u16), (String, Instant)>,
    /// In the order in which they were asked; some are answered by now.
    order: VecDeque<((DnsExchange, u16), Instant)>,
}

impl Questions {
    /// Notes a question.
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

    /// Whether this answers one of them, which then waits no more: from whom was asked to who asked, with its number and its name.
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

/// Who answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Answerer {
    /// Its address.
    pub address: IpAddr,
    /// Whether the answer came from the one that this machine asks there: another link may have another machine with that address.
    pub is_own: bool,
}

/// An address that a name has, by an answer to what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holds {
    /// The name that was asked for.
    pub name: Arc<str>,
    /// The address.
    pub address: IpAddr,
    /// Who said so.
    pub resolver: Answerer,
    /// Until when.
    pub until: Instant,
}

/// What was answered, while it holds.
#[derive(Debug, Default)]
pub struct Remembered {
    /// By the name: its addresses, each with who said so, and until when.
    of: HashMap<Arc<str>, BTreeMap<(IpAddr, Answerer), Instant>>,
    count: usize,
}

impl Remembered {
    /// Takes in an answer. Returns what holds by it, whether there is room to remember it or not.
    pub fn learn(&mut self, answered: &Answered, resolver: Answerer, now: Instant) -> Vec<Holds> {
        let known = self.of.get_key_value(answered.name.as_str());
        let name: Arc<str> =
            known.map_or_else(|| answered.name.as_str().into(), |(name, _)| name.clone());
        let mut holds = Vec::new();
        for (address, seconds) in &answered.addresses {
            let time = Duration::from_secs(u64::from(*seconds)) + GRACE;
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
            if own >= MOST_OF_ONE || self.count >= MOST_REMEMBERED {
                self.forget_over(now);
            }
            let own = self.of.get(name).map_or(0, BTreeMap::len);
            if own >= MOST_OF_ONE || self.count >= MOST_REMEMBERED {
                return;
            }
            self.count += 1;
        }
        self.of.entry(name.clone()).or_default().insert(said, until);
    }

    /// All that holds.
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
