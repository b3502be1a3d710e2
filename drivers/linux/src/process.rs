//! The zone's processes: who starts to run which program, who ends.

use crate::{ZONE, tables};
use aya_ebpf::EbpfContext;
use aya_ebpf::helpers::generated::{bpf_get_current_comm, bpf_probe_read_kernel_str};
use aya_ebpf::programs::TracePointContext;
use channel::driver::ebpf;
use contract::Kind;
use contract::process::{PATH_BYTES, Process};
use core::ffi::c_void;

/// Where `sched_process_exec` says at which offset its file name stands. Fixed since the event exists.
const FILENAME: usize = 8;

/// The current process has started to run a program.
#[inline(always)]
pub fn started(ctx: &TracePointContext) {
    if !of_the_zone() {
        return;
    }
    // SAFETY: an offset within the tracepoint's own data.
    let Ok(place) = (unsafe { ctx.read_at::<u32>(FILENAME) }) else { return };
    // SAFETY: the low half is an offset from there; only a helper that checks ever reads it.
    let path = unsafe { ctx.as_ptr().add((place & 0xFFFF) as usize) };
    report(Kind::PROCESS_START, ctx.tgid(), ctx.uid(), path);
}

/// The current thread has ended; with the first one of a process goes the process.
#[inline(always)]
pub fn ended(ctx: &TracePointContext) {
    if ctx.tgid() != ctx.pid() {
        return;
    }
    tables::process_ended(ctx.tgid());
    if of_the_zone() {
        report(Kind::PROCESS_EXIT, ctx.tgid(), ctx.uid(), core::ptr::null());
    }
}

#[inline(always)]
fn of_the_zone() -> bool {
    ZONE.current_task_under_cgroup(0) == Ok(true)
}

#[inline(always)]
fn report(kind: Kind, pid: u32, user: u32, path: *const c_void) {
    ebpf::offer(kind, |process: &mut Process| {
        process.pid = pid;
        process.parent = 0;
        process.user = user;
        process.exit_code = 0;
        process.path = [0; PATH_BYTES];
        // SAFETY: 16 bytes of the record.
        unsafe { bpf_get_current_comm(process.name.as_mut_ptr().cast(), 16) };
        if kind == Kind::PROCESS_START {
            // SAFETY: PATH_BYTES bytes of the record; the helper checks what it reads.
            unsafe { bpf_probe_read_kernel_str(process.path.as_mut_ptr().cast(), PATH_BYTES as u32, path) };
        }
    });
}
