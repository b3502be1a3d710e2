//! What came since the last write: one row for each conversation of each minute, within a share for each who makes rows.

use crate::{Contact, Conversation, MINUTE, Tally};
use engine::quota;
use firewall_abi::packet::NO_USER;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

/// Rows of one minute that the programs of one user may have for themselves (of a container's users together), or all from outside
/// together; and of those that are free no more than half. What comes then is counted in the rows of many.
pub const MOST_OF_ONE: usize = 512;
/// And of all.
const MOST: usize = 4096;

/// Rows that wait to be written.
#[derive(Debug, Default)]
pub struct Batch {
    rows: HashMap<(u64, Conversation), Tally>,
    /// The minute that the shares are of, and how much of them is taken, until it is over: also what was written by then.
    minute: u64,
    known: HashSet<Conversation>,
    /// Those of it that are first contacts: what else comes of the same in this minute has its row.
    contacts: HashMap<Conversation, Contact>,
    shares: HashMap<Option<u32>, usize>,
}

impl Batch {
    /// Counts this in the minute that it happened in.
    pub fn add(&mut self, conversation: Conversation, tally: &Tally) {
        let minute = tally.last / MINUTE;
        // A clock that was put back begins a minute too.
        if minute != self.minute {
            (self.minute, self.known, self.shares) = (minute, HashSet::new(), HashMap::new());
            self.contacts.clear();
        }
        let conversation = self.with_its_contact(conversation);
        let conversation = if self.has_place(&conversation) {
            conversation
        } else {
            conversation.among_many()
        };
        match self.rows.entry((minute * MINUTE, conversation)) {
            Entry::Occupied(mut row) => row.get_mut().add(tally),
            Entry::Vacant(row) => {
                row.insert(*tally);
            }
        }
    }

    fn with_its_contact(&mut self, mut conversation: Conversation) -> Conversation {
        let contact = std::mem::take(&mut conversation.contact);
        let known = self.contacts.get(&conversation).copied();
        if contact != Contact::Known && self.contacts.len() < MOST {
            self.contacts.insert(conversation.clone(), contact);
        }
        let contact = if contact == Contact::Known {
            known.unwrap_or_default()
        } else {
            contact
        };
        Conversation {
            contact,
            ..conversation
        }
    }

    /// Whether it has a row of this minute, or takes one.
    fn has_place(&mut self, conversation: &Conversation) -> bool {
        if self.known.contains(conversation) {
            return true;
        }
        let user = conversation.user.unwrap_or(NO_USER);
        let whose = (!conversation.is_others()).then_some(quota::of_user(user));
        let share = self.shares.entry(whose).or_default();
        // As of the room for connections: so whoever comes next finds some.
        let room = *share < MOST_OF_ONE && *share < MOST - self.known.len();
        if room {
            *share += 1;
            self.known.insert(conversation.clone());
        }
        room
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// How many records wait.
    #[must_use]
    pub fn count(&self) -> u64 {
        // Of what goes on for long there is one that counts, and others that tell what it has carried since.
        self.rows.values().map(|tally| tally.count.max(1)).sum()
    }

    /// Takes out the rows that wait: the beginning of their minute, and what is to be added to it.
    pub fn take(&mut self) -> Vec<(u64, Conversation, Tally)> {
        let rows = std::mem::take(&mut self.rows).into_iter();
        rows.map(|((start, conversation), tally)| (start, conversation, tally))
            .collect()
    }
}
