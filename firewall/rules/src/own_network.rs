//! Rules that cut a machine off from what it can't do without: its own network, its router, its resolver, who is logged in.
//!
//! Lists of addresses that nobody should have hold every private network, so also the one that this machine is in. What is
//! asked is the engine itself: packets as the machine would send and get them, and which rule blocks one.

use crate::{Addresses, Finding, Joined, Rule, Rules, Table};
use engine::{Parsed, Shape, Tables, classify};
use firewall_abi::packet::{Direction, PacketHeaders, PacketMeta, Verdict, name_words};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What a machine is and has around it, as far as rules can cut it off.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnNetwork {
    /// Its addresses, each with its device's name; without those of the loopback device.
    pub addresses: Vec<(IpAddr, String)>,
    /// Where what goes elsewhere is sent.
    pub routers: Vec<IpAddr>,
    /// Whom it asks for names.
    pub resolvers: Vec<IpAddr>,
    /// The TCP connection of whoever is logged in from elsewhere.
    pub login: Option<Login>,
}

/// Somebody who is logged in from elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Login {
    /// The other end's address and port.
    pub from: (IpAddr, u16),
    /// This machine's.
    pub to: (IpAddr, u16),
}

/// An address that a rule must not block, and what it is.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Needed {
    address: IpAddr,
    what: &'static str,
}

/// A packet that has to pass, and which of its ends it is about.
struct Probe {
    headers: PacketHeaders,
    local: PacketMeta,
    needed: Vec<Needed>,
}

impl Rules {
    /// What of this network these rules cut off: a warning for each rule and what it hits. `table` is theirs, and `joined` what has
    /// joined their sets, as far as that is known; `file` is what they are called in messages.
    #[must_use]
    pub fn cut_off(
        &self,
        file: &str,
        (table, joined): (&Table, &Joined),
        network: &OwnNetwork,
    ) -> Vec<Finding> {
        let tables = &joined.beside(table.slices());
        let finding = |line, message| Finding {
            file: file.to_owned(),
            line,
            column: 1,
            message,
        };
        let mut found = Vec::new();
        for probe in network.probes() {
            let Some(rule) = self.blocker(&probe, tables) else {
                continue;
            };
            let known = (self, joined);
            let ends = probe.ends(rule);
            let condition = condition(&ends, known);
            for needed in &probe.needed {
                let hit = ends.iter().find_map(|(address, end)| {
                    (*address == needed.address).then(|| end.takes(*address, known))?
                });
                found.extend(
                    hit.map(|taken| finding(rule.line, said(rule, *needed, &taken, condition))),
                );
            }
        }
        found.extend(
            self.locked_out((tables, joined), network)
                .map(|(line, message)| finding(line, message)),
        );
        found.sort();
        found.dedup();
        found
    }

    /// The rule that blocks a packet.
    fn blocker(&self, probe: &Probe, tables: &impl Tables) -> Option<&Rule> {
        let (number, verdict) = decide(probe, tables);
        let rule = self.rule(number)?;
        (verdict != Verdict::Allow as u8).then_some(rule)
    }

    /// Whoever is logged in would be cut off, by whichever rule or default.
    fn locked_out(
        &self,
        (tables, joined): (&impl Tables, &Joined),
        network: &OwnNetwork,
    ) -> Option<(usize, String)> {
        const TCP: u8 = 6;
        let Login { from, to } = network.login?;
        let probe = Probe {
            headers: headers(Direction::Inbound, TCP, from, to),
            local: network.local(to.0),
            needed: Vec::new(),
        };
        let (rule, verdict) = decide(&probe, tables);
        if verdict == Verdict::Allow as u8 {
            return None;
        }
        let (line, by, condition) = match self.rule(rule) {
            Some(rule) => (
                rule.line,
                format!("rule `{}`", rule.id),
                condition(&probe.ends(rule), (self, joined)),
            ),
            None => (1, "the default for in".to_owned(), ""),
        };
        let message = format!(
            "{by} blocks {}, from where you are logged in to port {}{condition}: once your connection is forgotten you don't come \
             back; allow it in a rule before, and apply with --lease",
            from.0, to.1
        );
        Some((line, message))
    }
}

impl Probe {
    /// Its ends, and what a rule asks of each.
    fn ends<'a>(&self, rule: &'a Rule) -> [(IpAddr, End<'a>); 2] {
        let address = |bytes: [u8; 16]| IpAddr::V6(bytes.into()).to_canonical();
        [
            (address(self.headers.source), End::of_source(rule)),
            (address(self.headers.destination), End::of_destination(rule)),
        ]
    }
}

/// On what it depends that a rule takes a packet between these ends. Who asks may not be who judges: the service may read more, and
/// keeps copies of lists.
fn condition(ends: &[(IpAddr, End<'_>)], known: (&Rules, &Joined)) -> &'static str {
    let mut taken = ends.iter().map(|(address, end)| end.takes(*address, known));
    if taken.any(|taken| taken == Some(Taken::Presumed)) {
        ", as long as the service can't read its set either and has kept no copy of it"
    } else {
        ""
    }
}

fn said(rule: &Rule, needed: Needed, taken: &Taken, condition: &str) -> String {
    let Needed { address, what } = needed;
    let by = match taken {
        Taken::InSet(set) => format!(", which is in the set `{set}`"),
        Taken::Listed(span) => format!(", which is in {span}"),
        Taken::Presumed => String::new(),
    };
    format!(
        "rule `{}` blocks {what} {address}{by}{condition}; name it in `except` of the set, or allow it in a rule before",
        rule.id
    )
}

/// The number of the rule that decides, and the verdict.
fn decide(probe: &Probe, tables: &impl Tables) -> (u32, u8) {
    let packet = Parsed {
        flow: probe.headers,
        shape: Shape::Whole,
    };
    let decision = classify(&packet, &probe.local, tables);
    (decision.rule, decision.verdict)
}

/// What a rule asks of one end.
struct End<'a> {
    addresses: &'a [Addresses],
    sets: &'a [u32],
    presumed: &'a [Addresses],
}

/// By what a rule takes an address.
#[derive(Debug, PartialEq, Eq)]
enum Taken {
    /// It is in this set.
    InSet(String),
    /// It is in these addresses.
    Listed(String),
    /// A set can't be read, and may hold it.
    Presumed,
}

impl<'a> End<'a> {
    fn of_source(rule: &'a Rule) -> Self {
        Self {
            addresses: &rule.sources,
            sets: &rule.source_sets,
            presumed: &rule.presumed.sources,
        }
    }

    fn of_destination(rule: &'a Rule) -> Self {
        Self {
            addresses: &rule.destinations,
            sets: &rule.destination_sets,
            presumed: &rule.presumed.destinations,
        }
    }

    /// By what this takes an address, if it asks for addresses at all and was not written for just that.
    fn takes(&self, address: IpAddr, (rules, joined): (&Rules, &Joined)) -> Option<Taken> {
        let holders = rules
            .members()
            .map_or(&[][..], |members| members.of(address));
        let holders = [holders, joined.sets_of(address)].concat();
        if let Some(set) = self.sets.iter().find(|set| holders.contains(set)) {
            let set = rules.set(*set)?;
            return Some(Taken::InSet(set.id.clone()));
        }
        // Whoever names groups, and nothing else, means them.
        let group = |span: &&Addresses| is_group(span.first()) && is_group(span.last());
        let meant = |span: &&Addresses| is_group(address) && group(span);
        let mut listed = self.addresses.iter().filter(|span| span.contains(address));
        if let Some(span) = listed.find(|span| !meant(span)) {
            return Some(Taken::Listed(span.to_string()));
        }
        let presumed = self.presumed.iter().any(|span| span.contains(address));
        presumed.then_some(Taken::Presumed)
    }
}

fn is_group(address: IpAddr) -> bool {
    address.is_multicast()
}

impl OwnNetwork {
    /// Whether this address is one that a machine in this network can't do without, or somebody is logged in from there.
    #[must_use]
    pub fn needs(&self, address: IpAddr) -> bool {
        let own = self.addresses.iter().map(|(own, _)| own);
        let others = self.routers.iter().chain(&self.resolvers);
        let mut all = own.chain(others);
        all.any(|it| *it == address) || self.login.is_some_and(|login| login.from.0 == address)
    }

    /// Packets that have to pass.
    fn probes(&self) -> Vec<Probe> {
        const UDP: u8 = 17;
        const DNS: u16 = 53;
        const ANY_PORT: u16 = 40000;
        const GROUPS: [(IpAddr, u16); 3] = [
            (IpAddr::V4(Ipv4Addr::new(224, 0, 0, 251)), 5353),
            (IpAddr::V4(Ipv4Addr::new(239, 255, 255, 250)), 1900),
            (
                IpAddr::V6(Ipv6Addr::new(0xFF02, 0, 0, 0, 0, 0, 0, 0xFB)),
                5353,
            ),
        ];
        let mut probes = Vec::new();
        for (own, _) in &self.addresses {
            let mine = Needed {
                address: *own,
                what: "this machine's own address",
            };
            let mut talk = |other: IpAddr, port: u16, needed: &[Needed]| {
                if other.is_ipv4() != own.is_ipv4() {
                    return;
                }
                let (here, there) = ((*own, ANY_PORT), (other, port));
                for (direction, from, to) in [
                    (Direction::Outbound, here, there),
                    (Direction::Inbound, there, here),
                ] {
                    if is_group(from.0) {
                        continue;
                    }
                    probes.push(Probe {
                        headers: headers(direction, UDP, from, to),
                        local: self.local(*own),
                        needed: [&[mine], needed].concat(),
                    });
                }
            };
            talk(elsewhere(*own), DNS, &[]);
            for (others, what, port) in [
                (&self.routers, "your router", ANY_PORT),
                (&self.resolvers, "your resolver", DNS),
            ] {
                for address in others {
                    let needed = Needed {
                        address: *address,
                        what,
                    };
                    talk(*address, port, &[needed]);
                }
            }
            for (address, port) in GROUPS {
                let what = "the local group";
                talk(address, port, &[Needed { address, what }]);
            }
        }
        probes
    }

    /// Who is at this machine's end: only the device is known.
    fn local(&self, own: IpAddr) -> PacketMeta {
        let device = self.addresses.iter().find(|(address, _)| *address == own);
        let words = device.and_then(|(_, name)| name_words(name));
        PacketMeta {
            interface: words.unwrap_or_default(),
            ..PacketMeta::UNKNOWN
        }
    }
}

/// An address of the same version that nobody has.
fn elsewhere(own: IpAddr) -> IpAddr {
    match own {
        IpAddr::V4(_) => Ipv4Addr::new(192, 0, 2, 1).into(),
        IpAddr::V6(_) => Ipv6Addr::new(0x2001, 0xDB8, 0, 0, 0, 0, 0, 1).into(),
    }
}

fn headers(
    direction: Direction,
    protocol: u8,
    (source, source_port): (IpAddr, u16),
    (destination, destination_port): (IpAddr, u16),
) -> PacketHeaders {
    const SYN: u8 = 2;
    const TCP: u8 = 6;
    PacketHeaders {
        source: mapped(source),
        destination: mapped(destination),
        source_port,
        destination_port,
        protocol,
        ip_version: if source.is_ipv4() { 4 } else { 6 },
        direction: direction as u8,
        tcp_flags: if protocol == TCP { SYN } else { 0 },
    }
}

pub(crate) fn mapped(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}
