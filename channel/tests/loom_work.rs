//! Requests that take time, as the WDM driver works on them, beside whoever cancels them
//! and whoever unloads the driver.
//!
//! The model of the kernel is as strict as NT: a request that was completed and a driver that was unloaded are touched
//! by nobody any more (loom fails where they are), and a request is completed once.
#![cfg(loom)]
#![expect(clippy::unwrap_used, reason = "a test may fail")]

mod explored;

use channel::driver::work::{
    Cancellation, GiveUps, InnerEvent, PendingRequest, WorkEnd, WorkKernel, WorkPlace, Works,
};
use explored::{SpinLock, explore};
use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicBool, Ordering, fence};
use loom::sync::{Condvar, Mutex};
use loom::thread::{self, JoinHandle};
// Not loom's: a place is never dropped, and what it holds with it.
use std::sync::{Arc, OnceLock};

/// An event that stays set, as the driver's own are.
#[derive(Default)]
struct Event {
    set: Mutex<bool>,
    wake: Condvar,
}

impl InnerEvent for Event {
    fn set(&self) {
        *self.set.lock().unwrap() = true;
        self.wake.notify_all();
    }

    fn rearm(&self) {
        *self.set.lock().unwrap() = false;
    }

    fn wait(&self) {
        let mut set = self.set.lock().unwrap();
        while !*set {
            set = self.wake.wait(set).unwrap();
        }
    }
}

/// Memory that is looked at until somebody frees it.
#[derive(Default)]
struct Memory(UnsafeCell<bool>);

// SAFETY: whether accesses are kept apart is what loom is to find out.
unsafe impl Sync for Memory {}
// SAFETY: nothing of it belongs to a thread.
unsafe impl Send for Memory {}

impl Memory {
    fn touch(&self) {
        // SAFETY: loom fails where somebody writes at the same time.
        let freed = self.0.with(|freed| unsafe { *freed });
        assert!(!freed, "used after it was freed");
    }

    fn free(&self) {
        // SAFETY: as above.
        let freed = self
            .0
            .with_mut(|freed| unsafe { std::mem::replace(&mut *freed, true) });
        assert!(!freed, "freed twice");
    }
}

/// A request as the I/O manager keeps it.
#[derive(Default)]
struct Irp {
    memory: Memory,
    cancel: AtomicBool,
    rings: Mutex<Option<&'static Cancellation<Event>>>,
    end: Mutex<Option<WorkEnd>>,
    completed: Event,
}

impl Irp {
    /// Cancels the request as `IoCancelIrp` does: says that it is to be cancelled, then takes the routine, by a full
    /// barrier, and calls it.
    fn cancel(&self) {
        self.cancel.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let routine = self.rings.lock().unwrap().take();
        if let Some(cancellation) = routine {
            // The routine looks into the request.
            self.memory.touch();
            cancellation.cancel();
        }
    }

    /// Waits until the request was completed; returns its end.
    fn end(&self) -> WorkEnd {
        self.completed.wait();
        self.end.lock().unwrap().unwrap()
    }
}

/// A request as the driver owns it, and the driver that owns it.
struct Request {
    irp: Arc<Irp>,
    driver: Arc<Driver>,
}

impl PendingRequest<Event> for Request {
    fn let_cancel(&self, rings: &'static Cancellation<Event>) {
        self.irp.memory.touch();
        *self.irp.rings.lock().unwrap() = Some(rings);
        fence(Ordering::SeqCst);
    }

    fn forbid_cancel(&self) -> bool {
        self.irp.memory.touch();
        let routine = self.irp.rings.lock().unwrap().take();
        routine.is_some()
    }

    fn is_cancelled(&self) -> bool {
        self.irp.memory.touch();
        self.irp.cancel.load(Ordering::Relaxed)
    }

    fn complete(self, end: WorkEnd) {
        self.driver.image.touch();
        self.irp.memory.free();
        *self.irp.end.lock().unwrap() = Some(end);
        self.irp.completed.set();
    }
}

/// A driver: its image, its one place's claim, and what its kernel gives to it.
#[derive(Default)]
struct Driver {
    image: Memory,
    no_threads: bool,
    claimed: AtomicBool,
}

impl Driver {
    fn claim(&self) -> bool {
        !self.claimed.swap(true, Ordering::AcqRel)
    }

    fn release(&self) {
        self.image.touch();
        assert!(self.claimed.swap(false, Ordering::AcqRel), "released once");
    }
}

struct Kernel(Arc<Driver>);

impl WorkKernel for Kernel {
    type Request = Request;
    type Event = Event;
    type Lock<T: Send> = SpinLock<T>;
    type File = u32;
    type Thread = JoinHandle<()>;
    /// `true` if the work lasts until it is told to give up.
    type Job = bool;

    fn start(place: &'static WorkPlace<Self>) -> Option<JoinHandle<()>> {
        let driver = &place.kernel().0;
        if driver.no_threads {
            return None;
        }
        let thread = thread::spawn(|| {
            let driver = &place.kernel().0;
            place.run(work, || driver.release());
            // Its way out is the driver's code too.
            driver.image.touch();
        });
        // A dispatch routine may be held up here, where its thread is not stored yet.
        driver.image.touch();
        Some(thread)
    }

    fn join(thread: JoinHandle<()>) {
        thread.join().unwrap();
    }

    fn pause() {
        thread::yield_now();
    }
}

const REFUSED: i32 = -1;

fn work(request: &mut Request, waits: bool, give_up: &Event) -> (i32, usize) {
    request.irp.memory.touch();
    let claimed = request.driver.claimed.load(Ordering::Acquire);
    assert!(claimed, "the place is its own until it is done");
    let told = *give_up.set.lock().unwrap();
    // Whoever cancels says so before.
    assert!(
        !told || request.irp.cancel.load(Ordering::Relaxed),
        "told to give up for another"
    );
    if waits {
        give_up.wait();
        return (REFUSED, 0);
    }
    (0, 8)
}

struct Machine {
    driver: Arc<Driver>,
    place: &'static WorkPlace<Kernel>,
}

impl Machine {
    fn boot(no_threads: bool) -> Self {
        let driver = Arc::new(Driver {
            no_threads,
            ..Driver::default()
        });
        let place = WorkPlace::new(Kernel(driver.clone()), Event::default(), Event::default());
        // As a driver's places, it is there until the machine is off.
        let place = Box::leak(Box::new(place));
        Self { driver, place }
    }

    /// Runs a dispatch routine, with the place claimed.
    fn dispatch(&self, irp: &Arc<Irp>, waits: bool) -> JoinHandle<()> {
        let (irp, driver, place) = (irp.clone(), self.driver.clone(), self.place);
        thread::spawn(move || dispatch(irp, driver, place, waits))
    }

    /// Unloads the driver, as NT does once the last file is closed, which is after the last request was completed.
    fn unload(&self) {
        self.place.join();
        self.driver.image.free();
    }
}

fn dispatch(irp: Arc<Irp>, driver: Arc<Driver>, place: &'static WorkPlace<Kernel>, waits: bool) {
    assert!(driver.claim(), "the place is free");
    let releases = driver.clone();
    place.start(
        Request { irp, driver },
        waits,
        || false,
        move || releases.release(),
    );
}

#[test]
fn a_request_that_is_cancelled_as_it_is_completed_is_completed_once_and_not_used_after() {
    explore(|| {
        let (machine, irp) = (Machine::boot(false), Arc::new(Irp::default()));
        let cancelling = thread::spawn({
            let irp = irp.clone();
            move || irp.cancel()
        });
        dispatch(irp.clone(), machine.driver.clone(), machine.place, false);
        let end = irp.end();
        assert!(matches!(end, WorkEnd::Done(0, 8) | WorkEnd::Cancelled));
        cancelling.join().unwrap();
        machine.place.join();
    });
}

#[test]
fn work_that_waits_ends_as_cancelled_whenever_it_is_cancelled() {
    explore(|| {
        let (machine, irp) = (Machine::boot(false), Arc::new(Irp::default()));
        let cancelling = thread::spawn({
            let irp = irp.clone();
            move || irp.cancel()
        });
        dispatch(irp.clone(), machine.driver.clone(), machine.place, true);
        assert_eq!(irp.end(), WorkEnd::Cancelled);
        cancelling.join().unwrap();
        machine.place.join();
    });
}

#[test]
fn a_request_for_which_there_is_no_thread_is_completed_once_also_when_it_is_cancelled() {
    explore(|| {
        let (machine, irp) = (Machine::boot(true), Arc::new(Irp::default()));
        let cancelling = thread::spawn({
            let irp = irp.clone();
            move || irp.cancel()
        });
        dispatch(irp.clone(), machine.driver.clone(), machine.place, true);
        assert!(matches!(irp.end(), WorkEnd::NoThread | WorkEnd::Cancelled));
        cancelling.join().unwrap();
        assert!(machine.driver.claim(), "the place was given back");
    });
}

#[test]
fn a_driver_is_not_unloaded_under_a_routine_that_is_held_up_or_its_thread() {
    explore(|| {
        let (machine, irp) = (Machine::boot(false), Arc::new(Irp::default()));
        let dispatching = machine.dispatch(&irp, false);
        assert_eq!(irp.end(), WorkEnd::Done(0, 8));
        machine.unload();
        dispatching.join().unwrap();
    });
}

#[test]
fn who_gets_a_place_that_was_given_back_meets_nothing_of_the_one_before() {
    explore(|| {
        let (machine, first) = (Machine::boot(false), Arc::new(Irp::default()));
        let dispatching = machine.dispatch(&first, false);
        assert_eq!(first.end(), WorkEnd::Done(0, 8));
        let second = Arc::new(Irp::default());
        if machine.driver.claim() {
            let (irp, driver) = (second.clone(), machine.driver.clone());
            let releases = driver.clone();
            machine.place.start(
                Request { irp, driver },
                false,
                || false,
                move || releases.release(),
            );
            assert_eq!(second.end(), WorkEnd::Done(0, 8));
        }
        dispatching.join().unwrap();
        machine.unload();
    });
}

#[test]
fn who_cancels_late_has_nobody_else_give_up() {
    explore(|| {
        let (machine, first) = (Machine::boot(false), Arc::new(Irp::default()));
        let cancelling = thread::spawn({
            let irp = first.clone();
            move || irp.cancel()
        });
        dispatch(first.clone(), machine.driver.clone(), machine.place, false);
        first.end();
        if machine.driver.claim() {
            let second = Arc::new(Irp::default());
            let (irp, driver) = (second.clone(), machine.driver.clone());
            let releases = driver.clone();
            machine.place.start(
                Request { irp, driver },
                false,
                || false,
                move || releases.release(),
            );
            assert_eq!(second.end(), WorkEnd::Done(0, 8));
        }
        cancelling.join().unwrap();
        machine.place.join();
    });
}

/// Kernel of a driver that has all its places. The work there lasts until it is told to give up.
struct Threads {
    works: &'static OnceLock<Works<Threads>>,
    number: usize,
}

impl WorkKernel for Threads {
    type Request = Request;
    type Event = Event;
    type Lock<T: Send> = SpinLock<T>;
    type File = u32;
    type Thread = JoinHandle<()>;
    type Job = ();

    fn start(place: &'static WorkPlace<Self>) -> Option<JoinHandle<()>> {
        let Self { works, number } = place.kernel();
        Some(thread::spawn(|| {
            works.get().unwrap().run(*number, |_, (), give_up| {
                give_up.wait();
                (REFUSED, 0)
            });
        }))
    }

    fn join(thread: JoinHandle<()>) {
        thread.join().unwrap();
    }

    fn pause() {
        thread::yield_now();
    }
}

const FILE: u32 = 1;

/// Starts an open file's request beside whatever has its work given up. `looked_at_before`: it came first, and is held
/// up.
fn comes_beside(looked_at_before: bool, tell: fn(&Works<Threads>, &GiveUps)) {
    let place: &'static OnceLock<Works<Threads>> = Box::leak(Box::default());
    let threads = |number| Threads {
        works: place,
        number,
    };
    let works = place.get_or_init(|| Works::new(threads, Event::default));
    let give_ups: &'static GiveUps = Box::leak(Box::default());
    let (irp, driver) = (Arc::new(Irp::default()), Arc::new(Driver::default()));
    let before = looked_at_before.then(|| works.moment(give_ups));
    let dispatching = thread::spawn({
        let irp = irp.clone();
        move || {
            let since = before.unwrap_or_else(|| works.moment(give_ups));
            let started = works.start((FILE, give_ups, since), Request { irp, driver }, ());
            assert!(started.is_ok(), "the file has no other work");
        }
    });
    tell(works, give_ups);
    // Nobody else ends it.
    assert_eq!(irp.end(), WorkEnd::Done(REFUSED, 0));
    dispatching.join().unwrap();
    works.join_all();
}

#[test]
fn work_that_begins_beside_its_files_cleanup_or_after_it_gives_up() {
    explore(|| comes_beside(false, |works, give_ups| works.close(FILE, give_ups)));
}

#[test]
fn work_of_a_request_that_came_before_a_dereference_gives_up_wherever_it_is_held_up() {
    explore(|| comes_beside(true, |works, give_ups| works.give_up(FILE, give_ups)));
}

#[test]
fn work_of_a_request_that_came_before_the_drivers_stop_gives_up_wherever_it_is_held_up() {
    explore(|| comes_beside(true, |works, _| works.give_up_all()));
}
