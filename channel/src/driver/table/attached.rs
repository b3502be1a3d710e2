//! References of apps: each with its event, its queue and its ledger.

use super::opener::Opener;
use super::{Platform, Signal};
use crate::driver::queue::Queue;
use channel_abi::command::Drained;
use channel_abi::ledger::PROCESSORS;
use channel_abi::{Ending, Header, Kind, Ledger, Mask, Reference, Refusal, Totals, VERSION};
use zerocopy::{FromBytes, IntoBytes};

/// An app's reference, from REFERENCE until its file is closed or references again.
pub(super) struct Slot<P: Platform> {
    /// The event, or `None` once the reference ended: the ledger stays readable.
    pub(super) event: Option<P::Event>,
    pub(super) opener: Opener<P::User>,
    pub(super) mask: Mask,
    pub(super) queue: Queue,
    pub(super) memory: P::Memory,
    pub(super) ledger: P::Memory,
    pub(super) ended: Option<Ending>,
}

/// Length of a ledger, in 64-bit words.
pub(super) const LEDGER_WORDS: usize = size_of::<Ledger>() / 8;

impl<P: Platform> Slot<P> {
    /// Makes room, and takes the event last: nothing can fail after it.
    pub(super) fn for_request(
        request: &Reference,
        opener: Opener<P::User>,
        take: impl FnOnce(u64) -> Result<P::Event, Refusal>,
    ) -> Result<Self, Refusal> {
        let memory = P::allocate(request.ring_bytes as usize / 8).ok_or(Refusal::Memory)?;
        let ledger = P::allocate(LEDGER_WORDS).ok_or(Refusal::Memory)?;
        let event = Some(take(request.event)?);
        let (mask, queue, ended) = (Mask(request.mask), Queue::default(), None);
        Ok(Self {
            event,
            opener,
            mask,
            queue,
            memory,
            ledger,
            ended,
        })
    }

    /// Puts a record into the queue, if the app wants it. Returns the event to signal once the lock is released: waking
    /// takes as long as the app has threads that wait.
    pub(super) fn offer(&mut self, kind: Kind, record: &[u8]) -> Option<P::Event> {
        let wanted = self.event.is_some() && self.mask.wants(kind);
        wanted.then(|| self.deliver(kind, record)).flatten()
    }

    /// Makes one attempt: takes the next sequence number, fills the queue, and counts. Returns the event to signal.
    fn deliver(&mut self, kind: Kind, record: &[u8]) -> Option<P::Event> {
        let rest = record.get(size_of::<Header>()..)?;
        let processor = P::processor();
        let line = line(&mut self.ledger, processor)?;
        let header = Header {
            length: record.len() as u32,
            kind: kind.number(),
            version: VERSION,
            processor,
            sequence: line.offered,
            stamp_ns: P::now_ns(),
            lost: line.lost,
        };
        line.offered += 1;
        match self.queue.push(self.memory.as_mut(), &header, rest) {
            Ok(()) => line.committed += 1,
            Err(cause) => line.lost[cause as usize] += 1,
        }
        // Also after a loss, and also if an earlier signal may still stand: a signal too many costs a drain that finds
        // nothing, one too few costs an app that sleeps for ever (I6).
        self.event.clone()
    }

    /// Moves records for one hold of the lock; returns whether there may be more to move.
    pub(super) fn drain(&mut self, room: &mut [u8], drained: &mut Drained) -> bool {
        let popped = self.queue.pop(self.memory.as_ref(), room);
        drained.bytes += popped.bytes as u32;
        drained.records += popped.records;
        drained.waiting = self.queue.records();
        drained.ended = self.ended.map_or(0, |ending| ending as u64);
        popped.more
    }

    /// Ends the reference; returns the event to release, once.
    pub(super) fn end(&mut self, why: Ending) -> Option<P::Event> {
        let event = self.event.take()?;
        self.ended = Some(why);
        if let Some(ended) = self.ledger.as_mut().first_mut() {
            *ended = why as u64;
        }
        Some(event)
    }

    pub(super) fn totals(&self) -> Totals {
        Ledger::ref_from_bytes(self.ledger.as_ref().as_bytes())
            .map_or(Totals::default(), Ledger::totals)
    }
}

/// Signals an event, if there is one. With no lock held, by a reference of its own: the app may have released the event
/// meanwhile.
pub(super) fn signal(event: Option<impl Signal>) {
    if let Some(event) = event {
        event.signal();
    }
}

/// Returns a processor's line in a ledger.
pub(super) fn line<M: AsMut<[u64]>>(
    ledger: &mut M,
    processor: u32,
) -> Option<&mut channel_abi::Counters> {
    let ledger = Ledger::mut_from_bytes(ledger.as_mut().as_mut_bytes()).ok()?;
    ledger.processors.get_mut(processor as usize % PROCESSORS)
}
