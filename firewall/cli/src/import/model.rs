//! Model of a foreign firewall's export, in our terms: rules, sets, default policies, and what can't be translated.

use crate::edit::KeyArguments;
use firewall_abi::packet::Verdict;

/// Content of a foreign file.
#[derive(Debug, Default)]
pub struct Imported {
    /// Default policy for packets into this machine.
    pub inbound: DefaultVerdict,
    /// Default policy for packets out of this machine.
    pub outbound: DefaultVerdict,
    /// Default policy for packets that this machine forwards.
    pub forward: DefaultVerdict,
    /// Place where the default policies stand if the file lacks them, or `None` if it is unknown.
    pub defaults_are: Option<&'static str>,
    /// Notes about the whole file, for its reader.
    pub notes: Vec<String>,
    /// Addresses under one name.
    pub sets: Vec<NewSet>,
    /// Rules and what can't be one, in the order in which rules are tried.
    pub items: Vec<Item>,
}

/// A version of IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Version {
    /// Both.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// All addresses of it.
    pub fn all(self) -> &'static str {
        match self {
            Self::V4 => "0.0.0.0/0",
            Self::V6 => "::/0",
        }
    }

    /// Returns the name of the version in sentences.
    pub fn name(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }

    /// Returns whether an address, prefix or range is of this version; a set may hold either.
    pub fn has(self, address: &str) -> bool {
        address.starts_with('@') || address.contains(':') == (self == Self::V6)
    }
}

/// Default policy by the version of IP, or `None` where the file does not say it.
///
/// What is not said is refused, and the writer says so: a default is never open because none was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DefaultVerdict {
    /// Default policy for IPv4.
    pub v4: Option<Verdict>,
    /// Default policy for IPv6.
    pub v6: Option<Verdict>,
}

impl DefaultVerdict {
    /// Returns the default policy of a version of IP.
    pub fn of(&mut self, version: Version) -> &mut Option<Verdict> {
        match version {
            Version::V4 => &mut self.v4,
            Version::V6 => &mut self.v6,
        }
    }

    /// A chain or zone says this of a version: where several do, what refuses holds.
    pub fn say(&mut self, version: Version, verdict: Verdict) {
        let said = self.of(version);
        if said.is_none() || verdict != Verdict::Allow {
            *said = Some(verdict);
        }
    }
}

impl From<Verdict> for DefaultVerdict {
    fn from(verdict: Verdict) -> Self {
        Self {
            v4: Some(verdict),
            v6: Some(verdict),
        }
    }
}

/// Addresses under one name.
#[derive(Debug)]
pub struct NewSet {
    /// Name of the set.
    pub id: String,
    /// Addresses, prefixes and ranges.
    pub addresses: Vec<String>,
}

/// A part of a foreign file.
#[derive(Clone, Debug)]
pub enum Item {
    /// A rule of ours.
    Rule(Box<NewRule>),
    /// The part needs no rule, for this reason.
    NotNeeded(ImportPlace, String),
    /// The part can't be translated, for this reason.
    Unsaid(ImportPlace, String),
}

/// A part of a foreign file, for whoever looks for it there.
#[derive(Clone, Debug)]
pub struct ImportPlace {
    /// Number of the line, or `None` if the part has none.
    pub line: Option<usize>,
    /// Text of the part.
    pub text: String,
}

/// A rule of ours.
#[derive(Clone, Debug)]
pub struct NewRule {
    /// Place in the foreign file that the rule is from.
    pub from: ImportPlace,
    /// Verdict on packets that the rule matches.
    pub action: Verdict,
    /// Keys of the rule.
    pub keys: KeyArguments,
}

impl ImportPlace {
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
    pub fn rule(&mut self, from: ImportPlace, action: Verdict, keys: KeyArguments) {
        self.items
            .push(Item::Rule(Box::new(NewRule { from, action, keys })));
    }

    /// Adds what can't be said.
    pub fn unsaid(&mut self, from: ImportPlace, why: impl Into<String>) {
        self.items.push(Item::Unsaid(from, why.into()));
    }

    /// Adds what needs no rule.
    pub fn not_needed(&mut self, from: ImportPlace, why: impl Into<String>) {
        self.items.push(Item::NotNeeded(from, why.into()));
    }
}

/// Keys of a rule, or the reason for which they can't be translated.
pub type Keys = Result<KeyArguments, String>;

/// Returns the keys that ask for what two rules ask for together.
pub fn both(one: &KeyArguments, other: &KeyArguments) -> Keys {
    let mut keys = one.clone();
    // Each by its name: a key that is new must not be left out here.
    let KeyArguments {
        id,
        direction,
        protocol,
        source,
        destination,
        source_ports,
        ports,
        icmp_type,
        interface,
        out_interface,
        user,
        program,
        network,
        unanswered,
        answer_within,
        log,
        enabled,
        comment,
    } = other.clone();
    once("protocol", &mut keys.protocol, protocol)?;
    once("source", &mut keys.source, source)?;
    once("destination", &mut keys.destination, destination)?;
    once("source_ports", &mut keys.source_ports, source_ports)?;
    once("ports", &mut keys.ports, ports)?;
    once("icmp_type", &mut keys.icmp_type, icmp_type)?;
    once("interface", &mut keys.interface, interface)?;
    once("out_interface", &mut keys.out_interface, out_interface)?;
    once("user", &mut keys.user, user)?;
    once("program", &mut keys.program, program)?;
    once("network", &mut keys.network, network)?;
    keys.id = keys.id.or(id);
    keys.direction = keys.direction.or(direction);
    keys.unanswered = keys.unanswered.or(unanswered);
    keys.answer_within = keys.answer_within.or(answer_within);
    keys.log = keys.log.or(log);
    keys.enabled = keys.enabled.or(enabled);
    keys.comment = comment.or(keys.comment);
    Ok(keys)
}

/// Has a key ask for these as well: it can, unless it asks for others already. Both would have to be so,
/// and a rule of ours would take either.
pub fn once(name: &str, key: &mut Vec<String>, values: Vec<String>) -> Result<(), String> {
    if key.is_empty() {
        *key = values;
    } else if !values.is_empty() && *key != values {
        return Err(format!(
            "it asks for `{name}` twice over, and a rule does so once"
        ));
    }
    Ok(())
}

/// Restricts keys to packets of one version of IP.
pub fn of_version(mut keys: KeyArguments, version: Version) -> Keys {
    if keys.source.is_empty() && keys.destination.is_empty() {
        keys.destination = vec![version.all().to_owned()];
    }
    for ends in [&mut keys.source, &mut keys.destination] {
        let any = ends.is_empty();
        ends.retain(|address| version.has(address));
        if ends.is_empty() && !any {
            return Err(format!(
                "it is for {} and asks for other addresses",
                version.name()
            ));
        }
    }
    Ok(keys)
}

/// Users by number: a range is spelled out, if it is short.
pub fn users(text: &str) -> Result<Vec<String>, String> {
    const MOST: u32 = 64;
    let number = |text: &str| text.parse::<u32>().ok();
    let range = text
        .split_once('-')
        .map(|(first, last)| (number(first), number(last)));
    match range {
        Some((Some(first), Some(last))) if first <= last => {
            if last - first >= MOST {
                return Err(format!(
                    "`{text}` are too many users to name them one by one"
                ));
            }
            Ok((first..=last).map(|user| user.to_string()).collect())
        }
        _ => Ok(vec![text.to_owned()]),
    }
}
