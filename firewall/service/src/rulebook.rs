//! The rules that the kernel has: the confirmed ones, and a candidate that holds while its lease runs.
//!
//! The kernel alone decides between the two, by its clock: before the deadline the candidate, then the confirmed rules.
//! No process has to be alive for that. The service notices the end and tidies up.
//!
//! Rules that hold here:
//! - A generation's number is never given twice, also over restarts: connections remember by which one they began.
//! - A candidate takes the place of a candidate, never that of the confirmed rules.
//! - First the kernel's tables, then the file on disk: the disk has what was confirmed and nothing else.
//! - A table of sets that a generation names is never written to.

mod loaded_rules;
mod renewal;
mod set_tables;

pub use loaded_rules::{LoadedRules, PlacedNetworks};
pub use renewal::{Renewal, Renewed};

use crate::driver::{Driver, needed, now_ns};
use crate::last_good::{Compiled, LastGood};
use crate::last_reading::LastReading;
use crate::members::{KnownSets, KnownTables, Members};
use crate::programs::Births;
use crate::state::{KeptText, RuleSlot, State};
use anyhow::Result;
use control::{Lease as LeaseLeft, Refused};
use firewall_abi::firewall::{Lease, generation_index};
use firewall_abi::rules::Head;
use loaded_rules::fail_mode;
use rules::{Program, Rules, Set, SystemResolver};
use set_tables::SetTables;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The rules in force, and the number of the generation that comes next.
#[derive(Debug)]
pub struct Rulebook {
    confirmed: Option<LoadedRules>,
    /// The rules that are tried out, and the end of their lease by the kernel's clock.
    candidate: Option<(LoadedRules, u64)>,
    /// The generation by which the candidate was first tried out: what its rules name may have given it others since.
    tried_since: u32,
    /// The highest number given to a generation.
    last: u32,
    sets: SetTables,
    /// Creation times of the files of the programs that rules name.
    births: Births,
}

impl Rulebook {
    /// Reads the rules that an earlier service left in the kernel, or none.
    pub fn found(driver: &Driver, state: &State) -> Result<Self> {
        let lease = driver.lease()?;
        let loaded = |at, which| -> Result<Option<LoadedRules>> {
            let Some(head) = driver.head(at)? else {
                return Ok(None);
            };
            let text = state
                .kept(which, head.generation)
                .map(|KeptText { name, text, .. }| (name, text));
            Ok(Some(LoadedRules::found(&head, text)))
        };
        let confirmed = loaded(generation_index::CONFIRMED, RuleSlot::Confirmed)?;
        let candidate = loaded(generation_index::CANDIDATE, RuleSlot::Candidate)?;
        let numbers = [&confirmed, &candidate]
            .map(|loaded| loaded.as_ref().map_or(0, |loaded| loaded.generation));
        let given = u32::try_from(lease.last_generation).unwrap_or(0);
        let last = numbers.into_iter().fold(given, u32::max);
        let tried_since = candidate.as_ref().map_or(0, |loaded| loaded.generation);
        let candidate = candidate.map(|loaded| (loaded, lease.deadline_ns));
        Ok(Self {
            confirmed,
            tried_since,
            candidate,
            last,
            sets: SetTables::default(),
            births: Births::default(),
        })
    }

    /// The rules that hold without a lease.
    pub const fn confirmed(&self) -> Option<&LoadedRules> {
        self.confirmed.as_ref()
    }

    /// The rules that are judged by now.
    pub fn in_force(&self) -> Option<&LoadedRules> {
        self.candidate
            .as_ref()
            .map(|(loaded, _)| loaded)
            .or(self.confirmed.as_ref())
    }

    /// Returns the index at which the driver has the rules in force.
    pub const fn index_in_force(&self) -> u32 {
        if self.candidate.is_some() {
            generation_index::CANDIDATE
        } else {
            generation_index::CONFIRMED
        }
    }

    /// Makes these the confirmed rules. A lease that runs goes on, unless it is to end with this.
    pub fn confirm_at_once(
        &mut self,
        driver: &Driver,
        state: &State,
        new: NewRules<'_>,
        ends_lease: bool,
    ) -> Result<(LoadedRules, Compiled)> {
        let (loaded, compiled) = self.put(driver, generation_index::CONFIRMED, &new)?;
        self.confirmed = Some(loaded.clone());
        if ends_lease {
            self.end_lease(driver, state)?;
        }
        write_down(state, RuleSlot::Confirmed, &loaded);
        self.free_sets(driver)?;
        Ok((loaded, compiled))
    }

    /// Makes the rules that were good once the confirmed ones, from their tables as they are.
    /// `known` is what is known of their sets.
    pub fn put_last_good(
        &mut self,
        driver: &Driver,
        state: &State,
        good: LastGood,
        (members, budget): (&Members, MemoryBudget),
        known: Option<Arc<KnownSets>>,
    ) -> Result<LoadedRules> {
        let compiled = good.compiled.map_err(anyhow::Error::msg)?;
        let from = TableSource {
            networks: PlacedNetworks::nowhere(&good.name, &good.text).map(Arc::new),
            text: (good.name, good.text),
            programs: good.programs,
            listed: None,
            known,
            members,
            budget,
        };
        let (mut loaded, _) =
            self.put_tables(driver, generation_index::CONFIRMED, from, compiled)?;
        loaded.was_complete = !good.troubled;
        self.confirmed = Some(loaded.clone());
        write_down(state, RuleSlot::Confirmed, &loaded);
        self.free_sets(driver)?;
        Ok(loaded)
    }

    /// Tries these rules out for so long.
    pub fn try_out(
        &mut self,
        driver: &Driver,
        state: &State,
        new: NewRules<'_>,
        time: Duration,
    ) -> Result<LoadedRules> {
        let (loaded, _) = self.put(driver, generation_index::CANDIDATE, &new)?;
        write_down(state, RuleSlot::Candidate, &loaded);
        let time = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let deadline_ns = now_ns()?.saturating_add(time);
        self.tried_since = loaded.generation;
        self.candidate = Some((loaded.clone(), deadline_ns));
        driver.set_lease(Lease {
            deadline_ns,
            last_generation: self.last.into(),
        })?;
        self.free_sets(driver)?;
        Ok(loaded)
    }

    /// Makes the candidate the confirmed rules, the very tables that were tried out: if it is the one that was seen.
    pub fn confirm(
        &mut self,
        driver: &Driver,
        state: &State,
        seen: Option<u32>,
    ) -> Result<LoadedRules, Refused> {
        let (loaded, deadline_ns) = self.candidate.clone().ok_or(Refused::NoLease)?;
        if now_ns().map_err(refused)? >= deadline_ns {
            return Err(Refused::LeaseOver);
        }
        self.is_candidate(seen)?;
        driver
            .copy_rules(generation_index::CANDIDATE, generation_index::CONFIRMED)
            .map_err(refused)?;
        self.confirmed = Some(loaded.clone());
        write_down(state, RuleSlot::Confirmed, &loaded);
        self.end_lease(driver, state).map_err(refused)?;
        Ok(loaded)
    }

    /// Ends the lease, whether its time is over or not, if it is that of the candidate that was seen:
    /// the confirmed rules are back.
    pub fn revert(
        &mut self,
        driver: &Driver,
        state: &State,
        seen: Option<u32>,
    ) -> Result<(), Refused> {
        if self.candidate.is_none() {
            return Err(Refused::NoLease);
        }
        self.is_candidate(seen)?;
        self.end_lease(driver, state).map_err(refused)
    }

    /// Returns an error if the rules that were seen, by their generation then, are not those that are tried out.
    fn is_candidate(&self, seen: Option<u32>) -> Result<(), Refused> {
        let tried_out = self.tried_since..=self.last;
        match seen {
            Some(seen) if !tried_out.contains(&seen) => Err(Refused::Replaced),
            _ => Ok(()),
        }
    }

    /// Returns whether rules that the kernel has ask for networks, or may.
    pub fn asks_networks(&self) -> bool {
        self.loaded().any(LoadedRules::asks_networks)
    }

    /// The programs that rules name.
    pub fn programs(&self) -> impl Iterator<Item = &Program> {
        self.loaded().flat_map(|loaded| &loaded.programs)
    }

    /// Returns the creation times of the files of the programs that rules name.
    pub const fn births(&self) -> &Births {
        &self.births
    }

    /// Tidies up after a lease whose time is over. Returns the candidate's generation if there was one.
    pub fn expire(&mut self, driver: &Driver, state: &State) -> Result<Option<u32>> {
        let Some((loaded, deadline_ns)) = &self.candidate else {
            return Ok(None);
        };
        if now_ns()? < *deadline_ns {
            return Ok(None);
        }
        let generation = loaded.generation;
        self.end_lease(driver, state)?;
        Ok(Some(generation))
    }

    /// Returns the rest of the lease's time, or `None` if there is no lease.
    pub fn time_left(&self) -> Option<Duration> {
        let (_, deadline_ns) = self.candidate.as_ref()?;
        Some(Duration::from_nanos(
            deadline_ns.saturating_sub(now_ns().unwrap_or(u64::MAX)),
        ))
    }

    /// The lease, for who asks.
    pub fn lease(&self) -> Option<LeaseLeft> {
        let (loaded, _) = self.candidate.as_ref()?;
        let left = self.time_left()?.as_millis();
        Some(LeaseLeft {
            generation: loaded.generation,
            fallback: self
                .confirmed
                .as_ref()
                .map_or(0, |loaded| loaded.generation),
            milliseconds_left: u64::try_from(left).unwrap_or(u64::MAX),
        })
    }

    /// The number of the generation that is published next.
    pub const fn next(&self) -> u32 {
        self.last + 1
    }

    fn put(
        &mut self,
        driver: &Driver,
        at: u32,
        new: &NewRules<'_>,
    ) -> Result<(LoadedRules, Compiled)> {
        let compiled = Compiled::of(new.rules.compile(self.next()));
        let programs = new.rules.iter().flat_map(|rule| &rule.programs);
        let from = TableSource {
            text: (new.name.to_owned(), new.text.to_owned()),
            programs: programs.cloned().collect(),
            networks: Some(Arc::new(PlacedNetworks {
                named: new.rules.network_rules(),
                presences: new.rules.presences().to_vec(),
            })),
            listed: Some(new.rules.sets().cloned().collect()),
            known: KnownSets::of(new.rules),
            members: new.members,
            budget: new.budget,
        };
        self.put_tables(driver, at, from, compiled)
    }

    fn put_tables(
        &mut self,
        driver: &Driver,
        at: u32,
        from: TableSource<'_>,
        mut compiled: Compiled,
    ) -> Result<(LoadedRules, Compiled)> {
        let generation = self.next();
        self.check_memory(driver, &compiled, &from)?;
        let used = self.used_sets();
        let sets = self
            .sets
            .put(driver, &compiled, from.known.as_ref(), &used, from.members)?;
        let head = Head {
            generation,
            sets,
            ..compiled.head()
        };
        compiled.set_head(head);
        driver.put_rules(at, &compiled.pages)?;
        // From here on the number is taken, whatever comes.
        self.last = generation;
        driver.set_lease(Lease {
            last_generation: generation.into(),
            ..driver.lease()?
        })?;
        let loaded = LoadedRules {
            generation,
            count: head.rules,
            fail_mode: fail_mode(head.fail_mode),
            text: Some(from.text),
            programs: from.programs,
            networks: from.networks,
            listed: from.listed,
            sets,
            was_complete: false,
            left_at: None,
            is_stood_in_for: false,
            last_reading: LastReading::default(),
            unplaced: None,
        };
        self.note_births(&loaded);
        Ok((loaded, compiled))
    }

    /// Notes when the files were made that these rules name, and forgets those that none name any more.
    fn note_births(&mut self, new: &LoadedRules) {
        let machine = SystemResolver::beside(Path::new("/"));
        for program in &new.programs {
            if let Some(id) = program.identity {
                self.births.note(id, &program.path, &machine);
            }
        }
        let named: BTreeSet<[u64; 2]> = self
            .loaded()
            .chain([new])
            .flat_map(|loaded| loaded.programs.iter().flat_map(Program::identities))
            .collect();
        self.births.retain(|id| named.contains(id));
    }

    /// Checks that the kernel may hold these tables beside those that it has:
    /// until they are replaced they stay in force.
    fn check_memory(
        &self,
        driver: &Driver,
        compiled: &Compiled,
        TableSource { known, budget, .. }: &TableSource<'_>,
    ) -> Result<(), Refused> {
        let is_there = self.sets.index_of(compiled, known.as_ref()).is_some();
        let sets = compiled.sets.as_ref().filter(|_| !is_there);
        let needed =
            needed(compiled.pages.len()) + sets.map_or(0, |(_, pages)| needed(pages.len()));
        let left = budget.tables.saturating_sub(driver.memory().sum());
        if needed > left {
            return Err(Refused::TooMuchMemory {
                needed,
                left,
                budget: budget.whole,
            });
        }
        Ok(())
    }

    /// Returns the known content of the tables of sets that the driver has.
    pub fn tables(&self) -> KnownTables {
        self.sets.known()
    }

    /// Returns the known content of the sets that the rules in force ask.
    pub fn sets_in_force(&self) -> Option<Arc<KnownSets>> {
        self.sets.known_at(self.in_force()?.sets)
    }

    /// The indices of the tables of sets that generations ask.
    fn used_sets(&self) -> Vec<u32> {
        self.loaded().map(|loaded| loaded.sets).collect()
    }

    fn free_sets(&mut self, driver: &Driver) -> Result<()> {
        let used = self.used_sets();
        self.sets.free(driver, &used)
    }

    fn loaded(&self) -> impl Iterator<Item = &LoadedRules> {
        [RuleSlot::Confirmed, RuleSlot::Candidate]
            .into_iter()
            .filter_map(|which| self.loaded_as(which))
    }

    fn loaded_as(&self, which: RuleSlot) -> Option<&LoadedRules> {
        match which {
            RuleSlot::Confirmed => self.confirmed.as_ref(),
            RuleSlot::Candidate => self.candidate.as_ref().map(|(loaded, _)| loaded),
        }
    }

    fn loaded_as_mut(&mut self, which: RuleSlot) -> Option<&mut LoadedRules> {
        match which {
            RuleSlot::Confirmed => self.confirmed.as_mut(),
            RuleSlot::Candidate => self.candidate.as_mut().map(|(loaded, _)| loaded),
        }
    }

    fn end_lease(&mut self, driver: &Driver, state: &State) -> Result<()> {
        driver.set_lease(Lease {
            deadline_ns: 0,
            last_generation: self.last.into(),
        })?;
        driver.drop_rules(generation_index::CANDIDATE)?;
        self.candidate = None;
        state.forget(RuleSlot::Candidate);
        self.free_sets(driver)
    }
}

/// Writes down the text of these rules for the next service. What can't be written is lost with
/// this one, which `state` says.
fn write_down(state: &State, which: RuleSlot, loaded: &LoadedRules) {
    match &loaded.text {
        Some((name, text)) => {
            let kept = KeptText {
                generation: loaded.generation,
                name: name.clone(),
                text: text.clone(),
            };
            state.keep(which, &kept);
        }
        None => state.forget(which),
    }
}

/// Source of tables: the text and the facts that they were compiled from.
struct TableSource<'a> {
    text: (String, String),
    programs: Vec<Program>,
    networks: Option<Arc<PlacedNetworks>>,
    listed: Option<Arc<[Set]>>,
    /// Known content of the sets.
    known: Option<Arc<KnownSets>>,
    members: &'a Members,
    budget: MemoryBudget,
}

/// Rules to be put into the kernel, and the text that they were read from.
#[derive(Clone, Copy)]
pub struct NewRules<'a> {
    pub name: &'a str,
    pub text: &'a str,
    pub rules: &'a Rules,
    pub members: &'a Members,
    pub budget: MemoryBudget,
}

/// Bytes of kernel memory.
#[derive(Clone, Copy, Debug)]
pub struct MemoryBudget {
    /// Largest amount that the firewall may take.
    pub whole: u64,
    /// Largest part of that which all tables together may take.
    pub tables: u64,
}

/// Returns the refusal by which who asked is told of an error of the system.
pub fn refused(error: anyhow::Error) -> Refused {
    error
        .downcast()
        .unwrap_or_else(|other| Refused::System(format!("{other:#}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_candidate_that_was_seen_stays_the_same_whatever_number_it_has_by_now_and_another_one_is_none()
     {
        // Tried out as generation 4, and with what its rules name it became 6.
        let rulebook = Rulebook {
            confirmed: None,
            candidate: None,
            tried_since: 4,
            last: 6,
            sets: SetTables::default(),
            births: Births::default(),
        };
        for seen in [None, Some(4), Some(6)] {
            assert!(rulebook.is_candidate(seen).is_ok(), "{seen:?}");
        }
        for seen in [3, 7] {
            assert!(matches!(
                rulebook.is_candidate(Some(seen)),
                Err(Refused::Replaced)
            ));
        }
    }
}
