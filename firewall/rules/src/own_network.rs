//! Warnings of rules that cut a machine off from what it can't do without: its own network, its router, its resolver, a
//! remote login; and of those that ask for one of its devices by a name that it does not go by.
//!
//! Lists of addresses that nobody should have (bogons) hold every private network, so also the one that this machine is
//! in. The engine itself is asked which rule blocks packets as the machine would send and receive them.

use crate::{Addresses, Finding, Joined, Rule, Rules, Table};
use engine::{Parsed, Shape, Tables, classify};
use firewall_abi::packet::{Direction, PacketHeaders, PacketMeta, Verdict, name_words};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Network surroundings of a machine that rules can cut it off from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnNetwork {
    /// Addresses of the machine, each with its device's name; without those of the loopback device.
    pub addresses: Vec<(IpAddr, String)>,
    /// Other names of the machine's devices (`altname`), each with the name that rules go by.
    pub other_names: Vec<(String, String)>,
    /// Gateways of the machine's routes.
    pub routers: Vec<IpAddr>,
    /// DNS resolvers that the machine asks.
    pub resolvers: Vec<IpAddr>,
    /// TCP connection of a remote login, if there is one.
    pub login: Option<Login>,
}

/// TCP connection of a remote login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Login {
    /// Address and port of the remote end.
    pub from: (IpAddr, u16),
    /// Address and port of this machine's end.
    pub to: (IpAddr, u16),
}

/// An address that a rule must not block, with a description of it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Needed {
    address: IpAddr,
    what: &'static str,
}

/// A packet that has to pass, with the addresses that it is about.
struct Probe {
    headers: PacketHeaders,
    local: PacketMeta,
    needed: Vec<Needed>,
}

impl Rules {
    /// Returns a warning for each rule and each part of this network that it cuts off. `table` is compiled of these
    /// rules, `joined` are the addresses that have joined their sets, as far as they are known; `file` names the rules
    /// in messages.
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

    /// Returns a warning for each rule and network that asks for a device of this machine's by a name that it does not
    /// go by; `file` names the rules in messages.
    #[must_use]
    pub fn misnamed(&self, file: &str, network: &OwnNetwork) -> Vec<Finding> {
        let by_rules = self.iter().flat_map(|rule| {
            let words = rule.interfaces.iter().chain(&rule.out_interfaces);
            words.map(move |word| (rule.line, "rule", &rule.id, word))
        });
        let by_networks = self.networks().flat_map(|network| {
            let words = network.interfaces.iter();
            words.map(move |word| (network.line, "network", &network.id, word))
        });
        let asked = by_rules.chain(by_networks);
        let found = asked.filter_map(|(line, what, id, word)| {
            let (_, name) = network.known_as(word)?;
            let message = format!(
                "{what} `{id}` asks for `{word}`, which is another name (altname) of the device `{name}`: nothing comes or goes by that; \
                 write `{name}`"
            );
            Some(Finding {
                file: file.to_owned(),
                line,
                column: 1,
                message,
            })
        });
        found.collect()
    }

    /// Returns the rule that blocks a packet, or `None` if it is allowed or no rule decides.
    fn blocker(&self, probe: &Probe, tables: &impl Tables) -> Option<&Rule> {
        let (number, verdict) = decide(probe, tables);
        let rule = self.rule(number)?;
        (verdict != Verdict::Allow as u8).then_some(rule)
    }

    /// Returns the line and message of the rule or default policy that would cut off the remote login, if any.
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
    /// Returns the two addresses of the packet, and what a rule asks of each.
    fn ends<'a>(&self, rule: &'a Rule) -> [(IpAddr, End<'a>); 2] {
        let address = |bytes: [u8; 16]| IpAddr::V6(bytes.into()).to_canonical();
        [
            (address(self.headers.source), End::of_source(rule)),
            (address(self.headers.destination), End::of_destination(rule)),
        ]
    }
}

/// Returns the condition, in words, on which a rule matches a packet between these ends. The caller may not be the
/// service, which may read more and keeps copies of lists.
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

/// Returns the number of the rule that decides, and the verdict.
fn decide(probe: &Probe, tables: &impl Tables) -> (u32, u8) {
    let packet = Parsed {
        flow: probe.headers,
        shape: Shape::Whole,
    };
    let decision = classify(&packet, &probe.local, tables);
    (decision.rule, decision.verdict)
}

/// Conditions of a rule for one end of a packet.
struct End<'a> {
    addresses: &'a [Addresses],
    sets: &'a [u32],
    presumed: &'a [Addresses],
}

/// Cause of a rule's match with an address.
#[derive(Debug, PartialEq, Eq)]
enum Taken {
    /// The address is in this set.
    InSet(String),
    /// The address is in this range of the rule.
    Listed(String),
    /// A set of the rule can't be read, and may hold the address.
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

    /// Returns the cause of a match with an address; `None` if the rule asks for no addresses here, or was written for
    /// just this one.
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
    /// Returns whether a machine in this network can't do without this address, or a remote login comes from it.
    #[must_use]
    pub fn needs(&self, address: IpAddr) -> bool {
        let own = self.addresses.iter().map(|(own, _)| own);
        let others = self.routers.iter().chain(&self.resolvers);
        let mut all = own.chain(others);
        all.any(|it| *it == address) || self.login.is_some_and(|login| login.from.0 == address)
    }

    /// Returns the other name of a device that this is, with the name that rules go by; `None` if it is none.
    fn known_as(&self, word: &str) -> Option<&(String, String)> {
        let is_name = self.addresses.iter().any(|(_, name)| name == word);
        let mut others = self.other_names.iter();
        others.find(|(other, _)| other == word && !is_name)
    }

    /// Makes the packets that have to pass.
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

    /// Makes the local identity of a packet at one of this machine's addresses: only the device is known.
    fn local(&self, own: IpAddr) -> PacketMeta {
        let device = self.addresses.iter().find(|(address, _)| *address == own);
        let words = device.and_then(|(_, name)| name_words(name));
        PacketMeta {
            interface: words.unwrap_or_default(),
            ..PacketMeta::UNKNOWN
        }
    }
}

/// Returns an address of the same IP version that nobody has (for documentation).
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
