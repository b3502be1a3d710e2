//! Takes everything out of the kernel, from any state: the service alive, killed or never started, its pins whole, half
//! there or another version's.
//!
//! Every step is tried, whatever became of the others; what is not there is as good as taken away.

use crate::{pins, state};
use anyhow::{Context, Result, anyhow};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use state::Written;
use std::fs;
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
