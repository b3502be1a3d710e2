//! simplewall's `profile.xml`.

use super::model::{ImportPlace, Imported, Keys, Version, of_version, once};
use super::ports::port;
use crate::edit::KeyArguments;
use firewall_abi::packet::Verdict;
use roxmltree::{Document, Node};

/// Translates a profile of simplewall.
pub fn profile(document: &Document<'_>) -> Imported {
    let mut into = Imported {
        inbound: Verdict::Block.into(),
        outbound: Verdict::Block.into(),
        ..Imported::default()
    };
    into.notes.push(
        "simplewall lets only those programs out that are allowed: all else is refused.".to_owned(),
    );
    let place = |node: &Node<'_, '_>| {
        ImportPlace::line(
            document.text_pos_at(node.range().start).row as usize,
            source(document, node),
        )
    };
    let sections = document
        .root_element()
        .children()
        .filter(|node| node.is_element());
    let (mut blocks, mut others) = (Vec::new(), Vec::new());
    for section in sections {
        let name = section.tag_name().name();
        for item in section.children().filter(|node| node.is_element()) {
            let said = match (name, item.tag_name().name()) {
                ("rules_custom", "item") => custom(&item),
                ("apps", "item") => app(&item),
                ("rules_config", "item") => own(&item),
                _ => Err("this has no likeness here".to_owned()),
            };
            match said {
                // It sorts what refuses before what allows, wherever it stands, and programs behind rules.
                Ok((Verdict::Block, all)) => blocks.push((place(&item), Ok((Verdict::Block, all)))),
                Ok(said) => others.push((name == "apps", place(&item), Ok(said))),
                Err(why) => others.push((name == "apps", place(&item), Err(why))),
            }
        }
    }
    others.sort_by_key(|(is_app, ..)| *is_app);
    let others = others.into_iter().map(|(_, place, said)| (place, said));
    for (place, said) in blocks.into_iter().chain(others) {
        match said {
            Ok((verdict, all)) => all
                .into_iter()
                .for_each(|keys| into.rule(place.clone(), verdict, keys)),
            Err(why) => into.unsaid(place, why),
        }
    }
    into
}

/// Verdict and the keys of the rules that are needed for an item, or the reason for which it can't be translated.
type Said = Result<(Verdict, Vec<KeyArguments>), String>;

/// A program that is allowed.
fn app(item: &Node<'_, '_>) -> Said {
    if !is(item, "is_enabled")? {
        return Ok((Verdict::Allow, Vec::new()));
    }
    only(
        item,
        &[
            "path",
            "is_enabled",
            "is_silent",
            "is_undeletable",
            "timestamp",
            "hash",
            "comment",
        ],
    )?;
    let keys = KeyArguments {
        direction: Some("out".to_owned()),
        program: vec![value(item, "path").to_owned()],
        ..KeyArguments::default()
    };
    Ok((Verdict::Allow, vec![keys]))
}

/// A rule that simplewall brings.
fn own(item: &Node<'_, '_>) -> Said {
    if is(item, "is_enabled")? {
        return Err("what this rule of simplewall's own means is not in the file".to_owned());
    }
    Ok((Verdict::Allow, Vec::new()))
}

/// Fails if an item says more than these.
fn only(item: &Node<'_, '_>, known: &[&str]) -> Result<(), String> {
    let other = item.attributes().find(|it| !known.contains(&it.name()));
    other.map_or(Ok(()), |other| {
        Err(format!("`{}` has no key of ours", other.name()))
    })
}

fn source<'d>(document: &'d Document<'_>, node: &Node<'_, '_>) -> &'d str {
    let text = document.input_text().get(node.range()).unwrap_or_default();
    text.lines().next().unwrap_or_default()
}

fn value<'n>(node: &Node<'n, '_>, key: &str) -> &'n str {
    node.attribute(key).unwrap_or_default()
}

fn is(node: &Node<'_, '_>, key: &str) -> Result<bool, String> {
    match value(node, key) {
        "true" | "1" => Ok(true),
        "" | "false" | "0" => Ok(false),
        other => Err(format!(
            "`{key}` is `{other}`, which is neither true nor false"
        )),
    }
}

/// A rule of the user's, one of ours for each thing that it lists.
fn custom(item: &Node<'_, '_>) -> Said {
    only(
        item,
        &[
            "name",
            "rule",
            "rule_local",
            "dir",
            "protocol",
            "version",
            "apps",
            "comment",
            "is_block",
            "is_enabled",
            "profile",
            "timestamp",
        ],
    )?;
    let verdict = if is(item, "is_block")? {
        Verdict::Block
    } else {
        Verdict::Allow
    };
    let mut keys = KeyArguments {
        id: Some(value(item, "name").to_owned()).filter(|name| !name.is_empty()),
        comment: Some(value(item, "comment").to_owned()).filter(|it| !it.is_empty()),
        enabled: (!is(item, "is_enabled")?).then_some(false),
        program: value(item, "apps")
            .split('|')
            .filter(|it| !it.is_empty())
            .map(str::to_owned)
            .collect(),
        ..KeyArguments::default()
    };
    keys.protocol = match value(item, "protocol") {
        "" | "0" => Vec::new(),
        "6" => vec!["tcp".to_owned()],
        "17" => vec!["udp".to_owned()],
        "1" => vec!["icmp".to_owned()],
        "58" => vec!["icmpv6".to_owned()],
        other => vec![other.to_owned()],
    };
    // As Windows numbers them.
    let version = match value(item, "version") {
        "" | "0" => None,
        "2" => Some(Version::V4),
        "23" => Some(Version::V6),
        other => return Err(format!("the version of IP `{other}` is not known here")),
    };
    let directions: &[&str] = match value(item, "dir") {
        "" | "0" => &["out"],
        "1" => &["in"],
        "2" => &["out", "in"],
        other => return Err(format!("the direction `{other}` is not known here")),
    };
    let mut all = Vec::new();
    for direction in directions {
        keys.direction = Some((*direction).to_owned());
        for keys in with_ends(item, &keys, *direction == "in")? {
            all.push(match version {
                Some(version) => of_version(keys, version)?,
                None => keys,
            });
        }
    }
    Ok((verdict, all))
}

/// Returns the keys combined with each remote and local end that an item lists.
fn with_ends(
    item: &Node<'_, '_>,
    keys: &KeyArguments,
    inbound: bool,
) -> Result<Vec<KeyArguments>, String> {
    let mut all = vec![keys.clone()];
    for (key, remote) in [("rule", true), ("rule_local", false)] {
        let parts: Vec<_> = value(item, key)
            .split(';')
            .map(str::trim)
            .filter(|it| !it.is_empty())
            .collect();
        if parts.is_empty() {
            if !value(item, key).trim().is_empty() {
                return Err(format!("`{key}` lists nothing"));
            }
            continue;
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

/// Returns the keys narrowed to an address, a port, or both, at the destination or at the source.
fn narrowed(keys: &KeyArguments, part: &str, destination: bool) -> Keys {
    let (address, range) = ends(part)?;
    let mut keys = keys.clone();
    if let Some(address) = address {
        let end = if destination {
            &mut keys.destination
        } else {
            &mut keys.source
        };
        once("address", end, vec![address])?;
    }
    if let Some(range) = range {
        let end = if destination {
            &mut keys.ports
        } else {
            &mut keys.source_ports
        };
        once("port", end, vec![range])?;
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
