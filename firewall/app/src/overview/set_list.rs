//! List of the sets of the rules in force, for a page.

use control::RuleText;
use rules::{FETCHED, Finding, Rule, Rules, Set, copy_name};
use std::path::Path;
use std::time::UNIX_EPOCH;
use view::text;

/// Row of one set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SetRow {
    /// Name of the set.
    pub id: String,
    /// Sources of the set: the rule file, a file of its own, a list that is fetched, names.
    pub from: String,
    /// Number of entries in the set, those of its file too.
    pub entries: usize,
    /// Time of the last change of the set's file, or of the copy of its list, in seconds since 1970, if it has one that
    /// can be seen from here.
    pub changed: Option<u64>,
    /// Names of the rules that ask for the set.
    pub rules: Vec<String>,
    /// Reason for which it is not known what the set's file holds.
    pub trouble: Option<String>,
    /// Errors in the set's file, each with its place.
    pub refused: Vec<String>,
    /// Comment of the set.
    pub comment: Option<String>,
}

/// Lists the sets in the order of the file.
pub fn sets(rules: &Rules, text: &RuleText) -> Vec<SetRow> {
    let rows = rules.sets().zip(0..);
    rows.map(|(set, number)| row(set, number, rules, text))
        .collect()
}

fn row(set: &Set, number: u32, rules: &Rules, text: &RuleText) -> SetRow {
    let asks = |rule: &&Rule| {
        let mut sets = rule.source_sets.iter().chain(&rule.destination_sets);
        sets.any(|asked| *asked == number)
    };
    let fetched = set.subscription.as_ref();
    let place = set.file.as_ref().map(|file| text.folder.join(file));
    let place = place.or_else(|| Some(Path::new(FETCHED).join(copy_name(&fetched?.url))));
    let changed = place.as_ref().and_then(|place| {
        let changed = place.metadata().ok()?.modified().ok()?;
        Some(changed.duration_since(UNIX_EPOCH).ok()?.as_secs())
    });
    let name = fetched.map(|list| list.shown().to_owned());
    let name = name.or_else(|| place.map(|place| place.display().to_string()));
    let of_its_file = |finding: &&Finding| Some(&finding.file) == name.as_ref();
    SetRow {
        id: set.id.clone(),
        from: from(set),
        entries: set.entries,
        changed,
        rules: rules
            .iter()
            .filter(asks)
            .map(|rule| rule.id.clone())
            .collect(),
        trouble: set.trouble.clone(),
        refused: rules
            .warnings()
            .iter()
            .filter(of_its_file)
            .map(|finding| text!("sets-line", line = finding.line, what = &finding.message))
            .collect(),
        comment: set.comment.clone(),
    }
}

fn from(set: &Set) -> String {
    let mut parts: Vec<_> = set.file.iter().cloned().collect();
    parts.extend(set.subscription.iter().map(|list| list.shown().to_owned()));
    parts.extend(set.names.iter().map(ToString::to_string));
    if parts.is_empty() {
        return text!("sets-rule-file");
    }
    parts.join(", ")
}
