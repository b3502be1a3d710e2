//! A spin lock that owns what it guards.

use super::nt;
use crate::driver::table::Lock;
use core::cell::UnsafeCell;

/// A `KSPIN_LOCK` around a value. Taken at up to DISPATCH_LEVEL; what runs under it touches non-paged memory only.
pub struct SpinLock<T> {
    lock: UnsafeCell<usize>,
    value: UnsafeCell<T>,
}

// SAFETY: the value is only reached through `with`, by one processor at a time.
unsafe impl<T: Send> Sync for SpinLock<T> {}

impl<T> SpinLock<T> {
    /// Guards a value; at compile time, for what a driver keeps in its image.
    #[must_use]
    pub const fn guard(value: T) -> Self {
        // KeInitializeSpinLock writes a zero, and is a macro in the kernel's headers.
        Self {
            lock: UnsafeCell::new(0),
            value: UnsafeCell::new(value),
        }
    }
}

impl<T> Lock<T> for SpinLock<T> {
    fn new(value: T) -> Self {
        Self::guard(value)
    }

    fn with<R>(&self, run: impl FnOnce(&mut T) -> R) -> R {
        // SAFETY: the lock is a zero-initialised KSPIN_LOCK that lives as long as `self`.
        let irql = unsafe { nt::KeAcquireSpinLockRaiseToDpc(self.lock.get()) };
        // SAFETY: the lock is held, so nobody else has a reference to the value. `run` cannot keep it, and cannot
        // unwind: drivers abort on panic.
        let result = run(unsafe { &mut *self.value.get() });
        // SAFETY: taken above by this very processor, with this IRQL.
        unsafe { nt::KeReleaseSpinLock(self.lock.get(), irql) };
        result
    }
}
