//! A queue in shared memory with an eventfd beside it, as programs have it that do without a driver: one writer, one
//! reader, and no system call while the reader is busy.

use super::handed::{Record, Way, wait};
use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::eventfd::{EfdFlags, EventFd};
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};

/// On a cache line of its own: each side writes its own, and reads the other's seldom.
#[repr(align(64))]
struct Line<T>(T);

/// The queue. Positions are in words, and only grow.
pub struct Queue {
    words: Box<[AtomicU64]>,
    /// Words of a record.
    record: usize,
    /// The writer's position.
    tail: Line<AtomicU64>,
    /// The reader's position.
    head: Line<AtomicU64>,
    /// The reader's position as the writer last saw it: the writer's alone.
    seen: Line<AtomicU64>,
    /// The reader is about to sleep, or sleeps.
    sleeps: Line<AtomicBool>,
    bell: EventFd,
}

impl Queue {
    /// Creates a queue of a capacity and a record length, both in bytes and powers of two.
    pub fn new(keeps: usize, bytes: usize) -> Result<Self> {
        let line = || Line(AtomicU64::new(0));
        Ok(Self {
            words: (0..keeps / 8).map(|_| AtomicU64::new(0)).collect(),
            record: bytes / 8,
            tail: line(),
            head: line(),
            seen: line(),
            sleeps: Line(AtomicBool::new(false)),
            bell: EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?,
        })
    }

    /// The words of the record at a position.
    fn at(&self, position: u64) -> &[AtomicU64] {
        let from = position as usize % self.words.len();
        &self.words[from..from + self.record]
    }

    fn has_room(&self, tail: u64) -> bool {
        let fits = |head: u64| tail + self.record as u64 - head <= self.words.len() as u64;
        if fits(self.seen.0.load(Ordering::Relaxed)) {
            return true;
        }
        // Pairs with the release store in `take_all`: what the reader has passed it reads no more.
        let head = self.head.0.load(Ordering::Acquire);
        self.seen.0.store(head, Ordering::Relaxed);
        fits(head)
    }

    /// Looks at the first word of each record that is there.
    fn take_all(&self) -> u64 {
        let head = self.head.0.load(Ordering::Relaxed);
        // Pairs with the release store in `put`: the words of each record before it are written.
        let tail = self.tail.0.load(Ordering::Acquire);
        let mut position = head;
        while position < tail {
            black_box(self.at(position)[0].load(Ordering::Relaxed));
            position += self.record as u64;
        }
        // Pairs with the acquire load in `has_room`.
        self.head.0.store(position, Ordering::Release);
        (position - head) / self.record as u64
    }

    fn is_empty(&self) -> bool {
        self.tail.0.load(Ordering::Relaxed) == self.head.0.load(Ordering::Relaxed)
    }
}

impl Way for Queue {
    fn put(&self, record: &Record) -> Result<bool> {
        let tail = self.tail.0.load(Ordering::Relaxed);
        if !self.has_room(tail) {
            return Ok(false);
        }
        for (place, word) in self.at(tail).iter().zip(&record.words) {
            place.store(*word, Ordering::Relaxed);
        }
        // Pairs with the acquire load in `take_all`.
        self.tail
            .0
            .store(tail + self.record as u64, Ordering::Release);
        // Pairs with the fence in `take`: of the writer's look at `sleeps` and the reader's at
        // `tail`, one sees the other's store.
        fence(Ordering::SeqCst);
        if self.sleeps.0.load(Ordering::Relaxed) && self.sleeps.0.swap(false, Ordering::Relaxed) {
            self.bell.write(1).context("signalling an eventfd")?;
        }
        Ok(true)
    }

    fn take(&self, _: &mut [u8]) -> Result<u64> {
        let taken = self.take_all();
        if taken > 0 {
            return Ok(taken);
        }
        self.sleeps.0.store(true, Ordering::Relaxed);
        // Pairs with the fence in `put`.
        fence(Ordering::SeqCst);
        if self.is_empty() {
            wait(&self.bell)?;
        }
        self.sleeps.0.store(false, Ordering::Relaxed);
        match self.bell.read() {
            Ok(_) | Err(Errno::EAGAIN) => Ok(self.take_all()),
            Err(other) => Err(other).context("reading an eventfd"),
        }
    }
}
