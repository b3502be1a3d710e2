//! Timers of the driver, for what it does later: notices, and waiting for the app.

use crate::operations;
use aya_ebpf::bindings::bpf_timer;
use aya_ebpf::btf_maps::Array;
use aya_ebpf::helpers::generated::{bpf_timer_init, bpf_timer_set_callback, bpf_timer_start};
use aya_ebpf::macros::btf_map;
use channel::driver::ebpf::{self, Offered};
use channel_abi::{Refusal, SLOTS};
use core::ffi::c_void;
use sample_abi::{Operate, Operation, Seen};

/// Timer of one slot, and what it is to do.
#[repr(C)]
struct Timer {
    timer: bpf_timer,
    /// Number of notices still to send; for a wait 1 while it lasts.
    left: u64,
    /// Number of the next notice.
    number: u64,
    interval_ns: u64,
    /// Token of the reference that the timer is for: it ends with that.
    token: u64,
}

#[btf_map]
static NOTIFY: Array<Timer, SLOTS> = Array::new();
#[btf_map]
static WAIT: Array<Timer, SLOTS> = Array::new();

/// Clock of the timers: `CLOCK_MONOTONIC`.
const CLOCK: u64 = 1;
/// Shortest pause between two ticks, in nanoseconds: a timer can't eat a processor.
const MIN_PAUSE_NS: u64 = 50_000;

type Tick = extern "C" fn(*mut c_void, *mut u32, *mut Timer) -> i32;

/// Starts `count` notices from the timer.
pub fn notify(slot: u32, request: &Operate) -> Result<(), Refusal> {
    start(
        &NOTIFY,
        slot,
        request.header.token,
        request.count.into(),
        request.interval_us,
        notify_tick,
    )
}

/// Starts the driver's wait (`KeWaitForSingleObject`), at most for the request's interval.
pub fn wait(slot: u32, request: &Operate) -> Result<(), Refusal> {
    start(
        &WAIT,
        slot,
        request.header.token,
        1,
        request.interval_us,
        wait_tick,
    )
}

/// Ends the driver's wait: the app has set the event. Refused if the driver does not wait.
pub fn app_set(slot: u32, token: u64) -> Result<(), Refusal> {
    let timer = WAIT.get_ptr_mut(slot).ok_or(Refusal::Range)?;
    // SAFETY: the map's value outlives the program.
    let timer = unsafe { &mut *timer };
    if timer.token != token || ebpf::take(&mut timer.left) == 0 {
        return Err(Refusal::TimedOut);
    }
    waited(slot, 0);
    Ok(())
}

#[inline(always)]
fn start(
    timers: &'static Array<Timer, SLOTS>,
    slot: u32,
    token: u64,
    count: u64,
    interval_us: u32,
    tick: Tick,
) -> Result<(), Refusal> {
    let timer = timers.get_ptr_mut(slot).ok_or(Refusal::Range)?;
    // SAFETY: the map's value outlives the program.
    let timer = unsafe { &mut *timer };
    if timer.left != 0 && timer.token == token {
        return Err(Refusal::Busy);
    }
    timer.token = token;
    timer.number = 0;
    timer.interval_ns = pause_ns(interval_us);
    timer.left = count;
    let handle = &raw mut timer.timer;
    // SAFETY: the verifier checks that the timer is of this map. It is initialised once; a second time changes nothing.
    unsafe { bpf_timer_init(handle, core::ptr::from_ref(timers).cast_mut().cast(), CLOCK) };
    // SAFETY: the verifier checks the callback as a program of its own.
    unsafe { bpf_timer_set_callback(handle, tick as *mut c_void) };
    // SAFETY: initialised above.
    unsafe { bpf_timer_start(handle, timer.interval_ns, 0) };
    Ok(())
}

#[inline(always)]
fn pause_ns(interval_us: u32) -> u64 {
    let ns = u64::from(interval_us) * 1000;
    if ns < MIN_PAUSE_NS { MIN_PAUSE_NS } else { ns }
}

extern "C" fn notify_tick(_map: *mut c_void, slot: *mut u32, timer: *mut Timer) -> i32 {
    // SAFETY: the kernel hands the key and the value of the timer's own entry.
    let slot = unsafe { *slot };
    // SAFETY: as above.
    let timer = unsafe { &mut *timer };
    if ebpf::check(slot, timer.token).is_err() || timer.left == 0 {
        timer.left = 0;
        return 0;
    }
    if operations::send(slot, timer.number, true) == Offered::Unwanted {
        timer.left = 0;
        return 0;
    }
    timer.number += 1;
    timer.left -= 1;
    if timer.left > 0 {
        // SAFETY: this timer's own handle.
        unsafe { bpf_timer_start(&raw mut timer.timer, timer.interval_ns, 0) };
    }
    0
}

extern "C" fn wait_tick(_map: *mut c_void, slot: *mut u32, timer: *mut Timer) -> i32 {
    // SAFETY: the kernel hands the key and the value of the timer's own entry.
    let slot = unsafe { *slot };
    // SAFETY: as above.
    let timer = unsafe { &mut *timer };
    if ebpf::take(&mut timer.left) != 0 && ebpf::check(slot, timer.token).is_ok() {
        waited(slot, Refusal::TimedOut.number());
    }
    0
}

/// Tells the app how the driver's wait ended.
#[inline(always)]
fn waited(slot: u32, refusal: u32) {
    let after = operations::signalled(slot).unwrap_or(0);
    let seen = Seen {
        before: u32::from(refusal == 0),
        after,
        offered: 0,
        waiting: 0,
    };
    operations::report(slot, Operation::Wait as u32, refusal, seen);
}
