//! Thread that waits for the driver and turns its records into what the views show.

use crate::entry::{Entry, Update};
use crate::latency::Latency;
use crate::text;
use crate::time::Clock;
use anyhow::Result;
use channel::sys::Host;
use channel::{Account, Attachment, Item, Mask, Record, System, Wake};
use channel_abi::Ending;
use control::Names;
use firewall_abi::kind;
use firewall_abi::packet::Packet;
use firewall_abi::process::Process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

/// Bytes of this app's ring.
const RING_BYTES: u32 = 1 << 20;
/// Interval at which the accounting is shown, and the wish to stop is looked at.
const TURN: Duration = Duration::from_millis(200);

/// Consumer of updates. Returns whether it wants more.
pub type Sink<'a> = &'a mut dyn FnMut(Told<'_>) -> bool;

/// Update of a view, with the record that it came from.
pub struct Told<'a> {
    /// Update that the views show.
    pub update: Update,
    /// Record that the update came from, where there is one.
    pub record: Option<Record<'a>>,
}

/// Summary of a whole run.
#[derive(Debug)]
pub struct Summary {
    /// Accounting of both sides.
    pub account: Account,
    /// Number of processes that started.
    pub processes: u64,
    /// Number of records that this release could not read.
    pub unreadable: u64,
    /// Latency from the driver's stamp to this app, for records that woke it.
    pub latency: Latency,
    /// Reason for which the driver ended the run, if this side did not.
    pub ended: Option<Ending>,
}

/// Returns the mask of all kinds that the views know how to show.
#[must_use]
pub const fn everything() -> Mask {
    Mask::of(kind::PACKET)
        .and(kind::PROCESS_START)
        .and(kind::PROCESS_EXIT)
}

/// Waits and drains until `stop` is set, the driver ends it, or the view wants no more.
///
/// Who ends it from here lets go first and takes what is there then, so that the books at the end are exact.
pub fn read(
    name: &<Host as System>::Name,
    mask: Mask,
    names: &mut dyn Names,
    stop: &Arc<AtomicBool>,
    sink: Sink<'_>,
) -> Result<Summary> {
    let mut attachment = channel::open(name)?.attach(RING_BYTES, mask)?;
    let mut reader = Reader {
        names,
        clock: Clock::default(),
        processes: 0,
        unreadable: 0,
        latency: Latency::default(),
    };
    loop {
        let asleep = !attachment.event().is_set()?;
        let woken = attachment.wait(Some(TURN))? == Wake::Ready && asleep;
        let mut drained = reader.drain(&mut attachment, woken, sink)?;
        let stopping = stop.load(Ordering::Acquire) || !drained.wanted;
        if stopping && drained.ended.is_none() {
            // A service that is gone by now has let go already.
            let _gone = attachment.detach();
            drained.wanted &= reader.drain(&mut attachment, false, sink)?.wanted;
        }
        let account = attachment.account()?;
        let wanted = drained.wanted
            && sink(Told {
                update: Update::Account(account),
                record: None,
            });
        if let (Some(ending), true) = (drained.ended, wanted) {
            sink(Told {
                update: Update::Ended(text!("driver-ended", why = why(ending))),
                record: None,
            });
        }
        if stopping || !wanted || drained.ended.is_some() {
            let Reader {
                processes,
                unreadable,
                latency,
                ..
            } = reader;
            return Ok(Summary {
                account,
                processes,
                unreadable,
                latency,
                ended: drained.ended,
            });
        }
    }
}

fn why(ending: Ending) -> String {
    match ending {
        Ending::Dereferenced => text!("ending-detached"),
        Ending::DriverStopping => text!("ending-stopping"),
        Ending::Incompatible => text!("ending-incompatible"),
    }
}

/// Returns the reason for which the driver's device can't be opened, as of the control socket: the same service stands
/// before both.
#[cfg(target_os = "linux")]
#[must_use]
pub fn unreachable(error: &anyhow::Error) -> Option<control::Failed> {
    match error.downcast_ref()? {
        channel::Error::Open { source, .. } => Some(std::io::Error::from(source.kind()).into()),
        _ => None,
    }
}

/// Outcome of a drain: whether the view wants more, and whether more will come.
struct Drained {
    wanted: bool,
    ended: Option<Ending>,
}

struct Reader<'a> {
    names: &'a mut dyn Names,
    clock: Clock,
    processes: u64,
    unreadable: u64,
    latency: Latency,
}

impl Reader<'_> {
    /// Takes all records that are there. A view that wants no more gets no more, but the accounting goes on.
    fn drain(
        &mut self,
        attachment: &mut Attachment,
        woken: bool,
        sink: Sink<'_>,
    ) -> Result<Drained> {
        let mut first = woken;
        let mut wanted = true;
        let drained = attachment.drain(|item| {
            if let (Item::Record(record), true) = (item, first) {
                self.latency.note(record.header().stamp_ns);
                first = false;
            }
            let told = self.entry(item);
            wanted = wanted && sink(told);
        })?;
        Ok(Drained {
            wanted,
            ended: drained.ended,
        })
    }

    fn entry<'a>(&mut self, item: Item<'a>) -> Told<'a> {
        match item {
            Item::Lost(lost) => Told {
                update: Update::Entry(Entry::lost(SystemTime::now(), lost)),
                record: None,
            },
            Item::Record(record) => Told {
                update: Update::Entry(self.record(record)),
                record: Some(record),
            },
        }
    }

    /// Turns a record into an entry. One that can't be read is an entry too, and counted.
    fn record(&mut self, record: Record<'_>) -> Entry {
        let at = self.clock.time_of(record.header().stamp_ns);
        self.read(at, record).unwrap_or_else(|| {
            self.unreadable += 1;
            Entry::unreadable(at, record.header().kind, record.bytes().len())
        })
    }

    fn read(&mut self, at: SystemTime, record: Record<'_>) -> Option<Entry> {
        match record.kind() {
            kind::PACKET => {
                let packet = record.read::<Packet>().ok()?;
                Entry::from_packet(at, packet, self.names).ok()
            }
            kind @ (kind::PROCESS_START | kind::PROCESS_EXIT) => {
                let process = record.read::<Process>().ok()?;
                self.processes += u64::from(kind == kind::PROCESS_START);
                Some(Entry::from_process(at, process, kind == kind::PROCESS_EXIT))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;
    use crate::entry::EntryContent;
    use crate::example::{Named, packet};
    use zerocopy::IntoBytes;

    /// Returns the content that the reader makes of a record with these bytes, and the number that it could not read by
    /// then.
    fn read(bytes: &[u8]) -> (EntryContent, u64) {
        let mut reader = Reader {
            names: &mut Named,
            clock: Clock::default(),
            processes: 0,
            unreadable: 0,
            latency: Latency::default(),
        };
        let record = Record::check(bytes).unwrap();
        (reader.record(record).what, reader.unreadable)
    }

    #[test]
    fn a_record_that_views_do_not_know_is_shown_and_counted() {
        let mut packet = packet();
        packet.header.version = channel_abi::VERSION;
        packet.header.length = u32::try_from(size_of::<Packet>()).unwrap();
        packet.header.kind = kind::PACKET.number();
        assert!(matches!(
            read(packet.as_bytes()),
            (EntryContent::Packet(_), 0)
        ));
        packet.decision.verdict = 9;
        assert!(matches!(
            read(packet.as_bytes()),
            (EntryContent::Unreadable(_), 1)
        ));
        packet.header.kind = channel_abi::Kind::new::<63>().number();
        assert!(matches!(
            read(packet.as_bytes()),
            (EntryContent::Unreadable(_), 1)
        ));
    }
}
