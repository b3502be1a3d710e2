//! Writer of the results, as a page for people and as JSON for programs.

use crate::book::{Beside, Book, Outcome, Table};
use crate::machine::Machine;
use crate::promises::{PROMISES, Promise, Target, Verdict, figures};
use crate::statistics::Spread;
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::fmt::Write;
use std::fs;
use std::path::Path;

/// The page `docs/figures.md`.
pub fn markdown(book: &Book, machine: &Machine) -> String {
    let mut page = head(machine);
    table(&mut page, book);
    for figure in figures() {
        section(&mut page, book, figure);
    }
    page
}

/// The drawing of wakes against latency, beside the page.
pub const WAKES: &str = "wakes.svg";
const PICTURES: [&str; 1] = [WAKES];

/// Writes the page, and its drawings beside it. One that this run has not drawn is of an older page, and goes.
pub fn write(book: &Book, machine: &Machine, page: &Path) -> Result<()> {
    let written = |file: &Path, text: &str| {
        fs::write(file, text).with_context(|| format!("can't write {}", file.display()))
    };
    written(page, &markdown(book, machine))?;
    for name in PICTURES {
        let file = page.with_file_name(name);
        match book.picture_of(name) {
            Some(drawing) => written(&file, drawing)?,
            None if file.exists() => fs::remove_file(&file)
                .with_context(|| format!("can't remove {}", file.display()))?,
            None => {}
        }
    }
    Ok(())
}

/// Everything, for programs.
pub fn json(book: &Book, machine: &Machine) -> Value {
    let figures: Vec<Value> = PROMISES.iter().map(|promise| one(book, promise)).collect();
    let beside: serde_json::Map<String, Value> = self::figures()
        .into_iter()
        .map(|figure| {
            (
                figure.to_owned(),
                json!({
                    "numbers": book.beside_of(figure),
                    "notes": book.notes_of(figure),
                    "tables": book.tables_of(figure),
                }),
            )
        })
        .collect();
    json!({ "machine": machine, "figures": figures, "beside": beside })
}

/// One line for the terminal.
pub fn line(book: &Book, promise: &Promise) -> String {
    let (measured, verdict) = said(book, promise);
    format!(
        "{:<78} {:>10}  {:>22}  {verdict}",
        promise.says,
        aim(promise),
        measured
    )
}

fn one(book: &Book, promise: &Promise) -> Value {
    let outcome = book.outcome(promise);
    let verdict = match &outcome {
        Outcome::Measured(spread) => Some(promise.target.verdict(spread)),
        Outcome::NotMeasured(_) => None,
    };
    json!({
        "id": promise.id, "figure": promise.figure, "says": promise.says, "unit": promise.unit,
        "target": promise.target, "predicted": promise.predicted, "outcome": outcome, "verdict": verdict,
    })
}

fn head(machine: &Machine) -> String {
    let Machine {
        processor,
        processors,
        memory_mib,
        kernel,
        date,
        load,
        quick,
    } = machine;
    let length = if *quick {
        "a short run (`--quick`)"
    } else {
        "a whole run"
    };
    format!(
        "# Figures\n\n\
         Written by `cargo xtask figures`; nothing here is older than the run. Measured on {date} UTC, in {length}:\n\
         {processors} processors ({processor}), {memory_mib} MiB, Linux {kernel}, load {load:.2} when it began.\n\n\
         Each value is the median of its rounds, with the lowest and the highest. A target holds if all rounds hold it, and is missed\n\
         if none does; else it is undecided. What is compared was measured in turns, in this\n\
         run, and a ratio is that of rounds next to each other. Figures of another machine say little: compare, don't quote.\n\n"
    )
}

fn table(page: &mut String, book: &Book) {
    page.push_str("| what | target | predicted | measured | |\n| --- | --- | --- | --- | --- |\n");
    for promise in PROMISES {
        let (measured, verdict) = said(book, promise);
        let predicted = number(promise.predicted, promise.unit);
        let _written = writeln!(
            page,
            "| {} | {} | {predicted} | {measured} | {verdict} |",
            promise.says,
            aim(promise)
        );
    }
    page.push('\n');
}

fn section(page: &mut String, book: &Book, figure: &str) {
    let (numbers, notes) = (book.beside_of(figure), book.notes_of(figure));
    let tables = book.tables_of(figure);
    if numbers.is_empty() && notes.is_empty() && tables.is_empty() {
        return;
    }
    let _written = write!(page, "## {figure}\n\n");
    for note in notes {
        let _written = write!(page, "{note}\n\n");
    }
    for table in tables {
        side_by_side(page, table);
    }
    if numbers.is_empty() {
        return;
    }
    page.push_str("| | median | lowest | highest | |\n| --- | ---: | ---: | ---: | --- |\n");
    for Beside { who, value, unit } in numbers {
        let Spread {
            median, low, high, ..
        } = *value;
        let [median, low, high] = [median, low, high].map(plain);
        let _written = writeln!(page, "| {who} | {median} | {low} | {high} | {unit} |");
    }
    page.push('\n');
}

fn side_by_side(page: &mut String, table: &Table) {
    let Table {
        about,
        columns,
        rows,
    } = table;
    let lines = " ---: |".repeat(columns.len());
    let _written = write!(
        page,
        "{about}\n\n| | {} |\n| --- |{lines}\n",
        columns.join(" | ")
    );
    for (who, numbers) in rows {
        let cells: Vec<String> = numbers
            .iter()
            .map(|number| number.as_ref().map_or_else(|| "–".to_owned(), ranged))
            .collect();
        let _written = writeln!(page, "| {who} | {} |", cells.join(" | "));
    }
    page.push('\n');
}

/// The median, with the lowest and the highest where there was more than one round.
fn ranged(spread: &Spread) -> String {
    if spread.rounds > 1 && spread.low < spread.high {
        let [median, low, high] = [spread.median, spread.low, spread.high].map(plain);
        format!("{median} ({low}–{high})")
    } else {
        plain(spread.median)
    }
}

/// Returns the measured value of a promise and whether it holds, in words.
fn said(book: &Book, promise: &Promise) -> (String, String) {
    match book.outcome(promise) {
        Outcome::NotMeasured(why) => ("not measured".to_owned(), why),
        Outcome::Measured(spread) => {
            let mut measured = number(spread.median, promise.unit);
            if spread.rounds > 1 {
                let _written = write!(measured, " ({}–{})", plain(spread.low), plain(spread.high));
            }
            (measured, verdict(promise, &spread))
        }
    }
}

fn verdict(promise: &Promise, spread: &Spread) -> String {
    match promise.target.verdict(spread) {
        Verdict::Holds => return "holds".to_owned(),
        Verdict::Undecided => return "undecided".to_owned(),
        Verdict::Misses => {}
    }
    let missed = promise.target.missed_by(spread.median) * 100.0;
    if missed.is_finite() {
        format!("**misses by {missed:.0} %**")
    } else {
        "**misses**".to_owned()
    }
}

fn aim(promise: &Promise) -> String {
    match promise.target {
        Target::AtLeast(least) => format!("≥ {}", number(least, promise.unit)),
        Target::AtMost(most) => format!("≤ {}", number(most, promise.unit)),
    }
}

fn number(value: f64, unit: &str) -> String {
    format!("{} {unit}", plain(value))
}

/// Three digits, and no more than are known.
fn plain(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if size >= 1000.0 => thousands(value.round() as i64),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => trimmed(format!("{value:.1}")),
        _ => trimmed(format!("{value:.2}")),
    }
}

fn trimmed(digits: String) -> String {
    if !digits.contains('.') {
        return digits;
    }
    digits
        .trim_end_matches('0')
        .trim_end_matches('.')
        .to_owned()
}

fn thousands(value: i64) -> String {
    let digits = value.abs().to_string();
    let mut said = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            said.push(',');
        }
        said.push(digit);
    }
    if value < 0 { format!("-{said}") } else { said }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> Machine {
        Machine {
            processor: "a processor".to_owned(),
            processors: 2,
            memory_mib: 1024,
            kernel: "6.1".to_owned(),
            date: "2026-01-01 00:00".to_owned(),
            load: 0.0,
            quick: false,
        }
    }

    #[test]
    fn what_was_not_measured_has_no_number() {
        let page = markdown(&Book::default(), &machine());
        let lines: Vec<&str> = page
            .lines()
            .filter(|line| line.contains("not measured"))
            .collect();
        assert_eq!(lines.len(), PROMISES.len());
    }

    #[test]
    fn a_target_holds_or_is_missed_if_all_rounds_lie_on_one_side_and_says_by_how_much() {
        let mut book = Book::default();
        book.put("through_tcp", &[48.5]);
        book.put("refused_nflog_1", &[4.0, 3.0, 5.0]);
        book.put("refused_cost", &[10.0, 15.1, 14.0]);
        let page = markdown(&book, &machine());
        assert!(page.contains("| 48.5 % | **misses by 50 %** |"), "{page}");
        assert!(page.contains("| 4 × (3–5) | holds |"), "{page}");
        assert!(page.contains("| 14 % (10–15.1) | undecided |"), "{page}");
        let said = json(&book, &machine());
        let held: Vec<&Value> = said["figures"].as_array().map_or(Vec::new(), |figures| {
            figures
                .iter()
                .filter(|figure| figure["verdict"] == json!("misses"))
                .collect()
        });
        assert_eq!(held.len(), 1);
    }

    #[test]
    fn a_table_has_a_number_for_each_column_or_says_that_there_is_none() {
        let mut table = Table::new("Side by side.", &["this, µs", "that, µs"]);
        table.row("one", &[&[2.0, 1.0, 4.0], &[]]);
        table.row("two", &[&[7.0], &[8.0, 8.0]]);
        let mut book = Book::default();
        book.table("channel", table);
        let page = markdown(&book, &machine());
        let expected = "## channel\n\nSide by side.\n\n| | this, µs | that, µs |\n| --- | ---: | ---: |\n\
                        | one | 2 (1–4) | – |\n| two | 7 | 8 |\n\n";
        assert!(page.contains(expected), "{page}");
    }

    #[test]
    fn a_drawing_of_an_older_page_does_not_stay_beside_one_that_has_none() -> Result<()> {
        let folder = std::env::temp_dir().join(format!("gatebell-page-{}", std::process::id()));
        fs::create_dir(&folder)?;
        let (page, drawing) = (folder.join("figures.md"), folder.join(WAKES));
        let mut book = Book::default();
        book.picture(WAKES, "<svg/>".to_owned());
        write(&book, &machine(), &page)?;
        assert_eq!(fs::read_to_string(&drawing)?, "<svg/>");
        write(&Book::default(), &machine(), &page)?;
        assert!(page.exists() && !drawing.exists());
        fs::remove_dir_all(&folder)?;
        Ok(())
    }

    #[test]
    fn numbers_have_three_digits() {
        let said = [0.0, 0.123, 1.5, 12.34, 123.4, 1234.5, 1_234_567.0].map(plain);
        assert_eq!(
            said,
            ["0", "0.12", "1.5", "12.3", "123", "1,235", "1,234,567"]
        );
    }
}
