//! Driver's object and its tables: loaded, or taken over from an earlier service; filled, read, attached.

use crate::escape::plain;
use crate::hooks::Stack;
use crate::netfilter::{self, LoadedProgram, ReadyPrograms};
use crate::pins::{self, Pins};
use crate::sweep::Swept;
use crate::written::Written;
use crate::zone::Zone;
use crate::{checking, hooks, offsets, sockets};
use anyhow::{Context, Result, bail};
use aya::maps::{Map, MapData};
use aya::{Ebpf, EbpfLoader};
use aya_obj::EbpfSectionKind;
use channel::sys::linux::{ObjectMap, TypedMap, bpf};
use firewall_abi::firewall::{
    FlowEntry, FlowKey, Lease, Owner, RING, RINGS, Service, Ticks, Verdicts, generation_index,
};
use firewall_abi::process::PATH_BYTES;
use firewall_abi::rules::{Head, HeadPage, PAGE_BYTES, PAGE_WORDS, Page, SETS_TABLES};
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_getres, clock_gettime};
use std::cell::Cell;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;
use tracing::{debug, warn};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Maximum number of generations of rules: the confirmed one, and a candidate.
const GENERATIONS: u32 = 2;

/// Loaded driver. What it attached stays when it is dropped.
pub struct Driver {
    object: Ebpf,
    /// Driver's programs of netfilter, which aya does not know.
    judges: Vec<LoadedProgram>,
    /// `true` if tables of an earlier service were there, and rules had ever been in them.
    adopted: bool,
    /// Memory that the tables take, or `None` if they have changed since it was last computed.
    taken: Cell<Option<TableMemory>>,
    /// Index of the connection at which the next sweep goes on, among those that have carried something.
    told: Cell<usize>,
    /// Word that the service's own packets carry.
    canary_word: u64,
    /// Links that can't be kept beyond the end of the service, each with its name.
    held: Vec<(String, OwnedFd)>,
    /// Record of what was put into the tables by which the driver judges.
    written: Written,
}

/// Maximum number of connections that a sweep reports the carried bytes of, for which a ring of the history's has room.
/// The next sweep goes on with the others; until then they go on counting.
const MOST_TOLD: usize = 4096;

/// Tables in which pages are put, each with its number of places.
const TABLES: [(&str, u32); 2] = [("RULES", GENERATIONS), ("SETS", SETS_TABLES)];

/// Bytes of kernel memory that tables take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableMemory {
    /// Bytes of the driver's own tables.
    pub own: u64,
    /// Bytes of the rules of all generations.
    pub rules: u64,
    /// Bytes of the sets of all generations.
    pub sets: u64,
}

impl TableMemory {
    /// Returns the sum of all bytes.
    pub const fn sum(self) -> u64 {
        self.own + self.rules + self.sets
    }
}

/// Has the kernel check every program, before anything is attached; those of netfilter are not aya's to keep.
fn load_programs(prepared: &[u8], object: &mut Ebpf) -> Result<Vec<LoadedProgram>> {
    let judges = ReadyPrograms::read(prepared, object)?;
    let checks = judges.checks().chain(hooks::checks(object)?).collect();
    Ok(checking::all(checks)?.into_iter().flatten().collect())
}

impl Driver {
    /// Loads the object: with the tables that an earlier service left under `pins`, or with new ones that are kept
    /// there. Nothing is attached yet.
    pub fn load(file: &Path, pins: &Pins) -> Result<Self> {
        let bytes = fs::read(file).with_context(|| {
            format!(
                "can't read the driver {}; `cargo xtask build ebpf` makes it",
                file.display()
            )
        })?;
        let kernel = offsets::of_this_kernel().context(TOO_OLD)?;
        let bytes = netfilter::prepared(bytes, &kernel);
        let names = kept(&bytes, pins)?;
        let was_there = pins.is_there();
        let mut loader = EbpfLoader::new();
        let ticks: [u64; 2] = zerocopy::transmute!(ticks()?);
        let seed = RandomState::new().hash_one(ticks);
        let canary_word = RandomState::new().hash_one(seed);
        loader
            .btf(None)
            .override_global("TICKS", &ticks, true)
            .override_global("SEED", &seed, true)
            .override_global("CANARY_WORD", &canary_word, true);
        for name in &names {
            loader.map_pin_path(name, pins.map(name));
        }
        let mut object = loader
            .load(&bytes)
            .with_context(|| format!("the kernel did not take the driver {}", file.display()))?;
        let judges = load_programs(&bytes, &mut object)?;
        let mut driver = Self {
            object,
            judges,
            adopted: false,
            taken: Cell::new(None),
            told: Cell::new(0),
            canary_word,
            held: Vec::new(),
            written: Written::default(),
        };
        driver.adopted = was_there && driver.had_rules()?;
        for (table, places) in TABLES {
            let found = driver.written.found(table, &driver.objects(table)?, places);
            found.with_context(|| format!("reading {table}"))?;
        }
        Ok(driver)
    }

    /// Returns whether rules were ever published in these tables. All else is in them by then; until then a service
    /// that was killed may have left them empty.
    fn had_rules(&self) -> Result<bool> {
        Ok(self.lease()?.last_generation != 0 || self.head(generation_index::CONFIRMED)?.is_some())
    }

    /// Returns whether an earlier service left its tables, with what it knew in them.
    pub const fn adopted(&self) -> bool {
        self.adopted
    }

    /// Returns the driver's object, for the device server to find its parts in.
    pub fn object(&mut self) -> &mut Ebpf {
        &mut self.object
    }

    /// Tells the driver the zone, who serves it, and the sockets by which the service answers.
    fn serve(&self, zone: &Zone, answering: [u64; 2]) -> Result<()> {
        self.objects("ZONE")?
            .put(0, &zone.cgroup)
            .context("naming the zone")?;
        self.set("NEW", 0, &FlowEntry::NEW)?;
        self.set_service(Service {
            pid: std::process::id().into(),
            gone: 0,
            netns: zone.cookie,
            answering,
            ..self.value("SERVICE", 0)?
        })
    }

    fn set_service(&self, service: Service) -> Result<()> {
        self.set("SERVICE", 0, &service)?;
        self.written.service.set(Some(service));
        Ok(())
    }

    /// Tells the driver the sockets by which rejected packets are answered.
    pub fn answer_by(&self, answering: [u64; 2]) -> Result<()> {
        let service: Service = self.value("SERVICE", 0)?;
        self.set_service(Service {
            answering,
            ..self.written.service.get().unwrap_or(service)
        })
    }

    /// Tells the driver whether a resolver on this machine is asked for names.
    pub fn hear_resolver_here(&self, is_here: bool) -> Result<()> {
        let before: Service = self.value("SERVICE", 0)?;
        let service = Service {
            resolver_here: is_here.into(),
            ..self.written.service.get().unwrap_or(before)
        };
        if service == before {
            return Ok(());
        }
        self.set_service(service)
    }

    /// Attaches every program, or puts it where an earlier service has attached its own. From now on packets are
    /// judged, and what is rejected is answered by these sockets. Sockets that are older are found by the process of
    /// the unit at `finder`, or by the service.
    pub fn attach(
        &mut self,
        pins: &Pins,
        zone: &Zone,
        answering: [u64; 2],
        finder: Option<&Path>,
    ) -> Result<()> {
        let before: Service = self.value("SERVICE", 0)?;
        if before.netns != zone.cookie {
            hooks::leave_stack(pins)?;
        }
        self.serve(zone, answering)?;
        hooks::watch_owners(&mut self.object, pins, &zone.cgroup)?;
        // Between the two: no socket is missed, and no packet is judged before its socket is known.
        self.name_older_sockets(zone, finder);
        hooks::watch_processes(&mut self.object, pins)?;
        hooks::judge_receivers(&mut self.object, pins, &zone.cgroup)?;
        let table = self.objects("JUDGES")?;
        let mut held = Vec::new();
        let stack = Stack {
            programs: &self.judges,
            pins,
            held: &mut held,
            silent: &[],
        };
        hooks::judge(&table, stack)
    }

    /// Names the sockets that are older. One that is not named has no program: the firewall guards all the same.
    fn name_older_sockets(&self, zone: &Zone, finder: Option<&Path>) {
        let named = match sockets::name_older(self, zone, finder) {
            Ok(named) => named,
            Err(cause) => {
                warn!("sockets that are older than the driver may have no program: {cause:#}");
                return;
            }
        };
        debug!(
            "{} sockets are older than the driver, and known by who holds them",
            named.sockets
        );
        if !named.closed.is_empty() {
            warn!(
                "older sockets of these processes have no program, as nobody may look at them: {:?}",
                named.closed
            );
        }
    }

    /// Returns the word that the service's own packets carry.
    pub const fn canary_word(&self) -> u64 {
        self.canary_word
    }

    /// Looks whether all hooks and tables are where they were put, and puts them there again, as it does with hooks
    /// that are silent. Returns what was gone.
    pub fn heal(&mut self, pins: &Pins, zone: &Zone, silent: &[String]) -> Result<Vec<String>> {
        let mut gone = self.heal_tables()?;
        let table = self.object.map("JUDGES").and_then(data);
        let table = table.context("the driver's object has no map JUDGES")?;
        let table = ObjectMap::open(table.fd().as_fd().try_clone_to_owned()?)?;
        let stack = Stack {
            programs: &self.judges,
            pins,
            held: &mut self.held,
            silent,
        };
        gone.extend(hooks::heal(&mut self.object, &table, stack, &zone.cgroup)?);
        Ok(gone)
    }

    /// Puts back what was put into the tables by which the driver judges, and is not there any more. Returns what was
    /// gone.
    fn heal_tables(&self) -> Result<Vec<String>> {
        let mut gone = Vec::new();
        for (table, places) in TABLES {
            let back = self.written.put_back(table, &self.objects(table)?, places);
            gone.extend(back.with_context(|| format!("putting back what was in {table}"))?);
        }
        if !gone.is_empty() {
            self.taken.set(None);
        }
        if let Some(lease) = self.written.lease.get()
            && self.value::<Lease>("LEASE", 0)? != lease
        {
            self.set("LEASE", 0, &lease)?;
            gone.push("LEASE".to_owned());
        }
        if let Some(service) = self.written.service.get()
            && self.value::<Service>("SERVICE", 0)? != service
        {
            self.set("SERVICE", 0, &service)?;
            gone.push("SERVICE".to_owned());
        }
        Ok(gone)
    }

    /// Returns the driver's counters of verdicts, summed over the processors.
    pub fn verdicts(&self) -> Result<Verdicts> {
        let mut sum = Verdicts::default();
        self.each("VERDICTS", |_: &u32, line: &Verdicts| sum = sum.plus(*line))?;
        Ok(sum)
    }

    /// Forgets the connections that nobody has used for long, and takes the rings of those
    /// away who have none left in them.
    pub fn sweep_flows(&self) -> Result<Swept> {
        let now = hooks::clock_ns(&self.object)?;
        let (mut idle, mut left, mut soonest_ns) = (Vec::new(), 0, None);
        let mut carrying = Vec::new();
        let mut used = [false; RINGS];
        for table in ["FLOWS", "PENDING", "ARRIVING"] {
            self.each(table, |key: &FlowKey, entry: &FlowEntry| {
                let until_idle_ns = until_idle_ns(key, entry, now);
                if until_idle_ns == 0 {
                    idle.push(*key);
                } else {
                    if entry.sent | entry.received != 0 {
                        carrying.push(*key);
                    }
                    left += 1;
                    soonest_ns = Some(soonest_ns.unwrap_or(u64::MAX).min(until_idle_ns));
                }
                if table == "PENDING"
                    && let Some(ring) = used.get_mut(entry.pending_slot as usize / RING)
                {
                    *ring = true;
                }
            })?;
        }
        for key in &idle {
            // The driver counts what each quota owner has, and knows whether it was used meanwhile.
            hooks::forget_silent(&self.object, key)?;
        }
        let batch = next_batch(carrying.len(), self.told.get());
        self.told.set(batch.end);
        for key in batch
            .clone()
            .filter_map(|n| carrying.get(n % carrying.len()))
        {
            hooks::tell_carried(&self.object, key)?;
        }
        self.free_rings(&used)?;
        Ok(Swept {
            forgotten: idle.len() as u64,
            carrying: batch.len() as u64,
            left,
            soonest: soonest_ns.map(Duration::from_nanos),
        })
    }

    /// Has the rules asked again about a connection with its next packet.
    pub fn reclassify(&self, key: &FlowKey) -> Result<()> {
        hooks::reclassify(&self.object, key)
    }

    /// Takes the rings that are not used away from their owners.
    /// Who begins something just then may share it for a while.
    fn free_rings(&self, used: &[bool; RINGS]) -> Result<()> {
        let mut idle = Vec::new();
        self.each("RING_OWNERS", |ring: &u32, quota_owner: &u32| {
            if let (Some(false), Some(owner)) =
                (used.get(*ring as usize), quota_owner.checked_sub(1))
            {
                idle.push((*ring, owner));
            }
        })?;
        for (ring, quota_owner) in idle {
            self.set("OWNER_RINGS", quota_owner, &0_u32)?;
            self.set("RING_OWNERS", ring, &0_u32)?;
        }
        Ok(())
    }

    /// Returns the path of a program, as the driver or we have seen it.
    pub fn program(&self, id: [u64; 2]) -> Result<Option<String>> {
        let path = self.paths()?.get(&id).context("reading PROGRAMS")?;
        let name = |path: [u8; PATH_BYTES]| {
            let name = path.split(|byte| *byte == 0).next().unwrap_or(&[]);
            // By a file's path any user who makes one writes to everybody's log.
            plain(name)
        };
        Ok(path.map(name))
    }

    /// Tells the driver a program's path.
    pub fn name_program(&self, id: [u64; 2], path: &str) -> Result<()> {
        let mut bytes = [0; PATH_BYTES];
        let length = path.len().min(PATH_BYTES - 1);
        bytes[..length].copy_from_slice(&path.as_bytes()[..length]);
        self.paths()?.set(&id, &bytes).context("naming a program")
    }

    fn paths(&self) -> Result<TypedMap<BorrowedFd<'_>, [u64; 2], [u8; PATH_BYTES]>> {
        self.table("PROGRAMS")
    }

    /// Tells the driver whose this socket is. Returns `false` if the driver knew.
    pub fn name_socket(&self, socket: &impl AsFd, owner: &Owner) -> Result<bool> {
        let number = socket.as_fd().as_raw_fd();
        self.table::<i32, Owner>("OWNERS")?
            .set_new(&number, owner)
            .context("naming a socket's owner")
    }

    /// Returns the head of the generation at this index, or `None` if there is none.
    pub fn head(&self, index: u32) -> Result<Option<Head>> {
        let Some(rules) = self.rules(index)? else {
            return Ok(None);
        };
        let page = rules.get(&0).context("reading the rules")?;
        let head = HeadPage::of(&page.unwrap_or([0; PAGE_WORDS])).head;
        Ok((head.generation != 0).then_some(head))
    }

    /// Puts a generation at this index, by one update.
    pub fn put_rules(&self, index: u32, pages: &[Page]) -> Result<()> {
        self.put("RULES", index, pages)
            .context("the kernel did not take the new generation")
    }

    /// Puts the generation of one index at another one too, by one update.
    pub fn copy_rules(&self, from: u32, to: u32) -> Result<()> {
        self.taken.set(None);
        let rules = self.objects("RULES")?;
        let generation = rules.map(from)?.context("there is no such generation")?;
        rules
            .put(to, &generation)
            .context("the kernel did not take the generation")?;
        self.written.put("RULES", to, generation);
        Ok(())
    }

    /// Removes the generation at this index. It succeeds if there is none.
    pub fn drop_rules(&self, index: u32) -> Result<()> {
        self.taken.set(None);
        self.objects("RULES")?
            .remove(index)
            .context("dropping a generation")?;
        self.written.removed("RULES", index);
        Ok(())
    }

    /// Puts a table of sets at an index that nobody uses.
    pub fn put_sets(&self, index: u32, pages: &[Page]) -> Result<()> {
        self.put("SETS", index, pages)
            .context("the kernel did not take the sets")
    }

    /// Returns the number of decisions of each rule of the generation at this index, in the rules' order.
    pub fn hits(&self, index: u32) -> Result<Vec<u64>> {
        let (Some(head), Some(rules)) = (self.head(index)?, self.rules(index)?) else {
            return Ok(Vec::new());
        };
        let mut hits = Vec::new();
        for number in head.hits..head.hits + head.rules.div_ceil(PAGE_WORDS as u32) {
            hits.extend(rules.get(&number)?.unwrap_or([0; PAGE_WORDS]));
        }
        hits.truncate(head.rules as usize);
        Ok(hits)
    }

    /// Takes a table of sets away that nobody uses any more.
    pub fn drop_sets(&self, index: u32) -> Result<()> {
        self.taken.set(None);
        self.objects("SETS")?
            .remove(index)
            .context("dropping a table of sets")?;
        self.written.removed("SETS", index);
        Ok(())
    }

    /// Returns the lease, as it was put where the driver compares it with its clock.
    pub fn lease(&self) -> Result<Lease> {
        let written = self.written.lease.get();
        written.map_or_else(|| self.value("LEASE", 0), Ok)
    }

    /// Sets the lease: until when the candidate is in force.
    pub fn set_lease(&self, lease: Lease) -> Result<()> {
        self.set("LEASE", 0, &lease)?;
        self.written.lease.set(Some(lease));
        Ok(())
    }

    /// Returns the bytes of kernel memory that the tables take.
    pub fn memory(&self) -> TableMemory {
        let taken = self.taken.get().unwrap_or_else(|| TableMemory {
            own: self
                .object
                .maps()
                .filter_map(|(_, map)| data(map))
                .map(|map| bpf::memory(map.fd().as_fd()))
                .sum(),
            rules: self.inner("RULES", GENERATIONS),
            sets: self.inner("SETS", SETS_TABLES),
        });
        self.taken.set(Some(taken));
        taken
    }

    fn inner(&self, name: &str, indices: u32) -> u64 {
        let Ok(maps) = self.objects(name) else {
            return 0;
        };
        let inner = (0..indices).filter_map(|index| maps.map(index).ok()?);
        inner.map(|map| bpf::memory(map.as_fd())).sum()
    }

    fn put(&self, name: &'static str, index: u32, pages: &[Page]) -> Result<()> {
        self.taken.set(None);
        let beside = bpf::create_filled(pages.as_bytes(), PAGE_BYTES as u32)?;
        // From now on only the driver writes there, which counts the rules' hits.
        bpf::freeze(beside.as_fd())?;
        // The kernel keeps the old one until the last program that looked it up has ended.
        self.objects(name)?.put(index, &beside)?;
        self.written.put(name, index, beside);
        Ok(())
    }

    /// Opens the pages of the generation at this index, or returns `None` if there is none.
    fn rules(&self, index: u32) -> Result<Option<TypedMap<OwnedFd, u32, Page>>> {
        let rules = self.objects("RULES")?.map(index);
        let rules = rules.context("reading the rules")?;
        rules
            .map(TypedMap::open)
            .transpose()
            .context("reading the rules")
    }

    /// Returns one value of a table without keys.
    pub fn value<T>(&self, name: &str, key: u32) -> Result<T>
    where
        T: FromBytes + IntoBytes + Immutable,
    {
        let value = self.table::<u32, T>(name)?.get(&key);
        let value = value.with_context(|| format!("reading {name}"))?;
        Ok(value.unwrap_or_else(T::new_zeroed))
    }

    fn set<T>(&self, name: &str, key: u32, value: &T) -> Result<()>
    where
        T: FromBytes + IntoBytes + Immutable,
    {
        self.table::<u32, T>(name)?
            .set(&key, value)
            .with_context(|| format!("writing {name}"))
    }

    /// Calls a function with each entry of a table.
    pub fn each<K, V>(&self, name: &str, meet: impl FnMut(&K, &V)) -> Result<()>
    where
        K: FromBytes + IntoBytes + Immutable,
        V: FromBytes + IntoBytes + Immutable,
    {
        self.table(name)?
            .each(meet)
            .with_context(|| format!("reading {name}"))
    }

    /// Opens a map as the type that this release knows it to be.
    pub fn table<K, V>(&self, name: &str) -> Result<TypedMap<BorrowedFd<'_>, K, V>>
    where
        K: IntoBytes + Immutable,
        V: FromBytes + IntoBytes + Immutable,
    {
        TypedMap::open(self.map(name)?).with_context(|| other_release(name))
    }

    fn objects(&self, name: &str) -> Result<ObjectMap<BorrowedFd<'_>>> {
        ObjectMap::open(self.map(name)?).with_context(|| other_release(name))
    }

    /// Returns a table by its name.
    pub fn map(&self, name: &str) -> Result<BorrowedFd<'_>> {
        let map = self.object.map(name).and_then(data);
        Ok(map.with_context(|| other_release(name))?.fd().as_fd())
    }
}

fn other_release(name: &str) -> String {
    format!("the driver's object has no such map {name}: another release?")
}

/// Returns the nanoseconds of the clock that includes sleep, by which the driver measures leases.
pub fn now_ns() -> Result<u64> {
    Ok(nanoseconds(clock_gettime(ClockId::CLOCK_BOOTTIME)?))
}

/// Returns this kernel's ticks: the precision of a coarse clock.
fn ticks() -> Result<Ticks> {
    let length =
        clock_getres(ClockId::CLOCK_MONOTONIC_COARSE).context("the kernel has no coarse clock")?;
    Ok(Ticks::of(nanoseconds(length)))
}

fn nanoseconds(time: TimeSpec) -> u64 {
    time.tv_sec().cast_unsigned() * 1_000_000_000 + time.tv_nsec().cast_unsigned()
}

/// Returns the nanoseconds that a connection may still be silent, or 0 if it was silent for too long.
fn until_idle_ns(key: &FlowKey, entry: &FlowEntry, now: u64) -> u64 {
    let longest = engine::connection::longest_silence_ns(key.protocol, entry);
    longest
        .saturating_add(1)
        .saturating_sub(now.saturating_sub(entry.stamp_ns))
}

/// Returns the data behind a map, or `None` for a map of a kind that the driver does not have.
pub fn data(map: &Map) -> Option<&MapData> {
    match map {
        Map::Array(data)
        | Map::ArrayOfMaps(data)
        | Map::HashMap(data)
        | Map::LruHashMap(data)
        | Map::CgroupArray(data)
        | Map::PerCpuArray(data)
        | Map::ProgramArray(data)
        | Map::SkStorage(data)
        | Map::RingBuf(data) => Some(data),
        _ => None,
    }
}

/// Returns the bytes of kernel memory that a table of so many pages takes.
pub const fn needed(pages: usize) -> u64 {
    /// Bytes that the kernel keeps beside the pages.
    const BESIDE: u64 = 8192;
    (pages * PAGE_BYTES) as u64 + BESIDE
}

/// Message for a kernel that lacks something.
const TOO_OLD: &str = "this kernel does not have what Gatebell needs: take Linux 6.6 or later, with CONFIG_DEBUG_INFO_BTF and \
                       CONFIG_NETFILTER_BPF_LINK, as Debian 13, Ubuntu 24.04 and Debian 12's backports have it; nothing was changed";

/// Returns the names of the maps that are kept. What an earlier service left and does not fit is put aside first.
fn kept(object: &[u8], pins: &Pins) -> Result<Vec<String>> {
    let object = aya_obj::Object::parse(object).context("the driver's file is no BPF object")?;
    let mut names = Vec::new();
    let mut fits = true;
    for (name, map) in &object.maps {
        // The program's own constants are of this very load.
        if matches!(
            map.section_kind(),
            EbpfSectionKind::Maps | EbpfSectionKind::BtfMaps
        ) {
            fits &= pins::fits(&pins.map(name), map)?;
            names.push(name.clone());
        }
    }
    // Of hooks whose tables have no name any more, nobody could say what they go by.
    fits &= !pins.is_there() || names.iter().all(|name| pins.map(name).exists());
    if names.is_empty() {
        bail!("the driver's object has no maps: another release?");
    }
    if !fits {
        warn!("the tables of an earlier service do not fit this driver; starting with new ones");
        pins.put_aside()
            .context("putting the tables of an earlier service aside")?;
    }
    Ok(names)
}

/// Returns the next batch of connections to report, beginning behind those reported last, as indices of which those
/// beyond the end begin anew. The kernel walks a table in the same order each time, so who always began with the first
/// would never come to the last.
fn next_batch(number: usize, told: usize) -> Range<usize> {
    let start = if told < number { told } else { 0 };
    start..start + number.min(MOST_TOLD)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn of_more_connections_than_a_sweep_tells_of_each_has_its_turn() {
        for number in [0, 1, MOST_TOLD, MOST_TOLD + 1, 3 * MOST_TOLD - 7] {
            let (mut told, mut met) = (0, BTreeSet::new());
            for _ in 0..number.div_ceil(MOST_TOLD) {
                let batch = next_batch(number, told);
                assert_eq!(batch.len(), number.min(MOST_TOLD));
                told = batch.end;
                met.extend(batch.map(|n| n % number));
            }
            assert_eq!(met.len(), number);
        }
        // There are fewer than there were.
        assert_eq!(next_batch(3, 9000), 0..3);
    }
}
