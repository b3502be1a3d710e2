//! One I/O request, owned until it is completed.

use super::OpenFile;
use super::event::GiveUp;
use super::nt::{self, NTSTATUS};
use crate::driver::table::Buffer;
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::Ordering;

/// A request that this driver owns. Completing it consumes it, so nothing of it can be touched after.
pub(super) struct Irp(NonNull<nt::IRP>);

// SAFETY: an I/O request may be worked on and completed by any thread.
unsafe impl Send for Irp {}

impl Irp {
    /// # Safety
    /// `irp` was just handed to one of the driver's dispatch routines, or was kept by [`Self::into_raw`].
    pub(super) unsafe fn new(irp: NonNull<nt::IRP>) -> Self {
        Self(irp)
    }

    fn raw(&mut self) -> &mut nt::IRP {
        // SAFETY: owned until completed, and completing consumes it.
        unsafe { self.0.as_mut() }
    }

    fn stack(&mut self) -> &mut nt::IO_STACK_LOCATION {
        // SAFETY: the I/O manager sets it before it calls the driver, and it lives as long as the request.
        unsafe { &mut *self.raw().CurrentStackLocation }
    }

    /// The control code of IRP_MJ_DEVICE_CONTROL.
    pub(super) fn control_code(&mut self) -> u32 {
        self.stack().DeviceIoControl.IoControlCode
    }

    /// The file's context: what the driver keeps of an open device.
    pub(super) fn file_context(&mut self) -> &mut *mut OpenFile {
        let file = self.stack().FileObject;
        // SAFETY: a request of these kinds always has its file, alive as long as the request; its context is the
        // driver's to use, and only CREATE and CLOSE change it, when nobody else has the file.
        let context = unsafe { &raw mut (*file).FsContext };
        // SAFETY: as above.
        unsafe { &mut *context.cast() }
    }

    /// The open device behind the request; `'static` as far as the compiler knows, in truth until CLOSE, which comes
    /// after the last request was completed.
    pub(super) fn file(&mut self) -> Option<&'static OpenFile> {
        let file = *self.file_context();
        // SAFETY: set by CREATE, freed by CLOSE.
        unsafe { file.as_ref() }
    }

    /// What the app sent, and room for the answer: METHOD_BUFFERED has both in one place.
    pub(super) fn buffer(&mut self) -> Buffer<'_> {
        let sizes = &self.stack().DeviceIoControl;
        let (input, output) = (
            sizes.InputBufferLength as usize,
            sizes.OutputBufferLength as usize,
        );
        let start = self.raw().SystemBuffer.cast::<u8>();
        if start.is_null() {
            return Buffer {
                bytes: &mut [],
                input: 0,
                output: 0,
            };
        }
        // SAFETY: the I/O manager made the buffer as long as the longer of the two, and nobody else has it. What lies
        // beyond the input is old pool memory: bytes like any others, and only what the driver wrote goes back.
        let bytes = unsafe { core::slice::from_raw_parts_mut(start, input.max(output)) };
        Buffer {
            bytes,
            input,
            output,
        }
    }

    /// Says that the request will be completed later, and what a cancellation rings.
    /// Gives the request back if it was cancelled already.
    pub(super) fn pend(mut self, cancelled: &'static Cancellation) -> Result<Self, Self> {
        self.stack().Control |= nt::SL_PENDING_RETURNED;
        let raw = self.raw();
        if let Some(context) = raw.DriverContext.first_mut() {
            *context = core::ptr::from_ref(cancelled).cast_mut().cast();
        }
        let routine: nt::Cancel = cancel;
        raw.CancelRoutine.swap(routine as *mut _, Ordering::SeqCst);
        // SAFETY: alive; the I/O manager may be setting it just now, hence volatile.
        let cancelled = unsafe { (&raw const self.raw().Cancel).read_volatile() } != 0;
        if cancelled
            && !self
                .raw()
                .CancelRoutine
                .swap(null_mut(), Ordering::SeqCst)
                .is_null()
        {
            return Err(self);
        }
        Ok(self)
    }

    /// No cancellation from here on. One that has begun is waited for: it still uses the request.
    pub(super) fn take_back(&mut self, cancellation: &Cancellation) {
        if self
            .raw()
            .CancelRoutine
            .swap(null_mut(), Ordering::SeqCst)
            .is_null()
        {
            cancellation.done.wait_given_up();
        }
    }

    /// Completes the request with bytes of output, or with a refusal.
    pub(super) fn complete(mut self, result: Result<usize, NTSTATUS>) -> NTSTATUS {
        let (status, bytes) = match result {
            Ok(bytes) => (nt::STATUS_SUCCESS, bytes),
            Err(status) => (status, 0),
        };
        self.raw().IoStatus = nt::IO_STATUS_BLOCK {
            Status: status,
            Information: bytes,
        };
        // SAFETY: owned, its status is set, and it is gone with `self`.
        unsafe { nt::IofCompleteRequest(self.0.as_ptr(), 0) };
        status
    }
}

/// What a cancelled request rings: first the work, to give up; last `done`, when the request is no longer used.
#[derive(Default)]
pub(super) struct Cancellation {
    pub(super) give_up: GiveUp,
    done: GiveUp,
}

impl Cancellation {
    pub(super) fn prepare(&'static self) {
        self.give_up.prepare();
        self.done.prepare();
    }

    pub(super) fn rearm(&self) {
        self.give_up.rearm();
        self.done.rearm();
    }
}

/// Called by the I/O manager with its cancel lock held.
unsafe extern "system" fn cancel(_: *mut nt::DEVICE_OBJECT, irp: *mut nt::IRP) {
    // SAFETY: the request is alive: who works on it waits for `done` below.
    let irp = unsafe { &mut *irp };
    let context = irp.DriverContext.first().copied().unwrap_or(null_mut());
    // SAFETY: releases what the I/O manager took, with the IRQL that it left in the request.
    unsafe { nt::IoReleaseCancelSpinLock(irp.CancelIrql) };
    // SAFETY: set by `pend` to a value that lives until the driver is unloaded.
    if let Some(cancellation) = unsafe { context.cast::<Cancellation>().as_ref() } {
        cancellation.give_up.give_up();
        cancellation.done.give_up();
    }
}
