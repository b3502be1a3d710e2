//! The reader of a BPF ring buffer against a written model of the kernel's half (`kernel/bpf/ringbuf.c`), explored by
//! loom in every order: `RUSTFLAGS="--cfg loom" cargo test --release -p gatebell-channel --test loom_ring`.
#![cfg(loom)]

mod ring_kernel;

use channel::orderings;
use channel::ring::{Lie, Reader, Step, read_ledger};
use channel_abi::{Counters, Ledger};
use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, Ordering};
use loom::thread;
use ring_kernel::{Kernel, Shared};
use std::mem::offset_of;

/// Number of times that a thread is interrupted where it would go on. Without a bound the larger ring takes six
/// minutes, and finds no more.
const PREEMPTIONS: usize = 3;

/// Explores three records against a reader that drains when it is signalled; then I1, I2 and I6 must hold.
fn explore(size: u64, length: u32, fenced: bool) {
    bounded(move || {
        let kernel = Arc::new(Kernel::new(size, fenced));
        let shared = Shared(kernel.clone());
        let driver = thread::spawn(move || {
            let offer = |payload| {
                kernel
                    .reserve(length)
                    .map(|position| kernel.commit(position, length, payload))
                    .is_some()
            };
            (0..3).filter(|payload| offer(*payload)).count() as u64
        });
        let mut reader = Reader::new(shared.clone());
        let mut delivered = Vec::new();
        for _ in 0..2 {
            shared.0.signal.swap(false, Ordering::AcqRel);
            drain(&mut reader, &mut delivered);
        }
        let committed = driver.join().expect("the driver does not panic");
        let waiting = reader.waiting().expect("the kernel does not lie");
        assert_eq!(committed, delivered.len() as u64 + waiting, "I1");
        assert!(
            delivered.is_sorted_by(|a, b| a < b),
            "each once, in order: {delivered:?}"
        );
        assert!(
            waiting == 0 || shared.0.signal.load(Ordering::Acquire),
            "I6: {waiting} wait and nobody is told"
        );
    });
}

fn drain(reader: &mut Reader<Shared>, delivered: &mut Vec<u64>) {
    let result: Result<_, Lie> = reader.drain(|bytes| {
        delivered.push(u64::from_ne_bytes(bytes[..8].try_into().expect("8 bytes")));
        Ok(Step::Next)
    });
    result.expect("the kernel does not lie");
}

fn bounded(check: impl Fn() + Sync + Send + 'static) {
    let mut explorer = loom::model::Builder::new();
    explorer.preemption_bound = Some(PREEMPTIONS);
    explorer.check(check);
}

/// The ring has room for three records: the fourth waits for the first one's, the fifth is written over it.
#[test]
fn what_is_lent_is_written_over_only_after_the_reader_has_told() {
    bounded(|| {
        let kernel = Arc::new(Kernel::new(64, true));
        let shared = Shared(kernel.clone());
        let offer = move |payload| {
            let position = kernel.reserve(8);
            position.map(|position| kernel.commit(position, 8, payload))
        };
        (0..3).for_each(|payload| offer(payload).expect("room for three"));
        let driver = thread::spawn(move || {
            for payload in 3..5 {
                offer(payload);
            }
        });
        let mut delivered = Vec::new();
        drain(&mut Reader::new(shared), &mut delivered);
        driver.join().expect("the driver does not panic");
        assert!(
            delivered.starts_with(&[0, 1, 2]) && delivered.is_sorted_by(|a, b| a < b),
            "{delivered:?}"
        );
    });
}

#[test]
fn who_sees_the_tombstone_has_seen_all_that_was_committed_before() {
    bounded(|| {
        let kernel = Arc::new(Kernel::new(64, true));
        let shared = Shared(kernel.clone());
        let tombstone = Arc::new(AtomicU64::new(0));
        let driver = thread::spawn({
            let tombstone = tombstone.clone();
            move || {
                let position = kernel.reserve(8).expect("room for one");
                kernel.commit(position, 8, 0);
                tombstone.swap(1, Ordering::AcqRel);
            }
        });
        let mut delivered = 0;
        let each = |_: &[u8]| {
            delivered += 1;
            Ok::<_, Lie>(Step::Next)
        };
        let ended = || {
            let ended = tombstone.load(orderings::reader_sees_the_end());
            Ok((ended != 0).then_some(()))
        };
        let mut reader = Reader::new(shared);
        let (_, ended) = reader.drain_to_the_end(each, ended).expect("no lie");
        driver.join().expect("the driver does not panic");
        assert!(ended.is_none() || delivered == 1, "the end came too early");
    });
}

/// The ledger of an app is written as the driver's programs do: each count by an atomic addition, the tombstone last.
#[test]
fn who_sees_the_tombstone_has_the_books_as_they_stay() {
    bounded(|| {
        let words = Arc::new([AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0)]);
        let driver = thread::spawn({
            let words = words.clone();
            move || {
                let [offered, committed, ended] = &*words;
                offered.fetch_add(1, Ordering::Relaxed);
                committed.fetch_add(1, Ordering::Relaxed);
                ended.swap(1, Ordering::AcqRel);
            }
        });
        let first = offset_of!(Ledger, processors);
        let ledger = read_ledger(|at, ordering| match at {
            _ if at == offset_of!(Ledger, ended) => words[2].load(ordering),
            _ if at == first + offset_of!(Counters, offered) => words[0].load(ordering),
            _ if at == first + offset_of!(Counters, committed) => words[1].load(ordering),
            _ => 0,
        });
        driver.join().expect("the driver does not panic");
        let totals = ledger.totals();
        let counted = (totals.offered, totals.committed) == (1, 1);
        assert!(ledger.ended == 0 || counted, "I1: {totals:?} after the end");
    });
}

#[test]
fn a_ring_of_one_record_loses_no_signal() {
    explore(32, 8, true);
}

#[test]
fn a_ring_of_two_records_loses_no_signal() {
    explore(64, 16, true);
}

/// The reader tells of its position after two of these records.
#[test]
fn a_reader_that_tells_of_several_records_at_once_loses_no_signal() {
    explore(128, 16, true);
}

#[test]
#[should_panic(expected = "I6")]
fn without_the_fence_a_signal_is_lost() {
    explore(64, 16, false);
}
