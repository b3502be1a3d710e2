//! Reader of DNS messages.

use crate::text::text;
use simple_dns::rdata::RData;
use simple_dns::{CLASS, OPCODE, Packet, PacketFlag, QCLASS, RCODE, ResourceRecord};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Longest chain of CNAME records that is followed.
const LONGEST_CHAIN: usize = 16;
/// Source port of DNS answers.
pub const DNS_PORT: u16 = 53;
const UDP: u8 = 17;
const UDP_HEADER: usize = 8;

/// Contents of an answer: the name that was asked for, and its addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// Message ID, by which it names its query.
    pub id: u16,
    /// Name that was asked for, escaped for display.
    pub name: String,
    /// Addresses of the name, each with its time to live in seconds.
    pub addresses: Vec<(IpAddr, u32)>,
}

/// Error of reading a message that names no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    /// The bytes are no such DNS message, or one that contradicts itself or is cut off.
    Broken,
    /// The message is valid and names no address: it is about something else, or says that there is none.
    NoAddress,
}

/// Contents of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Message ID.
    pub id: u16,
    /// Name that is asked for, escaped for display.
    pub name: String,
}

/// Endpoints of an exchange of query and answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DnsExchange {
    /// Address of the client.
    pub client: IpAddr,
    /// Port of the client.
    pub port: u16,
    /// Address of the resolver, which answers at the port of DNS.
    pub resolver: IpAddr,
    /// Index of the network device between them. A sender on another device does not know what was asked, unless the
    /// client has told them.
    pub device: u32,
}

impl DnsExchange {
    /// Returns the exchange with this network device.
    #[must_use]
    pub const fn by(self, device: u32) -> Self {
        Self { device, ..self }
    }
}

/// Returns the DNS message in an IP packet's bytes, behind the UDP header, with its endpoints; `None` if it does not
/// come from the port of DNS or is cut off.
#[must_use]
pub fn message(packet: &[u8]) -> Option<(DnsExchange, &[u8])> {
    let Datagram { from, to, message } = Datagram::of(packet)?;
    exchange(to, from).map(|ends| (ends, message))
}

/// Returns the DNS message in a packet to the port of DNS, with its endpoints; `None` as in [`message`].
#[must_use]
pub fn sent(packet: &[u8]) -> Option<(DnsExchange, &[u8])> {
    let Datagram { from, to, message } = Datagram::of(packet)?;
    exchange(from, to).map(|ends| (ends, message))
}

/// Makes the exchange of a client and a resolver; `None` if the resolver's port is not that of DNS.
pub fn exchange(
    (client, port): (IpAddr, u16),
    (resolver, at): (IpAddr, u16),
) -> Option<DnsExchange> {
    (at == DNS_PORT).then_some(DnsExchange {
        client,
        port,
        resolver,
        device: 0,
    })
}

/// A UDP datagram that is all there.
struct Datagram<'a> {
    from: (IpAddr, u16),
    to: (IpAddr, u16),
    message: &'a [u8],
}

impl<'a> Datagram<'a> {
    fn of(packet: &'a [u8]) -> Option<Self> {
        let v4 = |at: usize| Some(IpAddr::from(*packet.get(at..)?.first_chunk::<4>()?));
        let v6 = |at: usize| Some(IpAddr::from(*packet.get(at..)?.first_chunk::<16>()?));
        let (protocol, start, from, to) = match packet.first()? >> 4 {
            4 => {
                let start = usize::from(packet.first()? & 0xf) * 4;
                (*packet.get(9)?, start, v4(12)?, v4(16)?)
            }
            // Whoever puts options before a datagram of DNS is not read.
            6 => (*packet.get(6)?, 40, v6(8)?, v6(24)?),
            _ => return None,
        };
        let datagram = packet.get(start..)?;
        let number = |at: usize| Some(u16::from_be_bytes(*datagram.get(at..)?.first_chunk()?));
        let message = datagram.get(UDP_HEADER..usize::from(number(4)?))?;
        (protocol == UDP).then_some(Self {
            from: (from, number(0)?),
            to: (to, number(2)?),
            message,
        })
    }
}

/// Reads a query.
///
/// # Errors
/// Fails with [`Unread`] if it asks for no name.
pub fn question(message: &[u8]) -> Result<Asked, Unread> {
    let packet = Packet::parse(message).map_err(|_| Unread::Broken)?;
    let [question] = &packet.questions[..] else {
        return Err(Unread::Broken);
    };
    if packet.has_flags(PacketFlag::RESPONSE) || packet.opcode() != OPCODE::StandardQuery {
        return Err(Unread::Broken);
    }
    Ok(Asked {
        id: packet.id(),
        name: text(&question.qname).ok_or(Unread::NoAddress)?,
    })
}

/// Reads an answer. Records that are not about an address are left out.
///
/// # Errors
/// Fails with [`Unread`] if it labels no address.
pub fn read(message: &[u8]) -> Result<Answered, Unread> {
    let packet = Packet::parse(message).map_err(|_| Unread::Broken)?;
    let [question] = &packet.questions[..] else {
        return Err(Unread::Broken);
    };
    if !packet.has_flags(PacketFlag::RESPONSE) || packet.opcode() != OPCODE::StandardQuery {
        return Err(Unread::Broken);
    }
    if packet.rcode() != RCODE::NoError || question.qclass != QCLASS::CLASS(CLASS::IN) {
        return Err(Unread::NoAddress);
    }
    let asked = text(&question.qname).ok_or(Unread::NoAddress)?;
    let records: Vec<_> = packet
        .answers
        .iter()
        .filter(|record| record.class == CLASS::IN)
        .filter_map(|record| Some((text(&record.name)?, record)))
        .collect();
    let (end, least) = follow(&asked, &records).ok_or(Unread::Broken)?;
    let mut addresses: Vec<(IpAddr, u32)> = Vec::new();
    for (name, record) in &records {
        if let Some(address) = address(record).filter(|_| *name == end)
            && !addresses.iter().any(|(known, _)| *known == address)
        {
            addresses.push((address, record.ttl.min(least)));
        }
    }
    if addresses.is_empty() {
        return Err(Unread::NoAddress);
    }
    Ok(Answered {
        id: packet.id(),
        name: asked,
        addresses,
    })
}

/// Follows a chain of CNAME records. Returns its last name and the shortest time to live on the way; `None` if the
/// chain does not end.
fn follow(asked: &str, records: &[(String, &ResourceRecord<'_>)]) -> Option<(String, u32)> {
    let (mut name, mut least) = (asked.to_owned(), u32::MAX);
    for _ in 0..=LONGEST_CHAIN {
        let next = records
            .iter()
            .find_map(|(owner, record)| match &record.rdata {
                RData::CNAME(to) if *owner == name => Some((text(&to.0)?, record.ttl)),
                _ => None,
            });
        let Some((next, holds)) = next else {
            return Some((name, least));
        };
        (name, least) = (next, least.min(holds));
    }
    None
}

/// Returns the address that a record names, unless it is nobody's (unspecified, loopback, multicast or broadcast).
fn address(record: &ResourceRecord<'_>) -> Option<IpAddr> {
    let address = match &record.rdata {
        RData::A(a) => IpAddr::V4(Ipv4Addr::from(a.address)),
        RData::AAAA(a) => IpAddr::V6(Ipv6Addr::from(a.address)).to_canonical(),
        _ => return None,
    };
    // By these, lists of what is unwanted say "nowhere".
    let nobodys = address.is_unspecified()
        || address.is_loopback()
        || address.is_multicast()
        || address == IpAddr::V4(Ipv4Addr::BROADCAST);
    (!nobodys).then_some(address)
}
