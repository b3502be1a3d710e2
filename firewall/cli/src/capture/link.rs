//! Where a frame's IP header is, by the kind of link it was seen on.

/// Which way a frame went, as far as whoever captured it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Into the machine that captured.
    In,
    /// Out of it.
    Out,
    /// Between others.
    Passing,
}

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carried {
    /// An IP packet that begins at `start`.
    Ip {
        /// Where.
        start: usize,
        /// Which way, if the link's header says it.
        way: Option<Way>,
    },
    /// Something else.
    Other,
    /// The link's header does not end before the bytes do.
    CutOff,
}

/// The most VLAN tags that are followed.
const MAX_TAGS: usize = 4;

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86DD;
const VLANS: [u16; 3] = [0x8100, 0x88A8, 0x9100];

/// What a frame carries; `None` for a link type that is not known here.
#[must_use]
pub fn carried(link_type: i32, frame: &[u8]) -> Option<Carried> {
    let carried = match link_type {
        0 | 108 => family(frame),
        1 => ethertype(frame, 12, None),
        12 | 14 | 101 | 228 | 229 => Some(Carried::Ip {
            start: 0,
            way: None,
        }),
        113 => number(frame, 0).and_then(|kind| ethertype(frame, 14, way(kind))),
        276 => frame
            .get(10)
            .and_then(|kind| cooked(frame, u16::from(*kind))),
        _ => return None,
    };
    Some(carried.unwrap_or(Carried::CutOff))
}

/// The link types that are known here, for messages.
pub const KNOWN: &str = "Ethernet (1), raw IP (12, 14, 101, 228, 229), Linux cooked (113, 276), null and loopback (0, 108)";

/// Follows an Ethernet type, over VLAN tags. What comes behind it is what it names.
fn ethertype(frame: &[u8], mut at: usize, way: Option<Way>) -> Option<Carried> {
    let mut kind = number(frame, at)?;
    for _ in 0..MAX_TAGS {
        if !VLANS.contains(&kind) {
            break;
        }
        at += 4;
        kind = number(frame, at)?;
    }
    Some(named(kind, at + 2, way))
}

fn named(kind: u16, start: usize, way: Option<Way>) -> Carried {
    if kind == IPV4 || kind == IPV6 {
        Carried::Ip { start, way }
    } else {
        Carried::Other
    }
}

/// Linux cooked, version 2: the Ethernet type stands first; tags, if any, behind the header.
fn cooked(frame: &[u8], kind: u16) -> Option<Carried> {
    const HEADER: usize = 20;
    let outer = number(frame.get(..HEADER)?, 0)?;
    if VLANS.contains(&outer) {
        return ethertype(frame, HEADER + 2, way(kind));
    }
    Some(named(outer, HEADER, way(kind)))
}

/// A cooked header's kind of packet.
fn way(kind: u16) -> Option<Way> {
    match kind {
        0..=2 => Some(Way::In),
        3 => Some(Way::Passing),
        4 => Some(Way::Out),
        _ => None,
    }
}

/// An address family in front, in the byte order of whichever machine wrote it; IPv6 has a number in each system.
fn family(frame: &[u8]) -> Option<Carried> {
    let bytes: [u8; 4] = frame.get(..4)?.try_into().ok()?;
    let ip = [u32::from_be_bytes(bytes), u32::from_le_bytes(bytes)]
        .iter()
        .any(|family| matches!(family, 2 | 10 | 24 | 28 | 30));
    Some(if ip {
        Carried::Ip {
            start: 4,
            way: None,
        }
    } else {
        Carried::Other
    })
}

fn number(frame: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(frame.get(at..at + 2)?.try_into().ok()?))
}
