//! Work that a timer repeats: a `KTIMER` with a deferred procedure call, one per file at most.

use super::channel::{Channel, Driver};
use super::claims::{Claims, FileId};
use super::event::relative;
use super::nt::{self, KDPC, KTIMER};
use super::{Installed, OpenFile, SpinLock};
use crate::driver::table::Lock;
use channel_abi::{Refusal, SLOTS};
use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::ptr::NonNull;

/// What a tick says of the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// Once more, in so many microseconds.
    In(u32),
    /// That was the last.
    Never,
}

/// The driver's places for repeated work.
pub(super) struct Repeats<D: Driver> {
    claims: Claims,
    places: [Repeat<D>; SLOTS],
}

struct Repeat<D: Driver> {
    timer: UnsafeCell<KTIMER>,
    deferred: UnsafeCell<KDPC>,
    running: SpinLock<Option<Running<D>>>,
}

// SAFETY: the timer and its deferred call are only handed to the kernel, which locks them.
unsafe impl<D: Driver> Sync for Repeat<D> {}

struct Running<D: Driver> {
    place: usize,
    file: FilePointer,
    tick: D::Tick,
}

/// A file that is open as long as this value is in its place: CLEANUP takes it out, under the place's lock.
struct FilePointer(NonNull<OpenFile>);

// SAFETY: what it points to may be used from any thread.
unsafe impl Send for FilePointer {}

impl<D: Driver> Repeats<D> {
    pub(super) const NEW: Self = Self {
        claims: Claims::NONE,
        places: [const { Repeat::NEW }; SLOTS],
    };
}

impl<D: Driver> Repeat<D> {
    const NEW: Self = Self {
        timer: UnsafeCell::new(KTIMER([0; 8])),
        deferred: UnsafeCell::new(KDPC([0; 8])),
        running: SpinLock::guard(None),
    };
}

impl<D: Installed> Repeats<D> {
    /// Before the device can be opened.
    pub(super) fn prepare(&'static self) {
        self.places.iter().for_each(Repeat::prepare);
    }

    /// Calls [`Driver::tick`] after so many microseconds, and again as it says.
    pub(super) fn start(
        &'static self,
        file: &OpenFile,
        first: u32,
        tick: D::Tick,
    ) -> Result<(), Refusal> {
        let place = self.claims.claim(file)?;
        let repeat = self.places.get(place).ok_or(Refusal::Busy)?;
        let file = FilePointer(NonNull::from(file));
        // Armed under the lock, as each tick does: else a file that stops between the two would leave a timer behind.
        repeat.running.with(|running| {
            *running = Some(Running { place, file, tick });
            repeat.arm(first);
        });
        Ok(())
    }

    /// No tick for this file after this, and none under way.
    pub(super) fn stop(&self, file: &OpenFile) {
        let mut found = None;
        self.claims.with_place_of(file, |place| found = Some(place));
        let Some((place, repeat)) = found.and_then(|place| Some((place, self.places.get(place)?)))
        else {
            return;
        };
        // A tick that ended meanwhile has released the place, and another file may have it by now.
        let ours = |running: &Running<D>| FileId::of_pointer(running.file.0) == FileId::of(file);
        let stopped = repeat.running.with(|running| {
            let stopped = running.take_if(|running| ours(running));
            stopped.inspect(|_| repeat.disarm())
        });
        if stopped.is_some() {
            self.claims.release(place);
        }
    }

    /// Before the driver is unloaded: no timer is armed, no deferred call under way.
    pub(super) fn stop_all(&self) {
        self.places.iter().for_each(Repeat::disarm);
        // SAFETY: at PASSIVE_LEVEL.
        unsafe { nt::KeFlushQueuedDpcs() };
    }
}

impl<D: Installed> Repeat<D> {
    fn prepare(&'static self) {
        // SAFETY: at its final place, not used yet.
        unsafe { nt::KeInitializeTimerEx(self.timer.get(), nt::NOTIFICATION_TIMER) };
        let context = core::ptr::from_ref(self).cast_mut().cast();
        // SAFETY: at its final place, not used yet; `self` lives until the driver is unloaded, which flushes first.
        unsafe { nt::KeInitializeDpc(self.deferred.get(), tick::<D>, context) };
    }

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

    /// At DISPATCH_LEVEL. The lock is held throughout, so that `stop` waits for a tick under way.
    fn tick(&self, channel: &'static Channel<D>) {
        let ended = self.running.with(|running| {
            let now = running.as_mut()?;
            // SAFETY: CLEANUP calls `stop`, which waits for the lock held here, before CLOSE frees the file.
            let file = unsafe { now.file.0.as_ref() };
            match channel.driver().tick(channel, file, &mut now.tick) {
                Again::In(microseconds) => {
                    self.arm(microseconds);
                    None
                }
                Again::Never => running.take(),
            }
        });
        if let Some(ended) = ended {
            channel.repeats().claims.release(ended.place);
        }
    }
}

unsafe extern "system" fn tick<D: Installed>(
    _: *mut KDPC,
    context: *mut c_void,
    _: *mut c_void,
    _: *mut c_void,
) {
    // SAFETY: the place that `prepare` passed.
    let repeat = unsafe { context.cast::<Repeat<D>>().as_ref() };
    if let (Some(repeat), Some(channel)) = (repeat, D::late().get()) {
        repeat.tick(channel);
    }
}
