//! What an export says, in our words: rules, sets, defaults, and what can't be said.

use crate::edit::KeyArguments;
use firewall_abi::packet::Verdict;

/// What a foreign file says.
#[derive(Debug, Default)]
pub struct Imported {
    /// What packets into this machine get that no rule matches, if the file says so.
    pub inbound: Option<Verdict>,
    /// The same, out of it.
    pub outbound: Option<Verdict>,
    /// The same, through it.
    pub forward: Option<Verdict>,
    /// What a reader has to know of the whole.
    pub notes: Vec<String>,
    /// Addresses under one name.
    pub sets: Vec<NewSet>,
    /// Rules and what can't be one, in the order in which rules are tried.
    pub items: Vec<Item>,
}

/// Addresses under one name.
#[derive(Debug)]
pub struct NewSet {
    /// Its name.
    pub id: String,
    /// Addresses, prefixes and ranges.
    pub addresses: Vec<String>,
}

/// A part of a foreign file.
#[derive(Clone, Debug)]
pub enum Item {
    /// A rule of ours.
    Rule(Box<NewRule>),
    /// Nothing has to be written for it; why.
    NotNeeded(Place, String),
    /// It can't be said; why.
    Unsaid(Place, String),
}

/// A part of a foreign file, for whoever looks for it there.
#[derive(Clone, Debug)]
pub struct Place {
    /// Its line, if it has one.
    pub line: Option<usize>,
    /// What stands there.
    pub text: String,
}

/// A rule of ours.
#[derive(Clone, Debug)]
pub struct NewRule {
    /// Where it is from.
    pub from: Place,
    /// What becomes of packets that it matches.
    pub action: Verdict,
    /// Its keys.
    pub keys: KeyArguments,
}

impl Place {
    /// A line of the file.
    pub fn line(number: usize, text: &str) -> Self {
        Self {
            line: Some(number),
            text: text.trim().to_owned(),
        }
    }

    /// A part that has no line of its own.
    pub fn named(text: impl Into<String>) -> Self {
        Self {
            line: None,
            text: text.into(),
        }
    }
}

impl Imported {
    /// Adds a rule.
    pub fn rule(&mut self, from: Place, action: Verdict, keys: KeyArguments) {
        self.items
            .push(Item::Rule(Box::new(NewRule { from, action, keys })));
    }

    /// Adds what can't be said.
    pub fn unsaid(&mut self, from: Place, why: impl Into<String>) {
        self.items.push(Item::Unsaid(from, why.into()));
    }

    /// Adds what needs no rule.
    pub fn not_needed(&mut self, from: Place, why: impl Into<String>) {
        self.items.push(Item::NotNeeded(from, why.into()));
    }
}

/// What a rule asks for, or why that can't be said.
pub type Keys = Result<KeyArguments, String>;

/// What both ask for.
pub fn both(one: &KeyArguments, other: &KeyArguments) -> Keys {
    let mut keys = one.clone();
    let mut twice = Vec::new();
    let mut lists = [
        ("protocol", &mut keys.protocol, &other.protocol),
        ("source", &mut keys.source, &other.source),
        ("destination", &mut keys.destination, &other.destination),
        ("source_ports", &mut keys.source_ports, &other.source_ports),
        ("ports", &mut keys.ports, &other.ports),
        ("icmp_type", &mut keys.icmp_type, &other.icmp_type),
        ("interface", &mut keys.interface, &other.interface),
        (
            "out_interface",
            &mut keys.out_interface,
            &other.out_interface,
        ),
        ("user", &mut keys.user, &other.user),
        ("program", &mut keys.program, &other.program),
    ];
    for (key, ours, theirs) in &mut lists {
        if ours.is_empty() {
            ours.clone_from(theirs);
        } else if !theirs.is_empty() && ours != theirs {
            twice.push(*key);
        }
    }
    if let Some(key) = twice.first() {
        return Err(format!(
            "it asks for `{key}` twice over, and a rule does so once"
        ));
    }
    keys.direction = keys.direction.or_else(|| other.direction.clone());
    keys.log = keys.log.or(other.log);
    keys.comment = other.comment.clone().or(keys.comment);
    Ok(keys)
}
