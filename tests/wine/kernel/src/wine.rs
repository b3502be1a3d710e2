//! Functions of Wine itself that the stand-in uses. A driver under Wine runs in an ordinary process, so user-mode calls
//! work.
#![allow(non_snake_case, reason = "the names are Microsoft's")]

use channel::driver::wdm::nt::{
    DEVICE_OBJECT, HANDLE, IRP, NTSTATUS, OBJECT_ATTRIBUTES, OBJECT_TYPE, ThreadStart,
    UNICODE_STRING,
};
use core::ffi::c_void;

/// Input of an image notification.
#[repr(C)]
pub struct ImageInfo {
    pub properties: u32,
    pub base: *mut u8,
    pub selector: u32,
    pub size: usize,
    pub section: u32,
}

pub type ImageNotify = unsafe extern "system" fn(*const UNICODE_STRING, HANDLE, *const ImageInfo);

#[link(name = "ntoskrnl.exe", kind = "raw-dylib", modifiers = "+verbatim")]
unsafe extern "system" {
    pub fn PsSetLoadImageNotifyRoutine(routine: ImageNotify) -> NTSTATUS;
    pub fn ZwUnloadDriver(service: *const UNICODE_STRING) -> NTSTATUS;
    pub fn PsGetCurrentProcessId() -> HANDLE;
    pub fn IoAllocateIrp(stack: i8, quota: u8) -> *mut IRP;
    pub fn IofCallDriver(device: *mut DEVICE_OBJECT, irp: *mut IRP) -> NTSTATUS;
    pub fn PsCreateSystemThread(
        handle: *mut HANDLE,
        access: u32,
        attributes: *const OBJECT_ATTRIBUTES,
        process: HANDLE,
        client: *mut c_void,
        start: ThreadStart,
        context: *mut c_void,
    ) -> NTSTATUS;
    pub fn ExAllocatePoolWithTag(kind: i32, bytes: usize, tag: u32) -> *mut c_void;
    pub fn ObReferenceObjectByHandle(
        handle: HANDLE,
        access: u32,
        kind: *const OBJECT_TYPE,
        mode: i8,
        object: *mut *mut c_void,
        information: *mut c_void,
    ) -> NTSTATUS;
    pub static ExEventObjectType: *const OBJECT_TYPE;
}

/// A timer of Wine's thread pool.
pub type PoolTimer = *mut c_void;

pub const PROCESS_QUERY_INFORMATION: u32 = 0x400;
pub const TOKEN_QUERY: u32 = 8;
pub const PROCESS_DUP_HANDLE: u32 = 0x40;
pub const PAGE_EXECUTE_READWRITE: u32 = 0x40;
pub const DUPLICATE_SAME_ACCESS: u32 = 2;

#[link(name = "kernel32.dll", kind = "raw-dylib", modifiers = "+verbatim")]
unsafe extern "system" {
    pub fn ExitProcess(code: u32) -> !;
    pub fn GetModuleHandleW(name: *const u16) -> *mut c_void;
    pub fn GetCurrentProcessId() -> u32;
    pub fn OpenProcess(access: u32, inherit: i32, pid: u32) -> HANDLE;
    pub fn VirtualProtect(start: *mut c_void, bytes: usize, protection: u32, old: *mut u32) -> i32;
    pub fn CreateThread(
        attributes: *const c_void,
        stack: usize,
        start: unsafe extern "system" fn(*mut c_void) -> u32,
        context: *mut c_void,
        flags: u32,
        id: *mut u32,
    ) -> HANDLE;
    pub fn CreateThreadpoolTimer(
        fire: unsafe extern "system" fn(*mut c_void, *mut c_void, PoolTimer),
        context: *mut c_void,
        environment: *mut c_void,
    ) -> PoolTimer;
    pub fn SetThreadpoolTimer(timer: PoolTimer, due: *const i64, period: u32, window: u32);
    pub fn WaitForThreadpoolTimerCallbacks(timer: PoolTimer, cancel: i32);
    pub fn CloseThreadpoolTimer(timer: PoolTimer);
    pub fn TlsAlloc() -> u32;
    pub fn TlsGetValue(slot: u32) -> *mut c_void;
    pub fn TlsSetValue(slot: u32, value: *mut c_void) -> i32;
    pub fn CreateFileA(
        name: *const u8,
        access: u32,
        share: u32,
        attributes: *const c_void,
        disposition: u32,
        flags: u32,
        template: HANDLE,
    ) -> HANDLE;
    pub fn WriteFile(
        file: HANDLE,
        bytes: *const c_void,
        length: u32,
        written: *mut u32,
        overlapped: *mut c_void,
    ) -> i32;
    pub fn Sleep(milliseconds: u32);
    pub fn AcquireSRWLockExclusive(lock: *mut usize);
    pub fn ReleaseSRWLockExclusive(lock: *mut usize);
}

#[link(name = "ntdll.dll", kind = "raw-dylib", modifiers = "+verbatim")]
unsafe extern "system" {
    pub fn NtCreateEvent(
        handle: *mut HANDLE,
        access: u32,
        attributes: *const OBJECT_ATTRIBUTES,
        kind: i32,
        initial: u8,
    ) -> NTSTATUS;
    pub fn NtSetEvent(event: HANDLE, before: *mut i32) -> NTSTATUS;
    pub fn NtResetEvent(event: HANDLE, before: *mut i32) -> NTSTATUS;
    pub fn NtClose(handle: HANDLE) -> NTSTATUS;
    pub fn NtDuplicateObject(
        from: HANDLE,
        handle: HANDLE,
        to: HANDLE,
        duplicate: *mut HANDLE,
        access: u32,
        attributes: u32,
        options: u32,
    ) -> NTSTATUS;
    pub fn NtQueryObject(
        handle: HANDLE,
        class: u32,
        out: *mut c_void,
        bytes: u32,
        used: *mut u32,
    ) -> NTSTATUS;
    pub fn NtOpenProcessToken(process: HANDLE, access: u32, token: *mut HANDLE) -> NTSTATUS;
    pub fn NtQueryInformationToken(
        token: HANDLE,
        class: u32,
        out: *mut c_void,
        bytes: u32,
        used: *mut u32,
    ) -> NTSTATUS;
    pub fn NtQuerySystemInformation(
        class: u32,
        out: *mut c_void,
        bytes: u32,
        used: *mut u32,
    ) -> NTSTATUS;
}
