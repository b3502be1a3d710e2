//! Runs the rooms' steps, one line for each, and shows the whole output of those that failed.

mod account;
pub mod names;
pub mod programs;
mod space;
pub mod task;

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
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

/// Emulated machines that run at once. Each keeps one processor busy and hardly a second one.
const MACHINES: usize = 2;

/// Runs these rooms, or all if none is named; the exit code is 0 when nothing failed. `everywhere`: each test on each kernel.
pub fn run(names: &[String], everywhere: bool) -> Result<i32> {
    let rooms = chosen(names)?;
    let all = names.is_empty();
    if all {
        space::ensure()?;
    }
    setup::ensure(&needs(&rooms))?;
    fs::create_dir_all(place::logs())?;
    wine::sweep();
    let tasks = task::plan(&rooms, all, everywhere);
    let runner = Runner {
        everywhere,
        number: tasks.len(),
        interrupt: Interrupt::watch()?,
        account: Mutex::default(),
    };
    runner.run(&tasks)?;
    wine::sweep();
    Ok(runner.account().close())
}

/// Goes through the tasks, and says how each ended.
struct Runner {
    everywhere: bool,
    /// How many tasks there are.
    number: usize,
    interrupt: Interrupt,
    account: Mutex<Account>,
}

impl Runner {
    /// One after the other; but what boots a machine, and comes last, beside another one that does.
    fn run(&self, tasks: &[Task]) -> Result<()> {
        let alone = tasks.iter().take_while(|task| !task.boots_a_machine());
        let (alone, machines) = tasks.split_at(alone.count());
        let mut programs = Programs::default();
        for (number, task) in alone.iter().enumerate() {
            self.perform(number, task, &mut programs)?;
        }
        let next = AtomicUsize::new(0);
        thread::scope(|scope| {
            let lanes: Vec<_> = (0..MACHINES.min(machines.len()))
                .map(|_| {
                    let mut programs = programs.clone();
                    let next = &next;
                    scope.spawn(move || {
                        while let number = next.fetch_add(1, Ordering::Relaxed)
                            && let Some(task) = machines.get(number)
                        {
                            self.perform(alone.len() + number, task, &mut programs)?;
                        }
                        Ok(())
                    })
                })
                .collect();
            // A lane that panicked is a fault of the runner.
            lanes.into_iter().try_for_each(|lane| {
                lane.join()
                    .unwrap_or_else(|fault| std::panic::resume_unwind(fault))
            })
        })
    }

    /// Nothing, once somebody wants it to end.
    fn perform(&self, number: usize, task: &Task, programs: &mut Programs) -> Result<()> {
        if self.account().interrupted() {
            return Ok(());
        }
        let line = format!(
            "[{}/{}] {}: {}",
            number + 1,
            self.number,
            task.room,
            task.title()
        );
        // On a terminal the line is there while the step runs; in a log it comes once, whole.
        let terminal = io::stdout().is_terminal();
        let stays = terminal && !task.boots_a_machine();
        if terminal {
            print!("{line} …{}", if stays { "" } else { "\n" });
            io::stdout().flush()?;
        }
        let started = Instant::now();
        let log = place::logs().join(task.file_name());
        let verdict = task.perform(programs, &log, &self.interrupt, self.everywhere)?;
        let seconds = started.elapsed().as_secs_f64();
        let start = if stays { "\r" } else { "" };
        say(&format!("{start}{line} … {seconds:.1} s"), &verdict, &log)?;
        self.account().add(&line, verdict);
        Ok(())
    }

    fn account(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says how a step ended, and all that it said if it failed; with nobody else's words between.
fn say(line: &str, verdict: &Verdict, log: &Path) -> Result<()> {
    let outcome = match verdict {
        Verdict::Passed => "",
        Verdict::Failed(_) => " FAILED",
        Verdict::Skipped(_) => " SKIPPED",
        Verdict::Interrupted => " INTERRUPTED",
    };
    let mut out = io::stdout().lock();
    writeln!(out, "{line}{outcome}")?;
    if let Verdict::Skipped(reason) = verdict {
        writeln!(out, "    {reason}")?;
    }
    if let Verdict::Failed(reason) = verdict {
        writeln!(
            out,
            "----- {reason}; its output, also in {}:",
            log.display()
        )?;
        out.write_all(&fs::read(log).unwrap_or_default())?;
        writeln!(out, "----- end of the output of {}", line.trim_start())?;
    }
    Ok(())
}

fn chosen(names: &[String]) -> Result<Vec<&'static Room>> {
    if let Some(unknown) = names
        .iter()
        .find(|name| ROOMS.iter().all(|room| room.name != **name))
    {
        bail!("no room is called {unknown}: `cargo xtask test --list` says which there are");
    }
    let is_chosen = |room: &&Room| names.is_empty() || names.iter().any(|name| name == room.name);
    Ok(ROOMS.iter().filter(is_chosen).collect())
}

fn needs(rooms: &[&Room]) -> Vec<Need> {
    let mut needs: Vec<Need> = rooms.iter().flat_map(|room| room.needs).copied().collect();
    needs.sort_unstable();
    needs.dedup();
    needs
}
