//! What can be asked on the command line; the manual pages and completions are made of this too.

use crate::dry_run::Expectations;
use crate::flow::Question;
use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, CommandFactory, Parser, Subcommand, ValueHint};
use rules::Network;
use std::path::PathBuf;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold());

const EXIT_CODES: &str = "Exit codes:
  0  it is as you asked
  1  it is not: errors in a file, an expectation that does not hold; a message says what to do
  2  the command line is wrong";

/// Gatebell on the command line: check firewall rules and try them out, without privileges
#[derive(Debug, Parser)]
#[command(name = "gatebell", version, styles = STYLES, max_term_width = 100, after_help = EXIT_CODES)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check rule files, show what they mean, print their schema
    #[command(after_help = EXIT_CODES)]
    Rules {
        /// What about them.
        #[command(subcommand)]
        command: RulesCommand,
    },
    /// Judge the packets of a capture by a rule file, with the engine that the kernel runs
    ///
    /// Prints each packet's verdict and the rule and reason for it, then how often each rule decided. Replies to what was
    /// allowed pass, as in the driver: the initiator's packets are judged by the rules, the other end's pass as replies.
    /// Nothing of this machine is looked at or changed.
    #[command(after_help = DRY_RUN_HELP)]
    DryRun(DryRunArguments),
    /// Say which rule decides about a packet, why those before it do not, and how to change that
    #[command(after_help = WHY_HELP)]
    Why(WhyArguments),
    /// Write the manual pages and the shells' completions
    #[command(hide = true)]
    Manual {
        /// Where to; made if it is not there
        #[arg(value_hint = ValueHint::DirPath)]
        directory: PathBuf,
    },
}

/// What can be done with rule files.
#[derive(Debug, Subcommand)]
pub enum RulesCommand {
    /// Find all that is wrong with rule files, each with its line and column and what would be right
    ///
    /// Rules that can never match, because others before them take all of their packets, are warnings.
    #[command(after_help = EXIT_CODES)]
    Check(CheckArguments),
    /// Show the rules in the order in which they are tried
    #[command(after_help = EXIT_CODES)]
    Show(ShowArguments),
    /// Print the JSON Schema of rule files, for editors that complete and check TOML
    ///
    /// Save it, and name it in the first line of a rule file: #:schema ./gatebell-rules.schema.json
    #[command(after_help = EXIT_CODES)]
    Schema,
}

/// `gatebell rules check`.
#[derive(Debug, Args)]
pub struct CheckArguments {
    /// Rule files; - is standard input
    #[arg(required = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub files: Vec<PathBuf>,
    /// Print one JSON object for each finding, nothing else
    #[arg(long)]
    pub json: bool,
}

/// `gatebell rules show`.
#[derive(Debug, Args)]
pub struct ShowArguments {
    /// The rule file; - is standard input
    #[arg(value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

const DRY_RUN_HELP: &str = "\
Expectations are NAME=NUMBER, with commas between several:
  packets    all that were captured         allowed, blocked  verdicts
  replies    allowed as replies             malformed         blocked as malformed
  fragments  verdicts on later fragments    rule:ID           packets that this rule decided
  unjudged   not IP, cut off by the capture, or not of the zone
  changed    with --against: verdicts or rules that are not the same

Examples:
  gatebell dry-run rules.toml --pcap trace.pcapng --zone 192.0.2.7,fd00::2
  gatebell dry-run new.toml --pcap trace.pcap --zone 192.0.2.0/24 --against old.toml
  gatebell dry-run rules.toml --pcap trace.pcap --quiet --expect blocked=3,rule:no-telnet=2

Exit codes:
  0  the whole capture was read, and what was expected holds
  1  an expectation does not hold, the capture is cut off or damaged, a rule file has errors
  2  the command line is wrong";

/// `gatebell dry-run`.
#[derive(Debug, Args)]
pub struct DryRunArguments {
    /// The rule file
    #[arg(value_hint = ValueHint::FilePath)]
    pub rules: PathBuf,
    /// The capture, pcap or pcapng; - is standard input
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub pcap: PathBuf,
    /// The protected addresses: what comes from them goes out, what goes to them comes in. Needed unless the capture itself
    /// says which way each packet went (Linux cooked, pcapng with flags)
    #[arg(long, value_name = "ADDRESS[/BITS],…", value_delimiter = ',')]
    pub zone: Vec<Network>,
    /// The rules as they are now: print only the packets about which RULES decides otherwise
    #[arg(long, value_name = "OTHER", value_hint = ValueHint::FilePath)]
    pub against: Option<PathBuf>,
    /// Fail unless these numbers come out; see below
    #[arg(long, value_name = "NAME=NUMBER,…")]
    pub expect: Vec<Expectations>,
    /// Print the summary only
    #[arg(long, short)]
    pub quiet: bool,
    /// Print one JSON object for each packet, and last the summary
    #[arg(long)]
    pub json: bool,
}

const WHY_HELP: &str = "\
Examples:
  gatebell why rules.toml --packet 'out tcp 10.0.0.2:50000 -> 10.0.0.1:23'
  gatebell why rules.toml --packet 'in udp [fd00::1]:53 -> [fd00::2]:50000'
  gatebell why rules.toml --packet 'in icmp 10.0.0.1 -> 10.0.0.2 type echo-request'
  gatebell why rules.toml --packet 'out 47 10.0.0.2 -> 10.0.0.1'
  gatebell why rules.toml --packet 'in tcp 10.0.0.1 -> 10.0.0.2 fragment'

Exit codes:
  0  the question is answered, whatever the verdict
  1  the rule file has errors
  2  the command line is wrong";

/// `gatebell why`.
#[derive(Debug, Args)]
pub struct WhyArguments {
    /// The rule file; - is standard input
    #[arg(value_hint = ValueHint::FilePath)]
    pub rules: PathBuf,
    /// The packet, as the dry run prints it: DIRECTION PROTOCOL SOURCE -> DESTINATION; in and out are seen from what is
    /// protected
    #[arg(long, value_name = "PACKET")]
    pub packet: Question,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// The command line as a whole, for the manual.
#[must_use]
pub fn command() -> clap::Command {
    Arguments::command()
}
