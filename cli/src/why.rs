//! `gatebell why`: which rule decides, why those before it do not, and how to change that.

use crate::Error;
use crate::arguments::WhyArguments;
use crate::flow::{FlowText, Question, destination, source};
use crate::miss::misses;
use crate::rule_file::{RuleFile, default_name};
use crate::style;
use contract::packet::{Decision, Direction, Flow, Verdict};
use engine::conversation::{beginning, may_answer};
use engine::{Parsed, Shape, classify};
use rules::{Protocol, Rule};
use serde_json::json;
use std::fmt::Write as _;
use std::io::Write;

/// Answers the question.
pub fn run(arguments: &WhyArguments, out: &mut dyn Write) -> Result<u8, Error> {
    let file = RuleFile::load(&arguments.rules)?;
    let answer = Answer::find(&file, &arguments.packet);
    if arguments.json {
        writeln!(out, "{}", answer.object())?;
    } else {
        answer.print(out)?;
    }
    Ok(0)
}

struct Answer<'a> {
    file: &'a RuleFile,
    packet: Parsed,
    direction: Direction,
    verdict: Verdict,
    decision: Decision,
    /// The one that decided, if one did.
    rule: Option<&'a Rule>,
    /// The ones that were tried before.
    before: Vec<(&'a Rule, Vec<String>)>,
}

impl<'a> Answer<'a> {
    fn find(file: &'a RuleFile, question: &Question) -> Self {
        let packet = question.0;
        let decision = classify(&packet, &file.table.slices());
        let rule = file.rule_of(&decision);
        let before = file.rules.iter().take_while(|before| rule.is_none_or(|rule| rule.id != before.id));
        Self {
            file,
            packet,
            direction: Direction::try_from(packet.flow.direction).unwrap_or(Direction::Inbound),
            verdict: Verdict::try_from(decision.verdict).unwrap_or(Verdict::Block),
            decision,
            rule,
            before: before.map(|rule| (rule, misses(rule, &packet))).collect(),
        }
    }

    fn object(&self) -> serde_json::Value {
        let before: Vec<_> = self
            .before
            .iter()
            .map(|(rule, missed)| json!({ "rule": rule.id, "line": rule.line, "missed": missed }))
            .collect();
        json!({
            "packet": FlowText(&self.packet, Some(self.direction)).to_string(),
            "verdict": self.verdict.name(),
            "rule": self.rule.map(|rule| &rule.id),
            "file": self.file.name,
            "line": self.rule.map(|rule| rule.line),
            "log": self.decision.log == 1,
            "before": before,
            "to_change": self.snippet(),
        })
    }

    fn print(&self, out: &mut dyn Write) -> Result<(), Error> {
        let (strong, colour) = (style::STRONG, style::verdict(self.verdict));
        writeln!(out, "{strong}{}{strong:#}", FlowText(&self.packet, Some(self.direction)))?;
        let reported = if self.decision.log == 1 { "reported" } else { "not reported" };
        let verdict = format!("{colour}{}{colour:#}", self.verdict.name());
        writeln!(out, "  {verdict}, {reported}: {}", self.decided_by())?;
        self.print_before(out)?;
        self.print_reply(out)?;
        writeln!(out, "\nTo {} it, put this {}:\n", opposite(self.verdict).name(), self.place_for_snippet())?;
        write!(out, "{}", self.snippet())?;
        Ok(())
    }

    fn decided_by(&self) -> String {
        match self.rule {
            Some(rule) => format!("rule `{}` ({})", rule.id, self.file.place(rule)),
            None => format!("{} ({}), as no rule matches", default_name(self.direction), self.file.name),
        }
    }

    fn print_before(&self, out: &mut dyn Write) -> Result<(), Error> {
        if self.before.is_empty() {
            return Ok(());
        }
        writeln!(out, "\nTried before, and missed:")?;
        let width = self.before.iter().map(|(rule, _)| rule.id.chars().count()).max().unwrap_or(0);
        let faint = style::FAINT;
        for (rule, missed) in &self.before {
            let place = self.file.place(rule);
            writeln!(out, "  {:<width$}  {}  {faint}{place}{faint:#}", rule.id, missed.join("; "))?;
        }
        Ok(())
    }

    /// A packet that may be a reply passes without being asked about, if the other direction was allowed.
    fn print_reply(&self, out: &mut dyn Write) -> Result<(), Error> {
        let flow = &self.packet.flow;
        if self.verdict == Verdict::Allow || self.packet.shape != Shape::Whole || !may_answer(flow) {
            return Ok(());
        }
        let first = Parsed { flow: beginning(flow), shape: Shape::Whole };
        let asked = classify(&first, &self.file.table.slices());
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
            None => format!("at the end of {}", self.file.name),
        }
    }

    /// A rule that takes this packet and gives it the other verdict.
    fn snippet(&self) -> String {
        let (flow, action) = (&self.packet.flow, opposite(self.verdict).name());
        let protocol = Protocol(flow.protocol);
        let mut text = format!("[[rule]]\nid = \"{}\"\naction = \"{action}\"\n", self.new_id(action));
        let _infallible = write!(
            text,
            "direction = \"{}\"\nprotocol = {}\nsource = \"{}\"\ndestination = \"{}\"\n",
            self.direction.name(),
            protocol_value(protocol),
            source(flow),
            destination(flow),
        );
        if self.packet.shape == Shape::Whole {
            text.push_str(&last_line(protocol, flow));
        }
        text
    }

    /// A name that no rule has yet.
    fn new_id(&self, action: &str) -> String {
        let flow = &self.packet.flow;
        let what = if Protocol(flow.protocol).has_ports() && self.packet.shape == Shape::Whole {
            format!("{}-{}", Protocol(flow.protocol), flow.destination_port)
        } else {
            Protocol(flow.protocol).to_string()
        };
        let id = format!("{action}-{what}-{}", self.direction.name());
        let taken = |id: &str| self.file.rules.iter().any(|rule| rule.id == id);
        if !taken(&id) {
            return id;
        }
        (2..).map(|n: u64| format!("{id}-{n}")).find(|id| !taken(id)).unwrap_or(id)
    }
}

fn opposite(verdict: Verdict) -> Verdict {
    match verdict {
        Verdict::Allow => Verdict::Block,
        Verdict::Block => Verdict::Allow,
    }
}

fn protocol_value(protocol: Protocol) -> String {
    let named = protocol.has_ports() || protocol.has_types();
    if named { format!("\"{protocol}\"") } else { protocol.0.to_string() }
}

/// The port it goes to, or the type.
fn last_line(protocol: Protocol, flow: &Flow) -> String {
    if protocol.has_ports() {
        format!("ports = {}\n", flow.destination_port)
    } else if protocol.has_types() {
        let number = flow.source_port;
        let name = u8::try_from(number).ok().and_then(|number| protocol.icmp_type_name(number));
        name.map_or_else(|| format!("icmp_type = {number}\n"), |name| format!("icmp_type = \"{name}\"\n"))
    } else {
        String::new()
    }
}
