//! Requests to a driver: `DeviceIoControl`, waited for.

use super::{TOO_SHORT, own, raw};
use crate::Error;
use channel_abi::{AnyCommand, Refusal, UnknownRefusal};
use std::os::windows::io::OwnedHandle;
use windows_sys::Win32::Foundation::{
    ERROR_ACCESS_DENIED, ERROR_INSUFFICIENT_BUFFER, ERROR_INVALID_HANDLE, ERROR_IO_PENDING,
    ERROR_NOT_SUPPORTED, HANDLE,
};
use windows_sys::Win32::System::IO::{DeviceIoControl, GetOverlappedResult, OVERLAPPED};
use windows_sys::Win32::System::Threading::CreateEventW;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Sends a request whose answer is a `T`.
pub(super) fn ask<T: FromBytes + IntoBytes>(
    device: &OwnedHandle,
    command: impl Into<AnyCommand>,
    input: &(impl IntoBytes + Immutable),
) -> Result<T, Error> {
    let mut answer = T::new_zeroed();
    let used = send(device, command, input.as_bytes(), answer.as_mut_bytes())?;
    if used < size_of::<T>() {
        Err(TOO_SHORT)
    } else {
        Ok(answer)
    }
}

/// Sends a request as it is; returns the answer's length.
pub(super) fn send(
    device: &OwnedHandle,
    command: impl Into<AnyCommand>,
    input: &[u8],
    output: &mut [u8],
) -> Result<usize, Error> {
    let command = command.into();
    send_code(device, command.control_code(), input, output)
        .map_err(|source| error(command, source))
}

fn send_code(
    device: &OwnedHandle,
    code: u32,
    input: &[u8],
    output: &mut [u8],
) -> std::io::Result<usize> {
    let done = event_handle(true)?;
    let mut overlapped = OVERLAPPED {
        hEvent: raw(&done),
        ..OVERLAPPED::default()
    };
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    // SAFETY: buffers of the lengths said; they and `overlapped` stay until the request is done, below.
    let at_once = unsafe {
        DeviceIoControl(
            raw(device),
            code,
            input.as_ptr().cast(),
            length(input),
            output.as_mut_ptr().cast(),
            length(output),
            std::ptr::null_mut(),
            &raw mut overlapped,
        )
    };
    if at_once == 0 {
        let why = std::io::Error::last_os_error();
        if why.raw_os_error() != Some(ERROR_IO_PENDING.cast_signed()) {
            return Err(why);
        }
    }
    let mut used = 0;
    // SAFETY: the request of above; waits until it is done.
    if unsafe { GetOverlappedResult(raw(device), &raw const overlapped, &raw mut used, 1) } == 0 {
        return Err(std::io::Error::last_os_error());
    }
    Ok((used as usize).min(output.len()))
}

/// Turns an error of the system's into a refusal where its code is one's, known or not, else into [`Error::System`].
fn error(command: AnyCommand, source: std::io::Error) -> Error {
    let code = source.raw_os_error().unwrap_or(0);
    if let Some(refusal) = UnknownRefusal::from_ntstatus(code) {
        return Error::UnknownRefusal { command, refusal };
    }
    let refusal = Refusal::from_ntstatus(code).or(match code.cast_unsigned() {
        ERROR_ACCESS_DENIED => Some(Refusal::NotPermitted),
        ERROR_INVALID_HANDLE => Some(Refusal::Closing),
        ERROR_NOT_SUPPORTED => Some(Refusal::Command),
        ERROR_INSUFFICIENT_BUFFER => Some(Refusal::Room),
        _ => None,
    });
    match refusal {
        Some(refusal) => Error::Refused { command, refusal },
        None => Error::System {
            what: "ask the driver",
            source,
        },
    }
}

/// Makes an unnamed event, not signalled.
pub(super) fn new_event(manual_reset: bool) -> Result<OwnedHandle, Error> {
    event_handle(manual_reset).map_err(|source| Error::System {
        what: "create an event",
        source,
    })
}

fn event_handle(manual_reset: bool) -> std::io::Result<OwnedHandle> {
    // SAFETY: no name, no attributes.
    let handle =
        unsafe { CreateEventW(std::ptr::null(), manual_reset.into(), 0, std::ptr::null()) };
    if handle.is_null() {
        Err(std::io::Error::last_os_error())
    } else {
        Ok(own(handle))
    }
}

/// Output of `NtQueryEvent`.
#[repr(C)]
#[derive(Default)]
struct EventBasic {
    kind: i32,
    state: i32,
}

#[link(name = "ntdll")]
unsafe extern "system" {
    fn NtQueryEvent(
        event: HANDLE,
        class: u32,
        out: *mut EventBasic,
        bytes: u32,
        used: *mut u32,
    ) -> i32;
}

/// Returns whether an event is signalled; does not take the signal, as a wait would.
pub(super) fn is_set(event: &OwnedHandle) -> Result<bool, Error> {
    let mut basic = EventBasic::default();
    let bytes = size_of::<EventBasic>() as u32;
    // SAFETY: an open handle, and room for what is written.
    let status =
        unsafe { NtQueryEvent(raw(event), 0, &raw mut basic, bytes, std::ptr::null_mut()) };
    if status < 0 {
        return Err(Error::System {
            what: "look at the event",
            source: std::io::Error::other(format!("{status:#x}")),
        });
    }
    Ok(basic.state != 0)
}
