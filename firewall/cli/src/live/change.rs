//! Changes from one rule file to another.

use crate::rule_file::{RuleFile, default_name};
use firewall_abi::packet::Direction;
use rules::words::network_names;
use rules::{DefaultAction, Network, Rule, RuleNetworks, Rules};
use std::collections::{BTreeMap, BTreeSet};

/// One line for each difference that matters to a packet; none if nothing changes for any.
pub fn changes(old: &RuleFile, new: &RuleFile) -> Vec<String> {
    let mut lines = defaults(old, new);
    let (before, after) = (by_name(old), by_name(new));
    for (id, rule) in &after {
        match before.get(id) {
            None => lines.push(format!("+ rule `{id}` ({})", new.place(rule))),
            Some(was) if !same((was, &old.rules), (rule, &new.rules)) => {
                lines.push(format!("~ rule `{id}` ({})", new.place(rule)))
            }
            Some(_) => {}
        }
    }
    lines.extend(networks(old, new));
    let gone = before.iter().filter(|(id, _)| !after.contains_key(*id));
    lines.extend(gone.map(|(id, rule)| format!("- rule `{id}` ({})", old.place(rule))));
    let kept: BTreeSet<_> = before
        .keys()
        .filter(|id| after.contains_key(*id))
        .copied()
        .collect();
    if !order(old, &kept).eq(order(new, &kept)) {
        lines.push("~ the order in which rules are tried".to_owned());
    }
    lines
}

fn defaults(old: &RuleFile, new: &RuleFile) -> Vec<String> {
    let changed = |direction| {
        let (was, is) = (
            old.rules.default_for(direction),
            new.rules.default_for(direction),
        );
        let said = |default: DefaultAction| {
            format!(
                "{}, {}",
                default.action.name(),
                if default.log {
                    "reported"
                } else {
                    "not reported"
                }
            )
        };
        (was != is).then(|| {
            format!(
                "~ {}: {} instead of {}",
                default_name(direction),
                said(is),
                said(was)
            )
        })
    };
    Direction::ALL.into_iter().filter_map(changed).collect()
}

fn by_name(file: &RuleFile) -> BTreeMap<&str, &Rule> {
    file.rules
        .iter()
        .map(|rule| (rule.id.as_str(), rule))
        .collect()
}

fn order<'a>(file: &'a RuleFile, kept: &'a BTreeSet<&str>) -> impl Iterator<Item = &'a str> {
    file.rules
        .iter()
        .map(|rule| rule.id.as_str())
        .filter(|id| kept.contains(id))
}

/// The networks that are known by something else.
fn networks(old: &RuleFile, new: &RuleFile) -> Vec<String> {
    let same = |was: &Network, is: &Network| {
        Network {
            line: is.line,
            comment: is.comment.clone(),
            ..was.clone()
        } == *is
    };
    let changed = new.rules.networks().filter(|is| {
        let mut before = old.rules.networks();
        before.any(|was| was.id == is.id && !same(was, is))
    });
    changed
        .map(|network| {
            let name = new.shown_name();
            format!("~ network `{}` ({name}:{})", network.id, network.line)
        })
        .collect()
}

/// Returns whether two rules are equal but for their lines, and for the places of the networks that they name.
fn same((was, old): (&Rule, &Rules), (is, new): (&Rule, &Rules)) -> bool {
    Rule {
        line: is.line,
        networks: RuleNetworks {
            named: is.networks.named.clone(),
            ..was.networks
        },
        effect: is.effect,
        ..was.clone()
    } == *is
        && network_names(was, old) == network_names(is, new)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

    use super::*;

    fn file(inbound: &str, rules: &[(&str, &str)]) -> RuleFile {
        let mut text = format!("[default]\ninbound = '{inbound}'\noutbound = 'allow'\n");
        for (id, action) in rules {
            text += &format!("[[rule]]\nid = '{id}'\naction = '{action}'\nprotocol = 'tcp'\n");
        }
        RuleFile::parse("f", &text, &rules::NoResolver)
            .unwrap_or_else(|errors| panic!("{errors:?}"))
    }

    #[test]
    fn each_difference_that_matters_is_named_and_no_other() {
        let old = file(
            "block",
            &[
                ("a", "allow"),
                ("b", "block"),
                ("c", "block"),
                ("d", "block"),
            ],
        );
        let new = file(
            "allow",
            &[
                ("e", "allow"),
                ("a", "block"),
                ("d", "block"),
                ("c", "block"),
            ],
        );
        let expected = [
            "~ the default for in: allow, not reported instead of block, reported",
            "~ the default for forward: allow, not reported instead of block, reported",
            "~ rule `a` (f:9)",
            "+ rule `e` (f:5)",
            "- rule `b` (f:9)",
            "~ the order in which rules are tried",
        ];
        assert_eq!(changes(&old, &new), expected);
    }

    #[test]
    fn a_network_that_is_known_by_something_else_is_a_change_and_one_further_down_is_none() {
        let file = |networks: &str, asked: &str| {
            let rule = format!("[[rule]]\nid = 'a'\naction = 'allow'\nnetwork = '{asked}'\n");
            let text =
                format!("[default]\ninbound = 'block'\noutbound = 'block'\n{networks}{rule}");
            RuleFile::parse("f", &text, &rules::NoResolver)
                .unwrap_or_else(|errors| panic!("{errors:?}"))
        };
        let home = "[[network]]\nid = 'home'\ngateway = '192.0.2.1'\n";
        let work = "[[network]]\nid = 'work'\ngateway = '192.0.2.9'\n";
        let other = home.replace("192.0.2.1", "192.0.2.2");
        let old = file(&format!("{home}{work}"), "home");
        let same = file(&format!("{work}{home}"), "home");
        assert_eq!(changes(&old, &same), Vec::<String>::new());
        let asked = file(&format!("{work}{home}"), "!home");
        assert_eq!(changes(&old, &asked), ["~ rule `a` (f:11)"]);
        let asked = file(&format!("{work}{home}"), "work");
        assert_eq!(changes(&old, &asked), ["~ rule `a` (f:11)"]);
        let known = file(&format!("{work}{other}"), "home");
        assert_eq!(changes(&old, &known), ["~ network `home` (f:8)"]);
    }

    #[test]
    fn a_line_further_down_is_no_change() {
        let old = file("block", &[("a", "allow"), ("b", "block")]);
        let new = file("block", &[("b", "block")]);
        assert_eq!(changes(&old, &new), ["- rule `a` (f:5)"]);
        assert_eq!(changes(&old, &old), Vec::<String>::new());
    }
}
