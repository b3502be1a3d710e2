//! Comparison of rules by what others would have done to the history.

use super::judged::Judged;
use super::wish::decide;
use crate::past::{endpoint_words, packet};
use control::HistoryRow;
use firewall_abi::packet::Verdict;
use rules::{Resolver, Rules};
use std::cell::RefCell;
use std::collections::HashMap;
use view::history;

/// Comparison of two sets of rules by the history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// Traffic that they decide otherwise about, the most first.
    pub otherwise: Vec<Otherwise>,
    /// Number of records of which enough was kept to decide about them,
    pub told: u64,
    /// and of those of which it was not.
    pub untold: u64,
    /// `true` if the comparison holds in this network, and may be otherwise in another.
    pub here: bool,
}

/// Traffic that is decided otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Otherwise {
    /// Program, and the endpoint that it talked with.
    pub what: String,
    /// Verdict of the rules before.
    pub before: Verdict,
    /// Verdict of the rules that come.
    pub after: Verdict,
    /// Number of records.
    pub count: u64,
}

/// Compares these rules' verdicts on the history with those of the rules before. A connection's own address and port,
/// and its device, are not kept: the rules decide without them.
pub fn compare(
    before: &Judged,
    after: &Judged,
    rows: &[HistoryRow],
    resolver: &dyn Resolver,
) -> Compared {
    let mut compared = Compared {
        here: asks_where(&before.rules) || asks_where(&after.rules),
        ..Compared::default()
    };
    let resolver = Remembering::new(resolver);
    let mut found: HashMap<(String, u8, u8), u64> = HashMap::new();
    for (row, count) in alike(rows) {
        let Ok(packet) = packet(row) else {
            compared.untold = compared.untold.saturating_add(count);
            continue;
        };
        compared.told = compared.told.saturating_add(count);
        let old = decide(&packet, before, &resolver).verdict;
        let new = decide(&packet, after, &resolver).verdict;
        if old != new {
            let what = format!("{}: {}", history::program(row), endpoint_words(row));
            let sum = found.entry((what, old, new)).or_default();
            *sum = sum.saturating_add(count);
        }
    }
    let otherwise = found
        .into_iter()
        .filter_map(|((what, before, after), count)| {
            Some(Otherwise {
                what,
                before: before.try_into().ok()?,
                after: after.try_into().ok()?,
                count,
            })
        });
    compared.otherwise = otherwise.collect();
    compared
        .otherwise
        .sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.what.cmp(&b.what)));
    compared
}

/// Returns whether rules are on in some networks alone.
fn asks_where(rules: &Rules) -> bool {
    !rules.network_rules().rules.is_empty()
}

/// Returns one row of each kind that rules can tell apart, with the number of its records.
fn alike(rows: &[HistoryRow]) -> impl Iterator<Item = (&HistoryRow, u64)> {
    let mut kinds = HashMap::new();
    for row in rows {
        let ends = (row.remote, row.source, row.port, row.protocol);
        let who = (&row.program, &row.process, row.user);
        let kind = (&row.direction, &row.name, ends, who);
        let (_, count) = kinds.entry(kind).or_insert((row, 0_u64));
        *count = count.saturating_add(row.count);
    }
    kinds.into_values()
}

/// Resolver that looks for each program once.
struct Remembering<'a> {
    resolver: &'a dyn Resolver,
    programs: RefCell<HashMap<String, Option<[u64; 2]>>>,
}

impl<'a> Remembering<'a> {
    fn new(resolver: &'a dyn Resolver) -> Self {
        Self {
            resolver,
            programs: RefCell::default(),
        }
    }
}

impl Resolver for Remembering<'_> {
    fn set_file(&self, path: &str) -> Result<rules::SetFile, String> {
        self.resolver.set_file(path)
    }

    fn fetched(&self, url: &str) -> Result<Option<rules::SetFile>, String> {
        self.resolver.fetched(url)
    }

    fn user(&self, name: &str) -> Result<u32, String> {
        self.resolver.user(name)
    }

    fn program(&self, path: &str) -> Option<[u64; 2]> {
        if let Some(known) = self.programs.borrow().get(path) {
            return *known;
        }
        let found = self.resolver.program(path);
        self.programs.borrow_mut().insert(path.to_owned(), found);
        found
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;
    use crate::changes::model::OneProgram;
    use crate::past::talkers::tests::{curl, ssh};

    fn rules(rules: &str) -> Judged {
        let text = format!("[default]\ninbound = 'block'\noutbound = 'allow'\n\n{rules}");
        let rules = rules::parse("rules.toml", &text, &OneProgram).unwrap();
        Judged::of(rules, &[]).unwrap()
    }

    #[test]
    fn what_was_kept_is_decided_about_by_both_and_what_is_otherwise_is_told_with_how_often() {
        let before =
            rules("[[rule]]\nid = 'ssh'\naction = 'allow'\nports = 22\nprotocol = 'tcp'\n");
        let after =
            rules("[[rule]]\nid = 'no-web'\naction = 'block'\nports = 443\nprotocol = 'tcp'\n");
        let telnet = HistoryRow {
            program: Some("/usr/bin/telnet".to_owned()),
            port: Some(23),
            ..curl(5)
        };
        let ping = HistoryRow {
            protocol: 1,
            port: None,
            ..curl(6)
        };
        let rows = [curl(1), curl(60), curl(120), ssh(2), telnet.clone(), ping];
        let compared = compare(&before, &after, &rows, &OneProgram);
        let said: Vec<_> = compared.otherwise.iter().collect();
        let told = |what: &str, before, after, count| Otherwise {
            what: what.to_owned(),
            before,
            after,
            count,
        };
        assert_eq!(
            said,
            [
                &told(
                    "/usr/bin/curl: example.org, tcp 443",
                    Verdict::Allow,
                    Verdict::Block,
                    3
                ),
                &told(
                    "/usr/sbin/sshd: from 2001:db8::5, tcp 22",
                    Verdict::Allow,
                    Verdict::Block,
                    2
                ),
            ]
        );
        assert_eq!((compared.told, compared.untold), (6, 1));
        let of_telnet = rules(
            "[[rule]]\nid = 'no'\naction = 'block'\nprogram = '/usr/bin/telnet'\ndirection = 'out'\n",
        );
        let compared = compare(&rules(""), &of_telnet, &[telnet, curl(1)], &OneProgram);
        assert_eq!(
            compared.otherwise.len(),
            1,
            "a program is looked up: {compared:?}"
        );
    }
}
