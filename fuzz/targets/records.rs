//! Fuzzes a ring that somebody else has written, and the records in it.
#![no_main]

use channel::Record;
use channel::ring::{Lie, Memory, Reader, Step};
use channel_abi::Ending;
use channel_abi::record::MAX_RECORD;
use firewall_abi::firewall::{Carried, carried, packets_and_bytes};
use firewall_abi::kind;
use firewall_abi::packet::{Direction, Packet, Reason, Verdict};
use firewall_abi::process::Process;
use gatebell_fuzz::Bytes;
use std::cell::Cell;
use zerocopy::IntoBytes;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| any_ring_is_read_to_its_end_or_to_its_lie(bytes));

fn any_ring_is_read_to_its_end_or_to_its_lie(bytes: &[u8]) {
    let mut bytes = Bytes(bytes);
    // The reader's position is a multiple of 8 wherever it started; the kernel's is what it says.
    let (start, moves) = (
        u64::from_le_bytes(bytes.array()) & !7,
        u16::from_le_bytes(bytes.array()),
    );
    let ring = Ring::new(bytes.0, start, start.wrapping_add(moves.into()));
    let size = ring.bytes.len() as u64;
    let mut reader = Reader::new(&ring);
    let waiting = reader.waiting();
    let anything = reader.anything();
    let (mut count, mut read) = (0, 0);
    let drained = reader.drain(|record| {
        count += 1;
        read += record.len() as u64 + 8;
        assert!(record.len() <= MAX_RECORD && read <= size);
        any_bytes_are_a_record_or_none(record);
        Ok::<_, Lie>(Step::Next)
    });
    let came = ring.consumer.get().wrapping_sub(start);
    assert!(
        came <= u64::from(moves) && came <= size && read <= came,
        "it stays where something is"
    );
    if let (Ok(waiting), Ok(_)) = (waiting, drained) {
        assert_eq!(waiting, count, "what waited was handed over");
    }
    if anything == Ok(false) {
        assert_eq!(came, 0);
    }
}

fn any_bytes_are_a_record_or_none(bytes: &[u8]) {
    let Ok(record) = Record::check(bytes) else {
        return;
    };
    assert_eq!(
        (record.bytes(), record.header().length as usize),
        (bytes, bytes.len())
    );
    match record.kind() {
        kind::PACKET => {
            let Ok(packet) = record.read::<Packet>() else {
                return;
            };
            assert!(bytes.len() >= size_of::<Packet>() && packet.header == *record.header());
            let _direction = Direction::try_from(packet.headers.direction);
            let _verdict = Verdict::try_from(packet.decision.verdict);
            let _reason = Reason::try_from(packet.decision.reason);
        }
        kind::PROCESS_START | kind::PROCESS_EXIT => {
            let read = record.read::<Process>();
            assert_eq!(read.is_ok(), bytes.len() >= size_of::<Process>());
        }
        kind::CARRIED => {
            let Ok(told) = record.read::<Carried>() else {
                return;
            };
            let (packets, bytes) = packets_and_bytes(told.entry.sent);
            assert_eq!(carried(packets, bytes), told.entry.sent);
            let _direction = Direction::try_from(told.entry.direction);
        }
        sample_abi::kind::NOTICE => {
            let Ok(notice) = record.read::<sample_abi::Notice>() else {
                return;
            };
            let _ending = Ending::try_from(notice.number);
        }
        sample_abi::kind::OPERATED => {
            let _operated = record.read::<sample_abi::Operated>();
        }
        _ => {}
    }
}

/// A ring of the smallest size that holds the bytes, all zero behind them.
struct Ring {
    bytes: Vec<u8>,
    consumer: Cell<u64>,
    producer: u64,
}

impl Ring {
    fn new(content: &[u8], consumer: u64, producer: u64) -> Self {
        let mut bytes = content.to_vec();
        bytes.resize(content.len().next_power_of_two().max(64), 0);
        Self {
            bytes,
            consumer: Cell::new(consumer),
            producer,
        }
    }
}

impl Memory for &Ring {
    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn consumer(&self) -> u64 {
        self.consumer.get()
    }

    fn set_consumer(&self, position: u64) {
        self.consumer.set(position);
    }

    fn producer(&self) -> u64 {
        self.producer
    }

    fn header(&self, offset: u64) -> u32 {
        let at = offset as usize;
        let word = self.bytes[at..]
            .first_chunk()
            .expect("a header inside of the ring");
        u32::from_le_bytes(*word)
    }

    unsafe fn lend<R>(&mut self, offset: u64, length: usize, read: impl FnOnce(&[u8]) -> R) -> R {
        // The kernel maps its pages twice, one behind the other; and a record is at a multiple of 8.
        let from = offset as usize + 8;
        let mut words = vec![0_u64; length.div_ceil(8)];
        let record = &mut words.as_mut_bytes()[..length];
        for (n, byte) in record.iter_mut().enumerate() {
            *byte = self.bytes[(from + n) % self.bytes.len()];
        }
        read(record)
    }
}
