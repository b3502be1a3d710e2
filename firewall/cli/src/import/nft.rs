//! `nft list ruleset`.

use super::chains::{Chains, Does, Step, expand};
use super::iptables::{States, states};
use super::model::{Imported, NewSet, Place};
use super::ports::port;
use crate::edit::KeyArguments;
use firewall_abi::packet::Verdict;
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
    /// The chains that packets begin in: direction and name.
    bases: Vec<(&'static str, String, Place)>,
    /// Sets of this table: what they hold, and whether that is addresses.
    sets: HashMap<String, (Vec<String>, bool)>,
    rejects: bool,
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
                ["set", set, "{"] if ours => self.set(set, &line, lines),
                [.., "{"] => {
                    let why = if ours {
                        "this kind of table entry has no likeness here"
                    } else {
                        "only the families inet, ip and ip6 are judged by rules"
                    };
                    self.into.unsaid(line.place(), why);
                    skip(lines);
                }
                _ => {}
            }
        }
    }

    fn set(&mut self, name: &str, head: &Statement, lines: &mut dyn Iterator<Item = Statement>) {
        let (mut addresses, mut ports, mut elements) = (false, false, Vec::new());
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
                ["elements", "=", rest @ ..] => elements = listed(rest),
                ["timeout" | "flags", rest @ ..]
                    if rest.contains(&"timeout") || words[0] == "timeout" =>
                {
                    let why = "what a set holds has no timeout here; what was in it now is written down for good";
                    self.into.unsaid(line.place(), why);
                }
                _ => {}
            }
        }
        if !addresses && !ports {
            let why = "sets hold addresses here, and this one holds something else";
            self.into.unsaid(head.place(), why);
            return;
        }
        if addresses && !elements.is_empty() {
            self.into.sets.push(NewSet {
                id: name.to_owned(),
                addresses: elements.clone(),
            });
        }
        self.sets.insert(name.to_owned(), (elements, addresses));
    }

    fn chain(
        &mut self,
        family: &str,
        name: &str,
        head: &Statement,
        lines: &mut dyn Iterator<Item = Statement>,
    ) {
        self.chains.entry(name.to_owned()).or_default();
        let mut base = None;
        let mut depth = 0_usize;
        for line in lines {
            let words = words(&line.text);
            match words.as_slice() {
                ["}"] if depth == 0 => break,
                ["}"] => depth -= 1,
                ["type", "filter", "hook", "input", ..] => base = Some("in"),
                ["type", "filter", "hook", "output", ..] => base = Some("out"),
                ["type", "filter", "hook", "forward", ..] => base = Some("forward"),
                ["type", ..] => {
                    let why =
                        "packets are judged on their way in, out and through, and changed nowhere";
                    self.into.unsaid(line.place(), why);
                    base = None;
                }
                ["policy", policy] => self.policy(base, policy, &line),
                ["comment", ..] => {}
                [.., "{"] => depth += 1,
                _ => {
                    let step = self.step(family, name, &line, &words);
                    self.chains.entry(name.to_owned()).or_default().push(step);
                }
            }
        }
        if let Some(direction) = base {
            self.bases.push((direction, name.to_owned(), head.place()));
        }
    }

    fn policy(&mut self, base: Option<&str>, policy: &str, line: &Statement) {
        let verdict = if policy == "drop" {
            Verdict::Block
        } else {
            Verdict::Allow
        };
        match base {
            Some("in") => self.into.inbound = Some(verdict),
            Some("out") => self.into.outbound = Some(verdict),
            Some(_) => self.into.forward = Some(verdict),
            None if verdict == Verdict::Block => {
                self.into
                    .unsaid(line.place(), "there is no such default here");
            }
            None => {}
        }
    }

    fn step(&mut self, family: &str, chain: &str, line: &Statement, words: &[&str]) -> Step {
        let mut rule = Rule::of(family, chain);
        let read = rule.read(words, &self.sets);
        self.rejects |= rule.rejects;
        let (keys, does) = match read {
            Ok(()) => rule.finish(),
            Err(why) => (KeyArguments::default(), Does::Unsaid(why)),
        };
        Step {
            place: line.place(),
            keys: Ok(keys),
            does,
        }
    }

    fn finish(mut self) -> Imported {
        let mut had: Vec<&str> = Vec::new();
        for (direction, name, place) in &self.bases {
            if had.contains(direction) {
                let why = "a second chain for the same packets: each would have to let a packet pass, and here one row of rules decides";
                self.into.unsaid(place.clone(), why);
                for step in self.chains.get(name).into_iter().flatten() {
                    self.into
                        .unsaid(step.place.clone(), "it stands in that second chain");
                }
                continue;
            }
            had.push(direction);
            expand(&self.chains, name, direction, &mut self.into);
        }
        if self.rejects {
            let note = "A reject is a block here: nothing is sent back.";
            self.into.notes.push(note.to_owned());
        }
        // Without a chain every packet passes.
        self.into.inbound = self.into.inbound.or(Some(Verdict::Allow));
        self.into.outbound = self.into.outbound.or(Some(Verdict::Allow));
        self.into.forward = self.into.forward.or(Some(Verdict::Allow));
        self.into
    }
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

/// The elements between braces: the first word of each.
fn listed(words: &[&str]) -> Vec<String> {
    let inner = words
        .iter()
        .filter(|word| !matches!(**word, "{" | "}"))
        .copied()
        .collect::<Vec<_>>();
    inner
        .split(|word| *word == ",")
        .filter_map(|element| Some((*element.first()?).trim_matches('"').to_owned()))
        .collect()
}

struct Rule<'a> {
    family: &'a str,
    table: &'a str,
    keys: KeyArguments,
    states: Vec<String>,
    loopback: bool,
    does: Option<Does>,
    logs: bool,
    rejects: bool,
}

impl<'a> Rule<'a> {
    fn of(family: &'a str, chain: &'a str) -> Self {
        let table = chain.rsplit_once(' ').map_or(chain, |(table, _)| table);
        Self {
            family,
            table,
            keys: KeyArguments::default(),
            states: Vec::new(),
            loopback: false,
            does: None,
            logs: false,
            rejects: false,
        }
    }

    fn read<'w>(
        &mut self,
        mut words: &'w [&'w str],
        sets: &HashMap<String, (Vec<String>, bool)>,
    ) -> Result<(), String> {
        while !words.is_empty() {
            words = self.take(words, sets)?;
        }
        Ok(())
    }

    /// Takes in one part of a rule; what is left.
    fn take<'w>(
        &mut self,
        words: &'w [&'w str],
        sets: &HashMap<String, (Vec<String>, bool)>,
    ) -> Result<&'w [&'w str], String> {
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
                self.rejects = true;
                // How it is said to the other end.
                let said = rest
                    .iter()
                    .position(|word| *word == "comment")
                    .unwrap_or(rest.len());
                self.decide(
                    Does::Decide(Verdict::Block),
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
        sets: &HashMap<String, (Vec<String>, bool)>,
    ) -> Result<&'w [&'w str], String> {
        let (values, rest) = values(words)?;
        let values = with_sets(values, key, sets)?;
        let keys = &mut self.keys;
        match (what, key) {
            ("ip" | "ip6", "saddr") => set(&mut keys.source, values)?,
            ("ip" | "ip6", "daddr") => set(&mut keys.destination, values)?,
            ("tcp" | "udp", "dport") => {
                set(&mut keys.protocol, vec![what.to_owned()])?;
                set(&mut keys.ports, numbers(&values)?)?;
            }
            ("tcp" | "udp", "sport") => {
                set(&mut keys.protocol, vec![what.to_owned()])?;
                set(&mut keys.source_ports, numbers(&values)?)?;
            }
            ("th", "dport") => set(&mut keys.ports, numbers(&values)?)?,
            ("th", "sport") => set(&mut keys.source_ports, numbers(&values)?)?,
            ("ip", "protocol") | ("ip6", "nexthdr") | ("meta", "l4proto") => {
                set(
                    &mut keys.protocol,
                    values.iter().map(|name| protocol(name)).collect(),
                )?;
            }
            ("icmp" | "icmpv6", "type") => {
                let ours = if what == "icmp" { "icmp" } else { "icmpv6" };
                set(&mut keys.protocol, vec![ours.to_owned()])?;
                set(
                    &mut keys.icmp_type,
                    values.iter().map(|name| icmp_type(name)).collect(),
                )?;
            }
            ("meta", "iif" | "oif" | "iifname" | "oifname") => {
                if values == ["lo"] {
                    self.loopback = true;
                } else if key.starts_with("iif") {
                    set(&mut keys.interface, values)?;
                } else {
                    set(&mut keys.out_interface, values)?;
                }
            }
            ("meta", "skuid") => set(&mut keys.user, values)?,
            ("ct", "state") => self.states = values,
            _ => return Err(format!("`{what} {key}` has no key of ours")),
        }
        Ok(rest)
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
        // What asks for a version of IP alone.
        if self.family != "inet" && self.keys.source.is_empty() && self.keys.destination.is_empty()
        {
            let all = if self.family == "ip" {
                "0.0.0.0/0"
            } else {
                "::/0"
            };
            self.keys.destination = vec![all.to_owned()];
        }
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

fn set(key: &mut Vec<String>, values: Vec<String>) -> Result<(), String> {
    if key.is_empty() || *key == values {
        *key = values;
        return Ok(());
    }
    Err("it asks for the same thing twice over, and a rule does so once".to_owned())
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
            Ok((listed(inner), rest.get(end + 1..).unwrap_or_default()))
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
fn with_sets(
    values: Vec<String>,
    key: &str,
    sets: &HashMap<String, (Vec<String>, bool)>,
) -> Result<Vec<String>, String> {
    let mut whole = Vec::with_capacity(values.len());
    for value in values {
        let Some(name) = value.strip_prefix('@') else {
            whole.push(value);
            continue;
        };
        match sets.get(name) {
            Some((elements, _)) if elements.is_empty() => {
                return Err(format!("the set `{name}` is empty, so it matches nothing"));
            }
            Some((_, true)) if key.ends_with("addr") => whole.push(value),
            Some((elements, false)) if !key.ends_with("addr") => {
                whole.extend(elements.iter().cloned())
            }
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

pub fn icmp_type(name: &str) -> String {
    match name {
        "nd-neighbor-solicit" => "neighbor-solicitation",
        "nd-neighbor-advert" => "neighbor-advertisement",
        "nd-router-solicit" => "router-solicitation",
        "nd-router-advert" => "router-advertisement",
        "source-quench" => "4",
        "redirect" => "5",
        "router-advertisement" => "9",
        "router-solicitation" => "10",
        "timestamp-request" => "13",
        "timestamp-reply" => "14",
        "mld-listener-query" => "130",
        "mld-listener-report" => "131",
        "mld-listener-done" | "mld-listener-reduction" => "132",
        "nd-redirect" => "137",
        "mld2-listener-report" => "143",
        other => other,
    }
    .to_owned()
}
