//! Stand-in for `ZwUnloadDriver`, which refuses what NT refuses.
//!
//! NT marks a driver as legacy when it loads an image without `IMAGE_DLLCHARACTERISTICS_WDM_DRIVER`, and unloads on
//! request only such. A driver with the bit is PnP's to unload: a request is refused, and its service runs on.

use crate::{image, wine};
use channel::driver::wdm::nt::{NTSTATUS, STATUS_INVALID_DEVICE_REQUEST, UNICODE_STRING};
use core::sync::atomic::{AtomicBool, Ordering};

/// Bit of an image that says that it is a PnP driver: `IMAGE_DLLCHARACTERISTICS_WDM_DRIVER`.
const WDM_DRIVER: u16 = 0x2000;

/// `true` if the driver that was loaded last is PnP's. Wine loads one at a time, and a test stops none but the last.
static PNP: AtomicBool = AtomicBool::new(false);

/// Puts [`unload`] in the place of Wine's for the program that serves requests to stop a driver.
pub fn stand_in() {
    // SAFETY: null asks for the program that this process runs: Wine's `winedevice`.
    let program = unsafe { wine::GetModuleHandleW(core::ptr::null()) };
    image::patch(program.cast());
}

/// Notes what NT would mark an image's driver as, before its entry.
pub fn loaded(characteristics: u16) {
    PNP.store(characteristics & WDM_DRIVER != 0, Ordering::SeqCst);
}

/// Unloads a driver in place of Wine's function, unless it is PnP's.
pub unsafe extern "system" fn unload(service: *const UNICODE_STRING) -> NTSTATUS {
    if PNP.load(Ordering::SeqCst) {
        return STATUS_INVALID_DEVICE_REQUEST;
    }
    // SAFETY: passed on as it came.
    unsafe { wine::ZwUnloadDriver(service) }
}
