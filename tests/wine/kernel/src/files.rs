//! Order of a file's ends: CLEANUP before CLOSE, and no unload while a file is open.

use crate::{threads, verify, wine};
use channel::driver::wdm::nt::{
    DEVICE_OBJECT, DRIVER_OBJECT, Dispatch, FILE_OBJECT, IRP, IRP_MJ_CLEANUP, IRP_MJ_CLOSE,
    IRP_MJ_CREATE, NTSTATUS, STATUS_INVALID_DEVICE_REQUEST, Unload,
};
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicU32, Ordering};

/// Time between two looks whether the last file was closed, in milliseconds.
const LOOK_EVERY_MS: u32 = 5;

/// Routines of the one driver under test.
struct Watched {
    create: Option<Dispatch>,
    close: Option<Dispatch>,
    unload: Option<Unload>,
}

struct Place(UnsafeCell<Watched>);

// SAFETY: written once per load, before the driver can be opened.
unsafe impl Sync for Place {}

static WATCHED: Place = Place(UnsafeCell::new(Watched {
    create: None,
    close: None,
    unload: None,
}));
static OPEN: AtomicU32 = AtomicU32::new(0);

/// Puts our routines before the driver's, after its `DriverEntry` has succeeded.
pub fn watch(driver: &mut DRIVER_OBJECT) {
    let [create, close] = [
        driver.MajorFunction[IRP_MJ_CREATE],
        driver.MajorFunction[IRP_MJ_CLOSE],
    ];
    let watched = Watched {
        create,
        close,
        unload: driver.DriverUnload,
    };
    // SAFETY: the driver can't be opened yet, and the one before is unloaded.
    unsafe { *WATCHED.0.get() = watched };
    driver.MajorFunction[IRP_MJ_CREATE] = Some(created);
    driver.MajorFunction[IRP_MJ_CLOSE] = Some(closed);
    driver.DriverUnload = Some(unloaded);
}

fn watched() -> &'static Watched {
    // SAFETY: written before anything of this can be called.
    unsafe { &*WATCHED.0.get() }
}

unsafe extern "system" fn created(device: *mut DEVICE_OBJECT, irp: *mut IRP) -> NTSTATUS {
    let Some(create) = watched().create else {
        return STATUS_INVALID_DEVICE_REQUEST;
    };
    OPEN.fetch_add(1, Ordering::SeqCst);
    // SAFETY: passed on as it came.
    let status = unsafe { create(device, irp) };
    verify::left();
    if status < 0 {
        OPEN.fetch_sub(1, Ordering::SeqCst);
    }
    status
}

unsafe extern "system" fn closed(device: *mut DEVICE_OBJECT, irp: *mut IRP) -> NTSTATUS {
    let Some(close) = watched().close else {
        return STATUS_INVALID_DEVICE_REQUEST;
    };
    // SAFETY: a live request.
    let stack = unsafe { (*irp).CurrentStackLocation };
    // SAFETY: the request's own stack location.
    let file = unsafe { (*stack).FileObject };
    send_cleanup(device, file);
    // SAFETY: passed on as it came.
    let status = unsafe { close(device, irp) };
    verify::left();
    OPEN.fetch_sub(1, Ordering::SeqCst);
    status
}

/// Sends CLEANUP, in a request of its own, which is completed before this returns, or the test fails.
fn send_cleanup(device: *mut DEVICE_OBJECT, file: *mut FILE_OBJECT) {
    // SAFETY: one stack location: the driver under test is alone on its device.
    let irp = unsafe { wine::IoAllocateIrp(1, 0) };
    // SAFETY: just allocated.
    let current = unsafe { (*irp).CurrentStackLocation };
    // SAFETY: the next location lies right below, in the same allocation.
    let next = unsafe { current.sub(1) };
    // SAFETY: aligned, and nobody else's until the request is sent.
    let next = unsafe { &mut *next };
    next.MajorFunction = IRP_MJ_CLEANUP as u8;
    next.FileObject = file;
    next.DeviceObject = device;
    // SAFETY: prepared; Wine frees it as it is completed.
    unsafe { wine::IofCallDriver(device, irp) };
}

/// Unloads the driver when its last file is closed, as Windows does; until then the service is stopping.
unsafe extern "system" fn unloaded(driver: *mut DRIVER_OBJECT) {
    while OPEN.load(Ordering::SeqCst) != 0 {
        // SAFETY: plain number.
        unsafe { wine::Sleep(LOOK_EVERY_MS) };
    }
    if let Some(unload) = watched().unload {
        // SAFETY: passed on as it came.
        unsafe { unload(driver) };
    }
    threads::wait_for_all();
    verify::unloaded();
}
