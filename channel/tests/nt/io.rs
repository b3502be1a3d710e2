//! The I/O manager: loads a driver, opens its device, sends it requests, cancels and closes, and unloads it. As on NT a
//! file's CLEANUP comes beside its requests, its CLOSE after the last of them, and an unload after the last file's.

use crate::imports::{acquire_cancel_lock, release_cancel_lock};
use crate::kernel::{
    DEFERRED, DISPATCH, ENDED, FREED, HELD, Kernel, Kind, LEVEL, PASSIVE, PROCESS, REGIONS,
    Request, User, broken, until, with,
};
use channel::driver::wdm::nt::{
    self, Cancel, DRIVER_OBJECT, FILE_OBJECT, IO_STACK_LOCATION, IRP, NTSTATUS, STATUS_PENDING,
};
use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Processes: an app of a user, one of another, and an administrator's.
pub const USER: u32 = 4;
pub const OTHER: u32 = 8;
pub const ADMINISTRATOR: u32 = 12;

/// Lock of the machine: the functions of a kernel are the program's, so there is one at a time.
static ONE: Mutex<()> = Mutex::new(());

/// A machine with a driver. Dropped, it says which rules were broken.
pub struct Machine {
    driver: usize,
    timers: Option<std::thread::JoinHandle<()>>,
    _one: MutexGuard<'static, ()>,
}

/// Sender of requests to a driver's device.
#[derive(Clone, Copy)]
struct Sender {
    driver: usize,
    device: usize,
}

/// Memory of a request: what lies in it is the driver's until it completes the request.
struct Packet {
    irp: IRP,
    stack: IO_STACK_LOCATION,
}

/// An open file.
#[derive(Clone, Copy, Debug)]
pub struct File {
    object: usize,
    process: u32,
}

/// A request that was sent.
#[derive(Clone, Copy, Debug)]
pub struct Sent(usize);

/// Findings about a driver that is gone.
#[derive(Debug, Default)]
pub struct Gone {
    /// Status of its entry, or of one that was unloaded.
    pub status: NTSTATUS,
    /// Name of the call that was made to fail.
    pub failed: Option<&'static str>,
    /// Names of the functions that the driver called.
    pub called: BTreeSet<&'static str>,
    /// Links that are left, and whether the driver has made each.
    pub links: HashMap<String, bool>,
}

/// End of a request: its status, and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    pub status: NTSTATUS,
    pub answer: Vec<u8>,
}

fn zeroed<T>() -> Box<T> {
    // SAFETY: for the kernel's structures of integers, pointers and routines that may be missing.
    unsafe { Box::new_zeroed().assume_init() }
}

/// Runs a closure in an app's context.
fn as_process<R>(process: u32, run: impl FnOnce() -> R) -> R {
    let before = PROCESS.replace(process);
    let result = run();
    PROCESS.set(before);
    result
}

impl Machine {
    /// Loads a driver by its entry; the call of number `fails`, of those that can fail, does.
    pub fn load(
        fails: Option<usize>,
        entry: impl FnOnce(*mut DRIVER_OBJECT) -> NTSTATUS,
    ) -> Result<Self, Gone> {
        Self::load_beside(fails, |_| {}, entry)
    }

    /// Loads a driver, as [`Machine::load`] does, on a machine that `prepare` has changed.
    pub fn load_beside(
        fails: Option<usize>,
        prepare: impl FnOnce(&mut Kernel),
        entry: impl FnOnce(*mut DRIVER_OBJECT) -> NTSTATUS,
    ) -> Result<Self, Gone> {
        let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        ENDED.set(false);
        with(|kernel| {
            *kernel = Kernel {
                image: true,
                fails,
                ..Kernel::default()
            };
            for (process, number, administrator) in [
                (USER, 1, false),
                (OTHER, 2, false),
                (ADMINISTRATOR, 3, true),
            ] {
                let sid = [1, 1, 0, 0, 0, 0, 0, 5, number, 0, 0, 0];
                kernel.users.insert(process, User { sid, administrator });
            }
            prepare(kernel);
        });
        let driver = Box::leak(zeroed::<DRIVER_OBJECT>());
        let machine = Self {
            driver: std::ptr::from_mut(driver).addr(),
            timers: Some(std::thread::spawn(timers)),
            _one: one,
        };
        let status = entry(driver);
        left("DriverEntry");
        if status < 0 {
            return Err(machine.gone(status));
        }
        machine.device_is_open();
        Ok(machine)
    }

    fn driver(&self) -> *mut DRIVER_OBJECT {
        self.driver as *mut DRIVER_OBJECT
    }

    fn device(&self) -> *mut nt::DEVICE_OBJECT {
        // SAFETY: the driver's object lives as long as the program.
        unsafe { (*self.driver()).DeviceObject }
    }

    fn device_is_open(&self) {
        // SAFETY: a device that is not deleted.
        let flags = unsafe { (*self.device()).Flags };
        if flags & nt::DO_DEVICE_INITIALIZING != 0 {
            broken("a driver that is loaded lets nobody in");
        }
    }

    /// Opens the device.
    pub fn open(&self, process: u32) -> Result<File, NTSTATUS> {
        self.open_name(process, &[])
    }

    /// Opens what is below the device by this name.
    pub fn open_name(&self, process: u32, name: &'static [u16]) -> Result<File, NTSTATUS> {
        let file = Box::leak(zeroed::<FILE_OBJECT>());
        file.FileName = nt::UNICODE_STRING {
            Length: (name.len() * 2) as u16,
            MaximumLength: (name.len() * 2) as u16,
            Buffer: name.as_ptr(),
        };
        let file = File {
            object: std::ptr::from_mut(file).addr(),
            process,
        };
        let end = self.send(file, nt::IRP_MJ_CREATE, 0, &[], 0).end();
        if end.status < 0 {
            return Err(end.status);
        }
        Ok(file)
    }

    /// Closes a file: CLEANUP at once, CLOSE once no request is left.
    pub fn close(&self, file: File) {
        self.clean_up(file);
        self.close_late(file);
    }

    /// Sends CLEANUP: the app's last handle goes; its requests may go on.
    pub fn clean_up(&self, file: File) {
        self.send(file, nt::IRP_MJ_CLEANUP, 0, &[], 0).end();
    }

    pub fn close_late(&self, file: File) {
        until(None, |kernel| {
            let mut theirs = kernel.requests.values().filter(|it| it.file == file.object);
            theirs.all(|it| it.end.is_some()).then_some(())
        });
        self.send(file, nt::IRP_MJ_CLOSE, 0, &[], 0).end();
    }

    /// Sends a control request.
    pub fn control(&self, file: File, code: u32, input: &[u8], output: usize) -> Sent {
        self.send(file, nt::IRP_MJ_DEVICE_CONTROL, code, input, output)
    }

    /// Sends a control request from a thread of its own, and comes back once it is completed, whether its routine has
    /// or not.
    pub fn send_beside(&self, file: File, code: u32, input: &[u8]) -> std::thread::JoinHandle<()> {
        let before = with(|kernel| kernel.requests.len());
        let (sender, input) = (self.sender(), input.to_vec());
        let thread = std::thread::spawn(move || {
            sender.send(file, nt::IRP_MJ_DEVICE_CONTROL, code, &input, input.len());
        });
        until(None, |kernel| {
            let all_done = kernel.requests.values().all(|it| it.end.is_some());
            (kernel.requests.len() > before && all_done).then_some(())
        });
        thread
    }

    fn sender(&self) -> Sender {
        Sender {
            driver: self.driver,
            device: self.device().addr(),
        }
    }

    fn send(&self, file: File, major: usize, code: u32, input: &[u8], output: usize) -> Sent {
        self.sender().send(file, major, code, input, output)
    }

    /// Makes an event of an app's, and returns its handle, opened for these rights.
    pub fn event(&self, process: u32, rights: u32) -> u64 {
        with(|kernel| {
            let object = kernel.object(Kind::Event { automatic: true }, true);
            kernel.handle(process, object, rights) as u64
        })
    }

    /// Returns whether an app's event was signalled, and takes the signal.
    pub fn was_signalled(&self, process: u32, handle: u64) -> bool {
        with(|kernel| {
            let object = kernel.handles[&(process, handle as usize)].object;
            kernel.take_signal(object).is_some()
        })
    }

    /// Sets an app's event, as the app itself does.
    pub fn set(&self, process: u32, handle: u64) {
        with(|kernel| {
            let object = kernel.handles[&(process, handle as usize)].object;
            if let Some(object) = kernel.objects.get_mut(&object) {
                object.signalled = true;
            }
        });
    }

    /// Starts a process: whoever asked for it is told.
    pub fn process_starts(&self, process: u32) {
        let routine = with(|kernel| {
            kernel.notifying += u32::from(kernel.notify.is_some());
            kernel.notify
        });
        let Some(routine) = routine else { return };
        let mut start = zeroed::<nt::PS_CREATE_NOTIFY_INFO>();
        start.Size = size_of::<nt::PS_CREATE_NOTIFY_INFO>();
        // SAFETY: registered, and its removal waits for this call.
        unsafe {
            routine(
                process as usize as *mut nt::EPROCESS,
                process as usize as nt::HANDLE,
                &raw const *start,
            )
        };
        left("a process callback");
        with(|kernel| kernel.notifying -= 1);
    }

    /// Unloads the driver, as when its service is stopped: no file is open any more.
    pub fn unload(self) -> Gone {
        // SAFETY: the driver's object lives as long as the program.
        let unload = unsafe { (*self.driver()).DriverUnload };
        // SAFETY: the driver's own routine, with its own object.
        unload.map_or_else(
            || broken("a driver that can't be unloaded"),
            |unload| unsafe { unload(self.driver()) },
        );
        left("DriverUnload");
        self.gone(nt::STATUS_SUCCESS)
    }

    /// Waits for the threads, which keep the device, and so the image; then it goes, and nothing of it may be left.
    fn gone(self, status: NTSTATUS) -> Gone {
        until(None, |kernel| (kernel.threads == 0).then_some(()));
        with(|kernel| {
            kernel.image = false;
            kernel.balances();
            kernel.check_completed();
            Gone {
                status,
                failed: kernel.failed,
                called: kernel.called.clone(),
                links: kernel.links.clone(),
            }
        })
    }
}

impl Sender {
    fn send(&self, file: File, major: usize, code: u32, input: &[u8], output: usize) -> Sent {
        let mut buffer = vec![0_u64; input.len().max(output).div_ceil(8)];
        let packet = Box::leak(zeroed::<Packet>());
        packet.stack.MajorFunction = major as u8;
        packet.stack.FileObject = file.object as *mut FILE_OBJECT;
        packet.stack.DeviceObject = self.device as *mut nt::DEVICE_OBJECT;
        packet.stack.DeviceIoControl.IoControlCode = code;
        packet.stack.DeviceIoControl.InputBufferLength = input.len() as u32;
        packet.stack.DeviceIoControl.OutputBufferLength = output as u32;
        packet.irp.RequestorMode = nt::USER_MODE;
        packet.irp.CurrentStackLocation = &raw mut packet.stack;
        if !buffer.is_empty() {
            packet.irp.SystemBuffer = buffer.as_mut_ptr().cast();
            // SAFETY: as long as the longer of the two.
            let bytes = unsafe {
                std::slice::from_raw_parts_mut(buffer.as_mut_ptr().cast::<u8>(), input.len())
            };
            bytes.copy_from_slice(input);
        }
        let request = Request {
            buffer: buffer.as_ptr().addr(),
            buffer_bytes: buffer.len() * 8,
            file: file.object,
            ..Request::default()
        };
        std::mem::forget(buffer);
        let early = with(|kernel| kernel.cancelled_early);
        packet.irp.Cancel.store(early.into(), Ordering::SeqCst);
        let irp = &raw mut packet.irp;
        with(|kernel| kernel.requests.insert(irp.addr(), request));
        self.dispatch(file.process, major, irp);
        Sent(irp.addr())
    }

    fn dispatch(&self, process: u32, major: usize, irp: *mut IRP) {
        // SAFETY: the driver's object lives as long as the program; nobody writes to it once it is loaded.
        let driver = unsafe { &*(self.driver as *const DRIVER_OBJECT) };
        let routine = driver.MajorFunction.get(major).copied().flatten();
        let Some(routine) = routine else {
            return broken("a request for which the driver has no routine");
        };
        // SAFETY: a request as the I/O manager makes it.
        let status = as_process(process, || unsafe {
            routine(self.device as *mut nt::DEVICE_OBJECT, irp)
        });
        left("a dispatch routine");
        with(|kernel| {
            let end = kernel.requests.get(&irp.addr()).and_then(|it| it.end);
            match end {
                // Of one that is pending nobody may look at the bit any more: `complete` did.
                _ if status == STATUS_PENDING => {}
                Some((completed, _)) if completed == status => {}
                Some(_) => kernel
                    .broken
                    .push("a routine returns another status than it completed by".to_owned()),
                None => kernel.broken.push(
                    "a routine neither completed its request nor said it is pending".to_owned(),
                ),
            }
            if status == STATUS_PENDING
                && let Some(request) = kernel.requests.get_mut(&irp.addr())
            {
                request.pending_returned = true;
            }
        });
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        with(|kernel| kernel.off = true);
        let joins = with(|kernel| std::mem::take(&mut kernel.joins));
        let timers = self.timers.take();
        for join in joins.into_iter().chain(timers) {
            if join.join().is_err() {
                broken("a thread of the machine's panicked");
            }
        }
        let (rules, failed) = with(|kernel| (std::mem::take(&mut kernel.broken), kernel.failed));
        if !std::thread::panicking() {
            assert!(rules.is_empty(), "{rules:#?}, where {failed:?} failed");
        }
    }
}

impl Sent {
    /// Waits until the request was completed; returns its end.
    pub fn end(self) -> End {
        let end = until(None, |kernel| {
            let request = kernel.requests.get(&self.0)?;
            request.end.map(|(status, bytes)| End {
                status,
                answer: request.output.get(..bytes).unwrap_or_default().to_vec(),
            })
        });
        end.expect("a request is completed")
    }

    /// Cancels the request, as `IoCancelIrp` does.
    pub fn cancel(self) {
        let irp = self.0 as *mut IRP;
        let level = acquire_cancel_lock();
        // Under that lock no request is completed whose routine is called.
        let routine = with(|kernel| {
            if kernel.requests[&self.0].end.is_some() {
                return None;
            }
            // SAFETY: not completed, so its memory is a request's.
            let cancel = unsafe { &(*irp).Cancel };
            cancel.store(1, Ordering::SeqCst);
            // SAFETY: the same.
            let routine = unsafe { &(*irp).CancelRoutine };
            let routine = routine.swap(std::ptr::null_mut(), Ordering::SeqCst);
            (!routine.is_null()).then_some(routine)
        });
        let Some(routine) = routine else {
            return release_cancel_lock(level);
        };
        // SAFETY: the request is not completed: whoever completes it waits for its routine.
        let place = unsafe { &raw mut (*irp).CancelIrql };
        // SAFETY: as above.
        unsafe { place.write(level) };
        // SAFETY: what the driver has put there is such a routine.
        let routine = unsafe { std::mem::transmute::<*mut std::ffi::c_void, Cancel>(routine) };
        // SAFETY: as above.
        unsafe { routine(std::ptr::null_mut(), irp) };
        left("a cancel routine");
    }
}

/// Checks the state in which a thread has left the driver's code: nothing raised, held or entered.
fn left(what: &str) {
    if LEVEL.get() != PASSIVE || REGIONS.get() != 0 || HELD.with_borrow(|held| !held.is_empty()) {
        broken(format!(
            "{what} left its thread at a raised level, or in a critical region"
        ));
        LEVEL.set(PASSIVE);
        REGIONS.set(0);
    }
}

/// Completes a request, as `IofCompleteRequest` does.
pub fn complete(irp: *mut IRP) {
    with(|kernel| {
        let Some(request) = kernel.requests.get_mut(&irp.addr()) else {
            return kernel
                .broken
                .push("IofCompleteRequest: of what is no request".to_owned());
        };
        if request.end.is_some() {
            return kernel
                .broken
                .push("IofCompleteRequest: of one that was completed".to_owned());
        }
        // SAFETY: not completed yet, so its memory is a request's.
        let irp = unsafe { &mut *irp };
        if !irp.CancelRoutine.load(Ordering::SeqCst).is_null() {
            kernel
                .broken
                .push("IofCompleteRequest: of one that can still be cancelled".to_owned());
        }
        let status = irp.IoStatus.Status;
        if status == STATUS_PENDING {
            kernel
                .broken
                .push("IofCompleteRequest: as pending".to_owned());
        }
        // SAFETY: the packet that it lies in.
        let stack = unsafe { &*irp.CurrentStackLocation };
        request.marked = stack.Control & nt::SL_PENDING_RETURNED != 0;
        let room = stack.DeviceIoControl.OutputBufferLength as usize;
        if irp.IoStatus.Information > room {
            kernel
                .broken
                .push("IofCompleteRequest: with more than there is room for".to_owned());
        }
        if request.buffer_bytes > 0 {
            // SAFETY: the request's buffer, as long as was noted.
            let buffer = unsafe {
                std::slice::from_raw_parts_mut(request.buffer as *mut u8, request.buffer_bytes)
            };
            request.output = buffer[..room.min(buffer.len())].to_vec();
            buffer.fill(FREED);
        }
        request.end = Some((status, irp.IoStatus.Information));
        // SAFETY: a request's own bytes, which nobody may look at any more.
        unsafe {
            std::ptr::from_mut(irp)
                .cast::<u8>()
                .write_bytes(FREED, size_of::<IRP>())
        };
    });
}

impl Kernel {
    /// Checks that nobody has written to a request that was completed, and that each that was marked as pending was
    /// returned as such.
    fn check_completed(&mut self) {
        for (address, request) in &self.requests {
            if request.end.is_none() {
                self.broken
                    .push("a request that was never completed".to_owned());
                continue;
            }
            if request.marked != request.pending_returned {
                self.broken
                    .push("the pending bit and the status that was returned differ".to_owned());
            }
            let places = [
                (*address, size_of::<IRP>()),
                (request.buffer, request.buffer_bytes),
            ];
            for (start, length) in places.into_iter().filter(|(_, length)| *length > 0) {
                // SAFETY: memory of the request's that is never freed.
                let bytes = unsafe { std::slice::from_raw_parts(start as *const u8, length) };
                if bytes.iter().any(|byte| *byte != FREED) {
                    self.broken
                        .push("a request written to after it was completed".to_owned());
                }
            }
        }
    }
}

/// Runs what is due at DISPATCH_LEVEL, as the processor's clock does, until the machine is off.
fn timers() {
    loop {
        let due = with(|kernel| {
            let now = Instant::now();
            let (timer, (_, dpc)) = kernel.armed.iter().find(|(_, (due, _))| *due <= now)?;
            let (timer, dpc) = (*timer, *dpc);
            kernel.armed.remove(&timer);
            kernel.deferred += 1;
            kernel
                .dpcs
                .get(&dpc)
                .map(|(routine, context)| (dpc, *routine, *context))
        });
        if let Some((dpc, routine, context)) = due {
            DEFERRED.set(true);
            LEVEL.set(DISPATCH);
            let none = std::ptr::null_mut();
            // SAFETY: as it was initialised; the driver flushes what is under way before it is unloaded.
            unsafe {
                routine(
                    dpc as *mut nt::KDPC,
                    context as *mut std::ffi::c_void,
                    none,
                    none,
                )
            };
            if LEVEL.get() != DISPATCH || HELD.with_borrow(|held| !held.is_empty()) {
                broken("a deferred routine left another level, or a lock held");
            }
            with(|kernel| kernel.deferred -= 1);
        } else if with(|kernel| kernel.off) {
            return;
        } else {
            std::thread::sleep(std::time::Duration::from_micros(200));
        }
    }
}
