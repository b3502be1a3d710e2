//! Printer of a dry run: a line for each verdict, and a summary.

use super::account::Account;
use super::judge::{BothSides, Judged, Unjudged};
use crate::capture::{Packet, link_name};
use crate::check::counted;
use crate::flow::{FlowText, destination, source};
use crate::rule_file::{RuleFile, default_name};
use crate::style;
use engine::{Parsed, Shape};
use firewall_abi::packet::{Decision, Direction, Reason, Verdict};
use rules::{Protocol, Rule};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::{self, Write};

/// Prints what a dry run finds.
pub struct Printer<'a> {
    /// The rules.
    pub rules: &'a RuleFile,
    /// The other rules.
    pub other: Option<&'a RuleFile>,
    /// The summary only.
    pub quiet: bool,
    /// JSON.
    pub json: bool,
}

impl Printer<'_> {
    /// Returns whether the other rules decided otherwise: another verdict, or for another reason.
    pub fn changed(&self, verdict: &BothSides) -> bool {
        let Some(other) = self.other else {
            return false;
        };
        let essence = |decision: Option<Decision>, file: &RuleFile| {
            decision.map(|d| {
                (
                    d.verdict,
                    d.reason,
                    file.rule_of(&d).map(|rule| rule.id.clone()),
                )
            })
        };
        essence(verdict.now, self.rules) != essence(verdict.before, other)
    }

    /// A verdict.
    pub fn verdict(
        &self,
        packet: &Packet,
        parsed: &Parsed,
        verdict: &BothSides,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        if self.quiet || self.other.is_some() && !self.changed(verdict) {
            return Ok(());
        }
        if self.json {
            return writeln!(out, "{}", self.verdict_object(packet, parsed, verdict));
        }
        let text = FlowText(parsed, verdict.direction).to_string();
        write!(out, "{:>6}  {}  {text:<52}  ", packet.number, time(packet))?;
        write!(
            out,
            "{}",
            self.decided(verdict.now, self.rules, verdict.direction)
        )?;
        if let Some(other) = self.other {
            let before = self.decided(verdict.before, other, verdict.direction);
            write!(out, "  {}was{:#} {before}", style::FAINT, style::FAINT)?;
        }
        writeln!(out)
    }

    fn decided(
        &self,
        decision: Option<Decision>,
        file: &RuleFile,
        direction: Option<Direction>,
    ) -> String {
        let Some(decision) = decision else {
            return "not reached: it did not pass on its way out".to_owned();
        };
        let verdict = Verdict::try_from(decision.verdict).unwrap_or(Verdict::Block);
        let colour = style::verdict(verdict);
        format!(
            "{colour}{}{colour:#}  {}",
            verdict.name(),
            cause(&decision, file, direction)
        )
    }

    /// A packet without a verdict.
    pub fn unjudged(
        &self,
        packet: &Packet,
        judged: &Judged,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let Judged::Not(reason) = judged else {
            return Ok(());
        };
        if self.quiet || self.other.is_some() {
            return Ok(());
        }
        let (reason, words) = match reason {
            Unjudged::NotIp(what) => ("not-ip", format!("it is not IP but {what}")),
            Unjudged::UnreadLink(link_type) => (
                "unread-link",
                format!("its link is not read here: {}", link_name(*link_type)),
            ),
            Unjudged::Loopback => ("loopback", format!("{ON_LOOPBACK}, and no rule names it")),
            Unjudged::Cut => ("cut", "the capture holds too little of it".to_owned()),
            Unjudged::CutInSilence => (
                "cut",
                "it says that it is longer, and the capture that this is all".to_owned(),
            ),
            Unjudged::Outside => ("outside", "neither from the zone nor to it".to_owned()),
        };
        if self.json {
            return writeln!(
                out,
                "{}",
                json!({ "number": packet.number, "time_ns": packet.time_ns, "unjudged": reason })
            );
        }
        let faint = style::FAINT;
        writeln!(
            out,
            "{faint}{:>6}  {}  not judged: {words}{faint:#}",
            packet.number,
            time(packet)
        )
    }

    fn verdict_object(&self, packet: &Packet, parsed: &Parsed, verdict: &BothSides) -> Value {
        let flow = &parsed.flow;
        let known = flow.ip_version != 0;
        let ports = Protocol(flow.protocol).has_ports() && parsed.shape == Shape::Whole;
        let types = Protocol(flow.protocol).has_types() && parsed.shape == Shape::Whole;
        let mut object = json!({
            "number": packet.number,
            "time_ns": packet.time_ns,
            "frame_length": packet.length,
            "direction": verdict.direction.map(Direction::name),
            "protocol": known.then_some(flow.protocol),
            "source": known.then(|| source(flow)),
            "source_port": ports.then_some(flow.source_port),
            "destination": known.then(|| destination(flow)),
            "destination_port": ports.then_some(flow.destination_port),
            "icmp_type": types.then_some(flow.source_port),
            "icmp_code": types.then_some(flow.destination_port),
            "packet": FlowText(parsed, verdict.direction).to_string(),
        });
        let decided = decision_object(verdict.now, self.rules);
        let before = self
            .other
            .map(|other| json!({ "before": decision_object(verdict.before, other) }));
        for more in [Some(decided), before].into_iter().flatten() {
            if let (Value::Object(object), Value::Object(more)) = (&mut object, more) {
                object.extend(more);
            }
        }
        object
    }

    /// Prints the summary of the dry run.
    pub fn summary(&self, account: &Account, out: &mut dyn Write) -> io::Result<()> {
        if self.json {
            return writeln!(out, "{}", self.summary_object(account));
        }
        if !self.quiet {
            writeln!(out)?;
        }
        self.totals(account, out)?;
        self.by_rule(account, out)
    }

    fn totals(&self, account: &Account, out: &mut dyn Write) -> io::Result<()> {
        let Account {
            packets,
            allowed,
            blocked,
            asked,
            replies,
            malformed,
            fragments,
            ..
        } = account;
        let strong = style::STRONG;
        writeln!(
            out,
            "{strong}{}: {allowed} allowed ({replies} as replies), {blocked} blocked ({malformed} malformed){strong:#}",
            counted(*packets, "packet")
        )?;
        let not_ip = format!("not judged: not IP ({})", kinds(&account.not_ip));
        let unread = format!(
            "not judged: links of a kind that is not read here ({})",
            kinds(&account.unread_names())
        );
        let loopback = format!("not judged: {ON_LOOPBACK}, which no rule names");
        let more = [
            (
                *asked,
                "verdicts are to ask somebody: until the answer such packets do not pass",
            ),
            (
                *fragments,
                "verdicts are on later fragments, which show no ports",
            ),
            (account.not_ip_packets(), &*not_ip),
            (account.unread_packets(), &*unread),
            (account.loopback, &*loopback),
            (
                account.cut,
                "not judged: the capture holds too little of them; capture with a larger snapshot length",
            ),
            (
                account.cut_in_silence,
                "not judged: cut off before or in the capture, which says that they were no longer; they may have been malformed",
            ),
            (
                account.outside,
                "not judged: neither from the zone nor to it",
            ),
            (
                account.full,
                "of confirmed connections that found no lasting room: new ones may push them out",
            ),
        ];
        for (number, what) in more.iter().filter(|(number, _)| *number > 0) {
            writeln!(out, "  {number} {what}")?;
        }
        self.unseen(account, out)?;
        if let Some(other) = self.other {
            let changed = account.changed;
            let (rules, other) = (self.rules.shown_name(), other.shown_name());
            writeln!(
                out,
                "  {} changed from {other} to {rules}",
                counted(changed, "verdict")
            )?;
        }
        Ok(())
    }

    /// A capture does not show all that rules may ask for.
    fn unseen(&self, account: &Account, out: &mut dyn Write) -> io::Result<()> {
        let asks = |rule: &&Rule| {
            rule.is_on()
                && !(rule.users.is_empty()
                    && rule.programs.is_empty()
                    && rule.interfaces.is_empty())
        };
        let unmatched = self
            .rules
            .rules
            .iter()
            .zip(&account.rules)
            .filter(|(_, hits)| hits.packets + hits.replies == 0);
        match unmatched.map(|(rule, _)| rule).filter(asks).count() {
            0 => Ok(()),
            1 => writeln!(
                out,
                "  1 rule matched nothing: it asks for a user, program or device, which captures do not show"
            ),
            many => writeln!(
                out,
                "  {many} rules matched nothing: they ask for users, programs or devices, which captures do not show"
            ),
        }
    }

    fn by_rule(&self, account: &Account, out: &mut dyn Write) -> io::Result<()> {
        let faint = style::FAINT;
        writeln!(out, "\n{faint} packets  replies  decided by{faint:#}")?;
        let (used, never): (Vec<_>, Vec<_>) = self
            .rules
            .rules
            .iter()
            .zip(&account.rules)
            .partition(|(_, hits)| hits.packets + hits.replies > 0);
        for (rule, hits) in used {
            let place = self.rules.place(rule);
            writeln!(
                out,
                "{:>8} {:>8}  {}  {faint}{place}{faint:#}",
                hits.packets, hits.replies, rule.id
            )?;
        }
        for (direction, number) in Direction::ALL.into_iter().zip(account.defaults) {
            if number > 0 {
                writeln!(out, "{number:>8}           {}", default_name(direction))?;
            }
        }
        if account.malformed > 0 {
            writeln!(
                out,
                "{:>8}           no rule: malformed packets are blocked",
                account.malformed
            )?;
        }
        let never: Vec<_> = never
            .iter()
            .filter(|(rule, _)| rule.is_on())
            .map(|(rule, _)| rule.id.as_str())
            .collect();
        if !never.is_empty() {
            writeln!(out, "Never decided here: {}", never.join(", "))?;
        }
        Ok(())
    }

    fn summary_object(&self, account: &Account) -> Value {
        let by_rule = self.rules.rules.iter().zip(&account.rules);
        let by_rule: Vec<_> = by_rule
            .map(|(rule, hits)| {
                json!({ "rule": rule.id, "line": rule.line, "packets": hits.packets, "replies": hits.replies })
            })
            .collect();
        json!({ "summary": {
            "packets": account.packets,
            "allowed": account.allowed,
            "blocked": account.blocked,
            "asked": account.asked,
            "replies": account.replies,
            "malformed": account.malformed,
            "fragments": account.fragments,
            "not_ip": account.not_ip_packets(),
            "not_ip_kinds": account.not_ip,
            "unread_links": account.unread_names(),
            "loopback": account.loopback,
            "cut": account.cut + account.cut_in_silence,
            "outside": account.outside,
            "flows_full": account.full,
            "changed": self.other.map(|_| account.changed),
            "default_in": account.defaults[0],
            "default_out": account.defaults[1],
            "rules": by_rule,
            "complete": account.complete,
        } })
    }
}

const ON_LOOPBACK: &str = "it stays on the loopback device";

/// `ARP 2, PPPoE 1`.
pub fn kinds<K: Display>(kinds: &BTreeMap<K, u64>) -> String {
    let kinds: Vec<_> = kinds
        .iter()
        .map(|(kind, number)| format!("{kind} {number}"))
        .collect();
    kinds.join(", ")
}

fn decision_object(decision: Option<Decision>, file: &RuleFile) -> Value {
    let rule = decision.and_then(|decision| file.rule_of(&decision));
    json!({
        "verdict": decision.and_then(|d| Verdict::try_from(d.verdict).ok()).map(Verdict::name),
        "reason": decision.and_then(|d| Reason::try_from(d.reason).ok()).map(Reason::name),
        "rule": rule.map(|rule| &rule.id),
        "line": rule.map(|rule| rule.line),
        "log": decision.map(|decision| decision.log == 1),
    })
}

/// Returns the rule or default policy that decided, and the reason, in words.
fn cause(decision: &Decision, file: &RuleFile, direction: Option<Direction>) -> String {
    let default = direction.map_or("no rule", default_name);
    let by = match file.rule_of(decision) {
        Some(rule) => format!("rule `{}` ({})", rule.id, file.place(rule)),
        None => default.to_owned(),
    };
    match Reason::try_from(decision.reason) {
        Ok(Reason::Malformed) => "malformed".to_owned(),
        Ok(Reason::Reply) => match file.rule_of(decision) {
            Some(_) => format!("reply to what {by} allowed"),
            None => "reply to what a default allowed".to_owned(),
        },
        Ok(Reason::Fragment) => format!("{by}, on a later fragment"),
        Ok(Reason::Link) => "the kernel's own, to stay on its link".to_owned(),
        Err(_) => format!("not judged: {ON_LOOPBACK}, which no rule names"),
        _ => by,
    }
}

/// The time of day, UTC, as captures are commonly read.
fn time(packet: &Packet) -> String {
    const DAY: u64 = 24 * 60 * 60;
    let Some(time_ns) = packet.time_ns else {
        return format!("{:15}", "-");
    };
    let (seconds, micros) = (time_ns / 1_000_000_000 % DAY, time_ns / 1000 % 1_000_000);
    format!(
        "{:02}:{:02}:{:02}.{micros:06}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}
