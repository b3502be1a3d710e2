//! Ends of an attachment: by the app, by its death, by the driver.

use super::*;

#[test]
fn what_was_let_go_is_let_go_once() {
    let kernel = Kernel::default();
    let mut attachment = attach(&kernel.process(false));
    kernel.offer(NUMBER, &Number::new(1));
    attachment.detach().unwrap();
    assert_eq!(
        attachment.detach().unwrap_err().refusal(),
        Some(Refusal::NotReferenced)
    );
    kernel.offer(NUMBER, &Number::new(2));
    assert_eq!(
        drain_numbers(&mut attachment),
        [1],
        "committed records can still be drained, none come after"
    );
    let account = attachment.account().unwrap();
    assert!(
        account.balances() && account.kernel.offered == 1,
        "{account:?}"
    );
    let books = attachment.device().references().unwrap();
    assert_eq!((books.taken, books.released, books.attached), (1, 1, 0));
    let again = ask(
        attachment.device(),
        &request(attachment.event().system().handle()),
    );
    assert!(again.is_ok(), "the same open device may reference again");
}

#[test]
fn a_killed_app_leaves_no_reference_and_its_losses_stay_booked() {
    let kernel = Kernel::default();
    let (killed, watcher) = (kernel.process(false), kernel.process(false));
    let attachment = attach(&killed);
    (0..FIT + 5).for_each(|n| kernel.offer(NUMBER, &Number::new(n)));
    assert_eq!(kernel.live_events(), 1);
    killed.kill();
    assert_eq!(
        kernel.live_events(),
        0,
        "the event object is gone with the last reference"
    );
    let (device, _event) = raw(&watcher);
    let books = device.references().unwrap();
    assert_eq!((books.taken, books.released, books.attached), (1, 1, 0));
    assert_eq!(
        (books.past.offered, books.past.committed, books.past.lost),
        (FIT + 5, FIT, [5, 0, 0])
    );
    kernel.offer(NUMBER, &Number::new(0));
    assert!(attachment.account().is_err(), "a dead process asks nothing");
}

#[test]
fn a_driver_that_was_not_stopped_after_all_takes_apps_again() {
    let kernel = Kernel::default();
    let (by_user, event) = raw(&kernel.process(false));
    let (by_admin, _) = raw(&kernel.process(true));
    by_admin.detach_all().unwrap();
    assert_eq!(
        ask(&by_user, &request(event.system().handle())),
        Err(Refusal::Stopping)
    );
    assert_eq!(
        by_user.resume().unwrap_err().refusal(),
        Some(Refusal::NotPermitted)
    );
    by_admin.resume().unwrap();
    ask(&by_user, &request(event.system().handle())).unwrap();
}

#[test]
fn a_stopping_driver_leaves_each_app_a_tombstone_and_a_last_signal() {
    let kernel = Kernel::default();
    let (user, admin) = (kernel.process(false), kernel.process(true));
    let mut attachments = [attach(&user), attach(&user), attach(&admin)];
    let (by_user, _event) = raw(&user);
    let (by_admin, event) = raw(&admin);
    assert_eq!(
        by_user.detach_all().unwrap_err().refusal(),
        Some(Refusal::NotPermitted)
    );
    (0..FIT + 1).for_each(|n| kernel.offer(NUMBER, &Number::new(n)));
    attachments
        .iter()
        .for_each(|attachment| attachment.event().clear().unwrap());

    by_admin.detach_all().unwrap();
    for attachment in &mut attachments {
        assert_eq!(attachment.wait(SOON).unwrap(), Wake::Ready, "nobody hangs");
        let drained = attachment.drain(|_| {}).unwrap();
        assert_eq!(
            (drained.records, drained.ended),
            (FIT, Some(Ending::DriverStopping))
        );
        let ended = Wake::Ended(Ending::DriverStopping);
        assert_eq!(attachment.wait(None).unwrap(), ended, "nor later");
    }
    assert_eq!(
        ask(&by_admin, &request(event.system().handle())),
        Err(Refusal::Stopping)
    );
    let books = by_admin.references().unwrap();
    // The fourth was refused before its event was looked at.
    assert_eq!((books.taken, books.released, books.attached), (3, 3, 0));
    assert_eq!(
        kernel.unload(),
        Err(Refusal::Busy),
        "NT unloads no driver with open files"
    );
    drop(attachments);
    drop((by_user, by_admin));
    assert!(kernel.unload().is_ok());
}

#[test]
fn a_dropped_attachment_is_let_go_of_whatever_else_lives() {
    let kernel = Kernel::default();
    let attachment = attach(&kernel.process(false));
    let clone = attachment.device().clone();
    drop(attachment);
    let books = clone.references().unwrap();
    assert_eq!((books.taken, books.released, books.attached), (1, 1, 0));
}

#[test]
fn an_attachment_that_ended_takes_no_later_one_along() {
    let kernel = Kernel::default();
    let mut first = attach(&kernel.process(false));
    let device = first.device().clone();
    first.detach().unwrap();
    let _second = device.attach(RING, Mask::ALL).unwrap();
    drop(first);
    assert_eq!(device.references().unwrap().attached, 1);
}

#[test]
fn an_attachment_that_ended_leaves_the_next_one_of_the_same_device_alone() {
    let kernel = Kernel::default();
    let admin = kernel.process(true).open().unwrap();
    let device = kernel.process(false).open().unwrap();
    let attach = || device.attach(RING, Mask::of(NUMBER)).unwrap();
    // One ended by the driver, each time, and another attached in its place.
    let [mut first, second, mut third] = [(); 3].map(|()| {
        let attached = attach();
        admin.detach_all().unwrap();
        admin.resume().unwrap();
        attached
    });
    let mut last = attach();
    kernel.offer(NUMBER, &Number::new(1));

    let refused = |refusal: Option<Refusal>| assert_eq!(refusal, Some(Refusal::NotReferenced));
    refused(first.detach().unwrap_err().refusal());
    refused(first.account().unwrap_err().refusal());
    refused(third.drain(|_| {}).unwrap_err().refusal());
    drop((first, second, third));
    assert_eq!(drain_numbers(&mut last), [1]);
    kernel.offer(NUMBER, &Number::new(2));
    assert_eq!(drain_numbers(&mut last), [2], "it is attached still");
    assert!(last.account().unwrap().balances());
}
