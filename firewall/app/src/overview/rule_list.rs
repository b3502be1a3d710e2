//! List of the rules in force, for a page.

use super::set_list::{self, SetRow};
use control::RuleText;
use firewall_abi::packet::{Direction, Verdict};
use rules::{Finding, NetworkRules, Resolver, Rule, Rules, document};

/// List of rules in the order in which they are tried.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleList {
    /// Generation of the rules.
    pub generation: u32,
    /// Path of the rule file.
    pub file: String,
    /// Rows, one for each rule.
    pub rows: Vec<RuleRow>,
    /// Sets of the rules.
    pub sets: Vec<SetRow>,
    /// Networks of the rules, and the rules that ask for them.
    pub networks: NetworkRules,
    /// Defaults for what no rule takes.
    pub defaults: Vec<DefaultRow>,
    /// Warnings about what is suspicious or can't be had, and is no rule's.
    pub remarks: Vec<String>,
    /// Reason for which the rules can't be listed.
    pub unreadable: Option<String>,
}

/// Row of one rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleRow {
    /// Name of the rule.
    pub id: String,
    /// Line of the file that the rule stands on.
    pub line: usize,
    /// Action on what the rule takes.
    pub action: Verdict,
    /// Conditions of the rule, in words.
    pub words: String,
    /// `true` if the rule is tried at all.
    pub enabled: bool,
    /// `true` if what the rule takes is reported.
    pub log: bool,
    /// Reason for which the rule can never match.
    pub covered: Option<String>,
    /// Comment of the rule.
    pub comment: Option<String>,
    /// Text of the rule as it stands in the file, with the comments above it.
    pub text: String,
}

/// Default policy of a direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DefaultRow {
    /// Direction of the packets.
    pub direction: Direction,
    /// Action on the packets.
    pub action: Verdict,
    /// `true` if the packets are reported.
    pub log: bool,
}

impl RuleList {
    /// Lists the rules of a text.
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

/// Returns whether a warning says that this rule can never match.
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
