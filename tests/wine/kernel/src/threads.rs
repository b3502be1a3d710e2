//! System threads that keep their driver's device, and regions in which a thread is not suspended.
//!
//! Strict: what a request's thread does that another thread goes on with, or that ends the request, is done in a
//! critical region. Outside of one, whoever may suspend the app's thread keeps the driver's code from ever being left.

use crate::{verify, wine};
use channel::driver::wdm::nt::{self, HANDLE, NTSTATUS, OBJECT_ATTRIBUTES, ThreadStart};
use core::ffi::c_void;
use core::sync::atomic::{AtomicU32, Ordering};

/// Number of threads that have not ended.
static RUNNING: AtomicU32 = AtomicU32::new(0);

pub unsafe extern "system" fn create(
    object: *mut c_void,
    handle: *mut HANDLE,
    access: u32,
    attributes: *const OBJECT_ATTRIBUTES,
    process: HANDLE,
    client: *mut c_void,
    start: ThreadStart,
    context: *mut c_void,
) -> NTSTATUS {
    if object.is_null() {
        return verify::broken("IoCreateSystemThread without an object to keep");
    }
    verify::passive("IoCreateSystemThread");
    verify::not_suspended("IoCreateSystemThread");
    RUNNING.fetch_add(1, Ordering::SeqCst);
    // SAFETY: passed on as it came.
    let status = unsafe {
        wine::PsCreateSystemThread(handle, access, attributes, process, client, start, context)
    };
    if status < 0 {
        RUNNING.fetch_sub(1, Ordering::SeqCst);
    }
    status
}

pub unsafe extern "system" fn terminate(status: NTSTATUS) -> NTSTATUS {
    RUNNING.fetch_sub(1, Ordering::SeqCst);
    // SAFETY: passed on as it came.
    unsafe { nt::PsTerminateSystemThread(status) }
}

/// Waits for all threads, after an unload routine: the kernel keeps the image until the driver's devices are gone,
/// which each thread keeps.
pub fn wait_for_all() {
    while RUNNING.load(Ordering::SeqCst) != 0 {
        // SAFETY: plain number.
        unsafe { wine::Sleep(1) };
    }
}

pub unsafe extern "system" fn enter_region() {
    verify::region(1);
}

pub unsafe extern "system" fn leave_region() {
    verify::region(-1);
}
