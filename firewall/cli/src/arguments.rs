//! What can be asked on the command line; the manual pages and completions are made of this too.

use crate::dry_run::Expectations;
use crate::edit::EditCommand;
use crate::flow::Question;
use crate::import::{HELP as IMPORT_HELP, ImportArguments};
use crate::verdict::{HELP as TEST_HELP, TestArguments};
use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, CommandFactory, Parser, Subcommand, ValueHint};
#[cfg(target_os = "linux")]
use firewall_abi::asking::Width;
#[cfg(target_os = "linux")]
use firewall_abi::packet::{Direction, Verdict};
use rules::Addresses;
use std::path::PathBuf;
#[cfg(target_os = "linux")]
use std::str::FromStr;
#[cfg(target_os = "linux")]
use std::time::Duration;
#[cfg(target_os = "linux")]
use view::history::By;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold());

pub(crate) const EXIT_CODES: &str = "Exit codes:
  0  it is as you asked
  1  it is not: errors in a file, an expectation that does not hold; a message says what to do
  2  the command line is wrong";

/// Gatebell on the command line: see what the firewall refuses, check rules, try them out, put them in force
#[derive(Debug, Parser)]
#[command(name = "gatebell", version, styles = STYLES, max_term_width = 100, after_help = EXIT_CODES)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What can be done.
#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "made once in a run")]
pub enum Command {
    /// Say how the firewall is: rules in force, lease, zone, devices, memory
    #[cfg(target_os = "linux")]
    #[command(after_help = STATUS_HELP)]
    Status(AskArguments),
    /// Show packets and programs as it happens, until Ctrl-C
    ///
    /// Each record is shown where it happened, and so is each loss, with its number and cause. At the end stand the books: how
    /// many records the driver offered, committed and lost, and how many were delivered. A service that ends is waited for.
    #[cfg(target_os = "linux")]
    #[command(after_help = WATCH_HELP)]
    Watch(WatchArguments),
    /// Show what happened before, as the service kept it: who talked with whom, what became of it, how often
    ///
    /// What was refused, asked about or reported is kept by the minute for a day, then by the hour, then by the day, within the bounds
    /// that gatebelld was started with. Root sees everything, others what programs did that ran as them.
    #[cfg(target_os = "linux")]
    #[command(after_help = HISTORY_HELP)]
    History(HistoryArguments),
    /// Show who sends and gets how much, as it happens
    ///
    /// By what each packet of what is allowed carries, from its IP header on. The driver counts it, and is asked each time; the sums are the
    /// history's. Root sees everything, others what their own programs do.
    #[cfg(target_os = "linux")]
    #[command(after_help = TOP_HELP)]
    Top(TopArguments),
    /// Check rule files, show what they mean, put them in force, print their schema
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
    /// A capture does not show users, programs and devices: rules that ask for them match nothing. Nothing of this machine is
    /// changed.
    #[command(after_help = DRY_RUN_HELP)]
    DryRun(DryRunArguments),
    /// Say what the rules decide about a connection, by name or address: is it allowed, and by which rule
    ///
    /// Nothing is sent: of a name, the system's resolver is asked for its addresses. Where the connection would come from is
    /// what the system would choose, and port 50000; `gatebell why` takes all of a packet and says more.
    #[command(after_help = TEST_HELP)]
    Test(TestArguments),
    /// Say which rule decides about a packet, why those before it do not, and how to change that
    #[command(after_help = WHY_HELP)]
    Why(WhyArguments),
    /// Answer what the rules ask about (action = "ask"), in a terminal
    ///
    /// Shows what waits for an answer as it comes, and takes an answer for each line that is typed: a allows, b blocks, for 10
    /// minutes and this place; more keys say more. Root answers everything, others what is asked about programs that run as them.
    #[cfg(target_os = "linux")]
    #[command(after_help = ASK_HELP)]
    Ask(QuestionArguments),
    /// Show the answers that hold, with who gave them and for how long, and take them back
    ///
    /// Root sees all of them, others those about programs that run as them.
    #[cfg(target_os = "linux")]
    #[command(after_help = ANSWERS_HELP, args_conflicts_with_subcommands = true)]
    Answers(AnswersArguments),
    /// Add addresses to a set of the rules in force, for a while or for good, and take them out again
    ///
    /// In force at once: no rules are read again. The rule file stays as it is, and what it has in a set stays there.
    #[cfg(target_os = "linux")]
    #[command(after_help = SET_HELP)]
    Set {
        /// What about them.
        #[command(subcommand)]
        command: SetCommand,
    },
    /// Check that every record is accounted for, app by app
    ///
    /// Of each app that is attached, and of those that are gone: what the driver offered is what it committed and what it lost,
    /// by cause. Root sees every app, others their own.
    #[cfg(target_os = "linux")]
    #[command(after_help = AUDIT_HELP)]
    Audit(AskArguments),
    /// Take the firewall out of the kernel, whatever state it is in: nothing is filtered any more
    ///
    /// Ends the service, and takes out its programs, filters and tables. Works as well if the service was killed, has never
    /// started, or was of another release; twice in a row is fine. The rule file stays.
    #[cfg(target_os = "linux")]
    #[command(after_help = RECOVER_HELP)]
    Recover(RecoverArguments),
    /// Print what the driver counted: packets by direction and verdict, connections
    #[cfg(target_os = "linux")]
    #[command(after_help = EXIT_CODES)]
    Stats(AskArguments),
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
#[expect(clippy::large_enum_variant, reason = "made once in a run")]
pub enum RulesCommand {
    /// Find all that is wrong with rule files, each with its line and column and what would be right
    ///
    /// Rules that can never match, because one before them takes all of their packets, are warnings, and so are sets that no
    /// rule asks for and programs that are not there.
    #[command(after_help = EXIT_CODES)]
    Check(CheckArguments),
    /// Show the rules in the order in which they are tried
    #[command(after_help = EXIT_CODES)]
    Show(ShowArguments),
    /// A change to a rule file.
    #[command(flatten)]
    Change(EditCommand),
    /// Put a rule file in force, for good or on a lease
    ///
    /// The file is checked first, and what changes is printed. With a lease the rules that were confirmed return by themselves
    /// unless `gatebell rules confirm` comes in time: also if you have locked yourself out, the service has ended or the
    /// machine is restarted.
    #[cfg(target_os = "linux")]
    #[command(after_help = APPLY_HELP)]
    Apply(ApplyArguments),
    /// Keep the rules that a lease tries out
    #[cfg(target_os = "linux")]
    #[command(after_help = EXIT_CODES)]
    Confirm(SocketArguments),
    /// End a lease now: the rules that were confirmed return
    #[cfg(target_os = "linux")]
    #[command(after_help = EXIT_CODES)]
    Revert(SocketArguments),
    /// Print the rules of another firewall as a rule file of ours
    ///
    /// What can't be said in our words is a comment with its reason; nothing is left out, guessed or widened. Nothing of this
    /// machine is changed.
    #[command(after_help = IMPORT_HELP)]
    Import(ImportArguments),
    /// Print the JSON Schema of rule files, for editors that complete and check TOML
    ///
    /// Save it, and name it in the first line of a rule file: #:schema ./gatebell-rules.schema.json
    #[command(after_help = EXIT_CODES)]
    Schema,
}

#[cfg(target_os = "linux")]
const STATUS_HELP: &str = "\
Exit codes:
  0  all is well
  1  something is not: the service does not run, or says what troubles it
  2  the command line is wrong";

#[cfg(target_os = "linux")]
const WATCH_HELP: &str = "\
Examples:
  gatebell watch --verdict block
  gatebell watch --direction out --program /usr/bin/curl --address 192.0.2.0/24
  gatebell watch --json --kind packet --rule no-telnet

With --json each line is an object: kind packet, process_start, process_exit, lost; ended and attached when the service ends
and is back; account at the end.

Exit codes:
  0  every record is accounted for
  1  it is not, or there is no service; a message says what to do
  2  the command line is wrong";

#[cfg(target_os = "linux")]
const TOP_HELP: &str = "\
Examples:
  gatebell top                          # by program, until you press Ctrl-C
  gatebell top --by name --every 5
  gatebell top --by user --once --json
Exit codes: 0, shown; 1, it could not be, see the message; 2, the command line is wrong.";

#[cfg(target_os = "linux")]
const HISTORY_HELP: &str = "\
Examples:
  gatebell history --verdict block
  gatebell history --since 7d --by program
  gatebell history --since 30d --program /usr/bin/curl --by place --csv
  gatebell history --since 7d --first

Exit codes:
  0  it is as you asked, also if there is nothing
  1  there is no service, or it can't read what it kept; a message says what to do
  2  the command line is wrong";

#[cfg(target_os = "linux")]
const ASK_HELP: &str = "\
Examples:
  gatebell ask                                       shows and asks, until q or Ctrl-C
  gatebell ask --list --json                         what waits, one JSON object for each
  gatebell ask --answer 7 allow --for 1h --width port
  gatebell ask --answer 7 block --for always --width anywhere

Exit codes:
  0  it is as you asked
  1  no such question waits, or you may not answer it, or there is no service
  2  the command line is wrong";

#[cfg(target_os = "linux")]
const ANSWERS_HELP: &str = "\
Examples:
  gatebell answers                                   those that hold, one a line
  gatebell answers --json
  gatebell answers forget 3f2a91c0                   this one, by the name that stands first in its line
  gatebell answers forget --program /usr/bin/curl
  sudo gatebell answers forget --all

Exit codes:
  0  it is as you asked, also if there is none
  1  no such answer holds, or you may not take it back, and nothing was changed; or there is no service
  2  the command line is wrong";

#[cfg(target_os = "linux")]
const AUDIT_HELP: &str = "\
Exit codes:
  0  every record is accounted for
  1  it is not, and the app is named; or there is no service
  2  the command line is wrong";

#[cfg(target_os = "linux")]
const RECOVER_HELP: &str = "\
Exit codes:
  0  nothing of Gatebell is in the kernel any more
  1  something still is, and a message says what; or not root
  2  the command line is wrong";

#[cfg(target_os = "linux")]
const APPLY_HELP: &str = "\
Examples:
  gatebell rules apply new.toml --lease 60s
  gatebell rules confirm

Exit codes:
  0  the rules are in force
  1  they are not, and nothing was changed: errors in the file, no service, not permitted
  2  the command line is wrong";

#[cfg(target_os = "linux")]
const SET_HELP: &str = "\
Examples:
  gatebell set add banned 192.0.2.7 --for 1h
  gatebell set add banned - < addresses.txt      (one a line; all in one request)
  gatebell set remove banned 192.0.2.7
  gatebell set list --json

Exit codes:
  0  it is as you asked
  1  it is not, and nothing was changed: no such set, no address, not permitted, no service
  2  the command line is wrong";

/// What can be done with sets while they are in force.
#[cfg(target_os = "linux")]
#[derive(Debug, Subcommand)]
pub enum SetCommand {
    /// Have addresses be in a set
    #[command(after_help = SET_HELP)]
    Add(SetAddArguments),
    /// Take addresses out of a set that were added to it
    #[command(after_help = SET_HELP)]
    Remove(SetRemoveArguments),
    /// Show what was added or has joined by its name, and for how long it is there
    #[command(after_help = SET_HELP)]
    List(SetListArguments),
}

/// `gatebell set add`.
#[cfg(target_os = "linux")]
#[derive(Debug, Args)]
pub struct SetAddArguments {
    /// The set's name in the rule file
    pub name: String,
    /// Addresses, no prefixes; - reads them from standard input, one a line
    #[arg(required = true, value_name = "ADDRESS")]
    pub addresses: Vec<String>,
    /// For how long: 60s, 10m, 2h; left out: until they are removed
    #[arg(long = "for", value_name = "TIME")]
    pub time: Option<Time>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// Where the service is.
    #[command(flatten)]
    pub service: SocketArguments,
}

/// `gatebell set remove`.
#[cfg(target_os = "linux")]
#[derive(Debug, Args)]
pub struct SetRemoveArguments {
    /// The set's name in the rule file
    pub name: String,
    /// Addresses; - reads them from standard input, one a line
    #[arg(required = true, value_name = "ADDRESS")]
    pub addresses: Vec<String>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// Where the service is.
    #[command(flatten)]
    pub service: SocketArguments,
}

/// `gatebell set list`.
#[cfg(target_os = "linux")]
#[derive(Debug, Args)]
pub struct SetListArguments {
    /// The set's name; left out: all sets
    pub name: Option<String>,
    /// Print one JSON object for each address
    #[arg(long)]
    pub json: bool,
    /// Where the service is.
    #[command(flatten)]
    pub service: SocketArguments,
}

/// Where the running service is asked.
#[cfg(target_os = "linux")]
#[derive(Debug, Args)]
pub struct SocketArguments {
    /// The service's control socket
    #[arg(long, value_name = "PATH", default_value = control::SOCKET, value_hint = ValueHint::FilePath)]
    pub socket: PathBuf,
}

/// A question to the running service.
#[cfg(target_os = "linux")]
#[derive(Debug, Args)]
pub struct AskArguments {
    /// The service's control socket
    #[arg(long, value_name = "PATH", default_value = control::SOCKET, value_hint = ValueHint::FilePath)]
    pub socket: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `gatebell ask`.
#[cfg(target_os = "linux")]
#[derive(Debug, Args)]
pub struct QuestionArguments {
    /// Print what waits, and end
    #[arg(long, conflicts_with = "answer")]
    pub list: bool,
    /// Answer this question, and end
    #[arg(long, value_name = "NUMBER", requires = "verdict")]
    pub answer: Option<u64>,
    /// The answer: allow or block
    #[arg(requires = "answer", value_name = "allow|block")]
    pub verdict: Option<Yes>,
    /// How long the answer holds: connection (for the one that asks alone), 60s, 10m, 2h, program (until the process that asks ends),
    /// restart (until the service starts again) or always; if left out, 10m
    #[arg(long = "for", value_name = "TIME", requires = "answer")]
    pub lasts: Option<AnswerTime>,
    /// What it is about: place (address, protocol and port), address, port, or anywhere
    #[arg(long, default_value = "place", requires = "answer")]
    pub width: AnswerWidth,
    /// The service's control socket
    #[arg(long, value_name = "PATH", default_value = control::SOCKET, value_hint = ValueHint::FilePath)]
    pub socket: PathBuf,
    /// Print one JSON object for each question
    #[arg(long)]
    pub json: bool,
}

/// `gatebell answers`.
#[cfg(target_os = "linux")]
#[derive(Debug, Args)]
pub struct AnswersArguments {
    /// What about them; left out: they are shown.
    #[command(subcommand)]
    pub command: Option<AnswersCommand>,
    /// Print one JSON object for each answer
    #[arg(long)]
    pub json: bool,
    /// Where the service is.
    #[command(flatten)]
    pub service: SocketArguments,
}

/// What can be done with answers that hold.
#[cfg(target_os = "linux")]
#[derive(Debug, Subcommand)]
pub enum AnswersCommand {
    /// Take answers back: what they were about is asked about again, and what they had allowed is judged again
    #[command(after_help = ANSWERS_HELP)]
    Forget(ForgetArguments),
}

/// `gatebell answers forget`.
#[cfg(target_os = "linux")]
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("which").required(true).args(["answers", "program", "all"]))]
pub struct ForgetArguments {
    /// These: what stands first in their lines, or as much of it as no other answer begins with
    #[arg(value_name = "WHICH")]
    pub answers: Vec<String>,
    /// All about this program, by its path
    #[arg(long, value_name = "PATH", value_hint = ValueHint::ExecutablePath)]
    pub program: Option<String>,
    /// All
    #[arg(long)]
    pub all: bool,
    /// Also those about programs of others; who is not root needs permission for it, and names answers in full
    #[arg(long)]
    pub everybody: bool,
    /// Print one JSON object for each answer
    #[arg(long)]
    pub json: bool,
    /// Where the service is.
    #[command(flatten)]
    pub service: SocketArguments,
}

/// An answer.
#[cfg(target_os = "linux")]
#[derive(Clone, Copy, Debug)]
pub struct Yes(pub Verdict);

#[cfg(target_os = "linux")]
impl FromStr for Yes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "allow" => Ok(Self(Verdict::Allow)),
            "block" => Ok(Self(Verdict::Block)),
            _ => Err("it is allow or block".to_owned()),
        }
    }
}

/// How long an answer holds.
#[cfg(target_os = "linux")]
#[derive(Clone, Copy, Debug)]
pub enum AnswerTime {
    Connection,
    Process,
    For(Duration),
    UntilRestart,
    Always,
}

#[cfg(target_os = "linux")]
impl FromStr for AnswerTime {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "connection" => Ok(Self::Connection),
            "program" => Ok(Self::Process),
            "restart" => Ok(Self::UntilRestart),
            "always" => Ok(Self::Always),
            time => time.parse().map(|Time(time)| Self::For(time)).map_err(|_| {
                "write it like 60s, 10m or 2h; or connection, program, restart or always".to_owned()
            }),
        }
    }
}

/// What an answer is about.
#[cfg(target_os = "linux")]
#[derive(Clone, Copy, Debug)]
pub struct AnswerWidth(pub Width);

#[cfg(target_os = "linux")]
impl FromStr for AnswerWidth {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Width::ALL.into_iter().find(|width| width.name() == text);
        found
            .map(Self)
            .ok_or_else(|| "it is place, address, port or anywhere".to_owned())
    }
}

/// `gatebell recover`.
#[cfg(target_os = "linux")]
#[derive(Debug, Args)]
pub struct RecoverArguments {
    /// The folder in which the service writes things down
    #[arg(long, value_name = "FOLDER", default_value = control::STATE, value_hint = ValueHint::DirPath)]
    pub state: PathBuf,
    /// The folder in which the kernel keeps the driver
    #[arg(long, value_name = "FOLDER", default_value = control::PINS, value_hint = ValueHint::DirPath)]
    pub pins: PathBuf,
    /// The driver's device
    #[arg(long, value_name = "PATH", default_value = control::DEVICE, value_hint = ValueHint::FilePath)]
    pub device: PathBuf,
    /// The service's control socket
    #[arg(long, value_name = "PATH", default_value = control::SOCKET, value_hint = ValueHint::FilePath)]
    pub socket: PathBuf,
    /// The service's program, which does the work; left out: the gatebelld beside this program, else /usr/sbin/gatebelld
    #[arg(long, value_name = "PATH", value_hint = ValueHint::ExecutablePath)]
    pub program: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `gatebell rules apply`.
#[cfg(target_os = "linux")]
#[derive(Debug, Args)]
pub struct ApplyArguments {
    /// The rule file; - is standard input
    #[arg(value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// Return to the rules before unless these are confirmed within this time: 60s, 5m
    #[arg(long, value_name = "TIME")]
    pub lease: Option<Time>,
    /// Where the service is.
    #[command(flatten)]
    pub service: SocketArguments,
}

/// `gatebell watch`.
#[cfg(target_os = "linux")]
#[derive(Debug, Args)]
pub struct WatchArguments {
    /// Only records of this kind; may be given several times
    #[arg(long)]
    pub kind: Vec<RecordKind>,
    /// Of what.
    #[command(flatten)]
    pub only: FilterArguments,
    /// Print one JSON object for each record, loss and event
    #[arg(long)]
    pub json: bool,
    /// The driver's device
    #[arg(long, value_name = "PATH", default_value = control::DEVICE, value_hint = ValueHint::FilePath)]
    pub device: PathBuf,
    /// The service's control socket, which knows the names of rules
    #[arg(long, value_name = "PATH", default_value = control::SOCKET, value_hint = ValueHint::FilePath)]
    pub socket: PathBuf,
}

/// Which of what happened is shown: the same words wherever it is.
#[cfg(target_os = "linux")]
#[derive(Debug, Default, Args)]
pub struct FilterArguments {
    /// Only packets that go this way, seen from what is protected
    #[arg(long, value_name = "in|out|forward", value_parser = rules::words::direction)]
    pub direction: Option<Direction>,
    /// Only packets that get this verdict
    #[arg(long, value_name = "allow|block|ask", value_parser = rules::words::verdict)]
    pub verdict: Option<Verdict>,
    /// Only packets with such an address at one end; may be given several times
    #[arg(long, value_name = "ADDRESS[/BITS]")]
    pub address: Vec<Addresses>,
    /// Only packets that the rule with this name decided; may be given several times
    #[arg(long, value_name = "ID")]
    pub rule: Vec<String>,
    /// Only what this program does: its path, or the kernel's name of it; may be given several times
    #[arg(long, value_name = "PROGRAM")]
    pub program: Vec<String>,
    /// Only packets with an end that was asked for by this name, or by one below it (*.example.org); may be given several times
    #[arg(long, value_name = "NAME")]
    pub name: Vec<String>,
    /// Only packets of TCP and UDP with this port at one end; may be given several times
    #[arg(long, value_name = "PORT")]
    pub port: Vec<u16>,
    /// Only what runs as this user, by number; may be given several times
    #[arg(long, value_name = "NUMBER")]
    pub user: Vec<u32>,
}

/// `gatebell top`.
#[cfg(target_os = "linux")]
#[derive(Debug, Args)]
pub struct TopArguments {
    /// Put together what has this in common: program, name, rule, user or place
    #[arg(long, value_name = "WHAT", default_value = "program")]
    pub by: Together,
    /// Look again after so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub every: u64,
    /// Add up what was carried in this time: 10m, 24h, 7d
    #[arg(long, value_name = "TIME", default_value = "1h")]
    pub since: Time,
    /// Show at most so many lines
    #[arg(long, value_name = "LINES", default_value_t = 20)]
    pub lines: usize,
    /// Look once, and end
    #[arg(long)]
    pub once: bool,
    /// Print one JSON object for each look
    #[arg(long)]
    pub json: bool,
    /// Where the service is.
    #[command(flatten)]
    pub service: SocketArguments,
}

/// `gatebell history`.
#[cfg(target_os = "linux")]
#[derive(Debug, Args)]
pub struct HistoryArguments {
    /// Only what happened in this time: 10m, 24h, 7d
    #[arg(long, value_name = "TIME", default_value = "1d")]
    pub since: Time,
    /// Of what.
    #[command(flatten)]
    pub only: FilterArguments,
    /// Only what programs did that had never talked before, or whose file has changed since they had
    #[arg(long)]
    pub first: bool,
    /// Put together what has this in common: program, name, rule, user or place
    #[arg(long, value_name = "WHAT")]
    pub by: Option<Together>,
    /// Print one JSON object for each line
    #[arg(long)]
    pub json: bool,
    /// Print it as CSV, with a line of names first
    #[arg(long, conflicts_with = "json")]
    pub csv: bool,
    /// Where the service is.
    #[command(flatten)]
    pub service: SocketArguments,
}

/// What is put together, by its name.
#[cfg(target_os = "linux")]
#[derive(Clone, Copy, Debug)]
pub struct Together(pub By);

#[cfg(target_os = "linux")]
impl FromStr for Together {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = By::ALL.into_iter().find(|by| by.name() == text);
        found
            .map(Self)
            .ok_or_else(|| "it is program, name, rule, user or place".to_owned())
    }
}

/// A kind of record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum RecordKind {
    /// Packets
    Packet,
    /// Programs that start
    Start,
    /// Processes that end
    Exit,
}

/// A time in whole seconds, as people write it: 60s, 5m, 1h, 7d.
#[cfg(target_os = "linux")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time(pub Duration);

#[cfg(target_os = "linux")]
impl FromStr for Time {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let units = [("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)];
        let (number, unit) = units
            .iter()
            .find_map(|(name, unit)| Some((text.strip_suffix(name)?, *unit)))
            .unwrap_or((text, 1));
        let count: Option<u64> = number.parse().ok().filter(|count| *count > 0);
        let seconds = count.and_then(|count| count.checked_mul(unit));
        seconds
            .map(|seconds| Self(Duration::from_secs(seconds)))
            .ok_or_else(|| "write it like 60s, 5m, 1h or 7d".to_owned())
    }
}

/// `gatebell rules check`.
#[derive(Debug, Args)]
pub struct CheckArguments {
    /// Rule files; - is standard input
    #[arg(required = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub files: Vec<PathBuf>,
    /// The rules are for another machine: say nothing of what they would cut off here
    #[arg(long)]
    pub elsewhere: bool,
    /// Print one JSON object for each finding, nothing else
    #[arg(long)]
    pub json: bool,
}

/// `gatebell rules show`.
#[derive(Debug, Args)]
pub struct ShowArguments {
    /// The rule file; - is standard input; left out: the rules in force
    #[arg(value_hint = ValueHint::FilePath)]
    pub file: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// Where the service is.
    #[cfg(target_os = "linux")]
    #[command(flatten)]
    pub service: SocketArguments,
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
  gatebell dry-run new.toml --history --since 7d           (what would have become of what happened?)
  gatebell dry-run rules.toml --pcap trace.pcap --quiet --expect blocked=3,rule:no-telnet=2

Exit codes:
  0  the whole capture was read, and what was expected holds; or what was kept was judged
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
    #[cfg_attr(target_os = "linux", arg(required_unless_present = "history"))]
    #[cfg_attr(not(target_os = "linux"), arg(required = true))]
    pub pcap: Option<PathBuf>,
    /// In the place of a capture what really happened, as the service kept it: what RULES would have done to it
    #[cfg(target_os = "linux")]
    #[arg(long, conflicts_with_all = ["pcap", "zone", "against", "expect"])]
    pub history: bool,
    /// With --history: only what happened in this time: 10m, 24h, 7d
    #[cfg(target_os = "linux")]
    #[arg(long, value_name = "TIME", default_value = "7d")]
    pub since: Time,
    /// The protected addresses, prefixes or ranges: what comes from them goes out, what goes to them comes in. Needed unless the capture itself
    /// says which way each packet went (Linux cooked, pcapng with flags)
    #[arg(long, value_name = "ADDRESSES,…", value_delimiter = ',')]
    pub zone: Vec<Addresses>,
    /// The rules as they are now: print only the packets about which RULES decides otherwise
    #[arg(long, value_name = "OTHER", value_hint = ValueHint::FilePath)]
    pub against: Option<PathBuf>,
    /// Fail unless these numbers come out; see below
    #[arg(long, value_name = "NAME=NUMBER,…")]
    pub expect: Vec<Expectations>,
    /// Judge with what has joined sets by now, as the running service says it: gatebell set list
    #[cfg(target_os = "linux")]
    #[arg(long)]
    pub joined: bool,
    /// Print the summary only
    #[arg(long, short)]
    pub quiet: bool,
    /// Print one JSON object for each packet, or for each line of what would change, and last the summary
    #[arg(long)]
    pub json: bool,
    /// Where the service is.
    #[cfg(target_os = "linux")]
    #[command(flatten)]
    pub service: SocketArguments,
}

const WHY_HELP: &str = "\
Examples:
  gatebell why rules.toml --packet 'out tcp 10.0.0.2:50000 -> 10.0.0.1:23'
  gatebell why rules.toml --packet 'in udp [fd00::1]:53 -> [fd00::2]:50000'
  gatebell why rules.toml --packet 'in icmp 10.0.0.1 -> 10.0.0.2 type echo-request'
  gatebell why rules.toml --packet 'out 47 10.0.0.2 -> 10.0.0.1'
  gatebell why rules.toml --packet 'in tcp 10.0.0.1 -> 10.0.0.2 fragment'
  gatebell why rules.toml --packet 'out tcp 10.0.0.2:50000 -> 10.0.0.1:443 user alice program /usr/bin/curl interface eth0'
  gatebell why --packet 'out tcp 10.0.0.2:50000 -> 10.0.0.1:23'      (by the rules in force)
  gatebell why --last                                                (what was refused just now)

Exit codes:
  0  the question is answered, whatever the verdict
  1  the rule file has errors, there is no service to ask, or no such packet
  2  the command line is wrong";

/// `gatebell why`.
#[derive(Debug, Args)]
#[group(skip)]
#[command(group = clap::ArgGroup::new("asked").required(true))]
pub struct WhyArguments {
    /// The rule file; - is standard input; left out: the rules in force
    #[arg(value_hint = ValueHint::FilePath)]
    pub rules: Option<PathBuf>,
    /// The packet, as the dry run prints it: DIRECTION PROTOCOL SOURCE -> DESTINATION; in and out are seen from what is
    /// protected. Behind it may stand who is at that end: user NAME, program PATH, interface NAME
    #[arg(long, value_name = "PACKET", group = "asked")]
    pub packet: Option<Question>,
    /// A packet as `gatebell watch --json` printed it; - is standard input
    #[arg(long, value_name = "JSON", group = "asked")]
    pub record: Option<String>,
    /// The last refused packet that `gatebell watch` showed you
    #[cfg(target_os = "linux")]
    #[arg(long, group = "asked")]
    pub last: bool,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// Where the service is.
    #[cfg(target_os = "linux")]
    #[command(flatten)]
    pub service: SocketArguments,
}

/// The command line as a whole, for the manual.
#[must_use]
pub fn command() -> clap::Command {
    Arguments::command()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        let read = |text: &str| text.parse::<Time>().ok().map(|time| time.0.as_secs());
        assert_eq!(
            ["60s", "5m", "1h", "7d", "90"].map(read),
            [Some(60), Some(300), Some(3600), Some(604_800), Some(90)]
        );
        assert_eq!(
            ["", "s", "0s", "-1s", "1.5s", "99999999999999999h"].map(read),
            [None; 6]
        );
    }
}
