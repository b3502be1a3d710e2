//! What the channel promises, on the model of a kernel. The same promises are kept on real kernels in `tests/`.
#![cfg(not(any(loom, shuttle)))]
#![expect(clippy::unwrap_used, reason = "a test may fail")]

mod own_driver;

use channel::driver::table::{About, SLOTS_PER_USER};
use channel::sys::model::{Kernel, Model, Process};
use channel::{Attachment, Device, Ending, Event, Item, Mask, Pace, Refusal, Wake};
use channel_abi::command::{ALL_USERS, Drained, Reference, Referenced, References};
use channel_abi::{Command, Ledger, SLOTS, VERSION};
use own_driver::{CLEAR, LOOK, NUMBER, Number, OTHER, PULSE, SEND, SET, Touch, WAIT};
use std::ops::ControlFlow;
use std::time::Duration;
use zerocopy::{FromBytes, IntoBytes};

const RING: u32 = 4096;
/// How many notices fit into `RING`.
const FIT: u64 = RING as u64 / size_of::<Number>() as u64;
const SOON: Option<Duration> = Some(Duration::from_secs(10));

fn attach(process: &Process) -> Attachment<Model> {
    let device = process.open().unwrap();
    device.attach(RING, Mask::of(NUMBER)).unwrap()
}

fn raw(process: &Process) -> (Device<Model>, Event<Model>) {
    let device = process.open().unwrap();
    let event = device.create_event(RING).unwrap();
    (device, event)
}

fn request(event: u64) -> Reference {
    Reference {
        version: VERSION,
        ring_bytes: RING,
        mask: Mask::ALL.0,
        users: ALL_USERS,
        event,
    }
}

fn ask(device: &Device<Model>, request: &Reference) -> Result<Vec<u8>, Refusal> {
    device.system().request(
        Command::Reference as u32,
        request.as_bytes(),
        size_of::<Referenced>(),
    )
}

fn drain_numbers(attachment: &mut Attachment<Model>) -> Vec<u64> {
    let mut numbers = Vec::new();
    let each = |item: Item<'_>| {
        if let Item::Record(record) = item {
            numbers.push(record.read::<Number>().unwrap().number);
        }
    };
    attachment.drain(each).unwrap();
    numbers
}

#[test]
fn a_spinning_reader_misses_neither_a_record_nor_its_own_signal_nor_the_end() {
    let kernel = Kernel::default();
    let mut attachment = attach(&kernel.process(false)).with_pace(Pace::Spin(Duration::MAX));
    assert_eq!(
        attachment.wait(Some(Duration::from_millis(20))).unwrap(),
        Wake::TimedOut
    );
    let driver = std::thread::spawn({
        let kernel = kernel.clone();
        move || kernel.offer(NUMBER, &Number::new(7))
    });
    assert_eq!(attachment.wait(SOON).unwrap(), Wake::Ready);
    driver.join().unwrap();
    assert_eq!(drain_numbers(&mut attachment), [7]);
    // The record's own signal may still be there.
    attachment.event().clear().unwrap();
    attachment.event().set().unwrap();
    assert_eq!(attachment.wait(SOON).unwrap(), Wake::Ready);
    raw(&kernel.process(true)).0.detach_all().unwrap();
    assert_eq!(attachment.wait(SOON).unwrap(), Wake::Ready);
    assert_eq!(
        attachment.drain(|_| {}).unwrap().ended,
        Some(Ending::DriverStopping)
    );
}

/// How long this thread has kept a processor busy.
#[cfg(target_os = "linux")]
fn busy() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    let nanoseconds = text.split(' ').next().unwrap();
    Duration::from_nanos(nanoseconds.parse().unwrap())
}

#[cfg(target_os = "linux")]
#[test]
fn a_reader_that_has_spun_for_its_time_sleeps_and_misses_nothing() {
    let kernel = Kernel::default();
    let spins = Duration::from_millis(10);
    let mut attachment = attach(&kernel.process(false)).with_pace(Pace::Spin(spins));
    let before = busy();
    let most = Duration::from_secs(1);
    assert_eq!(attachment.wait(Some(most)).unwrap(), Wake::TimedOut);
    let busy = busy() - before;
    assert!(busy < most / 2, "{busy:?} of {most:?}");
    let driver = std::thread::spawn({
        let kernel = kernel.clone();
        move || {
            std::thread::sleep(10 * spins);
            kernel.offer(NUMBER, &Number::new(7));
        }
    });
    assert_eq!(attachment.wait(SOON).unwrap(), Wake::Ready);
    driver.join().unwrap();
    assert_eq!(drain_numbers(&mut attachment), [7]);
}

#[test]
fn every_record_reaches_the_app_that_waits() {
    let kernel = Kernel::default();
    let mut attachment = attach(&kernel.process(false)).with_pace(Pace::Prompt);
    let driver = std::thread::spawn({
        let kernel = kernel.clone();
        move || (0..10_000).for_each(|n| kernel.offer(NUMBER, &Number::new(n)))
    });
    let (mut seen, mut lost) = (0_u64, 0_u64);
    while seen + lost < 10_000 {
        assert_eq!(
            attachment.wait(SOON).unwrap(),
            Wake::Ready,
            "a signal is missing"
        );
        attachment
            .drain(|item| match item {
                Item::Record(_) => seen += 1,
                Item::Lost(_) => {}
            })
            .unwrap();
        lost = attachment.account().unwrap().kernel.lost_in_all();
    }
    driver.join().unwrap();
    let account = attachment.account().unwrap();
    assert!(account.balances(), "{account:?}");
    assert_eq!(account.kernel.offered, 10_000);
}

#[test]
fn a_stopped_reader_loses_exactly_what_does_not_fit() {
    let kernel = Kernel::default();
    let mut attachment = attach(&kernel.process(false));
    (0..1_000).for_each(|n| kernel.offer(NUMBER, &Number::new(n)));
    let account = attachment.account().unwrap();
    assert_eq!(
        (account.kernel.offered, account.kernel.committed),
        (1_000, FIT)
    );
    assert_eq!(account.kernel.lost, [1_000 - FIT, 0, 0]);
    assert_eq!(
        (account.in_ring, account.delivered, account.lost_untold()),
        (FIT, 0, 1_000 - FIT)
    );
    assert_eq!(drain_numbers(&mut attachment), (0..FIT).collect::<Vec<_>>());

    kernel.offer(NUMBER, &Number::new(1_000));
    let mut told = Vec::new();
    attachment
        .drain(|item| {
            if let Item::Lost(lost) = item {
                told.push(lost.count);
            }
        })
        .unwrap();
    assert_eq!(
        told,
        [1_000 - FIT],
        "the loss is told before the record that follows it"
    );
    let account = attachment.account().unwrap();
    assert!(account.balances(), "{account:?}");
    assert_eq!(
        (account.gaps, account.lost_untold()),
        (1_000 - FIT, 0),
        "gaps seen are losses counted"
    );
}

/// What an app's loop comes to that waits without end, as README has it.
fn read_to_the_end(attachment: &mut Attachment<Model>) -> (Vec<u64>, Ending) {
    let mut numbers = Vec::new();
    loop {
        match attachment.wait(None).unwrap() {
            Wake::Ready => numbers.extend(drain_numbers(attachment)),
            Wake::TimedOut => panic!("there was no time"),
            Wake::Ended(why) => return (numbers, why),
        }
    }
}

#[test]
fn the_end_is_the_last_thing_that_an_app_hears() {
    let kernel = Kernel::default();
    for pace in [
        Pace::Prompt,
        Pace::default(),
        Pace::Spin(Duration::MAX),
        Pace::Spin(Duration::ZERO),
    ] {
        let mut attachment = attach(&kernel.process(false)).with_pace(pace);
        (0..FIT).for_each(|n| kernel.offer(NUMBER, &Number::new(n)));
        let (admin, _) = raw(&kernel.process(true));
        admin.detach_all().unwrap();
        let (numbers, why) = read_to_the_end(&mut attachment);
        assert_eq!(numbers, (0..FIT).collect::<Vec<_>>());
        assert_eq!(why, Ending::DriverStopping);
        let again = attachment.wait(None).unwrap();
        assert_eq!(again, Wake::Ended(why), "and each time");
        admin.resume().unwrap();

        let mut attachment = attach(&kernel.process(false)).with_pace(pace);
        kernel.offer(NUMBER, &Number::new(7));
        attachment.detach().unwrap();
        let ended = read_to_the_end(&mut attachment);
        assert_eq!(ended, (vec![7], Ending::Dereferenced), "by itself");
    }
}

/// Both pages are compiled as documentation; the program that they show is the one that runs on a kernel.
#[test]
fn the_readmes_show_the_program_that_is_compiled() {
    let program = include_str!("../examples/read.rs");
    let (start, end) = (
        program.find("use channel::").unwrap(),
        program.find("\n/// Whatever").unwrap(),
    );
    let block = format!("\n{}```\n", &program[start..end]);
    for readme in [
        include_str!("../README.md"),
        include_str!("../../README.md"),
    ] {
        let at = readme.find(&block).expect("the same lines");
        let fence = readme[..at].lines().last().unwrap();
        assert!(fence.starts_with("```rust"), "{fence}");
    }
}

#[test]
fn the_guide_to_a_driver_of_ones_own_shows_the_files_that_are_compiled() {
    let guide = include_str!("../../docs/your-own-driver.md");
    for (name, file) in [
        (
            "tripwire/record/src/lib.rs",
            include_str!("../../examples/tripwire/record/src/lib.rs"),
        ),
        (
            "tripwire/driver/src/main.rs",
            include_str!("../../examples/tripwire/driver/src/main.rs"),
        ),
        (
            "tripwire/app/src/main.rs",
            include_str!("../../examples/tripwire/app/src/main.rs"),
        ),
        (
            "pager/record/src/lib.rs",
            include_str!("../../examples/pager/record/src/lib.rs"),
        ),
        (
            "pager/driver/src/main.rs",
            include_str!("../../examples/pager/driver/src/main.rs"),
        ),
        (
            "pager/app/src/main.rs",
            include_str!("../../examples/pager/app/src/main.rs"),
        ),
    ] {
        let shown = format!("`{name}`\n\n```rust\n{file}```\n");
        assert!(guide.contains(&shown), "{name} differs");
    }
}

#[test]
fn a_drain_that_is_stopped_leaves_the_rest_to_the_next_one() {
    let kernel = Kernel::default();
    let mut attachment = attach(&kernel.process(false)).with_pace(Pace::Prompt);
    (0..FIT + 3).for_each(|n| kernel.offer(NUMBER, &Number::new(n)));
    assert_eq!(attachment.wait(SOON).unwrap(), Wake::Ready);
    for number in 0..FIT {
        let first = attachment.drain(|item| match item {
            Item::Record(record) => ControlFlow::Break(record.read::<Number>().unwrap().number),
            Item::Lost(_) => ControlFlow::Continue(()),
        });
        assert_eq!(first.unwrap(), ControlFlow::Break(number));
        let account = attachment.account().unwrap();
        assert!(account.balances(), "{account:?}");
        assert_eq!(account.delivered, number + 1);
        let more = attachment.wait(Some(Duration::ZERO)).unwrap();
        assert_eq!(more, Wake::Ready, "no signal tells of what is left");
    }
    kernel.offer(NUMBER, &Number::new(FIT + 3));
    // At the loss: the record that told of it is for the next one.
    let lost = attachment.drain(|item| match item {
        Item::Lost(lost) => ControlFlow::Break(lost.count),
        Item::Record(_) => ControlFlow::Continue(()),
    });
    assert_eq!(lost.unwrap(), ControlFlow::Break(3));
    let account = attachment.account().unwrap();
    assert!(account.balances() && account.in_ring == 1, "{account:?}");
    raw(&kernel.process(true)).0.detach_all().unwrap();
    let (numbers, why) = read_to_the_end(&mut attachment);
    assert_eq!((numbers, why), (vec![FIT + 3], Ending::DriverStopping));
    assert!(attachment.account().unwrap().balances());
}

#[test]
fn a_drain_whose_closure_fails_fails_with_its_error() {
    #[derive(Debug)]
    enum Failed {
        Mine(u64),
        Channel,
    }
    impl From<channel::Error> for Failed {
        fn from(_: channel::Error) -> Self {
            Self::Channel
        }
    }
    let kernel = Kernel::default();
    let (process, mut read) = (kernel.process(false), 0);
    let mut attachment = attach(&process);
    (0..3).for_each(|n| kernel.offer(NUMBER, &Number::new(n)));
    let mut drain = |attachment: &mut Attachment<Model>| {
        attachment.drain(|_| {
            read += 1;
            if read == 2 {
                return Err(Failed::Mine(read));
            }
            Ok(())
        })
    };
    assert!(matches!(drain(&mut attachment), Err(Failed::Mine(2))));
    assert_eq!(drain(&mut attachment).unwrap().records, 1);
    process.kill();
    assert!(matches!(drain(&mut attachment), Err(Failed::Channel)));
}

#[test]
fn the_mask_keeps_out_what_was_not_asked_for() {
    let kernel = Kernel::default();
    let mut attachment = attach(&kernel.process(false));
    kernel.offer(OTHER, &Number::new(0));
    kernel.offer(NUMBER, &Number::new(1));
    assert_eq!(drain_numbers(&mut attachment), [1]);
    assert_eq!(attachment.account().unwrap().kernel.offered, 1);
}

#[test]
fn the_mask_holds_for_what_the_app_itself_asked_for() {
    let kernel = own_driver::kernel();
    let (device, event) = raw(&kernel.process(false));
    let mut deaf = device.attach_event(event, Mask::NONE).unwrap();
    deaf.device().request(&mut Touch::new(SEND, 3)).unwrap();
    assert_eq!(
        (
            drain_numbers(&mut deaf).len(),
            deaf.account().unwrap().kernel.offered
        ),
        (0, 0)
    );
}

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
fn an_event_that_is_none_is_refused_by_name() {
    let kernel = Kernel::default();
    let (process, other) = (kernel.process(false), kernel.process(false));
    let (device, event) = raw(&process);
    let (_other_device, theirs) = raw(&other);
    let foreign = (0..9)
        .filter_map(|_| {
            other
                .duplicate_without_signal(theirs.system().handle())
                .ok()
        })
        .max();
    let weak = process
        .duplicate_without_signal(event.system().handle())
        .unwrap();
    let cases = [
        (0, Refusal::Handle),
        (u64::MAX, Refusal::Handle),
        (process.other_object(), Refusal::Type),
        (weak, Refusal::Access),
    ];
    for (handle, refusal) in cases {
        assert_eq!(
            ask(&device, &request(handle)),
            Err(refusal),
            "handle {handle}"
        );
    }
    process.close(event.system().handle());
    assert_eq!(
        ask(&device, &request(event.system().handle())),
        Err(Refusal::Handle),
        "a closed handle"
    );
    let foreign = ask(&device, &request(foreign.unwrap()));
    assert_eq!(
        foreign,
        Err(Refusal::Handle),
        "a handle of another process means nothing here"
    );
    let books = device.references().unwrap();
    assert_eq!(
        (books.taken, books.released),
        (0, 0),
        "what is refused takes no reference"
    );
}

#[test]
fn a_request_of_the_wrong_shape_is_refused_by_name() {
    let kernel = Kernel::default();
    let process = kernel.process(false);
    let (device, event) = raw(&process);
    let good = request(event.system().handle());
    let answer = size_of::<Referenced>();
    let send = |command: u32, input: &[u8], room| device.system().request(command, input, room);
    let reference = Command::Reference as u32;
    assert_eq!(send(reference, &[], answer), Err(Refusal::Length));
    assert_eq!(
        send(reference, &good.as_bytes()[1..], answer),
        Err(Refusal::Length)
    );
    assert_eq!(send(reference, &[0; 4096], answer), Err(Refusal::Length));
    assert_eq!(
        send(reference, good.as_bytes(), answer - 1),
        Err(Refusal::Room)
    );
    assert_eq!(
        ask(
            &device,
            &Reference {
                version: VERSION + 1,
                ..good
            }
        ),
        Err(Refusal::Version)
    );
    for ring_bytes in [0, 8, 4095, 12_288, 16 << 20, u32::MAX] {
        assert_eq!(
            ask(&device, &Reference { ring_bytes, ..good }),
            Err(Refusal::Size),
            "{ring_bytes}"
        );
    }
    for command in [0, 8, 99, u32::MAX] {
        assert_eq!(send(command, &[], 0), Err(Refusal::Command), "{command}");
    }
    assert_eq!(
        send(Command::Dereference as u32, &[0], 0),
        Err(Refusal::Length)
    );
    assert_eq!(
        device.references().unwrap(),
        References::default(),
        "nothing of it left a trace"
    );
}

#[test]
fn a_second_registration_is_refused_and_changes_nothing() {
    let kernel = Kernel::default();
    let process = kernel.process(false);
    let mut attachment = attach(&process);
    let (_device, second) = raw(&process);
    let refused = ask(attachment.device(), &request(second.system().handle()));
    assert_eq!(refused, Err(Refusal::AlreadyReferenced));
    kernel.offer(NUMBER, &Number::new(7));
    assert_eq!(
        attachment.wait(SOON).unwrap(),
        Wake::Ready,
        "the first event is still the one signalled"
    );
    assert_eq!(drain_numbers(&mut attachment), [7]);
    assert!(!second.is_set().unwrap());
}

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
fn commands_without_a_reference_are_refused() {
    let kernel = Kernel::default();
    let (device, _event) = raw(&kernel.process(false));
    for (command, room) in [
        (Command::Dereference, 0),
        (Command::Drain, size_of::<Drained>()),
        (Command::Account, size_of::<Ledger>()),
    ] {
        assert_eq!(
            device.system().request(command as u32, &[], room),
            Err(Refusal::NotReferenced),
            "{command:?}"
        );
    }
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

#[test]
fn what_the_driver_fills_in_is_not_taken_from_the_request() {
    let attachment = attach(&own_driver::kernel().process(false));
    let mut request = Touch::new(SEND, 2);
    (request.header.command, request.header.slot) = (7, 9);
    (request.header.token, request.header.refusal) = (u64::MAX, 99);
    (request.after, request.waiting) = (9, u64::MAX);
    attachment.device().request(&mut request).unwrap();
    assert_eq!((request.header.command, request.header.refusal), (64, 0));
    assert_eq!((request.header.slot, request.header.token), (0, 0));
    assert_eq!((request.after, request.waiting), (1, 2));
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
fn a_driver_without_commands_of_its_own_refuses_them() {
    let attachment = attach(&Kernel::default().process(false));
    let refused = attachment.device().request(&mut Touch::new(SET, 0));
    assert_eq!(refused.unwrap_err().refusal(), Some(Refusal::Command));
}

#[test]
fn the_driver_operates_the_event_as_the_app_asks() {
    let kernel = own_driver::kernel();
    let mut attachment = attach(&kernel.process(false)).with_pace(Pace::Prompt);
    let device = attachment.device().clone();
    let touch = |what, count| {
        let mut request = Touch::new(what, count);
        device.request(&mut request).map(|()| request)
    };
    let seen = touch(SET, 0).unwrap();
    assert_eq!((seen.before, seen.after), (0, 1));
    assert_eq!(attachment.wait(SOON).unwrap(), Wake::Ready);
    assert_eq!(
        touch(LOOK, 0).unwrap().before,
        0,
        "an auto-reset event: the wait took the signal"
    );
    attachment.event().set().unwrap();
    assert_eq!(
        touch(WAIT, 0).unwrap().before,
        1,
        "the driver waits for what the app sets"
    );
    assert_eq!(
        touch(WAIT, 0).unwrap_err().refusal(),
        Some(Refusal::TimedOut)
    );
    touch(SET, 0).unwrap();
    let seen = touch(CLEAR, 0).unwrap();
    assert_eq!((seen.before, seen.after), (1, 0));
    let seen = touch(PULSE, 0).unwrap();
    assert_eq!((seen.before, seen.after), (0, 0));
    let nothing = attachment.wait(Some(Duration::from_millis(1))).unwrap();
    assert_eq!(
        nothing,
        Wake::TimedOut,
        "a pulse between two waits is lost: the article's fault"
    );
    let seen = touch(SEND, 3).unwrap();
    assert_eq!((seen.waiting, seen.after), (3, 1));
    assert_eq!(drain_numbers(&mut attachment), [0, 1, 2]);
}

#[test]
fn a_drain_for_less_than_its_head_is_refused_and_one_for_the_head_takes_nothing() {
    let kernel = Kernel::default();
    let attachment = attach(&kernel.process(false));
    kernel.offer(NUMBER, &Number::new(0));
    let drain = |room| {
        attachment
            .device()
            .system()
            .request(Command::Drain as u32, &[], room)
    };
    assert_eq!(drain(size_of::<Drained>() - 1), Err(Refusal::Room));
    let head = Drained::read_from_bytes(&drain(size_of::<Drained>()).unwrap()).unwrap();
    assert_eq!((head.records, head.waiting, head.ended), (0, 1, 0));
}
