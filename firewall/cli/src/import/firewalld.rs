//! `firewall-cmd --list-all` and `--list-all-zones`.

use super::icmp;
use super::iptables::OTHERWISE;
use super::model::{ImportPlace, Imported, Version, of_version, once};
use super::ports::port;
use crate::edit::KeyArguments;
use firewall_abi::packet::Verdict;

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

/// Translates the output of `firewall-cmd --list-all`.
///
/// A packet belongs to one zone: to one that has its source, else to the one that has its device, else to the default
/// zone. So the rules of each zone but the last end with one for whatever else belongs to it.
pub fn zones(text: &str) -> Imported {
    let mut into = Imported {
        outbound: Verdict::Allow.into(),
        forward: Verdict::Block.into(),
        defaults_are: Some(
            "what belongs to no zone here belongs to the default zone; the rules of all zones: \
             firewall-cmd --list-all-zones | gatebell rules import -",
        ),
        ..Imported::default()
    };
    let mut zones = read(text);
    for zone in &mut zones {
        zone.complete(&mut into);
    }
    for zone in &zones {
        zone.by_sources(&mut into);
    }
    for zone in zones.iter().filter(|zone| !zone.is_default) {
        zone.by_devices(&mut into);
    }
    for zone in &zones {
        zone.by_default(&mut into);
    }
    for note in [
        "firewalld's zones say nothing of what goes out: all of it is allowed.",
        "What is forwarded is refused, but between the devices of a zone that has \"forward: yes\".",
        OTHERWISE,
    ] {
        into.notes.push(note.to_owned());
    }
    into
}

fn read(text: &str) -> Vec<Zone> {
    let (mut zones, mut zone) = (Vec::new(), Zone::default());
    let (mut rich, mut ports) = (false, false);
    for (number, line) in (1..).zip(text.lines()) {
        let place = ImportPlace::line(number, line);
        if line.trim().is_empty() {
            continue;
        }
        if !line.starts_with([' ', '\t']) {
            zones.push(std::mem::replace(&mut zone, Zone::named(line, place)));
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
    zones.push(zone);
    zones.retain(|zone| zone.head.is_some());
    zones
}

type Said = Result<(Verdict, KeyArguments), String>;

#[derive(Default)]
struct Zone {
    head: Option<ImportPlace>,
    is_default: bool,
    active: bool,
    target: Option<(String, ImportPlace)>,
    interfaces: Vec<String>,
    sources: Vec<String>,
    /// All types of ICMP are refused but those that are listed.
    inverted: bool,
    /// The zone's own packets are forwarded among its devices.
    forwards: Option<ImportPlace>,
    /// Rules that refuse, which come first, as in firewalld.
    first: Vec<(ImportPlace, Said)>,
    later: Vec<(ImportPlace, Said)>,
    /// Verdict on packets of the zone that none of its rules matches.
    rest: Option<Verdict>,
}

impl Zone {
    /// `public (default, active)`
    fn named(line: &str, place: ImportPlace) -> Self {
        let state = line.split_once('(').map_or("", |(_, state)| state);
        let is = |word: &str| state.split([',', ' ', ')']).any(|part| part == word);
        Self {
            head: Some(place),
            is_default: is("default"),
            active: is("active"),
            ..Self::default()
        }
    }

    fn take(&mut self, key: &str, value: &str, place: ImportPlace) {
        let words = || value.split_whitespace();
        match key {
            "target" => self.target = Some((value.to_owned(), place)),
            "interfaces" => self.interfaces = words().map(str::to_owned).collect(),
            "sources" => {
                for word in words() {
                    if word.parse::<rules::Addresses>().is_ok() {
                        self.sources.push(word.to_owned());
                    } else {
                        let why = "sources are addresses here: what comes from this one is not known to belong to the zone";
                        self.later.push((named(&place, word), Err(why.to_owned())));
                    }
                }
            }
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
            "icmp-block-inversion" if value == "yes" => self.inverted = true,
            "icmp-block-inversion" | "masquerade" | "forward" if value == "no" => {}
            "egress-priority" | "ingress-priority" if value == "0" => {}
            "forward" if value == "yes" => self.forwards = Some(place),
            "rich rules" if value.is_empty() => {}
            _ if value.is_empty() => {}
            _ => {
                let why = format!("`{key}` has no likeness here");
                self.later.push((place, Err(why)));
            }
        }
    }

    fn service(&mut self, name: &str, place: &ImportPlace) {
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

    fn icmp_block(&mut self, name: &str, place: &ImportPlace) {
        let types = icmp::types_of_firewalld(name);
        if types.is_empty() {
            let why = format!("the ICMP type `{name}` is not known here by that name");
            self.first.push((named(place, name), Err(why)));
        }
        let verdict = if self.inverted {
            Verdict::Allow
        } else {
            Verdict::Reject
        };
        for (version, number) in types {
            let keys = KeyArguments {
                icmp_type: vec![number],
                ..of_icmp(version)
            };
            self.first.push((named(place, name), Ok((verdict, keys))));
        }
    }

    fn rich(&mut self, place: ImportPlace, rule: &str) {
        match rich(rule) {
            Ok((verdict, all)) => {
                for keys in all {
                    let list = if Verdict::refuses(verdict as u8) {
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

    /// Sets the verdict on packets that none of the zone's rules matches, and adds its rules for ICMP.
    fn complete(&mut self, into: &mut Imported) {
        let (target, place) = match self.target.take() {
            Some((target, place)) => (target, Some(place)),
            None => ("default".to_owned(), self.head.clone()),
        };
        let place = place.unwrap_or_else(|| ImportPlace::named("target"));
        if self.inverted {
            for version in Version::ALL {
                let blocked = (Verdict::Reject, of_icmp(version));
                self.first.push((place.clone(), Ok(blocked)));
            }
        }
        self.rest = Some(match target.as_str() {
            "ACCEPT" => Verdict::Allow,
            "default" => {
                for version in Version::ALL {
                    let allowed = (Verdict::Allow, of_icmp(version));
                    self.later.push((place.clone(), Ok(allowed)));
                }
                Verdict::Reject
            }
            "%%REJECT%%" | "REJECT" => Verdict::Reject,
            "DROP" => Verdict::Block,
            other => {
                let why = format!("the target `{other}` has no likeness here, and refuses");
                self.later.push((place, Err(why)));
                Verdict::Block
            }
        });
        if let Some(head) = self.head.clone().filter(|_| !self.is_in_use()) {
            into.not_needed(head, "this zone is not active");
        }
    }

    fn is_in_use(&self) -> bool {
        self.active || self.is_default || !self.interfaces.is_empty() || !self.sources.is_empty()
    }

    /// Writes the rules for packets from the zone's own sources.
    fn by_sources(&self, into: &mut Imported) {
        if !self.sources.is_empty() {
            self.write(&Scope::From(&self.sources), into);
        }
    }

    /// Writes the rules for packets that come in by the zone's own devices.
    fn by_devices(&self, into: &mut Imported) {
        if !self.interfaces.is_empty() {
            self.write(&Scope::By(&self.interfaces), into);
        } else if self.active && self.sources.is_empty() {
            self.say_unsaid(into);
            if let Some(head) = self.head.clone() {
                into.unsaid(
                    head,
                    "this zone is active, and which packets are its own is not said",
                );
            }
        }
        self.forward(into);
    }

    /// Writes the rules of the default zone, for packets that belong to no other zone.
    fn by_default(&self, into: &mut Imported) {
        if !self.is_default {
            return;
        }
        self.write(&Scope::All, into);
        self.forward(into);
        if let Some(rest) = self.rest {
            into.inbound = rest.into();
        }
    }

    /// Writes the rule for packets that are forwarded from one of the zone's devices to another.
    fn forward(&self, into: &mut Imported) {
        if let Some(place) = self.forwards.clone()
            && !self.interfaces.is_empty()
        {
            let keys = KeyArguments {
                direction: Some("forward".to_owned()),
                interface: self.interfaces.clone(),
                out_interface: self.interfaces.clone(),
                ..KeyArguments::default()
            };
            into.rule(place, Verdict::Allow, keys);
        }
    }

    /// Writes the zone's rules for packets of a scope, and the verdict on the rest of them.
    fn write(&self, scope: &Scope<'_>, into: &mut Imported) {
        // What can't be said is a comment once.
        if matches!(scope, Scope::From(_)) || self.sources.is_empty() {
            self.say_unsaid(into);
        }
        for (place, said) in self.first.iter().chain(&self.later) {
            match said {
                Err(_) => {}
                Ok((verdict, keys)) if scope.can_be(keys) => match scope.narrow(keys.clone()) {
                    Ok(keys) => into.rule(place.clone(), *verdict, keys),
                    Err(why) => into.unsaid(place.clone(), why),
                },
                Ok(_) => {}
            }
        }
        if let (Some(rest), Some(head)) = (self.rest, self.head.clone())
            && !matches!(scope, Scope::All)
        {
            match scope.narrow(KeyArguments::default()) {
                Ok(keys) => into.rule(head, rest, keys),
                Err(why) => into.unsaid(head, why),
            }
        }
    }

    fn say_unsaid(&self, into: &mut Imported) {
        for (place, said) in self.first.iter().chain(&self.later) {
            if let Err(why) = said {
                into.unsaid(place.clone(), why.clone());
            }
        }
    }
}

fn of_icmp(version: Version) -> KeyArguments {
    let protocol = match version {
        Version::V4 => "icmp",
        Version::V6 => "icmpv6",
    };
    KeyArguments {
        protocol: vec![protocol.to_owned()],
        ..KeyArguments::default()
    }
}

/// The packets that belong to a zone, or a part of them.
enum Scope<'z> {
    All,
    By(&'z [String]),
    From(&'z [String]),
}

impl Scope<'_> {
    /// Returns whether a packet can match the scope and the keys: not if its ends were of different versions of IP.
    fn can_be(&self, keys: &KeyArguments) -> bool {
        let Self::From(sources) = self else {
            return true;
        };
        let ends: Vec<_> = keys.destination.iter().collect();
        let icmp = |version: Version| keys.protocol == of_icmp(version).protocol;
        let has = |version: Version| {
            sources.iter().any(|source| version.has(source))
                && (ends.is_empty() || ends.iter().any(|end| version.has(end)))
        };
        Version::ALL
            .into_iter()
            .any(|version| has(version) && (!Version::ALL.into_iter().any(icmp) || icmp(version)))
    }

    fn narrow(&self, mut keys: KeyArguments) -> Result<KeyArguments, String> {
        keys.direction = Some("in".to_owned());
        match self {
            Self::All => {}
            Self::By(interfaces) => keys.interface = interfaces.to_vec(),
            Self::From(sources) if keys.source.is_empty() => keys.source = sources.to_vec(),
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

fn named(place: &ImportPlace, word: &str) -> ImportPlace {
    ImportPlace {
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
    let mut rich = Rich::default();
    for (word, value) in rich_words(rule).iter().skip(1) {
        rich.take(word, value.as_deref())?;
    }
    rich.finish()
}

/// State of parsing a rich rule.
#[derive(Default)]
struct Rich {
    keys: KeyArguments,
    about: Option<Vec<KeyArguments>>,
    verdict: Option<Verdict>,
    version: Option<Version>,
    /// Element that the words are about, and `true` if its value is still missing.
    element: Option<(String, bool)>,
    range: Option<String>,
}

impl Rich {
    fn take(&mut self, word: &str, value: Option<&str>) -> Result<(), String> {
        let Some(value) = value else {
            return self.begin(word);
        };
        let element = self
            .element
            .as_ref()
            .map_or("", |(name, _)| name)
            .to_owned();
        let mut said = true;
        match (element.as_str(), word) {
            ("", "family") => {
                self.version = Some(match value {
                    "ipv4" => Version::V4,
                    "ipv6" => Version::V6,
                    _ => return Err(format!("the family `{value}` is not known here")),
                });
            }
            ("reject", "type") => {}
            ("log", "prefix" | "level") => {}
            ("source", "address") => once("source", &mut self.keys.source, list(value))?,
            ("destination", "address") => {
                once("destination", &mut self.keys.destination, list(value))?;
            }
            ("service", "name") => self.about(service(value)?)?,
            ("port" | "source-port", "port") => {
                self.range = Some(value.to_owned());
                said = false;
            }
            ("port" | "source-port", "protocol") => {
                let range = self.range.take().ok_or("a port is missing")?;
                let to = element == "port";
                self.about(vec![ports(&format!("{range}/{value}"), to)?])?;
            }
            ("protocol", "value") => {
                once("protocol", &mut self.keys.protocol, vec![protocol(value)])?;
            }
            _ => return Err(format!("`{word}` has no key of ours")),
        }
        if let Some((_, open)) = &mut self.element
            && said
        {
            *open = false;
        }
        Ok(())
    }

    /// A word with no value begins something.
    fn begin(&mut self, word: &str) -> Result<(), String> {
        if word.eq_ignore_ascii_case("not") {
            return Err("it asks for everything but that, and a key of ours can't".to_owned());
        }
        self.is_closed()?;
        let verdict = match word {
            "accept" => Some(Verdict::Allow),
            "reject" => Some(Verdict::Reject),
            "drop" => Some(Verdict::Block),
            "log" => {
                self.keys.log = Some(true);
                None
            }
            "source" | "destination" | "service" | "port" | "source-port" | "protocol" => None,
            other => return Err(format!("`{other}` has no key of ours")),
        };
        if verdict.is_some() && std::mem::replace(&mut self.verdict, verdict).is_some() {
            return Err("it says twice what becomes of packets".to_owned());
        }
        let needs_more = verdict.is_none() && word != "log";
        self.element = Some((word.to_owned(), needs_more));
        Ok(())
    }

    /// Returns an error if the value of the last element is missing.
    fn is_closed(&self) -> Result<(), String> {
        match &self.element {
            Some((element, true)) => {
                Err(format!("it asks for a `{element}` and does not say which"))
            }
            _ => Ok(()),
        }
    }

    fn about(&mut self, what: Vec<KeyArguments>) -> Result<(), String> {
        if self.about.replace(what).is_some() {
            return Err("it is about two things at once".to_owned());
        }
        Ok(())
    }

    fn finish(self) -> Result<(Verdict, Vec<KeyArguments>), String> {
        self.is_closed()?;
        let verdict = self.verdict.ok_or("it neither accepts nor refuses")?;
        let mut all = Vec::new();
        for part in self.about.unwrap_or_else(|| vec![KeyArguments::default()]) {
            let keys = super::model::both(&self.keys, &part)?;
            let other = |version: Version| {
                let ends = [&part.destination, &self.keys.source, &self.keys.destination];
                ends.iter()
                    .any(|end| !end.is_empty() && !end.iter().any(|end| version.has(end)))
            };
            match self.version {
                // A service has parts that are for the other version.
                Some(version) if other(version) => {}
                Some(version) => all.push(of_version(keys, version)?),
                None => all.push(keys),
            }
        }
        if all.is_empty() {
            return Err("it asks for both versions of IP at once".to_owned());
        }
        Ok((verdict, all))
    }
}

fn list(addresses: &str) -> Vec<String> {
    addresses.split(',').map(str::to_owned).collect()
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
