//! Rules, as they are in force and as they are changed.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Rules in force, as the kernel has them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InForce {
    /// Number of the generation.
    pub generation: u32,
    /// Name of the rule file, or `None` if the service found these rules in the kernel and has no text for them.
    pub name: Option<String>,
    /// Number of rules.
    pub rules: u32,
}

/// Rules on probation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Generation of the candidate.
    pub generation: u32,
    /// Confirmed generation, which returns unless the candidate is confirmed.
    pub fallback: u32,
    /// Time until the confirmed generation returns, in milliseconds.
    pub milliseconds_left: u64,
}

/// Rules that were applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// Generation of the rules.
    pub generation: u32,
    /// Number of rules.
    pub rules: u32,
    /// Warnings about what is not wrong but suspicious, each with its place.
    pub warnings: Vec<String>,
    /// Lease in which the rules have to be confirmed, if there is one.
    pub lease: Option<Lease>,
    /// Number of the change among the rule file's changes, if the state before is kept.
    #[serde(default)]
    pub change: Option<u64>,
}

/// Text of the rules in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleText {
    /// Generation of the rules.
    pub generation: u32,
    /// Name of the rule file.
    pub name: Option<String>,
    /// Text of the rule file, or `None` as in [`InForce::name`].
    pub text: Option<String>,
    /// Folder of the service for rules: the paths of sets' files are relative to it.
    pub folder: PathBuf,
    /// Rule file of the service, which holds the confirmed rules.
    pub file: PathBuf,
    /// `true` if the rules could not be written to the file, as on a full disk: it holds those before, and the next
    /// change writes them.
    #[serde(default)]
    pub unwritten: bool,
}

/// Description of a change to the rules, beside the new text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangeNote {
    /// Description of the change in a few words, for the file's earlier states.
    pub what: Option<String>,
    /// Number of the earlier change that this one takes back.
    pub undoes: Option<u64>,
    /// Generation that was read before: if another is in force, nothing is changed.
    pub replaces: Option<u32>,
}

/// Names of one generation's rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleNames {
    /// Generation of the rules.
    pub generation: u32,
    /// Name of the rule file, if known.
    pub name: Option<String>,
    /// Names of the rules: a rule's number is its place here.
    pub rules: Vec<NamedRule>,
}

/// Name of one rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedRule {
    /// Name of the rule in the file.
    pub id: String,
    /// Line of the file that the rule stands on.
    pub line: u32,
}

/// Counts of the decisions of each rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hits {
    /// Generation of the rules in force.
    pub generation: u32,
    /// Number of decisions of each rule, in the rules' order, since the generation was put in force. What goes on with
    /// what a rule allowed is not counted.
    pub hits: Vec<u64>,
}
