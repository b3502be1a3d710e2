//! DNS by TCP: reassembles the segments of a connection to messages.
//!
//! What is here is a copy of what passed, and each copy may be cut or missing. Nothing is held for what comes out of
//! its order: behind a gap nothing of a connection is read any more. Whoever is not in the middle can't add to it: a
//! segment counts if it goes on where the one before has ended, and the end that answers begins where it says to have
//! heard the end that asks. Nor can somebody on another link, who may have been told all of that by who asks:
//! both ends speak by one device.

use crate::answer::{DNS_PORT, DnsExchange, exchange};
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Number of connections that are followed, at most. The one that was silent for longest makes room.
pub const MOST_CONNECTIONS: usize = 256;
/// Bytes, at most, that wait in all for the rest of their messages; a connection that brings more is not followed.
pub const MOST_WAITING: usize = 1 << 20;
/// Time for which a connection may be silent.
pub const LONGEST_SILENCE: Duration = Duration::from_secs(120);
/// Size of the length field before each message, in bytes.
const PREFIX: usize = 2;
const TCP: u8 = 6;
const TCP_HEADER: usize = 20;
const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

/// Direction of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// A query, to the resolver.
    Question,
    /// An answer, from the resolver.
    Answer,
}

/// Messages that a segment completes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Whole {
    /// Complete messages, each with its endpoints and direction.
    pub messages: Vec<(DnsExchange, Way, Vec<u8>)>,
    /// `true` if the rest of the connection can't be read, as a part of it is missing.
    pub lost: bool,
}

/// A TCP segment at the port of DNS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment<'a> {
    ends: DnsExchange,
    way: Way,
    number: u32,
    heard: u32,
    flags: u8,
    /// Part of the payload that is here, and the length of the whole payload.
    payload: &'a [u8],
    length: usize,
}

impl<'a> Segment<'a> {
    /// Parses the segment in the first bytes of an IP packet that goes by this device;
    /// `None` if it is something else, or its headers are cut off.
    #[must_use]
    pub fn of(packet: &'a [u8], device: u32) -> Option<Self> {
        let byte = |at: usize| packet.get(at).copied();
        let two = |at: usize| Some(u16::from_be_bytes(*packet.get(at..)?.first_chunk()?));
        let four = |at: usize| Some(u32::from_be_bytes(*packet.get(at..)?.first_chunk()?));
        let v4 = |at: usize| Some(IpAddr::from(*packet.get(at..)?.first_chunk::<4>()?));
        let v6 = |at: usize| Some(IpAddr::from(*packet.get(at..)?.first_chunk::<16>()?));
        let (protocol, start, end, from, to) = match byte(0)? >> 4 {
            4 => {
                let start = usize::from(byte(0)? & 0xf) * 4;
                (byte(9)?, start, usize::from(two(2)?), v4(12)?, v4(16)?)
            }
            // As of datagrams, what has options before it is not read.
            6 => (byte(6)?, 40, 40 + usize::from(two(4)?), v6(8)?, v6(24)?),
            _ => return None,
        };
        if protocol != TCP {
            return None;
        }
        let (source, destination) = (two(start)?, two(start + 2)?);
        let header = usize::from(byte(start + 12)? >> 4) * 4;
        let begins = start + header;
        if header < TCP_HEADER || begins > end || begins > packet.len() {
            return None;
        }
        let (ends, way) = if source == DNS_PORT {
            (exchange((to, destination), (from, source))?, Way::Answer)
        } else {
            (exchange((from, source), (to, destination))?, Way::Question)
        };
        Some(Self {
            ends: ends.by(device),
            way,
            number: four(start + 4)?,
            heard: four(start + 8)?,
            flags: byte(start + 13)?,
            payload: packet.get(begins..end.min(packet.len()))?,
            length: end - begins,
        })
    }
}

/// One direction of a connection.
#[derive(Debug)]
struct Half {
    /// Sequence number of the next byte.
    next: u32,
    waiting: Vec<u8>,
}

impl Half {
    const fn after(number: u32) -> Self {
        Self {
            next: number.wrapping_add(1),
            waiting: Vec::new(),
        }
    }

    /// Appends a segment that continues where the last one ended. Returns `false` if bytes before it, or of it, are
    /// missing.
    fn take(&mut self, segment: &Segment<'_>) -> bool {
        let Segment {
            number,
            payload,
            length,
            ..
        } = *segment;
        let known = self.next.wrapping_sub(number);
        // Sent again, or from before.
        if known as usize >= length {
            // A half of all numbers lies behind, the other one ahead.
            return known < 1 << 31 || length == 0;
        }
        let Some(new) = payload.get(known as usize..) else {
            return false;
        };
        self.waiting.extend_from_slice(new);
        self.next = self.next.wrapping_add(new.len() as u32);
        payload.len() == length
    }

    /// Takes the next complete message.
    fn message(&mut self) -> Option<Vec<u8>> {
        let length = usize::from(u16::from_be_bytes(*self.waiting.first_chunk()?));
        if self.waiting.len() < PREFIX + length {
            return None;
        }
        let rest = self.waiting.split_off(PREFIX + length);
        let mut message = std::mem::replace(&mut self.waiting, rest);
        message.drain(..PREFIX);
        Some(message)
    }
}

#[derive(Debug)]
struct Connection {
    asks: Half,
    /// Direction of the answers; `None` if the resolver has not answered yet.
    answers: Option<Half>,
    last: Instant,
}

impl Connection {
    fn waiting(&self) -> usize {
        let answers = self.answers.as_ref();
        self.asks.waiting.len() + answers.map_or(0, |half| half.waiting.len())
    }
}

/// Connections that are followed.
#[derive(Debug, Default)]
pub struct Streams(HashMap<DnsExchange, Connection>);

impl Streams {
    /// Adds a segment that has passed. Returns the messages that it completes.
    pub fn take(&mut self, segment: &Segment<'_>, now: Instant) -> Whole {
        let Segment {
            ends, way, flags, ..
        } = *segment;
        if flags & SYN != 0 {
            self.begin(segment, now);
            return Whole::default();
        }
        let Some(connection) = self.0.get_mut(&ends) else {
            return Whole::default();
        };
        let half = match way {
            Way::Question => Some(&mut connection.asks),
            Way::Answer => connection.answers.as_mut(),
        };
        let Some(half) = half else {
            return Whole::default();
        };
        // What does not go on here is nobody's end of it.
        let goes_on = half.next == segment.number;
        let mut lost = !half.take(segment);
        let mut messages = Vec::new();
        while let Some(message) = half.message() {
            messages.push((ends, way, message));
        }
        connection.last = now;
        lost |= self.waiting() > MOST_WAITING;
        if lost || flags & RST != 0 && goes_on || flags & FIN != 0 && way == Way::Answer && goes_on
        {
            self.0.remove(&ends);
        }
        Whole { messages, lost }
    }

    fn begin(&mut self, segment: &Segment<'_>, now: Instant) {
        let Segment {
            ends,
            way,
            number,
            heard,
            flags,
            ..
        } = *segment;
        match (way, flags & ACK != 0) {
            (Way::Question, false) => {
                self.make_room(now);
                let asks = Half::after(number);
                let connection = Connection {
                    asks,
                    answers: None,
                    last: now,
                };
                self.0.insert(ends, connection);
            }
            (Way::Answer, true) => {
                let connection = self.0.get_mut(&ends);
                let connection = connection.filter(|connection| {
                    connection.answers.is_none() && connection.asks.next == heard
                });
                if let Some(connection) = connection {
                    connection.answers = Some(Half::after(number));
                }
            }
            // Nobody begins so.
            _ => {}
        }
    }

    fn make_room(&mut self, now: Instant) {
        if self.0.len() < MOST_CONNECTIONS {
            return;
        }
        self.0.retain(|_, connection| {
            now.saturating_duration_since(connection.last) < LONGEST_SILENCE
        });
        let silent = self.0.iter().min_by_key(|(_, connection)| connection.last);
        if let Some(ends) = silent.map(|(ends, _)| *ends)
            && self.0.len() >= MOST_CONNECTIONS
        {
            self.0.remove(&ends);
        }
    }

    fn waiting(&self) -> usize {
        self.0.values().map(Connection::waiting).sum()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;

    const CLIENT: u8 = 1;
    const RESOLVER: u8 = 2;
    /// Initial sequence numbers of both ends, shortly before they wrap around.
    const ASKS: u32 = u32::MAX - 4;
    const ANSWERS: u32 = u32::MAX - 9;

    /// Makes an IPv4 packet from this host.
    fn packet(from: u8, number: u32, heard: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
        let to = CLIENT + RESOLVER - from;
        let (source, destination) = if from == CLIENT {
            (50_000, DNS_PORT)
        } else {
            (DNS_PORT, 50_000)
        };
        let mut packet = vec![
            0x45, 0, 0, 0, 0, 0, 0, 0, 64, TCP, 0, 0, 10, 0, 0, from, 10, 0, 0, to,
        ];
        packet.extend(u16::to_be_bytes(source));
        packet.extend(u16::to_be_bytes(destination));
        packet.extend(number.to_be_bytes());
        packet.extend(heard.to_be_bytes());
        packet.extend([0x60, flags, 0, 0, 0, 0, 0, 0]);
        // An option, so that the header is not the shortest.
        packet.extend([1, 1, 1, 0]);
        packet.extend(payload);
        let length = (packet.len() as u16).to_be_bytes();
        packet[2..4].copy_from_slice(&length);
        packet
    }

    /// Makes a message with its length before it.
    fn message(bytes: &[u8]) -> Vec<u8> {
        let mut message = (bytes.len() as u16).to_be_bytes().to_vec();
        message.extend(bytes);
        message
    }

    struct Talk(Streams);

    impl Talk {
        fn begun() -> Self {
            let mut talk = Self(Streams::default());
            talk.hears(&packet(CLIENT, ASKS, 0, SYN, b""));
            let heard = ASKS.wrapping_add(1);
            talk.hears(&packet(RESOLVER, ANSWERS, heard, SYN | ACK, b""));
            talk
        }

        /// Returns the messages that a packet completes, and whether the rest is lost.
        fn hears(&mut self, packet: &[u8]) -> (Vec<Vec<u8>>, bool) {
            let segment = Segment::of(packet, 1).unwrap();
            let Whole { messages, lost } = self.0.take(&segment, Instant::now());
            (
                messages.into_iter().map(|(.., message)| message).collect(),
                lost,
            )
        }

        /// Sends bytes of the resolver, so many behind the beginning.
        fn answers(&mut self, at: u32, payload: &[u8]) -> (Vec<Vec<u8>>, bool) {
            let number = ANSWERS.wrapping_add(1).wrapping_add(at);
            self.hears(&packet(RESOLVER, number, 0, ACK, payload))
        }
    }

    fn none() -> (Vec<Vec<u8>>, bool) {
        (Vec::new(), false)
    }

    #[test]
    fn an_answer_by_tcp_is_put_together_however_it_was_split() {
        let bytes: Vec<u8> = (0..=255).cycle().take(3000).collect();
        let whole = message(&bytes);
        for piece in [1, 2, 3, 1000, 1448, 3002] {
            let mut talk = Talk::begun();
            let mut got = Vec::new();
            for (n, part) in whole.chunks(piece).enumerate() {
                let (messages, lost) = talk.answers((n * piece) as u32, part);
                assert!(!lost);
                got.extend(messages);
            }
            assert!(got.len() == 1 && got[0] == bytes, "{piece}");
        }
    }

    #[test]
    fn several_messages_in_one_segment_and_across_its_end_are_each_whole() {
        let mut talk = Talk::begun();
        let all = [
            message(b"one"),
            message(b""),
            message(b"three"),
            message(b"four"),
        ]
        .concat();
        let (first, rest) = all.split_at(10);
        assert_eq!(talk.answers(0, first).0, [b"one".to_vec(), Vec::new()]);
        assert_eq!(
            talk.answers(10, rest).0,
            [b"three".to_vec(), b"four".to_vec()]
        );
        // Both ends have numbers of their own.
        let question = packet(CLIENT, ASKS.wrapping_add(1), 0, ACK, &message(b"who"));
        assert_eq!(talk.hears(&question).0, [b"who".to_vec()]);
    }

    #[test]
    fn what_was_cut_or_is_missing_ends_a_connection_and_what_is_sent_again_does_not() {
        let mut talk = Talk::begun();
        let whole = message(b"an answer");
        assert_eq!(talk.answers(0, &whole[..4]), none());
        assert_eq!(talk.answers(0, &whole[..4]), none(), "again");
        assert_eq!(talk.answers(0, &whole[..6]), none(), "again, with more");
        assert_eq!(
            talk.answers(6, b""),
            none(),
            "nothing but an acknowledgement"
        );
        assert_eq!(talk.answers(6, &whole[6..]).0, [b"an answer".to_vec()]);
        // A gap.
        assert_eq!(talk.answers(100, &whole), (Vec::new(), true));
        assert_eq!(
            talk.answers(11, &whole),
            none(),
            "nothing is read behind it"
        );
        // A copy that is cut: what was whole before counts.
        let mut talk = Talk::begun();
        let two = [message(b"one"), message(b"another")].concat();
        let cut = packet(RESOLVER, ANSWERS.wrapping_add(1), 0, ACK, &two);
        assert_eq!(
            talk.hears(&cut[..cut.len() - 3]),
            (vec![b"one".to_vec()], true)
        );
        // Its end.
        let mut talk = Talk::begun();
        let end = packet(
            RESOLVER,
            ANSWERS.wrapping_add(1),
            0,
            ACK | FIN,
            &message(b"bye"),
        );
        assert_eq!(talk.hears(&end).0, [b"bye".to_vec()]);
        assert!(talk.0.0.is_empty());
    }

    #[test]
    fn who_does_not_hear_a_connection_says_nothing_in_it() {
        let lie = message(b"a lie");
        // It answers a beginning that it has not heard.
        let mut talk = Talk(Streams::default());
        talk.hears(&packet(CLIENT, ASKS, 0, SYN, b""));
        talk.hears(&packet(RESOLVER, 70, 12_345, SYN | ACK, b""));
        assert_eq!(talk.hears(&packet(RESOLVER, 71, 0, ACK, &lie)), none());
        // It begins it anew.
        let mut talk = Talk::begun();
        let heard = ASKS.wrapping_add(1);
        talk.hears(&packet(RESOLVER, 70, heard, SYN | ACK, b""));
        assert!(talk.hears(&packet(RESOLVER, 71, 0, ACK, &lie)).0.is_empty());
        // It ends it by a number that is not the next.
        let mut talk = Talk::begun();
        talk.hears(&packet(RESOLVER, ANSWERS, 0, RST, b""));
        assert_eq!(talk.answers(0, &message(b"true")).0, [b"true".to_vec()]);
        // Nobody has asked.
        let mut talk = Talk(Streams::default());
        assert_eq!(talk.answers(0, &lie), none());
    }

    #[test]
    fn what_is_followed_of_tcp_is_bounded() {
        let mut streams = Streams::default();
        let now = Instant::now();
        let begin = |streams: &mut Streams, port: u16, number| {
            let mut syn = packet(CLIENT, number, 0, SYN, b"");
            syn[20..22].copy_from_slice(&port.to_be_bytes());
            streams.take(&Segment::of(&syn, 1).unwrap(), now);
        };
        for port in 1..2000 {
            begin(&mut streams, port + 1000, 1);
        }
        assert_eq!(streams.0.len(), MOST_CONNECTIONS);
        let mut streams = Streams::default();
        let long = [&[0xff, 0xff][..], &[0; 30_000]].concat();
        for port in 1000..1200 {
            begin(&mut streams, port, 1);
            let mut asks = packet(CLIENT, 2, 0, ACK, &long);
            asks[20..22].copy_from_slice(&port.to_be_bytes());
            streams.take(&Segment::of(&asks, 1).unwrap(), now);
            assert!(streams.waiting() <= MOST_WAITING);
        }
        // Any bytes are a segment or none.
        for length in 0..60 {
            let _any = Segment::of(&vec![0x45; length], 1);
            let _any = Segment::of(&vec![0x60; length], 1);
        }
    }
    /// Makes of a packet of IPv4 the one that IPv6 would send.
    fn of_v6(packet: &[u8]) -> Vec<u8> {
        let (ip, segment) = packet.split_at(20);
        let mut six = vec![0x60, 0, 0, 0];
        six.extend((segment.len() as u16).to_be_bytes());
        six.extend([TCP, 64]);
        for last in [ip[15], ip[19]] {
            six.extend(address_v6(last));
        }
        six.extend(segment);
        six
    }

    fn address_v6(last: u8) -> [u8; 16] {
        [0xFD, 0x77, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0, last]
    }

    #[test]
    fn a_segment_is_read_of_both_versions_as_far_as_its_packet_reaches() {
        let bytes = message(b"as long as that");
        for (from, way) in [(RESOLVER, Way::Answer), (CLIENT, Way::Question)] {
            let four = packet(from, 7, 9, ACK | FIN, &bytes);
            for packet in [of_v6(&four), four] {
                let address = |last| match packet[0] {
                    0x60 => IpAddr::from(address_v6(last)),
                    _ => IpAddr::from([10, 0, 0, last]),
                };
                let whole = Segment {
                    ends: DnsExchange {
                        client: address(CLIENT),
                        port: 50_000,
                        resolver: address(RESOLVER),
                        device: 1,
                    },
                    way,
                    number: 7,
                    heard: 9,
                    flags: ACK | FIN,
                    payload: &bytes,
                    length: bytes.len(),
                };
                // Ethernet pads.
                let padded = [&packet[..], &[0; 6]].concat();
                assert_eq!(Segment::of(&padded, 1), Some(whole));
                let headers = packet.len() - bytes.len();
                for kept in 0..=packet.len() {
                    let cut = kept.checked_sub(headers).map(|left| Segment {
                        payload: &bytes[..left],
                        ..whole
                    });
                    assert_eq!(Segment::of(&packet[..kept], 1), cut, "{kept}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_segment_at_the_port_of_dns_or_says_wrong_lengths_is_none() {
        let four = packet(RESOLVER, 7, 9, ACK, b"");
        for (packet, ip, protocol) in [(of_v6(&four), 40, 6), (four, 20, 9)] {
            // Room for any length that a header may say.
            let packet = [&packet[..], &[0; 60]].concat();
            let with = |at: usize, byte: u8| {
                let mut other = packet.clone();
                other[at] = byte;
                Segment::of(&other, 1).is_some()
            };
            assert!(with(ip, 0), "as it is");
            assert!(!with(protocol, 17) && !with(0, 0x55) && !with(ip + 1, 54));
            for (words, is_one) in [(4, false), (5, true), (6, true), (7, false), (15, false)] {
                assert_eq!(with(ip + 12, words << 4), is_one, "{words}");
            }
        }
    }

    #[test]
    fn a_connection_is_over_where_it_goes_on_and_who_answers_ends_it_or_either_end_breaks_it_off() {
        let (asks, answers) = (ASKS.wrapping_add(1), ANSWERS.wrapping_add(1));
        for (from, number, flags, is_over) in [
            (RESOLVER, answers, ACK, false),
            (RESOLVER, answers, FIN | ACK, true),
            (RESOLVER, answers, RST, true),
            (CLIENT, asks, RST, true),
            // Who has asked all is answered still.
            (CLIENT, asks, FIN | ACK, false),
            (RESOLVER, answers - 1, FIN | ACK, false),
            (RESOLVER, answers - 1, RST, false),
            (RESOLVER, answers + 1, RST, false),
            (CLIENT, asks - 1, RST, false),
        ] {
            let mut talk = Talk::begun();
            assert_eq!(talk.hears(&packet(from, number, 0, flags, b"")), none());
            assert_eq!(talk.0.0.is_empty(), is_over, "{from} {number} {flags}");
        }
    }

    #[test]
    fn only_a_question_begins_a_connection_and_only_its_first_answer_is_its_own() {
        let heard = ASKS.wrapping_add(1);
        for (from, flags) in [(CLIENT, SYN | ACK), (RESOLVER, SYN), (RESOLVER, SYN | ACK)] {
            let mut talk = Talk(Streams::default());
            assert_eq!(talk.hears(&packet(from, ASKS, heard, flags, b"")), none());
            assert!(talk.0.0.is_empty(), "{from} {flags}");
        }
        // Nor does a beginning without an answer's mark answer one.
        let mut talk = Talk(Streams::default());
        talk.hears(&packet(CLIENT, ASKS, 0, SYN, b""));
        talk.hears(&packet(RESOLVER, ANSWERS, heard, SYN, b""));
        assert_eq!(talk.answers(0, &message(b"true")), none());
        talk.hears(&packet(RESOLVER, ANSWERS, heard, SYN | ACK, b""));
        talk.hears(&packet(RESOLVER, 70, heard, SYN | ACK, b""));
        assert_eq!(talk.answers(0, &message(b"true")).0, [b"true".to_vec()]);
    }

    #[test]
    fn a_half_of_all_numbers_lies_behind_and_the_other_half_ahead() {
        for (behind, is_lost) in [(1, false), ((1 << 31) - 1, false), (1 << 31, true)] {
            let mut talk = Talk::begun();
            let at = 0_u32.wrapping_sub(behind);
            assert_eq!(talk.answers(at, b"x"), (Vec::new(), is_lost), "{behind}");
            assert_eq!(talk.0.0.is_empty(), is_lost);
        }
    }

    #[test]
    fn who_was_silent_for_longest_makes_room_and_before_that_all_who_were_for_too_long() {
        let start = Instant::now();
        let after = |milliseconds: u64| start + Duration::from_millis(milliseconds);
        let takes = |streams: &mut Streams, n: u64, flags: u8, at: Instant| {
            let mut syn = packet(CLIENT, 1, 0, flags, b"");
            syn[20..22].copy_from_slice(&(1000 + n as u16).to_be_bytes());
            streams.take(&Segment::of(&syn, 1).unwrap(), at);
        };
        let is_there = |streams: &Streams, n: u64| {
            streams
                .0
                .keys()
                .any(|ends| u64::from(ends.port) == 1000 + n)
        };
        let most = MOST_CONNECTIONS as u64;
        let mut streams = Streams::default();
        for n in 0..most {
            takes(&mut streams, n, SYN, after(n));
        }
        // The first one says something again.
        takes(&mut streams, 0, ACK, after(most));
        takes(&mut streams, most, SYN, after(most));
        assert_eq!(streams.0.len(), MOST_CONNECTIONS);
        assert!(is_there(&streams, 0) && !is_there(&streams, 1) && is_there(&streams, 2));
        takes(&mut streams, most + 1, SYN, after(100) + LONGEST_SILENCE);
        assert!(is_there(&streams, 0) && is_there(&streams, most + 1));
        assert!(!is_there(&streams, 100) && is_there(&streams, 101));
        // Of the first hundred and one the first is left.
        assert_eq!(streams.0.len(), MOST_CONNECTIONS - 99 + 1);
    }

    #[test]
    fn what_waits_for_its_rest_is_bounded_to_the_byte() {
        let now = Instant::now();
        let takes = |streams: &mut Streams, port: u16, flags: u8, number: u32, bytes: &[u8]| {
            let mut segment = packet(CLIENT, number, 0, flags, bytes);
            segment[20..22].copy_from_slice(&port.to_be_bytes());
            streams.take(&Segment::of(&segment, 1).unwrap(), now).lost
        };
        let mut streams = Streams::default();
        let piece = [&[0xFF, 0xFF][..], &[0; (1 << 14) - 2]].concat();
        let pieces = (MOST_WAITING / piece.len()) as u16;
        for port in 0..pieces {
            takes(&mut streams, 1000 + port, SYN, 1, b"");
            assert!(!takes(&mut streams, 1000 + port, ACK, 2, &piece));
        }
        assert_eq!(streams.waiting(), MOST_WAITING);
        let next = 2 + piece.len() as u32;
        assert!(takes(&mut streams, 1000, ACK, next, b"x"));
        assert_eq!(streams.waiting(), MOST_WAITING - piece.len());
    }
}
