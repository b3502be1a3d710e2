//! Requests that take time: each gets a system thread, and its app may cancel it, or die. How these meet is in
//! [`crate::driver::work`].

use super::channel::{Channel, Driver};
use super::event::GiveUp;
use super::irp::Irp;
use super::nt::{self, NTSTATUS};
use super::repeat::FilePointer;
use super::thread::{self, Thread};
use super::{OpenFile, SpinLock};
use crate::driver::claims::Claims;
use crate::driver::work::{Cancellation, GiveUps, Moment, WorkKernel, WorkPlace, Works};
use channel_abi::{Refusal, SLOTS};
use core::ffi::c_void;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, AtomicU8, AtomicU32, AtomicUsize, Ordering};

/// A place's half of Windows: what its threads need of the kernel and of their driver.
pub(super) struct Threads<D: Driver> {
    /// Device that the kernel keeps while a thread runs.
    device: AtomicPtr<nt::DEVICE_OBJECT>,
    channel: AtomicPtr<Channel<D>>,
    /// Number of the place.
    number: AtomicUsize,
}

impl<D: Driver> Works<Threads<D>> {
    pub(super) const NEW: Self = Self {
        claims: Claims::behind(SpinLock::guard([None; SLOTS])),
        places: [const { Threads::<D>::PLACE }; SLOTS],
        all: GiveUps(AtomicU32::new(0)),
    };

    /// Prepares the places, before the device can be opened.
    pub(super) fn prepare(&'static self, channel: &'static Channel<D>) {
        for (number, place) in self.places.iter().enumerate() {
            let (kernel, channel) = (place.kernel(), core::ptr::from_ref(channel).cast_mut());
            kernel.channel.store(channel, Ordering::Release);
            kernel.number.store(number, Ordering::Release);
            place.cancellation.give_up.prepare();
            place.cancellation.done.prepare();
        }
    }

    /// Sets the device that threads keep, before it can be opened.
    pub(super) fn set_device(&self, device: *mut nt::DEVICE_OBJECT) {
        for place in &self.places {
            place.kernel().device.store(device, Ordering::Release);
        }
    }
}

/// Starts a thread on a request, which was looked at after the given moment; returns the status to give to the I/O
/// manager.
pub(super) fn start<D: Driver>(
    works: &'static Works<Threads<D>>,
    irp: Irp,
    (file, since): (&OpenFile, Moment),
    job: D::Job,
) -> NTSTATUS {
    let whose = (FilePointer::to(file), file.give_ups(), since);
    match works.start(whose, irp, job) {
        Ok(()) => nt::STATUS_PENDING,
        Err((irp, refusal)) => irp.complete(Err(refusal.ntstatus())),
    }
}

impl<D: Driver> Threads<D> {
    const PLACE: WorkPlace<Self> = WorkPlace {
        kernel: Self {
            device: AtomicPtr::new(null_mut()),
            channel: AtomicPtr::new(null_mut()),
            number: AtomicUsize::new(0),
        },
        cancellation: Cancellation {
            give_up: GiveUp::NEW,
            done: GiveUp::NEW,
        },
        task: SpinLock::guard(None),
        thread: SpinLock::guard(None),
        both: AtomicU8::new(0),
        inside: AtomicU8::new(0),
    };
}

impl<D: Driver> WorkKernel for Threads<D> {
    type Request = Irp;
    type Event = GiveUp;
    type Lock<T: Send> = SpinLock<T>;
    type File = FilePointer;
    type Thread = Thread;
    type Job = D::Job;

    fn start(place: &'static WorkPlace<Self>) -> Option<Thread> {
        let device = place.kernel().device.load(Ordering::Acquire);
        let context = core::ptr::from_ref(place).cast_mut().cast();
        // SAFETY: the device is open, so it lives. `run` ends by `Thread::exit`, and the place lives until the driver
        // is unloaded, which joins first.
        unsafe { Thread::start(device, run::<D>, context) }.ok()
    }

    fn join(thread: Thread) {
        thread.join();
    }

    fn pause() {
        thread::pause();
    }
}

fn work<D: Driver>(
    channel: &'static Channel<D>,
    irp: &mut Irp,
    job: D::Job,
    give_up: &GiveUp,
) -> Result<usize, Refusal> {
    let file = irp.file().ok_or(Refusal::Closing)?;
    channel
        .driver
        .work(channel, file, job, give_up, &mut irp.buffer())
}

unsafe extern "system" fn run<D: Driver>(context: *mut c_void) {
    // SAFETY: the place that `start` passed, which lives until the driver is unloaded.
    let place = unsafe { context.cast::<WorkPlace<Threads<D>>>().as_ref() };
    if let Some(place) = place {
        // SAFETY: null, or the driver's one channel, which lives as long as its places: they are a part of it.
        let channel = unsafe { place.kernel().channel.load(Ordering::Acquire).as_ref() };
        if let Some(channel) = channel {
            run_in(place, channel);
        }
    }
    Thread::exit();
}

fn run_in<D: Driver>(place: &'static WorkPlace<Threads<D>>, channel: &'static Channel<D>) {
    let number = place.kernel().number.load(Ordering::Acquire);
    let works = channel.works();
    works.run(number, |irp, job, give_up| {
        match work(channel, irp, job, give_up) {
            Ok(bytes) => (nt::STATUS_SUCCESS, bytes),
            Err(refusal) => (refusal.ntstatus(), 0),
        }
    });
}
