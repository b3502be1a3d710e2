//! The zone's own Ethernet addresses, learned from what it sends: its link-local addresses are seldom named.

use crate::capture::Packet;
use crate::zone::Course;
use std::collections::HashSet;
use std::net::IpAddr;

/// Link type of Ethernet in pcap.
const ETHERNET: i32 = 1;
/// The most Ethernet addresses that are kept: a zone has a few.
const MOST: usize = 1024;

type Mac = [u8; 6];

/// The Ethernet addresses of the zone that were seen.
#[derive(Default)]
pub struct Neighbours(HashSet<Mac>);

impl Neighbours {
    /// The course of a packet that has this one by its IP addresses.
    pub fn course(
        &mut self,
        packet: &Packet,
        (source, destination): (IpAddr, IpAddr),
        course: Course,
    ) -> Course {
        let Some((to, from)) = ends(packet) else {
            return course;
        };
        match course {
            Course::OutOf => self.learn(from),
            Course::Into if !is_group(to) => self.learn(to),
            Course::Outside | Course::Into
                if self.0.contains(&from) && is_of_a_link(source) && !self.0.contains(&to) =>
            {
                return Course::OutOf;
            }
            Course::Outside if self.0.contains(&to) && is_of_a_link(destination) => {
                return Course::Into;
            }
            _ => {}
        }
        course
    }

    fn learn(&mut self, mac: Mac) {
        if self.0.len() < MOST && !is_group(mac) {
            self.0.insert(mac);
        }
    }
}

/// Returns the destination and source of an Ethernet frame, or `None` if the link is of another type.
fn ends(packet: &Packet) -> Option<(Mac, Mac)> {
    let (to, rest) = packet.bytes.split_first_chunk()?;
    let from = rest.first_chunk()?;
    (packet.link_type == ETHERNET).then_some((*to, *from))
}

/// Returns whether a frame is a broadcast by its Ethernet header.
pub fn goes_to_everyone(packet: &Packet) -> bool {
    ends(packet).is_some_and(|(to, _)| to == [0xFF; 6])
}

fn is_group(mac: Mac) -> bool {
    mac[0] & 1 == 1
}

/// Returns whether an address is link-local or unspecified.
fn is_of_a_link(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_unspecified(),
        IpAddr::V6(v6) => v6.is_unicast_link_local() || v6.is_unspecified(),
    }
}
