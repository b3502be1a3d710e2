//! Rules for which Driver Verifier would stop a machine: interrupt levels, and what is left when a driver is gone.
//!
//! A rule that is broken is a line in [`LOG`], which the promises read at their end. The level is a thread's own count
//! of spin locks and deferred routines: Wine has none.

use crate::wine;
use channel::driver::wdm::nt::{self, IRP, KIRQL, NTSTATUS};
use core::ffi::c_void;
use core::sync::atomic::{AtomicI32, AtomicU32, Ordering};

/// Path of the file of broken rules: `C:\gatebell-broken-rules.txt`.
const LOG: &[u8] = b"C:\\gatebell-broken-rules.txt\0";

/// Slots of a thread's two counts: its level, and the critical regions that it is in.
static LEVEL: AtomicU32 = AtomicU32::new(0);
static REGIONS: AtomicU32 = AtomicU32::new(0);

/// Number of blocks of pool that a driver has; the next static counts its references and handles.
pub static POOL: AtomicI32 = AtomicI32::new(0);
pub static REFERENCES: AtomicI32 = AtomicI32::new(0);

/// Allocates the slots, once, when the stand-in is loaded.
pub fn prepare() {
    // SAFETY: no arguments.
    LEVEL.store(unsafe { wine::TlsAlloc() }, Ordering::SeqCst);
    // SAFETY: no arguments.
    REGIONS.store(unsafe { wine::TlsAlloc() }, Ordering::SeqCst);
}

fn count(of: &AtomicU32) -> isize {
    // SAFETY: allocated by `prepare`; a thread's first look finds zero.
    unsafe { wine::TlsGetValue(of.load(Ordering::SeqCst)) }
        .addr()
        .cast_signed()
}

fn change(of: &AtomicU32, by: isize) -> isize {
    let now = count(of) + by;
    // SAFETY: allocated by `prepare`.
    unsafe { wine::TlsSetValue(of.load(Ordering::SeqCst), now as *mut c_void) };
    now
}

/// Notes a broken rule, and returns the status of a request that can't be.
pub fn broken(rule: &str) -> NTSTATUS {
    // SAFETY: a terminated name; FILE_APPEND_DATA, shared with readers and writers, OPEN_ALWAYS.
    let file = unsafe {
        wine::CreateFileA(
            LOG.as_ptr(),
            4,
            3,
            core::ptr::null(),
            4,
            0,
            core::ptr::null_mut(),
        )
    };
    let mut used = 0;
    for text in [rule, "\n"] {
        let bytes = text.len() as u32;
        // SAFETY: as many bytes as are said; a file that could not be opened is an error.
        unsafe {
            wine::WriteFile(
                file,
                text.as_ptr().cast(),
                bytes,
                &raw mut used,
                core::ptr::null_mut(),
            )
        };
    }
    // SAFETY: opened above.
    unsafe { wine::NtClose(file) };
    nt::STATUS_INVALID_DEVICE_REQUEST
}

/// Checks the level of a function that is one of PASSIVE_LEVEL alone.
pub fn passive(function: &str) {
    if count(&LEVEL) != 0 {
        broken(function);
        broken("    (above PASSIVE_LEVEL)");
    }
}

/// Checks that an app's thread, which calls the function in the driver, is in a critical region.
pub fn not_suspended(function: &str) {
    if count(&REGIONS) == 0 {
        broken(function);
        broken("    (by a thread that can be suspended)");
    }
}

/// Counts one region more or less.
pub fn region(by: isize) {
    if change(&REGIONS, by) < 0 {
        broken("KeLeaveCriticalRegion without KeEnterCriticalRegion");
    }
}

/// Runs what the kernel calls at DISPATCH_LEVEL.
pub fn at_dispatch<R>(run: impl FnOnce() -> R) -> R {
    change(&LEVEL, 1);
    let result = run();
    change(&LEVEL, -1);
    result
}

/// Checks after a dispatch routine that the thread is as it was.
pub fn left() {
    if count(&LEVEL) != 0 || count(&REGIONS) != 0 {
        broken("a dispatch routine left its thread at a raised level, or in a critical region");
    }
}

/// Checks after an unload routine that nothing of the driver's is left.
pub fn unloaded() {
    if POOL.swap(0, Ordering::SeqCst) != 0 {
        broken("a driver was unloaded that had not freed all its pool");
    }
    if REFERENCES.swap(0, Ordering::SeqCst) != 0 {
        broken("a driver was unloaded that had not let go of every object and handle");
    }
}

pub unsafe extern "system" fn acquire(lock: *mut usize) -> KIRQL {
    // SAFETY: passed on as it came.
    let level = unsafe { nt::KeAcquireSpinLockRaiseToDpc(lock) };
    change(&LEVEL, 1);
    level
}

pub unsafe extern "system" fn release(lock: *mut usize, level: KIRQL) {
    if change(&LEVEL, -1) < 0 {
        broken("KeReleaseSpinLock of a lock that this thread has not");
    }
    // SAFETY: passed on as it came.
    unsafe { nt::KeReleaseSpinLock(lock, level) };
}

/// Completes a request, and checks that its cancel routine is gone, and that no lock is held.
pub unsafe extern "system" fn complete(irp: *mut IRP, boost: i8) {
    passive("IofCompleteRequest");
    // SAFETY: a live request of the driver's.
    let routine = unsafe { &(*irp).CancelRoutine };
    if !routine.load(Ordering::SeqCst).is_null() {
        broken("IofCompleteRequest of a request that still has a cancel routine");
    }
    // SAFETY: passed on as it came.
    unsafe { nt::IofCompleteRequest(irp, boost) };
}

pub unsafe extern "system" fn wait_one(
    object: *mut c_void,
    reason: i32,
    mode: i8,
    alertable: u8,
    timeout: *const i64,
) -> NTSTATUS {
    passive("KeWaitForSingleObject");
    // SAFETY: passed on as it came.
    unsafe { nt::KeWaitForSingleObject(object, reason, mode, alertable, timeout) }
}

pub unsafe extern "system" fn add_reference(object: *mut c_void) -> isize {
    REFERENCES.fetch_add(1, Ordering::SeqCst);
    // SAFETY: passed on as it came.
    unsafe { nt::ObfReferenceObject(object) }
}

pub unsafe extern "system" fn dereference(object: *mut c_void) -> isize {
    REFERENCES.fetch_sub(1, Ordering::SeqCst);
    // SAFETY: passed on as it came.
    unsafe { nt::ObfDereferenceObject(object) }
}

pub unsafe extern "system" fn free(memory: *mut c_void, tag: u32) {
    POOL.fetch_sub(1, Ordering::SeqCst);
    // SAFETY: passed on as it came.
    unsafe { nt::ExFreePoolWithTag(memory, tag) };
}
