//! Takes everything out of the kernel, from any state: the service alive, killed or never started, its pins whole, half
//! there or another version's.
//!
//! Every step is tried, whatever became of the others; what is not there is as good as taken away.

use crate::{hooks, netlink, pins, state, zone};
use anyhow::{Context, Result, anyhow};
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use state::{Guarded, Written};
use std::fs::{self, File};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Where to look. What the service wrote down of itself is looked at besides.
#[derive(Clone, Debug)]
pub struct Places {
    /// The folder in which it writes things down.
    pub state: PathBuf,
    /// The folder in which the kernel keeps the driver.
    pub pins: PathBuf,
    /// The service's sockets.
    pub sockets: Vec<PathBuf>,
    /// The zone's network namespace, as `--zone-netns` has it; none: the one written down, else the caller's.
    pub netns: Option<PathBuf>,
}

/// Takes everything out. Returns what was there and is gone now, one sentence each; nothing: nothing was there.
///
/// # Errors
/// What could not be taken out. All the rest is out.
pub fn recover(places: &Places) -> Result<Vec<String>> {
    let ended = end_service(&places.state, state::read(&places.state).as_ref());
    all(places, ended)
}

/// The same for the service itself, which needs not be ended for it.
pub fn take_out(places: &Places) -> Result<Vec<String>> {
    all(places, Ok(Vec::new()))
}

fn all(places: &Places, ended: Result<Vec<String>>) -> Result<Vec<String>> {
    let written = state::read(&places.state);
    let mut said = Vec::new();
    let mut failed = Vec::new();
    let mut step = |done: Result<Vec<String>>| match done {
        Ok(sentences) => said.extend(sentences),
        Err(error) => failed.push(format!("{error:#}")),
    };
    step(ended);
    step(filters(places, written.as_ref()));
    let (mut folders, mut sockets) = (vec![places.pins.clone()], places.sockets.clone());
    if let Some(Written {
        pins,
        sockets: more,
        ..
    }) = written
    {
        folders.extend(Some(pins).filter(|other| *other != places.pins));
        sockets.extend(
            more.into_iter()
                .filter(|other| !places.sockets.contains(other)),
        );
    }
    folders
        .iter()
        .for_each(|folder| step(pins::remove_all(folder)));
    sockets
        .iter()
        .for_each(|socket| step(remove_socket(socket)));
    step(state::remove(&places.state));
    if failed.is_empty() {
        Ok(said)
    } else {
        Err(anyhow!(
            "not everything could be taken out: {}",
            failed.join("; ")
        ))
    }
}

/// How long a service may take to end before it is killed.
const PATIENCE: Duration = Duration::from_secs(10);

fn end_service(state: &Path, written: Option<&Written>) -> Result<Vec<String>> {
    if !state::is_held(state) {
        return Ok(Vec::new());
    }
    let pid = written
        .map(|written| written.pid)
        .filter(|pid| *pid > 1 && *pid != std::process::id());
    let pid = pid
        .and_then(|pid| i32::try_from(pid).ok())
        .map(Pid::from_raw);
    let pid = pid.with_context(|| {
        format!(
            "a service lives in {}, but does not say which process it is; end it",
            state.display()
        )
    })?;
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        kill(pid, signal).with_context(|| format!("can't end the service, process {pid}"))?;
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if !state::is_held(state) {
                return Ok(vec![format!("the service, process {pid}")]);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    Err(anyhow!("the service, process {pid}, does not end"))
}

/// In a thread of its own, which may enter the zone's network namespace without taking the caller along.
fn filters(places: &Places, written: Option<&Written>) -> Result<Vec<String>> {
    let netns = places
        .netns
        .as_ref()
        .or(written.and_then(|written| written.netns.as_ref()));
    let netns = netns.map(|netns| zone::named(netns));
    let devices = written
        .map(|written| written.devices.clone())
        .unwrap_or_default();
    let taking = std::thread::spawn(move || filters_of(netns.as_deref(), &devices));
    taking
        .join()
        .unwrap_or_else(|_| Err(anyhow!("taking the filters off failed")))
}

fn filters_of(netns: Option<&Path>, guarded: &[Guarded]) -> Result<Vec<String>> {
    if let Some(netns) = netns {
        let Ok(file) = File::open(netns) else {
            return Ok(Vec::new()); // With the namespace went its devices, and their filters with them.
        };
        setns(file, CloneFlags::CLONE_NEWNET)
            .with_context(|| format!("can't enter {}; run as root", netns.display()))?;
    }
    let mut said = Vec::new();
    for link in netlink::links().context("can't list the devices")? {
        if hooks::unfilter(&link.name)? > 0 {
            said.push(format!("the filters on {}", link.name));
        }
        let ours = guarded
            .iter()
            .any(|device| device.index == link.index && device.hooks_made);
        if ours && !netlink::has_filters(link.index)? {
            netlink::remove_hooks(link.index)
                .with_context(|| format!("can't clear {}", link.name))?;
        }
    }
    Ok(said)
}

fn remove_socket(socket: &Path) -> Result<Vec<String>> {
    let Ok(about) = fs::symlink_metadata(socket) else {
        return Ok(Vec::new());
    };
    if !about.file_type().is_socket() {
        return Ok(Vec::new());
    }
    fs::remove_file(socket).with_context(|| format!("can't remove {}", socket.display()))?;
    Ok(vec![socket.display().to_string()])
}
