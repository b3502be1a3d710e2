//! A table of connections that is bounded by age.

use firewall_abi::firewall::{FlowEntry, FlowKey};
use std::collections::{HashMap, VecDeque};

/// A table in which the oldest entry makes room for the next.
#[derive(Default)]
pub struct Aging<const MOST: usize> {
    /// Those that are there.
    pub entries: HashMap<FlowKey, FlowEntry>,
    /// The oldest first, each with its place; some of them may be gone.
    by_age: VecDeque<(FlowKey, u32)>,
    /// How many were put here, which makes their places.
    cursor: u32,
}

impl<const MOST: usize> Aging<MOST> {
    /// Puts it there as the youngest.
    pub fn put(&mut self, key: &FlowKey, entry: &FlowEntry) {
        let place = self.cursor;
        self.cursor = place.wrapping_add(1);
        self.entries.insert(*key, FlowEntry { place, ..*entry });
        self.by_age.push_back((*key, place));
        while self.by_age.len() > MOST
            && let Some((oldest, place)) = self.by_age.pop_front()
        {
            // The same ends may have begun another one.
            if self
                .entries
                .get(&oldest)
                .is_some_and(|entry| entry.place == place)
            {
                self.entries.remove(&oldest);
            }
        }
    }
}
