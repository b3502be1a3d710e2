//! Processes that start and end, as the kernel reports them.

use super::nt::{self, NTSTATUS};
use super::{Installed, text};
use channel_abi::Kind;
use channel_abi::process::Process;
use zerocopy::FromZeros;

/// Has the kernel call the driver for every process.
pub(super) fn watch<D: Installed>() -> Result<(), NTSTATUS> {
    // SAFETY: the routine stays until `unwatch`, which the driver calls before it is unloaded.
    nt::check(unsafe { nt::PsSetCreateProcessNotifyRoutineEx(notify::<D>, 0) })
}

/// No call after this, and none under way.
pub(super) fn unwatch<D: Installed>() {
    // SAFETY: waits for calls under way.
    unsafe { nt::PsSetCreateProcessNotifyRoutineEx(notify::<D>, 1) };
}

/// At PASSIVE_LEVEL, in the context of the process's creator, or of its last thread.
unsafe extern "system" fn notify<D: Installed>(
    _: *mut nt::EPROCESS,
    id: nt::HANDLE,
    start: *const nt::PS_CREATE_NOTIFY_INFO,
) {
    let Some(channel) = D::late().get() else {
        return;
    };
    // SAFETY: null at a process's end, else valid during the call.
    let start = unsafe { start.as_ref() };
    // What is not filled in here, Windows does not say.
    let mut process = Process::new_zeroed();
    process.pid = id.addr() as u32;
    let Some(start) = start else {
        return channel
            .driver()
            .process(channel, Kind::PROCESS_EXIT, &process);
    };
    process.parent = start.ParentProcessId.addr() as u32;
    let path = image_name(start);
    text::fill(&mut process.path, path.iter().copied());
    let last = path
        .rsplit(|unit| *unit == u16::from(b'\\'))
        .next()
        .unwrap_or(path);
    text::fill(&mut process.name, last.iter().copied());
    channel
        .driver()
        .process(channel, Kind::PROCESS_START, &process);
}

fn image_name(start: &nt::PS_CREATE_NOTIFY_INFO) -> &[u16] {
    // SAFETY: null, or valid as long as `start`.
    let Some(name) = (unsafe { start.ImageFileName.as_ref() }) else {
        return &[];
    };
    if name.Buffer.is_null() {
        return &[];
    }
    // SAFETY: the kernel's counted string.
    unsafe { core::slice::from_raw_parts(name.Buffer, usize::from(name.Length) / 2) }
}
