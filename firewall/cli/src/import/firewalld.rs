//! `firewall-cmd --list-all` and `--list-all-zones`.

use super::iptables::addresses;
use super::model::{Imported, Place};
use super::ports::port;
use crate::edit::KeyArguments;
use firewall_abi::packet::Verdict;
use rules::Protocol;

/// A service's name, and each of its protocols with its ports and where it goes.
type Service = (
    &'static str,
    &'static [(&'static str, &'static str, &'static str)],
);

/// Services that firewalld brings.
const SERVICES: &[Service] = &[
    ("cockpit", &[("tcp", "9090", "")]),
    ("dhcp", &[("udp", "67", "")]),
    ("dhcpv6-client", &[("udp", "546", "fe80::/64")]),
    ("dns", &[("tcp", "53", ""), ("udp", "53", "")]),
    ("ftp", &[("tcp", "21", "")]),
    ("http", &[("tcp", "80", "")]),
    ("https", &[("tcp", "443", "")]),
    ("imaps", &[("tcp", "993", "")]),
    ("ipp", &[("tcp", "631", ""), ("udp", "631", "")]),
    ("ipp-client", &[("udp", "631", "")]),
    (
        "kdeconnect",
        &[("tcp", "1714-1764", ""), ("udp", "1714-1764", "")],
    ),
    (
        "mdns",
        &[("udp", "5353", "224.0.0.251"), ("udp", "5353", "ff02::fb")],
    ),
    ("mysql", &[("tcp", "3306", "")]),
    ("nfs", &[("tcp", "2049", "")]),
    ("ntp", &[("udp", "123", "")]),
    ("postgresql", &[("tcp", "5432", "")]),
    ("samba", &[("tcp", "139,445", "")]),
    ("samba-client", &[("udp", "137,138", "")]),
    ("smtp", &[("tcp", "25", "")]),
    ("ssh", &[("tcp", "22", "")]),
    (
        "syncthing",
        &[("tcp", "22000", ""), ("udp", "21027,22000", "")],
    ),
    ("vnc-server", &[("tcp", "5900-5903", "")]),
    ("wireguard", &[("udp", "51820", "")]),
    ("ws-discovery", &[("tcp", "5357", ""), ("udp", "3702", "")]),
];

/// What `firewall-cmd --list-all` printed.
pub fn zones(text: &str) -> Imported {
    let mut into = Imported::default();
    let mut zone = Zone::default();
    let (mut rich, mut ports) = (false, false);
    for (number, line) in (1..).zip(text.lines()) {
        let place = Place::line(number, line);
        if line.trim().is_empty() {
            continue;
        }
        if !line.starts_with([' ', '\t']) {
            std::mem::take(&mut zone).write(&mut into);
            zone = Zone::named(line, place);
            (rich, ports) = (false, false);
        } else if ports && line.trim_start().starts_with("port=") {
            let why = "what goes to one port is not sent on to another here".to_owned();
            zone.later.push((place, Err(why)));
        } else if rich && line.trim_start().starts_with("rule ") {
            zone.rich(place, line.trim());
        } else if let Some((key, value)) = line.trim().split_once(':') {
            (rich, ports) = (key == "rich rules", key == "forward-ports");
            zone.take(key, value.trim(), place);
        } else {
            zone.later.push((
                place,
                Err("this is no line that firewall-cmd writes".to_owned()),
            ));
        }
    }
    zone.write(&mut into);
    into.inbound = into.inbound.or(Some(Verdict::Block));
    into.outbound = Some(Verdict::Allow);
    into.notes
        .push("firewalld's zones say nothing of what goes out: all of it is allowed.".to_owned());
    into.notes
        .push("A reject is a block here: nothing is sent back.".to_owned());
    into
}

type Said = Result<(Verdict, KeyArguments), String>;

#[derive(Default)]
struct Zone {
    head: Option<Place>,
    is_default: bool,
    active: bool,
    target: Option<(String, Place)>,
    interfaces: Vec<String>,
    sources: Vec<String>,
    /// What refuses comes first, as in firewalld.
    first: Vec<(Place, Said)>,
    later: Vec<(Place, Said)>,
}

impl Zone {
    fn named(line: &str, place: Place) -> Self {
        Self {
            head: Some(place),
            is_default: line.contains("default"),
            active: line.contains("active"),
            ..Self::default()
        }
    }

    fn take(&mut self, key: &str, value: &str, place: Place) {
        let words = || value.split_whitespace();
        match key {
            "target" => self.target = Some((value.to_owned(), place)),
            "interfaces" => self.interfaces = words().map(str::to_owned).collect(),
            "sources" => self.sources = words().map(str::to_owned).collect(),
            "services" => words().for_each(|name| self.service(name, &place)),
            "ports" | "source-ports" => {
                for word in words() {
                    let said = ports(word, key == "ports").map(|keys| (Verdict::Allow, keys));
                    self.later.push((named(&place, word), said));
                }
            }
            "protocols" => {
                for word in words() {
                    let keys = KeyArguments {
                        protocol: vec![protocol(word)],
                        ..KeyArguments::default()
                    };
                    self.later
                        .push((named(&place, word), Ok((Verdict::Allow, keys))));
                }
            }
            "icmp-blocks" => {
                for word in words() {
                    self.icmp_block(word, &place);
                }
            }
            "icmp-block-inversion" | "masquerade" if value == "no" => {}
            "egress-priority" | "ingress-priority" if value == "0" => {}
            "forward" | "rich rules" => {}
            _ if value.is_empty() => {}
            _ => {
                let why = format!("`{key}` has no likeness here");
                self.later.push((place, Err(why)));
            }
        }
    }

    fn service(&mut self, name: &str, place: &Place) {
        match service(name) {
            Ok(all) => {
                for keys in all {
                    self.later
                        .push((named(place, name), Ok((Verdict::Allow, keys))));
                }
            }
            Err(why) => self.later.push((named(place, name), Err(why))),
        }
    }

    fn icmp_block(&mut self, name: &str, place: &Place) {
        let number = super::nft::icmp_type(name);
        let of = |protocol: Protocol| protocol.icmp_type(name).is_ok();
        let of_v4 = of(Protocol::ICMP) || number.parse::<u8>().is_ok();
        let known = [("icmp", of_v4), ("icmpv6", of(Protocol::ICMPV6))];
        for (protocol, _) in known.iter().filter(|(_, known)| *known) {
            let keys = KeyArguments {
                protocol: vec![(*protocol).to_owned()],
                icmp_type: vec![number.clone()],
                ..KeyArguments::default()
            };
            self.first
                .push((named(place, name), Ok((Verdict::Block, keys))));
        }
        if known.iter().all(|(_, known)| !known) {
            let why = format!("the ICMP type `{name}` is not known here by that name");
            self.first.push((named(place, name), Err(why)));
        }
    }

    fn rich(&mut self, place: Place, rule: &str) {
        match rich(rule) {
            Ok((verdict, all)) => {
                for keys in all {
                    let list = if verdict == Verdict::Block {
                        &mut self.first
                    } else {
                        &mut self.later
                    };
                    list.push((place.clone(), Ok((verdict, keys))));
                }
            }
            Err(why) => self.later.push((place, Err(why))),
        }
    }

    fn write(mut self, into: &mut Imported) {
        let Some(head) = self.head.take() else {
            return;
        };
        if !(self.active || self.is_default)
            && self.interfaces.is_empty()
            && self.sources.is_empty()
        {
            into.not_needed(head, "this zone is not active");
            return;
        }
        self.target_rules(into);
        let scopes = self.scopes();
        for (place, said) in self.first.into_iter().chain(self.later) {
            match said {
                Err(why) => into.unsaid(place, why),
                Ok((verdict, keys)) => {
                    for scope in scopes.iter().filter(|scope| scope.can_be(&keys)) {
                        match scope.narrow(keys.clone()) {
                            Ok(keys) => into.rule(place.clone(), verdict, keys),
                            Err(why) => into.unsaid(place.clone(), why),
                        }
                    }
                }
            }
        }
    }

    /// What the zone does with what none of its rules takes.
    fn target_rules(&mut self, into: &mut Imported) {
        let Some((target, place)) = self.target.take() else {
            return;
        };
        match target.as_str() {
            "default" => {
                for protocol in ["icmp", "icmpv6"] {
                    let keys = KeyArguments {
                        protocol: vec![protocol.to_owned()],
                        ..KeyArguments::default()
                    };
                    self.later.push((place.clone(), Ok((Verdict::Allow, keys))));
                }
                into.inbound = into.inbound.or(Some(Verdict::Block));
            }
            "DROP" | "%%REJECT%%" | "REJECT" => {
                into.inbound = into.inbound.or(Some(Verdict::Block))
            }
            "ACCEPT" if self.is_default => into.inbound = Some(Verdict::Allow),
            "ACCEPT" => self
                .later
                .push((place, Ok((Verdict::Allow, KeyArguments::default())))),
            other => into.unsaid(place, format!("the target `{other}` has no likeness here")),
        }
    }

    /// Whose packets the zone is for.
    fn scopes(&self) -> Vec<Scope> {
        let mut scopes = Vec::new();
        if self.is_default || (self.interfaces.is_empty() && self.sources.is_empty()) {
            return vec![Scope::All];
        }
        if !self.interfaces.is_empty() {
            scopes.push(Scope::By(self.interfaces.clone()));
        }
        if !self.sources.is_empty() {
            scopes.push(Scope::From(self.sources.clone()));
        }
        scopes
    }
}

enum Scope {
    All,
    By(Vec<String>),
    From(Vec<String>),
}

impl Scope {
    /// Whether a packet can be of both: not if its ends were of different versions of IP.
    fn can_be(&self, keys: &KeyArguments) -> bool {
        let Self::From(sources) = self else {
            return true;
        };
        keys.destination.is_empty()
            || sources.iter().any(|source| {
                let same = |other: &String| other.contains(':') == source.contains(':');
                keys.destination.iter().any(same)
            })
    }

    fn narrow(&self, mut keys: KeyArguments) -> Result<KeyArguments, String> {
        keys.direction = Some("in".to_owned());
        match self {
            Self::All => {}
            Self::By(interfaces) => keys.interface.clone_from(interfaces),
            Self::From(sources) if keys.source.is_empty() => keys.source.clone_from(sources),
            Self::From(_) => {
                return Err(
                    "it asks for `source` twice over, as the zone does, and a rule does so once"
                        .to_owned(),
                );
            }
        }
        Ok(keys)
    }
}

fn named(place: &Place, word: &str) -> Place {
    Place {
        line: place.line,
        text: word.to_owned(),
    }
}

fn service(name: &str) -> Result<Vec<KeyArguments>, String> {
    let known = SERVICES.iter().find(|(known, _)| *known == name);
    let Some((_, parts)) = known else {
        return Err(format!(
            "what the service `{name}` is stands in /usr/lib/firewalld/services/{name}.xml or /etc/firewalld/services/{name}.xml; write \
             its ports"
        ));
    };
    let keys = parts
        .iter()
        .map(|(protocol, ports, destination)| KeyArguments {
            protocol: vec![(*protocol).to_owned()],
            ports: ports.split(',').map(str::to_owned).collect(),
            destination: destination
                .split(',')
                .filter(|it| !it.is_empty())
                .map(str::to_owned)
                .collect(),
            ..KeyArguments::default()
        });
    Ok(keys.collect())
}

/// `8000-8080/tcp`.
fn ports(word: &str, destination: bool) -> Result<KeyArguments, String> {
    let (range, protocol) = word
        .split_once('/')
        .ok_or_else(|| format!("`{word}` is no port with its protocol"))?;
    let range = vec![port(range)?];
    let mut keys = KeyArguments {
        protocol: vec![protocol.to_owned()],
        ..KeyArguments::default()
    };
    if destination {
        keys.ports = range;
    } else {
        keys.source_ports = range;
    }
    Ok(keys)
}

fn protocol(name: &str) -> String {
    match name {
        "ipv6-icmp" => "icmpv6",
        "gre" => "47",
        "esp" => "50",
        "ah" => "51",
        "sctp" => "132",
        "igmp" => "2",
        "vrrp" => "112",
        "ospf" => "89",
        other => other,
    }
    .to_owned()
}

/// A rich rule: what becomes of packets, and one rule of ours for each thing that it is about.
fn rich(rule: &str) -> Result<(Verdict, Vec<KeyArguments>), String> {
    let mut keys = KeyArguments::default();
    let mut about: Option<Vec<KeyArguments>> = None;
    let mut verdict = None;
    let (mut element, mut range) = ("", None);
    let words = rich_words(rule);
    for word in words.iter().skip(1) {
        match (word.0.as_str(), word.1.as_deref()) {
            ("NOT" | "not", _) => {
                return Err("it asks for everything but that, and a key of ours can't".to_owned());
            }
            ("family", Some(_)) => {}
            ("accept", None) => verdict = Some(Verdict::Allow),
            ("reject" | "drop", None) => verdict = Some(Verdict::Block),
            ("type", Some(_)) if verdict.is_some() => {}
            ("log", None) => {
                keys.log = Some(true);
                element = "log";
            }
            ("prefix" | "level", Some(_)) if element == "log" => {}
            ("source", None) => element = "source",
            ("destination", None) => element = "destination",
            ("service", None) => element = "service",
            ("port", None) => element = "port",
            ("source-port", None) => element = "source-port",
            ("protocol", None) => element = "protocol",
            ("icmp-type", None) => element = "icmp-type",
            ("address", Some(value)) if element == "source" => keys.source = addresses(value),
            ("address", Some(value)) if element == "destination" => {
                keys.destination = addresses(value)
            }
            ("name", Some(value)) if element == "service" => about = Some(service(value)?),
            ("port", Some(value)) => range = Some(value.to_owned()),
            ("protocol", Some(value)) if element == "port" || element == "source-port" => {
                let range = range.take().ok_or("a port is missing")?;
                about = Some(vec![ports(&format!("{range}/{value}"), element == "port")?]);
            }
            ("value", Some(value)) if element == "protocol" => {
                keys.protocol = vec![protocol(value)]
            }
            (other, _) => return Err(format!("`{other}` has no key of ours")),
        }
    }
    let verdict = verdict.ok_or("it neither accepts nor refuses")?;
    let mut all = Vec::new();
    for part in about.unwrap_or_else(|| vec![KeyArguments::default()]) {
        all.push(super::model::both(&keys, &part)?);
    }
    Ok((verdict, all))
}

/// `word`, or `word="value"`.
fn rich_words(rule: &str) -> Vec<(String, Option<String>)> {
    super::iptables::words(rule)
        .into_iter()
        .map(|word| match word.split_once('=') {
            Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
            None => (word, None),
        })
        .collect()
}
