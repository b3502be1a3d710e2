//! Runs the rooms' steps, one line for each, and shows the whole output of those that failed.
//!
//! What is built comes first, then the rooms that want every processor: linting, fuzzing, ordinary tests. Then there are two ways
//! beside each other, which leave a processor idle most of the time: rooms that run on this machine's kernel, and rooms that run in
//! a machine of their own. On each way one step follows the other. An emulated machine beside a compiler is slower by far than
//! after it: its processors wait for each other while neither runs.

mod account;
pub mod names;
mod programs;
mod progress;
mod task;

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use anyhow::{Result, bail};

use self::programs::Compiled;
use self::progress::Progress;
use self::task::Task;
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
    setup::ensure(&needs(&rooms))?;
    fs::create_dir_all(place::logs())?;
    wine::sweep();
    let tasks = task::plan(&rooms, name.is_none());
    let house = House {
        stop: Stop::watch()?,
        compiled: Compiled::default(),
        progress: Progress::new(tasks.len()),
    };
    let numbered: Vec<(usize, &Task)> = (1..).zip(&tasks).collect();
    let (builds, steps): (Vec<_>, Vec<_>) =
        numbered.into_iter().partition(|(_, task)| task.builds());
    let (apart, here): (Vec<_>, Vec<_>) = steps.into_iter().partition(|(_, task)| task.apart);
    let (kernel, busy): (Vec<_>, Vec<_>) = here.into_iter().partition(|(_, task)| task.root);
    house.perform_all(&builds)?;
    house.perform_all(&busy)?;
    thread::scope(|scope| {
        let beside = scope.spawn(|| house.perform_all(&apart));
        let ended = house.perform_all(&kernel);
        ended.and(beside.join().unwrap_or_else(|_| bail!("a step panicked")))
    })?;
    wine::sweep();
    Ok(house.progress.close())
}

/// What all steps share.
struct House {
    stop: Stop,
    compiled: Compiled,
    progress: Progress,
}

impl House {
    /// One after the other, until somebody wants it to end.
    fn perform_all(&self, tasks: &[(usize, &Task)]) -> Result<()> {
        for (number, task) in tasks {
            if self.stop.wanted() {
                break;
            }
            let name = format!("{}: {}", task.room, task.title());
            self.progress.begin(*number, &name);
            let log = place::logs().join(task.file_name());
            let started = Instant::now();
            // A step that can't be tried ends the other way too.
            let verdict = task
                .perform(&self.compiled, &log, &self.stop)
                .inspect_err(|_| self.stop.want())?;
            self.progress
                .end(*number, &name, verdict, started.elapsed(), &log);
        }
        Ok(())
    }
}

/// Ctrl-C, as both ways see it.
struct Stop {
    interrupt: Interrupt,
    wanted: AtomicBool,
}

impl Stop {
    fn watch() -> Result<Self> {
        Ok(Self {
            interrupt: Interrupt::watch()?,
            wanted: AtomicBool::new(false),
        })
    }

    /// Whether somebody wants all to end.
    fn wanted(&self) -> bool {
        if self.interrupt.taken() {
            self.want();
        }
        // A flag alone: nothing else is read because of it.
        self.wanted.load(Ordering::Relaxed)
    }

    fn want(&self) {
        self.wanted.store(true, Ordering::Relaxed);
    }
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
