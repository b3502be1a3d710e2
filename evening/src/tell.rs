//! Report of an evening, as a table and as JSON.

use crate::account::{Account, Row};
use serde_json::{Value, json};
use std::fmt::Write;

/// Counts beside the account.
#[derive(Clone, Debug, Default)]
pub struct Beside {
    /// Duration of the evening, in seconds.
    pub seconds: u64,
    /// Programs that were started.
    pub started: u64,
    /// Keys typed, for what was left to its time too.
    pub keys: u64,
    /// Questions that the service has put, in its own log.
    pub put: u64,
    /// Records of packets that somebody who watched heard of.
    pub records: u64,
    /// The kernel.
    pub kernel: String,
    /// Output of the programs that did not go as they were meant to, in their own words.
    pub failed: Vec<String>,
}

const HEAD: [&str; 11] = [
    "program",
    "runs",
    "asked",
    "endpoints",
    "answers",
    "keys",
    "left",
    "behind",
    "twice",
    "allow s",
    "block s",
];

/// Legend of the table's columns.
const LEGEND: &str = "asked: questions shown; endpoints: what they were about; keys: Return too; left: to its time; behind: the most \
that waited behind\none question; twice: asked though it was decided; allow s, block s: the longest that a connection waited from then on\n";

/// The table, then the verdict.
#[must_use]
pub fn table(account: &Account, beside: &Beside) -> String {
    let mut lines = vec![HEAD.map(str::to_owned)];
    for (program, row) in &account.rows {
        lines.push(cells(program, row));
    }
    lines.push(cells("all", &account.sum()));
    let mut text = String::new();
    for line in &lines {
        // A String takes whatever is written to it.
        let _never_fails = writeln!(text, "{}", aligned(line, &lines));
    }
    text.push_str(LEGEND);
    let Beside {
        seconds,
        started,
        keys,
        put,
        records,
        kernel,
        failed,
    } = beside;
    let sum = account.sum();
    let _never_fails = writeln!(
        text,
        "\n{started} programs in {} min {} s; {} connections waited, {} hung; {put} questions put, {} shown; {keys} keys; \
         {records} records; kernel {kernel}",
        seconds / 60,
        seconds % 60,
        sum.waited,
        sum.hung,
        sum.questions,
    );
    for said in failed {
        let _never_fails = writeln!(text, "  {said}");
    }
    if account.faults.is_empty() {
        text.push_str("holds: nothing was asked about that was decided, and no connection hung\n");
    }
    for fault in &account.faults {
        let _never_fails = writeln!(text, "does not hold: {fault}");
    }
    text
}

fn cells(program: &str, row: &Row) -> [String; 11] {
    let seconds = |longest: Option<u64>| {
        longest.map_or("-".to_owned(), |ms| {
            format!("{}.{}", ms / 1000, ms % 1000 / 100)
        })
    };
    [
        program.to_owned(),
        (row.runs.well + row.runs.ill).to_string(),
        row.questions.to_string(),
        row.endpoints.to_string(),
        row.answers.to_string(),
        row.keys.to_string(),
        row.unanswered.to_string(),
        row.most_behind.to_string(),
        row.repeated.to_string(),
        seconds(row.longest_allowed_ms),
        seconds(row.longest_blocked_ms),
    ]
}

fn aligned(line: &[String; 11], lines: &[[String; 11]]) -> String {
    let width = |column: usize| {
        lines
            .iter()
            .map(|line| line[column].len())
            .max()
            .unwrap_or(0)
    };
    let mut text = format!("{:<1$}", line[0], width(0));
    for (column, cell) in line.iter().enumerate().skip(1) {
        // A String takes whatever is written to it.
        let _never_fails = write!(text, "  {cell:>0$}", width(column));
    }
    text
}

/// Returns account and counts as one JSON object.
#[must_use]
pub fn json(account: &Account, beside: &Beside) -> Value {
    let rows = account.rows.iter().map(|(program, row)| {
        let mut object = row_json(row);
        object["program"] = json!(program);
        object
    });
    let Beside {
        seconds,
        started,
        keys,
        put,
        records,
        kernel,
        failed,
    } = beside;
    json!({
        "holds": account.faults.is_empty(),
        "faults": account.faults,
        "all": row_json(&account.sum()),
        "programs": rows.collect::<Vec<_>>(),
        "seconds": seconds,
        "started": started,
        "keys": keys,
        "questions_put": put,
        "records": records,
        "kernel": kernel,
        "failed": failed,
    })
}

fn row_json(row: &Row) -> Value {
    let Row {
        questions,
        endpoints,
        answers,
        keys,
        unanswered,
        most_behind,
        repeated,
        waited,
        longest_allowed_ms,
        longest_blocked_ms,
        hung,
        runs,
    } = row;
    json!({
        "questions": questions,
        "endpoints": endpoints,
        "answers": answers,
        "keys": keys,
        "unanswered": unanswered,
        "most_behind": most_behind,
        "repeated": repeated,
        "waited": waited,
        "longest_allowed_ms": longest_allowed_ms,
        "longest_blocked_ms": longest_blocked_ms,
        "hung": hung,
        "well": runs.well,
        "ill": runs.ill,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_a_line_for_each_program_and_says_what_does_not_hold() {
        let mut account = Account::default();
        let row = Row {
            questions: 3,
            longest_allowed_ms: Some(2_340),
            ..Row::default()
        };
        account.rows.insert("browser".to_owned(), row);
        let text = table(&account, &Beside::default());
        let lines: Vec<_> = text.lines().collect();
        assert!(
            lines[1].starts_with("browser") && lines[1].contains("2.3"),
            "{text}"
        );
        assert!(lines[2].starts_with("all"));
        assert_eq!(lines[0].len(), lines[1].len());
        assert!(text.contains("\nholds: nothing was asked about that was decided,"));
        assert_eq!(json(&account, &Beside::default())["holds"], true);
        account.faults.push("browser: it hung".to_owned());
        let text = table(&account, &Beside::default());
        assert!(
            text.ends_with("does not hold: browser: it hung\n"),
            "{text}"
        );
        assert_eq!(json(&account, &Beside::default())["holds"], false);
    }
}
