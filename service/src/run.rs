//! The service's life: start, serve, reload, stop.

use crate::driver::Driver;
use crate::zone::Zone;
use anyhow::{Context, Result, bail};
use channel::door::{Door, Parts, Policy};
use clap::Parser;
use contract::firewall::Verdicts;
use rules::Rules;
use serde_json::json;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use std::ffi::OsString;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The Gatebell service: loads the driver into a zone and is its door.
///
/// SIGHUP reads the rules again, SIGUSR1 prints the verdicts so far, SIGTERM or SIGINT takes everything out and ends.
#[derive(Parser)]
#[command(name = "gatebelld", version, max_term_width = 100)]
struct Arguments {
    /// The zone's network namespace: a path, or a name under /run/netns; left out: the one it is started in
    #[arg(long)]
    zone_netns: Option<PathBuf>,
    /// A device of the zone; may be given several times
    #[arg(long, required = true)]
    zone_device: Vec<String>,
    /// The zone's control group (version 2), as a folder
    #[arg(long)]
    zone_cgroup: PathBuf,
    /// The rule file
    #[arg(long)]
    rules: PathBuf,
    /// Where apps find the door
    #[arg(long, default_value = "/run/gatebell/gatebell.sock")]
    socket: PathBuf,
    /// The driver's object
    #[arg(long, default_value = "/usr/lib/gatebell/gatebell_firewall.bpf.o")]
    driver: PathBuf,
}

/// How often flows that nobody uses any more are looked for.
const SWEEP: Duration = Duration::from_secs(30);

/// Runs the service with this command line, its own name first, until it is asked to end.
pub fn run(words: impl IntoIterator<Item = OsString>) -> ExitCode {
    match serve(&Arguments::parse_from(words)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gatebelld: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn serve(arguments: &Arguments) -> Result<()> {
    let signals = Signals::watch().context("can't watch for signals")?;
    let rules = read(&arguments.rules)?;
    let zone = Zone::enter(arguments.zone_netns.as_deref(), &arguments.zone_device, &arguments.zone_cgroup)?;
    let mut driver = Driver::load(&arguments.driver, &zone)?;
    driver.publish(&rules)?;
    // The door first: an app that is attached by then misses nothing.
    let mut door = Door::open(driver.object(), &arguments.socket, Policy::default(), Parts::default())?;
    driver.attach(&zone)?;
    announce(&json!({ "ready": true, "generation": driver.generation(), "rules": rules.iter().len() }));
    let served = turns(arguments, &signals, &mut door, &mut driver);
    // No more verdicts before the last account, and no tombstone before the last record.
    driver.detach();
    announce(&verdicts("end", &driver.verdicts()?));
    door.detach_all();
    served
}

fn turns(arguments: &Arguments, signals: &Signals, door: &mut Door, driver: &mut Driver) -> Result<()> {
    let mut sweep = Instant::now() + SWEEP;
    while !signals.stop.load(Ordering::Acquire) {
        door.turn(sweep.saturating_duration_since(Instant::now()), &[signals.wake.as_fd()])?;
        signals.drain();
        if signals.reload.swap(false, Ordering::AcqRel) {
            reload(&arguments.rules, driver);
        }
        if signals.tell.swap(false, Ordering::AcqRel) {
            announce(&verdicts("verdicts", &driver.verdicts()?));
        }
        if Instant::now() >= sweep {
            driver.forget_idle_flows()?;
            sweep = Instant::now() + SWEEP;
        }
    }
    Ok(())
}

/// A bad file changes nothing: the generation in force stays.
fn reload(file: &Path, driver: &mut Driver) {
    let published = read(file).and_then(|rules| driver.publish(&rules));
    let generation = driver.generation();
    match published {
        Ok(()) => eprintln!("gatebelld: {} is in force as generation {generation}", file.display()),
        Err(error) => eprintln!("gatebelld: {error:#}\ngatebelld: generation {generation} stays in force"),
    }
    announce(&json!({ "reloaded": generation }));
}

fn read(file: &Path) -> Result<Rules> {
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file).with_context(|| format!("can't read the rule file {name}"))?;
    let rules = match rules::parse(&name, &text) {
        Ok(rules) => rules,
        Err(errors) => bail!("the rule file is not right, nothing was changed:\n{errors}"),
    };
    for warning in rules.warnings() {
        eprintln!("gatebelld: {warning}");
    }
    Ok(rules)
}

fn verdicts(what: &str, counted: &Verdicts) -> serde_json::Value {
    json!({
        what: {
            "blocked": counted.blocked(), "allowed": counted.allowed(),
            "blocked_in": counted.blocked_in, "blocked_out": counted.blocked_out,
            "allowed_in": counted.allowed_in, "allowed_out": counted.allowed_out,
            "flows_full": counted.flows_full,
        }
    })
}

/// One line for the program that started us. Whether it still reads is its own affair.
fn announce(line: &serde_json::Value) {
    let mut out = std::io::stdout().lock();
    let _nobody_reads = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// What signals ask for, and a descriptor that wakes the door's wait.
struct Signals {
    stop: Arc<AtomicBool>,
    reload: Arc<AtomicBool>,
    tell: Arc<AtomicBool>,
    wake: UnixStream,
}

impl Signals {
    fn watch() -> std::io::Result<Self> {
        let (wake, bell) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        let flags = || Arc::new(AtomicBool::new(false));
        let (stop, reload, tell) = (flags(), flags(), flags());
        for (signal, flag) in [(SIGTERM, &stop), (SIGINT, &stop), (SIGHUP, &reload), (SIGUSR1, &tell)] {
            // The flag before the bell: who is woken finds it.
            signal_hook::flag::register(signal, flag.clone())?;
            signal_hook::low_level::pipe::register(signal, bell.try_clone()?)?;
        }
        Ok(Self { stop, reload, tell, wake })
    }

    fn drain(&self) {
        let mut rings = [0; 64];
        while matches!((&self.wake).read(&mut rings), Ok(1..)) {}
    }
}
