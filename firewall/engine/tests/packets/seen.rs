//! A packet with its local identity, and the decision of rules on it.

use engine::{Parsed, Shape, Tables, classify};
use firewall_abi::packet::{Decision, Direction, PacketHeaders, PacketMeta, name_words};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub const ICMP: u8 = 1;
pub const TCP: u8 = 6;
pub const UDP: u8 = 17;

/// An end of a packet: the key that asks for its address, and its place in the headers.
pub type End = (&'static str, fn(&mut PacketHeaders) -> &mut [u8; 16]);

pub const ENDS: [End; 2] = [
    ("source", |flow| &mut flow.source),
    ("destination", |flow| &mut flow.destination),
];

/// Addresses of both ends, of each version of IP; those of IPv6 have bits in both of their words.
const ENDS_V4: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 0, 0, 2), Ipv4Addr::new(192, 0, 2, 1)];
const ENDS_V6: [Ipv6Addr; 2] = [
    Ipv6Addr::new(0xFD77, 0, 0, 1, 2, 0, 0, 3),
    Ipv6Addr::new(0x2001, 0xDB8, 0, 1, 2, 0, 0, 3),
];

/// A packet with its local identity.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    pub flow: PacketHeaders,
    pub shape: Shape,
    pub local: PacketMeta,
}

impl Seen {
    /// A segment of TCP from port 5000 to port 443, by `eth0` and, if it is forwarded, `eth1`,
    /// of the kernel's as user 1000.
    pub fn of(ip_version: u8, direction: Direction) -> Self {
        let [source, destination] = if ip_version == 4 {
            ENDS_V4.map(|end| end.to_ipv6_mapped().octets())
        } else {
            ENDS_V6.map(|end| end.octets())
        };
        let named = |name| name_words(name).expect("it is short");
        Self {
            flow: PacketHeaders {
                source,
                destination,
                source_port: 5000,
                destination_port: 443,
                protocol: TCP,
                ip_version,
                direction: direction as u8,
                tcp_flags: 2,
            },
            shape: Shape::Whole,
            local: PacketMeta {
                program: PacketMeta::KERNEL,
                interface: named("eth0"),
                out_interface: if direction == Direction::Forward {
                    named("eth1")
                } else {
                    [0; 2]
                },
                user: 1000,
                phase: 0,
            },
        }
    }

    /// Returns the packet with something else about it.
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// Returns the decision of these tables on the packet.
    pub fn decided_by(&self, tables: &impl Tables) -> Decision {
        let Self { flow, shape, local } = *self;
        classify(&Parsed { flow, shape }, &local, tables)
    }
}

/// Returns the bytes of an address as headers have them.
pub fn address_bytes(address: &str) -> [u8; 16] {
    match address.parse().expect("an address") {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

/// Sets that the rules of [`table`] may ask for: one with an end of each version, one for each end, and one with
/// neither.
pub const SETS: &str = "
    [[set]]
    id = 'from'
    addresses = ['10.0.0.2', 'fd77:0:0:1:2::3']
    [[set]]
    id = 'to'
    addresses = ['192.0.2.1', '2001:db8:0:1:2::3']
    [[set]]
    id = 'others'
    addresses = ['10.0.0.9', 'fd77::9']
";

/// Returns the table of these rules, whose default blocks.
pub fn table(rules: &str) -> rules::Table {
    const DEFAULTS: &str = "[default]\ninbound = 'block'\noutbound = 'block'\nforward = 'block'\n";
    compiled(&[DEFAULTS, SETS, rules].concat())
}

/// Returns the table of a rule file.
pub fn compiled(text: &str) -> rules::Table {
    rules::parse("made.toml", text, &rules::NoResolver)
        .expect("these rules are right")
        .compile(1)
}

/// Returns the text of a rule that allows what has these keys.
pub fn allowing(id: &str, keys: &str) -> String {
    format!("[[rule]]\nid = '{id}'\naction = 'allow'\n{keys}\n")
}
