//! Fuzzes captures, pcap and pcapng: read packet by packet, down to the headers of what their links carry.
#![no_main]

use cli::capture::{Broken, Capture, Carried, Packet, carried};
use engine::parse;
use firewall_abi::packet::Direction;
use std::io::{self, Read};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| any_bytes_are_a_capture_or_none(bytes));

fn any_bytes_are_a_capture_or_none(bytes: &[u8]) {
    let whole = read_through(io::Cursor::new(bytes.to_vec()), bytes.len());
    let dripped = read_through(Drip(bytes.to_vec(), 0), bytes.len());
    assert_eq!(whole, dripped, "a pipe gives the same capture in pieces");
}

/// Reads a capture to its end; returns the number of packets, and what ended it.
fn read_through(source: impl Read + Send + 'static, size: usize) -> (u64, Result<(), Broken>) {
    let mut capture = match Capture::new(source) {
        Ok(capture) => capture,
        Err(broken) => return (0, Err(broken)),
    };
    let (mut packet, mut count) = (Packet::default(), 0);
    loop {
        match capture.next(&mut packet) {
            Ok(true) => count += 1,
            Ok(false) => return (count, Ok(())),
            Err(broken) => return (count, Err(broken)),
        }
        assert_eq!(packet.number, count);
        assert!(packet.bytes.len() <= size && packet.length as usize >= packet.bytes.len());
        any_frame_carries_something_or_not(&packet);
    }
}

fn any_frame_carries_something_or_not(packet: &Packet) {
    if let Some(Carried::Ip { start, .. }) = carried(packet.link_type, &packet.bytes) {
        let carried = packet
            .bytes
            .get(start..)
            .expect("it begins inside of the frame");
        parse(carried, packet.length - start as u32, Direction::Inbound);
    }
}

/// Reader that gives seven bytes at most at once, as a pipe may.
struct Drip(Vec<u8>, usize);

impl Read for Drip {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let rest = &self.0[self.1..];
        let count = rest.len().min(room.len()).min(7);
        room[..count].copy_from_slice(&rest[..count]);
        self.1 += count;
        Ok(count)
    }
}
