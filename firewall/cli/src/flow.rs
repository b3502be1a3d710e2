//! A packet in one line, written and read: `out tcp 10.0.0.2:5000 -> 10.0.0.1:23`.

use engine::{Parsed, Shape};
use firewall_abi::packet::{Direction, PacketHeaders, PacketMeta};
use rules::{Protocol, Resolver, device_words};
use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// Returns the source address of a packet.
pub fn source(flow: &PacketHeaders) -> IpAddr {
    address(flow.ip_version, flow.source)
}

/// Returns the destination address of a packet.
pub fn destination(flow: &PacketHeaders) -> IpAddr {
    address(flow.ip_version, flow.destination)
}

fn address(version: u8, bytes: [u8; 16]) -> IpAddr {
    let v6 = Ipv6Addr::from(bytes);
    match v6.to_ipv4_mapped() {
        Some(v4) if version == 4 => v4.into(),
        _ => v6.into(),
    }
}

fn bytes(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// Writes a packet in one line, which [`PacketQuestion`] reads unless the packet is malformed.
pub struct FlowText<'a>(pub &'a Parsed, pub Option<Direction>);

impl fmt::Display for FlowText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(Parsed { flow, shape }, direction) = self;
        f.write_str(direction.map_or("?", Direction::name))?;
        if flow.ip_version == 0 {
            return f.write_str(" malformed");
        }
        let protocol = Protocol(flow.protocol);
        let (source, destination) = (source(flow), destination(flow));
        if protocol.has_ports() && *shape == Shape::Whole {
            let source = SocketAddr::new(source, flow.source_port);
            let destination = SocketAddr::new(destination, flow.destination_port);
            return write!(f, " {protocol} {source} -> {destination}");
        }
        write!(f, " {protocol} {source} -> {destination}")?;
        match shape {
            Shape::Whole if protocol.has_types() => write_type(f, protocol, flow),
            Shape::Whole => Ok(()),
            Shape::LaterFragment => f.write_str(" fragment"),
            Shape::Malformed => f.write_str(" malformed"),
        }
    }
}

fn write_type(f: &mut fmt::Formatter<'_>, protocol: Protocol, flow: &PacketHeaders) -> fmt::Result {
    let name = u8::try_from(flow.source_port)
        .ok()
        .and_then(|number| protocol.icmp_type_name(number));
    match name {
        Some(name) => write!(f, " type {name}")?,
        None => write!(f, " type {}", flow.source_port)?,
    }
    if flow.destination_port == 0 {
        Ok(())
    } else {
        write!(f, " code {}", flow.destination_port)
    }
}

/// A packet that someone asks about, and who is at the zone's end of it.
#[derive(Clone, Debug)]
pub struct PacketQuestion(pub Parsed, pub Who);

/// Local identity of a packet, as far as it is declared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Who {
    /// The user, by number or name.
    pub user: Option<String>,
    /// The program's whole path.
    pub program: Option<String>,
    /// The device's name; of what is forwarded, of the one that it comes in by.
    pub interface: Option<String>,
    /// Name of the device that a forwarded packet goes out by.
    pub out_interface: Option<String>,
}

impl Who {
    /// Returns the identity in the form that drivers have.
    ///
    /// # Errors
    /// There is no such user; the text says what would be right.
    pub fn local(&self, resolver: &dyn Resolver) -> Result<PacketMeta, String> {
        let mut local = PacketMeta::UNKNOWN;
        if let Some(user) = &self.user {
            local.user = user.parse().map_or_else(|_| resolver.user(user), Ok)?;
        }
        if let Some(program) = &self.program {
            local.program = resolver.program(program).unwrap_or_default();
        }
        if let Some(interface) = &self.interface {
            local.interface = device_words(interface).unwrap_or_default();
        }
        if let Some(interface) = &self.out_interface {
            local.out_interface = device_words(interface).unwrap_or_default();
        }
        Ok(local)
    }

    /// Takes in one word and what it says. `false` if it says nothing here.
    fn take(&mut self, key: &str, value: &str) -> Result<bool, String> {
        let place = match key {
            "user" => &mut self.user,
            "program" if value.starts_with('/') || value == "kernel" => &mut self.program,
            "program" => {
                return Err(format!(
                    "`{value}` is no program's whole path; write it like /usr/bin/curl, or kernel"
                ));
            }
            "interface" if device_words(value).is_some() => &mut self.interface,
            "out_interface" if device_words(value).is_some() => &mut self.out_interface,
            "interface" | "out_interface" => {
                return Err(format!(
                    "`{value}` is longer than the 15 bytes that a device's name may have"
                ));
            }
            _ => return Ok(false),
        };
        *place = Some(value.to_owned());
        Ok(true)
    }
}

impl fmt::Display for Who {
    /// Writes the identity as it follows a packet: ` user 1000 program /usr/bin/curl`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (key, value) in [
            ("user", &self.user),
            ("program", &self.program),
            ("interface", &self.interface),
            ("out_interface", &self.out_interface),
        ] {
            if let Some(value) = value {
                write!(f, " {key} {value}")?;
            }
        }
        Ok(())
    }
}

/// Syntax of a packet, for messages.
const FORM: &str = "write it like 'out tcp 10.0.0.2:50000 -> 10.0.0.1:23', 'in udp [fd00::1]:53 -> [fd00::2]:50000', \
                    'in icmp 10.0.0.1 -> 10.0.0.2 type echo-request', 'out 47 10.0.0.2 -> 10.0.0.1' or \
                    'in tcp 10.0.0.1 -> 10.0.0.2 fragment'; behind it may stand: user 1000, program /usr/bin/curl, \
                    interface eth0, and of what is forwarded out_interface docker0";

impl FromStr for PacketQuestion {
    /// Message that says what is wrong, and what would be right.
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<_> = text.split_whitespace().collect();
        let [direction, protocol, source, "->", destination, rest @ ..] = words.as_slice() else {
            return Err(FORM.to_owned());
        };
        let mut flow = PacketHeaders {
            direction: self::direction(direction)? as u8,
            protocol: self::protocol(protocol)?.0,
            ..PacketHeaders::default()
        };
        let (rest, who) = who(rest)?;
        let shape = if rest == ["fragment"] {
            Shape::LaterFragment
        } else {
            Shape::Whole
        };
        ends(&mut flow, shape, source, destination)?;
        match rest {
            [] | ["fragment"] => {}
            ["type", kind] => icmp(&mut flow, kind, "0")?,
            ["type", kind, "code", code] => icmp(&mut flow, kind, code)?,
            _ => return Err(format!("`{}` is not understood; {FORM}", rest.join(" "))),
        }
        complete(flow, shape, rest.is_empty()).map(|packet| Self(packet, who))
    }
}

/// Takes from the end of a packet's words what they say of its ends; what is left says more of itself.
fn who<'w>(mut words: &'w [&'w str]) -> Result<(&'w [&'w str], Who), String> {
    let mut who = Who::default();
    while let [rest @ .., key, value] = words
        && who.take(key, value)?
    {
        words = rest;
    }
    Ok((words, who))
}

fn complete(flow: PacketHeaders, shape: Shape, nothing_follows: bool) -> Result<Parsed, String> {
    let protocol = Protocol(flow.protocol);
    if protocol.has_types() && nothing_follows {
        return Err(format!(
            "{protocol} packets have a type; add one, like: type echo-request"
        ));
    }
    Ok(Parsed { flow, shape })
}

fn direction(text: &str) -> Result<Direction, String> {
    let found = Direction::ALL
        .into_iter()
        .find(|direction| direction.name() == text);
    found.ok_or_else(|| {
        format!(
            "`{text}` is no direction: it is `in`, `out` or `forward`, seen from what is protected; {FORM}"
        )
    })
}

fn protocol(text: &str) -> Result<Protocol, String> {
    text.parse()
        .map(Protocol)
        .or_else(|_| Protocol::named(text))
}

/// Fills in addresses, and ports where the packet shows any.
fn ends(
    flow: &mut PacketHeaders,
    shape: Shape,
    source: &str,
    destination: &str,
) -> Result<(), String> {
    let with_ports = Protocol(flow.protocol).has_ports() && shape == Shape::Whole;
    let (source, source_port) = end(source, with_ports)?;
    let (destination, destination_port) = end(destination, with_ports)?;
    if source.is_ipv4() != destination.is_ipv4() {
        return Err(format!(
            "{source} and {destination} are not of the same IP version: no packet has both"
        ));
    }
    flow.ip_version = if source.is_ipv4() { 4 } else { 6 };
    (flow.source, flow.source_port) = (bytes(source), source_port);
    (flow.destination, flow.destination_port) = (bytes(destination), destination_port);
    Ok(())
}

fn end(text: &str, with_port: bool) -> Result<(IpAddr, u16), String> {
    let (address, port) = if with_port {
        let end: SocketAddr = text.parse().map_err(|_| no_socket(text))?;
        (end.ip(), end.port())
    } else {
        (
            text.parse()
                .map_err(|_| format!("`{text}` is no address, like 10.0.0.1 or fd00::1"))?,
            0,
        )
    };
    match address {
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => Err(format!(
            "{v6} is an IPv4 address in disguise, which no packet carries; write it as IPv4"
        )),
        _ => Ok((address, port)),
    }
}

fn no_socket(text: &str) -> String {
    match text.parse() {
        Ok(IpAddr::V4(v4)) => format!("`{v4}` has no port; write {v4}:50000 if any port will do"),
        Ok(IpAddr::V6(v6)) => format!("`{v6}` has no port; write [{v6}]:50000 if any port will do"),
        Err(_) => format!("`{text}` is no address with a port, like 10.0.0.1:23 or [fd00::1]:23"),
    }
}

fn icmp(flow: &mut PacketHeaders, kind: &str, code: &str) -> Result<(), String> {
    let protocol = Protocol(flow.protocol);
    if !protocol.has_types() {
        return Err(format!(
            "{protocol} packets have no type: leave it out, or ask about icmp or icmpv6"
        ));
    }
    let kind = kind.parse().or_else(|_| protocol.icmp_type(kind))?;
    let code: u8 = code
        .parse()
        .map_err(|_| format!("`{code}` is no code: it is a number from 0 to 255"))?;
    (flow.source_port, flow.destination_port) = (u16::from(kind), u16::from(code));
    Ok(())
}
