//! History in words and in sums: for the command line and for the window.

use crate::entry::{clean, way_named};
use crate::text;
use crate::time::day_and_time;
use control::HistoryRow;
use firewall_abi::packet::Reason;
use rules::Protocol;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::net::SocketAddr;

/// Key by which rows are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Path of the program, or the process's name where that is all that is known.
    Program,
    /// Name that the other end was asked for by, or its address.
    Name,
    /// Rule that decided, or the reason if there was none.
    Rule,
    /// User at this end.
    User,
    /// Protocol, other end and port.
    Endpoint,
}

impl By {
    /// All keys.
    pub const ALL: [Self; 5] = [
        Self::Program,
        Self::Name,
        Self::Rule,
        Self::User,
        Self::Endpoint,
    ];

    /// Returns the key's name on the command line and in what is printed.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Program => "program",
            Self::Name => "name",
            Self::Rule => "rule",
            Self::User => "user",
            Self::Endpoint => "endpoint",
        }
    }

    /// Returns the key's name on a choice.
    #[must_use]
    pub fn words(self) -> String {
        match self {
            Self::Program => text!("by-program"),
            Self::Name => text!("by-name"),
            Self::Rule => text!("by-rule"),
            Self::User => text!("by-user"),
            Self::Endpoint => text!("by-endpoint"),
        }
    }

    /// Returns the value of the key that this row counts among.
    #[must_use]
    pub fn of(self, row: &HistoryRow) -> String {
        match self {
            Self::Program => program(row),
            Self::Name => row.name.as_deref().map_or_else(|| remote(row), clean),
            Self::Rule => rule(row),
            Self::User => row
                .user
                .map_or_else(|| text!("not-known"), |user| user.to_string()),
            Self::Endpoint => format!("{} {}", protocol(row), endpoint(row)),
        }
    }
}

/// Sum of several rows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sum {
    /// Value of the key that the rows have in common.
    pub what: String,
    /// Number of records that were allowed.
    pub allowed: u64,
    /// Number of records that were refused.
    pub refused: u64,
    /// Number of records that somebody was asked about.
    pub asked: u64,
    /// Time of the first record, in seconds since 1970.
    pub first: u64,
    /// Time of the last record, in seconds since 1970.
    pub last: u64,
    /// Packets that this end sent; 0 if not counted.
    pub packets_sent: u64,
    /// Bytes of the packets that this end sent.
    pub bytes_sent: u64,
    /// Packets that this end got.
    pub packets_received: u64,
    /// Bytes of the packets that this end got.
    pub bytes_received: u64,
}

impl Sum {
    /// Returns the number of all records.
    #[must_use]
    pub const fn records(&self) -> u64 {
        self.allowed
            .saturating_add(self.refused)
            .saturating_add(self.asked)
    }

    fn add(&mut self, row: &HistoryRow) {
        let verdict = match row.verdict.as_str() {
            "allow" => &mut self.allowed,
            "ask" => &mut self.asked,
            _ => &mut self.refused,
        };
        let more = [
            (verdict, row.count),
            (&mut self.packets_sent, row.packets_sent),
            (&mut self.bytes_sent, row.bytes_sent),
            (&mut self.packets_received, row.packets_received),
            (&mut self.bytes_received, row.bytes_received),
        ];
        for (sum, more) in more {
            *sum = sum.saturating_add(more);
        }
        self.first = self.first.min(row.first);
        self.last = self.last.max(row.last);
    }

    /// Returns the sum's cells, as [`sum_titles`] names them.
    #[must_use]
    pub fn cells(&self) -> [String; SUM_COLUMNS] {
        [
            self.what.clone(),
            self.allowed.to_string(),
            self.refused.to_string(),
            self.asked.to_string(),
            self.bytes_sent.to_string(),
            self.bytes_received.to_string(),
            day_and_time(self.first),
            day_and_time(self.last),
        ]
    }
}

/// Number of cells in a sum.
pub const SUM_COLUMNS: usize = 8;

/// Returns the titles of a sum's cells; the first one is empty, for it depends on the key.
#[must_use]
pub fn sum_titles() -> [String; SUM_COLUMNS] {
    [
        String::new(),
        text!("column-allowed"),
        text!("column-refused"),
        text!("column-asked"),
        text!("column-sent"),
        text!("column-received"),
        text!("column-first"),
        text!("column-last"),
    ]
}

/// Sums these rows by a key, those who talked most first.
#[must_use]
pub fn sums<'a>(rows: impl IntoIterator<Item = &'a HistoryRow>, by: By) -> Vec<Sum> {
    sums_by(rows, |row| by.of(row))
}

/// Sums these rows by the value that `by` returns for each.
#[must_use]
pub fn sums_by<'a>(
    rows: impl IntoIterator<Item = &'a HistoryRow>,
    by: impl Fn(&HistoryRow) -> String,
) -> Vec<Sum> {
    let mut sums: HashMap<String, Sum> = HashMap::new();
    for row in rows {
        let what = by(row);
        let sum = sums.entry(what.clone()).or_insert_with(|| Sum {
            what,
            first: row.first,
            ..Sum::default()
        });
        sum.add(row);
    }
    let mut sums: Vec<_> = sums.into_values().collect();
    let much = |sum: &Sum| {
        (
            sum.bytes_sent.saturating_add(sum.bytes_received),
            sum.records(),
        )
    };
    sums.sort_by(|a, b| much(b).cmp(&much(a)).then_with(|| a.what.cmp(&b.what)));
    sums
}

/// Returns sums as objects, each under the name of its key.
#[must_use]
pub fn named(sums: &[Sum], by: By) -> Vec<Value> {
    let objects = sums.iter().map(|sum| {
        let mut object = json!(sum);
        object[by.name()] = object["what"].take();
        if let Some(fields) = object.as_object_mut() {
            fields.remove("what");
        }
        object
    });
    objects.collect()
}

/// Number of cells in a row.
pub const COLUMNS: usize = 11;

/// Returns the titles of a row's cells.
#[must_use]
pub fn titles() -> [String; COLUMNS] {
    [
        text!("column-last"),
        text!("column-what"),
        text!("column-way"),
        text!("column-protocol"),
        text!("column-other-end"),
        text!("column-rule"),
        text!("column-program"),
        text!("column-user"),
        text!("column-records"),
        text!("column-sent"),
        text!("column-received"),
    ]
}

/// Returns the cells of a row, as [`titles`] names them.
#[must_use]
pub fn cells(row: &HistoryRow) -> [String; COLUMNS] {
    let what = match row.verdict.as_str() {
        "allow" => text!("what-allowed"),
        "ask" => text!("what-asked"),
        _ => text!("what-refused"),
    };
    let what = match row.contact.as_deref() {
        Some("first") => text!("what-first-contact", what = what),
        Some(_) => text!("what-changed-program", what = what),
        None => what,
    };
    let end = match &row.name {
        Some(name) => format!("{} ({})", endpoint(row), clean(name)),
        None => endpoint(row),
    };
    let end = match row.source {
        Some(source) => format!("{source} -> {end}"),
        None => end,
    };
    [
        day_and_time(row.last),
        what,
        way_named(&row.direction),
        protocol(row),
        end,
        rule(row),
        program(row),
        row.user.map_or_else(String::new, |user| user.to_string()),
        row.count.to_string(),
        row.bytes_sent.to_string(),
        row.bytes_received.to_string(),
    ]
}

/// Returns the program with the user at this end, if that is known.
#[must_use]
pub fn whose(row: &HistoryRow) -> String {
    let program = program(row);
    match row.user {
        Some(user) => format!("{program} ({})", text!("program-user", user = user)),
        None => program,
    }
}

/// Returns the program, or the process where that is all that is known.
#[must_use]
pub fn program(row: &HistoryRow) -> String {
    match &row.program {
        Some(path) => clean(path),
        None if row.process.is_empty() => text!("not-known"),
        None => clean(&row.process),
    }
}

fn rule(row: &HistoryRow) -> String {
    match &row.rule {
        Some(rule) => clean(rule),
        None => format!("({})", reason(&row.reason)),
    }
}

/// Returns the words for a reason by its name; a name that this release does not know stands for itself.
fn reason(name: &str) -> String {
    let mut all = (1..).map_while(|number| Reason::try_from(number).ok());
    let found = all.find(|reason| reason.name() == name);
    found.map_or_else(|| clean(name), crate::entry::reason)
}

fn protocol(row: &HistoryRow) -> String {
    Protocol(row.protocol).to_string()
}

fn remote(row: &HistoryRow) -> String {
    row.remote
        .map_or_else(|| text!("end-many"), |remote| remote.to_string())
}

/// Returns the other end with the port that was asked for, which of what comes in is our own.
fn endpoint(row: &HistoryRow) -> String {
    match (row.remote, row.port) {
        (Some(remote), Some(port)) if row.direction != "in" => {
            SocketAddr::new(remote, port).to_string()
        }
        (_, Some(port)) => text!("end-port", end = remote(row), port = port),
        _ => remote(row),
    }
}

/// Returns the other end with the name that is known, with protocol and port, as a packet's is put together:
/// `192.0.2.7 (example.org), tcp 443`.
#[must_use]
pub fn endpoint_with_name(row: &HistoryRow) -> String {
    let end = match &row.name {
        Some(name) => format!("{} ({})", remote(row), clean(name)),
        None => remote(row),
    };
    endpoint_of(row, end)
}

/// Returns the endpoint whose address, or name, is this: `example.org, tcp 443`, `from 192.0.2.7, tcp 22`.
#[must_use]
pub fn endpoint_of(row: &HistoryRow, end: String) -> String {
    let ends = match (row.direction.as_str(), row.source) {
        ("in", _) => text!("end-from", end = end),
        (_, Some(source)) => text!("end-from-to", from = source.to_string(), to = end),
        _ => end,
    };
    let port = row.port.map_or_else(String::new, |port| format!(" {port}"));
    format!("{ends}, {}{port}", protocol(row))
}

/// Returns a number of bytes, as short as people say it.
#[must_use]
pub fn size(bytes: u64) -> String {
    let mut unit = "B";
    let mut tenths = u128::from(bytes) * 10;
    for larger in ["KiB", "MiB", "GiB", "TiB", "PiB"] {
        if tenths < 10_240 {
            break;
        }
        (unit, tenths) = (larger, tenths / 1024);
    }
    if unit == "B" {
        format!("{bytes} B")
    } else {
        format!("{}.{} {unit}", tenths / 10, tenths % 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curl(rule: &str, count: u64) -> HistoryRow {
        HistoryRow {
            direction: "out".to_owned(),
            verdict: "block".to_owned(),
            reason: "rule".to_owned(),
            protocol: 6,
            remote: "192.0.2.7".parse().ok(),
            port: Some(443),
            program: Some("/usr/bin/curl".to_owned()),
            process: "curl".to_owned(),
            user: Some(1000),
            rule: Some(rule.to_owned()),
            name: Some("example.org".to_owned()),
            count,
            first: 100,
            last: 200,
            ..HistoryRow::default()
        }
    }

    #[test]
    fn rows_are_put_together_by_what_they_have_in_common_and_the_most_come_first() {
        let mut inward = curl("a", 1);
        (inward.direction, inward.program, inward.process) = ("in".to_owned(), None, String::new());
        (inward.name, inward.rule, inward.user, inward.first) = (None, None, None, 50);
        (inward.reason, inward.verdict) = ("default".to_owned(), "allow".to_owned());
        let rows = [curl("a", 2), inward, curl("b", 3)];
        let sums = |by: By| -> Vec<_> {
            let sums = sums(&rows, by).into_iter();
            sums.map(|sum| (sum.what, sum.allowed, sum.refused))
                .collect()
        };
        let expected = |pairs: &[(&str, u64, u64)]| -> Vec<_> {
            let pairs = pairs.iter();
            pairs
                .map(|(what, allowed, refused)| ((*what).to_owned(), *allowed, *refused))
                .collect()
        };
        assert_eq!(
            sums(By::Program),
            expected(&[("/usr/bin/curl", 0, 5), ("not known", 1, 0)])
        );
        assert_eq!(
            sums(By::Name),
            expected(&[("example.org", 0, 5), ("192.0.2.7", 1, 0)])
        );
        assert_eq!(
            sums(By::Rule),
            expected(&[("b", 0, 3), ("a", 0, 2), ("(default)", 1, 0)])
        );
        assert_eq!(
            sums(By::User),
            expected(&[("1000", 0, 5), ("not known", 1, 0)])
        );
        assert_eq!(
            sums(By::Endpoint),
            expected(&[
                ("tcp 192.0.2.7:443", 0, 5),
                ("tcp 192.0.2.7 to port 443", 1, 0)
            ])
        );
    }

    #[test]
    fn whoever_moved_more_bytes_comes_first_however_few_the_records() {
        let mut busy = curl("a", 1);
        (busy.bytes_received, busy.packets_received) = (4000, 3);
        let sums = sums(&[curl("b", 9), busy], By::Rule);
        assert_eq!((sums[0].what.as_str(), sums[0].bytes_received), ("a", 4000));
    }

    #[test]
    fn bytes_are_said_as_people_say_them() {
        let said = [0, 1023, 1024, 1_572_864, u64::MAX].map(size);
        assert_eq!(said, ["0 B", "1023 B", "1.0 KiB", "1.5 MiB", "16383.9 PiB"]);
    }

    #[test]
    fn a_sum_is_named_by_what_it_is_by() {
        let named = named(&sums(&[curl("a", 4)], By::Program), By::Program);
        assert_eq!(
            (&named[0]["program"], &named[0]["refused"]),
            (&json!("/usr/bin/curl"), &json!(4))
        );
        assert!(named[0].get("what").is_none());
    }
}
