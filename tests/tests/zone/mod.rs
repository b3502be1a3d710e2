//! A protected zone for the tests: a lab with the service in it. The service runs as the test program itself, started
//! again.
#![allow(dead_code, reason = "each test file needs a part of it")]

pub mod lie;
pub mod probe;
pub mod stream;
pub mod tun;
pub mod unit;

use channel::sys::linux::Linux;
use channel::{Attachment, Device, Mask};
use control::Client;
use firewall_abi::kind;
use gatebell_tests::PATIENCE;
use lab::{Counted, Lab};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Lines};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Rules that the zone is judged by.
pub const RULES: &str = include_str!("../../../firewall/rules/examples/lab.toml");

/// Lab with a service in it.
pub struct Protected {
    pub service: Service,
    pub rules: PathBuf,
    // Last: the service goes first.
    pub lab: Lab,
}

/// Running service, and the lines that it prints.
pub struct Service {
    pub process: Child,
    says: Lines<BufReader<ChildStdout>>,
}

impl Protected {
    /// Builds the lab, and waits until the service is ready.
    pub fn start() -> Self {
        Self::with(RULES)
    }

    /// Starts a zone with these rules.
    pub fn with(text: &str) -> Self {
        Self::with_options(text, &[])
    }

    /// Starts a zone with more options on the service's command line.
    pub fn with_options(text: &str, options: &[&str]) -> Self {
        Self::with_log(text, options, &[], Stdio::inherit())
    }

    /// Starts a zone with these variables as well, and with a place for the service's log.
    pub fn with_log(
        text: &str,
        options: &[&str],
        variables: &[(&str, &str)],
        log: impl Into<Stdio>,
    ) -> Self {
        let lab = Lab::build().unwrap();
        let rules = lab.folder().join("rules.toml");
        std::fs::write(&rules, text).unwrap();
        let mut command = Service::command(&words_with(&lab, options));
        command.envs(variables.iter().copied()).stderr(log);
        let mut service = Service::spawn(command);
        service.hear("ready");
        Self {
            service,
            rules,
            lab,
        }
    }

    /// Starts another service where the last one was, and waits until it is ready. Returns whether it took over.
    pub fn start_again(&mut self) -> bool {
        self.start_again_with(&[])
    }

    /// Starts the service again with more options on its command line, and returns whether it adopted the driver.
    pub fn start_again_with(&mut self, options: &[&str]) -> bool {
        self.ready_again(options)["adopted"].as_bool().unwrap()
    }

    /// Starts the service again with more options, and returns its report of being ready.
    pub fn ready_again(&mut self, options: &[&str]) -> Value {
        self.service = Service::start(&words_with(&self.lab, options));
        self.service.says("ready")
    }

    /// Starts a service with another driver in a lab of its own, which does not get to its work. Returns what it says
    /// of that, and what is left in its folder then.
    pub fn refused_driver(object: &[u8]) -> (String, Vec<(PathBuf, String)>) {
        let lab = Lab::build().unwrap();
        let file = lab.folder().join("driver.o");
        std::fs::write(&file, object).unwrap();
        let words: Vec<_> = words(&lab)
            .into_iter()
            .map(|word| {
                if word == driver() {
                    file.clone().into()
                } else {
                    word
                }
            })
            .collect();
        std::fs::write(lab.folder().join("rules.toml"), RULES).unwrap();
        let mut command = Service::command(&words);
        let output = command.stderr(Stdio::piped()).output().unwrap();
        assert!(!output.status.success());
        let left = std::fs::read_dir(lab.folder().join("state"))
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let left = left
            .map(|path| (path.clone(), std::fs::read_to_string(path).unwrap()))
            .collect();
        (String::from_utf8(output.stderr).unwrap(), left)
    }

    /// Starts another service here, with this driver and more on its command line, that does not get to its work.
    /// Returns what it says of that.
    pub fn fails_to_start(&self, driver_object: &Path, options: &[&str]) -> String {
        let mut words = words_with(&self.lab, options);
        for word in &mut words {
            if *word == driver() {
                *word = driver_object.into();
            }
        }
        let mut command = Service::command(&words);
        let output = command.stderr(Stdio::piped()).output().unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    }

    /// Takes everything out of the kernel, and returns what was there.
    pub fn recover(&self) -> Vec<String> {
        let mut line = where_it_is(&self.lab);
        line.push("--recover".into());
        let said = Service::start(&line).says("recovered");
        serde_json::from_value(said["recovered"].clone()).unwrap()
    }

    /// Waits for the next line of the service about `what`.
    pub fn hear(&mut self, what: &str) -> Value {
        self.service.hear(what)
    }

    pub fn signal(&self, which: Signal) {
        self.service.signal(which);
    }

    /// Returns the driver's counts, as the service reports them.
    pub fn counted(&mut self) -> Counted {
        self.signal(Signal::SIGUSR1);
        let said = self.hear("verdicts");
        Counted {
            blocked: said["blocked"].as_u64().unwrap(),
            allowed: said["allowed"].as_u64().unwrap(),
        }
    }

    /// Returns the counts of both judges, the driver and nftables, at a moment at which nothing moves.
    pub fn agreed(&mut self) -> (Counted, Counted) {
        for _ in 0..20 {
            let nft = self.lab.quiet().unwrap();
            let driver = self.counted();
            if self.lab.judged().unwrap() == nft {
                return (driver, nft);
            }
        }
        panic!("the lab does not come to rest");
    }

    /// Returns the details of what the service says is wrong with it.
    pub fn troubles(&self) -> Vec<String> {
        let troubles = self.ask().status().unwrap().trouble.into_iter();
        troubles.map(|trouble| trouble.detail).collect()
    }

    /// The running service, to be asked.
    pub fn ask(&self) -> Client {
        Client::connect(&probe::control(self)).unwrap()
    }

    pub fn device(&self) -> Device<Linux> {
        Device::open(self.lab.folder().join("s")).unwrap()
    }

    pub fn attach(&self, ring_bytes: u32) -> Attachment<Linux> {
        let device = self.device();
        device.attach(ring_bytes, Mask::of(kind::PACKET)).unwrap()
    }

    pub fn inside(&self, line: &str) -> Output {
        self.lab.inside(&["bash", "-c", line]).output().unwrap()
    }

    pub fn outside(&self, line: &str) -> Output {
        self.lab.outside(&["bash", "-c", line]).output().unwrap()
    }
}

impl Service {
    fn command(words: &[OsString]) -> Command {
        let words: Vec<_> = words.iter().map(|word| word.to_str().unwrap()).collect();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["zone::the_service", "--exact", "--nocapture"]);
        command
            .env("GATEBELL_SERVICE", words.join("\n"))
            .stdout(Stdio::piped());
        command
    }

    fn start(words: &[OsString]) -> Self {
        Self::spawn(Self::command(words))
    }

    fn spawn(mut command: Command) -> Self {
        let mut process = command.spawn().unwrap();
        let says = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, says }
    }

    /// Waits for the next line that has `what` in it, and returns it whole.
    fn says(&mut self, what: &str) -> Value {
        for line in self.says.by_ref() {
            // The test harness speaks on the same pipe.
            let said = serde_json::from_str::<Value>(&line.unwrap()).ok();
            if let Some(said) = said.filter(|said| said.get(what).is_some()) {
                return said;
            }
        }
        panic!("the service has ended");
    }

    /// Waits for the next line about `what`, and returns its value.
    pub fn hear(&mut self, what: &str) -> Value {
        self.says(what)[what].take()
    }

    pub fn signal(&self, which: Signal) {
        kill(
            Pid::from_raw(i32::try_from(self.process.id()).unwrap()),
            which,
        )
        .unwrap();
    }

    /// Kills the service, as no service wants to end.
    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Asks the service to end, and waits until it has.
    pub fn stop(&mut self) {
        if matches!(self.process.try_wait(), Ok(Some(_))) {
            return;
        }
        self.signal(Signal::SIGTERM);
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end && matches!(self.process.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(20));
        }
        self.kill();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The command line of a service in this lab, and more. Unless that says otherwise nothing is kept of what happens:
/// whoever keeps it is one more app of the driver's, and books are counted here to the last record.
fn words_with(lab: &Lab, options: &[&str]) -> Vec<OsString> {
    let history: &[&str] = if options.contains(&"--history-days") {
        &[]
    } else {
        &["--history-days", "0"]
    };
    let more = options.iter().chain(history).map(Into::into);
    words(lab).into_iter().chain(more).collect()
}

/// The command line of a service in this lab.
fn words(lab: &Lab) -> Vec<OsString> {
    let pairs = [
        ("--zone-cgroup", lab.cgroup()),
        ("--rules", lab.folder().join("rules.toml")),
        ("--driver", driver()),
        ("--kept", lab.folder().join("kept")),
    ];
    where_it_is(lab).into_iter().chain(options(pairs)).collect()
}

/// Returns the options that say where to look for a service.
fn where_it_is(lab: &Lab) -> Vec<OsString> {
    let folder = lab.folder();
    let pairs = [
        ("--zone-netns", lab.netns()),
        ("--socket", folder.join("s")),
        ("--control", folder.join("c")),
        ("--pins", lab.pins()),
        ("--state", folder.join("state")),
    ];
    std::iter::once("gatebelld".into())
        .chain(options(pairs))
        .collect()
}

fn options<const N: usize>(pairs: [(&str, PathBuf); N]) -> impl Iterator<Item = OsString> {
    pairs
        .into_iter()
        .flat_map(|(option, value)| [option.into(), value.into()])
}

/// Not a promise: what a started-again copy of this program does.
#[test]
fn the_service() {
    let Ok(words) = std::env::var("GATEBELL_SERVICE") else {
        return;
    };
    // As its unit has it: whoever leaves its answers to another makes no socket of IP.
    if words.lines().any(|word| word == "--rejected") {
        unit::makes_no_socket_of_ip().unwrap();
    }
    let failed = service::run(words.lines().map(OsString::from)) != std::process::ExitCode::SUCCESS;
    std::process::exit(i32::from(failed));
}

pub fn driver() -> PathBuf {
    let clone = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/drivers");
    std::env::var_os("GATEBELL_DRIVERS")
        .map_or(clone, PathBuf::from)
        .join("gatebell_firewall.bpf.o")
}
