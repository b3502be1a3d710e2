//! State of a thread beside the window: shared with the window, which never waits for the thread.

use std::ops::{Deref, DerefMut};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// State that a thread follows, and the call by which the thread hears that more is wanted.
#[derive(Debug, Default)]
pub struct Followed<S> {
    state: Mutex<Known<S>>,
    call: Condvar,
}

/// State that is known now.
#[derive(Debug, Default)]
pub struct Known<S> {
    of: S,
    followed: bool,
    ended: bool,
}

impl<S> Known<S> {
    /// Returns whether a thread follows the state, which asks a service.
    pub fn is_followed(&self) -> bool {
        self.followed
    }
}

impl<S> Deref for Known<S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.of
    }
}

impl<S> DerefMut for Known<S> {
    fn deref_mut(&mut self) -> &mut S {
        &mut self.of
    }
}

impl<S> Followed<S> {
    /// Locks the state for a look at it.
    pub fn look(&self) -> MutexGuard<'_, Known<S>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is known or wanted. `change` returns `true` if the thread has something to do.
    pub fn change(&self, change: impl FnOnce(&mut S) -> bool) {
        if change(&mut self.look()) {
            self.call.notify_one();
        }
    }

    /// Ends the thread that follows.
    pub fn end(&self) {
        self.look().ended = true;
        self.call.notify_one();
    }

    /// Notes that a thread follows.
    pub fn be_followed(&self) {
        self.look().followed = true;
    }

    /// Waits for as long as there is nothing to do. Returns `false` if the thread is to end.
    pub fn wait_while(&self, mut idle: impl FnMut(&S) -> bool) -> bool {
        let idle = |state: &mut Known<S>| !state.ended && idle(state);
        let woken = self.call.wait_while(self.look(), idle);
        !woken.unwrap_or_else(PoisonError::into_inner).ended
    }

    /// Waits for as long as there is nothing to do, but no longer than this.
    pub fn rest_while(&self, rest: Duration, mut idle: impl FnMut(&S) -> bool) {
        let idle = |state: &mut Known<S>| !state.ended && idle(state);
        drop(self.call.wait_timeout_while(self.look(), rest, idle));
    }
}
