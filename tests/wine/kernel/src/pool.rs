//! Stand-in for `ExAllocatePool2`.

use crate::{verify, wine};
use channel::driver::wdm::nt::{POOL_FLAG_NON_PAGED, POOL_FLAG_USE_QUOTA};
use core::ffi::c_void;
use core::ptr::null_mut;
use core::sync::atomic::Ordering;

/// Allocates zeroed memory. Returns null for no bytes, and for anything but non-paged pool that is charged to the app
/// that asks, as our drivers want it.
pub unsafe extern "system" fn allocate(flags: u64, bytes: usize, tag: u32) -> *mut c_void {
    if bytes == 0 || flags != POOL_FLAG_NON_PAGED | POOL_FLAG_USE_QUOTA {
        return null_mut();
    }
    // SAFETY: 0 is the non-paged pool.
    let memory = unsafe { wine::ExAllocatePoolWithTag(0, bytes, tag) };
    verify::passive("ExAllocatePool2");
    if !memory.is_null() {
        verify::POOL.fetch_add(1, Ordering::SeqCst);
        // SAFETY: just allocated, that long.
        unsafe { memory.cast::<u8>().write_bytes(0, bytes) };
    }
    memory
}
