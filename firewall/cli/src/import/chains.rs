//! Chains of rules that jump to each other, as iptables and nftables have them, into one list.

use super::model::{ImportPlace, Imported, Keys, Version, both, of_version};
use crate::edit::KeyArguments;
use firewall_abi::packet::Verdict;
use std::collections::{HashMap, HashSet};

/// A rule of a chain.
#[derive(Clone, Debug)]
pub struct Step {
    /// Place of the step in the foreign file.
    pub place: ImportPlace,
    /// Keys that the step asks for.
    pub keys: Keys,
    /// The version of IP that it is for, if it is for one.
    pub version: Option<Version>,
    /// Action of the step.
    pub does: Does,
}

/// Action of a chain's rule.
#[derive(Clone, Debug)]
pub enum Does {
    /// The rule decides.
    Decide(Verdict),
    /// The rules of this chain are tried.
    Jump(String),
    /// The rules of this chain are tried, and none after it.
    Return,
    /// No rule of ours is needed for it; why.
    NotNeeded(String),
    /// The rule can't be translated, for this reason.
    Unsaid(String),
}

/// Chains by their names.
pub type Chains = HashMap<String, Vec<Step>>;

/// Chains within chains, and steps in all: more is no export but an attack.
const DEEPEST: usize = 16;
const MOST: usize = 100_000;

/// Rules of chains, one after another, as packets meet them.
pub struct Walk<'c> {
    chains: &'c Chains,
    /// Chains that a translated rule leads to.
    reached: HashSet<&'c str>,
}

/// Keys of the rules that lead to a chain, which its own rules ask for too.
#[derive(Clone, Default)]
struct Outer {
    keys: KeyArguments,
    version: Option<Version>,
}

impl<'c> Walk<'c> {
    /// Through these chains.
    pub fn through(chains: &'c Chains) -> Self {
        Self {
            chains,
            reached: HashSet::new(),
        }
    }

    /// Writes down what a packet of this direction meets that begins in this chain.
    pub fn from(&mut self, chain: &str, direction: &str, into: &mut Imported) {
        let outer = Outer {
            keys: KeyArguments {
                direction: Some(direction.to_owned()),
                ..KeyArguments::default()
            },
            version: None,
        };
        self.follow(chain, &outer, 0, into);
    }

    /// Says of the rules of a chain that they are not said.
    pub fn leave_out(&mut self, chain: &str, why: &str, into: &mut Imported) {
        let Some((name, steps)) = self.chains.get_key_value(chain) else {
            return;
        };
        self.reached.insert(name);
        for step in steps {
            into.unsaid(step.place.clone(), why);
        }
    }

    /// Adds the rules of chains that no packet was followed into, as not translated.
    pub fn finish(mut self, into: &mut Imported) {
        let mut left: Vec<_> = self.chains.keys().collect();
        left.retain(|name| !self.reached.contains(name.as_str()));
        left.sort_by_key(|name| {
            let first = self.chains.get(*name).and_then(|steps| steps.first());
            (first.and_then(|step| step.place.line), (*name).clone())
        });
        for name in left {
            let why = format!("nothing that is said leads to the chain `{}`", short(name));
            self.leave_out(name, &why, into);
        }
    }

    fn follow(&mut self, chain: &str, outer: &Outer, depth: usize, into: &mut Imported) {
        let Some((name, steps)) = self.chains.get_key_value(chain) else {
            return;
        };
        self.reached.insert(name);
        for step in steps {
            let place = step.place.clone();
            if into.items.len() >= MOST {
                into.unsaid(
                    place,
                    "there is too much of it: this and what follows is left out",
                );
                return;
            }
            match (&step.does, &step.keys) {
                (Does::NotNeeded(why), _) => into.not_needed(place, why),
                (Does::Unsaid(why), _) | (_, Err(why)) => into.unsaid(place, why),
                (Does::Return, _) => {
                    into.unsaid(
                        place,
                        "a return goes on elsewhere, and our rules are tried in one row",
                    );
                }
                (Does::Decide(verdict), Ok(keys)) => match outer.with(keys, step.version) {
                    Ok(all) => match all.keys() {
                        Ok(keys) => into.rule(place, *verdict, keys),
                        Err(why) => into.unsaid(place, why),
                    },
                    Err(why) => into.unsaid(place, why),
                },
                (Does::Jump(to), Ok(keys)) => {
                    let inner = outer.with(keys, step.version);
                    match jump(self.chains, to, depth, inner) {
                        Ok(inner) => self.follow(to, &inner, depth + 1, into),
                        Err(why) => into.unsaid(place, why),
                    }
                }
            }
        }
    }
}

impl Outer {
    /// Returns the keys combined with further ones, or an error if they can't be combined.
    fn with(&self, keys: &KeyArguments, version: Option<Version>) -> Result<Self, String> {
        let keys = both(&self.keys, keys)?;
        match (self.version, version) {
            (Some(one), Some(other)) if one != other => {
                Err("it asks for both versions of IP at once".to_owned())
            }
            (one, other) => Ok(Self {
                keys,
                version: one.or(other),
            }),
        }
    }

    /// Returns the keys as those of one rule.
    fn keys(self) -> Keys {
        let keys = match self.version {
            Some(version) => of_version(self.keys, version)?,
            None => self.keys,
        };
        by_device(keys)
    }
}

/// A chain's name without its table.
fn short(name: &str) -> &str {
    name.rsplit_once(' ').map_or(name, |(_, name)| name)
}

/// The devices under their keys: a rule has one for the device of its direction, and a second for what is forwarded.
fn by_device(mut keys: KeyArguments) -> Keys {
    match keys.direction.as_deref() {
        Some("in") if !keys.out_interface.is_empty() => {
            Err("what comes in goes out by no device".to_owned())
        }
        Some("out") if !keys.interface.is_empty() => {
            Err("what goes out came in by no device".to_owned())
        }
        Some("out") => {
            keys.interface = std::mem::take(&mut keys.out_interface);
            Ok(keys)
        }
        _ => Ok(keys),
    }
}

/// Returns the keys that the rules of a chain ask for beside their own, or an error if the chain can't be entered.
fn jump(
    chains: &Chains,
    to: &str,
    depth: usize,
    inner: Result<Outer, String>,
) -> Result<Outer, String> {
    let Some(steps) = chains.get(to) else {
        return Err(format!(
            "`{}` is neither a chain of the file nor an action of ours",
            short(to)
        ));
    };
    if depth >= DEEPEST {
        return Err("chains lie within chains too deeply".to_owned());
    }
    if steps.iter().any(|step| matches!(step.does, Does::Return)) {
        return Err(format!(
            "the chain `{}` has a return in it, and our rules are tried in one row",
            short(to)
        ));
    }
    inner
}
