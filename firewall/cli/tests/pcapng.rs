//! Tests of pcapng beyond our captures: the other byte order, simple packets, flags, clocks of all kinds.
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use cli::capture::{Broken, Capture, Packet, Way};
use std::io::Cursor;

/// Writes numbers in one byte order.
#[derive(Clone, Copy)]
struct Writer {
    big: bool,
}

impl Writer {
    fn u16(self, n: u16) -> Vec<u8> {
        if self.big {
            n.to_be_bytes().to_vec()
        } else {
            n.to_le_bytes().to_vec()
        }
    }

    fn u32(self, n: u32) -> Vec<u8> {
        if self.big {
            n.to_be_bytes().to_vec()
        } else {
            n.to_le_bytes().to_vec()
        }
    }

    fn block(self, kind: u32, body: &[u8]) -> Vec<u8> {
        let body = padded(body);
        let length = self.u32(u32::try_from(body.len()).unwrap() + 12);
        [self.u32(kind), length.clone(), body, length].concat()
    }

    fn option(self, code: u16, value: &[u8]) -> Vec<u8> {
        [
            self.u16(code),
            self.u16(u16::try_from(value.len()).unwrap()),
            padded(value),
        ]
        .concat()
    }

    fn section(self) -> Vec<u8> {
        self.block(
            0x0A0D_0D0A,
            &[
                self.u32(0x1A2B_3C4D),
                self.u16(1),
                self.u16(0),
                vec![0xFF; 8],
            ]
            .concat(),
        )
    }

    fn interface(self, link_type: u16, snapped_at: u32, options: &[Vec<u8>]) -> Vec<u8> {
        let end = if options.is_empty() {
            Vec::new()
        } else {
            self.option(0, &[])
        };
        self.block(
            1,
            &[
                self.u16(link_type),
                self.u16(0),
                self.u32(snapped_at),
                options.concat(),
                end,
            ]
            .concat(),
        )
    }

    fn enhanced(self, interface: u32, time: u64, bytes: &[u8], flags: Option<u32>) -> Vec<u8> {
        let length = self.u32(u32::try_from(bytes.len()).unwrap());
        let options = flags.map_or(Vec::new(), |flags| {
            [self.option(2, &self.u32(flags)), self.option(0, &[])].concat()
        });
        let times = [self.u32((time >> 32) as u32), self.u32(time as u32)].concat();
        self.block(
            6,
            &[
                self.u32(interface),
                times,
                length.clone(),
                length,
                padded(bytes),
                options,
            ]
            .concat(),
        )
    }

    fn simple(self, length: u32, bytes: &[u8]) -> Vec<u8> {
        self.block(3, &[self.u32(length), bytes.to_vec()].concat())
    }
}

fn padded(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// All packets, and how it ended.
fn read(bytes: Vec<u8>) -> (Vec<Packet>, Result<(), Broken>) {
    let mut capture = match Capture::new(Cursor::new(bytes)) {
        Ok(capture) => capture,
        Err(broken) => return (Vec::new(), Err(broken)),
    };
    let mut packets = Vec::new();
    loop {
        let mut packet = Packet::default();
        match capture.next(&mut packet) {
            Ok(true) => packets.push(packet),
            Ok(false) => return (packets, Ok(())),
            Err(broken) => return (packets, Err(broken)),
        }
    }
}

const FRAME: &[u8] = &[0x45, 0, 0, 20, 1];

#[test]
fn both_byte_orders_flags_and_clocks_are_understood() {
    for w in [Writer { big: true }, Writer { big: false }] {
        let milliseconds = w.option(9, &[3]);
        let binary = w.option(9, &[0x80 | 10]);
        let (packets, ended) = read(
            [
                w.section(),
                w.interface(1, 0, &[]),
                w.interface(101, 0, &[milliseconds]),
                w.interface(101, 0, &[binary]),
                w.enhanced(0, 5_000_001, FRAME, Some(1)),
                w.block(5, &[0; 12]),
                w.enhanced(1, 7_002, FRAME, Some(2)),
                w.enhanced(2, 9 * 1024 + 512, FRAME, Some(0)),
            ]
            .concat(),
        );
        assert_eq!(ended, Ok(()));
        let seen: Vec<_> = packets
            .iter()
            .map(|p| (p.number, p.link_type, p.time_ns, p.way))
            .collect();
        assert_eq!(
            seen,
            [
                (1, 1, Some(5_000_001_000), Some(Way::In)),
                (2, 101, Some(7_002_000_000), Some(Way::Out)),
                (3, 101, Some(9_500_000_000), None),
            ]
        );
        assert!(packets.iter().all(|packet| packet.bytes == FRAME));
    }
}

#[test]
fn a_simple_packet_is_as_long_as_its_interface_let_it_be() {
    let w = Writer { big: false };
    let (packets, ended) = read(
        [
            w.section(),
            w.interface(101, 5, &[]),
            w.simple(1500, &padded(FRAME)),
            w.simple(4, &FRAME[..4]),
        ]
        .concat(),
    );
    assert_eq!(ended, Ok(()));
    let seen: Vec<_> = packets
        .iter()
        .map(|p| (p.bytes.len(), p.length, p.time_ns))
        .collect();
    assert_eq!(seen, [(5, 1500, None), (4, 4, None)]);
}

#[test]
fn a_new_section_describes_its_own_interfaces() {
    let (le, be) = (Writer { big: false }, Writer { big: true });
    let first = [
        le.section(),
        le.interface(101, 0, &[]),
        le.enhanced(0, 0, FRAME, None),
    ]
    .concat();
    let (packets, ended) = read(
        [
            first.clone(),
            be.section(),
            be.interface(1, 0, &[]),
            be.enhanced(0, 0, FRAME, None),
        ]
        .concat(),
    );
    assert_eq!(ended, Ok(()));
    assert_eq!(
        packets
            .iter()
            .map(|packet| packet.link_type)
            .collect::<Vec<_>>(),
        [101, 1]
    );
    let (packets, ended) = read([first, be.section(), be.enhanced(0, 0, FRAME, None)].concat());
    assert_eq!(packets.len(), 1);
    assert!(
        matches!(ended, Err(Broken::Damaged { packets: 1, .. })),
        "{ended:?}"
    );
}

#[test]
fn a_block_longer_than_any_buffer_is_an_error_in_bounded_memory() {
    let w = Writer { big: false };
    let huge = [w.u32(6), w.u32(0x7FFF_FFF0), vec![0; 40 << 20]].concat();
    let (packets, ended) = read(
        [
            w.section(),
            w.interface(101, 0, &[]),
            w.enhanced(0, 0, FRAME, None),
            huge,
        ]
        .concat(),
    );
    assert_eq!(packets.len(), 1);
    assert!(
        matches!(ended, Err(Broken::Damaged { packets: 1, .. })),
        "{ended:?}"
    );
}

/// A block of a process (0x80000001) that says it is shorter than a block's own frame:
/// the library subtracts before it looks.
#[test]
fn a_block_shorter_than_its_own_frame_is_an_error_in_both_byte_orders() {
    for (w, kind, length) in [false, true].into_iter().flat_map(|big| {
        let w = Writer { big };
        [1, 3, 6, 0x8000_0001, 0x0BAD]
            .into_iter()
            .flat_map(move |kind| (0..12).map(move |n| (w, kind, n)))
    }) {
        let short = [w.u32(kind), w.u32(length), vec![0; 64]].concat();
        let start = [
            w.section(),
            w.interface(101, 0, &[]),
            w.enhanced(0, 0, FRAME, None),
        ]
        .concat();
        let (packets, ended) = read([start, short].concat());
        assert_eq!(packets.len(), 1);
        assert!(
            matches!(ended, Err(Broken::Damaged { packets: 1, .. })),
            "{kind:#x}, {length}: {ended:?}"
        );
    }
}

#[test]
fn a_packet_larger_than_the_first_buffer_is_read() {
    let w = Writer { big: false };
    let jumbo = vec![0x45; 200_000];
    let (packets, ended) = read(
        [
            w.section(),
            w.interface(101, 0, &[]),
            w.enhanced(0, 0, &jumbo, None),
        ]
        .concat(),
    );
    assert_eq!((ended, packets[0].bytes.len()), (Ok(()), 200_000));
}

#[test]
fn an_impossible_clock_is_an_error() {
    let w = Writer { big: false };
    let impossible = w.option(9, &[127]);
    let (_, ended) = read([w.section(), w.interface(101, 0, &[impossible])].concat());
    assert!(
        matches!(ended, Err(Broken::Damaged { packets: 0, .. })),
        "{ended:?}"
    );
}
