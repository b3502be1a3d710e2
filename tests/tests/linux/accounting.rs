//! Records, losses and the numbers on both sides.

use super::{RING, ask, attach, numbers};
use crate::place::{Host, within};
use channel::sys::linux::Linux;
use channel::{Attachment, Ending, Item, Mask, Pace, Wake};
use gatebell_tests::PATIENCE;
use sample_abi::{Notice, Operation, kind};
use std::collections::HashSet;
use std::ops::ControlFlow;
use std::time::Duration;

#[test]
fn two_apps_at_once_each_get_their_own_notices() {
    let host = Host::start(None);
    let devices = [host.open(), host.open()];
    let mut apps = devices
        .each_ref()
        .map(|device| attach(device, RING, Mask::of(kind::NOTICE)));
    for (device, count) in devices.iter().zip([300, 200]) {
        assert_eq!(
            ask(device, Operation::Notify, count, 0)
                .unwrap()
                .seen
                .offered,
            count
        );
    }
    for (app, count) in apps.iter_mut().zip([300, 200]) {
        assert_eq!(app.wait(Some(Duration::ZERO)).unwrap(), Wake::Ready);
        assert_eq!(numbers(app), (0..count).collect::<Vec<u64>>());
        let account = app.account().unwrap();
        assert!(
            account.balances() && account.kernel.offered == count,
            "{account:?}"
        );
    }
    assert_eq!(devices[0].references().unwrap().attached, 2);
}

#[test]
fn a_record_is_lent_where_the_kernel_put_it() {
    let host = Host::start(None);
    let device = host.open();
    let mut app = attach(&device, RING, Mask::of(kind::NOTICE));
    ask(&device, Operation::Notify, 3, 0).unwrap();
    let pages = std::fs::read_to_string("/proc/self/maps").unwrap();
    let of_the_ring = |at: usize| {
        let mut lines = pages.lines().filter(|line| line.contains("bpf-map"));
        lines.any(|line| {
            let (start, rest) = line.split_once('-').unwrap();
            let (end, _) = rest.split_once(' ').unwrap();
            let [start, end] = [start, end].map(|at| usize::from_str_radix(at, 16).unwrap());
            (start..end).contains(&at)
        })
    };
    let mut seen = 0;
    app.drain(|item| {
        if let Item::Record(record) = item {
            let notice = std::ptr::from_ref(record.read::<Notice>().unwrap());
            assert_eq!(notice.cast(), record.bytes().as_ptr());
            assert!(of_the_ring(notice.addr()), "{notice:?} in\n{pages}");
            seen += 1;
        }
    })
    .unwrap();
    assert_eq!(seen, 3);
}

/// Four programs at once, on whichever processors, and a timer that interrupts them.
#[test]
fn a_hundred_thousand_signals_balance() {
    let host = Host::start(None);
    let device = host.open();
    let mut app = attach(&device, 2 << 20, Mask::of(kind::NOTICE));
    ask(&device, Operation::NotifyFromTimer, 100, 50).unwrap();
    let run = || {
        let device = device.clone();
        std::thread::spawn(move || {
            ask(&device, Operation::Notify, 25_000, 0)
                .unwrap()
                .seen
                .offered
        })
    };
    let programs = [(); 4].map(|()| run());
    let mut numbers = HashSet::new();
    let mut drain = |app: &mut Attachment<Linux>| {
        app.wait(Some(Duration::from_millis(10))).unwrap();
        let fresh = |item: Item<'_>| {
            let Item::Record(record) = item else { return };
            assert!(
                numbers.insert((record.header().processor, record.header().sequence)),
                "twice: {record:?}"
            );
        };
        app.drain(fresh).unwrap();
    };
    while programs.iter().any(|program| !program.is_finished()) {
        drain(&mut app);
    }
    within(PATIENCE, || {
        drain(&mut app);
        app.account().unwrap().kernel.offered == 100_100
    });
    drain(&mut app);
    assert_eq!(programs.map(|program| program.join().unwrap()), [25_000; 4]);
    let account = app.account().unwrap();
    assert!(account.balances() && account.in_ring == 0, "{account:?}");
    // Each number once and none beyond what was offered: the numbers that did not come are the losses.
    assert_eq!(numbers.len() as u64, account.kernel.committed);
    assert!(
        numbers
            .iter()
            .all(|(_, sequence)| *sequence < account.kernel.offered)
    );
    eprintln!("100,100 offered, {} lost", account.kernel.lost_in_all());
}

#[test]
fn a_stopped_reader_loses_exactly_what_is_counted() {
    let host = Host::start(None);
    let device = host.open();
    let mut app = attach(&device, 4096, Mask::of(kind::NOTICE));
    ask(&device, Operation::Notify, 1000, 0).unwrap();
    let stopped = app.account().unwrap();
    assert!(
        stopped.balances() && stopped.kernel.offered == 1000,
        "{stopped:?}"
    );
    assert_eq!(stopped.in_ring, stopped.kernel.committed);
    assert_eq!(
        stopped.lost_untold(),
        1000 - stopped.in_ring,
        "the ledger tells of what no record does"
    );
    assert_eq!(numbers(&mut app).len() as u64, stopped.in_ring);
    // One more on each processor would tell; on this one it does.
    ask(&device, Operation::Notify, 1, 0).unwrap();
    assert_eq!(numbers(&mut app), [0]);
    let account = app.account().unwrap();
    assert!(
        account.balances() && account.kernel.offered == 1001,
        "{account:?}"
    );
    assert_eq!(
        account.gaps,
        account.lost_told.iter().sum::<u64>(),
        "{account:?}"
    );
    assert_eq!(
        account.gaps + account.lost_untold(),
        account.kernel.lost_in_all(),
        "{account:?}"
    );
}

#[test]
fn a_drain_that_is_stopped_leaves_the_rest_to_the_next_one() {
    let host = Host::start(None);
    let device = host.open();
    let mut app = attach(&device, RING, Mask::of(kind::NOTICE)).with_pace(Pace::Prompt);
    ask(&device, Operation::Notify, 100, 0).unwrap();
    for number in 0..50 {
        assert_eq!(app.wait(Some(Duration::ZERO)).unwrap(), Wake::Ready);
        let first = app.drain(|item| match item {
            Item::Record(record) => ControlFlow::Break(record.read::<Notice>().unwrap().number),
            Item::Lost(_) => ControlFlow::Continue(()),
        });
        assert_eq!(first.unwrap(), ControlFlow::Break(number));
        let account = app.account().unwrap();
        assert!(account.balances(), "{account:?}");
        assert_eq!(account.in_ring, 99 - number);
    }
    drop(host);
    let mut left = Vec::new();
    let ended = loop {
        match app.wait(None).unwrap() {
            Wake::Ready => left.extend(numbers(&mut app)),
            Wake::TimedOut => panic!("there was no time"),
            Wake::Ended(why) => break why,
        }
    };
    assert_eq!(left, (50..100).collect::<Vec<_>>());
    assert_eq!(ended, Ending::DriverStopping);
    assert!(app.account().unwrap().balances());
}
