//! The connections of a dry run. What is remembered, and what passes because of it, `engine` decides, as in the driver.
//!
//! The driver forgets silent connections when its service comes round; here they are forgotten on time.

mod aging;
mod ring;
#[cfg(test)]
mod tests;

use aging::Aging;
use engine::connection::{Connections, Known, Retired, decide, is_silent, key_of, may_wait};
use engine::quota::{charged_owners, has_room, parts, ring_owner};
use engine::{Parsed, Tables, is_error, may_keep_the_link, quoted};
use firewall_abi::firewall::{FlowEntry, FlowKey, MAX_RETIRED, MAX_UNCONFIRMED_ARRIVALS, RINGS};
use firewall_abi::packet::{Decision, Direction, GUESTS, PacketMeta};
use ring::Ring;
use std::collections::HashMap;

/// The connections of one dry run.
#[derive(Default)]
pub struct Remembered {
    /// Confirmed connections.
    confirmed: HashMap<FlowKey, FlowEntry>,
    /// Number of confirmed connections of each quota owner.
    charged: HashMap<u32, u32>,
    /// Number of confirmed connections whose originator is outside.
    arrivals: u32,
    /// Unconfirmed connections whose originator is outside.
    arriving: Aging<MAX_UNCONFIRMED_ARRIVALS>,
    /// Other unconfirmed connections, by quota owner; owners that come late share the last ring.
    pending: [Ring; RINGS],
    /// Index of the ring of each quota owner.
    rings: HashMap<u32, usize>,
    /// Retired connections: both ends have closed them.
    retired: Aging<MAX_RETIRED>,
    /// Number of connections that found no room in the table of confirmed ones, which evicts none.
    pub full: u64,
    /// Local identity of the packet that is being judged, as far as it is known.
    pub local: PacketMeta,
    /// `true` if the packet that is being judged is known to be a link-layer broadcast.
    pub goes_to_everyone: bool,
    /// The time of the packet that is being judged.
    now_ns: u64,
}

impl Remembered {
    /// Judges a packet that was seen at `now_ns`, as the Linux driver does. `bytes`: what there is of it.
    pub fn decide<T: Tables>(
        &mut self,
        packet: &Parsed,
        bytes: &[u8],
        rules: &T,
        now_ns: u64,
    ) -> Decision {
        self.now_ns = now_ns;
        let mut packet = *packet;
        let mut key = key_of(&packet.flow);
        let mut local = self.local;
        // A capture does not show who sends; of this it is the kernel.
        if may_keep_the_link(&packet.flow) && local.program == [0; 2] {
            local.program = PacketMeta::KERNEL;
        }
        let answers_by = if packet.flow.direction == Direction::Forward as u8 {
            self.local.out_interface
        } else {
            self.local.interface
        };
        let quoted =
            (is_error(&packet.flow) && quoted(bytes, &packet.flow, &mut key)).then_some(key);
        decide(
            &mut packet,
            &mut Known {
                now_ns,
                quoted,
                local,
                device: device_of(&self.local),
                first_device: number_of(self.local.interface),
                last_device: number_of(self.local.out_interface),
                is_guests: answers_by[0] & GUESTS != 0,
                goes_to_everyone: self.goes_to_everyone,
            },
            rules,
            self,
        )
    }

    /// Returns whether there is room for another confirmed connection like this, after expired ones were removed.
    fn has_room(&mut self, entry: &FlowEntry) -> bool {
        if !self.has_room_now(entry) {
            let now_ns = self.now_ns;
            let silent: Vec<FlowKey> = self
                .confirmed
                .iter()
                .filter(|(key, entry)| is_silent(key, entry, now_ns))
                .map(|(key, _)| *key)
                .collect();
            for key in silent {
                self.remove(&key);
            }
        }
        self.has_room_now(entry)
    }

    fn has_room_now(&self, entry: &FlowEntry) -> bool {
        let (own, device) = charged_owners(entry.quota_owner);
        let charged = [Some(own), device].into_iter().flatten();
        let charged = charged.filter_map(|owner| self.charged.get(&owner)).sum();
        let arrivals = arrived(entry.direction).then_some(self.arrivals);
        has_room(charged, self.confirmed.len() as u32, arrivals)
    }

    /// Returns the table of unconfirmed connections that this one belongs to.
    fn unconfirmed(&mut self, entry: &FlowEntry) -> &mut HashMap<FlowKey, FlowEntry> {
        if arrived(entry.direction) {
            &mut self.arriving.entries
        } else {
            &mut self.ring_of(entry.quota_owner).entries
        }
    }

    fn ring_of(&mut self, quota_owner: u32) -> &mut Ring {
        let next = self.rings.len().min(RINGS - 1);
        let ring = *self.rings.entry(ring_owner(quota_owner)).or_insert(next);
        &mut self.pending[ring]
    }

    /// Counts one more, or one less, that makes no room.
    fn count_kept(&mut self, entry: &FlowEntry, more: i32) {
        let (own, device) = charged_owners(entry.quota_owner);
        for owner in [Some(own), device].into_iter().flatten() {
            let charged = self.charged.entry(owner).or_default();
            *charged = charged.saturating_add_signed(more);
        }
        if arrived(entry.direction) {
            self.arrivals = self.arrivals.saturating_add_signed(more);
        }
    }
}

impl Connections for Remembered {
    fn find(&mut self, key: &FlowKey) -> Option<&mut FlowEntry> {
        let Self {
            confirmed,
            arriving,
            pending,
            ..
        } = self;
        confirmed
            .get_mut(key)
            .or_else(|| {
                pending
                    .iter_mut()
                    .find_map(|ring| ring.entries.get_mut(key))
            })
            .or_else(|| arriving.entries.get_mut(key))
    }

    fn insert(&mut self, key: &FlowKey, quota_owner: u32, direction: u8) -> Option<&mut FlowEntry> {
        let entry = FlowEntry {
            quota_owner,
            direction,
            ..FlowEntry::NEW
        };
        if arrived(direction) {
            self.arriving.put(key, &entry);
            self.arriving.entries.get_mut(key)
        } else {
            let ring = self.ring_of(quota_owner);
            ring.put(key, &entry);
            ring.entries.get_mut(key)
        }
    }

    fn assure(&mut self, key: &FlowKey) {
        let Some(entry) = self.find(key).copied() else {
            return;
        };
        if !self.has_room(&entry) {
            self.full += 1;
            return;
        }
        self.unconfirmed(&entry).remove(key);
        let state = entry.state | FlowEntry::ASSURED;
        self.confirmed.insert(*key, FlowEntry { state, ..entry });
        self.count_kept(&entry, 1);
    }

    fn is_short(&mut self, quota_owner: u32, now_ns: u64) -> bool {
        let ring = self.ring_of(quota_owner);
        let parts = parts(quota_owner).into_iter().flatten();
        parts
            .into_iter()
            .any(|part| may_wait(ring.oldest_ns(part), now_ns))
    }

    fn remove(&mut self, key: &FlowKey) {
        if let Some(entry) = self.confirmed.remove(key) {
            self.count_kept(&entry, -1);
        } else if let Some(entry) = self.find(key).copied() {
            self.unconfirmed(&entry).remove(key);
        }
    }

    fn retire(&mut self, key: &FlowKey) {
        let Some(entry) = self.find(key).copied() else {
            return;
        };
        self.remove(key);
        self.retired.put(key, &entry);
    }

    fn retired(&mut self, key: &FlowKey) -> Option<Retired> {
        self.retired.entries.get(key).map(Retired::from)
    }
}

/// Returns whether the originator of a connection in this direction is outside.
fn arrived(direction: u8) -> bool {
    direction == Direction::Inbound as u8
}

/// A number for the device that a packet is seen on; of what is forwarded, one for both that is the same for replies.
fn device_of(local: &PacketMeta) -> u32 {
    let [one, other] = [local.interface, local.out_interface].map(number_of);
    one.max(other).rotate_left(16) ^ one.min(other)
}

/// A number for a device of this name.
fn number_of([first, second]: [u64; 2]) -> u32 {
    let mixed = first ^ second.rotate_left(7);
    (mixed ^ mixed >> 32) as u32
}
