//! Finder of shadowed rules, which can never match because one before them takes all of their packets.
//!
//! Candidates are the rules that the vectors have at each corner of what the rule takes. Only these are compared in
//! full, so ten thousand rules take milliseconds. A rule that is shadowed by several together is not found.

use crate::compile::{
    Built, CLASS, DESTINATION_PORT, DESTINATION_V4, DESTINATION_V6, INTERFACE, Key, OUT_INTERFACE,
    SOURCE_PORT, SOURCE_V4, SOURCE_V6, Takes, USER, can_be, joined, place, value,
};
use crate::{Addresses, Finding, Rule, RuleKeys};
use firewall_abi::rules::{PAGE_WORDS, Page, Tree};

/// Number of candidates that one rule is compared with, at most.
const COMPARED: usize = 16;
/// Number of spans of a rule whose corners are looked at, in each dimension.
const CORNERS: usize = 4;

pub(crate) fn warnings(file: &str, rules: &[Rule], built: &Built) -> Vec<Finding> {
    let mut found = Vec::new();
    for (number, rule) in rules.iter().enumerate().filter(|(_, rule)| rule.enabled) {
        let candidates = Candidates::of(number, rule, built);
        let by = candidates
            .iter()
            .take(COMPARED)
            .filter_map(|before| rules.get(before));
        let Some(by) = by.into_iter().find(|before| covers(before, rule)) else {
            continue;
        };
        let message = format!(
            "rule `{}` can never match: `{}` (line {}) before it takes all of its packets",
            rule.id, by.id, by.line
        );
        found.push(Finding {
            file: file.to_owned(),
            line: rule.line,
            column: 1,
            message,
        });
    }
    found
}

/// Candidates: the rules before one that take each of its corners, as a vector.
struct Candidates {
    words: Page,
}

impl Candidates {
    fn of(number: usize, rule: &Rule, built: &Built) -> Self {
        let (last, bit) = place(number);
        let mut words = [0; PAGE_WORDS];
        words
            .iter_mut()
            .take(last)
            .for_each(|word| *word = u64::MAX);
        words
            .get_mut(last)
            .into_iter()
            .for_each(|word| *word = (1 << bit) - 1);
        let mut candidates = Self { words };
        let (pages, head) = (&built.pages, &built.head);
        candidates.narrow_by(pages, &built.class, (CLASS.1)(rule));
        for (tree, (_, takes)) in [
            (&head.source_port, SOURCE_PORT),
            (&head.destination_port, DESTINATION_PORT),
            (&head.user, USER),
        ] {
            candidates.narrow_by(pages, tree, takes(rule));
        }
        candidates.narrow_by(pages, &head.interface, (INTERFACE.1)(rule));
        candidates.narrow_by(pages, &head.out_interface, (OUT_INTERFACE.1)(rule));
        if can_be(rule, 4) {
            candidates.narrow_by(pages, &head.source_v4, (SOURCE_V4.1)(rule));
            candidates.narrow_by(pages, &head.destination_v4, (DESTINATION_V4.1)(rule));
        }
        if can_be(rule, 6) {
            candidates.narrow_by(pages, &head.source_v6, (SOURCE_V6.1)(rule));
            candidates.narrow_by(pages, &head.destination_v6, (DESTINATION_V6.1)(rule));
        }
        candidates
    }

    /// Keeps the candidates that take the lowest and the highest value of the first few spans.
    fn narrow_by<K: Key>(&mut self, pages: &[Page], tree: &Tree, takes: Takes<K>) {
        let spans = match takes {
            Takes::All => vec![(K::default(), K::HIGHEST)],
            Takes::Only(spans) => spans,
        };
        for corner in spans
            .into_iter()
            .take(CORNERS)
            .flat_map(|(first, last)| [first, last])
        {
            let Some(vector) = pages.get(value(pages, tree, corner) as usize) else {
                continue;
            };
            self.words
                .iter_mut()
                .zip(vector)
                .for_each(|(word, takers)| *word &= takers);
        }
    }

    fn iter(&self) -> impl Iterator<Item = usize> {
        let rules = self.words.iter().enumerate().skip(place(0).0);
        rules
            .filter(|(_, word)| **word != 0)
            .flat_map(|(at, word)| {
                let first = (at - place(0).0) * 64;
                (0..64)
                    .filter(move |bit| word >> bit & 1 == 1)
                    .map(move |bit| first + bit)
            })
    }
}

/// Returns whether every packet that matches `rule` matches `wide` too. Programs and sets are compared by their names:
/// what is behind a name may change.
fn covers(wide: &Rule, rule: &Rule) -> bool {
    // What is presumed of it is not what it was written for.
    if !wide.presumed.is_empty() {
        return false;
    }
    // One that is off in some networks lets the other decide there. One that allows is off where nothing is known of
    // them, so that tables from before anybody said where the machine is do not have it at all.
    if !wide.networks.named.is_empty() && wide.networks != rule.networks {
        return false;
    }
    let narrow = |takes: fn(&Rule) -> Takes<u32>| within(takes(rule), takes(wide));
    let broad = |takes: fn(&Rule) -> Takes<u128>| within(takes(rule), takes(wide));
    let RuleKeys {
        // By the class,
        direction: _,
        protocols: _,
        sources,
        source_sets,
        destinations,
        destination_sets,
        // and by what the trees of these take.
        source_ports: _,
        ports: _,
        icmp_types: _,
        interfaces: _,
        out_interfaces: _,
        users: _,
        programs,
    } = wide.keys();
    let named = programs.is_empty()
        || !rule.programs.is_empty()
            && rule
                .programs
                .iter()
                .all(|program| programs.iter().any(|other| other.path == program.path));
    named
        && sets_within(&rule.source_sets, (sources, source_sets))
        && sets_within(&rule.destination_sets, (destinations, destination_sets))
        && [CLASS, SOURCE_PORT, DESTINATION_PORT, USER]
            .iter()
            .all(|(_, takes)| narrow(*takes))
        && broad(INTERFACE.1)
        && broad(OUT_INTERFACE.1)
        && (!can_be(rule, 4) || narrow(SOURCE_V4.1) && narrow(DESTINATION_V4.1))
        && (!can_be(rule, 6) || broad(SOURCE_V6.1) && broad(DESTINATION_V6.1))
}

/// Returns whether an end with the addresses and sets of `wide` takes all of `sets`.
fn sets_within(sets: &[u32], (addresses, wide): (&[Addresses], &[u32])) -> bool {
    addresses.is_empty() && wide.is_empty() || sets.iter().all(|set| wide.contains(set))
}

fn within<K: Key>(takes: Takes<K>, wide: Takes<K>) -> bool {
    let Takes::Only(wide) = wide else { return true };
    let spans = match takes {
        Takes::All => vec![(K::default(), K::HIGHEST)],
        Takes::Only(spans) => joined(spans),
    };
    let wide = joined(wide);
    spans.iter().all(|(first, last)| {
        // Spans that are joined neither meet nor touch: one that holds all of it is the one
        // before its first value's end.
        let after = wide.partition_point(|(start, _)| start <= first);
        let before = after.checked_sub(1).and_then(|place| wide.get(place));
        before.is_some_and(|(_, end)| last <= end)
    })
}
