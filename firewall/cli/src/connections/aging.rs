//! A table of connections that is bounded by age.

use firewall_abi::firewall::{FlowEntry, FlowKey};
use std::collections::{HashMap, VecDeque};

/// A table in which the oldest entry makes room for the next.
#[derive(Default)]
pub struct Aging<const MOST: usize> {
    /// Connections of the table.
    pub entries: HashMap<FlowKey, FlowEntry>,
    /// The oldest first, each with its slot; some of them may be gone.
    by_age: VecDeque<(FlowKey, u32)>,
    /// Number of insertions so far, which gives the next slot.
    cursor: u32,
}

impl<const MOST: usize> Aging<MOST> {
    /// Puts it there as the youngest.
    pub fn put(&mut self, key: &FlowKey, entry: &FlowEntry) {
        let slot = self.cursor;
        self.cursor = slot.wrapping_add(1);
        self.entries.insert(
            *key,
            FlowEntry {
                pending_slot: slot,
                ..*entry
            },
        );
        self.by_age.push_back((*key, slot));
        while self.by_age.len() > MOST
            && let Some((oldest, slot)) = self.by_age.pop_front()
        {
            // The same ends may have begun another one.
            if self
                .entries
                .get(&oldest)
                .is_some_and(|entry| entry.pending_slot == slot)
            {
                self.entries.remove(&oldest);
            }
        }
    }
}
