//! Which way a packet goes, seen from what is protected.

use crate::capture::Way;
use firewall_abi::packet::Direction;
use rules::Addresses;
use std::net::IpAddr;

/// The addresses that are protected; none if the capture's word is all there is.
pub struct Zone<'a>(pub &'a [Addresses]);

/// Which way a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Course {
    /// Into the zone.
    Into,
    /// Out of it.
    OutOf,
    /// From one end in the zone to another: it is judged on its way out, then on its way in.
    Within,
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
            Self::Outside | Self::Unknown => &[],
        }
    }
}

impl Zone<'_> {
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
            (false, false) => said.map_or_else(|| unaddressed(source, destination), said_course),
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

/// Neither end is the zone's: what is sent to everyone comes in, unless its sender has no address yet.
fn unaddressed(source: IpAddr, destination: IpAddr) -> Course {
    let to_everyone = match destination {
        IpAddr::V4(v4) => v4.is_multicast() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_multicast(),
    };
    if to_everyone && !source.is_unspecified() {
        Course::Into
    } else {
        Course::Outside
    }
}
