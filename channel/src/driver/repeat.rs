//! Work that a timer repeats for a file: started, stopped, and ended when the file is closed, while others begin.
//!
//! What can go wrong between these is decided here, once, for the WDM driver and for the model of a kernel that loom
//! explores: that no tick of a file comes, or is under way, once it was stopped; that none of another's is taken for
//! its own; and that no timer is left armed.

use super::claims::Claims;
use super::table::Lock;
use channel_abi::{Refusal, SLOTS};
use core::fmt;

/// Result of a tick: whether another follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// Another tick follows, after this time in microseconds.
    In(u32),
    /// No further tick follows.
    Never,
}

/// A kernel's half of repeated work: a timer for each place.
pub trait RepeatKernel: Sized + 'static {
    /// A lock of the kernel's, as in [`Platform::Lock`](super::table::Platform::Lock).
    type Lock<T: Send>: Lock<T>;
    /// An open file: valid from where its work is started to where it is stopped.
    type File: Copy + PartialEq + Send;
    /// State that repeated work keeps from one tick to the next.
    type Tick: Send;

    /// Arms the timer: [`Repeats::tick`] is called for this place, once, after this time in microseconds; in the place
    /// of what was armed before. Called with the place's lock held.
    fn arm(&self, microseconds: u32);
    /// Disarms the timer. A tick that is under way goes on.
    fn disarm(&self);
}

struct Running<K: RepeatKernel> {
    file: K::File,
    tick: K::Tick,
}

/// A place for the repeated work of one file.
pub(super) struct RepeatPlace<K: RepeatKernel> {
    pub(super) kernel: K,
    running: K::Lock<Option<Running<K>>>,
}

/// The files that have claimed the places, by the place's number.
type Claimed<K> = [Option<<K as RepeatKernel>::File>; SLOTS];

/// A driver's places for repeated work, one per file at most.
pub struct Repeats<K: RepeatKernel> {
    claims: Claims<K::Lock<Claimed<K>>>,
    pub(super) places: [RepeatPlace<K>; SLOTS],
}

impl<K: RepeatKernel> fmt::Debug for Repeats<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Repeats").finish_non_exhaustive()
    }
}

impl<K: RepeatKernel> Repeats<K> {
    /// Makes places that no file has claimed; `kernel` gives each its timer.
    pub fn new(mut kernel: impl FnMut(usize) -> K) -> Self {
        Self {
            claims: Claims::behind(Lock::new([None; SLOTS])),
            places: core::array::from_fn(|number| RepeatPlace {
                kernel: kernel(number),
                running: Lock::new(None),
            }),
        }
    }

    /// Starts repeated work of a file: the first tick comes after `first` microseconds, each further one as the tick
    /// before says.
    ///
    /// # Errors
    /// [`Refusal::Busy`] if the file has work already, or there is no place.
    pub fn start(&self, file: K::File, first: u32, tick: K::Tick) -> Result<(), Refusal> {
        let number = self.claims.claim(file)?;
        let place = self.places.get(number).ok_or(Refusal::Busy)?;
        // Armed under the lock, as each tick does: else a file that stops between the two would leave a timer behind.
        place.running.with(|running| {
            *running = Some(Running { file, tick });
            place.kernel.arm(first);
        });
        Ok(())
    }

    /// Stops a file's repeated work: no tick comes for it after this, and none is under way.
    pub fn stop(&self, file: K::File) {
        let mut found = None;
        self.claims
            .with_place_of(file, |number| found = Some(number));
        let Some((number, place)) =
            found.and_then(|number| Some((number, self.places.get(number)?)))
        else {
            return;
        };
        // A tick that ended meanwhile has released the place, and another file may have it by now.
        let stopped = place.running.with(|running| {
            let stopped = running.take_if(|running| running.file == file);
            stopped.inspect(|_| place.kernel.disarm())
        });
        if stopped.is_some() {
            self.claims.release(number);
        }
    }

    /// Disarms all timers. A tick may still be under way.
    pub fn disarm_all(&self) {
        self.places.iter().for_each(|place| place.kernel.disarm());
    }

    /// Runs a tick: a place's timer is due. The place's lock is held throughout, so that whoever stops the file waits
    /// for a tick under way.
    pub fn tick(&self, number: usize, run: impl FnOnce(K::File, &mut K::Tick) -> Again) {
        let Some(place) = self.places.get(number) else {
            return;
        };
        let ended = place.running.with(|running| {
            let now = running.as_mut()?;
            match run(now.file, &mut now.tick) {
                Again::In(microseconds) => {
                    place.kernel.arm(microseconds);
                    None
                }
                Again::Never => running.take(),
            }
        });
        if ended.is_some() {
            self.claims.release(number);
        }
    }
}

#[cfg(all(feature = "wdm", not(any(loom, shuttle, target_arch = "bpf"))))]
impl<D: super::wdm::Driver> Repeats<super::wdm::Timer<D>> {
    /// Places that no file has claimed. Made at compile time: what a driver keeps is a part of its image.
    #[expect(
        clippy::declare_interior_mutable_const,
        reason = "it initialises the driver's one static"
    )]
    pub(super) const NEW: Self = {
        use super::wdm::{SpinLock, Timer};
        Self {
            claims: Claims::behind(SpinLock::guard([None; SLOTS])),
            places: [const {
                RepeatPlace {
                    kernel: Timer::NEW,
                    running: SpinLock::guard(None),
                }
            }; SLOTS],
        }
    };
}
