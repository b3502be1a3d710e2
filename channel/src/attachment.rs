//! An event that the driver has referenced: wait, drain, account.

use crate::pace::{Gathering, Pace};
use crate::stream::Stream;
use crate::{Device, Drain, Error, Event, Item, Record, System, Wake};
use channel_abi::ledger::CAUSES;
use channel_abi::{Ending, Mask, Totals};
use std::time::{Duration, Instant};

/// So many looks at the ring, then one at everything else that can end a wait: that is a system call, in which a record would wait.
const LOOKS: u32 = 1024;

/// This app's hold on a driver: dropped, the driver lets go, whatever else of the device or the event lives on.
pub struct Attachment<S: System = crate::sys::Host> {
    source: S::Source,
    event: Event<S>,
    device: Device<S>,
    stream: Stream,
    delivered: u64,
    pace: Pace,
    gathering: Gathering,
    ended: Option<Ending>,
    /// Whether the driver was asked to let go already.
    let_go: bool,
}

/// Both sides' books. Neither is derived from the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// The driver's: what it offered, committed and lost for this app.
    pub kernel: Totals,
    /// The app's: records that drains handed over.
    pub delivered: u64,
    /// Counted in the ring itself: committed, not yet delivered.
    pub in_ring: u64,
    /// Losses that records told the app of, by cause.
    pub lost_told: [u64; CAUSES],
    /// Sequence numbers that never came.
    pub gaps: u64,
}

impl Account {
    /// I1, exact once things are quiet: offered = committed + lost, and committed = delivered + in ring.
    #[must_use]
    pub fn balances(&self) -> bool {
        self.kernel.balances() && self.kernel.committed == self.delivered + self.in_ring
    }

    /// Losses that no record has told of yet, because none was committed since: seen in the ledger alone.
    #[must_use]
    pub fn lost_untold(&self) -> u64 {
        self.kernel
            .lost_in_all()
            .saturating_sub(self.lost_told.iter().sum())
    }
}

impl<S: System> Attachment<S> {
    /// Has the driver of `device` take hold of `event` and put into its ring what `mask` asks for.
    pub fn reference(device: Device<S>, event: Event<S>, mask: Mask) -> Result<Self, Error> {
        let source = S::reference(&device.0, &event.0, mask)?;
        let (stream, pace, gathering) = (Stream::default(), Pace::default(), Gathering::default());
        Ok(Self {
            source,
            event,
            device,
            stream,
            delivered: 0,
            pace,
            gathering,
            ended: None,
            let_go: false,
        })
    }

    /// Chooses how wake-ups are traded for latency.
    #[must_use]
    pub fn with_pace(mut self, pace: Pace) -> Self {
        self.pace = pace;
        self
    }

    /// Sleeps until the driver signals, or for `timeout`. `None` waits for ever.
    ///
    /// A signalled wait may find nothing to drain: the event was only operated, or an earlier drain was quick.
    pub fn wait(&mut self, timeout: Option<Duration>) -> Result<Wake, Error> {
        if self.ended.is_some() {
            return Ok(Wake::Signalled);
        }
        if self.pace == Pace::Coalesce
            && let Some(time) = self.gathering.next()
        {
            std::thread::sleep(timeout.map_or(time, |most| most.min(time)));
            return Ok(Wake::Signalled);
        }
        if self.pace == Pace::Spin {
            return self.spin(timeout);
        }
        S::wait(&self.device.0, &self.event.0, &self.source, timeout)
    }

    /// A wait that does not sleep. The app's own signal and the end of the reference come some microseconds later than records do.
    fn spin(&self, timeout: Option<Duration>) -> Result<Wake, Error> {
        let end = timeout.map(|most| Instant::now() + most);
        loop {
            for _ in 0..LOOKS {
                if S::has_record(&self.device.0, &self.source)? {
                    return Ok(Wake::Signalled);
                }
                std::hint::spin_loop();
            }
            let woken = S::wait(
                &self.device.0,
                &self.event.0,
                &self.source,
                Some(Duration::ZERO),
            )?;
            if woken.signalled() || end.is_some_and(|end| Instant::now() >= end) {
                return Ok(woken);
            }
        }
    }

    /// Hands over everything that is there, until nothing is. An error means that the driver broke the contract.
    pub fn drain(&mut self, mut each: impl FnMut(Item<'_>)) -> Result<Drain, Error> {
        let Self {
            source,
            device,
            stream,
            delivered,
            gathering,
            ..
        } = self;
        let before = *delivered;
        gathering.begin();
        let ended = S::drain(&device.0, source, &mut |bytes| {
            let record = Record::check(bytes)?;
            *delivered += 1;
            gathering.note(record.header().stamp_ns);
            stream.take(record, &mut |item| each(item));
            Ok(())
        })?;
        self.ended = ended;
        Ok(Drain {
            records: self.delivered - before,
            ended,
        })
    }

    /// Both sides' books as they stand. Exact once the driver is quiet.
    pub fn account(&self) -> Result<Account, Error> {
        Ok(Account {
            kernel: S::ledger(&self.device.0, &self.source)?.totals(),
            delivered: self.delivered,
            in_ring: S::in_ring(&self.device.0, &self.source)?,
            lost_told: self.stream.lost(),
            gaps: self.stream.gaps(),
        })
    }

    /// Has the driver let go. What is in the ring can still be drained; the books stay readable.
    pub fn dereference(&mut self) -> Result<(), Error> {
        S::dereference(&self.device.0)?;
        self.let_go = true;
        Ok(())
    }

    /// The device, to operate it from elsewhere.
    #[must_use]
    pub fn device(&self) -> &Device<S> {
        &self.device
    }

    /// The event, to look at it or to set it from elsewhere.
    #[must_use]
    pub fn event(&self) -> &Event<S> {
        &self.event
    }

    /// The backing's own source, for what only one kernel has.
    #[must_use]
    pub fn system(&self) -> &S::Source {
        &self.source
    }
}

impl<S: System> Drop for Attachment<S> {
    fn drop(&mut self) {
        // The device may have been attached anew since this one ended: that is not ours to end.
        let ended = self.let_go
            || self.ended.is_some()
            || S::ledger(&self.device.0, &self.source).is_ok_and(|ledger| ledger.ended != 0);
        if !ended {
            // One that refuses, or is not there any more, holds nothing.
            let _ = S::dereference(&self.device.0);
        }
    }
}
