//! A driver's device and the app's event, whatever the kernel.

use crate::Error;
use crate::sync::Arc;
use channel_abi::command::References;
use channel_abi::{DriverCommand, DriverRequest, Ending, Ledger, Mask};
use std::time::Duration;

/// A kernel as the app's half needs it. Three of them: [`crate::sys`].
///
/// One open device has at most one event referenced at a time. Every call may be made from any thread; only
/// [`System::wait`] blocks.
pub trait System: Sized + 'static {
    /// How a device is named: a socket's path, `\\.\Name`, a process of the model.
    type Name: ?Sized;
    /// An open device. Dropping it closes it: the driver then lets go of the event.
    type Device: Send + Sync;
    /// An event of this app.
    type Event: Send + Sync;
    /// Where the records of a referenced event are read.
    type Source: Send;

    /// Opens a driver's device.
    fn open(name: &Self::Name) -> Result<Self::Device, Error>;
    /// Makes an auto-reset event, not signalled, whose ring or queue shall have `ring_bytes`.
    fn create_event(device: &Self::Device, ring_bytes: u32) -> Result<Self::Event, Error>;
    /// The app signals its own event.
    fn set(event: &Self::Event) -> Result<(), Error>;
    /// The app takes the signal back. Linux: only its own; what the driver signalled is cleared by draining.
    fn clear(event: &Self::Event) -> Result<(), Error>;
    /// Whether the event is signalled, without changing it. Linux: whether a wait would return at once.
    fn is_set(event: &Self::Event) -> Result<bool, Error>;

    /// Has the driver take hold of the event.
    fn reference(
        device: &Self::Device,
        event: &Self::Event,
        mask: Mask,
    ) -> Result<Self::Source, Error>;
    /// Has the driver let go of it. Records already committed can still be drained.
    fn dereference(device: &Self::Device) -> Result<(), Error>;
    /// Blocks until the event is signalled (which it takes), the reference ended, or `timeout` is over.
    fn wait(
        device: &Self::Device,
        event: &Self::Event,
        source: &Self::Source,
        timeout: Option<Duration>,
    ) -> Result<Wake, Error>;
    /// Hands every record that is there to `each`, in order, as bytes of `Header.length`; until none is left.
    fn drain(
        device: &Self::Device,
        source: &mut Self::Source,
        each: &mut dyn FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<Option<Ending>, Error>;
    /// The driver's account of this app, also after the reference ended.
    fn ledger(device: &Self::Device, source: &Self::Source) -> Result<Ledger, Error>;
    /// How many committed records wait undelivered: counted in the ring or queue itself.
    fn in_ring(device: &Self::Device, source: &Self::Source) -> Result<u64, Error>;
    /// Whether a drain would find something: asked again and again by a reader that spins.
    fn has_record(device: &Self::Device, source: &Self::Source) -> Result<bool, Error> {
        Self::in_ring(device, source).map(|waiting| waiting > 0)
    }

    /// Sends a command of the driver's own. `bytes` start with a [`channel_abi::RequestHeader`], which this fills in; the
    /// driver's answer takes their place.
    fn request(
        device: &Self::Device,
        command: DriverCommand,
        bytes: &mut [u8],
    ) -> Result<(), Error>;
    /// What the driver counted of its references.
    fn references(device: &Self::Device) -> Result<References, Error>;
    /// Ends every app's reference, before the driver is stopped. Needs the right to change the driver.
    fn detach_all(device: &Self::Device) -> Result<(), Error>;
    /// Has the driver take new references again, if it was not stopped after all. Needs the same right.
    fn resume(device: &Self::Device) -> Result<(), Error>;
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// The event was signalled, or the reference ended: drain tells which.
    Signalled,
    /// The time was over.
    TimedOut,
}

impl Wake {
    /// Whether there is a reason to drain.
    #[must_use]
    pub const fn signalled(self) -> bool {
        matches!(self, Self::Signalled)
    }
}

/// What a drain did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drain {
    /// Records delivered by it.
    pub records: u64,
    /// The tombstone: why no more will come.
    pub ended: Option<Ending>,
}

/// An open device of a driver. Clones are the same open device.
pub struct Device<S: System = crate::sys::Host>(pub(crate) Arc<S::Device>);

/// An event that this app owns. Clones are the same event.
pub struct Event<S: System = crate::sys::Host>(pub(crate) Arc<S::Event>);

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

impl<S: System> Device<S> {
    /// Opens a driver's device: on Linux the path of its service's socket, on Windows a name such as `\\.\Gatebell`.
    pub fn open(name: &S::Name) -> Result<Self, Error> {
        S::open(name).map(|device| Self(Arc::new(device)))
    }

    /// Creates an event for this device: auto-reset, not signalled, with room for `ring_bytes` of records (a power of
    /// two from 4 KiB to 8 MiB).
    pub fn create_event(&self, ring_bytes: u32) -> Result<Event<S>, Error> {
        S::create_event(&self.0, ring_bytes).map(|event| Event(Arc::new(event)))
    }

    /// Sends the driver a request of its own; the answer takes its place.
    ///
    /// # Errors
    /// [`Error::Refused`] with the driver's refusal; [`Refusal::Unsupported`](crate::Refusal::Unsupported) if it answers no
    /// commands of its own; [`Refusal::NotReferenced`](crate::Refusal::NotReferenced) on Linux before the app is attached.
    pub fn request<R: DriverRequest>(&self, request: &mut R) -> Result<(), Error> {
        S::request(&self.0, R::COMMAND, request.as_mut_bytes())
    }

    /// References that the driver took and released since it was loaded.
    pub fn references(&self) -> Result<References, Error> {
        S::references(&self.0)
    }

    /// Ends every app's reference and refuses new ones: the first step of stopping a driver.
    pub fn detach_all(&self) -> Result<(), Error> {
        S::detach_all(&self.0)
    }

    /// Takes [`Device::detach_all`] back, where the driver was not stopped after all. Apps whose references were ended stay so.
    pub fn resume(&self) -> Result<(), Error> {
        S::resume(&self.0)
    }

    /// The backing's own device, for what only one kernel has.
    #[must_use]
    pub fn system(&self) -> &S::Device {
        &self.0
    }
}

impl<S: System> Event<S> {
    /// The app signals its own event.
    pub fn set(&self) -> Result<(), Error> {
        S::set(&self.0)
    }

    /// The app takes the signal back.
    pub fn clear(&self) -> Result<(), Error> {
        S::clear(&self.0)
    }

    /// Whether it is signalled; looking does not change it.
    pub fn is_set(&self) -> Result<bool, Error> {
        S::is_set(&self.0)
    }

    /// The backing's own event, for what only one kernel has.
    #[must_use]
    pub fn system(&self) -> &S::Event {
        &self.0
    }
}
