//! Requests of apps to a driver, and its refusals.

use super::*;

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
