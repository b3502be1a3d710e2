//! Parser of link headers: finds the IP header of a captured frame by its link type.

/// Direction of a frame, as reported by the capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Way {
    /// Into the machine that captured.
    In,
    /// Out of it.
    Out,
    /// Between others.
    Passing,
}

/// Payload of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carried {
    /// An IP packet that begins at `start`.
    Ip {
        /// Offset of the IP header, in bytes from the start of the frame.
        start: usize,
        /// Direction of the frame, or `None` if the link's header does not tell.
        way: Option<Way>,
        /// `true` if the frame was captured on the loopback device.
        loopback: bool,
    },
    /// Something else, by its name.
    Other(&'static str),
    /// The link's header does not end before the bytes do.
    CutOff,
}

/// The most VLAN tags that are followed.
const MAX_TAGS: usize = 4;

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86DD;
const VLANS: [u16; 3] = [0x8100, 0x88A8, 0x9100];

/// Returns the payload of a frame, or `None` if the link type is unknown.
#[must_use]
pub fn carried(link_type: i32, frame: &[u8]) -> Option<Carried> {
    let carried = match link_type {
        0 | 108 => family(frame),
        1 => ethertype(frame, 12, None),
        9 | 50 => ppp(frame),
        12 | 14 | 101 | 228 | 229 => Some(ip(0, None)),
        113 => first_cooked(frame),
        239 => netfilter(frame),
        276 => frame
            .get(10)
            .and_then(|kind| cooked(frame, u16::from(*kind))),
        _ => return None,
    };
    Some(carried.unwrap_or(Carried::CutOff))
}

/// The link types that are known here, for messages.
pub const KNOWN: &str = "Ethernet (1), raw IP (12, 14, 101, 228, 229), Linux cooked (113, 276), null and loopback (0, 108), PPP (9, 50), \
                         NFLOG (239)";

/// Kinds of links that are not read here, and what to do instead.
const UNREAD: [(i32, &str, &str); 22] = [
    (6, "Token Ring", ""),
    (10, "FDDI", ""),
    (51, "PPPoE", "capture on the ppp device itself"),
    (104, "Cisco HDLC", ""),
    (105, "802.11", MONITOR),
    (107, "Frame Relay", ""),
    (117, "PFLOG", "capture on the interface instead of pflog0"),
    (119, "802.11 with Prism headers", MONITOR),
    (127, "802.11 with radiotap headers", MONITOR),
    (
        149,
        "PKTAP",
        "capture on one interface, with `tcpdump -i en0`",
    ),
    (163, "802.11 with AVS headers", MONITOR),
    (187, "Bluetooth", ""),
    (189, "USB", ""),
    (192, "802.11 with PPI headers", MONITOR),
    (195, "802.15.4", ""),
    (201, "Bluetooth", ""),
    (220, "USB", ""),
    (227, "CAN", ""),
    (230, "802.15.4", ""),
    (249, "USB", ""),
    (253, "netlink", ""),
    (
        258,
        "PKTAP",
        "capture on one interface, with `tcpdump -i en0`",
    ),
];
const MONITOR: &str =
    "it was captured in monitor mode: capture on the interface as it is, without -I";

/// The name of a kind of link that is not read here.
#[must_use]
pub fn link_name(link_type: i32) -> String {
    unread(link_type).map_or_else(
        || format!("link type {link_type}"),
        |(_, name, _)| (*name).to_owned(),
    )
}

/// Returns advice for a link type that is not supported, or an empty text if there is none.
#[must_use]
pub fn link_advice(link_type: i32) -> &'static str {
    unread(link_type).map_or("", |(_, _, advice)| advice)
}

fn unread(link_type: i32) -> Option<&'static (i32, &'static str, &'static str)> {
    UNREAD.iter().find(|(number, ..)| *number == link_type)
}

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

fn ip(start: usize, way: Option<Way>) -> Carried {
    Carried::Ip {
        start,
        way,
        loopback: false,
    }
}

fn named(kind: u16, start: usize, way: Option<Way>) -> Carried {
    Carried::Other(match kind {
        IPV4 | IPV6 => return ip(start, way),
        0x0806 => "ARP",
        0x8847 | 0x8848 => "MPLS",
        0x8863 => "PPPoE discovery",
        0x8864 => "PPPoE",
        0x888E => "802.1X",
        0x88A2 => "ATA over Ethernet",
        0x88CC => "LLDP",
        0x88E5 => "MACsec",
        0x88F7 => "PTP",
        0..=0x05FF => "802.3",
        _ => "others",
    })
}

/// Linux cooked, version 1: kind of packet, kind of device.
fn first_cooked(frame: &[u8]) -> Option<Carried> {
    let carried = ethertype(frame, 14, way(number(frame, 0)?))?;
    Some(on_loopback(carried, number(frame, 2)? == LOOPBACK_DEVICE))
}

/// Hardware type of a loopback device on Linux (`ARPHRD_LOOPBACK`).
const LOOPBACK_DEVICE: u16 = 772;

fn on_loopback(carried: Carried, loopback: bool) -> Carried {
    match carried {
        Carried::Ip { start, way, .. } => Carried::Ip {
            start,
            way,
            loopback,
        },
        other => other,
    }
}

/// PPP, with or without the address and control of HDLC in front.
fn ppp(frame: &[u8]) -> Option<Carried> {
    let at = if frame.starts_with(&[0xFF, 3]) { 2 } else { 0 };
    Some(match number(frame, at)? {
        0x0021 | 0x0057 => ip(at + 2, None),
        _ => Carried::Other("PPP's own"),
    })
}

/// Parses a netfilter log frame (NFLOG): attributes, in the byte order of the machine that wrote them.
fn netfilter(frame: &[u8]) -> Option<Carried> {
    const HEADER: usize = 4;
    const HOOK: u16 = 1;
    const PAYLOAD: u16 = 9;
    let (mut at, mut way) = (HEADER, None);
    loop {
        let length = number(frame, at)?;
        let kind = number(frame, at + 2)?;
        // Kinds have small numbers, so theirs says the order.
        let (length, kind) = if kind > 0xFF {
            (length.swap_bytes(), kind.swap_bytes())
        } else {
            (length, kind)
        };
        match kind & 0x7FFF {
            PAYLOAD => return Some(ip(at + 4, way)),
            HOOK => way = frame.get(at + 6).and_then(|hook| of_hook(*hook)),
            _ => {}
        }
        at += usize::from(length.max(4)).next_multiple_of(4);
    }
}

/// Returns the direction of the packets that a netfilter hook sees.
fn of_hook(hook: u8) -> Option<Way> {
    match hook {
        0 | 1 => Some(Way::In),
        3 | 4 => Some(Way::Out),
        _ => None,
    }
}

/// Linux cooked, version 2: the Ethernet type stands first; tags, if any, behind the header.
fn cooked(frame: &[u8], kind: u16) -> Option<Carried> {
    const HEADER: usize = 20;
    let outer = number(frame.get(..HEADER)?, 0)?;
    let carried = if VLANS.contains(&outer) {
        ethertype(frame, HEADER + 2, way(kind))?
    } else {
        named(outer, HEADER, way(kind))
    };
    Some(on_loopback(carried, number(frame, 8)? == LOOPBACK_DEVICE))
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
    let known = [u32::from_be_bytes(bytes), u32::from_le_bytes(bytes)]
        .iter()
        .any(|family| matches!(family, 2 | 10 | 24 | 28 | 30));
    Some(if known {
        ip(4, None)
    } else {
        Carried::Other("others")
    })
}

fn number(frame: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(frame.get(at..at + 2)?.try_into().ok()?))
}
