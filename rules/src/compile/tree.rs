//! Search trees as `contract::rules` lays them out.

use super::vectors::{Full, Pages};
use contract::rules::{MAX_LEVELS, NARROW_BLOCK, PAGE_NUMBERS, PAGE_WORDS, Page, Tree, WIDE_BLOCK};
use zerocopy::transmute_mut;

/// What a tree is searched by.
pub(crate) trait Key: Copy + Ord + Default {
    /// The highest.
    const HIGHEST: Self;
    /// How many a block has.
    const BLOCK: usize;
    /// How many a page has.
    const IN_A_PAGE: usize;

    /// The next one; there is none behind the highest.
    fn next(self) -> Option<Self>;

    /// Writes it to its place in a page.
    fn write(self, page: &mut Page, place: usize);

    /// Reads it from there.
    fn read(page: &Page, place: usize) -> Self;
}

impl Key for u32 {
    const HIGHEST: Self = Self::MAX;
    const BLOCK: usize = NARROW_BLOCK;
    const IN_A_PAGE: usize = PAGE_NUMBERS;

    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }

    fn write(self, page: &mut Page, place: usize) {
        let numbers: &mut [Self; PAGE_NUMBERS] = transmute_mut!(page);
        if let Some(number) = numbers.get_mut(place) {
            *number = self;
        }
    }

    fn read(page: &Page, place: usize) -> Self {
        let numbers: &[Self; PAGE_NUMBERS] = zerocopy::transmute_ref!(page);
        numbers.get(place).copied().unwrap_or_default()
    }
}

impl Key for u128 {
    const HIGHEST: Self = Self::MAX;
    const BLOCK: usize = WIDE_BLOCK;
    const IN_A_PAGE: usize = PAGE_WORDS / 2;

    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }

    /// As two words, the higher one first.
    fn write(self, page: &mut Page, place: usize) {
        let (pairs, _) = page.as_chunks_mut::<2>();
        if let Some(pair) = pairs.get_mut(place) {
            *pair = [(self >> 64) as u64, self as u64];
        }
    }

    fn read(page: &Page, place: usize) -> Self {
        let (pairs, _) = page.as_chunks::<2>();
        let [high, low] = pairs.get(place).copied().unwrap_or_default();
        Self::from(high) << 64 | Self::from(low)
    }
}

/// Lays a tree over intervals: the lowest value of each, in order, the first of them the lowest there is, and what all of
/// its values have.
pub(crate) fn lay<K: Key>(pages: &mut Pages, intervals: &[(K, u32)]) -> Result<Tree, Full> {
    let values = numbers(pages, intervals.len(), |n| intervals.get(n).map_or(0, |(_, value)| *value))?;
    let mut starts = [0; MAX_LEVELS];
    // From the intervals up to the one block: every level has a key for each block of the one below.
    let mut heights = Vec::new();
    let mut step = 1;
    while intervals.len().div_ceil(step) > 1 {
        heights.push(step);
        step *= K::BLOCK;
    }
    for (start, step) in starts.iter_mut().zip(heights.iter().rev()) {
        *start = level(pages, intervals, *step)?;
    }
    let levels = heights.len() as u32;
    Ok(Tree { levels, intervals: intervals.len() as u32, values, starts, ..Tree::default() })
}

/// One level: every `step`th key. What is left of its last page is the highest key.
fn level<K: Key>(pages: &mut Pages, intervals: &[(K, u32)], step: usize) -> Result<u32, Full> {
    let start = pages.count();
    let mut keys = intervals.iter().step_by(step).map(|(key, _)| *key).peekable();
    while keys.peek().is_some() {
        let mut page = [0; PAGE_WORDS];
        for place in 0..K::IN_A_PAGE {
            keys.next().unwrap_or(K::HIGHEST).write(&mut page, place);
        }
        pages.add(&page)?;
    }
    Ok(start)
}

/// Numbers that start at a page of their own.
pub(crate) fn numbers(pages: &mut Pages, count: usize, number: impl Fn(usize) -> u32) -> Result<u32, Full> {
    let start = pages.count();
    for first in (0..count.max(1)).step_by(PAGE_NUMBERS) {
        let mut page = [0; PAGE_WORDS];
        for place in 0..PAGE_NUMBERS.min(count.saturating_sub(first)) {
            number(first + place).write(&mut page, place);
        }
        pages.add(&page)?;
    }
    Ok(start)
}

/// The value of the interval that a key lies in. Only the intervals are looked at, not the levels above them.
pub(crate) fn value<K: Key>(pages: &[Page], tree: &Tree, key: K) -> u32 {
    let page = |start: u32, number: usize, in_a_page: usize| pages.get(start as usize + number / in_a_page);
    let leaves = tree.levels.checked_sub(1).and_then(|last| tree.starts.get(last as usize)).copied();
    let (mut low, mut high) = (0, tree.intervals as usize);
    if let Some(start) = leaves {
        while high - low > 1 {
            let middle = low.midpoint(high);
            let at = page(start, middle, K::IN_A_PAGE);
            let found = at.map_or(K::HIGHEST, |page| K::read(page, middle % K::IN_A_PAGE));
            if found <= key { low = middle } else { high = middle }
        }
    }
    page(tree.values, low, PAGE_NUMBERS).map_or(0, |page| u32::read(page, low % PAGE_NUMBERS))
}
