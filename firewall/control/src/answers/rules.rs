//! Rules, as they are in force and as they are changed.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Rules as the kernel has them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InForce {
    /// The generation's number.
    pub generation: u32,
    /// What the file is called; none: the service found these rules in the kernel and no text for them.
    pub name: Option<String>,
    /// How many rules there are.
    pub rules: u32,
}

/// Rules on probation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The candidate's generation.
    pub generation: u32,
    /// The confirmed generation, which returns unless the candidate is confirmed.
    pub fallback: u32,
    /// Milliseconds until it returns.
    pub milliseconds_left: u64,
}

/// Rules that were taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// Their generation.
    pub generation: u32,
    /// How many rules there are.
    pub rules: u32,
    /// What is not wrong but suspicious, each with its place.
    pub warnings: Vec<String>,
    /// The lease, if they have one to be confirmed in.
    pub lease: Option<Lease>,
    /// The number that the change has among the rule file's changes, if the state before is kept.
    #[serde(default)]
    pub change: Option<u64>,
}

/// The text of the rules that are judged by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleText {
    /// Their generation.
    pub generation: u32,
    /// What the file is called.
    pub name: Option<String>,
    /// What is in it; none: see [`InForce::name`].
    pub text: Option<String>,
    /// The service's folder for rules, from which on they name the files of sets.
    pub folder: PathBuf,
    /// The service's rule file, which holds the confirmed rules.
    pub file: PathBuf,
    /// Whether they could not be written to it, as on a full disk: it holds those before, and the next change writes them.
    #[serde(default)]
    pub unwritten: bool,
}

/// What is said of a change to the rules beside the new text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangeNote {
    /// What it is, in a few words, for the file's earlier states.
    pub what: Option<String>,
    /// The earlier change that it takes back.
    pub undoes: Option<u64>,
    /// The generation that was read before; in force is another: nothing is changed.
    pub replaces: Option<u32>,
}

/// The names of one generation's rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleNames {
    /// The generation.
    pub generation: u32,
    /// The rule file's name, if that is known.
    pub name: Option<String>,
    /// Its rules: a rule's number is its place here.
    pub rules: Vec<NamedRule>,
}

/// The name of one rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedRule {
    /// Its name in the file.
    pub id: String,
    /// The line of the file that it stands on.
    pub line: u32,
}

/// How often each rule has decided.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hits {
    /// The generation that is judged by.
    pub generation: u32,
    /// A number for each of its rules, in their order, since it was put in force. What goes on with what a rule allowed is not
    /// counted.
    pub hits: Vec<u64>,
}
