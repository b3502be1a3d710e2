//! `gatebell dry-run` as it is asked.

use super::expect::Expectations;
#[cfg(target_os = "linux")]
use crate::arguments::{SocketArguments, Time};
use crate::as_if::AsIfArguments;
use clap::{Args, ValueHint};
use rules::Addresses;
use std::path::PathBuf;

/// Text below the command's help.
pub const HELP: &str = "\
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
  0  the whole capture was read, and what was expected holds; or what was kept was judged; or nothing was expected, and whoever read \
     what is printed has seen enough
  1  an expectation does not hold, the capture is cut off or damaged, a rule file has errors
  2  the command line is wrong";

/// `gatebell dry-run`.
#[derive(Debug, Args)]
#[group(skip)]
#[command(group = clap::ArgGroup::new("tried").required(true))]
pub struct DryRunArguments {
    /// The rule file
    #[arg(value_hint = ValueHint::FilePath)]
    pub rules: PathBuf,
    /// The capture, pcap or pcapng; - is standard input
    #[arg(long, value_name = "FILE", group = "tried", value_hint = ValueHint::FilePath)]
    pub pcap: Option<PathBuf>,
    /// In the place of a capture what really happened, as the service kept it: what RULES would have done to it
    #[cfg(target_os = "linux")]
    #[arg(long, group = "tried", conflicts_with_all = ["zone", "against", "expect"])]
    pub history: bool,
    /// With --history: only what happened in this time: 10m, 24h, 7d
    #[cfg(target_os = "linux")]
    #[arg(long, value_name = "TIME", default_value = "7d")]
    pub since: Time,
    /// The protected addresses, prefixes or ranges: what comes from them goes out, what goes to them comes in. Needed
    /// unless the capture itself says which way each packet went (Linux cooked, pcapng with flags)
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
    /// Networks for which the rules judge.
    #[command(flatten)]
    pub networks: AsIfArguments,
    /// Print the summary only
    #[arg(long, short)]
    pub quiet: bool,
    /// Print one JSON object for each packet, or for each line of what would change, and last the summary
    #[arg(long)]
    pub json: bool,
    /// Control socket of the service.
    #[cfg(target_os = "linux")]
    #[command(flatten)]
    pub service: SocketArguments,
}
