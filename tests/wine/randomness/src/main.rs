//! Test only: `ProcessPrng`, which Rust's library wants of `bcryptprimitives.dll` and Wine 8 lacks.
#![no_std]
#![no_main]

#[link(name = "advapi32.dll", kind = "raw-dylib", modifiers = "+verbatim")]
unsafe extern "system" {
    /// Function `RtlGenRandom`, under the name that it is exported by.
    fn SystemFunction036(buffer: *mut u8, bytes: u32) -> u8;
}

/// Fills a buffer with random bytes.
///
/// # Safety
/// `buffer` has room for `bytes` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn ProcessPrng(buffer: *mut u8, bytes: usize) -> i32 {
    let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
    // SAFETY: passed on as it came.
    unsafe { SystemFunction036(buffer, bytes) }.into()
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
