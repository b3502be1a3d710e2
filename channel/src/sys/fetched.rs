//! Buffer of records that a drain request has fetched, until they are handed over: where the queue is the kernel's
//! (Windows, the model).

use crate::Error;
use crate::ring::{Drained as End, Step};
use channel_abi::command::Drained;
use channel_abi::{Command, Ending, Header, Refusal};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use zerocopy::{FromBytes, IntoBytes};

const TOO_SHORT: Error = Error::Contract("an answer is shorter than its command's");

/// Number of attachments that an open device has had. Its queue and its ledger are the newest one's: who was attached
/// before asks for neither.
#[derive(Debug, Default)]
pub(super) struct Attached(AtomicU64);

impl Attached {
    /// Makes the buffer of one more attachment: see [`Fetched::with_room`].
    pub fn one_more(&self, bytes: usize, ring: usize) -> Fetched {
        let before = self.0.fetch_add(1, Ordering::Relaxed);
        Fetched {
            number: before + 1,
            ..Fetched::with_room(bytes, ring)
        }
    }

    /// Checks that this is the number of the newest attachment, before the driver is asked for something of it.
    pub fn check(&self, number: u64, command: Command) -> Result<(), Error> {
        if self.0.load(Ordering::Relaxed) == number {
            Ok(())
        } else {
            Err(Error::refused(command, Refusal::NotReferenced))
        }
    }
}

/// Buffer that drain requests fetch into, used again and again.
#[derive(Debug)]
pub struct Fetched {
    // Words, so that every record in it is at a multiple of 8.
    room: Vec<u64>,
    /// Size of the queue, in bytes.
    ring: usize,
    /// Range of the buffer with the records that were not handed over yet.
    left: Range<usize>,
    /// Number of the attachment among those of its open device, from 1; 0 where nobody counts them.
    number: u64,
}

impl Fetched {
    /// Makes an empty buffer with room for an answer of `bytes` bytes, a multiple of 8, of a queue of `ring` bytes.
    #[must_use]
    pub fn with_room(bytes: usize, ring: usize) -> Self {
        Self {
            room: vec![0; bytes / 8],
            ring,
            left: 0..0,
            number: 0,
        }
    }

    /// Hands over what is left, then what each request fetches, until one leaves nothing in the queue, or about a queue
    /// full was handed over: a flood can't keep the reader here.
    /// `fetch` makes the request and returns the answer's length.
    pub(super) fn drain(
        &mut self,
        mut fetch: impl FnMut(&mut [u8]) -> Result<usize, Error>,
        each: &mut dyn FnMut(&[u8]) -> Result<Step, Error>,
    ) -> Result<Option<Ending>, Error> {
        let mut fetched = 0;
        loop {
            if self.hand_over(each)? == End::Stopped {
                return Ok(None);
            }
            // All that was there as this began was handed over. What is left came meanwhile, and was signalled.
            if fetched >= self.ring {
                return Ok(None);
            }
            let used = fetch(self.room.as_mut_bytes())?;
            let answer = self.room.as_bytes().get(..used).ok_or(TOO_SHORT)?;
            let (head, records) = Drained::read_from_prefix(answer).map_err(|_| TOO_SHORT)?;
            if records.len() != head.bytes as usize {
                return Err(Error::Contract("a drain's length is not what it says"));
            }
            self.left = used - records.len()..used;
            fetched += records.len();
            // A driver that says that there is more, and gives nothing, is not asked again.
            if head.waiting > 0 && !self.left.is_empty() {
                continue;
            }
            return match self.hand_over(each)? {
                End::Stopped => Ok(None),
                End::All | End::More => ending(head.ended),
            };
        }
    }

    /// Returns the number of the attachment among those of its open device.
    pub(super) const fn number(&self) -> u64 {
        self.number
    }

    /// Returns the number of records that are left.
    pub(super) fn waiting(&self) -> u64 {
        let mut records = self.room.as_bytes().get(self.left.clone()).unwrap_or(&[]);
        let mut count = 0;
        while let Ok((_, rest)) = first(records) {
            (records, count) = (rest, count + 1);
        }
        count
    }

    fn hand_over(
        &mut self,
        each: &mut dyn FnMut(&[u8]) -> Result<Step, Error>,
    ) -> Result<End, Error> {
        while !self.left.is_empty() {
            let start = self.left.start;
            // Whatever goes wrong below, nothing of this answer is looked at again.
            let left = std::mem::replace(&mut self.left, 0..0);
            let records = self.room.as_bytes().get(left.clone()).ok_or(TOO_SHORT)?;
            let (record, rest) = first(records)?;
            self.left = left.end - rest.len()..left.end;
            match each(record)? {
                Step::Next => {}
                Step::Stop => return Ok(End::Stopped),
                Step::Back => {
                    self.left.start = start;
                    return Ok(End::Stopped);
                }
            }
        }
        Ok(End::All)
    }
}

/// Splits records into the first one and those that follow it.
fn first(records: &[u8]) -> Result<(&[u8], &[u8]), Error> {
    let (header, _) = Header::read_from_prefix(records).map_err(|_| TOO_SHORT)?;
    let length = header.length as usize;
    if length < size_of::<Header>() {
        return Err(Error::Contract("a record is shorter than its header"));
    }
    if !length.is_multiple_of(8) {
        return Err(Error::Contract("a record whose length is no multiple of 8"));
    }
    records.split_at_checked(length).ok_or(TOO_SHORT)
}

const _: () = assert!(
    size_of::<Drained>().is_multiple_of(8),
    "records follow it at a multiple of 8"
);

fn ending(number: u64) -> Result<Option<Ending>, Error> {
    match number {
        0 => Ok(None),
        n => Ending::try_from(n)
            .map(Some)
            .map_err(|_| Error::Contract("an ending that this version does not know")),
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;

    const RING: usize = 4096;
    const RECORD: usize = size_of::<Header>();

    /// Writes the answer of a driver that has always one more record, or says so; returns its length.
    fn answer(room: &mut [u8], records: u32) -> usize {
        let head = Drained {
            bytes: records * RECORD as u32,
            records: 1,
            waiting: 1,
            ..Drained::default()
        };
        let header = Header {
            length: RECORD as u32,
            ..Header::default()
        };
        let bytes = [head.as_bytes(), header.as_bytes()].concat();
        let used = size_of::<Drained>() + records as usize * RECORD;
        room[..used].copy_from_slice(&bytes[..used]);
        used
    }

    #[test]
    fn a_drain_beside_a_flood_hands_over_a_queue_full() {
        let (mut fetched, mut count) = (Fetched::with_room(1024, RING), 0);
        let drained = fetched.drain(|room| Ok(answer(room, 1)), &mut |_| {
            count += 1;
            assert!(count <= RING, "it goes on and on");
            Ok(Step::Next)
        });
        assert_eq!(drained.expect("no lie"), None);
        assert_eq!(count, RING.div_ceil(RECORD));
    }

    #[test]
    fn a_driver_that_says_that_there_is_more_and_gives_nothing_is_not_asked_again() {
        let (mut fetched, mut asked) = (Fetched::with_room(1024, RING), 0);
        let drained = fetched.drain(
            |room| {
                asked += 1;
                assert!(asked < 10, "it asks on and on");
                Ok(answer(room, 0))
            },
            &mut |_| Ok(Step::Next),
        );
        assert_eq!((drained.expect("no lie"), asked), (None, 1));
    }
}
