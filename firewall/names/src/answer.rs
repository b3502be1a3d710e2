//! One answer of DNS.

use crate::text::text;
use simple_dns::rdata::RData;
use simple_dns::{CLASS, OPCODE, Packet, PacketFlag, QCLASS, RCODE, ResourceRecord};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The most names that one leads to the next.
const LONGEST_CHAIN: usize = 16;
/// The port that answers come from.
pub const PORT: u16 = 53;
const UDP: u8 = 17;
const UDP_HEADER: usize = 8;

/// What an answer says: the name that was asked for, and where it leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// The number of the question that it says to answer.
    pub id: u16,
    /// The name that was asked for, as it can be shown.
    pub name: String,
    /// Its addresses, and for how many seconds each holds.
    pub addresses: Vec<(IpAddr, u32)>,
}

/// Why an answer says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    /// It is no answer of DNS, or one that contradicts itself, or not all of it is here.
    Broken,
    /// It is one, and names no address: of something else, or that there is none.
    NoAddress,
}

/// What a question asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Its number.
    pub id: u16,
    /// The name, as it can be shown.
    pub name: String,
}

/// Who asks, by which port, and who answers at the port of DNS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DnsExchange {
    /// Who asks.
    pub client: IpAddr,
    /// By which port.
    pub port: u16,
    /// Who answers.
    pub resolver: IpAddr,
    /// The number of the device between them, of a datagram; else 0. Who can write to another one knows nothing of what was asked.
    pub device: u32,
}

impl DnsExchange {
    /// The same, by this device.
    #[must_use]
    pub const fn by(self, device: u32) -> Self {
        Self { device, ..self }
    }
}

/// The message in an IP packet's bytes: what stands behind the header of UDP, if it comes from the port of DNS and is all there.
/// And who has asked whom.
#[must_use]
pub fn message(packet: &[u8]) -> Option<(DnsExchange, &[u8])> {
    let Datagram { from, to, message } = Datagram::of(packet)?;
    exchange(to, from).map(|ends| (ends, message))
}

/// The same of what goes to that port.
#[must_use]
pub fn sent(packet: &[u8]) -> Option<(DnsExchange, &[u8])> {
    let Datagram { from, to, message } = Datagram::of(packet)?;
    exchange(from, to).map(|ends| (ends, message))
}

/// Who asks whom, if it is at the port of DNS.
pub fn exchange(
    (client, port): (IpAddr, u16),
    (resolver, at): (IpAddr, u16),
) -> Option<DnsExchange> {
    (at == PORT).then_some(DnsExchange {
        client,
        port,
        resolver,
        device: 0,
    })
}

/// A datagram of UDP that is all there.
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

/// Reads a question.
///
/// # Errors
/// [`Unread`], if it asks for no name.
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

/// Reads a message. Of what is not about an address nothing is kept.
///
/// # Errors
/// [`Unread`], if it labels no address.
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

/// Where the names end that one leads to the next (CNAME), and how long the first of these steps holds; none: nowhere.
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

/// The address that a record names, if it is somebody's.
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
