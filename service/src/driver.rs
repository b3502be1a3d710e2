//! The driver's object: loaded, filled, attached.

use crate::zone::{Device, Zone};
use anyhow::{Context, Result};
use aya::maps::{Array, ArrayOfMaps, CgroupArray, HashMap, MapData};
use aya::programs::tc::{NlOptions, TcAttachOptions, TcHandle};
use aya::programs::{CgroupAttachMode, CgroupSkb, CgroupSkbAttachType, CgroupSock};
use aya::programs::{Program, ProgramError, SchedClassifier, TcAttachType, TracePoint, tc};
use aya::{Ebpf, EbpfLoader};
use contract::firewall::{FlowEntry, FlowKey, Generation, Verdicts, ZoneDevice};
use contract::rules::{MAX_ROWS, RuleRow};
use nix::time::{ClockId, clock_gettime};
use rules::Rules;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use zerocopy::{FromBytes, IntoBytes};

/// A generation, a flow's key and its entry, as the kernel's maps hold them.
type GenerationBytes = [u8; size_of::<Generation>()];
type KeyBytes = [u8; size_of::<FlowKey>()];
type EntryBytes = [u8; size_of::<FlowEntry>()];
type VerdictBytes = [u8; size_of::<Verdicts>()];

/// The place of our filters on a device: early, and always the same, so that an upgrade finds them.
const PRIORITY: u16 = 1;
const HANDLE: TcHandle = TcHandle::new(0, 0x6B);

/// The loaded driver. Dropped, its programs are detached and gone.
pub struct Driver {
    object: Ebpf,
    generation: u32,
}

impl Driver {
    /// Loads the object and tells it what the zone is. Nothing is attached yet.
    pub fn load(file: &Path, zone: &Zone) -> Result<Self> {
        let bytes = std::fs::read(file).with_context(|| {
            format!("can't read the driver {}; `cargo xtask build ebpf` makes it", file.display())
        })?;
        let object = EbpfLoader::new().load(&bytes).with_context(|| {
            format!(
                "the kernel did not take the driver {}; it needs root and a kernel from 6.1 on",
                file.display()
            )
        })?;
        let mut driver = Self { object, generation: 0 };
        CgroupArray::try_from(driver.map("ZONE")?)?.set(0, zone.cgroup.as_raw_fd(), 0)?;
        let mut service: Array<_, [u64; 2]> = Array::try_from(driver.map("SERVICE")?)?;
        service.set(0, [u64::from(std::process::id()), 0], 0)?;
        let mut devices: HashMap<_, u32, u32> = HashMap::try_from(driver.map("DEVICES")?)?;
        for Device { index, link_header, .. } in &zone.devices {
            let ZoneDevice { link_header } = ZoneDevice { link_header: *link_header };
            devices.insert(index, link_header, 0)?;
        }
        Ok(driver)
    }

    /// Makes these rules the generation in force, by one update.
    pub fn publish(&mut self, rules: &Rules) -> Result<()> {
        let number = self.generation + 1;
        let table = rules.compile(number);
        let mut rows = [RuleRow::default(); MAX_ROWS as usize];
        let room = rows.get_mut(..table.rows.len()).with_context(|| {
            format!(
                "the rules make {} rows, and the driver takes {MAX_ROWS}; nothing was changed",
                table.rows.len()
            )
        })?;
        room.copy_from_slice(&table.rows);
        let mut bytes: GenerationBytes = [0; size_of::<Generation>()];
        Generation { head: table.head, rows }
            .write_to(&mut bytes)
            .ok()
            .context("a generation has a fixed size")?;
        let mut beside: Array<MapData, GenerationBytes> = Array::create(1, 0)?;
        beside.set(0, bytes, 0)?;
        let mut in_force: ArrayOfMaps<_, Array<MapData, GenerationBytes>> =
            ArrayOfMaps::try_from(self.map("RULES")?)?;
        // The kernel keeps the old one until the last program that looked it up has ended.
        in_force.set(0, &beside, 0).context("the kernel did not take the new generation")?;
        self.generation = number;
        Ok(())
    }

    /// The number of the generation in force.
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// The object, for the door to find its parts in.
    pub fn object(&mut self) -> &mut Ebpf {
        &mut self.object
    }

    /// Attaches every program. From now on packets are judged.
    pub fn attach(&mut self, zone: &Zone) -> Result<()> {
        let cgroup = &zone.cgroup;
        let mode = CgroupAttachMode::Single;
        let makers: &mut CgroupSock = self.program("socket_made")?;
        makers.load().and_then(|()| makers.attach(cgroup, mode)).context("watching who makes sockets")?;
        for (name, event) in
            [("program_started", "sched_process_exec"), ("process_ended", "sched_process_exit")]
        {
            let program: &mut TracePoint = self.program(name)?;
            program
                .load()
                .and_then(|()| program.attach("sched", event))
                .with_context(|| format!("watching {event}"))?;
        }
        for device in &zone.devices {
            self.attach_at_device(&device.name).with_context(|| format!("attaching to {}", device.name))?;
        }
        let program: &mut CgroupSkb = self.program("zone_socket_egress")?;
        program
            .load()
            .and_then(|()| program.attach(cgroup, CgroupSkbAttachType::Egress, mode))
            .context("attaching to the zone's control group")?;
        Ok(())
    }

    fn attach_at_device(&mut self, device: &str) -> Result<()> {
        match tc::qdisc_add_clsact(device) {
            Err(error) if !there_already(&error) => return Err(error).context("can't add the clsact qdisc"),
            _ => {}
        }
        for (name, side) in [("zone_ingress", TcAttachType::Ingress), ("zone_egress", TcAttachType::Egress)] {
            // What a service that was killed left behind. Nothing there is as good.
            let _none_left = tc::qdisc_detach_program(device, side, name);
            let program: &mut SchedClassifier = self.program(name)?;
            if program.fd().is_err() {
                program.load().with_context(|| format!("loading {name}"))?;
            }
            let options = NlOptions { priority: PRIORITY, handle: HANDLE, classid: None };
            program.attach_with_options(device, side, TcAttachOptions::Netlink(options))?;
        }
        Ok(())
    }

    /// Takes every program off again.
    pub fn detach(&mut self) {
        for (_, program) in self.object.programs_mut() {
            // One that was never loaded has nothing to take off.
            let _not_loaded = match program {
                Program::SchedClassifier(program) => program.unload(),
                Program::CgroupSkb(program) => program.unload(),
                Program::CgroupSock(program) => program.unload(),
                Program::TracePoint(program) => program.unload(),
                _ => Ok(()),
            };
        }
    }

    /// What the driver counted.
    pub fn verdicts(&mut self) -> Result<Verdicts> {
        let counted: Array<_, VerdictBytes> = Array::try_from(self.map("VERDICTS")?)?;
        Verdicts::read_from_bytes(&counted.get(&0, 0)?).ok().context("the driver counts otherwise")
    }

    /// Forgets flows that nobody has used for long.
    pub fn forget_idle_flows(&mut self) -> Result<()> {
        let now = clock_gettime(ClockId::CLOCK_BOOTTIME)?;
        let now = now.tv_sec().cast_unsigned() * 1_000_000_000 + now.tv_nsec().cast_unsigned();
        let mut flows: HashMap<_, KeyBytes, EntryBytes> = HashMap::try_from(self.map("FLOWS")?)?;
        let idle: Vec<KeyBytes> = flows
            .iter()
            .filter_map(Result::ok)
            .filter(|(key, entry)| idle(key, entry, now))
            .map(|(key, _)| key)
            .collect();
        for key in idle {
            // The driver may have been quicker.
            let _gone_already = flows.remove(&key);
        }
        Ok(())
    }

    fn map(&mut self, name: &str) -> Result<&mut aya::maps::Map> {
        self.object
            .map_mut(name)
            .with_context(|| format!("the driver's object has no map {name}: another release?"))
    }

    fn program<'a, P>(&'a mut self, name: &str) -> Result<&'a mut P>
    where
        &'a mut P: TryFrom<&'a mut Program, Error = ProgramError>,
    {
        let missing = || format!("the driver's object has no program {name}: another release?");
        Ok(self.object.program_mut(name).with_context(missing)?.try_into()?)
    }
}

fn idle(key: &KeyBytes, entry: &EntryBytes, now: u64) -> bool {
    let (Ok(key), Ok(entry)) = (FlowKey::read_from_bytes(key), FlowEntry::read_from_bytes(entry)) else {
        return false;
    };
    now.saturating_sub(entry.stamp_ns) > engine::conversation::longest_silence_ns(key.protocol)
}

/// Whether the qdisc was there already.
fn there_already(error: &tc::TcError) -> bool {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(this) = cause {
        let exists =
            this.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::AlreadyExists);
        if exists {
            return true;
        }
        cause = this.source();
    }
    false
}
