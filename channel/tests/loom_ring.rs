//! The reader of a BPF ring buffer against a written model of the kernel's half (`kernel/bpf/ringbuf.c`), explored by
//! loom in every order: `RUSTFLAGS="--cfg loom" cargo test --release -p gatebell-channel --test loom_ring`.
#![cfg(loom)]

use channel::ring::{Lie, Memory, Reader, Step};
use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence};
use loom::thread;

const BUSY: u32 = 1 << 31;
/// How often a thread is interrupted where it would go on. Without a bound the larger ring takes six minutes, and finds
/// no more.
const PREEMPTIONS: usize = 3;

/// The kernel's half: one ring, one producer at a time (the kernel's lock), and the waiter's signal.
struct Kernel {
    size: u64,
    consumer: AtomicU64,
    producer: AtomicU64,
    words: Vec<(AtomicU32, AtomicU64)>,
    /// What `irq_work_queue` leads to: set by the kernel, taken by the reader before it drains.
    signal: AtomicBool,
    fenced: bool,
}

impl Kernel {
    fn new(size: u64, fenced: bool) -> Self {
        let words = (0..size / 8)
            .map(|_| (AtomicU32::new(0), AtomicU64::new(0)))
            .collect();
        let (consumer, producer) = (AtomicU64::new(0), AtomicU64::new(0));
        Self {
            size,
            consumer,
            producer,
            words,
            signal: AtomicBool::new(false),
            fenced,
        }
    }

    fn at(&self, position: u64) -> &(AtomicU32, AtomicU64) {
        &self.words[(position % self.size / 8) as usize]
    }

    /// `__bpf_ringbuf_reserve`: no room, no record.
    fn reserve(&self, length: u32) -> Option<u64> {
        let free_from = self.consumer.load(Ordering::Acquire);
        let position = self.producer.load(Ordering::Relaxed);
        let end = position + 8 + u64::from(length);
        if end - free_from > self.size - 1 {
            return None;
        }
        self.at(position).0.store(length | BUSY, Ordering::Relaxed);
        self.producer.store(end, Ordering::Release);
        Some(position)
    }

    /// `bpf_ringbuf_commit`: `xchg` is a full barrier, which loom only knows as a fence.
    fn commit(&self, position: u64, length: u32, payload: u64) {
        self.at(position).1.store(payload, Ordering::Relaxed);
        self.at(position).0.swap(length, Ordering::AcqRel);
        fence(Ordering::SeqCst);
        if self.consumer.load(Ordering::Acquire) == position {
            self.signal.store(true, Ordering::Release);
        }
    }
}

#[derive(Clone)]
struct Shared(Arc<Kernel>);

impl Memory for Shared {
    fn size(&self) -> u64 {
        self.0.size
    }
    fn consumer(&self) -> u64 {
        self.0.consumer.load(Ordering::Relaxed)
    }
    fn set_consumer(&self, position: u64) {
        self.0.consumer.store(position, Ordering::Release);
    }
    fn producer(&self) -> u64 {
        self.0.producer.load(Ordering::Acquire)
    }
    fn header(&self, offset: u64) -> u32 {
        self.0.at(offset).0.load(Ordering::Acquire)
    }
    fn read(&self, offset: u64, into: &mut [u8]) {
        let payload = self.0.at(offset).1.load(Ordering::Relaxed).to_ne_bytes();
        into[..8].copy_from_slice(&payload);
    }
    fn fence(&self) {
        if self.0.fenced {
            fence(Ordering::SeqCst);
        }
    }
}

/// Three records against a reader that drains when it is signalled; then I1, I2 and I6 must hold.
fn explore(size: u64, length: u32, fenced: bool) {
    let mut explorer = loom::model::Builder::new();
    explorer.preemption_bound = Some(PREEMPTIONS);
    explorer.check(move || {
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

#[test]
fn a_ring_of_one_record_loses_no_signal() {
    explore(32, 8, true);
}

#[test]
fn a_ring_of_two_records_loses_no_signal() {
    explore(64, 16, true);
}

/// The reader tells of its position after two of these.
#[test]
fn a_reader_that_tells_of_several_records_at_once_loses_no_signal() {
    explore(128, 16, true);
}

#[test]
#[should_panic(expected = "I6")]
fn without_the_fence_a_signal_is_lost() {
    explore(64, 16, false);
}
