//! Service of a driver: installing, starting, stopping and removing it, which the article left to other tools.
//!
//! A driver is a service of the kernel; the service manager keeps it and loads it. All of this needs an administrator.

use super::{Windows, check, wide};
use crate::{Device, Error};
use std::ffi::OsString;
use std::os::windows::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use windows_sys::Win32::Foundation::{
    ERROR_ACCESS_DENIED, ERROR_BAD_EXE_FORMAT, ERROR_DRIVER_BLOCKED, ERROR_FILE_NOT_FOUND,
    ERROR_INVALID_IMAGE_HASH, ERROR_INVALID_SERVICE_CONTROL, ERROR_NOACCESS, ERROR_PATH_NOT_FOUND,
    ERROR_PROC_NOT_FOUND, ERROR_SERVICE_ALREADY_RUNNING, ERROR_SERVICE_DOES_NOT_EXIST,
    ERROR_SERVICE_EXISTS, ERROR_SERVICE_MARKED_FOR_DELETE, ERROR_SERVICE_NOT_ACTIVE,
};
use windows_sys::Win32::Storage::FileSystem::{MOVEFILE_DELAY_UNTIL_REBOOT, MoveFileExW};
use windows_sys::Win32::System::Services::{
    CloseServiceHandle, ControlService, CreateServiceW, DeleteService, OpenSCManagerW,
    OpenServiceW, QueryServiceStatus, SC_HANDLE, SC_MANAGER_CONNECT, SC_MANAGER_CREATE_SERVICE,
    SERVICE_CONTROL_STOP, SERVICE_DEMAND_START, SERVICE_ERROR_NORMAL, SERVICE_KERNEL_DRIVER,
    SERVICE_QUERY_STATUS, SERVICE_RUNNING, SERVICE_START, SERVICE_STATUS, SERVICE_STOP,
    SERVICE_STOPPED, StartServiceW,
};
use windows_sys::Win32::System::SystemInformation::GetSystemDirectoryW;

/// Right to delete an object; the same number for every kind.
const DELETE: u32 = 0x0001_0000;
/// Time between two looks at a service's state.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Service of a driver, by its name.
#[derive(Debug)]
pub struct DriverService<'a> {
    name: &'a str,
}

/// State of a driver, as the service manager tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The driver is installed, not loaded.
    Stopped,
    /// The driver is loaded.
    Running,
    /// The driver is on its way from one to the other.
    Between,
}

/// Parameters of a driver's installation.
#[derive(Debug)]
pub struct Install<'a> {
    /// Name that people see.
    pub display_name: &'a str,
    /// Path of the driver's image. It is copied to where Windows keeps drivers, which only administrators can change.
    pub image: &'a Path,
    /// Name of the load order group, or `None` if the driver is in none.
    pub group: Option<&'a str>,
}

impl<'a> DriverService<'a> {
    /// Returns the service with this name, installed or not.
    #[must_use]
    pub const fn new(name: &'a str) -> Self {
        Self { name }
    }

    /// Installs the driver, to be started on demand: Windows loads a copy of the image.
    ///
    /// # Errors
    /// [`Error::Service`] or [`Error::System`] if Windows refuses, or the image can't be copied. Then nothing is left.
    pub fn install(&self, what: &Install<'_>) -> Result<(), Error> {
        let copy = self.copy()?;
        let service = self.create(what, &copy)?;
        if is_same_file(what.image, &copy) {
            return Ok(());
        }
        std::fs::copy(what.image, &copy)
            .map(drop)
            .map_err(|source| {
                // There was no such service before, and the error to tell is that of the copy.
                let _ = service.delete();
                Error::System {
                    what: "copy the driver's image to where Windows keeps drivers",
                    source,
                }
            })
    }

    fn create(&self, what: &Install<'_>, image: &Path) -> Result<Handle, Error> {
        let manager = Handle::manager(SC_MANAGER_CONNECT | SC_MANAGER_CREATE_SERVICE)?;
        let [name, display_name] = [self.name, what.display_name].map(wide);
        let image = wide(&image.to_string_lossy());
        let group = what.group.map(wide);
        // SAFETY: terminated strings, which outlive the call; the others may be null.
        let service = unsafe {
            CreateServiceW(
                manager.0,
                name.as_ptr(),
                display_name.as_ptr(),
                SERVICE_QUERY_STATUS | DELETE,
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
        Handle::new(service, "install the driver")
    }

    /// Returns the path of the image's copy that Windows loads: under the service's whole name,
    /// dots and all, so that it is no other's.
    fn copy(&self) -> Result<PathBuf, Error> {
        let file = format!("{}.sys", self.name);
        Ok(system_folder()?.join("drivers").join(file))
    }

    /// Starts the driver: Windows loads it.
    ///
    /// # Errors
    /// [`Error::Service`] or [`Error::System`] if Windows refuses, or does not start it.
    pub fn start(&self) -> Result<(), Error> {
        let service = self.open(SERVICE_START)?;
        // SAFETY: an open service, no arguments.
        let started = unsafe { StartServiceW(service.0, 0, std::ptr::null()) };
        done(started, "start the driver")
    }

    /// Stops the driver. First every app is told, so that it closes the device: the kernel does not unload a driver
    /// whose device is open.
    ///
    /// # Errors
    /// [`Error::Service`] or [`Error::System`] if Windows refuses, or an app still has the device open after
    /// `patience`. A driver that can still be opened then was not stopped, and takes new apps again; one that can't is
    /// unloaded as soon as the last app closes. [`Error::Refused`] if the caller may open the device,
    /// but not change it for others.
    pub fn stop(&self, device: &str, patience: Duration) -> Result<(), Error> {
        let service = self.open(SERVICE_STOP | SERVICE_QUERY_STATUS)?;
        if let Ok(device) = Device::<Windows>::open(device) {
            device.detach_all()?;
        }
        service.stop(patience).inspect_err(|_| resume(device))
    }

    /// Removes the driver. Stop it first; one that still runs is removed once it has stopped.
    ///
    /// # Errors
    /// [`Error::Service`] or [`Error::System`] if Windows refuses.
    pub fn remove(&self) -> Result<(), Error> {
        self.open(DELETE)?.delete()?;
        let copy = self.copy()?;
        match std::fs::remove_file(&copy) {
            // Loaded as it is, it can't be deleted before the next start.
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => delete_later(&copy),
            _ => Ok(()),
        }
    }

    /// Reads the state of the driver; an error if it is not installed.
    ///
    /// # Errors
    /// [`Error::Service`] or [`Error::System`] if Windows refuses.
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

fn system_folder() -> Result<PathBuf, Error> {
    let mut units = [0; 260];
    // SAFETY: so much room for the path.
    let length = unsafe { GetSystemDirectoryW(units.as_mut_ptr(), units.len() as u32) };
    match units.get(..length as usize) {
        Some(path) if !path.is_empty() => Ok(OsString::from_wide(path).into()),
        _ => Err(Error::last_os("find Windows' own folder")),
    }
}

/// Returns whether the image lies where it is to be copied to.
fn is_same_file(one: &Path, other: &Path) -> bool {
    let there = |path: &Path| path.canonicalize().ok();
    there(one).is_some_and(|one| there(other) == Some(one))
}

fn delete_later(file: &Path) -> Result<(), Error> {
    let path = wide(&file.to_string_lossy());
    // SAFETY: a terminated string; no new name: it is to be deleted.
    let noted =
        unsafe { MoveFileExW(path.as_ptr(), std::ptr::null(), MOVEFILE_DELAY_UNTIL_REBOOT) };
    check(noted, "have the driver's image deleted at the next start")
}

/// Returns advice on an error of the service manager's, or of loading a driver, or `None` if there is none.
fn hint(code: u32) -> Option<&'static str> {
    Some(match code {
        ERROR_ACCESS_DENIED => "run this as an administrator",
        ERROR_FILE_NOT_FOUND | ERROR_PATH_NOT_FOUND => {
            "the driver's image is not where it was installed: remove it, and install it again"
        }
        ERROR_PROC_NOT_FOUND => {
            "this Windows is too old: it takes Windows 10, version 2004, or later"
        }
        ERROR_INVALID_IMAGE_HASH => {
            "Windows takes signed drivers only: sign it, or on a test machine run `bcdedit /set testsigning on` and restart"
        }
        ERROR_NOACCESS | ERROR_BAD_EXE_FORMAT => "the image is damaged or none: copy it here again",
        ERROR_INVALID_SERVICE_CONTROL => {
            "Windows does not unload this driver: restart the machine after it was removed"
        }
        ERROR_SERVICE_ALREADY_RUNNING => "it runs already: nothing is to be done",
        ERROR_SERVICE_DOES_NOT_EXIST => "install it first",
        ERROR_SERVICE_MARKED_FOR_DELETE => {
            "it is being removed: close what still looks at it, such as the Services window, and try again"
        }
        ERROR_SERVICE_EXISTS => "it is installed already: remove it first",
        ERROR_DRIVER_BLOCKED => {
            "Windows blocks this driver, by memory integrity or its list of bad ones: see Windows Security, Device security"
        }
        _ => return None,
    })
}

/// Makes the error of the service manager's last call, with advice if there is some.
fn refused(what: &'static str) -> Error {
    let source = std::io::Error::last_os_error();
    let code = source.raw_os_error().map(i32::cast_unsigned);
    match code.and_then(hint) {
        Some(hint) => Error::Service { what, source, hint },
        None => Error::System { what, source },
    }
}

fn done(result: i32, what: &'static str) -> Result<(), Error> {
    if result == 0 {
        Err(refused(what))
    } else {
        Ok(())
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
            Err(refused(what))
        } else {
            Ok(Self(handle))
        }
    }

    fn manager(rights: u32) -> Result<Self, Error> {
        // SAFETY: this machine, its active database.
        let handle = unsafe { OpenSCManagerW(std::ptr::null(), std::ptr::null(), rights) };
        Self::new(handle, "reach the service manager")
    }

    fn delete(&self) -> Result<(), Error> {
        // SAFETY: an open service.
        done(unsafe { DeleteService(self.0) }, "remove the driver")
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
        match done(asked, "stop the driver") {
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
