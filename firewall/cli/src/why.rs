//! `gatebell why`: which rule decides, why those before it do not, and how to change that.

use crate::Error;
#[cfg(target_os = "linux")]
use crate::arguments::SocketArguments;
use crate::as_if::AsIfArguments;
use crate::columns::{padded, width};
use crate::flow::{FlowText, PacketQuestion, Who, destination, source};
use crate::here::Here;
use crate::loopback::{NOT_JUDGED, OwnAddresses};
use crate::miss::misses;
use crate::record::Record;
use crate::rule_file::{self, RuleFile, RuleSource, default_name};
use crate::style;
use clap::{Args, ValueHint};
use control::SetMember;
use engine::connection::{beginning, may_answer};
use engine::{Parsed, Shape, classify, is_error, stay_on_the_link};
use firewall_abi::packet::{Decision, Direction, PacketMeta, Verdict};
use rules::{Effect, Reach, Rule, Suggestion, clean};
use serde_json::json;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Text below the command's help.
pub const HELP: &str = "\
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
    pub packet: Option<PacketQuestion>,
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
    /// Networks for which the rules judge.
    #[command(flatten)]
    pub networks: AsIfArguments,
    /// Control socket of the service.
    #[cfg(target_os = "linux")]
    #[command(flatten)]
    pub service: SocketArguments,
}

/// Answers the question.
pub fn run(arguments: &WhyArguments, out: &mut dyn Write) -> Result<u8, Error> {
    let record = arguments.record()?;
    let mut question = match &record {
        Some(record) => record.question().map_err(Error::Record)?,
        None => arguments.packet.clone(),
    };
    // A packet that contradicts itself is asked about by nobody.
    let file = question
        .as_ref()
        .map(|_| arguments.rule_file())
        .transpose()?;
    let unseen = match (&file, &mut question) {
        (Some((file, _)), Some(question)) => OwnAddresses::here().pass_unseen(question, file),
        _ => false,
    };
    let answer = match (&file, &question) {
        _ if unseen => None,
        (Some((file, here)), Some(question)) => {
            let local = question.1.local(here).map_err(Error::Who)?;
            Some(Answer::find(file, question, local))
        }
        _ => None,
    };
    if arguments.json {
        let passes = || json!({ "verdict": "allow", "rule": null, "loopback": true });
        let now = answer.map(|answer| answer.object());
        let now = now.unwrap_or_else(|| {
            if unseen {
                passes()
            } else {
                serde_json::Value::Null
            }
        });
        let object = record.map_or_else(
            || now.clone(),
            |record| json!({ "then": record.whole, "now": now }),
        );
        writeln!(out, "{object}")?;
        return Ok(0);
    }
    if let Some(record) = record {
        let strong = style::STRONG;
        writeln!(out, "{strong}Then:{strong:#} {}", record.decided())?;
    }
    if unseen {
        writeln!(out, "  {NOT_JUDGED}")?;
    }
    if let Some(answer) = answer {
        answer.print(out)?;
    }
    Ok(0)
}

impl WhyArguments {
    /// The record that is asked about, if one is.
    fn record(&self) -> Result<Option<Record>, Error> {
        let text = match &self.record {
            Some(place) if place == "-" => rule_file::read(Path::new(place))?,
            Some(text) => text.clone(),
            None => match self.last_record()? {
                Some(text) => text,
                None => return Ok(None),
            },
        };
        text.parse().map(Some).map_err(Error::Record)
    }

    #[cfg(target_os = "linux")]
    fn last_record(&self) -> Result<Option<String>, Error> {
        if self.last {
            crate::live::last().map(Some)
        } else {
            Ok(None)
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn last_record(&self) -> Result<Option<String>, Error> {
        Ok(None)
    }

    fn rule_file(&self) -> Result<(RuleFile, Here), Error> {
        let source = self.source()?;
        let here = Here::beside(&source.place);
        let mut file = RuleFile::understand(&source, &here)?;
        match self.rules {
            Some(_) => self.networks.put_or_say(&mut file)?,
            None => self.networks.put(&mut file)?,
        }
        Ok((file, here))
    }

    #[cfg(target_os = "linux")]
    fn source(&self) -> Result<RuleSource, Error> {
        RuleSource::given(self.rules.as_deref(), &self.service)
    }

    #[cfg(not(target_os = "linux"))]
    fn source(&self) -> Result<RuleSource, Error> {
        RuleSource::given(self.rules.as_deref())
    }
}

/// Decision of the rules about a packet, with its explanation.
pub struct Answer<'a> {
    file: &'a RuleFile,
    packet: Parsed,
    /// Local identity of the packet: as declared, and in the form that drivers have.
    who: &'a Who,
    local: PacketMeta,
    direction: Direction,
    verdict: Verdict,
    decision: Decision,
    /// The one that decided, if one did.
    rule: Option<&'a Rule>,
    /// The ones that were tried before.
    before: Vec<(&'a Rule, Vec<String>)>,
}

impl<'a> Answer<'a> {
    /// Asks the engine.
    pub fn find(
        file: &'a RuleFile,
        PacketQuestion(packet, who): &'a PacketQuestion,
        local: PacketMeta,
    ) -> Self {
        let packet = *packet;
        let mut decision = classify(&packet, &local, &file.tables());
        stay_on_the_link(&packet, &local, &mut decision);
        let rule = file.rule_of(&decision);
        let before = file
            .rules
            .iter()
            .take_while(|before| rule.is_none_or(|rule| rule.id != before.id));
        Self {
            file,
            packet,
            who,
            local,
            direction: Direction::try_from(packet.flow.direction).unwrap_or(Direction::Inbound),
            verdict: Verdict::try_from(decision.verdict).unwrap_or(Verdict::Block),
            decision,
            rule,
            before: before
                .map(|rule| {
                    (
                        rule,
                        misses(rule, &packet, &local, (&file.rules, &file.joined)),
                    )
                })
                .collect(),
        }
    }

    /// Returns the verdict on the packet.
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// All of it, for programs.
    pub fn object(&self) -> serde_json::Value {
        let before: Vec<_> = self
            .before
            .iter()
            .map(|(rule, missed)| json!({ "rule": rule.id, "line": rule.line, "missed": missed }))
            .collect();
        json!({
            "packet": format!("{}{}", FlowText(&self.packet, Some(self.direction)), self.who),
            "verdict": self.verdict.name(),
            "rule": self.rule.map(|rule| &rule.id),
            "file": self.file.name,
            "line": self.rule.map(|rule| rule.line),
            "log": self.decision.log == 1,
            "joined": self.joined().collect::<Vec<_>>(),
            "before": before,
            "to_change": self.snippet(),
        })
    }

    /// The packet, its verdict, and what decided.
    pub fn print_verdict(&self, out: &mut dyn Write) -> Result<(), Error> {
        let (strong, colour) = (style::STRONG, style::verdict(self.verdict));
        writeln!(
            out,
            "{strong}{}{}{strong:#}",
            FlowText(&self.packet, Some(self.direction)),
            clean(&self.who.to_string())
        )?;
        let reported = if self.decision.log == 1 {
            "reported"
        } else {
            "not reported"
        };
        let verdict = format!("{colour}{}{colour:#}", self.verdict.name());
        writeln!(out, "  {verdict}, {reported}: {}", self.decided_by())?;
        for SetMember {
            set,
            address,
            seconds_left,
            name,
        } in self.joined()
        {
            let left = seconds_left.map_or(String::new(), |left| format!(" for {left} s more"));
            let by = name
                .as_ref()
                .map_or(String::new(), |name| format!(" as {}", clean(name)));
            let set = clean(set);
            writeln!(out, "  {address} has joined the set `{set}`{by}{left}")?;
        }
        Ok(())
    }

    fn print(&self, out: &mut dyn Write) -> Result<(), Error> {
        self.print_verdict(out)?;
        self.print_before(out)?;
        self.print_reply(out)?;
        writeln!(
            out,
            "\nTo {} it, put this {}:\n",
            opposite(self.verdict).name(),
            self.place_for_snippet()
        )?;
        write!(out, "{}", self.snippet())?;
        Ok(())
    }

    /// Returns the joined members of the rules' sets that hold the packet's source or destination.
    fn joined(&self) -> impl Iterator<Item = &SetMember> {
        let ends = [source(&self.packet.flow), destination(&self.packet.flow)];
        let members = self.file.members.iter();
        members.filter(move |member| {
            let has_set = || self.file.rules.sets().any(|set| set.id == member.set);
            ends.contains(&member.address) && has_set()
        })
    }

    fn decided_by(&self) -> String {
        match self.rule {
            Some(rule) => {
                let decided = format!("rule `{}` ({})", rule.id, self.file.place(rule));
                match rule.effect {
                    Effect::Blocks => format!(
                        "{decided}, which asks a person once it is known whether its networks are there"
                    ),
                    Effect::On | Effect::Off => decided,
                }
            }
            None => format!(
                "{} ({}), as no rule matches",
                default_name(self.direction),
                self.file.shown_name()
            ),
        }
    }

    fn print_before(&self, out: &mut dyn Write) -> Result<(), Error> {
        if self.before.is_empty() {
            return Ok(());
        }
        writeln!(out, "\nTried before, and missed:")?;
        let width = width(self.before.iter().map(|(rule, _)| rule.id.as_str()));
        let faint = style::FAINT;
        for (rule, missed) in &self.before {
            let place = self.file.place(rule);
            writeln!(
                out,
                "  {}  {}  {faint}{place}{faint:#}",
                padded(&rule.id, width),
                clean(&missed.join("; "))
            )?;
        }
        Ok(())
    }

    /// A packet that may be a reply, or an error about one, passes without being asked about,
    /// if the other direction was allowed.
    fn print_reply(&self, out: &mut dyn Write) -> Result<(), Error> {
        let flow = &self.packet.flow;
        if self.verdict == Verdict::Allow || self.packet.shape != Shape::Whole {
            return Ok(());
        }
        if is_error(flow) {
            writeln!(
                out,
                "\nIf it is about a connection that is allowed and goes on, it passes without a rule."
            )?;
        }
        if !may_answer(flow) {
            return Ok(());
        }
        let first = Parsed {
            flow: beginning(flow),
            shape: Shape::Whole,
        };
        let asked = classify(&first, &self.local, &self.file.tables());
        if asked.verdict == Verdict::Allow as u8 {
            let direction = Direction::try_from(first.flow.direction).ok();
            writeln!(
                out,
                "\nAs a reply it would pass: `{}` is allowed, and so is what answers it.",
                FlowText(&first, direction)
            )?;
        }
        Ok(())
    }

    fn place_for_snippet(&self) -> String {
        match self.rule {
            Some(rule) => format!("before rule `{}` ({})", rule.id, self.file.place(rule)),
            None => format!("at the end of {}", self.file.shown_name()),
        }
    }

    /// A rule that takes this packet and gives it the other verdict.
    fn snippet(&self) -> String {
        let Who {
            user,
            program,
            interface,
            out_interface,
        } = self.who;
        Suggestion {
            action: opposite(self.verdict),
            headers: &self.packet.flow,
            shows_ports: self.packet.shape == Shape::Whole,
            reach: Reach::Ends,
            user: user.as_deref(),
            program: program.as_deref(),
            interface: interface.as_deref(),
            out_interface: out_interface.as_deref(),
        }
        .text(|id| self.file.rules.iter().any(|rule| rule.id == id))
    }
}

fn opposite(verdict: Verdict) -> Verdict {
    match verdict {
        Verdict::Allow => Verdict::Block,
        Verdict::Block | Verdict::Reject | Verdict::Ask | Verdict::Socket => Verdict::Allow,
    }
}
