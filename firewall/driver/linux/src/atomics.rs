//! Atomic operations for programs that change one word of a map on several processors at the same time.

use core::intrinsics::{AtomicOrdering, atomic_cxchg, atomic_xadd, atomic_xchg};

/// Adds to what programs count together.
#[inline(always)]
pub fn add(counter: &u64, more: u64) {
    let counter = core::ptr::from_ref(counter).cast_mut();
    // SAFETY: a map's value, aligned; programs change it by atomic additions alone.
    unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(counter, more) };
}

/// Adds to a word and returns its value before. Not relaxed, though nothing is ordered by it: of a relaxed addition of
/// 32 bits LLVM makes one that says nothing, and takes what was added for what was there.
#[inline(always)]
pub fn add_word(counter: &u32, more: u32) -> u32 {
    let counter = core::ptr::from_ref(counter).cast_mut();
    // SAFETY: a map's value, aligned; programs change it by atomic additions alone.
    unsafe { atomic_xadd::<u32, u32, { AtomicOrdering::AcqRel }>(counter, more) }
}

/// Writes into a word that is 0. False: it is not.
#[inline(always)]
pub fn take(word: &u32, value: u32) -> bool {
    let word = core::ptr::from_ref(word).cast_mut();
    // SAFETY: a map's value, aligned; programs change it like this alone.
    let (_, taken) = unsafe {
        atomic_cxchg::<u32, { AtomicOrdering::SeqCst }, { AtomicOrdering::SeqCst }>(word, 0, value)
    };
    taken
}

/// Takes what was counted.
#[inline(always)]
pub fn swap(counter: &u64) -> u64 {
    let counter = core::ptr::from_ref(counter).cast_mut();
    // SAFETY: a map's value, aligned; programs change it by atomic operations alone.
    unsafe { atomic_xchg::<u64, { AtomicOrdering::SeqCst }>(counter, 0) }
}
