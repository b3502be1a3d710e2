//! Rules for two judges: generated once, written down as TOML and for nftables, and packets for both.

use super::wire::{HOPS, ICMP, ICMPV6, Made, TCP, UDP};
use super::zone::Protected;
use lab::{DEVICE, INSIDE, INSIDE_V6, OUTSIDE, OUTSIDE_V6};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Numbers that look random and are the same each time (Knuth's MMIX).
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (self.0 >> 33) % n
    }

    pub fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }
}

/// Rule of the kinds that both judges know.
#[derive(Clone, Debug)]
pub struct Rule {
    allow: bool,
    /// `true` for inbound, and for outbound packets, if the rule holds for them.
    pub holds: (bool, bool),
    v6: bool,
    protocols: Vec<u8>,
    /// Address, prefix or range as both judges write it; and whether it is IPv6.
    source: Option<String>,
    destination: Option<String>,
    ports: Vec<(u16, u16)>,
    source_ports: Vec<(u16, u16)>,
    types: Vec<u16>,
}

/// Types of ICMP that are no answers: answers may belong to a connection, which nftables is not asked about.
const TYPES: [u16; 4] = [8, 3, 5, 11];
const TYPES_V6: [u16; 4] = [128, 1, 3, 100];

/// Source ports are all different: each packet begins a connection of its own.
pub const FIRST_PORT: u16 = 1000;

/// Returns an address of one end, of 16 in each version. Nobody has them, so nobody answers.
fn address(v6: bool, zone: bool, low: u64) -> IpAddr {
    if v6 {
        Ipv6Addr::new(
            if zone { 0xFD90 } else { 0xFD91 },
            0,
            0,
            0,
            0,
            0,
            0,
            low as u16,
        )
        .into()
    } else {
        Ipv4Addr::new(10, if zone { 90 } else { 91 }, 0, low as u8).into()
    }
}

impl Rule {
    fn random(dice: &mut Dice) -> Self {
        let v6 = dice.below(3) == 0;
        let holds = dice.of(&[(true, false), (false, true), (true, true)]);
        let (icmp, types) = if v6 {
            (ICMPV6, TYPES_V6)
        } else {
            (ICMP, TYPES)
        };
        let protocols = match dice.below(6) {
            0 => vec![],
            1 => vec![icmp],
            2 => vec![TCP, UDP],
            3 => vec![TCP],
            _ => vec![UDP],
        };
        let with_ports = matches!(protocols.as_slice(), [TCP, ..] | [UDP]);
        let mut rule = Self {
            allow: dice.below(2) == 0,
            holds,
            v6,
            source: None,
            destination: None,
            ports: vec![],
            source_ports: vec![],
            types: vec![],
            protocols,
        };
        if with_ports && dice.below(4) != 0 {
            let first = dice.below(24) as u16 + 1;
            rule.ports = vec![
                (first, first + dice.below(8) as u16),
                (36 + dice.below(4) as u16, 40),
            ];
        }
        if dice.below(2) == 0 {
            rule.source = Some(addresses(dice, v6, holds.1));
        }
        // Nothing so broad that it leaves nothing to those after it.
        if rule.source.is_none() || dice.below(4) == 0 {
            rule.destination = Some(addresses(dice, v6, holds.0));
        }
        if with_ports && dice.below(5) == 0 {
            let first = FIRST_PORT + dice.below(200) as u16;
            rule.source_ports = vec![(first, first + 100)];
        }
        if rule.protocols == [icmp] && dice.below(2) == 0 {
            rule.types = vec![dice.of(&types[..2]), dice.of(&types[2..])];
        }
        rule
    }

    fn toml(&self, number: usize) -> String {
        let action = if self.allow { "allow" } else { "block" };
        let mut text = format!("\n[[rule]]\nid = \"r{number}\"\naction = \"{action}\"\n");
        match self.holds {
            (true, false) => text.push_str("direction = \"in\"\n"),
            (false, true) => text.push_str("direction = \"out\"\n"),
            _ => {}
        }
        let names: Vec<_> = self
            .protocols
            .iter()
            .map(|protocol| format!("\"{}\"", name(*protocol)))
            .collect();
        if !names.is_empty() {
            writeln!(text, "protocol = [{}]", names.join(", ")).unwrap();
        }
        for (key, address) in [("source", &self.source), ("destination", &self.destination)] {
            if let Some(address) = address {
                writeln!(text, "{key} = \"{address}\"").unwrap();
            }
        }
        for (key, ports) in [("ports", &self.ports), ("source_ports", &self.source_ports)] {
            if !ports.is_empty() {
                let ranges: Vec<_> = ports
                    .iter()
                    .map(|(from, to)| format!("\"{from}-{to}\""))
                    .collect();
                writeln!(text, "{key} = [{}]", ranges.join(", ")).unwrap();
            }
        }
        if !self.types.is_empty() {
            writeln!(text, "icmp_type = {:?}", self.types).unwrap();
        }
        text
    }

    fn nft(&self, number: usize) -> String {
        let mut text = String::from("  ");
        match self.protocols.as_slice() {
            [] => {}
            [one] => write!(text, "meta l4proto {one} ").unwrap(),
            _ => text.push_str("meta l4proto { 6, 17 } "),
        }
        let ip = if self.v6 { "ip6" } else { "ip" };
        for (key, address) in [("saddr", &self.source), ("daddr", &self.destination)] {
            if let Some(address) = address {
                write!(text, "{ip} {key} {address} ").unwrap();
            }
        }
        for (key, ports) in [("dport", &self.ports), ("sport", &self.source_ports)] {
            if !ports.is_empty() {
                let ranges: Vec<_> = ports
                    .iter()
                    .map(|(from, to)| interval(*from, *to))
                    .collect();
                write!(text, "th {key} {{ {} }} ", ranges.join(", ")).unwrap();
            }
        }
        if let [first, second] = self.types.as_slice() {
            let icmp = if self.v6 { "icmpv6" } else { "icmp" };
            write!(text, "{icmp} type {{ {first}, {second} }} ").unwrap();
        }
        writeln!(text, "counter name r{number} accept").unwrap();
        text
    }

    /// Returns the rule with nftables' own verdict, uncounted.
    fn deciding(&self) -> String {
        let verdict = if self.allow { "accept" } else { "drop" };
        self.nft(0).replace("counter name r0 accept", verdict)
    }
}

/// The rules as a ruleset of nftables that decides alone.
pub fn ruleset(rules: &[Rule]) -> String {
    let chain = |hook: &str, policy: &str, holds: &dyn Fn(&Rule) -> bool| {
        let own = rules.iter().filter(|rule| holds(rule)).map(Rule::deciding);
        format!(
            " chain {hook} {{\n  type filter hook {hook} priority 0; policy {policy};\n{} }}\n",
            own.collect::<String>()
        )
    };
    let (comes, goes) = (
        chain("input", "drop", &|rule| rule.holds.0),
        chain("output", "accept", &|rule| rule.holds.1),
    );
    format!("table inet alone {{\n{comes}{goes}}}\n")
}

impl Rule {
    /// Returns the rule for iptables: one line for each of its protocols and types.
    fn lines(&self, chain: &str) -> String {
        let mut ends = String::new();
        for (address, one, range) in [
            (&self.source, "-s", "-m iprange --src-range"),
            (&self.destination, "-d", "-m iprange --dst-range"),
        ] {
            if let Some(address) = address {
                let option = if address.contains('-') { range } else { one };
                write!(ends, " {option} {address}").unwrap();
            }
        }
        for (option, ports) in [("--dports", &self.ports), ("--sports", &self.source_ports)] {
            let ranges: Vec<_> = ports
                .iter()
                .map(|(from, to)| format!("{from}:{to}"))
                .collect();
            if !ranges.is_empty() {
                write!(ends, " -m multiport {option} {}", ranges.join(",")).unwrap();
            }
        }
        let protocols: Vec<_> = match self.protocols.as_slice() {
            [] => vec![String::new()],
            some => some
                .iter()
                .map(|it| format!(" -p {}", saved_name(*it)))
                .collect(),
        };
        let icmp = if self.v6 {
            "-m icmp6 --icmpv6-type"
        } else {
            "-m icmp --icmp-type"
        };
        let types: Vec<_> = match self.types.as_slice() {
            [] => vec![String::new()],
            some => some.iter().map(|it| format!(" {icmp} {it}")).collect(),
        };
        let verdict = if self.allow { "ACCEPT" } else { "DROP" };
        let line = |protocol: &String, kind: &String| {
            format!("-A {chain}{protocol}{ends}{kind} -j {verdict}\n")
        };
        let of = |protocol| {
            types
                .iter()
                .map(move |kind| line(protocol, kind))
                .collect::<String>()
        };
        protocols.iter().map(of).collect()
    }
}

fn saved_name(protocol: u8) -> &'static str {
    match protocol {
        ICMPV6 => "ipv6-icmp",
        other => name(other),
    }
}

/// The rules as iptables-save and ip6tables-save would print them, one after the other.
pub fn saved(rules: &[Rule]) -> String {
    let of = |by: &str, v6: bool| {
        let own = || rules.iter().filter(move |rule| rule.v6 == v6);
        let comes = own()
            .filter(|rule| rule.holds.0)
            .map(|rule| rule.lines("INPUT"));
        let goes = own()
            .filter(|rule| rule.holds.1)
            .map(|rule| rule.lines("OUTPUT"));
        format!(
            "# Generated by {by}\n*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n{}COMMIT\n",
            comes.chain(goes).collect::<String>()
        )
    };
    of("iptables-save v1.8.9", false) + &of("ip6tables-save v1.8.9", true)
}

/// nftables takes no range of one.
fn interval(from: u16, to: u16) -> String {
    if from == to {
        from.to_string()
    } else {
        format!("{from}-{to}")
    }
}

fn name(protocol: u8) -> &'static str {
    match protocol {
        TCP => "tcp",
        UDP => "udp",
        ICMP => "icmp",
        _ => "icmpv6",
    }
}

fn addresses(dice: &mut Dice, v6: bool, zone: bool) -> String {
    match dice.below(3) {
        0 => address(v6, zone, dice.below(16)).to_string(),
        1 => {
            let bits = dice.below(4);
            let low = dice.below(16) >> bits << bits;
            format!(
                "{}/{}",
                address(v6, zone, low),
                if v6 { 128 - bits } else { 32 - bits }
            )
        }
        _ => {
            let first = dice.below(12);
            let last = first + 1 + dice.below(4);
            format!("{}-{}", address(v6, zone, first), address(v6, zone, last))
        }
    }
}

pub fn rules(dice: &mut Dice, count: usize) -> Vec<Rule> {
    (0..count).map(|_| Rule::random(dice)).collect()
}

/// Leads each side's packets to the other. The zone takes them for its own, the world outside has none of these
/// addresses; neither lets any through, and nobody answers.
pub fn lead(zone: &Protected) {
    let still =
        "echo 0 > /proc/sys/net/ipv4/ip_forward; echo 0 > /proc/sys/net/ipv6/conf/all/forwarding";
    let routes = |net: u32, own: &str, v4: &str, v6: &str| {
        // The first ping finds the way: packets that wait for that are few.
        format!(
            "{still}; ip route add 10.{net}.0.0/16 via {v4} && ip route add fd{net}::/16 via {v6} && \
             {own} && {{ busybox ping -c 1 -W 1 {v4}; busybox ping -c 1 -W 1 {v6}; true; }}"
        )
    };
    let takes = "ip route add local 10.90.0.0/16 dev lo && ip -6 route add local fd90::/16 dev lo";
    let leaves = "ip route add blackhole fd91::/16";
    let led = [
        zone.inside(&routes(91, takes, OUTSIDE, OUTSIDE_V6)),
        zone.outside(&routes(90, leaves, INSIDE, INSIDE_V6)),
    ];
    assert!(led.iter().all(|led| led.status.success()), "{led:?}");
}

/// The rule file. Before the generated ones stands what IPv6 itself needs, so that it is in no generated rule's count.
pub fn toml(rules: &[Rule]) -> String {
    let mut text = String::from(
        "[default]\ninbound = \"block\"\noutbound = \"allow\"\n\n[[rule]]\nid = \"neighbours\"\naction = \"allow\"\n\
         protocol = \"icmpv6\"\nicmp_type = [133, 134, 135, 136, 143]\n",
    );
    text.extend(
        rules
            .iter()
            .enumerate()
            .map(|(number, rule)| rule.toml(number)),
    );
    text
}

/// nftables' table for one side, which counts packets as they leave it: those of the zone before the driver sees them,
/// those of the world outside before they come to the zone. And what of the other side's gets there,
/// past the driver, and no further.
pub fn nft(rules: &[Rule], zone: bool) -> String {
    let holds = |rule: &Rule| if zone { rule.holds.1 } else { rule.holds.0 };
    let device = if zone { DEVICE } else { "gb1" };
    let mut text = String::from("table inet both {\n counter default { }\n counter came { }\n");
    for number in 0..rules.len() {
        writeln!(text, " counter r{number} {{ }}").unwrap();
    }
    let (comes, leaves) = if zone {
        ("input priority 100", "output priority 0")
    } else {
        ("prerouting priority -400", "postrouting priority 200")
    };
    writeln!(
        text,
        " chain came {{\n  type filter hook {comes}\n  iifname {device} ip ttl {HOPS} counter name came drop\n  \
         iifname {device} ip6 hoplimit {HOPS} counter name came drop\n }}\n chain leaves {{\n  \
         type filter hook {leaves}\n  ip ttl != {HOPS} accept\n  ip6 hoplimit != {HOPS} accept"
    )
    .unwrap();
    for (number, rule) in rules.iter().enumerate().filter(|(_, rule)| holds(rule)) {
        text.push_str(&rule.nft(number));
    }
    text.push_str("  counter name default\n }\n}\n");
    text
}

/// Counts of nftables on one side.
pub struct Judged {
    pub rules: Vec<u64>,
    pub default: u64,
    /// Packets that came from the other side.
    pub came: u64,
}

impl Judged {
    pub fn read(zone: &Protected, inside: bool, rules: usize) -> Self {
        let list = ["nft", "-j", "list", "counters", "table", "inet", "both"];
        let mut command = if inside {
            zone.lab.inside(&list)
        } else {
            zone.lab.outside(&list)
        };
        let said: serde_json::Value =
            serde_json::from_slice(&command.output().unwrap().stdout).unwrap();
        let counters = said["nftables"]
            .as_array()
            .unwrap()
            .iter()
            .map(|object| &object["counter"]);
        let counter = |name: &str| {
            let mut found = counters.clone().filter(|counter| counter["name"] == name);
            found.next().unwrap()["packets"].as_u64().unwrap()
        };
        let counted = (0..rules)
            .map(|number| counter(&format!("r{number}")))
            .collect();
        Self {
            rules: counted,
            default: counter("default"),
            came: counter("came"),
        }
    }

    /// Packets that by these rules may go on.
    pub fn allowed(&self, rules: &[Rule], default: bool) -> u64 {
        let by_rules = rules.iter().zip(&self.rules).filter(|(rule, _)| rule.allow);
        by_rules.map(|(_, hits)| hits).sum::<u64>() + if default { self.default } else { 0 }
    }
}

/// Returns packets, each with whether it leaves the zone.
pub fn packets(dice: &mut Dice, count: u16) -> Vec<(bool, Made)> {
    let (mut packets, mut asked) = (Vec::new(), BTreeSet::new());
    while packets.len() < count.into() {
        let (v6, out) = (dice.below(3) == 0, dice.below(2) == 0);
        let source = address(v6, out, dice.below(16));
        let destination = address(v6, !out, dice.below(16));
        let protocol = dice.of(&[TCP, UDP, UDP, if v6 { ICMPV6 } else { ICMP }]);
        let (source_port, port) = match protocol {
            ICMP => (dice.of(&TYPES), 0),
            ICMPV6 => (dice.of(&TYPES_V6), 0),
            _ => (FIRST_PORT + packets.len() as u16, 1 + dice.below(40) as u16),
        };
        // Whoever asks the same again goes on with a connection.
        if asked.insert((source, destination, source_port)) {
            packets.push((
                out,
                Made {
                    protocol,
                    source,
                    destination,
                    source_port,
                    port,
                },
            ));
        }
    }
    packets
}
