//! Explanation of why a rule does not match a packet: in words, field by field.
//!
//! The engine decides whether a rule matches, by sums of differences that name nothing. This says the same by the
//! rule's own fields; a test holds both against each other.

use crate::flow::{destination, source};
use engine::{Parsed, Shape};
use firewall_abi::packet::{Direction, NO_USER, PacketHeaders, PacketMeta};
use firewall_abi::rules::PortRange;
use rules::words::{end_names, icmp_type, networks, range, user};
use rules::{Addresses, Effect, Joined, Protocol, Rule, Rules, names_device};
use std::net::IpAddr;

/// Everything that keeps a rule from matching a packet; nothing if it matches.
pub fn misses(
    rule: &Rule,
    packet: &Parsed,
    local: &PacketMeta,
    rules: (&Rules, &Joined),
) -> Vec<String> {
    let Parsed { flow, shape } = packet;
    let mut missed = Vec::new();
    if !rule.enabled {
        missed.push("it is not enabled".to_owned());
    }
    if rule.effect == Effect::Off {
        let networks = networks(rule, rules.0).unwrap_or_default();
        missed.push(format!("it is on {networks} only"));
    }
    missed.extend(direction(rule.direction, flow));
    let other_protocol = protocol(&rule.protocols, flow);
    missed.extend(end(
        "from",
        (&rule.sources, &rule.source_sets, &rule.presumed.sources),
        source(flow),
        rules,
    ));
    missed.extend(end(
        "to",
        (
            &rule.destinations,
            &rule.destination_sets,
            &rule.presumed.destinations,
        ),
        destination(flow),
        rules,
    ));
    missed.extend(who(rule, local));
    if let Some(other_protocol) = other_protocol {
        // Its ports and types mean something else.
        missed.push(other_protocol);
        return missed;
    }
    let asks_ports =
        !(rule.source_ports.is_empty() && rule.ports.is_empty() && rule.icmp_types.is_empty());
    if asks_ports && *shape == Shape::LaterFragment {
        missed.push(
            "a later fragment shows no ports and no type, and the rule asks for them".to_owned(),
        );
    } else {
        missed.extend(ports("from port", &rule.source_ports, flow.source_port));
        missed.extend(ports("to port", &rule.ports, flow.destination_port));
        missed.extend(types(rule, flow));
    }
    missed
}

fn direction(asked: Option<Direction>, flow: &PacketHeaders) -> Option<String> {
    let asked = asked.filter(|asked| *asked as u8 != flow.direction)?;
    Some(format!("direction is not {}", asked.name()))
}

fn protocol(asked: &[Protocol], flow: &PacketHeaders) -> Option<String> {
    let found = asked.is_empty() || asked.contains(&Protocol(flow.protocol));
    (!found).then(|| {
        format!(
            "protocol is not {}",
            either(asked.iter().map(ToString::to_string))
        )
    })
}

/// An end that is neither among the addresses nor in one of the sets.
fn end(
    which: &str,
    (asked, sets, presumed): (&[Addresses], &[u32], &[Addresses]),
    address: IpAddr,
    (rules, joined): (&Rules, &Joined),
) -> Option<String> {
    let holders = rules
        .members()
        .map_or(&[][..], |members| members.of(address));
    let has_joined = joined.sets_of(address);
    let found = asked.is_empty() && sets.is_empty()
        || asked
            .iter()
            .chain(presumed)
            .any(|addresses| addresses.contains(address))
        || sets
            .iter()
            .any(|set| holders.contains(set) || has_joined.contains(set));
    (!found).then(|| {
        format!(
            "not {which} {}",
            either(end_names(asked, sets, rules).into_iter())
        )
    })
}

/// Returns what a rule asks of the local identity and the packet does not have, in words.
fn who(rule: &Rule, local: &PacketMeta) -> Vec<String> {
    let Rule {
        users,
        programs,
        interfaces,
        presumed,
        out_interfaces,
        ..
    } = rule;
    let by_user = users.iter().any(|user| user.number == Some(local.user))
        || presumed
            .users
            .iter()
            .any(|(first, last)| (*first..=*last).contains(&local.user));
    let by_program = presumed.programs
        || programs
            .iter()
            .any(|program| program.identities().any(|id| id == local.program));
    let by_interface = interfaces
        .iter()
        .any(|word| names_device(word, local.interface));
    let by_out_interface = out_interfaces
        .iter()
        .any(|word| names_device(word, local.out_interface));
    let missed = [
        (
            by_user,
            "user",
            local.user != NO_USER,
            users.iter().map(user).collect::<Vec<_>>(),
        ),
        (
            by_program,
            "program",
            local.program != [0; 2],
            programs.iter().map(|p| p.path.clone()).collect(),
        ),
        (
            by_interface,
            "interface",
            local.interface != [0; 2],
            interfaces.clone(),
        ),
        (
            by_out_interface,
            "out_interface",
            local.out_interface != [0; 2],
            out_interfaces.clone(),
        ),
    ];
    let missed = missed
        .into_iter()
        .filter(|(found, _, _, asked)| !found && !asked.is_empty());
    missed
        .map(|(_, what, given, asked)| {
            let asked = either(asked.into_iter());
            if given {
                format!("{what} is not {asked}")
            } else {
                format!("no {what} is given, and it asks for {asked}")
            }
        })
        .collect()
}

fn ports(which: &str, asked: &[PortRange], port: u16) -> Option<String> {
    let found = asked.is_empty()
        || asked
            .iter()
            .any(|range| (range.first..=range.last).contains(&port));
    (!found).then(|| {
        format!(
            "not {which} {}",
            either(asked.iter().map(|ports| range(*ports)))
        )
    })
}

fn types(rule: &Rule, flow: &PacketHeaders) -> Option<String> {
    let asked = &rule.icmp_types;
    let found = asked.is_empty()
        || asked
            .iter()
            .any(|number| u16::from(*number) == flow.source_port);
    let names = asked
        .iter()
        .map(|number| icmp_type(rule.protocols.first(), *number));
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
    if names.is_empty() {
        last
    } else {
        format!("{} or {last}", names.join(", "))
    }
}

#[cfg(test)]
pub mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

    use super::*;
    use crate::flow::{FlowText, PacketQuestion};
    use crate::here::Here;
    use engine::classify;
    use firewall_abi::packet::NO_RULE;
    use proptest::prelude::*;
    use proptest::sample::select;
    use std::path::Path;

    pub const SETS: &str = "[[set]]\nid = 's'\naddresses = ['192.0.2.0/24', '2001:db8::/32']\n\
                        [[set]]\nid = 't'\naddresses = ['10.0.0.0-10.0.0.1', 'fd00::2']\n";

    /// A line of a rule, or nothing.
    fn line(lines: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
        select(lines)
    }

    pub fn rule() -> impl Strategy<Value = String> {
        let kind = line(&[
            "",
            "protocol = 'tcp'\nports = [23, '80-90']\n",
            "protocol = 'udp'\nsource_ports = 53\n",
            "protocol = ['tcp', 'udp']\nports = 53\nsource_ports = '1000-2000'\n",
            "protocol = 'icmp'\nicmp_type = ['echo-request', 3]\n",
            "protocol = 'icmpv6'\n",
            "protocol = [47, 6]\n",
        ]);
        let direction = line(&[
            "",
            "direction = 'in'\n",
            "direction = 'out'\n",
            "direction = 'forward'\n",
            "direction = 'forward'\nout_interface = ['wg0', 'eth1']\n",
        ]);
        let source = line(&[
            "",
            "source = '10.0.0.0/8'\n",
            "source = ['10.0.0.2', 'fd00::/8']\n",
            "source = '::/0'\n",
            "source = '@s'\n",
            "source = ['10.0.0.2-10.0.0.9', '@t']\n",
        ]);
        let destination = line(&[
            "",
            "destination = ['0.0.0.0/0', 'fd00::1']\n",
            "destination = ['@t', 'fd00::1']\n",
        ]);
        let enabled = line(&["", "", "", "enabled = false\n"]);
        let who = line(&[
            "",
            "",
            "user = [1000, 0]\n",
            "program = ['/opt/not-there', '/bin/sh']\n",
            "interface = 'eth0'\n",
            "user = 7\ninterface = ['wg0', 'eth0']\n",
        ]);
        (kind, direction, source, destination, enabled, who).prop_map(
            |(kind, direction, source, destination, enabled, who)| {
                let forward = direction.contains("forward");
                let who = if forward && (who.contains("user") || who.contains("program")) {
                    ""
                } else {
                    who
                };
                let mixed = source.contains("::/0") && destination.is_empty();
                let destination = if mixed || !source.contains("::/0") { destination } else { "" };
                format!(
                    "[[rule]]\nid = 'r'\naction = 'block'\n{kind}{direction}{source}{destination}{enabled}{who}"
                )
            },
        )
    }

    pub fn packet() -> impl Strategy<Value = String> {
        let ends = [
            ("10.0.0.2", "10.0.0.1"),
            ("192.0.2.7", "10.0.0.2"),
            ("fd00::2", "fd00::1"),
            ("2001:db8::1", "fd00::2"),
        ];
        let ports = select(vec![
            (53_u16, 1500_u16),
            (1500, 53),
            (5000, 23),
            (5000, 85),
            (5000, 91),
        ]);
        let kinds = select(vec![
            "tcp", "udp", "sctp", "icmp", "icmpv6", "47", "fragment",
        ]);
        let types = select(vec![
            "type echo-request",
            "type 3 code 1",
            "type 200 code 255",
        ]);
        let direction = select(vec!["in", "out", "forward"]);
        let who = select(vec![
            "",
            " user 1000",
            " user root program /bin/sh",
            " interface eth0 user 7",
            " program /opt/not-there interface wg0",
            " interface eth0 out_interface wg0",
        ]);
        (direction, kinds, select(ends.to_vec()), ports, types, who).prop_map(
            |(direction, kind, (from, to), ports, types, who)| {
                let socket =
                    |address: &str, port| std::net::SocketAddr::new(address.parse().unwrap(), port);
                let packet = match kind {
                    "tcp" | "udp" | "sctp" => {
                        format!(
                            "{direction} {kind} {} -> {}",
                            socket(from, ports.0),
                            socket(to, ports.1)
                        )
                    }
                    "47" => format!("{direction} 47 {from} -> {to}"),
                    "fragment" => format!("{direction} tcp {from} -> {to} fragment"),
                    icmp => format!("{direction} {icmp} {from} -> {to} {types}"),
                };
                packet + who
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_a_rule_is_said_to_miss_on_is_what_the_engine_decides(rule in rule(), packet in packet()) {
            let here = Here::beside(Path::new("r"));
            let text = format!("[default]\ninbound = 'allow'\noutbound = 'allow'\n{SETS}{rule}");
            let rules = rules::parse("r", &text, &here).unwrap();
            let PacketQuestion(packet, who) = packet.parse().unwrap();
            let local = who.local(&here).unwrap();
            let matched = classify(&packet, &local, &rules.compile(1).slices()).rule != NO_RULE;
            let missed = misses(rules.rule(0).unwrap(), &packet, &local, (&rules, &Joined::default()));
            prop_assert_eq!(matched, missed.is_empty(), "{:?}", missed);
        }

        #[test]
        fn a_packet_that_is_written_is_read_the_same(packet in packet()) {
            let question: PacketQuestion = packet.parse().unwrap();
            let direction = Direction::try_from(question.0.flow.direction).unwrap();
            let written = format!("{}{}", FlowText(&question.0, Some(direction)), question.1);
            let again: PacketQuestion = written.parse().unwrap();
            prop_assert_eq!((question.0, question.1), (again.0, again.1), "{}", written);
        }

        #[test]
        fn no_text_however_wrong_makes_it_panic(text in "\\PC{0,60}", ends in "(in|out) (tcp|icmp|47) [0-9a-f:.\\[\\]]{0,20} -> [0-9a-f:.]{0,20}( type [a-z0-9]{0,4})?( (user|program|interface) ?[a-z0-9/]{0,20})?") {
            let _wrong = text.parse::<PacketQuestion>();
            let _wrong = ends.parse::<PacketQuestion>();
        }
    }
}
