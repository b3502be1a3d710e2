//! Test only: functions that Wine 8's kernel lacks, as strict as Windows.
//!
//! Wine loads drivers for real, but some of what a driver of ours rests on is missing there. This driver, which is
//! never shipped, is started first, in the same load order group, so that Wine loads both into one process. It asks the
//! kernel to be told of each image that is loaded after it (`PsSetLoadImageNotifyRoutine`), and before such an image's
//! `DriverEntry` runs it puts its own routines into the image's import table and around its entry. The shipped driver
//! is the same file as on Windows and knows nothing of it.
//!
//! What it brings, and how strict it is:
//! - [`objects`][]: `ObReferenceObjectByHandle` with `UserMode` looks the handle up in the process that asks, and
//!   checks its type and its access. (Wine: not implemented; with `KernelMode` it would find a
//!   handle of the wrong process.)
//! - [`events`][]: a driver may use its own event whatever the event's security descriptor says. (Wine:
//!   holds it against the driver too.)
//! - [`files`][]: IRP_MJ_CLEANUP comes before IRP_MJ_CLOSE, and `DriverUnload` only when no file is open. (Wine sends
//!   no CLEANUP and unloads at once.)
//! - [`unload`][]: `ZwUnloadDriver` refuses a driver whose image says that it is a PnP driver. (Wine: unloads it.)
//! - [`processes`][]: `PsSetCreateProcessNotifyRoutineEx` calls back. (Wine: succeeds and does nothing.) A thread
//!   compares lists of processes every few milliseconds, so one that lives shorter than that may be
//!   missed: here, not on Windows.
//! - [`timers`][]: `KeSetTimer` and `KeCancelTimer` may be called from the timer's own routine, and `KeFlushQueuedDpcs`
//!   waits. (Wine 8: the former hang for ever there, the latter does nothing.)
//! - [`pool`][]: `ExAllocatePool2`, charged to the app. (Wine 8: absent.)
//! - [`threads`][]: `IoCreateSystemThread` keeps the image until the thread has ended;
//!   critical regions. (Wine 8: absent.)
//! - [`tokens`][]: whose a process is. (Wine 8: absent.)
//! - [`verify`][]: notes what breaks a rule of the kernel's: a function above its level, a request completed with a
//!   cancel routine, a thread that can be suspended in the driver, pool or references left at unload.
//!
//! It may crash on what it does not expect: then the test fails.
#![no_std]
#![no_main]

mod events;
mod files;
mod image;
mod objects;
mod pool;
mod processes;
mod threads;
mod timers;
mod tokens;
mod unload;
mod verify;
mod wine;

use channel::driver::wdm::nt::{DRIVER_OBJECT, NTSTATUS, UNICODE_STRING};

/// Starts the stand-in; called once when it is loaded.
///
/// # Safety
/// Called by the kernel.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn DriverEntry(
    _driver: *mut DRIVER_OBJECT,
    registry_path: *const UNICODE_STRING,
) -> NTSTATUS {
    // This image imports user-mode libraries, so Wine's loader takes it for one too, and calls its entry as theirs,
    // with a reason (0 to 3) as the second argument: "fine".
    if registry_path.addr() < 4 {
        return 1;
    }
    verify::prepare();
    unload::stand_in();
    // SAFETY: the routine stays loaded: this driver has no unload routine.
    unsafe { wine::PsSetLoadImageNotifyRoutine(image::loaded) }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // SAFETY: ends this process, and with it the test.
    unsafe { wine::ExitProcess(101) }
}

/// Symbol that the compiler wants of a program that might use floating point.
#[unsafe(no_mangle)]
pub static _fltused: i32 = 0;
