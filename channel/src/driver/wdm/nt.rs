//! The kernel's own functions and structures, by hand: only what a driver of ours uses, for 64-bit Windows 10
//! version 2004 and later.
//!
//! Layouts are those of the Windows driver headers, asserted below; a test holds them, and the constants, against
//! MinGW's. `windows-sys` is not used here: its driver-side layouts are wrong for a kernel (the parameters of
//! `DeviceIoControl` lack their pointer alignment), and it links some names to `ntdll.dll`.
#![allow(missing_docs, reason = "the names and their meaning are Microsoft's")]
#![allow(
    non_snake_case,
    non_camel_case_types,
    reason = "the names are Microsoft's"
)]

use core::ffi::c_void;
use core::sync::atomic::{AtomicPtr, AtomicU8};

pub type NTSTATUS = i32;
pub type HANDLE = *mut c_void;
pub type KIRQL = u8;

pub const STATUS_SUCCESS: NTSTATUS = 0;
pub const STATUS_TIMEOUT: NTSTATUS = 0x102;
pub const STATUS_PENDING: NTSTATUS = 0x103;
pub const STATUS_INVALID_HANDLE: NTSTATUS = status(0xC000_0008);
pub const STATUS_INVALID_DEVICE_REQUEST: NTSTATUS = status(0xC000_0010);
pub const STATUS_ACCESS_DENIED: NTSTATUS = status(0xC000_0022);
pub const STATUS_OBJECT_NAME_COLLISION: NTSTATUS = status(0xC000_0035);
pub const STATUS_OBJECT_NAME_INVALID: NTSTATUS = status(0xC000_0033);
pub const STATUS_OBJECT_TYPE_MISMATCH: NTSTATUS = status(0xC000_0024);
pub const STATUS_INSUFFICIENT_RESOURCES: NTSTATUS = status(0xC000_009A);
pub const STATUS_CANCELLED: NTSTATUS = status(0xC000_0120);

const fn status(code: u32) -> NTSTATUS {
    code.cast_signed()
}

/// Turns a status into a result. Successes and informational statuses are fine.
///
/// # Errors
/// The status, if it is a warning or an error.
pub const fn check(status: NTSTATUS) -> Result<(), NTSTATUS> {
    if status < 0 { Err(status) } else { Ok(()) }
}

pub const IRP_MJ_CREATE: usize = 0;
pub const IRP_MJ_CLOSE: usize = 2;
pub const IRP_MJ_DEVICE_CONTROL: usize = 14;
pub const IRP_MJ_CLEANUP: usize = 18;
pub const IRP_MJ_FUNCTIONS: usize = 28;

pub const FILE_DEVICE_UNKNOWN: u32 = 0x22;
pub const FILE_DEVICE_SECURE_OPEN: u32 = 0x100;
pub const DO_DEVICE_INITIALIZING: u32 = 0x80;
pub const SL_PENDING_RETURNED: u8 = 1;

pub const EVENT_QUERY_STATE: u32 = 1;
pub const EVENT_MODIFY_STATE: u32 = 2;
pub const SYNCHRONIZE: u32 = 0x0010_0000;
pub const WRITE_DAC: u32 = 0x0004_0000;
pub const THREAD_ALL_ACCESS: u32 = 0x001F_FFFF;
pub const EVENT_ALL_ACCESS: u32 = 0x001F_0003;
pub const DACL_SECURITY_INFORMATION: u32 = 4;
pub const OBJ_OPENIF: u32 = 0x80;
pub const OBJ_KERNEL_HANDLE: u32 = 0x200;

pub const POOL_FLAG_USE_QUOTA: u64 = 1;
pub const POOL_FLAG_NON_PAGED: u64 = 0x40;
pub const KERNEL_MODE: i8 = 0;
pub const USER_MODE: i8 = 1;
pub const NOTIFICATION_EVENT: i32 = 0;
pub const NOTIFICATION_TIMER: i32 = 0;
pub const EXECUTIVE: i32 = 0;
pub const WAIT_ANY: i32 = 1;

#[repr(C)]
pub struct UNICODE_STRING {
    pub Length: u16,
    pub MaximumLength: u16,
    pub Buffer: *const u16,
}

#[repr(C)]
pub struct OBJECT_ATTRIBUTES {
    pub Length: u32,
    pub RootDirectory: HANDLE,
    pub ObjectName: *const UNICODE_STRING,
    pub Attributes: u32,
    pub SecurityDescriptor: *const c_void,
    pub SecurityQualityOfService: *const c_void,
}

/// Objects that the kernel hands out by pointer and whose inside is none of a driver's business.
#[repr(C)]
pub struct OBJECT_TYPE([u8; 0]);
#[repr(C)]
pub struct EPROCESS([u8; 0]);

/// Answer of `SeQueryInformationToken` for [`TOKEN_USER_CLASS`].
#[repr(C)]
pub struct TOKEN_USER {
    pub Sid: *const u8,
    pub Attributes: u32,
}
pub const TOKEN_USER_CLASS: i32 = 1;

/// An event object. Opaque; 8-byte aligned.
#[repr(C)]
pub struct KEVENT(pub [u64; 3]);
/// A timer object. Opaque.
#[repr(C)]
pub struct KTIMER(pub [u64; 8]);
/// A deferred procedure call. Opaque.
#[repr(C)]
pub struct KDPC(pub [u64; 8]);

#[repr(C)]
pub struct DEVICE_OBJECT {
    pub Type: i16,
    pub Size: u16,
    pub ReferenceCount: i32,
    pub DriverObject: *mut DRIVER_OBJECT,
    pub NextDevice: *mut DEVICE_OBJECT,
    pub AttachedDevice: *mut DEVICE_OBJECT,
    pub CurrentIrp: *mut IRP,
    pub Timer: *mut c_void,
    pub Flags: u32,
    pub Characteristics: u32,
    rest: [u64; 35],
}

pub type Dispatch = unsafe extern "system" fn(*mut DEVICE_OBJECT, *mut IRP) -> NTSTATUS;
pub type Cancel = unsafe extern "system" fn(*mut DEVICE_OBJECT, *mut IRP);
pub type Unload = unsafe extern "system" fn(*mut DRIVER_OBJECT);

#[repr(C)]
pub struct DRIVER_OBJECT {
    pub Type: i16,
    pub Size: i16,
    pub DeviceObject: *mut DEVICE_OBJECT,
    pub Flags: u32,
    pub DriverStart: *mut c_void,
    pub DriverSize: u32,
    pub DriverSection: *mut c_void,
    pub DriverExtension: *mut c_void,
    pub DriverName: UNICODE_STRING,
    pub HardwareDatabase: *mut UNICODE_STRING,
    pub FastIoDispatch: *mut c_void,
    pub DriverInit: *mut c_void,
    pub DriverStartIo: *mut c_void,
    pub DriverUnload: Option<Unload>,
    pub MajorFunction: [Option<Dispatch>; IRP_MJ_FUNCTIONS],
}

#[repr(C)]
pub struct FILE_OBJECT {
    pub Type: i16,
    pub Size: i16,
    pub DeviceObject: *mut DEVICE_OBJECT,
    pub Vpb: *mut c_void,
    pub FsContext: *mut c_void,
    pub FsContext2: *mut c_void,
    pub SectionObjectPointer: *mut c_void,
    pub PrivateCacheMap: *mut c_void,
    pub FinalStatus: NTSTATUS,
    pub RelatedFileObject: *mut FILE_OBJECT,
    pub LockOperation: u8,
    pub DeletePending: u8,
    pub ReadAccess: u8,
    pub WriteAccess: u8,
    pub DeleteAccess: u8,
    pub SharedRead: u8,
    pub SharedWrite: u8,
    pub SharedDelete: u8,
    pub Flags: u32,
    pub FileName: UNICODE_STRING,
}

#[repr(C)]
pub struct IO_STATUS_BLOCK {
    pub Status: NTSTATUS,
    pub Information: usize,
}

#[repr(C)]
pub struct IRP {
    pub Type: i16,
    pub Size: u16,
    pub AllocationProcessorNumber: u16,
    pub Reserved: u16,
    pub MdlAddress: *mut c_void,
    pub Flags: u32,
    pub SystemBuffer: *mut c_void,
    pub ThreadListEntry: [*mut c_void; 2],
    pub IoStatus: IO_STATUS_BLOCK,
    pub RequestorMode: i8,
    pub PendingReturned: u8,
    pub StackCount: i8,
    pub CurrentLocation: i8,
    pub Cancel: AtomicU8,
    pub CancelIrql: KIRQL,
    pub ApcEnvironment: i8,
    pub AllocationFlags: u8,
    pub UserIosb: *mut IO_STATUS_BLOCK,
    pub UserEvent: *mut KEVENT,
    pub Overlay: [*mut c_void; 2],
    pub CancelRoutine: AtomicPtr<c_void>,
    pub UserBuffer: *mut c_void,
    pub DriverContext: [*mut c_void; 4],
    pub Thread: *mut c_void,
    pub AuxiliaryBuffer: *mut c_void,
    pub ListEntry: [*mut c_void; 2],
    pub CurrentStackLocation: *mut IO_STACK_LOCATION,
    pub OriginalFileObject: *mut FILE_OBJECT,
    rest: u64,
}

/// The parameters of `IRP_MJ_DEVICE_CONTROL`; other requests' are not read.
#[repr(C)]
pub struct DEVICE_IO_CONTROL {
    pub OutputBufferLength: u32,
    gap: u32,
    pub InputBufferLength: u32,
    gap2: u32,
    pub IoControlCode: u32,
    gap3: u32,
    pub Type3InputBuffer: *mut c_void,
}

#[repr(C)]
pub struct IO_STACK_LOCATION {
    pub MajorFunction: u8,
    pub MinorFunction: u8,
    pub Flags: u8,
    pub Control: u8,
    pub DeviceIoControl: DEVICE_IO_CONTROL,
    pub DeviceObject: *mut DEVICE_OBJECT,
    pub FileObject: *mut FILE_OBJECT,
    pub CompletionRoutine: *mut c_void,
    pub Context: *mut c_void,
}

/// Input of a process notification at a process's start. Fields after `CommandLine` are not read.
#[repr(C)]
pub struct PS_CREATE_NOTIFY_INFO {
    pub Size: usize,
    pub Flags: u32,
    pub ParentProcessId: HANDLE,
    pub CreatingThreadId: [HANDLE; 2],
    pub FileObject: *mut FILE_OBJECT,
    pub ImageFileName: *const UNICODE_STRING,
    pub CommandLine: *const UNICODE_STRING,
    pub CreationStatus: NTSTATUS,
}

pub type ProcessNotify =
    unsafe extern "system" fn(*mut EPROCESS, HANDLE, *const PS_CREATE_NOTIFY_INFO);
pub type DeferredRoutine =
    unsafe extern "system" fn(*mut KDPC, *mut c_void, *mut c_void, *mut c_void);
pub type ThreadStart = unsafe extern "system" fn(*mut c_void);

#[cfg_attr(
    windows,
    link(name = "ntoskrnl.exe", kind = "raw-dylib", modifiers = "+verbatim")
)]
unsafe extern "system" {
    /// Type object of events, dereferenced once already by the import.
    pub static ExEventObjectType: *const OBJECT_TYPE;

    pub fn IoCreateDevice(
        driver: *mut DRIVER_OBJECT,
        extension: u32,
        name: *const UNICODE_STRING,
        kind: u32,
        characteristics: u32,
        exclusive: u8,
        device: *mut *mut DEVICE_OBJECT,
    ) -> NTSTATUS;
    pub fn IoDeleteDevice(device: *mut DEVICE_OBJECT);
    pub fn IoCreateSymbolicLink(
        link: *const UNICODE_STRING,
        target: *const UNICODE_STRING,
    ) -> NTSTATUS;
    pub fn IoDeleteSymbolicLink(link: *const UNICODE_STRING) -> NTSTATUS;
    pub fn IofCompleteRequest(irp: *mut IRP, boost: i8);
    pub fn IoAcquireCancelSpinLock(irql: *mut KIRQL);
    pub fn IoReleaseCancelSpinLock(irql: KIRQL);

    pub fn ObReferenceObjectByHandle(
        handle: HANDLE,
        access: u32,
        kind: *const OBJECT_TYPE,
        mode: i8,
        object: *mut *mut c_void,
        information: *mut c_void,
    ) -> NTSTATUS;
    pub fn ObfReferenceObject(object: *mut c_void) -> isize;
    pub fn ObfDereferenceObject(object: *mut c_void) -> isize;
    pub fn ObOpenObjectByPointer(
        object: *mut c_void,
        attributes: u32,
        access_state: *mut c_void,
        access: u32,
        kind: *const OBJECT_TYPE,
        mode: i8,
        handle: *mut HANDLE,
    ) -> NTSTATUS;
    pub fn ZwSetSecurityObject(
        handle: HANDLE,
        information: u32,
        descriptor: *const c_void,
    ) -> NTSTATUS;
    pub fn ZwCreateEvent(
        handle: *mut HANDLE,
        access: u32,
        attributes: *const OBJECT_ATTRIBUTES,
        kind: i32,
        initial: u8,
    ) -> NTSTATUS;
    pub fn ZwClose(handle: HANDLE) -> NTSTATUS;

    pub fn KeInitializeEvent(event: *mut KEVENT, kind: i32, state: u8);
    pub fn KeSetEvent(event: *mut KEVENT, increment: i32, wait: u8) -> i32;
    pub fn KeClearEvent(event: *mut KEVENT);
    pub fn KeReadStateEvent(event: *mut KEVENT) -> i32;
    pub fn KeWaitForSingleObject(
        object: *mut c_void,
        reason: i32,
        mode: i8,
        alertable: u8,
        timeout: *const i64,
    ) -> NTSTATUS;
    pub fn KeWaitForMultipleObjects(
        count: u32,
        objects: *const *mut c_void,
        kind: i32,
        reason: i32,
        mode: i8,
        alertable: u8,
        timeout: *const i64,
        blocks: *mut c_void,
    ) -> NTSTATUS;
    pub fn KeDelayExecutionThread(mode: i8, alertable: u8, interval: *const i64) -> NTSTATUS;

    pub fn KeInitializeTimerEx(timer: *mut KTIMER, kind: i32);
    pub fn KeSetTimer(timer: *mut KTIMER, due: i64, dpc: *mut KDPC) -> u8;
    pub fn KeCancelTimer(timer: *mut KTIMER) -> u8;
    pub fn KeInitializeDpc(dpc: *mut KDPC, routine: DeferredRoutine, context: *mut c_void);
    pub fn KeFlushQueuedDpcs();

    pub fn KeAcquireSpinLockRaiseToDpc(lock: *mut usize) -> KIRQL;
    pub fn KeReleaseSpinLock(lock: *mut usize, irql: KIRQL);
    pub fn KeGetCurrentProcessorNumberEx(number: *mut c_void) -> u32;

    pub fn ExAllocatePool2(flags: u64, bytes: usize, tag: u32) -> *mut c_void;
    pub fn ExFreePoolWithTag(memory: *mut c_void, tag: u32);

    /// Starts a system thread as `PsCreateSystemThread` does; `object`, a device, lives until the thread has ended
    /// (Windows 8 and later).
    pub fn IoCreateSystemThread(
        object: *mut c_void,
        handle: *mut HANDLE,
        access: u32,
        attributes: *const OBJECT_ATTRIBUTES,
        process: HANDLE,
        client: *mut c_void,
        start: ThreadStart,
        context: *mut c_void,
    ) -> NTSTATUS;
    pub fn KeEnterCriticalRegion();
    pub fn KeLeaveCriticalRegion();
    pub fn IoGetCurrentProcess() -> *mut EPROCESS;
    pub fn PsReferencePrimaryToken(process: *mut EPROCESS) -> *mut c_void;
    pub fn PsDereferencePrimaryToken(token: *mut c_void);
    pub fn SeQueryInformationToken(
        token: *mut c_void,
        class: i32,
        information: *mut *mut c_void,
    ) -> NTSTATUS;
    pub fn SeTokenIsAdmin(token: *mut c_void) -> u8;
    pub fn PsTerminateSystemThread(status: NTSTATUS) -> NTSTATUS;
    pub static PsThreadType: *const OBJECT_TYPE;
    pub fn PsSetCreateProcessNotifyRoutineEx(routine: ProcessNotify, remove: u8) -> NTSTATUS;
}

#[cfg_attr(
    windows,
    link(name = "hal.dll", kind = "raw-dylib", modifiers = "+verbatim")
)]
unsafe extern "system" {
    pub fn KeQueryPerformanceCounter(frequency: *mut i64) -> i64;
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<KEVENT>() == 24 && size_of::<KTIMER>() == 64 && size_of::<KDPC>() == 64);
    assert!(size_of::<UNICODE_STRING>() == 16 && size_of::<OBJECT_ATTRIBUTES>() == 48);
    assert!(size_of::<DEVICE_OBJECT>() == 336 && offset_of!(DEVICE_OBJECT, Flags) == 0x30);
    assert!(size_of::<DRIVER_OBJECT>() == 0x150 && offset_of!(DRIVER_OBJECT, DriverUnload) == 0x68);
    assert!(offset_of!(UNICODE_STRING, Length) == 0);
    assert!(offset_of!(UNICODE_STRING, MaximumLength) == 2);
    assert!(offset_of!(UNICODE_STRING, Buffer) == 8);
    assert!(offset_of!(OBJECT_ATTRIBUTES, Length) == 0);
    assert!(offset_of!(OBJECT_ATTRIBUTES, RootDirectory) == 8);
    assert!(offset_of!(OBJECT_ATTRIBUTES, ObjectName) == 0x10);
    assert!(offset_of!(OBJECT_ATTRIBUTES, Attributes) == 0x18);
    assert!(offset_of!(OBJECT_ATTRIBUTES, SecurityDescriptor) == 0x20);
    assert!(offset_of!(OBJECT_ATTRIBUTES, SecurityQualityOfService) == 0x28);
    assert!(size_of::<TOKEN_USER>() == 16 && offset_of!(TOKEN_USER, Sid) == 0);
    assert!(offset_of!(DRIVER_OBJECT, DeviceObject) == 8);
    assert!(offset_of!(DRIVER_OBJECT, Flags) == 0x10);
    assert!(offset_of!(DRIVER_OBJECT, MajorFunction) == 0x70);
    assert!(offset_of!(FILE_OBJECT, DeviceObject) == 8 && offset_of!(FILE_OBJECT, Flags) == 0x50);
    assert!(offset_of!(FILE_OBJECT, FsContext) == 0x18);
    assert!(offset_of!(FILE_OBJECT, FileName) == 0x58);
    assert!(size_of::<IRP>() == 0xD0 && offset_of!(IRP, SystemBuffer) == 0x18);
    assert!(offset_of!(IRP, IoStatus) == 0x30 && offset_of!(IRP, CancelIrql) == 0x45);
    assert!(offset_of!(IRP, CancelRoutine) == 0x68 && offset_of!(IRP, DriverContext) == 0x78);
    assert!(offset_of!(IRP, Flags) == 0x10 && offset_of!(IRP, Cancel) == 0x44);
    assert!(offset_of!(IRP, CurrentStackLocation) == 0xB8);
    assert!(size_of::<IO_STATUS_BLOCK>() == 16 && offset_of!(IO_STATUS_BLOCK, Status) == 0);
    assert!(offset_of!(IO_STATUS_BLOCK, Information) == 8);
    assert!(
        size_of::<IO_STACK_LOCATION>() == 0x48 && offset_of!(IO_STACK_LOCATION, FileObject) == 0x30
    );
    assert!(offset_of!(IO_STACK_LOCATION, DeviceIoControl) == 8);
    assert!(offset_of!(IO_STACK_LOCATION, MajorFunction) == 0);
    assert!(offset_of!(IO_STACK_LOCATION, MinorFunction) == 1);
    assert!(offset_of!(IO_STACK_LOCATION, Flags) == 2);
    assert!(offset_of!(IO_STACK_LOCATION, Control) == 3);
    assert!(offset_of!(IO_STACK_LOCATION, DeviceObject) == 0x28);
    assert!(offset_of!(DEVICE_IO_CONTROL, OutputBufferLength) == 0);
    assert!(offset_of!(DEVICE_IO_CONTROL, InputBufferLength) == 8);
    assert!(offset_of!(DEVICE_IO_CONTROL, IoControlCode) == 0x10);
    assert!(offset_of!(PS_CREATE_NOTIFY_INFO, ImageFileName) == 0x30);
    assert!(offset_of!(PS_CREATE_NOTIFY_INFO, FileObject) == 0x28);
    assert!(offset_of!(PS_CREATE_NOTIFY_INFO, Flags) == 8);
    assert!(offset_of!(PS_CREATE_NOTIFY_INFO, ParentProcessId) == 0x10);
};
