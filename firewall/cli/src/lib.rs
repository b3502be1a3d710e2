//! The command line: what needs no driver and no privileges, on every system alike; and, on Linux, what asks the
//! running service or is told by the driver ([`live`]).
//!
//! It may depend on `firewall_abi`, `engine`, `rules`, `store`, on `control` for its client, and on `view` for words;
//! [`live`] on `channel` too. What a rule file means is not decided here: the verdicts are the engine's, those of the
//! kernel's driver, and what is wrong with a file is what `rules` says.
//!
//! Rules that hold here:
//! - Results go to standard output, everything else to standard error. A reader that goes away is no error and no
//!   answer: what was asked for is done, and the exit code is what was found out.
//! - Exit codes: 0, it is as you asked; 1, it is not, and a message says what to do; 2, the command line is wrong.
//! - A capture and a rule file are foreign bytes: any of them gives an answer or an [`Error`], none a panic, and no
//!   file but a rule file is held in memory as a whole.
//! - What is foreign, names of files too, is shown as [`rules::clean`] has it; JSON and rule files have it as it is.
#![forbid(unsafe_code)]

mod arguments;
mod as_if;
pub mod capture;
mod check;
mod columns;
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
mod outputs;
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
pub use flow::{FlowText, PacketQuestion, Who};

use clap::Parser;
use outputs::{Results, say};
use std::ffi::OsString;
use std::io::Write;

/// The command line that this process was given; ends the process with 2 if it makes no sense.
#[must_use]
pub fn parse() -> Arguments {
    Arguments::parse()
}

/// Parses the given words as [`parse`] does the process's arguments; the program's own name comes first.
#[must_use]
pub fn parse_from(words: impl IntoIterator<Item = OsString>) -> Arguments {
    Arguments::parse_from(words)
}

/// Does what the command line asks; the process's exit code.
#[must_use]
pub fn run(arguments: &Arguments) -> u8 {
    let command = &arguments.command;
    let mut out = Results::new(anstream::stdout().lock(), command.only_shows());
    let done = perform(command, &mut out);
    // What was found out stands before what is said of it.
    let read = out.flush();
    let error = match (done, read) {
        (Ok(code), Ok(())) => return code,
        (Ok(code), Err(_)) if out.are_unread() => return code,
        // It only shows, and whoever read has seen enough.
        (Err(Error::Output(_)), _) if out.are_unread() => return 0,
        (Ok(_), Err(error)) => Error::Output(error),
        (Err(error), _) => error,
    };
    let text = rules::clean_lines(&error.to_string());
    say(format_args!("{}error:{0:#} {text}", style::ERROR));
    1
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
