//! The article's "very simple kernel mode device driver", as eBPF programs: it operates the event object as the app
//! asks, and reports each new process.
//!
//! - [`operate`] is the device's control routine. The kernel runs it for whoever holds its descriptor, with an
//!   [`Operate`] in and out.
//! - [`process_created`] is the callback at each process creation: a record for every app that asked for it, and, as
//!   in the article's background, a pulse of the driver's own *named* event.
//!
//! It may depend on `channel` and `sample_abi` alone.
#![expect(
    missing_docs,
    reason = "aya's macros write functions of their own without the comments of ours"
)]
#![no_std]
#![no_main]

mod operations;
mod process;
mod timer;

use aya_ebpf::btf_maps::RingBuf;
use aya_ebpf::macros::{btf_map, classifier, tracepoint};
use aya_ebpf::programs::{TcContext, TracePointContext};
use channel::driver::ebpf;
use sample_abi::Operate;

/// Named event of the driver, as in the article's background. The service hands it out read-only: an app can wait on it
/// and look, but only its owner can clear it. Large, since its owner comes by ten times a second, and each pulse until
/// then takes room.
#[btf_map]
static NAMED: RingBuf<(), 1048576> = RingBuf::new();

/// Runs as the device's control routine. Returns 0 when the request is done; else n: "run me again after n - 1 µs, with
/// what I gave back", because a program may neither sleep nor run for long.
#[classifier]
pub fn operate(mut ctx: TcContext) -> i32 {
    ebpf::answer::<Operate>(&mut ctx, operations::run)
}

/// Runs at each process creation: the article's callback.
#[tracepoint(category = "sched", name = "sched_process_exec")]
pub fn process_created(ctx: TracePointContext) -> u32 {
    process::report(&ctx);
    0
}

/// Pulses the named event (`KeSetEvent`, `KeClearEvent`): who does not wait in between misses it.
fn pulse_named() {
    let ring = core::ptr::from_ref(&NAMED).cast_mut().cast();
    // SAFETY: a ring buffer of the program's own.
    unsafe { ebpf::ring_event(ring) };
}

/// Licence of the programs, by which the kernel lends its tracepoint helpers.
#[used]
#[unsafe(link_section = "license")]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// Panic handler, to which no path leads: the kernel's verifier refuses an object in which one does, for its endless
/// loop.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
