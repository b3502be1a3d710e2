//! Entry points of a WDM driver: `DriverEntry`, `DriverUnload`, and the dispatch routines that the I/O manager calls
//! between them.

use super::channel::{Channel, Driver, Reply};
use super::irp::Irp;
use super::nt::{self, DEVICE_OBJECT, DRIVER_OBJECT, IRP, NTSTATUS};
use super::pool::Pooled;
use super::thread::NotSuspended;
use super::{OpenFile, user, work};
use channel_abi::{AnyCommand, Refusal};
use core::cell::UnsafeCell;
use core::mem::ManuallyDrop;
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{AtomicBool, Ordering};

/// Place of a driver's channel, in its image: used from `DriverEntry` to `DriverUnload`.
pub struct Late<T> {
    /// `true` between `DriverEntry` and `DriverUnload`.
    loaded: AtomicBool,
    value: UnsafeCell<ManuallyDrop<T>>,
}

// SAFETY: while `loaded`, the value is only shared; after, only `clear` has it.
unsafe impl<T: Send + Sync> Sync for Late<T> {}

impl<T> Late<T> {
    /// Makes the place of a driver that is not loaded yet.
    #[must_use]
    pub const fn new(value: T) -> Self {
        Self {
            loaded: AtomicBool::new(false),
            value: UnsafeCell::new(ManuallyDrop::new(value)),
        }
    }

    /// Returns the value, or `None` while the driver is not loaded.
    pub fn get(&'static self) -> Option<&'static T> {
        // Pairs with the store in `load`.
        self.loaded.load(Ordering::Acquire).then(|| self.value())
    }

    fn value(&'static self) -> &'static T {
        // SAFETY: only shared until `clear`, which is called when nobody is left to use it.
        unsafe { &*self.value.get() }
    }

    /// Marks the driver as loaded. Only in `DriverEntry`, where nobody else runs.
    fn load(&'static self) -> &'static T {
        self.loaded.store(true, Ordering::Release);
        self.value()
    }

    /// Drops the value. Only when nothing of the driver runs any more, and nothing of it will: its image is thrown
    /// away.
    fn clear(&'static self) {
        if self.loaded.swap(false, Ordering::AcqRel) {
            // SAFETY: nobody uses the value any more.
            let value = unsafe { &mut *self.value.get() };
            // SAFETY: dropped once: nothing sets `loaded` again.
            unsafe { ManuallyDrop::drop(value) };
        }
    }
}

/// A driver that has a place for its channel. Implemented by [`wdm_driver!`](crate::wdm_driver).
pub trait Installed: Driver {
    /// Returns the place of the driver's channel.
    fn late() -> &'static Late<Channel<Self>>;
}

/// Makes a crate a driver: `DriverEntry`, the place for its channel, and a panic handler that fails the link if the
/// compiler could not rule every panic out.
#[macro_export]
macro_rules! wdm_driver {
    ($driver:ty) => {
        impl $crate::driver::wdm::Installed for $driver {
            fn late() -> &'static $crate::driver::wdm::Late<$crate::driver::wdm::Channel<Self>> {
                static CHANNEL: $crate::driver::wdm::Late<$crate::driver::wdm::Channel<$driver>> =
                    $crate::driver::wdm::Late::new($crate::driver::wdm::Channel::NEW);
                &CHANNEL
            }
        }

        /// Called once by the kernel when it has loaded the driver.
        ///
        /// # Safety
        /// `driver` is the driver's own object.
        #[unsafe(no_mangle)]
        pub unsafe extern "system" fn DriverEntry(
            driver: *mut $crate::driver::wdm::nt::DRIVER_OBJECT,
            _registry_path: *const $crate::driver::wdm::nt::UNICODE_STRING,
        ) -> $crate::driver::wdm::nt::NTSTATUS {
            // SAFETY: passed on as it came.
            unsafe { $crate::driver::wdm::driver_entry::<$driver>(driver) }
        }

        #[panic_handler]
        fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
            unsafe extern "C" {
                fn this_driver_has_a_panic_path() -> !;
            }
            // SAFETY: never linked: no such function exists, so this handler must have been optimised away.
            unsafe { this_driver_has_a_panic_path() }
        }

        /// Symbol that the compiler wants of a program that might use floating point; drivers do not.
        #[unsafe(no_mangle)]
        pub static _fltused: i32 = 0;
    };
}

/// Does the work of `DriverEntry`: sets the routines, starts the driver, and makes its device.
///
/// # Safety
/// `driver` is the driver's own object, in `DriverEntry`.
pub unsafe fn driver_entry<D: Installed>(driver: *mut DRIVER_OBJECT) -> NTSTATUS {
    // SAFETY: the caller vouches for it.
    let driver = unsafe { &mut *driver };
    for (function, routine) in [
        (nt::IRP_MJ_CREATE, create as nt::Dispatch),
        (nt::IRP_MJ_CLEANUP, cleanup::<D>),
        (nt::IRP_MJ_CLOSE, close::<D>),
        (nt::IRP_MJ_DEVICE_CONTROL, control::<D>),
    ] {
        if let Some(place) = driver.MajorFunction.get_mut(function) {
            *place = Some(routine);
        }
    }
    driver.DriverUnload = Some(unload::<D>);
    let channel = D::late().load();
    match channel.prepare().and_then(|()| open_door(driver, channel)) {
        Ok(()) => nt::STATUS_SUCCESS,
        Err(status) => {
            take_down::<D>(driver);
            status
        }
    }
}

/// Makes the device, sets who may open it, gives it its name for apps, and lets them in: in this order.
fn open_door<D: Installed>(
    driver: &mut DRIVER_OBJECT,
    channel: &'static Channel<D>,
) -> Result<(), NTSTATUS> {
    let [name, link] = D::names().map(super::Name::unicode);
    let mut device = null_mut();
    // SAFETY: the driver's own object; the name is static; `device` is written on success only.
    nt::check(unsafe {
        nt::IoCreateDevice(
            driver,
            0,
            &raw const name,
            nt::FILE_DEVICE_UNKNOWN,
            nt::FILE_DEVICE_SECURE_OPEN,
            0,
            &raw mut device,
        )
    })?;
    D::security().apply(device)?;
    // SAFETY: both names are static.
    nt::check(unsafe { nt::IoCreateSymbolicLink(&raw const link, &raw const name) })?;
    channel.link_made();
    channel.works().set_device(device);
    // SAFETY: the device was just made, and nobody else has it yet.
    let device = unsafe { &mut *device };
    device.Flags &= !nt::DO_DEVICE_INITIALIZING;
    Ok(())
}

/// Undoes whatever [`driver_entry`] has done.
fn take_down<D: Installed>(driver: &mut DRIVER_OBJECT) {
    let [_, link] = D::names().map(super::Name::unicode);
    if let Some(channel) = D::late().get() {
        // Only a link that was made here: another's by this name is not ours to delete.
        if channel.has_link() {
            // SAFETY: the name is static.
            unsafe { nt::IoDeleteSymbolicLink(&raw const link) };
        }
        channel.quiesce();
    }
    if !driver.DeviceObject.is_null() {
        // SAFETY: the driver's only device, on which no file is open.
        unsafe { nt::IoDeleteDevice(driver.DeviceObject) };
    }
    D::late().clear();
}

/// Unloads the driver; called when no file is open any more.
unsafe extern "system" fn unload<D: Installed>(driver: *mut DRIVER_OBJECT) {
    // SAFETY: the driver's own object.
    take_down::<D>(unsafe { &mut *driver });
}

unsafe extern "system" fn create(_: *mut DEVICE_OBJECT, irp: *mut IRP) -> NTSTATUS {
    let Some(irp) = NonNull::new(irp) else {
        return nt::STATUS_INVALID_DEVICE_REQUEST;
    };
    let _region = NotSuspended::new();
    // SAFETY: just handed to us.
    let irp = unsafe { Irp::new(irp) };
    if irp.names_something_below() {
        return irp.complete(Err(nt::STATUS_OBJECT_NAME_INVALID));
    }
    let opener = match user::opener() {
        Ok(opener) => opener,
        Err(status) => return irp.complete(Err(status)),
    };
    let Some(file) = Pooled::new(OpenFile::new(opener)) else {
        return irp.complete(Err(nt::STATUS_INSUFFICIENT_RESOURCES));
    };
    irp.set_file(file.into_raw().as_ptr());
    irp.complete(Ok(0))
}

unsafe extern "system" fn cleanup<D: Installed>(_: *mut DEVICE_OBJECT, irp: *mut IRP) -> NTSTATUS {
    let Some(irp) = NonNull::new(irp) else {
        return nt::STATUS_INVALID_DEVICE_REQUEST;
    };
    let _region = NotSuspended::new();
    // SAFETY: just handed to us.
    let irp = unsafe { Irp::new(irp) };
    if let (Some(channel), Some(file)) = (D::late().get(), irp.file()) {
        channel.cleanup(file);
    }
    irp.complete(Ok(0))
}

unsafe extern "system" fn close<D: Installed>(_: *mut DEVICE_OBJECT, irp: *mut IRP) -> NTSTATUS {
    let Some(irp) = NonNull::new(irp) else {
        return nt::STATUS_INVALID_DEVICE_REQUEST;
    };
    let _region = NotSuspended::new();
    // SAFETY: just handed to us.
    let irp = unsafe { Irp::new(irp) };
    let context = irp.set_file(null_mut());
    if let Some(file) = NonNull::new(context) {
        if let Some(channel) = D::late().get() {
            // SAFETY: from `create`, and not yet given back.
            let file = unsafe { file.as_ref() };
            // Once more: a request that ran beside CLEANUP may have started a timer after it. None runs any more now.
            channel.cleanup(file);
        }
        // SAFETY: from `create`; CLOSE is a file's last request.
        drop(unsafe { Pooled::from_raw(file) });
    }
    irp.complete(Ok(0))
}

unsafe extern "system" fn control<D: Installed>(_: *mut DEVICE_OBJECT, irp: *mut IRP) -> NTSTATUS {
    let Some(irp) = NonNull::new(irp) else {
        return nt::STATUS_INVALID_DEVICE_REQUEST;
    };
    let _region = NotSuspended::new();
    // SAFETY: just handed to us.
    let mut irp = unsafe { Irp::new(irp) };
    let (Some(channel), Some(file)) = (D::late().get(), irp.file()) else {
        return irp.complete(Err(Refusal::Closing.ntstatus()));
    };
    let since = channel.works().moment(file.give_ups());
    match answer(channel, file, &mut irp) {
        Ok(Reply::Done(bytes)) => irp.complete(Ok(bytes)),
        Ok(Reply::Later(job)) => work::start(channel.works(), irp, (file, since), job),
        Err(refusal) => irp.complete(Err(refusal.ntstatus())),
    }
}

fn answer<D: Installed>(
    channel: &'static Channel<D>,
    file: &OpenFile,
    irp: &mut Irp,
) -> Result<Reply<D>, Refusal> {
    let command = AnyCommand::from_control_code(irp.control_code()).ok_or(Refusal::Command)?;
    channel.control(command, file, &mut irp.buffer())
}
