//! Thread of the app that waits on the event, the article's: "wait the event object to be signaled. After this function
//! … get information and deal with it."

use crate::kernel::Kernel;
use crate::log::{By, Line, Log};
use channel::{Attachment, Error, Item, Record, Wake};
use sample_abi::Notice;
use sample_abi::{Process, kind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// Summary of what a drain handed over.
#[derive(Debug, Default)]
pub struct Digest {
    notices: u64,
    first: u64,
    last: u64,
    /// Number of losses that records told of.
    pub lost: u64,
    /// Processes that were created, each in words.
    pub processes: Vec<String>,
    others: u64,
}

impl Digest {
    /// Drains until nothing is left; returns the summary.
    pub fn drain<S: Kernel>(
        attachment: &mut Attachment<S>,
    ) -> Result<(Self, channel::Drain), Error> {
        let mut digest = Self::default();
        let drain = attachment.drain(|item| match item {
            Item::Record(record) => digest.take(record),
            Item::Lost(lost) => digest.lost += lost.count,
        })?;
        Ok((digest, drain))
    }

    fn take(&mut self, record: Record<'_>) {
        match (
            record.kind(),
            record.read::<Notice>(),
            record.read::<Process>(),
        ) {
            (kind::NOTICE, Ok(notice), _) => {
                if self.notices == 0 {
                    self.first = notice.number;
                }
                self.notices += 1;
                self.last = notice.number;
            }
            (kind::PROCESS_START, _, Ok(process)) => self.processes.push(name(process)),
            _ => self.others += 1,
        }
    }

    /// Returns the summary in words, as what the app saw.
    pub fn words(&self) -> String {
        let mut words = Vec::new();
        match self.notices {
            0 => {}
            1 => words.push(format!("notice {}", self.first)),
            n => words.push(format!("{n} notices ({} to {})", self.first, self.last)),
        }
        if self.others > 0 {
            words.push(format!("{} other records", self.others));
        }
        if self.lost > 0 {
            words.push(format!("LOST {}", self.lost));
        }
        match self.processes.len() {
            0 => {}
            1 => words.push("1 process".to_owned()),
            n => words.push(format!("{n} processes")),
        }
        if words.is_empty() {
            "no record".to_owned()
        } else {
            words.join(", ")
        }
    }

    /// Adds a line to the log for each process that the driver reported.
    pub fn log_processes(&self, log: &Log) {
        for process in &self.processes {
            log.add(Line::of(By::Driver, "reports a new process").driver(process));
        }
    }
}

/// Returns a process's program and number; control characters shown as such.
fn name(process: &Process) -> String {
    let text = |bytes: &[u8]| {
        let whole = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
        let clean = |c: char| if c.is_control() { '\u{fffd}' } else { c };
        String::from_utf8_lossy(whole)
            .chars()
            .map(clean)
            .collect::<String>()
    };
    let path = text(&process.path);
    let program = if path.is_empty() {
        text(&process.name)
    } else {
        path
    };
    format!("{program} (pid {})", process.pid)
}

/// Findings of the thread so far, for others to look at.
#[derive(Default)]
pub struct Seen {
    stop: AtomicBool,
    /// Number of times that it woke.
    pub wakes: AtomicU64,
    /// Number of notices that arrived.
    pub notices: AtomicU64,
    /// Processes that were reported, the newest last.
    pub processes: Mutex<Vec<String>>,
}

/// A thread that waits on the event.
pub struct Waiter<S: Kernel> {
    thread: JoinHandle<Attachment<S>>,
    event: channel::Event<S>,
    /// Findings of the thread.
    pub seen: Arc<Seen>,
}

impl<S: Kernel> Waiter<S> {
    /// Starts the thread.
    pub fn start(attachment: Attachment<S>, log: Log) -> Self
    where
        Attachment<S>: Send,
    {
        let (seen, event) = (Arc::new(Seen::default()), attachment.event().clone());
        let thread = std::thread::spawn({
            let seen = seen.clone();
            move || wait(attachment, &seen, &log)
        });
        Self {
            thread,
            event,
            seen,
        }
    }

    /// Stops the thread: the app sets its own event, so that the thread wakes and looks.
    pub fn stop(self) -> Result<Attachment<S>, Error> {
        // Pairs with the load in `wait`: whoever wakes by this signal sees the wish.
        self.seen.stop.store(true, Ordering::SeqCst);
        self.event.set()?;
        self.thread
            .join()
            .map_err(|_| Error::Contract("the thread that waits has panicked"))
    }
}

fn wait<S: Kernel>(mut attachment: Attachment<S>, seen: &Seen, log: &Log) -> Attachment<S> {
    loop {
        let woken = attachment.wait(None);
        // Pairs with the store in `Waiter::stop`.
        if seen.stop.load(Ordering::SeqCst) {
            return attachment;
        }
        let done = match woken {
            Ok(Wake::Ended(ending)) => {
                log.add(Line::of(By::Driver, "let go of the event").app(&format!("{ending:?}")));
                return attachment;
            }
            Ok(Wake::Ready | Wake::TimedOut) => Digest::drain(&mut attachment),
            Err(error) => Err(error),
        };
        match done {
            Ok((digest, _)) => tell(&digest, seen, log),
            Err(error) => {
                log.add(Line::of(By::Thread, "stopped waiting").failed(&error));
                return attachment;
            }
        }
    }
}

fn tell(digest: &Digest, seen: &Seen, log: &Log) {
    log.add(Line::of(By::Thread, "woke and drained").app(&digest.words()));
    digest.log_processes(log);
    seen.wakes.fetch_add(1, Ordering::SeqCst);
    seen.notices.fetch_add(digest.notices, Ordering::SeqCst);
    let mut processes = seen
        .processes
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    processes.extend(digest.processes.iter().cloned());
    let surplus = processes.len().saturating_sub(1_000);
    processes.drain(..surplus);
}
