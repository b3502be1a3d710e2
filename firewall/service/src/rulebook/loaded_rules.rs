//! Rules that the kernel has, and what the service knows of them: their text, the programs and networks that they name.

use crate::last_reading::LastReading;
use crate::programs::{self, Births};
use crate::surroundings::Surroundings;
use control::{InForce, RuleText};
use firewall_abi::rules::{FailMode, Head};
use rules::{NetworkRules, NoResolver, Presence, Program, Resolver, Set};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

/// Rules that the kernel has: a generation of its own.
#[derive(Clone, Debug)]
pub struct LoadedRules {
    pub generation: u32,
    /// Number of rules.
    pub count: u32,
    /// Fail mode: what becomes of packets while no service is there.
    pub fail_mode: FailMode,
    /// The name and the content of the file; none: that is not known.
    pub text: Option<(String, String)>,
    /// The programs that its rules name, and what the kernel calls each.
    pub programs: Vec<Program>,
    /// The networks that its rules name, and which were there when it was compiled; none: that is not known.
    pub(super) networks: Option<Arc<PlacedNetworks>>,
    /// The sets that its rules have, whether they ask for them or not; none: that is not known.
    pub listed: Option<Arc<[Set]>>,
    /// The index of the table of sets that it asks.
    pub(super) sets: u32,
    /// `true` if the rules' tables were good last and are put back as they are, from when all that they name could be
    /// had. Their rules of networks are on their safe side.
    pub(super) was_complete: bool,
    /// Moment of the last look at which the rules were not compiled anew, although other rules of networks would be
    /// right, because not all that they name could be had.
    pub(super) left_at: Option<Instant>,
    /// `true` if the rules' text could not be read any more when the machine came into another network: other tables
    /// stand in for their own, with each rule of a network on its safe side.
    pub(super) is_stood_in_for: bool,
    /// The last reading of its text for compiling it anew.
    pub(super) last_reading: LastReading,
    /// Reason why the rules are on their safe side although their text could be read.
    pub(super) unplaced: Option<Unplaced>,
}

/// Lack of room for the rules that are right somewhere.
#[derive(Clone, Debug)]
pub(super) struct Unplaced {
    /// Presence of each network at that place.
    pub presences: Vec<Presence>,
    pub since: Instant,
    pub why: String,
}

impl LoadedRules {
    /// Rules that an earlier service has put into the kernel, as their head and the text that it kept say.
    pub(super) fn found(head: &Head, text: Option<(String, String)>) -> Self {
        // Which of their networks were there nobody knows any more; that they ask for none their text says.
        let networks = text
            .as_ref()
            .and_then(|(name, text)| PlacedNetworks::nowhere(name, text))
            .filter(|placed| placed.named.rules.is_empty());
        Self {
            generation: head.generation,
            count: head.rules,
            fail_mode: fail_mode(head.fail_mode),
            text,
            programs: Vec::new(),
            networks: networks.map(Arc::new),
            listed: None,
            sets: head.sets,
            was_complete: false,
            left_at: None,
            is_stood_in_for: false,
            last_reading: LastReading::default(),
            unplaced: None,
        }
    }

    /// Returns whether a program that the rules name is another file by now, or a former one of theirs has ended.
    pub(super) fn is_outdated(&self, machine: &dyn Resolver, births: &Births) -> bool {
        self.programs
            .iter()
            .any(|program| program.look(machine) != program.identity)
            || programs::any_ended(
                self.programs.iter().flat_map(|program| &program.former),
                births,
            )
    }

    /// The networks that its rules name; none: that is not known.
    pub fn networks(&self) -> Option<&PlacedNetworks> {
        self.networks.as_deref()
    }

    /// Returns whether the rules ask for networks, or may.
    pub(super) fn asks_networks(&self) -> bool {
        match &self.networks {
            Some(placed) => !placed.named.rules.is_empty(),
            None => self.may_name_networks(),
        }
    }

    /// Returns whether rules would be on or off here that are not.
    pub(super) fn is_elsewhere(&self, here: &Surroundings) -> bool {
        let Some(placed) = &self.networks else {
            return self.may_name_networks();
        };
        let PlacedNetworks { named, presences } = &**placed;
        !named.rules.is_empty() && named.effects(&here.presences(named)) != named.effects(presences)
    }

    /// Returns whether the rules of networks open nothing wherever the machine is.
    pub(super) fn is_on_the_safe_side(&self) -> bool {
        self.is_stood_in_for
            || self.networks.as_ref().is_some_and(|placed| {
                let PlacedNetworks { named, presences } = &**placed;
                named.effects(presences) == named.effects(&[])
            })
    }

    /// Has these rules be what stands in for others, whose text can't be read now.
    /// The text is the same, and so are its sets.
    pub(super) fn stands_in_for(&mut self, unreadable: &Self) {
        self.is_stood_in_for = true;
        self.listed = self.listed.take().or_else(|| unreadable.listed.clone());
    }

    /// Returns whether a text, of whose networks nothing is known, contains the word "network".
    fn may_name_networks(&self) -> bool {
        let text = self.text.as_ref();
        text.is_some_and(|(_, text)| text.contains("network"))
    }

    /// The rules as the control socket's peers are told of them.
    pub fn in_force(&self) -> InForce {
        InForce {
            generation: self.generation,
            name: self.text.as_ref().map(|(name, _)| name.clone()),
            rules: self.count,
        }
    }

    /// Their text as the control socket's peers are told of it.
    pub fn rule_text(&self, folder: PathBuf, file: PathBuf, unwritten: bool) -> RuleText {
        let (name, text) = self.text.clone().unzip();
        RuleText {
            generation: self.generation,
            name,
            text,
            folder,
            file,
            unwritten,
        }
    }
}

/// Networks that rules name, and which of them were there when the rules were compiled.
#[derive(Debug)]
pub struct PlacedNetworks {
    pub named: NetworkRules,
    pub presences: Vec<Presence>,
}

impl PlacedNetworks {
    /// Reads the networks of a text whose tables were compiled with every network unknown;
    /// `None` if the text can't be read.
    pub(super) fn nowhere(name: &str, text: &str) -> Option<Self> {
        let rules = rules::parse(name, text, &NoResolver).ok()?;
        Some(Self {
            named: rules.network_rules(),
            presences: Vec::new(),
        })
    }
}

/// The fail mode that a head names.
pub(super) fn fail_mode(number: u32) -> FailMode {
    [FailMode::Open, FailMode::Closed]
        .into_iter()
        .find(|mode| *mode as u32 == number)
        .unwrap_or(FailMode::Static)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
pub(super) mod tests {
    use super::*;
    use firewall_abi::rules::NO_SETS;

    pub const DEFAULTS: &str = "[default]\ninbound = 'block'\noutbound = 'block'\n";
    pub const HOME: &str = "[[network]]\nid = 'home'\ngateway = '192.0.2.1'\n\
        [[rule]]\nid = 'a'\naction = 'allow'\nnetwork = 'home'\n";

    /// Returns rules with this text, as the last good rules are loaded.
    pub fn last_good(text: &str) -> LoadedRules {
        LoadedRules {
            generation: 1,
            count: 0,
            fail_mode: FailMode::Static,
            text: Some(("r".to_owned(), text.to_owned())),
            programs: Vec::new(),
            networks: PlacedNetworks::nowhere("r", text).map(Arc::new),
            listed: None,
            sets: NO_SETS,
            was_complete: true,
            left_at: None,
            is_stood_in_for: false,
            last_reading: LastReading::default(),
            unplaced: None,
        }
    }

    #[test]
    fn rules_are_on_their_safe_side_where_they_do_what_they_do_while_nothing_is_known() {
        let mut loaded = last_good(&format!("{DEFAULTS}{HOME}"));
        assert!(loaded.is_on_the_safe_side());
        let mut put = |presence| {
            let named = loaded.networks().unwrap().named.clone();
            loaded.networks = Some(Arc::new(PlacedNetworks {
                named,
                presences: vec![presence],
            }));
            loaded.is_on_the_safe_side()
        };
        assert!(put(Presence::Away) && put(Presence::Unknown) && !put(Presence::There));
        loaded.networks = None;
        assert!(!loaded.is_on_the_safe_side());
        // What stands in for a text that nobody can read is made so.
        loaded.is_stood_in_for = true;
        assert!(loaded.is_on_the_safe_side());
    }

    #[test]
    fn rules_that_stand_in_for_others_of_the_same_text_have_their_sets() {
        let text = format!("{DEFAULTS}[[set]]\nid = 'ads'\nnames = 'ads.example'\n");
        let rules = rules::parse("r", &text, &NoResolver).unwrap();
        let mut before = last_good(&text);
        before.listed = Some(rules.sets().cloned().collect());
        let mut stands_in = last_good(&text);
        stands_in.stands_in_for(&before);
        assert!(stands_in.is_stood_in_for && stands_in.listed == before.listed);
        // Those that were read without their lists know their own.
        let own = stands_in.listed.clone();
        before.listed = None;
        stands_in.stands_in_for(&before);
        assert_eq!(stands_in.listed, own);
    }
}
