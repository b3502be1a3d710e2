//! Chains of rules that jump to each other, as iptables and nftables have them, into one list.

use super::model::{Imported, Keys, Place, both};
use crate::edit::KeyArguments;
use firewall_abi::packet::Verdict;
use std::collections::HashMap;

/// A rule of a chain.
#[derive(Clone, Debug)]
pub struct Step {
    /// Where it stands.
    pub place: Place,
    /// What it asks for.
    pub keys: Keys,
    /// What it does.
    pub does: Does,
}

/// What a rule of a chain does.
#[derive(Clone, Debug)]
pub enum Does {
    /// It decides.
    Decide(Verdict),
    /// The rules of this chain are tried.
    Jump(String),
    /// The rules of this chain are tried, and none after it.
    Return,
    /// No rule of ours is needed for it; why.
    NotNeeded(String),
    /// It can't be said; why.
    Unsaid(String),
}

/// Chains by their names.
pub type Chains = HashMap<String, Vec<Step>>;

/// Chains within chains, and steps in all: more is no export but an attack.
const DEEPEST: usize = 16;
const MOST: usize = 100_000;

/// Writes down what a packet of this direction meets that begins in this chain.
pub fn expand(chains: &Chains, chain: &str, direction: &str, into: &mut Imported) {
    let keys = KeyArguments {
        direction: Some(direction.to_owned()),
        ..KeyArguments::default()
    };
    follow(chains, chain, &keys, 0, into);
}

fn follow(chains: &Chains, chain: &str, outer: &KeyArguments, depth: usize, into: &mut Imported) {
    for step in chains.get(chain).into_iter().flatten() {
        let place = step.place.clone();
        if into.items.len() >= MOST {
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
            (Does::Decide(verdict), Ok(keys)) => match both(outer, keys).and_then(by_device) {
                Ok(keys) => into.rule(place, *verdict, keys),
                Err(why) => into.unsaid(place, why),
            },
            (Does::Jump(to), Ok(keys)) => match jump(chains, to, depth, both(outer, keys)) {
                Ok(keys) => follow(chains, to, &keys, depth + 1, into),
                Err(why) => into.unsaid(place, why),
            },
        }
    }
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

/// What the rules of a chain ask for beside their own words, if it can be entered.
fn jump(chains: &Chains, to: &str, depth: usize, keys: Keys) -> Keys {
    let Some(steps) = chains.get(to) else {
        return Err(format!(
            "`{to}` is neither a chain of the file nor an action of ours"
        ));
    };
    if depth >= DEEPEST {
        return Err("chains lie within chains too deeply".to_owned());
    }
    if steps.iter().any(|step| matches!(step.does, Does::Return)) {
        return Err(format!(
            "the chain `{to}` has a return in it, and our rules are tried in one row"
        ));
    }
    keys
}
