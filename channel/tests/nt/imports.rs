//! Functions of the kernel's that a driver of ours imports, each by its name: held to its highest level, counted, and
//! made to fail where it can. The linker finds these where on Windows it finds the kernel's.
use crate::kernel::{
    APC, Block, DISPATCH, ENDED, FREED, GUARD, HELD, HIGH, Handle, Kind, LEVEL, NO_MEMORY, PASSIVE,
    PROCESS, REGIONS, broken, end_of, enter, fails, is_kernel_handle, unlocked, until, with,
};
use channel::driver::wdm::nt::{
    self, DEVICE_OBJECT, DRIVER_OBJECT, DeferredRoutine, EPROCESS, HANDLE, IRP, KDPC, KEVENT,
    KIRQL, KTIMER, NTSTATUS, OBJECT_ATTRIBUTES, OBJECT_TYPE, ProcessNotify, STATUS_SUCCESS,
    ThreadStart, UNICODE_STRING,
};
use std::ffi::c_void;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Type of objects, which nobody looks into.
#[repr(transparent)]
pub struct TypePointer(*const OBJECT_TYPE);

// SAFETY: compared, and never followed.
unsafe impl Sync for TypePointer {}

#[unsafe(no_mangle)]
pub static ExEventObjectType: TypePointer = TypePointer(0x1000 as *const OBJECT_TYPE);
#[unsafe(no_mangle)]
pub static PsThreadType: TypePointer = TypePointer(0x2000 as *const OBJECT_TYPE);

/// Defines each function with its highest level, and the table of these.
macro_rules! imports {
    ($($level:ident fn $name:ident($($argument:ident: $type:ty),*) $(-> $result:ty)? $body:block)+) => {
        $(
            #[unsafe(no_mangle)]
            unsafe extern "system" fn $name($($argument: $type),*) $(-> $result)? {
                enter(stringify!($name), $level);
                $body
            }
        )+

        /// Names of the functions with the highest level of each, as its documentation has it; where that depends, for
        /// what ours do with it.
        pub const LEVELS: &[(&str, u8)] = &[$((stringify!($name), $level)),+];
    };
}

/// Writes to a place that the driver gave.
fn put<T>(place: *mut T, value: T) {
    // SAFETY: a place of the driver's, for this call to write to.
    unsafe { place.write(value) };
}

fn text(name: *const UNICODE_STRING) -> String {
    // SAFETY: a string of the driver's, valid during the call.
    let name = unsafe { &*name };
    // SAFETY: as long as it says.
    let units = unsafe { std::slice::from_raw_parts(name.Buffer, usize::from(name.Length) / 2) };
    String::from_utf16_lossy(units)
}

/// Returns the access list of a security descriptor that is in one piece.
fn access_list(descriptor: *const c_void) -> Vec<u8> {
    /// Offsets of where the list begins, and in the list of its length.
    const LIST: usize = 16;
    const LENGTH: usize = 2;
    let descriptor = descriptor.cast::<u8>();
    // SAFETY: a descriptor of the driver's, valid during the call.
    let at = unsafe { descriptor.wrapping_add(LIST).cast::<u32>().read_unaligned() } as usize;
    // SAFETY: its list has a header.
    let length = unsafe {
        descriptor
            .wrapping_add(at + LENGTH)
            .cast::<u16>()
            .read_unaligned()
    };
    // SAFETY: as long as its header says.
    unsafe { std::slice::from_raw_parts(descriptor.wrapping_add(at), length.into()) }.to_vec()
}

/// Checks that a handle of the driver's is kept out of the app's hands.
fn is_own(attributes: u32) {
    if attributes & nt::OBJ_KERNEL_HANDLE == 0 {
        broken("a handle of the driver's that an app can use");
    }
}

/// A pointer that a thread takes with it.
struct Taken(*mut c_void);

// SAFETY: the driver vouches for it when it starts a thread.
unsafe impl Send for Taken {}

fn lock_of<'a>(lock: *mut usize) -> &'a AtomicUsize {
    // SAFETY: a spin lock of the driver's, which only these functions touch.
    unsafe { AtomicUsize::from_ptr(lock) }
}

static CANCEL: AtomicUsize = AtomicUsize::new(0);

fn acquire(lock: &AtomicUsize) -> KIRQL {
    let address = std::ptr::from_ref(lock).addr();
    HELD.with_borrow(|held| with(|kernel| kernel.locks(held, address)));
    let end = Instant::now() + crate::kernel::PATIENCE;
    while lock.swap(1, Ordering::Acquire) != 0 {
        assert!(Instant::now() < end, "a spin lock that nobody lets go of");
        std::thread::yield_now();
    }
    HELD.with_borrow_mut(|held| held.push(address));
    LEVEL.replace(DISPATCH)
}

fn release(lock: &AtomicUsize, level: KIRQL) {
    let address = std::ptr::from_ref(lock).addr();
    let last = HELD.with_borrow_mut(|held| held.pop());
    if last != Some(address) {
        broken("a spin lock let go of that was not taken last");
    }
    lock.store(0, Ordering::Release);
    LEVEL.set(level);
}

/// Takes the I/O manager's own cancel lock.
pub fn acquire_cancel_lock() -> KIRQL {
    acquire(&CANCEL)
}

pub fn release_cancel_lock(level: KIRQL) {
    release(&CANCEL, level);
}

/// Checks the level of a wait: one that takes time is for the lowest ones.
fn waits(function: &str) {
    if LEVEL.get() >= DISPATCH {
        broken(format!("{function}: waits at DISPATCH_LEVEL"));
    }
}

fn wait_end(timeout: *const i64) -> Option<Instant> {
    // SAFETY: null, or valid during the call.
    unsafe { timeout.as_ref() }.map(|timeout| end_of(*timeout))
}

/// Looks a handle up, as the kernel does: an app's is checked in its process.
fn look_up(
    handle: HANDLE,
    access: u32,
    kind: *const OBJECT_TYPE,
    mode: i8,
) -> Result<usize, NTSTATUS> {
    let own = is_kernel_handle(handle.addr());
    if mode == nt::KERNEL_MODE && !own {
        broken("a handle of an app's that is believed");
    }
    let process = if mode == nt::KERNEL_MODE {
        0
    } else {
        PROCESS.get()
    };
    with(|kernel| {
        let found = kernel.handles.get(&(process, handle.addr()));
        let Some(&Handle { object, rights }) = found else {
            return Err(nt::STATUS_INVALID_HANDLE);
        };
        let it = kernel
            .objects
            .get_mut(&object)
            .ok_or(nt::STATUS_INVALID_HANDLE)?;
        let wanted = match it.kind {
            Kind::Event { .. } => 0x1000,
            Kind::Thread => 0x2000,
            Kind::Device => 0,
        };
        if kind.addr() != wanted {
            return Err(nt::STATUS_OBJECT_TYPE_MISMATCH);
        }
        if rights & access != access {
            return Err(nt::STATUS_ACCESS_DENIED);
        }
        it.referenced += 1;
        it.rights &= access;
        Ok(object)
    })
}

imports! {
    APC fn IoCreateDevice(
        driver: *mut DRIVER_OBJECT, _extension: u32, _name: *const UNICODE_STRING, _kind: u32,
        _characteristics: u32, _exclusive: u8, device: *mut *mut DEVICE_OBJECT
    ) -> NTSTATUS {
        if fails("IoCreateDevice") {
            return NO_MEMORY;
        }
        let address = with(|kernel| {
            let address = kernel.object(Kind::Device, false);
            kernel.device = address;
            address
        });
        // SAFETY: zeroes are a device object without anything.
        let mut made: Box<DEVICE_OBJECT> = unsafe { Box::new_zeroed().assume_init() };
        made.Flags = nt::DO_DEVICE_INITIALIZING;
        let made = Box::leak(made);
        with(|kernel| {
            // The object is known by the address that the driver has.
            let object = kernel.objects.remove(&address);
            let address = std::ptr::from_ref(made).addr();
            kernel.objects.extend(object.map(|object| (address, object)));
            kernel.device = address;
        });
        // SAFETY: the driver's own object.
        let driver = unsafe { &mut *driver };
        driver.DeviceObject = made;
        put(device, driver.DeviceObject);
        STATUS_SUCCESS
    }

    APC fn IoDeleteDevice(device: *mut DEVICE_OBJECT) {
        with(|kernel| {
            if kernel.device != device.addr() {
                kernel.broken.push("IoDeleteDevice: of no device".to_owned());
            }
            kernel.device = 0;
        });
    }

    PASSIVE fn IoCreateSymbolicLink(link: *const UNICODE_STRING, _target: *const UNICODE_STRING) -> NTSTATUS {
        let link = text(link);
        if fails("IoCreateSymbolicLink") {
            return NO_MEMORY;
        }
        with(|kernel| {
            if kernel.protected.is_none() {
                kernel.broken.push("a device has a name before it is protected".to_owned());
            }
            if kernel.links.contains_key(&link) {
                return nt::STATUS_OBJECT_NAME_COLLISION;
            }
            kernel.links.insert(link, true);
            STATUS_SUCCESS
        })
    }

    PASSIVE fn IoDeleteSymbolicLink(link: *const UNICODE_STRING) -> NTSTATUS {
        let link = text(link);
        with(|kernel| {
            if kernel.links.remove(&link) != Some(true) {
                kernel.broken.push("IoDeleteSymbolicLink: of a link that somebody else made".to_owned());
            }
        });
        STATUS_SUCCESS
    }

    DISPATCH fn IofCompleteRequest(irp: *mut IRP, _boost: i8) {
        unlocked("IofCompleteRequest");
        crate::io::complete(irp);
    }

    DISPATCH fn IoAcquireCancelSpinLock(level: *mut KIRQL) {
        put(level, acquire(&CANCEL));
    }

    DISPATCH fn IoReleaseCancelSpinLock(level: KIRQL) {
        release(&CANCEL, level);
    }

    PASSIVE fn ObReferenceObjectByHandle(
        handle: HANDLE, access: u32, kind: *const OBJECT_TYPE, mode: i8, object: *mut *mut c_void,
        _information: *mut c_void
    ) -> NTSTATUS {
        // A handle that the driver was just given for a thread of its own always leads to it.
        if kind.addr() != 0x2000 && fails("ObReferenceObjectByHandle") {
            return NO_MEMORY;
        }
        match look_up(handle, access, kind, mode) {
            Ok(found) => {
                put(object, found as *mut c_void);
                STATUS_SUCCESS
            }
            Err(status) => status,
        }
    }

    DISPATCH fn ObfReferenceObject(object: *mut c_void) -> isize {
        with(|kernel| match kernel.objects.get_mut(&object.addr()) {
            Some(it) if it.referenced > 0 => it.referenced += 1,
            _ => kernel.broken.push("ObfReferenceObject: of an object that is not held".to_owned()),
        });
        1
    }

    DISPATCH fn ObfDereferenceObject(object: *mut c_void) -> isize {
        unlocked("ObfDereferenceObject");
        with(|kernel| match kernel.objects.get_mut(&object.addr()) {
            Some(it) if it.referenced > 0 => it.referenced -= 1,
            _ => kernel.broken.push("ObfDereferenceObject: of an object that is not held".to_owned()),
        });
        1
    }

    PASSIVE fn ObOpenObjectByPointer(
        object: *mut c_void, attributes: u32, _state: *mut c_void, access: u32, _kind: *const OBJECT_TYPE,
        _mode: i8, handle: *mut HANDLE
    ) -> NTSTATUS {
        is_own(attributes);
        if fails("ObOpenObjectByPointer") {
            return NO_MEMORY;
        }
        let number = with(|kernel| kernel.handle(0, object.addr(), access));
        put(handle, number as HANDLE);
        STATUS_SUCCESS
    }

    PASSIVE fn ZwSetSecurityObject(handle: HANDLE, _information: u32, descriptor: *const c_void) -> NTSTATUS {
        if fails("ZwSetSecurityObject") {
            return nt::STATUS_ACCESS_DENIED;
        }
        let list = access_list(descriptor);
        with(|kernel| {
            let handle = kernel.handles.get(&(0, handle.addr()));
            kernel.protected = handle.is_some_and(|it| it.object == kernel.device).then_some(list);
        });
        STATUS_SUCCESS
    }

    PASSIVE fn ZwCreateEvent(
        handle: *mut HANDLE, access: u32, attributes: *const OBJECT_ATTRIBUTES, _kind: i32, initial: u8
    ) -> NTSTATUS {
        // SAFETY: the driver's, valid during the call.
        let attributes = unsafe { &*attributes };
        is_own(attributes.Attributes);
        let name = text(attributes.ObjectName);
        if fails("ZwCreateEvent") {
            return NO_MEMORY;
        }
        let made = with(|kernel| {
            if kernel.names.contains(&name) {
                return None;
            }
            let object = kernel.object(Kind::Event { automatic: false }, false);
            if let Some(object) = kernel.objects.get_mut(&object) {
                object.signalled = initial != 0;
            }
            Some(kernel.handle(0, object, access))
        });
        let Some(number) = made else {
            return nt::STATUS_OBJECT_NAME_COLLISION;
        };
        put(handle, number as HANDLE);
        STATUS_SUCCESS
    }

    PASSIVE fn ZwClose(handle: HANDLE) -> NTSTATUS {
        if with(|kernel| kernel.handles.remove(&(0, handle.addr()))).is_none() {
            broken("ZwClose: of what is no handle of the driver's");
        }
        STATUS_SUCCESS
    }

    HIGH fn KeInitializeEvent(event: *mut KEVENT, kind: i32, state: u8) {
        with(|kernel| {
            let object = crate::kernel::Object {
                kind: Kind::Event { automatic: kind != nt::NOTIFICATION_EVENT },
                signalled: state != 0,
                referenced: 0,
                rights: u32::MAX,
                apps: false,
            };
            kernel.objects.insert(event.addr(), object);
        });
    }

    DISPATCH fn KeSetEvent(event: *mut KEVENT, _increment: i32, _wait: u8) -> i32 {
        let apps = with(|kernel| {
            kernel.asks_for("KeSetEvent", event.addr(), nt::EVENT_MODIFY_STATE);
            let it = kernel.objects.get_mut(&event.addr());
            it.is_some_and(|it| {
                it.signalled = true;
                it.apps
            })
        });
        // As many threads as an app likes may wait for an event of its own, and each is woken.
        if apps {
            unlocked("KeSetEvent, of an app's event");
        }
        0
    }

    DISPATCH fn KeClearEvent(event: *mut KEVENT) {
        with(|kernel| {
            kernel.asks_for("KeClearEvent", event.addr(), nt::EVENT_MODIFY_STATE);
            if let Some(it) = kernel.objects.get_mut(&event.addr()) {
                it.signalled = false;
            }
        });
    }

    DISPATCH fn KeReadStateEvent(event: *mut KEVENT) -> i32 {
        with(|kernel| {
            kernel.asks_for("KeReadStateEvent", event.addr(), nt::EVENT_QUERY_STATE);
            let it = kernel.objects.get(&event.addr());
            it.is_some_and(|it| it.signalled).into()
        })
    }

    DISPATCH fn KeWaitForSingleObject(
        object: *mut c_void, _reason: i32, _mode: i8, _alertable: u8, timeout: *const i64
    ) -> NTSTATUS {
        waits("KeWaitForSingleObject");
        with(|kernel| kernel.asks_for("KeWaitForSingleObject", object.addr(), nt::SYNCHRONIZE));
        match until(wait_end(timeout), |kernel| kernel.take_signal(object.addr())) {
            Some(()) => STATUS_SUCCESS,
            None => nt::STATUS_TIMEOUT,
        }
    }

    DISPATCH fn KeWaitForMultipleObjects(
        count: u32, objects: *const *mut c_void, _kind: i32, _reason: i32, _mode: i8, _alertable: u8,
        timeout: *const i64, blocks: *mut c_void
    ) -> NTSTATUS {
        waits("KeWaitForMultipleObjects");
        if count > 3 && blocks.is_null() {
            broken("KeWaitForMultipleObjects: of more than a thread has wait blocks for");
        }
        // SAFETY: so many objects, valid during the call.
        let objects = unsafe { std::slice::from_raw_parts(objects, count as usize) };
        with(|kernel| {
            for object in objects {
                kernel.asks_for("KeWaitForMultipleObjects", object.addr(), nt::SYNCHRONIZE);
            }
        });
        let first = until(wait_end(timeout), |kernel| {
            objects.iter().position(|object| kernel.take_signal(object.addr()).is_some())
        });
        first.map_or(nt::STATUS_TIMEOUT, |number| number as NTSTATUS)
    }

    APC fn KeDelayExecutionThread(_mode: i8, _alertable: u8, interval: *const i64) -> NTSTATUS {
        // SAFETY: valid during the call.
        let end = end_of(unsafe { *interval });
        std::thread::sleep(end.saturating_duration_since(Instant::now()));
        STATUS_SUCCESS
    }

    HIGH fn KeInitializeTimerEx(timer: *mut KTIMER, _kind: i32) {
        with(|kernel| kernel.timers.insert(timer.addr()));
    }

    DISPATCH fn KeSetTimer(timer: *mut KTIMER, due: i64, dpc: *mut KDPC) -> u8 {
        // Who takes the timer back under the same lock finds it armed, or not at all.
        if HELD.with_borrow(Vec::is_empty) {
            broken("KeSetTimer: beside the lock of who cancels it");
        }
        with(|kernel| {
            if !kernel.timers.contains(&timer.addr()) || !kernel.dpcs.contains_key(&dpc.addr()) {
                kernel.broken.push("KeSetTimer: of what was not initialised".to_owned());
            }
            let before = kernel.armed.insert(timer.addr(), (end_of(due), dpc.addr()));
            before.is_some().into()
        })
    }

    DISPATCH fn KeCancelTimer(timer: *mut KTIMER) -> u8 {
        with(|kernel| kernel.armed.remove(&timer.addr()).is_some().into())
    }

    HIGH fn KeInitializeDpc(dpc: *mut KDPC, routine: DeferredRoutine, context: *mut c_void) {
        with(|kernel| kernel.dpcs.insert(dpc.addr(), (routine, context.addr())));
    }

    PASSIVE fn KeFlushQueuedDpcs() {
        until(None, |kernel| (kernel.deferred == 0).then_some(()));
    }

    DISPATCH fn KeAcquireSpinLockRaiseToDpc(lock: *mut usize) -> KIRQL {
        acquire(lock_of(lock))
    }

    DISPATCH fn KeReleaseSpinLock(lock: *mut usize, level: KIRQL) {
        release(lock_of(lock), level);
    }

    HIGH fn KeGetCurrentProcessorNumberEx(_number: *mut c_void) -> u32 {
        0
    }

    // Lower than for any memory of this kind: it is charged to the app in whose context it is asked for.
    PASSIVE fn ExAllocatePool2(flags: u64, bytes: usize, tag: u32) -> *mut c_void {
        if flags != nt::POOL_FLAG_NON_PAGED | nt::POOL_FLAG_USE_QUOTA {
            broken("ExAllocatePool2: of memory that nobody is charged for");
        }
        if PROCESS.get() == 0 {
            broken("ExAllocatePool2: charged to the system");
        }
        if bytes == 0 || fails("ExAllocatePool2") {
            return std::ptr::null_mut();
        }
        with(|kernel| allocate(kernel, bytes, tag)) as *mut c_void
    }

    DISPATCH fn ExFreePoolWithTag(memory: *mut c_void, tag: u32) {
        unlocked("ExFreePoolWithTag");
        with(|kernel| match kernel.pool.get_mut(&memory.addr()) {
            Some(block) if !block.freed && block.tag == tag => {
                if !block.is_whole() {
                    kernel.broken.push("pool written beside".to_owned());
                }
                let last = block.memory.len() - 1;
                block.memory[1..last].fill(u128::from_ne_bytes([FREED; 16]));
                block.freed = true;
            }
            _ => kernel.broken.push("ExFreePoolWithTag: of no block of this tag".to_owned()),
        });
    }

    PASSIVE fn IoCreateSystemThread(
        object: *mut c_void, handle: *mut HANDLE, access: u32, attributes: *const OBJECT_ATTRIBUTES,
        _process: HANDLE, _client: *mut c_void, start: ThreadStart, context: *mut c_void
    ) -> NTSTATUS {
        if REGIONS.get() == 0 {
            broken("IoCreateSystemThread: by a thread that can be suspended in the driver");
        }
        if with(|kernel| kernel.device != object.addr()) {
            broken("IoCreateSystemThread: without a device to keep");
        }
        // SAFETY: the driver's, valid during the call.
        is_own(unsafe { (*attributes).Attributes });
        if fails("IoCreateSystemThread") {
            return NO_MEMORY;
        }
        let (thread, number) = with(|kernel| {
            let thread = kernel.object(Kind::Thread, false);
            kernel.threads += 1;
            (thread, kernel.handle(0, thread, access))
        });
        put(handle, number as HANDLE);
        let context = Taken(context);
        let join = std::thread::spawn(move || {
            let context = context;
            // SAFETY: the driver vouches for both.
            unsafe { start(context.0) };
            if !ENDED.get() {
                broken("a system thread that returns");
            }
            with(|kernel| {
                kernel.threads -= 1;
                if let Some(object) = kernel.objects.get_mut(&thread) {
                    object.signalled = true;
                }
            });
        });
        let held_up = with(|kernel| {
            kernel.joins.push(join);
            kernel.held_up
        });
        std::thread::sleep(held_up);
        STATUS_SUCCESS
    }

    APC fn KeEnterCriticalRegion() {
        REGIONS.set(REGIONS.get() + 1);
    }

    APC fn KeLeaveCriticalRegion() {
        match REGIONS.get().checked_sub(1) {
            Some(less) => REGIONS.set(less),
            None => broken("KeLeaveCriticalRegion without KeEnterCriticalRegion"),
        }
    }

    HIGH fn IoGetCurrentProcess() -> *mut EPROCESS {
        PROCESS.get() as usize as *mut EPROCESS
    }

    // A process object is its number here, and its token too.
    PASSIVE fn PsReferencePrimaryToken(process: *mut EPROCESS) -> *mut c_void {
        with(|kernel| kernel.tokens += 1);
        process.cast()
    }

    PASSIVE fn PsDereferencePrimaryToken(token: *mut c_void) {
        with(|kernel| kernel.tokens -= 1);
        let _ = token;
    }

    PASSIVE fn SeQueryInformationToken(token: *mut c_void, class: i32, information: *mut *mut c_void) -> NTSTATUS {
        if class != nt::TOKEN_USER_CLASS {
            return nt::STATUS_INVALID_DEVICE_REQUEST;
        }
        if fails("SeQueryInformationToken") {
            return NO_MEMORY;
        }
        let sid = with(|kernel| kernel.users.get(&(token.addr() as u32)).map(|user| user.sid));
        let Some(sid) = sid else {
            return nt::STATUS_INVALID_HANDLE;
        };
        let memory = with(|kernel| allocate(kernel, 16 + sid.len(), 0)) as *mut u8;
        // SAFETY: behind the structure, in the same block.
        let at = unsafe { memory.add(16) };
        put(at.cast(), sid);
        put(memory.cast(), nt::TOKEN_USER { Sid: at, Attributes: 0 });
        put(information, memory.cast());
        STATUS_SUCCESS
    }

    PASSIVE fn SeTokenIsAdmin(token: *mut c_void) -> u8 {
        with(|kernel| {
            let user = kernel.users.get(&(token.addr() as u32));
            user.is_some_and(|user| user.administrator).into()
        })
    }

    PASSIVE fn PsTerminateSystemThread(_status: NTSTATUS) -> NTSTATUS {
        if !HELD.with_borrow(Vec::is_empty) || REGIONS.get() != 0 {
            broken("PsTerminateSystemThread: with a lock held, or in a critical region");
        }
        ENDED.set(true);
        STATUS_SUCCESS
    }

    PASSIVE fn PsSetCreateProcessNotifyRoutineEx(routine: ProcessNotify, remove: u8) -> NTSTATUS {
        if remove == 0 && fails("PsSetCreateProcessNotifyRoutineEx") {
            return NO_MEMORY;
        }
        let known = with(|kernel| {
            let known = kernel.notify.is_some();
            kernel.notify = (remove == 0).then_some(routine);
            known
        });
        if known == (remove == 0) {
            broken("PsSetCreateProcessNotifyRoutineEx: twice, or of none");
        }
        // It waits for calls under way.
        until(None, |kernel| (kernel.notifying == 0).then_some(()));
        STATUS_SUCCESS
    }

    HIGH fn KeQueryPerformanceCounter(frequency: *mut i64) -> i64 {
        static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        put(frequency, 10_000_000);
        let since: Duration = START.get_or_init(Instant::now).elapsed();
        (since.as_nanos() / 100) as i64
    }
}

/// Allocates a block between two words that nobody may write to. Its memory stays when it is freed, so that who still
/// writes to it is found.
fn allocate(kernel: &mut crate::kernel::Kernel, bytes: usize, tag: u32) -> usize {
    let mut memory = vec![0_u128; bytes.div_ceil(16) + 2];
    let last = memory.len() - 1;
    (memory[0], memory[last]) = (GUARD, GUARD);
    let address = memory[1..].as_ptr().addr();
    let block = Block {
        memory,
        tag,
        freed: false,
    };
    kernel.pool.insert(address, block);
    address
}
