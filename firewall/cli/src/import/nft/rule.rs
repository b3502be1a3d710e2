//! A rule of nftables, taken in part by part.

use super::statement::listed;
use super::{Set, Sets, versions};
use crate::edit::KeyArguments;
use crate::import::chains::Does;
use crate::import::icmp;
use crate::import::iptables::{States, states};
use crate::import::model::{Version, once, users};
use crate::import::ports::port;
use firewall_abi::packet::Verdict;

pub(super) struct Rule<'a> {
    table: &'a str,
    /// The version of IP that it is for, if it is for one.
    pub(super) version: Option<Version>,
    keys: KeyArguments,
    states: Vec<String>,
    loopback: bool,
    does: Option<Does>,
    logs: bool,
}

impl<'a> Rule<'a> {
    pub(super) fn of(family: &'a str, chain: &'a str) -> Self {
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

    pub(super) fn read<'w>(&mut self, mut words: &'w [&'w str], sets: &Sets) -> Result<(), String> {
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

    pub(super) fn finish(mut self) -> (KeyArguments, Does) {
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
