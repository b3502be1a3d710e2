//! `gatebell dry-run --history`: what would have changed, line by line.

use super::DryRunArguments;
use super::past::{Judged, MayMatch, PastJudge};
use crate::Error;
use crate::here::Here;
use crate::live::table;
use crate::rule_file::{RuleFile, RuleSource};
use crate::style;
use control::HistoryRow;
use firewall_abi::packet::Verdict;
use rules::grouped;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};
use view::history::{COLUMNS, cells, titles};

/// Judges what was kept, and prints what would have changed.
pub fn run(arguments: &DryRunArguments, out: &mut dyn Write) -> Result<u8, Error> {
    let source = RuleSource::read(&arguments.rules)?;
    let here = Here::beside(&source.place);
    let mut file = RuleFile::understand(&source, &here)?;
    arguments.networks.put_or_say(&mut file)?;
    file.join(arguments.members()?)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let since = now.unwrap_or_default().saturating_sub(arguments.since.0);
    let rows = crate::live::kept_since(&arguments.service.socket, since.as_secs())?;
    let account = PastAccount::of(&rows, &mut PastJudge::new(&file, &here));
    account.print(arguments, out)?;
    Ok(0)
}

/// Rows that have this in common are one line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct LineKey {
    /// Verdict that the rules would have given, or `None` if that is unknown.
    would: Option<&'static str>,
    was: String,
    cells: [String; COLUMNS],
    rule: String,
}

struct Line {
    /// The last of its rows.
    row: HistoryRow,
    count: u64,
    first: u64,
    last: u64,
    would: Option<Verdict>,
    rule: Option<String>,
    unsure: Vec<(Option<String>, Vec<&'static str>)>,
}

#[derive(Default)]
struct PastAccount {
    records: u64,
    same: u64,
    not_asked: u64,
    unsure: u64,
    changed: u64,
    lines: Vec<Line>,
}

impl PastAccount {
    fn of(rows: &[HistoryRow], judge: &mut PastJudge<'_>) -> Self {
        let mut account = Self::default();
        let mut lines = BTreeMap::new();
        for row in rows {
            account.records += row.count;
            let (would, rule, unsure) = match judge.judge(row) {
                Judged::NotAsked => {
                    account.not_asked += row.count;
                    continue;
                }
                Judged::Verdict(verdict, _) if verdict.name() == was(row) => {
                    account.same += row.count;
                    continue;
                }
                Judged::Verdict(verdict, rule) => {
                    account.changed += row.count;
                    (Some(verdict), rule.map(|rule| rule.id.clone()), Vec::new())
                }
                Judged::Unsure(may) => {
                    account.unsure += row.count;
                    (None, None, may.iter().map(said).collect())
                }
            };
            account_line(&mut lines, row, would, rule, unsure);
        }
        account.lines = lines.into_values().collect();
        account.lines.sort_by_key(|line: &Line| {
            let would = line.would.map(Verdict::name);
            (
                would.is_none(),
                would,
                was(&line.row).to_owned(),
                u64::MAX - line.count,
            )
        });
        account
    }

    fn print(&self, arguments: &DryRunArguments, out: &mut dyn Write) -> Result<(), Error> {
        if arguments.json {
            if !arguments.quiet {
                for line in &self.lines {
                    writeln!(out, "{}", line.object())?;
                }
            }
            writeln!(out, "{}", self.object())?;
            return Ok(());
        }
        if !arguments.quiet {
            for lines in self
                .lines
                .chunk_by(|one, other| one.title() == other.title())
            {
                print_lines(lines, out)?;
            }
        }
        self.print_summary(out)
    }

    fn print_summary(&self, out: &mut dyn Write) -> Result<(), Error> {
        let number = |many: u64| grouped(usize::try_from(many).unwrap_or(usize::MAX));
        writeln!(
            out,
            "{} records: {} would be as they were, {} would not, of {} it can't be said",
            number(self.records),
            number(self.same),
            number(self.changed),
            number(self.unsure)
        )?;
        let faint = style::FAINT;
        if self.not_asked > 0 {
            let many = number(self.not_asked);
            writeln!(
                out,
                "{faint}{many} more are replies or malformed: rules are not asked{faint:#}"
            )?;
        }
        if self.unsure > 0 {
            writeln!(
                out,
                "{faint}not kept are devices, this machine's own addresses, source ports, types of ICMP, and what was in sets by name{faint:#}"
            )?;
        }
        Ok(())
    }

    fn object(&self) -> Value {
        json!({
            "kind": "summary", "records": self.records, "same": self.same, "changed": self.changed,
            "unsure": self.unsure, "not_asked": self.not_asked
        })
    }
}

fn account_line(
    lines: &mut BTreeMap<LineKey, Line>,
    row: &HistoryRow,
    would: Option<Verdict>,
    rule: Option<String>,
    unsure: Vec<(Option<String>, Vec<&'static str>)>,
) {
    // What a row shows, but for when and how much.
    let shown = HistoryRow {
        last: 0,
        count: 0,
        packets_sent: 0,
        bytes_sent: 0,
        packets_received: 0,
        bytes_received: 0,
        contact: None,
        ..row.clone()
    };
    let key = LineKey {
        would: would.map(Verdict::name),
        was: was(row).to_owned(),
        cells: cells(&shown),
        rule: format!("{rule:?}{unsure:?}"),
    };
    let line = lines.entry(key).or_insert_with(|| Line {
        row: row.clone(),
        count: 0,
        first: row.first,
        last: row.last,
        would,
        rule,
        unsure,
    });
    line.count += row.count;
    line.first = line.first.min(row.first);
    if row.last >= line.last {
        (line.last, line.row) = (row.last, row.clone());
    }
}

/// Returns the past verdict of a row in the terms of [`PastJudge`]: rejected is blocked.
fn was(row: &HistoryRow) -> &str {
    match row.verdict.as_str() {
        passes @ ("allow" | "ask") => passes,
        _ => Verdict::Block.name(),
    }
}

/// A rule's name, and what it asks for that is not kept.
fn said(may: &MayMatch<'_>) -> (Option<String>, Vec<&'static str>) {
    let asks = may.asks.iter().map(|key| key.name());
    (may.rule.map(|rule| rule.id.clone()), asks.collect())
}

impl Line {
    fn title(&self) -> String {
        let was = past(&self.row.verdict);
        match self.would {
            Some(would) => format!("{was} -> {}", past(would.name())),
            None => format!("{was}; it can't be said what would become of it"),
        }
    }

    /// The rule that would decide, or what keeps it from being known.
    fn why(&self) -> String {
        let by = |rule: &Option<String>| match rule {
            Some(rule) => format!("rule `{rule}`"),
            None => "the default".to_owned(),
        };
        if self.would.is_some() {
            return by(&self.rule);
        }
        let each = self.unsure.iter();
        let each: Vec<_> = each
            .map(|(rule, asks)| format!("{} asks for {}", by(rule), asks.join(", ")))
            .collect();
        if each.is_empty() {
            "too many rules ask for what is not kept".to_owned()
        } else {
            each.join("; ")
        }
    }

    fn object(&self) -> Value {
        let HistoryRow {
            direction,
            protocol,
            remote,
            source,
            port,
            program,
            process,
            user,
            name,
            ..
        } = &self.row;
        let unsure: Vec<_> = self
            .unsure
            .iter()
            .map(|(rule, asks)| json!({ "rule": rule, "asks": asks }))
            .collect();
        json!({
            "kind": "change", "was": self.row.verdict, "would": self.would.map(Verdict::name), "rule_then": self.row.rule,
            "rule": self.rule, "unsure": unsure, "count": self.count, "first": self.first, "last": self.last,
            "direction": direction, "protocol": protocol, "remote": remote, "source": source, "port": port,
            "program": program, "process": process, "user": user, "name": name
        })
    }
}

fn past(verdict: &str) -> &str {
    match verdict {
        "allow" => "allowed",
        "ask" => "asked about",
        _ => "blocked",
    }
}

/// The columns of a row that are shown here, by their places in [`titles`].
const SHOWN: [usize; 5] = [6, 7, 2, 3, 4];
const RULE_THEN: usize = 5;

fn print_lines(lines: &[Line], out: &mut dyn Write) -> Result<(), Error> {
    let Some(first) = lines.first() else {
        return Ok(());
    };
    let strong = style::STRONG;
    writeln!(out, "{strong}{}{strong:#}", first.title())?;
    let mut names = vec!["Count"];
    let titles = titles();
    names.extend(SHOWN.map(|place| titles[place].as_str()));
    names.extend(["Then", "Now"]);
    let rows: Vec<_> = lines
        .iter()
        .map(|line| {
            let cells = cells(&line.row);
            let mut row = vec![line.count.to_string()];
            row.extend(SHOWN.map(|place| cells[place].clone()));
            row.extend([cells[RULE_THEN].clone(), line.why()]);
            row
        })
        .collect();
    table(&names, &rows, out)?;
    writeln!(out)?;
    Ok(())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;
    use std::path::Path;

    fn row(port: u16, verdict: &str, count: u64) -> HistoryRow {
        HistoryRow {
            direction: "out".to_owned(),
            verdict: verdict.to_owned(),
            reason: "default".to_owned(),
            protocol: 6,
            remote: "192.0.2.7".parse().ok(),
            port: Some(port),
            program: Some("/usr/bin/curl".to_owned()),
            user: Some(1000),
            count,
            first: 100,
            last: 100 + count,
            ..HistoryRow::default()
        }
    }

    #[test]
    fn what_would_change_is_put_together_and_each_record_is_counted_once() {
        let text = "[default]\ninbound = 'block'\noutbound = 'allow'\n\
            [[rule]]\nid = 'no-web'\naction = 'block'\nprotocol = 'tcp'\nports = 80\n\
            [[rule]]\nid = 'wired'\naction = 'block'\nprotocol = 'tcp'\nports = 25\ninterface = 'eth0'\n";
        let here = Here::beside(Path::new("r"));
        let file = RuleFile::parse("r", text, &here).unwrap();
        let reply = HistoryRow {
            reason: "reply".to_owned(),
            ..row(1, "allow", 7)
        };
        let rows = [
            row(443, "allow", 1),
            row(80, "allow", 2),
            row(80, "allow", 3),
            row(22, "block", 3),
            row(22, "reject", 1),
            row(25, "allow", 5),
            row(80, "block", 4),
            row(80, "reject", 2),
            reply,
        ];
        let account = PastAccount::of(&rows, &mut PastJudge::new(&file, &here));
        let counts = [
            account.same,
            account.changed,
            account.unsure,
            account.not_asked,
        ];
        assert_eq!((counts, account.records), ([7, 9, 5, 7], 28));
        let lines: Vec<_> = account
            .lines
            .iter()
            .map(|line| (line.title(), line.count, line.why()))
            .collect();
        let line = |title: &str, count, why: &str| (title.to_owned(), count, why.to_owned());
        assert_eq!(
            lines,
            [
                line("blocked -> allowed", 4, "the default"),
                line("allowed -> blocked", 5, "rule `no-web`"),
                line(
                    "allowed; it can't be said what would become of it",
                    5,
                    "rule `wired` asks for interface"
                ),
            ]
        );
        let object = account.lines[1].object();
        assert_eq!(
            [
                &object["was"],
                &object["would"],
                &object["rule"],
                &object["port"],
                &object["first"]
            ],
            [
                &json!("allow"),
                &json!("block"),
                &json!("no-web"),
                &json!(80),
                &json!(100)
            ]
        );
    }
}
