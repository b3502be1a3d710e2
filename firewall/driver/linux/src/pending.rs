//! Connections that are not confirmed, and began inside or are forwarded: rings of slots, each of one quota owner.

use crate::atomics::{add_word, take};
use aya_ebpf::btf_maps::{Array, HashMap};
use aya_ebpf::macros::btf_map;
use engine::quota::{PARTS, parts, ring_owner};
use firewall_abi::firewall::{FlowEntry, FlowKey, QUOTA_OWNERS, RING, RINGS};

/// The others that are not confirmed. Each has one of these slots, so there is always room.
#[btf_map]
pub static PENDING: HashMap<FlowKey, FlowEntry, PENDING_SLOTS> = HashMap::new();
const PENDING_SLOTS: usize = RINGS * RING;
/// Key of the last connection in each slot. A ring of slots is one quota owner's,
/// so that his next pushes out his oldest.
#[btf_map]
pub static SLOT_KEYS: Array<FlowKey, PENDING_SLOTS> = Array::new();
/// Number of slots of each ring that were taken so far: the next one follows.
#[btf_map]
static RING_CURSORS: Array<u32, RINGS> = Array::new();
/// Number of slots of each part of each ring that were taken so far.
#[btf_map]
static PART_CURSORS: Array<u32, { RINGS * PARTS as usize }> = Array::new();
const PART: u32 = RING as u32 / PARTS;
/// Quota owner of each ring: one more than his number. The service takes it away from who has none pending.
#[btf_map]
static RING_OWNERS: Array<u32, RINGS> = Array::new();
/// Ring of each quota owner: one more than its number.
#[btf_map]
pub static OWNER_RINGS: Array<u32, QUOTA_OWNERS> = Array::new();

/// The ring that is shared.
pub const LAST_RING: u32 = RINGS as u32 - 1;

/// The slot that a quota owner's next connection takes.
#[inline(never)]
pub fn next_slot<const FORWARDS: bool>(quota_owner: u32) -> u32 {
    let (owner, parts) = if FORWARDS {
        (ring_owner(quota_owner), parts(quota_owner))
    } else {
        (quota_owner, None)
    };
    let ring = ring_of(owner);
    let Some(parts) = parts else {
        let taken = RING_CURSORS
            .get(ring)
            .map_or(0, |cursor| add_word(cursor, 1));
        return ring * RING as u32 + (taken & (RING as u32 - 1));
    };
    let [one, other] = parts.map(|part| ring * PARTS + part);
    let part = if oldest_ns(other) < oldest_ns(one) {
        other
    } else {
        one
    };
    let slot = next_slot_of(part);
    give_way(slot, part, quota_owner);
    slot
}

/// Takes the slot of this part of a ring that follows the last one taken.
#[inline(always)]
fn next_slot_of(part: u32) -> u32 {
    let taken = PART_CURSORS
        .get(part)
        .map_or(0, |cursor| add_word(cursor, 1));
    part * PART + (taken & (PART - 1))
}

/// Moves the connection in this slot to the other part that its own sender may stand in, if that has room. Otherwise
/// whoever floods a part would push out each connection that others had put there before.
#[inline(never)]
#[expect(
    clippy::needless_borrows_for_generic_args,
    reason = "what is handed over by value is copied, and a program's stack is small"
)]
fn give_way(slot: u32, part: u32, taker: u32) {
    let Some(slot_key) = SLOT_KEYS.get_ptr_mut(slot) else {
        return;
    };
    // SAFETY: the map's value, which outlives the program. Nobody else has taken this slot.
    let slot_key = unsafe { &mut *slot_key };
    let Some(entry) = PENDING.get_ptr_mut(&*slot_key) else {
        return;
    };
    // SAFETY: the kernel keeps the entry's memory for as long as the program runs, or gives it to another connection
    // that is not confirmed: that one then keeps its slot until it has been silent for long.
    let entry = unsafe { &mut *entry };
    let Some(own) = parts(entry.quota_owner) else {
        return;
    };
    if entry.pending_slot != slot || entry.quota_owner == taker {
        return;
    }
    let [one, other] = own.map(|own| part / PARTS * PARTS + own);
    let refuge = if part == one { other } else { one };
    if oldest_ns(refuge) != 0 {
        return;
    }
    let moved = next_slot_of(refuge);
    let Some(moved_key) = SLOT_KEYS.get_ptr_mut(moved) else {
        return;
    };
    // SAFETY: as above.
    let moved_key = unsafe { &mut *moved_key };
    // Another processor may have taken the slot that had room.
    if moved_key.protocol == NOBODY || !is_pending_at(moved_key, moved) {
        *moved_key = *slot_key;
        entry.pending_slot = moved;
    }
}

/// Returns the last activity of the connection that makes room next in this part of a ring; 0: there is room.
#[inline(always)]
pub fn oldest_ns(part: u32) -> u64 {
    let taken = PART_CURSORS.get(part).copied().unwrap_or(0);
    let slot = part * PART + (taken & (PART - 1));
    let Some(slot_key) = SLOT_KEYS.get(slot) else {
        return 0;
    };
    // SAFETY: read at once.
    match unsafe { PENDING.get(slot_key) } {
        Some(oldest) if oldest.pending_slot == slot => oldest.stamp_ns,
        _ => 0,
    }
}

/// Value in place of a protocol: who was in a slot has left it, or nobody was there. No connection has this protocol.
pub const NOBODY: u32 = 0;

/// Returns whether the connection that was put in this slot is in it still.
#[inline(always)]
pub fn is_pending_at(key: &FlowKey, slot: u32) -> bool {
    // SAFETY: read at once.
    unsafe { PENDING.get(key) }.is_some_and(|oldest| oldest.pending_slot == slot)
}

/// Takes one out that is not confirmed, and began inside or is forwarded. False: it is not there.
#[inline(always)]
pub fn leave_slot(key: &FlowKey, slot: u32) -> bool {
    let left = PENDING.remove(key).is_ok();
    if left && let Some(slot_key) = SLOT_KEYS.get_ptr_mut(slot) {
        // SAFETY: the map's value, which outlives the program.
        let slot_key = unsafe { &mut *slot_key };
        // Somebody may have taken it meanwhile.
        if is_same(slot_key, key) {
            slot_key.protocol = NOBODY;
        }
    }
    left
}

/// Compared by words, which takes the verifier one way through.
#[inline(always)]
pub fn is_same(one: &FlowKey, other: &FlowKey) -> bool {
    let one: &[u64; 5] = zerocopy::transmute_ref!(one);
    let other: &[u64; 5] = zerocopy::transmute_ref!(other);
    let different = |n: usize| one[n] ^ other[n];
    different(0) | different(1) | different(2) | different(3) | different(4) == 0
}

/// The ring of a quota owner; who has none takes one that is nobody's.
#[inline(always)]
fn ring_of(quota_owner: u32) -> u32 {
    let Some(ring) = OWNER_RINGS.get_ptr_mut(quota_owner) else {
        return LAST_RING;
    };
    // SAFETY: the map's value, which outlives the program.
    let ring = unsafe { &mut *ring };
    if *ring == 0 {
        let free = free_ring(quota_owner);
        // Of those who share the last one, each gets one of his own once there is one again.
        if free == LAST_RING {
            return LAST_RING;
        }
        *ring = 1 + free;
    }
    *ring - 1
}

/// A ring that was nobody's and is this quota owner's now; the last one is for all who find none.
#[inline(always)]
fn free_ring(quota_owner: u32) -> u32 {
    let mut ring = 0;
    while ring < LAST_RING {
        if let Some(owner) = RING_OWNERS.get(ring)
            && take(owner, quota_owner + 1)
        {
            return ring;
        }
        ring += 1;
    }
    LAST_RING
}
