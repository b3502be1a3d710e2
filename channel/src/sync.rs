//! The primitives that loom replaces, so that it explores the very code that ships.

#[cfg(loom)]
pub use loom::sync::atomic;

#[cfg(not(loom))]
pub use core::sync::atomic;

#[cfg(all(loom, feature = "app"))]
pub use loom::sync::{Arc, Condvar, Mutex, MutexGuard};

#[cfg(all(not(loom), feature = "app"))]
pub use std::sync::{Arc, Condvar, Mutex, MutexGuard};
