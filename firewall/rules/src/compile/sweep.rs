//! Sweep from the values that each rule takes to intervals: a walk over all boundaries, with the rules that take what
//! lies between them.

use super::tree::Key;
use super::vectors::{Full, Pages, Running};

/// Values that one rule takes of a dimension.
pub(crate) enum Takes<K> {
    /// Every value: the rule does not ask.
    All,
    /// These spans of values, both ends included.
    Only(Vec<(K, K)>),
}

/// Computes the intervals of a dimension, and the page of each one's vector.
pub(crate) fn sweep<K: Key>(
    pages: &mut Pages,
    rules: impl Iterator<Item = (usize, Takes<K>)>,
) -> Result<Vec<(K, u32)>, Full> {
    let mut running = Running::empty();
    let mut boundaries = Vec::new();
    for (rule, takes) in rules {
        match takes {
            Takes::All => running.toggle(rule),
            Takes::Only(spans) => boundaries_of(&joined(spans), rule, &mut boundaries),
        }
    }
    boundaries.sort_unstable_by_key(|(key, _)| *key);
    walk(&boundaries, |changed| {
        changed.iter().for_each(|(_, rule)| running.toggle(*rule));
        pages.vector(&running)
    })
}

/// Appends the boundaries of spans: the first value of each, and the first value behind it.
pub(crate) fn boundaries_of<K: Key, T: Copy>(
    spans: &[(K, K)],
    whose: T,
    boundaries: &mut Vec<(K, T)>,
) {
    for (first, last) in spans {
        boundaries.push((*first, whose));
        boundaries.extend(last.next().map(|behind| (behind, whose)));
    }
}

/// Cuts the whole range of values at these boundaries, which are in order. `value` gets the changes at each, from the
/// lowest on, and returns the value of the interval that begins there; neighbours with equal values are one interval.
pub(crate) fn walk<K: Key, T>(
    boundaries: &[(K, T)],
    mut value: impl FnMut(&[(K, T)]) -> Result<u32, Full>,
) -> Result<Vec<(K, u32)>, Full> {
    let at_the_lowest = boundaries.partition_point(|(key, _)| *key == K::default());
    let (lowest, rest) = boundaries.split_at(at_the_lowest);
    let mut intervals = vec![(K::default(), value(lowest)?)];
    for changed in rest.chunk_by(|(a, _), (b, _)| a == b) {
        let value = value(changed)?;
        if let (Some((key, _)), Some((_, before))) = (changed.first(), intervals.last())
            && *before != value
        {
            intervals.push((*key, value));
        }
    }
    Ok(intervals)
}

/// Joins spans into as few as hold the same values, in order.
pub(crate) fn joined<K: Key>(mut spans: Vec<(K, K)>) -> Vec<(K, K)> {
    spans.sort_unstable();
    spans.dedup_by(|(first, last), (_, before)| {
        let touches = before.next().is_none_or(|behind| *first <= behind);
        if touches {
            *before = (*before).max(*last);
        }
        touches
    });
    spans
}
