//! The rules in force as a page lists them.

use super::set_list::{self, SetRow};
use control::RuleText;
use firewall_abi::packet::{Direction, Verdict};
use rules::{Finding, NetworkRules, Resolver, Rule, Rules, document};

/// Rules in the order in which they are tried.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleList {
    /// Their generation.
    pub generation: u32,
    /// The rule file.
    pub file: String,
    /// One for each rule.
    pub rows: Vec<RuleRow>,
    /// Its sets.
    pub sets: Vec<SetRow>,
    /// Its networks, and which of its rules ask for them.
    pub networks: NetworkRules,
    /// What becomes of what no rule takes.
    pub defaults: Vec<DefaultRow>,
    /// What is suspicious or can't be had, and is no rule's.
    pub remarks: Vec<String>,
    /// Why they can't be listed.
    pub unreadable: Option<String>,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleRow {
    /// Its name.
    pub id: String,
    /// The line of the file that it stands on.
    pub line: usize,
    /// What becomes of what it takes.
    pub action: Verdict,
    /// What it takes.
    pub words: String,
    /// Whether it is tried at all.
    pub enabled: bool,
    /// Whether what it takes is reported.
    pub log: bool,
    /// Why it can never match.
    pub covered: Option<String>,
    /// What it is for.
    pub comment: Option<String>,
    /// As it stands in the file, with the comments above it.
    pub text: String,
}

/// A default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DefaultRow {
    /// Of what goes this way.
    pub direction: Direction,
    /// What becomes of it.
    pub action: Verdict,
    /// Whether it is reported.
    pub log: bool,
}

impl RuleList {
    /// The rules of a text.
    pub fn of(text: &RuleText, resolver: &dyn Resolver) -> Self {
        let none = Self {
            generation: text.generation,
            file: text.file.display().to_string(),
            ..Self::default()
        };
        let Some(rules) = &text.text else {
            let unreadable = view::text!("rules-no-text");
            return Self {
                unreadable: Some(unreadable),
                ..none
            };
        };
        match rules::parse(&none.file, rules, resolver) {
            Ok(rules) => Self {
                sets: set_list::sets(&rules, text),
                networks: rules.network_rules(),
                rows: rules.iter().map(|rule| row(rule, &rules, text)).collect(),
                defaults: Direction::ALL.map(|way| default(way, &rules)).into(),
                remarks: remarks(&rules),
                ..none
            },
            Err(errors) => Self {
                unreadable: Some(format!("{}\n{errors}", view::text!("rules-unreadable"))),
                ..none
            },
        }
    }
}

fn row(rule: &Rule, rules: &Rules, text: &RuleText) -> RuleRow {
    let file = text.text.as_deref().unwrap_or_default();
    let mut warnings = rules.warnings().iter();
    let covered = warnings.find(|warning| is_of(warning, rule));
    RuleRow {
        id: rule.id.clone(),
        line: rule.line,
        action: rule.action,
        words: view::rule::takes(rule, rules),
        enabled: rule.enabled,
        log: rule.log,
        covered: covered.map(|warning| warning.message.clone()),
        comment: rule.comment.clone(),
        text: document::rule_text(file, &rule.id)
            .map_or_else(|_| String::new(), |(_, text)| text.to_owned()),
    }
}

/// Whether a warning says that this rule can never match.
fn is_of(warning: &Finding, rule: &Rule) -> bool {
    warning.line == rule.line && warning.message.contains("can never match")
}

fn default(direction: Direction, rules: &Rules) -> DefaultRow {
    let default = rules.default_for(direction);
    DefaultRow {
        direction,
        action: default.action,
        log: default.log,
    }
}

fn remarks(rules: &Rules) -> Vec<String> {
    let others = rules
        .warnings()
        .iter()
        .filter(|warning| !rules.iter().any(|rule| is_of(warning, rule)));
    let all = rules.troubles().iter().chain(others);
    all.map(ToString::to_string).collect()
}
