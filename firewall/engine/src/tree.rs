//! Searching a tree: which interval a key lies in, and what that interval's value is.
//!
//! No branch depends on a key: a processor mispredicts nothing, and a verifier follows each level once, whatever the
//! keys are. Two things would spoil that. Compilers know comparisons when they see them, and eBPF has none without a
//! branch; and a verifier keeps the states apart in which it knows the result's bounds. [`Tree::opaque_zero`] keeps
//! both from knowing: it is 0, but only in the table.

use crate::tables::Pages;
use firewall_abi::rules::{
    BLOCK, MAX_LEVELS, NARROW_LEAF, NARROW_LEAVES, NarrowLeaf, PAGE_NUMBERS, PAGE_WORDS, Tree,
    WIDE_LEAF, WIDE_LEAVES, WideLeaf, WideLeaves,
};

/// Blocks of 32-bit keys in a page.
const NARROW_BLOCKS: u64 = (PAGE_NUMBERS / BLOCK) as u64;
/// Blocks of 128-bit keys in a page.
const WIDE_BLOCKS: u64 = (PAGE_WORDS / 2 / BLOCK) as u64;

/// Value that stands for one which the table does not have. There is no page with this number, and no class.
pub(crate) const NOWHERE: u32 = u32::MAX;

/// The value of the interval that a 32-bit key lies in; [`NOWHERE`] if the table has none.
#[inline(always)]
pub(crate) fn narrow<P: Pages>(pages: &P, tree: &Tree, key: u32) -> u32 {
    if tree.intervals == 1 {
        tree.leaves
    } else {
        search_narrow(pages, tree, key)
    }
}

/// The value of the interval that a 128-bit key, of two big-endian words, lies in; [`NOWHERE`] if the table has none.
#[inline(always)]
pub(crate) fn wide<P: Pages>(pages: &P, tree: &Tree, high: u64, low: u64) -> u32 {
    if tree.intervals == 1 {
        tree.leaves
    } else {
        search_wide(pages, tree, high, low)
    }
}

/// Searches the tree of 32-bit keys. Out of line, as is [`search_wide`]: what they need of eBPF's small stack they need
/// one after the other.
#[inline(never)]
fn search_narrow<P: Pages>(pages: &P, tree: &Tree, key: u32) -> u32 {
    if key == u32::MAX {
        last_narrow(pages, tree)
    } else {
        find_narrow(pages, tree, key)
    }
    .unwrap_or(NOWHERE)
}

#[inline(never)]
fn search_wide<P: Pages>(pages: &P, tree: &Tree, high: u64, low: u64) -> u32 {
    if high & low == u64::MAX {
        last_wide(pages, tree)
    } else {
        find_wide(pages, tree, [high, low])
    }
    .unwrap_or(NOWHERE)
}

#[inline(always)]
fn find_narrow<P: Pages>(pages: &P, tree: &Tree, key: u32) -> Option<u32> {
    let opaque_zero = tree.opaque_zero;
    let mut block = 0_u64;
    let mut level = 0;
    while level < MAX_LEVELS && level as u32 != tree.levels {
        let page = pages.page(tree.starts[level].wrapping_add((block / NARROW_BLOCKS) as u32))?;
        let keys: &[[u32; BLOCK]; NARROW_BLOCKS as usize] = zerocopy::transmute_ref!(page);
        let keys = &keys[(block & (NARROW_BLOCKS - 1)) as usize];
        block = (block * BLOCK as u64 + narrow_within(keys, key, opaque_zero)) ^ opaque_zero;
        level += 1;
    }
    let NarrowLeaf { keys, values } = narrow_leaf(pages, tree, block)?;
    Some(values[narrow_within(keys, key, opaque_zero) as usize])
}

#[inline(always)]
fn find_wide<P: Pages>(pages: &P, tree: &Tree, key: [u64; 2]) -> Option<u32> {
    let opaque_zero = tree.opaque_zero;
    let mut block = 0_u64;
    let mut level = 0;
    while level < MAX_LEVELS && level as u32 != tree.levels {
        let page = pages.page(tree.starts[level].wrapping_add((block / WIDE_BLOCKS) as u32))?;
        let keys: &[[[u64; 2]; BLOCK]; WIDE_BLOCKS as usize] = zerocopy::transmute_ref!(page);
        let keys = &keys[(block & (WIDE_BLOCKS - 1)) as usize];
        block = (block * BLOCK as u64 + wide_within(keys, key, opaque_zero)) ^ opaque_zero;
        level += 1;
    }
    let WideLeaf { keys, values } = wide_leaf(pages, tree, block)?;
    Some(values[wide_within(keys, key, opaque_zero) as usize])
}

/// The highest key lies in the last interval. It is not looked for: keys that fill up a block are as high.
#[inline(always)]
fn last_narrow<P: Pages>(pages: &P, tree: &Tree) -> Option<u32> {
    let last = u64::from(tree.intervals.wrapping_sub(1));
    let leaf = narrow_leaf(pages, tree, last / NARROW_LEAF as u64)?;
    Some(leaf.values[(last & (NARROW_LEAF as u64 - 1)) as usize])
}

#[inline(always)]
fn last_wide<P: Pages>(pages: &P, tree: &Tree) -> Option<u32> {
    let last = u64::from(tree.intervals.wrapping_sub(1));
    let leaf = wide_leaf(pages, tree, last / WIDE_LEAF as u64)?;
    Some(leaf.values[(last & (WIDE_LEAF as u64 - 1)) as usize])
}

#[inline(always)]
fn narrow_leaf<'a, P: Pages>(pages: &'a P, tree: &Tree, number: u64) -> Option<&'a NarrowLeaf> {
    const IN_A_PAGE: u64 = NARROW_LEAVES as u64;
    let page = pages.page(tree.leaves.wrapping_add((number / IN_A_PAGE) as u32))?;
    let leaves: &[NarrowLeaf; NARROW_LEAVES] = zerocopy::transmute_ref!(page);
    Some(&leaves[(number & (IN_A_PAGE - 1)) as usize])
}

#[inline(always)]
fn wide_leaf<'a, P: Pages>(pages: &'a P, tree: &Tree, number: u64) -> Option<&'a WideLeaf> {
    let at = twelfth(number);
    let page = pages.page(tree.leaves.wrapping_add(at as u32))?;
    let WideLeaves { leaves, .. } = zerocopy::transmute_ref!(page);
    leaves.get(number.wrapping_sub(at * WIDE_LEAVES as u64) as usize)
}

/// A number of 32 bits by [`WIDE_LEAVES`], which is no power of two: processors divide slowly, and eBPF's compiler does
/// not know this way round it (Warren, Hacker's Delight, 10-9).
#[inline(always)]
fn twelfth(number: u64) -> u64 {
    const { assert!(WIDE_LEAVES == 12) };
    number.wrapping_mul(0xAAAA_AAAB) >> 35
}

/// Returns the index of the last of a block's keys that is not above `key`. The first key never is.
#[inline(always)]
fn narrow_within<const N: usize>(keys: &[u32; N], key: u32, opaque_zero: u64) -> u64 {
    within::<N>(opaque_zero, |at| {
        borrow(key.into(), keys[at].into(), opaque_zero)
    })
}

/// Returns the index of the last of a block's keys that is not above `key`. The first key never is.
#[inline(always)]
fn wide_within<const N: usize>(keys: &[[u64; 2]; N], key: [u64; 2], opaque_zero: u64) -> u64 {
    within::<N>(opaque_zero, |at| {
        let [high, low] = keys[at];
        borrow(key[0], high, borrow(key[1], low, opaque_zero))
    })
}

/// Halves `N`, a power of two, until one is left. `is_above` says of a key by a 1 that it lies
/// above the one that is looked for.
///
/// What it says passes through `opaque_zero`: a compiler that knows it for 0 or 1 makes a branch of it again.
#[inline(always)]
fn within<const N: usize>(opaque_zero: u64, is_above: impl Fn(usize) -> u64) -> u64 {
    const { assert!(N.is_power_of_two()) };
    let most = N as u64 - 1;
    let (mut at, mut step) = (0, N as u64 / 2);
    while step != 0 {
        let is_not = 1_u64.wrapping_sub(is_above(((at + step) & most) as usize) ^ opaque_zero);
        at = at.wrapping_add(step.wrapping_mul(is_not)) & most;
        step /= 2;
    }
    at
}

/// Returns the borrow of `a - b - carried` from the next digit: 1 if `a < b + carried`, else 0. Where the highest bits
/// differ it is that of `b`, where they are alike that of the difference (Warren, Hacker's Delight, 2-13).
#[inline(always)]
fn borrow(a: u64, b: u64, carried: u64) -> u64 {
    let difference = a.wrapping_sub(b).wrapping_sub(carried);
    (difference ^ (a ^ b) & (b ^ difference)) >> 63
}

#[cfg(test)]
mod tests {
    use super::*;

    const CORNERS: [u64; 8] = [
        0,
        1,
        2,
        1 << 31,
        (1 << 32) - 1,
        1 << 63,
        u64::MAX - 1,
        u64::MAX,
    ];

    #[test]
    fn a_comparison_without_a_branch_is_one() {
        for a in CORNERS {
            for b in CORNERS {
                assert_eq!(
                    (borrow(a, b, 0), borrow(a, b, 1)),
                    (u64::from(a < b), u64::from(a <= b)),
                    "{a} {b}"
                );
            }
        }
    }

    #[test]
    fn a_twelfth_is_one_of_every_size() {
        let corners = (0..100)
            .chain([1 << 31, (1 << 32) - 1])
            .flat_map(|n: u64| [n, n ^ 0x5555, n / 12 * 12]);
        assert!(corners.into_iter().all(|n| twelfth(n) == n / 12));
    }

    #[test]
    fn the_last_key_that_is_not_above_is_found() {
        let keys: [u32; NARROW_LEAF] = std::array::from_fn(|n| n as u32 * 10);
        for key in 0..200 {
            let last = keys
                .iter()
                .rposition(|k| *k <= key)
                .expect("the first is 0");
            assert_eq!(narrow_within(&keys, key, 0), last as u64);
        }
        let keys: [[u64; 2]; WIDE_LEAF] = std::array::from_fn(|n| [n as u64 / 3, n as u64 % 3 * 7]);
        for key in (0..4).flat_map(|high| CORNERS.map(|low| [high, low])) {
            let last = keys
                .iter()
                .rposition(|k| *k <= key)
                .expect("the first is 0");
            assert_eq!(wide_within(&keys, key, 0), last as u64);
        }
    }
}
