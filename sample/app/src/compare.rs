//! Comparison of the article's three ways: how many of so many notices arrive, under load.
//!
//! A reader works a little for each notice it hears of, while busy threads occupy every processor half of the time. The
//! article's ways get one request per signal, as fast as the driver answers; ours gets one request for all the notices,
//! which is as fast as a driver can be.

use crate::kernel::Kernel;
use channel::{Attachment, Device, Error, Item, Mask, Pace, Refusal, Wake};
use sample_abi::{Operate, Operation, kind};
use serde::Serialize;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Number of notices for each way.
pub const NOTICES: u32 = 10_000;
/// Time for which the reader works for each notice that it hears of.
const WORK: Duration = Duration::from_micros(20);
/// Time for which the reader waits for more after the last was sent.
const GRACE: Duration = Duration::from_millis(200);
/// Longest time that a way may take.
const AT_MOST: Duration = Duration::from_secs(90);
/// Time for which a busy thread is busy, and then is not.
const BUSY: Duration = Duration::from_micros(500);

/// Result of a comparison.
#[derive(Debug, Serialize)]
pub struct Comparison {
    /// Name of the kernel.
    pub kernel: &'static str,
    /// Load under which the notices were sent, in words.
    pub load: String,
    /// Results of the ways, one for each.
    pub ways: Vec<Way>,
}

/// Result of one way.
#[derive(Debug, Serialize)]
pub struct Way {
    /// Name of the way.
    pub name: &'static str,
    /// Number of notices that the driver was asked for, and that it did not refuse.
    pub sent: u64,
    /// Number of notices that the app heard of.
    pub arrived: u64,
    /// Number of notices that the app knows it has lost.
    pub counted_lost: u64,
    /// Number of notices that nobody can say anything about.
    pub unaccounted: u64,
    /// Time that it took, in seconds.
    pub seconds: f64,
    /// Reason for which the way could not be tried here, or `None` if it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<&'static str>,
}

impl Way {
    /// Returns the result in words, for a line of the log.
    pub fn words(&self) -> String {
        let Self {
            sent,
            arrived,
            counted_lost,
            unaccounted,
            ..
        } = self;
        match self.refused {
            Some(why) => format!("not here: {why}"),
            None => {
                format!(
                    "{arrived} of {sent} arrived, {counted_lost} lost, {unaccounted} unaccounted"
                )
            }
        }
    }
}

impl Comparison {
    /// Returns whether each notice of ours arrived or was counted.
    pub fn holds(&self) -> bool {
        self.ways
            .iter()
            .filter(|way| way.name.starts_with("ours"))
            .all(|way| way.unaccounted == 0 && way.sent > 0)
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} notices each way, {}; {}",
            NOTICES, self.kernel, self.load
        )?;
        writeln!(
            f,
            "{:<44} {:>7} {:>8} {:>13} {:>12}",
            "", "sent", "arrived", "counted lost", "unaccounted"
        )?;
        for way in &self.ways {
            let Way {
                name,
                sent,
                arrived,
                counted_lost,
                unaccounted,
                ..
            } = way;
            match way.refused {
                Some(why) => writeln!(f, "{name:<44} not here: {why}")?,
                None => {
                    writeln!(
                        f,
                        "{name:<44} {sent:>7} {arrived:>8} {counted_lost:>13} {unaccounted:>12}"
                    )?;
                }
            }
        }
        Ok(())
    }
}

/// A way to try: the article's two, and ours with much and with little room.
#[derive(Clone, Copy)]
enum Plan {
    Named,
    Bare,
    Ours { ring_bytes: u32 },
}

const PLANS: [Plan; 4] = [
    Plan::Named,
    Plan::Bare,
    Plan::Ours {
        ring_bytes: 1 << 20,
    },
    Plan::Ours {
        ring_bytes: 1 << 12,
    },
];

impl Plan {
    const fn name(self) -> &'static str {
        match self {
            Self::Named => "background: a named event, pulsed",
            Self::Bare => "article: the app's event, set, with no queue",
            Self::Ours { ring_bytes: 4096 } => "ours, with a queue of no more than 4 KiB",
            Self::Ours { .. } => "ours: the app's event, with a queue",
        }
    }
}

/// Tries every way on a device of its own, and tells of each as it is done.
pub fn run<S: Kernel>(
    name: &str,
    notices: u32,
    mut tell: impl FnMut(&Way),
) -> Result<Comparison, Error>
where
    Attachment<S>: Send,
{
    let load = Load::start();
    let busy = load.threads.len();
    let mut ways = Vec::new();
    for plan in PLANS {
        let begun = Instant::now();
        let way = attempt::<S>(plan, S::open_device(name)?, notices);
        let mut way = match way {
            Ok(count) => count.of(plan.name()),
            Err(Error::Refused {
                refusal: Refusal::Unsupported,
                ..
            }) => Way {
                refused: Some(Refusal::Unsupported.why()),
                ..Count::default().of(plan.name())
            },
            Err(error) => return Err(error),
        };
        way.seconds = begun.elapsed().as_secs_f64();
        tell(&way);
        ways.push(way);
    }
    let load = format!(
        "{busy} threads busy half of the time, and a reader that works {} µs for each notice",
        WORK.as_micros()
    );
    Ok(Comparison {
        kernel: S::NAME,
        load,
        ways,
    })
}

fn attempt<S: Kernel>(plan: Plan, device: Device<S>, notices: u32) -> Result<Count, Error>
where
    Attachment<S>: Send,
{
    match plan {
        Plan::Named => {
            let _referenced = attach(&device, 4096, Mask::NONE)?;
            named(&device, notices)
        }
        Plan::Bare => bare(attach(&device, 4096, Mask::NONE)?, notices),
        Plan::Ours { ring_bytes } => ours(
            attach(&device, ring_bytes, Mask::of(kind::NOTICE))?,
            notices,
        ),
    }
}

fn attach<S: Kernel>(
    device: &Device<S>,
    ring_bytes: u32,
    mask: Mask,
) -> Result<Attachment<S>, Error> {
    device
        .attach(ring_bytes, mask)
        .map(|attachment| attachment.with_pace(Pace::Prompt))
}

/// Tries the background's way: an event of the driver's, set and cleared at once. The app hears what it waits for just
/// then.
fn named<S: Kernel>(device: &Device<S>, notices: u32) -> Result<Count, Error> {
    let mut named = S::open_named(device)?;
    race(device, Operation::PulseNamed, notices, move |sending| {
        let mut heard = Heard::default();
        loop {
            // Looked at before the wait: what was sent before it is heard by it.
            let last = sending.done.load(Ordering::SeqCst);
            if S::wait_named(&mut named, GRACE)? {
                heard.wake(sending);
            } else if last {
                return Ok(heard.count());
            }
        }
    })
}

/// Tries the article's solution as it stands there: the app's event, set. Ten signals before the app wakes are one.
fn bare<S: Kernel>(mut attachment: Attachment<S>, notices: u32) -> Result<Count, Error>
where
    Attachment<S>: Send,
{
    let device = attachment.device().clone();
    race(&device, Operation::Set, notices, move |sending| {
        let mut heard = Heard::default();
        loop {
            let last = sending.done.load(Ordering::SeqCst);
            if attachment.wait(Some(GRACE))? == Wake::Ready {
                attachment.drain(|_| {})?;
                heard.wake(sending);
            } else if last {
                return Ok(heard.count());
            }
        }
    })
}

/// Tries our way: each notice is a record, and a record that found no room is counted.
fn ours<S: Kernel>(mut attachment: Attachment<S>, notices: u32) -> Result<Count, Error>
where
    Attachment<S>: Send,
{
    let device = attachment.device().clone();
    race(&device, Operation::Notify, notices, move |sending| {
        let mut arrived = 0;
        loop {
            let last = sending.done.load(Ordering::SeqCst);
            if attachment.wait(Some(GRACE))? == Wake::Ready {
                attachment.drain(|item| {
                    if let Item::Record(_) = item {
                        arrived += 1;
                        work();
                    }
                })?;
            } else if last {
                // A loss that no later record tells of stands in the ledger.
                let counted_lost = attachment.account()?.kernel.lost_in_all();
                return Ok(Count {
                    arrived,
                    counted_lost,
                    ..Count::default()
                });
            }
        }
    })
}

/// Progress of the sender.
#[derive(Default)]
struct Sending {
    /// Number of signals begun.
    begun: AtomicU64,
    done: AtomicBool,
}

/// Signals heard by a reader that has only its wakes to count.
///
/// It may wake twice within one pulse, between the set and the clear: so it is told which signal is being sent, which
/// no real app could know, and counts each once.
#[derive(Default)]
struct Heard {
    signals: u64,
    latest: u64,
}

impl Heard {
    fn wake(&mut self, sending: &Sending) {
        let now = sending.begun.load(Ordering::SeqCst);
        self.signals += u64::from(now != self.latest);
        self.latest = now;
        work();
    }

    fn count(self) -> Count {
        Count {
            arrived: self.signals,
            ..Count::default()
        }
    }
}

/// Sends the notices while `reader` counts what it hears of.
fn race<S: Kernel>(
    device: &Device<S>,
    operation: Operation,
    notices: u32,
    reader: impl FnOnce(&Sending) -> Result<Count, Error> + Send,
) -> Result<Count, Error> {
    let sending = Sending::default();
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| reader(&sending));
        let sent = send(device, operation, notices, &sending);
        // Pairs with the load before each wait of the reader: then the wait after it sees all that was sent.
        sending.done.store(true, Ordering::SeqCst);
        let heard = reader
            .join()
            .unwrap_or(Err(Error::Contract("the reader has panicked")))?;
        Ok(Count {
            sent: sent?,
            ..heard
        })
    })
}

fn send<S: Kernel>(
    device: &Device<S>,
    operation: Operation,
    notices: u32,
    sending: &Sending,
) -> Result<u64, Error> {
    // Only notices come in numbers: the other operations are one signal each.
    let count = if operation == Operation::Notify {
        notices
    } else {
        1
    };
    let end = Instant::now() + AT_MOST;
    let mut sent = 0;
    while sent < notices && Instant::now() < end {
        sending.begun.fetch_add(1, Ordering::SeqCst);
        device.request(&mut Operate::new(operation, count, 0))?;
        sent += count;
    }
    Ok(sent.into())
}

/// Does the reader's work for one notice.
fn work() {
    spin(WORK);
}

fn spin(time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        std::hint::spin_loop();
    }
}

/// Load on the machine: keeps every processor busy for half of the time, until it is dropped, and not for ever.
struct Load {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let end = Instant::now() + AT_MOST * PLANS.len() as u32;
        let processors = std::thread::available_parallelism()
            .map_or(2, std::num::NonZero::get)
            .min(8);
        let busy = |stop: Arc<AtomicBool>| {
            move || {
                while !stop.load(Ordering::Relaxed) && Instant::now() < end {
                    spin(BUSY);
                    std::thread::sleep(BUSY);
                }
            }
        };
        let threads = (0..processors)
            .map(|_| std::thread::spawn(busy(stop.clone())))
            .collect();
        Self { stop, threads }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A thread that only spins can't have failed.
            drop(thread.join());
        }
    }
}

#[derive(Default)]
struct Count {
    sent: u64,
    arrived: u64,
    counted_lost: u64,
}

impl Count {
    fn of(self, name: &'static str) -> Way {
        let Self {
            sent,
            arrived,
            counted_lost,
        } = self;
        let unaccounted = sent.saturating_sub(arrived + counted_lost);
        Way {
            name,
            sent,
            arrived,
            counted_lost,
            unaccounted,
            seconds: 0.0,
            refused: None,
        }
    }
}
