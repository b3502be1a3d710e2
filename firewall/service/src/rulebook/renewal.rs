//! Rules compiled anew from the text that is kept of them: a program that they name is another file, the machine is in
//! another network, or an address has joined sets.
//!
//! Rules that hold here:
//! - Tables from when all that the rules name could be had stay while it can't,
//!   unless one of their rules may be on in a network that it is not for.
//! - Where the rules that are right can't be had, each rule of a network goes to its safe side.
//! - What was read and failed, or lacked something, is read again only once what it names is
//!   another: the main loop waits for it.
//! - So it does where the text can't be read any more: then tables stand in that were made of the same text, or of what
//!   it says without its lists. Where neither can be had, the rules stay as they are, and that is said:
//!   the built-in minimum may open more.

use super::loaded_rules::Unplaced;
use super::{LoadedRules, MemoryBudget, NewRules, PlacedNetworks, Rulebook, write_down};
use crate::driver::Driver;
use crate::keeper::Keeper;
use crate::last_reading::LastReading;
use crate::members::Members;
use crate::programs;
use crate::state::{RuleSlot, State};
use crate::surroundings::Surroundings;
use anyhow::{Context, Result, anyhow};
use control::Refused;
use firewall_abi::firewall::generation_index;
use firewall_abi::rules::NO_SETS;
use rules::{Presence, Resolver, Rules, SetFile};
use std::time::{Duration, Instant};

/// Message where the rules that are right in the machine's network can't be had.
const SAFE_SIDE: &str =
    "each rule of a network is on its safe side, for those that are right can't be had";
/// Message added where the tables that stand in have sets of which nothing is known.
const JOINED_NOTHING: &str = "what has joined a set is in none, for nothing is known of the sets of the tables that stand in";
/// Message about a text that was read when it came into force, and can't be any more.
const UNREADABLE: &str = "the text of the rules in force can't be read any more; mend what it is about, or apply other rules";
/// Time for which complete older tables stay, before it is looked again whether all that their rules name can be had.
const BETWEEN_LOOKS: Duration = Duration::from_secs(60);

/// Sources by which rules are compiled anew.
#[derive(Clone, Copy)]
pub struct Renewal<'a> {
    pub machine: &'a dyn Resolver,
    /// Keeper of the last good rules.
    pub keeper: &'a Keeper,
    pub here: &'a Surroundings,
    pub members: &'a Members,
    pub budget: MemoryBudget,
}

impl Unplaced {
    /// Returns whether there still is no room, and the rules are on their safe side for it. Room may have come to be
    /// there, which is tried from time to time.
    fn holds(&self, here: &Surroundings, loaded: &LoadedRules) -> bool {
        let is_here = |placed: &PlacedNetworks| here.presences(&placed.named) == self.presences;
        self.since.elapsed() < BETWEEN_LOOKS
            && loaded.is_on_the_safe_side()
            && loaded.networks().is_some_and(is_here)
    }
}

/// Result of compiling rules anew.
#[derive(Debug, Default)]
pub struct Renewed {
    /// The last generation that was published for it.
    pub generation: Option<u32>,
    /// First cause for which not all rules could be compiled.
    pub failed: Option<anyhow::Error>,
}

impl Renewed {
    fn note(&mut self, failed: anyhow::Error) {
        self.failed.get_or_insert(failed);
    }
}

impl Rulebook {
    /// Publishes what names a program whose file is another one by now, what is for other networks than those that are
    /// here, and what lacks a class for what is in several sets by having joined them. What fails for the confirmed
    /// rules is done for the candidate all the same.
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

    /// Returns whether the rules that the kernel has ask sets of which nothing is known.
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
        if loaded.text.is_none() || !reasons.are_any() {
            return;
        }
        let mut reading = loaded.last_reading.clone();
        self.read_and_renew(
            driver,
            state,
            (which, &loaded, reasons),
            by,
            (&mut reading, renewed),
        );
        if let Some(now) = self.loaded_as_mut(which) {
            now.last_reading = reading;
        }
    }

    /// Compiles rules anew; their text is read again only if that may come to something else.
    fn read_and_renew(
        &mut self,
        driver: &Driver,
        state: &State,
        (which, loaded, reasons): (RuleSlot, &LoadedRules, Reasons),
        by: Renewal<'_>,
        (reading, renewed): (&mut LastReading, &mut Renewed),
    ) {
        let Some((name, text)) = loaded.text.as_ref() else {
            return;
        };
        let lacks = reading.lacks(text, by.machine);
        if lacks.is_some_and(|lacks| reasons.leave_as_it_is(!lacks.is_empty())) {
            return self.left(which);
        }
        if let Some(unplaced) = loaded.unplaced.as_ref().filter(|_| lacks.is_some())
            && reasons.are_of_networks_alone()
            && unplaced.holds(by.here, loaded)
        {
            return renewed.note(anyhow!(unplaced.why.clone()));
        }
        let mut rules = match reading.read(name, text, by.machine) {
            Ok(rules) => rules,
            Err(cause) => {
                let unreadable = anyhow::Error::from(cause).context(UNREADABLE);
                let failed = if reasons.is_elsewhere || reasons.is_stood_in_for {
                    self.stand_in(driver, state, (which, loaded), by, (unreadable, renewed))
                } else {
                    unreadable
                };
                return renewed.note(failed);
            }
        };
        if reasons.leave_as_it_is(!rules.troubles().is_empty()) {
            return self.left(which);
        }
        let put = by
            .here
            .put(&mut rules)
            .map_err(|too_large| Refused::System(too_large).into());
        let put = put.and_then(|()| self.publish(driver, state, which, (loaded, &mut rules), by));
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
            let put =
                nowhere.and_then(|()| self.publish(driver, state, which, (loaded, &mut rules), by));
            renewed.generation = put.as_ref().ok().copied().or(renewed.generation);
            put.is_ok()
        };
        if !is_safe {
            return renewed.note(failed);
        }
        let failed = failed.context(SAFE_SIDE);
        let named = rules.network_rules();
        if let Some(now) = self.loaded_as_mut(which) {
            now.unplaced = Some(Unplaced {
                presences: by.here.presences(&named),
                since: Instant::now(),
                why: format!("{failed:#}"),
            });
        }
        renewed.note(failed);
    }

    /// Notes that not all that these rules name can be had, and that they stay for that.
    fn left(&mut self, which: RuleSlot) {
        if let Some(loaded) = self.loaded_as_mut(which) {
            loaded.left_at = Some(Instant::now());
        }
    }

    /// Has other tables stand in for rules whose text can't be read, unless what was meant for another network is off
    /// already. Returns why it can't, and what that leaves.
    fn stand_in(
        &mut self,
        driver: &Driver,
        state: &State,
        (which, loaded): (RuleSlot, &LoadedRules),
        by: Renewal<'_>,
        (unreadable, renewed): (anyhow::Error, &mut Renewed),
    ) -> anyhow::Error {
        if loaded.is_on_the_safe_side() {
            return self.on_the_safe_side(which, by.members, unreadable);
        }
        let of = (which, loaded);
        let put = self
            .put_back_good(driver, state, of, by, true)
            .or_else(|| self.publish_without_lists(driver, state, of, by))
            .or_else(|| self.put_back_good(driver, state, of, by, false));
        let Some(generation) = put else {
            return unreadable;
        };
        renewed.generation = Some(generation);
        let Some(now) = self.loaded_as_mut(which) else {
            return unreadable;
        };
        now.stands_in_for(loaded);
        self.on_the_safe_side(which, by.members, unreadable)
    }

    /// Returns the error about rules that are on their safe side because their text can't be read.
    fn on_the_safe_side(
        &self,
        which: RuleSlot,
        members: &Members,
        unreadable: anyhow::Error,
    ) -> anyhow::Error {
        let loaded = self.loaded_as(which);
        let is_unread = |now: &LoadedRules| now.is_stood_in_for && self.is_unread(now, members);
        let why = if loaded.is_some_and(is_unread) {
            unreadable.context(JOINED_NOTHING)
        } else {
            unreadable
        };
        why.context(SAFE_SIDE)
    }

    /// Puts back the tables that were made of the same text when it could be read: they are for any network. What has
    /// joined a set is in it there if the sets are known; where that is to be kept,
    /// tables of unknown sets are not put back.
    fn put_back_good(
        &mut self,
        driver: &Driver,
        state: &State,
        (which, loaded): (RuleSlot, &LoadedRules),
        Renewal {
            keeper,
            members,
            budget,
            ..
        }: Renewal<'_>,
        keeps_members: bool,
    ) -> Option<u32> {
        let (_, text) = loaded.text.as_ref()?;
        let good = keeper.last_good().ok();
        let good = good.filter(|good| which == RuleSlot::Confirmed && good.text == *text)?;
        let content = good.compiled.as_ref().ok()?.sets.as_ref();
        let content = content.map(|(content, _)| *content);
        let known = self.sets.known_at(loaded.sets);
        let known = known.filter(|known| content.is_some_and(|content| known.is_of(content)));
        let loses_members = content.is_some() && known.is_none() && !members.is_empty();
        if keeps_members && loses_members {
            return None;
        }
        let put = self.put_last_good(driver, state, good, (members, budget), known);
        put.ok().map(|loaded| loaded.generation)
    }

    /// Publishes what the text says without its lists, which may have become too large to be taken.
    fn publish_without_lists(
        &mut self,
        driver: &Driver,
        state: &State,
        (which, loaded): (RuleSlot, &LoadedRules),
        by: Renewal<'_>,
    ) -> Option<u32> {
        let (name, text) = loaded.text.as_ref()?;
        let mut rules = rules::parse(name, text, &WithoutLists(by.machine)).ok()?;
        self.publish(driver, state, which, (loaded, &mut rules), by)
            .ok()
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
            is_stood_in_for: loaded.is_stood_in_for,
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

    /// Returns whether something is in sets that these rules ask, of which nothing is known.
    fn is_unread(&self, loaded: &LoadedRules, members: &Members) -> bool {
        loaded.sets != NO_SETS && !members.is_empty() && self.sets.known_at(loaded.sets).is_none()
    }

    /// Returns whether something is in a combination of sets that these rules have no class for.
    fn lacks_class(&self, loaded: &LoadedRules, members: &Members) -> bool {
        self.sets
            .known_at(loaded.sets)
            .is_some_and(|known| !members.lacking(&known).is_empty())
    }
}

/// The machine, but for lists: none of them can be read.
struct WithoutLists<'a>(&'a dyn Resolver);

impl Resolver for WithoutLists<'_> {
    fn set_file(&self, path: &str) -> Result<SetFile, String> {
        Err(format!("{path} is left out"))
    }

    fn user(&self, name: &str) -> Result<u32, String> {
        self.0.user(name)
    }

    fn other_users(&self) -> Vec<u32> {
        self.0.other_users()
    }

    fn program_trouble(&self, path: &str) -> Option<String> {
        self.0.program_trouble(path)
    }

    fn program(&self, path: &str) -> Option<[u64; 2]> {
        self.0.program(path)
    }
}

/// Reasons why rules are compiled anew, and what speaks against it.
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
    /// See [`LoadedRules::is_stood_in_for`].
    is_stood_in_for: bool,
}

impl Reasons {
    /// Returns whether the only reason is that other rules of networks would be on or off.
    const fn are_of_networks_alone(self) -> bool {
        self.is_elsewhere
            && !self.is_unread
            && !self.is_outdated
            && !self.lacks_class
            && !self.is_stood_in_for
    }

    const fn are_any(self) -> bool {
        self.is_unread
            || self.is_outdated
            || self.is_elsewhere
            || self.lacks_class
            || self.is_stood_in_for
    }

    /// Returns whether the rules stay as they are. What was compiled when all that they name could be had is better
    /// than what is compiled now, unless a rule may be on in a network that it is not for.
    const fn leave_as_it_is(self, is_troubled: bool) -> bool {
        let must =
            self.is_outdated || self.is_stood_in_for || self.is_elsewhere && !self.was_complete;
        is_troubled && (self.is_unread || self.is_elsewhere) && !must
    }
}

#[cfg(test)]
mod tests {
    use super::super::loaded_rules::tests::{DEFAULTS, HOME, last_good};
    use super::*;
    use firewall_abi::packet::{Direction, PacketMeta, Verdict};
    use rules::{ActiveConnection, DefaultRoute, GatewayHardware, WirelessNetwork};

    fn at_home() -> Surroundings {
        Surroundings::told(Ok(vec![DefaultRoute {
            device: "eth0".to_owned(),
            index: 2,
            gateway: "192.0.2.1".parse().ok(),
            hardware: GatewayHardware::Unknown,
            wireless: WirelessNetwork::None,
            connection: ActiveConnection::None,
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
        // What stands in for rules goes once they can be read.
        let stood_in_for = Reasons {
            is_stood_in_for: true,
            ..complete
        };
        assert!(stood_in_for.are_any() && !stood_in_for.leave_as_it_is(true));
        let unread = Reasons {
            is_unread: true,
            ..Reasons::default()
        };
        assert!(unread.leave_as_it_is(true) && !unread.leave_as_it_is(false));
    }

    #[test]
    fn rules_whose_lists_can_not_be_taken_any_more_block_by_them_whatever_they_might_hold() {
        let lists = [
            ("file = 'bad.txt'", "bad.txt is left out"),
            (
                "url = 'https://lists.example/bad.txt'",
                "its copies are not known here",
            ),
        ];
        for (list, why) in lists {
            for (action, default) in [("block", "allow"), ("allow", "block")] {
                let text = format!(
                    "[default]\ninbound = '{default}'\noutbound = '{default}'\n[[set]]\nid = 'bad'\n{list}\n\
                     [[rule]]\nid = 'no'\naction = '{action}'\ndestination = '@bad'\n{HOME}user = 'ann'\n"
                );
                let rules =
                    rules::parse("r", &text, &WithoutLists(&Ann)).expect("all but lists is there");
                let troubles: Vec<_> = rules.troubles().iter().map(ToString::to_string).collect();
                assert!(
                    matches!(&troubles[..], [one] if one.contains(why)),
                    "{troubles:?}"
                );
                // One address is in the list, and one is in none.
                for to in [[192, 0, 2, 1], [203, 0, 113, 9]] {
                    assert_eq!(
                        verdict(&rules, to),
                        Verdict::Block as u8,
                        "{action} {list} {to:?}"
                    );
                }
            }
        }
    }

    /// Returns the verdict on a packet to this address.
    fn verdict(rules: &Rules, to: [u8; 4]) -> u8 {
        let mut packet = [0; 40];
        packet[..12].copy_from_slice(&[0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0]);
        packet[16..20].copy_from_slice(&to);
        packet[32] = 0x50;
        let parsed = engine::parse(&packet[..], 40, Direction::Outbound);
        engine::classify(&parsed, &PacketMeta::UNKNOWN, &rules.compile(1).slices()).verdict
    }

    /// A machine that knows one user, and has lists.
    struct Ann;

    impl Resolver for Ann {
        fn set_file(&self, path: &str) -> Result<SetFile, String> {
            Ok(SetFile {
                name: path.to_owned(),
                bytes: b"192.0.2.1".to_vec(),
                confidential: false,
                trouble: None,
            })
        }

        fn user(&self, _: &str) -> Result<u32, String> {
            Ok(1000)
        }

        fn program(&self, _: &str) -> Option<[u64; 2]> {
            None
        }
    }
}
