//! `gatebell test`: what the rules decide about a connection that somebody would begin.
//!
//! It is the question that `gatebell why` answers, for who does not want to know a source address and port to ask it.

use crate::Error;
use crate::as_if::AsIfArguments;
use crate::flow::PacketQuestion;
use crate::here::Here;
use crate::loopback::{NOT_JUDGED, OwnAddresses};
use crate::rule_file::{RuleFile, RuleSource};
use crate::why::Answer;
use clap::{Args, ValueHint};
use firewall_abi::packet::{Direction, Verdict};
use rules::Protocol;
use serde_json::json;
use std::collections::BTreeSet;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::path::PathBuf;

/// Text below the command's help.
pub const HELP: &str = "\
Examples:
  gatebell test out tcp example.org:443
  gatebell test out tcp 192.0.2.7:22 program /usr/bin/ssh user alice
  gatebell test in tcp 203.0.113.9:22                    (may 203.0.113.9 come to port 22 here?)
  gatebell test out icmp 192.0.2.7 --file rules.toml     (an echo request)
  gatebell test in tcp 192.0.2.7:22 --as-if home         (and were the network `home` there?)

Exit codes:
  0  it is allowed; a name: at each of its addresses
  3  it is refused; a name: at one of its addresses at least
  1  there is no answer: errors in the rule file, no such name, no service
  2  the command line is wrong";

/// The port that a connection comes from where nobody says: one of those that systems give out.
const SOURCE_PORT: u16 = 50_000;
/// Port to which a UDP socket is connected to learn the route; nothing is sent.
const ANY_PORT: u16 = 9;
/// The exit code for what is refused.
const REFUSED: u8 = 3;

/// `gatebell test`.
#[derive(Debug, Args)]
pub struct TestArguments {
    /// Which way the connection goes, seen from this machine: in or out
    #[arg(value_name = "in|out", value_parser = rules::words::direction)]
    pub direction: Direction,
    /// tcp, udp, sctp, dccp, udplite, icmp, icmpv6 or a number
    pub protocol: String,
    /// The other end, by address or name, and the port that is gone to: example.org:443, 192.0.2.7:22, [2001:db8::1]:53
    #[arg(value_name = "HOST[:PORT]")]
    pub end: String,
    /// Who is at this end: user NAME, program PATH, interface NAME; of icmp before it the type: type echo-request
    #[arg(value_name = "WHO", num_args = 0..)]
    pub who: Vec<String>,
    /// The rule file; - is standard input; left out: the rules in force
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: Option<PathBuf>,
    /// Print one JSON object for each address
    #[arg(long)]
    pub json: bool,
    /// Networks for which the rules judge.
    #[command(flatten)]
    pub networks: AsIfArguments,
    /// Control socket of the service.
    #[cfg(target_os = "linux")]
    #[command(flatten)]
    pub service: crate::arguments::SocketArguments,
}

/// Answers; by the exit code too.
pub fn run(arguments: &TestArguments, out: &mut dyn Write) -> Result<u8, Error> {
    let mut questions = arguments.questions().map_err(Error::Test)?;
    let source = arguments.source()?;
    let here = Here::beside(&source.place);
    let mut file = RuleFile::understand(&source, &here)?;
    match arguments.file {
        Some(_) => arguments.networks.put_or_say(&mut file)?,
        None => arguments.networks.put(&mut file)?,
    }
    let own = OwnAddresses::here();
    let mut refused = false;
    for Asked { address, question } in &mut questions {
        if own.pass_unseen(question, &file) {
            say_loopback(arguments.json, *address, out)?;
            continue;
        }
        let local = question.1.local(&here).map_err(Error::Test)?;
        let answer = Answer::find(&file, question, local);
        refused |= answer.verdict() != Verdict::Allow;
        if arguments.json {
            writeln!(out, "{}", answer.object())?;
        } else {
            answer.print_verdict(out)?;
        }
    }
    Ok(if refused { REFUSED } else { 0 })
}

fn say_loopback(json: bool, address: IpAddr, out: &mut dyn Write) -> Result<(), Error> {
    if json {
        let object =
            json!({ "packet": address, "verdict": "allow", "rule": null, "loopback": true });
        writeln!(out, "{object}")?;
    } else {
        writeln!(out, "{address}\n  {NOT_JUDGED}")?;
    }
    Ok(())
}

/// A question about one address.
struct Asked {
    address: IpAddr,
    question: PacketQuestion,
}

impl TestArguments {
    #[cfg(target_os = "linux")]
    fn source(&self) -> Result<RuleSource, Error> {
        RuleSource::given(self.file.as_deref(), &self.service)
    }

    #[cfg(not(target_os = "linux"))]
    fn source(&self) -> Result<RuleSource, Error> {
        RuleSource::given(self.file.as_deref())
    }

    fn questions(&self) -> Result<Vec<Asked>, String> {
        if self.direction == Direction::Forward {
            return Err(
                "what is forwarded has two other ends: ask about both, with gatebell why"
                    .to_owned(),
            );
        }
        let number = self.protocol.parse().map(Protocol);
        let protocol = number.or_else(|_| Protocol::named(&self.protocol))?;
        let (host, port) = self.host(protocol)?;
        let addresses: Vec<_> = addresses(host)?
            .into_iter()
            .filter(|address| fits(protocol, *address))
            .collect();
        if addresses.is_empty() {
            return Err(format!("`{host}` has no address that {protocol} goes to"));
        }
        addresses
            .into_iter()
            .map(|address| self.question(protocol, address, port))
            .collect()
    }

    /// The host and the port, as it is written.
    fn host(&self, protocol: Protocol) -> Result<(&str, Option<u16>), String> {
        let end = self.end.as_str();
        if !protocol.has_ports() {
            return Ok((end.trim_matches(['[', ']']), None));
        }
        let missing =
            || format!("`{end}` has no port; write it like example.org:443 or [2001:db8::1]:443");
        let (host, port) = end.rsplit_once(':').ok_or_else(missing)?;
        // An IPv6 address without brackets has colons of its own.
        if host.contains(':') && !host.starts_with('[') {
            return Err(missing());
        }
        let number = port
            .parse()
            .map_err(|_| format!("`{port}` is no port: it is a number from 0 to 65535"))?;
        Ok((host.trim_matches(['[', ']']), Some(number)))
    }

    fn question(
        &self,
        protocol: Protocol,
        other: IpAddr,
        port: Option<u16>,
    ) -> Result<Asked, String> {
        let ours = way_to(other);
        let (from, to) = match self.direction {
            Direction::Inbound => (other, ours),
            _ => (ours, other),
        };
        let (from, to) = match port {
            Some(port) => (
                SocketAddr::new(from, SOURCE_PORT).to_string(),
                SocketAddr::new(to, port).to_string(),
            ),
            None => (from.to_string(), to.to_string()),
        };
        let typed = self.who.first().is_some_and(|word| word == "type");
        let kind = if protocol.has_types() && !typed {
            "type echo-request "
        } else {
            ""
        };
        let text = format!(
            "{} {} {from} -> {to} {kind}{}",
            self.direction.name(),
            self.protocol,
            self.who.join(" ")
        );
        Ok(Asked {
            address: other,
            question: text.parse()?,
        })
    }
}

/// An address itself, or those of a name as the system's resolver says; each once.
fn addresses(host: &str) -> Result<BTreeSet<IpAddr>, String> {
    if let Ok(address) = host.parse() {
        return Ok(BTreeSet::from([address]));
    }
    let found = (host, ANY_PORT).to_socket_addrs().map_err(|cause| {
        format!("the address of `{host}` is not known: {cause}; write the address itself")
    })?;
    Ok(found.map(|end| end.ip()).collect())
}

fn fits(protocol: Protocol, address: IpAddr) -> bool {
    match protocol {
        Protocol::ICMP => address.is_ipv4(),
        Protocol::ICMPV6 => address.is_ipv6(),
        _ => true,
    }
}

/// Our address on the way there, as the system would choose it; nothing is sent. None at all where it does not say.
fn way_to(other: IpAddr) -> IpAddr {
    let any: IpAddr = match other {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let chosen = UdpSocket::bind((any, 0)).and_then(|socket| {
        socket.connect((other, ANY_PORT))?;
        socket.local_addr()
    });
    chosen.map_or(any, |end| end.ip())
}
