//! Installing, starting, stopping and removing a driver: what the article left to other tools.
//!
//! A driver is a service of the kernel; the service manager keeps it and loads it. All of this needs an administrator.

use super::{Windows, check, wide};
use crate::{Device, Error};
use std::path::Path;
use std::time::{Duration, Instant};
use windows_sys::Win32::Foundation::ERROR_SERVICE_NOT_ACTIVE;
use windows_sys::Win32::System::Services::{
    CloseServiceHandle, ControlService, CreateServiceW, DeleteService, OpenSCManagerW,
    OpenServiceW, QueryServiceStatus, SC_HANDLE, SC_MANAGER_CONNECT, SC_MANAGER_CREATE_SERVICE,
    SERVICE_CONTROL_STOP, SERVICE_DEMAND_START, SERVICE_ERROR_NORMAL, SERVICE_KERNEL_DRIVER,
    SERVICE_QUERY_STATUS, SERVICE_RUNNING, SERVICE_START, SERVICE_STATUS, SERVICE_STOP,
    SERVICE_STOPPED, StartServiceW,
};

/// The right to delete an object; the same number for every kind.
const DELETE: u32 = 0x0001_0000;
/// How often a service's state is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A driver's service, by its name.
#[derive(Debug)]
pub struct DriverService<'a> {
    name: &'a str,
}

/// What the service manager says of a driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Installed, not loaded.
    Stopped,
    /// Loaded.
    Running,
    /// On its way from one to the other.
    Between,
}

/// What a driver is installed with.
#[derive(Debug)]
pub struct Install<'a> {
    /// What people see.
    pub display_name: &'a str,
    /// The driver's image: an absolute path, which stays as long as the driver is installed.
    pub image: &'a Path,
    /// The load order group, if it is to be in one.
    pub group: Option<&'a str>,
}

impl<'a> DriverService<'a> {
    /// The driver with this service name, installed or not.
    #[must_use]
    pub const fn new(name: &'a str) -> Self {
        Self { name }
    }

    /// Installs it, to be started on demand.
    ///
    /// # Errors
    /// [`Error::System`] if Windows refuses.
    pub fn install(&self, what: &Install<'_>) -> Result<(), Error> {
        let manager = Handle::manager(SC_MANAGER_CONNECT | SC_MANAGER_CREATE_SERVICE)?;
        let [name, display_name] = [self.name, what.display_name].map(wide);
        let image = wide(&what.image.to_string_lossy());
        let group = what.group.map(wide);
        // SAFETY: terminated strings, which outlive the call; the others may be null.
        let service = unsafe {
            CreateServiceW(
                manager.0,
                name.as_ptr(),
                display_name.as_ptr(),
                SERVICE_QUERY_STATUS,
                SERVICE_KERNEL_DRIVER,
                SERVICE_DEMAND_START,
                SERVICE_ERROR_NORMAL,
                image.as_ptr(),
                group.as_ref().map_or(std::ptr::null(), Vec::as_ptr),
                std::ptr::null_mut(),
                std::ptr::null(),
                std::ptr::null(),
                std::ptr::null(),
            )
        };
        Handle::new(service, "install the driver").map(drop)
    }

    /// Loads it.
    ///
    /// # Errors
    /// [`Error::System`] if Windows refuses, or does not start it.
    pub fn start(&self) -> Result<(), Error> {
        let service = self.open(SERVICE_START)?;
        // SAFETY: an open service, no arguments.
        check(
            unsafe { StartServiceW(service.0, 0, std::ptr::null()) },
            "start the driver",
        )
    }

    /// Stops it. First every app is told, so that it closes the device: the kernel does not unload a driver whose
    /// device is open.
    ///
    /// # Errors
    /// If Windows refuses, or an app still has the device open after `patience`. A driver that can still be opened then was
    /// not stopped, and takes new apps again; one that can't is unloaded as soon as the last app closes.
    pub fn stop(&self, device: &str, patience: Duration) -> Result<(), Error> {
        let service = self.open(SERVICE_STOP | SERVICE_QUERY_STATUS)?;
        if let Ok(device) = Device::<Windows>::open(device) {
            device.detach_all()?;
        }
        service.stop(patience).inspect_err(|_| resume(device))
    }

    /// Removes it. Stop it first; one that still runs is removed once it has stopped.
    ///
    /// # Errors
    /// [`Error::System`] if Windows refuses.
    pub fn remove(&self) -> Result<(), Error> {
        let service = self.open(DELETE)?;
        // SAFETY: an open service.
        check(unsafe { DeleteService(service.0) }, "remove the driver")
    }

    /// What it is doing; an error if it is not installed.
    ///
    /// # Errors
    /// [`Error::System`] if Windows refuses.
    pub fn state(&self) -> Result<State, Error> {
        self.open(SERVICE_QUERY_STATUS)?.state()
    }

    fn open(&self, rights: u32) -> Result<Handle, Error> {
        let manager = Handle::manager(SC_MANAGER_CONNECT)?;
        let name = wide(self.name);
        // SAFETY: an open manager, a terminated string.
        Handle::new(
            unsafe { OpenServiceW(manager.0, name.as_ptr(), rights) },
            "open the driver's service",
        )
    }
}

/// Takes back what a stop that failed has told the driver. Once the kernel has agreed to unload it, nobody can open it.
fn resume(device: &str) {
    if let Ok(device) = Device::<Windows>::open(device) {
        // Whoever calls has an error to report already: that of the stop.
        let _ = device.resume();
    }
}

/// A handle of the service manager's.
struct Handle(SC_HANDLE);

impl Handle {
    fn new(handle: SC_HANDLE, what: &'static str) -> Result<Self, Error> {
        if handle.is_null() {
            Err(Error::last_os(what))
        } else {
            Ok(Self(handle))
        }
    }

    fn manager(rights: u32) -> Result<Self, Error> {
        // SAFETY: this machine, its active database.
        let handle = unsafe { OpenSCManagerW(std::ptr::null(), std::ptr::null(), rights) };
        Self::new(
            handle,
            "reach the service manager (it takes an administrator)",
        )
    }

    /// Has the kernel unload the driver, and waits until it has.
    fn stop(&self, patience: Duration) -> Result<(), Error> {
        self.ask_to_stop()?;
        let until = Instant::now() + patience;
        while self.state()? != State::Stopped {
            if Instant::now() > until {
                let source = std::io::Error::new(
                    std::io::ErrorKind::TimedOut,
                    "an app still has its device open, or Windows refuses to unload it",
                );
                return Err(Error::System {
                    what: "stop the driver",
                    source,
                });
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// Has the kernel unload the driver once nobody has its device open. One that does not run is no error.
    fn ask_to_stop(&self) -> Result<(), Error> {
        let mut status = SERVICE_STATUS::default();
        // SAFETY: an open service, and room for its status.
        let asked = unsafe { ControlService(self.0, SERVICE_CONTROL_STOP, &raw mut status) };
        match check(asked, "stop the driver") {
            Err(Error::System { source, .. })
                if source.raw_os_error() == Some(ERROR_SERVICE_NOT_ACTIVE.cast_signed()) =>
            {
                Ok(())
            }
            other => other,
        }
    }

    fn state(&self) -> Result<State, Error> {
        let mut status = SERVICE_STATUS::default();
        // SAFETY: an open service, and room for its status.
        let answered = unsafe { QueryServiceStatus(self.0, &raw mut status) };
        check(answered, "look at the driver's service")?;
        Ok(match status.dwCurrentState {
            SERVICE_STOPPED => State::Stopped,
            SERVICE_RUNNING => State::Running,
            _ => State::Between,
        })
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: open, closed once.
        unsafe { CloseServiceHandle(self.0) };
    }
}
