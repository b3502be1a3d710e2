//! Synchronisation primitives that loom and shuttle replace, so that they explore the very code that ships.

#[cfg(loom)]
pub use loom::sync::atomic;

#[cfg(shuttle)]
pub use shuttle::sync::atomic;

#[cfg(not(any(loom, shuttle)))]
pub use core::sync::atomic;

#[cfg(all(loom, feature = "app"))]
pub use loom::sync::{Arc, Condvar, Mutex, MutexGuard};

#[cfg(all(shuttle, feature = "app"))]
pub use shuttle::sync::{Arc, Condvar, Mutex, MutexGuard};

#[cfg(all(not(any(loom, shuttle)), feature = "app"))]
pub use std::sync::{Arc, Condvar, Mutex, MutexGuard};
