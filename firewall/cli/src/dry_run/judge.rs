//! One packet of a capture: what it carries, which way it goes, what becomes of it.

use super::fragments::{Datagram, Fragments};
use super::neighbours::{Neighbours, goes_to_everyone};
use crate::Error;
use crate::capture::{Carried, Packet, Way, carried};
use crate::connections::Remembered;
use crate::flow::{destination, source};
use crate::loopback::LOOPBACK;
use crate::rule_file::RuleFile;
use crate::zone::{Course, ZoneAddresses, said_course};
use engine::{Bytes, Parsed, Shape, parse};
use firewall_abi::packet::{Decision, Direction, NO_RULE, PacketMeta, Verdict, name_words};
use std::borrow::Cow;
use std::cell::Cell;
use zerocopy::FromBytes;

/// Judges packets by the rules, and by other rules beside them.
pub struct Judge<'a> {
    zone: ZoneAddresses<'a>,
    neighbours: Neighbours,
    fragments: Fragments,
    now: Side<'a>,
    before: Option<Side<'a>>,
}

/// Result of judging a packet.
#[derive(Debug)]
pub enum Judged {
    /// The packet was not judged.
    Not(Unjudged),
    /// The packet was judged: once, or twice if both ends are in the zone.
    Verdicts(Parsed, Vec<BothSides>),
}

/// Reason for which a packet was not judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unjudged {
    /// The firewall sees IP only: what it is instead.
    NotIp(&'static str),
    /// The packet's link type is this one, which is not supported.
    UnreadLink(i32),
    /// The packet stays on the loopback device, and no rule names that.
    Loopback,
    /// The capture holds too little of it.
    Cut,
    /// The capture holds too little of the packet, but declares it to be whole.
    CutInSilence,
    /// The packet is neither from the zone nor to it.
    Outside,
}

/// The verdicts of the rules and of the other rules on one packet, in one direction.
#[derive(Clone, Copy, Debug)]
pub struct BothSides {
    /// Direction of the packet, or `None` if a malformed packet does not show its addresses.
    pub direction: Option<Direction>,
    /// The verdict; `None` if it was blocked before it got here.
    pub now: Option<Decision>,
    /// Verdict of the other rules.
    pub before: Option<Decision>,
}

impl<'a> Judge<'a> {
    pub fn new(zone: ZoneAddresses<'a>, rules: &'a RuleFile, other: Option<&'a RuleFile>) -> Self {
        Self {
            zone,
            neighbours: Neighbours::default(),
            fragments: Fragments::default(),
            now: Side::new(rules),
            before: other.map(Side::new),
        }
    }

    /// Judges a packet.
    ///
    /// # Errors
    /// Nobody says which way it goes.
    pub fn packet(&mut self, packet: &Packet) -> Result<Judged, Error> {
        let (start, way, loopback) = match carried(packet.link_type, &packet.bytes) {
            Some(Carried::Ip {
                start,
                way,
                loopback,
            }) => (start, packet.way.or(way), loopback),
            Some(Carried::Other(what)) => return Ok(Judged::Not(Unjudged::NotIp(what))),
            Some(Carried::CutOff) => return Ok(Judged::Not(cut_in_the_link(packet))),
            None => return Ok(Judged::Not(Unjudged::UnreadLink(packet.link_type))),
        };
        if loopback && !self.judges_loopback() {
            return Ok(Judged::Not(Unjudged::Loopback));
        }
        let captured = Captured::from(packet, start);
        if captured.is_cut_in_silence(packet) {
            return Ok(Judged::Not(Unjudged::CutInSilence));
        }
        let device = if loopback { LOOPBACK } else { "" };
        self.on(device, goes_to_everyone(packet));
        let parsed = parse(&captured, captured.length, Direction::Inbound);
        if captured.missed.get() {
            return Ok(Judged::Not(Unjudged::Cut));
        }
        let time = packet.time_ns.unwrap_or(0);
        if parsed.flow.ip_version == 0 {
            return Ok(self.endless(parsed, &captured, way, time));
        }
        let datagram = Datagram::of(&captured.bytes, way);
        if let Some(datagram) = &datagram
            && parsed.shape == Shape::LaterFragment
            && let Some(verdicts) = self.fragments.of(datagram, time)
        {
            return Ok(Judged::Verdicts(parsed, verdicts));
        }
        let (from, to) = (source(&parsed.flow), destination(&parsed.flow));
        let course = match self.zone.course(from, to, way) {
            // Both of its directions are seen on one device, and neither end need be an address of the zone.
            course if loopback && course != Course::Within => {
                way.map_or(Course::Within, said_course)
            }
            course => self.neighbours.course(packet, (from, to), course),
        };
        match course {
            Course::Unknown => Err(Error::NoDirection {
                number: packet.number,
                source_address: from,
                destination_address: to,
            }),
            Course::Outside => Ok(Judged::Not(Unjudged::Outside)),
            course => {
                let verdicts = self.along(parsed, &captured, course, time);
                if let Some(datagram) = datagram
                    && parsed.shape == Shape::Whole
                {
                    self.fragments.keep(datagram, time, &verdicts);
                }
                Ok(Judged::Verdicts(parsed, verdicts))
            }
        }
    }

    /// Returns whether the rules, or the other rules, judge packets on the loopback device.
    fn judges_loopback(&self) -> bool {
        let mut sides = [Some(&self.now), self.before.as_ref()]
            .into_iter()
            .flatten();
        sides.any(|side| side.file.rules.judges_loopback())
    }

    /// The device of the next packet, where it is known, and whether it goes to everyone there.
    fn on(&mut self, device: &str, to_everyone: bool) {
        let local = PacketMeta {
            interface: name_words(device).unwrap_or_default(),
            ..PacketMeta::UNKNOWN
        };
        for side in [Some(&mut self.now), self.before.as_mut()]
            .into_iter()
            .flatten()
        {
            side.connections.local = local;
            side.connections.goes_to_everyone = to_everyone;
            side.passes_unseen = device == LOOPBACK && !side.file.rules.judges_loopback();
        }
    }

    /// Packets of confirmed connections that found no lasting room.
    pub fn full(&self) -> u64 {
        self.now.connections.full
    }

    /// A packet that shows no ends is malformed, whichever way it goes.
    fn endless(
        &mut self,
        parsed: Parsed,
        captured: &Captured<'_>,
        way: Option<Way>,
        time: u64,
    ) -> Judged {
        let direction = way.and_then(|way| said_course(way).directions().first().copied());
        let (now, before) = self.decide(&parsed, captured, time, (true, true));
        Judged::Verdicts(
            parsed,
            vec![BothSides {
                direction,
                now,
                before,
            }],
        )
    }

    /// The verdicts along a packet's course: what is blocked goes no further.
    fn along(
        &mut self,
        mut packet: Parsed,
        captured: &Captured<'_>,
        course: Course,
        time: u64,
    ) -> Vec<BothSides> {
        let mut goes_on = (true, true);
        let mut verdicts = Vec::with_capacity(1);
        for direction in course.directions() {
            packet.flow.direction = *direction as u8;
            let (now, before) = self.decide(&packet, captured, time, goes_on);
            goes_on = (allowed(now), allowed(before));
            verdicts.push(BothSides {
                direction: Some(*direction),
                now,
                before,
            });
            if goes_on == (false, false) {
                break;
            }
        }
        verdicts
    }

    fn decide(
        &mut self,
        packet: &Parsed,
        captured: &Captured<'_>,
        time: u64,
        asked: (bool, bool),
    ) -> (Option<Decision>, Option<Decision>) {
        let now = asked.0.then(|| self.now.decide(packet, captured, time));
        let before = self
            .before
            .as_mut()
            .filter(|_| asked.1)
            .map(|side| side.decide(packet, captured, time));
        (now, before)
    }
}

/// Returns the decision on a loopback packet that only the other side's rules judge: it passes for no reason of these.
fn unseen() -> Decision {
    Decision {
        rule: NO_RULE,
        verdict: Verdict::Allow as u8,
        ..Decision::default()
    }
}

fn allowed(decision: Option<Decision>) -> bool {
    decision.is_some_and(|decision| decision.verdict == Verdict::Allow as u8)
}

fn cut_in_the_link(packet: &Packet) -> Unjudged {
    let all_there = usize::try_from(packet.length).is_ok_and(|length| packet.bytes.len() >= length);
    if all_there {
        Unjudged::NotIp("cut off in the link's header")
    } else {
        Unjudged::Cut
    }
}

/// Rules, and the connections that go on under them.
struct Side<'a> {
    file: &'a RuleFile,
    connections: Remembered,
    /// The packet stays on the loopback device, and no rule names that.
    passes_unseen: bool,
}

impl<'a> Side<'a> {
    fn new(file: &'a RuleFile) -> Self {
        Self {
            file,
            connections: Remembered::default(),
            passes_unseen: false,
        }
    }

    fn decide(&mut self, packet: &Parsed, captured: &Captured<'_>, time: u64) -> Decision {
        if self.passes_unseen {
            return unseen();
        }
        self.connections
            .decide(packet, &captured.bytes, &self.file.tables(), time)
    }
}

/// A packet from its IP header on, as far as it was captured.
struct Captured<'a> {
    bytes: Cow<'a, [u8]>,
    length: u32,
    /// Set when something was asked for that was on the way but is not in the capture.
    missed: Cell<bool>,
}

impl<'a> Captured<'a> {
    fn from(packet: &'a Packet, start: usize) -> Self {
        let bytes = packet.bytes.get(start..).unwrap_or_default();
        let length = u32::try_from(start).map_or(0, |start| packet.length.saturating_sub(start));
        Self {
            bytes: with_length(bytes, length),
            length,
            missed: Cell::new(false),
        }
    }

    /// Returns whether a packet was cut by a tool that declares the rest to be whole, as anonymisers and some probes
    /// do.
    fn is_cut_in_silence(&self, packet: &Packet) -> bool {
        let whole = u32::try_from(packet.bytes.len()).is_ok_and(|held| held >= packet.length);
        whole && said_length(&self.bytes).is_some_and(|said| said > self.length)
    }
}

/// The length that an IP header says, from itself on.
fn said_length(bytes: &[u8]) -> Option<u32> {
    let number = |at: usize| {
        let two = bytes.get(at..at + 2)?.first_chunk()?;
        Some(u32::from(u16::from_be_bytes(*two)))
    };
    match bytes.first()? >> 4 {
        4 => number(2),
        6 => Some(number(4)? + IPV6_HEADER),
        _ => None,
    }
}

const IPV6_HEADER: u32 = 40;

/// A sender's packet with no length in it was seen before its card cut it into pieces and wrote
/// one: it is as long as its frame.
fn with_length(bytes: &[u8], length: u32) -> Cow<'_, [u8]> {
    let place = match (bytes.first().map(|first| first >> 4), said_length(bytes)) {
        (Some(4), Some(0)) => Some((2, length)),
        (Some(6), Some(IPV6_HEADER)) if has_payload(bytes) => {
            Some((4, length.saturating_sub(IPV6_HEADER)))
        }
        _ => None,
    };
    let Some((at, length)) = place.filter(|(_, length)| *length > 0) else {
        return bytes.into();
    };
    let Ok(length) = u16::try_from(length) else {
        // Longer than the field holds: a length of 0 is how that is said.
        return bytes.into();
    };
    let mut written = bytes.to_vec();
    written
        .get_mut(at..at + 2)
        .into_iter()
        .for_each(|field| field.copy_from_slice(&length.to_be_bytes()));
    written.into()
}

/// Returns whether a payload that network cards segment (TSO, GSO) follows an IPv6 header.
fn has_payload(bytes: &[u8]) -> bool {
    const NEXT_HEADER: usize = 6;
    bytes
        .get(NEXT_HEADER)
        .is_some_and(|next| matches!(next, 6 | 17))
}

impl Bytes for Captured<'_> {
    fn load<T: FromBytes>(&self, offset: u32) -> Option<T> {
        let loaded = self.bytes.load(offset);
        let end = u32::try_from(size_of::<T>())
            .ok()
            .and_then(|size| offset.checked_add(size));
        if loaded.is_none() && end.is_some_and(|end| end <= self.length) {
            self.missed.set(true);
        }
        loaded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_that_the_capture_cut_is_told_from_one_that_was_never_there() {
        let header = [
            0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 2, 10, 0, 0, 1,
        ];
        let snapped = Captured {
            bytes: header[..].into(),
            length: 40,
            missed: Cell::new(false),
        };
        let _shape = parse(&snapped, 40, Direction::Inbound);
        assert!(snapped.missed.get());
        let lying = Captured {
            bytes: header[..].into(),
            length: 20,
            missed: Cell::new(false),
        };
        assert_eq!(
            parse(&lying, 20, Direction::Inbound).shape,
            Shape::Malformed
        );
        assert!(!lying.missed.get());
    }
}
