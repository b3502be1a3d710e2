//! A request that takes time: a thread works on it, while who asked may cancel it, or die, and the driver be stopped.
//!
//! What can go wrong between these is decided here, once, for the WDM driver and for the model of a kernel that loom explores: who
//! completes the request, that nobody uses it afterwards, and that nothing of a place is used once the driver was told that it is left.

use super::table::Lock;
use crate::orderings;
use crate::sync::atomic::{AtomicU8, Ordering};
use core::fmt;

/// What a kernel gives to a driver for such requests.
pub trait WorkKernel: Sized + 'static {
    /// A request, owned until it is completed.
    type Request: PendingRequest<Self::Event>;
    /// An event inside the driver, at a fixed place.
    type Event: InnerEvent;
    /// As for the table.
    type Lock<T: Send>: Lock<T>;
    /// A reference on a thread that runs, or has ended.
    type Thread: Send;
    /// What the thread needs to know.
    type Job: Send;

    /// Starts a thread that calls [`WorkPlace::run`], once. The kernel keeps the driver's code until it has ended.
    fn start(place: &'static WorkPlace<Self>) -> Option<Self::Thread>;
    /// Waits until it has ended.
    fn join(thread: Self::Thread);
    /// Lets others run for a moment.
    fn pause();
}

/// A request as a driver and who may cancel it share it.
pub trait PendingRequest<E: InnerEvent>: Sized + Send {
    /// Says that it will be completed later, and what a cancellation rings; from here on it may. The exchange is a full barrier.
    fn let_cancel(&self, rings: &'static Cancellation<E>);
    /// No cancellation from here on; false: one has begun. The exchange is a full barrier.
    fn forbid_cancel(&self) -> bool;
    /// Whether somebody wants it cancelled.
    fn is_cancelled(&self) -> bool;
    /// Completes it. Nothing of it is touched after.
    fn complete(self, end: WorkEnd);
}

/// An event inside the driver: set until it is armed again.
pub trait InnerEvent {
    /// Sets it.
    fn set(&self);
    /// Takes that back.
    fn rearm(&self);
    /// Waits until it is set.
    fn wait(&self);
}

/// How work on a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkEnd {
    /// As the driver says: a status, and bytes of output.
    Done(i32, usize),
    /// It was cancelled before it was done.
    Cancelled,
    /// There was no thread to work on it.
    NoThread,
}

/// What a cancelled request rings: first the work, to give up; last `done`, when the request is no longer used.
pub struct Cancellation<E> {
    pub(super) give_up: E,
    pub(super) done: E,
}

impl<E: InnerEvent> Cancellation<E> {
    /// By whoever took the right to cancel out of the request. It was used for the last time before.
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

/// Takes the request back from who may cancel it; true: somebody has. A cancellation that has begun is waited for: it still uses
/// the request.
fn take_back<K: WorkKernel>(request: &K::Request, cancellation: &Cancellation<K::Event>) -> bool {
    let begun = !request.forbid_cancel();
    if begun {
        cancellation.done.wait();
    }
    begun
}

/// A request, and what the thread that works on it needs to know.
type Task<K> = (<K as WorkKernel>::Request, <K as WorkKernel>::Job);

/// A place for one such request, and the thread that works on it. Whoever starts one has claimed it; it is released by `release`, which
/// each call is given, and which is called once.
pub struct WorkPlace<K: WorkKernel> {
    pub(super) kernel: K,
    pub(super) cancellation: Cancellation<K::Event>,
    pub(super) task: K::Lock<Option<Task<K>>>,
    /// The thread that runs here, or ran here last.
    pub(super) thread: K::Lock<Option<K::Thread>>,
    /// Of both that work here, the thread and the request's routine until it has stored the thread above, those that have not come to
    /// their end. Who comes last gives the place back, and somebody else may have it at once.
    pub(super) both: AtomicU8,
    /// Who is in the driver's code because of this place.
    pub(super) inside: AtomicU8,
}

impl<K: WorkKernel> WorkPlace<K> {
    /// Not used yet.
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

    /// The kernel that it was made for.
    pub const fn kernel(&self) -> &K {
        &self.kernel
    }

    /// Starts a thread on the request.
    pub fn start(&'static self, request: K::Request, job: K::Job, release: impl FnOnce()) {
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

    /// The thread's: works on the request, and completes it. `work` says its status, and bytes of output.
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

    /// The last of both gives the place back. That is code of the driver's too: only behind it is one of them outside.
    fn leave(&self, release: impl FnOnce()) {
        // Needs no ordering of its own: what both have written stands behind locks.
        if self.both.fetch_sub(1, Ordering::Relaxed) == 1 {
            release();
        }
        self.inside.fetch_sub(1, orderings::work_is_left());
    }

    /// Before the driver is unloaded: its thread is not left, and nobody uses the place.
    pub fn join(&self) {
        // A request's routine may be just about to store the thread, whose work is long done, or to give the place back.
        while self.inside.load(orderings::work_is_seen_left()) != 0 {
            K::pause();
        }
        if let Some(thread) = self.thread.with(Option::take) {
            K::join(thread);
        }
    }
}
