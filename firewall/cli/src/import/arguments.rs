//! `gatebell rules import` as it is asked.

use super::Kind;
use clap::{Args, ValueHint};
use std::path::PathBuf;

/// Text below the command's help.
pub const HELP: &str = "\
Examples:
  cat /etc/default/ufw /etc/ufw/user.rules /etc/ufw/user6.rules | gatebell rules import - > rules.toml
  (iptables-save; ip6tables-save) | gatebell rules import - > rules.toml
  nft list ruleset | gatebell rules import - > rules.toml
  firewall-cmd --list-all-zones | gatebell rules import --from firewalld - > rules.toml
  gatebell rules check rules.toml

What is read: OpenSnitch's rules (JSON), ufw's user.rules and user6.rules, iptables-save and ip6tables-save, nft list ruleset, \
firewall-cmd --list-all and --list-all-zones, simplewall's profile.xml, Portmaster's exports (JSON), Little Snitch's .lsrules.

Exit codes:
  0  all of it is said in the rules that are printed
  1  something could not be said, and is a comment there; or the file is not understood at all
  2  the command line is wrong";

/// `gatebell rules import`.
#[derive(Debug, Args)]
pub struct ImportArguments {
    /// The other firewall's file; - is standard input
    #[arg(value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// What it is from, if that is not seen right
    #[arg(long, value_name = "KIND")]
    pub from: Option<Kind>,
    /// Print one JSON object: the text, and what could not be said
    #[arg(long)]
    pub json: bool,
}
