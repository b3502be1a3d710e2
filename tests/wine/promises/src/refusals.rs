//! Promises of a driver's refusals, each by its name. Nothing that is refused changes anything.

use crate::operations::{ask, request};
use crate::{NOTICES, Promise, attach, open};
use anyhow::{Context, Result, ensure};
use channel::sys::windows::Windows;
use channel::{Device, Refusal};
use channel_abi::command::{ALL_USERS, Reference, Referenced};
use channel_abi::{AnyCommand, Command, DriverRequest, VERSION};
use sample_abi::{MAX_COUNT, MAX_INTERVAL_US, Operate, Operation};
use std::os::windows::io::AsRawHandle;
use windows_sys::Win32::Foundation::{CloseHandle, DuplicateHandle, HANDLE};
use windows_sys::Win32::System::IO::DeviceIoControl;
use windows_sys::Win32::System::Threading::{
    EVENT_MODIFY_STATE, GetCurrentProcess, SYNCHRONIZATION_SYNCHRONIZE,
};
use zerocopy::IntoBytes;

pub const ALL: &[Promise] = &[
    ("a_handle_that_is_not_open_is_refused", not_open),
    ("a_handle_on_something_else_is_refused", something_else),
    ("a_handle_without_the_right_to_signal_is_refused", no_right),
    ("another_version_is_refused", version),
    ("a_queue_of_a_wrong_size_is_refused", size),
    ("a_request_of_a_wrong_length_is_refused", length),
    ("an_answer_without_room_is_refused", room),
    ("an_unknown_command_is_refused", command),
    ("numbers_out_of_range_are_refused", range),
    ("a_second_reference_is_refused", second),
    ("a_request_before_a_reference_is_refused", before),
    ("a_request_after_dereference_is_refused", after_dereference),
    ("a_request_after_close_is_refused", after_close),
    ("one_app_more_than_there_are_slots_is_refused", slots),
    (
        "to_detach_all_takes_the_right_to_change_the_driver",
        detach_all,
    ),
];

fn not_open() -> Result<()> {
    for handle in [0, 0x7FFC, 0xFFFF_FFF0, u64::MAX - 15] {
        refuses(reference(handle), Refusal::Handle)
            .with_context(|| format!("handle {handle:#x}"))?;
    }
    Ok(())
}

fn something_else() -> Result<()> {
    let device = open()?;
    let file = device.system().handle().as_raw_handle().addr() as u64;
    // -1 and -2 name this process and this thread.
    for handle in [file, u64::MAX, u64::MAX - 1] {
        refuses(reference(handle), Refusal::Type).with_context(|| format!("handle {handle:#x}"))?;
    }
    Ok(())
}

fn no_right() -> Result<()> {
    // To wait alone; to signal alone; all but to look at it. A driver does all three.
    for rights in [
        SYNCHRONIZATION_SYNCHRONIZE,
        EVENT_MODIFY_STATE,
        SYNCHRONIZATION_SYNCHRONIZE | EVENT_MODIFY_STATE,
    ] {
        with_rights(rights).with_context(|| format!("rights {rights:#x}"))?;
    }
    Ok(())
}

fn with_rights(rights: u32) -> Result<()> {
    let event = open()?.create_event(4096)?;
    let mut weaker: HANDLE = std::ptr::null_mut();
    // SAFETY: no arguments.
    let this = unsafe { GetCurrentProcess() };
    let strong = event.system().handle().as_raw_handle();
    // SAFETY: an open handle of this process, and room for another.
    let made = unsafe { DuplicateHandle(this, strong, this, &raw mut weaker, rights, 0, 0) };
    ensure!(made != 0, "can't make a weaker handle");
    let refused = refuses(reference(weaker.addr() as u64), Refusal::Access);
    // SAFETY: made above, closed once.
    unsafe { CloseHandle(weaker) };
    refused
}

fn version() -> Result<()> {
    refuses(
        send(Reference {
            version: VERSION + 1,
            ..good()?
        }),
        Refusal::Version,
    )
}

fn size() -> Result<()> {
    for ring_bytes in [0, 1, 4095, 4097, 12 * 1024, 16 << 20, u32::MAX] {
        refuses(
            send(Reference {
                ring_bytes,
                ..good()?
            }),
            Refusal::Size,
        )?;
    }
    Ok(())
}

fn length() -> Result<()> {
    let attachment = attach(4096, NOTICES)?;
    let device = attachment.device();
    let mut answer = [0; 8192];
    let operate = AnyCommand::from(Operate::COMMAND);
    for command in [Command::Reference.into(), operate] {
        for bytes in [0, 1, 8, 23, 25, 47, 55, 57, 64, 4096] {
            refuses(
                raw(device, command, &[0; 4096][..bytes], &mut answer),
                Refusal::Length,
            )?;
        }
    }
    for command in [
        Command::Dereference,
        Command::Drain,
        Command::Account,
        Command::References,
    ] {
        refuses(raw(device, command, &[0; 4], &mut answer), Refusal::Length)?;
    }
    let references = device.references()?;
    ensure!(
        references.attached == 1,
        "a refused request changed something: {references:?}"
    );
    Ok(())
}

fn room() -> Result<()> {
    let attachment = attach(4096, NOTICES)?;
    let device = attachment.device();
    for (command, least) in [
        (Command::Drain, 24),
        (Command::Account, 4160),
        (Command::References, 64),
    ] {
        for bytes in [0, least - 1] {
            refuses(
                raw(device, command, &[], &mut [0; 4160][..bytes]),
                Refusal::Room,
            )?;
        }
    }
    let query = request(Operation::Query, 0, 0);
    refuses(
        raw(device, Operate::COMMAND, query.as_bytes(), &mut [0; 55]),
        Refusal::Room,
    )?;
    let other = open()?;
    refuses(
        raw(&other, Command::Reference, good()?.as_bytes(), &mut [0; 15]),
        Refusal::Room,
    )?;
    ensure!(
        other.references()?.attached == 1,
        "a refused reference stayed"
    );
    Ok(())
}

fn command() -> Result<()> {
    let device = open()?;
    // Numbers that are no command's; a command's with another transfer method, another right, another device type.
    let reference = Command::Reference.control_code();
    for code in [
        0x0022_6000,
        0x0022_6020,
        reference | 1,
        reference | 2,
        reference + (1 << 16),
    ] {
        let code = raw_code(&device, code);
        ensure!(code == Some(Refusal::Command), "{code:?}");
    }
    Ok(())
}

fn range() -> Result<()> {
    let attachment = attach(4096, NOTICES)?;
    let notify = request(Operation::Notify, 1, 1);
    for wrong in [
        Operate {
            count: MAX_COUNT + 1,
            ..notify
        },
        Operate {
            interval_us: MAX_INTERVAL_US + 1,
            ..notify
        },
        Operate {
            operation: 0,
            ..notify
        },
        Operate {
            operation: u32::MAX,
            ..notify
        },
    ] {
        refuses(ask(attachment.device(), wrong), Refusal::Range)?;
    }
    Ok(())
}

fn second() -> Result<()> {
    let attachment = attach(4096, NOTICES)?;
    let device = attachment.device();
    let event = device.create_event(4096)?;
    let handle = event.system().handle().as_raw_handle().addr() as u64;
    let request = Reference {
        event: handle,
        ..good()?
    };
    let answer = &mut [0; size_of::<Referenced>()];
    refuses(
        raw(device, Command::Reference, request.as_bytes(), answer),
        Refusal::AlreadyReferenced,
    )?;
    // The first one still works.
    ask(device, self::request(Operation::Set, 0, 0))?;
    ensure!(
        attachment.event().is_set()?,
        "the first event is not signalled any more"
    );
    ensure!(!event.is_set()?, "the second event was signalled");
    Ok(())
}

fn before() -> Result<()> {
    let device = open()?;
    let mut answer = [0; 8192];
    for command in [Command::Dereference, Command::Drain, Command::Account] {
        refuses(
            raw(&device, command, &[], &mut answer),
            Refusal::NotReferenced,
        )?;
    }
    refuses(
        ask(&device, request(Operation::Set, 0, 0)),
        Refusal::NotReferenced,
    )
}

fn after_dereference() -> Result<()> {
    let mut attachment = attach(4096, NOTICES)?;
    attachment.detach()?;
    refuses(
        attachment.detach().map_err(Into::into),
        Refusal::NotReferenced,
    )?;
    refuses(
        ask(attachment.device(), request(Operation::Set, 0, 0)),
        Refusal::NotReferenced,
    )?;
    // What was counted stays readable, and the app finds its tombstone.
    attachment.account()?;
    let ended = attachment.drain(|_| {})?.ended;
    ensure!(ended == Some(channel::Ending::Dereferenced), "{ended:?}");
    Ok(())
}

fn after_close() -> Result<()> {
    let device = open()?;
    // SAFETY: an open handle. It is closed once more when `device` is dropped, which fails and does no harm: nothing
    // else is opened meanwhile.
    let closed = unsafe { CloseHandle(device.system().handle().as_raw_handle()) };
    ensure!(closed != 0, "can't close the device");
    let refused = refuses(
        raw(&device, Command::References, &[], &mut [0; 64]),
        Refusal::Closing,
    );
    std::mem::forget(device);
    refused
}

fn slots() -> Result<()> {
    let apps: Vec<_> = (0..channel_abi::SLOTS)
        .map(|_| attach(4096, NOTICES))
        .collect::<Result<_>>()?;
    refuses(attach(4096, NOTICES), Refusal::NoSlot)?;
    drop(apps);
    attach(4096, NOTICES).map(drop)
}

fn detach_all() -> Result<()> {
    let attachment = attach(4096, NOTICES)?;
    refuses(
        raw(attachment.device(), Command::DetachAll, &[], &mut []),
        Refusal::NotPermitted,
    )?;
    ensure!(
        attachment.device().references()?.attached == 1,
        "it detached all the same"
    );
    Ok(())
}

/// Makes a request that would be granted, but for its event.
fn good() -> Result<Reference> {
    Ok(Reference {
        version: VERSION,
        ring_bytes: 4096,
        mask: 0,
        users: ALL_USERS,
        event: 0,
    })
}

fn reference(event: u64) -> Result<()> {
    send(Reference { event, ..good()? })
}

/// Sends a request on a device of its own, of which nothing may be left.
fn send(request: Reference) -> Result<()> {
    let device = open()?;
    let before = device.references()?;
    let result = raw(
        &device,
        Command::Reference,
        request.as_bytes(),
        &mut [0; size_of::<Referenced>()],
    );
    let after = device.references()?;
    ensure!(
        before.attached == after.attached,
        "a refused reference stayed"
    );
    result
}

fn raw(
    device: &Device<Windows>,
    command: impl Into<AnyCommand>,
    input: &[u8],
    output: &mut [u8],
) -> Result<()> {
    device.system().request(command, input, output)?;
    Ok(())
}

/// Sends a control code that may be no command's; returns the refusal, or `None` if it was done.
fn raw_code(device: &Device<Windows>, code: u32) -> Option<Refusal> {
    let mut answer = [0_u8; 64];
    let mut used = 0;
    let event = device.create_event(4096).ok()?;
    let mut overlapped = windows_sys::Win32::System::IO::OVERLAPPED {
        hEvent: event.system().handle().as_raw_handle(),
        ..Default::default()
    };
    // SAFETY: an open device, no input, room for the answer; the driver refuses at once.
    let done = unsafe {
        DeviceIoControl(
            device.system().handle().as_raw_handle(),
            code,
            std::ptr::null(),
            0,
            answer.as_mut_ptr().cast(),
            64,
            &raw mut used,
            &raw mut overlapped,
        )
    };
    let code = std::io::Error::last_os_error().raw_os_error()?;
    if done != 0 {
        None
    } else {
        Refusal::from_ntstatus(code)
    }
}

/// Checks that the request was refused, and for this.
fn refuses<T>(result: Result<T>, refusal: Refusal) -> Result<()> {
    let Err(error) = result else {
        anyhow::bail!("not refused: expected {refusal:?}")
    };
    let found = error
        .downcast_ref::<channel::Error>()
        .and_then(channel::Error::refusal);
    ensure!(
        found == Some(refusal),
        "expected {refusal:?}, found {error:#}"
    );
    Ok(())
}
