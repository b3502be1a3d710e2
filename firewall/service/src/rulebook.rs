//! The rules that the kernel has: the confirmed ones, and a candidate that holds while its lease runs.
//!
//! The kernel alone decides between the two, by its clock: before the deadline the candidate, then the confirmed rules. No
//! process has to be alive for that. The service notices the end and tidies up.
//!
//! Rules that hold here:
//! - A generation's number is never given twice, also over restarts: connections remember by which one they began.
//! - A candidate takes the place of a candidate, never that of the confirmed rules.
//! - First the kernel's tables, then the file on disk: the disk has what was confirmed and nothing else.
//! - A table of sets that a generation names is never written to.

use crate::driver::{Driver, needed, now_ns};
use crate::last_good::{Compiled, LastGood};
use crate::members::{KnownSets, Members, Tables};
use crate::programs::{self, Births};
use crate::state::{Kept, State, Which};
use crate::surroundings::Surroundings;
use anyhow::{Context, Result};
use control::{InForce, Lease as LeaseLeft, Refused, RuleText};
use firewall_abi::firewall::{Lease, generation_index};
use firewall_abi::rules::{FailMode, Head, NO_SETS, SETS_TABLES};
use rules::{NetworkRules, NoResolver, Presence, Program, Resolver, Rules, Set, SystemResolver};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What is said where rules can't be had as they are right in the network that the machine is in.
const SAFE_SIDE: &str =
    "each rule of a network is on its safe side, for those that are right can't be had";
/// So long the last good rules are left on their safe side, before it is looked again whether all that they name can be had.
const LET_BE: Duration = Duration::from_secs(60);

/// Rules that the kernel has.
#[derive(Clone, Debug)]
pub struct Held {
    pub generation: u32,
    /// How many rules there are.
    pub count: u32,
    /// What becomes of packets while no service is there.
    pub fail_mode: FailMode,
    /// What the file was called and what was in it; none: that is not known.
    pub text: Option<(String, String)>,
    /// The programs that its rules name, and what the kernel calls each.
    pub programs: Vec<Program>,
    /// The networks that its rules name, and which were there when it was compiled; none: that is not known.
    networks: Option<Arc<PlacedNetworks>>,
    /// The sets that its rules have, whether they ask for them or not; none: that is not known.
    pub listed: Option<Arc<[Set]>>,
    /// The index of the table of sets that it asks.
    sets: u32,
    /// Its tables are those that were good last, from when all that it names could be had. Its rules of networks are on their safe side.
    is_whole: bool,
    /// When it was left so last, although other rules of networks would be right, because not all of it can be had now.
    let_be: Option<Instant>,
}

/// Networks that rules name, and which of them were there when the rules were compiled.
#[derive(Debug)]
pub struct PlacedNetworks {
    pub named: NetworkRules,
    pub presences: Vec<Presence>,
}

impl PlacedNetworks {
    /// Those of a text whose tables were compiled where nothing was known of them, which the text alone says; none: it can't be read.
    fn nowhere(name: &str, text: &str) -> Option<Self> {
        let rules = rules::parse(name, text, &NoResolver).ok()?;
        Some(Self {
            named: rules.network_rules(),
            presences: Vec::new(),
        })
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
    lacks: bool,
    /// See [`Held::is_whole`].
    is_whole: bool,
}

impl Reasons {
    const fn are_any(self) -> bool {
        self.is_unread || self.is_outdated || self.is_elsewhere || self.lacks
    }

    /// Whether they stay as they are. What was compiled when all that it names could be had is better than what is compiled now, unless
    /// a rule may be on in a network that it is not for.
    const fn let_be(self, is_troubled: bool) -> bool {
        let must = self.is_outdated || self.is_elsewhere && !self.is_whole;
        is_troubled && (self.is_unread || self.is_elsewhere) && !must
    }
}

/// By what rules are compiled anew.
#[derive(Clone, Copy)]
pub struct Renewal<'a> {
    pub machine: &'a dyn Resolver,
    pub here: &'a Surroundings,
    pub members: &'a Members,
    pub budget: Budget,
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
    fn note<T>(&mut self, result: Result<T>) {
        self.failed = self.failed.take().or(result.err());
    }
}

/// What is in a table of sets that we put there.
#[derive(Clone, Debug)]
struct SetsTable {
    content: u64,
    /// None: it was compiled by an earlier service, and only the driver reads it.
    known: Option<Arc<KnownSets>>,
}

impl SetsTable {
    /// Whether it does for these tables too: whoever joins a set of theirs joins this one's.
    fn does_for(&self, compiled: &Compiled, known: Option<&Arc<KnownSets>>) -> bool {
        let content = compiled.sets.as_ref().map(|(content, _)| *content);
        let is_known = match (&self.known, known) {
            (Some(one), Some(other)) => one.is_like(other),
            (None, None) => true,
            _ => false,
        };
        content == Some(self.content) && is_known
    }
}

/// What holds now, and what is given out next.
#[derive(Debug)]
pub struct Rulebook {
    confirmed: Option<Held>,
    candidate: Option<(Held, u64)>,
    /// The highest number given to a generation.
    last: u32,
    /// What is in the tables of sets that we put there, by index.
    sets: [Option<SetsTable>; SETS_TABLES as usize],
    /// When the files of the programs were made that rules name.
    births: Births,
}

impl Rulebook {
    /// What an earlier service left, or nothing.
    pub fn found(driver: &Driver, state: &State) -> Result<Self> {
        let lease = driver.lease()?;
        let held = |at, which| -> Result<Option<Held>> {
            let Some(head) = driver.head(at)? else {
                return Ok(None);
            };
            let text = state
                .kept(which, head.generation)
                .map(|Kept { name, text, .. }| (name, text));
            // Which of its networks were there nobody knows any more; that it asks for none its text says.
            let networks = text
                .as_ref()
                .and_then(|(name, text): &(String, String)| PlacedNetworks::nowhere(name, text))
                .filter(|placed| placed.named.rules.is_empty());
            let fail_mode = fail_mode(head.fail_mode);
            let (generation, count, sets) = (head.generation, head.rules, head.sets);
            Ok(Some(Held {
                generation,
                count,
                fail_mode,
                text,
                programs: Vec::new(),
                networks: networks.map(Arc::new),
                listed: None,
                sets,
                is_whole: false,
                let_be: None,
            }))
        };
        let confirmed = held(generation_index::CONFIRMED, Which::Confirmed)?;
        let candidate = held(generation_index::CANDIDATE, Which::Candidate)?;
        let numbers =
            [&confirmed, &candidate].map(|held| held.as_ref().map_or(0, |held| held.generation));
        let given = u32::try_from(lease.last_generation).unwrap_or(0);
        let last = numbers.into_iter().fold(given, u32::max);
        let candidate = candidate.map(|held| (held, lease.deadline_ns));
        Ok(Self {
            confirmed,
            candidate,
            last,
            sets: Default::default(),
            births: Births::default(),
        })
    }

    /// The rules that hold without a lease.
    pub const fn confirmed(&self) -> Option<&Held> {
        self.confirmed.as_ref()
    }

    /// The rules that are judged by now.
    pub fn in_force(&self) -> Option<&Held> {
        self.candidate
            .as_ref()
            .map(|(held, _)| held)
            .or(self.confirmed.as_ref())
    }

    /// Where the driver has them.
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
        new: New<'_>,
        ends_lease: bool,
    ) -> Result<(Held, Compiled)> {
        let (held, compiled) = self.put(driver, generation_index::CONFIRMED, &new)?;
        self.confirmed = Some(held.clone());
        if ends_lease {
            self.end_lease(driver, state)?;
        }
        self.keep(state, Which::Confirmed, &held);
        self.free_sets(driver)?;
        Ok((held, compiled))
    }

    /// Makes the rules that were good once the confirmed ones, from their tables as they are.
    pub fn put_last_good(
        &mut self,
        driver: &Driver,
        state: &State,
        good: LastGood,
        members: &Members,
        budget: Budget,
    ) -> Result<Held> {
        let compiled = good.compiled.map_err(anyhow::Error::msg)?;
        let from = TablesFrom {
            networks: PlacedNetworks::nowhere(&good.name, &good.text).map(Arc::new),
            text: (good.name, good.text),
            programs: good.programs,
            listed: None,
            known: None,
            members,
            budget,
        };
        let (mut held, _) = self.put_tables(driver, generation_index::CONFIRMED, from, compiled)?;
        held.is_whole = !good.troubled;
        self.confirmed = Some(held.clone());
        self.keep(state, Which::Confirmed, &held);
        self.free_sets(driver)?;
        Ok(held)
    }

    /// Tries these rules out for so long.
    pub fn try_out(
        &mut self,
        driver: &Driver,
        state: &State,
        new: New<'_>,
        time: Duration,
    ) -> Result<Held> {
        let (held, _) = self.put(driver, generation_index::CANDIDATE, &new)?;
        self.keep(state, Which::Candidate, &held);
        let time = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let deadline_ns = now_ns()?.saturating_add(time);
        self.candidate = Some((held.clone(), deadline_ns));
        driver.set_lease(Lease {
            deadline_ns,
            last_generation: self.last.into(),
        })?;
        self.free_sets(driver)?;
        Ok(held)
    }

    /// Makes the candidate the confirmed rules: the very tables that were tried out.
    pub fn confirm(&mut self, driver: &Driver, state: &State) -> Result<Held, Refused> {
        let (held, deadline_ns) = self.candidate.clone().ok_or(Refused::NoLease)?;
        if now_ns().map_err(refused)? >= deadline_ns {
            return Err(Refused::LeaseOver);
        }
        driver
            .copy_rules(generation_index::CANDIDATE, generation_index::CONFIRMED)
            .map_err(refused)?;
        self.confirmed = Some(held.clone());
        self.keep(state, Which::Confirmed, &held);
        self.end_lease(driver, state).map_err(refused)?;
        Ok(held)
    }

    /// Ends the lease, whether its time is over or not: the confirmed rules are back.
    pub fn revert(&mut self, driver: &Driver, state: &State) -> Result<(), Refused> {
        if self.candidate.is_none() {
            return Err(Refused::NoLease);
        }
        self.end_lease(driver, state).map_err(refused)
    }

    /// Whether rules that the kernel has ask for networks, or may.
    pub fn asks_networks(&self) -> bool {
        self.held().any(Held::asks_networks)
    }

    /// The programs that rules name.
    pub fn programs(&self) -> impl Iterator<Item = &Program> {
        self.held().flat_map(|held| &held.programs)
    }

    /// When their files were made.
    pub const fn births(&self) -> &Births {
        &self.births
    }

    /// Publishes what names a program whose file is another one by now, what is for other networks than those that are here, and what
    /// lacks a class for what is in several sets by having joined them. What fails for the confirmed rules is done for the candidate all
    /// the same.
    pub fn renew(&mut self, driver: &Driver, state: &State, by: Renewal<'_>) -> Renewed {
        let mut renewed = Renewed::default();
        for which in [Which::Confirmed, Which::Candidate] {
            self.renew_one(driver, state, which, by, &mut renewed);
        }
        renewed.note(self.free_sets(driver));
        renewed
    }

    fn renew_one(
        &mut self,
        driver: &Driver,
        state: &State,
        which: Which,
        by: Renewal<'_>,
        renewed: &mut Renewed,
    ) {
        let held = match which {
            Which::Confirmed => self.confirmed.clone(),
            Which::Candidate => self.candidate.as_ref().map(|(held, _)| held.clone()),
        };
        let Some(held) = held else { return };
        let reasons = self.reasons(&held, by);
        let Some((name, text)) = held.text.as_ref().filter(|_| reasons.are_any()) else {
            return;
        };
        let mut rules = match rules::parse(name, text, by.machine) {
            Ok(rules) => rules,
            Err(cause) => return renewed.note::<()>(Err(cause.into())),
        };
        if reasons.let_be(!rules.troubles().is_empty()) {
            self.held_mut(which)
                .into_iter()
                .for_each(|held| held.let_be = Some(Instant::now()));
            return;
        }
        let put = by
            .here
            .put(&mut rules)
            .map_err(|too_large| Refused::System(too_large).into());
        let put = put.and_then(|()| self.publish(driver, state, which, (&held, &mut rules), by));
        let failed = match put {
            Ok(generation) => {
                renewed.generation = Some(generation);
                return;
            }
            Err(failed) => failed,
        };
        if !reasons.is_elsewhere {
            return renewed.note::<()>(Err(failed));
        }
        // What was meant for another network is not to stay on because what is right here can't be had.
        let is_safe = held.is_on_the_safe_side() || {
            let nowhere = rules
                .put_at(|_| Presence::Unknown)
                .map_err(anyhow::Error::msg);
            let put =
                nowhere.and_then(|()| self.publish(driver, state, which, (&held, &mut rules), by));
            renewed.generation = put.as_ref().ok().copied().or(renewed.generation);
            put.is_ok()
        };
        renewed.note::<()>(Err(if is_safe {
            failed.context(SAFE_SIDE)
        } else {
            failed
        }));
    }

    /// Makes these the rules there, as they are right now. Returns the generation.
    fn publish(
        &mut self,
        driver: &Driver,
        state: &State,
        which: Which,
        (held, rules): (&Held, &mut Rules),
        Renewal {
            members, budget, ..
        }: Renewal<'_>,
    ) -> Result<u32> {
        programs::keep_former(rules, self.programs(), &self.births);
        members.combine(rules).map_err(Refused::System)?;
        let (name, text) = held.text.as_ref().context("their text is lost")?;
        let new = New {
            name,
            text,
            rules,
            members,
            budget,
        };
        let at = match which {
            Which::Confirmed => generation_index::CONFIRMED,
            Which::Candidate => generation_index::CANDIDATE,
        };
        let (renewed, _) = self.put(driver, at, &new)?;
        self.keep(state, which, &renewed);
        let generation = renewed.generation;
        if let Some(held) = self.held_mut(which) {
            *held = renewed;
        }
        Ok(generation)
    }

    fn held_mut(&mut self, which: Which) -> Option<&mut Held> {
        match which {
            Which::Confirmed => self.confirmed.as_mut(),
            Which::Candidate => self.candidate.as_mut().map(|(held, _)| held),
        }
    }

    fn reasons(&self, held: &Held, by: Renewal<'_>) -> Reasons {
        let is_let_be = held.let_be.is_some_and(|since| since.elapsed() < LET_BE);
        Reasons {
            is_unread: self.is_unread(held, by.members),
            is_outdated: held.is_outdated(by.machine, &self.births),
            is_elsewhere: !is_let_be && held.is_elsewhere(by.here),
            lacks: self.lacks(held, by.members),
            is_whole: held.is_whole,
        }
    }

    /// Tidies up after a lease whose time is over. Returns the candidate's generation if there was one.
    pub fn expire(&mut self, driver: &Driver, state: &State) -> Result<Option<u32>> {
        let Some((held, deadline_ns)) = &self.candidate else {
            return Ok(None);
        };
        if now_ns()? < *deadline_ns {
            return Ok(None);
        }
        let generation = held.generation;
        self.end_lease(driver, state)?;
        Ok(Some(generation))
    }

    /// How long the lease still runs, if one does.
    pub fn time_left(&self) -> Option<Duration> {
        let (_, deadline_ns) = self.candidate.as_ref()?;
        Some(Duration::from_nanos(
            deadline_ns.saturating_sub(now_ns().unwrap_or(u64::MAX)),
        ))
    }

    /// The lease, for who asks.
    pub fn lease(&self) -> Option<LeaseLeft> {
        let (held, _) = self.candidate.as_ref()?;
        let left = self.time_left()?.as_millis();
        Some(LeaseLeft {
            generation: held.generation,
            fallback: self.confirmed.as_ref().map_or(0, |held| held.generation),
            milliseconds_left: u64::try_from(left).unwrap_or(u64::MAX),
        })
    }

    /// The number of the generation that is published next.
    pub const fn next(&self) -> u32 {
        self.last + 1
    }

    fn put(&mut self, driver: &Driver, at: u32, new: &New<'_>) -> Result<(Held, Compiled)> {
        let compiled = Compiled::of(new.rules.compile(self.next()));
        let programs = new.rules.iter().flat_map(|rule| &rule.programs);
        let from = TablesFrom {
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
        from: TablesFrom<'_>,
        mut compiled: Compiled,
    ) -> Result<(Held, Compiled)> {
        let generation = self.next();
        self.check_memory(driver, &compiled, &from)?;
        let sets = self.put_sets(driver, &compiled, &from)?;
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
        let held = Held {
            generation,
            count: head.rules,
            fail_mode: fail_mode(head.fail_mode),
            text: Some(from.text),
            programs: from.programs,
            networks: from.networks,
            listed: from.listed,
            sets,
            is_whole: false,
            let_be: None,
        };
        self.note_births(&held);
        Ok((held, compiled))
    }

    /// Notes when the files were made that these rules name, and forgets those that none name any more.
    fn note_births(&mut self, new: &Held) {
        let machine = SystemResolver::beside(Path::new("/"));
        for program in &new.programs {
            if let Some(id) = program.identity {
                self.births.note(id, &program.path, &machine);
            }
        }
        let named: BTreeSet<[u64; 2]> = self
            .held()
            .chain([new])
            .flat_map(|held| held.programs.iter().flat_map(Program::identities))
            .collect();
        self.births.retain(|id| named.contains(id));
    }

    /// Whether the kernel may hold these tables beside those that it has: until they are replaced they stay in force.
    fn check_memory(
        &self,
        driver: &Driver,
        compiled: &Compiled,
        TablesFrom { known, budget, .. }: &TablesFrom<'_>,
    ) -> Result<(), Refused> {
        let is_there = self.index_of(compiled, known.as_ref()).is_some();
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

    fn index_of(&self, compiled: &Compiled, known: Option<&Arc<KnownSets>>) -> Option<usize> {
        let does = |table: &Option<SetsTable>| {
            table
                .as_ref()
                .is_some_and(|table| table.does_for(compiled, known))
        };
        self.sets.iter().position(does)
    }

    /// Where the sets are that these tables ask; they are put where nobody uses the index unless they are there. Before any rules ask
    /// them, whatever has joined a set is known to be in it there.
    fn put_sets(
        &mut self,
        driver: &Driver,
        compiled: &Compiled,
        TablesFrom { known, members, .. }: &TablesFrom<'_>,
    ) -> Result<u32> {
        let Some((content, pages)) = &compiled.sets else {
            return Ok(NO_SETS);
        };
        if let Some(index) = self.index_of(compiled, known.as_ref()) {
            return Ok(index as u32);
        }
        let index = (0..SETS_TABLES)
            .find(|index| !self.uses(*index))
            .context("every place for sets is in use")?;
        driver.put_sets(index, pages)?;
        self.sets[index as usize] = Some(SetsTable {
            content: *content,
            known: known.clone(),
        });
        members.put_all(driver, &self.tables())?;
        Ok(index)
    }

    /// What is known of the tables of sets that the driver has.
    pub fn tables(&self) -> Tables {
        let known = |table: &Option<SetsTable>| table.as_ref()?.known.clone();
        std::array::from_fn(|index| self.sets.get(index).and_then(known))
    }

    /// What is known of the sets that the rules in force ask.
    pub fn sets_in_force(&self) -> Option<Arc<KnownSets>> {
        self.known(self.in_force()?)
    }

    fn known(&self, held: &Held) -> Option<Arc<KnownSets>> {
        let table = self.sets.get(held.sets as usize)?.as_ref()?;
        table.known.clone()
    }

    /// Whether something is in sets that these rules ask, of which nothing is known.
    fn is_unread(&self, held: &Held, members: &Members) -> bool {
        held.sets != NO_SETS && !members.is_empty() && self.known(held).is_none()
    }

    /// Whether something is in a combination of sets that these rules have no class for.
    fn lacks(&self, held: &Held, members: &Members) -> bool {
        self.known(held)
            .is_some_and(|known| !members.lacking(&known).is_empty())
    }

    /// Whether the rules that the kernel has ask sets of which nothing is known.
    pub fn asks_unread(&self, members: &Members) -> bool {
        self.held().any(|held| self.is_unread(held, members))
    }

    fn uses(&self, index: u32) -> bool {
        self.held().any(|held| held.sets == index)
    }

    fn held(&self) -> impl Iterator<Item = &Held> {
        self.confirmed
            .iter()
            .chain(self.candidate.as_ref().map(|(held, _)| held))
    }

    /// Once the update of a generation has returned, no program runs that still reads the old one.
    fn free_sets(&mut self, driver: &Driver) -> Result<()> {
        for index in (0..SETS_TABLES)
            .filter(|index| !self.uses(*index))
            .collect::<Vec<_>>()
        {
            self.sets[index as usize] = None;
            driver.drop_sets(index)?;
        }
        Ok(())
    }

    fn end_lease(&mut self, driver: &Driver, state: &State) -> Result<()> {
        driver.set_lease(Lease {
            deadline_ns: 0,
            last_generation: self.last.into(),
        })?;
        driver.drop_rules(generation_index::CANDIDATE)?;
        self.candidate = None;
        state.forget(Which::Candidate);
        self.free_sets(driver)
    }

    /// What can't be written down is lost with this service, and said by the state.
    fn keep(&self, state: &State, which: Which, held: &Held) {
        match &held.text {
            Some((name, text)) => {
                let kept = Kept {
                    generation: held.generation,
                    name: name.clone(),
                    text: text.clone(),
                };
                state.keep(which, &kept);
            }
            None => state.forget(which),
        }
    }
}

/// What tables were made from.
struct TablesFrom<'a> {
    text: (String, String),
    programs: Vec<Program>,
    networks: Option<Arc<PlacedNetworks>>,
    listed: Option<Arc<[Set]>>,
    /// What is known of the sets.
    known: Option<Arc<KnownSets>>,
    members: &'a Members,
    budget: Budget,
}

/// Rules to be put into the kernel, and the text that they were read from.
#[derive(Clone, Copy)]
pub struct New<'a> {
    pub name: &'a str,
    pub text: &'a str,
    pub rules: &'a Rules,
    pub members: &'a Members,
    pub budget: Budget,
}

/// Bytes of kernel memory.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// What the firewall may take.
    pub whole: u64,
    /// What of that tables may take, all together.
    pub tables: u64,
}

impl Held {
    fn is_outdated(&self, machine: &dyn Resolver, births: &Births) -> bool {
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

    fn asks_networks(&self) -> bool {
        match &self.networks {
            Some(placed) => !placed.named.rules.is_empty(),
            None => self.may_name_networks(),
        }
    }

    /// Whether rules of its would be on or off here that are not.
    fn is_elsewhere(&self, here: &Surroundings) -> bool {
        let Some(placed) = &self.networks else {
            return self.may_name_networks();
        };
        let PlacedNetworks { named, presences } = &**placed;
        !named.rules.is_empty() && named.effects(&here.presences(named)) != named.effects(presences)
    }

    /// Whether its rules of networks open nothing wherever the machine is.
    fn is_on_the_safe_side(&self) -> bool {
        self.networks.as_ref().is_some_and(|placed| {
            let PlacedNetworks { named, presences } = &**placed;
            named.effects(presences) == named.effects(&[])
        })
    }

    /// Whether a text of which nothing is known has the word.
    fn may_name_networks(&self) -> bool {
        let text = self.text.as_ref();
        text.is_some_and(|(_, text)| text.contains("network"))
    }

    /// For who asks.
    pub fn in_force(&self) -> InForce {
        InForce {
            generation: self.generation,
            name: self.text.as_ref().map(|(name, _)| name.clone()),
            rules: self.count,
        }
    }

    /// For who asks.
    pub fn rule_text(&self, folder: PathBuf, file: PathBuf) -> RuleText {
        let (name, text) = self.text.clone().unzip();
        RuleText {
            generation: self.generation,
            name,
            text,
            folder,
            file,
        }
    }
}

/// What an error of the system is to who asked.
pub fn refused(error: anyhow::Error) -> Refused {
    error
        .downcast()
        .unwrap_or_else(|other| Refused::System(format!("{other:#}")))
}

fn fail_mode(number: u32) -> FailMode {
    [FailMode::Open, FailMode::Closed]
        .into_iter()
        .find(|mode| *mode as u32 == number)
        .unwrap_or(FailMode::Static)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;
    use rules::{DefaultRoute, GatewayHardware};

    const DEFAULTS: &str = "[default]\ninbound = 'block'\noutbound = 'block'\n";
    const HOME: &str = "[[network]]\nid = 'home'\ngateway = '192.0.2.1'\n\
        [[rule]]\nid = 'a'\naction = 'allow'\nnetwork = 'home'\n";

    /// As the last good rules are held.
    fn held(text: &str) -> Held {
        Held {
            generation: 1,
            count: 0,
            fail_mode: FailMode::Static,
            text: Some(("r".to_owned(), text.to_owned())),
            programs: Vec::new(),
            networks: PlacedNetworks::nowhere("r", text).map(Arc::new),
            listed: None,
            sets: NO_SETS,
            is_whole: true,
            let_be: None,
        }
    }

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
        let word = held(&format!("# the network of the office\n{DEFAULTS}"));
        assert!(!word.asks_networks() && !word.is_elsewhere(&at_home()));
        // What can't be read any more may have such rules.
        assert!(held("network = [").is_elsewhere(&at_home()));
        let home = held(&format!("{DEFAULTS}{HOME}"));
        assert!(home.asks_networks() && home.is_elsewhere(&at_home()));
        assert!(!home.is_elsewhere(&Surroundings::told(Ok(Vec::new()))));
        let whole = Reasons {
            is_elsewhere: true,
            is_whole: home.is_whole,
            ..Reasons::default()
        };
        assert!(whole.let_be(true) && !whole.let_be(false));
        let outdated = Reasons {
            is_outdated: true,
            ..whole
        };
        assert!(!outdated.let_be(true));
        // What was on at home is not left on anywhere else, whatever it costs.
        let other = Reasons {
            is_whole: false,
            ..whole
        };
        assert!(!other.let_be(true));
        let unread = Reasons {
            is_unread: true,
            ..Reasons::default()
        };
        assert!(unread.let_be(true) && !unread.let_be(false));
    }

    #[test]
    fn rules_are_on_their_safe_side_where_they_do_what_they_do_while_nothing_is_known() {
        let mut held = held(&format!("{DEFAULTS}{HOME}"));
        assert!(held.is_on_the_safe_side());
        let mut put = |presence| {
            let named = held.networks().unwrap().named.clone();
            held.networks = Some(Arc::new(PlacedNetworks {
                named,
                presences: vec![presence],
            }));
            held.is_on_the_safe_side()
        };
        assert!(put(Presence::Away) && put(Presence::Unknown) && !put(Presence::There));
        held.networks = None;
        assert!(!held.is_on_the_safe_side());
    }
}
