//! A protected zone for the tests: a lab with the service in it. The service runs as the test program itself, started
//! again.

use super::lab::{self, Counted, Lab};
use channel::sys::linux::Linux;
use channel::{Attachment, Device, Kind, Mask};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Lines};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// What the zone is judged by.
pub const RULES: &str = include_str!("../../../rules/examples/lab.toml");

/// A lab with a service in it.
pub struct Protected {
    pub service: Child,
    says: Lines<BufReader<ChildStdout>>,
    pub rules: PathBuf,
    // Last: the service goes first.
    pub lab: Lab,
}

impl Protected {
    /// Builds the lab, and waits until the service is ready.
    pub fn start() -> Self {
        let lab = Lab::build().unwrap();
        let rules = lab.folder().join("rules.toml");
        std::fs::write(&rules, RULES).unwrap();
        let words: Vec<OsString> = vec![
            "gatebelld".into(),
            "--zone-netns".into(),
            lab.netns().into(),
            "--zone-device".into(),
            lab::DEVICE.into(),
            "--zone-cgroup".into(),
            lab.cgroup().into(),
            "--rules".into(),
            rules.clone().into(),
            "--socket".into(),
            lab.folder().join("s").into(),
            "--driver".into(),
            driver().into(),
        ];
        let words: Vec<_> = words.iter().map(|word| word.to_str().unwrap()).collect();
        let mut service = Command::new(std::env::current_exe().unwrap())
            .args(["zone::the_service", "--exact", "--nocapture"])
            .env("GATEBELL_SERVICE", words.join("\n"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let says = BufReader::new(service.stdout.take().unwrap()).lines();
        let mut protected = Self { service, says, rules, lab };
        protected.hear("ready");
        protected
    }

    /// The next thing that the service says of `what`.
    pub fn hear(&mut self, what: &str) -> Value {
        for line in self.says.by_ref() {
            // The test harness speaks on the same pipe.
            let said = serde_json::from_str::<Value>(&line.unwrap())
                .ok()
                .and_then(|mut l| l.get_mut(what).map(Value::take));
            if let Some(said) = said {
                return said;
            }
        }
        panic!("the service has ended");
    }

    pub fn signal(&self, which: Signal) {
        kill(Pid::from_raw(i32::try_from(self.service.id()).unwrap()), which).unwrap();
    }

    /// What both judges have counted, at a moment at which nothing moves: the driver and nftables.
    pub fn agreed(&mut self) -> (Counted, Counted) {
        for _ in 0..20 {
            let nft = self.lab.quiet().unwrap();
            self.signal(Signal::SIGUSR1);
            let said = self.hear("verdicts");
            let driver = Counted {
                blocked: said["blocked"].as_u64().unwrap(),
                allowed: said["allowed"].as_u64().unwrap(),
            };
            if self.lab.judged().unwrap() == nft {
                return (driver, nft);
            }
        }
        panic!("the lab does not come to rest");
    }

    pub fn device(&self) -> Device<Linux> {
        Device::open(self.lab.folder().join("s").as_path()).unwrap()
    }

    pub fn attach(&self, ring_bytes: u32) -> Attachment<Linux> {
        let device = self.device();
        let event = device.create_event(ring_bytes).unwrap();
        Attachment::reference(device, event, Mask::of(Kind::PACKET)).unwrap()
    }

    pub fn inside(&self, line: &str) -> Output {
        self.lab.inside(&["bash", "-c", line]).output().unwrap()
    }

    pub fn outside(&self, line: &str) -> Output {
        self.lab.outside(&["bash", "-c", line]).output().unwrap()
    }
}

impl Drop for Protected {
    fn drop(&mut self) {
        if matches!(self.service.try_wait(), Ok(Some(_))) {
            return;
        }
        self.signal(Signal::SIGTERM);
        let end = Instant::now() + Duration::from_secs(5);
        while Instant::now() < end && matches!(self.service.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(20));
        }
        self.service.kill().unwrap();
        self.service.wait().unwrap();
    }
}

/// Not a promise: what a started-again copy of this program does.
#[test]
fn the_service() {
    let Ok(words) = std::env::var("GATEBELL_SERVICE") else { return };
    let failed = service::run(words.lines().map(OsString::from)) != std::process::ExitCode::SUCCESS;
    std::process::exit(i32::from(failed));
}

fn driver() -> PathBuf {
    let clone = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/drivers");
    std::env::var_os("GATEBELL_DRIVERS").map_or(clone, PathBuf::from).join("gatebell_firewall.bpf.o")
}
