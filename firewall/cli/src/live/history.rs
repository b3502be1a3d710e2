//! `gatebell history`: what happened before, as the service kept it.

use super::connect;
use crate::Error;
use crate::arguments::HistoryArguments;
use crate::style;
use control::HistoryRow;
use serde_json::{Value, json};
use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};
use view::history::{self, By, COLUMNS, SUM_COLUMNS};

/// Prints what was kept: row by row, or put together.
pub fn history(arguments: &HistoryArguments, out: &mut dyn Write) -> Result<u8, Error> {
    let mut client = connect(&arguments.service.socket)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let since = now
        .unwrap_or_default()
        .saturating_sub(arguments.since.0)
        .as_secs();
    let mut rows = client.history(since)?;
    rows.retain(|row| arguments.only.row(row));
    rows.sort_by_key(|row| (row.last, row.first));
    if rows.is_empty() && !arguments.json && !arguments.csv {
        said_of_nothing(client.status()?.history.is_some(), out)?;
        return Ok(0);
    }
    match (arguments.by.map(|by| by.0), arguments.json, arguments.csv) {
        (Some(by), true, _) => summed(&rows, by)
            .iter()
            .try_for_each(|sum| writeln!(out, "{sum}"))?,
        (None, true, _) => rows
            .iter()
            .try_for_each(|row| writeln!(out, "{}", json!(row)))?,
        (Some(by), _, true) => csv(&summed(&rows, by), out)?,
        (None, _, true) => csv(&rows.iter().map(|row| json!(row)).collect::<Vec<_>>(), out)?,
        (Some(by), ..) => {
            let sums = history::sums(&rows, by);
            let cells: Vec<_> = sums.iter().map(|sum| sum.cells().to_vec()).collect();
            let mut columns = SUM_COLUMNS;
            columns[0] = by.name();
            table(&columns, &cells, out)?;
        }
        (None, ..) => {
            let cells: Vec<_> = rows
                .iter()
                .map(|row| history::cells(row).to_vec())
                .collect();
            table(&COLUMNS, &cells, out)?;
        }
    }
    Ok(0)
}

/// What `gatebell history` and `gatebell top` have nothing to show of.
pub const NOT_KEPT: &str = "nothing is kept: gatebelld was started with --history-days 0";

fn said_of_nothing(is_kept: bool, out: &mut dyn Write) -> Result<(), Error> {
    if !is_kept {
        writeln!(out, "{NOT_KEPT}")?;
        return Ok(());
    }
    writeln!(out, "nothing of that was kept")?;
    if !nix::unistd::geteuid().is_root() {
        writeln!(
            out,
            "only what your own programs did is shown to you; all of it is shown to root: sudo gatebell history"
        )?;
    }
    Ok(())
}

/// The sums, each under the name of what it is by.
fn summed(rows: &[HistoryRow], by: By) -> Vec<Value> {
    let sums = history::sums(rows, by).into_iter();
    sums.map(|sum| {
        let mut object = json!(sum);
        object[by.name()] = object["what"].take();
        if let Some(fields) = object.as_object_mut() {
            fields.remove("what");
        }
        object
    })
    .collect()
}

/// What is counted: a column of it that holds nothing but zeros is left out, for what nobody counted is not nothing.
const COUNTS: [&str; 5] = ["Allowed", "Refused", "Asked", "Sent", "Received"];

/// Columns as wide as they have to be.
fn table(names: &[&str], rows: &[Vec<String>], out: &mut dyn Write) -> Result<(), Error> {
    let shown: Vec<_> = (0..names.len())
        .filter(|n| !COUNTS.contains(&names[*n]) || rows.iter().any(|row| row[*n] != "0"))
        .collect();
    let is_number = |n: usize| rows.iter().all(|row| row[n].parse::<u64>().is_ok());
    let columns: Vec<_> = shown
        .into_iter()
        .map(|n| {
            let longest = rows.iter().map(|row| row[n].chars().count()).max();
            (n, longest.unwrap_or(0).max(names[n].len()), is_number(n))
        })
        .collect();
    let line = |cell: &dyn Fn(usize) -> String| {
        let cells: Vec<_> = columns
            .iter()
            .map(|(n, width, right)| {
                let (cell, width) = (cell(*n), *width);
                if *right {
                    format!("{cell:>width$}")
                } else {
                    format!("{cell:<width$}")
                }
            })
            .collect();
        cells.join("  ").trim_end().to_owned()
    };
    let faint = style::FAINT;
    writeln!(out, "{faint}{}{faint:#}", line(&|n| names[n].to_owned()))?;
    for row in rows {
        writeln!(out, "{}", line(&|n| row[n].clone()))?;
    }
    Ok(())
}

/// As RFC 4180 has it; the names first. A program chooses its own name, and a table calculates what begins like a formula: such a field
/// begins with an apostrophe.
fn csv(objects: &[Value], out: &mut dyn Write) -> Result<(), Error> {
    let names: Vec<String> = objects
        .first()
        .and_then(Value::as_object)
        .map(|fields| fields.keys().cloned().collect())
        .unwrap_or_default();
    if !names.is_empty() {
        write!(out, "{}\r\n", names.join(","))?;
    }
    for object in objects {
        let fields: Vec<_> = names.iter().map(|name| field(&object[name])).collect();
        write!(out, "{}\r\n", fields.join(","))?;
    }
    Ok(())
}

fn field(value: &Value) -> String {
    let text = match value {
        Value::Null => return String::new(),
        Value::String(text) if text.starts_with(['=', '+', '-', '@', '\t', '\r']) => {
            format!("'{text}")
        }
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if text.contains([',', '"', '\r', '\n']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;

    fn printed(print: impl Fn(&mut dyn Write) -> Result<(), Error>) -> String {
        let mut out = Vec::new();
        print(&mut out).unwrap();
        anstream::adapter::strip_str(&String::from_utf8(out).unwrap()).to_string()
    }

    #[test]
    fn a_table_is_as_wide_as_its_cells_and_leaves_out_what_nobody_counted() {
        let rows = [["curl", "0", "12", "0"], ["a longer one", "0", "3", "0"]];
        let rows = rows.map(|row| row.map(str::to_owned).to_vec());
        let table = printed(|out| table(&["program", "User", "Refused", "Sent"], &rows, out));
        assert_eq!(
            table,
            "program       User  Refused\ncurl             0       12\na longer one     0        3\n"
        );
    }

    #[test]
    fn a_field_of_csv_is_quoted_where_it_holds_what_separates_fields() {
        let objects = [json!({ "a": "x,\"y\"\n", "b": null, "c": 7 })];
        assert_eq!(
            printed(|out| csv(&objects, out)),
            "a,b,c\r\n\"x,\"\"y\"\"\n\",,7\r\n"
        );
        assert_eq!(printed(|out| csv(&[], out)), "");
        for (said, written) in [
            ("=1+2", "'=1+2"),
            ("@SUM(A1),x", "\"'@SUM(A1),x\""),
            ("a=b", "a=b"),
        ] {
            assert_eq!(field(&json!(said)), written);
        }
        assert_eq!(field(&json!(-1)), "-1", "a number is one");
    }

    #[test]
    fn a_sum_is_named_by_what_it_is_by() {
        let row = HistoryRow {
            program: Some("/usr/bin/curl".to_owned()),
            verdict: "block".to_owned(),
            count: 4,
            ..HistoryRow::default()
        };
        let summed = summed(&[row], By::Program);
        assert_eq!(
            (&summed[0]["program"], &summed[0]["refused"]),
            (&json!("/usr/bin/curl"), &json!(4))
        );
        assert!(summed[0].get("what").is_none());
    }
}
