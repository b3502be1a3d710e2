//! The rules in force, and what they are called in each generation.

use crate::{Client, Failed, RuleText};
use rules::{Resolver, Rules, SetFile};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A rule as the rule file names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleName {
    /// Its name in the file.
    pub id: String,
    /// What the file is called, if that is known.
    pub file: Option<Arc<str>>,
    /// The line of the file that it stands on.
    pub line: u32,
}

impl RuleName {
    /// The name of the rule with this number in this file.
    #[must_use]
    pub fn of(rules: &rules::Rules, file: &Arc<str>, number: u32) -> Option<Self> {
        let rule = rules.rule(number)?;
        let line = u32::try_from(rule.line).unwrap_or(u32::MAX);
        Some(Self {
            id: rule.id.clone(),
            file: Some(file.clone()),
            line,
        })
    }
}

/// Who knows what the numbers in records are called.
pub trait Names {
    /// The rule with this number in this generation.
    fn rule(&mut self, generation: u32, rule: u32) -> Option<RuleName>;

    /// The path of a program, by its file: [`firewall_abi::packet::Local::program`].
    fn program(&mut self, _file: [u64; 2]) -> Option<Arc<str>> {
        None
    }

    /// A device, by its number.
    fn device(&mut self, _number: u32) -> Option<Arc<str>> {
        None
    }
}

/// The rules of one generation, for their names.
pub struct Named {
    /// Which.
    pub generation: u32,
    rules: Rules,
    file: Arc<str>,
}

impl Named {
    /// The rule with this number.
    pub fn rule(&self, number: u32) -> Option<RuleName> {
        RuleName::of(&self.rules, &self.file, number)
    }
}

/// What the rules of a text are called; nothing if the service has no text, or this release can't read it.
pub fn named(asked: RuleText) -> Option<Named> {
    let file = asked.name.unwrap_or_default();
    let rules = rules::parse(&file, &asked.text?, &NamesOnly).ok()?;
    Some(Named {
        generation: asked.generation,
        rules,
        file: file.into(),
    })
}

/// What the numbers in records are called, as the service knows it.
pub struct LiveNames {
    socket: PathBuf,
    client: Option<Client>,
    /// Until then a service that did not answer is left alone.
    again: Option<Instant>,
    generations: BTreeMap<u32, Option<Named>>,
    programs: HashMap<[u64; 2], Option<Arc<str>>>,
    devices: HashMap<u32, Option<Arc<str>>>,
}

/// Generations whose names are kept: the ones that a lease goes to and fro between, and some before.
const GENERATIONS: usize = 4;
/// Programs and devices whose names are kept.
const KEPT: usize = 4096;
/// How long a service that does not answer is left alone.
const BREATH: Duration = Duration::from_secs(1);

impl LiveNames {
    /// Of the service at this socket.
    pub fn new(socket: &Path) -> Self {
        Self {
            socket: socket.to_owned(),
            client: None,
            again: None,
            generations: BTreeMap::new(),
            programs: HashMap::new(),
            devices: HashMap::new(),
        }
    }

    /// Another service may know it otherwise.
    pub fn forget(&mut self) {
        *self = Self::new(&self.socket);
    }

    /// Asks the service; nothing if it does not answer, and then it is left alone for a while.
    fn ask<T>(&mut self, ask: impl FnOnce(&mut Client) -> Result<T, Failed>) -> Option<T> {
        if self.again.is_some_and(|again| Instant::now() < again) {
            return None;
        }
        let client = self
            .client
            .take()
            .map_or_else(|| Client::connect(&self.socket), Ok);
        let asked = client.and_then(|mut client| Ok((ask(&mut client)?, client)));
        let Ok((answer, client)) = asked else {
            self.again = Some(Instant::now() + BREATH);
            return None;
        };
        self.client = Some(client);
        Some(answer)
    }

    /// Asks for the rules in force, which may be of a later generation by now: then this one keeps no names.
    fn learn(&mut self, generation: u32) {
        let Some(asked) = self.ask(Client::rules) else {
            return;
        };
        self.generations.insert(generation, None);
        let latest = asked.generation;
        self.generations.insert(latest, named(asked));
        while self.generations.len() > GENERATIONS {
            self.generations.pop_first();
        }
    }
}

impl Names for LiveNames {
    fn rule(&mut self, generation: u32, rule: u32) -> Option<RuleName> {
        if !self.generations.contains_key(&generation) {
            self.learn(generation);
        }
        self.generations.get(&generation)?.as_ref()?.rule(rule)
    }

    fn program(&mut self, file: [u64; 2]) -> Option<Arc<str>> {
        if let Some(known) = self.programs.get(&file) {
            return known.clone();
        }
        let path = self
            .ask(|client| client.program(file[0], file[1]))?
            .map(Arc::from);
        if self.programs.len() >= KEPT {
            self.programs.clear();
        }
        self.programs.insert(file, path.clone());
        path
    }

    fn device(&mut self, number: u32) -> Option<Arc<str>> {
        if let Some(known) = self.devices.get(&number) {
            return known.clone();
        }
        let status = self.ask(Client::status)?;
        if self.devices.len() >= KEPT {
            self.devices.clear();
        }
        self.devices.insert(number, None);
        self.devices.extend(
            status
                .devices
                .into_iter()
                .map(|device| (device.index, Some(device.name.into()))),
        );
        self.devices.get(&number)?.clone()
    }
}

/// Resolver for who wants to know what rules are called, and not what they mean: any will do.
struct NamesOnly;

impl Resolver for NamesOnly {
    fn set_file(&self, path: &str) -> Result<SetFile, String> {
        Ok(SetFile {
            name: path.to_owned(),
            bytes: b"192.0.2.1\n".to_vec(),
            trouble: None,
        })
    }

    fn user(&self, _: &str) -> Result<u32, String> {
        Ok(0)
    }

    fn program(&self, _: &str) -> Option<[u64; 2]> {
        None
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

    use super::*;

    #[test]
    fn rules_have_their_names_also_where_their_sets_and_users_are_not_known() {
        let text = "[default]\ninbound = 'block'\noutbound = 'allow'\n\
                    [[set]]\nid = 'list'\nfile = '/root/secret.txt'\n\
                    [[rule]]\nid = 'r'\naction = 'block'\nsource = '@list'\nuser = 'nobody-here'\nprogram = '/no/such'\n";
        let asked = RuleText {
            generation: 1,
            name: Some("f".to_owned()),
            text: Some(text.to_owned()),
            folder: PathBuf::new(),
            file: PathBuf::new(),
        };
        let name = named(asked).unwrap().rule(0).unwrap();
        assert_eq!((name.id.as_str(), name.line), ("r", 8));
    }
}
