//! The connections, in the kernel's maps.
#![expect(
    clippy::needless_borrows_for_generic_args,
    reason = "what is handed over by value is copied, and a program's stack is small"
)]

use crate::atomics::{add, add_word, swap};
use crate::pending::{
    LAST_RING, NOBODY, OWNER_RINGS, PENDING, SLOT_KEYS, is_pending_at, is_same, leave_slot,
    next_slot, oldest_ns,
};
use crate::tables::{count_full, seed};
use crate::{clock, report};
use aya_ebpf::btf_maps::{Array, HashMap, LruHashMap};
use aya_ebpf::macros::btf_map;
use engine::connection::{Connections, Retired, is_silent, may_wait};
use engine::quota::{PARTS, charged_owners, has_room, parts, ring_owner};
use firewall_abi::firewall::{
    FlowEntry, FlowKey, MAX_FLOWS, MAX_RETIRED, MAX_UNCONFIRMED_ARRIVALS, QUOTA_OWNERS,
    first_retired_slot,
};
use firewall_abi::packet::Direction;

/// Confirmed connections. None makes room for a new one; the service removes what has been silent for long.
#[btf_map]
static FLOWS: HashMap<FlowKey, FlowEntry, MAX_FLOWS> = HashMap::new();
/// Number of confirmed connections, and of those among them that began outside.
#[btf_map]
static ASSURED: Array<u32, 2> = Array::new();
const ALL: u32 = 0;
const ARRIVALS: u32 = 1;
/// Number of confirmed connections of each quota owner. Whoever inserts or removes one counts it; the service leaves
/// that to the driver.
#[btf_map]
static CHARGED: Array<u32, QUOTA_OWNERS> = Array::new();
/// Connections that began outside and are not confirmed. The oldest makes room for the next.
#[btf_map]
static ARRIVING: LruHashMap<FlowKey, FlowEntry, MAX_UNCONFIRMED_ARRIVALS> = LruHashMap::new();
/// Connections that both ends have ended: of the two slots that one has, it takes the one that was taken longer ago.
/// Whoever closes connections by the thousand a second would wait for the kernel's own table that makes room by itself.
#[btf_map]
static RETIRED: Array<RetiredFlow, MAX_RETIRED> = Array::new();

/// Retired connection, in a cache line's room.
#[repr(C)]
struct RetiredFlow {
    key: FlowKey,
    retired: Retired,
}

/// Template of an entry before it is filled in. Written by the service.
#[btf_map]
static NEW: Array<FlowEntry, 1> = Array::new();

/// `BPF_NOEXIST`, and what the kernel says then of a key that is there: `EEXIST`.
const ONLY_NEW: u64 = 1;
const ALREADY_THERE: i32 = -17;
/// `ENOENT`.
const NO_SUCH: i32 = -2;

/// The connections, in the kernel's maps; `FORWARDS`: some of them may be forwarded,
/// which the verifier need not follow elsewhere.
#[derive(Default)]
pub struct Flows<const FORWARDS: bool>;

impl<const FORWARDS: bool> Connections for Flows<FORWARDS> {
    const FORWARDS: bool = FORWARDS;

    #[inline(always)]
    fn find(&mut self, key: &FlowKey) -> Option<&mut FlowEntry> {
        let kept = FLOWS.get_ptr_mut(key);
        let entry = if kept.is_some() {
            kept
        } else {
            unconfirmed(key)
        };
        // SAFETY: the kernel keeps the entry's memory for as long as the program runs, or gives it to another
        // connection that is not confirmed: what is written there then costs that one at most a part of its short life.
        entry.map(|entry| unsafe { &mut *entry })
    }

    #[inline(always)]
    fn insert(&mut self, key: &FlowKey, quota_owner: u32, direction: u8) -> Option<&mut FlowEntry> {
        // Before, not within: each takes its own part of the small stack.
        let slot = if arrived(direction) {
            NO_SLOT
        } else {
            next_slot::<FORWARDS>(quota_owner)
        };
        let begun = begin(key, slot);
        if begun != 0 {
            if begun != ALREADY_THERE {
                count_full();
            }
            return None;
        }
        let entry = if slot == NO_SLOT {
            ARRIVING.get_ptr_mut(key)
        } else {
            PENDING.get_ptr_mut(key)
        };
        // SAFETY: as in `find`.
        let entry = unsafe { &mut *entry? };
        entry.quota_owner = quota_owner;
        entry.direction = direction;
        entry.pending_slot = slot;
        Some(entry)
    }

    /// The counters move by a copy, so that two moments of another processor's are not seen, each as long as this runs
    /// and once for a connection: what it adds to the entry that was copied is lost, and what it tells of that entry
    /// ([`tell_carried`], as the service looks through them or another connection takes the slot) is in the
    /// copy too, and told once more.
    #[inline(never)]
    fn assure(&mut self, key: &FlowKey) {
        let Some(entry) = unconfirmed(key) else {
            return;
        };
        // A copy: who is charged is who is noted, though the entry itself may become another connection's meanwhile.
        // SAFETY: as in `find`.
        let mut entry = unsafe { *entry };
        let arrives = arrived(entry.direction);
        let (Some(all), Some(arrivals)) = (ASSURED.get(ALL), ASSURED.get(ARRIVALS)) else {
            return;
        };
        let (own, device) = owners_of::<FORWARDS>(entry.quota_owner);
        let charged = charged_to(own) + device.map_or(0, charged_to);
        if !has_room(charged, *all, if arrives { Some(*arrivals) } else { None }) {
            return count_full();
        }
        entry.state |= FlowEntry::ASSURED;
        count_kept::<FORWARDS>(entry.quota_owner, entry.direction, 1);
        if let Err(error) = FLOWS.insert(key, &entry, ONLY_NEW) {
            count_kept::<FORWARDS>(entry.quota_owner, entry.direction, -1);
            if error != ALREADY_THERE {
                count_full();
            }
            return;
        }
        if arrives {
            let _has_made_room = ARRIVING.remove(key);
        } else {
            let _has_made_room = leave_slot(key, entry.pending_slot);
        }
    }

    #[inline(never)]
    fn is_short(&mut self, quota_owner: u32, now_ns: u64) -> bool {
        let Some([one, other]) = parts(quota_owner) else {
            return false;
        };
        let ring = OWNER_RINGS.get(ring_owner(quota_owner));
        let ring = match ring {
            Some(ring) if *ring != 0 => *ring - 1,
            _ => LAST_RING,
        };
        may_wait(oldest_ns(ring * PARTS + one), now_ns)
            || may_wait(oldest_ns(ring * PARTS + other), now_ns)
    }

    /// Adds atomically: both ends, and several threads of one, send on processors of their own. Nobody waits for the
    /// addition.
    #[inline(always)]
    fn add(counter: &mut u64, more: u64) {
        add(counter, more);
    }

    /// Removes a connection. What another processor adds between the telling and the removal is lost.
    #[inline(never)]
    fn remove(&mut self, key: &FlowKey) {
        tell_carried(key);
        // SAFETY: read at once; the kernel keeps the entry's memory for as long as the program runs.
        if let Some(kept) = unsafe { FLOWS.get(key) } {
            let (quota_owner, direction) = (kept.quota_owner, kept.direction);
            // Whoever takes it out counts it.
            if FLOWS.remove(key).is_ok() {
                count_kept::<FORWARDS>(quota_owner, direction, -1);
            }
        } else if PENDING.remove(key).is_err() {
            let _has_made_room = ARRIVING.remove(key);
        }
    }

    #[inline(always)]
    fn retire(&mut self, key: &FlowKey) {
        if let Some(entry) = self.find(key) {
            note_retired(key, entry);
            // What it has carried is told now.
            self.remove(key);
        }
    }

    #[inline(always)]
    fn retired(&mut self, key: &FlowKey) -> Option<Retired> {
        let first = first_retired_slot(key, seed());
        (first..first + 2).find_map(|slot| {
            // Read at once; one that is taken meanwhile has another connection's values,
            // which its reader compares or does not mind.
            let flow = RETIRED.get(slot)?;
            is_same(&flow.key, key).then_some(flow.retired)
        })
    }
}

/// Puts an ended connection into the table of the retired.
#[inline(always)]
fn note_retired(key: &FlowKey, entry: &FlowEntry) {
    let first = first_retired_slot(key, seed());
    let (Some(one), Some(other)) = (RETIRED.get_ptr_mut(first), RETIRED.get_ptr_mut(first + 1))
    else {
        return;
    };
    // SAFETY: the map's value, which outlives the program.
    let one_stamp = unsafe { (*one).retired.stamp_ns };
    // SAFETY: likewise.
    let other_stamp = unsafe { (*other).retired.stamp_ns };
    let flow = if other_stamp < one_stamp { other } else { one };
    // SAFETY: likewise.
    let flow = unsafe { &mut *flow };
    // No generation is 0: while it is written, nothing passes by it.
    flow.retired.generation = 0;
    flow.key = *key;
    flow.retired = entry.into();
}

/// Tells what a connection has carried since that was last told, if it has.
#[inline(always)]
pub fn tell_carried(key: &FlowKey) {
    gatebell_tell_carried(key);
}

/// A global function for the verifier: it is checked by itself, whatever its callers know.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn gatebell_tell_carried(key: *const FlowKey) -> i32 {
    if key.is_null() {
        return 1;
    }
    // SAFETY: not null; every caller hands in a key.
    let key = unsafe { &*key };
    let mut flows = Flows::<true>;
    let Some(entry) = flows.find(key) else {
        return 0;
    };
    if entry.sent | entry.received == 0 {
        return 0;
    }
    let carried = report::Carrying {
        key,
        sent: swap(&entry.sent),
        received: swap(&entry.received),
        entry,
    };
    report::report_carried(&carried);
    entry.state |= FlowEntry::TOLD;
    0
}

/// Forgets a connection that has been silent for long, of which the service has found the key.
#[inline(always)]
pub fn forget_silent(key: &FlowKey) {
    let now_ns = clock::now_ns();
    if Flows::<true>
        .find(key)
        .is_some_and(|entry| is_silent(key, entry, now_ns))
    {
        Flows::<true>.remove(key);
    }
}

/// Has the connection be of no generation, so that its next packet asks the rules again.
#[inline(always)]
pub fn reclassify(key: &FlowKey) {
    if let Some(entry) = Flows::<true>.find(key) {
        entry.generation = 0;
    }
}

/// Returns whether what began in this direction began outside.
#[inline(always)]
const fn arrived(direction: u8) -> bool {
    direction == Direction::Inbound as u8
}

/// A connection that is not confirmed.
#[inline(always)]
fn unconfirmed(key: &FlowKey) -> Option<*mut FlowEntry> {
    let began_inside = PENDING.get_ptr_mut(key);
    if began_inside.is_some() {
        began_inside
    } else {
        ARRIVING.get_ptr_mut(key)
    }
}

/// See [`charged_owners`].
#[inline(always)]
const fn owners_of<const FORWARDS: bool>(quota_owner: u32) -> (u32, Option<u32>) {
    if FORWARDS {
        charged_owners(quota_owner)
    } else {
        (quota_owner, None)
    }
}

/// Returns the number of a quota owner's connections among those that make no room.
#[inline(always)]
fn charged_to(owner: u32) -> u32 {
    CHARGED.get(owner).copied().unwrap_or(0)
}

/// Counts one more, or one less, that makes no room.
#[inline(always)]
fn count_kept<const FORWARDS: bool>(quota_owner: u32, direction: u8, more: i32) {
    let arrives = arrived(direction);
    let (own, device) = owners_of::<FORWARDS>(quota_owner);
    for (counters, at) in [
        (CHARGED.get(own), true),
        (device.and_then(|device| CHARGED.get(device)), true),
        (ASSURED.get(ALL), true),
        (ASSURED.get(ARRIVALS), arrives),
    ] {
        if let Some(counter) = counters.filter(|_| at) {
            add_word(counter, more.cast_unsigned());
        }
    }
}

/// Begins a connection with an entry that is filled in afterwards: the kernel copies it from one map to the other,
/// because the small stack has no room for it. It takes this slot,
/// or none among those that began inside. 0, or what the kernel says.
#[inline(never)]
fn begin(key: &FlowKey, slot: u32) -> i32 {
    let Some(new) = NEW.get(0) else {
        return NO_SUCH;
    };
    if slot == NO_SLOT {
        return ARRIVING.insert(key, new, ONLY_NEW).err().unwrap_or(0);
    }
    let Some(slot_key) = SLOT_KEYS.get_ptr_mut(slot) else {
        return NO_SUCH;
    };
    // SAFETY: the map's value, which outlives the program. Nobody else has taken this one.
    let slot_key = unsafe { &mut *slot_key };
    // Who has left it has said so, mostly, and need not be looked for where nobody has looked for long.
    if slot_key.protocol != NOBODY && is_pending_at(slot_key, slot) {
        tell_carried(slot_key);
        let _was_quicker = PENDING.remove(&*slot_key);
    }
    *slot_key = *key;
    PENDING.insert(key, new, ONLY_NEW).err().unwrap_or(0)
}

/// Slot number of connections that began outside: none.
const NO_SLOT: u32 = u32::MAX;
