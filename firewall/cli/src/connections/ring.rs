//! A quota owner's slots for connections that are not confirmed.

use engine::quota::{PARTS, parts};
use firewall_abi::firewall::{FlowEntry, FlowKey, RING};
use std::collections::HashMap;

/// The slots, taken one after another, as the driver has them.
#[derive(Default)]
pub struct Ring {
    /// Those that are there.
    pub entries: HashMap<FlowKey, FlowEntry>,
    /// Who has been in each slot, last.
    slot_keys: HashMap<u32, FlowKey>,
    /// How many slots were taken so far, and how many of each part.
    cursor: u32,
    part_cursors: [u32; PARTS as usize],
}

/// So many slots each part has.
const PART: u32 = RING as u32 / PARTS;

impl Ring {
    /// Puts it there, instead of whoever makes room for it.
    pub fn put(&mut self, key: &FlowKey, entry: &FlowEntry) {
        let slot = self.next_slot(entry.quota_owner);
        if let Some(oldest) = self.slot_keys.insert(slot, *key)
            && self.at(slot, &oldest).is_some()
        {
            self.entries.remove(&oldest);
        }
        self.entries.insert(
            *key,
            FlowEntry {
                pending_slot: slot,
                ..*entry
            },
        );
    }

    fn next_slot(&mut self, quota_owner: u32) -> u32 {
        let (cursor, first, slots) = match parts(quota_owner) {
            None => (&mut self.cursor, 0, RING as u32),
            Some([one, other]) => {
                let part = if self.oldest_ns(other) < self.oldest_ns(one) {
                    other
                } else {
                    one
                };
                (&mut self.part_cursors[part as usize], part * PART, PART)
            }
        };
        let taken = *cursor;
        *cursor = taken.wrapping_add(1);
        first + taken % slots
    }

    /// When whoever makes room next in this part was last heard of; 0: there is room.
    pub fn oldest_ns(&self, part: u32) -> u64 {
        let slot = part * PART + self.part_cursors[part as usize] % PART;
        let oldest = self.slot_keys.get(&slot);
        let oldest = oldest.and_then(|oldest| self.at(slot, oldest));
        oldest.map_or(0, |oldest| oldest.stamp_ns)
    }

    /// Who is in this slot, unless the same ends have begun another one elsewhere.
    fn at(&self, slot: u32, key: &FlowKey) -> Option<&FlowEntry> {
        self.entries
            .get(key)
            .filter(|entry| entry.pending_slot == slot)
    }
}
