//! Model of a kernel with one driver loaded: as strict as NT, in this very process.
//!
//! It runs where there are no privileges, and loom explores it. It refuses whatever a real kernel would refuse: a
//! handle that is not open in the caller's process, one of another type, one without the right to signal; it sends
//! CLEANUP before CLOSE; it does not unload a driver that has open files; and it panics on what would stop a real
//! machine: waiting, allocating or releasing an object with a spin lock held.
//!
//! Its limits: it has one driver, no interrupt that breaks into a lock's holder, and no memory limits. It has one
//! processor, number 0, and a clock that stands at 0: so do the records' stamps.

mod irql;

use crate::driver::table::{About, Buffer, File, Lock, Opener, Platform, Signal, Table};
use crate::ring::Step;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Arc, Condvar, Mutex, MutexGuard};
use crate::sys::Fetched;
use crate::sys::fetched::Attached;
use crate::{Device, Error, System};
use channel_abi::command::{ALL_USERS, Drained, References};
use channel_abi::record::MAX_RECORD;
use channel_abi::{
    AnyCommand, Command, DriverCommand, Ending, Kind, Ledger, Mask, Reference, Referenced, Refusal,
    RequestHeader, VERSION,
};
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::time::{Duration, Instant};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Number of records that one drain request has room for, at their longest.
const RECORDS_AT_ONCE: usize = 4;

/// The model as the app's half uses it: its devices are named by the process that opens them.
#[derive(Debug)]
pub struct Model;

/// Function by which a driver answers commands of its own; returns the length of the answer, in bytes.
type Commands = Box<
    dyn Fn(&Request<'_>, DriverCommand, &mut Buffer<'_>) -> Result<usize, Refusal> + Send + Sync,
>;

/// A kernel that has one driver loaded. Clones are the same kernel.
#[derive(Clone, Default)]
pub struct Kernel(Arc<Machine>);

#[derive(Default)]
struct Machine {
    driver: Table<Model>,
    commands: Option<Commands>,
    open_files: AtomicU64,
    live_events: Arc<AtomicU64>,
}

impl Kernel {
    /// Makes a kernel whose driver answers commands of its own by `answer`.
    #[must_use]
    pub fn with_commands(
        answer: impl Fn(&Request<'_>, DriverCommand, &mut Buffer<'_>) -> Result<usize, Refusal>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        Self(Arc::new(Machine {
            commands: Some(Box::new(answer)),
            ..Machine::default()
        }))
    }

    /// Starts a process of user 0 or, if it is no administrator's, of user 1000. `admin`: it may change the driver for
    /// others.
    #[must_use]
    pub fn process(&self, admin: bool) -> Process {
        self.process_of(if admin { 0 } else { 1000 }, admin)
    }

    /// Starts a process of the user with this number. `admin`: it may change the driver for others.
    #[must_use]
    pub fn process_of(&self, user: u32, admin: bool) -> Process {
        Process {
            kernel: self.clone(),
            user,
            admin,
            own: Arc::new(Mutex::new(Own::default())),
        }
    }

    /// Has the driver offer a record to every app that wants its kind.
    pub fn offer<R: IntoBytes + Immutable>(&self, kind: Kind, record: &R) {
        self.offer_about(kind, &About::Nobody, record);
    }

    /// Has the driver offer a record to every app that wants its kind and may know of whom it is about.
    pub fn offer_about<R: IntoBytes + Immutable>(
        &self,
        kind: Kind,
        about: &About<u32>,
        record: &R,
    ) {
        self.0.driver.offer(kind, about, record);
    }

    /// Returns the number of event objects that exist: with a handle, or with a reference of the driver's.
    #[must_use]
    pub fn live_events(&self) -> u64 {
        self.0.live_events.load(Ordering::SeqCst)
    }

    /// Unloads the driver, if no file of it is open: NT asks for that first.
    ///
    /// # Errors
    /// [`Refusal::Busy`] while a file is open.
    pub fn unload(&self) -> Result<References, Refusal> {
        match self.0.open_files.load(Ordering::SeqCst) {
            0 => Ok(self.0.driver.references()),
            _ => Err(Refusal::Busy),
        }
    }
}

/// A process of the model: handles are numbers in it, and mean nothing elsewhere.
#[derive(Clone)]
pub struct Process {
    kernel: Kernel,
    user: u32,
    admin: bool,
    own: Arc<Mutex<Own>>,
}

#[derive(Default)]
struct Own {
    dead: bool,
    last: u64,
    objects: BTreeMap<u64, Object>,
    files: Vec<Arc<OpenFile>>,
}

enum Object {
    Event {
        event: KernelEvent,
        may_signal: bool,
    },
    Other,
}

impl Process {
    /// Opens the driver's device.
    ///
    /// # Errors
    /// [`Error::System`] if this process was killed.
    pub fn open(&self) -> Result<Device<Model>, Error> {
        Device::on_system(self)
    }

    /// Makes a second handle of an event, without the right to signal it.
    ///
    /// # Errors
    /// [`Error::System`] if the handle is no event's.
    pub fn duplicate_without_signal(&self, handle: u64) -> Result<u64, Error> {
        let mut own = lock(&self.own);
        let event = own.event(handle)?.clone();
        Ok(own.add(Object::Event {
            event,
            may_signal: false,
        }))
    }

    /// Makes a handle of an object that is no event.
    #[must_use]
    pub fn other_object(&self) -> u64 {
        lock(&self.own).add(Object::Other)
    }

    /// Closes a handle.
    pub fn close(&self, handle: u64) {
        let object = lock(&self.own).objects.remove(&handle);
        drop(object);
    }

    /// Ends the process at once, as a kill does: the kernel closes what it had open, in no order that it chose.
    pub fn kill(&self) {
        let (objects, files) = {
            let mut own = lock(&self.own);
            own.dead = true;
            (
                std::mem::take(&mut own.objects),
                std::mem::take(&mut own.files),
            )
        };
        drop(objects);
        for file in files {
            file.close();
        }
    }

    /// References the event behind a handle, as ObReferenceObjectByHandle does with `EVENT_MODIFY_STATE`, the event
    /// type and `UserMode`.
    fn take(&self, handle: u64) -> Result<KernelEvent, Refusal> {
        match lock(&self.own).objects.get(&handle) {
            None => Err(Refusal::Handle),
            Some(Object::Other) => Err(Refusal::Type),
            Some(Object::Event {
                may_signal: false, ..
            }) => Err(Refusal::Access),
            Some(Object::Event { event, .. }) => Ok(event.clone()),
        }
    }
}

impl Own {
    fn add(&mut self, object: Object) -> u64 {
        // Handles are multiples of four, as on NT.
        self.last += 4;
        self.objects.insert(self.last, object);
        self.last
    }

    fn event(&self, handle: u64) -> Result<&KernelEvent, Error> {
        match self.objects.get(&handle) {
            Some(Object::Event { event, .. }) => Ok(event),
            _ => Err(gone("use an event's handle")),
        }
    }
}

/// A counted reference on an event object.
pub struct KernelEvent(Arc<EventObject>);

struct EventObject {
    set: Mutex<bool>,
    wake: Condvar,
    live: Arc<AtomicU64>,
}

impl KernelEvent {
    fn create(kernel: &Kernel) -> Self {
        let live = kernel.0.live_events.clone();
        live.fetch_add(1, Ordering::SeqCst);
        Self(Arc::new(EventObject {
            set: Mutex::new(false),
            wake: Condvar::new(),
            live,
        }))
    }

    /// Returns whether the event is signalled.
    #[must_use]
    pub fn is_set(&self) -> bool {
        *lock(&self.0.set)
    }

    /// Takes the signal back.
    pub fn clear(&self) {
        *lock(&self.0.set) = false;
    }

    /// Waits until the event is set, and takes the signal: an auto-reset event lets one waiter through. Returns `false`
    /// if the time is over.
    pub fn wait(&self, timeout: Option<Duration>) -> bool {
        irql::assert_passive("wait");
        let until = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut set = lock(&self.0.set);
        while !*set {
            set = match until {
                None => self
                    .0
                    .wake
                    .wait(set)
                    .unwrap_or_else(std::sync::PoisonError::into_inner),
                Some(until) => {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return false;
                    }
                    let woken = self.0.wake.wait_timeout(set, left);
                    woken.unwrap_or_else(std::sync::PoisonError::into_inner).0
                }
            };
        }
        *set = false;
        true
    }
}

impl Signal for KernelEvent {
    fn signal(&self) {
        // NT allows it. But it takes as long as threads wait, and others would wait for the lock meanwhile.
        irql::assert_passive("signal an event");
        *lock(&self.0.set) = true;
        self.0.wake.notify_one();
    }
}

impl Clone for KernelEvent {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl Drop for KernelEvent {
    fn drop(&mut self) {
        irql::assert_passive("let go of an object");
    }
}

impl Drop for EventObject {
    fn drop(&mut self) {
        self.live.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A spin lock: the model knows while it is held.
pub struct SpinLock<T>(Mutex<T>);

impl<T: Send> Lock<T> for SpinLock<T> {
    fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    fn with<R>(&self, run: impl FnOnce(&mut T) -> R) -> R {
        let mut value = lock(&self.0);
        let _raised = irql::Raised::new();
        run(&mut value)
    }
}

impl Platform for Model {
    type Event = KernelEvent;
    type Lock<T: Send> = SpinLock<T>;
    type Memory = Vec<u64>;
    type User = u32;

    fn allocate(words: usize) -> Option<Vec<u64>> {
        irql::assert_passive("allocate");
        Some(vec![0; words])
    }

    fn processor() -> u32 {
        0
    }

    fn now_ns() -> u64 {
        0
    }
}

/// An open device: the driver's file, and the process that opened it.
pub struct OpenDevice {
    process: Process,
    file: Arc<OpenFile>,
    attached: Attached,
}

struct OpenFile {
    kernel: Kernel,
    driver: File<Model>,
    open: Mutex<bool>,
}

impl OpenFile {
    /// Closes the file, once: CLEANUP, then CLOSE.
    fn close(&self) {
        if std::mem::replace(&mut *lock(&self.open), false) {
            self.kernel.0.driver.cleanup(&self.driver);
            self.kernel.0.open_files.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

impl Drop for OpenDevice {
    fn drop(&mut self) {
        lock(&self.process.own)
            .files
            .retain(|file| !Arc::ptr_eq(file, &self.file));
        self.file.close();
    }
}

impl OpenDevice {
    /// Makes a raw request, as DeviceIoControl does: `input` may be anything.
    ///
    /// # Errors
    /// The driver's [`Refusal`].
    pub fn request(&self, command: u32, input: &[u8], room: usize) -> Result<Vec<u8>, Refusal> {
        let command = AnyCommand::try_from(command)?;
        let mut bytes = vec![0; input.len().max(room)];
        bytes[..input.len()].copy_from_slice(input);
        let mut buffer = Buffer {
            bytes: &mut bytes,
            input: input.len(),
            output: room,
        };
        let length = match command {
            AnyCommand::Driver(command) => {
                let answer = self.file.kernel.0.commands.as_ref();
                answer.ok_or(Refusal::Command)?(&Request(&self.file), command, &mut buffer)?
            }
            AnyCommand::Channel(command) => self.file.kernel.0.driver.request(
                &self.file.driver,
                command,
                &mut buffer,
                self.process.admin,
                |handle| self.process.take(handle),
            )?,
        };
        bytes.truncate(length);
        Ok(bytes)
    }

    fn call(
        &self,
        command: impl Into<AnyCommand>,
        input: &[u8],
        room: usize,
    ) -> Result<Vec<u8>, Error> {
        let command = command.into();
        if lock(&self.process.own).dead {
            return Err(gone("use a device"));
        }
        self.request(command.number(), input, room)
            .map_err(|refusal| Error::refused(command, refusal))
    }
}

/// A request with a command of the driver's own, as the driver sees it: it knows the open file that it came on.
pub struct Request<'a>(&'a OpenFile);

impl Request<'_> {
    /// Takes a further reference on the app's event. It is not counted in [`References`]: drop it soon.
    ///
    /// # Errors
    /// [`Refusal::NotReferenced`] if the app has none attached.
    pub fn event(&self) -> Result<KernelEvent, Refusal> {
        self.0.kernel.0.driver.event(&self.0.driver)
    }

    /// Offers a record to this app alone, if its mask wants the kind.
    ///
    /// # Errors
    /// [`Refusal::NotReferenced`] if the app has no event attached.
    pub fn offer<R: IntoBytes + Immutable>(&self, kind: Kind, record: &R) -> Result<(), Refusal> {
        self.0
            .kernel
            .0
            .driver
            .offer_to(&self.0.driver, kind, record)
    }

    /// Returns the number of records that wait for the app, also of a reference that has ended.
    ///
    /// # Errors
    /// [`Refusal::NotReferenced`] if the app never had an event attached.
    pub fn waiting(&self) -> Result<u64, Refusal> {
        self.0.kernel.0.driver.waiting(&self.0.driver)
    }
}

/// An event of a process of the model.
#[derive(Debug)]
pub struct AppEvent {
    process: Process,
    handle: u64,
    ring_bytes: u32,
}

impl AppEvent {
    /// Returns the handle, as it goes down to the driver.
    #[must_use]
    pub const fn handle(&self) -> u64 {
        self.handle
    }

    /// Returns the object behind the handle.
    ///
    /// # Errors
    /// [`Error::System`] if the handle is closed.
    pub fn kernel_event(&self) -> Result<KernelEvent, Error> {
        lock(&self.process.own).event(self.handle).cloned()
    }
}

impl Drop for AppEvent {
    fn drop(&mut self) {
        self.process.close(self.handle);
    }
}

impl System for Model {
    type Name = Process;
    type Device = OpenDevice;
    type Event = AppEvent;
    type Source = Fetched;

    fn open(process: &Process) -> Result<OpenDevice, Error> {
        let kernel = process.kernel.clone();
        let file = Arc::new(OpenFile {
            kernel,
            driver: File::new(Opener {
                user: process.user,
                administrator: process.admin,
            }),
            open: Mutex::new(true),
        });
        let mut own = lock(&process.own);
        if own.dead {
            return Err(gone("open a device"));
        }
        process.kernel.0.open_files.fetch_add(1, Ordering::SeqCst);
        own.files.push(file.clone());
        Ok(OpenDevice {
            process: process.clone(),
            file,
            attached: Attached::default(),
        })
    }

    fn create_event(device: &OpenDevice, ring_bytes: u32) -> Result<AppEvent, Error> {
        let process = device.process.clone();
        let event = KernelEvent::create(&process.kernel);
        let handle = lock(&process.own).add(Object::Event {
            event,
            may_signal: true,
        });
        Ok(AppEvent {
            process,
            handle,
            ring_bytes,
        })
    }

    fn ring_bytes(event: &AppEvent) -> u32 {
        event.ring_bytes
    }

    fn set(event: &AppEvent) -> Result<(), Error> {
        event.kernel_event().map(|event| event.signal())
    }

    fn clear(event: &AppEvent) -> Result<(), Error> {
        event.kernel_event().map(|event| event.clear())
    }

    fn is_set(event: &AppEvent) -> Result<bool, Error> {
        event.kernel_event().map(|event| event.is_set())
    }

    fn attach(device: &OpenDevice, event: &AppEvent, mask: Mask) -> Result<Fetched, Error> {
        let request = Reference {
            version: VERSION,
            ring_bytes: event.ring_bytes,
            mask: mask.0,
            users: ALL_USERS,
            event: event.handle,
        };
        let answer = device.call(
            Command::Reference,
            request.as_bytes(),
            size_of::<Referenced>(),
        )?;
        Referenced::read_from_bytes(&answer)
            .map_err(|_| Error::Contract("an answer of the wrong length"))?;
        Ok(device.attached.one_more(
            size_of::<Drained>() + RECORDS_AT_ONCE * MAX_RECORD,
            event.ring_bytes as usize,
        ))
    }

    fn detach(device: &OpenDevice, fetched: &Fetched) -> Result<(), Error> {
        device
            .attached
            .check(fetched.number(), Command::Dereference)?;
        device.call(Command::Dereference, &[], 0).map(drop)
    }

    fn wait(
        device: &OpenDevice,
        event: &AppEvent,
        _: &Fetched,
        timeout: Option<Duration>,
    ) -> Result<bool, Error> {
        if lock(&device.process.own).dead {
            return Err(gone("wait"));
        }
        Ok(event.kernel_event()?.wait(timeout))
    }

    fn drain(
        device: &OpenDevice,
        fetched: &mut Fetched,
        each: &mut dyn FnMut(&[u8]) -> Result<Step, Error>,
    ) -> Result<Option<Ending>, Error> {
        let number = fetched.number();
        let fetch = |room: &mut [u8]| {
            device.attached.check(number, Command::Drain)?;
            let answer = device.call(Command::Drain, &[], room.len())?;
            room[..answer.len()].copy_from_slice(&answer);
            Ok(answer.len())
        };
        fetched.drain(fetch, each)
    }

    fn ledger(device: &OpenDevice, fetched: &Fetched) -> Result<Ledger, Error> {
        device.attached.check(fetched.number(), Command::Account)?;
        let answer = device.call(Command::Account, &[], size_of::<Ledger>())?;
        Ledger::read_from_bytes(&answer)
            .map_err(|_| Error::Contract("an answer of the wrong length"))
    }

    fn in_ring(device: &OpenDevice, fetched: &Fetched) -> Result<u64, Error> {
        device.attached.check(fetched.number(), Command::Drain)?;
        let answer = device.call(Command::Drain, &[], size_of::<Drained>())?;
        let drained = Drained::read_from_bytes(&answer);
        drained
            .map(|drained| drained.waiting + fetched.waiting())
            .map_err(|_| Error::Contract("an answer of the wrong length"))
    }

    fn request(device: &OpenDevice, command: DriverCommand, bytes: &mut [u8]) -> Result<(), Error> {
        let header = RequestHeader {
            command: command.number(),
            ..RequestHeader::default()
        };
        header
            .write_to_prefix(bytes)
            .map_err(|_| Error::refused(command, Refusal::Length))?;
        let answer = device.call(command, bytes, bytes.len())?;
        if answer.len() != bytes.len() {
            return Err(Error::Contract("an answer of the wrong length"));
        }
        bytes.copy_from_slice(&answer);
        Ok(())
    }

    fn references(device: &OpenDevice) -> Result<References, Error> {
        let answer = device.call(Command::References, &[], size_of::<References>())?;
        References::read_from_bytes(&answer)
            .map_err(|_| Error::Contract("an answer of the wrong length"))
    }

    fn detach_all(device: &OpenDevice) -> Result<(), Error> {
        device.call(Command::DetachAll, &[], 0).map(drop)
    }

    fn resume(device: &OpenDevice) -> Result<(), Error> {
        device.call(Command::Resume, &[], 0).map(drop)
    }
}

/// Implements `Debug` for the model's objects by their type's name alone: what is in them stands behind locks.
macro_rules! debug_by_name {
    ($($name:ident $(<$of:tt>)?),+) => {$(
        impl $(<$of>)? fmt::Debug for $name $(<$of>)? {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }
    )+};
}

debug_by_name!(Kernel, Process, OpenDevice, KernelEvent, SpinLock<T>);

impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").finish_non_exhaustive()
    }
}

/// Makes the error of a call by a dead process, or on a closed handle.
fn gone(what: &'static str) -> Error {
    Error::System {
        what,
        source: io::Error::from(io::ErrorKind::BrokenPipe),
    }
}

/// Locks a mutex, also a poisoned one: a panic elsewhere has failed its test already; the model's data is whole between
/// statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
