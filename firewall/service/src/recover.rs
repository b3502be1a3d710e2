//! Takes everything out of the kernel, from any state: the service alive, killed or never started, its pins whole, half
//! there or another version's.
//!
//! Every step is tried, whatever became of the others; what is not there is as good as taken away.

use crate::fallback::FallbackTarget;
use crate::{living, pins, state};
use anyhow::{Context, Result, anyhow};
use rustix::io::Errno;
use rustix::process::{Signal, pidfd_send_signal};
use state::{Holder, WrittenZone};
use std::collections::BTreeSet;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Places in which `recover` looks, besides those that the service wrote down of itself.
#[derive(Clone, Debug)]
pub struct Locations {
    /// The folder in which it writes things down.
    pub state: PathBuf,
    /// The folder in which the kernel keeps the driver.
    pub pins: PathBuf,
    /// The service's sockets.
    pub sockets: Vec<PathBuf>,
    /// The zone's network namespace; none: the one that this is done in.
    pub netns: Option<PathBuf>,
    /// The program of nftables.
    pub nft: PathBuf,
}

impl Locations {
    pub(crate) fn fallback(&self) -> FallbackTarget {
        FallbackTarget {
            netns: self.netns.clone(),
            nft: self.nft.clone(),
            folder: self.state.clone(),
        }
    }
}

/// Takes everything out. Returns what was there and is gone now, one sentence each; nothing: nothing was there.
///
/// # Errors
/// What could not be taken out. All the rest is out.
pub fn recover(locations: &Locations) -> Result<Vec<String>> {
    stop_units(&locations.state);
    let ended = end_service(&locations.state);
    let fallback = locations.fallback().take_out_there();
    all(locations, [ended, fallback])
}

/// Takes everything out as [`recover`] does, for the service itself, which needs not be ended for it.
pub fn take_out(locations: &Locations) -> Result<Vec<String>> {
    all(locations, [])
}

fn all<const N: usize>(
    locations: &Locations,
    before: [Result<Vec<String>>; N],
) -> Result<Vec<String>> {
    let written = state::read(&locations.state);
    let mut said = Vec::new();
    let mut failed = Vec::new();
    let mut step = |done: Result<Vec<String>>| match done {
        Ok(sentences) => said.extend(sentences),
        Err(error) => failed.push(format!("{error:#}")),
    };
    before.into_iter().for_each(&mut step);
    let (mut folders, mut sockets) = (vec![locations.pins.clone()], locations.sockets.clone());
    if let Some(WrittenZone {
        pins,
        sockets: more,
        ..
    }) = written
    {
        folders.extend(Some(pins).filter(|other| *other != locations.pins));
        sockets.extend(
            more.into_iter()
                .filter(|other| !locations.sockets.contains(other)),
        );
    }
    folders
        .iter()
        .for_each(|folder| step(pins::remove_all(folder)));
    sockets
        .iter()
        .for_each(|socket| step(remove_socket(socket)));
    step(state::remove(&locations.state));
    if failed.is_empty() {
        Ok(said)
    } else {
        Err(anyhow!(
            "not everything could be taken out: {}",
            failed.join("; ")
        ))
    }
}

/// The package's unit, which keeps its state where a service does that is told nothing else.
const UNIT: &str = "gatebell.service";

/// Has systemd, where it runs, stop the service's unit: a service that has to be killed it would start again, and one
/// that failed too often or just now it may be about to.
fn stop_units(state: &Path) {
    if !Path::new("/run/systemd/system").is_dir() {
        return;
    }
    let usual = (state == Path::new(control::STATE)).then(|| UNIT.to_owned());
    let units = usual
        .into_iter()
        .chain(service(state).and_then(|(pid, _)| unit_of(pid)));
    for unit in units.collect::<BTreeSet<_>>() {
        // It is not waited for: who does not end is killed here. A unit that is not there can't start anything.
        let _stopped = Command::new("systemctl")
            .args(["stop", "--no-block", "--quiet", &unit])
            .stderr(Stdio::null())
            .status();
    }
}

/// The unit whose main process this is.
fn unit_of(pid: u32) -> Option<String> {
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let unit = unit_in(&groups)?;
    let shown = Command::new("systemctl")
        .args(["show", "--value", "--property=MainPID", unit])
        .output()
        .ok()?;
    // Other processes run in a unit's control group as well, and are not what it is.
    let main = String::from_utf8_lossy(&shown.stdout);
    (main.trim() == pid.to_string()).then(|| unit.to_owned())
}

/// The innermost service on the way to a process's control group.
fn unit_in(groups: &str) -> Option<&str> {
    let path = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    path.rsplit('/').find(|part| part.ends_with(".service"))
}

/// Longest time that a service may take to end before it is killed.
const PATIENCE: Duration = Duration::from_secs(10);
/// Interval of looking whether the service has ended.
const GLANCE: Duration = Duration::from_millis(20);

/// Longest time that a service that begins may take to say which process it is.
const UNTIL_SAID: Duration = Duration::from_secs(1);

fn end_service(state: &Path) -> Result<Vec<String>> {
    let end = Instant::now() + UNTIL_SAID;
    let (pid, process) = loop {
        if !state::is_held(state) {
            return Ok(Vec::new());
        }
        if let Some(found) = service(state) {
            break found;
        }
        if Instant::now() > end {
            return Err(anyhow!(
                "a service lives in {}, but does not say which process it is; end it",
                state.display()
            ));
        }
        std::thread::sleep(GLANCE);
    };
    for signal in [Signal::TERM, Signal::KILL] {
        match pidfd_send_signal(&process, signal) {
            // It has ended meanwhile.
            Ok(()) | Err(Errno::SRCH) => {}
            Err(cause) => {
                return Err(cause).with_context(|| format!("can't end the service, process {pid}"));
            }
        }
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if !state::is_held(state) {
                return Ok(vec![format!("the service, process {pid}")]);
            }
            std::thread::sleep(GLANCE);
        }
    }
    Err(anyhow!("the service, process {pid}, does not end"))
}

/// The process that has this folder, if it says so itself: a number alone may be anybody's by now.
fn service(state: &Path) -> Option<(u32, OwnedFd)> {
    let Holder { pid, start } = state::holder(state)?;
    let other = pid > 1 && pid != std::process::id();
    let process = other.then(|| living::open_started(pid, start))??;
    Some((pid, process))
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

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;
    use crate::state::State;
    use std::process::Child;
    use tempfile::{TempDir, tempdir};

    fn locations(own: &TempDir) -> Locations {
        let state = own.path().join("state");
        Locations {
            pins: state.join("pins"),
            sockets: Vec::new(),
            netns: None,
            nft: state.join("none"),
            state,
        }
    }

    fn stranger() -> Child {
        Command::new("sleep").arg("60").spawn().unwrap()
    }

    #[test]
    fn a_unit_is_the_innermost_service_on_the_way_to_a_process() {
        for (groups, unit) in [
            (
                "0::/system.slice/gatebell.service\n",
                Some("gatebell.service"),
            ),
            (
                "1:name=x:/a.service\n0::/user.slice/user@1000.service/app.slice/b.service/sub\n",
                Some("b.service"),
            ),
            ("0::/user.slice/session-1.scope\n", None),
            ("", None),
        ] {
            assert_eq!(unit_in(groups), unit, "{groups}");
        }
    }

    #[test]
    fn a_process_that_has_a_dead_services_number_by_now_is_left_alone() {
        let own = tempdir().unwrap();
        let (locations, mut stranger) = (locations(&own), stranger());
        fs::create_dir_all(&locations.state).unwrap();
        let written = serde_json::json!({
            "pid": stranger.id(), "netns": null, "cgroup": "/", "pins": locations.pins, "sockets": [],
        });
        fs::write(locations.state.join("zone.json"), written.to_string()).unwrap();
        let another = living::start_of(stranger.id()).unwrap() - 1;
        let said = format!("{} {another}\n", stranger.id());
        fs::write(locations.state.join("lock"), said).unwrap();
        assert_eq!(service(&locations.state).map(|(pid, _)| pid), None);
        // The next service lives, and loads: it has not written yet what it guards.
        let loads = State::take(&locations.state).unwrap();
        let recovered = recover(&locations);
        let lives = stranger.try_wait().unwrap().is_none();
        stranger.kill().unwrap();
        stranger.wait().unwrap();
        assert!(lives, "{recovered:?}");
        drop(loads);
    }

    #[test]
    fn a_service_that_still_loads_is_ended_by_what_its_lock_says() {
        let own = tempdir().unwrap();
        let (locations, mut service) = (locations(&own), stranger());
        let held = State::take(&locations.state).unwrap();
        let ours = state::holder(&locations.state).unwrap();
        assert_eq!(ours.pid, std::process::id());
        assert_eq!(Some(ours.start), living::start_of(ours.pid));
        let start = living::start_of(service.id()).unwrap();
        let said = format!("{} {start}\n", service.id());
        fs::write(locations.state.join("lock"), said).unwrap();
        let pid = service.id();
        let waits = std::thread::spawn(move || {
            service.wait().unwrap();
            drop(held);
        });
        let recovered = recover(&locations).unwrap();
        assert_eq!(recovered[0], format!("the service, process {pid}"));
        waits.join().unwrap();
        assert!(!locations.state.exists());
    }
}
