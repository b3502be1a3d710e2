//! Callback of the article at each process creation, and at each end.

use super::Sample;
use channel::Kind;
use channel::driver::table::About;
use channel::driver::text::{fill_utf8, fill_utf8_end};
use channel::driver::wdm::nt::{self, NTSTATUS};
use channel::driver::wdm::{Installed, Sid, about};
use sample_abi::{Process, kind};
use zerocopy::FromZeros;

/// Has the kernel call [`notify`] for every process.
pub fn watch() -> Result<(), NTSTATUS> {
    // SAFETY: the routine stays until `unwatch`, which the driver calls before it is unloaded.
    nt::check(unsafe { nt::PsSetCreateProcessNotifyRoutineEx(notify, 0) })
}

/// Ends the kernel's calls: none comes after this, and none is under way.
pub fn unwatch() {
    // SAFETY: waits for calls under way.
    unsafe { nt::PsSetCreateProcessNotifyRoutineEx(notify, 1) };
}

/// Reports a process; called at PASSIVE_LEVEL, in the context of the process's creator, or of its last thread.
unsafe extern "system" fn notify(
    object: *mut nt::EPROCESS,
    id: nt::HANDLE,
    start: *const nt::PS_CREATE_NOTIFY_INFO,
) {
    // SAFETY: the process that starts or ends, alive during the call.
    let whose = unsafe { about(object) };
    // SAFETY: null at a process's end, else valid during the call.
    let start = unsafe { start.as_ref() };
    // What is not filled in here, Windows does not say.
    let mut process = Process::new_zeroed();
    process.pid = id.addr() as u32;
    let Some(start) = start else {
        return tell(kind::PROCESS_EXIT, &whose, &process);
    };
    process.parent = start.ParentProcessId.addr() as u32;
    let path = image_name(start);
    fill_utf8_end(&mut process.path, path);
    let last = path
        .rsplit(|unit| *unit == u16::from(b'\\'))
        .next()
        .unwrap_or(path);
    fill_utf8(&mut process.name, last);
    tell(kind::PROCESS_START, &whose, &process);
}

/// Offers a record to every app that asked for it and may know, and, as in the article, pulses the named event where a
/// process starts.
fn tell(kind: Kind, whose: &About<Sid>, process: &Process) {
    let Some(channel) = Sample::late().get() else {
        return;
    };
    channel.table().offer(kind, whose, process);
    if kind == kind::PROCESS_START {
        // Where somebody else has the name, nobody waits for it.
        let _ = channel.driver().pulse_named();
    }
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
