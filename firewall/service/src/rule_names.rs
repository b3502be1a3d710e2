//! The names of the rules of each generation, as long as records of it may still come.
//!
//! A record names a rule by its generation and by its number there. Only the service knows each generation's text, so
//! the names are kept here when it is put in force, and no one else has to guess.

use control::{NamedRule, RuleNames};
use rules::{Asking, Resolver, Rules, SetFile};
use std::collections::BTreeMap;

/// Generations whose names are kept: those that a lease goes to and fro between, and some before.
const GENERATIONS: usize = 8;

/// The names of the last generations' rules.
#[derive(Debug, Default)]
pub struct KnownGenerations(BTreeMap<u32, Known>);

/// One generation.
#[derive(Debug)]
struct Known {
    names: RuleNames,
    /// Waiting time of each rule's questions, and the verdict after it.
    asking: Vec<Asking>,
    by_default: Asking,
}

impl KnownGenerations {
    /// Keeps the names of a generation's rules. The oldest make room.
    pub fn insert(&mut self, generation: u32, file: &str, rules: &Rules) {
        let named = rules.iter().map(|rule| NamedRule {
            id: rule.id.clone(),
            line: u32::try_from(rule.line).unwrap_or(u32::MAX),
        });
        let names = RuleNames {
            generation,
            name: (!file.is_empty()).then(|| file.to_owned()),
            rules: named.collect(),
        };
        let known = Known {
            names,
            asking: rules.iter().map(|rule| rule.asking).collect(),
            by_default: rules.default_asking(),
        };
        self.0.insert(generation, known);
        while self.0.len() > GENERATIONS {
            self.0.pop_first();
        }
    }

    /// Keeps the names of a generation that an earlier service or a change of its programs left us the text of.
    pub fn insert_text(&mut self, generation: u32, file: &str, text: &str) {
        if self.0.contains_key(&generation) {
            return;
        }
        // A text that this release can't read has no names.
        if let Ok(rules) = rules::parse(file, text, &NamesOnly) {
            self.insert(generation, file, &rules);
        }
    }

    /// The names of this generation's rules, if they are known.
    pub fn get(&self, generation: u32) -> Option<&RuleNames> {
        self.0.get(&generation).map(|known| &known.names)
    }

    /// Returns the waiting time of this rule's questions, or of the default's; of an unknown generation the usual one.
    pub fn asking(&self, generation: u32, rule: Option<u32>) -> Asking {
        let Some(known) = self.0.get(&generation) else {
            return Asking::default();
        };
        let place = rule.map(|rule| usize::try_from(rule).unwrap_or(usize::MAX));
        place.map_or(known.by_default, |place| {
            known.asking.get(place).copied().unwrap_or_default()
        })
    }
}

/// A resolver for the names of rules, which need no files, users or programs: any will do.
struct NamesOnly;

impl Resolver for NamesOnly {
    fn set_file(&self, path: &str) -> Result<SetFile, String> {
        Ok(SetFile {
            name: path.to_owned(),
            bytes: b"192.0.2.1\n".to_vec(),
            confidential: false,
            trouble: None,
        })
    }

    fn fetched(&self, url: &str) -> Result<Option<SetFile>, String> {
        self.set_file(url).map(Some)
    }

    fn user(&self, _: &str) -> Result<u32, String> {
        Ok(0)
    }

    fn program(&self, _: &str) -> Option<[u64; 2]> {
        None
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;

    const HEAD: &str = "[default]\ninbound = 'block'\noutbound = 'allow'\n";

    fn text(id: &str) -> String {
        format!("{HEAD}[[rule]]\nid = '{id}'\naction = 'block'\n")
    }

    #[test]
    fn rules_have_their_names_also_where_their_sets_and_users_are_not_known() {
        let text = format!(
            "{HEAD}[[set]]\nid = 'list'\nfile = '/root/secret.txt'\n\
             [[rule]]\nid = 'r'\naction = 'block'\nsource = '@list'\nuser = 'nobody-here'\nprogram = '/no/such'\n"
        );
        let mut known = KnownGenerations::default();
        known.insert_text(1, "f", &text);
        let names = known.get(1).unwrap();
        assert_eq!(names.name.as_deref(), Some("f"));
        assert_eq!((names.rules[0].id.as_str(), names.rules[0].line), ("r", 8));
    }

    #[test]
    fn each_generation_keeps_its_own_names_until_it_is_old() {
        let mut known = KnownGenerations::default();
        for generation in 1..=GENERATIONS as u32 + 1 {
            known.insert_text(generation, "f", &text(&format!("r{generation}")));
        }
        assert_eq!(known.get(1), None, "the oldest made room");
        assert_eq!(known.get(2).unwrap().rules[0].id, "r2");
        assert_eq!(known.get(9).unwrap().rules[0].id, "r9");
    }
}
