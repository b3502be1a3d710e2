//! Rules compiled anew from the text that is kept of them: a program that they name is another file, the machine is in another
//! network, or an address has joined sets.
//!
//! Rules that hold here:
//! - Tables from when all that the rules name could be had stay while it can't, unless one of their rules may be on in a network that
//!   it is not for.
//! - Where the rules that are right can't be had, each rule of a network goes to its safe side.

use super::{LoadedRules, MemoryBudget, NewRules, Rulebook, write_down};
use crate::driver::Driver;
use crate::members::Members;
use crate::programs;
use crate::state::{RuleSlot, State};
use crate::surroundings::Surroundings;
use anyhow::{Context, Result};
use control::Refused;
use firewall_abi::firewall::generation_index;
use firewall_abi::rules::NO_SETS;
use rules::{Presence, Resolver, Rules};
use std::time::{Duration, Instant};

/// What is said where rules can't be had as they are right in the network that the machine is in.
const SAFE_SIDE: &str =
    "each rule of a network is on its safe side, for those that are right can't be had";
/// So long tables from better times stay, before it is looked again whether all that their rules name can be had.
const BETWEEN_LOOKS: Duration = Duration::from_secs(60);

/// By what rules are compiled anew.
#[derive(Clone, Copy)]
pub struct Renewal<'a> {
    pub machine: &'a dyn Resolver,
    pub here: &'a Surroundings,
    pub members: &'a Members,
    pub budget: MemoryBudget,
}

/// What came of compiling rules anew.
#[derive(Debug, Default)]
pub struct Renewed {
    /// The last generation that was published for it.
    pub generation: Option<u32>,
    /// Why not all could be: the first cause.
    pub failed: Option<anyhow::Error>,
}

impl Renewed {
    fn note(&mut self, failed: anyhow::Error) {
        self.failed.get_or_insert(failed);
    }
}

impl Rulebook {
    /// Publishes what names a program whose file is another one by now, what is for other networks than those that are here, and what
    /// lacks a class for what is in several sets by having joined them. What fails for the confirmed rules is done for the candidate all
    /// the same.
    pub fn renew(&mut self, driver: &Driver, state: &State, by: Renewal<'_>) -> Renewed {
        let mut renewed = Renewed::default();
        for which in [RuleSlot::Confirmed, RuleSlot::Candidate] {
            self.renew_one(driver, state, which, by, &mut renewed);
        }
        if let Err(failed) = self.free_sets(driver) {
            renewed.note(failed);
        }
        renewed
    }

    /// Whether the rules that the kernel has ask sets of which nothing is known.
    pub fn asks_unread(&self, members: &Members) -> bool {
        self.loaded().any(|loaded| self.is_unread(loaded, members))
    }

    fn renew_one(
        &mut self,
        driver: &Driver,
        state: &State,
        which: RuleSlot,
        by: Renewal<'_>,
        renewed: &mut Renewed,
    ) {
        let Some(loaded) = self.loaded_as(which).cloned() else {
            return;
        };
        let reasons = self.reasons(&loaded, by);
        let Some((name, text)) = loaded.text.as_ref().filter(|_| reasons.are_any()) else {
            return;
        };
        let mut rules = match rules::parse(name, text, by.machine) {
            Ok(rules) => rules,
            Err(cause) => return renewed.note(cause.into()),
        };
        if reasons.leave_as_it_is(!rules.troubles().is_empty()) {
            if let Some(loaded) = self.loaded_as_mut(which) {
                loaded.left_at = Some(Instant::now());
            }
            return;
        }
        let put = by
            .here
            .put(&mut rules)
            .map_err(|too_large| Refused::System(too_large).into());
        let put = put.and_then(|()| self.publish(driver, state, which, (&loaded, &mut rules), by));
        let failed = match put {
            Ok(generation) => {
                renewed.generation = Some(generation);
                return;
            }
            Err(failed) => failed,
        };
        if !reasons.is_elsewhere {
            return renewed.note(failed);
        }
        // What was meant for another network is not to stay on because what is right here can't be had.
        let is_safe = loaded.is_on_the_safe_side() || {
            let nowhere = rules
                .put_at(|_| Presence::Unknown)
                .map_err(anyhow::Error::msg);
            let put = nowhere
                .and_then(|()| self.publish(driver, state, which, (&loaded, &mut rules), by));
            renewed.generation = put.as_ref().ok().copied().or(renewed.generation);
            put.is_ok()
        };
        renewed.note(if is_safe {
            failed.context(SAFE_SIDE)
        } else {
            failed
        });
    }

    fn reasons(&self, loaded: &LoadedRules, by: Renewal<'_>) -> Reasons {
        let was_looked_at = loaded
            .left_at
            .is_some_and(|since| since.elapsed() < BETWEEN_LOOKS);
        Reasons {
            is_unread: self.is_unread(loaded, by.members),
            is_outdated: loaded.is_outdated(by.machine, &self.births),
            is_elsewhere: !was_looked_at && loaded.is_elsewhere(by.here),
            lacks_class: self.lacks_class(loaded, by.members),
            was_complete: loaded.was_complete,
        }
    }

    /// Makes these the rules there, as they are right now. Returns the generation.
    fn publish(
        &mut self,
        driver: &Driver,
        state: &State,
        which: RuleSlot,
        (loaded, rules): (&LoadedRules, &mut Rules),
        Renewal {
            members, budget, ..
        }: Renewal<'_>,
    ) -> Result<u32> {
        programs::keep_former(rules, self.programs(), &self.births);
        members.combine(rules).map_err(Refused::System)?;
        let (name, text) = loaded.text.as_ref().context("their text is lost")?;
        let new = NewRules {
            name,
            text,
            rules,
            members,
            budget,
        };
        let at = match which {
            RuleSlot::Confirmed => generation_index::CONFIRMED,
            RuleSlot::Candidate => generation_index::CANDIDATE,
        };
        let (renewed, _) = self.put(driver, at, &new)?;
        write_down(state, which, &renewed);
        let generation = renewed.generation;
        if let Some(loaded) = self.loaded_as_mut(which) {
            *loaded = renewed;
        }
        Ok(generation)
    }

    /// Whether something is in sets that these rules ask, of which nothing is known.
    fn is_unread(&self, loaded: &LoadedRules, members: &Members) -> bool {
        loaded.sets != NO_SETS && !members.is_empty() && self.sets.known_at(loaded.sets).is_none()
    }

    /// Whether something is in a combination of sets that these rules have no class for.
    fn lacks_class(&self, loaded: &LoadedRules, members: &Members) -> bool {
        self.sets
            .known_at(loaded.sets)
            .is_some_and(|known| !members.lacking(&known).is_empty())
    }
}

/// Why rules are compiled anew, and what speaks against it.
#[derive(Clone, Copy, Debug, Default)]
struct Reasons {
    /// Something is in sets that they ask, of which nothing is known.
    is_unread: bool,
    /// A program that they name is another file.
    is_outdated: bool,
    /// Other rules of networks would be on or off here.
    is_elsewhere: bool,
    /// Something is in a combination of sets that they have no class for.
    lacks_class: bool,
    /// See [`LoadedRules::was_complete`].
    was_complete: bool,
}

impl Reasons {
    const fn are_any(self) -> bool {
        self.is_unread || self.is_outdated || self.is_elsewhere || self.lacks_class
    }

    /// Whether the rules stay as they are. What was compiled when all that they name could be had is better than what is compiled now,
    /// unless a rule may be on in a network that it is not for.
    const fn leave_as_it_is(self, is_troubled: bool) -> bool {
        let must = self.is_outdated || self.is_elsewhere && !self.was_complete;
        is_troubled && (self.is_unread || self.is_elsewhere) && !must
    }
}

#[cfg(test)]
mod tests {
    use super::super::loaded_rules::tests::{DEFAULTS, HOME, last_good};
    use super::*;
    use rules::{DefaultRoute, GatewayHardware};

    fn at_home() -> Surroundings {
        Surroundings::told(Ok(vec![DefaultRoute {
            device: "eth0".to_owned(),
            index: 2,
            gateway: "192.0.2.1".parse().ok(),
            hardware: GatewayHardware::Unknown,
        }]))
    }

    #[test]
    fn the_last_good_rules_stay_as_they_are_while_not_all_that_they_name_can_be_had() {
        // A word is no rule of a network.
        let word = last_good(&format!("# the network of the office\n{DEFAULTS}"));
        assert!(!word.asks_networks() && !word.is_elsewhere(&at_home()));
        // What can't be read any more may have such rules.
        assert!(last_good("network = [").is_elsewhere(&at_home()));
        let home = last_good(&format!("{DEFAULTS}{HOME}"));
        assert!(home.asks_networks() && home.is_elsewhere(&at_home()));
        assert!(!home.is_elsewhere(&Surroundings::told(Ok(Vec::new()))));
        let complete = Reasons {
            is_elsewhere: true,
            was_complete: home.was_complete,
            ..Reasons::default()
        };
        assert!(complete.leave_as_it_is(true) && !complete.leave_as_it_is(false));
        let outdated = Reasons {
            is_outdated: true,
            ..complete
        };
        assert!(!outdated.leave_as_it_is(true));
        // What was on at home is not left on anywhere else, whatever it costs.
        let other = Reasons {
            was_complete: false,
            ..complete
        };
        assert!(!other.leave_as_it_is(true));
        let unread = Reasons {
            is_unread: true,
            ..Reasons::default()
        };
        assert!(unread.leave_as_it_is(true) && !unread.leave_as_it_is(false));
    }
}
