//! Rules that let guests past a kill switch: this machine's own packets leave by some devices alone,
//! and what is forwarded by any.
//!
//! What goes out and what goes through are two directions, each with rules of its own. Whoever refuses what goes out,
//! but by one device, means that nothing leaves by another; a rule for guests that names no device to go out by
//! has theirs leave all the same.
//!
//! Rules that hold here:
//! - A kill switch lets out to anywhere by devices that it names, and refuses the rest. What it lets out besides has an
//!   end of its own: a destination, a program, a user. A port is none, for anybody may serve there.
//! - What names the device that guests go out by was meant so.

use crate::device::GUESTS_WORD;
use crate::{
    Addresses, Defaults, Finding, Protocol, Rule, RuleKeys, compile, device_words, names_device,
};
use firewall_abi::packet::{Direction, Verdict};
use std::collections::BTreeSet;

/// So many devices are looked at, and so many rules that let guests out: each is held against all rules.
const LOOKED_AT: usize = 64;

/// A device that no rule names: no name begins with a zero.
const OTHER: [u64; 2] = [0, 1];

/// The beginnings of the names of bridges and devices that lead to guests, as Docker, Podman, libvirt, LXC, Incus and
/// Kubernetes call them.
const OF_GUESTS: [&str; 10] = [
    GUESTS_WORD,
    "docker",
    "br-",
    "podman",
    "cni",
    "virbr",
    "vnet",
    "lxcbr",
    "lxdbr",
    "incusbr",
];

pub(crate) fn warnings(file: &str, rules: &[Rule], defaults: &Defaults) -> Vec<Finding> {
    let on: Vec<&Rule> = rules.iter().filter(|rule| rule.enabled).collect();
    let mut found = Vec::new();
    for version in [4, 6] {
        let Some(switch) = KillSwitch::of(&on, defaults, version) else {
            continue;
        };
        for (line, message) in switch.gone_past(&on, defaults) {
            found.push(Finding {
                file: file.to_owned(),
                line,
                column: 1,
                message,
            });
        }
    }
    // Most rules say the same of both versions of IP.
    found.sort();
    found.dedup();
    found
}

/// Rules that refuse this machine's own packets, but by some devices.
struct KillSwitch<'a> {
    version: u8,
    devices: Devices<'a>,
}

/// By which devices this machine's own packets leave.
enum Devices<'a> {
    /// By these alone.
    Only(Vec<&'a str>),
    /// By any but these.
    AnyBut(Vec<&'a str>),
}

impl<'a> KillSwitch<'a> {
    /// The one that rules are, of this version of IP.
    fn of(on: &[&'a Rule], defaults: &Defaults, version: u8) -> Option<Self> {
        let out: Vec<&Rule> = on
            .iter()
            .copied()
            .filter(|rule| is_of(rule, Direction::Outbound))
            .collect();
        let course = |device| Course::of(&out, defaults.outbound.action, (version, device));
        let named = out.iter().flat_map(|rule| &rule.interfaces);
        let words: BTreeSet<&str> = named
            .map(String::as_str)
            .filter(|word| !leads_to_guests(word))
            .collect();
        let named: Vec<_> = words
            .into_iter()
            .take(LOOKED_AT)
            .filter_map(|word| Some((word, course(beginning_with(word)?))))
            .collect();
        let those = |which: fn(&Course) -> bool| -> Option<Vec<&str>> {
            let those = named.iter().filter(|(_, course)| which(course));
            let words: Vec<_> = those.map(|(word, _)| *word).collect();
            (!words.is_empty()).then_some(words)
        };
        let devices = match course(OTHER).verdict {
            Verdict::Block | Verdict::Reject => Devices::Only(those(Course::is_open)?),
            // A tunnel's own packets have to leave by what is refused else.
            // Without them it is a device that is not to be used.
            Verdict::Allow => Devices::AnyBut(those(Course::is_shut_with_an_exception)?),
            Verdict::Ask | Verdict::Socket => return None,
        };
        Some(Self { version, devices })
    }

    /// The lines of rules that let guests leave by another device, and what to say of each.
    fn gone_past(&self, on: &[&Rule], defaults: &Defaults) -> Vec<(usize, String)> {
        let through = on.iter().enumerate();
        let through = through.filter(|(_, rule)| self.lets_out(rule));
        let leaks = through.take(LOOKED_AT).filter(|(number, rule)| {
            let before = on.get(..*number).unwrap_or_default();
            self.is_left_a_way(Some(rule), before)
        });
        let mut found: Vec<_> = leaks
            .map(|(_, rule)| (rule.line, self.said_of(rule)))
            .collect();
        if defaults.forward.action == Verdict::Allow && self.is_left_a_way(None, on) {
            found.push((1, self.said_of_default()));
        }
        found
    }

    /// Returns whether a rule lets what is forwarded out to anywhere, by whichever device.
    fn lets_out(&self, rule: &Rule) -> bool {
        let RuleKeys {
            direction,
            protocols,
            // Whoever's they are, these are guests.
            sources: _,
            source_sets: _,
            destinations,
            destination_sets,
            source_ports: _,
            ports: _,
            icmp_types: _,
            interfaces,
            out_interfaces,
            // These go with other directions.
            users: _,
            programs: _,
        } = rule.keys();
        rule.action == Verdict::Allow
            && direction == Some(Direction::Forward)
            && out_interfaces.is_empty()
            && (interfaces.is_empty() || !interfaces.iter().all(|word| self.is_way_out(word)))
            && (protocols.is_empty()
                || protocols.contains(&Protocol::TCP)
                || protocols.contains(&Protocol::UDP))
            && any_address(destinations, destination_sets, self.version)
            && compile::can_be(rule, self.version)
    }

    /// Returns whether a device is one by which the machine's own packets leave:
    /// who comes in by the tunnel is no guest.
    fn is_way_out(&self, word: &str) -> bool {
        match &self.devices {
            Devices::Only(open) => open.contains(&word),
            Devices::AnyBut(_) => false,
        }
    }

    /// Returns whether the rules before it leave a rule a way out by a device that is refused
    /// to this machine's own packets.
    fn is_left_a_way(&self, rule: Option<&Rule>, before: &[&Rule]) -> bool {
        let devices: Vec<_> = match &self.devices {
            Devices::Only(_) => vec![OTHER],
            Devices::AnyBut(shut) => shut
                .iter()
                .filter_map(|word| beginning_with(word))
                .collect(),
        };
        let stops = |by: &Rule, device| {
            let from_all = by.interfaces.is_empty()
                || rule.is_some_and(|rule| {
                    let taken = |word| by.interfaces.contains(word);
                    !rule.interfaces.is_empty() && rule.interfaces.iter().all(taken)
                });
            by.action != Verdict::Allow
                && is_of(by, Direction::Forward)
                && from_all
                && takes_device(&by.out_interfaces, device)
                && takes_all(by, self.version)
        };
        devices
            .into_iter()
            .any(|device| !before.iter().any(|by| stops(by, device)))
    }

    fn said_of(&self, rule: &Rule) -> String {
        let id = &rule.id;
        match &self.devices {
            Devices::Only(open) => format!(
                "rule `{id}` lets what it takes leave by any device, and this machine's own packets leave by {} alone: what it lets \
                 through goes past this kill switch; add out_interface = {}",
                listed(open),
                toml(open)
            ),
            Devices::AnyBut(shut) => format!(
                "rule `{id}` lets what it takes leave by any device, and this machine's own packets don't leave by {}: what it lets \
                 through goes past this kill switch; before it, add a rule with action = \"block\", direction = \"forward\" and out_interface = {}",
                listed(shut),
                toml(shut)
            ),
        }
    }

    fn said_of_default(&self) -> String {
        match &self.devices {
            Devices::Only(open) => format!(
                "the default for forward lets what comes through leave by any device, and this machine's own packets leave by {} alone: \
                 what it lets through goes past this kill switch; make it forward = \"block\", and let guests out by a rule with action = \"allow\", \
                 direction = \"forward\", interface = \"{GUESTS_WORD}\" and out_interface = {}",
                listed(open),
                toml(open)
            ),
            Devices::AnyBut(shut) => format!(
                "the default for forward lets what comes through leave by any device, and this machine's own packets don't leave by {}: \
                 what it lets through goes past this kill switch; add a rule with action = \"block\", direction = \"forward\" and out_interface = {}",
                listed(shut),
                toml(shut)
            ),
        }
    }
}

/// The fate of what this machine sends to anywhere by one device.
struct Course {
    verdict: Verdict,
    /// Something more narrow is let out before that.
    has_exception: bool,
}

impl Course {
    fn of(out: &[&Rule], default: Verdict, (version, device): (u8, [u64; 2])) -> Self {
        let mut has_exception = false;
        for rule in out {
            if !takes_device(&rule.interfaces, device) || !compile::can_be(rule, version) {
                continue;
            }
            let decides = match rule.action {
                Verdict::Allow => takes_anywhere(rule, version),
                _ => takes_all(rule, version),
            };
            if decides {
                return Self {
                    verdict: rule.action,
                    has_exception,
                };
            }
            has_exception |= rule.action == Verdict::Allow;
        }
        Self {
            verdict: default,
            has_exception,
        }
    }

    fn is_open(&self) -> bool {
        self.verdict == Verdict::Allow
    }

    fn is_shut_with_an_exception(&self) -> bool {
        matches!(self.verdict, Verdict::Block | Verdict::Reject) && self.has_exception
    }
}

fn is_of(rule: &Rule, direction: Direction) -> bool {
    rule.direction.is_none_or(|only| only == direction)
}

/// Returns whether a rule takes all of TCP, as far as devices go.
fn takes_all(rule: &Rule, version: u8) -> bool {
    rule.ports.is_empty() && rule.source_ports.is_empty() && takes_anywhere(rule, version)
}

/// Returns whether a rule takes TCP of anybody to anywhere, at some port.
fn takes_anywhere(rule: &Rule, version: u8) -> bool {
    let RuleKeys {
        direction: _,
        protocols,
        sources,
        source_sets,
        destinations,
        destination_sets,
        source_ports: _,
        ports: _,
        icmp_types: _,
        interfaces: _,
        out_interfaces: _,
        users,
        programs,
    } = rule.keys();
    (protocols.is_empty() || protocols.contains(&Protocol::TCP))
        && any_address(sources, source_sets, version)
        && any_address(destinations, destination_sets, version)
        && users.is_empty()
        && programs.is_empty()
}

/// Returns whether an end that takes these addresses and sets takes all addresses of a version.
fn any_address(addresses: &[Addresses], sets: &[u32], version: u8) -> bool {
    let whole = |addresses: &Addresses| match version {
        4 => addresses.v4() == Some((0, u32::MAX)),
        _ => addresses.v6() == Some((0, u128::MAX)),
    };
    addresses.is_empty() && sets.is_empty() || addresses.iter().any(whole)
}

fn takes_device(words: &[String], device: [u64; 2]) -> bool {
    words.is_empty() || words.iter().any(|word| names_device(word, device))
}

/// A device that a rule's word stands for.
fn beginning_with(word: &str) -> Option<[u64; 2]> {
    device_words(word.trim_end_matches('*'))
}

fn leads_to_guests(word: &str) -> bool {
    word == "lo" || OF_GUESTS.iter().any(|start| word.starts_with(start))
}

fn listed(words: &[&str]) -> String {
    words.join(", ")
}

/// As a rule file has it.
fn toml(words: &[&str]) -> String {
    match words {
        [one] => format!("\"{one}\""),
        several => format!("[\"{}\"]", several.join("\", \"")),
    }
}
