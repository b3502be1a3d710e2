//! Work that a timer repeats: a `KTIMER` with a deferred procedure call, one per file at most. How these meet is in
//! [`crate::driver::repeat`].

use super::channel::Driver;
use super::event::relative;
use super::nt::{self, KDPC, KTIMER};
use super::{Installed, OpenFile, SpinLock};
use crate::driver::repeat::{RepeatKernel, Repeats};
use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::marker::PhantomData;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering};

/// Timer of a place for repeated work.
pub struct Timer<D: Driver> {
    timer: UnsafeCell<KTIMER>,
    deferred: UnsafeCell<KDPC>,
    /// Number of the place.
    number: AtomicUsize,
    of: PhantomData<fn() -> D>,
}

// SAFETY: the timer and its deferred call are only handed to the kernel, which locks them.
unsafe impl<D: Driver> Sync for Timer<D> {}

/// A file that is open as long as this value is in its place: CLEANUP takes it out, under the place's lock.
#[derive(Clone, Copy, PartialEq)]
pub struct FilePointer(NonNull<OpenFile>);

// SAFETY: what it points to may be used from any thread.
unsafe impl Send for FilePointer {}

impl FilePointer {
    pub(super) fn to(file: &OpenFile) -> Self {
        Self(NonNull::from(file))
    }
}

impl<D: Driver> Timer<D> {
    pub(in crate::driver) const NEW: Self = Self {
        timer: UnsafeCell::new(KTIMER([0; 8])),
        deferred: UnsafeCell::new(KDPC([0; 8])),
        number: AtomicUsize::new(0),
        of: PhantomData,
    };
}

impl<D: Driver> RepeatKernel for Timer<D> {
    type Lock<T: Send> = SpinLock<T>;
    type File = FilePointer;
    type Tick = D::Tick;

    fn arm(&self, microseconds: u32) {
        // SAFETY: both were prepared.
        unsafe {
            nt::KeSetTimer(
                self.timer.get(),
                relative(microseconds),
                self.deferred.get(),
            )
        };
    }

    fn disarm(&self) {
        // SAFETY: was prepared.
        unsafe { nt::KeCancelTimer(self.timer.get()) };
    }
}

/// Prepares the timers, before the device can be opened.
pub(super) fn prepare<D: Installed>(repeats: &'static Repeats<Timer<D>>) {
    for (number, place) in repeats.places.iter().enumerate() {
        place.kernel.prepare(number);
    }
}

/// Stops all timers, before the driver is unloaded: none is armed after this, and no deferred call under way.
pub(super) fn stop_all<D: Driver>(repeats: &Repeats<Timer<D>>) {
    repeats.disarm_all();
    // SAFETY: at PASSIVE_LEVEL.
    unsafe { nt::KeFlushQueuedDpcs() };
}

impl<D: Installed> Timer<D> {
    fn prepare(&'static self, number: usize) {
        self.number.store(number, Ordering::Release);
        // SAFETY: at its final place, not used yet.
        unsafe { nt::KeInitializeTimerEx(self.timer.get(), nt::NOTIFICATION_TIMER) };
        let context = core::ptr::from_ref(self).cast_mut().cast();
        // SAFETY: at its final place, not used yet; `self` lives until the driver is unloaded, which flushes first.
        unsafe { nt::KeInitializeDpc(self.deferred.get(), tick::<D>, context) };
    }
}

/// Runs a tick: the timers' deferred routine, at DISPATCH_LEVEL.
unsafe extern "system" fn tick<D: Installed>(
    _: *mut KDPC,
    context: *mut c_void,
    _: *mut c_void,
    _: *mut c_void,
) {
    // SAFETY: the timer that `prepare` passed.
    let timer = unsafe { context.cast::<Timer<D>>().as_ref() };
    let (Some(timer), Some(channel)) = (timer, D::late().get()) else {
        return;
    };
    let number = timer.number.load(Ordering::Acquire);
    channel.repeats().tick(number, |file, tick| {
        // SAFETY: CLEANUP stops the file's work, which waits for the lock that is held
        // here, before CLOSE frees the file.
        let file = unsafe { file.0.as_ref() };
        channel.driver().tick(channel, file, tick)
    });
}
