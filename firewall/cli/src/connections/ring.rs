//! A quota owner's slots for connections that are not confirmed.

use engine::quota::{PARTS, parts};
use firewall_abi::firewall::{FlowEntry, FlowKey, RING};
use std::collections::HashMap;

/// The slots, taken one after another, as the driver has them.
#[derive(Default)]
pub struct Ring {
    /// Connections of the ring.
    pub entries: HashMap<FlowKey, FlowEntry>,
    /// Last connection that was put into each slot.
    slot_keys: HashMap<u32, FlowKey>,
    /// Number of slots that were taken so far, of the ring and of each part.
    cursor: u32,
    part_cursors: [u32; PARTS as usize],
}

/// Number of slots of a part.
const PART: u32 = RING as u32 / PARTS;

impl Ring {
    /// Puts it there, instead of whoever makes room for it.
    pub fn put(&mut self, key: &FlowKey, entry: &FlowEntry) {
        let slot = self.next_slot(entry.quota_owner);
        self.give_way(slot, entry.quota_owner);
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
        let Some([one, other]) = parts(quota_owner) else {
            let taken = self.cursor;
            self.cursor = taken.wrapping_add(1);
            return taken % RING as u32;
        };
        self.next_slot_of(if self.oldest_ns(other) < self.oldest_ns(one) {
            other
        } else {
            one
        })
    }

    fn next_slot_of(&mut self, part: u32) -> u32 {
        let cursor = &mut self.part_cursors[part as usize];
        let taken = *cursor;
        *cursor = taken.wrapping_add(1);
        part * PART + taken % PART
    }

    /// Moves the connection in this slot to the other part that its own sender may stand in, if that has room.
    fn give_way(&mut self, slot: u32, taker: u32) {
        let Some(key) = self.slot_keys.get(&slot).copied() else {
            return;
        };
        let Some(entry) = self.at(slot, &key).copied() else {
            return;
        };
        let Some([one, other]) = parts(entry.quota_owner) else {
            return;
        };
        let refuge = if slot / PART == one { other } else { one };
        if entry.quota_owner == taker || self.oldest_ns(refuge) != 0 {
            return;
        }
        let pending_slot = self.next_slot_of(refuge);
        self.slot_keys.insert(pending_slot, key);
        let entry = FlowEntry {
            pending_slot,
            ..entry
        };
        self.entries.insert(key, entry);
    }

    /// Returns the time of the last packet of the connection that this part evicts next, or 0 if there is room.
    pub fn oldest_ns(&self, part: u32) -> u64 {
        let slot = part * PART + self.part_cursors[part as usize] % PART;
        let oldest = self.slot_keys.get(&slot);
        let oldest = oldest.and_then(|oldest| self.at(slot, oldest));
        oldest.map_or(0, |oldest| oldest.stamp_ns)
    }

    /// Returns the connection in a slot, or `None` if a newer one of the same key stands in another slot.
    fn at(&self, slot: u32, key: &FlowKey) -> Option<&FlowEntry> {
        self.entries
            .get(key)
            .filter(|entry| entry.pending_slot == slot)
    }
}
