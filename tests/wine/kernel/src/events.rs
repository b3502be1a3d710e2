//! Events of a driver's own, which it may use whatever their security descriptor says.
//!
//! On Windows a pointer that a driver referenced is past all checks. Wine's kernel opens a handle on the object for
//! each use, and the descriptor's list is held against that too: a driver could not set an event that only it may set.

use crate::wine;
use channel::driver::wdm::nt::{self, HANDLE, KEVENT, NTSTATUS, OBJECT_ATTRIBUTES};
use core::ffi::c_void;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, Ordering};

/// Handle of the driver's one own event, with every right; the next static is its object.
static HANDLE_OF: AtomicPtr<c_void> = AtomicPtr::new(null_mut());
static OBJECT: AtomicPtr<c_void> = AtomicPtr::new(null_mut());

pub unsafe extern "system" fn create(
    handle: *mut HANDLE,
    access: u32,
    attributes: *const OBJECT_ATTRIBUTES,
    kind: i32,
    initial: u8,
) -> NTSTATUS {
    // SAFETY: passed on as it came.
    let status = unsafe { wine::NtCreateEvent(handle, access, attributes, kind, initial) };
    if status >= 0 {
        // SAFETY: written by the call.
        HANDLE_OF.store(unsafe { *handle }, Ordering::SeqCst);
        OBJECT.store(null_mut(), Ordering::SeqCst);
    }
    status
}

/// Notes the driver's own event, after the driver has referenced an object by a handle of its own.
pub fn referenced(handle: HANDLE, object: *mut c_void) {
    if handle == HANDLE_OF.load(Ordering::SeqCst) {
        OBJECT.store(object, Ordering::SeqCst);
    }
}

/// Returns the driver's handle on its own event, or `None` if the event is another one.
fn own(event: *mut KEVENT) -> Option<HANDLE> {
    let own = !event.is_null() && event.cast() == OBJECT.load(Ordering::SeqCst);
    own.then(|| HANDLE_OF.load(Ordering::SeqCst))
}

pub unsafe extern "system" fn set(event: *mut KEVENT, increment: i32, wait: u8) -> i32 {
    match own(event) {
        // SAFETY: open until the driver is unloaded.
        Some(handle) => unsafe { wine::NtSetEvent(handle, null_mut()) },
        // SAFETY: passed on as it came.
        None => unsafe { nt::KeSetEvent(event, increment, wait) },
    }
}

pub unsafe extern "system" fn clear(event: *mut KEVENT) {
    match own(event) {
        Some(handle) => {
            // SAFETY: open until the driver is unloaded.
            unsafe { wine::NtResetEvent(handle, null_mut()) };
        }
        // SAFETY: passed on as it came.
        None => unsafe { nt::KeClearEvent(event) },
    }
}
