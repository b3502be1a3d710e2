//! Attachments: an app's event that is attached to a driver, with its wait, drain and account.

use crate::pace::{Gathering, Pace};
use crate::ring::Step;
use crate::stream::Stream;
use crate::{Device, Drain, Error, Event, Item, Record, System, Wake};
use channel_abi::ledger::CAUSES;
use channel_abi::{Ending, Mask, Totals};
use std::convert::Infallible;
use std::fmt;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// Number of looks at the ring between two looks at everything else that can end a wait: those are a system call, in
/// which a record would wait.
const LOOKS: u32 = 1024;

/// An event of this app's own, attached to a driver. Dropped, it is detached, whatever else of the device or the event
/// lives on.
pub struct Attachment<S: System = crate::sys::Host> {
    source: S::Source,
    event: Event<S>,
    device: Device<S>,
    stream: Stream,
    delivered: u64,
    pace: Pace,
    gathering: Gathering,
    /// `true` if the last drain was stopped, so that there may be more of which no signal will tell.
    stopped: bool,
    ended: Option<Ending>,
    /// `true` if the driver was asked to detach already.
    detached: bool,
}

/// Counters of both sides, driver and app. Neither side's numbers are derived from the other's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// Number of records that the driver offered, committed and lost for this app, by its own count.
    pub kernel: Totals,
    /// Number of records that drains handed over, by the app's count.
    pub delivered: u64,
    /// Number of records committed and not yet delivered, counted in the ring itself.
    pub in_ring: u64,
    /// Number of losses that records told the app of, by cause.
    pub lost_told: [u64; CAUSES],
    /// Number of sequence numbers that never came.
    pub gaps: u64,
}

impl Account {
    /// Returns whether I1 holds: offered = committed + lost, and committed = delivered + in ring. Exact once things are
    /// quiet.
    #[must_use]
    pub fn balances(&self) -> bool {
        self.kernel.balances() && self.kernel.committed == self.delivered + self.in_ring
    }

    /// Returns the number of losses that no record has told of yet, because none was committed since: seen in the
    /// ledger alone.
    #[must_use]
    pub fn lost_untold(&self) -> u64 {
        self.kernel
            .lost_in_all()
            .saturating_sub(self.lost_told.iter().sum())
    }
}

/// A type that the closure of a drain may return, which says how the drain goes on.
///
/// | the closure returns | the drain goes on | and returns |
/// | --- | --- | --- |
/// | nothing | until nothing is left | `Result<Drain, Error>` |
/// | `ControlFlow<B>` | until it breaks | `Result<ControlFlow<B, Drain>, Error>` |
/// | `Result<(), E>` | until it fails | `Result<Drain, E>`, where `E` is made of [`Error`] too |
pub trait DrainFlow: Sized {
    /// Value with which the closure stops the drain.
    type Stop;
    /// Result of the drain, as its caller gets it.
    type Output;

    /// Returns whether the drain goes on.
    fn flow(self) -> ControlFlow<Self::Stop>;
    /// Turns the drain's end into the result that its caller gets.
    fn output(end: Result<ControlFlow<Self::Stop, Drain>, Error>) -> Self::Output;
}

impl DrainFlow for () {
    type Stop = Infallible;
    type Output = Result<Drain, Error>;

    fn flow(self) -> ControlFlow<Infallible> {
        ControlFlow::Continue(())
    }

    fn output(end: Result<ControlFlow<Infallible, Drain>, Error>) -> Self::Output {
        match end? {
            ControlFlow::Continue(drain) => Ok(drain),
            ControlFlow::Break(never) => match never {},
        }
    }
}

impl<B> DrainFlow for ControlFlow<B> {
    type Stop = B;
    type Output = Result<ControlFlow<B, Drain>, Error>;

    fn flow(self) -> Self {
        self
    }

    fn output(end: Self::Output) -> Self::Output {
        end
    }
}

impl<E: From<Error>> DrainFlow for Result<(), E> {
    type Stop = E;
    type Output = Result<Drain, E>;

    fn flow(self) -> ControlFlow<E> {
        match self {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }

    fn output(end: Result<ControlFlow<E, Drain>, Error>) -> Self::Output {
        match end? {
            ControlFlow::Continue(drain) => Ok(drain),
            ControlFlow::Break(error) => Err(error),
        }
    }
}

impl<S: System> fmt::Debug for Attachment<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attachment")
            .field("delivered", &self.delivered)
            .field("pace", &self.pace)
            .field("ended", &self.ended)
            .field("detached", &self.detached)
            .finish_non_exhaustive()
    }
}

impl<S: System> Attachment<S> {
    pub(crate) fn new(device: Device<S>, event: Event<S>, mask: Mask) -> Result<Self, Error> {
        let source = S::attach(&device.0, &event.0, mask)?;
        let gathering = Gathering::new(S::ring_bytes(&event.0));
        let (stream, pace) = (Stream::default(), Pace::default());
        Ok(Self {
            source,
            event,
            device,
            stream,
            delivered: 0,
            pace,
            gathering,
            stopped: false,
            ended: None,
            detached: false,
        })
    }

    /// Chooses how wake-ups are traded for latency.
    #[must_use]
    pub fn with_pace(mut self, pace: Pace) -> Self {
        self.set_pace(pace);
        self
    }

    /// Chooses how wake-ups are traded for latency, from the next wait on.
    pub fn set_pace(&mut self, pace: Pace) {
        self.pace = pace;
    }

    /// Sleeps until the driver signals the event, or for `timeout`; `None` waits for ever. A signal handler that runs
    /// meanwhile does not end the wait.
    ///
    /// A wait that is ready may find nothing to drain: the event was only set, or an earlier drain was quick. After the
    /// end it is ready until everything was drained, then says each time why it ended.
    ///
    /// # Errors
    /// [`Error::System`] if this machine's kernel can't wait. With [`Pace::Spin`], which looks at the ring or queue,
    /// also those of [`Attachment::account`].
    pub fn wait(&mut self, timeout: Option<Duration>) -> Result<Wake, Error> {
        if let Some(ending) = self.ended {
            return Ok(Wake::Ended(ending));
        }
        if self.stopped {
            return Ok(Wake::Ready);
        }
        if let Pace::Coalesce(longest) = self.pace
            && let Some(time) = self.gathering.next(longest)
        {
            std::thread::sleep(timeout.map_or(time, |most| most.min(time)));
            return Ok(Wake::Ready);
        }
        let signalled = match self.pace {
            Pace::Spin(time) => self.spin(time, timeout)?,
            Pace::Prompt | Pace::Coalesce(_) => self.sleep(timeout)?,
        };
        Ok(if signalled {
            Wake::Ready
        } else {
            Wake::TimedOut
        })
    }

    fn sleep(&self, timeout: Option<Duration>) -> Result<bool, Error> {
        S::wait(&self.device.0, &self.event.0, &self.source, timeout)
    }

    /// Waits without sleeping before `time` is over. The app's own signal and the end come some microseconds later than
    /// records do.
    fn spin(&self, time: Duration, timeout: Option<Duration>) -> Result<bool, Error> {
        let begun = Instant::now();
        let spins = timeout.map_or(time, |most| most.min(time));
        loop {
            for _ in 0..LOOKS {
                if S::has_record(&self.device.0, &self.source)? {
                    return Ok(true);
                }
                std::hint::spin_loop();
            }
            if self.sleep(Some(Duration::ZERO))? {
                return Ok(true);
            }
            if begun.elapsed() >= spins {
                break;
            }
        }
        let left = timeout.map(|most| most.saturating_sub(begun.elapsed()));
        match left {
            Some(Duration::ZERO) => Ok(false),
            left => self.sleep(left),
        }
    }

    /// Hands over every record and loss that is there, until nothing is left, a ring full was handed over or the
    /// closure stops it: [`DrainFlow`] says how. What was not handed over then stays for the next drain: the next wait
    /// is ready at once.
    ///
    /// # Errors
    /// [`Error::Contract`] if the driver broke the contract, [`Error::System`] if this machine's kernel refuses, on
    /// Windows also if the driver is gone; and the closure's own.
    pub fn drain<F: DrainFlow>(&mut self, mut each: impl FnMut(Item<'_>) -> F) -> F::Output {
        let mut stop = None;
        let drained = self.drain_until(&mut |item| match each(item).flow() {
            ControlFlow::Continue(()) => ControlFlow::Continue(()),
            ControlFlow::Break(with) => {
                stop = Some(with);
                ControlFlow::Break(())
            }
        });
        F::output(drained.map(|drain| match stop {
            Some(with) => ControlFlow::Break(with),
            None => ControlFlow::Continue(drain),
        }))
    }

    fn drain_until(
        &mut self,
        each: &mut dyn FnMut(Item<'_>) -> ControlFlow<()>,
    ) -> Result<Drain, Error> {
        let Self {
            source,
            device,
            stream,
            delivered,
            gathering,
            stopped,
            ..
        } = self;
        let before = *delivered;
        let mut last = Step::Next;
        // So it stays only if the closure panics.
        *stopped = true;
        gathering.begin();
        let drained = S::drain(&device.0, source, &mut |bytes| {
            let record = Record::check(bytes)?;
            *delivered += 1;
            gathering.note(record.header().stamp_ns, bytes.len());
            last = stream.take(record, &mut |item| each(item));
            if last == Step::Back {
                *delivered -= 1;
            }
            Ok(last)
        });
        *stopped = drained.is_ok() && last != Step::Next;
        let ended = drained?;
        self.ended = ended;
        Ok(Drain {
            records: self.delivered - before,
            ended,
        })
    }

    /// Reads the counters of both sides, driver and app, as they stand. Exact once the driver is quiet.
    ///
    /// # Errors
    /// [`Error::Contract`] if the ring is not one any more; on Windows also [`Error::System`] if the driver is gone.
    pub fn account(&self) -> Result<Account, Error> {
        Ok(Account {
            kernel: S::ledger(&self.device.0, &self.source)?.totals(),
            delivered: self.delivered,
            in_ring: S::in_ring(&self.device.0, &self.source)?,
            lost_told: self.stream.lost(),
            gaps: self.stream.gaps(),
        })
    }

    /// Detaches the event from the driver. What is in the ring can still be drained; the account stays readable.
    ///
    /// # Errors
    /// [`Error::Refused`] if the event is detached already, [`Error::System`] if the driver,
    /// or the device server before it, is gone.
    pub fn detach(&mut self) -> Result<(), Error> {
        S::detach(&self.device.0, &self.source)?;
        self.detached = true;
        Ok(())
    }

    /// Returns the device, to send it requests from elsewhere.
    #[must_use]
    pub fn device(&self) -> &Device<S> {
        &self.device
    }

    /// Returns the event, to look at it or to set it from elsewhere.
    #[must_use]
    pub fn event(&self) -> &Event<S> {
        &self.event
    }

    /// Returns the backing's own source, for what only one kernel has.
    #[must_use]
    pub fn system(&self) -> &S::Source {
        &self.source
    }
}

impl<S: System> Drop for Attachment<S> {
    fn drop(&mut self) {
        let ended = self.detached
            || self.ended.is_some()
            || S::ledger(&self.device.0, &self.source).is_ok_and(|ledger| ledger.ended != 0);
        if !ended {
            // One that refuses, or is not there any more, holds nothing.
            let _ = S::detach(&self.device.0, &self.source);
        }
    }
}
