//! Compiler from checked rules to the pages that the engine searches.

mod dimensions;
mod sets;
mod sweep;
#[cfg(test)]
mod tests;
mod tree;
mod vectors;

pub use sets::{Combination, Sets};

pub(crate) use dimensions::{
    CLASS, DESTINATION_PORT, DESTINATION_V4, DESTINATION_V6, INTERFACE, Narrow, OUT_INTERFACE,
    SOURCE_PORT, SOURCE_V4, SOURCE_V6, USER, Wide, can_be,
};
pub(crate) use sweep::{Takes, joined};
pub(crate) use tree::{Key, value};
pub(crate) use vectors::place;

use crate::device::GUESTS_WORD;
use crate::set::grouped;
use crate::{DefaultAction, Defaults, Rule, RuleKeys, Set};
use dimensions::{PROGRAM, asks_ports, takes_any_destination, takes_any_source};
use firewall_abi::packet::Verdict;
use firewall_abi::rules::{
    CLASSES, DefaultPolicy, FailMode, Head, HeadPage, MAX_PAGES, NEEDS_GUESTS, NEEDS_INTERFACE,
    NEEDS_LOOPBACK, NEEDS_NAMES, NEEDS_OUT_INTERFACE, NEEDS_PERSON, NEEDS_PROGRAM, NEEDS_USER,
    NO_SETS, Outcome, PAGE_BYTES, PAGE_WORDS, Page, Tree,
};
use std::fmt;
use std::sync::Arc;
use sweep::sweep;
use tree::{lay, numbers};
use vectors::{Full, Pages, Running};

/// Table of one generation of the rules, ready for a driver or a dry run.
#[derive(Clone, PartialEq, Eq)]
pub struct Table {
    /// Pages of the table; the first is a [`Head`].
    pub pages: Vec<Page>,
    /// Table of sets that its rules ask, if they ask for any.
    pub sets: Option<Arc<Sets>>,
}

impl Table {
    /// Returns the head of the table.
    #[must_use]
    pub fn head(&self) -> Head {
        self.pages
            .first()
            .map(|page| HeadPage::of(page).head)
            .unwrap_or_default()
    }

    /// Writes the index of the driver's table of sets into the head.
    pub fn place_sets(&mut self, place: u32) {
        let sets = if self.sets.is_some() { place } else { NO_SETS };
        let head = Head {
            sets,
            ..self.head()
        };
        write_head(&mut self.pages, head);
    }

    /// Writes the number of the generation into the head.
    pub(crate) fn number(&mut self, generation: u32) {
        let head = Head {
            generation,
            ..self.head()
        };
        write_head(&mut self.pages, head);
    }

    /// Returns the table in the form that the engine takes.
    #[must_use]
    pub fn slices(&self) -> engine::Slices<'_> {
        let sets = self.sets.as_ref().map_or(&[][..], |sets| &sets.pages);
        engine::Slices {
            rules: engine::Row(&self.pages),
            sets: engine::Row(sets),
        }
    }

    /// Returns the memory that a driver keeps for the table, in bytes, that of the sets included.
    #[must_use]
    pub fn bytes(&self) -> usize {
        (self.pages.len() + self.sets.as_ref().map_or(0, |sets| sets.pages.len())) * PAGE_BYTES
    }
}

impl fmt::Debug for Table {
    /// Leaves out the pages: they are many.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table")
            .field("head", &self.head())
            .field("sets", &self.sets)
            .finish_non_exhaustive()
    }
}

fn write_head(pages: &mut [Page], head: Head) {
    if let Some(first) = pages.first_mut() {
        *first = *HeadPage::from(head).words();
    }
}

/// Source of a table: rules, default policies and sets.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) rules: &'a [Rule],
    pub(crate) defaults: Defaults,
    pub(crate) fail_mode: FailMode,
    pub(crate) sets: Option<&'a Sets>,
    pub(crate) listed: &'a [Set],
}

impl<'a> Source<'a> {
    fn on(&self) -> impl Iterator<Item = (usize, &'a Rule)> + use<'a> {
        self.rules
            .iter()
            .enumerate()
            .filter(|(_, rule)| rule.is_on())
    }

    /// Returns the sets, if a rule that is on asks for one.
    fn asked_sets(&self) -> Option<&'a Sets> {
        let asks = |(_, rule): (_, &Rule)| {
            !(rule.source_sets.is_empty() && rule.destination_sets.is_empty())
        };
        self.sets.filter(|_| self.on().any(asks))
    }
}

/// A table without the number of its generation, and the tree of classes that finding shadowed rules needs.
pub(crate) struct Built {
    pub(crate) pages: Vec<Page>,
    pub(crate) head: Head,
    pub(crate) class: Tree,
}

/// Builds the table of a source.
///
/// # Errors
/// Fails if it would be larger than drivers take; the text says what takes the room.
pub(crate) fn build(source: Source<'_>) -> Result<Built, String> {
    let mut building = Building {
        source,
        pages: Pages::new(),
        rooms: Vec::new(),
    };
    building.all().map_err(|Full| building.too_big())
}

struct Building<'a> {
    source: Source<'a>,
    pages: Pages,
    /// Number of pages taken, by their purpose.
    rooms: Vec<(&'static str, u32)>,
}

impl Building<'_> {
    fn all(&mut self) -> Result<Built, Full> {
        let class = self.narrow(CLASS)?;
        let mut head = Head {
            generation: 0,
            rules: self.source.rules.len() as u32,
            pages: 0,
            inbound: default_policy(self.source.defaults.inbound),
            outbound: default_policy(self.source.defaults.outbound),
            forward: default_policy(self.source.defaults.forward),
            spare: [0; 6],
            sets: NO_SETS,
            needs: self.needs(),
            fail_mode: self.source.fail_mode as u32,
            classes: self.classes(&class)?,
            outcomes: self.outcomes()?,
            hits: self.hits()?,
            no_ports: self.no_ports()?,
            source_sets: NO_SETS,
            destination_sets: NO_SETS,
            equivalence_classes: 0,
            source_v4: self.narrow(SOURCE_V4)?,
            destination_v4: self.narrow(DESTINATION_V4)?,
            source_port: self.narrow(SOURCE_PORT)?,
            destination_port: self.narrow(DESTINATION_PORT)?,
            user: self.narrow(USER)?,
            source_v6: self.wide(SOURCE_V6)?,
            destination_v6: self.wide(DESTINATION_V6)?,
            program: self.wide(PROGRAM)?,
            interface: self.wide(INTERFACE)?,
            out_interface: self.wide(OUT_INTERFACE)?,
        };
        let source = self.source;
        if let Some(sets) = source.asked_sets() {
            head.sets = 0;
            head.equivalence_classes = sets.combinations().len() as u32;
            head.source_sets = self.equivalence_classes(sets, |rule| &rule.source_sets)?;
            head.destination_sets =
                self.equivalence_classes(sets, |rule| &rule.destination_sets)?;
        }
        head.pages = self.pages.count();
        let mut pages = std::mem::take(&mut self.pages.pages);
        write_head(&mut pages, head);
        Ok(Built { pages, head, class })
    }

    fn narrow(&mut self, (name, takes): Narrow) -> Result<Tree, Full> {
        let rules = self.source;
        self.room(name, |pages| {
            let intervals = sweep(
                pages,
                rules.on().map(|(number, rule)| (number, takes(rule))),
            )?;
            lay(pages, &intervals)
        })
    }

    fn wide(&mut self, (name, takes): Wide) -> Result<Tree, Full> {
        let rules = self.source;
        self.room(name, |pages| {
            let intervals = sweep(
                pages,
                rules.on().map(|(number, rule)| (number, takes(rule))),
            )?;
            lay(pages, &intervals)
        })
    }

    /// Calls `fill`, and notes the number of pages that it took.
    fn room<T>(
        &mut self,
        name: &'static str,
        fill: impl FnOnce(&mut Pages) -> Result<T, Full>,
    ) -> Result<T, Full> {
        let before = self.pages.count();
        let filled = fill(&mut self.pages);
        self.rooms.push((name, self.pages.count() - before));
        filled
    }

    /// Writes the vector's page of every class, by the number of the class.
    fn classes(&mut self, tree: &Tree) -> Result<u32, Full> {
        let vectors: Vec<u32> = (0..CLASSES as u32)
            .map(|class| value(&self.pages.pages, tree, class))
            .collect();
        self.room(CLASS.0, |pages| {
            numbers(pages, CLASSES, |class| {
                vectors.get(class).copied().unwrap_or(0)
            })
        })
    }

    fn outcomes(&mut self) -> Result<u32, Full> {
        let rules = self.source.rules;
        let outcome = |rule: &Rule| {
            let mut outcome = Outcome::new(rule.verdict() as u8, rule.log);
            if !(rule.users.is_empty() && rule.programs.is_empty()) {
                outcome = outcome.asking_who();
            }
            if takes_any_source(rule) {
                outcome = outcome.of_any_source();
            }
            if takes_any_destination(rule) {
                outcome = outcome.to_any_destination();
            }
            outcome.0
        };
        self.room("outcomes", |pages| {
            numbers(pages, rules.len(), |number| {
                rules.get(number).map_or(0, outcome)
            })
        })
    }

    fn hits(&mut self) -> Result<u32, Full> {
        let needed = self.source.rules.len().div_ceil(PAGE_WORDS).max(1);
        self.room("counters", |pages| {
            let start = pages.count();
            (0..needed).try_for_each(|_| pages.add(&[0; PAGE_WORDS]).map(drop))?;
            Ok(start)
        })
    }

    fn no_ports(&mut self) -> Result<u32, Full> {
        let mut vector = Running::empty();
        self.source
            .on()
            .filter(|(_, rule)| !asks_ports(rule))
            .for_each(|(number, _)| vector.toggle(number));
        self.pages.vector(&vector)
    }

    fn needs(&self) -> u32 {
        let listed = self.source.listed;
        let by_name = |set: &u32| {
            let set = listed.get(*set as usize);
            set.is_some_and(|set| !set.names.is_empty())
        };
        let asks = |rule: &Rule| {
            let if_any = |none: bool, bit| if none { 0 } else { bit };
            // What the packet itself shows is read in any case.
            let RuleKeys {
                direction: _,
                protocols: _,
                sources: _,
                source_sets: _,
                destinations: _,
                destination_sets,
                source_ports: _,
                ports: _,
                icmp_types: _,
                interfaces,
                out_interfaces,
                users,
                programs,
            } = rule.keys();
            if_any(users.is_empty(), NEEDS_USER)
                | if_any(programs.is_empty(), NEEDS_PROGRAM)
                | if_any(interfaces.is_empty(), NEEDS_INTERFACE)
                | if_any(out_interfaces.is_empty(), NEEDS_OUT_INTERFACE)
                | if_any(!rule.names_loopback(), NEEDS_LOOPBACK)
                | if_any(rule.verdict() != Verdict::Ask, NEEDS_PERSON)
                | if_any(
                    ![interfaces, out_interfaces]
                        .into_iter()
                        .flatten()
                        .any(|word| word == GUESTS_WORD),
                    NEEDS_GUESTS,
                )
                | if_any(!destination_sets.iter().any(by_name), NEEDS_NAMES)
        };
        let Defaults {
            inbound,
            outbound,
            forward,
        } = self.source.defaults;
        let defaults = [inbound, outbound, forward];
        let by_default = defaults
            .iter()
            .any(|default| default.action == Verdict::Ask);
        let first = if by_default { NEEDS_PERSON } else { 0 };
        self.source
            .on()
            .fold(first, |all, (_, rule)| all | asks(rule))
    }

    /// Writes for each equivalence class the vector of the rules that ask for one of its sets, if any asks at this end.
    fn equivalence_classes(
        &mut self,
        sets: &Sets,
        asked: impl Fn(&Rule) -> &[u32],
    ) -> Result<u32, Full> {
        let rules = self.source;
        let mut by_set: Vec<Vec<usize>> = Vec::new();
        for (number, rule) in rules.on() {
            for set in asked(rule) {
                let set = *set as usize;
                by_set.resize_with(by_set.len().max(set + 1), Vec::new);
                by_set
                    .get_mut(set)
                    .into_iter()
                    .for_each(|requesters| requesters.push(number));
            }
        }
        if by_set.is_empty() {
            return Ok(NO_SETS);
        }
        self.room("combinations of sets", |pages| {
            let mut vectors = Vec::with_capacity(sets.combinations().len());
            for combination in sets.combinations() {
                let requesters = combination
                    .iter()
                    .filter_map(|set| by_set.get(*set as usize))
                    .flatten();
                let mut requesters: Vec<usize> = requesters.copied().collect();
                requesters.sort_unstable();
                requesters.dedup();
                let mut vector = Running::empty();
                requesters.into_iter().for_each(|rule| vector.toggle(rule));
                vectors.push(pages.vector(&vector)?);
            }
            numbers(pages, vectors.len(), |class| {
                vectors.get(class).copied().unwrap_or(0)
            })
        })
    }

    fn too_big(&self) -> String {
        let mut rooms = self.rooms.clone();
        rooms.sort_by_key(|(_, pages)| std::cmp::Reverse(*pages));
        let most = rooms.iter().take(2).filter(|(_, pages)| *pages > 0);
        let most: Vec<_> = most
            .map(|(name, pages)| format!("{name} ({})", grouped(*pages as usize)))
            .collect();
        format!(
            "these rules need more than {} pages of memory, which is the most; what takes them: {}; join what lies side \
             by side, or put addresses into sets",
            grouped(MAX_PAGES as usize),
            most.join(", ")
        )
    }
}

fn default_policy(default: DefaultAction) -> DefaultPolicy {
    DefaultPolicy {
        verdict: default.action as u8,
        log: u8::from(default.log),
    }
}

/// Returns whether a table asks for sets.
pub(crate) fn asks_sets(pages: &[Page]) -> bool {
    pages
        .first()
        .is_some_and(|page| HeadPage::of(page).head.sets != NO_SETS)
}
