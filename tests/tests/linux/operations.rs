//! The article's operations on an event.

use super::{RING, ask, attach};
use crate::place::Host;
use channel::sys::linux::{Linux, bpf};
use channel::{Attachment, DriverRequest, Item, Mask, Record, Refusal, Wake};
use gatebell_tests::PATIENCE;
use sample_abi::{MAX_INTERVAL_US, Notice, Operate, Operated, Operation, kind};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};
use zerocopy::IntoBytes;

#[test]
fn the_driver_operates_the_event_as_the_app_asks() {
    let host = Host::start(None);
    let device = host.open();
    let mut app = attach(&device, RING, Mask::NONE);
    let states = |operation| {
        ask(&device, operation, 0, 0).map(|answer| (answer.seen.before, answer.seen.after))
    };
    assert_eq!(states(Operation::Query), Ok((0, 0)));
    for operation in [Operation::Set, Operation::Pulse] {
        assert_eq!(states(operation), Ok((0, 1)));
        assert_eq!(app.wait(Some(Duration::ZERO)).unwrap(), Wake::Ready);
        assert_eq!(states(Operation::Query), Ok((1, 1)));
        assert_eq!(states(Operation::Clear), Err(Refusal::ReaderOwnsState));
        assert_eq!(app.drain(|_| ()).unwrap().records, 0);
        assert_eq!(states(Operation::Query), Ok((0, 0)));
        assert_eq!(app.wait(Some(Duration::ZERO)).unwrap(), Wake::TimedOut);
    }
    assert_eq!(
        app.account().unwrap().kernel.offered,
        0,
        "a signal is no record"
    );
    assert_eq!(
        ask(&device, Operation::Notify, u32::MAX, 0).unwrap_err(),
        Refusal::Range
    );
    app.event().set().unwrap();
    assert_eq!(
        app.wait(Some(Duration::ZERO)).unwrap(),
        Wake::Ready,
        "the app may set it too"
    );
}

#[test]
fn a_slot_is_operated_by_whoever_knows_its_token_alone() {
    let host = Host::start(None);
    let (mine, other) = (host.open(), host.open());
    let app = attach(&mine, RING, Mask::ALL);
    let _other = attach(&other, RING, Mask::ALL);
    let program = host.program();
    for (slot, token) in [(0, 0), (0, u64::MAX), (1, 1), (16, 0), (u32::MAX, 0)] {
        let mut request = Operate::new(Operation::Set, 0, 0);
        (request.header.slot, request.header.token) = (slot, token);
        request.header.command = Operate::COMMAND.number();
        assert_eq!(
            bpf::run(program.as_fd(), request.as_mut_bytes()).unwrap(),
            0
        );
        let refusal = if slot < 16 {
            Refusal::NotReferenced
        } else {
            Refusal::Range
        };
        assert_eq!(request.header.refusal, refusal.number());
    }
    assert_eq!(app.account().unwrap().kernel.offered, 0);
}

/// Drains until a record is what `done` looks for.
fn drain_until(app: &mut Attachment<Linux>, done: impl Fn(&Record<'_>) -> bool) {
    let (end, mut found) = (Instant::now() + PATIENCE, false);
    while !found {
        assert!(Instant::now() < end, "nothing of the kind came");
        app.wait(Some(Duration::from_millis(100))).unwrap();
        let look = |item: Item<'_>| found |= matches!(item, Item::Record(record) if done(&record));
        app.drain(look).unwrap();
    }
}

/// Drains until the driver says how its wait ended.
fn drain_until_waited(app: &mut Attachment<Linux>, refusal: u32) {
    drain_until(app, |record| {
        record.kind() == kind::OPERATED
            && matches!(*record.read::<Operated>().unwrap(), Operated { operation, refusal: end, seen, .. }
                if operation == Operation::Wait as u32 && end == refusal && seen.before == u32::from(refusal == 0))
    });
}

#[test]
fn the_driver_sends_from_a_timer_and_waits_for_the_app() {
    let host = Host::start(None);
    let device = host.open();
    let mut app = attach(&device, RING, Mask::of(kind::NOTICE).and(kind::OPERATED));
    // Long enough that it goes on when the second one is asked for, however late that is.
    ask(&device, Operation::NotifyFromTimer, 5, 300_000).unwrap();
    assert_eq!(
        ask(&device, Operation::NotifyFromTimer, 1, 0).unwrap_err(),
        Refusal::Busy
    );
    drain_until(&mut app, |record| {
        record.kind() == kind::NOTICE
            && matches!(
                record.read::<Notice>().unwrap(),
                Notice {
                    number: 4,
                    from_timer: 1,
                    ..
                }
            )
    });
    assert_eq!(
        ask(&device, Operation::AppSet, 0, 0).unwrap_err(),
        Refusal::TimedOut,
        "the driver does not wait"
    );
    ask(&device, Operation::Wait, 0, MAX_INTERVAL_US).unwrap();
    ask(&device, Operation::AppSet, 0, 0).unwrap();
    drain_until_waited(&mut app, 0);
    ask(&device, Operation::Wait, 0, 20_000).unwrap();
    drain_until_waited(&mut app, Refusal::TimedOut.number());
    assert!(app.account().unwrap().balances());
}
