//! Operations of the app: each is done here, with what the app and the driver see of it. No window in here.

use crate::compare::{self, Way};
use crate::kernel::Kernel;
use crate::log::{By, Line, Log};
use crate::step::{Burst, Step, state};
use crate::waiter::{Digest, Waiter};
use channel::{Account, Attachment, Device, DriverRequest, Error, Event, Mask, Wake};
use sample_abi::{Operate, Operation, Seen, kind};
use std::process::Stdio;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Room for records that the app gives its event, in bytes.
pub const RING_BYTES: u32 = 1 << 20;
/// Kinds of records that the app wants. New processes only on demand: they come when they like, and signal the event.
const NOTICES: Mask = Mask::of(kind::NOTICE);
/// Longest time of one wait of the app.
const ONE_WAIT: Duration = Duration::from_millis(50);
/// Time after which the app sets the event that the driver waits for.
const SET_AFTER: Duration = Duration::from_millis(100);
/// Longest time that something takes to arrive that is on its way.
const ARRIVES_IN: Duration = Duration::from_secs(3);

/// The app's side of the sample: one open device, one event.
pub struct Session<S: Kernel> {
    name: String,
    device: Device<S>,
    event: Option<Event<S>>,
    hold: Registration<S>,
    log: Log,
    view: View<S>,
}

/// Holder of the attachment.
enum Registration<S: Kernel> {
    Nobody,
    Session(Attachment<S>),
    Thread(Waiter<S>),
}

/// State that a window shows beside the log, shared with the session.
pub struct View<S: Kernel>(Arc<Mutex<Shown<S>>>);

/// State that a window shows beside the log.
pub struct Shown<S: Kernel> {
    /// Event that is referenced, if there is one.
    pub event: Option<Event<S>>,
    /// `true` while a thread of the app waits.
    pub waiting: bool,
    /// Account as it was last asked for.
    pub account: Option<Account>,
}

impl<S: Kernel> Clone for View<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S: Kernel> View<S> {
    /// Returns the state that is to be shown now.
    pub fn shown(&self) -> MutexGuard<'_, Shown<S>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Kernel> Session<S>
where
    Attachment<S>: Send,
{
    /// Opens the driver's device.
    pub fn open(name: &str, log: Log) -> Result<Self, Error> {
        let (name, device) = (name.to_owned(), S::open_device(name)?);
        let shown = Shown {
            event: None,
            waiting: false,
            account: None,
        };
        let view = View(Arc::new(Mutex::new(shown)));
        Ok(Self {
            name,
            device,
            event: None,
            hold: Registration::Nobody,
            log,
            view,
        })
    }

    /// Returns the state that a window shows beside the log.
    pub fn view(&self) -> View<S> {
        self.view.clone()
    }

    /// Does one step and logs it. A refusal is an answer like any other.
    pub fn perform(&mut self, step: Step) -> Line {
        let line = Line::of(By::App, &did(step));
        let line = match self.attempt(step) {
            Ok(saw) => line.app(&saw.app).driver(&saw.driver),
            Err(error) => line.failed(&error),
        };
        let line = self.log.add(line);
        self.show();
        line
    }

    fn show(&self) {
        let mut shown = self.view.shown();
        shown.waiting = matches!(self.hold, Registration::Thread(_));
        shown.event = (!matches!(self.hold, Registration::Nobody))
            .then(|| self.event.clone())
            .flatten();
        if let Registration::Session(attachment) = &self.hold {
            shown.account = attachment.account().ok();
        }
    }

    fn attempt(&mut self, step: Step) -> Result<Saw, Error> {
        match step {
            Step::Reference => self.reference(NOTICES),
            Step::ReferenceForProcesses => self.reference(NOTICES.and(kind::PROCESS_START)),
            Step::Dereference => self.dereference(),
            Step::Driver(operation) => self
                .operate(operation, 0, 0)
                .map(|seen| Saw::driver(states(seen))),
            Step::Notify(burst) => self.notify(burst),
            Step::DriverWaits => self.driver_waits(Some(SET_AFTER), Duration::from_secs(2)),
            Step::DriverWaitsInVain => self.driver_waits(None, SET_AFTER),
            Step::AppSets => self.event()?.set().and_then(|()| self.looks()),
            Step::AppClears => self.event()?.clear().and_then(|()| self.looks()),
            Step::AppLooks => self.looks(),
            Step::AppWaits => self.app_waits(),
            Step::StartThread => self.start_thread(),
            Step::StopThread => self
                .stop_thread()
                .map(|seen| Saw::app(seen.unwrap_or_default())),
            Step::StartProcess => self.start_process(),
            Step::NamedHeard => self.named_heard(),
            Step::NamedUnheard => self.named_unheard(),
            Step::NamedReset => self.named_reset(),
            Step::Account => self.account(),
            Step::Compare => self.compare(),
        }
    }

    /// References an event, by the article's words: `CreateEvent`, then `DeviceIoControl(device, IO_REFERENCE_EVENT,
    /// event)`.
    fn reference(&mut self, wanted: Mask) -> Result<Saw, Error> {
        let event = self.device.create_event(RING_BYTES)?;
        let attachment = self.device.attach_event(event.clone(), wanted)?;
        self.hold = Registration::Session(attachment);
        self.event = Some(event);
        self.looks()
    }

    /// Dereferences the event: `IO_DEREFERENCE_EVENT`.
    fn dereference(&mut self) -> Result<Saw, Error> {
        self.stop_thread()?;
        let Registration::Session(attachment) = &mut self.hold else {
            return Err(not_referenced());
        };
        attachment.detach()?;
        let books = attachment.device().references()?;
        self.hold = Registration::Nobody;
        let taken = format!(
            "references taken {}, released {}",
            books.taken, books.released
        );
        Ok(Saw::driver(taken))
    }

    fn operate(&self, operation: Operation, count: u32, interval_us: u32) -> Result<Seen, Error> {
        let mut request = Operate::new(operation, count, interval_us);
        self.device.request(&mut request)?;
        Ok(request.seen)
    }

    fn notify(&mut self, burst: Burst) -> Result<Saw, Error> {
        let operation = if burst.from_timer {
            Operation::NotifyFromTimer
        } else {
            Operation::Notify
        };
        let before = self.notices_seen();
        let seen = self.operate(operation, burst.count, burst.interval_us)?;
        let driver = if burst.from_timer {
            format!("{} notices to come from the timer", burst.count)
        } else {
            format!("{} notices offered", seen.offered)
        };
        let Some(before) = before else {
            return Ok(Saw {
                driver,
                app: format!("nobody waits: {} in the ring", self.in_ring()?),
            });
        };
        let all = before + u64::from(burst.count);
        let pause = Duration::from_micros(burst.interval_us.into()) * burst.count;
        until(pause.min(Duration::from_secs(60)) + ARRIVES_IN, || {
            self.notices_seen() >= Some(all)
        });
        let arrived = self.notices_seen().unwrap_or(0).saturating_sub(before);
        Ok(Saw {
            driver,
            app: format!("{arrived} of {} arrived", burst.count),
        })
    }

    /// Has the driver wait (`KeWaitForSingleObject`): the thread must not take the signal from it.
    fn driver_waits(
        &mut self,
        set_after: Option<Duration>,
        at_most: Duration,
    ) -> Result<Saw, Error> {
        let was_waiting = self.stop_thread()?.is_some();
        let seen = self.met(set_after, at_most);
        if was_waiting {
            self.start_thread()?;
        }
        let met = set_after.map_or(String::new(), |after| {
            format!("set the event after {} ms", after.as_millis())
        });
        seen.map(|seen| Saw {
            app: met,
            driver: format!("the wait is over; {}", states(seen)),
        })
    }

    fn met(&self, set_after: Option<Duration>, at_most: Duration) -> Result<Seen, Error> {
        let event = self.event()?;
        let interval_us = at_most.as_micros() as u32;
        if S::WAIT_BLOCKS {
            return std::thread::scope(|scope| {
                if let Some(after) = set_after {
                    scope.spawn(move || {
                        std::thread::sleep(after);
                        event.set()
                    });
                }
                self.operate(Operation::Wait, 0, interval_us)
            });
        }
        self.operate(Operation::Wait, 0, interval_us)?;
        std::thread::sleep(set_after.unwrap_or(at_most + SET_AFTER));
        if set_after.is_some() {
            event.set()?;
        }
        let seen = self.operate(Operation::AppSet, 0, 0);
        event.clear()?;
        seen
    }

    fn looks(&self) -> Result<Saw, Error> {
        self.event()?
            .is_set()
            .map(|set| Saw::app(state(set).to_owned()))
    }

    fn app_waits(&mut self) -> Result<Saw, Error> {
        let attachment = match &mut self.hold {
            Registration::Nobody => return Err(not_referenced()),
            Registration::Thread(_) => return Ok(Saw::app("the thread waits already".to_owned())),
            Registration::Session(attachment) => attachment,
        };
        match attachment.wait(Some(ONE_WAIT))? {
            Wake::Ready => {}
            Wake::TimedOut => {
                return Ok(Saw::app(format!("nothing for {} ms", ONE_WAIT.as_millis())));
            }
            Wake::Ended(ending) => return Ok(Saw::app(format!("the driver let go: {ending:?}"))),
        }
        let (digest, _) = Digest::drain(attachment)?;
        digest.log_processes(&self.log);
        Ok(Saw::app(format!("woke and drained {}", digest.words())))
    }

    fn start_thread(&mut self) -> Result<Saw, Error> {
        match std::mem::replace(&mut self.hold, Registration::Nobody) {
            Registration::Nobody => Err(not_referenced()),
            Registration::Session(attachment) => {
                self.hold = Registration::Thread(Waiter::start(attachment, self.log.clone()));
                Ok(Saw::app("a thread waits".to_owned()))
            }
            waiting => {
                self.hold = waiting;
                Ok(Saw::app("the thread waits already".to_owned()))
            }
        }
    }

    /// Stops the thread and returns what it saw, or `None` if there was none.
    fn stop_thread(&mut self) -> Result<Option<String>, Error> {
        match std::mem::replace(&mut self.hold, Registration::Nobody) {
            Registration::Thread(waiter) => {
                let seen = waiter.seen.clone();
                self.hold = Registration::Session(waiter.stop()?);
                let notices = seen.notices.load(Ordering::SeqCst);
                Ok(Some(format!("the thread saw {notices} notices in all")))
            }
            other => {
                self.hold = other;
                Ok(None)
            }
        }
    }

    /// Runs this very program for a moment: the driver's callback sees a process creation.
    fn start_process(&mut self) -> Result<Saw, Error> {
        let failed = |source| Error::System {
            what: "run this program once more",
            source,
        };
        let program = std::env::current_exe().map_err(failed)?;
        let mut command = std::process::Command::new(&program);
        // With the mark the program ends at once: it can't start another.
        command
            .arg("--help")
            .env(crate::MARK, "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.status().map_err(failed)?;
        let app = "a program ran and ended".to_owned();
        if !S::REPORTS_PROCESSES {
            return Ok(Saw {
                app,
                driver: format!("the {} reports no processes", S::NAME),
            });
        }
        let stem = program
            .file_stem()
            .map(|stem| stem.to_string_lossy().into_owned())
            .unwrap_or_default();
        until(ARRIVES_IN, || self.reported(&stem).is_some());
        match (&self.hold, self.reported(&stem)) {
            (_, Some(process)) => Ok(Saw {
                app,
                driver: format!("reported {process}"),
            }),
            (Registration::Thread(_), None) => {
                Err(Error::Contract("a process creation that was not reported"))
            }
            _ => Ok(Saw {
                app,
                driver: "nobody waits for the report".to_owned(),
            }),
        }
    }

    fn reported(&self, stem: &str) -> Option<String> {
        let Registration::Thread(waiter) = &self.hold else {
            return None;
        };
        let processes = waiter
            .seen
            .processes
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        processes
            .iter()
            .rev()
            .find(|process| process.contains(stem))
            .cloned()
    }

    /// Pulses the named event when that works: the app waits at the very moment of the pulse.
    fn named_heard(&mut self) -> Result<Saw, Error> {
        self.operate(Operation::PulseNamed, 0, 0)?;
        let mut named = S::open_named(&self.device)?;
        let heard = std::thread::scope(|scope| {
            let waiting = scope.spawn(|| S::wait_named(&mut named, ARRIVES_IN));
            std::thread::sleep(SET_AFTER);
            self.operate(Operation::PulseNamed, 0, 0)?;
            waiting.join().unwrap_or(Ok(false))
        })?;
        Ok(Saw {
            app: heard_words(heard),
            driver: "pulsed its named event".to_owned(),
        })
    }

    /// Pulses the named event when that does not work: the pulse comes a moment too early.
    fn named_unheard(&mut self) -> Result<Saw, Error> {
        let mut named = S::open_named(&self.device)?;
        self.operate(Operation::PulseNamed, 0, 0)?;
        let heard = S::wait_named(&mut named, ONE_WAIT)?;
        Ok(Saw {
            app: heard_words(heard),
            driver: "pulsed its named event".to_owned(),
        })
    }

    fn named_reset(&mut self) -> Result<Saw, Error> {
        self.operate(Operation::PulseNamed, 0, 0)?;
        let named = S::open_named(&self.device)?;
        let app = match S::reset_named(&named) {
            Ok(()) => "reset it".to_owned(),
            Err(error) => format!("may not: {error}"),
        };
        Ok(Saw::app(app))
    }

    fn account(&mut self) -> Result<Saw, Error> {
        let was_waiting = self.stop_thread()?.is_some();
        let Registration::Session(attachment) = &self.hold else {
            return Err(not_referenced());
        };
        let account = attachment.account();
        if was_waiting {
            self.start_thread()?;
        }
        let account = account?;
        self.view.shown().account = Some(account);
        let kernel = account.kernel;
        Ok(Saw {
            app: format!(
                "delivered {}, in the ring {}",
                account.delivered, account.in_ring
            ),
            driver: format!(
                "offered {}, committed {}, lost {}{}",
                kernel.offered,
                kernel.committed,
                kernel.lost_in_all(),
                if account.balances() {
                    "; it balances"
                } else {
                    "; IT DOES NOT BALANCE"
                },
            ),
        })
    }

    /// Compares the three ways, on a device and an event of their own.
    fn compare(&self) -> Result<Saw, Error> {
        let log = self.log.clone();
        let tell = |way: &Way| drop(log.add(Line::of(By::App, way.name).app(&way.words())));
        let comparison = compare::run::<S>(&self.name, compare::NOTICES, tell)?;
        Ok(Saw::app(comparison.load))
    }

    fn event(&self) -> Result<&Event<S>, Error> {
        match self.hold {
            Registration::Nobody => Err(not_referenced()),
            _ => self.event.as_ref().ok_or_else(not_referenced),
        }
    }

    fn in_ring(&self) -> Result<u64, Error> {
        match &self.hold {
            Registration::Session(attachment) => {
                attachment.account().map(|account| account.in_ring)
            }
            _ => Ok(0),
        }
    }

    /// Returns the number of notices that the thread has seen, or `None` if there is no thread.
    fn notices_seen(&self) -> Option<u64> {
        match &self.hold {
            Registration::Thread(waiter) => Some(waiter.seen.notices.load(Ordering::SeqCst)),
            _ => None,
        }
    }
}

/// Closes in the order in which it was opened, backwards: the thread first.
impl<S: Kernel> Drop for Session<S> {
    fn drop(&mut self) {
        if let Registration::Thread(waiter) =
            std::mem::replace(&mut self.hold, Registration::Nobody)
        {
            // The app is going away: what the thread still had to say has no reader.
            drop(waiter.stop());
        }
    }
}

/// Findings about an operation that was done.
#[derive(Default)]
struct Saw {
    app: String,
    driver: String,
}

impl Saw {
    fn app(app: String) -> Self {
        Self {
            app,
            ..Self::default()
        }
    }

    fn driver(driver: String) -> Self {
        Self {
            driver,
            ..Self::default()
        }
    }
}

fn did(step: Step) -> String {
    match step {
        Step::Notify(Burst {
            count,
            interval_us,
            from_timer,
        }) => {
            let whence = if from_timer { "a timer" } else { "a request" };
            format!("{count} notices from {whence}, {interval_us} µs apart")
        }
        step => step.label().to_owned(),
    }
}

fn states(seen: Seen) -> String {
    format!("{} -> {}", state(seen.before != 0), state(seen.after != 0))
}

fn heard_words(heard: bool) -> String {
    let words = if heard {
        "heard the pulse"
    } else {
        "heard nothing: the pulse is lost"
    };
    words.to_owned()
}

/// Makes the app's own refusal, by the driver's name: there is nothing to ask the driver about.
fn not_referenced() -> Error {
    Error::Refused {
        command: Operate::COMMAND.into(),
        refusal: channel::Refusal::NotReferenced,
    }
}

/// Looks every few milliseconds whether it is done, for `at_most` at most.
fn until(at_most: Duration, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + at_most;
    while !done() && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(2));
    }
}
