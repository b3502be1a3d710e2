//! Devices and events: a driver's open device, and the app's event, on whatever kernel.

use crate::ring::Step;
use crate::sync::Arc;
use crate::{Attachment, Error};
use channel_abi::command::References;
use channel_abi::{DriverCommand, DriverRequest, Ending, Ledger, Mask};
use std::fmt;
use std::time::Duration;

/// A backing of the app's half: the calls that it needs of a kernel. There are three: [`crate::sys`].
///
/// One open device has at most one event attached at a time. Every call may be made from any thread. [`System::wait`]
/// sleeps for as long as it is told to; what asks the driver waits for the answer: on Linux the device server has five
/// seconds for one.
///
/// # Errors
/// Each call fails with [`Error::Refused`] if the driver, or the device server before it, refuses, with
/// [`Error::System`] if this machine's kernel does, or the driver or its device server is gone, and with
/// [`Error::Contract`] if the driver's answer is none.
#[expect(clippy::missing_errors_doc, reason = "said once, for all of them")]
pub trait System: Sized + 'static {
    /// Name of a device: a socket's path, `\\.\Name`, a process of the model.
    type Name: ?Sized;
    /// An open device. Dropping it closes it: the driver then detaches the event.
    type Device: Send + Sync;
    /// An event of this app.
    type Event: Send + Sync;
    /// Reader of an attached event's records.
    type Source: Send;

    /// Opens a driver's device.
    fn open(name: &Self::Name) -> Result<Self::Device, Error>;
    /// Makes an auto-reset event, not signalled, whose ring or queue shall have `ring_bytes`.
    fn create_event(device: &Self::Device, ring_bytes: u32) -> Result<Self::Event, Error>;
    /// Returns the bytes of the event's ring or queue.
    fn ring_bytes(event: &Self::Event) -> u32;
    /// Signals the app's own event.
    fn set(event: &Self::Event) -> Result<(), Error>;
    /// Takes the signal of the app's event back. Linux: only the app's own; what the driver signalled is cleared by
    /// draining.
    fn clear(event: &Self::Event) -> Result<(), Error>;
    /// Returns whether the event is signalled, without changing it. Linux: whether a wait would return at once.
    fn is_set(event: &Self::Event) -> Result<bool, Error>;

    /// Attaches the event to the driver.
    fn attach(
        device: &Self::Device,
        event: &Self::Event,
        mask: Mask,
    ) -> Result<Self::Source, Error>;
    /// Detaches the event from the driver, if it is still attached: a later one of the same open device stays so.
    /// Records already committed can still be drained.
    fn detach(device: &Self::Device, source: &Self::Source) -> Result<(), Error>;
    /// Blocks until the event is signalled (which the wait takes) or the attachment ended, or, and then returns
    /// `false`, until `timeout` is over. Whatever else interrupts it, it goes on with the time that is left.
    fn wait(
        device: &Self::Device,
        event: &Self::Event,
        source: &Self::Source,
        timeout: Option<Duration>,
    ) -> Result<bool, Error>;
    /// Hands every record that is there to `each`, in order, as bytes of `Header.length`; until none is left, `each`
    /// says that it is enough, or a ring full was handed over: then the event is signalled for what is left. Only where
    /// none is left, returns how the attachment ended.
    fn drain(
        device: &Self::Device,
        source: &mut Self::Source,
        each: &mut dyn FnMut(&[u8]) -> Result<Step, Error>,
    ) -> Result<Option<Ending>, Error>;
    /// Reads the driver's ledger of this app, also after the attachment ended.
    fn ledger(device: &Self::Device, source: &Self::Source) -> Result<Ledger, Error>;
    /// Returns the number of committed records that wait undelivered, counted in the ring or queue itself.
    fn in_ring(device: &Self::Device, source: &Self::Source) -> Result<u64, Error>;
    /// Returns whether a drain would find something: asked again and again by a reader that spins.
    fn has_record(device: &Self::Device, source: &Self::Source) -> Result<bool, Error> {
        Self::in_ring(device, source).map(|waiting| waiting > 0)
    }

    /// Sends a command of the driver's own. `bytes` start with a [`channel_abi::RequestHeader`], which this call fills
    /// in; the driver's answer takes their place.
    fn request(
        device: &Self::Device,
        command: DriverCommand,
        bytes: &mut [u8],
    ) -> Result<(), Error>;
    /// Reads the driver's counts of its references to events.
    fn references(device: &Self::Device) -> Result<References, Error>;
    /// Ends every app's attachment, before the driver is stopped. Needs the right to change the driver.
    fn detach_all(device: &Self::Device) -> Result<(), Error>;
    /// Has the driver take new attachments again, if it was not stopped after all. Needs the right to change the
    /// driver.
    fn resume(device: &Self::Device) -> Result<(), Error>;
}

/// Result of a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// The event was signalled: a reason to drain.
    Ready,
    /// The timeout is over. Never without a timeout.
    TimedOut,
    /// The attachment has ended, and everything was drained: the last result of a wait, and each further wait's.
    Ended(Ending),
}

/// Result of a drain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drain {
    /// Number of records that the drain handed over.
    pub records: u64,
    /// The tombstone: the reason for which no more records will come, or `None` while the attachment stands. Each
    /// further wait says so too.
    pub ended: Option<Ending>,
}

/// An open device of a driver. Clones are the same open device.
pub struct Device<S: System = crate::sys::Host>(pub(crate) Arc<S::Device>);

/// An event that this app owns. Clones are the same event.
pub struct Event<S: System = crate::sys::Host>(pub(crate) Arc<S::Event>);

impl<S: System> fmt::Debug for Device<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Device").finish_non_exhaustive()
    }
}

impl<S: System> fmt::Debug for Event<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event").finish_non_exhaustive()
    }
}

impl<S: System> Clone for Device<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S: System> Clone for Event<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// Opens a driver's device on the kernel that this program runs on: [`Device::open`].
///
/// # Errors
/// Those of [`Device::open`].
#[cfg(any(target_os = "linux", windows))]
pub fn open(
    name: impl AsRef<<crate::sys::Host as System>::Name>,
) -> Result<Device<crate::sys::Host>, Error> {
    Device::open(name)
}

#[cfg(any(target_os = "linux", windows))]
impl Device<crate::sys::Host> {
    /// Opens a driver's device: on Linux the path of its service's socket, on Windows a name such as `\\.\Gatebell`.
    ///
    /// # Errors
    /// [`Error::Open`] if there is none of that name, or it is not for this user. On Linux [`Error::Refused`] if too
    /// many have it open, and [`Error::System`] if the device server does not answer.
    pub fn open(name: impl AsRef<<crate::sys::Host as System>::Name>) -> Result<Self, Error> {
        Self::on_system(name.as_ref())
    }
}

impl<S: System> Device<S> {
    /// Opens a device on whichever kernel.
    pub(crate) fn on_system(name: &S::Name) -> Result<Self, Error> {
        S::open(name).map(|device| Self(Arc::new(device)))
    }

    /// Attaches an event of this app's own, with room for `ring_bytes` of records (a power of two from 4 KiB to 8 MiB),
    /// to the driver, which from now on puts into it what `mask` asks for. Dropped, the attachment is detached. Its
    /// mask and its size stay as they are: for others it is detached, and attached anew.
    ///
    /// # Errors
    /// [`Error::Refused`] with the driver's reason: the size, this open device's event that is attached already, or no
    /// room for one more app. [`Error::System`] if this machine's kernel has no memory for a ring, or the driver, or
    /// the device server before it, is gone; [`Error::Contract`] if the driver's answer is none.
    pub fn attach(&self, ring_bytes: u32, mask: Mask) -> Result<Attachment<S>, Error> {
        self.attach_event(self.create_event(ring_bytes)?, mask)
    }

    /// Attaches this event, which the app has made before and may go on to use elsewhere: [`Device::attach`].
    ///
    /// # Errors
    /// Those of [`Device::attach`]; and [`Error::Refused`] if the driver can't take this event.
    pub fn attach_event(&self, event: Event<S>, mask: Mask) -> Result<Attachment<S>, Error> {
        Attachment::new(self.clone(), event, mask)
    }

    /// Creates an event for this device: auto-reset, not signalled, with room for `ring_bytes` of records (a power of
    /// two from 4 KiB to 8 MiB).
    ///
    /// # Errors
    /// [`Error::System`] if this machine's kernel makes none. A size that is not allowed is refused here or, at the
    /// latest, by [`Device::attach_event`].
    pub fn create_event(&self, ring_bytes: u32) -> Result<Event<S>, Error> {
        S::create_event(&self.0, ring_bytes).map(|event| Event(Arc::new(event)))
    }

    /// Sends the driver a request of its own, and waits for its answer, which takes the request's place.
    ///
    /// # Errors
    /// [`Error::Refused`] with the driver's refusal: [`Refusal::Command`](crate::Refusal::Command) if it answers no
    /// such command of its own, or none at all; on Linux [`Refusal::NotReferenced`](crate::Refusal::NotReferenced)
    /// before the app is attached. [`Error::System`] if the driver is gone, [`Error::Contract`] if its answer is none.
    pub fn request<R: DriverRequest>(&self, request: &mut R) -> Result<(), Error> {
        S::request(&self.0, R::COMMAND, request.as_mut_bytes())
    }

    /// Reads the counts of references to events that the driver took and released since it was loaded.
    ///
    /// # Errors
    /// [`Error::System`] if the driver, or the device server before it, is gone;
    /// [`Error::Contract`] if its answer is none.
    pub fn references(&self) -> Result<References, Error> {
        S::references(&self.0)
    }

    /// Ends every app's attachment and refuses new ones: the first step of stopping a driver. The right to change the
    /// driver for others have root and the user that the service runs as (Linux),
    /// the system and administrators (Windows).
    ///
    /// # Errors
    /// [`Error::Refused`] without that right, [`Error::System`] if the driver, or the device server before it, is gone.
    pub fn detach_all(&self) -> Result<(), Error> {
        S::detach_all(&self.0)
    }

    /// Takes [`Device::detach_all`] back, where the driver was not stopped after all. What has ended stays so.
    ///
    /// # Errors
    /// Those of [`Device::detach_all`].
    pub fn resume(&self) -> Result<(), Error> {
        S::resume(&self.0)
    }

    /// Returns the backing's own device, for what only one kernel has.
    #[must_use]
    pub fn system(&self) -> &S::Device {
        &self.0
    }
}

impl<S: System> Event<S> {
    /// Signals the app's own event.
    ///
    /// # Errors
    /// [`Error::System`] if this machine's kernel refuses.
    pub fn set(&self) -> Result<(), Error> {
        S::set(&self.0)
    }

    /// Takes the signal of the app's event back.
    ///
    /// # Errors
    /// [`Error::System`] if this machine's kernel refuses.
    pub fn clear(&self) -> Result<(), Error> {
        S::clear(&self.0)
    }

    /// Returns whether the event is signalled, without changing it.
    ///
    /// # Errors
    /// [`Error::System`] if this machine's kernel refuses.
    pub fn is_set(&self) -> Result<bool, Error> {
        S::is_set(&self.0)
    }

    /// Returns the backing's own event, for what only one kernel has.
    #[must_use]
    pub fn system(&self) -> &S::Event {
        &self.0
    }
}
