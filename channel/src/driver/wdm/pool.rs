//! Memory of the non-paged pool, whose allocation can fail.

use super::nt;
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;

/// Pool tag of the driver's memory: "Gate", as tools show it.
const TAG: u32 = u32::from_le_bytes(*b"Gate");
/// Flags of an allocation, without the one that raises an exception: a failure is a null.
const FLAGS: u64 = nt::POOL_FLAG_NON_PAGED | nt::POOL_FLAG_USE_QUOTA;

/// Zeroed 64-bit words in the non-paged pool.
pub struct Words {
    start: NonNull<u64>,
    count: usize,
}

// SAFETY: the memory is owned by this value alone, and non-paged pool is the same in every context.
unsafe impl Send for Words {}

impl Words {
    /// Allocates zeroed words, or returns `None` if the kernel has no memory.
    #[must_use]
    pub fn new(count: usize) -> Option<Self> {
        let start = allocate(count.checked_mul(8)?)?.cast();
        Some(Self { start, count })
    }
}

impl AsRef<[u64]> for Words {
    fn as_ref(&self) -> &[u64] {
        // SAFETY: `count` initialised words that this value owns.
        unsafe { core::slice::from_raw_parts(self.start.as_ptr(), self.count) }
    }
}

impl AsMut<[u64]> for Words {
    fn as_mut(&mut self) -> &mut [u64] {
        // SAFETY: as above, and borrowed mutably.
        unsafe { core::slice::from_raw_parts_mut(self.start.as_ptr(), self.count) }
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        free(self.start.cast());
    }
}

/// A value in the non-paged pool.
pub struct Pooled<T>(NonNull<T>);

impl<T> Pooled<T> {
    /// Moves a value into the pool, or returns `None` if the kernel has no memory.
    pub fn new(value: T) -> Option<Self> {
        const { assert!(align_of::<T>() <= 16, "what pool memory is aligned to") };
        let memory = allocate(size_of::<T>())?.cast::<T>();
        // SAFETY: large enough, aligned to 16, and nobody else's.
        unsafe { memory.write(value) };
        Some(Self(memory))
    }

    /// Gives the value away to someone who keeps only a pointer.
    #[must_use]
    pub fn into_raw(self) -> NonNull<T> {
        let memory = self.0;
        core::mem::forget(self);
        memory
    }

    /// Takes a value back that was given away.
    ///
    /// # Safety
    /// `memory` is from [`Self::into_raw`], and nobody uses it any more.
    #[must_use]
    pub unsafe fn from_raw(memory: NonNull<T>) -> Self {
        Self(memory)
    }
}

impl<T> Deref for Pooled<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: initialised in `new`, and owned.
        unsafe { self.0.as_ref() }
    }
}

impl<T> DerefMut for Pooled<T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: initialised in `new`, owned, and borrowed mutably.
        unsafe { self.0.as_mut() }
    }
}

impl<T> Drop for Pooled<T> {
    fn drop(&mut self) {
        // SAFETY: initialised in `new`, dropped once.
        unsafe { self.0.drop_in_place() };
        free(self.0.cast());
    }
}

/// Allocates zeroed memory: that is what ExAllocatePool2 gives. All that a driver allocates is for an app that asks for
/// it, in its context, and is charged to it.
fn allocate(bytes: usize) -> Option<NonNull<u8>> {
    // SAFETY: at most DISPATCH_LEVEL, as non-paged pool asks for; a failure is a null.
    NonNull::new(unsafe { nt::ExAllocatePool2(FLAGS, bytes, TAG) }.cast())
}

fn free(memory: NonNull<u8>) {
    // SAFETY: from `allocate`, with the same tag, freed once by the owner's drop.
    unsafe { nt::ExFreePoolWithTag(memory.as_ptr().cast(), TAG) };
}
