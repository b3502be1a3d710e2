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

fn said_of_nothing(is_kept: bool, out: &mut dyn Write) -> Result<(), Error> {
    let said = if is_kept {
        "nothing of that was kept: what is allowed without a report is not, `log = true` in a rule reports it"
    } else {
        "nothing is kept: gatebelld was started with --history-days 0"
    };
    writeln!(out, "{said}")?;
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

/// Columns as wide as they have to be; those that hold nothing but zeros are left out, for what nobody counted is not nothing.
fn table(names: &[&str], rows: &[Vec<String>], out: &mut dyn Write) -> Result<(), Error> {
    let shown: Vec<_> = (0..names.len())
        .filter(|n| rows.iter().any(|row| row[*n] != "0"))
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

/// As RFC 4180 has it; the names first.
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
    match value {
        Value::Null => String::new(),
        Value::String(text) if text.contains([',', '"', '\r', '\n']) => {
            format!("\"{}\"", text.replace('"', "\"\""))
        }
        Value::String(text) => text.clone(),
        other => other.to_string(),
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
        let rows = [["curl", "12", "0"], ["a longer one", "3", "0"]];
        let rows = rows.map(|row| row.map(str::to_owned).to_vec());
        let table = printed(|out| table(&["program", "Refused", "Sent"], &rows, out));
        assert_eq!(
            table,
            "program       Refused\ncurl               12\na longer one        3\n"
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
