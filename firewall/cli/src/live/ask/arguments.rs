//! Arguments of `gatebell ask`.

use crate::arguments::Time;
use clap::{Args, ValueHint};
use firewall_abi::asking::Width;
use firewall_abi::packet::Verdict;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// Text below the command's help.
pub const HELP: &str = "\
Examples:
  gatebell ask                                       shows and asks, until q or Ctrl-C
  gatebell ask --list --json                         what waits, one JSON object for each
  gatebell ask --answer 7 allow --for 1h --width port
  gatebell ask --answer 7 block --for always --width anywhere
  gatebell ask --answer 7 allow --listed 2           to what it lists up to 2, and not to what came since

Exit codes:
  0  it is as you asked
  1  no such question waits, or you may not answer it, or there is no service
  2  the command line is wrong";

/// `gatebell ask`.
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
    /// How long the answer holds: connection (for the one that asks alone), 60s, 10m, 2h, program (until the process
    /// that asks ends), restart (until the service starts again) or always; if left out, 10m. To a link-local address:
    /// connection, program, or 1h at most
    #[arg(long = "for", value_name = "TIME", requires = "answer")]
    pub lasts: Option<AnswerTime>,
    /// What it is about: endpoint (address, protocol and port), address, port, or anywhere
    #[arg(long, default_value = "endpoint", requires = "answer")]
    pub width: AnswerWidth,
    /// The last place that you were shown, where --list numbers them: the answer is to the places up to that one
    #[arg(long, value_name = "NUMBER", requires = "answer")]
    pub listed: Option<u64>,
    /// The service's control socket
    #[arg(long, value_name = "PATH", default_value = control::SOCKET, value_hint = ValueHint::FilePath)]
    pub socket: PathBuf,
    /// Print one JSON object for each question
    #[arg(long)]
    pub json: bool,
}

impl QuestionArguments {
    /// Returns whether the command waits for questions and for typed lines.
    pub(crate) const fn sits(&self) -> bool {
        !self.list && self.answer.is_none()
    }
}

/// An answer.
#[derive(Clone, Copy, Debug)]
pub struct Yes(pub Verdict);

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

/// Lifetime of an answer.
#[derive(Clone, Copy, Debug)]
pub enum AnswerTime {
    Connection,
    Process,
    For(Duration),
    UntilRestart,
    Always,
}

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

/// Width of an answer: the connections that it is about.
#[derive(Clone, Copy, Debug)]
pub struct AnswerWidth(pub Width);

impl FromStr for AnswerWidth {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Width::ALL.into_iter().find(|width| width.name() == text);
        found
            .map(Self)
            .ok_or_else(|| "it is endpoint, address, port or anywhere".to_owned())
    }
}
