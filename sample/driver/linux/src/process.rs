//! Reports of processes: who starts to run which program.

use crate::pulse_named;
use aya_ebpf::EbpfContext;
use aya_ebpf::btf_maps::CgroupArray;
use aya_ebpf::helpers::generated::{bpf_get_current_comm, bpf_probe_read_kernel_str};
use aya_ebpf::macros::btf_map;
use aya_ebpf::programs::TracePointContext;
use channel::driver::ebpf;
use sample_abi::kind;
use sample_abi::process::{PATH_BYTES, Process};

/// Control group whose processes are reported: the zone. Empty until the service fills it: nothing is reported.
#[btf_map]
static ZONE: CgroupArray<1> = CgroupArray::new();

/// Place of the file name in the data of `sched_process_exec` (its low half: the offset). Fixed since the event exists.
const FILENAME: usize = 8;

/// Reports the program that the current process starts to run, if the process is of the zone.
pub fn report(ctx: &TracePointContext) {
    if ZONE.current_task_under_cgroup(0) != Ok(true) {
        return;
    }
    let pid = ctx.tgid();
    let user = ctx.uid();
    // SAFETY: an offset within the tracepoint's own data.
    let Ok(place) = (unsafe { ctx.read_at::<u32>(FILENAME) }) else {
        return;
    };
    // SAFETY: as above; it is only ever read by a helper that checks.
    let path = unsafe { ctx.as_ptr().add((place & 0xFFFF) as usize) };
    ebpf::offer(kind::PROCESS_START, user, |process: &mut Process| {
        process.pid = pid;
        process.parent = 0;
        process.user = user;
        process.spare = 0;
        process.path = [0; PATH_BYTES];
        // SAFETY: 16 bytes of the record.
        unsafe { bpf_get_current_comm(process.name.as_mut_ptr().cast(), 16) };
        // SAFETY: PATH_BYTES bytes of the record; the helper checks what it reads.
        unsafe {
            bpf_probe_read_kernel_str(process.path.as_mut_ptr().cast(), PATH_BYTES as u32, path)
        };
    });
    pulse_named();
}
