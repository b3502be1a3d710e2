//! Names of IP protocols and ICMP types.

use crate::report::{Wrong, suggestion};
use engine::connection::ends_at_socket;
use std::fmt;

/// Number of an IP protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Protocol(pub u8);

const NAMES: [(&str, Protocol); 7] = [
    ("tcp", Protocol::TCP),
    ("udp", Protocol::UDP),
    ("sctp", Protocol::SCTP),
    ("dccp", Protocol::DCCP),
    ("udplite", Protocol::UDP_LITE),
    ("icmp", Protocol::ICMP),
    ("icmpv6", Protocol::ICMPV6),
];

const ICMP_TYPES: [(&str, u8); 4] = [
    ("echo-reply", 0),
    ("destination-unreachable", 3),
    ("echo-request", 8),
    ("time-exceeded", 11),
];

const ICMPV6_TYPES: [(&str, u8); 10] = [
    ("destination-unreachable", 1),
    ("packet-too-big", 2),
    ("time-exceeded", 3),
    ("parameter-problem", 4),
    ("echo-request", 128),
    ("echo-reply", 129),
    ("router-solicitation", 133),
    ("router-advertisement", 134),
    ("neighbor-solicitation", 135),
    ("neighbor-advertisement", 136),
];

impl Protocol {
    /// TCP.
    pub const TCP: Self = Self(6);
    /// UDP.
    pub const UDP: Self = Self(17);
    /// SCTP.
    pub const SCTP: Self = Self(132);
    /// DCCP.
    pub const DCCP: Self = Self(33);
    /// UDP-Lite.
    pub const UDP_LITE: Self = Self(136);
    /// ICMP of IPv4.
    pub const ICMP: Self = Self(1);
    /// ICMPv6.
    pub const ICMPV6: Self = Self(58);

    /// Returns whether its packets have ports that the engine reads.
    #[must_use]
    pub fn has_ports(self) -> bool {
        ends_at_socket(self.0)
    }

    /// Returns whether its packets have ICMP types.
    #[must_use]
    pub fn has_types(self) -> bool {
        self == Self::ICMP || self == Self::ICMPV6
    }

    /// Returns its name in rule files, or `None` if it has none.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        NAMES
            .iter()
            .find(|(_, known)| *known == self)
            .map(|(name, _)| *name)
    }

    /// Returns the protocol with this name.
    ///
    /// # Errors
    /// Fails if no such name is known; the text says which are.
    pub fn named(name: &str) -> Result<Self, Wrong> {
        let names: Vec<_> = NAMES.iter().map(|(name, _)| *name).collect();
        let found = NAMES
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, protocol)| *protocol);
        found.ok_or_else(|| {
            format!(
                "no protocol `{name}`; {}, or a number",
                suggestion(name, &names)
            )
        })
    }

    /// Returns the number of an ICMP type of this protocol.
    ///
    /// # Errors
    /// Fails if no such name is known; the text says which are.
    pub fn icmp_type(self, name: &str) -> Result<u8, Wrong> {
        let types = self.types();
        let names: Vec<_> = types.iter().map(|(name, _)| *name).collect();
        let found = types
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, number)| *number);
        found.ok_or_else(|| {
            format!(
                "{self} has no type `{name}`; {}, or a number",
                suggestion(name, &names)
            )
        })
    }

    /// Returns the name of an ICMP type of this protocol, or `None` if it has none.
    #[must_use]
    pub fn icmp_type_name(self, number: u8) -> Option<&'static str> {
        let types = if self.has_types() { self.types() } else { &[] };
        types
            .iter()
            .find(|(_, known)| *known == number)
            .map(|(name, _)| *name)
    }

    /// Returns the types of ICMPv6, or of ICMP for any other protocol, which is reported elsewhere.
    fn types(self) -> &'static [(&'static str, u8)] {
        if self == Self::ICMPV6 {
            &ICMPV6_TYPES
        } else {
            &ICMP_TYPES
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "{}", self.0),
        }
    }
}
