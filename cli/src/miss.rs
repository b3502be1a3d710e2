//! What a rule missed on: in words, field by field.
//!
//! The engine decides whether a rule matches, by sums of differences that name nothing. This says the same by the rule's
//! own fields; a test holds both against each other.

use crate::flow::{destination, source};
use crate::show::{icmp_type, network, range};
use contract::packet::{Direction, Flow};
use contract::rules::PortRange;
use engine::{Parsed, Shape};
use rules::{Network, Protocol, Rule};
use std::net::IpAddr;

/// Everything that keeps a rule from matching a packet; nothing if it matches.
pub fn misses(rule: &Rule, packet: &Parsed) -> Vec<String> {
    let Parsed { flow, shape } = packet;
    let mut missed = Vec::new();
    if !rule.enabled {
        missed.push("it is not enabled".to_owned());
    }
    missed.extend(direction(rule.direction, flow));
    missed.extend(protocol(&rule.protocols, flow));
    missed.extend(end("from", &rule.sources, source(flow)));
    missed.extend(end("to", &rule.destinations, destination(flow)));
    let asks_ports = !(rule.source_ports.is_empty() && rule.ports.is_empty() && rule.icmp_types.is_empty());
    if asks_ports && *shape == Shape::LaterFragment {
        missed.push("a later fragment shows no ports and no type, and the rule asks for them".to_owned());
    } else {
        missed.extend(ports("from port", &rule.source_ports, flow.source_port));
        missed.extend(ports("to port", &rule.ports, flow.destination_port));
        missed.extend(types(rule, flow));
    }
    missed
}

fn direction(asked: Option<Direction>, flow: &Flow) -> Option<String> {
    let asked = asked.filter(|asked| *asked as u8 != flow.direction)?;
    Some(format!("direction is not {}", asked.name()))
}

fn protocol(asked: &[Protocol], flow: &Flow) -> Option<String> {
    let found = asked.is_empty() || asked.contains(&Protocol(flow.protocol));
    (!found).then(|| format!("protocol is not {}", either(asked.iter().map(ToString::to_string))))
}

fn end(which: &str, asked: &[Network], address: IpAddr) -> Option<String> {
    let found = asked.is_empty() || asked.iter().any(|network| network.contains(address));
    (!found).then(|| format!("not {which} {}", either(asked.iter().map(|n| network(*n)))))
}

fn ports(which: &str, asked: &[PortRange], port: u16) -> Option<String> {
    let found = asked.is_empty() || asked.iter().any(|range| (range.first..=range.last).contains(&port));
    (!found).then(|| format!("not {which} {}", either(asked.iter().map(|ports| range(*ports)))))
}

fn types(rule: &Rule, flow: &Flow) -> Option<String> {
    let asked = &rule.icmp_types;
    let found = asked.is_empty() || asked.iter().any(|number| u16::from(*number) == flow.source_port);
    let names = asked.iter().map(|number| icmp_type(rule.protocols.first(), *number));
    (!found).then(|| format!("type is not {}", either(names)))
}

/// `a`, `a or b`, `a, b or c`; of many the first few.
fn either(names: impl ExactSizeIterator<Item = String>) -> String {
    const SHOWN: usize = 4;
    let count = names.len();
    let mut names: Vec<_> = names.take(SHOWN).collect();
    if count > SHOWN {
        return format!("{} or {} more", names.join(", "), count - SHOWN);
    }
    let last = names.pop().unwrap_or_default();
    if names.is_empty() { last } else { format!("{} or {last}", names.join(", ")) }
}
