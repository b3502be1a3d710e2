//! Exports that are JSON: OpenSnitch's rules, Little Snitch's `.lsrules`, Portmaster's profiles and settings.

use super::model::{Imported, Keys, Place};
use super::ports::port;
use crate::edit::KeyArguments;
use firewall_abi::packet::Verdict;
use serde_json::Value;

const ASKS: &str =
    "asks about what no rule matches; here it is allowed. Write outbound = \"block\" to refuse it.";

/// Addresses of a network of one's own.
const LOCAL: &[&str] = &[
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "169.254.0.0/16",
    "fc00::/7",
    "fe80::/10",
];

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn local() -> Vec<String> {
    LOCAL.iter().map(|it| (*it).to_owned()).collect()
}

/// One rule of OpenSnitch, or a list of them.
pub fn opensnitch(value: &Value) -> Imported {
    let mut into = Imported {
        inbound: Some(Verdict::Allow),
        outbound: Some(Verdict::Allow),
        ..Imported::default()
    };
    into.notes.push(format!("OpenSnitch {ASKS}"));
    into.notes
        .push("OpenSnitch judges what goes out: all that comes in is allowed.".to_owned());
    let one = std::slice::from_ref(value);
    let mut rules: Vec<&Value> = value.as_array().map_or(one, Vec::as_slice).iter().collect();
    // It tries rules by their names; what refuses, or goes before all others, ends the search, what allows does not.
    rules.sort_by_key(|rule| {
        let ends =
            text(rule, "action") != "allow" || rule.get("precedence") == Some(&Value::Bool(true));
        (!ends, text(rule, "name").to_owned())
    });
    for rule in rules {
        let place = Place::named(text(rule, "name"));
        let verdict = match text(rule, "action") {
            "allow" => Verdict::Allow,
            "deny" | "reject" => Verdict::Block,
            other => {
                into.unsaid(place, format!("`{other}` is no action that is known here"));
                continue;
            }
        };
        match opensnitch_keys(rule) {
            Ok(keys) => into.rule(place, verdict, keys),
            Err(why) => into.unsaid(place, why),
        }
    }
    into
}

fn opensnitch_keys(rule: &Value) -> Keys {
    let duration = text(rule, "duration");
    if !matches!(duration, "always" | "") {
        return Err(format!(
            "it holds for `{duration}`, and rules here hold until they are changed"
        ));
    }
    let mut keys = KeyArguments {
        id: Some(text(rule, "name").to_owned()).filter(|name| !name.is_empty()),
        direction: Some("out".to_owned()),
        comment: Some(text(rule, "description").to_owned()).filter(|it| !it.is_empty()),
        enabled: (rule.get("enabled") == Some(&Value::Bool(false))).then_some(false),
        ..KeyArguments::default()
    };
    operator(rule.get("operator").unwrap_or(&Value::Null), &mut keys)?;
    if !keys.ports.is_empty() || !keys.source_ports.is_empty() {
        let any = keys.protocol.is_empty();
        if any {
            keys.protocol = vec!["tcp".to_owned(), "udp".to_owned()];
        }
    }
    Ok(keys)
}

fn operator(operator: &Value, keys: &mut KeyArguments) -> Result<(), String> {
    let (kind, operand, data) = (
        text(operator, "type"),
        text(operator, "operand"),
        text(operator, "data"),
    );
    if kind == "list" {
        let list = operator.get("list").and_then(Value::as_array);
        return list
            .into_iter()
            .flatten()
            .try_for_each(|part| self::operator(part, keys));
    }
    if operand == "true" {
        return Ok(());
    }
    let values = match kind {
        "simple" | "network" | "range" => vec![data.to_owned()],
        "regexp" => alternatives(data).ok_or_else(|| {
            format!("`{operand}` is asked for by a pattern, {data}, and keys here take values")
        })?,
        other => return Err(format!("`{other}` of `{operand}` has no likeness here")),
    };
    let ports = || {
        values
            .iter()
            .map(|value| port(value))
            .collect::<Result<Vec<_>, _>>()
    };
    match operand {
        "process.path" => keys.program = values,
        "dest.ip" => keys.destination = values,
        "dest.network" => keys.destination = network(data)?,
        "source.ip" => keys.source = values,
        "source.network" => keys.source = network(data)?,
        "dest.port" => keys.ports = ports()?,
        "source.port" => keys.source_ports = ports()?,
        "user.id" | "user.name" => keys.user = values,
        "iface.out" => keys.interface = values,
        "protocol" => keys.protocol = vec![data.trim_end_matches('6').to_owned()],
        "dest.host" => {
            return Err(format!(
                "it asks for the name {data}, and rules here ask for addresses"
            ));
        }
        other => return Err(format!("`{other}` has no key of ours")),
    }
    Ok(())
}

/// What a pattern of plain alternatives stands for: `^(53|853)$`.
fn alternatives(pattern: &str) -> Option<Vec<String>> {
    let inner = pattern.strip_prefix('^')?.strip_suffix('$')?;
    let inner = inner
        .strip_prefix('(')
        .and_then(|inner| inner.strip_suffix(')'))
        .unwrap_or(inner);
    let plain = |part: &str| {
        !part.is_empty()
            && part
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_'))
    };
    let parts: Vec<_> = inner.split('|').map(str::to_owned).collect();
    parts.iter().all(|part| plain(part)).then_some(parts)
}

fn network(data: &str) -> Result<Vec<String>, String> {
    match data {
        "LAN" => Ok(local()),
        "MULTICAST" => Ok(vec!["224.0.0.0/4".to_owned(), "ff00::/8".to_owned()]),
        other if other.contains(['/', '.', ':']) => Ok(vec![other.to_owned()]),
        other => Err(format!(
            "what the network `{other}` is, is not in this file"
        )),
    }
}

/// Little Snitch's `.lsrules`.
pub fn little_snitch(value: &Value) -> Imported {
    let mut into = Imported {
        inbound: Some(Verdict::Allow),
        outbound: Some(Verdict::Allow),
        ..Imported::default()
    };
    into.notes.push(format!("Little Snitch {ASKS}"));
    into.notes.push(
        "Little Snitch lets the most specific rule decide; here the first does, and those that refuse stand first. Look at the order."
            .to_owned(),
    );
    lists(value, &mut into);
    let mut rules: Vec<&Value> = value
        .get("rules")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .collect();
    rules.sort_by_key(|rule| text(rule, "action") == "allow");
    for rule in rules {
        let place = Place::named(rule.to_string());
        let verdict = match text(rule, "action") {
            "allow" => Verdict::Allow,
            "deny" => Verdict::Block,
            other => {
                into.unsaid(place, format!("the action `{other}` is not known here"));
                continue;
            }
        };
        match little_snitch_keys(rule) {
            Ok(keys) => into.rule(place, verdict, keys),
            Err(why) => into.unsaid(place, why),
        }
    }
    into
}

/// Addresses and names that are refused to everybody.
fn lists(value: &Value, into: &mut Imported) {
    let listed = |key: &str| -> Vec<String> {
        let list = value.get(key).and_then(Value::as_array);
        list.into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect()
    };
    let addresses = listed("denied-remote-addresses");
    if !addresses.is_empty() {
        let keys = KeyArguments {
            direction: Some("out".to_owned()),
            destination: addresses,
            ..KeyArguments::default()
        };
        into.rule(
            Place::named("denied-remote-addresses"),
            Verdict::Block,
            keys,
        );
    }
    for key in ["denied-remote-domains", "denied-remote-hosts"] {
        for name in listed(key) {
            into.unsaid(
                Place::named(format!("{key}: {name}")),
                "it is a name, and rules here ask for addresses",
            );
        }
    }
}

fn little_snitch_keys(rule: &Value) -> Keys {
    let mut keys = KeyArguments {
        comment: Some(text(rule, "notes").to_owned()).filter(|it| !it.is_empty()),
        enabled: (rule.get("disabled") == Some(&Value::Bool(true))).then_some(false),
        ..KeyArguments::default()
    };
    let known = [
        "action",
        "process",
        "remote",
        "remote-addresses",
        "ports",
        "protocol",
        "direction",
        "notes",
        "disabled",
        "priority",
        "origin",
    ];
    for key in rule.as_object().into_iter().flat_map(|rule| rule.keys()) {
        if key.starts_with("remote-domain") || key.starts_with("remote-host") {
            return Err("it asks for names, and rules here ask for addresses".to_owned());
        }
        if !known.contains(&key.as_str()) {
            return Err(format!("`{key}` has no key of ours"));
        }
    }
    keys.direction = match text(rule, "direction") {
        "incoming" => Some("in".to_owned()),
        "both" => None,
        _ => Some("out".to_owned()),
    };
    let process = text(rule, "process");
    if !matches!(process, "any" | "") {
        keys.program = vec![process.to_owned()];
    }
    let inbound = keys.direction.as_deref() == Some("in");
    let ends = match text(rule, "remote") {
        "" | "any" => text(rule, "remote-addresses")
            .split(',')
            .map(|it| it.trim().to_owned())
            .filter(|it| !it.is_empty())
            .collect(),
        "local-net" => local(),
        "multicast" => vec!["224.0.0.0/4".to_owned(), "ff00::/8".to_owned()],
        "broadcast" => vec!["255.255.255.255".to_owned()],
        other => return Err(format!("`remote` is `{other}`, which has no likeness here")),
    };
    if !ends.is_empty() && keys.direction.is_none() {
        return Err(
            "it is for both directions and asks for the other end: make it two rules".to_owned(),
        );
    }
    if inbound {
        keys.source = ends;
    } else {
        keys.destination = ends;
    }
    match text(rule, "protocol") {
        "" | "any" => {}
        other => keys.protocol = vec![other.to_owned()],
    }
    let ports = text(rule, "ports");
    if !matches!(ports, "" | "any") {
        keys.ports = ports.split(',').map(port).collect::<Result<_, _>>()?;
        if keys.protocol.is_empty() {
            keys.protocol = vec!["tcp".to_owned(), "udp".to_owned()];
        }
    }
    Ok(keys)
}

/// Portmaster's settings, a profile, or a list of profiles.
pub fn portmaster(value: &Value) -> Imported {
    let mut into = Imported {
        inbound: Some(Verdict::Block),
        outbound: Some(Verdict::Allow),
        ..Imported::default()
    };
    into.notes
        .push("Portmaster refuses what comes in unless a rule allows it.".to_owned());
    let one = std::slice::from_ref(value);
    let mut profiles: Vec<&Value> = value.as_array().map_or(one, Vec::as_slice).iter().collect();
    // The settings of all programs are asked after those of one.
    profiles.sort_by_key(|profile| text(profile, "type") != "profile");
    for profile in profiles {
        one_profile(profile, &mut into);
    }
    into
}

fn one_profile(profile: &Value, into: &mut Imported) {
    let name = if text(profile, "type") == "profile" {
        text(profile, "name")
    } else {
        "all programs"
    };
    let program = match programs(profile) {
        Ok(programs) => programs,
        Err(why) => {
            into.unsaid(Place::named(name), why);
            return;
        }
    };
    for (key, setting) in settings(profile.get("config").unwrap_or(&Value::Null)) {
        let place = |part: &str| Place::named(format!("{name}: {key}: {part}"));
        match (key.as_str(), setting) {
            ("filter/endpoints" | "filter/serviceEndpoints", Value::Array(rules)) => {
                let inbound = key == "filter/serviceEndpoints";
                for rule in rules.iter().filter_map(Value::as_str) {
                    match endpoint(rule, inbound, &program) {
                        Ok((verdict, keys)) => into.rule(place(rule), verdict, keys),
                        Err(why) => into.unsaid(place(rule), why),
                    }
                }
            }
            ("filter/defaultAction", action) => {
                default(action, &program, place(&action.to_string()), into)
            }
            (_, setting) => into.unsaid(
                place(&setting.to_string()),
                "this setting has no likeness here",
            ),
        }
    }
}

/// What a program's other connections get: after its rules.
fn default(action: &Value, program: &[String], place: Place, into: &mut Imported) {
    let verdict = match action.as_str() {
        Some("permit") => Verdict::Allow,
        Some("block") => Verdict::Block,
        _ => {
            into.unsaid(place, "it asks, and rules here decide");
            return;
        }
    };
    if program.is_empty() {
        into.outbound = Some(verdict);
        return;
    }
    let keys = KeyArguments {
        direction: Some("out".to_owned()),
        program: program.to_vec(),
        ..KeyArguments::default()
    };
    into.rule(place, verdict, keys);
}

/// Settings by their whole names, in the order in which they are asked: a default comes last.
fn settings(config: &Value) -> Vec<(String, &Value)> {
    let mut all = Vec::new();
    for (key, value) in config.as_object().into_iter().flatten() {
        match value {
            Value::Object(inner) => all.extend(
                inner
                    .iter()
                    .map(|(below, value)| (format!("{key}/{below}"), value)),
            ),
            value => all.push((key.clone(), value)),
        }
    }
    all.sort_by_key(|(key, _)| (key == "filter/defaultAction", key.clone()));
    all
}

fn programs(profile: &Value) -> Result<Vec<String>, String> {
    if text(profile, "type") != "profile" {
        return Ok(Vec::new());
    }
    let prints = profile.get("fingerprints").and_then(Value::as_array);
    let mut paths = Vec::new();
    for print in prints.into_iter().flatten() {
        let field = |name: &str| {
            let lower = name.to_ascii_lowercase();
            [name, &lower]
                .iter()
                .find_map(|key| print.get(key)?.as_str())
                .unwrap_or_default()
                .to_owned()
        };
        if field("Type") != "path" || field("Operation") != "equals" {
            return Err(format!(
                "the program is known by `{}` {} {}, and here by its whole path",
                field("Type"),
                field("Operation"),
                field("Value")
            ));
        }
        paths.push(field("Value"));
    }
    if paths.is_empty() {
        return Err("it does not say which program it is for".to_owned());
    }
    Ok(paths)
}

/// `+ 192.0.2.0/24 TCP/443`.
fn endpoint(
    rule: &str,
    inbound: bool,
    program: &[String],
) -> Result<(Verdict, KeyArguments), String> {
    // What follows is a comment.
    let rule = rule.split('#').next().unwrap_or_default();
    let words: Vec<_> = rule.split_whitespace().collect();
    let [sign, entity, rest @ ..] = words.as_slice() else {
        return Err("a rule has a sign and what it is about".to_owned());
    };
    let verdict = match *sign {
        "+" => Verdict::Allow,
        "-" => Verdict::Block,
        _ => return Err(format!("`{sign}` is neither + nor -")),
    };
    let ends = match *entity {
        "*" => Vec::new(),
        "LAN" => local(),
        "Localhost" => return Err("what stays on lo is not judged".to_owned()),
        address if address.parse::<rules::Addresses>().is_ok() => vec![address.to_owned()],
        other => {
            return Err(format!(
                "`{other}` is no address: rules here ask for addresses"
            ));
        }
    };
    let mut keys = KeyArguments {
        direction: Some(if inbound { "in" } else { "out" }.to_owned()),
        program: program.to_vec(),
        ..KeyArguments::default()
    };
    if inbound {
        keys.source = ends;
    } else {
        keys.destination = ends;
    }
    match rest {
        [] => {}
        [with] => {
            let (protocol, range) = with.split_once('/').unwrap_or((with, ""));
            keys.protocol = match protocol.to_ascii_lowercase().as_str() {
                "*" if range.is_empty() => Vec::new(),
                "*" => vec!["tcp".to_owned(), "udp".to_owned()],
                "6" => vec!["tcp".to_owned()],
                "17" => vec!["udp".to_owned()],
                "icmp6" => vec!["icmpv6".to_owned()],
                other => vec![other.to_owned()],
            };
            if !matches!(range, "" | "*") {
                keys.ports = vec![port(range)?];
            }
        }
        _ => return Err("there is more in it than is known here".to_owned()),
    }
    Ok((verdict, keys))
}
