//! Requests that take time: a thread works on one, while its app may cancel it, or die, and the driver be stopped.
//!
//! What can go wrong between these is decided here, once, for the WDM driver and for the model of a kernel that loom
//! explores: who completes the request, that nobody uses it afterwards, and that nothing of a place is used once the
//! driver was told that it is left.

use super::claims::Claims;
use super::table::Lock;
use crate::orderings;
use crate::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use channel_abi::{Refusal, SLOTS};
use core::fmt;

/// A kernel's half of requests that take time: threads, events and locks.
pub trait WorkKernel: Sized + 'static {
    /// A request, owned until it is completed.
    type Request: PendingRequest<Self::Event>;
    /// An event inside the driver, at a fixed place.
    type Event: InnerEvent;
    /// A lock of the kernel's, as in [`Platform::Lock`](super::table::Platform::Lock).
    type Lock<T: Send>: Lock<T>;
    /// Identity of an open file, by which one is told from another.
    type File: Copy + PartialEq + Send;
    /// A reference on a thread that runs, or has ended.
    type Thread: Send;
    /// Data that the thread needs to work on the request.
    type Job: Send;

    /// Starts a thread that calls [`WorkPlace::run`] or [`Works::run`], once. The kernel keeps the driver's code until
    /// the thread has ended.
    fn start(place: &'static WorkPlace<Self>) -> Option<Self::Thread>;
    /// Waits until the thread has ended.
    fn join(thread: Self::Thread);
    /// Lets other threads run for a moment.
    fn pause();
}

/// A pending request, shared by the driver and by whoever may cancel it.
pub trait PendingRequest<E: InnerEvent>: Sized + Send {
    /// Marks the request as pending, and sets what a cancellation rings; from here on it may be cancelled. The exchange
    /// is a full barrier.
    fn let_cancel(&self, rings: &'static Cancellation<E>);
    /// Forbids cancellation from here on; returns `false` if one has begun. The exchange is a full barrier.
    fn forbid_cancel(&self) -> bool;
    /// Returns whether somebody wants the request cancelled.
    fn is_cancelled(&self) -> bool;
    /// Completes the request. Nothing of it is touched after.
    fn complete(self, end: WorkEnd);
}

/// An event inside the driver: set until it is armed again.
pub trait InnerEvent {
    /// Sets the event.
    fn set(&self);
    /// Resets the event, so that it can be set again.
    fn rearm(&self);
    /// Waits until the event is set.
    fn wait(&self);
}

/// End of work on a request, by which it is completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkEnd {
    /// The work is done: with a status, and a number of bytes of output.
    Done(i32, usize),
    /// The request was cancelled before the work was done.
    Cancelled,
    /// No thread could be started to work on the request.
    NoThread,
}

/// Events that a cancellation sets: first `give_up`, for the work; last `done`, when the request is no longer used.
pub struct Cancellation<E> {
    pub(super) give_up: E,
    pub(super) done: E,
}

impl<E: InnerEvent> Cancellation<E> {
    /// Sets both events. Called by whoever took the right to cancel out of the request; it was used for the last time
    /// before.
    pub fn cancel(&self) {
        self.give_up.set();
        self.done.set();
    }
}

impl<E> fmt::Debug for Cancellation<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cancellation").finish_non_exhaustive()
    }
}

impl<K: WorkKernel> fmt::Debug for WorkPlace<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkPlace").finish_non_exhaustive()
    }
}

/// Takes the request back from who may cancel it; returns `true` if somebody has. A cancellation that has begun is
/// waited for: it still uses the request.
fn take_back<K: WorkKernel>(request: &K::Request, cancellation: &Cancellation<K::Event>) -> bool {
    let begun = !request.forbid_cancel();
    if begun {
        cancellation.done.wait();
    }
    begun
}

/// A request, and the data that the thread needs to work on it.
type Task<K> = (<K as WorkKernel>::Request, <K as WorkKernel>::Job);

/// A place for one such request, and the thread that works on it. Whoever starts one has claimed it; it is released by
/// `release`, which each call is given, and which is called once.
pub struct WorkPlace<K: WorkKernel> {
    pub(super) kernel: K,
    pub(super) cancellation: Cancellation<K::Event>,
    pub(super) task: K::Lock<Option<Task<K>>>,
    /// Thread that runs in this place, or ran here last.
    pub(super) thread: K::Lock<Option<K::Thread>>,
    /// Number of parties that still use the place: the thread, and the request's routine until it has stored the thread
    /// above. Who comes last gives the place back, and somebody else may have it at once.
    pub(super) both: AtomicU8,
    /// Number of parties that are in the driver's code because of this place.
    pub(super) inside: AtomicU8,
}

impl<K: WorkKernel> WorkPlace<K> {
    /// Makes a place that was not used yet.
    pub fn new(kernel: K, give_up: K::Event, done: K::Event) -> Self {
        Self {
            kernel,
            cancellation: Cancellation { give_up, done },
            task: Lock::new(None),
            thread: Lock::new(None),
            both: AtomicU8::new(0),
            inside: AtomicU8::new(0),
        }
    }

    /// Returns the kernel's half of the place.
    pub const fn kernel(&self) -> &K {
        &self.kernel
    }

    /// Starts a thread on the request. `is_given_up` returns whether the work was told to give up before there was
    /// anything to tell.
    pub fn start(
        &'static self,
        request: K::Request,
        job: K::Job,
        is_given_up: impl FnOnce() -> bool,
        release: impl FnOnce(),
    ) {
        // The one before has completed its request and is about to end.
        if let Some(last) = self.thread.with(Option::take) {
            K::join(last);
        }
        self.cancellation.give_up.rearm();
        self.cancellation.done.rearm();
        request.let_cancel(&self.cancellation);
        // Who cancelled before that found nothing to ring.
        if request.is_cancelled() && request.forbid_cancel() {
            release();
            request.complete(WorkEnd::Cancelled);
            return;
        }
        // Nor did who told it to give up: what was set before is armed again.
        if is_given_up() {
            self.cancellation.give_up.set();
        }
        // The place is nobody else's, and the request keeps the driver from being unloaded until it is completed.
        self.both.store(2, Ordering::Relaxed);
        self.inside.fetch_add(2, Ordering::Relaxed);
        self.task.with(|task| *task = Some((request, job)));
        match K::start(self) {
            Some(thread) => {
                self.thread.with(|held| *held = Some(thread));
                self.leave(release);
            }
            None => self.finish_unstarted(release),
        }
    }

    fn finish_unstarted(&self, release: impl FnOnce()) {
        if let Some((request, _)) = self.task.with(Option::take) {
            let end = if take_back::<K>(&request, &self.cancellation) {
                WorkEnd::Cancelled
            } else {
                WorkEnd::NoThread
            };
            release();
            // The request is still to be completed: nobody waits for this yet.
            self.inside.fetch_sub(2, Ordering::Relaxed);
            request.complete(end);
        }
    }

    /// Works on the request, and completes it; called by the place's thread. `work` returns its status, and bytes of
    /// output.
    pub fn run(
        &self,
        work: impl FnOnce(&mut K::Request, K::Job, &K::Event) -> (i32, usize),
        release: impl FnOnce(),
    ) {
        let Some((mut request, job)) = self.task.with(Option::take) else {
            return;
        };
        let (status, bytes) = work(&mut request, job, &self.cancellation.give_up);
        let cancelled = take_back::<K>(&request, &self.cancellation);
        // Who cancels waits for this very end, but for work that was done before.
        let end = if cancelled && status < 0 {
            WorkEnd::Cancelled
        } else {
            WorkEnd::Done(status, bytes)
        };
        self.leave(release);
        request.complete(end);
    }

    /// Leaves the place: the last of the two parties gives it back. That is code of the driver's too: only behind it is
    /// one of them outside.
    fn leave(&self, release: impl FnOnce()) {
        // Needs no ordering of its own: what both have written stands behind locks.
        if self.both.fetch_sub(1, Ordering::Relaxed) == 1 {
            release();
        }
        self.inside.fetch_sub(1, orderings::work_is_left());
    }

    /// Waits until the place's thread has ended and nobody uses the place, before the driver is unloaded.
    pub fn join(&self) {
        // A request's routine may be just about to store the thread,
        // whose work is long done, or to give the place back.
        while self.inside.load(orderings::work_is_seen_left()) != 0 {
            K::pause();
        }
        if let Some(thread) = self.thread.with(Option::take) {
            K::join(thread);
        }
    }
}

/// Number of times that the work of a file was told to give up: a part of the file.
#[derive(Debug, Default)]
pub struct GiveUps(pub(super) AtomicU32);

/// Flag of a closed file, whose work gives up for good.
const CLOSED: u32 = 1 << 31;

/// Number of times that a file's work, and everybody's, had been told to give up when a request was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    file: u32,
    all: u32,
}

impl GiveUps {
    // Needs no ordering of its own: either who starts work has the claims' lock after who tells it to give up, and sees
    // this; or it is found there, and rung. What is rung before the place's event is armed again was told before that.
    fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn close(&self) {
        self.0.fetch_or(CLOSED, Ordering::Relaxed);
    }

    fn now(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The files that have claimed the places, by the place's number.
type Claimed<K> = [Option<<K as WorkKernel>::File>; SLOTS];

/// A driver's places for requests that take time, one per file at most.
pub struct Works<K: WorkKernel> {
    pub(super) claims: Claims<K::Lock<Claimed<K>>>,
    pub(super) places: [WorkPlace<K>; SLOTS],
    pub(super) all: GiveUps,
}

impl<K: WorkKernel> fmt::Debug for Works<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Works").finish_non_exhaustive()
    }
}

impl<K: WorkKernel> Works<K> {
    /// Makes places that no file has claimed; `kernel` gives each its threads, `event` its two events.
    pub fn new(mut kernel: impl FnMut(usize) -> K, event: impl Fn() -> K::Event) -> Self {
        Self {
            claims: Claims::behind(Lock::new([None; SLOTS])),
            places: core::array::from_fn(|number| WorkPlace::new(kernel(number), event(), event())),
            all: GiveUps::default(),
        }
    }

    /// Returns the moment before a request of a file is looked at: what is told to give up after it is meant for its
    /// work too.
    pub fn moment(&self, file: &GiveUps) -> Moment {
        Moment {
            file: file.now(),
            all: self.all.now(),
        }
    }

    /// Starts a thread on a request of the file, which was looked at after the given moment.
    ///
    /// # Errors
    /// The request, and [`Refusal::Busy`] if the file has work already, or there is no place.
    pub fn start(
        &'static self,
        (file, give_ups, since): (K::File, &GiveUps, Moment),
        request: K::Request,
        job: K::Job,
    ) -> Result<(), (K::Request, Refusal)> {
        let number = match self.claims.claim(file) {
            Ok(number) => number,
            Err(refusal) => return Err((request, refusal)),
        };
        let Some(place) = self.places.get(number) else {
            return Err((request, Refusal::Busy));
        };
        let is_given_up = || {
            let now = self.moment(give_ups);
            now != since || now.file & CLOSED != 0
        };
        place.start(request, job, is_given_up, || self.claims.release(number));
        Ok(())
    }

    /// Works on the request of a place, by the place's thread: see [`WorkPlace::run`].
    pub fn run(
        &self,
        number: usize,
        work: impl FnOnce(&mut K::Request, K::Job, &K::Event) -> (i32, usize),
    ) {
        if let Some(place) = self.places.get(number) {
            place.run(work, || self.claims.release(number));
        }
    }

    /// Tells the file's work to give up, if there is any or is just about to be.
    pub fn give_up(&self, file: K::File, give_ups: &GiveUps) {
        // First: who starts some beside this sees it, or is found below.
        give_ups.add();
        self.ring(file);
    }

    /// Tells the file's work to give up for good: the file is closed.
    pub fn close(&self, file: K::File, give_ups: &GiveUps) {
        give_ups.close();
        self.ring(file);
    }

    fn ring(&self, file: K::File) {
        self.claims.with_place_of(file, |number| {
            if let Some(place) = self.places.get(number) {
                place.cancellation.give_up.set();
            }
        });
    }

    /// Tells the work of all files to give up.
    pub fn give_up_all(&self) {
        self.all.add();
        self.places
            .iter()
            .for_each(|place| place.cancellation.give_up.set());
    }

    /// Waits until none of the driver's threads is left, before it is unloaded.
    pub fn join_all(&self) {
        self.places.iter().for_each(WorkPlace::join);
    }
}
