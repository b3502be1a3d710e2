//! Flooders and apps in processes of their own: this same program, started again in a role.

use super::Protected;
use super::reading::{Tally, tally};
use channel::sys::linux::{Linux, bpf};
use channel::{Attachment, Device, Error, Mask};
use firewall_abi::kind;
use gatebell_tests::again;
use lab::OUTSIDE;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use std::env;
use std::fmt::Display;
use std::io::{BufRead, BufReader};
use std::net::UdpSocket;
use std::path::PathBuf;
use std::process::{ChildStdout, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// A flood comes in so many bursts, one in each interval, and ends after so long in any case.
const BURSTS: u64 = 60;
const INTERVAL: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(5);
/// An app that nobody stops.
const FORGOTTEN: Duration = Duration::from_secs(300);

/// Process of a test's own. Dropping it kills it.
pub struct Child {
    process: std::process::Child,
    says: BufReader<ChildStdout>,
}

impl Child {
    /// Starts a process in the zone: in its namespace and its control group.
    pub fn inside(zone: &Protected, user: u32, role: &str) -> Self {
        let program = env::current_exe().unwrap();
        let command = zone
            .lab
            .inside(&[program.to_str().unwrap(), WHAT, "--exact", "--nocapture"]);
        Self::spawn(command, zone, user, role)
    }

    /// Starts a process outside of the zone, where apps are.
    pub fn beside(zone: &Protected, user: u32, role: &str) -> Self {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args([WHAT, "--exact", "--nocapture"]);
        Self::spawn(command, zone, user, role)
    }

    fn spawn(mut command: Command, zone: &Protected, user: u32, role: &str) -> Self {
        command
            .env("GATEBELL_ROLE", role)
            .env(again::USER, user.to_string());
        command.env("GATEBELL_FOLDER", zone.lab.folder());
        let mut process = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let says = BufReader::new(process.stdout.take().unwrap());
        Self { process, says }
    }

    /// The value that the child says for `key`.
    pub fn says(&mut self, key: &str) -> String {
        let start = format!("{key}: ");
        let mut line = String::new();
        while self.says.read_line(&mut line).unwrap() > 0 {
            // The test harness speaks on the same pipe.
            if let Some((_, value)) = line.trim_end().split_once(&start) {
                return value.to_owned();
            }
            line.clear();
        }
        panic!("the child did not say {key:?}");
    }

    pub fn number(&mut self, key: &str) -> u64 {
        self.says(key).parse().unwrap()
    }

    pub fn has_ended(&mut self) -> bool {
        self.process.try_wait().unwrap().is_some()
    }

    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It may have ended.
        let _ended = self.process.kill();
        let _waited = self.process.wait();
    }
}

/// Has whoever still drains for the zone say what it got.
pub fn stop_apps(zone: &Protected) {
    std::fs::write(zone.lab.folder().join("stop"), "").unwrap();
}

/// The number of an app's ring among the kernel's maps.
pub fn ring_of(app: &Attachment<Linux>) -> u32 {
    bpf::map_info(app.event().system().descriptor().unwrap())
        .unwrap()
        .id
}

const WHAT: &str = "crowd::the_child";

/// Not a promise: what a started-again copy of this program does.
#[test]
fn the_child() {
    let Ok(role) = env::var("GATEBELL_ROLE") else {
        return;
    };
    again::go_on_as_the_user();
    let (what, count) = role.split_once(' ').unwrap_or((&role, "0"));
    let count: u64 = count.parse().unwrap();
    match what {
        "flood" => flood(count),
        "send" => send(count),
        "everywhere" => send_on_every_processor(),
        "read" => read_for_ever(),
        "listen" => listen(),
        "crowd" => crowd(),
        _ => panic!("no such role: {what}"),
    }
}

fn say(key: &str, value: impl Display) {
    println!("{key}: {value}");
}

/// Datagrams to a port that the rules refuse, and what became of them.
#[derive(Default)]
struct Sent {
    tried: u64,
    refused: u64,
}

impl Sent {
    fn send(&mut self, socket: &UdpSocket) {
        self.tried += 1;
        let sent = socket.send_to(b"flood", (OUTSIDE, 9));
        self.refused +=
            u64::from(sent.is_err_and(|error| error.raw_os_error() == Some(libc::EPERM)));
    }

    fn said(&self) {
        say("tried", self.tried);
        say("refused", self.refused);
    }
}

fn socket() -> UdpSocket {
    UdpSocket::bind("0.0.0.0:0").unwrap()
}

fn flood(count: u64) {
    let (socket, begun, mut sent) = (socket(), Instant::now(), Sent::default());
    for burst in 1..=BURSTS {
        while sent.tried < count * burst / BURSTS && begun.elapsed() < LONGEST {
            sent.send(&socket);
        }
        let next = INTERVAL * u32::try_from(burst).unwrap();
        sleep(next.saturating_sub(begun.elapsed()));
    }
    sent.said();
}

fn send(count: u64) {
    let (socket, mut sent) = (socket(), Sent::default());
    (0..count).for_each(|_| sent.send(&socket));
    // And a program of this user's.
    assert!(
        Command::new("busybox")
            .arg("true")
            .status()
            .unwrap()
            .success()
    );
    sent.said();
}

fn send_on_every_processor() {
    let (socket, mut sent) = (socket(), Sent::default());
    let ours = sched_getaffinity(Pid::from_raw(0)).unwrap();
    for processor in (0..CpuSet::count()).filter(|processor| ours.is_set(*processor).unwrap()) {
        let mut alone = CpuSet::new();
        alone.set(processor).unwrap();
        sched_setaffinity(Pid::from_raw(0), &alone).unwrap();
        sent.send(&socket);
    }
    sent.said();
}

/// The lab's.
fn folder() -> PathBuf {
    env::var_os("GATEBELL_FOLDER").unwrap().into()
}

fn device() -> Device<Linux> {
    Device::open(folder().join("s")).unwrap()
}

fn attach(mask: Mask) -> Result<Attachment<Linux>, Error> {
    device().attach(1 << 20, mask)
}

/// Reads as an app until it is killed.
fn read_for_ever() {
    let mut app = attach(Mask::of(kind::PACKET)).unwrap();
    say("ring", ring_of(&app));
    let (end, mut read) = (Instant::now() + FORGOTTEN, 0);
    while Instant::now() < end {
        app.wait(Some(INTERVAL)).unwrap();
        let drained = app.drain(|_| ()).unwrap().records;
        if read == 0 && drained > 0 {
            say("read", drained);
        }
        read += drained;
    }
}

/// Reads as an app until it is stopped, and prints the users that it was told of.
fn listen() {
    let mask = Mask::of(kind::PACKET)
        .and(kind::PROCESS_START)
        .and(kind::PROCESS_EXIT);
    let mut app = match attach(mask) {
        Ok(app) => app,
        Err(error) => return say("attached", error.refusal().unwrap().name()),
    };
    say("attached", "yes");
    let stop = folder().join("stop");
    let (end, mut got) = (Instant::now() + FORGOTTEN, Tally::default());
    while Instant::now() < end && !stop.exists() {
        app.wait(Some(INTERVAL)).unwrap();
        tally(&mut app, &mut got);
    }
    tally(&mut app, &mut got);
    let mut said: Vec<_> = got
        .about
        .iter()
        .map(|((kind, user), count)| (*kind, *user, *count))
        .collect();
    said.sort_unstable();
    let account = app.account().unwrap();
    say(
        "balances",
        account.balances() && account.in_ring == 0 && account.kernel.lost_in_all() == 0,
    );
    say("told", serde_json::to_string(&said).unwrap());
}

/// Takes as many attachments and connections as it gets, and keeps them.
fn crowd() {
    let mut held = Vec::new();
    let refused = loop {
        match attach(Mask::of(kind::PACKET)) {
            Ok(app) => held.push(app),
            Err(error) => break error.refusal().unwrap(),
        }
    };
    say("attached", held.len());
    say("refused", refused.name());
    let path = folder().join("s");
    let (mut more, mut failures) = (Vec::new(), 0);
    while failures < 5 && more.len() < 50 {
        if let Ok(device) = Device::open(&path) {
            more.push(device);
        } else {
            // The device server may yet have to see that the one that was refused has gone.
            failures += 1;
            sleep(INTERVAL);
        }
    }
    say("connected", held.len() + more.len());
    sleep(FORGOTTEN);
}
