//! Interrupt level of the current thread in the model: the number of spin locks that it holds.
#![cfg_attr(
    windows,
    allow(
        clippy::missing_const_for_thread_local,
        reason = "it is const; clippy misses that where the values of threads go by keys"
    )
)]

use std::cell::Cell;

#[cfg(loom)]
loom::thread_local! { static HELD: Cell<u32> = Cell::new(0); }
#[cfg(shuttle)]
shuttle::thread_local! { static HELD: Cell<u32> = Cell::new(0); }
#[cfg(not(any(loom, shuttle)))]
thread_local! { static HELD: Cell<u32> = const { Cell::new(0) }; }

pub struct Raised(());

impl Raised {
    pub fn new() -> Self {
        HELD.with(|held| held.set(held.get() + 1));
        Self(())
    }
}

impl Drop for Raised {
    fn drop(&mut self) {
        HELD.with(|held| held.set(held.get() - 1));
    }
}

/// Stops the "machine" as a real one would stop.
pub fn assert_passive(what: &str) {
    // A thread that is going away holds no lock any more.
    let held = std::thread::panicking() || HELD.with(|held| held.get() == 0);
    assert!(
        held,
        "IRQL_NOT_LESS_OR_EQUAL: tried to {what} with a spin lock held"
    );
}
