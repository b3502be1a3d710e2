//! Shares of several apps at one driver.

use super::*;

#[test]
fn two_apps_each_have_an_event_a_queue_and_books() {
    let kernel = Kernel::default();
    let (mut one, mut two) = (
        attach(&kernel.process(false)),
        attach(&kernel.process(false)),
    );
    (0..FIT).for_each(|n| kernel.offer(NUMBER, &Number::new(n)));
    assert_eq!(drain_numbers(&mut one).len() as u64, FIT);
    kernel.offer(NUMBER, &Number::new(FIT));
    let (first, second) = (one.account().unwrap(), two.account().unwrap());
    assert_eq!(
        (first.kernel.lost_in_all(), second.kernel.lost_in_all()),
        (0, 1)
    );
    assert_eq!(drain_numbers(&mut one), [FIT]);
    assert_eq!(drain_numbers(&mut two).len() as u64, FIT);
    assert_eq!(one.device().references().unwrap().attached, 2);
}

#[test]
fn one_app_more_than_there_are_slots_is_refused_until_another_leaves() {
    let kernel = Kernel::default();
    let process = kernel.process(true);
    let mut attachments: Vec<_> = (0..SLOTS).map(|_| attach(&process)).collect();
    let (device, event) = raw(&process);
    assert_eq!(
        ask(&device, &request(event.system().handle())),
        Err(Refusal::NoSlot)
    );
    attachments.pop();
    assert!(ask(&device, &request(event.system().handle())).is_ok());
}

#[test]
fn one_user_can_t_take_every_slot_and_the_last_one_is_an_administrators() {
    let kernel = Kernel::default();
    let mut attachments = Vec::new();
    for user in 1000..1003 {
        let process = kernel.process_of(user, false);
        attachments.extend((0..SLOTS_PER_USER).map(|_| attach(&process)));
        let (device, event) = raw(&process);
        let fifth = ask(&device, &request(event.system().handle()));
        assert_eq!(fifth, Err(Refusal::Quota));
    }
    let (last_user, admin) = (kernel.process_of(1003, false), kernel.process(true));
    attachments.extend((0..SLOTS_PER_USER - 1).map(|_| attach(&last_user)));
    let (device, event) = raw(&last_user);
    let last = ask(&device, &request(event.system().handle()));
    assert_eq!(last, Err(Refusal::NoSlot));
    drop(attach(&admin));
}

#[test]
fn what_is_about_a_user_is_told_to_that_user_and_to_administrators() {
    let kernel = Kernel::default();
    let processes = [(1000, false), (1001, false), (7, true)];
    let mut apps = processes.map(|(user, admin)| attach(&kernel.process_of(user, admin)));
    let told = [
        About::Nobody,
        About::User(1000),
        About::User(1001),
        About::Unknown,
    ];
    for (number, about) in (0..).zip(&told) {
        kernel.offer_about(NUMBER, about, &Number::new(number));
    }
    let numbers = apps.each_mut().map(drain_numbers);
    assert_eq!(numbers, [vec![0, 1], vec![0, 2], vec![0, 1, 2, 3]]);
    // Nobody asks to be told of another.
    let (device, event) = raw(&kernel.process_of(1000, false));
    let asked = Reference {
        users: 1001,
        ..request(event.system().handle())
    };
    assert_eq!(ask(&device, &asked), Err(Refusal::Range));
}
