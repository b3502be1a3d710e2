//! Records as they come out of a ring, with each loss put where it happened.

use crate::Error;
use crate::ring::Step;
use channel_abi::ledger::CAUSES;
use channel_abi::record::MAX_RECORD;
use channel_abi::{Cause, Header, Kind};
use std::ops::ControlFlow;
use zerocopy::error::CastError;
use zerocopy::{FromBytes, Immutable, KnownLayout};

/// Number of processors of which records may come: more than any kernel has. A record of a higher one breaks the
/// protocol.
const MAX_PROCESSORS: u32 = 8192;

/// A record or a loss that a drain hands over: records in order, and losses before the record that told of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// A record.
    Record(Record<'a>),
    /// A loss: records that did not reach this app, told where it happened.
    Lost(Lost),
}

/// A loss: records of one processor that did not reach the app, between two that did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Number of the processor on which the records were lost.
    pub processor: u32,
    /// Cause of the loss.
    pub cause: Cause,
    /// Number of records lost.
    pub count: u64,
}

/// A record, checked: its header is whole and true to its length and kind.
///
/// It is lent where it lies: on Linux in the ring itself, elsewhere where a request to the driver has put it. The next
/// drain, or the next record, may take its place, so nothing of it outlives the call that it is handed to:
///
/// ```compile_fail,E0521
/// # use channel::{Error, Item};
/// # fn keep(mut app: channel::Attachment<channel::sys::model::Model>) -> Result<(), Error> {
/// let mut kept = Vec::new();
/// app.drain(|item| kept.push(item))?; // borrowed data escapes
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    header: &'a Header,
    kind: Kind,
    bytes: &'a [u8],
}

impl<'a> Record<'a> {
    /// Checks the bytes that a driver committed.
    ///
    /// # Errors
    /// [`Error::Contract`]: the header is cut off, of another version, not at a multiple of 8, or says what is not so.
    pub fn check(bytes: &'a [u8]) -> Result<Self, Error> {
        let (header, _) = Header::ref_from_prefix(bytes).map_err(|misfit| {
            Error::Contract(match misfit {
                CastError::Alignment(_) => "a record that is not at a multiple of 8",
                CastError::Size(_) => "a record shorter than its header",
            })
        })?;
        if header.version != channel_abi::VERSION {
            return Err(Error::Contract("a record of another version"));
        }
        if header.length as usize != bytes.len() || bytes.len() > MAX_RECORD {
            return Err(Error::Contract("a record whose length is a lie"));
        }
        if header.processor >= MAX_PROCESSORS {
            return Err(Error::Contract(
                "a record of a processor that no machine has",
            ));
        }
        let kind = Kind::try_from(header.kind)
            .map_err(|_| Error::Contract("a record of a kind nobody asked for"))?;
        Ok(Self {
            header,
            kind,
            bytes,
        })
    }

    /// Returns the header.
    #[must_use]
    pub const fn header(&self) -> &'a Header {
        self.header
    }

    /// Returns the record's kind: what it is about.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Returns all bytes of the record, header included.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Reads the record as a type of `channel_abi`, or of a driver's own, which has the header as its first field:
    /// where it lies, nothing is copied.
    ///
    /// # Errors
    /// [`Error::Contract`] if the record is shorter than the type.
    pub fn read<T: FromBytes + KnownLayout + Immutable>(&self) -> Result<&'a T, Error> {
        const { assert!(align_of::<T>() <= 8, "a record is at a multiple of 8") };
        T::ref_from_prefix(self.bytes)
            .map(|(value, _)| value)
            .map_err(|_| Error::Contract("a record shorter than its kind"))
    }
}

/// State of one processor: what its records told so far.
#[derive(Clone, Copy, Debug, Default)]
struct Line {
    /// Sequence number that comes next: the highest one seen, plus one.
    next: u64,
    received: u64,
    lost: [u64; CAUSES],
}

/// The sequence numbers and losses of every processor. Tolerates that interrupts put records out of order.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    lines: Vec<Line>,
}

impl Stream {
    /// Takes a record in: first the losses that it tells of, then the record.
    /// A stop at a loss leaves the record where it is.
    pub fn take<'a>(
        &mut self,
        record: Record<'a>,
        each: &mut dyn FnMut(Item<'a>) -> ControlFlow<()>,
    ) -> Step {
        let Header {
            processor,
            sequence,
            lost,
            ..
        } = *record.header;
        let line = self.line(processor);
        for cause in Cause::ALL {
            let (told, known) = (lost[cause as usize], &mut line.lost[cause as usize]);
            if told > *known {
                let count = told - std::mem::replace(known, told);
                let lost = Lost {
                    processor,
                    cause,
                    count,
                };
                if each(Item::Lost(lost)).is_break() {
                    return Step::Back;
                }
            }
        }
        line.next = line.next.max(sequence.wrapping_add(1));
        line.received += 1;
        match each(Item::Record(record)) {
            ControlFlow::Continue(()) => Step::Next,
            ControlFlow::Break(()) => Step::Stop,
        }
    }

    /// Returns the number of losses that records told of, by cause.
    pub fn lost(&self) -> [u64; CAUSES] {
        let mut sum = [0; CAUSES];
        for line in &self.lines {
            for (mine, theirs) in sum.iter_mut().zip(line.lost) {
                *mine += theirs;
            }
        }
        sum
    }

    /// Returns the number of sequence numbers that never came, below the highest that did (I2).
    pub fn gaps(&self) -> u64 {
        self.lines
            .iter()
            .map(|line| line.next.saturating_sub(line.received))
            .sum()
    }

    fn line(&mut self, processor: u32) -> &mut Line {
        let processor = processor as usize;
        if self.lines.len() <= processor {
            self.lines.resize(processor + 1, Line::default());
        }
        &mut self.lines[processor]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zerocopy::IntoBytes;

    fn header(processor: u32, sequence: u64, no_room: u64) -> Header {
        let length = size_of::<Header>() as u32;
        let lost = [no_room, 0, 0];
        Header {
            length,
            kind: 16,
            version: channel_abi::VERSION,
            processor,
            sequence,
            lost,
            stamp_ns: 0,
        }
    }

    fn take_all(headers: &[Header]) -> (Stream, Vec<String>) {
        let (mut stream, mut told) = (Stream::default(), Vec::new());
        for header in headers {
            let record = Record::check(header.as_bytes()).expect("a true record");
            let step = stream.take(record, &mut |item| {
                told.push(match item {
                    Item::Record(record) => format!("{}", record.header().sequence),
                    Item::Lost(lost) => format!("lost {}", lost.count),
                });
                ControlFlow::Continue(())
            });
            assert_eq!(step, Step::Next);
        }
        (stream, told)
    }

    #[test]
    fn a_loss_is_told_where_it_happened() {
        let (stream, told) = take_all(&[header(0, 0, 0), header(0, 3, 2), header(0, 4, 2)]);
        assert_eq!(told, ["0", "lost 2", "3", "4"]);
        assert_eq!((stream.gaps(), stream.lost()), (2, [2, 0, 0]));
    }

    #[test]
    fn a_stop_at_a_loss_leaves_the_record_and_the_loss_is_told_once() {
        let (header, mut stream) = (header(0, 2, 2), Stream::default());
        let record = Record::check(header.as_bytes()).expect("a true record");
        let stop = &mut |_: Item<'_>| ControlFlow::Break(());
        assert_eq!(stream.take(record, stop), Step::Back);
        let (mut items, again) = (Vec::new(), record);
        let step = stream.take(again, &mut |item| {
            items.push(item);
            ControlFlow::Break(())
        });
        assert_eq!((step, items), (Step::Stop, vec![Item::Record(record)]));
        assert_eq!((stream.gaps(), stream.lost()), (2, [2, 0, 0]));
    }

    #[test]
    fn records_out_of_order_are_no_loss() {
        let (stream, told) = take_all(&[header(0, 1, 0), header(0, 0, 0), header(0, 2, 0)]);
        assert_eq!(told, ["1", "0", "2"]);
        assert_eq!((stream.gaps(), stream.lost()), (0, [0; CAUSES]));
    }

    #[test]
    fn each_processor_counts_for_itself() {
        let (stream, told) = take_all(&[header(0, 0, 0), header(1, 5, 5), header(0, 1, 0)]);
        assert_eq!(told, ["0", "lost 5", "5", "1"]);
        assert_eq!(stream.gaps(), 5);
    }

    #[test]
    fn a_lying_record_is_refused() {
        let mut long = header(0, 0, 0);
        long.length += 8;
        let mut kind = header(0, 0, 0);
        kind.kind = 64;
        let processor = header(MAX_PROCESSORS, 0, 0);
        let mut version = header(0, 0, 0);
        version.version += 1;
        for lie in [long, kind, processor, version] {
            assert!(
                matches!(Record::check(lie.as_bytes()), Err(Error::Contract(_))),
                "{lie:?}"
            );
        }
        assert!(Record::check(&[0; 20]).is_err());
    }
}
