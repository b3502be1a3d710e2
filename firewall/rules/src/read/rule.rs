//! Reads rules, and checks their keys together.

use super::asking;
use super::names::Names;
use crate::network::NOT;
use crate::program::arguments;
use crate::report::Report;
use crate::section::{Section, Value};
use crate::value::{
    action, addresses, boolean, direction, icmp_type, id, interface, port_range, program, protocol,
    string, text, user,
};
use crate::{Addresses, Effect, Presumed, Program, Protocol, Rule, RuleNetworks, User, compile};
use firewall_abi::packet::{Direction, Verdict};
use std::ops::Range;
use toml::Spanned;
use toml::de::DeTable;

const RULE_KEYS: &[&str] = &[
    "id",
    "action",
    "unanswered",
    "answer_within",
    "direction",
    "protocol",
    "source",
    "destination",
    "source_ports",
    "ports",
    "icmp_type",
    "interface",
    "out_interface",
    "user",
    "program",
    "network",
    "log",
    "enabled",
    "comment",
];

pub(super) fn rule(
    table: &DeTable<'_>,
    place: Range<usize>,
    report: &mut Report<'_>,
    names: &mut Names<'_>,
) -> (Rule, Range<usize>) {
    let mut section = Section {
        table,
        place: place.clone(),
        report,
    };
    section.unknown_keys(RULE_KEYS);
    let action = section
        .required("action", "\"allow\"", action)
        .unwrap_or(Verdict::Block);
    let protocols = section.several("protocol", protocol);
    let types_of = protocols.first().copied().unwrap_or(Protocol::ICMP);
    let id_place = section.value("id").map_or(place, Spanned::span);
    let (sources, source_sets) = end(&mut section, "source", names);
    let (destinations, destination_sets) = end(&mut section, "destination", names);
    let (users, unknown_user) = users(&mut section, names, action);
    let (programs, unknown_program) = programs(&mut section, names, action);
    let presumed = if action != Verdict::Allow {
        Presumed {
            sources: names.presumed(&source_sets),
            destinations: names.presumed(&destination_sets),
            users: if unknown_user {
                names.strangers()
            } else {
                Vec::new()
            },
            programs: unknown_program,
        }
    } else {
        Presumed::default()
    };
    let networks = rule_networks(&mut section, names);
    let mut rule = Rule {
        id: section.required("id", "\"web\"", id).unwrap_or_default(),
        line: section.report.line(id_place.start),
        action,
        direction: section.optional("direction", direction),
        sources,
        source_sets,
        destinations,
        destination_sets,
        source_ports: section.several("source_ports", port_range),
        ports: section.several("ports", port_range),
        icmp_types: section.several("icmp_type", |value| icmp_type(types_of, value)),
        interfaces: section.several("interface", interface),
        out_interfaces: section.several("out_interface", interface),
        users,
        programs,
        log: section
            .optional("log", boolean)
            .unwrap_or(action != Verdict::Allow),
        asking: asking(&mut section, action == Verdict::Ask, "action = \"ask\""),
        enabled: section.optional("enabled", boolean).unwrap_or(true),
        networks,
        effect: Effect::On,
        comment: section.optional("comment", text),
        protocols,
        presumed,
    };
    check_together(&rule, &mut section);
    // Until somebody says where the machine is, none is known.
    rule.put_at(&[]);
    (rule, id_place)
}

/// Reads the conditions for one end of a packet: addresses, and sets by their index.
fn end(
    section: &mut Section<'_, '_, '_>,
    key: &str,
    names: &mut Names<'_>,
) -> (Vec<Addresses>, Vec<u32>) {
    let mut sets = Vec::new();
    let listed = section.several_placed(key, |value: &Value<'_>| {
        match value
            .get_ref()
            .as_str()
            .and_then(|text| text.strip_prefix('@'))
        {
            Some(name) => names.set(name).map(|set| {
                sets.push(set);
                None
            }),
            None => addresses(value.get_ref()).map(Some),
        }
    });
    (listed.into_iter().flatten().collect(), sets)
}

/// Reads the networks in which a rule is on, by their index.
fn rule_networks(section: &mut Section<'_, '_, '_>, names: &mut Names<'_>) -> RuleNetworks {
    let named = section.several_placed("network", |value: &Value<'_>| {
        let word = string(value.get_ref())?;
        let name = word.strip_prefix(NOT);
        Ok((names.network(name.unwrap_or(word))?, name.is_some()))
    });
    let elsewhere = named.first().is_some_and(|(_, not)| *not);
    if let Some(value) = section
        .value("network")
        .filter(|_| named.iter().any(|(_, not)| *not != elsewhere))
    {
        let message = format!(
            "`network`: a rule is on where one of its networks is there, or, each with {NOT} before its name, where none of them \
             is: not both; make it two rules"
        );
        section.report.error(value.span(), message);
    }
    RuleNetworks {
        named: named.into_iter().map(|(place, _)| place).collect(),
        elsewhere,
    }
}

/// Reads the users; the second value says whether one of them is not known.
fn users(
    section: &mut Section<'_, '_, '_>,
    names: &mut Names<'_>,
    action: Verdict,
) -> (Vec<User>, bool) {
    let mut troubles = Vec::new();
    let users = section.several_placed("user", |value: &Value<'_>| {
        user(value.get_ref(), |name| {
            let found = names.user(name);
            found
                .map_err(|wrong| troubles.push((value.span(), wrong)))
                .ok()
        })
    });
    let unknown = !troubles.is_empty();
    for (place, wrong) in troubles {
        let until = match action {
            Verdict::Block | Verdict::Reject | Verdict::Ask | Verdict::Socket => {
                "until then the rule blocks everybody who is no user of this machine's own"
            }
            Verdict::Allow => "until then the rule allows nothing for this name",
        };
        section
            .report
            .trouble(place, format!("`user`: {wrong}; {until}"));
    }
    (users, unknown)
}

/// Reads the programs; the second value says whether one of them can't be looked at.
fn programs(
    section: &mut Section<'_, '_, '_>,
    names: &mut Names<'_>,
    action: Verdict,
) -> (Vec<Program>, bool) {
    let (mut missing, mut troubles) = (Vec::new(), Vec::new());
    let programs = section.several_placed("program", |value: &Value<'_>| {
        let (program, trouble) = names.program(program(value.get_ref())?);
        if program.identity.is_none()
            && let Some(wrong) = arguments(&program.path, names.resolver)
        {
            return Err(wrong);
        }
        match trouble {
            Some(trouble) => troubles.push((value.span(), program.path.clone(), trouble)),
            None if program.identity.is_none() => {
                missing.push((value.span(), program.path.clone()))
            }
            None => {}
        }
        Ok(program)
    });
    for (place, path) in missing {
        let message =
            format!("`program`: there is no file {path}; the rule matches it once it is there");
        section.report.warning(place, message);
    }
    let unknown = !troubles.is_empty();
    for (place, path, trouble) in troubles {
        let until = match action {
            Verdict::Block | Verdict::Reject | Verdict::Ask | Verdict::Socket => {
                "until it can be, the rule blocks every program"
            }
            Verdict::Allow => "until it can be, the rule does not match it",
        };
        let message = format!("`program`: {path} can't be looked at: {trouble}; {until}");
        section.report.trouble(place, message);
    }
    (programs, unknown)
}

/// Reports keys that are valid alone but not beside the rule's other keys.
fn check_together(rule: &Rule, section: &mut Section<'_, '_, '_>) {
    let with_ports = !rule.protocols.is_empty() && rule.protocols.iter().all(|p| p.has_ports());
    let wrong_protocol = section.value("protocol").is_some() && rule.protocols.is_empty();
    for key in ["ports", "source_ports"] {
        if let Some(value) = section.value(key)
            && !with_ports
            && !wrong_protocol
        {
            let message = format!(
                "`{key}` goes with protocols that have ports; add protocol = \"tcp\", \"udp\" or both"
            );
            section.report.error(value.span(), message);
        }
    }
    if let Some(value) = section.value("icmp_type")
        && !wrong_protocol
        && !matches!(rule.protocols.as_slice(), [one] if one.has_types())
    {
        let message = "`icmp_type` goes with one protocol, icmp or icmpv6; add protocol = \"icmp\"";
        section.report.error(value.span(), message);
    }
    if let Some(value) = section.value("out_interface")
        && rule.direction != Some(Direction::Forward)
    {
        let message = "`out_interface` goes with direction = \"forward\"; of what goes out, `interface` is the device";
        section.report.error(value.span(), message);
    }
    if rule.action == Verdict::Ask
        && !matches!(
            rule.direction,
            Some(Direction::Inbound | Direction::Outbound)
        )
    {
        let place = section
            .value("direction")
            .or(section.value("action"))
            .map_or(section.place.clone(), Spanned::span);
        let message = "action = \"ask\" goes with direction = \"out\" or \"in\": nobody at this machine can be asked about \
                       what it only forwards";
        section.report.error(place, message);
    }
    for key in ["user", "program"] {
        if let Some(value) = section.value(key)
            && rule.direction == Some(Direction::Forward)
        {
            let message = format!(
                "`{key}` asks who is at this machine's end, and what is forwarded has none there; leave it out"
            );
            section.report.error(value.span(), message);
        }
    }
    if let (Some(first), Some(_)) = (rule.sources.first(), rule.destinations.first())
        && !compile::can_be(rule, 4)
        && !compile::can_be(rule, 6)
    {
        let place = section
            .value("destination")
            .map_or(section.place.clone(), Spanned::span);
        let version = first.version();
        let message = format!(
            "`source` is IPv{version} and `destination` is not: no packet has both; make it two rules"
        );
        section.report.error(place, message);
    }
}
