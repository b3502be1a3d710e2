//! Every interleaving of waiter, signaller, reference, dereference and app death, on the code that the WDM driver runs.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p gatebell-channel --release --test loom_table`. A lost signal shows as a
//! deadlock, which loom reports. The rings hold one or two records: a record here is as large as a ring or half of it.
#![cfg(loom)]
#![expect(clippy::unwrap_used, reason = "a test may fail")]

mod explored;

use channel::driver::table::Signal;
use channel::sys::Fetched;
use channel::sys::model::{Kernel, Model, OpenDevice, Process};
use channel::{Ending, Kind, Mask, Refusal, System};
use channel_abi::command::{ALL_USERS, Drained, Reference, Referenced};
use channel_abi::{Command, Header, Ledger, VERSION};
use explored::explore;
use loom::sync::Arc;
use loom::thread;
use zerocopy::{FromBytes, Immutable, IntoBytes};

const RING: u32 = 4096;
/// Kind of the records; what they are about does not matter.
const ANY: Kind = Kind::new::<40>();

/// A record as large as the ring.
#[derive(IntoBytes, Immutable)]
#[repr(C)]
struct Whole([u64; 512]);
/// A record as large as half of the ring.
#[derive(IntoBytes, Immutable)]
#[repr(C)]
struct Half([u64; 256]);

const WHOLE: Whole = Whole([0; 512]);
const HALF: Half = Half([0; 256]);

struct App {
    device: OpenDevice,
    event: <Model as System>::Event,
}

impl App {
    fn open(process: &Process) -> Self {
        let device = Model::open(process).unwrap();
        let event = Model::create_event(&device, RING).unwrap();
        Self { device, event }
    }

    fn attached(process: &Process) -> Self {
        let app = Self::open(process);
        app.reference().unwrap();
        app
    }

    fn reference(&self) -> Result<Vec<u8>, Refusal> {
        let event = self.event.handle();
        let request = Reference {
            version: VERSION,
            ring_bytes: RING,
            mask: Mask::ALL.0,
            users: ALL_USERS,
            event,
        };
        self.device.request(
            Command::Reference as u32,
            request.as_bytes(),
            size_of::<Referenced>(),
        )
    }

    fn wait(&self) {
        Model::wait(&self.device, &self.event, &nothing_fetched(), None).unwrap();
    }

    /// Drains until nothing is left; returns how many records came and how the reference ended, if it did.
    fn drain(&self) -> (u64, Option<Ending>) {
        let mut records = 0;
        loop {
            let answer = self
                .device
                .request(
                    Command::Drain as u32,
                    &[],
                    size_of::<Drained>() + RING as usize,
                )
                .unwrap();
            let drained = Drained::read_from_prefix(&answer).unwrap().0;
            records += u64::from(drained.records);
            if drained.waiting == 0 {
                return (records, Ending::try_from(drained.ended).ok());
            }
        }
    }

    fn ledger(&self) -> Ledger {
        Model::ledger(&self.device, &nothing_fetched()).unwrap()
    }

    /// Waits and drains until everything that will be offered was delivered or counted as lost.
    fn read_all(&self, offered: u64) -> u64 {
        let mut delivered = 0;
        loop {
            self.wait();
            delivered += self.drain().0;
            let totals = self.ledger().totals();
            assert!(totals.balances());
            if totals.offered == offered && totals.committed == delivered {
                return delivered;
            }
        }
    }
}

#[test]
fn no_signal_is_lost_with_room_for_one_record() {
    explore(|| {
        let kernel = Kernel::default();
        let app = App::attached(&kernel.process(false));
        let driver = thread::spawn({
            let kernel = kernel.clone();
            move || (0..2).for_each(|_| kernel.offer(ANY, &WHOLE))
        });
        assert!((1..=2).contains(&app.read_all(2)));
        driver.join().unwrap();
    });
}

#[test]
fn no_signal_is_lost_with_room_for_two_records() {
    explore(|| {
        let kernel = Kernel::default();
        let app = App::attached(&kernel.process(false));
        let driver = thread::spawn({
            let kernel = kernel.clone();
            move || (0..3).for_each(|_| kernel.offer(ANY, &HALF))
        });
        assert!((2..=3).contains(&app.read_all(3)));
        driver.join().unwrap();
    });
}

#[test]
fn two_signallers_and_a_waiter_lose_no_signal() {
    explore(|| {
        let kernel = Kernel::default();
        let app = App::attached(&kernel.process(false));
        let drivers = [(), ()].map(|()| {
            let kernel = kernel.clone();
            thread::spawn(move || kernel.offer(ANY, &WHOLE))
        });
        app.read_all(2);
        drivers
            .into_iter()
            .for_each(|driver| driver.join().unwrap());
    });
}

#[test]
fn letting_go_while_the_driver_signals_keeps_the_books() {
    explore(|| {
        let kernel = Kernel::default();
        let app = App::attached(&kernel.process(false));
        let driver = thread::spawn({
            let kernel = kernel.clone();
            move || (0..2).for_each(|_| kernel.offer(ANY, &WHOLE))
        });
        app.device
            .request(Command::Dereference as u32, &[], 0)
            .unwrap();
        driver.join().unwrap();
        let (delivered, ended) = app.drain();
        let totals = app.ledger().totals();
        assert_eq!(ended, Some(Ending::Dereferenced));
        assert!(
            totals.balances() && totals.committed == delivered,
            "{totals:?}, {delivered}"
        );
        let books = Model::references(&app.device).unwrap();
        assert_eq!((books.taken, books.released, books.attached), (1, 1, 0));
        drop(app);
        assert_eq!(kernel.live_events(), 0);
    });
}

#[test]
fn an_app_that_dies_while_the_driver_signals_leaves_nothing() {
    explore(|| {
        let kernel = Kernel::default();
        let (dying, watcher) = (kernel.process(false), kernel.process(false));
        let app = App::attached(&dying);
        let driver = thread::spawn({
            let kernel = kernel.clone();
            move || kernel.offer(ANY, &WHOLE)
        });
        dying.kill();
        driver.join().unwrap();
        assert_eq!(kernel.live_events(), 0);
        let books = Model::references(&Model::open(&watcher).unwrap()).unwrap();
        assert_eq!((books.taken, books.released, books.attached), (1, 1, 0));
        assert!(books.past.balances());
        drop(app);
        assert!(kernel.unload().is_ok());
    });
}

#[test]
fn a_reference_that_races_with_its_apps_death_is_refused_or_released() {
    explore(|| {
        let kernel = Kernel::default();
        let dying = kernel.process(false);
        let app = Arc::new(App::open(&dying));
        let request = thread::spawn({
            let app = app.clone();
            move || app.reference()
        });
        dying.kill();
        match request.join().unwrap() {
            // The handle was closed first, or the file was.
            Err(refusal) => assert!(
                matches!(refusal, Refusal::Handle | Refusal::Closing),
                "{refusal:?}"
            ),
            Ok(_) => {}
        }
        assert_eq!(kernel.live_events(), 0, "no reference outlives the file");
        let books = Model::references(&Model::open(&kernel.process(false)).unwrap()).unwrap();
        assert_eq!((books.taken, books.attached), (books.released, 0));
    });
}

#[test]
fn a_reference_that_races_with_the_drivers_stop_is_refused_or_ended() {
    explore(|| {
        let kernel = Kernel::default();
        let (user, admin) = (kernel.process(false), kernel.process(true));
        let app = App::open(&user);
        let stop = thread::spawn(move || Model::detach_all(&Model::open(&admin).unwrap()).unwrap());
        match app.reference() {
            Err(refusal) => assert_eq!(refusal, Refusal::Stopping),
            // Nobody hangs: the last signal is there, and the tombstone behind it.
            Ok(_) => {
                app.wait();
                assert_eq!(app.drain(), (0, Some(Ending::DriverStopping)));
            }
        }
        stop.join().unwrap();
        let books = Model::references(&app.device).unwrap();
        assert_eq!((books.taken, books.attached), (books.released, 0));
    });
}

#[test]
fn dereference_and_the_drivers_stop_let_go_once() {
    explore(|| {
        let kernel = Kernel::default();
        let (user, admin) = (kernel.process(false), kernel.process(true));
        let app = App::attached(&user);
        let stop = thread::spawn(move || Model::detach_all(&Model::open(&admin).unwrap()).unwrap());
        let answer = app.device.request(Command::Dereference as u32, &[], 0);
        stop.join().unwrap();
        assert!(
            matches!(answer, Ok(_) | Err(Refusal::NotReferenced)),
            "{answer:?}"
        );
        let books = Model::references(&app.device).unwrap();
        assert_eq!((books.taken, books.released, books.attached), (1, 1, 0));
    });
}

#[test]
fn the_app_and_the_driver_both_set_and_one_wait_takes_it() {
    explore(|| {
        let kernel = Kernel::default();
        let app = App::attached(&kernel.process(false));
        let driver = thread::spawn({
            let kernel = kernel.clone();
            move || kernel.offer(ANY, &HALF)
        });
        Model::set(&app.event).unwrap();
        app.read_all(1);
        driver.join().unwrap();
    });
}

/// Proves that loom can fail: a driver that signals *before* it commits leaves a sleeper behind.
#[test]
#[should_panic(expected = "deadlock")]
fn a_driver_that_signals_before_it_commits_is_caught() {
    explore(|| {
        let kernel = Kernel::default();
        let app = App::attached(&kernel.process(false));
        let event = Signaller(Model::create_event(&app.device, RING).unwrap());
        let place = Arc::new(loom::sync::Mutex::new(0_u32));
        let driver = thread::spawn({
            let (place, event) = (place.clone(), event.object());
            move || {
                event.signal();
                *place.lock().unwrap() += 1;
            }
        });
        loop {
            event.wait(&app.device);
            if *place.lock().unwrap() == 1 {
                break;
            }
        }
        driver.join().unwrap();
    });
}

/// Makes the source that the model's calls ask for and do not look at.
fn nothing_fetched() -> Fetched {
    Fetched::with_room(0, 0)
}

struct Signaller(<Model as System>::Event);

impl Signaller {
    fn object(&self) -> channel::sys::model::KernelEvent {
        self.0.kernel_event().unwrap()
    }

    fn wait(&self, device: &OpenDevice) {
        Model::wait(device, &self.0, &nothing_fetched(), None).unwrap();
    }
}

const _: () =
    assert!(size_of::<Whole>() == RING as usize && size_of::<Header>() < size_of::<Half>());
