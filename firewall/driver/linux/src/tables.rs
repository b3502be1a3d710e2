//! Tables that the service fills in, and counters of the driver.

use crate::atomics::add;
use crate::socket_owner;
use aya_ebpf::Global;
use aya_ebpf::btf_maps::{Array, ArrayOfMaps, HashMap};
use aya_ebpf::helpers::generated::{bpf_get_smp_processor_id, bpf_ktime_get_boot_ns, bpf_loop};
use aya_ebpf::macros::btf_map;
use core::ffi::c_void;
use engine::{LoopBody, Pages, Tables};
use firewall_abi::firewall::{Lease, Service, VERDICT_LINES, Verdicts, canary, generation_index};
use firewall_abi::members::{MAX_MEMBERS, Member};
use firewall_abi::packet::NO_RULE;
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
/// Sets that addresses have joined since: the service writes each as a whole, and takes out what is over. Room is taken
/// as it is needed (`BPF_F_NO_PREALLOC`).
#[btf_map]
static MEMBERS: HashMap<[u8; 16], Member, MAX_MEMBERS, 1> = HashMap::new();
/// Until when the generation that is tried out is in force. Written by the service.
#[btf_map]
static LEASE: Array<Lease, 1> = Array::new();
/// Packets that were judged, by direction and verdict, and what found no room: a line for each processor.
#[btf_map]
static VERDICTS: Array<Verdicts, VERDICT_LINES> = Array::new();
/// The process of the service, its network namespace and its sockets. Written by it;
/// the driver notes that the process has ended.
#[btf_map]
static SERVICE: Array<Service, 1> = Array::new();

/// Number of the service's own packets that were seen, by the indices in [`canary`].
#[btf_map]
static CANARY: Array<u64, { canary::COUNTERS }> = Array::new();

/// Value of a number until the service sets it, and of nothing else: the compiler keeps equal constants once, so that
/// whoever looks up a table's index 0 by a pointer to that would look up the service's number.
pub const UNSET: u64 = u64::from_ne_bytes(*b"not set.");

/// Word that the service's own packets carry. Set by it as it loads the driver.
#[unsafe(no_mangle)]
static CANARY_WORD: Global<u64> = Global::new(UNSET);

/// Seed that the numbers of networks are mixed with. Set by the service as it loads the driver.
#[unsafe(no_mangle)]
static SEED: Global<u64> = Global::new(UNSET);

/// See [`SEED`].
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

/// Returns whether the service has ended, one way or another.
#[inline(always)]
pub fn service_is_gone() -> bool {
    SERVICE.get(0).is_some_and(|service| service.gone == 1)
}

/// Returns whether a socket is in the zone's network namespace.
#[inline(always)]
pub fn is_zones(socket: u64) -> bool {
    SERVICE
        .get(0)
        .is_some_and(|service| socket_owner::is_in(socket, service.netns))
}

/// Returns whether the service answers by the socket of this number what was rejected.
#[inline(always)]
pub fn is_answering(socket: u64) -> bool {
    socket != 0
        && SERVICE.get(0).is_some_and(|service| {
            let [four, six] = service.answering;
            socket == four || socket == six
        })
}

/// Returns whether a resolver on this machine is asked for names.
#[inline(always)]
pub fn resolver_is_here() -> bool {
    SERVICE
        .get(0)
        .is_some_and(|service| service.resolver_here == 1)
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

/// Counts a packet that is left to the socket that gets it,
#[inline(always)]
pub fn count_left() {
    if let Some(line) = verdicts() {
        add(&line.left_in, 1);
    }
}

/// and takes one out of that count, which somebody gets.
#[inline(always)]
pub fn take_back_left() {
    if let Some(line) = verdicts() {
        add(&line.left_in, u64::MAX);
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

/// Returns the word that the service's own packets carry.
#[inline(always)]
pub fn canary_word() -> u64 {
    CANARY_WORD.load()
}

/// Counts a confirmed connection that found no room.
#[inline(always)]
pub fn count_full() {
    if let Some(line) = verdicts() {
        add(&line.flows_full, 1);
    }
}

/// Returns this processor's line of counters.
#[inline(always)]
fn verdicts() -> Option<&'static Verdicts> {
    // SAFETY: the helper has no preconditions.
    let processor = unsafe { bpf_get_smp_processor_id() };
    VERDICTS.get(processor % VERDICT_LINES as u32)
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

/// Now, on the clock that includes sleep. Where the machine's counter has to be asked, not cheap:
/// only a lease asks, and what is asked of people.
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
        // SAFETY: read at once; the kernel keeps the entry's memory for as long as the program runs, or gives it to
        // another address that joins a set just then: one packet may be judged by that one's.
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
