//! Backing of Windows: a device is opened by its name, an event is an auto-reset event, a request is a
//! `DeviceIoControl`.
//!
//! The device is opened for overlapped use: the I/O manager would else serialise all requests on the handle, and one
//! that waits in the driver would hold up every other.

#[cfg(feature = "async")]
mod arrival;
mod request;
pub mod service;

#[cfg(feature = "async")]
pub(crate) use arrival::Arrival;

use crate::ring::Step;
use crate::sys::Fetched;
use crate::sys::fetched::Attached;
use crate::{Attachment, Error, System};
use channel_abi::command::{ALL_USERS, Drained, References};
use channel_abi::{
    AnyCommand, Command, DriverCommand, Ending, Ledger, Mask, Reference, Referenced, Refusal,
    RequestHeader, VERSION,
};
use std::os::windows::io::{AsHandle, AsRawHandle, BorrowedHandle, FromRawHandle, OwnedHandle};
use std::time::Duration;
use windows_sys::Win32::Foundation::{
    ERROR_ACCESS_DENIED, ERROR_BAD_PATHNAME, ERROR_FILE_NOT_FOUND, ERROR_INVALID_NAME,
    ERROR_NO_SYSTEM_RESOURCES, ERROR_NOT_ENOUGH_QUOTA, ERROR_PATH_NOT_FOUND, GENERIC_READ,
    GENERIC_WRITE, HANDLE, INVALID_HANDLE_VALUE, WAIT_OBJECT_0, WAIT_TIMEOUT,
};
use windows_sys::Win32::Storage::FileSystem::{
    CreateFileW, FILE_FLAG_OVERLAPPED, FILE_SHARE_READ, FILE_SHARE_WRITE, OPEN_EXISTING,
    SECURITY_IDENTIFICATION, SECURITY_SQOS_PRESENT,
};
use windows_sys::Win32::System::Threading::{
    INFINITE, OpenEventW, ResetEvent, SYNCHRONIZATION_SYNCHRONIZE, SetEvent, WaitForSingleObject,
};
use zerocopy::IntoBytes;

/// Largest number of bytes that one drain fetches.
const DRAIN_BYTES: usize = 64 * 1024;

/// Windows as the app's half uses it.
#[derive(Debug)]
pub struct Windows;

/// An open device of a driver.
#[derive(Debug)]
pub struct OpenDevice {
    name: String,
    handle: OwnedHandle,
    attached: Attached,
}

/// An unnamed auto-reset event of this app.
#[derive(Debug)]
pub struct OwnEvent {
    handle: OwnedHandle,
    ring_bytes: u32,
}

/// A named event that a driver made, opened to wait on it, as in the article's background.
#[derive(Debug)]
pub struct NamedEvent(OwnedHandle);

impl OpenDevice {
    /// Opens a device with these rights.
    fn open(name: &str, rights: u32) -> Result<Self, Error> {
        let path = wide(&global(name));
        // SAFETY: a terminated string; the other pointers may be null.
        let handle = unsafe {
            CreateFileW(
                path.as_ptr(),
                rights,
                FILE_SHARE_READ | FILE_SHARE_WRITE,
                std::ptr::null(),
                OPEN_EXISTING,
                // Whatever answers to the name may learn who asks, and not act for them.
                FILE_FLAG_OVERLAPPED | SECURITY_SQOS_PRESENT | SECURITY_IDENTIFICATION,
                std::ptr::null_mut(),
            )
        };
        if handle == INVALID_HANDLE_VALUE {
            return Err(cannot_open(name));
        }
        Ok(Self {
            name: name.to_owned(),
            handle: own(handle),
            attached: Attached::default(),
        })
    }

    /// Sends a request as it is, with any command's bytes; returns the answer's length.
    ///
    /// # Errors
    /// [`Error::Refused`] with the driver's refusal, [`Error::UnknownRefusal`] with one of a later release's,
    /// [`Error::System`] if the driver is gone.
    pub fn request(
        &self,
        command: impl Into<AnyCommand>,
        input: &[u8],
        output: &mut [u8],
    ) -> Result<usize, Error> {
        request::send(&self.handle, command, input, output)
    }

    fn detach(&self) -> Result<(), Error> {
        request::send(&self.handle, Command::Dereference, &[], &mut []).map(drop)
    }

    /// Changes the driver for others, through a handle that was opened with the right to.
    fn change(&self, command: Command) -> Result<(), Error> {
        let writable = Self::open(&self.name, GENERIC_READ | GENERIC_WRITE);
        let writable = writable.map_err(|error| match error {
            // Who opened the device to read, and may not write to it, lacks that right alone.
            Error::Open { source, .. } if is(&source, ERROR_ACCESS_DENIED) => {
                Error::refused(command, Refusal::NotPermitted)
            }
            other => other,
        })?;
        request::send(&writable.handle, command, &[], &mut []).map(drop)
    }

    /// Returns the device's handle in this process.
    #[must_use]
    pub fn handle(&self) -> &OwnedHandle {
        &self.handle
    }
}

impl OwnEvent {
    fn create(ring_bytes: u32) -> Result<Self, Error> {
        Ok(Self {
            handle: request::new_event(false)?,
            ring_bytes,
        })
    }

    /// Returns the event's handle in this process.
    #[must_use]
    pub fn handle(&self) -> &OwnedHandle {
        &self.handle
    }
}

impl NamedEvent {
    /// Opens a named event to wait on it, the only thing that its maker allows.
    ///
    /// # Errors
    /// [`Error::Open`] if there is none, or it is not for this user.
    pub fn open(name: &str) -> Result<Self, Error> {
        Self::open_with(name, SYNCHRONIZATION_SYNCHRONIZE)
    }

    /// Opens a named event with these rights, which may be refused.
    ///
    /// # Errors
    /// [`Error::Open`] if there is none, or not with these rights.
    pub fn open_with(name: &str, rights: u32) -> Result<Self, Error> {
        let path = wide(name);
        // SAFETY: a terminated string.
        let handle = unsafe { OpenEventW(rights, 0, path.as_ptr()) };
        if handle.is_null() {
            Err(cannot_open(name))
        } else {
            Ok(Self(own(handle)))
        }
    }

    /// Sleeps until the driver pulses the event; returns `false` if the time is over. A pulse while nobody sleeps is
    /// lost.
    ///
    /// # Errors
    /// [`Error::System`] if this machine's kernel can't wait.
    pub fn wait(&self, timeout: Option<Duration>) -> Result<bool, Error> {
        wait(&self.0, timeout)
    }

    /// Tries to reset the event; a handle that was opened to wait may not.
    ///
    /// # Errors
    /// [`Error::System`]: always, but for a handle with that right.
    pub fn reset(&self) -> Result<(), Error> {
        // SAFETY: an open handle.
        check(unsafe { ResetEvent(raw(&self.0)) }, "reset the named event")
    }
}

/// Lends the event's handle, for a wait of the app's own beside other handles. Such a wait takes the signal:
/// [`Attachment::drain`] follows, which tells of the end too. After a drain that was stopped there is more, of which no
/// signal tells.
impl AsHandle for Attachment<Windows> {
    fn as_handle(&self) -> BorrowedHandle<'_> {
        self.event().system().handle.as_handle()
    }
}

impl AsRawHandle for Attachment<Windows> {
    fn as_raw_handle(&self) -> HANDLE {
        self.as_handle().as_raw_handle()
    }
}

impl System for Windows {
    type Name = str;
    type Device = OpenDevice;
    type Event = OwnEvent;
    type Source = Fetched;

    fn open(name: &str) -> Result<OpenDevice, Error> {
        OpenDevice::open(name, GENERIC_READ)
    }

    fn create_event(_: &OpenDevice, ring_bytes: u32) -> Result<OwnEvent, Error> {
        OwnEvent::create(ring_bytes)
    }

    fn ring_bytes(event: &OwnEvent) -> u32 {
        event.ring_bytes
    }

    fn set(event: &OwnEvent) -> Result<(), Error> {
        // SAFETY: an open handle.
        check(unsafe { SetEvent(raw(&event.handle)) }, "set the event")
    }

    fn clear(event: &OwnEvent) -> Result<(), Error> {
        // SAFETY: an open handle.
        check(unsafe { ResetEvent(raw(&event.handle)) }, "clear the event")
    }

    /// Looks at the event by a call of NT's: Win32 has none that looks without taking the signal.
    fn is_set(event: &OwnEvent) -> Result<bool, Error> {
        request::is_set(&event.handle)
    }

    fn attach(device: &OpenDevice, event: &OwnEvent, mask: Mask) -> Result<Fetched, Error> {
        let event_handle = event.handle.as_raw_handle().addr() as u64;
        let request = Reference {
            version: VERSION,
            ring_bytes: event.ring_bytes,
            mask: mask.0,
            users: ALL_USERS,
            event: event_handle,
        };
        let answer: Referenced = request::ask(&device.handle, Command::Reference, &request)?;
        if answer.version != VERSION {
            // The driver has the event. Should this fail too, the device's end is its end.
            let _ended_with_the_device = device.detach();
            return Err(Error::refused(Command::Reference, Refusal::Version));
        }
        Ok(device
            .attached
            .one_more(DRAIN_BYTES, event.ring_bytes as usize))
    }

    fn detach(device: &OpenDevice, fetched: &Fetched) -> Result<(), Error> {
        device
            .attached
            .check(fetched.number(), Command::Dereference)?;
        device.detach()
    }

    fn wait(
        _: &OpenDevice,
        event: &OwnEvent,
        _: &Fetched,
        timeout: Option<Duration>,
    ) -> Result<bool, Error> {
        wait(&event.handle, timeout)
    }

    fn drain(
        device: &OpenDevice,
        fetched: &mut Fetched,
        each: &mut dyn FnMut(&[u8]) -> Result<Step, Error>,
    ) -> Result<Option<Ending>, Error> {
        let number = fetched.number();
        let fetch = |room: &mut [u8]| {
            device.attached.check(number, Command::Drain)?;
            request::send(&device.handle, Command::Drain, &[], room)
        };
        fetched.drain(fetch, each)
    }

    fn ledger(device: &OpenDevice, fetched: &Fetched) -> Result<Ledger, Error> {
        device.attached.check(fetched.number(), Command::Account)?;
        request::ask(&device.handle, Command::Account, &())
    }

    /// Asks by a drain that has room for no record: its answer says how many wait.
    fn in_ring(device: &OpenDevice, fetched: &Fetched) -> Result<u64, Error> {
        device.attached.check(fetched.number(), Command::Drain)?;
        let drained: Drained = request::ask(&device.handle, Command::Drain, &())?;
        Ok(drained.waiting + fetched.waiting())
    }

    fn request(device: &OpenDevice, command: DriverCommand, bytes: &mut [u8]) -> Result<(), Error> {
        let header = RequestHeader {
            command: command.number(),
            ..RequestHeader::default()
        };
        header
            .write_to_prefix(bytes)
            .map_err(|_| Error::refused(command, Refusal::Length))?;
        let request = bytes.to_vec();
        match request::send(&device.handle, command, &request, bytes)? {
            used if used == request.len() => Ok(()),
            _ => Err(TOO_SHORT),
        }
    }

    fn references(device: &OpenDevice) -> Result<References, Error> {
        request::ask(&device.handle, Command::References, &())
    }

    /// Asks on a handle of its own: only this request needs the right to change the driver.
    fn detach_all(device: &OpenDevice) -> Result<(), Error> {
        device.change(Command::DetachAll)
    }

    fn resume(device: &OpenDevice) -> Result<(), Error> {
        device.change(Command::Resume)
    }
}

const TOO_SHORT: Error = Error::Contract("an answer is shorter than its command's");

/// Waits for an event; returns `false` if the time is over.
fn wait(handle: &OwnedHandle, timeout: Option<Duration>) -> Result<bool, Error> {
    // Rounded up, so that a wait is never shorter than asked for.
    let milliseconds = timeout.map_or(INFINITE, |timeout| {
        timeout
            .as_micros()
            .div_ceil(1000)
            .try_into()
            .unwrap_or(INFINITE)
            .min(INFINITE - 1)
    });
    // SAFETY: an open handle.
    match unsafe { WaitForSingleObject(raw(handle), milliseconds) } {
        WAIT_OBJECT_0 => Ok(true),
        WAIT_TIMEOUT => Ok(false),
        _ => Err(Error::last_os("wait for the event")),
    }
}

/// Returns the device's name in the one place where only the system makes names. Where `\\.\X` is looked up first,
/// every program of the same sign-in can put something else.
fn global(name: &str) -> String {
    match name.strip_prefix(r"\\.\") {
        Some(own) if !own.starts_with(r"Global\") => format!(r"\\.\Global\{own}"),
        _ => name.to_owned(),
    }
}

fn cannot_open(name: &str) -> Error {
    let source = std::io::Error::last_os_error();
    let hint = match source.raw_os_error().map(i32::cast_unsigned) {
        Some(ERROR_FILE_NOT_FOUND | ERROR_PATH_NOT_FOUND) => "is its driver installed and started?",
        Some(ERROR_ACCESS_DENIED) => "this user may not: ask an administrator",
        Some(ERROR_NO_SYSTEM_RESOURCES | ERROR_NOT_ENOUGH_QUOTA) => {
            "the kernel has no memory for it: close another app"
        }
        Some(ERROR_INVALID_NAME | ERROR_BAD_PATHNAME) => {
            r"a device's name is that of its driver alone, such as \\.\Gatebell"
        }
        _ => "look at the driver's own messages",
    };
    Error::Open {
        device: name.to_owned(),
        source,
        hint,
    }
}

/// Returns whether an error of the system's has this code.
fn is(error: &std::io::Error, code: u32) -> bool {
    error.raw_os_error() == Some(code.cast_signed())
}

fn check(result: i32, what: &'static str) -> Result<(), Error> {
    if result == 0 {
        Err(Error::last_os(what))
    } else {
        Ok(())
    }
}

fn wide(text: &str) -> Vec<u16> {
    text.encode_utf16().chain([0]).collect()
}

fn raw(handle: &OwnedHandle) -> HANDLE {
    handle.as_raw_handle()
}

fn own(handle: HANDLE) -> OwnedHandle {
    // SAFETY: just made by a call that succeeded, and nobody else's.
    unsafe { OwnedHandle::from_raw_handle(handle) }
}
