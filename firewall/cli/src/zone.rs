//! Direction of a packet, seen from the protected zone.

use crate::capture::Way;
use firewall_abi::packet::Direction;
use rules::Addresses;
use std::net::IpAddr;

/// The addresses that are protected; none if the capture's word is all there is.
pub struct ZoneAddresses<'a>(pub &'a [Addresses]);

/// Course of a packet, seen from the zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Course {
    /// Into the zone.
    Into,
    /// Out of it.
    OutOf,
    /// Between two ends in the zone: the packet is judged on its way out, then on its way in.
    Within,
    /// Through it: the zone is neither end, and forwards it.
    Through,
    /// The zone does not see it.
    Outside,
    /// Nobody says.
    Unknown,
}

impl Course {
    /// The directions in which a packet is judged, in that order.
    pub fn directions(self) -> &'static [Direction] {
        match self {
            Self::Into => &[Direction::Inbound],
            Self::OutOf => &[Direction::Outbound],
            Self::Within => &[Direction::Outbound, Direction::Inbound],
            Self::Through => &[Direction::Forward],
            Self::Outside | Self::Unknown => &[],
        }
    }
}

impl ZoneAddresses<'_> {
    /// The way of a packet between these ends, of which the capture says `said`.
    pub fn course(&self, source: IpAddr, destination: IpAddr, said: Option<Way>) -> Course {
        if self.0.is_empty() {
            return said.map_or(Course::Unknown, said_course);
        }
        match (self.contains(source), self.contains(destination)) {
            (true, false) => Course::OutOf,
            (false, true) => Course::Into,
            // Loopback shows its packets once, as coming in, yet they went out first.
            (true, true) => Course::Within,
            (false, false) => said.map_or_else(
                || unaddressed(source, destination),
                |way| neither(way, source, destination),
            ),
        }
    }

    fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|addresses| addresses.contains(address))
    }
}

/// The course that a capture names.
pub fn said_course(way: Way) -> Course {
    match way {
        Way::In => Course::Into,
        Way::Out => Course::OutOf,
        Way::Passing => Course::Outside,
    }
}

/// Neither end is the zone's, yet the capture says that its machine takes or sends it: it forwards it, unless that is
/// sent to everyone, or from who has no address yet.
fn neither(way: Way, source: IpAddr, destination: IpAddr) -> Course {
    if way == Way::Passing || to_everyone(destination) || source.is_unspecified() {
        said_course(way)
    } else {
        Course::Through
    }
}

fn to_everyone(destination: IpAddr) -> bool {
    match destination {
        IpAddr::V4(v4) => v4.is_multicast() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_multicast(),
    }
}

/// Neither end is the zone's, and the capture says nothing: what is sent to everyone comes in, unless its sender has no
/// address yet.
fn unaddressed(source: IpAddr, destination: IpAddr) -> Course {
    if to_everyone(destination) && !source.is_unspecified() {
        Course::Into
    } else {
        Course::Outside
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

    use super::*;

    #[test]
    fn what_a_machine_takes_and_sends_for_others_goes_through_it() {
        let zone: [Addresses; 1] = ["10.0.0.2".parse().unwrap()];
        let course = |source: &str, destination: &str, said| {
            let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
            ZoneAddresses(&zone).course(source, destination, said)
        };
        for way in [Way::In, Way::Out] {
            assert_eq!(course("10.0.0.9", "192.0.2.1", Some(way)), Course::Through);
        }
        let passing = course("10.0.0.9", "192.0.2.1", Some(Way::Passing));
        assert_eq!(passing, Course::Outside);
        assert_eq!(course("10.0.0.9", "192.0.2.1", None), Course::Outside);
        for everyone in ["224.0.0.251", "255.255.255.255"] {
            assert_eq!(course("10.0.0.9", everyone, Some(Way::In)), Course::Into);
            assert_eq!(course("10.0.0.9", everyone, None), Course::Into);
        }
        let asks_for_an_address = course("0.0.0.0", "255.255.255.255", Some(Way::Out));
        assert_eq!(asks_for_an_address, Course::OutOf);
    }
}
