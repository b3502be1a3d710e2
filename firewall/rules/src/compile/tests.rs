//! Tests of the layout, as the engine reads it.
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use super::sweep::joined;
use super::tree::{Key, lay, value};
use super::vectors::{Pages, Running};
use super::write_head;
use engine::{Parsed, Row, Shape, Slices, classify};
use firewall_abi::packet::{Direction, PacketHeaders, PacketMeta};
use firewall_abi::rules::{
    BLOCK, Head, MAX_LEVELS, NARROW_LEAF, NEEDS_PROGRAM, NEEDS_USER, NO_SETS, Outcome,
    PAGE_NUMBERS, PAGE_WORDS, Page, Tree, WIDE_LEAF,
};

/// Number of rules that the intervals cycle through: a prime, so that no block is as long.
const RULES: usize = 251;

const SIZES: [usize; 13] = [1, 2, 7, 8, 9, 15, 16, 17, 64, 65, 256, 257, 65_537];

/// Makes pages with a vector for each rule alone, then one for all of them.
fn vectors() -> (Pages, Vec<u32>, u32) {
    let mut pages = Pages::new();
    let mut all = Running::empty();
    let mut alone = Vec::new();
    for rule in 0..RULES {
        let mut one = Running::empty();
        one.toggle(rule);
        all.toggle(rule);
        alone.push(pages.vector(&one).unwrap());
    }
    let all = pages.vector(&all).unwrap();
    (pages, alone, all)
}

/// Generation whose rules ask for users or programs only, by these trees, for asking the engine which rule it finds.
struct Searched {
    pages: Vec<Page>,
}

impl Searched {
    fn new(mut pages: Pages, all: u32, tree: Tree, needs: u32) -> Self {
        let any = lay(&mut pages, &[(0_u32, all)]).unwrap();
        let wide = lay(&mut pages, &[(0_u128, all)]).unwrap();
        let classes = super::numbers(&mut pages, firewall_abi::rules::CLASSES, |_| all).unwrap();
        let outcomes = super::numbers(&mut pages, RULES, |_| Outcome::new(1, false).0).unwrap();
        let head = Head {
            generation: 1,
            rules: RULES as u32,
            pages: pages.count(),
            sets: NO_SETS,
            needs,
            classes,
            outcomes,
            no_ports: all,
            source_v4: any,
            destination_v4: any,
            source_port: any,
            destination_port: any,
            user: if needs == NEEDS_USER { tree } else { any },
            source_v6: wide,
            destination_v6: wide,
            program: if needs == NEEDS_PROGRAM { tree } else { wide },
            interface: wide,
            ..Head::default()
        };
        let mut pages = pages.pages;
        write_head(&mut pages, head);
        Self { pages }
    }

    fn rule(&self, local: PacketMeta) -> usize {
        let flow = PacketHeaders {
            ip_version: 4,
            direction: Direction::Inbound as u8,
            ..PacketHeaders::default()
        };
        let tables = Slices {
            rules: Row(&self.pages),
            sets: Row(&[]),
        };
        classify(
            &Parsed {
                flow,
                shape: Shape::Whole,
            },
            &local,
            &tables,
        )
        .rule as usize
    }

    fn user(&self, user: u32) -> usize {
        self.rule(PacketMeta {
            user,
            ..PacketMeta::UNKNOWN
        })
    }

    fn program(&self, program: u128) -> usize {
        self.rule(PacketMeta {
            program: [(program >> 64) as u64, program as u64],
            ..PacketMeta::UNKNOWN
        })
    }
}

/// Makes so many intervals, each with another rule than its neighbours.
fn intervals<K: Key>(count: usize, alone: &[u32], key: impl Fn(usize) -> K) -> Vec<(K, u32)> {
    (0..count)
        .map(|n| (if n == 0 { K::default() } else { key(n) }, alone[n % RULES]))
        .collect()
}

#[test]
fn every_boundary_of_a_tree_with_32_bit_keys_is_found() {
    for count in SIZES {
        let (mut pages, alone, all) = vectors();
        // The last interval begins at the highest value there is.
        let key = |n: usize| {
            if n + 1 == count {
                u32::MAX
            } else {
                n as u32 * 60_000
            }
        };
        let tree = lay(&mut pages, &intervals(count, &alone, key)).unwrap();
        assert_eq!(tree.intervals as usize, count);
        assert!(
            BLOCK.pow(tree.levels) * NARROW_LEAF >= count && (tree.levels as usize) < MAX_LEVELS
        );
        let searched = Searched::new(pages, all, tree, NEEDS_USER);
        for n in 1..count {
            let at = [key(n) - 1, key(n), key(n).saturating_add(1)].map(|user| searched.user(user));
            assert_eq!(
                at,
                [(n - 1) % RULES, n % RULES, n % RULES],
                "{n} of {count}"
            );
        }
        assert_eq!(
            (searched.user(0), searched.user(u32::MAX)),
            (0, (count - 1) % RULES),
            "{count}"
        );
    }
}

#[test]
fn every_boundary_of_a_tree_with_128_bit_keys_is_found() {
    for count in SIZES {
        let (mut pages, alone, all) = vectors();
        // Some differ in the higher word, some in the lower one alone.
        let key = |n: usize| {
            if n + 1 == count {
                u128::MAX
            } else {
                (n as u128 / 3) << 64 | (n as u128 % 3 + 1) << 62
            }
        };
        let tree = lay(&mut pages, &intervals(count, &alone, key)).unwrap();
        assert!(BLOCK.pow(tree.levels) * WIDE_LEAF >= count && (tree.levels as usize) < MAX_LEVELS);
        let searched = Searched::new(pages, all, tree, NEEDS_PROGRAM);
        for n in 1..count {
            let at = [key(n) - 1, key(n), key(n).saturating_add(1)]
                .map(|program| searched.program(program));
            assert_eq!(
                at,
                [(n - 1) % RULES, n % RULES, n % RULES],
                "{n} of {count}"
            );
        }
        assert_eq!(
            (searched.program(0), searched.program(u128::MAX)),
            (0, (count - 1) % RULES),
            "{count}"
        );
    }
}

#[test]
fn what_is_left_of_a_block_is_the_highest_key_and_values_stand_beside_their_keys() {
    let mut pages = Pages::new();
    let intervals: Vec<(u32, u32)> = (0..17).map(|n| (n * 10, n + 1)).collect();
    let tree = lay(&mut pages, &intervals).unwrap();
    assert_eq!((tree.levels, tree.intervals), (1, 17));
    let pages = pages.pages;
    let top: &[u32; PAGE_NUMBERS] = zerocopy::transmute_ref!(&pages[tree.starts[0] as usize]);
    assert_eq!(
        (top[0], top[1], top[2], top[15]),
        (0, 160, u32::MAX, u32::MAX)
    );
    let leaves: &[u32; PAGE_NUMBERS] = zerocopy::transmute_ref!(&pages[tree.leaves as usize]);
    assert_eq!(
        (leaves[0], leaves[15], leaves[16], leaves[31]),
        (0, 150, 1, 16)
    );
    assert_eq!(
        (leaves[32], leaves[33], leaves[47], leaves[48], leaves[49]),
        (160, u32::MAX, u32::MAX, 17, 0)
    );
}

#[test]
fn our_own_look_up_finds_what_the_engine_finds() {
    for count in SIZES.into_iter().take(12) {
        let (mut pages, alone, all) = vectors();
        let key = |n: usize| n as u32 * 7;
        let tree = lay(&mut pages, &intervals(count, &alone, key)).unwrap();
        let searched = Searched::new(pages, all, tree, NEEDS_USER);
        for user in (0..count as u32 * 7 + 20).chain([u32::MAX - 1, u32::MAX]) {
            let ours = value(&searched.pages, &tree, user);
            assert_eq!(
                alone.iter().position(|vector| *vector == ours),
                Some(searched.user(user))
            );
        }
    }
}

#[test]
fn a_vector_is_kept_once_and_its_summary_names_its_words() {
    let mut pages = Pages::new();
    let mut vector = Running::empty();
    let none = pages.vector(&vector).unwrap();
    for rule in [0, 63, 64, 16_127] {
        vector.toggle(rule);
    }
    let some = pages.vector(&vector).unwrap();
    let page = &pages.pages[some as usize];
    assert_eq!((page[4], page[5], page[255]), (1 | 1 << 63, 1, 1 << 63));
    assert_eq!(page[..4], [1 << 4 | 1 << 5, 0, 0, 1 << 63]);
    for rule in [0, 63, 64, 16_127] {
        vector.toggle(rule);
    }
    assert_eq!((pages.vector(&vector), pages.count()), (Ok(none), 3));
    assert_eq!(pages.pages[none as usize], [0; PAGE_WORDS]);
}

#[test]
fn spans_that_meet_or_touch_are_one() {
    let spans = vec![
        (7, 9),
        (0, 3),
        (4, 5),
        (8, 20),
        (30, u32::MAX),
        (40, 50),
        (22, 22),
    ];
    assert_eq!(joined(spans), [(0, 5), (7, 20), (22, 22), (30, u32::MAX)]);
    assert_eq!(joined(Vec::<(u128, u128)>::new()), []);
}
