//! Writer of search trees, in the layout of `firewall_abi::rules`.

use super::vectors::{Full, Pages};
use firewall_abi::rules::{
    BLOCK, MAX_LEVELS, NARROW_LEAF, NARROW_LEAVES, NarrowLeaf, PAGE_NUMBERS, PAGE_WORDS, Page,
    Tree, WIDE_LEAF, WIDE_LEAVES, WideLeaf, WideLeaves,
};
use zerocopy::{transmute_mut, transmute_ref};

/// Key of a search tree.
pub(crate) trait Key: Copy + Ord + Default {
    /// Highest key.
    const HIGHEST: Self;
    /// Number of keys in a leaf.
    const LEAF: usize;
    /// Number of keys in a page.
    const IN_A_PAGE: usize;
    /// Number of leaves in a page.
    const LEAVES: usize;

    /// Returns the next key, or `None` behind the highest.
    fn next(self) -> Option<Self>;

    /// Returns the key before, or `None` before the lowest.
    fn before(self) -> Option<Self>;

    /// Writes the key to its place in a page.
    fn write(self, page: &mut Page, place: usize);

    /// Writes an interval to its place in a leaf of a page.
    fn write_leaf(page: &mut Page, leaf: usize, place: usize, interval: (Self, u32));

    /// Reads an interval from its place in a leaf of a page.
    fn read_leaf(page: &Page, leaf: usize, place: usize) -> (Self, u32);
}

impl Key for u32 {
    const HIGHEST: Self = Self::MAX;
    const LEAF: usize = NARROW_LEAF;
    const IN_A_PAGE: usize = PAGE_NUMBERS;
    const LEAVES: usize = NARROW_LEAVES;

    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }

    fn before(self) -> Option<Self> {
        self.checked_sub(1)
    }

    fn write(self, page: &mut Page, place: usize) {
        let numbers: &mut [Self; PAGE_NUMBERS] = transmute_mut!(page);
        if let Some(number) = numbers.get_mut(place) {
            *number = self;
        }
    }

    fn write_leaf(page: &mut Page, leaf: usize, place: usize, (key, value): (Self, u32)) {
        let leaves: &mut [NarrowLeaf; NARROW_LEAVES] = transmute_mut!(page);
        let Some(NarrowLeaf { keys, values }) = leaves.get_mut(leaf) else {
            return;
        };
        if let (Some(its_key), Some(its_value)) = (keys.get_mut(place), values.get_mut(place)) {
            (*its_key, *its_value) = (key, value);
        }
    }

    fn read_leaf(page: &Page, leaf: usize, place: usize) -> (Self, u32) {
        let leaves: &[NarrowLeaf; NARROW_LEAVES] = transmute_ref!(page);
        let NarrowLeaf { keys, values } = leaves.get(leaf).copied().unwrap_or_default();
        keys.get(place)
            .copied()
            .zip(values.get(place).copied())
            .unwrap_or_default()
    }
}

impl Key for u128 {
    const HIGHEST: Self = Self::MAX;
    const LEAF: usize = WIDE_LEAF;
    const IN_A_PAGE: usize = PAGE_WORDS / 2;
    const LEAVES: usize = WIDE_LEAVES;

    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }

    fn before(self) -> Option<Self> {
        self.checked_sub(1)
    }

    /// Writes the key as two words, the higher one first.
    fn write(self, page: &mut Page, place: usize) {
        let (pairs, _) = page.as_chunks_mut::<2>();
        if let Some(pair) = pairs.get_mut(place) {
            *pair = [(self >> 64) as u64, self as u64];
        }
    }

    fn write_leaf(page: &mut Page, leaf: usize, place: usize, (key, value): (Self, u32)) {
        let WideLeaves { leaves, .. } = transmute_mut!(page);
        let Some(WideLeaf { keys, values }) = leaves.get_mut(leaf) else {
            return;
        };
        if let (Some(its_key), Some(its_value)) = (keys.get_mut(place), values.get_mut(place)) {
            (*its_key, *its_value) = ([(key >> 64) as u64, key as u64], value);
        }
    }

    fn read_leaf(page: &Page, leaf: usize, place: usize) -> (Self, u32) {
        let WideLeaves { leaves, .. } = transmute_ref!(page);
        let WideLeaf { keys, values } = leaves.get(leaf).copied().unwrap_or_default();
        let found = keys.get(place).copied().zip(values.get(place).copied());
        let ([high, low], value) = found.unwrap_or_default();
        (Self::from(high) << 64 | Self::from(low), value)
    }
}

/// Builds a tree over intervals. Each is its lowest key and the value of all its keys; they are in order, and the first
/// begins at the lowest key.
pub(crate) fn lay<K: Key>(pages: &mut Pages, intervals: &[(K, u32)]) -> Result<Tree, Full> {
    if let [(_, only)] = intervals {
        return Ok(Tree {
            intervals: 1,
            leaves: *only,
            ..Tree::default()
        });
    }
    let leaves = leaves(pages, intervals)?;
    let mut starts = [0; MAX_LEVELS];
    // From the leaves up to the one block: every level has a key for each block of the one below.
    let mut heights = Vec::new();
    let mut step = K::LEAF;
    while intervals.len().div_ceil(step) > 1 {
        heights.push(step);
        step *= BLOCK;
    }
    for (start, step) in starts.iter_mut().zip(heights.iter().rev()) {
        *start = level(pages, intervals, *step)?;
    }
    let levels = heights.len() as u32;
    Ok(Tree {
        levels,
        intervals: intervals.len() as u32,
        leaves,
        starts,
        ..Tree::default()
    })
}

/// Writes the leaves: the intervals with their values. The rest of the last page is filled with the highest key.
fn leaves<K: Key>(pages: &mut Pages, intervals: &[(K, u32)]) -> Result<u32, Full> {
    let start = pages.count();
    let mut intervals = intervals.iter().copied().peekable();
    while intervals.peek().is_some() {
        let mut page = [0; PAGE_WORDS];
        for (leaf, place) in
            (0..K::LEAVES).flat_map(|leaf| (0..K::LEAF).map(move |place| (leaf, place)))
        {
            K::write_leaf(
                &mut page,
                leaf,
                place,
                intervals.next().unwrap_or((K::HIGHEST, 0)),
            );
        }
        pages.add(&page)?;
    }
    Ok(start)
}

/// Writes one level: every `step`th key. The rest of the last page is filled with the highest key.
fn level<K: Key>(pages: &mut Pages, intervals: &[(K, u32)], step: usize) -> Result<u32, Full> {
    let start = pages.count();
    let mut keys = intervals
        .iter()
        .step_by(step)
        .map(|(key, _)| *key)
        .peekable();
    while keys.peek().is_some() {
        let mut page = [0; PAGE_WORDS];
        for place in 0..K::IN_A_PAGE {
            keys.next().unwrap_or(K::HIGHEST).write(&mut page, place);
        }
        pages.add(&page)?;
    }
    Ok(start)
}

/// Writes 32-bit integers from a page of their own on, and returns the number of that page.
pub(crate) fn numbers(
    pages: &mut Pages,
    count: usize,
    number: impl Fn(usize) -> u32,
) -> Result<u32, Full> {
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

/// Returns the value of the interval that a key lies in. Only the leaves are searched, not the levels above them.
pub(crate) fn value<K: Key>(pages: &[Page], tree: &Tree, key: K) -> u32 {
    if tree.intervals == 1 {
        return tree.leaves;
    }
    let interval = |number: usize| {
        let (leaf, place) = (number / K::LEAF, number % K::LEAF);
        let page = pages.get(tree.leaves as usize + leaf / K::LEAVES);
        page.map_or((K::HIGHEST, 0), |page| {
            K::read_leaf(page, leaf % K::LEAVES, place)
        })
    };
    let (mut low, mut high) = (0, tree.intervals as usize);
    while high - low > 1 {
        let middle = low.midpoint(high);
        if interval(middle).0 <= key {
            low = middle
        } else {
            high = middle
        }
    }
    interval(low).1
}
