//! One packet after the other, in a memory that does not grow with the file.

use super::link::{KNOWN, Way};
use flate2::read::MultiGzDecoder;
use pcap_parser::traits::{PcapNGPacketBlock, PcapReaderIterator};
use pcap_parser::{
    Block, EnhancedPacketBlock, InterfaceDescriptionBlock, LegacyPcapBlock, PcapBlockOwned,
    PcapError, PcapHeader, SimplePacketBlock, create_reader,
};
use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};

const FIRST_BUFFER: usize = 1 << 16;
/// No block is longer: a length beyond it is a lie.
const LARGEST_BUFFER: usize = 1 << 24;
/// Maximum length of a packet, in bytes; the limit of libpcap too.
const LONGEST_PACKET: u32 = 1 << 18;
const NANOSECONDS: u128 = 1_000_000_000;
/// Magic number of gzip.
const GZIP: [u8; 2] = [0x1F, 0x8B];
/// Block type of a pcapng section header, with which the file begins in either byte order.
const SECTION: [u8; 4] = [0x0A, 0x0D, 0x0D, 0x0A];
/// Minimum length of a pcapng block, in bytes: its type, its length, and its length again.
const SHORTEST_BLOCK: u32 = 12;

/// A packet as it was captured.
#[derive(Debug, Default)]
pub struct Packet {
    /// Number of the packet in the capture, from 1.
    pub number: u64,
    /// Time of capture, in nanoseconds since 1970, or `None` if the capture does not tell.
    pub time_ns: Option<u64>,
    /// The kind of its link, as pcap numbers them.
    pub link_type: i32,
    /// Direction of the packet, or `None` if the capture does not tell it beside the packet.
    pub way: Option<Way>,
    /// Captured bytes, from the link's header on.
    pub bytes: Vec<u8>,
    /// Original length on the wire, in bytes from the link's header on; never less than the captured bytes.
    pub length: u32,
}

/// Error of reading a capture, with the number of packets that were read before it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// The file is no capture.
    #[error("this is no capture: it begins neither like pcap nor like pcapng")]
    NoCapture,
    /// The capture ends inside a packet or a block.
    #[error(
        "the capture is cut off: it ends inside of a packet or a block; {packets} packets were read before"
    )]
    CutOff {
        /// Good packets before.
        packets: u64,
    },
    /// The capture contradicts itself.
    #[error("the capture is damaged after packet {packets}: {why}")]
    Damaged {
        /// Good packets before.
        packets: u64,
        /// Description of the contradiction.
        why: &'static str,
    },
    /// The capture can't be read, or not be unpacked.
    #[error("the capture can't be read on after packet {packets}: {cause}")]
    Unreadable {
        /// Good packets before.
        packets: u64,
        /// Error message of the reader or the decompressor.
        cause: String,
    },
    /// No packet in it is of a kind of link that is read here.
    #[error("nothing in the capture could be judged: {kinds}; {advice}what is read here: {KNOWN}")]
    UnreadLinks {
        /// Link types that the capture has, with the numbers of their packets.
        kinds: String,
        /// Advice for these link types, with the separator from the next sentence.
        advice: String,
    },
}

/// A capture that is being read.
pub struct Capture {
    reader: Box<dyn PcapReaderIterator + Send>,
    /// pcapng, which comes in blocks.
    in_blocks: bool,
    interfaces: Vec<Interface>,
    capacity: usize,
    packets: u64,
    failed: Failure,
}

/// Cause of a failed read, kept here because the pcap library does not hand it on.
#[derive(Clone, Default)]
struct Failure(Arc<Mutex<String>>);

impl Failure {
    fn note(&self, cause: &io::Error) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = cause.to_string();
    }

    fn after(&self, packets: u64) -> Broken {
        let cause = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Broken::Unreadable {
            packets,
            cause: cause.clone(),
        }
    }
}

/// Interface description of a capture: link type, snap length and clock.
#[derive(Clone, Copy)]
struct Interface {
    link_type: i32,
    snapped_at: u32,
    units_per_second: u128,
    offset_seconds: i64,
}

/// Result of one read step.
enum Step {
    Packet,
    Other,
    ReadOn,
    Grow,
    End,
    Broken(Broken),
}

impl Capture {
    /// Begins to read a capture, also one that is compressed by gzip.
    ///
    /// # Errors
    /// The file is no capture.
    pub fn new(source: impl Read + Send + 'static) -> Result<Self, Broken> {
        let failed = Failure::default();
        let reader = reader(source, &failed).map_err(|error| match error {
            PcapError::ReadError => failed.after(0),
            _ => Broken::NoCapture,
        })?;
        let in_blocks = reader.data().starts_with(&SECTION);
        Ok(Self {
            reader,
            in_blocks,
            interfaces: Vec::new(),
            capacity: FIRST_BUFFER,
            packets: 0,
            failed,
        })
    }

    /// Reads the next packet into `packet`; `false` at the end.
    ///
    /// # Errors
    /// The capture can't be read on.
    pub fn next(&mut self, packet: &mut Packet) -> Result<bool, Broken> {
        loop {
            match self.step(packet) {
                Step::Packet => return Ok(true),
                Step::Other => {}
                Step::ReadOn => self.read_on()?,
                Step::Grow => self.grow()?,
                Step::End => return Ok(false),
                Step::Broken(broken) => return Err(broken),
            }
        }
    }

    fn step(&mut self, packet: &mut Packet) -> Step {
        let packets = self.packets;
        if self.in_blocks && is_too_short(self.reader.data()) {
            return Step::Broken(damaged(
                packets,
                "a block says that it is shorter than a block can be",
            ));
        }
        let (used, step) = match self.reader.next() {
            Ok((used, block)) => (used, take(&block, &mut self.interfaces, packet)),
            Err(PcapError::Incomplete(_)) => return Step::ReadOn,
            Err(PcapError::BufferTooSmall) => return Step::Grow,
            Err(PcapError::Eof) => return Step::End,
            Err(PcapError::UnexpectedEof) => return Step::Broken(Broken::CutOff { packets }),
            Err(_) => return Step::Broken(damaged(packets, "a block contradicts itself")),
        };
        self.reader.consume(used);
        match step {
            Ok(true) => {
                self.packets += 1;
                packet.number = self.packets;
                Step::Packet
            }
            Ok(false) => Step::Other,
            Err(why) => Step::Broken(damaged(packets, why)),
        }
    }

    fn read_on(&mut self) -> Result<(), Broken> {
        let refilled = self.reader.refill();
        refilled.map_err(|_| self.failed.after(self.packets))
    }

    fn grow(&mut self) -> Result<(), Broken> {
        self.capacity *= 2;
        if self.capacity > LARGEST_BUFFER || !self.reader.grow(self.capacity) {
            return Err(damaged(
                self.packets,
                "a block says that it is longer than 16 MiB",
            ));
        }
        self.read_on()
    }
}

/// A reader for what is there, unpacked.
fn reader(
    source: impl Read + Send + 'static,
    failed: &Failure,
) -> Result<Box<dyn PcapReaderIterator + Send>, PcapError<&'static [u8]>> {
    let filling = |source| Filling {
        source,
        failed: failed.clone(),
    };
    let mut source = filling(Box::new(source) as Box<dyn Read + Send>);
    let mut begins = [0; GZIP.len()];
    let read = source.read(&mut begins).map_err(|_| PcapError::ReadError)?;
    let begins = begins.get(..read).unwrap_or_default().to_vec();
    let packed = begins == GZIP;
    let whole = io::Cursor::new(begins).chain(source);
    let whole: Box<dyn Read + Send> = if packed {
        Box::new(MultiGzDecoder::new(whole))
    } else {
        Box::new(whole)
    };
    create_reader(FIRST_BUFFER, filling(whole))
}

fn damaged(packets: u64, why: &'static str) -> Broken {
    Broken::Damaged { packets, why }
}

/// Returns whether the declared length of a block is below the minimum: the library trusts it for some types, and
/// subtracts.
///
/// A length that is this small in the other byte order is one that no buffer holds.
fn is_too_short(block: &[u8]) -> bool {
    let Some(&length) = block.get(4..).and_then(<[u8]>::first_chunk) else {
        return false;
    };
    u32::from_le_bytes(length) < SHORTEST_BLOCK || u32::from_be_bytes(length) < SHORTEST_BLOCK
}

/// Takes what a block says; `true` if it is a packet.
fn take(
    block: &PcapBlockOwned<'_>,
    interfaces: &mut Vec<Interface>,
    packet: &mut Packet,
) -> Result<bool, &'static str> {
    match block {
        PcapBlockOwned::LegacyHeader(header) => *interfaces = vec![Interface::of_the_only(header)],
        PcapBlockOwned::NG(Block::SectionHeader(_)) => interfaces.clear(),
        PcapBlockOwned::NG(Block::InterfaceDescription(said)) => {
            interfaces.push(Interface::described(said)?)
        }
        PcapBlockOwned::Legacy(block) => return legacy(block, interfaces, packet).map(|()| true),
        PcapBlockOwned::NG(Block::EnhancedPacket(block)) => {
            return enhanced(block, interfaces, packet).map(|()| true);
        }
        PcapBlockOwned::NG(Block::SimplePacket(block)) => {
            return simple(block, interfaces, packet).map(|()| true);
        }
        PcapBlockOwned::NG(_) => {}
    }
    Ok(false)
}

fn legacy(
    block: &LegacyPcapBlock<'_>,
    interfaces: &[Interface],
    packet: &mut Packet,
) -> Result<(), &'static str> {
    let interface = interfaces.first().ok_or("it has no header")?;
    let time = u128::from(block.ts_sec) * interface.units_per_second + u128::from(block.ts_usec);
    fill(packet, interface, block.data, block.origlen)?;
    packet.time_ns = interface.nanoseconds(time);
    Ok(())
}

fn enhanced(
    block: &EnhancedPacketBlock<'_>,
    interfaces: &[Interface],
    packet: &mut Packet,
) -> Result<(), &'static str> {
    let interface = usize::try_from(block.if_id)
        .ok()
        .and_then(|n| interfaces.get(n));
    let interface = interface.ok_or("a packet is of an interface that was not described before")?;
    fill(packet, interface, block.packet_data(), block.origlen)?;
    packet.time_ns =
        interface.nanoseconds(u128::from(block.ts_high) << 32 | u128::from(block.ts_low));
    packet.way = way(block);
    Ok(())
}

fn simple(
    block: &SimplePacketBlock<'_>,
    interfaces: &[Interface],
    packet: &mut Packet,
) -> Result<(), &'static str> {
    let interface = interfaces
        .first()
        .ok_or("a packet comes before any interface is described")?;
    let bytes = block.packet_data();
    let snapped = usize::try_from(interface.snapped_at)
        .ok()
        .filter(|n| *n != 0)
        .and_then(|n| bytes.get(..n));
    fill(packet, interface, snapped.unwrap_or(bytes), block.origlen)
}

fn fill(
    packet: &mut Packet,
    interface: &Interface,
    bytes: &[u8],
    length: u32,
) -> Result<(), &'static str> {
    let captured = u32::try_from(bytes.len())
        .ok()
        .filter(|n| *n <= LONGEST_PACKET);
    let captured = captured.ok_or("a packet says that it is longer than 256 KiB")?;
    packet.bytes.clear();
    packet.bytes.extend_from_slice(bytes);
    packet.link_type = interface.link_type;
    packet.length = length.max(captured);
    packet.way = None;
    packet.time_ns = None;
    Ok(())
}

/// Returns the direction from the flags of an enhanced packet block: the two lowest bits of option 2.
fn way(block: &EnhancedPacketBlock<'_>) -> Option<Way> {
    let flags = block.options.iter().find(|option| option.code.0 == 2)?;
    let bytes: [u8; 4] = flags.value.get(..4)?.try_into().ok()?;
    let flags = if block.big_endian() {
        u32::from_be_bytes(bytes)
    } else {
        u32::from_le_bytes(bytes)
    };
    match flags & 3 {
        1 => Some(Way::In),
        2 => Some(Way::Out),
        _ => None,
    }
}

impl Interface {
    fn of_the_only(header: &PcapHeader) -> Self {
        let units_per_second = if header.is_nanosecond_precision() {
            NANOSECONDS
        } else {
            1_000_000
        };
        // The upper bits say whether frames end in a checksum.
        let link_type = header.network.0 & 0xFFFF;
        Self {
            link_type,
            snapped_at: header.snaplen,
            units_per_second,
            offset_seconds: 0,
        }
    }

    fn described(said: &InterfaceDescriptionBlock<'_>) -> Result<Self, &'static str> {
        let power = u32::from(said.if_tsresol & 0x7F);
        let base: u128 = if said.if_tsresol & 0x80 == 0 { 10 } else { 2 };
        let units_per_second = base
            .checked_pow(power)
            .ok_or("an interface's clock has an impossible resolution")?;
        Ok(Self {
            link_type: said.linktype.0,
            snapped_at: said.snaplen,
            units_per_second,
            offset_seconds: said.if_tsoffset,
        })
    }

    /// A time in this interface's units, as nanoseconds since 1970.
    fn nanoseconds(&self, time: u128) -> Option<u64> {
        let (seconds, rest) = (time / self.units_per_second, time % self.units_per_second);
        let seconds = i128::try_from(seconds).ok()? + i128::from(self.offset_seconds);
        let seconds = u128::try_from(seconds).ok()?;
        let rest = rest.checked_mul(NANOSECONDS)? / self.units_per_second;
        u64::try_from(seconds.checked_mul(NANOSECONDS)?.checked_add(rest)?).ok()
    }
}

/// Reads until there is no more room: a pipe gives a capture in pieces, and the first must hold its header.
struct Filling {
    source: Box<dyn Read + Send>,
    failed: Failure,
}

impl Read for Filling {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while let Some(rest) = room.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.source.read(rest) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.failed.note(&error);
                    return Err(error);
                }
            }
        }
        Ok(filled)
    }
}
