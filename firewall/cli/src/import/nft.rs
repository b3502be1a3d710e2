//! `nft list ruleset`.

use super::chains::{Chains, Does, Step, Walk};
use super::icmp;
use super::iptables::{OTHERWISE, States, states};
use super::model::{Imported, Item, NewSet, Place, Version, once, users};
use super::ports::port;
use crate::edit::KeyArguments;
use firewall_abi::packet::Verdict;
use rules::document::unlike;
use std::collections::HashMap;

/// What `nft list ruleset` printed.
pub fn ruleset(text: &str) -> Imported {
    let mut reader = Reader::default();
    let mut lines = statements(text).into_iter();
    while let Some(line) = lines.next() {
        match words(&line.text).as_slice() {
            ["table", family, name, "{"] => reader.table(family, name, &mut lines),
            ["flush", "ruleset"] | [] => {}
            _ => reader.into.unsaid(line.place(), "this is no table"),
        }
    }
    reader.finish()
}

/// A statement, and the line that it begins in.
struct Statement {
    line: usize,
    text: String,
}

impl Statement {
    fn place(&self) -> Place {
        Place::line(self.line, &self.text.replace(" , ", ", "))
    }
}

/// Statements: what ends with a line, a semicolon outside of braces for elements, or a brace that opens or closes a block.
/// Braces with elements in them stay in their statement.
fn statements(text: &str) -> Vec<Statement> {
    let mut found = Vec::new();
    let (mut now, mut line, mut begun) = (String::new(), 1, 1);
    let (mut quoted, mut inside) = (false, 0_usize);
    let mut letters = text.chars().peekable();
    let mut end = |now: &mut String, begun: usize| {
        let text = now.split_whitespace().collect::<Vec<_>>().join(" ");
        if !text.is_empty() {
            found.push(Statement { line: begun, text });
        }
        now.clear();
    };
    while let Some(letter) = letters.next() {
        if now.trim().is_empty() {
            begun = line;
        }
        match letter {
            '"' => {
                quoted = !quoted;
                now.push(letter);
            }
            _ if quoted => now.push(letter),
            '#' => while letters.next_if(|next| *next != '\n').is_some() {},
            '\\' if letters.peek() == Some(&'\n') => {
                letters.next();
                line += 1;
                now.push(' ');
            }
            '{' if inside > 0 || holds_elements(&now) => {
                inside += 1;
                now.push_str(" { ");
            }
            '{' => {
                now.push_str(" {");
                end(&mut now, begun);
            }
            '}' if inside > 0 => {
                inside -= 1;
                now.push_str(" } ");
            }
            '}' => {
                end(&mut now, begun);
                now.push('}');
                end(&mut now, line);
            }
            '\n' | ';' if inside == 0 => end(&mut now, begun),
            ',' => now.push_str(" , "),
            other => now.push(other),
        }
        line += usize::from(letter == '\n');
    }
    end(&mut now, begun);
    found
}

/// Whether a brace after this holds elements, and no block.
fn holds_elements(before: &str) -> bool {
    let first = before.split_whitespace().next().unwrap_or_default();
    !matches!(
        first,
        "table"
            | "chain"
            | "set"
            | "map"
            | "flowtable"
            | "counter"
            | "quota"
            | "limit"
            | "ct"
            | "synproxy"
            | "secmark"
    ) || (first == "ct" && before.split_whitespace().nth(1) == Some("state"))
        || (matches!(first, "counter" | "limit") && before.split_whitespace().count() > 2)
}

fn words(text: &str) -> Vec<&str> {
    let (mut words, mut start, mut quoted) = (Vec::new(), None, false);
    for (at, letter) in text.char_indices() {
        quoted ^= letter == '"';
        if letter == ' ' && !quoted {
            words.extend(start.take().and_then(|start| text.get(start..at)));
        } else if start.is_none() {
            start = Some(at);
        }
    }
    words.extend(start.and_then(|start| text.get(start..)));
    words
}

#[derive(Default)]
struct Reader {
    into: Imported,
    chains: Chains,
    bases: Vec<Base>,
    /// Sets of this table.
    sets: Sets,
}

/// A chain that packets begin in.
#[derive(Clone)]
struct Base {
    direction: &'static str,
    versions: &'static [Version],
    chain: String,
    place: Place,
    policy: Verdict,
}

/// Sets of one table by their names.
type Sets = HashMap<String, Set>;

/// What a set holds.
enum Set {
    /// Addresses, and what they are called here.
    Addresses(String),
    /// Ports.
    Ports(Vec<String>),
    /// Nothing, or nothing that has a likeness here; why.
    Unknown(String),
}

/// The versions of IP that a table of this family sees.
fn versions(family: &str) -> &'static [Version] {
    match family {
        "ip" => &[Version::V4],
        "ip6" => &[Version::V6],
        _ => &Version::ALL,
    }
}

impl Reader {
    fn table(&mut self, family: &str, name: &str, lines: &mut dyn Iterator<Item = Statement>) {
        let ours = matches!(family, "inet" | "ip" | "ip6");
        self.sets.clear();
        while let Some(line) = lines.next() {
            match words(&line.text).as_slice() {
                ["}"] => return,
                ["chain", chain, "{"] if ours => {
                    self.chain(family, &format!("{family} {name} {chain}"), &line, lines);
                }
                ["set", set, "{"] if ours => self.set(set, name, &line, lines),
                [.., "{"] => {
                    let why = if ours {
                        "this kind of table entry has no likeness here"
                    } else {
                        "only the families inet, ip and ip6 are judged by rules"
                    };
                    self.into.unsaid(line.place(), why);
                    skip(lines);
                }
                ["flags", flags @ ..] if flags.contains(&"dormant") => {
                    self.into
                        .not_needed(line.place(), "this table is switched off");
                    // What stands in it is in force nowhere.
                    skip(lines);
                    return;
                }
                ["comment", ..] => {}
                _ => self.into.unsaid(line.place(), "this has no likeness here"),
            }
        }
    }

    fn set(
        &mut self,
        name: &str,
        table: &str,
        head: &Statement,
        lines: &mut dyn Iterator<Item = Statement>,
    ) {
        let (mut addresses, mut ports, mut elements) = (false, false, Ok(Vec::new()));
        for line in lines {
            let words = words(&line.text);
            match words.as_slice() {
                ["}"] => break,
                ["type" | "typeof", kind @ ..] => {
                    let kind = kind.join(" ");
                    addresses = matches!(
                        kind.as_str(),
                        "ipv4_addr"
                            | "ipv6_addr"
                            | "ip saddr"
                            | "ip daddr"
                            | "ip6 saddr"
                            | "ip6 daddr"
                    );
                    ports = kind == "inet_service"
                        || kind.ends_with(" dport")
                        || kind.ends_with(" sport");
                }
                ["elements", "=", rest @ ..] => elements = listed(rest, &AFTER_ELEMENTS),
                ["timeout" | "flags", rest @ ..]
                    if rest.contains(&"timeout") || words[0] == "timeout" =>
                {
                    let why = "what a set holds has no timeout here; what was in it now is written down for good";
                    self.into.unsaid(line.place(), why);
                }
                _ => {}
            }
        }
        let set = match elements {
            Err(why) => Set::Unknown(why),
            Ok(_) if !addresses && !ports => {
                let why = "sets hold addresses here, and this one holds something else";
                self.into.unsaid(head.place(), why);
                Set::Unknown(format!("the set `{name}` holds no addresses"))
            }
            Ok(elements) if elements.is_empty() => {
                Set::Unknown(format!("the set `{name}` is empty, so it matches nothing"))
            }
            Ok(elements) if ports => Set::Ports(elements),
            Ok(addresses) => {
                let taken = |id: &str| self.into.sets.iter().any(|other| other.id == id);
                let id = if taken(name) {
                    unlike(&format!("{table}-{name}"), taken)
                } else {
                    name.to_owned()
                };
                self.into.sets.push(NewSet {
                    id: id.clone(),
                    addresses,
                });
                Set::Addresses(id)
            }
        };
        self.sets.insert(name.to_owned(), set);
    }

    fn chain(
        &mut self,
        family: &str,
        name: &str,
        head: &Statement,
        lines: &mut dyn Iterator<Item = Statement>,
    ) {
        self.chains.entry(name.to_owned()).or_default();
        let (mut base, mut policy) = (None, None);
        while let Some(line) = lines.next() {
            let words = words(&line.text);
            match words.as_slice() {
                ["}"] => break,
                ["type", "filter", "hook", "input", ..] => base = Some("in"),
                ["type", "filter", "hook", "output", ..] => base = Some("out"),
                ["type", "filter", "hook", "forward", ..] => base = Some("forward"),
                ["type", ..] => {
                    let why =
                        "packets are judged on their way in, out and through, and changed nowhere";
                    self.into.unsaid(line.place(), why);
                }
                ["policy", word] => policy = self.policy(base, word, &line),
                ["comment", ..] => {}
                [.., "{"] => {
                    self.into.unsaid(
                        line.place(),
                        "this kind of chain entry has no likeness here",
                    );
                    skip(lines);
                }
                _ => {
                    let step = self.step(family, name, &line, &words);
                    self.chains.entry(name.to_owned()).or_default().push(step);
                }
            }
        }
        if let Some(direction) = base {
            self.bases.push(Base {
                direction,
                versions: versions(family),
                chain: name.to_owned(),
                place: head.place(),
                // Without one, nft's documentation says, packets pass.
                policy: policy.unwrap_or(Verdict::Allow),
            });
        }
    }

    /// What a chain's policy says. One that is no word for it refuses.
    fn policy(&mut self, base: Option<&str>, policy: &str, line: &Statement) -> Option<Verdict> {
        if policy == "accept" {
            return Some(Verdict::Allow);
        }
        if base.is_none() || policy != "drop" {
            self.into
                .unsaid(line.place(), "there is no such default here");
        }
        Some(Verdict::Block)
    }

    fn step(&mut self, family: &str, chain: &str, line: &Statement, words: &[&str]) -> Step {
        let mut rule = Rule::of(family, chain);
        let read = rule.read(words, &self.sets);
        let version = rule.version;
        let (keys, does) = match read {
            Ok(()) => rule.finish(),
            // Whatever it asks for: without it the rest of its chain would hold for what it keeps from that.
            Err(_) if words.contains(&"return") => (KeyArguments::default(), Does::Return),
            Err(why) => (KeyArguments::default(), Does::Unsaid(why)),
        };
        Step {
            place: line.place(),
            keys: Ok(keys),
            version,
            does,
        }
    }

    fn finish(mut self) -> Imported {
        let mut walk = Walk::through(&self.chains);
        for direction in ["in", "out", "forward"] {
            let bases = self.bases.iter().filter(|base| base.direction == direction);
            let mut bases: Vec<_> = bases.cloned().collect();
            // Where packets pass if no rule says otherwise, and rules refuse alone, it is first or last all the same. Of the
            // others that which refuses by its policy is the one that counts.
            bases.sort_by_key(|base| {
                let only_refuses = only_refuses(&self.chains, base);
                (!only_refuses, base.policy == Verdict::Allow)
            });
            let default = match direction {
                "in" => &mut self.into.inbound,
                "out" => &mut self.into.outbound,
                _ => &mut self.into.forward,
            };
            for base in &bases {
                for version in base.versions {
                    default.say(*version, base.policy);
                }
            }
            let mut had: Vec<Version> = Vec::new();
            for base in bases {
                let again = base.versions.iter().any(|version| had.contains(version));
                if again && !only_refuses(&self.chains, &base) {
                    let why = "a second chain for the same packets: each would have to let a packet pass, and here one row of rules decides";
                    self.into.unsaid(base.place, why);
                    let why = "it stands in that second chain";
                    walk.leave_out(&base.chain, why, &mut self.into);
                    continue;
                }
                if !only_refuses(&self.chains, &base) {
                    had.extend(base.versions);
                }
                walk.from(&base.chain, direction, &mut self.into);
            }
        }
        walk.finish(&mut self.into);
        self.into.notes.push(OTHERWISE.to_owned());
        self.pass_without_a_chain();
        self.into
    }

    /// Where a ruleset has chains for what comes in, but none for what goes out or through, packets pass there.
    fn pass_without_a_chain(&mut self) {
        for version in Version::ALL {
            if self.into.inbound.of(version).is_none() {
                continue;
            }
            for (default, packets) in [
                (&mut self.into.outbound, "goes out"),
                (&mut self.into.forward, "is forwarded"),
            ] {
                if default.of(version).is_none() {
                    *default.of(version) = Some(Verdict::Allow);
                    let note = format!(
                        "No chain is for what {packets} by {}: all of it passes, as in nftables.",
                        version.name()
                    );
                    self.into.notes.push(note);
                }
            }
        }
    }
}

/// Whether a chain, and those that it leads to, let nothing pass that another one might refuse, but by a policy.
fn only_refuses(chains: &Chains, base: &Base) -> bool {
    let mut alone = Imported::default();
    Walk::through(chains).from(&base.chain, base.direction, &mut alone);
    let allows = |item: &Item| matches!(item, Item::Rule(rule) if rule.action == Verdict::Allow);
    base.policy == Verdict::Allow && !alone.items.iter().any(allows)
}

fn skip(lines: &mut dyn Iterator<Item = Statement>) {
    let mut depth = 1_usize;
    for line in lines {
        if line.text == "}" {
            depth -= 1;
        } else if line.text.ends_with('{') {
            depth += 1;
        }
        if depth == 0 {
            return;
        }
    }
}

/// What may stand behind an element of a set and is no part of it.
const AFTER_ELEMENTS: [&str; 4] = ["timeout", "expires", "counter", "comment"];

/// The elements between braces, each of one word and what may stand after it.
fn listed(words: &[&str], after: &[&str]) -> Result<Vec<String>, String> {
    let inner = words
        .iter()
        .filter(|word| !matches!(**word, "{" | "}"))
        .copied()
        .collect::<Vec<_>>();
    inner
        .split(|word| *word == ",")
        .filter_map(|element| element.split_first())
        .map(|(first, rest)| match rest.first() {
            Some(next) if !after.contains(next) => Err(format!(
                "`{first} {next}` are several things at once, and a key of ours takes one"
            )),
            _ => Ok(first.trim_matches('"').to_owned()),
        })
        .collect()
}

struct Rule<'a> {
    table: &'a str,
    /// The version of IP that it is for, if it is for one.
    version: Option<Version>,
    keys: KeyArguments,
    states: Vec<String>,
    loopback: bool,
    does: Option<Does>,
    logs: bool,
}

impl<'a> Rule<'a> {
    fn of(family: &'a str, chain: &'a str) -> Self {
        let table = chain.rsplit_once(' ').map_or(chain, |(table, _)| table);
        Self {
            table,
            version: match versions(family) {
                [version] => Some(*version),
                _ => None,
            },
            keys: KeyArguments::default(),
            states: Vec::new(),
            loopback: false,
            does: None,
            logs: false,
        }
    }

    fn read<'w>(&mut self, mut words: &'w [&'w str], sets: &Sets) -> Result<(), String> {
        while !words.is_empty() {
            words = self.take(words, sets)?;
        }
        Ok(())
    }

    /// Takes in one part of a rule; what is left.
    fn take<'w>(&mut self, words: &'w [&'w str], sets: &Sets) -> Result<&'w [&'w str], String> {
        match words {
            ["counter", "packets", _, "bytes", _, rest @ ..] | ["counter", rest @ ..] => Ok(rest),
            ["comment", text, rest @ ..] => {
                self.keys.comment = Some(text.trim_matches('"').to_owned());
                Ok(rest)
            }
            ["log", rest @ ..] => {
                self.logs = true;
                let mut rest = rest;
                while let [
                    "prefix" | "level" | "group" | "flags" | "snaplen" | "queue-threshold",
                    _,
                    after @ ..,
                ] = rest
                {
                    rest = after;
                }
                Ok(rest)
            }
            ["accept", rest @ ..] => self.decide(Does::Decide(Verdict::Allow), rest),
            ["drop", rest @ ..] => self.decide(Does::Decide(Verdict::Block), rest),
            ["reject", rest @ ..] => {
                // How it is said to the other end.
                let said = rest
                    .iter()
                    .position(|word| *word == "comment")
                    .unwrap_or(rest.len());
                self.decide(
                    Does::Decide(Verdict::Reject),
                    rest.get(said..).unwrap_or_default(),
                )
            }
            ["return", rest @ ..] => self.decide(Does::Return, rest),
            ["jump", chain, rest @ ..] => {
                self.decide(Does::Jump(format!("{} {chain}", self.table)), rest)
            }
            [
                "ip" | "ip6" | "icmp" | "icmpv6" | "tcp" | "udp" | "th" | "meta" | "ct",
                key,
                rest @ ..,
            ] => self.ask(words[0], key, rest, sets),
            [
                key @ ("iif" | "oif" | "iifname" | "oifname" | "skuid" | "l4proto"),
                rest @ ..,
            ] => self.ask("meta", key, rest, sets),
            [other, ..] => Err(format!("`{other}` has no key of ours")),
            [] => Ok(words),
        }
    }

    fn decide<'w>(&mut self, does: Does, rest: &'w [&'w str]) -> Result<&'w [&'w str], String> {
        self.does = Some(does);
        Ok(rest)
    }

    fn ask<'w>(
        &mut self,
        what: &str,
        key: &str,
        words: &'w [&'w str],
        sets: &Sets,
    ) -> Result<&'w [&'w str], String> {
        let (values, rest) = values(words)?;
        let values = with_sets(values, key, sets)?;
        let keys = &mut self.keys;
        match (what, key) {
            ("ip" | "ip6", "saddr") => once("source", &mut keys.source, values)?,
            ("ip" | "ip6", "daddr") => once("destination", &mut keys.destination, values)?,
            ("tcp" | "udp", "dport") => {
                once("protocol", &mut keys.protocol, vec![what.to_owned()])?;
                once("ports", &mut keys.ports, numbers(&values)?)?;
            }
            ("tcp" | "udp", "sport") => {
                once("protocol", &mut keys.protocol, vec![what.to_owned()])?;
                once("source_ports", &mut keys.source_ports, numbers(&values)?)?;
            }
            ("th", "dport") => once("ports", &mut keys.ports, numbers(&values)?)?,
            ("th", "sport") => once("source_ports", &mut keys.source_ports, numbers(&values)?)?,
            ("ip", "protocol") | ("ip6", "nexthdr") | ("meta", "l4proto") => {
                let protocols = values.iter().map(|name| protocol(name)).collect();
                once("protocol", &mut keys.protocol, protocols)?;
            }
            ("icmp" | "icmpv6", "type") => {
                let (ours, version) = match what {
                    "icmp" => ("icmp", Version::V4),
                    _ => ("icmpv6", Version::V6),
                };
                once("protocol", &mut keys.protocol, vec![ours.to_owned()])?;
                let types = values
                    .iter()
                    .map(|name| icmp::type_of_nft(name, version))
                    .collect::<Result<_, _>>()?;
                once("icmp_type", &mut keys.icmp_type, types)?;
            }
            ("meta", "iif" | "oif" | "iifname" | "oifname") => {
                if values == ["lo"] {
                    self.loopback = true;
                } else if key.starts_with("iif") {
                    once("interface", &mut keys.interface, values)?;
                } else {
                    once("out_interface", &mut keys.out_interface, values)?;
                }
            }
            ("meta", "skuid") => {
                let all = values.iter().map(|value| users(value));
                let all = all.collect::<Result<Vec<_>, _>>()?.concat();
                once("user", &mut keys.user, all)?;
            }
            ("meta", "nfproto") => match values.as_slice() {
                [one] if one == "ipv4" => self.of_version(Version::V4)?,
                [one] if one == "ipv6" => self.of_version(Version::V6)?,
                _ => return Err("`meta nfproto` asks for no version of IP".to_owned()),
            },
            ("ct", "state") => once("state", &mut self.states, values)?,
            _ => return Err(format!("`{what} {key}` has no key of ours")),
        }
        // What asks for a part of one version's header is for that version.
        match what {
            "ip" => self.of_version(Version::V4)?,
            "ip6" => self.of_version(Version::V6)?,
            _ => {}
        }
        Ok(rest)
    }

    fn of_version(&mut self, version: Version) -> Result<(), String> {
        if self.version.is_some_and(|other| other != version) {
            return Err("it asks for both versions of IP at once".to_owned());
        }
        self.version = Some(version);
        Ok(())
    }

    fn finish(mut self) -> (KeyArguments, Does) {
        let does = self.does.unwrap_or_else(|| {
            if self.logs {
                Does::Unsaid(
                    "a rule here decides too: put log = true into the one that decides".to_owned(),
                )
            } else {
                Does::NotNeeded("it counts, and every rule here is counted".to_owned())
            }
        });
        if self.logs {
            self.keys.log = Some(true);
        }
        let allows = matches!(does, Does::Decide(Verdict::Allow));
        if self.loopback {
            let why = "what stays on lo is not judged".to_owned();
            let does = if allows {
                Does::NotNeeded(why)
            } else {
                Does::Unsaid(why)
            };
            return (self.keys, does);
        }
        let does = match states(&self.states) {
            States::Any | States::New => does,
            States::Replies if allows => {
                Does::NotNeeded("replies to what was allowed pass without a rule".to_owned())
            }
            States::Replies | States::Other => Does::Unsaid(format!(
                "the state {} is not asked for here: rules judge what begins, and replies follow",
                self.states.join(",")
            )),
        };
        (self.keys, does)
    }
}

/// The values of one question, and what is left.
fn values<'w>(words: &'w [&'w str]) -> Result<(Vec<String>, &'w [&'w str]), String> {
    match words {
        ["!=" | "<" | ">" | "<=" | ">=" | "&" | "not", ..] => Err(format!(
            "`{}` asks for everything but that, or for a part of it, and a key of ours can't",
            words[0]
        )),
        ["==", rest @ ..] => values(rest),
        ["vmap" | "map", ..] => Err("maps have no likeness here".to_owned()),
        ["{", rest @ ..] => {
            let end = rest
                .iter()
                .position(|word| *word == "}")
                .unwrap_or(rest.len());
            let inner = rest.get(..end).unwrap_or_default();
            Ok((listed(inner, &[])?, rest.get(end + 1..).unwrap_or_default()))
        }
        [".", ..] => {
            Err("several things are asked for at once, and a key of ours takes one".to_owned())
        }
        [first, rest @ ..] => {
            // `established,related` comes with blanks around its comma.
            let mut values = vec![first.trim_matches('"').to_owned()];
            let mut rest = rest;
            while let [",", next, after @ ..] = rest {
                values.push(next.trim_matches('"').to_owned());
                rest = after;
            }
            Ok((values, rest))
        }
        [] => Err("the rule ends too early".to_owned()),
    }
}

/// Sets of addresses by their names, others by what they hold.
fn with_sets(values: Vec<String>, key: &str, sets: &Sets) -> Result<Vec<String>, String> {
    let mut whole = Vec::with_capacity(values.len());
    for value in values {
        let Some(name) = value.strip_prefix('@') else {
            whole.push(value);
            continue;
        };
        match sets.get(name) {
            Some(Set::Addresses(id)) if key.ends_with("addr") => whole.push(format!("@{id}")),
            Some(Set::Ports(ports)) if !key.ends_with("addr") => {
                whole.extend(ports.iter().cloned())
            }
            Some(Set::Unknown(why)) => return Err(why.clone()),
            _ => return Err(format!("there is no such set `{name}` in this table")),
        }
    }
    Ok(whole)
}

fn numbers(values: &[String]) -> Result<Vec<String>, String> {
    values.iter().map(|value| port(value)).collect()
}

fn protocol(name: &str) -> String {
    match name {
        "1" => "icmp",
        "6" => "tcp",
        "17" => "udp",
        "58" => "icmpv6",
        "ipv6-icmp" => "icmpv6",
        "gre" => "47",
        "esp" => "50",
        "ah" => "51",
        "sctp" => "132",
        "igmp" => "2",
        "udplite" => "136",
        "dccp" => "33",
        other => other,
    }
    .to_owned()
}
