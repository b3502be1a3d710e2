//! I/O requests: each owned until it is completed.
//!
//! The I/O manager writes to a request while a driver has it (whether it is cancelled, by which routine, at which
//! level), and its routine runs beside the driver's. So nothing here makes a reference to the whole of one: single
//! fields are read and written where they are, those that two touch at once as atomics.

use super::OpenFile;
use super::event::GiveUp;
use super::nt::{self, NTSTATUS};
use crate::driver::table::Buffer;
use crate::driver::work::{Cancellation, PendingRequest, WorkEnd};
use channel_abi::Refusal;
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{AtomicPtr, AtomicU8, Ordering};

/// An I/O request that this driver owns. Completing it consumes it, so nothing of it can be touched after.
pub(super) struct Irp(NonNull<nt::IRP>);

// SAFETY: an I/O request may be worked on and completed by any thread.
unsafe impl Send for Irp {}

impl Irp {
    /// # Safety
    /// `irp` was just handed to one of the driver's dispatch routines.
    pub(super) unsafe fn new(irp: NonNull<nt::IRP>) -> Self {
        Self(irp)
    }

    fn stack(&self) -> *mut nt::IO_STACK_LOCATION {
        // SAFETY: owned until completed, and completing consumes it;
        // the I/O manager set this before it called the driver.
        unsafe { (*self.0.as_ptr()).CurrentStackLocation }
    }

    fn cancel_routine(&self) -> &AtomicPtr<core::ffi::c_void> {
        // SAFETY: alive as long as `self`; whoever else uses this field does so by exchange.
        unsafe { &(*self.0.as_ptr()).CancelRoutine }
    }

    fn cancelled(&self) -> &AtomicU8 {
        // SAFETY: alive as long as `self`; the I/O manager writes this field as one byte.
        unsafe { &(*self.0.as_ptr()).Cancel }
    }

    /// Returns the control code of IRP_MJ_DEVICE_CONTROL.
    pub(super) fn control_code(&self) -> u32 {
        // SAFETY: lives as long as the request; nobody writes it any more.
        unsafe { (*self.stack()).DeviceIoControl.IoControlCode }
    }

    fn file_object(&self) -> *mut nt::FILE_OBJECT {
        // SAFETY: lives as long as the request; a request of these kinds always has its file.
        unsafe { (*self.stack()).FileObject }
    }

    /// Returns whether the open names something below the device.
    pub(super) fn names_something_below(&self) -> bool {
        // SAFETY: the file lives as long as its request; during CREATE its name is there.
        unsafe { (*self.file_object()).FileName.Length != 0 }
    }

    /// Returns the place of the file's context, the driver's [`OpenFile`]. Only CREATE and CLOSE change it, when nobody
    /// else has the file.
    fn file_context(&self) -> *mut *mut OpenFile {
        // SAFETY: the file lives as long as its request; its context is the driver's to use.
        unsafe { &raw mut (*self.file_object()).FsContext }.cast()
    }

    /// Sets the file's context, and returns what it was. Only in CREATE and in CLOSE.
    pub(super) fn set_file(&self, file: *mut OpenFile) -> *mut OpenFile {
        // SAFETY: in CREATE and CLOSE nobody else has the file.
        unsafe { self.file_context().replace(file) }
    }

    /// Returns the open device behind the request; `'static` as far as the compiler knows, in truth until CLOSE, which
    /// comes after the last request was completed.
    pub(super) fn file(&self) -> Option<&'static OpenFile> {
        // SAFETY: written by CREATE, before there is any other request.
        let file = unsafe { self.file_context().read() };
        // SAFETY: set by CREATE, freed by CLOSE.
        unsafe { file.as_ref() }
    }

    /// Returns the app's input, and room for the answer: METHOD_BUFFERED has both in one place.
    pub(super) fn buffer(&mut self) -> Buffer<'_> {
        // SAFETY: lives as long as the request; nobody writes it any more.
        let sizes = unsafe { &(*self.stack()).DeviceIoControl };
        let (input, output) = (
            sizes.InputBufferLength as usize,
            sizes.OutputBufferLength as usize,
        );
        // SAFETY: owned; the I/O manager set this before it called the driver.
        let start = unsafe { (*self.0.as_ptr()).SystemBuffer }.cast::<u8>();
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

    /// Completes the request with a number of bytes of output, or with a status.
    pub(super) fn complete(self, result: Result<usize, NTSTATUS>) -> NTSTATUS {
        let (status, bytes) = match result {
            Ok(bytes) => (nt::STATUS_SUCCESS, bytes),
            Err(status) => (status, 0),
        };
        // SAFETY: owned; the I/O manager reads it once the request is completed.
        let place = unsafe { &raw mut (*self.0.as_ptr()).IoStatus };
        // SAFETY: as above.
        unsafe {
            place.write(nt::IO_STATUS_BLOCK {
                Status: status,
                Information: bytes,
            });
        }
        // SAFETY: owned, its status is set, and it is gone with `self`.
        unsafe { nt::IofCompleteRequest(self.0.as_ptr(), 0) };
        status
    }
}

impl PendingRequest<GiveUp> for Irp {
    fn let_cancel(&self, rings: &'static Cancellation<GiveUp>) {
        // SAFETY: lives as long as the request, and is the driver's to write.
        let control = unsafe { &raw mut (*self.stack()).Control };
        // SAFETY: as above.
        unsafe { *control |= nt::SL_PENDING_RETURNED };
        // SAFETY: the driver's own words of the request, until it is completed.
        let context = unsafe { &raw mut (*self.0.as_ptr()).DriverContext[0] };
        // SAFETY: as above; nobody reads them before the routine is set.
        unsafe { context.write(core::ptr::from_ref(rings).cast_mut().cast()) };
        let routine: nt::Cancel = cancel;
        self.cancel_routine()
            .swap(routine as *mut _, Ordering::SeqCst);
    }

    fn forbid_cancel(&self) -> bool {
        let routine = self.cancel_routine().swap(null_mut(), Ordering::SeqCst);
        !routine.is_null()
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled().load(Ordering::SeqCst) != 0
    }

    fn complete(self, end: WorkEnd) {
        Self::complete(
            self,
            match end {
                WorkEnd::Done(status, bytes) if status >= 0 => Ok(bytes),
                WorkEnd::Done(status, _) => Err(status),
                WorkEnd::Cancelled => Err(nt::STATUS_CANCELLED),
                WorkEnd::NoThread => Err(Refusal::Memory.ntstatus()),
            },
        );
    }
}

/// Cancels a request; called by the I/O manager with its cancel lock held.
unsafe extern "system" fn cancel(_: *mut nt::DEVICE_OBJECT, irp: *mut nt::IRP) {
    // SAFETY: the request is alive: who works on it waits for `done` below.
    let context = unsafe { (*irp).DriverContext[0] };
    // SAFETY: as above; written before this was called.
    let level = unsafe { (*irp).CancelIrql };
    // SAFETY: releases what the I/O manager took, with the IRQL that it left in the request.
    unsafe { nt::IoReleaseCancelSpinLock(level) };
    // SAFETY: set by `let_cancel` to a value that lives until the driver is unloaded.
    if let Some(cancellation) = unsafe { context.cast::<Cancellation<GiveUp>>().as_ref() } {
        cancellation.cancel();
    }
}
