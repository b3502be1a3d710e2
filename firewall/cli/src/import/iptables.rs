//! `iptables-save`, `ip6tables-save`, and ufw's `user.rules`, which is the same with comments in it.

use super::chains::{Chains, Does, Step, Walk};
use super::model::{ImportPlace, Imported, Keys, Version, once, users};
use crate::edit::KeyArguments;
use firewall_abi::packet::Verdict;

/// Note about the differences between iptables and this firewall: replies and the loopback device.
pub const OTHERWISE: &str = "Replies to what was allowed pass here, whatever a rule says of their addresses; what stays on lo is not judged.";

/// Translates the output of `iptables-save`, of `ip6tables-save`, or of one after the other.
pub fn saved(text: &str) -> Imported {
    let mut into = Imported {
        defaults_are: Some(
            "the rules of both versions of IP in one file say it: (iptables-save; ip6tables-save) | gatebell rules import -",
        ),
        ..Imported::default()
    };
    let chains = read(text, &mut into);
    let mut walk = Walk::through(&chains);
    for (chain, direction) in [("INPUT", "in"), ("OUTPUT", "out"), ("FORWARD", "forward")] {
        for version in Version::ALL {
            walk.from(&full_name(version, chain), direction, &mut into);
        }
    }
    walk.finish(&mut into);
    into
}

/// ufw's `user.rules` and `user6.rules`, one or both, and `/etc/default/ufw` before them.
pub fn ufw(text: &str) -> Imported {
    let mut into = Imported {
        defaults_are: Some(
            "ufw keeps its defaults, and the rules of each version of IP, in files of their own; all of it: \
             cat /etc/default/ufw /etc/ufw/user.rules /etc/ufw/user6.rules | gatebell rules import -",
        ),
        ..Imported::default()
    };
    let (defaults, rules): (Vec<_>, Vec<_>) = text
        .lines()
        .enumerate()
        .partition(|(_, line)| is_setting(line));
    let chains = read_lines(rules.into_iter(), &mut into);
    let mut walk = Walk::through(&chains);
    for (version, name) in [(Version::V4, "ufw-"), (Version::V6, "ufw6-")] {
        for (ending, direction) in [
            ("user-input", "in"),
            ("user-output", "out"),
            ("user-forward", "forward"),
        ] {
            walk.from(
                &full_name(version, &format!("{name}{ending}")),
                direction,
                &mut into,
            );
        }
        // What its rules say is not known without them.
        if chains.keys().any(|chain| chain.contains(name)) {
            ufw_defaults(&defaults, version, &mut into);
        }
    }
    walk.finish(&mut into);
    into
}

/// Returns whether a line is a setting of `/etc/default/ufw`.
fn is_setting(line: &str) -> bool {
    let name = line.split_once('=').map(|(name, _)| name);
    name.is_some_and(|name| {
        name.starts_with(|c: char| c.is_ascii_uppercase())
            && name
                .chars()
                .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
    })
}

fn ufw_defaults(lines: &[(usize, &str)], version: Version, into: &mut Imported) {
    for (number, line) in lines {
        let (name, value) = line.split_once('=').unwrap_or_default();
        let verdict = match value.trim_matches('"') {
            "ACCEPT" => Verdict::Allow,
            "REJECT" => Verdict::Reject,
            // What is no word for it refuses too.
            _ => Verdict::Block,
        };
        match name {
            "DEFAULT_INPUT_POLICY" => into.inbound.say(version, verdict),
            "DEFAULT_OUTPUT_POLICY" => into.outbound.say(version, verdict),
            "DEFAULT_FORWARD_POLICY" => into.forward.say(version, verdict),
            // The kernel's, and ufw's own housekeeping.
            "IPV6" | "MANAGE_BUILTINS" | "IPT_SYSCTL" | "IPT_MODULES" => {}
            "DEFAULT_APPLICATION_POLICY" if value.trim_matches('"') == "SKIP" => {}
            _ if version == Version::V4 => into.unsaid(
                ImportPlace::line(number + 1, line),
                "this setting of ufw has no likeness here",
            ),
            _ => {}
        }
    }
}

/// A chain's name among those of both versions.
fn full_name(version: Version, chain: &str) -> String {
    match version {
        Version::V4 => format!("iptables {chain}"),
        Version::V6 => format!("ip6tables {chain}"),
    }
}

fn read(text: &str, into: &mut Imported) -> Chains {
    read_lines(text.lines().enumerate(), into)
}

fn read_lines<'t>(
    lines: impl Iterator<Item = (usize, &'t str)> + Clone,
    into: &mut Imported,
) -> Chains {
    let mut chains = Chains::new();
    let (mut table, mut version) = (String::new(), version_of(lines.clone()));
    for (number, line) in lines {
        let line = line.trim();
        let place = ImportPlace::line(number + 1, line);
        if let Some(name) = line.strip_prefix('*') {
            name.clone_into(&mut table);
        } else if let Some(chain) = line.strip_prefix(':') {
            if chain.starts_with("ufw") {
                version = of_ufw(chain);
            }
            policy(version, &table, chain, place, into);
            let name = chain.split_whitespace().next().unwrap_or_default();
            if table == "filter" {
                chains.entry(full_name(version, name)).or_default();
            }
        } else if let Some((chain, rule)) = appended(line) {
            if table != "filter" {
                into.unsaid(
                    place,
                    format!("the table `{table}` changes packets, which rules here do not"),
                );
                continue;
            }
            let step = step(place, version, &words(rule));
            chains
                .entry(full_name(version, chain))
                .or_default()
                .push(step);
        } else if let Some(comment) = line.strip_prefix('#') {
            version = generated(comment).unwrap_or(version);
        } else if !(line.is_empty() || line == "COMMIT") {
            into.unsaid(place, "this is no line that iptables-save writes");
        }
    }
    into.notes.push(OTHERWISE.to_owned());
    chains
}

/// Returns the version of IP of the rules after a comment, or `None` if the comment does not tell.
fn generated(comment: &str) -> Option<Version> {
    match comment
        .trim()
        .strip_prefix("Generated by ")?
        .split(' ')
        .next()?
    {
        "iptables-save" => Some(Version::V4),
        "ip6tables-save" => Some(Version::V6),
        _ => None,
    }
}

fn of_ufw(chain: &str) -> Version {
    if chain.starts_with("ufw6-") {
        Version::V6
    } else {
        Version::V4
    }
}

/// The version that rules are for where no comment says it: IPv6, if one asks for its addresses or its ICMP.
fn version_of<'t>(mut lines: impl Iterator<Item = (usize, &'t str)>) -> Version {
    let is_v6 = lines.any(|(_, line)| {
        let words = words(line);
        line.starts_with(":ufw6-")
            || words
                .windows(2)
                .any(|two| match [two[0].as_str(), &two[1]] {
                    ["-s" | "-d", address] => address.contains(':'),
                    ["-p", name] => protocol(name) == "icmpv6",
                    _ => false,
                })
    });
    if is_v6 { Version::V6 } else { Version::V4 }
}

/// `-A CHAIN rule`, with the counters that may stand before it.
fn appended(line: &str) -> Option<(&str, &str)> {
    let line = match line.strip_prefix('[') {
        Some(counters) => counters.split_once("] ")?.1,
        None => line,
    };
    let rest = line.strip_prefix("-A ")?;
    Some(rest.split_once(' ').unwrap_or((rest, "")))
}

fn policy(version: Version, table: &str, chain: &str, place: ImportPlace, into: &mut Imported) {
    let mut words = chain.split_whitespace();
    let (name, policy) = (words.next().unwrap_or_default(), words.next());
    let verdict = match policy {
        Some("ACCEPT") => Verdict::Allow,
        Some("DROP") => Verdict::Block,
        _ => return,
    };
    match (table, name) {
        ("filter", "INPUT") => into.inbound.say(version, verdict),
        ("filter", "OUTPUT") => into.outbound.say(version, verdict),
        ("filter", "FORWARD") => into.forward.say(version, verdict),
        _ if verdict == Verdict::Block => {
            into.unsaid(place, "there is no such default here");
        }
        _ => {}
    }
}

/// Splits a rule as iptables-save and ufw write it: blanks, and quotes around what has blanks in it.
pub fn words(rule: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted, mut any) = (Vec::new(), String::new(), None, false);
    let mut letters = rule.chars();
    while let Some(letter) = letters.next() {
        match letter {
            mark @ ('"' | '\'') if quoted.is_none() => (quoted, any) = (Some(mark), true),
            mark if quoted == Some(mark) => quoted = None,
            '\\' if quoted.is_some() => word.extend(letters.next()),
            blank if blank.is_whitespace() && quoted.is_none() => {
                if any {
                    words.push(std::mem::take(&mut word));
                }
                any = false;
            }
            other => {
                word.push(other);
                any = true;
            }
        }
    }
    if any {
        words.push(word);
    }
    words
}

/// State of parsing one rule.
#[derive(Default)]
struct Reading {
    keys: KeyArguments,
    /// Connection states that it asks for.
    states: Vec<String>,
    /// `true` if the rule asks for the loopback device.
    loopback: bool,
    target: Option<String>,
    not: bool,
}

fn step(place: ImportPlace, version: Version, words: &[String]) -> Step {
    let mut reading = Reading::default();
    let mut rest = words;
    let mut wrong = None;
    while let [option, after @ ..] = rest {
        match reading.take(option, after) {
            Ok(taken) => rest = after.get(taken..).unwrap_or_default(),
            Err(why) => {
                wrong = Some(why);
                break;
            }
        }
    }
    let returns = words.windows(2).any(|two| two == ["-j", "RETURN"]);
    let (keys, does) = match wrong {
        // Whatever it asks for: without it the rest of its chain would hold for what it keeps from that.
        Some(_) if returns => (Ok(KeyArguments::default()), Does::Return),
        Some(why) => (Ok(KeyArguments::default()), Does::Unsaid(why)),
        None => reading.finish(),
    };
    let does = match does {
        Does::Jump(chain) => Does::Jump(full_name(version, &chain)),
        does => does,
    };
    Step {
        place,
        keys,
        version: Some(version),
        does,
    }
}

impl Reading {
    /// Takes in an option; how many words behind it belong to it.
    fn take(&mut self, option: &str, after: &[String]) -> Result<usize, String> {
        if option == "!" {
            self.not = true;
            return Ok(0);
        }
        if std::mem::take(&mut self.not) {
            return Err(format!(
                "`! {option}` asks for everything but that, and a key of ours can't"
            ));
        }
        let value = after.first().map(String::as_str).unwrap_or_default();
        if option == "-m" {
            return known_match(value).map(|()| 1);
        }
        let list = || value.split(',').map(str::to_owned).collect::<Vec<_>>();
        let ports = || {
            value
                .split(',')
                .map(|range| range.replace(':', "-"))
                .collect::<Vec<_>>()
        };
        let keys = &mut self.keys;
        match option {
            "-p" | "--protocol" if value == "all" => {}
            "-p" | "--protocol" => {
                once(
                    "protocol",
                    &mut keys.protocol,
                    vec![protocol(value).to_owned()],
                )?;
            }
            "-s" | "--source" => once("source", &mut keys.source, addresses(value))?,
            "-d" | "--destination" => {
                once("destination", &mut keys.destination, addresses(value))?;
            }
            "--src-range" => once("source", &mut keys.source, list())?,
            "--dst-range" => once("destination", &mut keys.destination, list())?,
            "--dport" | "--dports" | "--destination-port" | "--destination-ports" => {
                once("ports", &mut keys.ports, ports())?;
            }
            "--sport" | "--sports" | "--source-port" | "--source-ports" => {
                once("source_ports", &mut keys.source_ports, ports())?;
            }
            "-i" | "--in-interface" => {
                let name = self.device(value)?;
                once("interface", &mut self.keys.interface, name)?;
            }
            "-o" | "--out-interface" => {
                let name = self.device(value)?;
                once("out_interface", &mut self.keys.out_interface, name)?;
            }
            "--icmp-type" | "--icmpv6-type" => {
                once("icmp_type", &mut keys.icmp_type, vec![value.to_owned()])?;
            }
            "--uid-owner" => once("user", &mut keys.user, users(value)?)?,
            "--ctstate" | "--state" => once("state", &mut self.states, list())?,
            "--comment" => {
                self.keys.comment = Some(value.to_owned());
                return Ok(1);
            }
            "-j" | "--jump" => {
                self.target = Some(value.to_owned());
                return Ok(1);
            }
            "--reject-with" => return Ok(1),
            "--match-set" => {
                return Err(format!(
                    "the set `{value}` is not in this file: write it as [[set]] with the addresses that `ipset save {value}` prints, \
                     and ask for it as \"@{value}\""
                ));
            }
            other => return Err(format!("`{other}` has no key of ours")),
        }
        Ok(1)
    }

    fn device(&mut self, name: &str) -> Result<Vec<String>, String> {
        if name == "lo" {
            self.loopback = true;
            return Ok(Vec::new());
        }
        // How names begin has another sign behind it.
        Ok(vec![match name.strip_suffix('+') {
            Some(start) => format!("{start}*"),
            None => name.to_owned(),
        }])
    }

    fn finish(self) -> (Keys, Does) {
        let target = self.target.as_deref().unwrap_or_default();
        let does = match target {
            "ACCEPT" => Does::Decide(Verdict::Allow),
            "DROP" => Does::Decide(Verdict::Block),
            "REJECT" => Does::Decide(Verdict::Reject),
            "RETURN" => Does::Return,
            "LOG" | "NFLOG" | "ULOG" => Does::Unsaid(
                "a rule here decides too: put log = true into the one that decides".to_owned(),
            ),
            "" => Does::NotNeeded("it counts, and every rule here is counted".to_owned()),
            chain => Does::Jump(chain.to_owned()),
        };
        let allows = matches!(does, Does::Decide(Verdict::Allow));
        if self.loopback {
            let does = if allows {
                Does::NotNeeded("what stays on lo is not judged".to_owned())
            } else {
                Does::Unsaid("what stays on lo is not judged".to_owned())
            };
            return (Ok(self.keys), does);
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
        (Ok(self.keys), does)
    }
}

/// Connection states that a rule asks for.
pub enum States {
    /// No states.
    Any,
    /// New connections, alone or among others: those that our rules judge.
    New,
    /// Established connections: replies.
    Replies,
    /// Something else.
    Other,
}

/// Returns the meaning of state names, in any spelling.
pub fn states(names: &[String]) -> States {
    let is = |known: &[&str]| {
        names
            .iter()
            .all(|name| known.contains(&name.to_ascii_lowercase().as_str()))
    };
    if names.is_empty() {
        States::Any
    } else if is(&["related", "established"]) {
        States::Replies
    } else if is(&["new", "related", "established"]) {
        States::New
    } else {
        States::Other
    }
}

fn known_match(name: &str) -> Result<(), String> {
    let known = [
        "tcp",
        "udp",
        "icmp",
        "icmp6",
        "icmpv6",
        "multiport",
        "conntrack",
        "state",
        "comment",
        "owner",
        "iprange",
        "set",
    ];
    if known.contains(&name) {
        Ok(())
    } else {
        Err(format!("`-m {name}` has no key of ours"))
    }
}

fn protocol(name: &str) -> &str {
    match name {
        "ipv6-icmp" | "icmp6" | "icmpv6" => "icmpv6",
        "gre" => "47",
        "esp" => "50",
        "ah" => "51",
        "sctp" => "132",
        "igmp" => "2",
        other => other,
    }
}

/// Addresses; one of all there are asks for nothing but a version of IP, which each rule here has.
fn addresses(list: &str) -> Vec<String> {
    list.split(',')
        .filter(|address| !matches!(*address, "0.0.0.0/0" | "::/0" | "any"))
        .map(str::to_owned)
        .collect()
}
