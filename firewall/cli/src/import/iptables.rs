//! `iptables-save`, `ip6tables-save`, and ufw's `user.rules`, which is the same with comments in it.

use super::chains::{Chains, Does, Step, expand};
use super::model::{Imported, Keys, Place};
use crate::edit::KeyArguments;
use firewall_abi::packet::Verdict;

const REJECT: &str = "A reject is a block here: nothing is sent back.";

/// What `iptables-save` wrote.
pub fn saved(text: &str) -> Imported {
    let mut into = Imported::default();
    let chains = read(text, &mut into);
    expand(&chains, "INPUT", "in", &mut into);
    expand(&chains, "OUTPUT", "out", &mut into);
    expand(&chains, "FORWARD", "forward", &mut into);
    into
}

/// ufw's `user.rules` and `user6.rules`.
pub fn ufw(text: &str) -> Imported {
    let mut into = Imported::default();
    into.notes.push(
        "ufw keeps its defaults in /etc/default/ufw; these are the ones it comes with: in and through are refused, out is allowed.".to_owned(),
    );
    let chains = read(text, &mut into);
    for (ending, direction) in [
        ("user-input", "in"),
        ("user-output", "out"),
        ("user-forward", "forward"),
    ] {
        for name in ["ufw-", "ufw6-"] {
            expand(&chains, &format!("{name}{ending}"), direction, &mut into);
        }
    }
    into.inbound = Some(Verdict::Block);
    into.outbound = Some(Verdict::Allow);
    into
}

fn read(text: &str, into: &mut Imported) -> Chains {
    let mut chains = Chains::new();
    let mut table = String::new();
    let mut rejects = false;
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        let place = Place::line(number, line);
        if let Some(name) = line.strip_prefix('*') {
            name.clone_into(&mut table);
        } else if let Some(chain) = line.strip_prefix(':') {
            policy(&table, chain, place, into);
        } else if let Some((chain, rule)) = appended(line) {
            if table != "filter" {
                into.unsaid(
                    place,
                    format!("the table `{table}` changes packets, which rules here do not"),
                );
                continue;
            }
            let step = step(place, &words(rule));
            rejects |= rule.contains("-j REJECT");
            chains.entry(chain.to_owned()).or_default().push(step);
        } else if !(line.is_empty() || line == "COMMIT" || line.starts_with('#')) {
            into.unsaid(place, "this is no line that iptables-save writes");
        }
    }
    if rejects {
        into.notes.push(REJECT.to_owned());
    }
    chains
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

fn policy(table: &str, chain: &str, place: Place, into: &mut Imported) {
    let mut words = chain.split_whitespace();
    let (name, policy) = (words.next().unwrap_or_default(), words.next());
    let verdict = match policy {
        Some("ACCEPT") => Verdict::Allow,
        Some("DROP") => Verdict::Block,
        _ => return,
    };
    match (table, name) {
        ("filter", "INPUT") => into.inbound = Some(verdict),
        ("filter", "OUTPUT") => into.outbound = Some(verdict),
        ("filter", "FORWARD") => into.forward = Some(verdict),
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

/// What is read of one rule.
#[derive(Default)]
struct Reading {
    keys: KeyArguments,
    /// Connection states that it asks for.
    states: Vec<String>,
    /// It asks for the loopback device.
    loopback: bool,
    target: Option<String>,
    not: bool,
}

fn step(place: Place, words: &[String]) -> Step {
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
    let (keys, does) = match wrong {
        Some(why) => (Ok(KeyArguments::default()), Does::Unsaid(why)),
        None => reading.finish(),
    };
    Step { place, keys, does }
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
        match option {
            "-p" | "--protocol" if value == "all" => {}
            "-p" | "--protocol" => self.keys.protocol = vec![protocol(value).to_owned()],
            "-s" | "--source" => self.keys.source = addresses(value),
            "-d" | "--destination" => self.keys.destination = addresses(value),
            "--src-range" => self.keys.source = list(),
            "--dst-range" => self.keys.destination = list(),
            "--dport" | "--dports" | "--destination-port" | "--destination-ports" => {
                self.keys.ports = ports()
            }
            "--sport" | "--sports" | "--source-port" | "--source-ports" => {
                self.keys.source_ports = ports()
            }
            "-i" | "--in-interface" => {
                let name = self.device(value)?;
                self.keys.interface.extend(name);
            }
            "-o" | "--out-interface" => {
                let name = self.device(value)?;
                self.keys.out_interface.extend(name);
            }
            "--icmp-type" | "--icmpv6-type" => self.keys.icmp_type = vec![value.to_owned()],
            "--uid-owner" => self.keys.user = vec![value.to_owned()],
            "--ctstate" | "--state" => self.states = list(),
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

    fn device(&mut self, name: &str) -> Result<Option<String>, String> {
        if name == "lo" {
            self.loopback = true;
            return Ok(None);
        }
        // How names begin has another sign behind it.
        Ok(Some(match name.strip_suffix('+') {
            Some(start) => format!("{start}*"),
            None => name.to_owned(),
        }))
    }

    fn finish(self) -> (Keys, Does) {
        let target = self.target.as_deref().unwrap_or_default();
        let does = match target {
            "ACCEPT" => Does::Decide(Verdict::Allow),
            "DROP" | "REJECT" => Does::Decide(Verdict::Block),
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

/// What a rule asks of a connection.
pub enum States {
    /// Nothing.
    Any,
    /// That it begins: what our rules are asked about.
    New,
    /// That it goes on.
    Replies,
    /// Something else.
    Other,
}

/// What these states, in any spelling, mean.
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
    } else if is(&["new"]) || (is(&["new", "related", "established"]) && names.len() == 3) {
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

/// Addresses; one of all there are asks for nothing.
pub fn addresses(list: &str) -> Vec<String> {
    list.split(',')
        .filter(|address| !matches!(*address, "0.0.0.0/0" | "::/0" | "any"))
        .map(str::to_owned)
        .collect()
}
