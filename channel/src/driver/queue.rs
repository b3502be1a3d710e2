//! An app's queue: a fixed ring of 64-bit words, whole records only, in order.
//!
//! No allocation, no panic: every access is checked, so nothing is left for a driver to panic on.

use channel_abi::{Cause, Header};
use zerocopy::{FromBytes, IntoBytes};

/// Words of a header.
const HEADER_WORDS: usize = size_of::<Header>() / 8;

/// Where a queue's records start and end. The memory is the caller's, always the same one.
///
/// `head` and `tail` only grow, in words; their difference is what is used.
#[derive(Debug, Default)]
pub struct Queue {
    head: u64,
    tail: u64,
    records: u64,
}

impl Queue {
    /// How many records wait.
    #[must_use]
    pub const fn records(&self) -> u64 {
        self.records
    }

    /// Puts a record at the end: its header, and the rest of it (a multiple of 8 bytes; what is over is cut).
    ///
    /// `memory.len()` must be a power of two.
    pub fn push(&mut self, memory: &mut [u64], header: &Header, rest: &[u8]) -> Result<(), Cause> {
        let words = (HEADER_WORDS + rest.len() / 8) as u64;
        let room = memory.len() as u64;
        if words > room {
            return Err(Cause::TooLarge);
        }
        if self.tail.wrapping_sub(self.head) + words > room {
            return Err(Cause::NoRoom);
        }
        for (word, chunk) in header
            .as_bytes()
            .chunks_exact(8)
            .chain(rest.chunks_exact(8))
            .enumerate()
        {
            let cell = word_at(memory, self.tail + word as u64);
            if let (Some(cell), Ok(value)) = (cell, u64::read_from_bytes(chunk)) {
                *cell = value;
            }
        }
        self.tail += words;
        self.records += 1;
        Ok(())
    }

    /// Moves whole records to `out`, as many as fit. Returns bytes and records moved.
    pub fn pop(&mut self, memory: &mut [u64], out: &mut [u8]) -> (u32, u32) {
        let (mut bytes, mut records) = (0_usize, 0_u32);
        while let Some(words) = self.first(memory) {
            let Some(room) = out.get_mut(bytes..bytes + words * 8) else {
                break;
            };
            for (word, chunk) in room.chunks_exact_mut(8).enumerate() {
                if let Some(cell) = word_at(memory, self.head + word as u64) {
                    chunk.copy_from_slice(cell.as_bytes());
                }
            }
            self.head += words as u64;
            self.records = self.records.saturating_sub(1);
            bytes += words * 8;
            records += 1;
        }
        (bytes as u32, records)
    }

    /// Words of the first record; `None` if there is none.
    fn first(&self, memory: &mut [u64]) -> Option<usize> {
        if self.head == self.tail {
            return None;
        }
        // `length` is the first of the header's integers, so it is the low half of the first word.
        let length = *word_at(memory, self.head)? as u32;
        Some(length as usize / 8).filter(|words| *words >= HEADER_WORDS)
    }
}

/// The word at a position that only grows.
fn word_at(memory: &mut [u64], position: u64) -> Option<&mut u64> {
    let mask = (memory.len() as u64).wrapping_sub(1);
    memory.get_mut((position & mask) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

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
            assert_eq!(queue.pop(&mut memory, &mut out), (144, 2));
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
        assert_eq!(queue.pop(&mut memory, &mut [0; 63]), (0, 0));
        assert_eq!(queue.pop(&mut memory, &mut [0; 150]), (128, 2));
        assert_eq!(queue.records(), 1);
    }
}
