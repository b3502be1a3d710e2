//! Vectors with one bit for each rule; equal vectors are stored once.

use firewall_abi::rules::{MAX_PAGES, PAGE_WORDS, Page, SUMMARY_WORDS};
use std::collections::HashMap;

/// Error of a table that would have more pages than a driver takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// Pages of a table while it grows: the vectors first.
pub(crate) struct Pages {
    pub(crate) pages: Vec<Page>,
    /// Page of each vector, by its mark.
    known: HashMap<u64, u32>,
}

impl Pages {
    /// Makes a table of which page 0 is yet to be written.
    pub(crate) fn new() -> Self {
        Self {
            pages: vec![[0; PAGE_WORDS]],
            known: HashMap::new(),
        }
    }

    /// Returns the number of pages.
    pub(crate) fn count(&self) -> u32 {
        u32::try_from(self.pages.len()).unwrap_or(u32::MAX)
    }

    /// Adds a page, and returns its number.
    pub(crate) fn add(&mut self, page: &Page) -> Result<u32, Full> {
        let number = self.count();
        if number >= MAX_PAGES {
            return Err(Full);
        }
        self.pages.push(*page);
        Ok(number)
    }

    /// Returns the page that holds this vector, which is added if it is new.
    pub(crate) fn vector(&mut self, rules: &Running) -> Result<u32, Full> {
        let mut mark = rules.mark;
        // Marks may be the same by chance. Only the words say which vector it is.
        while let Some(number) = self.known.get(&mark) {
            if self.pages.get(*number as usize) == Some(&rules.words) {
                return Ok(*number);
            }
            mark = mark.wrapping_add(1);
        }
        let number = self.add(&rules.words)?;
        self.known.insert(mark, number);
        Ok(number)
    }
}

/// A vector that changes from one interval to the next.
#[derive(Clone)]
pub(crate) struct Running {
    words: Page,
    /// Exclusive-or of its rules' hashes, by which an equal vector is found without reading it all.
    mark: u64,
}

impl Running {
    pub(crate) fn empty() -> Self {
        Self {
            words: [0; PAGE_WORDS],
            mark: 0,
        }
    }

    /// Adds a rule, or removes it if it was in.
    pub(crate) fn toggle(&mut self, rule: usize) {
        let (word, bit) = place(rule);
        self.mark ^= scattered(rule as u64);
        let Some(bits) = self.words.get_mut(word) else {
            return;
        };
        *bits ^= 1 << bit;
        let some = u64::from(*bits != 0);
        if let Some(summary) = self.words.get_mut(word / 64) {
            *summary = *summary & !(1 << (word % 64)) | some << (word % 64);
        }
    }
}

/// Returns the word and bit of a rule in a vector.
pub(crate) fn place(rule: usize) -> (usize, usize) {
    (SUMMARY_WORDS + rule / 64, rule % 64)
}

/// Hashes the number of a rule (SplitMix64, of Steele, Lea and Flood).
fn scattered(rule: u64) -> u64 {
    let mut n = rule.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    n = (n ^ n >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    n = (n ^ n >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    n ^ n >> 31
}
