//! The reader of a BPF ring buffer, generic over the memory that it shares with the kernel: the mapped pages, or a
//! model of the kernel's half that loom explores.
//!
//! The kernel's half is `kernel/bpf/ringbuf.c`. A record is an 8-byte header, whose first word is the length with two
//! flags, and its bytes, rounded up to 8. The kernel *reserves* under a lock (writes the header as busy, moves the
//! producer's position) and *commits* by exchanging the header's word; then it wakes the reader, but only if the
//! reader's position is the very record that it committed: that is how it knows that the reader had caught up.

use crate::orderings;
use crate::sync::atomic::{Ordering, fence};
use channel_abi::record::MAX_RECORD;
use channel_abi::{Counters, Ledger};
use core::mem::offset_of;

/// Flag of a record that is reserved, not yet committed.
const BUSY: u32 = 1 << 31;
/// Flag of a record that was given back: the reader skips it.
const DISCARDED: u32 = 1 << 30;
/// Length of a record's header, in bytes.
const HEADER: u64 = 8;
/// Number of bytes after which the kernel is told of freed room, or a quarter of the ring: it looks at the reader's
/// position for each record, and each store of it takes that cache line away from the processor that looks.
const TELL_AFTER: u64 = 16 * 1024;

/// Memory of a ring, which the reader shares with the kernel.
pub trait Memory {
    /// Returns the size of the ring in bytes: a power of two.
    fn size(&self) -> u64;
    /// Returns the reader's own position, as it stands in the shared page.
    fn consumer(&self) -> u64;
    /// Moves the reader's position, by [`orderings::reader_tells`].
    fn set_consumer(&self, position: u64);
    /// Returns the kernel's position, by [`orderings::reader_sees_reserved`].
    fn producer(&self) -> u64;
    /// Returns the first word of the header at `offset`, by [`orderings::reader_sees_committed`].
    fn header(&self, offset: u64) -> u32;
    /// Lends the `length` bytes that follow the header at `offset`, where they lie. They start at a multiple of 8.
    ///
    /// # Safety
    /// [`Memory::header`] has said that a record of this length is committed there, it lies within what is in use, and
    /// nobody moves the reader's position past it before `read` has returned: until then the kernel leaves it alone.
    unsafe fn lend<R>(&mut self, offset: u64, length: usize, read: impl FnOnce(&[u8]) -> R) -> R;
    /// Issues the fence between the store of the reader's position and the next look at the kernel's:
    /// [`orderings::reader_looks_again`]. A release store alone lets both miss.
    fn fence(&self) {
        fence(orderings::reader_looks_again());
    }
}

/// Reads the driver's ledger of an app, word by word while the driver goes on writing it: `word` loads the word at an
/// offset in bytes.
///
/// Each number is exact for itself; all together once the driver is quiet,
/// and from the tombstone on, which is looked at first.
pub fn read_ledger(word: impl Fn(usize, Ordering) -> u64) -> Ledger {
    let mut ledger = Ledger::ZERO;
    ledger.ended = word(offset_of!(Ledger, ended), orderings::reader_sees_the_end());
    for (n, line) in ledger.processors.iter_mut().enumerate() {
        let at = offset_of!(Ledger, processors) + n * size_of::<Counters>();
        let word = |n: usize| word(at + 8 * n, Ordering::Relaxed);
        *line = Counters {
            offered: word(0),
            committed: word(1),
            lost: [word(2), word(3), word(4)],
            spare: [0; 3],
        };
    }
    ledger
}

/// Protocol violation: the other side broke the ring's rules, and nothing in it can be trusted any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lie(pub &'static str);

/// Next step of a reader that has handed over a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The reader hands over the next record.
    Next,
    /// The reader stops behind this record, which is taken.
    Stop,
    /// The reader stops before this record: the next drain begins with it.
    Back,
}

/// End of a drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Everything that was there was handed over.
    All,
    /// The drain handed over as much as one drain may. There is more, of which nobody is told: the reader had not
    /// caught up when it came.
    More,
    /// The closure stopped the drain: there may be more.
    Stopped,
}

/// Reader of one ring, whose records have at most `LONGEST` bytes: by default the longest of a driver's records for
/// apps.
#[derive(Debug)]
pub struct Reader<M, const LONGEST: usize = MAX_RECORD> {
    memory: M,
    position: u64,
    /// Position of the reader that the kernel was told.
    told: u64,
}

/// State of the ring at a position.
enum Found {
    Nothing,
    Discarded { next: u64 },
    Record { length: usize, next: u64 },
}

impl<M: Memory> Reader<M> {
    /// Makes a reader that goes on where the last reader of this ring stopped.
    pub fn new(memory: M) -> Self {
        Self::of_any_length(memory)
    }
}

impl<M: Memory, const LONGEST: usize> Reader<M, LONGEST> {
    /// Makes a reader of a ring whose records are at most `LONGEST` bytes long; it goes on where the last one stopped.
    pub fn of_any_length(memory: M) -> Self {
        let position = memory.consumer();
        Self {
            memory,
            position,
            told: position,
        }
    }

    /// Hands over records where they lie, until none is left, at most one ring full of them, so that a flood can't keep
    /// the reader here. When nothing is left, the next commit wakes the reader.
    ///
    /// # Errors
    /// What `each` returns, and a [`Lie`] of the other side's; the reader then stands
    /// behind the last record handed over.
    pub fn drain<E: From<Lie>>(
        &mut self,
        mut each: impl FnMut(&[u8]) -> Result<Step, E>,
    ) -> Result<Drained, E> {
        let enough = self.position.wrapping_add(self.memory.size());
        loop {
            if self.drain_seen(&mut each)? == Drained::Stopped {
                return Ok(Drained::Stopped);
            }
            self.memory.fence();
            if matches!(self.look(self.position)?, Found::Nothing) {
                return Ok(Drained::All);
            }
            if self.position >= enough {
                return Ok(Drained::More);
            }
        }
    }

    /// Drains, and then asks whether the other side has ended. Returns the end only once nothing is left of what was
    /// committed before.
    ///
    /// # Errors
    /// Those of [`Reader::drain`], and what `ended` returns.
    pub fn drain_to_the_end<T, E: From<Lie>>(
        &mut self,
        mut each: impl FnMut(&[u8]) -> Result<Step, E>,
        ended: impl FnOnce() -> Result<Option<T>, E>,
    ) -> Result<(Drained, Option<T>), E> {
        // What is there is handed over at once; whether that was all may take a system call to know.
        let first = self.drain(&mut each)?;
        if first == Drained::Stopped {
            return Ok((first, None));
        }
        let ended = ended()?;
        if ended.is_none() {
            return Ok((first, None));
        }
        // What was committed before it ended, and had not come yet.
        let last = self.drain(each)?;
        Ok((last, ended.filter(|_| last == Drained::All)))
    }

    /// Returns whether a drain would move on. One look, no more.
    ///
    /// # Errors
    /// A [`Lie`] of the other side's.
    pub fn anything(&self) -> Result<bool, Lie> {
        Ok(!matches!(self.look(self.position)?, Found::Nothing))
    }

    /// Counts the committed records that wait, one by one.
    ///
    /// # Errors
    /// A [`Lie`] of the other side's.
    pub fn waiting(&self) -> Result<u64, Lie> {
        let (mut position, mut count) = (self.position, 0);
        // Up to there: who writes may go on, or lie, for as long as it is counted.
        let end = self.memory.producer();
        loop {
            match self.look_until(position, end)? {
                Found::Nothing => return Ok(count),
                Found::Discarded { next } => position = next,
                Found::Record { next, .. } => (position, count) = (next, count + 1),
            }
        }
    }

    /// Drains up to the position that the kernel has now, and tells it ours whatever ends the drain: the kernel wakes
    /// only a reader that has caught up.
    fn drain_seen<E: From<Lie>>(
        &mut self,
        each: &mut impl FnMut(&[u8]) -> Result<Step, E>,
    ) -> Result<Drained, E> {
        let outcome = self.take_seen(each);
        self.tell();
        outcome
    }

    fn take_seen<E: From<Lie>>(
        &mut self,
        each: &mut impl FnMut(&[u8]) -> Result<Step, E>,
    ) -> Result<Drained, E> {
        let end = self.memory.producer();
        while self.position != end {
            // Up to there: what a record that lies about its length goes beyond would be passed for good.
            match self.look_until(self.position, end)? {
                Found::Nothing => return Ok(Drained::All),
                Found::Discarded { next } => self.advance(next),
                Found::Record { length, next } => {
                    if length > LONGEST {
                        return Err(Lie("a record longer than any may be").into());
                    }
                    let before = core::mem::replace(&mut self.position, next);
                    let offset = self.offset(before);
                    // SAFETY: `look` has found it committed, within what is in use. The memory is this reader's alone,
                    // and only `tell` moves the position that the kernel sees, after the record is not read any more.
                    let step = unsafe { self.memory.lend(offset, length, &mut *each) }?;
                    match step {
                        Step::Next => self.advance(next),
                        Step::Stop => return Ok(Drained::Stopped),
                        Step::Back => {
                            self.position = before;
                            return Ok(Drained::Stopped);
                        }
                    }
                }
            }
        }
        Ok(Drained::All)
    }

    fn look(&self, position: u64) -> Result<Found, Lie> {
        self.look_until(position, self.memory.producer())
    }

    fn look_until(&self, position: u64, end: u64) -> Result<Found, Lie> {
        let there = end.wrapping_sub(position);
        if there == 0 {
            return Ok(Found::Nothing);
        }
        if there > self.memory.size() || !there.is_multiple_of(HEADER) {
            return Err(Lie("a ring that holds more than its size"));
        }
        let header = self.memory.header(self.offset(position));
        if header & BUSY != 0 {
            return Ok(Found::Nothing);
        }
        let length = header & !(BUSY | DISCARDED);
        let whole = (u64::from(length) + HEADER).next_multiple_of(8);
        if whole > there {
            return Err(Lie("a record longer than what is there"));
        }
        let next = position.wrapping_add(whole);
        let length = length as usize;
        Ok(if header & DISCARDED != 0 {
            Found::Discarded { next }
        } else {
            Found::Record { length, next }
        })
    }

    fn advance(&mut self, next: u64) {
        self.position = next;
        if next.wrapping_sub(self.told) >= TELL_AFTER.min(self.memory.size() / 4) {
            self.tell();
        }
    }

    fn tell(&mut self) {
        if self.told != self.position {
            self.told = self.position;
            self.memory.set_consumer(self.position);
        }
    }

    fn offset(&self, position: u64) -> u64 {
        position & (self.memory.size() - 1)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// A ring whose bytes a test chooses, twice in a row as the kernel maps them.
    struct Forged {
        bytes: Vec<u8>,
        size: usize,
        producer: u64,
        consumer: Cell<u64>,
        /// Position up to which the producer goes on as the reader does.
        follows: Option<u64>,
    }

    impl Forged {
        fn new(size: usize) -> Self {
            Self {
                bytes: vec![0; 2 * size],
                size,
                producer: 0,
                consumer: Cell::new(0),
                follows: None,
            }
        }

        fn with(mut self, header: u32, moves: u64) -> Self {
            let at = self.producer as usize % self.size;
            for at in [at, at + self.size] {
                self.bytes[at..at + 4].copy_from_slice(&header.to_ne_bytes());
            }
            self.producer += moves;
            self
        }
    }

    impl Memory for Forged {
        fn size(&self) -> u64 {
            self.size as u64
        }
        fn consumer(&self) -> u64 {
            self.consumer.get()
        }
        fn set_consumer(&self, position: u64) {
            self.consumer.set(position);
        }
        fn producer(&self) -> u64 {
            let ahead = self.consumer.get() + self.producer;
            self.follows.map_or(self.producer, |to| to.min(ahead))
        }
        fn header(&self, offset: u64) -> u32 {
            let at = offset as usize;
            u32::from_ne_bytes([
                self.bytes[at],
                self.bytes[at + 1],
                self.bytes[at + 2],
                self.bytes[at + 3],
            ])
        }
        unsafe fn lend<R>(
            &mut self,
            offset: u64,
            length: usize,
            read: impl FnOnce(&[u8]) -> R,
        ) -> R {
            read(&self.bytes[offset as usize + 8..][..length])
        }
    }

    fn drain(ring: Forged) -> (Result<Drained, Lie>, usize, u64) {
        let (mut reader, mut count) = (Reader::new(ring), 0);
        let result = reader.drain(|_| {
            count += 1;
            Ok(Step::Next)
        });
        (result, count, reader.position)
    }

    #[test]
    fn a_record_is_handed_over_where_it_lies_also_across_the_rings_end() {
        let ring = Forged::new(64).with(8, 16).with(8, 16).with(8, 16);
        ring.consumer.set(48);
        let ring = ring.with(24, 32);
        let places = ring.bytes.as_ptr_range();
        let (mut reader, mut found) = (Reader::new(ring), None);
        reader
            .drain(|bytes| {
                found = Some(bytes.as_ptr_range());
                Ok::<_, Lie>(Step::Next)
            })
            .expect("no lie");
        let found = found.expect("a record");
        assert_eq!(found.start, places.start.wrapping_add(48 + 8));
        assert!(found.end <= places.end, "it goes on behind the ring's end");
    }

    #[test]
    fn discarded_records_are_skipped_and_busy_ones_waited_for() {
        let ring = Forged::new(64)
            .with(8, 16)
            .with(8 | DISCARDED, 16)
            .with(4, 16)
            .with(8 | BUSY, 16);
        assert_eq!(drain(ring), (Ok(Drained::All), 2, 48));
    }

    #[test]
    fn the_kernel_knows_where_the_reader_is_when_a_drain_ends_well_or_not() {
        let mut reader = Reader::new(Forged::new(4096).with(8, 16).with(8, 16).with(8 | BUSY, 16));
        reader.drain(|_| Ok::<_, Lie>(Step::Next)).expect("no lie");
        assert_eq!(reader.memory.consumer(), 32);
        let mut reader = Reader::new(Forged::new(4096).with(8, 16).with(8, 16));
        assert!(reader.drain(|_| Err(Lie("enough"))).is_err());
        assert_eq!(reader.memory.consumer(), 16);
    }

    #[test]
    fn a_drain_stops_behind_a_record_or_before_it() {
        for (step, position) in [(Step::Stop, 16), (Step::Back, 0)] {
            let mut reader = Reader::new(Forged::new(4096).with(8, 16).with(8, 16));
            let drained = reader.drain(|_| Ok::<_, Lie>(step));
            assert_eq!(drained, Ok(Drained::Stopped));
            assert_eq!(
                (reader.position, reader.memory.consumer()),
                (position, position)
            );
            let left = if step == Step::Stop { 1 } else { 2 };
            assert_eq!(reader.waiting(), Ok(left));
        }
    }

    /// A ring whose other side says at each look that one record more is there than at the last look: first this many
    /// bytes.
    struct Racing {
        first: u64,
        looks: Cell<u64>,
    }

    impl Racing {
        fn from(first: u64) -> Self {
            Self {
                first,
                looks: Cell::new(0),
            }
        }
    }

    impl Memory for Racing {
        fn size(&self) -> u64 {
            64
        }
        fn consumer(&self) -> u64 {
            0
        }
        fn set_consumer(&self, _: u64) {}
        fn producer(&self) -> u64 {
            let looks = self.looks.replace(self.looks.get() + 1);
            self.first + 32 * looks
        }
        fn header(&self, _: u64) -> u32 {
            24
        }
        unsafe fn lend<R>(&mut self, _: u64, _: usize, read: impl FnOnce(&[u8]) -> R) -> R {
            read(&[0; 24])
        }
    }

    #[test]
    fn a_record_that_goes_beyond_what_was_there_is_a_lie_and_keeps_no_reader() {
        // Half a record: none ends where a look has found that something ends.
        let (mut reader, mut count) = (Reader::new(Racing::from(16)), 0);
        let drained = reader.drain(|_| {
            count += 1;
            assert!(count < 10, "it goes on and on");
            Ok(Step::Next)
        });
        let lie = Lie("a record longer than what is there");
        assert_eq!((drained, count), (Err(lie), 0));
        // A whole one: there is always one more.
        let reader = Reader::new(Racing::from(32));
        assert_eq!(reader.waiting(), Ok(1));
    }

    #[test]
    fn a_drain_that_hands_over_a_ring_full_says_whether_there_is_more() {
        for (more, drained) in [(false, Drained::All), (true, Drained::More)] {
            let ring = Forged::new(64).with(8, 16).with(8, 16).with(8, 16);
            let mut reader = Reader::new(ring.with(8, 16));
            let start = reader.position;
            // Its first record lies there again and again, as if one came for each that is taken.
            reader.memory.follows = Some(if more { start + 80 } else { start + 64 });
            let result = reader.drain(|_| Ok::<_, Lie>(Step::Next));
            assert_eq!((result, reader.position), (Ok(drained), start + 64));
        }
    }

    #[test]
    fn what_waits_is_counted_without_taking_it() {
        let reader = Reader::new(
            Forged::new(64)
                .with(8, 16)
                .with(8 | DISCARDED, 16)
                .with(8, 16),
        );
        assert_eq!((reader.waiting(), reader.memory.consumer()), (Ok(2), 0));
    }

    #[test]
    fn one_look_tells_whether_a_drain_would_move_on() {
        let anything = |ring: Forged| Reader::new(ring).anything();
        assert_eq!(anything(Forged::new(64)), Ok(false));
        assert_eq!(anything(Forged::new(64).with(8 | BUSY, 16)), Ok(false));
        assert_eq!(anything(Forged::new(64).with(8, 16)), Ok(true));
        assert_eq!(anything(Forged::new(64).with(8 | DISCARDED, 16)), Ok(true));
        assert!(anything(Forged::new(64).with(8, 80)).is_err());
    }

    #[test]
    fn a_ring_that_lies_is_an_error() {
        for ring in [
            Forged::new(64).with(8, 16).with(64, 16),
            Forged::new(64).with(8, 80),
            Forged::new(64).with(8, 12),
            Forged::new(4096).with(MAX_RECORD as u32 + 8, MAX_RECORD as u64 + 16),
            Forged::new(64).with(!(BUSY | DISCARDED), 16),
        ] {
            assert!(drain(ring).0.is_err());
        }
    }
}
