//! Operations on the event object, one by one.

use crate::{pulse_named, timer};
use channel::driver::ebpf::{self, Offered};
use channel_abi::Refusal;
use channel_abi::command::NO_USER;
use sample_abi::{MAX_COUNT, MAX_INTERVAL_US, Notice, Operate, Operated, Operation, Seen, kind};

/// Number of notices in one run of the program; the kernel lets others run in between.
const BATCH: u32 = 32;

/// Does what the app asks and writes the answer into the request, of which every number but its slot is untrusted.
/// Returns when to run again, see [`crate::operate`].
pub fn run(request: &mut Operate) -> Result<i32, Refusal> {
    let slot = request.header.slot;
    if request.count > MAX_COUNT || request.interval_us > MAX_INTERVAL_US {
        return Err(Refusal::Range);
    }
    let operation = Operation::try_from(request.operation)?;
    if request.seen.offered == 0 {
        request.seen.before = signalled(slot)?;
    }
    let again = perform(operation, slot, request)?;
    request.seen.after = signalled(slot)?;
    request.seen.waiting = ebpf::waiting(slot)? as u32;
    if again == 0 && request.operation != Operation::Query as u32 {
        report(slot, request.operation, 0, request.seen);
    }
    Ok(again)
}

fn perform(operation: Operation, slot: u32, request: &mut Operate) -> Result<i32, Refusal> {
    match operation {
        // KeSetEvent. What is signalled stays so until the app drains, so a pulse is no less than a set here.
        Operation::Set | Operation::Pulse => ebpf::signal(slot)?,
        // KeClearEvent: only the reader's own position clears.
        Operation::Clear => return Err(Refusal::ReaderOwnsState),
        // KeReadStateEvent: `run` looks.
        Operation::Query => {}
        Operation::Notify => return Ok(notify(slot, request)),
        Operation::NotifyFromTimer => timer::notify(slot, request)?,
        Operation::Wait => timer::wait(slot, request)?,
        Operation::AppSet => timer::app_set(slot, request.header.token)?,
        Operation::PulseNamed => pulse_named(),
    }
    Ok(0)
}

/// Sends notices from within the request: a batch now, the next when the program is run again.
fn notify(slot: u32, request: &mut Operate) -> i32 {
    let most = if request.interval_us == 0 { BATCH } else { 1 };
    for n in 0..BATCH {
        if n >= most || request.seen.offered >= request.count {
            break;
        }
        if send(slot, request.seen.offered.into(), false) == Offered::Unwanted {
            return 0;
        }
        request.seen.offered += 1;
    }
    if request.seen.offered >= request.count {
        0
    } else {
        request.interval_us as i32 + 1
    }
}

/// Sends one notice with a payload.
#[inline(always)]
pub fn send(slot: u32, number: u64, from_timer: bool) -> Offered {
    ebpf::offer_to(slot, kind::NOTICE, NO_USER, |notice: &mut Notice| {
        notice.number = number;
        notice.from_timer = from_timer.into();
    })
}

/// Sends what the driver saw, as a record too: the app's log shows both.
#[inline(always)]
pub fn report(slot: u32, operation: u32, refusal: u32, seen: Seen) {
    ebpf::offer_to(slot, kind::OPERATED, NO_USER, |operated: &mut Operated| {
        operated.operation = operation;
        operated.refusal = refusal;
        operated.seen = seen;
    });
}

/// Returns the event's state, as `KeReadStateEvent` tells it: 1 while something waits in the ring.
#[inline(always)]
pub fn signalled(slot: u32) -> Result<u32, Refusal> {
    ebpf::waiting(slot).map(|bytes| u32::from(bytes > 0))
}
