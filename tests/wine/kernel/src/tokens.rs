//! Tokens of processes, which Wine keeps as Windows does, but gives no driver.

use crate::{verify, wine};
use channel::driver::wdm::nt::{self, EPROCESS, NTSTATUS, TOKEN_USER_CLASS};
use core::ffi::c_void;
use core::ptr::null_mut;
use core::sync::atomic::Ordering;

const TOKEN_GROUPS: u32 = 2;
const GROUP_ENABLED: u32 = 4;
/// Identifier of the administrators' group: S-1-5-32-544.
const ADMINISTRATORS: [u8; 16] = [1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 0x20, 2, 0, 0];
/// Room for a token's user or groups, in bytes: more than they take.
const ROOM: usize = 2048;

/// Returns the process that asks: a process object is its number here; a driver looks into none.
pub unsafe extern "system" fn current_process() -> *mut EPROCESS {
    // SAFETY: in a dispatch routine's thread, Wine answers with the client's process.
    unsafe { wine::PsGetCurrentProcessId() }.cast()
}

/// References a token: a handle of this process on it; null if the process is gone, which Windows would not let happen
/// meanwhile.
pub unsafe extern "system" fn reference(process: *mut EPROCESS) -> *mut c_void {
    verify::passive("PsReferencePrimaryToken");
    let pid = process.addr() as u32;
    // SAFETY: plain numbers.
    let process = unsafe { wine::OpenProcess(wine::PROCESS_QUERY_INFORMATION, 0, pid) };
    if process.is_null() {
        return null_mut();
    }
    let mut token = null_mut();
    // SAFETY: an open process, room for a handle.
    let status = unsafe { wine::NtOpenProcessToken(process, wine::TOKEN_QUERY, &raw mut token) };
    // SAFETY: opened above, closed once.
    unsafe { wine::NtClose(process) };
    if status < 0 {
        return null_mut();
    }
    verify::REFERENCES.fetch_add(1, Ordering::SeqCst);
    token
}

pub unsafe extern "system" fn dereference(token: *mut c_void) {
    if !token.is_null() {
        verify::REFERENCES.fetch_sub(1, Ordering::SeqCst);
        // SAFETY: from `reference`, let go of once.
        unsafe { wine::NtClose(token) };
    }
}

/// Reads a token's user into memory that it allocates, and that its caller frees.
pub unsafe extern "system" fn query(
    token: *mut c_void,
    class: i32,
    information: *mut *mut c_void,
) -> NTSTATUS {
    if token.is_null() || class != TOKEN_USER_CLASS {
        return nt::STATUS_INVALID_HANDLE;
    }
    // SAFETY: 1 is the paged pool.
    let memory = unsafe { wine::ExAllocatePoolWithTag(1, ROOM, 0) };
    if memory.is_null() {
        return nt::STATUS_INSUFFICIENT_RESOURCES;
    }
    let mut used = 0;
    // SAFETY: an open token, room as said.
    let status = unsafe {
        wine::NtQueryInformationToken(token, class as u32, memory, ROOM as u32, &raw mut used)
    };
    if status < 0 {
        // SAFETY: allocated above.
        unsafe { nt::ExFreePoolWithTag(memory, 0) };
    } else {
        verify::POOL.fetch_add(1, Ordering::SeqCst);
        // SAFETY: the caller's place.
        unsafe { *information = memory };
    }
    status
}

/// Returns whether the administrators' group is there and enabled: a filtered token has it, but only to be denied by.
pub unsafe extern "system" fn is_admin(token: *mut c_void) -> u8 {
    let mut words = [0_u64; ROOM / 8];
    let mut used = 0;
    // SAFETY: room as said; a null token is an error.
    let status = unsafe {
        wine::NtQueryInformationToken(
            token,
            TOKEN_GROUPS,
            words.as_mut_ptr().cast(),
            ROOM as u32,
            &raw mut used,
        )
    };
    if status < 0 {
        return 0;
    }
    // A count, then pairs of an identifier's address and attributes.
    let groups = words[1..].chunks_exact(2).take(words[0] as u32 as usize);
    let is_theirs = |pair: &[u64]| {
        let sid = pair[0] as *const [u8; 16];
        // SAFETY: lies in `words`, which are longer than what is read.
        let same = unsafe { sid.read_unaligned() } == ADMINISTRATORS;
        same && pair[1] as u32 & GROUP_ENABLED != 0
    };
    groups.filter(|pair| pair[0] != 0).any(is_theirs).into()
}
