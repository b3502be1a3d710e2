//! `cargo xtask prove`: the proofs of the channel, and that each memory ordering in it is needed by one of them.
//!
//! loom goes through every order of two threads, shuttle through many of five. Then each ordering of
//! `channel/src/orderings.rs` is weakened by itself, and some test of loom's has to fail.
//! What did is written into docs/proofs.md.

use std::fmt::Write;
use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::command;
use crate::place;
use crate::rooms::{ROOMS, Step};
use crate::test::programs::{Program, Programs};
use crate::test::task::cargo;

/// Name of the variable that tells the library's models which memory ordering to weaken.
const WEAKEN: &str = "GATEBELL_WEAKEN";
/// Lines of docs/proofs.md between which the table stands.
const MARKS: [&str; 2] = [
    "<!-- written by `cargo xtask prove` -->",
    "<!-- until here -->",
];

/// A memory ordering of the channel's.
#[derive(Debug, PartialEq, Eq)]
struct Site {
    name: String,
    /// Ordering that the source has.
    strong: String,
    /// Ordering that it is weakened to.
    weak: String,
}

/// Runs all proofs, and returns 1 if a test fails that should not, or none that should.
pub fn run() -> Result<i32> {
    for room in ROOMS.iter().filter(|room| proves(room.name)) {
        for step in room.all() {
            if let Step::Cargo(title, flags, arguments) = step {
                eprintln!("prove: {title} …");
                if !cargo(flags, arguments).status()?.success() {
                    bail!("{title}: a proof fails as it is");
                }
            }
        }
    }
    let programs = models()?;
    let mut rows = String::new();
    let mut survivors = Vec::new();
    for site in sites()? {
        let failed = failing(&programs, &site)?;
        eprintln!("prove: without {} {} fail", site.name, failed.len());
        let tests: Vec<_> = failed.iter().map(|name| format!("`{name}`")).collect();
        let Site { name, strong, weak } = &site;
        writeln!(
            rows,
            "| `{name}` | {strong} | {weak} | {} |",
            tests.join(", ")
        )?;
        if failed.is_empty() {
            survivors.push(site.name);
        }
    }
    write_table(&rows)?;
    if !survivors.is_empty() {
        eprintln!("prove: no test fails without {}", survivors.join(", "));
        return Ok(1);
    }
    Ok(0)
}

/// The rooms whose tests are proofs.
fn proves(room: &str) -> bool {
    matches!(room, "loom" | "shuttle")
}

/// loom's tests, compiled.
fn models() -> Result<Vec<Program>> {
    let package = "gatebell-channel";
    let mut compile = cargo(
        "--cfg loom",
        &[
            "test",
            "--package",
            package,
            "--release",
            "--tests",
            "--no-run",
            "--locked",
            "--message-format=json-render-diagnostics",
        ],
    );
    let programs = Programs::read(&command::output(&mut compile)?).of_package(package)?;
    let of_loom = |program: &Program| program.target.starts_with("loom_");
    Ok(programs.into_iter().filter(of_loom).collect())
}

/// The tests that fail where this ordering is weakened. Those of the first program that has any will do.
fn failing(programs: &[Program], site: &Site) -> Result<Vec<String>> {
    for program in programs {
        let output = Command::new(&program.file)
            .current_dir(&program.folder)
            .env(WEAKEN, &site.name)
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("starting {}", program.file.display()))?;
        let failed = failures(&String::from_utf8_lossy(&output.stdout));
        if !failed.is_empty() {
            return Ok(failed);
        }
        if !output.status.success() {
            bail!(
                "{}: {} without a test that failed",
                site.name,
                output.status
            );
        }
    }
    Ok(Vec::new())
}

/// The names of tests that failed, in what a test program prints.
fn failures(printed: &str) -> Vec<String> {
    let lines = printed
        .lines()
        .filter_map(|line| line.strip_prefix("test "));
    let failed = lines.filter_map(|line| line.strip_suffix(" ... FAILED"));
    let mut names: Vec<String> = failed
        .map(|name| name.trim_end_matches(" - should panic").to_owned())
        .collect();
    names.sort();
    names
}

fn sites() -> Result<Vec<Site>> {
    let file = place::root().join("channel/src/orderings.rs");
    let sites = declared(&fs::read_to_string(file)?);
    if sites.is_empty() {
        bail!("channel/src/orderings.rs declares none");
    }
    Ok(sites)
}

/// The lines `name: Strong => Weak;` of the declaration.
fn declared(source: &str) -> Vec<Site> {
    let all = source.split_once("\norderings! {\n").unwrap_or_default().1;
    let all = all.split_once("\n}\n").unwrap_or_default().0;
    let lines = all.lines().map(str::trim);
    lines
        .filter_map(|line| {
            let (name, orderings) = line.strip_suffix(';')?.split_once(": ")?;
            let (strong, weak) = orderings.split_once(" => ")?;
            let [name, strong, weak] = [name, strong, weak].map(str::to_owned);
            Some(Site { name, strong, weak })
        })
        .collect()
}

fn write_table(rows: &str) -> Result<()> {
    let file = place::root().join("docs/proofs.md");
    let page = fs::read_to_string(&file)?;
    let page = with_table(&page, rows).context("docs/proofs.md has no place for the table")?;
    Ok(fs::write(file, page)?)
}

fn with_table(page: &str, rows: &str) -> Option<String> {
    let [start, end] = MARKS;
    let (before, rest) = page.split_once(start)?;
    let (_, after) = rest.split_once(end)?;
    let head = "| ordering | is | weakened to | then these fail |\n| --- | --- | --- | --- |";
    Some(format!("{before}{start}\n{head}\n{rows}{end}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_ordering_is_in_the_table_of_proofs_with_a_test_that_fails_without_it() {
        let page = include_str!("../../docs/proofs.md");
        let (_, table) = page.split_once(MARKS[0]).expect("the table's start");
        let (table, _) = table.split_once(MARKS[1]).expect("the table's end");
        let rows: Vec<Vec<&str>> = table
            .lines()
            .filter(|line| line.starts_with("| `"))
            .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
            .collect();
        let shown: Vec<Site> = rows
            .iter()
            .map(|row| Site {
                name: row[0].trim_matches('`').to_owned(),
                strong: row[1].to_owned(),
                weak: row[2].to_owned(),
            })
            .collect();
        assert_eq!(shown, sites().expect("the declaration"));
        for row in rows {
            assert!(row[3].starts_with('`'), "no test fails without {}", row[0]);
        }
    }

    #[test]
    fn what_failed_is_read_from_what_a_test_program_prints() {
        let printed = "test b ... FAILED\ntest a - should panic ... FAILED\ntest c ... ok\n";
        assert_eq!(failures(printed), ["a", "b"]);
    }

    #[test]
    fn a_table_is_written_over_the_last_one() {
        let page = format!("before\n{}\nold\n{}\nafter", MARKS[0], MARKS[1]);
        let once = with_table(&page, "| new |\n").expect("marks");
        assert!(once.contains("| new |\n<!-- until") && !once.contains("old"));
        assert_eq!(with_table(&once, "| new |\n"), Some(once));
        assert_eq!(with_table("no marks", ""), None);
    }
}
