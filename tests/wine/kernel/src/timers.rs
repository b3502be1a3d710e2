//! Timers that can be set and cancelled from their own deferred routine.

use crate::verify;
use crate::wine::{self, PoolTimer};
use channel::driver::wdm::nt::{DeferredRoutine, KDPC, KTIMER};
use core::ffi::c_void;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

/// Words of a KTIMER that we use: those of its list entry and its deferred call on Windows too.
const POOL_TIMER: usize = 4;
const DEFERRED: usize = 6;

const MOST_TIMERS: usize = 256;

/// Pool timers made for the driver under test.
static MADE: [AtomicPtr<c_void>; MOST_TIMERS] = [const { AtomicPtr::new(null_mut()) }; MOST_TIMERS];
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// Words of a KDPC that its initialisation wrote: type and list, then routine and context.
const ROUTINE: usize = 3;
const CONTEXT: usize = 4;

pub unsafe extern "system" fn set(timer: *mut KTIMER, due: i64, deferred: *mut KDPC) -> u8 {
    // SAFETY: a prepared timer of the driver's, which sets it under a lock of its own.
    let words = unsafe { &mut (*timer).0 };
    if words[POOL_TIMER] == 0 {
        // SAFETY: the timer stays where it is until the driver is unloaded, which flushes first.
        let made = unsafe { wine::CreateThreadpoolTimer(fire, timer.cast(), null_mut()) };
        words[POOL_TIMER] = made.addr() as u64;
        MADE[COUNT.fetch_add(1, Ordering::SeqCst) % MOST_TIMERS].store(made, Ordering::SeqCst);
    }
    words[DEFERRED] = deferred.addr() as u64;
    // SAFETY: made above; a relative time, no period.
    unsafe { wine::SetThreadpoolTimer(words[POOL_TIMER] as PoolTimer, &raw const due, 0, 0) };
    0
}

pub unsafe extern "system" fn cancel(timer: *mut KTIMER) -> u8 {
    // SAFETY: a prepared timer of the driver's.
    let pool_timer = unsafe { (*timer).0[POOL_TIMER] } as PoolTimer;
    if !pool_timer.is_null() {
        // SAFETY: made by `set`. Does not wait for a routine under way.
        unsafe { wine::SetThreadpoolTimer(pool_timer, core::ptr::null(), 0, 0) };
    }
    0
}

/// Waits for every deferred routine under way; the driver calls it as it is unloaded.
pub unsafe extern "system" fn flush() {
    for made in MADE.iter().take(COUNT.swap(0, Ordering::SeqCst)) {
        let pool_timer = made.swap(null_mut(), Ordering::SeqCst);
        if !pool_timer.is_null() {
            // SAFETY: made by `set`.
            unsafe { wine::WaitForThreadpoolTimerCallbacks(pool_timer, 1) };
            // SAFETY: as above; nobody sets it any more.
            unsafe { wine::CloseThreadpoolTimer(pool_timer) };
        }
    }
}

unsafe extern "system" fn fire(_: *mut c_void, timer: *mut c_void, _: PoolTimer) {
    // SAFETY: the timer that `set` passed.
    let deferred = unsafe { (*timer.cast::<KTIMER>()).0[DEFERRED] } as *mut KDPC;
    // SAFETY: set with this deferred call, which was initialised.
    let words = unsafe { (*deferred).0 };
    // SAFETY: the routine that KeInitializeDpc was given.
    let routine = unsafe { core::mem::transmute::<u64, DeferredRoutine>(words[ROUTINE]) };
    let context = words[CONTEXT] as *mut c_void;
    // SAFETY: as it was initialised.
    verify::at_dispatch(|| unsafe { routine(deferred, context, null_mut(), null_mut()) });
}
