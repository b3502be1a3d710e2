//! `ExAllocatePool2`.

use crate::wine;
use channel::driver::wdm::nt::POOL_FLAG_NON_PAGED;
use core::ffi::c_void;
use core::ptr::null_mut;

/// Zeroed memory. Nothing for no bytes, and nothing but non-paged pool, as our drivers want it.
pub unsafe extern "system" fn allocate(flags: u64, bytes: usize, tag: u32) -> *mut c_void {
    if bytes == 0 || flags != POOL_FLAG_NON_PAGED {
        return null_mut();
    }
    // SAFETY: 0 is the non-paged pool.
    let memory = unsafe { wine::ExAllocatePoolWithTag(0, bytes, tag) };
    if !memory.is_null() {
        // SAFETY: just allocated, that long.
        unsafe { memory.cast::<u8>().write_bytes(0, bytes) };
    }
    memory
}
