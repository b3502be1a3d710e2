//! Images as they are loaded: their import tables and entries.

use crate::{
    events, files, objects, pool, processes, threads, timers, tokens, unload, verify, wine,
};
use channel::driver::wdm::nt::{DRIVER_OBJECT, HANDLE, NTSTATUS, UNICODE_STRING};
use core::cell::UnsafeCell;
use core::ffi::CStr;

type Entry = unsafe extern "system" fn(*mut DRIVER_OBJECT, *const UNICODE_STRING) -> NTSTATUS;

/// Length of a jump, in bytes of machine code: `mov rax, address; jmp rax`.
const JUMP: usize = 12;

/// Code at the entry of the image that was loaded last, before the jump: Wine loads one driver at a time.
struct Saved(UnsafeCell<([u8; JUMP], *mut u8)>);

// SAFETY: written when an image is loaded, read when its entry is called: one after the other.
unsafe impl Sync for Saved {}

static SAVED: Saved = Saved(UnsafeCell::new(([0; JUMP], core::ptr::null_mut())));

/// Changes an image's imports and entry; called by the kernel for each image, before its entry.
pub unsafe extern "system" fn loaded(
    _: *const UNICODE_STRING,
    _: HANDLE,
    info: *const wine::ImageInfo,
) {
    // SAFETY: valid during the call.
    let base = unsafe { (*info).base };
    let header = field(base, 0x3C) as usize;
    // Only drivers: the native subsystem.
    if field(base, header + 0x5C) as u16 != 1 {
        return;
    }
    unload::loaded((field(base, header + 0x5C) >> 16) as u16);
    patch(base);
    wrap_entry(base, field(base, header + 0x28) as usize);
}

/// Reads 32 bits of an image.
fn field(base: *mut u8, at: usize) -> u32 {
    // SAFETY: within a loaded image.
    let place = unsafe { base.add(at) };
    // SAFETY: as above.
    unsafe { place.cast::<u32>().read_unaligned() }
}

fn text(base: *mut u8, at: usize) -> &'static CStr {
    // SAFETY: within a loaded image.
    let place = unsafe { base.add(at) };
    // SAFETY: the loader has read this string already.
    unsafe { CStr::from_ptr(place.cast()) }
}

/// Puts our routines into a loaded image where it imports the kernel's that we stand in for.
pub fn patch(base: *mut u8) {
    let header = field(base, 0x3C) as usize;
    patch_imports(base, field(base, header + 0x90) as usize);
}

/// Puts our routines in by each import descriptor: names at 0, the DLL's name at 12, addresses at 16.
fn patch_imports(base: *mut u8, mut descriptor: usize) {
    while descriptor != 0 && field(base, descriptor + 12) != 0 {
        if text(base, field(base, descriptor + 12) as usize) == c"ntoskrnl.exe" {
            let (names, addresses) = (field(base, descriptor), field(base, descriptor + 16));
            patch_imports_of_kernel(base, names as usize, addresses as usize);
        }
        descriptor += 20;
    }
}

fn patch_imports_of_kernel(base: *mut u8, names: usize, addresses: usize) {
    let mut n = 0;
    while field(base, names + n) != 0 {
        // Two bytes of hint stand before the name.
        if let Some(ours) = replacement(text(base, field(base, names + n) as usize + 2)) {
            write(base, addresses + n, &ours.to_le_bytes());
        }
        n += 8;
    }
}

/// Returns the routine of ours that stands in for a kernel's, or `None` if there is none.
fn replacement(name: &CStr) -> Option<usize> {
    match name.to_bytes() {
        b"ObReferenceObjectByHandle" => Some(objects::reference as *const () as usize),
        b"PsSetCreateProcessNotifyRoutineEx" => Some(processes::notify as *const () as usize),
        b"KeSetTimer" => Some(timers::set as *const () as usize),
        b"KeCancelTimer" => Some(timers::cancel as *const () as usize),
        b"KeFlushQueuedDpcs" => Some(timers::flush as *const () as usize),
        b"ZwCreateEvent" => Some(events::create as *const () as usize),
        b"ZwUnloadDriver" => Some(unload::unload as *const () as usize),
        b"KeSetEvent" => Some(events::set as *const () as usize),
        b"KeClearEvent" => Some(events::clear as *const () as usize),
        b"IoCreateSystemThread" => Some(threads::create as *const () as usize),
        b"PsTerminateSystemThread" => Some(threads::terminate as *const () as usize),
        b"KeEnterCriticalRegion" => Some(threads::enter_region as *const () as usize),
        b"KeLeaveCriticalRegion" => Some(threads::leave_region as *const () as usize),
        b"IoGetCurrentProcess" => Some(tokens::current_process as *const () as usize),
        b"PsReferencePrimaryToken" => Some(tokens::reference as *const () as usize),
        b"PsDereferencePrimaryToken" => Some(tokens::dereference as *const () as usize),
        b"SeQueryInformationToken" => Some(tokens::query as *const () as usize),
        b"SeTokenIsAdmin" => Some(tokens::is_admin as *const () as usize),
        b"KeAcquireSpinLockRaiseToDpc" => Some(verify::acquire as *const () as usize),
        b"KeReleaseSpinLock" => Some(verify::release as *const () as usize),
        b"KeWaitForSingleObject" => Some(verify::wait_one as *const () as usize),
        b"IofCompleteRequest" => Some(verify::complete as *const () as usize),
        b"ObfReferenceObject" => Some(verify::add_reference as *const () as usize),
        b"ObfDereferenceObject" => Some(verify::dereference as *const () as usize),
        b"ExFreePoolWithTag" => Some(verify::free as *const () as usize),
        b"ExAllocatePool2" => Some(pool::allocate as *const () as usize),
        _ => None,
    }
}

/// Puts a jump to [`entered`] at the image's entry.
fn wrap_entry(base: *mut u8, at: usize) {
    // SAFETY: within a loaded image.
    let entry = unsafe { base.add(at) };
    let mut jump = [0x48, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xE0];
    jump[2..10].copy_from_slice(&(entered as *const () as usize).to_le_bytes());
    // SAFETY: code of at least that length.
    let code = unsafe { entry.cast::<[u8; JUMP]>().read_unaligned() };
    // SAFETY: one driver is loaded at a time.
    unsafe { *SAVED.0.get() = (code, base) };
    write(base, at, &jump);
}

/// Stands in for an image's `DriverEntry`: calls it, then watches its files.
unsafe extern "system" fn entered(
    driver: *mut DRIVER_OBJECT,
    path: *const UNICODE_STRING,
) -> NTSTATUS {
    // SAFETY: written when this image was loaded.
    let (code, base) = unsafe { *SAVED.0.get() };
    let at = field(base, field(base, 0x3C) as usize + 0x28) as usize;
    write(base, at, &code);
    // SAFETY: the image's entry.
    let entry = unsafe { base.add(at) };
    // SAFETY: as above; its code is what it was.
    let entry = unsafe { core::mem::transmute::<*mut u8, Entry>(entry) };
    // SAFETY: passed on as it came.
    let status = unsafe { entry(driver, path) };
    if status >= 0 {
        // SAFETY: the driver's object, alive.
        files::watch(unsafe { &mut *driver });
    }
    status
}

/// Writes into an image, whatever its pages' protection.
fn write(base: *mut u8, at: usize, bytes: &[u8]) {
    // SAFETY: within a loaded image.
    let place = unsafe { base.add(at) };
    let mut old = 0;
    // SAFETY: pages of a loaded image.
    unsafe {
        wine::VirtualProtect(
            place.cast(),
            bytes.len(),
            wine::PAGE_EXECUTE_READWRITE,
            &raw mut old,
        );
    }
    // SAFETY: writable now, and nobody runs this code yet.
    unsafe { core::ptr::copy_nonoverlapping(bytes.as_ptr(), place, bytes.len()) };
    // SAFETY: as before.
    unsafe { wine::VirtualProtect(place.cast(), bytes.len(), old, &raw mut old) };
}
