//! Compiler of the table of sets, which finds the sets that hold an address.

use super::sweep::{boundaries_of, joined, walk};
use super::tree::{Key, lay, value};
use super::vectors::{Full, Pages};
use crate::Set;
use crate::set::{Members, grouped};
use firewall_abi::rules::{MAX_PAGES, PAGE_BYTES, Page, SetsHead, SetsPage};
use std::collections::HashMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;

/// Table of sets, ready for a driver or a dry run. Generations with the same sets may share it.
#[derive(Clone, PartialEq, Eq)]
pub struct Sets {
    /// Pages of the table; the first is a [`SetsHead`].
    pub pages: Vec<Page>,
    /// Hash of the contents: equal for equal tables, and for others by no likely chance.
    pub content: u64,
    /// Combination of sets that each equivalence class stands for.
    combinations: Vec<Combination>,
    /// Equivalence class of each combination.
    known: HashMap<Combination, u32>,
    /// Sets that rules ask for, in order.
    asked: Box<[u32]>,
}

/// Combination of sets, by their index in the file, in order.
pub type Combination = Box<[u32]>;

/// Number of equivalence classes, at most, beside those of the addresses in the files: a vector's page and more each,
/// in the worst case.
const JOINABLE: usize = 1024;

impl Sets {
    /// Builds the table. `sets` are only for the message of an error.
    pub(crate) fn build(
        members: Vec<Members>,
        sets: &[Set],
        asked: Vec<u32>,
    ) -> Result<Self, String> {
        Self::fill(members, asked).map_err(|Full| {
            let most = (MAX_PAGES as usize * PAGE_BYTES) >> 20;
            let largest = sets.iter().max_by_key(|set| set.entries);
            let largest = largest.map(|set| format!("`{}` has {}", set.id, grouped(set.entries)));
            format!(
                "the sets need more than {most} MiB of memory, which is the most; the one with the most entries, {}",
                largest.unwrap_or_default()
            )
        })
    }

    fn fill(members: Vec<Members>, mut asked: Vec<u32>) -> Result<Self, Full> {
        let mut equivalence_classes = EquivalenceClasses::new();
        let (v4, v6): (Vec<_>, Vec<_>) = members.into_iter().map(|set| (set.v4, set.v6)).unzip();
        let mut pages = Pages::new();
        let v4 = lay(&mut pages, &equivalence_classes.intervals(v4)?)?;
        let v6 = lay(&mut pages, &equivalence_classes.intervals(v6)?)?;
        asked.sort_unstable();
        asked.dedup();
        equivalence_classes.join_each(&asked);
        let head = SetsHead {
            pages: pages.count(),
            equivalence_classes: 0,
            v4,
            v6,
        };
        let mut pages = pages.pages;
        if let Some(first) = pages.first_mut() {
            *first = *SetsPage::from(head).words();
        }
        let EquivalenceClasses {
            known,
            combinations,
        } = equivalence_classes;
        let mut sets = Self {
            content: 0,
            pages,
            combinations,
            known,
            asked: asked.into(),
        };
        sets.count();
        Ok(sets)
    }

    /// Writes the number of equivalence classes into the head, and computes the hash of the contents.
    fn count(&mut self) {
        if let Some(first) = self.pages.first_mut() {
            let head = SetsHead {
                equivalence_classes: self.combinations.len() as u32,
                ..SetsPage::of(first).head
            };
            *first = *SetsPage::from(head).words();
        }
        self.content = content(&self.pages, &self.combinations);
    }

    /// Returns a table that has equivalence classes for these combinations too.
    #[must_use]
    pub(crate) fn with(&self, more: &[Combination]) -> Self {
        let mut classes = EquivalenceClasses {
            known: self.known.clone(),
            combinations: self.combinations.clone(),
        };
        for combination in more {
            classes.class(combination);
        }
        let mut sets = Self {
            combinations: classes.combinations,
            known: classes.known,
            ..self.clone()
        };
        sets.count();
        sets
    }

    /// Returns the equivalence class of an address that has joined these sets beside those that hold it.
    ///
    /// # Errors
    /// Returns the combination, if there is no class for it.
    pub fn class_with(&self, address: IpAddr, joined: &[u32]) -> Result<u32, Combination> {
        let asked = joined
            .iter()
            .filter(|set| self.asked.binary_search(set).is_ok());
        let mut all: Vec<u32> = self.of(address).iter().chain(asked).copied().collect();
        all.sort_unstable();
        all.dedup();
        self.known
            .get(&all[..])
            .copied()
            .ok_or_else(|| all.into_boxed_slice())
    }

    /// Returns the sets that hold an address, by their index in the file.
    #[must_use]
    pub fn of(&self, address: IpAddr) -> &[u32] {
        let Some(page) = self.pages.first() else {
            return &[];
        };
        let SetsHead { v4, v6, .. } = &SetsPage::of(page).head;
        let class = match address {
            IpAddr::V4(address) => value(&self.pages, v4, address.to_bits()),
            IpAddr::V6(address) => value(&self.pages, v6, address.to_bits()),
        };
        self.combinations
            .get(class as usize)
            .map_or(&[], |sets| sets)
    }

    pub(crate) fn combinations(&self) -> &[Combination] {
        &self.combinations
    }
}

impl fmt::Debug for Sets {
    /// Leaves out the pages: they are many.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sets")
            .field("content", &self.content)
            .finish_non_exhaustive()
    }
}

fn content(pages: &[Page], combinations: &[Combination]) -> u64 {
    let mut hasher = DefaultHasher::new();
    pages.hash(&mut hasher);
    combinations.hash(&mut hasher);
    hasher.finish()
}

/// Equivalence classes, numbered as their combinations come up, so that the same sets make the same pages.
struct EquivalenceClasses {
    known: HashMap<Combination, u32>,
    combinations: Vec<Combination>,
}

impl EquivalenceClasses {
    /// Makes the classes with class 0 alone, which is in no set.
    fn new() -> Self {
        let none = Combination::default();
        Self {
            known: HashMap::from([(none.clone(), 0)]),
            combinations: vec![none],
        }
    }

    fn intervals<K: Key>(&mut self, sets: Vec<Vec<(K, K)>>) -> Result<Vec<(K, u32)>, Full> {
        let mut boundaries = Vec::new();
        for (set, spans) in (0..).zip(sets) {
            boundaries_of(&joined(spans), set, &mut boundaries);
        }
        // Each set's are in order already, which this sort makes use of.
        boundaries.sort_by_key(|(key, _)| *key);
        let mut running: Vec<u32> = Vec::new();
        walk(&boundaries, |changed| {
            for (_, set) in changed {
                match running.binary_search(set) {
                    Ok(place) => drop(running.remove(place)),
                    Err(place) => running.insert(place, *set),
                }
            }
            Ok(self.class(&running))
        })
    }

    /// Adds a class for each combination with one of these sets added: so an address can join a set without a new
    /// table. An address that joins two sets may need a class that is not there: it is made then, see [`Sets::with`].
    fn join_each(&mut self, sets: &[u32]) {
        let there = self.combinations.clone();
        let most = there.len() + JOINABLE;
        for combination in &there {
            for set in sets {
                let Err(place) = combination.binary_search(set) else {
                    continue;
                };
                if self.combinations.len() >= most {
                    return;
                }
                let mut joined = combination.to_vec();
                joined.insert(place, *set);
                self.class(&joined);
            }
        }
    }

    fn class(&mut self, sets: &[u32]) -> u32 {
        if let Some(class) = self.known.get(sets) {
            return *class;
        }
        let class = self.combinations.len() as u32;
        self.known.insert(sets.into(), class);
        self.combinations.push(sets.into());
        class
    }
}
