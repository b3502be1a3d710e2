//! Permission of somebody who is not root to change something: found out, while the request waits.

use super::failure::Failure;
use super::methods::RootCommand;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Change that takes root, or polkit's permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PermissionRequest {
    /// Command by which root does it.
    pub as_root: RootCommand,
    /// `true` if somebody may be asked for a password.
    pub interactive: bool,
}

/// Decision about the request in hand of somebody who is not root. The request is handled once to find out that it
/// takes permission, and once more when that is decided; in between there is no answer.
#[derive(Debug, Default)]
pub struct Permission(Mutex<Decision>);

#[derive(Debug, Default)]
enum Decision {
    #[default]
    Nothing,
    Wanted(PermissionRequest),
    Decided(Result<(), Failure>),
}

impl Permission {
    /// Returns the change that waits for a decision, if one does.
    pub fn wanted(&self) -> Option<PermissionRequest> {
        match *self.lock() {
            Decision::Wanted(change) => Some(change),
            _ => None,
        }
    }

    /// Sets the decision that the request finds when it is handled again.
    pub fn decide(&self, decision: Result<(), Failure>) {
        *self.lock() = Decision::Decided(decision);
    }

    /// Forgets the decision: it holds for one request.
    pub fn forget(&self) {
        *self.lock() = Decision::Nothing;
    }

    /// Returns the decision, once, or `None`; then the change waits for one from here on.
    pub fn take(&self, change: PermissionRequest) -> Option<Result<(), Failure>> {
        let mut state = self.lock();
        match std::mem::replace(&mut *state, Decision::Wanted(change)) {
            Decision::Decided(decision) => {
                *state = Decision::Nothing;
                Some(decision)
            }
            Decision::Nothing | Decision::Wanted(_) => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Decision> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
