//! Stand-in for `ObReferenceObjectByHandle`, strict.

use crate::{events, verify, wine};
use channel::driver::wdm::nt::{self, HANDLE, NTSTATUS, OBJECT_TYPE};
use core::ffi::c_void;
use core::ptr::null_mut;
use core::sync::atomic::Ordering;

/// Handle of this process, as its own calls name it.
const SELF: HANDLE = usize::MAX as HANDLE;
const OBJECT_BASIC: u32 = 0;
const OBJECT_TYPE_NAME: u32 = 2;

/// References an object by its handle; with `UserMode`, as if the process that asks had used the handle itself.
pub unsafe extern "system" fn reference(
    handle: HANDLE,
    access: u32,
    kind: *const OBJECT_TYPE,
    mode: i8,
    object: *mut *mut c_void,
    information: *mut c_void,
) -> NTSTATUS {
    verify::passive("ObReferenceObjectByHandle");
    if mode == nt::KERNEL_MODE {
        // SAFETY: passed on as it came.
        let status = unsafe {
            wine::ObReferenceObjectByHandle(handle, access, kind, mode, object, information)
        };
        if status >= 0 {
            verify::REFERENCES.fetch_add(1, Ordering::SeqCst);
            // SAFETY: written by the call.
            events::referenced(handle, unsafe { *object });
        }
        return status;
    }
    let ours = match duplicate(handle) {
        Ok(ours) => ours,
        Err(status) => return status,
    };
    let status = match check(ours, access, kind) {
        // SAFETY: a handle of this process now; the object outlives it by the reference taken here.
        Ok(()) => unsafe {
            wine::ObReferenceObjectByHandle(
                ours,
                access,
                kind,
                nt::KERNEL_MODE,
                object,
                information,
            )
        },
        Err(status) => status,
    };
    if status >= 0 {
        verify::REFERENCES.fetch_add(1, Ordering::SeqCst);
    }
    // SAFETY: made above, closed once.
    unsafe { wine::NtClose(ours) };
    status
}

/// Duplicates the caller's handle into this process.
fn duplicate(handle: HANDLE) -> Result<HANDLE, NTSTATUS> {
    // -1 and -2 name the caller's process and thread: objects, but no events.
    if handle.addr() == usize::MAX || handle.addr() == usize::MAX - 1 {
        return Err(nt::STATUS_OBJECT_TYPE_MISMATCH);
    }
    // SAFETY: in a dispatch routine's thread, Wine answers with the client's process.
    let client = unsafe { wine::PsGetCurrentProcessId() }.addr() as u32;
    // SAFETY: no arguments.
    if client == 0 || client == unsafe { wine::GetCurrentProcessId() } {
        // Not in an app's context: Windows would look in the system's own table, where an app has no handles.
        return Err(nt::STATUS_INVALID_HANDLE);
    }
    // SAFETY: plain numbers.
    let process = unsafe { wine::OpenProcess(wine::PROCESS_DUP_HANDLE, 0, client) };
    if process.is_null() {
        return Err(nt::STATUS_INVALID_HANDLE);
    }
    let mut ours = null_mut();
    // SAFETY: an open process, any handle value, room for the result.
    let status = unsafe {
        wine::NtDuplicateObject(
            process,
            handle,
            SELF,
            &raw mut ours,
            0,
            0,
            wine::DUPLICATE_SAME_ACCESS,
        )
    };
    // SAFETY: opened above, closed once.
    unsafe { wine::NtClose(process) };
    nt::check(status)
        .map(|()| ours)
        .map_err(|_| nt::STATUS_INVALID_HANDLE)
}

fn check(ours: HANDLE, access: u32, kind: *const OBJECT_TYPE) -> Result<(), NTSTATUS> {
    // SAFETY: a pointer that Wine's kernel exports.
    if kind != unsafe { wine::ExEventObjectType } || !is_event(ours) {
        return Err(nt::STATUS_OBJECT_TYPE_MISMATCH);
    }
    if granted(ours)? & access != access {
        return Err(nt::STATUS_ACCESS_DENIED);
    }
    Ok(())
}

fn is_event(ours: HANDLE) -> bool {
    // A counted string (16 bytes), whose text stands behind it, and a few numbers.
    let mut words = [0_u64; 64];
    query(ours, OBJECT_TYPE_NAME, &mut words).is_ok() && {
        let length = words[0] as u16;
        let text = words[1] as *const [u8; 10];
        // SAFETY: the string's text lies in `words`, as long as it says.
        length == 10 && unsafe { text.read_unaligned() } == *b"E\0v\0e\0n\0t\0"
    }
}

fn granted(ours: HANDLE) -> Result<u32, NTSTATUS> {
    // Attributes, granted access, counts: 56 bytes.
    let mut words = [0_u64; 7];
    query(ours, OBJECT_BASIC, &mut words)?;
    Ok((words[0] >> 32) as u32)
}

fn query(ours: HANDLE, class: u32, out: &mut [u64]) -> Result<(), NTSTATUS> {
    // SAFETY: as many bytes as are said.
    nt::check(unsafe {
        wine::NtQueryObject(
            ours,
            class,
            out.as_mut_ptr().cast(),
            (out.len() * 8) as u32,
            null_mut(),
        )
    })
}
