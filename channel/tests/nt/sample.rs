//! The article's driver as it ships, on this model.

#[path = "../../../sample/driver/windows/src/driver/mod.rs"]
mod driver;

use crate::driver::loaded;
use crate::io::{End, Sent};
use crate::kernel;
use crate::{App, refused};
use channel::Refusal;
use channel::driver::wdm::{Channel, Installed, Late, nt};
use channel_abi::{AnyCommand, DriverRequest};
use driver::Sample;
use sample_abi::{Operate, Operation, Seen};
use std::sync::atomic::{AtomicPtr, Ordering};
use zerocopy::{FromBytes, IntoBytes};

loaded!(Sample);

impl App<'_> {
    /// Has the driver operate the app's event.
    pub fn operate(&self, operation: Operation, count: u32, interval_us: u32) -> Sent {
        self.send(
            &Operate::new(operation, count, interval_us),
            size_of::<Operate>(),
        )
    }

    /// Sends numbers that may have no meaning, with `room` bytes for the answer.
    fn send(&self, operate: &Operate, room: usize) -> Sent {
        let code = AnyCommand::from(Operate::COMMAND).control_code();
        self.machine
            .control(self.file, code, operate.as_bytes(), room)
    }

    /// Has the driver operate the app's event, and returns what the driver saw.
    fn seen(&self, operation: Operation, count: u32, interval_us: u32) -> Seen {
        seen(&self.operate(operation, count, interval_us).end())
    }
}

fn seen(end: &End) -> Seen {
    assert_eq!(end.status, 0, "{:?}", refused(end));
    let answer = Operate::read_from_bytes(&end.answer);
    answer.expect("an answer of its length").seen
}

/// Operates the event in each way, and makes requests that the driver refuses.
pub fn operates_the_event(app: &App<'_>) {
    for (operation, before, after) in [
        (Operation::Query, 0, 0),
        (Operation::Set, 0, 1),
        (Operation::Query, 1, 1),
        (Operation::Clear, 1, 0),
        (Operation::Pulse, 0, 0),
        (Operation::PulseNamed, 0, 0),
    ] {
        let seen = app.seen(operation, 0, 0);
        assert_eq!((seen.before, seen.after), (before, after), "{operation:?}");
    }
    let refusal = |operate: &Operate, room| refused(&app.send(operate, room).end());
    let room = size_of::<Operate>();
    let unknown = Operate {
        operation: 10,
        ..Operate::default()
    };
    let (many, long) = (sample_abi::MAX_COUNT + 1, sample_abi::MAX_INTERVAL_US + 1);
    for (operate, room, expected) in [
        (unknown, room, Refusal::Range),
        (
            Operate::new(Operation::Notify, many, 0),
            room,
            Refusal::Range,
        ),
        (Operate::new(Operation::Wait, 0, long), room, Refusal::Range),
        (Operate::new(Operation::Set, 0, 0), room - 1, Refusal::Room),
        (
            Operate::new(Operation::AppSet, 0, 0),
            room,
            Refusal::Unsupported,
        ),
    ] {
        assert_eq!(refusal(&operate, room), Some(expected), "{operate:?}");
    }
}

/// Asks for notices: few from within the request, many from a thread, and from a timer.
pub fn notifies(app: &App<'_>) {
    // From within, and from threads: without time between and with it.
    for (count, interval_us) in [(5, 0), (70, 0), (3, 100)] {
        let seen = app.seen(Operation::Notify, count, interval_us);
        assert_eq!(seen.offered, count);
        let drained: u32 =
            std::iter::from_fn(|| Some(app.drain().records).filter(|n| *n > 0)).sum();
        // Its ring has room for fewer than seventy.
        assert_eq!(drained, count.min(4096 / 72));
    }
    app.seen(Operation::NotifyFromTimer, 3, 100);
    let end = std::time::Instant::now() + std::time::Duration::from_secs(10);
    let mut drained = 0;
    while drained < 3 {
        assert!(
            std::time::Instant::now() < end,
            "{drained} of the timer's notices"
        );
        drained += app.drain().records;
    }
    // A notice is there before its signal: the last one's is under way until the timer has ended.
    kernel::until(None, |kernel| {
        (kernel.deferred == 0 && kernel.armed.is_empty()).then_some(())
    });
    app.machine.process_starts(app.process);
    assert_eq!(app.drain().records, 1, "of the process");
}

/// Has the driver wait until the app sets its event, and until whatever else ends that.
pub fn waits(app: &App<'_>) {
    let long = sample_abi::MAX_INTERVAL_US;
    app.seen(Operation::Clear, 0, 0);
    let waiting = app.operate(Operation::Wait, 0, long);
    app.machine.set(app.process, app.event);
    seen(&waiting.end());
    let ended = app.operate(Operation::Wait, 0, 100).end();
    assert_eq!(refused(&ended), Some(Refusal::TimedOut));
    let waiting = app.operate(Operation::Wait, 0, long);
    waiting.cancel();
    assert_eq!(waiting.end().status, nt::STATUS_CANCELLED);
}
