//! Tests of an attachment's beginning, and of each way in which it ends.

use super::{RING, ask, attach, numbers};
use crate::place::{Child, Host, within};
use channel::sys::linux::bpf;
use channel::{Ending, Error, Mask, Refusal, Wake};
use gatebell_tests::PATIENCE;
use sample_abi::{Operation, kind};
use std::io::ErrorKind;
use std::time::Duration;

#[test]
fn a_killed_apps_reference_is_gone_with_its_ring() {
    let host = Host::start(None);
    let mut child = Child::start("attach", &host);
    let ring: u32 = child.says("ring").parse().unwrap();
    assert!(bpf::map_exists(ring).unwrap());
    let device = host.open();
    assert_eq!(device.references().unwrap().attached, 1);
    child.kill();
    within(PATIENCE, || device.references().unwrap().attached == 0);
    within(PATIENCE, || !bpf::map_exists(ring).unwrap());
    let references = device.references().unwrap();
    assert_eq!((references.taken, references.released), (1, 1));
    assert!(
        references.past.balances() && references.past.offered > 0,
        "{references:?}"
    );
}

#[test]
fn a_driver_that_stops_leaves_a_tombstone_and_a_last_signal() {
    let host = Host::start(None);
    let device = host.open();
    let mut app = attach(&device, RING, Mask::of(kind::NOTICE));
    ask(&device, Operation::Notify, 3, 0).unwrap();
    assert_eq!(numbers(&mut app), [0, 1, 2]);
    assert_eq!(
        app.wait(Some(Duration::from_millis(20))).unwrap(),
        Wake::TimedOut
    );
    let waiter = std::thread::spawn(move || (app.wait(Some(PATIENCE)).unwrap(), app));
    std::thread::sleep(Duration::from_millis(50));
    drop(host);
    let (wake, mut app) = waiter.join().unwrap();
    assert_eq!(wake, Wake::Ready, "signalled before its time is over");
    assert_eq!(
        app.drain(|_| ()).unwrap().ended,
        Some(Ending::DriverStopping)
    );
    assert!(app.account().unwrap().balances());
}

#[test]
fn detaching_all_ends_every_reference_and_refuses_new_ones() {
    let host = Host::start(None);
    let (device, admin) = (host.open(), host.open());
    let mut app = attach(&device, 4096, Mask::of(kind::NOTICE));
    // A full ring, in which no tombstone would find room as a record.
    ask(&device, Operation::Notify, 1000, 0).unwrap();
    admin.detach_all().unwrap();
    assert_eq!(app.wait(None).unwrap(), Wake::Ready);
    let drained = app.drain(|_| ()).unwrap();
    assert!(
        drained.records > 0 && drained.ended == Some(Ending::DriverStopping),
        "{drained:?}"
    );
    let again = admin.attach(RING, Mask::ALL);
    assert_eq!(again.err().unwrap().refusal(), Some(Refusal::Stopping));
    let references = admin.references().unwrap();
    assert_eq!(
        (references.taken, references.released, references.attached),
        (1, 1, 0)
    );
    assert_eq!(references.past.offered, 1000);
    // It was not stopped after all.
    admin.resume().unwrap();
    attach(&device, 4096, Mask::ALL);
}

/// Two would each move the one position, past what the other one lends.
#[test]
fn a_ring_has_one_reader_at_a_time() {
    let host = Host::start(None);
    let device = host.open();
    let mut app = attach(&device, RING, Mask::of(kind::NOTICE));
    let event = app.event().clone();
    app.detach().unwrap();
    let other = host.open();
    match other.attach_event(event.clone(), Mask::ALL) {
        Err(Error::System { source, .. }) => assert_eq!(source.kind(), ErrorKind::ResourceBusy),
        unexpected => panic!("{unexpected:?}"),
    }
    let attached = device.references().unwrap().attached;
    assert_eq!(attached, 0, "what nobody can read is let go of");
    drop(app);
    other.attach_event(event, Mask::ALL).unwrap();
}

#[test]
fn a_second_attachment_is_refused_and_so_is_a_request_after_the_end() {
    let host = Host::start(None);
    let device = host.open();
    let mut app = attach(&device, RING, Mask::of(kind::NOTICE));
    let second = device.attach(RING, Mask::ALL);
    assert_eq!(
        second.err().unwrap().refusal(),
        Some(Refusal::AlreadyReferenced)
    );
    let other = host.open().attach_event(app.event().clone(), Mask::ALL);
    assert_eq!(
        other.err().unwrap().refusal(),
        Some(Refusal::AlreadyReferenced),
        "one ring, two readers"
    );
    ask(&device, Operation::Notify, 5, 0).unwrap();
    app.detach().unwrap();
    assert_eq!(
        app.detach().unwrap_err().refusal(),
        Some(Refusal::NotReferenced)
    );
    assert_eq!(
        ask(&device, Operation::Notify, 5, 0).unwrap_err(),
        Refusal::NotReferenced
    );
    let drained = app.drain(|_| ()).unwrap();
    assert_eq!(
        (drained.records, drained.ended),
        (5, Some(Ending::Dereferenced))
    );
    let account = app.account().unwrap();
    assert!(
        account.balances() && account.kernel.offered == 5,
        "the books outlive the reference: {account:?}"
    );
    let again = attach(&device, RING, Mask::of(kind::NOTICE));
    assert_eq!(
        ask(&device, Operation::Notify, 1, 0).unwrap().seen.offered,
        1
    );
    assert_eq!(again.account().unwrap().in_ring, 1);
}

#[test]
fn the_service_makes_the_ring_of_an_app_that_may_not() {
    let host = Host::start(None);
    let device = host.open();
    assert!(
        !device
            .create_event(RING)
            .unwrap()
            .system()
            .made_by_service(),
        "root makes its own"
    );
    let mut child = Child::start("unprivileged", &host);
    assert_eq!(child.says("by service"), "true");
    assert_eq!(child.says("delivered"), "100");
    assert_eq!(child.says("detach all"), "not_permitted");
    child.ends_well();
}
