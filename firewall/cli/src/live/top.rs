//! `gatebell top`: who sends and gets how much, as it happens.
//!
//! The service keeps what is carried by the minute, and has the driver tell anew whenever somebody asks: what a look
//! finds more of than the one before is what was carried meanwhile.

use super::connect;
use super::history::{NOT_KEPT, Together};
use crate::Error;
use crate::arguments::{SocketArguments, Time};
use crate::style;
use clap::Args;
use control::HistoryRow;
use rules::clean;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use view::history::{By, size};

/// Text below the command's help.
pub const HELP: &str = "\
Examples:
  gatebell top                          (by program, until Ctrl-C)
  gatebell top --by name --every 5
  gatebell top --by user --once --json

Exit codes:
  0  it was shown
  1  there is no service, or it keeps no history; a message says what to do
  2  the command line is wrong";

/// `gatebell top`.
#[derive(Debug, Args)]
pub struct TopArguments {
    /// Put together what has this in common: program, name, rule, user or endpoint
    #[arg(long, value_name = "WHAT", default_value = "program")]
    pub by: Together,
    /// Look again after so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub every: u64,
    /// Add up what was carried in this time: 10m, 24h, 7d
    #[arg(long, value_name = "TIME", default_value = "1h")]
    pub since: Time,
    /// Show at most so many lines
    #[arg(long, value_name = "LINES", default_value_t = 20)]
    pub lines: usize,
    /// Look once, and end
    #[arg(long)]
    pub once: bool,
    /// Print one JSON object for each look
    #[arg(long)]
    pub json: bool,
    /// Control socket of the service.
    #[command(flatten)]
    pub service: SocketArguments,
}

/// Maximum number of lines that are kept; beyond it, those that have carried least are removed.
const MOST: usize = 10_000;

/// Age up to which a minute's counters may still grow, in seconds: they are written in the minute before a look, or in
/// the one before that.
const GROWING: u64 = 180;

/// Prints one look after the other.
pub fn top(arguments: &TopArguments, out: &mut dyn Write) -> Result<u8, Error> {
    let mut client = connect(&arguments.service.socket)?;
    if client.status()?.history.is_none() {
        writeln!(out, "{NOT_KEPT}")?;
        return Ok(1);
    }
    let by = arguments.by.0;
    let mut top = Top::default();
    let before = now().saturating_sub(arguments.since.0.as_secs());
    top.look(&client.history(before)?, by, None);
    let mut looked = Instant::now();
    let is_screen = !arguments.once && !arguments.json && std::io::stdout().is_terminal();
    let mut looks = 0_u64;
    loop {
        // Of the first look there is nothing to compare with: the second one shows what goes on.
        if looks > 0 || arguments.once || arguments.json {
            std::thread::sleep(Duration::from_secs(arguments.every));
            let rows = client.history(now().saturating_sub(GROWING))?;
            let meanwhile = looked.elapsed();
            looked = Instant::now();
            top.look(&rows, by, Some(meanwhile));
        }
        looks += 1;
        let lines = top.lines(arguments.lines);
        if arguments.json {
            writeln!(out, "{}", object(&lines, by))?;
        } else {
            if is_screen {
                // To the upper left, and nothing below.
                out.write_all(b"\x1b[H\x1b[J")?;
            }
            print(&lines, by, out)?;
        }
        if arguments.once {
            return Ok(0);
        }
        if !is_screen && !arguments.json {
            writeln!(out)?;
        }
        out.flush()?;
    }
}

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_secs()
}

/// Bytes of both ways.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Carried {
    sent: u64,
    received: u64,
}

impl Carried {
    const fn plus(self, other: Self) -> Self {
        Self {
            sent: self.sent.saturating_add(other.sent),
            received: self.received.saturating_add(other.received),
        }
    }

    const fn minus(self, other: Self) -> Self {
        Self {
            sent: self.sent.saturating_sub(other.sent),
            received: self.received.saturating_sub(other.received),
        }
    }

    const fn both(self) -> u64 {
        self.sent.saturating_add(self.received)
    }

    fn a_second(self, of: Duration) -> Self {
        let rate = |bytes: u64| {
            let milliseconds = of.as_millis().max(1);
            u64::try_from(u128::from(bytes) * 1000 / milliseconds).unwrap_or(u64::MAX)
        };
        Self {
            sent: rate(self.sent),
            received: rate(self.received),
        }
    }
}

/// Traffic that was seen so far.
#[derive(Default)]
struct Top {
    /// Counters of the last minutes, which still grow, by the minute's beginning and the group's key.
    growing: HashMap<(u64, String), Carried>,
    lines: HashMap<String, Line>,
}

/// Traffic of one line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Line {
    rate: Carried,
    sum: Carried,
}

impl Top {
    /// Adds what there is more of than at the last look, that long ago.
    fn look(&mut self, rows: &[HistoryRow], by: By, meanwhile: Option<Duration>) {
        let mut growing = HashMap::<_, Carried>::new();
        for row in rows {
            let carried = Carried {
                sent: row.bytes_sent,
                received: row.bytes_received,
            };
            if carried.both() > 0 {
                let sum = growing.entry((row.start, by.of(row))).or_default();
                *sum = sum.plus(carried);
            }
        }
        for line in self.lines.values_mut() {
            line.rate = Carried::default();
        }
        for (key, carried) in &growing {
            let before = self.growing.get(key).copied().unwrap_or_default();
            let more = carried.minus(before);
            let line = self.lines.entry(key.1.clone()).or_default();
            line.sum = line.sum.plus(more);
            if let Some(meanwhile) = meanwhile {
                line.rate = line.rate.plus(more.a_second(meanwhile));
            }
        }
        self.growing = growing;
        if self.lines.len() > MOST {
            let kept = self.lines(MOST / 2).into_iter();
            self.lines = kept.map(|(what, line)| (what.to_owned(), line)).collect();
        }
    }

    /// Returns the lines with the highest rate first, then those with the highest sum.
    fn lines(&self, most: usize) -> Vec<(&str, Line)> {
        let mut lines: Vec<_> = self
            .lines
            .iter()
            .map(|(what, line)| (what.as_str(), *line))
            .collect();
        lines.sort_by_key(|(what, line)| {
            (
                std::cmp::Reverse((line.rate.both(), line.sum.both())),
                *what,
            )
        });
        lines.truncate(most);
        lines
    }
}

fn object(lines: &[(&str, Line)], by: By) -> Value {
    let lines = lines.iter().map(|(what, Line { rate, sum })| {
        json!({
            by.name(): what,
            "bytes_sent_per_second": rate.sent,
            "bytes_received_per_second": rate.received,
            "bytes_sent": sum.sent,
            "bytes_received": sum.received,
        })
    });
    json!({ "at": now(), "lines": lines.collect::<Vec<_>>() })
}

fn print(lines: &[(&str, Line)], by: By, out: &mut dyn Write) -> Result<(), Error> {
    let faint = style::FAINT;
    writeln!(
        out,
        "{faint}{:>12}{:>12}{:>12}{:>12}  {}{faint:#}",
        "Sent/s",
        "Received/s",
        "Sent",
        "Received",
        by.name()
    )?;
    for (what, Line { rate, sum }) in lines {
        writeln!(
            out,
            "{:>12}{:>12}{:>12}{:>12}  {}",
            size(rate.sent),
            size(rate.received),
            size(sum.sent),
            size(sum.received),
            clean(what)
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(start: u64, program: &str, sent: u64, received: u64) -> HistoryRow {
        HistoryRow {
            start,
            program: Some(program.to_owned()),
            bytes_sent: sent,
            bytes_received: received,
            ..HistoryRow::default()
        }
    }

    #[test]
    fn a_line_has_what_was_carried_since_the_look_before_and_in_all() {
        let mut top = Top::default();
        // Two rows of one program are one line.
        let first = [
            row(0, "/curl", 50, 500),
            row(0, "/curl", 50, 500),
            row(0, "/ssh", 7, 7),
        ];
        top.look(&first, By::Program, None);
        let quiet = Carried::default();
        let sum = Carried {
            sent: 100,
            received: 1000,
        };
        assert_eq!(top.lines(1), [("/curl", Line { rate: quiet, sum })]);
        // A minute later: the last one has grown, and there is another.
        let second = [
            row(0, "/curl", 100, 1000),
            row(60, "/curl", 0, 40),
            row(0, "/ssh", 27, 7),
        ];
        top.look(&second, By::Program, Some(Duration::from_secs(2)));
        let lines = top.lines(9);
        assert_eq!(lines.len(), 2);
        let (curl, ssh) = (lines[0], lines[1]);
        assert_eq!(
            (curl.0, curl.1.rate.received, curl.1.sum.received),
            ("/curl", 20, 1040)
        );
        assert_eq!((ssh.0, ssh.1.rate.sent, ssh.1.sum.sent), ("/ssh", 10, 27));
        // The oldest minute is not looked at any more, and what it had stays.
        top.look(
            &[row(60, "/curl", 0, 40)],
            By::Program,
            Some(Duration::from_secs(2)),
        );
        let lines = top.lines(9);
        assert_eq!((lines[0].0, lines[0].1.sum.received), ("/curl", 1040));
        assert!(lines.iter().all(|(_, line)| line.rate == quiet));
    }

    #[test]
    fn however_many_have_talked_the_most_of_them_are_remembered() {
        let mut top = Top::default();
        let rows: Vec<_> = (0..=MOST as u64)
            .map(|n| row(0, &format!("/{n}"), n + 1, 0))
            .collect();
        top.look(&rows, By::Program, None);
        assert_eq!(top.lines.len(), MOST / 2);
        let first = (format!("/{MOST}"), MOST as u64 + 1);
        let lines = top.lines(1);
        assert_eq!((lines[0].0.to_owned(), lines[0].1.sum.sent), first);
    }
}
