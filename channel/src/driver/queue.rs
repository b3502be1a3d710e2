//! An app's queue: a fixed ring of 64-bit words, whole records only, in order.
//!
//! No allocation, no panic: every access is checked, so nothing is left for a driver to panic on.

use channel_abi::{Cause, Header};
use zerocopy::IntoBytes;

/// Length of a header, in 64-bit words.
const HEADER_WORDS: usize = size_of::<Header>() / 8;

/// Largest number of records that one [`Queue::pop`] moves. It runs with a lock held that whoever offers a record waits
/// for, at whatever interrupt level: how long may not be for the app to choose.
pub const MOST_RECORDS: u32 = 64;
/// Largest number of bytes that one [`Queue::pop`] moves, but for a record that is larger by itself.
pub const MOST_BYTES: usize = 64 * 1024;

/// Result of a [`Queue::pop`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Popped {
    /// Number of bytes moved.
    pub bytes: usize,
    /// Number of records moved.
    pub records: u32,
    /// `true` if the call stopped at its own bound: a further call may move more.
    pub more: bool,
}

/// Positions of a queue's records in its memory. The memory is the caller's, always the same one.
///
/// `head` and `tail` only grow, in words; their difference is what is used.
#[derive(Debug, Default)]
pub struct Queue {
    head: u64,
    tail: u64,
    records: u64,
}

impl Queue {
    /// Returns the number of records that wait.
    #[must_use]
    pub const fn records(&self) -> u64 {
        self.records
    }

    /// Puts a record at the end: its header, and the rest of it (a multiple of 8 bytes; what is over is cut).
    ///
    /// `memory.len()` must be a power of two.
    ///
    /// # Errors
    /// The [`Cause`] for which the record is lost: [`Cause::NoRoom`] until some is popped, or [`Cause::TooLarge`] if it
    /// is longer than the whole memory.
    pub fn push(&mut self, memory: &mut [u64], header: &Header, rest: &[u8]) -> Result<(), Cause> {
        let words = (HEADER_WORDS + rest.len() / 8) as u64;
        let room = memory.len() as u64;
        if words > room {
            return Err(Cause::TooLarge);
        }
        if self.tail.wrapping_sub(self.head) + words > room {
            return Err(Cause::NoRoom);
        }
        write(memory, self.tail, header.as_bytes());
        let rest = rest.get(..rest.len() / 8 * 8).unwrap_or_default();
        write(memory, self.tail + HEADER_WORDS as u64, rest);
        self.tail += words;
        self.records += 1;
        Ok(())
    }

    /// Moves whole records to `out`, as many as fit and as one call may move.
    pub fn pop(&mut self, memory: &[u64], out: &mut [u8]) -> Popped {
        let mut popped = Popped::default();
        while let Some(words) = self.first(memory) {
            let end = popped.bytes + words * 8;
            if popped.records == MOST_RECORDS || (popped.records > 0 && end > MOST_BYTES) {
                popped.more = true;
                break;
            }
            let Some(room) = out.get_mut(popped.bytes..end) else {
                break;
            };
            read(memory, self.head, room);
            self.head += words as u64;
            self.records = self.records.saturating_sub(1);
            popped.bytes = end;
            popped.records += 1;
        }
        popped
    }

    /// Returns the length of the first record in 64-bit words, or `None` if the queue is empty.
    fn first(&self, memory: &[u64]) -> Option<usize> {
        if self.head == self.tail {
            return None;
        }
        // `length` is the first of the header's integers, so it is the low half of the first word.
        let length = *memory.get(place(memory, self.head))? as u32;
        Some(length as usize / 8).filter(|words| (HEADER_WORDS..=memory.len()).contains(words))
    }
}

/// Returns the index in the memory of a position, which only grows.
fn place(memory: &[u64], position: u64) -> usize {
    (position & (memory.len() as u64).wrapping_sub(1)) as usize
}

/// Copies bytes into the memory at a position: two pieces at most, before the memory's end and after.
fn write(memory: &mut [u64], position: u64, bytes: &[u8]) {
    let start = place(memory, position);
    let (wrapped, rest) = memory.split_at_mut(start.min(memory.len()));
    let (before, after) = bytes.split_at(bytes.len().min(size_of_val(rest)));
    if let Some(room) = rest.as_mut_bytes().get_mut(..before.len()) {
        room.copy_from_slice(before);
    }
    if let Some(room) = wrapped.as_mut_bytes().get_mut(..after.len()) {
        room.copy_from_slice(after);
    }
}

/// Copies bytes out of the memory at a position: two pieces at most, before the memory's end and after.
fn read(memory: &[u64], position: u64, out: &mut [u8]) {
    let start = place(memory, position);
    let (wrapped, rest) = memory.split_at(start.min(memory.len()));
    let (before, after) = out.split_at_mut(out.len().min(size_of_val(rest)));
    if let Some(bytes) = rest.as_bytes().get(..before.len()) {
        before.copy_from_slice(bytes);
    }
    if let Some(bytes) = wrapped.as_bytes().get(..after.len()) {
        after.copy_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zerocopy::FromBytes;

    fn popped(bytes: usize, records: u32) -> Popped {
        Popped {
            bytes,
            records,
            more: false,
        }
    }

    fn header(sequence: u64, rest: usize) -> Header {
        Header {
            length: (size_of::<Header>() + rest) as u32,
            sequence,
            ..Header::default()
        }
    }

    #[test]
    fn records_come_out_whole_and_in_order_across_the_wrap() {
        let (mut queue, mut memory) = (Queue::default(), [0_u64; 32]);
        let mut out = [0; 256];
        for round in 0..100_u64 {
            for n in 0..2 {
                queue
                    .push(&mut memory, &header(round * 2 + n, 16), &[round as u8; 16])
                    .expect("room for two");
            }
            assert_eq!(
                queue.push(&mut memory, &header(0, 120), &[0; 120]),
                Err(Cause::NoRoom)
            );
            assert_eq!(queue.pop(&memory, &mut out), popped(144, 2));
            for n in 0..2_usize {
                let (head, rest) =
                    Header::read_from_prefix(&out[n * 72..n * 72 + 72]).expect("a header");
                assert_eq!(head.sequence, round * 2 + n as u64);
                assert_eq!(rest, [round as u8; 16]);
            }
        }
    }

    #[test]
    fn a_record_larger_than_the_ring_is_too_large() {
        let (mut queue, mut memory) = (Queue::default(), [0_u64; 8]);
        assert_eq!(
            queue.push(&mut memory, &header(0, 16), &[0; 16]),
            Err(Cause::TooLarge)
        );
        assert_eq!(queue.push(&mut memory, &header(0, 8), &[0; 8]), Ok(()));
    }

    #[test]
    fn a_short_buffer_takes_only_whole_records() {
        let (mut queue, mut memory) = (Queue::default(), [0_u64; 32]);
        for n in 0..3 {
            queue
                .push(&mut memory, &header(n, 8), &[0; 8])
                .expect("room for three");
        }
        assert_eq!(queue.pop(&memory, &mut [0; 63]), popped(0, 0));
        assert_eq!(queue.pop(&memory, &mut [0; 150]), popped(128, 2));
        assert_eq!(queue.records(), 1);
    }

    #[test]
    fn one_pop_moves_no_more_than_its_bound_whatever_the_buffer() {
        let (mut queue, mut memory) = (Queue::default(), vec![0_u64; 1 << 20]);
        let mut out = vec![0; 8 << 20];
        let full = Popped {
            bytes: 56 * MOST_RECORDS as usize,
            records: MOST_RECORDS,
            more: true,
        };
        for n in 0..u64::from(MOST_RECORDS) + 1 {
            queue
                .push(&mut memory, &header(n, 0), &[])
                .expect("a small one");
        }
        assert_eq!(queue.pop(&memory, &mut out), full);
        assert_eq!(queue.pop(&memory, &mut out), popped(56, 1));
        for n in 0..3 {
            let rest = vec![0; MOST_BYTES / 2];
            queue
                .push(&mut memory, &header(n, rest.len()), &rest)
                .expect("a large one");
        }
        for more in [true, true, false] {
            let found = queue.pop(&memory, &mut out);
            assert_eq!((found.records, found.more), (1, more));
        }
    }
}
