//! Rule text: parsed, checked with the place of each error, compiled to the engine's tables.
//!
//! One TOML file is the whole configuration. This crate reads no file and asks no kernel: the service, the dry run and
//! the command line hand it text. It may depend on `contract`, `engine` and a TOML parser.
//!
//! Rules that hold here:
//! - A file is taken whole or not at all, and all that is wrong with it is said at once: file, line, column, what is
//!   wrong and what would be right.
//! - Nothing is guessed: an unknown key is an error, a default that is not written is one too.
//! - What was parsed can be compiled: whatever could fail failed in [`parse`].
//!
//! # The keys
//! ```toml
//! version = 1                  # of this format; may be left out
//!
//! [default]                    # for packets that no rule matches; refused ones are reported
//! inbound = "block"
//! outbound = "allow"
//!
//! [[rule]]                     # tried in this order, the first that matches decides
//! id = "web"                   # its name in records and messages
//! action = "allow"             # or "block"
//! direction = "in"             # or "out"; both if left out
//! protocol = "tcp"             # tcp, udp, icmp, icmpv6, a number, or a list of them; any if left out
//! source = ["192.0.2.0/24", "2001:db8::/32"]   # an address, a prefix, or a list; any if left out
//! destination = "198.51.100.7"
//! ports = [80, 443, "8000-8080"]               # the ones it goes to: with tcp and udp only
//! source_ports = "1024-65535"                  # the ones it comes from
//! log = true                   # reported? if left out: blocked packets are, allowed ones are not
//! enabled = true
//! comment = "what it is for"
//!
//! [[rule]]
//! id = "ping"
//! action = "allow"
//! protocol = "icmp"            # one protocol: the types of icmp and icmpv6 have different numbers
//! icmp_type = "echo-request"   # or a number, or a list
//! ```
#![forbid(unsafe_code)]

mod address;
mod compile;
mod ports;
mod protocol;
mod read;
mod report;
mod shadow;

pub use address::Network;
pub use compile::Table;
pub use protocol::Protocol;
pub use report::{Errors, Finding};

use contract::packet::{Direction, Verdict};
use contract::rules::PortRange;

/// A rule file that was read and found right.
#[derive(Clone, Debug)]
pub struct Rules {
    inbound: Verdict,
    outbound: Verdict,
    rules: Vec<Rule>,
    warnings: Vec<Finding>,
}

/// One rule. An empty list takes anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name, unlike any other's in the file.
    pub id: String,
    /// The line that its name stands in.
    pub line: usize,
    /// What becomes of packets that it matches.
    pub action: Verdict,
    /// The one direction it holds for.
    pub direction: Option<Direction>,
    /// Protocols.
    pub protocols: Vec<Protocol>,
    /// Where packets come from.
    pub sources: Vec<Network>,
    /// Where they go.
    pub destinations: Vec<Network>,
    /// Ports they come from.
    pub source_ports: Vec<PortRange>,
    /// Ports they go to.
    pub ports: Vec<PortRange>,
    /// ICMP types.
    pub icmp_types: Vec<u8>,
    /// Whether its packets are reported.
    pub log: bool,
    /// Whether it is tried at all.
    pub enabled: bool,
    /// What it is for.
    pub comment: Option<String>,
}

/// Reads a rule file's text. `name` is what the file is called in messages.
///
/// # Errors
/// All that is wrong with the text.
pub fn parse(name: &str, text: &str) -> Result<Rules, Errors> {
    let mut report = report::Report::new(name, text);
    let rules = read::file(text, &mut report);
    report.close()?;
    let warnings = shadow::warnings(name, &rules.rules);
    Ok(Rules { warnings, ..rules })
}

impl Rules {
    /// The rule that a decision names: its place in the file, from 0.
    #[must_use]
    pub fn rule(&self, number: u32) -> Option<&Rule> {
        self.rules.get(usize::try_from(number).ok()?)
    }

    /// Every rule in order, the disabled ones too.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Rule> {
        self.rules.iter()
    }

    /// What is not wrong but hardly meant: rules that can never match.
    #[must_use]
    pub fn warnings(&self) -> &[Finding] {
        &self.warnings
    }

    /// What packets get that no rule matches.
    #[must_use]
    pub fn default_for(&self, direction: Direction) -> Verdict {
        match direction {
            Direction::Inbound => self.inbound,
            Direction::Outbound => self.outbound,
        }
    }

    /// The tables of these rules, as a generation with this number (from 1).
    #[must_use]
    pub fn compile(&self, generation: u32) -> Table {
        compile::table(self, generation)
    }
}
