//! Runs several producers at once, in orders that chance chooses: loom can't go through these to the end.
//!
//! `RUSTFLAGS="--cfg shuttle" cargo test -p gatebell-channel --release --test shuttle`. Shuttle takes each access for
//! sequentially consistent: orderings are loom's matter. A lost signal shows as a deadlock,
//! which it reports with the schedule that led there.
#![cfg(shuttle)]
#![expect(clippy::unwrap_used, reason = "a test may fail")]

mod ring_kernel;

use channel::ring::{Drained, Lie, Reader, Step};
use channel::sys::model::Kernel;
use channel::{Item, Kind, Mask, Pace};
use ring_kernel::Shared;
use shuttle::sync::Arc;
use shuttle::sync::atomic::Ordering;
use shuttle::thread;
use zerocopy::{Immutable, IntoBytes};

const SCHEDULES: usize = 100_000;
const PRODUCERS: u64 = 4;
const EACH: u64 = 2;
const RING: u32 = 4096;
const ANY: Kind = Kind::new::<40>();

/// A record of which eight fill the ring: so many as are offered, less the room that the reader has not given back.
#[derive(IntoBytes, Immutable)]
#[repr(C)]
struct Told([u64; 64]);

#[test]
fn four_producers_and_a_reader_of_the_drivers_queue_account_for_every_record() {
    shuttle::check_random(
        || {
            let kernel = Kernel::default();
            let process = kernel.process(false);
            let device = process.open().unwrap();
            let mut app = device.attach(RING, Mask::ALL).unwrap();
            app.set_pace(Pace::Prompt);
            let producers: Vec<_> = (0..PRODUCERS)
                .map(|_| {
                    let kernel = kernel.clone();
                    thread::spawn(move || {
                        (0..EACH).for_each(|_| kernel.offer(ANY, &Told([0; 64])));
                    })
                })
                .collect();
            let (mut delivered, mut next) = (0, 0);
            loop {
                app.wait(None).unwrap();
                app.drain(|item| {
                    if let Item::Record(record) = item {
                        let sequence = record.header().sequence;
                        assert!(sequence >= next, "I2: {sequence} after {next}");
                        (next, delivered) = (sequence + 1, delivered + 1);
                    }
                })
                .unwrap();
                let account = app.account().unwrap();
                if account.kernel.offered == PRODUCERS * EACH && account.in_ring == 0 {
                    break;
                }
            }
            for producer in producers {
                producer.join().unwrap();
            }
            let account = app.account().unwrap();
            assert!(account.balances(), "I1: {account:?}");
            assert_eq!(account.delivered, delivered);
            let lost = account.kernel.lost_in_all();
            assert_eq!(account.gaps + account.lost_untold(), lost, "I2, I3");
            drop((app, device));
            assert_eq!(kernel.live_events(), 0, "I7");
        },
        SCHEDULES,
    );
}

#[test]
fn four_producers_and_a_reader_of_a_kernels_ring_lose_no_signal() {
    shuttle::check_random(
        || {
            // Room for three: the others are refused, unless the reader comes first.
            let kernel = Arc::new(ring_kernel::Kernel::new(64, true));
            let producers: Vec<_> = (0..PRODUCERS)
                .map(|_| {
                    let kernel = kernel.clone();
                    thread::spawn(move || {
                        let offer = |payload| {
                            kernel
                                .reserve(8)
                                .map(|position| kernel.commit(position, 8, payload))
                                .is_some()
                        };
                        (0..EACH).filter(|payload| offer(*payload)).count() as u64
                    })
                })
                .collect();
            let mut reader = Reader::new(Shared(kernel.clone()));
            let mut delivered = 0;
            for _ in 0..3 {
                kernel.signal.swap(false, Ordering::SeqCst);
                let drained: Result<_, Lie> = reader.drain(|_| {
                    delivered += 1;
                    Ok(Step::Next)
                });
                if drained.unwrap() == Drained::More {
                    // As the app's half signals itself then.
                    kernel.signal.store(true, Ordering::SeqCst);
                }
            }
            let committed: u64 = producers
                .into_iter()
                .map(|producer| producer.join().unwrap())
                .sum();
            let waiting = reader.waiting().unwrap();
            assert_eq!(committed, delivered + waiting, "I1");
            let told = kernel.signal.load(Ordering::SeqCst);
            assert!(waiting == 0 || told, "I6: {waiting} wait, nobody is told");
        },
        SCHEDULES,
    );
}

/// Proves that shuttle can fail: without the second look at the ring, what came in between is told to nobody.
#[test]
#[should_panic(expected = "I6")]
fn a_reader_that_looks_once_is_caught() {
    shuttle::check_random(
        || {
            let kernel = Arc::new(ring_kernel::Kernel::new(64, true));
            let mut reader = Reader::new(Shared(kernel.clone()));
            let offer = move || {
                let position = kernel.reserve(8).unwrap();
                kernel.commit(position, 8, 0);
                kernel
            };
            let kernel = offer();
            let producer = thread::spawn({
                let kernel = kernel.clone();
                move || {
                    let position = kernel.reserve(8).unwrap();
                    kernel.commit(position, 8, 0);
                }
            });
            kernel.signal.swap(false, Ordering::SeqCst);
            // Stopped behind the first one: it was told of none that it has left, and does not look for it.
            let drained: Result<_, Lie> = reader.drain(|_| Ok(Step::Stop));
            drained.unwrap();
            producer.join().unwrap();
            let (waiting, told) = (reader.waiting().unwrap(), &kernel.signal);
            assert!(waiting == 0 || told.load(Ordering::SeqCst), "I6");
        },
        SCHEDULES,
    );
}
