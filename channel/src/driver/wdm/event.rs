//! Events: the app's, referenced; the driver's own, named or not.

use super::nt::{self, HANDLE, KEVENT, NTSTATUS};
use super::security::Descriptor;
use super::text::Name;
use crate::driver::table::Signal;
use crate::driver::work::InnerEvent;
use channel_abi::Refusal;
use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::ptr::{NonNull, null_mut};

/// A counted reference on an event object.
pub struct EventReference(NonNull<KEVENT>);

// SAFETY: an event object may be signalled, read and let go of in any context.
unsafe impl Send for EventReference {}
// SAFETY: as above; the kernel's functions on it are atomic.
unsafe impl Sync for EventReference {}

impl EventReference {
    /// References the event behind an app's handle, checked as if the app itself had used it: it must be open in the
    /// calling process, be an event, and have been opened with every right that a driver makes use of. Only in the
    /// app's own context.
    ///
    /// # Errors
    /// [`Refusal::Handle`], [`Refusal::Type`] or [`Refusal::Access`] where it is not,
    /// [`Refusal::Memory`] if the kernel has none.
    pub fn from_app(handle: u64) -> Result<Self, Refusal> {
        // The same bits on 32 bits: the app widened its handle, and no app's handle needs more.
        reference(handle as usize as HANDLE, nt::USER_MODE).map_err(|status| match status {
            nt::STATUS_OBJECT_TYPE_MISMATCH => Refusal::Type,
            nt::STATUS_ACCESS_DENIED => Refusal::Access,
            nt::STATUS_INSUFFICIENT_RESOURCES => Refusal::Memory,
            _ => Refusal::Handle,
        })
    }

    /// Resets the event: `KeClearEvent`.
    pub fn clear(&self) {
        // SAFETY: the reference keeps the event alive.
        unsafe { nt::KeClearEvent(self.0.as_ptr()) };
    }

    /// Sets and resets the event, `KeSetEvent` and then `KeClearEvent`: who waits just now is woken, who does not never
    /// hears of it.
    pub fn pulse(&self) {
        self.signal();
        self.clear();
    }

    /// Returns whether the event is set: `KeReadStateEvent`.
    #[must_use]
    pub fn is_signalled(&self) -> bool {
        // SAFETY: the reference keeps the event alive.
        unsafe { nt::KeReadStateEvent(self.0.as_ptr()) != 0 }
    }

    fn object(&self) -> *mut c_void {
        self.0.as_ptr().cast()
    }
}

impl Signal for EventReference {
    fn signal(&self) {
        // SAFETY: the reference keeps the event alive; at most DISPATCH_LEVEL, and not followed by a wait.
        unsafe { nt::KeSetEvent(self.0.as_ptr(), 0, 0) };
    }
}

impl Clone for EventReference {
    fn clone(&self) -> Self {
        // SAFETY: the object is alive, so it may be referenced once more.
        unsafe { nt::ObfReferenceObject(self.object()) };
        Self(self.0)
    }
}

impl Drop for EventReference {
    fn drop(&mut self) {
        // SAFETY: each value of this type owns one reference.
        unsafe { nt::ObfDereferenceObject(self.object()) };
    }
}

/// Rights that a handle must have been opened with, because a driver uses them on a referenced event: look at it, set
/// and clear it, wait for it.
const EVENT_RIGHTS: u32 = nt::EVENT_QUERY_STATE | nt::EVENT_MODIFY_STATE | nt::SYNCHRONIZE;

fn reference(handle: HANDLE, mode: i8) -> Result<EventReference, NTSTATUS> {
    // SAFETY: a pointer that the kernel exports and set before any driver ran.
    let kind = unsafe { nt::ExEventObjectType };
    let mut object = null_mut();
    // SAFETY: the kernel checks the handle, its type and its rights; `object` is written on success only.
    let status = unsafe {
        nt::ObReferenceObjectByHandle(
            handle,
            EVENT_RIGHTS,
            kind,
            mode,
            &raw mut object,
            null_mut(),
        )
    };
    nt::check(status)?;
    NonNull::new(object.cast())
        .map(EventReference)
        .ok_or(nt::STATUS_INVALID_HANDLE)
}

/// An event that the *driver* makes under a name, as the article's background does. Apps can open it to wait, not to
/// reset it.
pub struct NamedEvent {
    event: EventReference,
    handle: HANDLE,
}

// SAFETY: the handle is the kernel's own and is only closed, by the last owner.
unsafe impl Send for NamedEvent {}
// SAFETY: as above.
unsafe impl Sync for NamedEvent {}

impl NamedEvent {
    /// Makes the event. `path` is in the kernel's name space: an app opens `\BaseNamedObjects\X` as `Global\X`.
    ///
    /// # Errors
    /// What the kernel says; [`STATUS_OBJECT_NAME_COLLISION`](nt::STATUS_OBJECT_NAME_COLLISION) if
    /// anybody has an event by that name.
    pub fn new(path: Name, who: &Descriptor) -> Result<Self, NTSTATUS> {
        let name = path.unicode();
        let attributes = nt::OBJECT_ATTRIBUTES {
            Length: size_of::<nt::OBJECT_ATTRIBUTES>() as u32,
            RootDirectory: null_mut(),
            ObjectName: &raw const name,
            Attributes: nt::OBJ_KERNEL_HANDLE,
            SecurityDescriptor: who.as_ptr(),
            SecurityQualityOfService: core::ptr::null(),
        };
        let mut handle = null_mut();
        // SAFETY: every pointer in the attributes outlives the call.
        let status = unsafe {
            nt::ZwCreateEvent(
                &raw mut handle,
                nt::EVENT_ALL_ACCESS,
                &raw const attributes,
                nt::NOTIFICATION_EVENT,
                0,
            )
        };
        nt::check(status)?;
        match reference(handle, nt::KERNEL_MODE) {
            Ok(event) => Ok(Self { event, handle }),
            Err(status) => {
                // SAFETY: opened above, and nobody else knows it.
                unsafe { nt::ZwClose(handle) };
                Err(status)
            }
        }
    }

    /// Sets the event and resets it at once, as the article's background does.
    pub fn pulse(&self) {
        self.event.pulse();
    }
}

impl Drop for NamedEvent {
    fn drop(&mut self) {
        // SAFETY: opened in `new`, closed once.
        unsafe { nt::ZwClose(self.handle) };
    }
}

/// An event inside the driver, at a fixed place: somebody shall give up what they wait for.
pub struct GiveUp(UnsafeCell<KEVENT>);

// SAFETY: the kernel's functions on an event are atomic.
unsafe impl Sync for GiveUp {}
// SAFETY: it may be moved until `prepare` was called; it is only used in statics after that.
unsafe impl Send for GiveUp {}

/// Result of a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// The event was set.
    Signalled,
    /// Time ran out.
    TimedOut,
    /// The driver was told to give up.
    GaveUp,
}

impl GiveUp {
    /// An event that is not prepared yet.
    pub(super) const NEW: Self = Self(UnsafeCell::new(KEVENT([0; 3])));

    /// Initialises the event, before its first use, at its final place.
    pub fn prepare(&'static self) {
        // SAFETY: at its final place, and nobody uses it yet.
        unsafe { nt::KeInitializeEvent(self.0.get(), nt::NOTIFICATION_EVENT, 0) };
    }

    /// Gives up whatever waits, until [`Self::rearm`].
    pub fn give_up(&self) {
        // SAFETY: prepared, and alive as long as `self`.
        unsafe { nt::KeSetEvent(self.0.get(), 0, 0) };
    }

    /// Resets the event, for another wait.
    pub fn rearm(&self) {
        // SAFETY: prepared, and alive as long as `self`.
        unsafe { nt::KeClearEvent(self.0.get()) };
    }

    /// Waits until the app sets its event, or time runs out, or the driver is told to give up. At PASSIVE_LEVEL only.
    #[must_use]
    pub fn wait_for(&self, event: &EventReference, microseconds: u32) -> Waited {
        let objects = [event.object(), self.0.get().cast()];
        let timeout = relative(microseconds);
        // SAFETY: two live objects (so the thread's own wait blocks do), and a timeout that outlives the call.
        let status = unsafe {
            nt::KeWaitForMultipleObjects(
                2,
                objects.as_ptr(),
                nt::WAIT_ANY,
                nt::EXECUTIVE,
                nt::KERNEL_MODE,
                0,
                &raw const timeout,
                null_mut(),
            )
        };
        match status {
            nt::STATUS_SUCCESS => Waited::Signalled,
            nt::STATUS_TIMEOUT => Waited::TimedOut,
            _ => Waited::GaveUp,
        }
    }

    /// Sleeps; returns `true` if the driver was told to give up meanwhile. At PASSIVE_LEVEL only.
    #[must_use]
    pub fn sleep(&self, microseconds: u32) -> bool {
        if microseconds == 0 {
            // SAFETY: prepared, and alive as long as `self`.
            return unsafe { nt::KeReadStateEvent(self.0.get()) != 0 };
        }
        let timeout = relative(microseconds);
        self.wait(&raw const timeout)
    }

    fn wait(&self, timeout: *const i64) -> bool {
        // SAFETY: prepared, and alive as long as `self`; the timeout is null or outlives the call.
        let status = unsafe {
            nt::KeWaitForSingleObject(
                self.0.get().cast(),
                nt::EXECUTIVE,
                nt::KERNEL_MODE,
                0,
                timeout,
            )
        };
        status != nt::STATUS_TIMEOUT
    }
}

impl InnerEvent for GiveUp {
    fn set(&self) {
        self.give_up();
    }

    fn rearm(&self) {
        Self::rearm(self);
    }

    fn wait(&self) {
        Self::wait(self, core::ptr::null());
    }
}

/// Returns a time from now, as the kernel wants it: negative, in 100 ns.
pub(super) fn relative(microseconds: u32) -> i64 {
    -10 * i64::from(microseconds)
}
