//! What the service fills in, and what the driver counts and remembers.

use crate::owner;
use aya_ebpf::btf_maps::{Array, ArrayOfMaps, HashMap, LruHashMap};
use aya_ebpf::helpers::generated::{bpf_get_smp_processor_id, bpf_ktime_get_boot_ns};
use aya_ebpf::macros::btf_map;
use core::intrinsics::{AtomicOrdering, atomic_xadd};
use engine::connection::Connections;
use engine::{Pages, Tables};
use firewall_abi::firewall::{
    FlowEntry, FlowKey, Lease, MAX_ARRIVALS, MAX_CLOSED, MAX_FLOWS, Service, VERDICT_LINES,
    Verdicts, place,
};
use firewall_abi::packet::{Direction, NO_RULE};
use firewall_abi::rules::{Head, PAGE_WORDS, Page, SETS_TABLES};

/// `BPF_F_MMAPABLE`, by which the service fills a table in one go, and `BPF_F_INNER_MAP`: each has a size of its own.
const TABLE_FLAGS: usize = 1 << 10 | 1 << 12;
type Table = Array<Page, 1, TABLE_FLAGS>;

/// The generation in force, and the one that is tried out under a lease: each replaced as a whole by one update.
#[btf_map]
static RULES: ArrayOfMaps<Table, 2> = ArrayOfMaps::new();
/// Tables of sets, which generations share: a generation names its own by its place.
#[btf_map]
static SETS: ArrayOfMaps<Table, { SETS_TABLES as usize }> = ArrayOfMaps::new();
#[btf_map]
static LEASE: Array<Lease, 1> = Array::new();
#[btf_map]
static VERDICTS: Array<Verdicts, VERDICT_LINES> = Array::new();
/// No entry is thrown out for a new one; the service removes what has been idle for long.
#[btf_map]
static FLOWS: HashMap<FlowKey, FlowEntry, MAX_FLOWS> = HashMap::new();
/// How many of them began outside. Programs add and take away; the service counts them anew when it comes round.
#[btf_map]
static ARRIVALS: Array<u64, 1> = Array::new();
/// Connections that both ends have ended. The oldest makes room for the next.
#[btf_map]
static CLOSED: LruHashMap<FlowKey, FlowEntry, MAX_CLOSED> = LruHashMap::new();
#[btf_map]
static SERVICE: Array<Service, 1> = Array::new();

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
        .is_some_and(|service| owner::is_in(socket, service.netns))
}

/// Counts a verdict.
#[inline(always)]
pub fn count(direction: u8, verdict: u8) {
    if let Some(line) = verdicts() {
        add(line.counter(direction, verdict), 1);
    }
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
/// `E2BIG`, as the kernel says it of a map that is full.
const NO_ROOM: i32 = -7;

/// The connections, in the kernel's maps.
pub struct Flows;

impl Connections for Flows {
    #[inline(always)]
    fn find(&mut self, key: &FlowKey) -> Option<&mut FlowEntry> {
        // SAFETY: the kernel keeps the entry's memory for as long as the program runs.
        FLOWS.get_ptr_mut(key).map(|entry| unsafe { &mut *entry })
    }

    #[inline(always)]
    fn begin(&mut self, key: &FlowKey, entry: &FlowEntry) {
        let arrives = entry.direction == Direction::Inbound as u8;
        let has_room = !arrives
            || ARRIVALS
                .get(0)
                .is_some_and(|arrivals| *arrivals < MAX_ARRIVALS as u64);
        let begun = if has_room {
            FLOWS.insert(key, entry, ONLY_NEW)
        } else {
            Err(NO_ROOM)
        };
        if begun.is_ok() {
            if arrives {
                note_arrivals(1);
            }
        } else if begun != Err(ALREADY_THERE)
            && let Some(line) = verdicts()
        {
            add(&line.flows_full, 1);
        }
    }

    #[inline(always)]
    fn forget(&mut self, key: &FlowKey, direction: u8) {
        if FLOWS.remove(key).is_ok() && direction == Direction::Inbound as u8 {
            note_arrivals(-1);
        }
    }

    #[inline(always)]
    fn close(&mut self, key: &FlowKey) {
        // SAFETY: the kernel keeps the entry's memory for as long as the program runs.
        let Some(entry) = (unsafe { FLOWS.get(key) }) else {
            return;
        };
        // The kernel copies it from one map to the other.
        let _no_room_for_even_that = CLOSED.insert(key, entry, 0);
        self.forget(key, entry.direction);
    }

    #[inline(always)]
    fn closed(&mut self, key: &FlowKey) -> Option<&FlowEntry> {
        // SAFETY: read at once; a reused entry has another key's values, which its reader compares or does not mind.
        unsafe { CLOSED.get(key) }
    }
}

#[inline(always)]
fn note_arrivals(more: i64) {
    if let Some(arrivals) = ARRIVALS.get(0) {
        add(arrivals, more.cast_unsigned());
    }
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
            RULES.get(place::CANDIDATE)
        } else {
            None
        };
        let rules = if candidate.is_some() {
            candidate
        } else {
            RULES.get(place::CONFIRMED)
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
    fn sets(&self, place: u32) -> Option<&KernelPages> {
        SETS.get(place).map(KernelPages::of)
    }
}

/// Adds to what programs count together.
#[inline(always)]
pub fn add(counter: &u64, more: u64) {
    let counter = core::ptr::from_ref(counter).cast_mut();
    // SAFETY: a map's value, aligned; programs change it by atomic additions alone.
    unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(counter, more) };
}
