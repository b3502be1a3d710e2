//! Programs that people start in an evening. Each program is bounded, and knows nothing of the firewall.

mod peers;
mod sites;

pub use peers::{Kind, Tried, meet};
pub use sites::serve;

use crate::clock::{Clock, is_interrupted, sleep};
use crate::observations::Runs;
use crate::programs::{
    self, ANN, APT, ARCHIVE, BEN, BROWSER, CURL, CURLED, SITES, SSH, SSH_HOSTS, TELEMETRY, TORRENT,
    USERS, User, is_wanted, site,
};
use crate::stage::{SITE_PORT, Stage, apt_configuration, ssh_key};
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::Scope;
use std::time::{Duration, Instant};

/// Time that a program waits for a connection: longer than TCP does.
const PATIENCE: Duration = Duration::from_secs(150);
/// Time that programs still running may take to end as the evening becomes idle.
const AT_THE_END: Duration = Duration::from_secs(10);

/// First argument of curl, by which it reads no `.curlrc`: it finds the user's also where `HOME` is another one.
const NO_FILE: &str = "-q";

/// The loads, as they run.
pub struct Loads<'a> {
    stage: &'a Stage,
    clock: Clock,
    started: AtomicU64,
    runs: Mutex<BTreeMap<String, Runs>>,
    failed: Mutex<Vec<String>>,
}

impl<'a> Loads<'a> {
    /// Creates the loads of an evening, none of them started.
    pub fn new(stage: &'a Stage, clock: Clock) -> Self {
        Self {
            stage,
            clock,
            started: AtomicU64::new(0),
            runs: Mutex::default(),
            failed: Mutex::default(),
        }
    }

    /// Starts all loads; they end by themselves when the clock becomes idle.
    pub fn start<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>) -> Result<()> {
        let ourselves = std::env::current_exe()?;
        let browser = self.stage.copy(Path::new("/usr/bin/curl"), BROWSER)?;
        for user in USERS {
            for (number, name) in CURLED.into_iter().enumerate() {
                let pause = Duration::from_secs(9 + 2 * number as u64);
                scope.spawn(move || self.repeat(CURL, user, pause, |_| self.curl(user, name)));
            }
        }
        for host in SSH_HOSTS {
            scope.spawn(move || self.repeat(SSH, ANN, Duration::from_secs(20), |_| self.ssh(host)));
        }
        scope.spawn(|| self.repeat(APT, BEN, Duration::from_secs(25), |_| self.apt()));
        scope.spawn(move || {
            self.repeat(BROWSER, ANN, Duration::from_secs(4), |turn| {
                self.page(&browser, turn)
            });
        });
        for (kind, name, user) in [
            (Kind::Torrent, TORRENT, BEN),
            (Kind::Telemetry, TELEMETRY, ANN),
        ] {
            let program = self.stage.copy(&ourselves, name)?;
            scope.spawn(move || {
                self.repeat(name, user, Duration::from_secs(10), |_| {
                    self.peers(&program, kind, user)
                });
            });
        }
        Ok(())
    }

    /// Returns the number of programs that were started.
    pub fn started(&self) -> u64 {
        self.started.load(Ordering::Relaxed)
    }

    /// Returns the counts of the runs, by program.
    pub fn runs(&self) -> BTreeMap<String, Runs> {
        self.runs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Returns the output of the first runs that did not go well.
    pub fn failed(&self) -> Vec<String> {
        self.failed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Again and again; not all at one moment.
    fn repeat(
        &self,
        name: &str,
        user: User,
        pause: Duration,
        mut once: impl FnMut(u64) -> Result<Option<String>>,
    ) {
        let name = &programs::of(name, user.id);
        let mut turn = 0;
        while self.clock.is_busy() {
            self.started.fetch_add(1, Ordering::Relaxed);
            match once(turn) {
                Ok(None) => self.note(name, true),
                // It was ended, and would have come to something.
                _ if !self.clock.is_busy() => return,
                Ok(Some(said)) => self.failure(name, &said),
                Err(why) => self.failure(name, &format!("{why:#}")),
            }
            turn += 1;
            sleep(pause.min(self.clock.busy_for()));
        }
    }

    fn failure(&self, name: &str, said: &str) {
        const MOST: usize = 8;
        self.note(name, false);
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if failed.len() < MOST {
            failed.push(format!("{name}: {}", said.trim()));
        }
    }

    fn note(&self, name: &str, well: bool) {
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        let runs = runs.entry(name.to_owned()).or_default();
        runs.well += u64::from(well);
        runs.ill += u64::from(!well);
    }

    /// A page, of a name that this user's person allows, or of one that they do not.
    fn curl(&self, user: User, name: &str) -> Result<Option<String>> {
        let url = format!("http://{name}/");
        let seconds = PATIENCE.as_secs().to_string();
        let words = [
            "curl",
            NO_FILE,
            "-sS",
            "-m",
            &seconds,
            "--connect-timeout",
            &seconds,
            "-o",
            "/dev/null",
            &url,
        ];
        let ended = self.run(&mut self.stage.inside(user, &words))?;
        let unlike = ended.unlike(is_wanted(user, name));
        Ok(unlike.map(|said| format!("{name}: {said}")))
    }

    fn ssh(&self, host: &str) -> Result<Option<String>> {
        let key = ssh_key(&self.stage.lab);
        let key = key.to_string_lossy();
        let to = format!("root@{host}");
        let patience = format!("ConnectTimeout={}", PATIENCE.as_secs());
        let words = [
            "ssh",
            "-F",
            "none",
            "-i",
            &key,
            "-o",
            "StrictHostKeyChecking=no",
            "-o",
            "UserKnownHostsFile=/dev/null",
            "-o",
            "BatchMode=yes",
            "-o",
            "LogLevel=ERROR",
            "-o",
            "IdentitiesOnly=yes",
            "-o",
            &patience,
            &to,
            "sleep 2; echo here",
        ];
        let ended = self.run(&mut self.stage.inside(ANN, &words))?;
        if ended.out.trim() == "here" {
            return Ok(None);
        }
        Ok(Some(ended.said()))
    }

    /// Apt ends well though it could fetch nothing, unless it is told.
    fn apt(&self) -> Result<Option<String>> {
        let words = [
            "apt-get",
            "-q",
            "-o",
            "APT::Update::Error-Mode=any",
            "update",
        ];
        let mut command = self.stage.inside(BEN, &words);
        command.env("APT_CONFIG", apt_configuration(&self.stage.lab));
        let ended = self.run(&mut command)?;
        if ended.well && ended.out.contains(ARCHIVE) {
            return Ok(None);
        }
        Ok(Some(ended.said()))
    }

    /// A page of a browser's: twenty-four parts of six names, over connections that are kept for the next part.
    fn page(&self, browser: &str, turn: u64) -> Result<Option<String>> {
        const NAMES: u64 = 6;
        let seconds = PATIENCE.as_secs().to_string();
        let first = turn * 5;
        let sites = (0..NAMES).map(|n| u8::try_from((first + n) % u64::from(SITES)).unwrap_or(0));
        let urls: Vec<_> = sites
            .map(|number| format!("http://{}:{SITE_PORT}/part[1-4]", site(number)))
            .collect();
        let mut words = vec![
            browser,
            NO_FILE,
            "-sS",
            "--fail",
            "--parallel",
            "-m",
            &seconds,
        ];
        for url in &urls {
            words.extend(["-o", "/dev/null", url]);
        }
        let ended = self.run(&mut self.stage.inside(ANN, &words))?;
        Ok(ended.unlike(true))
    }

    fn peers(&self, program: &str, kind: Kind, user: User) -> Result<Option<String>> {
        let seconds = self.clock.busy_for().as_secs().clamp(1, 45).to_string();
        let words = [program, "load", kind.name(), &seconds];
        let ended = self.run(&mut self.stage.inside(user, &words))?;
        let tried = Tried::read(&ended.out);
        let tried =
            tried.with_context(|| format!("{} said otherwise: {}", kind.name(), ended.said()))?;
        Ok((!kind.went_well(&tried)).then_some(ended.out))
    }

    /// Runs a program to its end, or ends it when the evening is idle.
    fn run(&self, command: &mut Command) -> Result<Ended> {
        let number = self.started();
        let file = self
            .stage
            .lab
            .folder()
            .join(format!("said-{number}-{:?}", std::thread::current().id()));
        let said = File::create(&file)?;
        let errors = file.with_extension("err");
        let command = command.stdout(said).stderr(File::create(&errors)?);
        let mut child = command.stdin(Stdio::null()).spawn()?;
        let mut end = Instant::now() + PATIENCE + AT_THE_END;
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            if !self.clock.is_busy() {
                end = end.min(Instant::now() + AT_THE_END);
            }
            if is_interrupted() || Instant::now() >= end {
                // What it has started ends with its control group.
                let _gone = child.kill();
                break child.wait()?;
            }
            std::thread::sleep(Duration::from_millis(50));
        };
        let ended = Ended {
            well: status.success(),
            killed: status.signal().is_some(),
            out: std::fs::read_to_string(&file).unwrap_or_default(),
            err: std::fs::read_to_string(&errors).unwrap_or_default(),
        };
        for file in [file, errors] {
            let _goes_with_the_lab = std::fs::remove_file(file);
        }
        Ok(ended)
    }
}

/// Result of a program's run.
struct Ended {
    well: bool,
    killed: bool,
    out: String,
    err: String,
}

impl Ended {
    /// Returns the output of the program if it did not end as is meant.
    fn unlike(&self, well: bool) -> Option<String> {
        (self.well != well).then(|| self.said())
    }

    fn said(&self) -> String {
        let killed = if self.killed { "it was ended; " } else { "" };
        let last = |text: &str| text.trim().lines().last().unwrap_or_default().to_owned();
        format!("{killed}{} {}", last(&self.out), last(&self.err))
    }
}
