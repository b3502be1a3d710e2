//! The thread that waits for the driver and turns its records into what the views show.

use crate::entry::{Clock, Entry, RuleName, Update};
use crate::latency::Latency;
use anyhow::{Context, Result};
use channel::sys::Host;
use channel::{Account, Attachment, Device, Item, Mask, Record, System, Wake};
use contract::Kind;
use contract::packet::Packet;
use contract::process::Process;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

/// Bytes of this app's ring.
const RING_BYTES: u32 = 1 << 20;
/// How often the books are shown, and the wish to stop is looked at.
const TURN: Duration = Duration::from_millis(200);

/// What a view is handed. Returns whether it wants more.
pub type Sink<'a> = &'a mut dyn FnMut(Told<'_>) -> bool;

/// One thing to show, with the record it came from.
pub struct Told<'a> {
    /// What the views show.
    pub update: Update,
    /// The record itself, where there is one.
    pub record: Option<Record<'a>>,
}

/// The rule file, for the names of rules.
pub struct Names {
    rules: Option<rules::Rules>,
}

impl Names {
    /// Reads the rule file that the service was given.
    pub fn read(file: Option<&Path>) -> Result<Self> {
        let Some(file) = file else { return Ok(Self { rules: None }) };
        let name = file.display().to_string();
        let text =
            std::fs::read_to_string(file).with_context(|| format!("can't read the rule file {name}"))?;
        Ok(Self { rules: Some(rules::parse(&name, &text)?) })
    }

    fn of(&self, rule: u32) -> Option<RuleName> {
        let rule = self.rules.as_ref()?.rule(rule)?;
        Some(RuleName { id: rule.id.clone(), line: u32::try_from(rule.line).unwrap_or(u32::MAX) })
    }
}

/// What a whole run came to.
#[derive(Debug)]
pub struct Summary {
    /// Both sides' books.
    pub account: Account,
    /// Processes that started.
    pub processes: u64,
    /// From the driver's stamp to this app, for records that woke it.
    pub latency: Latency,
}

/// Waits and drains until `stop` is set, the driver ends the reference, or the view wants no more.
pub fn read(
    name: &<Host as System>::Name,
    names: &Names,
    stop: &Arc<AtomicBool>,
    sink: Sink<'_>,
) -> Result<Summary> {
    let device = Device::open(name)?;
    let event = device.create_event(RING_BYTES)?;
    let mask = Mask::of(Kind::PACKET).and(Kind::PROCESS_START).and(Kind::PROCESS_EXIT);
    let mut attachment = Attachment::reference(device, event, mask)?.with_pace(channel::Pace::Prompt);
    let mut reader = Reader { names, clock: Clock::default(), processes: 0, latency: Latency::default() };
    loop {
        let stopping = stop.load(Ordering::Acquire);
        let asleep = !attachment.event().is_set()?;
        let woken =
            attachment.wait(Some(if stopping { Duration::ZERO } else { TURN }))? == Wake::Signalled && asleep;
        let more = reader.drain(&mut attachment, woken, sink)?;
        let account = attachment.account()?;
        let wanted = sink(Told { update: Update::Account(account), record: None });
        if stopping || !more || !wanted {
            return Ok(Summary { account, processes: reader.processes, latency: reader.latency });
        }
    }
}

struct Reader<'a> {
    names: &'a Names,
    clock: Clock,
    processes: u64,
    latency: Latency,
}

impl Reader<'_> {
    /// Takes all that is there. False: no more will come, or nobody wants it.
    fn drain(&mut self, attachment: &mut Attachment, woken: bool, sink: Sink<'_>) -> Result<bool> {
        let mut first = woken;
        let mut wanted = true;
        let drained = attachment.drain(|item| {
            if let (Item::Record(record), true) = (item, first) {
                self.latency.note(record.header().stamp_ns);
                first = false;
            }
            if let Some(told) = self.entry(item) {
                wanted &= sink(told);
            }
        })?;
        if let Some(ending) = drained.ended {
            let why = format!("the driver ended it: {ending:?}");
            sink(Told { update: Update::Ended(why), record: None });
        }
        Ok(wanted && drained.ended.is_none())
    }

    fn entry<'a>(&mut self, item: Item<'a>) -> Option<Told<'a>> {
        let record = match item {
            Item::Lost(lost) => {
                let update = Update::Entry(Entry::lost(SystemTime::now(), lost));
                return Some(Told { update, record: None });
            }
            Item::Record(record) => record,
        };
        let at = self.clock.time_of(record.header().stamp_ns);
        let entry = match record.kind() {
            Kind::PACKET => {
                let packet: Packet = record.read().ok()?;
                // The names are those of the file that was read, the service's first generation.
                Entry::from_packet(at, &packet, &|_, rule| self.names.of(rule)).ok()?
            }
            kind => {
                self.processes += u64::from(kind == Kind::PROCESS_START);
                Entry::from_process(at, &record.read::<Process>().ok()?, kind == Kind::PROCESS_EXIT)
            }
        };
        Some(Told { update: Update::Entry(entry), record: Some(record) })
    }
}

/// Where the door is, unless the command line says otherwise.
#[must_use]
pub fn default_device() -> PathBuf {
    PathBuf::from(if cfg!(windows) { r"\\.\Gatebell" } else { "/run/gatebell/gatebell.sock" })
}
