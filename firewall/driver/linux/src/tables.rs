//! What the service fills in, and what the driver counts and remembers.
#![expect(
    clippy::needless_borrows_for_generic_args,
    reason = "what is handed over by value is copied, and a program's stack is small"
)]

use crate::{clock, judge, socket_owner};
use aya_ebpf::Global;
use aya_ebpf::btf_maps::{Array, ArrayOfMaps, HashMap, LruHashMap};
use aya_ebpf::helpers::generated::{bpf_get_smp_processor_id, bpf_ktime_get_boot_ns, bpf_loop};
use aya_ebpf::macros::btf_map;
use core::ffi::c_void;
use core::intrinsics::{AtomicOrdering, atomic_cxchg, atomic_xadd, atomic_xchg};
use engine::connection::{Closed, Connections, is_silent, may_wait};
use engine::quota::{PARTS, charged_owners, has_room, parts, ring_owner};
use engine::{LoopBody, Pages, Tables};
use firewall_abi::firewall::{
    FlowEntry, FlowKey, Lease, MAX_CLOSED, MAX_FLOWS, MAX_UNCONFIRMED_ARRIVALS, QUOTA_OWNERS, RING,
    RINGS, Service, VERDICT_LINES, Verdicts, canary, first_closed_slot, generation_index,
};
use firewall_abi::members::{MAX_MEMBERS, Member};
use firewall_abi::packet::{Direction, NO_RULE};
use firewall_abi::rules::{Head, PAGE_WORDS, Page, SETS_TABLES};

/// `BPF_F_MMAPABLE`, by which the service fills a table in one go, and `BPF_F_INNER_MAP`: each has a size of its own.
const TABLE_FLAGS: usize = 1 << 10 | 1 << 12;
type Table = Array<Page, 1, TABLE_FLAGS>;

/// The generation in force, and the one that is tried out under a lease: each replaced as a whole by one update.
#[btf_map]
static RULES: ArrayOfMaps<Table, 2> = ArrayOfMaps::new();
/// Tables of sets, which generations share: a generation names its own by its index.
#[btf_map]
static SETS: ArrayOfMaps<Table, { SETS_TABLES as usize }> = ArrayOfMaps::new();
/// What addresses have joined since: the service writes each as a whole, and takes out what is over. Room is taken as it is needed
/// (`BPF_F_NO_PREALLOC`).
#[btf_map]
static MEMBERS: HashMap<[u8; 16], Member, MAX_MEMBERS, 1> = HashMap::new();
#[btf_map]
static LEASE: Array<Lease, 1> = Array::new();
#[btf_map]
static VERDICTS: Array<Verdicts, VERDICT_LINES> = Array::new();
/// Confirmed connections. None makes room for a new one; the service removes what has been silent for long.
#[btf_map]
static FLOWS: HashMap<FlowKey, FlowEntry, MAX_FLOWS> = HashMap::new();
/// How many of them there are, and how many of these began outside.
#[btf_map]
static KEPT: Array<u32, 2> = Array::new();
const ALL: u32 = 0;
const ARRIVALS: u32 = 1;
/// How many of them each quota owner has. Whoever puts one in or takes one out counts it; the service leaves that to the driver.
#[btf_map]
static CHARGED: Array<u32, QUOTA_OWNERS> = Array::new();
/// Connections that began outside and are not confirmed. The oldest makes room for the next.
#[btf_map]
static ARRIVING: LruHashMap<FlowKey, FlowEntry, MAX_UNCONFIRMED_ARRIVALS> = LruHashMap::new();
/// The others that are not confirmed. Each has one of these slots, so there is always room.
#[btf_map]
static PENDING: HashMap<FlowKey, FlowEntry, PENDING_SLOTS> = HashMap::new();
const PENDING_SLOTS: usize = RINGS * RING;
/// Who has been in each slot, last. A ring of slots is one quota owner's, so that his next pushes out his oldest.
#[btf_map]
static SLOT_KEYS: Array<FlowKey, PENDING_SLOTS> = Array::new();
/// How many slots of each ring were taken so far: the next one follows.
#[btf_map]
static RING_CURSORS: Array<u32, RINGS> = Array::new();
/// How many of each part of each ring.
#[btf_map]
static PART_CURSORS: Array<u32, { RINGS * PARTS as usize }> = Array::new();
const PART: u32 = RING as u32 / PARTS;
/// Whose each ring is: one more than his number. The service takes it away from who has none pending.
#[btf_map]
static RING_OWNERS: Array<u32, RINGS> = Array::new();
/// Which ring each quota owner has: one more than its number.
#[btf_map]
static OWNER_RINGS: Array<u32, QUOTA_OWNERS> = Array::new();
/// Connections that both ends have ended: of the two slots that one has, it takes the one that was taken longer ago. Whoever closes
/// connections by the thousand a second would wait for the kernel's own table that makes room by itself.
#[btf_map]
static CLOSED: Array<ClosedFlow, MAX_CLOSED> = Array::new();

/// One of them, in a cache line's room.
#[repr(C)]
struct ClosedFlow {
    key: FlowKey,
    closed: Closed,
}

/// What an entry is before it is filled in. Written by the service.
#[btf_map]
static NEW: Array<FlowEntry, 1> = Array::new();
#[btf_map]
static SERVICE: Array<Service, 1> = Array::new();

/// How many of the service's own packets were seen, by the indices in [`canary`].
#[btf_map]
static CANARY: Array<u64, { canary::COUNTERS }> = Array::new();

/// What stands in a number until the service sets it, and nowhere else: the compiler keeps equal constants once, so that whoever
/// looks up a table's index 0 by a pointer to that would look up the service's number.
pub const UNSET: u64 = u64::from_ne_bytes(*b"not set.");

/// The mark that the service's own packets bear. Set by it as it loads the driver.
#[unsafe(no_mangle)]
static MARK: Global<u32> = Global::new(UNSET as u32);

/// What the numbers of networks are mixed with. Set by the service as it loads the driver.
#[unsafe(no_mangle)]
static SEED: Global<u64> = Global::new(UNSET);

#[inline(always)]
pub fn seed() -> u64 {
    SEED.load()
}

/// A process has ended: was it the service?
#[inline(always)]
pub fn process_ended(pid: u32) {
    if let Some(service) = SERVICE.get_ptr_mut(0) {
        // SAFETY: the map's value, which outlives the program.
        let service = unsafe { &mut *service };
        if service.pid == u64::from(pid) {
            service.gone = 1;
        }
    }
}

/// Whether the service has ended, one way or another.
#[inline(always)]
pub fn service_is_gone() -> bool {
    SERVICE.get(0).is_some_and(|service| service.gone == 1)
}

/// Whether a socket is in the zone's network namespace.
#[inline(always)]
pub fn is_zones(socket: u64) -> bool {
    SERVICE
        .get(0)
        .is_some_and(|service| socket_owner::is_in(socket, service.netns))
}

/// Whether the service answers by the socket of this number what was rejected.
#[inline(always)]
pub fn is_answering(socket: u64) -> bool {
    socket != 0
        && SERVICE.get(0).is_some_and(|service| {
            let [four, six] = service.answering;
            socket == four || socket == six
        })
}

/// Counts a verdict.
#[inline(always)]
pub fn count(direction: u8, verdict: u8) {
    if let Some(line) = verdicts() {
        add(line.counter(direction, verdict), 1);
    }
}

/// Takes one out of the count: what was decided is decided anew.
#[inline(always)]
pub fn take_back(direction: u8, verdict: u8) {
    if let Some(line) = verdicts() {
        add(line.counter(direction, verdict), u64::MAX);
    }
}

/// Counts a connect that fails before there is a packet.
#[inline(always)]
pub fn count_refused_connect() {
    if let Some(line) = verdicts() {
        add(&line.refused_connects, 1);
    }
}

/// Counts a packet of the service's own, by its index in [`canary`].
#[inline(always)]
pub fn count_canary(index: u32) {
    if let Some(seen) = CANARY.get(index) {
        add(seen, 1);
    }
}

/// The mark that those packets bear; 0: none does.
#[inline(always)]
pub fn canary_mark() -> u32 {
    MARK.load()
}

/// This processor's line.
#[inline(always)]
fn verdicts() -> Option<&'static Verdicts> {
    // SAFETY: the helper has no preconditions.
    let processor = unsafe { bpf_get_smp_processor_id() };
    VERDICTS.get(processor % VERDICT_LINES as u32)
}

/// `BPF_NOEXIST`, and what the kernel says then of a key that is there: `EEXIST`.
const ONLY_NEW: u64 = 1;
const ALREADY_THERE: i32 = -17;
/// `ENOENT`.
const NO_SUCH: i32 = -2;
/// The ring that is shared.
const LAST_RING: u32 = RINGS as u32 - 1;

/// The connections, in the kernel's maps; `FORWARDS`: some of them may be forwarded, which the verifier need not follow elsewhere.
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
        // SAFETY: the kernel keeps the entry's memory for as long as the program runs, or gives it to another connection that is
        // not confirmed: what is written there then costs that one at most a part of its short life.
        entry.map(|entry| unsafe { &mut *entry })
    }

    #[inline(always)]
    fn begin(&mut self, key: &FlowKey, quota_owner: u32, direction: u8) -> Option<&mut FlowEntry> {
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

    #[inline(never)]
    fn keep(&mut self, key: &FlowKey) {
        let Some(entry) = unconfirmed(key) else {
            return;
        };
        // A copy: who is charged is who is noted, though the entry itself may become another connection's meanwhile.
        // SAFETY: as in `find`.
        let mut entry = unsafe { *entry };
        let arrives = arrived(entry.direction);
        let (Some(all), Some(arrivals)) = (KEPT.get(ALL), KEPT.get(ARRIVALS)) else {
            return;
        };
        let (own, device) = owners_of::<FORWARDS>(entry.quota_owner);
        let charged = charged_to(own) + device.map_or(0, charged_to);
        if !has_room(charged, *all, if arrives { Some(*arrivals) } else { None }) {
            return count_full();
        }
        entry.state |= FlowEntry::KEPT;
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

    /// By an atomic addition: both ends, and several threads of one, send on processors of their own. One that nobody waits for.
    #[inline(always)]
    fn add(counter: &mut u64, more: u64) {
        add(counter, more);
    }

    #[inline(never)]
    fn forget(&mut self, key: &FlowKey) {
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
    fn close(&mut self, key: &FlowKey) {
        if let Some(entry) = self.find(key) {
            note_closed(key, entry);
            // What it has carried is told now.
            self.forget(key);
        }
    }

    #[inline(always)]
    fn closed(&mut self, key: &FlowKey) -> Option<Closed> {
        let first = first_closed_slot(key, seed());
        (first..first + 2).find_map(|slot| {
            // Read at once; one that is taken meanwhile has another connection's values, which its reader compares or does not mind.
            let flow = CLOSED.get(slot)?;
            is_same(&flow.key, key).then_some(flow.closed)
        })
    }
}

/// Compared by words, which takes the verifier one way through.
#[inline(always)]
fn is_same(one: &FlowKey, other: &FlowKey) -> bool {
    let one: &[u64; 5] = zerocopy::transmute_ref!(one);
    let other: &[u64; 5] = zerocopy::transmute_ref!(other);
    let different = |n: usize| one[n] ^ other[n];
    different(0) | different(1) | different(2) | different(3) | different(4) == 0
}

/// Remembers for a while that a connection has ended.
#[inline(always)]
fn note_closed(key: &FlowKey, entry: &FlowEntry) {
    let first = first_closed_slot(key, seed());
    let (Some(one), Some(other)) = (CLOSED.get_ptr_mut(first), CLOSED.get_ptr_mut(first + 1))
    else {
        return;
    };
    // SAFETY: the map's value, which outlives the program.
    let one_stamp = unsafe { (*one).closed.stamp_ns };
    // SAFETY: likewise.
    let other_stamp = unsafe { (*other).closed.stamp_ns };
    let flow = if other_stamp < one_stamp { other } else { one };
    // SAFETY: likewise.
    let flow = unsafe { &mut *flow };
    // No generation is 0: while it is written, nothing passes by it.
    flow.closed.generation = 0;
    flow.key = *key;
    flow.closed = entry.into();
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
    let carried = judge::Carrying {
        key,
        sent: swap(&entry.sent),
        received: swap(&entry.received),
        entry,
    };
    judge::report_carried(&carried);
    entry.state |= FlowEntry::TOLD;
    0
}

/// Takes what was counted.
#[inline(always)]
fn swap(counter: &u64) -> u64 {
    let counter = core::ptr::from_ref(counter).cast_mut();
    // SAFETY: a map's value, aligned; programs change it by atomic operations alone.
    unsafe { atomic_xchg::<u64, { AtomicOrdering::SeqCst }>(counter, 0) }
}

/// Forgets a connection that has been silent for long, of which the service has found the key.
#[inline(always)]
pub fn forget_silent(key: &FlowKey) {
    let now_ns = clock::now_ns();
    if Flows::<true>
        .find(key)
        .is_some_and(|entry| is_silent(key, entry, now_ns))
    {
        Flows::<true>.forget(key);
    }
}

/// Has the connection be of no generation, so that its next packet asks the rules again.
#[inline(always)]
pub fn reclassify(key: &FlowKey) {
    if let Some(entry) = Flows::<true>.find(key) {
        entry.generation = 0;
    }
}

/// Whether what began in this direction began outside.
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

#[inline(always)]
fn count_full() {
    if let Some(line) = verdicts() {
        add(&line.flows_full, 1);
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

/// How many of those that make no room a quota owner has.
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
        (KEPT.get(ALL), true),
        (KEPT.get(ARRIVALS), arrives),
    ] {
        if let Some(counter) = counters.filter(|_| at) {
            add_word(counter, more.cast_unsigned());
        }
    }
}

/// Begins a connection with an entry that is filled in afterwards: the kernel copies it from one map to the other, because the small
/// stack has no room for it. It takes this slot, or none among those that began inside. 0, or what the kernel says.
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

/// Where a protocol stands: who was in a slot has left it, or nobody was there. Nothing of this protocol begins a connection.
const NOBODY: u32 = 0;

/// Whether who was put in this slot is in it still.
#[inline(always)]
fn is_pending_at(key: &FlowKey, slot: u32) -> bool {
    // SAFETY: read at once.
    unsafe { PENDING.get(key) }.is_some_and(|oldest| oldest.pending_slot == slot)
}

/// Takes one out that is not confirmed, and began inside or is forwarded. False: it is not there.
#[inline(always)]
fn leave_slot(key: &FlowKey, slot: u32) -> bool {
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

/// Of what began outside.
const NO_SLOT: u32 = u32::MAX;

/// The slot that a quota owner's next connection takes.
#[inline(never)]
fn next_slot<const FORWARDS: bool>(quota_owner: u32) -> u32 {
    let (owner, parts) = if FORWARDS {
        (ring_owner(quota_owner), parts(quota_owner))
    } else {
        (quota_owner, None)
    };
    let ring = ring_of(owner);
    let (cursor, first, slots) = match parts {
        None => (RING_CURSORS.get(ring), ring * RING as u32, RING as u32),
        Some(parts) => {
            let [one, other] = parts.map(|part| ring * PARTS + part);
            let part = if oldest_ns(other) < oldest_ns(one) {
                other
            } else {
                one
            };
            (PART_CURSORS.get(part), part * PART, PART)
        }
    };
    let taken = cursor.map_or(0, |cursor| add_word(cursor, 1));
    first + (taken & (slots - 1))
}

/// When whoever makes room next in this part of a ring was last heard of; 0: there is room.
#[inline(always)]
fn oldest_ns(part: u32) -> u64 {
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

/// A table of pages, as the kernel holds it.
#[repr(transparent)]
pub struct KernelPages(Table);

impl KernelPages {
    #[inline(always)]
    fn of(table: &'static Table) -> &'static Self {
        // SAFETY: the same thing by another name (transparent).
        unsafe { &*core::ptr::from_ref(table).cast::<Self>() }
    }
}

impl Pages for KernelPages {
    #[inline(always)]
    fn page(&self, number: u32) -> Option<&Page> {
        self.0.get(number)
    }
}

/// Now, on the clock that includes sleep. Where the machine's counter has to be asked, not cheap: only a lease asks, and what is asked of people.
#[inline(always)]
pub fn boot_ns() -> u64 {
    // SAFETY: the helper has no preconditions.
    unsafe { bpf_ktime_get_boot_ns() }
}

/// The generation in force, looked up once for a decision.
#[derive(Clone, Copy)]
pub struct InForce(Option<&'static KernelPages>);

impl InForce {
    /// The candidate until its lease ends, else the confirmed generation. Nobody has to be alive for that.
    #[inline(always)]
    pub fn now() -> Self {
        let leased = LEASE
            .get(0)
            .is_some_and(|lease| lease.deadline_ns != 0 && boot_ns() < lease.deadline_ns);
        let candidate = if leased {
            RULES.get(generation_index::CANDIDATE)
        } else {
            None
        };
        let rules = if candidate.is_some() {
            candidate
        } else {
            RULES.get(generation_index::CONFIRMED)
        };
        Self(rules.map(KernelPages::of))
    }

    /// Counts that a rule of this generation has decided. What goes on with what it allowed is not counted.
    #[inline(always)]
    pub fn count(&self, head: &Head, rule: u32) {
        if rule == NO_RULE {
            return;
        }
        let page = head.hits.wrapping_add(rule / PAGE_WORDS as u32);
        let Some(page) = self.0.and_then(|rules| rules.page(page)) else {
            return;
        };
        let within = u64::from(rule) & (PAGE_WORDS as u64 - 1);
        add(&page[within as usize], 1);
    }
}

impl Tables for InForce {
    type Pages = KernelPages;

    #[inline(always)]
    fn rules(&self) -> Option<&KernelPages> {
        self.0
    }

    #[inline(always)]
    fn sets(&self, sets_index: u32) -> Option<&KernelPages> {
        SETS.get(sets_index).map(KernelPages::of)
    }

    #[inline(always)]
    fn joined(&self, sets_index: u32, ip_version: u8, address: &[u8; 16]) -> Option<u32> {
        // SAFETY: read at once; the kernel keeps the entry's memory for as long as the program runs, or gives it to another address
        // that joins a set just then: one packet may be judged by that one's.
        let member = unsafe { MEMBERS.get(address) }?;
        member.class(sets_index, ip_version, boot_ns())
    }

    #[inline(always)]
    fn run_loop<W: LoopBody>(&self, max_steps: u32, body: &mut W) {
        let callback: extern "C" fn(u32, *mut W) -> i64 = loop_step;
        // SAFETY: the verifier checks the function as a program of its own; `body` outlives the loop.
        unsafe {
            bpf_loop(
                max_steps,
                callback as *mut c_void,
                core::ptr::from_mut(body).cast(),
                0,
            )
        };
    }
}

/// One step of the loop. 0: go on.
extern "C" fn loop_step<W: LoopBody>(_: u32, body: *mut W) -> i64 {
    // SAFETY: the kernel hands on what `run_loop` gave it.
    let body = unsafe { &mut *body };
    i64::from(body.step())
}

/// Adds to what programs count together.
#[inline(always)]
pub fn add(counter: &u64, more: u64) {
    let counter = core::ptr::from_ref(counter).cast_mut();
    // SAFETY: a map's value, aligned; programs change it by atomic additions alone.
    unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(counter, more) };
}

/// What it was before. Not relaxed, though nothing is ordered by it: of a relaxed addition of 32 bits LLVM makes one that says
/// nothing, and takes what was added for what was there.
#[inline(always)]
fn add_word(counter: &u32, more: u32) -> u32 {
    let counter = core::ptr::from_ref(counter).cast_mut();
    // SAFETY: a map's value, aligned; programs change it by atomic additions alone.
    unsafe { atomic_xadd::<u32, u32, { AtomicOrdering::AcqRel }>(counter, more) }
}

/// Writes into a word that is 0. False: it is not.
#[inline(always)]
fn take(word: &u32, value: u32) -> bool {
    let word = core::ptr::from_ref(word).cast_mut();
    // SAFETY: a map's value, aligned; programs change it like this alone.
    let (_, taken) = unsafe {
        atomic_cxchg::<u32, { AtomicOrdering::SeqCst }, { AtomicOrdering::SeqCst }>(word, 0, value)
    };
    taken
}
