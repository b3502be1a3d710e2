//! Rules that can never match.
//!
//! A rule is found shadowed if for each of its rows some earlier row takes all that it could. That several earlier
//! rows take it together is not found.

use crate::compile::rows;
use crate::{Finding, Rule};
use contract::rules::{PortRange, RuleRow};

pub(crate) fn warnings(file: &str, rules: &[Rule]) -> Vec<Finding> {
    let mut earlier: Vec<RuleRow> = Vec::new();
    let mut found = Vec::new();
    for (number, rule) in (0..).zip(rules) {
        let own = rows(number, rule);
        if let Some(by) = shadowing(&own, &earlier, rules) {
            let message =
                format!("rule `{}` can never match: {by} before it takes all of its packets", rule.id);
            found.push(Finding { file: file.to_owned(), line: rule.line, column: 1, message });
        }
        earlier.extend(own);
    }
    found
}

/// Names the rules that take all that these rows could match, if they do.
fn shadowing(own: &[RuleRow], earlier: &[RuleRow], rules: &[Rule]) -> Option<String> {
    let mut by: Vec<u32> = Vec::new();
    for row in own {
        by.push(earlier.iter().find(|other| covers(other, row))?.rule);
    }
    by.dedup();
    let names = by.iter().filter_map(|n| rules.get(usize::try_from(*n).ok()?));
    let names: Vec<_> = names.map(|rule| format!("`{}` (line {})", rule.id, rule.line)).collect();
    (!names.is_empty()).then(|| names.join(" and "))
}

/// Whether every packet that matches `row` matches `wide` too.
fn covers(wide: &RuleRow, row: &RuleRow) -> bool {
    prefix_covers((wide.source, wide.source_mask), (row.source, row.source_mask))
        && prefix_covers((wide.destination, wide.destination_mask), (row.destination, row.destination_mask))
        && range_covers(wide.source_ports, row.source_ports)
        && range_covers(wide.destination_ports, row.destination_ports)
        && wide.directions & row.directions == row.directions
        && wide.versions & row.versions == row.versions
        && (wide.protocol_mask == 0 || row.protocol_mask != 0 && wide.protocol == row.protocol)
        && wide.asks_ports <= row.asks_ports
}

fn prefix_covers((wide, wide_mask): ([u64; 2], [u64; 2]), (prefix, mask): ([u64; 2], [u64; 2])) -> bool {
    wide.iter().zip(wide_mask).zip(prefix.iter().zip(mask)).all(|((wide, wide_mask), (prefix, mask))| {
        wide_mask & mask == wide_mask && prefix & wide_mask == *wide
    })
}

fn range_covers(wide: PortRange, range: PortRange) -> bool {
    wide.first <= range.first && range.last <= wide.last
}
