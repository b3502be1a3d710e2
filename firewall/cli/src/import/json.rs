//! Exports that are JSON: OpenSnitch's rules, Little Snitch's `.lsrules`, Portmaster's profiles and settings.

use super::fields::Fields;
use super::model::{ImportPlace, Imported, Item, Keys, Version, of_version, once, users};
use super::ports::port;
use crate::edit::KeyArguments;
use firewall_abi::packet::Verdict;
use serde_json::Value;

const ASKS: &str = "asks about what no rule matches, and so do these rules: `gatebell ask` and the window show the questions, and \
                    what nobody answers is refused.";

/// Addresses of a network of one's own.
const LOCAL: &[&str] = &[
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "169.254.0.0/16",
    "fc00::/7",
    "fe80::/10",
];

/// A text that is shown, and decides nothing.
fn label<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn local() -> Vec<String> {
    LOCAL.iter().map(|it| (*it).to_owned()).collect()
}

fn owned(text: &str) -> Option<String> {
    Some(text.to_owned()).filter(|text| !text.is_empty())
}

/// One rule of OpenSnitch, or a list of them.
pub fn opensnitch(value: &Value) -> Imported {
    let mut into = Imported {
        inbound: Verdict::Allow.into(),
        outbound: Verdict::Ask.into(),
        forward: Verdict::Allow.into(),
        ..Imported::default()
    };
    into.notes.push(format!("OpenSnitch {ASKS}"));
    into.notes.push(
        "OpenSnitch judges what goes out: all that comes in, and through, is allowed.".to_owned(),
    );
    let one = std::slice::from_ref(value);
    let all = value.as_array().map_or(one, Vec::as_slice);
    // It tries rules by their names; what refuses, or goes before all others, ends the search, what allows does not.
    let mut rules = Vec::new();
    for rule in all {
        let name = label(rule, "name");
        match opensnitch_rule(rule) {
            Ok((verdict, ends, keys)) => rules.push((!ends, name, Ok((verdict, keys)))),
            Err(why) => rules.push((true, name, Err(why))),
        }
    }
    rules.sort_by_key(|(later, name, _)| (*later, *name));
    for (_, name, rule) in rules {
        match rule {
            Ok((verdict, keys)) => into.rule(ImportPlace::named(name), verdict, keys),
            Err(why) => into.unsaid(ImportPlace::named(name), why),
        }
    }
    into
}

/// A rule: what becomes of packets, whether the search ends with it, and what it asks for.
fn opensnitch_rule(rule: &Value) -> Result<(Verdict, bool, KeyArguments), String> {
    let mut fields = Fields::of(rule)?;
    let verdict = match fields.text_or_empty("action")? {
        "allow" => Verdict::Allow,
        "deny" => Verdict::Block,
        "reject" => Verdict::Reject,
        other => return Err(format!("`{other}` is no action that is known here")),
    };
    let duration = fields.text_or_empty("duration")?;
    if !matches!(duration, "always" | "") {
        return Err(format!(
            "it holds for `{duration}`, and rules here hold until they are changed"
        ));
    }
    let ends = fields.flag("precedence")? || verdict != Verdict::Allow;
    let mut asked = Asked {
        keys: KeyArguments {
            id: owned(fields.text_or_empty("name")?),
            direction: Some("out".to_owned()),
            comment: owned(fields.text_or_empty("description")?),
            enabled: (!fields.flag("enabled")?).then_some(false),
            ..KeyArguments::default()
        },
        ..Asked::default()
    };
    let operator = fields.any("operator").ok_or("it asks for nothing at all")?;
    fields.pass_over(&["created", "updated", "nolog"]);
    fields.finish()?;
    asked.operator(operator)?;
    Ok((verdict, ends, asked.finish()?))
}

/// Keys that the conditions of an OpenSnitch rule ask for together.
#[derive(Default)]
struct Asked {
    keys: KeyArguments,
    version: Option<Version>,
}

impl Asked {
    fn operator(&mut self, operator: &Value) -> Result<(), String> {
        let mut fields = Fields::of(operator)?;
        let (kind, operand) = (
            fields.text_or_empty("type")?,
            fields.text_or_empty("operand")?,
        );
        let (data, list) = (fields.text_or_empty("data")?, fields.any("list"));
        // Whether letters are told apart by their size: here they are, always.
        fields.pass_over(&["sensitive"]);
        fields.finish()?;
        let list = match list {
            None | Some(Value::Null) => &[][..],
            Some(Value::Array(list)) => list,
            Some(other) => return Err(format!("`list` is {other}, which is no list")),
        };
        if kind == "list" {
            return self.list(list, data);
        }
        if !list.is_empty() {
            return Err(format!("`{kind}` of `{operand}` has a list beside it"));
        }
        if (kind, operand) == ("simple", "true") {
            return Ok(());
        }
        self.condition(kind, operand, data)
    }

    /// All of a list; older files have it as a text.
    fn list(&mut self, list: &[Value], data: &str) -> Result<(), String> {
        let written: Vec<Value>;
        let list = if list.is_empty() {
            written = serde_json::from_str(data)
                .map_err(|_| "it is a list of conditions with none in it".to_owned())?;
            &written
        } else {
            list
        };
        if list.is_empty() {
            return Err("it is a list of conditions with none in it".to_owned());
        }
        list.iter().try_for_each(|part| self.operator(part))
    }

    fn condition(&mut self, kind: &str, operand: &str, data: &str) -> Result<(), String> {
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
        let networks = || {
            let all = values.iter().map(|value| network(value));
            all.collect::<Result<Vec<_>, _>>().map(|all| all.concat())
        };
        let keys = &mut self.keys;
        match operand {
            "process.path" => once("program", &mut keys.program, values),
            "dest.ip" => once("destination", &mut keys.destination, values),
            "dest.network" => once("destination", &mut keys.destination, networks()?),
            "source.ip" => once("source", &mut keys.source, values),
            "source.network" => once("source", &mut keys.source, networks()?),
            "dest.port" => once("ports", &mut keys.ports, ports()?),
            "source.port" => once("source_ports", &mut keys.source_ports, ports()?),
            "user.id" | "user.name" => {
                let all = values.iter().map(|value| users(value));
                let all = all.collect::<Result<Vec<_>, _>>()?.concat();
                once("user", &mut keys.user, all)
            }
            "iface.out" => once("interface", &mut keys.interface, values),
            "protocol" => self.protocol(&values),
            "dest.host" => Err(format!(
                "it asks for the name {data}, and rules here ask for addresses"
            )),
            other => Err(format!("`{other}` has no key of ours")),
        }
    }

    /// OpenSnitch has protocols of their own for IPv6: tcp6 beside tcp.
    fn protocol(&mut self, values: &[String]) -> Result<(), String> {
        let mut protocols: Vec<String> = Vec::new();
        let mut versions: Vec<Version> = Vec::new();
        for value in values {
            let lower = value.to_ascii_lowercase();
            let (name, version) = match lower.strip_suffix('6') {
                _ if matches!(lower.as_str(), "icmp6" | "icmpv6") => ("icmpv6", Version::V6),
                Some(name) => (name, Version::V6),
                None => (lower.as_str(), Version::V4),
            };
            let name = match name {
                "udplite" => "136",
                "sctp" => "132",
                "igmp" => "2",
                other => other,
            };
            if !protocols.iter().any(|other| other == name) {
                protocols.push(name.to_owned());
            }
            if !versions.contains(&version) {
                versions.push(version);
            }
        }
        // Each of the protocols would have to be asked for by both, or all by one.
        match versions.as_slice() {
            [version] => self.version = Some(*version),
            _ if protocols.len() * 2 == values.len() => {}
            _ => return Err("it asks for other protocols in each version of IP".to_owned()),
        }
        once("protocol", &mut self.keys.protocol, protocols)
    }

    fn finish(mut self) -> Keys {
        let has_ports = !(self.keys.ports.is_empty() && self.keys.source_ports.is_empty());
        if has_ports && self.keys.protocol.is_empty() {
            self.keys.protocol = vec!["tcp".to_owned(), "udp".to_owned()];
        }
        match self.version {
            Some(version) => of_version(self.keys, version),
            None => Ok(self.keys),
        }
    }
}

/// Returns the alternatives of a pattern like `^(53|853)$`, or `None` if it is another pattern.
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
        inbound: Verdict::Ask.into(),
        outbound: Verdict::Ask.into(),
        forward: Verdict::Allow.into(),
        ..Imported::default()
    };
    into.notes.push(format!("Little Snitch {ASKS}"));
    into.notes.push(
        "Little Snitch lets the most specific rule decide; here the first does, and those that refuse stand first. Look at the order."
            .to_owned(),
    );
    let mut fields = match Fields::of(value) {
        Ok(fields) => fields,
        Err(why) => {
            into.unsaid(ImportPlace::named(value.to_string()), why);
            return into;
        }
    };
    lists(&mut fields, &mut into);
    let rules = match fields.any("rules") {
        None => &[][..],
        Some(Value::Array(rules)) => rules,
        Some(other) => {
            into.unsaid(
                ImportPlace::named(format!("rules: {other}")),
                "it is no list of rules",
            );
            &[]
        }
    };
    fields.pass_over(&["name", "description"]);
    for (name, value) in fields.left() {
        let place = ImportPlace::named(format!("{name}: {value}"));
        into.unsaid(place, "this has no likeness here");
    }
    let mut rules: Vec<&Value> = rules.iter().collect();
    rules.sort_by_key(|rule| label(rule, "action") == "allow");
    for rule in rules {
        let place = ImportPlace::named(rule.to_string());
        match little_snitch_rule(rule) {
            Ok((verdict, all)) => all
                .into_iter()
                .for_each(|keys| into.rule(place.clone(), verdict, keys)),
            Err(why) => into.unsaid(place, why),
        }
    }
    into
}

/// Addresses and names that are refused to everybody.
fn lists(fields: &mut Fields<'_>, into: &mut Imported) {
    const ADDRESSES: &str = "denied-remote-addresses";
    match fields.texts(ADDRESSES) {
        Ok(addresses) if addresses.is_empty() => {}
        Ok(addresses) => {
            let keys = KeyArguments {
                direction: Some("out".to_owned()),
                destination: addresses.into_iter().map(str::to_owned).collect(),
                ..KeyArguments::default()
            };
            into.rule(ImportPlace::named(ADDRESSES), Verdict::Block, keys);
        }
        Err(why) => into.unsaid(ImportPlace::named(ADDRESSES), why),
    }
    for key in ["denied-remote-domains", "denied-remote-hosts"] {
        match fields.texts(key) {
            Ok(names) => {
                for name in names {
                    into.unsaid(
                        ImportPlace::named(format!("{key}: {name}")),
                        "it is a name, and rules here ask for addresses",
                    );
                }
            }
            Err(why) => into.unsaid(ImportPlace::named(key), why),
        }
    }
}

/// A rule: what becomes of packets, and what it asks for, for each direction that it is for.
fn little_snitch_rule(rule: &Value) -> Result<(Verdict, Vec<KeyArguments>), String> {
    let mut fields = Fields::of(rule)?;
    let verdict = match fields.text_or_empty("action")? {
        "allow" => Verdict::Allow,
        "deny" => Verdict::Block,
        other => return Err(format!("the action `{other}` is not known here")),
    };
    let mut keys = KeyArguments {
        comment: owned(fields.text_or_empty("notes")?),
        enabled: fields.flag("disabled")?.then_some(false),
        ..KeyArguments::default()
    };
    let directions: &[&str] = match fields.text_or_empty("direction")? {
        "" | "outgoing" => &["out"],
        "incoming" => &["in"],
        "both" => &["out", "in"],
        other => return Err(format!("the direction `{other}` is not known here")),
    };
    match fields.text_or_empty("process")? {
        "" => return Err("it does not say which program it is for".to_owned()),
        "any" => {}
        process => keys.program = vec![process.to_owned()],
    }
    let ends = other_ends(&mut fields)?;
    match fields.text_or_empty("protocol")? {
        "" | "any" => {}
        other => keys.protocol = vec![other.to_owned()],
    }
    let ports = fields.text_or_empty("ports")?;
    if !matches!(ports, "" | "any") {
        keys.ports = ports.split(',').map(port).collect::<Result<_, _>>()?;
        if keys.protocol.is_empty() {
            keys.protocol = vec!["tcp".to_owned(), "udp".to_owned()];
        }
    }
    // Which of several rules counts, and where it is from: those that refuse stand first.
    fields.pass_over(&["priority", "origin"]);
    if let Some((name, _)) = fields.left().next() {
        if name.starts_with("remote-domain") || name.starts_with("remote-host") {
            return Err("it asks for names, and rules here ask for addresses".to_owned());
        }
        return Err(format!("`{name}` has no key of ours"));
    }
    let ends = ends.ok_or("it does not say what the other end is")?;
    let of = |direction: &&str| {
        let mut keys = keys.clone();
        keys.direction = Some((*direction).to_owned());
        if *direction == "in" {
            keys.source.clone_from(&ends);
        } else {
            keys.destination.clone_from(&ends);
        }
        keys
    };
    Ok((verdict, directions.iter().map(of).collect()))
}

/// The other ends that a rule of Little Snitch is about, if it says them by addresses: none is any.
fn other_ends(fields: &mut Fields<'_>) -> Result<Option<Vec<String>>, String> {
    let (remote, addresses) = (fields.text("remote")?, fields.text("remote-addresses")?);
    let listed = |text: &str| -> Vec<String> {
        let parts = text.split(',').map(|it| it.trim().to_owned());
        parts.filter(|it| !it.is_empty()).collect()
    };
    match (remote, addresses) {
        (None, None) => Ok(None),
        (Some("any"), None) => Ok(Some(Vec::new())),
        (Some("multicast"), None) => {
            Ok(Some(vec!["224.0.0.0/4".to_owned(), "ff00::/8".to_owned()]))
        }
        (Some("broadcast"), None) => Ok(Some(vec!["255.255.255.255".to_owned()])),
        (Some("local-net"), None) => {
            Err("what the local network is, is not in this file: write its addresses".to_owned())
        }
        (Some(other), None) => Err(format!("`remote` is `{other}`, which has no likeness here")),
        (None, Some(addresses)) => match listed(addresses) {
            none if none.is_empty() => Err("it asks for addresses and names none".to_owned()),
            addresses => Ok(Some(addresses)),
        },
        (Some(_), Some(_)) => Err("it says twice what the other end is".to_owned()),
    }
}

/// Portmaster's settings, a profile, or a list of profiles.
pub fn portmaster(value: &Value) -> Imported {
    let mut into = Imported {
        inbound: Verdict::Block.into(),
        defaults_are: Some(
            "it stands in Portmaster's settings as `filter/defaultAction`; export those of all programs too",
        ),
        ..Imported::default()
    };
    into.notes
        .push("Portmaster refuses what comes in unless a rule allows it.".to_owned());
    let one = std::slice::from_ref(value);
    let mut profiles: Vec<&Value> = value.as_array().map_or(one, Vec::as_slice).iter().collect();
    // A program's rules are asked first, then those of all programs, and then what a program does otherwise.
    profiles.sort_by_key(|profile| label(profile, "type") != "profile");
    let mut last = Vec::new();
    for profile in profiles {
        if let Err(why) = one_profile(profile, &mut into, &mut last) {
            let name = match label(profile, "name") {
                "" => profile.to_string(),
                name => name.to_owned(),
            };
            into.unsaid(ImportPlace::named(name), why);
        }
    }
    into.items.extend(last);
    into
}

/// Says a profile. What its program gets otherwise comes behind the rules of all profiles.
fn one_profile(profile: &Value, into: &mut Imported, last: &mut Vec<Item>) -> Result<(), String> {
    let mut fields = Fields::of(profile)?;
    let (name, program) = match fields.text_or_empty("type")? {
        "profile" => (
            fields.text_or_empty("name")?,
            programs(fields.any("fingerprints"))?,
        ),
        "settings" => ("all programs", Vec::new()),
        other => return Err(format!("an export of the kind `{other}` is not known here")),
    };
    let config = fields.any("config").ok_or("it has no settings")?;
    // What is shown of it, and when it was made.
    fields.pass_over(&[
        "name",
        "id",
        "source",
        "description",
        "homepage",
        "icons",
        "presentationPath",
        "usePresentationPath",
        "created",
        "lastEdited",
        "exported",
    ]);
    fields.finish()?;
    for (key, setting) in settings(config)? {
        let place = |part: &str| ImportPlace::named(format!("{name}: {key}: {part}"));
        match (key.as_str(), setting) {
            ("filter/endpoints" | "filter/serviceEndpoints", Value::Array(rules)) => {
                let inbound = key == "filter/serviceEndpoints";
                for rule in rules {
                    let said = rule
                        .as_str()
                        .ok_or_else(|| "a rule is a text".to_owned())
                        .and_then(|rule| endpoint(rule, inbound, &program));
                    let place = place(rule.as_str().unwrap_or(&rule.to_string()));
                    match said {
                        Ok((verdict, keys)) => into.rule(place, verdict, keys),
                        Err(why) => into.unsaid(place, why),
                    }
                }
            }
            ("filter/defaultAction", action) => {
                let place = place(&action.to_string());
                default(action, &program, place, into, last);
            }
            (_, setting) => into.unsaid(
                place(&setting.to_string()),
                "this setting has no likeness here",
            ),
        }
    }
    Ok(())
}

/// Adds the default verdict of a program's other connections, or of all programs' connections.
fn default(
    action: &Value,
    program: &[String],
    place: ImportPlace,
    into: &mut Imported,
    last: &mut Vec<Item>,
) {
    let verdict = match action.as_str() {
        Some("permit") => Verdict::Allow,
        Some("block") => Verdict::Block,
        Some("ask") => Verdict::Ask,
        _ => {
            into.unsaid(place, "this is no action that is known here");
            return;
        }
    };
    if program.is_empty() {
        into.outbound = verdict.into();
        return;
    }
    let keys = KeyArguments {
        direction: Some("out".to_owned()),
        program: program.to_vec(),
        ..KeyArguments::default()
    };
    let mut after = Imported::default();
    after.rule(place, verdict, keys);
    last.extend(after.items);
}

/// Settings by their whole names.
fn settings(config: &Value) -> Result<Vec<(String, &Value)>, String> {
    let config = config.as_object().ok_or("its settings are no object")?;
    let mut all = Vec::new();
    for (key, value) in config {
        match value {
            Value::Object(inner) => all.extend(
                inner
                    .iter()
                    .map(|(below, value)| (format!("{key}/{below}"), value)),
            ),
            value => all.push((key.clone(), value)),
        }
    }
    all.sort_by_key(|(key, _)| key.clone());
    Ok(all)
}

fn programs(prints: Option<&Value>) -> Result<Vec<String>, String> {
    let prints = prints.and_then(Value::as_array);
    let mut paths = Vec::new();
    for print in prints.into_iter().flatten() {
        let mut fields = Fields::of(print)?;
        let mut field = |name: &'static str, lower: &'static str| {
            let (upper, lower) = (fields.text(name)?, fields.text(lower)?);
            Ok::<_, String>(upper.or(lower).unwrap_or_default())
        };
        let (kind, operation) = (field("Type", "type")?, field("Operation", "operation")?);
        let value = field("Value", "value")?;
        if kind != "path" || operation != "equals" {
            return Err(format!(
                "the program is known by `{kind}` {operation} {value}, and here by its whole path"
            ));
        }
        fields.pass_over(&["Key", "key", "MergedFrom", "mergedFrom"]);
        fields.finish()?;
        paths.push(value.to_owned());
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
