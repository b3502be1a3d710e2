//! Requests that take time: each gets a system thread, and its app may cancel it, or die.

use super::channel::{Channel, Driver};
use super::claims::Claims;
use super::irp::{Cancellation, Irp, TakenBack};
use super::nt::{self, NTSTATUS};
use super::thread::{self, Thread};
use super::{Installed, OpenFile, SpinLock};
use crate::driver::table::Lock;
use channel_abi::{Refusal, SLOTS};
use core::ffi::c_void;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, AtomicU8, Ordering};

/// The driver's places for such requests, one per file at most.
pub(super) struct Works<D: Driver> {
    /// What the kernel keeps while a thread runs.
    device: AtomicPtr<nt::DEVICE_OBJECT>,
    claims: Claims,
    places: [Work<D>; SLOTS],
}

struct Work<D: Driver> {
    cancellation: Cancellation,
    task: SpinLock<Option<Task<D>>>,
    /// The thread that runs here, or ran here last.
    thread: SpinLock<Option<Thread>>,
    /// Who still uses the place: the thread, and the request's routine until it has stored the thread above.
    users: AtomicU8,
}

struct Task<D: Driver> {
    irp: Irp,
    job: D::Job,
    place: usize,
}

impl<D: Driver> Works<D> {
    pub(super) const NEW: Self = Self {
        device: AtomicPtr::new(null_mut()),
        claims: Claims::NONE,
        places: [const { Work::NEW }; SLOTS],
    };
}

impl<D: Driver> Work<D> {
    const NEW: Self = Self {
        cancellation: Cancellation::NEW,
        task: SpinLock::guard(None),
        thread: SpinLock::guard(None),
        users: AtomicU8::new(0),
    };
}

impl<D: Installed> Works<D> {
    /// Before the device can be opened.
    pub(super) fn prepare(&'static self) {
        self.places
            .iter()
            .for_each(|work| work.cancellation.prepare());
    }

    /// Before the device can be opened.
    pub(super) fn set_device(&self, device: *mut nt::DEVICE_OBJECT) {
        self.device.store(device, Ordering::Release);
    }

    /// Starts a thread on the request; returns the status to give to the I/O manager.
    pub(super) fn start(&'static self, mut irp: Irp, file: &OpenFile, job: D::Job) -> NTSTATUS {
        let place = match self.claims.claim(file) {
            Ok(place) => place,
            Err(refusal) => return irp.complete(Err(refusal.ntstatus())),
        };
        let Some(work) = self.places.get(place) else {
            return irp.complete(Err(Refusal::Busy.ntstatus()));
        };
        // The one before has completed its request and is about to end.
        if let Some(last) = work.thread.with(Option::take) {
            last.join();
        }
        work.cancellation.rearm();
        irp = match irp.pend(&work.cancellation) {
            Ok(irp) => irp,
            Err(cancelled) => {
                self.claims.release(place);
                cancelled.complete(Err(nt::STATUS_CANCELLED));
                return nt::STATUS_PENDING;
            }
        };
        work.users.store(2, Ordering::Relaxed);
        work.task
            .with(|task| *task = Some(Task { irp, job, place }));
        let context = core::ptr::from_ref(work).cast_mut().cast();
        // `run` ends by `Thread::exit`, and the place lives until the driver is unloaded, which joins first.
        let device = self.device.load(Ordering::Acquire);
        // SAFETY: the device is open, so it lives; for the rest see above.
        match unsafe { Thread::start(device, run::<D>, context) } {
            Ok(thread) => {
                work.thread.with(|held| *held = Some(thread));
                work.leave(&self.claims, place);
            }
            Err(_) => work.finish_unstarted(&self.claims),
        }
        nt::STATUS_PENDING
    }

    /// Has the file's work, if there is any, given up.
    pub(super) fn give_up(&self, file: &OpenFile) {
        self.claims.with_place_of(file, |place| {
            if let Some(work) = self.places.get(place) {
                work.cancellation.give_up.give_up();
            }
        });
    }

    /// Has all work given up.
    pub(super) fn give_up_all(&self) {
        self.places
            .iter()
            .for_each(|work| work.cancellation.give_up.give_up());
    }

    /// Before the driver is unloaded: none of its threads is left.
    pub(super) fn join_all(&self) {
        for work in &self.places {
            // A request's routine may be just about to store the thread, whose work is long done.
            while work.users.load(Ordering::Acquire) != 0 {
                thread::pause();
            }
            if let Some(thread) = work.thread.with(Option::take) {
                thread.join();
            }
        }
    }
}

impl<D: Installed> Work<D> {
    fn finish_unstarted(&self, claims: &Claims) {
        if let Some(Task { irp, place, .. }) = self.task.with(Option::take) {
            let status = match irp.take_back(&self.cancellation) {
                TakenBack::Cancelled => nt::STATUS_CANCELLED,
                TakenBack::Whole => Refusal::Memory.ntstatus(),
            };
            self.users.store(0, Ordering::Release);
            claims.release(place);
            irp.complete(Err(status));
        }
    }

    /// The last of both users gives the place back.
    fn leave(&self, claims: &Claims, place: usize) {
        // Pairs with the other's: whoever comes next finds what both wrote.
        if self.users.fetch_sub(1, Ordering::AcqRel) == 1 {
            claims.release(place);
        }
    }

    fn run(&self, channel: &'static Channel<D>) {
        let Some(Task {
            mut irp,
            job,
            place,
        }) = self.task.with(Option::take)
        else {
            return;
        };
        let result = match irp.file() {
            Some(file) => channel.driver().work(
                channel,
                file,
                job,
                &self.cancellation.give_up,
                &mut irp.buffer(),
            ),
            None => Err(Refusal::Closing),
        };
        let status = match (irp.take_back(&self.cancellation), result) {
            // Who cancels waits for this very status, but for work that was done before.
            (TakenBack::Cancelled, Err(_)) => Err(nt::STATUS_CANCELLED),
            (_, result) => result.map_err(Refusal::ntstatus),
        };
        self.leave(&channel.works().claims, place);
        irp.complete(status);
    }
}

unsafe extern "system" fn run<D: Installed>(context: *mut c_void) {
    // SAFETY: the place that `start` passed, which lives until the driver is unloaded.
    let work = unsafe { context.cast::<Work<D>>().as_ref() };
    if let (Some(work), Some(channel)) = (work, D::late().get()) {
        work.run(channel);
    }
    Thread::exit();
}
