//! gatebell-evening: an evening at a machine whose firewall asks about whatever goes out.
//! `cargo xtask evening` builds what it needs and starts it.
//!
//! Real programs of two users run in a lab (curl, apt, ssh, a browser's and a torrent's load), by both versions of IP,
//! and each user answers at a `gatebell ask` of their own. It counts what a person has of it: questions, keys, how long
//! a connection takes once it is answered, and which hang.
//!
//! It is a crate by itself, which an ordinary build leaves out: it is no test (it takes as long as it is told) and
//! measures no speed, so neither `tests/` nor `bench/` is its place; what can be wrong in its counting is in
//! `account.rs`, without kernel or clock.
//!
//! Rules that hold here:
//! - What is counted is what somebody saw: the command line's own words, the kernel's own list of sockets.
//! - Every program is bounded in time. What is touched was made here: namespaces,
//!   control groups, files in the lab's folder.
#![cfg(target_os = "linux")]

mod account;
mod clock;
mod loads;
mod observations;
mod person;
mod programs;
mod records;
mod sockets;
mod stage;
mod tell;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use clock::Clock;
use loads::{Kind, Loads};
use observations::Evening;
use person::{Person, Seen};
use programs::{ANN, BEN};
use records::{Heard, Records};
use stage::{Programs, Stage};
use std::io::{IsTerminal, Write, stderr};
use std::process::ExitCode;
use std::time::Duration;
use tell::Beside;

#[derive(Parser)]
#[command(name = "gatebell-evening", about = "An evening with questions")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Spends the evening, and says what came of it
    Spend(Spend),
    /// The browser's sites, in a process of their own
    #[command(hide = true)]
    Serve {
        /// Port to listen on
        port: u16,
    },
    /// A load, in a process of its own
    #[command(hide = true)]
    Load {
        /// Kind of program
        kind: Kind,
        /// Duration in seconds
        seconds: u64,
    },
}

#[derive(clap::Args)]
struct Spend {
    #[command(flatten)]
    programs: Programs,
    /// Duration in seconds
    #[arg(long)]
    seconds: u64,
    /// Everything as one JSON object on standard output
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    match perform(&Arguments::parse().task) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Performs a task and returns whether all promises hold.
fn perform(task: &Task) -> Result<bool> {
    match task {
        Task::Spend(spend) => evening(spend),
        Task::Serve { port } => loads::serve(*port).map(|()| true),
        Task::Load { kind, seconds } => loads::meet(*kind, *seconds).map(|()| true),
    }
}

fn evening(spend: &Spend) -> Result<bool> {
    clock::watch_for_the_end()?;
    eprintln!(
        "evening: building the lab: a resolver, an archive, ssh, {} names",
        programs::hosts().len()
    );
    let stage = Stage::build(&spend.programs)?;
    clock::go_on()?;
    let clock = Clock::start(Duration::from_secs(spend.seconds));
    let (evening, beside) = spent(spend, &stage, clock)?;
    let account = evening.account();
    if spend.json {
        println!("{}", tell::json(&account, &beside));
    } else {
        print!("{}", tell::table(&account, &beside));
    }
    Ok(account.faults.is_empty())
}

/// Spends the evening on its stage.
fn spent(spend: &Spend, stage: &Stage, clock: Clock) -> Result<(Evening, Beside)> {
    let device = stage.device();
    let mut watch = stage.command_line(&["watch", "--json", "--kind", "packet"]);
    let records = Records::watch(watch.arg("--device").arg(device))?;
    let sockets = sockets::Watch::start(&stage.lab.netns(), clock)?;
    let sit = |user| Person::sit_down(user, &mut stage.command_line_of(user, &["ask"]), clock);
    let people = [sit(ANN)?, sit(BEN)?];
    let loads = Loads::new(stage, clock);
    let went = std::thread::scope(|scope| {
        let run = loads
            .start(scope)
            .and_then(|()| busy(stage, clock, &people, &sockets, &loads));
        // Without it the loads would go on for as long as the evening takes.
        run.inspect_err(|_| clock::interrupt())
    });
    if !sockets.looks() {
        // Why, it says itself.
        sockets.end()?;
        bail!("nobody looks at the zone's connections any more");
    }
    went?;
    let idle_from_ms = clock.now_ms();
    while !clock.left().is_zero() && people.iter().all(Person::sits) {
        progress(clock, &people, &loads);
        clock::go_on().context("nothing is said of half an evening")?;
        clock::sleep(Duration::from_secs(1));
    }
    clock::go_on().context("nothing is said of half an evening")?;
    if stderr().is_terminal() {
        eprintln!();
    }
    let [ann, ben] = people.map(Person::end);
    let seen = ann?.and(ben?);
    let heard = records.end()?;
    let beside = beside(spend, stage, &loads, &seen, heard);
    let evening = Evening {
        misunderstood: seen.misunderstood.len() as u64,
        unexpected: seen.unexpected.len() as u64,
        questions: seen.questions,
        answers: seen.answers,
        connects: sockets.end()?,
        records: heard.packets,
        lost: heard
            .lost
            .context("gatebell watch did not say what was lost")?,
        runs: loads.runs(),
        idle_from_ms,
    };
    Ok((evening, beside))
}

/// Watches the evening for as long as programs are started.
fn busy(
    stage: &Stage,
    clock: Clock,
    people: &[Person],
    sockets: &sockets::Watch,
    loads: &Loads<'_>,
) -> Result<()> {
    while clock.is_busy() {
        progress(clock, people, loads);
        stage.still_stands()?;
        if !people.iter().all(Person::sits) {
            bail!("gatebell ask has ended");
        }
        if !sockets.looks() {
            bail!("nobody looks at the zone's connections any more");
        }
        clock::sleep(Duration::from_secs(1));
    }
    Ok(())
}

fn beside(spend: &Spend, stage: &Stage, loads: &Loads<'_>, seen: &Seen, heard: Heard) -> Beside {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let log = stage.log();
    let said = seen.misunderstood.iter().chain(&seen.unexpected);
    Beside {
        seconds: spend.seconds,
        started: loads.started(),
        keys: seen.keys,
        put: log.lines().filter(|line| line.contains(": may ")).count() as u64,
        records: heard.packets,
        kernel: kernel.trim().to_owned(),
        failed: loads.failed().into_iter().chain(said.cloned()).collect(),
    }
}

/// A line that is written over, on a terminal; else one each minute.
fn progress(clock: Clock, people: &[Person], loads: &Loads<'_>) {
    let is_terminal = stderr().is_terminal();
    if !is_terminal && clock.now_ms() % 60_000 >= 1000 {
        return;
    }
    let Seen {
        questions,
        answers,
        waiting,
        ..
    } = people
        .iter()
        .map(Person::so_far)
        .fold(Seen::default(), Seen::and);
    let line = format!(
        "evening: {}; {} programs started; {} questions, {} answered, {waiting} wait{}",
        clock.shown(),
        loads.started(),
        questions.len(),
        answers.len(),
        if clock.is_busy() { "" } else { "; idle" },
    );
    let mut out = stderr().lock();
    // Who can't be told goes without.
    let _untold = if is_terminal {
        write!(out, "\r{line}\x1b[K").and_then(|()| out.flush())
    } else {
        writeln!(out, "{line}")
    };
}
