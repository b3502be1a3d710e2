//! Runs the rooms' steps, one line for each, and shows the whole output of those that failed.

mod account;
pub mod names;
pub mod programs;
mod space;
pub mod task;

use std::collections::VecDeque;
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
use self::task::{Task, Turn, Verdict};
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

/// Runs these rooms, or all if none is named; the exit code is 0 when nothing failed.
/// `everywhere`: each test on each kernel.
pub fn run(names: &[String], everywhere: bool) -> Result<i32> {
    let rooms = chosen(names)?;
    let all = names.is_empty();
    if all {
        space::ensure()?;
    }
    setup::ensure(&needs(&rooms))?;
    fs::create_dir_all(place::logs())?;
    sweep();
    let tasks = task::plan(&rooms, all, everywhere);
    let runner = Runner {
        everywhere,
        number: tasks.len(),
        tests: AtomicUsize::new(tasks.iter().filter(|task| task.turn == Turn::Test).count()),
        interrupt: Interrupt::watch()?,
        account: Mutex::default(),
    };
    let ran = runner.run(&tasks);
    sweep();
    ran?;
    Ok(runner.account().close())
}

/// Takes away what tests have left that were ended: they hung, or somebody pressed Ctrl-C.
fn sweep() {
    wine::sweep();
    lab::sweep();
}

/// Goes through the tasks, and says how each ended.
struct Runner {
    everywhere: bool,
    /// Number of tasks.
    number: usize,
    /// Number of the tasks left that ask a clock: those that only compute give way to them.
    tests: AtomicUsize,
    interrupt: Interrupt,
    account: Mutex<Account>,
}

impl Runner {
    /// Runs the tasks: first what others use; then the tests, one after the other, with what gives way to them beside;
    /// then machines.
    fn run(&self, tasks: &[Task]) -> Result<()> {
        let queue = |turn| {
            let tasks = tasks.iter().enumerate();
            let tasks: VecDeque<_> = tasks.filter(|(_, task)| task.turn == turn).collect();
            Mutex::new(tasks)
        };
        let mut programs = Programs::default();
        self.lane(&queue(Turn::Build), &mut programs, false)?;
        self.beside(&[&queue(Turn::Test), &queue(Turn::Compute)], &programs)?;
        self.beside(&[&queue(Turn::Machine); MACHINES], &programs)
    }

    /// A lane for each of these queues; some may share one.
    fn beside(&self, queues: &[&Queue], programs: &Programs) -> Result<()> {
        let queues = queues.iter().filter(|queue| !locked(queue).is_empty());
        let several = queues.clone().count() > 1;
        thread::scope(|scope| {
            let lane = |queue| {
                let mut programs = programs.clone();
                scope.spawn(move || self.lane(queue, &mut programs, several))
            };
            let lanes: Vec<_> = queues.map(|queue| lane(*queue)).collect();
            // A lane that panicked is a fault of the runner.
            lanes.into_iter().try_for_each(|lane| {
                lane.join()
                    .unwrap_or_else(|fault| std::panic::resume_unwind(fault))
            })
        })
    }

    /// Performs the tasks of a queue, one after the other. `beside`: others run meanwhile.
    fn lane(&self, queue: &Queue, programs: &mut Programs, beside: bool) -> Result<()> {
        loop {
            let next = locked(queue).pop_front();
            let Some((number, task)) = next else {
                return Ok(());
            };
            self.perform(number, task, programs, beside)?;
        }
    }

    /// Performs a task, unless somebody wants the run to end.
    fn perform(
        &self,
        number: usize,
        task: &Task,
        programs: &mut Programs,
        beside: bool,
    ) -> Result<()> {
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
        let stays = terminal && !beside;
        if terminal {
            print!("{line} …{}", if stays { "" } else { "\n" });
            io::stdout().flush()?;
        }
        let started = Instant::now();
        let log = place::logs().join(task.file_name());
        let gives_way = task.turn == Turn::Compute && self.tests.load(Ordering::Relaxed) > 0;
        let verdict = task.perform(programs, &log, &self.interrupt, self.everywhere, gives_way)?;
        if task.turn == Turn::Test {
            self.tests.fetch_sub(1, Ordering::Relaxed);
        }
        let seconds = started.elapsed().as_secs_f64();
        let start = if stays { "\r" } else { "" };
        say(&format!("{start}{line} … {seconds:.1} s"), &verdict, &log)?;
        self.account().add(&line, verdict);
        Ok(())
    }

    fn account(&self) -> MutexGuard<'_, Account> {
        locked(&self.account)
    }
}

/// Tasks that wait for their turn, each with its number.
type Queue<'t> = Mutex<VecDeque<(usize, &'t Task)>>;

/// A lane that panicked ends the whole run; what it leaves can be read.
fn locked<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
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
