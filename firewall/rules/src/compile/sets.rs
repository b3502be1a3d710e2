//! The table of sets: which of them hold an address.

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

/// A table of sets, ready for a driver or a dry run. Generations with the same sets may share it.
#[derive(Clone, PartialEq, Eq)]
pub struct Sets {
    /// Its pages; the first is a [`SetsHead`].
    pub pages: Vec<Page>,
    /// The same for tables with the same pages, and for others by no likely chance.
    pub content: u64,
    /// Which sets each class stands for.
    combinations: Vec<Combination>,
}

/// Some of the sets, by their places in the file, in order.
type Combination = Box<[u32]>;

impl Sets {
    /// Builds the table. `sets` are only for the error's sake.
    pub(crate) fn build(members: Vec<Members>, sets: &[Set]) -> Result<Self, String> {
        Self::fill(members).map_err(|Full| {
            let most = (MAX_PAGES as usize * PAGE_BYTES) >> 20;
            let largest = sets.iter().max_by_key(|set| set.entries);
            let largest = largest.map(|set| format!("`{}` has {}", set.id, grouped(set.entries)));
            format!(
                "the sets need more than {most} MiB of memory, which is the most; the one with the most entries, {}",
                largest.unwrap_or_default()
            )
        })
    }

    fn fill(members: Vec<Members>) -> Result<Self, Full> {
        let mut equivalence_classes = EquivalenceClasses::new();
        let (v4, v6): (Vec<_>, Vec<_>) = members.into_iter().map(|set| (set.v4, set.v6)).unzip();
        let mut pages = Pages::new();
        let v4 = lay(&mut pages, &equivalence_classes.intervals(v4)?)?;
        let v6 = lay(&mut pages, &equivalence_classes.intervals(v6)?)?;
        let head = SetsHead {
            pages: pages.count(),
            equivalence_classes: equivalence_classes.combinations.len() as u32,
            v4,
            v6,
        };
        let mut pages = pages.pages;
        if let Some(first) = pages.first_mut() {
            *first = *SetsPage::from(head).words();
        }
        Ok(Self {
            content: content(&pages),
            pages,
            combinations: equivalence_classes.combinations,
        })
    }

    /// Which sets an address is in, by their places in the file.
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
    /// Without its pages: they are many.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sets")
            .field("content", &self.content)
            .finish_non_exhaustive()
    }
}

fn content(pages: &[Page]) -> u64 {
    let mut hasher = DefaultHasher::new();
    pages.hash(&mut hasher);
    hasher.finish()
}

/// EquivalenceClasses are numbered as their combinations come up, so that the same sets make the same pages.
struct EquivalenceClasses {
    known: HashMap<Combination, u32>,
    combinations: Vec<Combination>,
}

impl EquivalenceClasses {
    /// Class 0 is in no set.
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
