//! From TOML to rules, saying all that is wrong.

use crate::report::{Report, Wrong, suggestion};
use crate::{Network, Protocol, Rule, Rules, compile, ports};
use contract::packet::{Direction, Verdict};
use contract::rules::{MAX_ROWS, PortRange};
use std::collections::HashMap;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

const FILE_KEYS: &[&str] = &["version", "default", "rule"];
const DEFAULT_KEYS: &[&str] = &["inbound", "outbound"];
const RULE_KEYS: &[&str] = &[
    "id",
    "action",
    "direction",
    "protocol",
    "source",
    "destination",
    "source_ports",
    "ports",
    "icmp_type",
    "log",
    "enabled",
    "comment",
];

type Value<'a> = Spanned<DeValue<'a>>;

/// What a whole text says. What was reported makes the result void.
pub(crate) fn file(text: &str, report: &mut Report<'_>) -> Rules {
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        report.syntax(error.span().unwrap_or(0..0), error.message());
    }
    let mut section = Section { table: table.get_ref(), place: 0..0, report };
    section.unknown_keys(FILE_KEYS);
    section.optional("version", version);
    let (inbound, outbound) = defaults(&mut section);
    let rules = section.tables("rule");
    let rules: Vec<_> = rules.into_iter().map(|(table, place)| rule(table, place, section.report)).collect();
    check_ids(&rules, section.report);
    check_size(&rules, section.report);
    let rules = rules.into_iter().map(|(rule, _)| rule).collect();
    Rules { inbound, outbound, rules, warnings: Vec::new() }
}

/// A table of the text, with what it takes to complain about it.
struct Section<'a, 'r, 't> {
    table: &'a DeTable<'a>,
    place: Range<usize>,
    report: &'r mut Report<'t>,
}

impl<'a> Section<'a, '_, '_> {
    fn unknown_keys(&mut self, known: &[&str]) {
        for key in self.table.keys().filter(|key| !known.contains(&key.get_ref().as_ref())) {
            let name = key.get_ref();
            self.report.error(key.span(), format!("unknown key `{name}`; {}", suggestion(name, known)));
        }
    }

    fn value(&self, key: &str) -> Option<&'a Value<'a>> {
        self.table.get(key)
    }

    fn optional<T>(&mut self, key: &str, read: impl Fn(&DeValue<'_>) -> Result<T, Wrong>) -> Option<T> {
        let value = self.value(key)?;
        let read = read(value.get_ref());
        read.map_err(|wrong| self.report.error(value.span(), format!("`{key}`: {wrong}"))).ok()
    }

    fn required<T>(
        &mut self,
        key: &str,
        example: &str,
        read: impl Fn(&DeValue<'_>) -> Result<T, Wrong>,
    ) -> Option<T> {
        if self.value(key).is_none() {
            self.report.missing(
                self.place.clone(),
                format!("`{key}` is missing here; add one like {key} = {example}"),
            );
        }
        self.optional(key, read)
    }

    /// One value or a list of them. Each that is wrong is reported at its own place.
    fn several<T>(&mut self, key: &str, read: impl Fn(&DeValue<'_>) -> Result<T, Wrong>) -> Vec<T> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let values = value.get_ref().as_array().map_or(vec![value], |list| list.iter().collect());
        if values.is_empty() {
            let message = format!("`{key}`: this list is empty; leave the key out if any will do");
            self.report.error(value.span(), message);
        }
        let mut taken = Vec::new();
        for value in values {
            match read(value.get_ref()) {
                Ok(read) => taken.push(read),
                Err(wrong) => self.report.error(value.span(), format!("`{key}`: {wrong}")),
            }
        }
        taken
    }

    /// The tables of `[[key]]`.
    fn tables(&mut self, key: &str) -> Vec<(&'a DeTable<'a>, Range<usize>)> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let Some(list) = value.get_ref().as_array() else {
            self.report.error(value.span(), format!("`{key}` stands once for each {key}; write [[{key}]]"));
            return Vec::new();
        };
        let mut tables = Vec::new();
        for value in list.iter() {
            match value.get_ref().as_table() {
                Some(table) => tables.push((table, value.span())),
                None => {
                    self.report.error(value.span(), format!("this is no table; write [[{key}]] and its keys"))
                }
            }
        }
        tables
    }
}

fn defaults(file: &mut Section<'_, '_, '_>) -> (Verdict, Verdict) {
    let value = file.value("default");
    let Some((table, place)) = value.and_then(|value| Some((value.get_ref().as_table()?, value.span())))
    else {
        let place = value.map_or(0..0, Spanned::span);
        let message = "`default` is missing; add [default] with inbound = \"block\" and outbound = \"allow\"";
        file.report.missing(place, message);
        return (Verdict::Block, Verdict::Block);
    };
    let mut section = Section { table, place, report: file.report };
    section.unknown_keys(DEFAULT_KEYS);
    let inbound = section.required("inbound", "\"block\"", action);
    let outbound = section.required("outbound", "\"allow\"", action);
    (inbound.unwrap_or(Verdict::Block), outbound.unwrap_or(Verdict::Block))
}

fn rule(table: &DeTable<'_>, place: Range<usize>, report: &mut Report<'_>) -> (Rule, Range<usize>) {
    let mut section = Section { table, place: place.clone(), report };
    section.unknown_keys(RULE_KEYS);
    let action = section.required("action", "\"allow\"", action).unwrap_or(Verdict::Block);
    let protocols = section.several("protocol", protocol);
    let types_of = protocols.first().copied().unwrap_or(Protocol::ICMP);
    let id_place = section.value("id").map_or(place, Spanned::span);
    let rule = Rule {
        id: section.required("id", "\"web\"", id).unwrap_or_default(),
        line: section.report.line(id_place.start),
        action,
        direction: section.optional("direction", direction),
        sources: section.several("source", network),
        destinations: section.several("destination", network),
        source_ports: section.several("source_ports", port_range),
        ports: section.several("ports", port_range),
        icmp_types: section.several("icmp_type", |value| icmp_type(types_of, value)),
        log: section.optional("log", boolean).unwrap_or(action == Verdict::Block),
        enabled: section.optional("enabled", boolean).unwrap_or(true),
        comment: section.optional("comment", |value| string(value).map(str::to_owned)),
        protocols,
    };
    check_together(&rule, &mut section);
    (rule, id_place)
}

/// What is right alone but not beside the rule's other keys.
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
    if let (Some(first), Some(_)) = (rule.sources.first(), rule.destinations.first())
        && compile::ends(rule).next().is_none()
    {
        let place = section.value("destination").map_or(section.place.clone(), Spanned::span);
        let version = first.version();
        let message = format!(
            "`source` is IPv{version} and `destination` is not: no packet has both; make it two rules"
        );
        section.report.error(place, message);
    }
}

fn check_ids(rules: &[(Rule, Range<usize>)], report: &mut Report<'_>) {
    let mut first_line = HashMap::new();
    for (rule, place) in rules.iter().filter(|(rule, _)| !rule.id.is_empty()) {
        if let Some(line) = first_line.insert(&rule.id, rule.line) {
            let message = format!(
                "`id`: the rule in line {line} is called `{}` too; each needs a name of its own",
                rule.id
            );
            report.error(place.clone(), message);
        }
    }
}

fn check_size(rules: &[(Rule, Range<usize>)], report: &mut Report<'_>) {
    let mut rows: usize = 0;
    for (rule, place) in rules {
        let before = rows;
        rows = compile::size(rule).saturating_add(rows);
        if before <= MAX_ROWS as usize && rows > MAX_ROWS as usize {
            let message = format!(
                "with this rule there are {rows} combinations of addresses, protocols and ports, and {MAX_ROWS} is \
                 the most; join prefixes or ranges"
            );
            report.error(place.clone(), message);
        }
    }
}

fn version(value: &DeValue<'_>) -> Result<(), Wrong> {
    match integer(value) {
        Some(1) => Ok(()),
        _ => Err("this release reads version 1 only; write version = 1".into()),
    }
}

fn id(value: &DeValue<'_>) -> Result<String, Wrong> {
    let text = string(value)?;
    let fits = (1..=64).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    fits.then(|| text.to_owned()).ok_or_else(|| "a name has 1 to 64 characters, all of them visible".into())
}

fn action(value: &DeValue<'_>) -> Result<Verdict, Wrong> {
    one_of(value, &[(Verdict::Allow.name(), Verdict::Allow), (Verdict::Block.name(), Verdict::Block)])
}

fn direction(value: &DeValue<'_>) -> Result<Direction, Wrong> {
    let (into, out) = (Direction::Inbound, Direction::Outbound);
    one_of(value, &[(into.name(), into), (out.name(), out)])
        .map_err(|wrong| format!("{wrong}; leave the key out for both directions"))
}

fn one_of<T: Copy>(value: &DeValue<'_>, known: &[(&str, T)]) -> Result<T, Wrong> {
    let text = string(value)?;
    let names: Vec<_> = known.iter().map(|(name, _)| *name).collect();
    let found = known.iter().find(|(name, _)| *name == text).map(|(_, meaning)| *meaning);
    found.ok_or_else(|| format!("`{text}` is not known here; {}", suggestion(text, &names)))
}

fn protocol(value: &DeValue<'_>) -> Result<Protocol, Wrong> {
    match value.as_str() {
        Some(name) => Protocol::named(name),
        None => small(value).map(Protocol),
    }
}

fn icmp_type(of: Protocol, value: &DeValue<'_>) -> Result<u8, Wrong> {
    match value.as_str() {
        Some(name) => of.icmp_type(name),
        None => small(value),
    }
}

fn network(value: &DeValue<'_>) -> Result<Network, Wrong> {
    string(value)?.parse()
}

fn port_range(value: &DeValue<'_>) -> Result<PortRange, Wrong> {
    match value.as_integer() {
        Some(number) if number.radix() == 10 => ports::range(number.as_str()),
        _ => ports::range(string(value)?),
    }
}

fn boolean(value: &DeValue<'_>) -> Result<bool, Wrong> {
    value.as_bool().ok_or_else(|| "write true or false, without quotes".into())
}

fn string<'v>(value: &'v DeValue<'_>) -> Result<&'v str, Wrong> {
    value.as_str().ok_or_else(|| format!("this is {}, not text; write it in quotes", value.type_str()))
}

fn small(value: &DeValue<'_>) -> Result<u8, Wrong> {
    let number = integer(value).and_then(|number| u8::try_from(number).ok());
    number.ok_or_else(|| "write a name in quotes, or a number from 0 to 255".into())
}

fn integer(value: &DeValue<'_>) -> Option<i64> {
    let number = value.as_integer()?;
    i64::from_str_radix(number.as_str(), number.radix()).ok()
}
