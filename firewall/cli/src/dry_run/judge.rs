//! One packet of a capture: what it carries, which way it goes, what becomes of it.

use crate::Error;
use crate::capture::{Broken, Carried, Packet, Way, carried};
use crate::connections::Remembered;
use crate::flow::{destination, source};
use crate::rule_file::RuleFile;
use crate::zone::{Course, Zone, said_course};
use engine::{Bytes, Parsed, parse};
use firewall_abi::packet::{Decision, Direction, Verdict};
use std::cell::Cell;
use zerocopy::FromBytes;

/// Judges packets by the rules, and by other rules beside them.
pub struct Judge<'a> {
    zone: Zone<'a>,
    now: Side<'a>,
    before: Option<Side<'a>>,
}

/// What became of a packet.
#[derive(Debug)]
pub enum Judged {
    /// It was not judged.
    Not(Unjudged),
    /// It was: once, or twice on its way from one end in the zone to another.
    Verdicts(Parsed, Vec<BothSides>),
}

/// Why a packet was not judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unjudged {
    /// The firewall sees IP only.
    NotIp,
    /// The capture holds too little of it.
    Cut,
    /// It is neither from the zone nor to it.
    Outside,
}

/// The verdicts of the rules and of the other rules on one packet, in one direction.
#[derive(Clone, Copy, Debug)]
pub struct BothSides {
    /// Which way it went; `None` if a malformed packet does not even show its ends.
    pub direction: Option<Direction>,
    /// The verdict; `None` if it was blocked before it got here.
    pub now: Option<Decision>,
    /// That of the other rules.
    pub before: Option<Decision>,
}

/// What ends a dry run.
pub enum Stuck {
    /// A kind of link that is not known here.
    Link(Broken),
    /// Nobody says which way the packet goes.
    Direction(Error),
}

impl<'a> Judge<'a> {
    pub fn new(zone: Zone<'a>, rules: &'a RuleFile, other: Option<&'a RuleFile>) -> Self {
        Self {
            zone,
            now: Side::new(rules),
            before: other.map(Side::new),
        }
    }

    /// Judges a packet.
    pub fn packet(&mut self, packet: &Packet) -> Result<Judged, Stuck> {
        let unknown = || {
            Stuck::Link(Broken::UnknownLink {
                packet: packet.number,
                link_type: packet.link_type,
            })
        };
        let (start, way) = match carried(packet.link_type, &packet.bytes).ok_or_else(unknown)? {
            Carried::Ip { start, way } => (start, packet.way.or(way)),
            Carried::Other => return Ok(Judged::Not(Unjudged::NotIp)),
            Carried::CutOff => return Ok(Judged::Not(cut_in_the_link(packet))),
        };
        let captured = Captured::from(packet, start);
        let parsed = parse(&captured, captured.length, Direction::Inbound);
        if captured.missed.get() {
            return Ok(Judged::Not(Unjudged::Cut));
        }
        let time = packet.time_ns.unwrap_or(0);
        if parsed.flow.ip_version == 0 {
            return Ok(self.endless(parsed, &captured, way, time));
        }
        let course = self
            .zone
            .course(source(&parsed.flow), destination(&parsed.flow), way);
        match course {
            Course::Unknown => Err(Stuck::Direction(Error::NoDirection {
                number: packet.number,
                source_address: source(&parsed.flow),
                destination_address: destination(&parsed.flow),
            })),
            Course::Outside => Ok(Judged::Not(Unjudged::Outside)),
            course => Ok(Judged::Verdicts(
                parsed,
                self.along(parsed, &captured, course, time),
            )),
        }
    }

    /// Allowed packets whose connection found no room.
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

fn allowed(decision: Option<Decision>) -> bool {
    decision.is_some_and(|decision| decision.verdict == Verdict::Allow as u8)
}

fn cut_in_the_link(packet: &Packet) -> Unjudged {
    let all_there = usize::try_from(packet.length).is_ok_and(|length| packet.bytes.len() >= length);
    if all_there {
        Unjudged::NotIp
    } else {
        Unjudged::Cut
    }
}

/// Rules, and the connections that go on under them.
struct Side<'a> {
    file: &'a RuleFile,
    connections: Remembered,
}

impl<'a> Side<'a> {
    fn new(file: &'a RuleFile) -> Self {
        Self {
            file,
            connections: Remembered::default(),
        }
    }

    fn decide(&mut self, packet: &Parsed, captured: &Captured<'_>, time: u64) -> Decision {
        self.connections
            .decide(packet, captured.bytes, &self.file.table.slices(), time)
    }
}

/// A packet from its IP header on, as far as it was captured.
struct Captured<'a> {
    bytes: &'a [u8],
    length: u32,
    /// Set when something was asked for that was on the way but is not in the capture.
    missed: Cell<bool>,
}

impl<'a> Captured<'a> {
    fn from(packet: &'a Packet, start: usize) -> Self {
        let bytes = packet.bytes.get(start..).unwrap_or_default();
        let length = u32::try_from(start).map_or(0, |start| packet.length.saturating_sub(start));
        Self {
            bytes,
            length,
            missed: Cell::new(false),
        }
    }
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
    use engine::Shape;

    #[test]
    fn a_header_that_the_capture_cut_is_told_from_one_that_was_never_there() {
        let header = [
            0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 2, 10, 0, 0, 1,
        ];
        let snapped = Captured {
            bytes: &header,
            length: 40,
            missed: Cell::new(false),
        };
        let _shape = parse(&snapped, 40, Direction::Inbound);
        assert!(snapped.missed.get());
        let lying = Captured {
            bytes: &header,
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
