//! Runs the rooms' steps, one line for each, and shows the whole output of those that failed.

mod account;
pub mod names;
mod programs;
mod space;
mod task;

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::time::Instant;

use anyhow::{Result, bail};

use self::account::Account;
use self::programs::Programs;
use self::task::{Task, Verdict};
use crate::interrupt::Interrupt;
use crate::place;
use crate::rooms::{ROOMS, Room};
use crate::setup::{self, Need};
use crate::wine;

/// Says which rooms there are.
pub fn list() -> i32 {
    for room in ROOMS.iter() {
        let root = if room.root { " (as root)" } else { "" };
        println!("{:<11} {}{root}", room.name, room.promise);
    }
    0
}

/// Runs one room, or all; the exit code is 0 when nothing failed.
pub fn run(name: Option<&str>) -> Result<i32> {
    let rooms = chosen(name)?;
    if name.is_none() {
        space::ensure()?;
    }
    setup::ensure(&needs(&rooms))?;
    fs::create_dir_all(place::logs())?;
    wine::sweep();
    let interrupt = Interrupt::watch()?;
    let tasks = task::plan(&rooms, name.is_none());
    let mut programs = Programs::default();
    let mut account = Account::default();
    for (number, task) in tasks.iter().enumerate() {
        let line = format!(
            "[{}/{}] {}: {}",
            number + 1,
            tasks.len(),
            task.room,
            task.title()
        );
        let verdict = perform(task, &line, &mut programs, &interrupt)?;
        account.add(&line, verdict);
        if account.interrupted() {
            break;
        }
    }
    wine::sweep();
    Ok(account.close())
}

fn perform(
    task: &Task,
    line: &str,
    programs: &mut Programs,
    interrupt: &Interrupt,
) -> Result<Verdict> {
    // On a terminal the line is there while the step runs; in a log it comes once, whole.
    let terminal = io::stdout().is_terminal();
    if terminal {
        print!("{line} …");
        io::stdout().flush()?;
    }
    let started = Instant::now();
    let log = place::logs().join(task.file_name());
    let verdict = task.perform(programs, &log, interrupt)?;
    let seconds = started.elapsed().as_secs_f64();
    let start = if terminal { "\r" } else { "" };
    let outcome = match &verdict {
        Verdict::Passed => "",
        Verdict::Failed(_) => " FAILED",
        Verdict::Skipped(_) => " SKIPPED",
        Verdict::Interrupted => " INTERRUPTED",
    };
    println!("{start}{line} … {seconds:.1} s{outcome}");
    if let Verdict::Skipped(reason) = &verdict {
        println!("    {reason}");
    }
    if let Verdict::Failed(reason) = &verdict {
        println!("----- {reason}; its output, also in {}:", log.display());
        io::stdout().write_all(&fs::read(&log).unwrap_or_default())?;
        println!("----- end of the output of {line}");
    }
    Ok(verdict)
}

fn chosen(name: Option<&str>) -> Result<Vec<&'static Room>> {
    let Some(name) = name else {
        return Ok(ROOMS.iter().collect());
    };
    match ROOMS.iter().find(|room| room.name == name) {
        Some(room) => Ok(vec![room]),
        None => bail!("no room is called {name}: `cargo xtask test --list` says which there are"),
    }
}

fn needs(rooms: &[&Room]) -> Vec<Need> {
    let mut needs: Vec<Need> = rooms.iter().flat_map(|room| room.needs).copied().collect();
    needs.sort_unstable();
    needs.dedup();
    needs
}
