//! Batch of what came since the last write: one row for each conversation of each minute, within a share for each quota
//! owner.

use crate::{Contact, Conversation, MINUTE, Tally};
use engine::quota;
use firewall_abi::packet::NO_USER;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

/// Number of rows of one minute for the programs of one user (of a container's users together), or for everything from
/// outside together, at most; and no more than half of the free ones. What comes then is counted in rows of many
/// conversations.
pub const MOST_OF_ONE: usize = 512;
/// Number of rows of one minute in all, at most.
const MOST: usize = 4096;

/// Batch of rows that wait to be written.
#[derive(Debug, Default)]
pub struct Batch {
    rows: HashMap<(u64, Conversation), Tally>,
    /// Minute that `known`, `contacts` and `shares` are of, those of rows that were written by then included.
    minute: u64,
    known: HashSet<Conversation>,
    /// Contacts of this minute's conversations that are not known ones: what else comes of the same conversation is
    /// counted in the same row.
    contacts: HashMap<Conversation, Contact>,
    shares: HashMap<Option<u32>, usize>,
}

impl Batch {
    /// Counts a tally of a conversation in the minute in which it happened.
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

    /// Returns whether a conversation has a row of this minute or gets one.
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

    /// Returns whether no row waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Returns the number of records that wait.
    #[must_use]
    pub fn count(&self) -> u64 {
        // Of what goes on for long there is one that counts, and others that tell what it has carried since.
        self.rows.values().map(|tally| tally.count.max(1)).sum()
    }

    /// Takes the rows that wait: the beginning of their minute in seconds since 1970, the conversation, and the tally
    /// to add.
    pub fn take(&mut self) -> Vec<(u64, Conversation, Tally)> {
        let rows = std::mem::take(&mut self.rows).into_iter();
        rows.map(|((start, conversation), tally)| (start, conversation, tally))
            .collect()
    }
}
