//! Many processes that start and end at once: is each of them named, and does telling of them slow them down?
//!
//! Short storms follow each other, watched or not. A machine that drifts, or that has something else to do for a while,
//! changes neighbours alike: each storm that is watched is compared with the two around it that nobody watches. All
//! begin in the same quiet, so that no service that starts or ends is measured with them.

use super::Setting;
use crate::book::Book;
use crate::gatebell::{App, Gatebell};
use crate::ground::{Server, until};
use crate::load::Done;
use crate::ruleset::refuse;
use crate::statistics::ratios;
use anyhow::{Context, Result, ensure};
use channel::{Mask, Pace, Record};
use firewall_abi::kind;
use firewall_abi::process::Process;
use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

const FIGURE: &str = "storm";
/// The program of which there are many.
const NAME: &[u8] = b"busybox\0";
/// Number of processes in one storm.
const PROCESSES: &str = "250";
/// Pause before each storm.
const QUIET: Duration = Duration::from_millis(200);
/// Number of rounds of which one measures the competitor too.
const BESIDE: usize = 4;

/// Results of the storms of one watcher, one after the other.
#[derive(Default)]
struct Storms {
    seconds: Vec<f64>,
    slower: Vec<f64>,
    unnamed: Vec<f64>,
    unended: Vec<f64>,
    lost: Vec<f64>,
}

/// Process records of the storm that an app received.
#[derive(Default)]
struct Told {
    started: u64,
    ended: u64,
}

/// Storms in turns.
struct Turns<'a> {
    setting: &'a Setting<'a>,
    /// Seconds of the storms that nobody watches. The last one has just ended.
    free: Vec<f64>,
}

/// Measures with and without, in turns, and forkstat beside.
pub fn measure(setting: &Setting<'_>, book: &mut Book) -> Result<()> {
    let [mut told, mut driver, mut gone, mut forkstat] = std::array::from_fn(|_| Storms::default());
    let mut turns = Turns {
        setting,
        free: vec![storm(setting)?.seconds],
    };
    let mut no_forkstat = None;
    for round in 0..setting.choose(40, 16) {
        turns.take_both(&mut told, &mut driver, round % 2 == 0)?;
        if round % BESIDE == 0 {
            turns.take(&mut gone, after_all)?;
            if no_forkstat.is_none() {
                no_forkstat = turns.take(&mut forkstat, under_forkstat).err();
            }
        }
    }
    book.put("storm_unnamed", &told.unnamed);
    book.put("storm_unended", &told.unended);
    book.put("storm_slower", &told.slower);
    book.beside(FIGURE, "a storm, nobody watching", &turns.free, "s");
    book.beside(FIGURE, "a storm, Gatebell's app told", &told.seconds, "s");
    book.beside(FIGURE, "records lost, counted", &told.lost, "records");
    book.beside(
        FIGURE,
        "Gatebell's driver with no app: slower by",
        &driver.slower,
        "%",
    );
    let by_telling = ratios(&told.seconds, &driver.seconds);
    let by_telling: Vec<f64> = by_telling
        .iter()
        .map(|ratio| (ratio - 1.0) * 100.0)
        .collect();
    book.beside(
        FIGURE,
        "an app told, against the driver with no app: slower by",
        &by_telling,
        "%",
    );
    book.beside(
        FIGURE,
        "nobody, once a service was there and is gone: slower by",
        &gone.slower,
        "%",
    );
    book.beside(FIGURE, "forkstat: slower by", &forkstat.slower, "%");
    book.beside(
        FIGURE,
        "forkstat: processes whose exec it did not name",
        &forkstat.unnamed,
        "processes",
    );
    if let Some(why) = no_forkstat {
        book.note(FIGURE, format!("forkstat not measured: {why:#}."));
    }
    book.note(
        FIGURE,
        format!(
            "Storms of {PROCESSES} processes, each compared with those before and after it that nobody watches. What the one after a \
             service differs by is chance."
        ),
    );
    Ok(())
}

impl Turns<'_> {
    /// One storm that is watched, and the next one that is not.
    fn take(
        &mut self,
        storms: &mut Storms,
        watched: impl FnOnce(&Setting<'_>, &mut Storms) -> Result<Done>,
    ) -> Result<()> {
        let seconds = watched(self.setting, storms).map(|done| done.seconds);
        let free = self.free_ones()?;
        storms.put(seconds?, free);
        Ok(())
    }

    /// Two storms in one life of the service, now this one first, now the other; and the next one that nobody watches.
    fn take_both(
        &mut self,
        told: &mut Storms,
        driver: &mut Storms,
        told_first: bool,
    ) -> Result<()> {
        let gatebell = Gatebell::start(self.setting.programs, self.setting.ground, &refuse(true))?;
        let first = if told_first {
            None
        } else {
            Some(storm(self.setting)?)
        };
        let done = under_app(self.setting, &gatebell, told)?;
        let alone = first.map_or_else(|| storm(self.setting), Ok)?;
        drop(gatebell);
        let free = self.free_ones()?;
        told.put(done.seconds, free);
        driver.put(alone.seconds, free);
        Ok(())
    }

    /// Returns the seconds of a storm that nobody watches: the mean of the last one and the next.
    fn free_ones(&mut self) -> Result<f64> {
        let before = self.free.last().copied().unwrap_or(f64::NAN);
        let after = storm(self.setting)?.seconds;
        self.free.push(after);
        Ok(f64::midpoint(before, after))
    }
}

impl Storms {
    fn put(&mut self, seconds: f64, free: f64) {
        self.seconds.push(seconds);
        self.slower.push((seconds / free - 1.0) * 100.0);
    }
}

fn storm(setting: &Setting<'_>) -> Result<Done> {
    std::thread::sleep(QUIET);
    setting.ground.load(true, &["storm", PROCESSES])
}

fn under_app(setting: &Setting<'_>, gatebell: &Gatebell, storms: &mut Storms) -> Result<Done> {
    let mask = Mask::of(kind::PROCESS_START).and(kind::PROCESS_EXIT);
    let app = App::start(
        gatebell.attach(mask, Pace::default(), 1 << 20)?,
        None,
        Told::default(),
        hear,
    );
    let done = storm(setting)?;
    let heard = app.stop()?;
    let gone = heard.account.kernel.lost_in_all();
    storms.lost.push(gone as f64);
    storms
        .unnamed
        .push(done.count.saturating_sub(heard.state.started + gone) as f64);
    storms
        .unended
        .push(done.count.saturating_sub(heard.state.ended + gone) as f64);
    Ok(done)
}

fn hear(told: &mut Told, record: &Record<'_>) {
    let Ok(process) = record.read::<Process>() else {
        return;
    };
    if !process.name.starts_with(NAME) {
        return;
    }
    match record.kind() {
        kind::PROCESS_START => told.started += 1,
        _ => told.ended += 1,
    }
}

fn after_all(setting: &Setting<'_>, _: &mut Storms) -> Result<Done> {
    drop(Gatebell::start(
        setting.programs,
        setting.ground,
        &refuse(true),
    )?);
    storm(setting)
}

/// Measures a storm under forkstat, which listens to the kernel's process connector, for the whole machine.
fn under_forkstat(setting: &Setting<'_>, storms: &mut Storms) -> Result<Done> {
    let file = setting.ground.lab.folder().join("forkstat");
    let mut command = Command::new("forkstat");
    // Line by line, so that what it said is there when it is ended.
    command
        .args(["-l", "-e", "exec,exit"])
        .stdin(Stdio::null())
        .stdout(fs::File::create(&file)?);
    let mut listener = Server(
        command
            .stderr(Stdio::null())
            .spawn()
            .context("can't start forkstat")?,
    );
    until(Duration::from_secs(2), || {
        fs::metadata(&file).is_ok_and(|about| about.len() > 0)
    });
    ensure!(
        listener.runs(),
        "it has ended: the kernel's process connector is not there"
    );
    let done = storm(setting)?;
    std::thread::sleep(Duration::from_millis(500));
    drop(listener);
    let said = fs::read_to_string(&file).context("forkstat's words are no text")?;
    let named = said
        .lines()
        .filter(|line| line.contains("exec") && line.contains("busybox"))
        .count();
    storms.unnamed.push(done.count as f64 - named as f64);
    Ok(done)
}
