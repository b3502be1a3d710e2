//! Arguments of the command line, of which the manual pages and completions are generated too.

use crate::check::CheckArguments;
use crate::dry_run::{self, DryRunArguments};
use crate::edit::EditCommand;
use crate::import::{self, ImportArguments};
#[cfg(target_os = "linux")]
use crate::live;
use crate::show::ShowArguments;
use crate::verdict::{self, TestArguments};
use crate::why::{self, WhyArguments};
#[cfg(target_os = "linux")]
use clap::Args;
use clap::builder::styling::{AnsiColor, Styles};
use clap::{CommandFactory, Parser, Subcommand, ValueHint};
use std::path::PathBuf;
#[cfg(target_os = "linux")]
use std::str::FromStr;
#[cfg(target_os = "linux")]
use std::time::Duration;

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
    /// Command to run.
    #[command(subcommand)]
    pub command: Command,
}

/// Commands of `gatebell`.
#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "made once in a run")]
pub enum Command {
    /// Say how the firewall is: rules in force, lease, zone, devices, memory
    #[cfg(target_os = "linux")]
    #[command(after_help = live::status::HELP)]
    Status(AskArguments),
    /// Show packets and programs as it happens, until Ctrl-C
    ///
    /// Each record is shown where it happened, and so is each loss, with its number and cause. At the end stand the
    /// books: how many records the driver offered, committed and lost, and how many were delivered.
    /// A service that ends is waited for.
    #[cfg(target_os = "linux")]
    #[command(after_help = live::watch::HELP)]
    Watch(live::watch::WatchArguments),
    /// Show what happened before, as the service kept it: who talked with whom, what became of it, how often
    ///
    /// What was refused, asked about or reported is kept, and what was allowed, with how much it carried: by the minute
    /// for a day, then by the hour, then by the day, within the bounds that gatebelld was started with. Root sees
    /// everything, others what programs did that ran as them.
    #[cfg(target_os = "linux")]
    #[command(after_help = live::history::HELP)]
    History(live::history::HistoryArguments),
    /// Show who sends and gets how much, as it happens
    ///
    /// By what each packet of what is allowed carries, from its IP header on. The driver counts it, and is asked each
    /// time; the sums are the history's. Root sees everything, others what their own programs do.
    #[cfg(target_os = "linux")]
    #[command(after_help = live::top::HELP)]
    Top(live::top::TopArguments),
    /// Check rule files, show what they mean, put them in force, print their schema
    #[command(after_help = EXIT_CODES)]
    Rules {
        /// Subcommand to run.
        #[command(subcommand)]
        command: RulesCommand,
    },
    /// Judge the packets of a capture by a rule file, with the engine that the kernel runs
    ///
    /// Prints each packet's verdict and the rule and reason for it, then how often each rule decided. Replies to what
    /// was allowed pass, as in the driver: the originator's packets are judged by the rules, the other end's pass as
    /// replies. A capture does not show users, programs and devices: rules that ask for them match nothing.
    /// Nothing of this machine is changed.
    #[command(after_help = dry_run::HELP)]
    DryRun(DryRunArguments),
    /// Say what the rules decide about a connection, by name or address: is it allowed, and by which rule
    ///
    /// Nothing is sent: of a name, the system's resolver is asked for its addresses. Where the connection would come
    /// from is what the system would choose, and port 50000; `gatebell why` takes all of a packet and says more.
    #[command(after_help = verdict::HELP)]
    Test(TestArguments),
    /// Say which rule decides about a packet, why those before it do not, and how to change that
    #[command(after_help = why::HELP)]
    Why(WhyArguments),
    /// Answer what the rules ask about (action = "ask"), in a terminal
    ///
    /// Shows what waits for an answer as it comes, and takes an answer for each line that is typed: a allows, b blocks,
    /// for 10 minutes and this endpoint; more keys say more. Root answers everything,
    /// others what is asked about programs that run as them.
    #[cfg(target_os = "linux")]
    #[command(after_help = live::ask::HELP)]
    Ask(live::ask::QuestionArguments),
    /// Show the answers that hold, with who gave them and for how long, and take them back
    ///
    /// Root sees all of them, others those about programs that run as them.
    #[cfg(target_os = "linux")]
    #[command(after_help = live::answers::HELP, args_conflicts_with_subcommands = true)]
    Answers(live::answers::AnswersArguments),
    /// Add addresses to a set of the rules in force, for a while or for good, and take them out again
    ///
    /// In force at once: no rules are read again. The rule file stays as it is, and what it has in a set stays there.
    #[cfg(target_os = "linux")]
    #[command(after_help = live::set::HELP)]
    Set {
        /// Subcommand to run.
        #[command(subcommand)]
        command: live::set::SetCommand,
    },
    /// Say which of the rules' networks is there, by what that is known, and which rules are on for it
    ///
    /// A network is known by the default route that leads out of it: `[[network]]` in the rule file. What is shown of
    /// the routes is what such a table may ask for.
    #[cfg(target_os = "linux")]
    #[command(after_help = live::networks::HELP)]
    Networks(AskArguments),
    /// Check that every record is accounted for, app by app
    ///
    /// Of each app that is attached, and of those that are gone: what the driver offered is what it committed and what
    /// it lost, by cause. Root sees every app, others their own.
    #[cfg(target_os = "linux")]
    #[command(after_help = live::audit::HELP)]
    Audit(AskArguments),
    /// Take the firewall out of the kernel, whatever state it is in: nothing is filtered any more
    ///
    /// Ends the service, and takes out its programs, filters and tables. Works as well if the service was killed, has
    /// never started, or was of another release; twice in a row is fine. The rule file stays.
    #[cfg(target_os = "linux")]
    #[command(after_help = live::recover::HELP)]
    Recover(live::recover::RecoverArguments),
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

impl Command {
    /// Returns whether the command only shows, without an end of its own: it ends once nobody reads its output.
    pub(crate) fn only_shows(&self) -> bool {
        match self {
            #[cfg(target_os = "linux")]
            Self::Watch(_) | Self::Top(_) => true,
            // What nobody was shown, nobody answers.
            #[cfg(target_os = "linux")]
            Self::Ask(arguments) => arguments.sits(),
            // What was expected is to be found out, whoever reads.
            Self::DryRun(arguments) => arguments.expect.is_empty(),
            _ => false,
        }
    }
}

/// Commands for rule files.
#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "made once in a run")]
pub enum RulesCommand {
    /// Find all that is wrong with rule files, each with its line and column and what would be right
    ///
    /// Rules that can never match, because one before them takes all of their packets, are warnings, and so are sets
    /// that no rule asks for and programs that are not there.
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
    /// The file is checked first, and what changes is printed. With a lease the rules that were confirmed return by
    /// themselves unless `gatebell rules confirm` comes in time: also if you have locked yourself out, the service has
    /// ended or the machine is restarted.
    #[cfg(target_os = "linux")]
    #[command(after_help = live::apply::HELP)]
    Apply(live::apply::ApplyArguments),
    /// Keep the rules that a lease tries out
    #[cfg(target_os = "linux")]
    #[command(after_help = EXIT_CODES)]
    Confirm(LeaseArguments),
    /// End a lease now: the rules that were confirmed return
    #[cfg(target_os = "linux")]
    #[command(after_help = EXIT_CODES)]
    Revert(LeaseArguments),
    /// Print the rules of another firewall as a rule file of ours
    ///
    /// What can't be said in our words is a comment with its reason; nothing is left out, guessed or widened.
    /// Nothing of this machine is changed.
    #[command(after_help = import::HELP)]
    Import(ImportArguments),
    /// Print the JSON Schema of rule files, for editors that complete and check TOML
    ///
    /// Save it, and name it in the first line of a rule file: #:schema ./gatebell-rules.schema.json
    #[command(after_help = EXIT_CODES)]
    Schema,
}

/// Lease that is confirmed or ended.
#[cfg(target_os = "linux")]
#[derive(Debug, Args)]
pub struct LeaseArguments {
    /// The generation that was to be tried out: where others are by now, nothing is changed
    #[arg(value_name = "GENERATION")]
    pub generation: Option<u32>,
    /// Control socket of the service.
    #[command(flatten)]
    pub service: SocketArguments,
}

/// Arguments that name the control socket of the running service.
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

/// A time in whole seconds, as people write it: 60s, 5m, 1h, 7d.
#[cfg(target_os = "linux")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time(pub Duration);

#[cfg(target_os = "linux")]
impl FromStr for Time {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        rules::words::time(text).map(Self)
    }
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
