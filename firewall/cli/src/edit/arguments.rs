//! `gatebell rules add`, `remove`, `move`, `enable`, `disable` and `edit` as they are asked.

use super::wrong::Wrong;
use crate::arguments::EXIT_CODES;
use clap::{Args, ValueEnum, ValueHint};
use rules::document::{RulePosition, text_value, unlike};
use rules::is_visible;
use std::path::PathBuf;

/// Commands that change a rule file.
#[derive(Debug, clap::Subcommand)]
pub enum EditCommand {
    /// Add a rule, and put it in force
    ///
    /// The options are the keys of a rule, as in a rule file; several values have commas between them. Without a place
    /// it comes last. Comments and layout of the file stay as they are.
    #[command(after_help = ADD_HELP)]
    Add(AddArguments),
    /// Take rules out, with the comments directly above them
    #[command(after_help = EXIT_CODES)]
    Remove(NamedArguments),
    /// Have a rule tried earlier or later
    #[command(after_help = EXIT_CODES)]
    Move(MoveArguments),
    /// Have rules tried again that were switched off
    #[command(after_help = EXIT_CODES)]
    Enable(NamedArguments),
    /// Keep rules in the file without trying them
    #[command(after_help = EXIT_CODES)]
    Disable(NamedArguments),
    /// Change a rule's keys
    #[command(after_help = EDIT_HELP)]
    Edit(EditArguments),
    /// Take back the last change to the rules, or all since one
    ///
    /// The last 50 states of the file are kept beside it, whatever changed it: a command, rules that were applied or
    /// confirmed, a reload. What is taken back can be had again: that is a change too.
    #[command(after_help = UNDO_HELP)]
    Undo(UndoArguments),
    /// List the changes that can be taken back
    #[command(after_help = EXIT_CODES)]
    Log(LogArguments),
}

const ADD_HELP: &str = "\
Examples:
  gatebell rules add block --direction out --protocol tcp --ports 23 --id no-telnet
  gatebell rules add allow --direction out --program /usr/bin/curl --destination 192.0.2.0/24,2001:db8::/32 --first
  gatebell rules add allow --direction in --protocol tcp --ports 8000-8080 --lease 60s
  gatebell rules add block --source @bad-hosts --before web --file rules.toml

Exit codes:
  0  the file is changed, and in force if it is the service's
  1  nothing was changed: it would have errors, no such rule, no service, not permitted
  2  the command line is wrong";

const EDIT_HELP: &str = "\
Examples:
  gatebell rules edit web --ports 80,443 --comment 'both of them'
  gatebell rules edit web --unset source,interface

Exit codes:
  0  the file is changed, and in force if it is the service's
  1  nothing was changed: it would have errors, no such rule, no service, not permitted
  2  the command line is wrong";

const UNDO_HELP: &str = "\
Examples:
  gatebell rules log
  gatebell rules undo
  gatebell rules undo 12 --dry-run          (as it was before change 12)

Exit codes:
  0  the file is as it was, and in force if it is the service's
  1  nothing was changed: nothing to take back, it would have errors now, no service, not permitted
  2  the command line is wrong";

/// `gatebell rules undo`.
#[derive(Debug, Args)]
pub struct UndoArguments {
    /// The change before which the file was as it should be; left out: the last one
    #[arg(value_name = "CHANGE")]
    pub change: Option<u64>,
    /// Rule file to change.
    #[command(flatten)]
    pub target: TargetArguments,
}

/// `gatebell rules log`.
#[derive(Debug, Args)]
pub struct LogArguments {
    /// The rule file; left out: the service's
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: Option<PathBuf>,
    /// Print one JSON object for each change
    #[arg(long)]
    pub json: bool,
    /// Control socket of the service.
    #[cfg(target_os = "linux")]
    #[command(flatten)]
    pub service: crate::arguments::SocketArguments,
}

/// Arguments that name the rule file to change, and the form of the output.
#[derive(Debug, Args)]
#[command(next_help_heading = None::<&'static str>)]
pub struct TargetArguments {
    /// The rule file; left out: the service's, which takes the change at once
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: Option<PathBuf>,
    /// Show what would change, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// Return to the rules before unless these are confirmed within this time: 60s, 5m
    #[cfg(target_os = "linux")]
    #[arg(long, value_name = "TIME")]
    pub lease: Option<crate::arguments::Time>,
    /// Control socket of the service.
    #[cfg(target_os = "linux")]
    #[command(flatten)]
    pub service: crate::arguments::SocketArguments,
}

/// `gatebell rules add`.
#[derive(Debug, Args)]
pub struct AddArguments {
    /// What becomes of packets that it matches: allow, block, reject or ask
    pub action: String,
    /// Keys of the rule.
    #[command(flatten)]
    pub keys: KeyArguments,
    /// Place of the rule among the others.
    #[command(flatten)]
    pub place: PlaceArguments,
    /// Rule file to change.
    #[command(flatten)]
    pub target: TargetArguments,
}

/// `gatebell rules remove`, `enable` and `disable`.
#[derive(Debug, Args)]
pub struct NamedArguments {
    /// The rules' names
    #[arg(required = true, value_name = "ID")]
    pub rules: Vec<String>,
    /// Rule file to change.
    #[command(flatten)]
    pub target: TargetArguments,
}

/// `gatebell rules move`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("where").required(true).args(["first", "last", "before", "after"]))]
pub struct MoveArguments {
    /// The rule's name
    #[arg(value_name = "ID")]
    pub rule: String,
    /// New place of the rule.
    #[command(flatten)]
    pub place: PlaceArguments,
    /// Rule file to change.
    #[command(flatten)]
    pub target: TargetArguments,
}

/// `gatebell rules edit`.
#[derive(Debug, Args)]
pub struct EditArguments {
    /// The rule's name
    #[arg(value_name = "ID")]
    pub rule: String,
    /// What becomes of packets that it matches: allow, block, reject or ask
    #[arg(long, value_name = "ACTION")]
    pub action: Option<String>,
    /// Keys of the rule.
    #[command(flatten)]
    pub keys: KeyArguments,
    /// Keys to take out
    #[arg(long, value_name = "KEY,…", value_delimiter = ',', help_heading = None::<&'static str>)]
    pub unset: Vec<UnsetKey>,
    /// Rule file to change.
    #[command(flatten)]
    pub target: TargetArguments,
}

/// A key that a rule can be without.
#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
#[allow(missing_docs, reason = "they are the keys of a rule")]
pub enum UnsetKey {
    Direction,
    Protocol,
    Source,
    Destination,
    SourcePorts,
    Ports,
    IcmpType,
    Interface,
    OutInterface,
    User,
    Program,
    Network,
    Unanswered,
    AnswerWithin,
    Log,
    Enabled,
    Comment,
}

/// Place of a rule among the others: at most one of these.
#[derive(Debug, Args)]
#[command(next_help_heading = "Its place among the others")]
#[group(multiple = false)]
pub struct PlaceArguments {
    /// Before all others
    #[arg(long)]
    pub first: bool,
    /// After all others
    #[arg(long)]
    pub last: bool,
    /// Directly before the rule with this name
    #[arg(long, value_name = "ID")]
    pub before: Option<String>,
    /// Directly after the rule with this name
    #[arg(long, value_name = "ID")]
    pub after: Option<String>,
}

impl PlaceArguments {
    /// The place, if one is said.
    pub fn place(&self) -> Option<RulePosition> {
        match self {
            Self { first: true, .. } => Some(RulePosition::First),
            Self { last: true, .. } => Some(RulePosition::Last),
            Self {
                before: Some(id), ..
            } => Some(RulePosition::Before(id.clone())),
            Self { after, .. } => after.clone().map(RulePosition::After),
        }
    }
}

/// The keys of a rule, under their own names.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Keys of the rule")]
pub struct KeyArguments {
    /// Its name in records and messages; if left out, a new rule's is made up of its other keys
    #[arg(long, value_name = "ID")]
    pub id: Option<String>,
    /// in, out or forward; any if left out
    #[arg(long, value_name = "in|out|forward")]
    pub direction: Option<String>,
    /// tcp, udp, sctp, dccp, udplite, icmp, icmpv6 or a number
    #[arg(long, value_name = "PROTOCOL,…", value_delimiter = ',')]
    pub protocol: Vec<String>,
    /// Where packets come from: address, prefix, range, or @set
    #[arg(long, value_name = "ADDRESS,…", value_delimiter = ',')]
    pub source: Vec<String>,
    /// Where they go
    #[arg(long, value_name = "ADDRESS,…", value_delimiter = ',')]
    pub destination: Vec<String>,
    /// Ports they come from: a number or a range like 1024-65535
    #[arg(
        long,
        alias = "source_ports",
        value_name = "PORT,…",
        value_delimiter = ','
    )]
    pub source_ports: Vec<String>,
    /// Ports they go to
    #[arg(long, value_name = "PORT,…", value_delimiter = ',')]
    pub ports: Vec<String>,
    /// ICMP types, by name or number
    #[arg(
        long,
        alias = "icmp_type",
        value_name = "TYPE,…",
        value_delimiter = ','
    )]
    pub icmp_type: Vec<String>,
    /// Devices that they come in or go out by
    #[arg(long, value_name = "DEVICE,…", value_delimiter = ',')]
    pub interface: Vec<String>,
    /// Devices that forwarded packets go out by
    #[arg(
        long,
        alias = "out_interface",
        value_name = "DEVICE,…",
        value_delimiter = ','
    )]
    pub out_interface: Vec<String>,
    /// Users at this machine's end
    #[arg(long, value_name = "USER,…", value_delimiter = ',')]
    pub user: Vec<String>,
    /// Programs at this machine's end: a whole path; may be given several times
    #[arg(long, value_name = "PATH", value_hint = ValueHint::ExecutablePath)]
    pub program: Vec<String>,
    /// Networks in which it is on; "!home": while home is not there
    #[arg(long, value_name = "NETWORK,…", value_delimiter = ',')]
    pub network: Vec<String>,
    /// With ask: what becomes of what nobody answered in time: block or allow
    #[arg(long, value_name = "block|allow")]
    pub unanswered: Option<String>,
    /// With ask: that time, in seconds
    #[arg(long, alias = "answer_within", value_name = "SECONDS")]
    pub answer_within: Option<String>,
    /// Whether its packets are reported
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true")]
    pub log: Option<bool>,
    /// Whether it is tried at all
    #[arg(long, value_name = "true|false")]
    pub enabled: Option<bool>,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    pub comment: Option<String>,
}

impl KeyArguments {
    /// The keys that are said, in the order in which people write them, each with its value as TOML has it.
    pub fn values(&self, action: Option<&str>) -> Vec<(&'static str, String)> {
        let one = |text: &Option<String>| text.as_deref().map(text_value);
        let list = |words: &[String], value: fn(&str) -> String| {
            let mut values = words.iter().map(|word| value(word));
            match words.len() {
                0 => None,
                1 => values.next(),
                _ => Some(format!("[{}]", values.collect::<Vec<_>>().join(", "))),
            }
        };
        let flag = |flag: Option<bool>| flag.map(|flag| flag.to_string());
        let all = [
            ("id", one(&self.id)),
            ("action", action.map(text_value)),
            ("direction", one(&self.direction)),
            ("protocol", list(&self.protocol, number_or_text)),
            ("source", list(&self.source, text_value)),
            ("destination", list(&self.destination, text_value)),
            ("source_ports", list(&self.source_ports, number_or_text)),
            ("ports", list(&self.ports, number_or_text)),
            ("icmp_type", list(&self.icmp_type, number_or_text)),
            ("interface", list(&self.interface, text_value)),
            ("out_interface", list(&self.out_interface, text_value)),
            ("user", list(&self.user, number_or_text)),
            ("program", list(&self.program, text_value)),
            ("network", list(&self.network, text_value)),
            ("unanswered", one(&self.unanswered)),
            (
                "answer_within",
                self.answer_within.as_deref().map(number_or_text),
            ),
            ("log", flag(self.log)),
            ("enabled", flag(self.enabled)),
            ("comment", one(&self.comment)),
        ];
        all.into_iter()
            .filter_map(|(key, value)| Some((key, value?)))
            .collect()
    }

    /// A name for a rule that is given none, which no other has.
    pub fn made_up_id(&self, action: &str, taken: &[String]) -> String {
        let first = |words: &[String]| words.first().cloned();
        let program = self
            .program
            .first()
            .and_then(|path| path.rsplit('/').next());
        let parts = [
            Some(action.to_owned()),
            program.map(str::to_owned),
            first(&self.protocol),
            first(&self.ports),
            self.direction.clone(),
        ];
        let id: Vec<_> = parts.into_iter().flatten().collect();
        let id = id.join("-");
        let id: String = id.chars().filter(|c| is_visible(*c)).take(56).collect();
        unlike(&id, |id| taken.iter().any(|other| other == id))
    }
}

fn number_or_text(word: &str) -> String {
    match word.parse::<u32>() {
        // Without what a number can't begin with in TOML.
        Ok(number) => number.to_string(),
        Err(_) => text_value(word),
    }
}

impl UnsetKey {
    /// Returns the name of the key in a rule file.
    pub fn name(self) -> String {
        self.to_possible_value()
            .map(|value| value.get_name().to_owned())
            .unwrap_or_default()
    }
}

/// Keys to be set, with their values, and keys to be taken out.
type KeyChanges = (Vec<(&'static str, String)>, Vec<String>);

impl EditArguments {
    /// Returns the keys to set and the keys to take out.
    pub fn changes(&self) -> Result<KeyChanges, Wrong> {
        let set = self.keys.values(self.action.as_deref());
        let unset: Vec<_> = self.unset.iter().map(|key| key.name()).collect();
        if set.is_empty() && unset.is_empty() {
            return Err(Wrong::Nothing);
        }
        Ok((set, unset))
    }
}
