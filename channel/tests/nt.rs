//! The WDM half as it ships, on a model of NT that holds each call of the kernel's to NT's rules: what Driver Verifier
//! would stop a machine for, on any host.
//!
//! `nt/imports.rs` is every function that a driver of ours imports, with its highest interrupt level; `nt/kernel.rs`
//! what must be balanced when the driver is gone (pool with its tags, references, handles, tokens, timers, threads,
//! callbacks, links, devices), and the order of locks; `nt/io.rs` the rules of requests, with CLEANUP beside those that
//! run. Each call that can fail fails once, at each place.
//!
//! What it can't show: the orders of threads are those that come (`loom_work.rs` explores those of requests);
//! interrupts interrupt nobody, pages do not go away, and what the documentation does not say is not in it.
#![cfg(not(any(loom, shuttle)))]
#![expect(clippy::expect_used, reason = "a test may fail")]

#[path = "nt/driver.rs"]
mod driver;
#[path = "nt/for_few.rs"]
mod for_few;
#[path = "nt/imports.rs"]
mod imports;
#[path = "nt/io.rs"]
mod io;
#[path = "nt/kernel.rs"]
mod kernel;
#[path = "nt/rules.rs"]
mod rules;
#[path = "nt/sample.rs"]
mod sample;

use channel::Refusal;
use channel::driver::table::SLOTS_PER_USER;
use channel::driver::wdm::nt;
use channel_abi::command::{Drained, Reference, Referenced, References};
use channel_abi::{AnyCommand, Command, DriverRequest, Mask, SLOTS, VERSION};
use driver::{Ask, OFFER, OPERATE, SLEEP, TICK, WAIT, entry};
use io::{ADMINISTRATOR, End, File, Machine, OTHER, Sent, USER};
use kernel::Kernel;
use sample_abi::Operation;
use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;
use zerocopy::{FromBytes, FromZeros, IntoBytes};

/// Rights for which an app opens its event.
const ALL_RIGHTS: u32 = nt::EVENT_QUERY_STATE | nt::EVENT_MODIFY_STATE | nt::SYNCHRONIZE;

/// An app that is attached.
struct App<'m> {
    machine: &'m Machine,
    file: File,
    process: u32,
    event: u64,
}

fn refused(end: &End) -> Option<Refusal> {
    Refusal::from_ntstatus(end.status)
}

impl<'m> App<'m> {
    fn open(machine: &'m Machine, process: u32) -> Result<Self, i32> {
        Self::open_with(machine, process, ALL_RIGHTS)
    }

    /// Opens the device, and an event for these rights.
    fn open_with(machine: &'m Machine, process: u32, rights: u32) -> Result<Self, i32> {
        Ok(Self {
            machine,
            file: machine.open(process)?,
            process,
            event: machine.event(process, rights),
        })
    }

    fn attached(machine: &'m Machine, process: u32) -> Self {
        let app = Self::open(machine, process).expect("it opens");
        assert_eq!(app.attach().status, 0);
        app
    }

    fn attach(&self) -> End {
        let reference = Reference {
            version: VERSION,
            ring_bytes: 4096,
            mask: Mask::ALL.0,
            users: u64::MAX,
            event: self.event,
        };
        let code = Command::Reference.control_code();
        let input = reference.as_bytes();
        self.machine
            .control(self.file, code, input, size_of::<Referenced>())
            .end()
    }

    /// Sends a command of the channel's.
    fn command(&self, command: Command, output: usize) -> End {
        self.machine
            .control(self.file, command.control_code(), &[], output)
            .end()
    }

    /// Sends a request of the driver's own.
    fn ask(&self, what: u32, microseconds: u32) -> Sent {
        let ask = Ask::new(what, microseconds);
        let code = AnyCommand::from(Ask::COMMAND).control_code();
        self.machine
            .control(self.file, code, ask.as_bytes(), size_of::<Ask>())
    }

    fn drain(&self) -> Drained {
        let end = self.command(Command::Drain, 4096);
        Drained::read_from_prefix(&end.answer)
            .map_or_else(|_| Drained::new_zeroed(), |(drained, _)| drained)
    }

    fn close(self) {
        self.machine.close(self.file);
    }
}

/// Does everything that an app can do, and what goes on beside it. Where something fails it goes on with the rest.
fn live(machine: &Machine) {
    let Ok(app) = App::open(machine, USER) else {
        return;
    };
    if app.attach().status >= 0 {
        // First, while nothing has signalled its event yet.
        let waiting = app.ask(WAIT, 30_000_000);
        waiting.cancel();
        waiting.end();
        app.ask(OFFER, 0).end();
        app.ask(OPERATE, 0).end();
        machine.process_starts(USER);
        machine.process_starts(OTHER);
        app.drain();
        app.command(Command::Account, 8192);
        app.command(Command::References, size_of::<References>());
        app.ask(TICK, 100).end();
        let slept = app.ask(SLEEP, 100).end();
        assert!(slept.status >= 0 || slept.status == Refusal::Memory.ntstatus());
        app.ask(SLEEP, 0).end();
        app.command(Command::Dereference, 0);
        app.attach();
    }
    let admin = App::open(machine, ADMINISTRATOR);
    if let Ok(admin) = admin {
        admin.attach();
        admin.command(Command::DetachAll, 0);
        admin.command(Command::Resume, 0);
        admin.close();
    }
    app.close();
}

#[test]
fn a_driver_breaks_no_rule_and_leaves_nothing() {
    let machine = Machine::load(None, entry).expect("it starts");
    live(&machine);
    machine.unload();
}

#[test]
fn whichever_call_fails_a_driver_breaks_no_rule_and_leaves_nothing() {
    let mut failed = BTreeSet::new();
    for number in 0.. {
        assert!(number < 1000, "there is an end to what can fail");
        let gone = Machine::load(Some(number), entry).map_or_else(
            |gone| gone,
            |machine| {
                live(&machine);
                machine.unload()
            },
        );
        match gone.failed {
            Some(function) => failed.insert(function),
            None => break,
        };
    }
    let can_fail = [
        "ExAllocatePool2",
        "IoCreateDevice",
        "IoCreateSymbolicLink",
        "IoCreateSystemThread",
        "ObOpenObjectByPointer",
        "ObReferenceObjectByHandle",
        "PsSetCreateProcessNotifyRoutineEx",
        "SeQueryInformationToken",
        "ZwCreateEvent",
        "ZwSetSecurityObject",
    ];
    assert_eq!(failed.into_iter().collect::<Vec<_>>(), can_fail);
}

#[test]
fn each_function_that_a_driver_imports_has_its_highest_level_and_is_called_here() {
    let source = include_str!("../src/driver/wdm/nt.rs");
    let declared: BTreeSet<&str> = source
        .lines()
        .filter_map(|line| line.strip_prefix("    pub fn "))
        .filter_map(|line| line.split('(').next())
        .collect();
    let known: BTreeSet<&str> = imports::LEVELS.iter().map(|(name, _)| *name).collect();
    assert!(declared.len() > 40);
    assert_eq!(
        declared, known,
        "what a driver imports has a wrapper in nt/imports.rs, with its highest level"
    );
    let machine = Machine::load(None, entry).expect("it starts");
    live(&machine);
    let called = machine.unload().called;
    let not_called: Vec<_> = known.difference(&called).collect();
    // The first is the I/O manager's, the other for a driver that is unloaded under a routine that is held up: below.
    assert_eq!(
        not_called,
        [&"IoAcquireCancelSpinLock", &"KeDelayExecutionThread"]
    );
}

#[test]
fn a_request_that_waits_in_the_driver_ends_as_whatever_ends_it() {
    let machine = Machine::load(None, entry).expect("it starts");
    let app = App::attached(&machine, USER);
    let long = 50_000_000;

    let sent = app.ask(WAIT, long);
    sent.cancel();
    assert_eq!(sent.end().status, nt::STATUS_CANCELLED);

    // Whoever cancels before the driver has the request finds nothing to ring.
    kernel::with(|kernel| kernel.cancelled_early = true);
    assert_eq!(app.ask(WAIT, long).end().status, nt::STATUS_CANCELLED);
    kernel::with(|kernel| kernel.cancelled_early = false);

    let sent = app.ask(WAIT, long);
    assert_eq!(refused(&app.ask(WAIT, long).end()), Some(Refusal::Busy));
    machine.set(app.process, app.event);
    assert_eq!(sent.end().status, 0);

    assert_eq!(refused(&app.ask(WAIT, 100).end()), Some(Refusal::TimedOut));

    let sent = app.ask(WAIT, long);
    assert_eq!(app.command(Command::Dereference, 0).status, 0);
    assert_eq!(refused(&sent.end()), Some(Refusal::NotReferenced));

    assert_eq!(app.attach().status, 0);
    let sent = app.ask(WAIT, long);
    let admin = App::open(&machine, ADMINISTRATOR).expect("it opens");
    assert_eq!(admin.command(Command::DetachAll, 0).status, 0);
    // By the last signal, or by what has it give up: one may leave the other behind.
    let end = sent.end();
    assert!(end.status == 0 || refused(&end) == Some(Refusal::NotReferenced));
    machine.was_signalled(app.process, app.event);
    assert_eq!(admin.command(Command::Resume, 0).status, 0);

    assert_eq!(app.attach().status, 0);
    let sent = app.ask(WAIT, long);
    // The app's last handle goes while the driver works for it.
    machine.clean_up(app.file);
    assert!(refused(&sent.end()).is_some());
    // What comes after that, from a thread that was held up on its way, is given up too.
    let late = app.ask(SLEEP, long).end();
    assert_eq!(refused(&late), Some(Refusal::NotReferenced));
    machine.close_late(app.file);
    admin.close();
    machine.unload();
}

/// Ends every app's reference, as if the driver were to be stopped, and takes that back.
fn detach_all_and_resume(machine: &Machine) {
    let admin = App::open(machine, ADMINISTRATOR).expect("it opens");
    assert_eq!(admin.command(Command::DetachAll, 0).status, 0);
    assert_eq!(admin.command(Command::Resume, 0).status, 0);
    admin.close();
}

#[test]
fn requests_cancellations_ends_and_cleanups_meet_at_any_moment() {
    let machine = Machine::load(None, entry).expect("it starts");
    for round in 0..300_u64 {
        let app = App::attached(&machine, USER);
        thread::scope(|scope| {
            let beside = |run: &'static (dyn Fn(&App<'_>) + Sync), late: u64| {
                let app = &app;
                scope.spawn(move || {
                    thread::sleep(Duration::from_micros(late % 400));
                    run(app);
                });
            };
            beside(&|app| drop(app.ask(WAIT, 300).end()), round * 7);
            beside(&|app| app.ask(SLEEP, 200).cancel(), round * 13);
            beside(
                &|app| drop(app.ask(TICK, (app.event % 3 * 100) as u32).end()),
                round * 29,
            );
            beside(&|app| drop(app.ask(OFFER, 0).end()), round * 31);
            beside(&|app| app.machine.process_starts(USER), round * 37);
            match round % 4 {
                3 => beside(&|app| detach_all_and_resume(app.machine), round * 43),
                0 => beside(
                    &|app| drop(app.command(Command::Dereference, 0)),
                    round * 43,
                ),
                1 => beside(&|app| app.machine.clean_up(app.file), round * 43),
                _ => beside(&|app| assert!(app.drain().records < 64), round * 43),
            }
        });
        app.close();
    }
    machine.unload();
}

#[test]
fn a_driver_is_not_unloaded_under_a_request_whose_thread_is_over_before_it_is_known() {
    let slow = |kernel: &mut Kernel| kernel.held_up = Duration::from_millis(80);
    let machine = Machine::load_beside(None, slow, entry).expect("it starts");
    let app = App::attached(&machine, USER);
    let (file, ask) = (app.file, Ask::new(SLEEP, 0));
    let sending = machine.send_beside(
        file,
        AnyCommand::from(Ask::COMMAND).control_code(),
        ask.as_bytes(),
    );
    // The work is done and the file closed while the routine is still held up in the kernel.
    machine.close(file);
    machine.unload();
    sending.join().expect("the routine comes back");
}

#[test]
fn what_is_about_a_user_is_told_to_that_users_apps_and_to_administrators() {
    let machine = Machine::load(None, entry).expect("it starts");
    let [user, other, admin] = [USER, OTHER, ADMINISTRATOR].map(|who| App::attached(&machine, who));
    machine.process_starts(OTHER);
    machine.process_starts(OTHER);
    machine.process_starts(USER);
    assert_eq!(
        [&user, &other, &admin].map(|app| app.drain().records),
        [1, 2, 3]
    );
    assert!(machine.was_signalled(OTHER, other.event));
    [user, other, admin].into_iter().for_each(App::close);
    machine.unload();
}

#[test]
fn one_user_has_few_places_and_an_administrator_the_last_one() {
    let machine = Machine::load(None, entry).expect("it starts");
    let theirs: Vec<_> = (0..SLOTS_PER_USER)
        .map(|_| App::attached(&machine, USER))
        .collect();
    let more = App::open(&machine, USER).expect("it opens");
    let pool = |kernel: &mut Kernel| kernel.pool.len();
    let before = kernel::with(pool);
    assert_eq!(refused(&more.attach()), Some(Refusal::Quota));
    assert_eq!(kernel::with(pool), before, "memory for who gets no place");
    let admins: Vec<_> = (SLOTS_PER_USER..SLOTS - 1)
        .map(|_| App::attached(&machine, ADMINISTRATOR))
        .collect();
    let other = App::open(&machine, OTHER).expect("it opens");
    assert_eq!(refused(&other.attach()), Some(Refusal::NoSlot));
    let last = App::attached(&machine, ADMINISTRATOR);
    [theirs, admins, vec![more, other, last]]
        .into_iter()
        .flatten()
        .for_each(App::close);
    machine.unload();
}

#[test]
fn an_event_is_taken_only_from_who_may_do_with_it_what_the_driver_does() {
    let machine = Machine::load(None, entry).expect("it starts");
    for right in [
        nt::EVENT_QUERY_STATE,
        nt::EVENT_MODIFY_STATE,
        nt::SYNCHRONIZE,
    ] {
        let app = App::open_with(&machine, USER, ALL_RIGHTS & !right).expect("it opens");
        assert_eq!(refused(&app.attach()), Some(Refusal::Access));
        app.close();
    }
    machine.unload();
}

#[test]
fn a_driver_says_who_may_open_its_device() {
    // Signed-in users, S-1-5-11, and administrators, S-1-5-32-544.
    const EVERY_USER: [u8; 12] = [1, 1, 0, 0, 0, 0, 0, 5, 11, 0, 0, 0];
    const FEW: [u8; 16] = [1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 0x20, 2, 0, 0];
    let lists = |entry: fn(*mut nt::DRIVER_OBJECT) -> nt::NTSTATUS| {
        let machine = Machine::load(None, entry).expect("it starts");
        let list = kernel::with(|kernel| kernel.protected.clone()).expect("a list");
        machine.unload();
        let has = |user: &[u8]| list.windows(user.len()).any(|at| at == user);
        [has(&EVERY_USER), has(&FEW)]
    };
    assert_eq!(lists(entry), [true, true]);
    assert_eq!(lists(for_few::entry), [false, true]);
}

#[test]
fn a_link_that_somebody_else_has_made_stays() {
    const LINK: &str = r"\DosDevices\Global\Everything";
    let taken = |kernel: &mut Kernel| {
        kernel.links.insert(LINK.to_owned(), false);
    };
    let gone = Machine::load_beside(None, taken, entry).err();
    let gone = gone.expect("its own link can't be made");
    assert_eq!(gone.status, nt::STATUS_OBJECT_NAME_COLLISION);
    assert_eq!(gone.links.get(LINK), Some(&false));
}

#[test]
fn a_name_below_the_device_is_not_the_device() {
    const BELOW: [u16; 2] = [b'\\' as u16, b'x' as u16];
    let machine = Machine::load(None, entry).expect("it starts");
    let status = machine.open_name(USER, &BELOW).err();
    assert_eq!(status, Some(nt::STATUS_OBJECT_NAME_INVALID));
    machine.unload();
}

#[test]
fn the_samples_driver_does_each_operation_and_breaks_no_rule() {
    let machine = Machine::load(None, sample::entry).expect("it starts");
    let app = App::attached(&machine, USER);
    sample::operates_the_event(&app);
    sample::notifies(&app);
    sample::waits(&app);
    // Its last handle goes while the driver works for it, and while its timer runs.
    app.operate(Operation::NotifyFromTimer, 1000, 100).end();
    let waiting = app.operate(Operation::Wait, 0, 50_000_000);
    machine.clean_up(app.file);
    assert!(refused(&waiting.end()).is_some());
    machine.close_late(app.file);
    machine.unload();
}

#[test]
fn whichever_call_fails_the_samples_driver_breaks_no_rule_and_leaves_nothing() {
    let mut entries = 0;
    for number in 0.. {
        assert!(number < 1000, "there is an end to what can fail");
        let gone = Machine::load(Some(number), sample::entry).map_or_else(
            |gone| {
                entries += 1;
                gone
            },
            |machine| {
                if let Ok(app) = App::open(&machine, USER) {
                    app.attach();
                    for operation in [
                        Operation::Notify,
                        Operation::NotifyFromTimer,
                        Operation::Wait,
                    ] {
                        app.operate(operation, 2, 100).end();
                    }
                    app.operate(Operation::PulseNamed, 0, 0).end();
                    machine.process_starts(USER);
                    app.close();
                }
                machine.unload()
            },
        );
        if gone.failed.is_none() {
            break;
        }
    }
    assert!(entries > 3, "its entry failed at {entries} of its calls");
}
