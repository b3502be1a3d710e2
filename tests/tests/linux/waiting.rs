//! An app that waits: by the library, in a loop of its own, or awaiting.

use super::{RING, ask, attach, numbers};
use crate::place::{Host, within};
use crate::read;
use channel::sys::linux::Linux;
use channel::{Attachment, Ending, Mask, Pace, Wake};
use gatebell_tests::PATIENCE;
use sample_abi::{Operation, kind};
use std::ops::ControlFlow;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// Returns whether a loop of the app's own is told by now: by `poll`, and by an edge for an `epoll` that asked once, as
/// mio and tokio ask.
fn told(app: &Attachment<Linux>, edges: &OwnedFd, most: i32) -> (bool, bool) {
    let mut entry = libc::pollfd {
        fd: app.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: one entry, as said.
    let polled = unsafe { libc::poll(&raw mut entry, 1, most) };
    let mut event = libc::epoll_event { events: 0, u64: 0 };
    // SAFETY: room for one event, as said.
    let edge = unsafe { libc::epoll_wait(edges.as_raw_fd(), &raw mut event, 1, 0) };
    (polled == 1, edge == 1)
}

/// An `epoll` of the app's own that is told by edges.
fn edges_of(app: &Attachment<Linux>) -> OwnedFd {
    // SAFETY: no preconditions.
    let edges = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
    assert!(edges >= 0);
    // SAFETY: just made, and nobody else's.
    let edges = unsafe { OwnedFd::from_raw_fd(edges) };
    let mut asked = libc::epoll_event {
        events: (libc::EPOLLIN | libc::EPOLLET).cast_unsigned(),
        u64: 0,
    };
    let (epoll, fd) = (edges.as_raw_fd(), app.as_raw_fd());
    // SAFETY: an initialised event, which the kernel copies.
    let added = unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, fd, &raw mut asked) };
    assert_eq!(added, 0);
    edges
}

/// The runtime of an app that awaits, on this thread alone.
fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .unwrap()
}

#[test]
fn an_app_that_awaits_is_told_of_records_its_own_signal_and_the_end_and_what_gives_up_takes_nothing()
 {
    const AT_LEAST: Duration = Duration::from_millis(50);
    let host = Host::start(None);
    let (device, admin) = (host.open(), host.open());
    let outside = attach(&host.open(), RING, Mask::of(kind::NOTICE)).awaited();
    let why = outside.expect_err("there is no runtime").to_string();
    assert!(why.contains("runtime"), "{why}");
    runtime().block_on(async {
        let app = attach(&device, RING, Mask::of(kind::NOTICE));
        let mut app = app.awaited().unwrap();
        for number in 0..100 {
            if number % 10 == 0 {
                let early = tokio::time::timeout(AT_LEAST, app.wait()).await;
                assert!(early.is_err(), "nothing has come: {early:?}");
            }
            // From a thread: a request blocks, and here everything else waits for it.
            let asking = device.clone();
            let asked = tokio::task::spawn_blocking(move || ask(&asking, Operation::Notify, 1, 0));
            let mut told = 0;
            while told == 0 {
                let wake = tokio::time::timeout(PATIENCE, app.wait()).await;
                assert_eq!(wake.unwrap().unwrap(), Wake::Ready, "{number}");
                told += app.drain(|_| ()).unwrap().records;
            }
            assert_eq!(told, 1);
            asked.await.unwrap().unwrap();
        }
        app.attachment().event().set().unwrap();
        let wake = tokio::time::timeout(PATIENCE, app.wait()).await;
        assert_eq!(wake.unwrap().unwrap(), Wake::Ready, "its own signal");
        assert_eq!(app.drain(|_| ()).unwrap().records, 0);
        // What a drain left is told without a signal.
        tokio::task::spawn_blocking(move || ask(&device, Operation::Notify, 2, 0))
            .await
            .unwrap()
            .unwrap();
        for _ in 0..2 {
            let wake = tokio::time::timeout(PATIENCE, app.wait()).await;
            assert_eq!(wake.unwrap().unwrap(), Wake::Ready);
            let drained = app.drain(|_| ControlFlow::Break(())).unwrap();
            assert_eq!(drained, ControlFlow::Break(()));
        }
        tokio::task::spawn_blocking(move || admin.detach_all())
            .await
            .unwrap()
            .unwrap();
        let ended = loop {
            match tokio::time::timeout(PATIENCE, app.wait())
                .await
                .unwrap()
                .unwrap()
            {
                Wake::Ended(why) => break why,
                _ => app.drain(|_| ()).unwrap(),
            };
        };
        assert_eq!(ended, Ending::DriverStopping);
        assert!(app.attachment().account().unwrap().balances());
    });
}

#[test]
fn one_descriptor_tells_a_loop_of_the_apps_own_of_a_record_its_own_signal_and_the_end() {
    const AT_MOST: i32 = PATIENCE.as_millis() as i32;
    for hang_up in [false, true] {
        let host = Host::start(None);
        let (device, admin) = (host.open(), host.open());
        let mut app = attach(&device, RING, Mask::of(kind::NOTICE)).with_pace(Pace::Prompt);
        let edges = edges_of(&app);
        assert_eq!(told(&app, &edges, 0), (false, false), "nothing yet");

        for number in 0..3 {
            ask(&device, Operation::Notify, 1, 0).unwrap();
            assert_eq!(told(&app, &edges, AT_MOST), (true, true), "{number}");
            assert_eq!(told(&app, &edges, 0), (true, false), "as long as it waits");
            assert_eq!(app.wait(Some(Duration::ZERO)).unwrap(), Wake::Ready);
            assert_eq!(numbers(&mut app).len(), 1);
            assert_eq!(app.wait(Some(Duration::ZERO)).unwrap(), Wake::TimedOut);
            assert_eq!(told(&app, &edges, 0), (false, false), "all was drained");
        }

        app.event().set().unwrap();
        assert_eq!(told(&app, &edges, AT_MOST), (true, true), "its own signal");
        assert_eq!(app.wait(Some(Duration::ZERO)).unwrap(), Wake::Ready);
        assert_eq!(told(&app, &edges, 0), (false, false), "which a wait takes");

        // A request is answered on the same socket whose hang-up is the end: that is no news.
        device.references().unwrap();
        assert_eq!(told(&app, &edges, 0), (false, false));
        if hang_up {
            drop(host);
        } else {
            admin.detach_all().unwrap();
        }
        assert_eq!(told(&app, &edges, AT_MOST), (true, true), "the end");
        let mut turns = 0;
        while app.wait(Some(Duration::ZERO)).unwrap() == Wake::Ready {
            app.drain(|_| ()).unwrap();
            turns += 1;
            assert!(turns < 10, "it never says that it has ended");
        }
        let ended = Wake::Ended(Ending::DriverStopping);
        assert_eq!(app.wait(None).unwrap(), ended);
    }
}

#[test]
fn readmes_program_reads_until_the_driver_ends_it() {
    let host = Host::start(None);
    let socket = host.socket.to_str().unwrap().to_owned();
    let reader = std::thread::spawn(move || read::read(&socket));
    within(PATIENCE, || host.open().references().unwrap().attached == 1);
    drop(host);
    let ended = reader.join().unwrap();
    assert!(
        matches!(ended, Ok(Ending::DriverStopping)),
        "it says how it ended: {ended:?}"
    );
}

#[test]
fn the_named_event_can_be_waited_on_but_not_reset() {
    let host = Host::start(None);
    let device = host.open();
    let _app = attach(&device, RING, Mask::NONE);
    let named = device.system().named().unwrap();
    assert!(!named.wait(Some(Duration::from_millis(10))).unwrap());
    ask(&device, Operation::PulseNamed, 0, 0).unwrap();
    assert!(
        !named.wait(Some(Duration::from_millis(10))).unwrap(),
        "nobody waited: lost"
    );
    let waiter = std::thread::spawn(move || (named.wait(Some(PATIENCE)).unwrap(), named));
    // A pulse before it waits is lost too, and nobody sees when it does.
    while !waiter.is_finished() {
        std::thread::sleep(Duration::from_millis(50));
        ask(&device, Operation::PulseNamed, 0, 0).unwrap();
    }
    let (heard, named) = waiter.join().unwrap();
    assert!(heard);
    assert!(named.reset().is_err());
}

/// A drain hands over a ring full at most; what is left then came while the reader was behind,
/// so the kernel tells of none of it.
#[test]
fn a_drain_that_leaves_more_than_it_may_hand_over_tells_a_loop_by_an_edge() {
    let host = Host::start(None);
    let device = host.open();
    let app = attach(&device, 4096, Mask::of(kind::NOTICE));
    let mut app = app.with_pace(Pace::Prompt);
    let edges = edges_of(&app);
    ask(&device, Operation::Notify, 2, 0).unwrap();
    assert_eq!(
        told(&app, &edges, PATIENCE.as_millis() as i32),
        (true, true)
    );
    assert_eq!(app.wait(Some(Duration::ZERO)).unwrap(), Wake::Ready);
    let drained = app.drain(|_| {
        ask(&device, Operation::Notify, 1, 0).unwrap();
    });
    let account = app.account().unwrap();
    assert!(account.balances() && account.in_ring > 0, "{account:?}");
    assert!(drained.unwrap().records > 2);
    assert_eq!(told(&app, &edges, 0), (true, true), "there is more");
    assert_eq!(app.wait(Some(Duration::ZERO)).unwrap(), Wake::Ready);
    assert_eq!(app.drain(|_| ()).unwrap().records, account.in_ring);
    assert_eq!(app.wait(Some(Duration::ZERO)).unwrap(), Wake::TimedOut);
    assert_eq!(told(&app, &edges, 0), (false, false), "all was drained");
}
