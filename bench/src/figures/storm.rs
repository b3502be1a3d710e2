//! Many processes that start and end at once: is each of them named, and does telling of them slow them down?

use super::Setting;
use crate::book::Book;
use crate::gatebell::{App, Gatebell, Heard};
use crate::ground::{Server, until};
use crate::load::Done;
use crate::ruleset::refuse;
use crate::statistics::ratios;
use anyhow::{Context, Result};
use channel::{Kind, Mask, Pace, Record};
use contract::process::Process;
use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

const FIGURE: &str = "storm";
/// The program of which there are many.
const NAME: &[u8] = b"busybox\0";

/// What an app was told of the storm.
#[derive(Default)]
struct Told {
    started: u64,
    ended: u64,
}

/// Measures with and without, in turns, and forkstat beside.
pub fn measure(setting: &Setting<'_>, book: &mut Book) -> Result<()> {
    let (mut free, mut watched) = (Vec::new(), Vec::new());
    let (mut unnamed, mut unended, mut lost) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..setting.choose(6, 2) {
        free.push(storm(setting)?.seconds);
        let (done, heard) = under_gatebell(setting)?;
        watched.push(done.seconds);
        let gone = heard.account.kernel.lost_in_all();
        lost.push(gone as f64);
        unnamed.push(done.count.saturating_sub(heard.state.started + gone) as f64);
        unended.push(done.count.saturating_sub(heard.state.ended + gone) as f64);
    }
    let slower: Vec<f64> = ratios(&watched, &free).iter().map(|ratio| (ratio - 1.0) * 100.0).collect();
    book.put("storm_unnamed", &unnamed);
    book.put("storm_unended", &unended);
    book.put("storm_slower", &slower);
    book.beside(FIGURE, "the storm, nobody watching", &free, "s");
    book.beside(FIGURE, "the storm, Gatebell's app told", &watched, "s");
    book.beside(FIGURE, "records lost, counted", &lost, "records");
    forkstat(setting, book)
        .unwrap_or_else(|why| book.note(FIGURE, format!("forkstat not measured: {why:#}.")));
    Ok(())
}

fn storm(setting: &Setting<'_>) -> Result<Done> {
    setting.ground.load(true, &["storm", setting.choose("10000", "4000")])
}

fn under_gatebell(setting: &Setting<'_>) -> Result<(Done, Heard<Told>)> {
    let gatebell = Gatebell::start(setting.programs, setting.ground, &refuse(true))?;
    let mask = Mask::of(Kind::PROCESS_START).and(Kind::PROCESS_EXIT);
    let app = App::start(gatebell.attach(mask, Pace::Coalesce, 1 << 20)?, None, Told::default(), hear);
    let done = storm(setting)?;
    Ok((done, app.stop()?))
}

fn hear(told: &mut Told, record: &Record<'_>) {
    let Ok(process) = record.read::<Process>() else { return };
    if !process.name.starts_with(NAME) {
        return;
    }
    match record.kind() {
        Kind::PROCESS_START => told.started += 1,
        _ => told.ended += 1,
    }
}

/// It listens to the kernel's process connector, for the whole machine.
fn forkstat(setting: &Setting<'_>, book: &mut Book) -> Result<()> {
    let (mut slower, mut unnamed) = (Vec::new(), Vec::new());
    for _ in 0..setting.choose(3, 1) {
        let free = storm(setting)?.seconds;
        let (done, named) = under_forkstat(setting)?;
        slower.push((done.seconds / free - 1.0) * 100.0);
        unnamed.push(done.count as f64 - named);
    }
    book.beside(FIGURE, "forkstat: slower by", &slower, "%");
    book.beside(FIGURE, "forkstat: processes whose exec it did not name", &unnamed, "processes");
    Ok(())
}

fn under_forkstat(setting: &Setting<'_>) -> Result<(Done, f64)> {
    let file = setting.ground.lab.folder().join("forkstat");
    let mut command = Command::new("forkstat");
    // Line by line, so that what it said is there when it is ended.
    command.args(["-l", "-e", "exec,exit"]).stdin(Stdio::null()).stdout(fs::File::create(&file)?);
    let mut listener = Server(command.stderr(Stdio::null()).spawn().context("can't start forkstat")?);
    until(Duration::from_secs(2), || fs::metadata(&file).is_ok_and(|about| about.len() > 0));
    anyhow::ensure!(listener.runs(), "it has ended: the kernel's process connector is not there");
    let done = storm(setting)?;
    std::thread::sleep(Duration::from_millis(500));
    drop(listener);
    let said = fs::read_to_string(&file).context("forkstat's words are no text")?;
    let named = said.lines().filter(|line| line.contains("exec") && line.contains("busybox")).count();
    Ok((done, named as f64))
}
