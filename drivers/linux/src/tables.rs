//! What the service fills in, and what the driver counts and remembers.

use aya_ebpf::btf_maps::{Array, ArrayOfMaps, HashMap};
use aya_ebpf::macros::btf_map;
use contract::firewall::{FlowEntry, FlowKey, Generation, MAX_DEVICES, MAX_FLOWS, Verdicts, ZoneDevice};
use contract::rules::{Head, RuleRow};
use core::intrinsics::{AtomicOrdering, atomic_xadd};
use engine::Tables;
use engine::conversation::Conversations;

/// A [`Generation`], in words. No struct: Linux 6.1 takes a map for another's place only if both have been searched for
/// timers, or none, and it searches structs that have types; the service's maps have none.
type Words = [u64; size_of::<Generation>() / size_of::<u64>()];

/// The generation in force: one entry, replaced as a whole by one update.
#[btf_map]
static RULES: ArrayOfMaps<Array<Words, 1>, 1> = ArrayOfMaps::new();
#[btf_map]
static VERDICTS: Array<Verdicts, 1> = Array::new();
#[btf_map]
static DEVICES: HashMap<u32, ZoneDevice, MAX_DEVICES> = HashMap::new();
/// No entry is thrown out for a new one; the service removes what has been idle for long.
#[btf_map]
static FLOWS: HashMap<FlowKey, FlowEntry, MAX_FLOWS> = HashMap::new();

/// The service's process, and 1 once it has ended without taking its programs off: the hook at the sockets went with it,
/// the filters at the devices stay.
#[btf_map]
static SERVICE: Array<[u64; 2], 1> = Array::new();

/// A process has ended: was it the service?
#[inline(always)]
pub fn process_ended(pid: u32) {
    if let Some(service) = SERVICE.get_ptr_mut(0) {
        // SAFETY: the map's value, which outlives the program.
        let service = unsafe { &mut *service };
        if service[0] == u64::from(pid) {
            service[1] = 1;
        }
    }
}

/// Whether the hook at the sockets is there: what it has judged need not be judged at the device.
#[inline(always)]
pub fn sockets_are_judged() -> bool {
    SERVICE.get(0).is_some_and(|service| service[1] == 0)
}

/// Bytes of the link's header on a device of the zone; `None` for any other device.
#[inline(always)]
pub fn link_header(interface: u32) -> Option<u32> {
    // SAFETY: read at once; the service changes entries only while it starts.
    unsafe { DEVICES.get(interface) }.map(|device| device.link_header)
}

/// Counts a verdict.
#[inline(always)]
pub fn count(direction: u8, verdict: u8) {
    if let Some(verdicts) = VERDICTS.get(0) {
        add_one(verdicts.counter(direction, verdict));
    }
}

/// The conversations, in the kernel's map.
pub struct Flows;

impl Conversations for Flows {
    #[inline(always)]
    fn find(&mut self, key: &FlowKey) -> Option<&mut FlowEntry> {
        // SAFETY: the kernel keeps the entry's memory for as long as the program runs.
        FLOWS.get_ptr_mut(key).map(|entry| unsafe { &mut *entry })
    }

    #[inline(always)]
    fn begin(&mut self, key: &FlowKey, entry: &FlowEntry) {
        if FLOWS.insert(key, entry, 0).is_err() {
            if let Some(verdicts) = VERDICTS.get(0) {
                add_one(&verdicts.flows_full);
            }
        }
    }

    #[inline(always)]
    fn forget(&mut self, key: &FlowKey) {
        let _gone_already = FLOWS.remove(key);
    }
}

/// The generation in force, looked up once for each packet.
pub struct InForce(Option<&'static Generation>);

impl InForce {
    #[inline(always)]
    pub fn now() -> Self {
        // SAFETY: as long as a generation, as aligned, and any words are one.
        Self(RULES.get_value(0, &0).map(|words| unsafe { &*core::ptr::from_ref(words).cast::<Generation>() }))
    }
}

impl Tables for InForce {
    #[inline(always)]
    fn head(&self) -> Option<Head> {
        self.0.map(|generation| generation.head)
    }

    #[inline(always)]
    fn row(&self, index: u32) -> Option<&RuleRow> {
        self.0?.rows.get(index as usize)
    }
}

#[inline(always)]
fn add_one(counter: &u64) {
    let counter = core::ptr::from_ref(counter).cast_mut();
    // SAFETY: a map's value, aligned; programs change it by atomic additions alone.
    unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(counter, 1) };
}
