//! Model of the kernel's half of a ring (`kernel/bpf/ringbuf.c`), for loom and for shuttle.

use channel::orderings;
use channel::ring::Memory;
use std::sync::atomic::Ordering;

#[cfg(loom)]
use loom::{
    cell::UnsafeCell,
    sync::atomic::{AtomicBool, AtomicU32, AtomicU64, fence},
    sync::{Arc, Mutex},
};
#[cfg(shuttle)]
use shuttle::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicU32, AtomicU64, fence},
};

/// A cell as loom's, without its watch over who is there: shuttle lets one thread run at a time.
#[cfg(shuttle)]
struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

#[cfg(shuttle)]
impl<T> UnsafeCell<T> {
    fn new(value: T) -> Self {
        Self(std::cell::UnsafeCell::new(value))
    }

    fn with<R>(&self, look: impl FnOnce(*const T) -> R) -> R {
        look(self.0.get())
    }

    fn with_mut<R>(&self, change: impl FnOnce(*mut T) -> R) -> R {
        change(self.0.get())
    }
}

const BUSY: u32 = 1 << 31;
/// The kernel's half of a ring: the ring, its lock, and the waiter's signal.
pub struct Kernel {
    size: u64,
    consumer: AtomicU64,
    producer: AtomicU64,
    /// Lock of producers: who reserves has it; who commits has not.
    lock: Mutex<()>,
    words: Vec<Word>,
    /// Signal to the reader, which `irq_work_queue` leads to: set by the kernel, taken by the reader before it drains.
    pub signal: AtomicBool,
    fenced: bool,
}

/// Eight bytes of the ring, as a record's header and as what follows one.
/// loom fails where a record is written while it is lent.
struct Word {
    header: AtomicU32,
    payload: UnsafeCell<[u8; 8]>,
}

// SAFETY: the payload is written by the kernel and read by its reader,
// whom the ring's protocol keeps apart: loom sees to it.
unsafe impl Sync for Kernel {}
// SAFETY: nothing of it belongs to a thread.
unsafe impl Send for Kernel {}

impl Kernel {
    /// Makes an empty ring. `fenced`: the reader looks again behind its barrier.
    pub fn new(size: u64, fenced: bool) -> Self {
        let words = (0..size / 8)
            .map(|_| Word {
                header: AtomicU32::new(0),
                payload: UnsafeCell::new([0; 8]),
            })
            .collect();
        let (consumer, producer) = (AtomicU64::new(0), AtomicU64::new(0));
        Self {
            size,
            consumer,
            producer,
            words,
            lock: Mutex::new(()),
            signal: AtomicBool::new(false),
            fenced,
        }
    }

    fn at(&self, position: u64) -> &Word {
        &self.words[(position % self.size / 8) as usize]
    }

    /// Reserves a record, as `__bpf_ringbuf_reserve` does: no room, no record.
    pub fn reserve(&self, length: u32) -> Option<u64> {
        let _one = self.lock.lock().expect("no producer panics");
        let free_from = self.consumer.load(Ordering::Acquire);
        let position = self.producer.load(Ordering::Relaxed);
        let end = position + 8 + u64::from(length);
        if end - free_from > self.size - 1 {
            return None;
        }
        let header = &self.at(position).header;
        header.store(length | BUSY, Ordering::Relaxed);
        self.producer.store(end, Ordering::Release);
        Some(position)
    }

    /// Commits a record, as `bpf_ringbuf_commit` does: `xchg` is a full barrier, which loom only knows as a fence.
    pub fn commit(&self, position: u64, length: u32, payload: u64) {
        let payload = payload.to_ne_bytes();
        for at in (position + 8..).step_by(8).take(length as usize / 8) {
            let place = &self.at(at).payload;
            // SAFETY: reserved, and not committed yet: nobody else has it.
            place.with_mut(|place| unsafe { *place = payload });
        }
        self.at(position).header.swap(length, Ordering::AcqRel);
        fence(Ordering::SeqCst);
        if self.consumer.load(Ordering::Acquire) == position {
            self.signal.store(true, Ordering::Release);
        }
    }
}

/// The ring, as its reader has it.
#[derive(Clone)]
pub struct Shared(pub Arc<Kernel>);

impl Memory for Shared {
    fn size(&self) -> u64 {
        self.0.size
    }
    fn consumer(&self) -> u64 {
        self.0.consumer.load(Ordering::Relaxed)
    }
    fn set_consumer(&self, position: u64) {
        self.0.consumer.store(position, orderings::reader_tells());
    }
    fn producer(&self) -> u64 {
        self.0.producer.load(orderings::reader_sees_reserved())
    }
    fn header(&self, offset: u64) -> u32 {
        let header = &self.0.at(offset).header;
        header.load(orderings::reader_sees_committed())
    }
    unsafe fn lend<R>(&mut self, offset: u64, length: usize, read: impl FnOnce(&[u8]) -> R) -> R {
        let places = (offset + 8..).step_by(8).take(length / 8);
        let look = || -> Vec<u8> {
            let place = |at| &self.0.at(at).payload;
            // SAFETY: committed, and at rest until the reader's position moves past it.
            let bytes = places.clone().map(|at| place(at).with(|it| unsafe { *it }));
            bytes.flatten().collect()
        };
        let lent = look();
        let result = read(&lent);
        assert_eq!(lent, look(), "what is lent stays as it is");
        result
    }
    fn fence(&self) {
        if self.0.fenced {
            fence(orderings::reader_looks_again());
        }
    }
}
