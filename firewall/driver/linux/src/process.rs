//! The zone's processes: who starts to run which program, who ends.

use crate::kernel::{Task, offset, peek};
use crate::programs;
use crate::{ZONE, asking, tables};
use aya_ebpf::EbpfContext;
use aya_ebpf::bindings::BPF_NOEXIST;
use aya_ebpf::btf_maps::LruHashMap;
use aya_ebpf::helpers::generated::{
    bpf_get_current_comm, bpf_loop, bpf_probe_read_kernel_str, bpf_probe_read_user,
};
use aya_ebpf::macros::btf_map;
use aya_ebpf::programs::RawTracePointContext;
use channel::driver::ebpf;
use channel_abi::Kind;
use core::ffi::c_void;
use firewall_abi::kind;
use firewall_abi::process::{ARGUMENT_BYTES, PATH_BYTES, Process};

/// Index of the argument `bprm` of `sched_process_exec`: the program as it was asked for. Fixed since the event exists.
const EXECUTED: usize = 2;
/// Index of the argument `group_dead` of `sched_process_exit`, where it has one.
const GROUP_DEAD: usize = 1;

/// The current process has started to run a program.
#[inline(always)]
pub fn started(ctx: &RawTracePointContext) {
    let task = Task::current();
    // Only a helper that checks ever reads it.
    let path: u64 = peek(ctx.arg(EXECUTED), offset!(executed_path));
    let path = path as *const c_void;
    let program = task.as_ref().map_or([0; 2], Task::program);
    programs::remember(program, path);
    if let Some(began_ns) = task.as_ref().and_then(Task::process_began) {
        asking::process_changed(ctx.tgid(), began_ns);
    }
    report(kind::PROCESS_START, ctx, task.as_ref(), || program, path);
}

/// The current thread ends; with the last one of a process goes the process.
#[inline(always)]
pub fn ended(ctx: &RawTracePointContext) {
    let task = Task::current();
    if !is_the_last(ctx, task.as_ref()) {
        return;
    }
    tables::process_ended(ctx.tgid());
    if let Some(began_ns) = task.as_ref().and_then(Task::process_began) {
        asking::process_changed(ctx.tgid(), began_ns);
    }
    let program = || task.as_ref().map_or([0; 2], Task::program);
    report(
        kind::PROCESS_EXIT,
        ctx,
        task.as_ref(),
        program,
        core::ptr::null(),
    );
}

/// Returns whether nothing is left of the process. If the kernel does not say where to look, its first thread stands
/// for it.
#[inline(always)]
fn is_the_last(ctx: &RawTracePointContext, task: Option<&Task>) -> bool {
    let Some(task) = task else {
        return ctx.tgid() == ctx.pid();
    };
    if offset!(exit_says_last) == 0 {
        task.live() == Some(0) && is_first_to_say_so(ctx, task)
    } else {
        ctx.arg::<u64>(GROUP_DEAD) != 0
    }
}

/// Processes that were found to have ended, by their beginning and their number.
#[btf_map]
static ENDED: LruHashMap<[u64; 2], u64, MAX_ENDED> = LruHashMap::new();
/// Some more than can end while one ends.
const MAX_ENDED: usize = 1024;

/// The kernel counts its threads down before it comes here: of those that end together several may find that none is
/// left. The first of these threads says so.
#[inline(always)]
fn is_first_to_say_so(ctx: &RawTracePointContext, task: &Task) -> bool {
    let process = [task.process_began().unwrap_or(0), ctx.tgid().into()];
    ENDED.insert(process, 0, BPF_NOEXIST.into()).is_ok()
}

#[inline(always)]
fn of_the_zone() -> bool {
    ZONE.current_task_under_cgroup(0) == Ok(true)
}

/// Facts about a process for those who want to be told.
struct Seen {
    kind: Kind,
    pid: u32,
    parent: u32,
    user: u32,
    exit_code: u32,
    name: [u64; 2],
    program: [u64; 2],
    path: *const c_void,
    /// Address of the process's arguments; the next field is their length, in bytes.
    arguments: u64,
    length: u64,
}

/// Tells of it who wants to be told. What there is to tell is found out only then, and once for all.
#[inline(always)]
fn report(
    kind: Kind,
    ctx: &RawTracePointContext,
    task: Option<&Task>,
    program: impl FnOnce() -> [u64; 2],
    path: *const c_void,
) {
    let user = ctx.uid();
    if !ebpf::wanted(kind, user) || !of_the_zone() {
        return;
    }
    let starts = kind == kind::PROCESS_START;
    let (start, end) = task
        .filter(|_| starts)
        .and_then(Task::arguments)
        .unwrap_or((0, 0));
    let mut seen = Seen {
        kind,
        pid: ctx.tgid(),
        parent: task.map_or(0, Task::parent),
        user,
        exit_code: if starts {
            0
        } else {
            task.map_or(0, Task::exit_code)
        },
        name: task.and_then(Task::process_name).unwrap_or([0; 2]),
        program: program(),
        path,
        arguments: start,
        length: end.saturating_sub(start),
    };
    if task.is_none() {
        // SAFETY: 16 bytes of the name.
        unsafe { bpf_get_current_comm(seen.name.as_mut_ptr().cast(), 16) };
    }
    let callback: extern "C" fn(u32, *mut Seen) -> i64 = tell;
    // SAFETY: the verifier checks the function as a program of its own; `seen` outlives the loop.
    unsafe {
        bpf_loop(
            ebpf::used(),
            callback as *mut c_void,
            (&raw mut seen).cast(),
            0,
        )
    };
}

/// One step of the loop: the app in `slot`. 0: go on.
extern "C" fn tell(slot: u32, seen: *mut Seen) -> i64 {
    // SAFETY: the kernel hands on what `report` gave it.
    let seen = unsafe { &*seen };
    ebpf::offer_to(slot, seen.kind, seen.user, |process: &mut Process| {
        process.pid = seen.pid;
        process.parent = seen.parent;
        process.user = seen.user;
        process.exit_code = seen.exit_code;
        process.program = seen.program;
        process.path = [0; PATH_BYTES];
        process.arguments = [0; ARGUMENT_BYTES];
        process.arguments_length = seen.length as u32;
        process.spare = 0;
        process.name = zerocopy::transmute!(seen.name);
        if !seen.path.is_null() {
            // SAFETY: PATH_BYTES bytes of the record; the helper checks what it reads.
            unsafe {
                bpf_probe_read_kernel_str(
                    process.path.as_mut_ptr().cast(),
                    PATH_BYTES as u32,
                    seen.path,
                )
            };
        }
        if seen.length > 0 {
            let fits = seen.length.min(ARGUMENT_BYTES as u64) as u32;
            // SAFETY: `fits` bytes of the record; the helper checks what it reads.
            unsafe {
                bpf_probe_read_user(
                    process.arguments.as_mut_ptr().cast(),
                    fits,
                    seen.arguments as *const c_void,
                )
            };
        }
    });
    0
}
