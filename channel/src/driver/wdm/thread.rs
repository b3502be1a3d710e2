//! System threads of the driver.

use super::event::relative;
use super::nt::{self, NTSTATUS};
use core::ffi::c_void;
use core::ptr::{NonNull, null, null_mut};

/// A reference on a thread that runs, or has ended.
pub(super) struct Thread(NonNull<c_void>);

// SAFETY: a thread object may be waited for and let go of in any context.
unsafe impl Send for Thread {}

impl Thread {
    /// Starts a system thread. The kernel keeps the device until the thread has ended, and so the driver's code in
    /// memory.
    ///
    /// # Safety
    /// `device` is a device of this driver. `start` may be called with `context` until the thread has ended,
    /// and must end by [`Thread::exit`].
    pub(super) unsafe fn start(
        device: *mut nt::DEVICE_OBJECT,
        start: nt::ThreadStart,
        context: *mut c_void,
    ) -> Result<Self, NTSTATUS> {
        let mut handle = null_mut();
        let attributes = nt::OBJECT_ATTRIBUTES {
            Length: size_of::<nt::OBJECT_ATTRIBUTES>() as u32,
            RootDirectory: null_mut(),
            ObjectName: null(),
            Attributes: nt::OBJ_KERNEL_HANDLE,
            SecurityDescriptor: null(),
            SecurityQualityOfService: null(),
        };
        // SAFETY: in the system process; the caller vouches for `start` and `context`.
        let status = unsafe {
            nt::IoCreateSystemThread(
                device.cast(),
                &raw mut handle,
                nt::THREAD_ALL_ACCESS,
                &raw const attributes,
                null_mut(),
                null_mut(),
                start,
                context,
            )
        };
        nt::check(status)?;
        let mut object = null_mut();
        // SAFETY: a pointer that the kernel exports and set before any driver ran.
        let kind = unsafe { nt::PsThreadType };
        // SAFETY: a handle of the kernel's own, just opened: this cannot fail.
        unsafe {
            nt::ObReferenceObjectByHandle(
                handle,
                nt::SYNCHRONIZE,
                kind,
                nt::KERNEL_MODE,
                &raw mut object,
                null_mut(),
            )
        };
        // SAFETY: opened above, closed once.
        unsafe { nt::ZwClose(handle) };
        NonNull::new(object)
            .map(Self)
            .ok_or(nt::STATUS_INVALID_HANDLE)
    }

    /// Waits until the thread has ended: none of its code runs any more.
    pub(super) fn join(self) {
        // SAFETY: a live thread object; no timeout. At PASSIVE_LEVEL, as all callers are.
        unsafe {
            nt::KeWaitForSingleObject(self.0.as_ptr(), nt::EXECUTIVE, nt::KERNEL_MODE, 0, null());
        }
    }

    /// Ends the thread that calls it.
    pub(super) fn exit() {
        // SAFETY: called by a system thread as the last thing it does.
        unsafe { nt::PsTerminateSystemThread(nt::STATUS_SUCCESS) };
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        // SAFETY: each value owns one reference.
        unsafe { nt::ObfDereferenceObject(self.0.as_ptr()) };
    }
}

/// Lets other threads run for a moment. At PASSIVE_LEVEL.
pub(super) fn pause() {
    let moment = relative(1000);
    // SAFETY: a time that outlives the call.
    unsafe { nt::KeDelayExecutionThread(nt::KERNEL_MODE, 0, &raw const moment) };
}

/// Guard against suspension: while one lives, nobody can suspend the thread that made it. Whoever could would stop a
/// request in the middle of the driver's code for as long as they like, and the driver could not be unloaded.
pub(super) struct NotSuspended(());

impl NotSuspended {
    pub(super) fn new() -> Self {
        // SAFETY: left again by this very thread, below.
        unsafe { nt::KeEnterCriticalRegion() };
        Self(())
    }
}

impl Drop for NotSuspended {
    fn drop(&mut self) {
        // SAFETY: entered above.
        unsafe { nt::KeLeaveCriticalRegion() };
    }
}
