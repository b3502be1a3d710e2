//! simplewall's `profile.xml`.

use super::model::{Imported, Keys, Place};
use super::ports::port;
use crate::edit::KeyArguments;
use firewall_abi::packet::Verdict;
use roxmltree::{Document, Node};

/// What simplewall keeps.
pub fn profile(document: &Document<'_>) -> Imported {
    let mut into = Imported {
        inbound: Some(Verdict::Block),
        outbound: Some(Verdict::Block),
        ..Imported::default()
    };
    into.notes.push(
        "simplewall lets only those programs out that are allowed: all else is refused.".to_owned(),
    );
    let place = |node: &Node<'_, '_>| {
        Place::line(
            document.text_pos_at(node.range().start).row as usize,
            source(document, node),
        )
    };
    let items = |name: &'static str| {
        document
            .root_element()
            .children()
            .filter(move |node| node.has_tag_name(name))
            .flat_map(|node| node.children())
            .filter(|node| node.has_tag_name("item"))
    };
    for item in items("rules_custom") {
        let verdict = if is(&item, "is_block") {
            Verdict::Block
        } else {
            Verdict::Allow
        };
        match custom(&item) {
            Ok(all) => all
                .into_iter()
                .for_each(|keys| into.rule(place(&item), verdict, keys)),
            Err(why) => into.unsaid(place(&item), why),
        }
    }
    for item in items("apps").filter(|item| is(item, "is_enabled")) {
        let keys = KeyArguments {
            direction: Some("out".to_owned()),
            program: vec![value(&item, "path").to_owned()],
            ..KeyArguments::default()
        };
        into.rule(place(&item), Verdict::Allow, keys);
    }
    for item in items("rules_config").filter(|item| is(item, "is_enabled")) {
        into.unsaid(
            place(&item),
            "what this rule of simplewall's own means is not in the file",
        );
    }
    into
}

fn source<'d>(document: &'d Document<'_>, node: &Node<'_, '_>) -> &'d str {
    let text = document.input_text().get(node.range()).unwrap_or_default();
    text.lines().next().unwrap_or_default()
}

fn value<'n>(node: &Node<'n, '_>, key: &str) -> &'n str {
    node.attribute(key).unwrap_or_default()
}

fn is(node: &Node<'_, '_>, key: &str) -> bool {
    value(node, key) == "true"
}

/// A rule of the user's, one of ours for each thing that it lists.
fn custom(item: &Node<'_, '_>) -> Result<Vec<KeyArguments>, String> {
    let mut keys = KeyArguments {
        id: Some(value(item, "name").to_owned()).filter(|name| !name.is_empty()),
        comment: Some(value(item, "comment").to_owned()).filter(|it| !it.is_empty()),
        enabled: (!is(item, "is_enabled")).then_some(false),
        program: value(item, "apps")
            .split('|')
            .filter(|it| !it.is_empty())
            .map(str::to_owned)
            .collect(),
        ..KeyArguments::default()
    };
    keys.direction = match value(item, "dir") {
        "" | "0" => Some("out".to_owned()),
        "1" => Some("in".to_owned()),
        "2" => None,
        other => return Err(format!("the direction `{other}` is not known here")),
    };
    keys.protocol = match value(item, "protocol") {
        "" | "0" => Vec::new(),
        "6" => vec!["tcp".to_owned()],
        "17" => vec!["udp".to_owned()],
        "1" => vec!["icmp".to_owned()],
        "58" => vec!["icmpv6".to_owned()],
        other => vec![other.to_owned()],
    };
    let inbound = keys.direction.as_deref() == Some("in");
    let mut all = vec![keys];
    for (key, remote) in [("rule", true), ("rule_local", false)] {
        let parts: Vec<_> = value(item, key)
            .split(';')
            .map(str::trim)
            .filter(|it| !it.is_empty())
            .collect();
        if parts.is_empty() {
            continue;
        }
        if all.iter().any(|keys| keys.direction.is_none()) {
            return Err(
                "it is for both directions and asks for one end: make it two rules".to_owned(),
            );
        }
        let mut with = Vec::new();
        for keys in &all {
            for part in &parts {
                with.push(narrowed(keys, part, remote != inbound)?);
            }
        }
        all = with;
    }
    Ok(all)
}

/// With an address, a port, or both, at the end that packets go to or at the other.
fn narrowed(keys: &KeyArguments, part: &str, destination: bool) -> Keys {
    let (address, range) = ends(part)?;
    let mut keys = keys.clone();
    if let Some(address) = address {
        let end = if destination {
            &mut keys.destination
        } else {
            &mut keys.source
        };
        *end = vec![address];
    }
    if let Some(range) = range {
        let end = if destination {
            &mut keys.ports
        } else {
            &mut keys.source_ports
        };
        *end = vec![range];
        if keys.protocol.is_empty() {
            keys.protocol = vec!["tcp".to_owned(), "udp".to_owned()];
        }
    }
    Ok(keys)
}

fn ends(part: &str) -> Result<(Option<String>, Option<String>), String> {
    if let Ok(range) = port(part) {
        return Ok((None, Some(range)));
    }
    let is_address = |text: &str| text.parse::<rules::Addresses>().is_ok();
    if is_address(part) {
        return Ok((Some(part.to_owned()), None));
    }
    let split = part
        .rsplit_once(':')
        .map(|(address, range)| (address.trim_matches(['[', ']']), range));
    match split {
        Some((address, range)) if is_address(address) => {
            Ok((Some(address.to_owned()), Some(port(range)?)))
        }
        _ => Err(format!(
            "`{part}` is neither an address nor a port: rules here ask for addresses"
        )),
    }
}
