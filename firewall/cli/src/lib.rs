//! The command line: what needs no driver and no privileges, on every system alike; and, on Linux, what asks the running
//! service or is told by the driver ([`live`]).
//!
//! It may depend on `firewall_abi`, `engine`, `rules`, `store`, on `control` for its client, and on `view` for words; [`live`] on `channel` too. What
//! a rule file means is not decided here: the verdicts are the engine's, those of the kernel's driver, and what is wrong with a file is what `rules` says.
//!
//! Rules that hold here:
//! - Results go to standard output, everything else to standard error. A reader that goes away is no error.
//! - Exit codes: 0, it is as you asked; 1, it is not, and a message says what to do; 2, the command line is wrong.
//! - A capture and a rule file are foreign bytes: any of them gives an answer or an [`Error`], none a panic, and no file
//!   but a rule file is held in memory as a whole.
#![forbid(unsafe_code)]

mod arguments;
mod as_if;
pub mod capture;
mod check;
mod connections;
mod dry_run;
mod edit;
mod error;
mod flow;
mod here;
mod import;
#[cfg(target_os = "linux")]
mod live;
mod loopback;
mod manual;
mod miss;
mod progress;
mod record;
mod rule_file;
mod schema;
mod show;
mod style;
mod verdict;
mod why;
mod zone;

pub use arguments::{Arguments, Command, RulesCommand, command};
pub use error::Error;
pub use flow::{FlowText, Question, Who};

use clap::Parser;
use std::ffi::OsString;
use std::io::{self, BufWriter, Write};

/// The command line that this process was given; ends the process with 2 if it makes no sense.
#[must_use]
pub fn parse() -> Arguments {
    Arguments::parse()
}

/// The same for these words, the program's own name first.
#[must_use]
pub fn parse_from(words: impl IntoIterator<Item = OsString>) -> Arguments {
    Arguments::parse_from(words)
}

/// Does what the command line asks; the process's exit code.
#[must_use]
pub fn run(arguments: &Arguments) -> u8 {
    let mut out = BufWriter::with_capacity(1 << 16, anstream::stdout().lock());
    let done = perform(&arguments.command, &mut out);
    let done = done.and_then(|code| out.flush().map(|()| code).map_err(Error::Output));
    match done {
        Ok(code) => code,
        // Whoever read our output has seen enough.
        Err(Error::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => 0,
        Err(error) => {
            // What was found out before stands first. If nobody can read it, the message still matters.
            let _unread = out.flush();
            let _unheard = writeln!(anstream::stderr(), "{}error:{0:#} {error}", style::ERROR);
            1
        }
    }
}

/// Does what a command asks and writes its result; 0 or 1.
///
/// # Errors
/// What kept it from being done.
pub fn perform(command: &Command, out: &mut dyn Write) -> Result<u8, Error> {
    match command {
        Command::Rules {
            command: RulesCommand::Check(arguments),
        } => check::run(arguments, out),
        Command::Rules {
            command: RulesCommand::Show(arguments),
        } => show::run(arguments, out),
        Command::Rules {
            command: RulesCommand::Change(command),
        } => edit::run(command, out),
        Command::Rules {
            command: RulesCommand::Import(arguments),
        } => import::run(arguments, out),
        Command::Rules {
            command: RulesCommand::Schema,
        } => schema::run(out),
        #[cfg(target_os = "linux")]
        Command::Rules {
            command: RulesCommand::Apply(arguments),
        } => live::apply(arguments, out),
        #[cfg(target_os = "linux")]
        Command::Rules {
            command: RulesCommand::Confirm(arguments),
        } => live::confirm(arguments, out),
        #[cfg(target_os = "linux")]
        Command::Rules {
            command: RulesCommand::Revert(arguments),
        } => live::revert(arguments, out),
        #[cfg(target_os = "linux")]
        Command::Status(arguments) => live::status(arguments, out),
        #[cfg(target_os = "linux")]
        Command::Networks(arguments) => live::networks(arguments, out),
        #[cfg(target_os = "linux")]
        Command::Watch(arguments) => live::watch(arguments, out),
        #[cfg(target_os = "linux")]
        Command::History(arguments) => live::history(arguments, out),
        #[cfg(target_os = "linux")]
        Command::Top(arguments) => live::top(arguments, out),
        #[cfg(target_os = "linux")]
        Command::Ask(arguments) => live::ask(arguments, out),
        #[cfg(target_os = "linux")]
        Command::Answers(arguments) => live::answers(arguments, out),
        #[cfg(target_os = "linux")]
        Command::Set { command } => live::set(command, out),
        #[cfg(target_os = "linux")]
        Command::Audit(arguments) => live::audit(arguments, out),
        #[cfg(target_os = "linux")]
        Command::Recover(arguments) => live::recover(arguments, out),
        #[cfg(target_os = "linux")]
        Command::Stats(arguments) => live::stats(arguments, out),
        Command::DryRun(arguments) => dry_run::run(arguments, out),
        Command::Test(arguments) => verdict::run(arguments, out),
        Command::Why(arguments) => why::run(arguments, out),
        Command::Manual { directory } => manual::run(directory, out),
    }
}
