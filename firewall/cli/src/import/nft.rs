//! `nft list ruleset`.

mod rule;
mod statement;

use super::chains::{Chains, Does, Step, Walk};
use super::iptables::OTHERWISE;
use super::model::{ImportPlace, Imported, Item, NewSet, Version};
use crate::edit::KeyArguments;
use firewall_abi::packet::Verdict;
use rule::Rule;
use rules::document::unlike;
use statement::{AFTER_ELEMENTS, Statement, listed, skip, statements, words};
use std::collections::HashMap;

/// Translates the output of `nft list ruleset`.
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
    place: ImportPlace,
    policy: Verdict,
}

/// Sets of one table by their names.
type Sets = HashMap<String, Set>;

/// Content of a set.
enum Set {
    /// Addresses, and what they are called here.
    Addresses(String),
    /// Ports.
    Ports(Vec<String>),
    /// Empty, or nothing that can be translated, for this reason.
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

    /// Returns the verdict of a chain's policy. An unknown policy refuses.
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
            // Where packets pass if no rule says otherwise, and rules refuse alone, it is first or last all the same.
            // Of the others that which refuses by its policy is the one that counts.
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

    /// Sets the default policies of directions without a chain to allow, if the ruleset has chains for inbound packets.
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

/// Returns whether a base chain allows packets by its policy alone,
/// and by no rule of it or of a chain that it leads to.
fn only_refuses(chains: &Chains, base: &Base) -> bool {
    let mut alone = Imported::default();
    Walk::through(chains).from(&base.chain, base.direction, &mut alone);
    let allows = |item: &Item| matches!(item, Item::Rule(rule) if rule.action == Verdict::Allow);
    base.policy == Verdict::Allow && !alone.items.iter().any(allows)
}
