//! Promises of the firewall on a Linux kernel: this machine's, and Debian's 6.1 emulated.
//!
//! Needs root, `nft`, `ip`, `nsenter`, `bash` and `busybox`. `GATEBELL_DRIVERS` is the folder with
//! `gatebell_firewall.bpf.o`; else `target/drivers` of the clone. The service runs as this very program, started again.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test may fail")]

#[expect(dead_code, reason = "the lab of `cargo xtask run`, not all of which is needed here")]
#[path = "../../xtask/src/lab.rs"]
mod lab;

use channel::sys::linux::Linux;
use channel::{Attachment, Device, Item, Kind, Mask};
use contract::packet::{Direction, NO_RULE, Packet, Verdict};
use lab::{Counted, INSIDE, INSIDE_V6, Lab, OUTSIDE, OUTSIDE_V6};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Lines};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The places of examples/lab.toml's rules in the file.
const PING: u32 = 1;
const NO_TELNET: u32 = 4;
const NO_DISCARD: u32 = 5;
const RULES: &str = include_str!("../../rules/examples/lab.toml");

/// A lab with a service in it.
struct Protected {
    service: Child,
    says: Lines<BufReader<ChildStdout>>,
    rules: PathBuf,
    // Last: the service goes first.
    lab: Lab,
}

impl Protected {
    fn start() -> Self {
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
            .args(["the_service", "--exact", "--nocapture"])
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
    fn hear(&mut self, what: &str) -> Value {
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

    fn signal(&self, which: Signal) {
        kill(Pid::from_raw(i32::try_from(self.service.id()).unwrap()), which).unwrap();
    }

    /// What both judges have counted, at a moment at which nothing moves: the driver and nftables.
    fn agreed(&mut self) -> (Counted, Counted) {
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

    fn device(&self) -> Device<Linux> {
        Device::open(self.lab.folder().join("s").as_path()).unwrap()
    }

    fn attach(&self, ring_bytes: u32) -> Attachment<Linux> {
        let device = self.device();
        let event = device.create_event(ring_bytes).unwrap();
        Attachment::reference(device, event, Mask::of(Kind::PACKET)).unwrap()
    }

    fn inside(&self, line: &str) -> Output {
        self.lab.inside(&["bash", "-c", line]).output().unwrap()
    }

    fn outside(&self, line: &str) -> Output {
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

/// Waits for a packet's record that is as asked for.
fn packet(app: &mut Attachment<Linux>, wanted: impl Fn(&Packet) -> bool) -> Packet {
    let end = Instant::now() + Duration::from_secs(10);
    let mut found = None;
    while found.is_none() {
        assert!(Instant::now() < end, "no such record came");
        app.wait(Some(Duration::from_millis(200))).unwrap();
        app.drain(|item| {
            if let Item::Record(record) = item {
                let packet = record.read::<Packet>().unwrap();
                if found.is_none() && wanted(&packet) {
                    found = Some(packet);
                }
            }
        })
        .unwrap();
    }
    found.unwrap()
}

fn blocked_by(packet: &Packet, rule: u32) -> bool {
    packet.decision.verdict == Verdict::Block as u8 && packet.decision.rule == rule
}

fn name(packet: &Packet) -> &str {
    std::str::from_utf8(&packet.name).unwrap().trim_end_matches('\0')
}

#[test]
fn a_refused_packet_names_its_rule_its_process_and_its_user_and_the_program_is_told() {
    let zone = Protected::start();
    let mut app = zone.attach(1 << 20);
    for address in [OUTSIDE, OUTSIDE_V6] {
        let told = zone.inside(&format!("echo hello > /dev/udp/{address}/9"));
        let said = String::from_utf8_lossy(&told.stderr).into_owned();
        assert!(said.contains("Operation not permitted"), "{said}");
        let record = packet(&mut app, |packet| blocked_by(packet, NO_DISCARD));
        assert_eq!((name(&record), record.user, record.decision.generation), ("bash", 0, 1));
        assert!(record.pid > 1);
    }
    zone.inside(&format!("timeout 0.5 busybox nc {OUTSIDE} 23"));
    let record = packet(&mut app, |packet| blocked_by(packet, NO_TELNET));
    assert_eq!((name(&record), record.flow.destination_port), ("busybox", 23));
    zone.outside(&format!("timeout 0.5 busybox nc {INSIDE} 2222"));
    let record = packet(&mut app, |packet| blocked_by(packet, NO_RULE));
    assert_eq!((record.flow.direction, record.flow.destination_port), (Direction::Inbound as u8, 2222));
}

#[test]
fn what_is_allowed_gets_its_replies_and_both_judges_count_the_same() {
    let mut zone = Protected::start();
    let before = zone.agreed();
    for (inside, url) in [
        (true, format!("http://{OUTSIDE}/")),
        (true, format!("http://[{OUTSIDE_V6}]/")),
        (false, format!("http://{INSIDE}:8080/")),
        (false, format!("http://[{INSIDE_V6}]:8080/")),
    ] {
        let line = format!("timeout 5 busybox wget -q -O - '{url}'");
        let got = if inside { zone.inside(&line) } else { zone.outside(&line) };
        assert_eq!(String::from_utf8_lossy(&got.stdout), "a page of the lab\n", "{url}");
    }
    // Each end asks the other: two conversations, one answer each.
    for (inside, address) in [(false, INSIDE), (true, OUTSIDE), (false, INSIDE_V6), (true, OUTSIDE_V6)] {
        let line = format!("busybox ping -c 1 -W 5 {address}");
        let asked = if inside { zone.inside(&line) } else { zone.outside(&line) };
        assert!(asked.status.success(), "{line}");
    }
    zone.inside(&format!("echo hello > /dev/udp/{OUTSIDE}/9"));
    zone.outside(&format!("echo hello > /dev/udp/{INSIDE}/5353"));
    let after = zone.agreed();
    let counted =
        |before: Counted, after: Counted| (after.blocked - before.blocked, after.allowed - before.allowed);
    let (driver, nft) = (counted(before.0, after.0), counted(before.1, after.1));
    assert_eq!(driver, nft, "blocked and allowed: the driver's, nftables'");
    assert!(driver.0 >= 2 && driver.1 >= 40, "{driver:?}");
}

#[test]
fn what_has_no_socket_is_judged_once_as_it_leaves() {
    let mut zone = Protected::start();
    // Nobody listens there any more: the kernel itself answers, with a RST.
    for pid in std::fs::read_to_string(zone.lab.cgroup().join("cgroup.procs")).unwrap().lines() {
        kill(Pid::from_raw(pid.parse().unwrap()), Signal::SIGKILL).unwrap();
    }
    let mut app = zone.attach(1 << 20);
    let before = zone.agreed();
    let refused = zone.outside(&format!("echo hello > /dev/tcp/{INSIDE}/8080"));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    zone.outside(&format!("busybox ping -c 1 -W 5 {INSIDE}"));
    packet(&mut app, |packet| {
        packet.decision.rule == PING && packet.decision.verdict == Verdict::Allow as u8
    });
    let after = zone.agreed();
    let (driver, nft) = (after.0.allowed - before.0.allowed, after.1.allowed - before.1.allowed);
    assert_eq!(driver, nft, "{said}");
    assert!(driver >= 4, "{driver}");
}

#[test]
fn a_full_ring_or_no_app_changes_no_verdict() {
    let mut zone = Protected::start();
    let send = |zone: &Protected| {
        zone.inside(&format!(
            "for n in {{1..60}}; do echo > /dev/udp/{OUTSIDE}/9; done 2>&1 | grep -c permitted"
        ))
        .stdout
    };
    assert_eq!(send(&zone), b"60\n", "with no app");
    let stopped = zone.attach(4096);
    assert_eq!(send(&zone), b"60\n", "with an app that does not read");
    let (driver, _) = zone.agreed();
    assert_eq!(driver.blocked, 120);
    let account = stopped.account().unwrap();
    assert!(account.balances() && account.kernel.offered == 60, "{account:?}");
    assert!(account.kernel.lost_in_all() > 0, "{account:?}");
}

#[test]
fn a_bad_rule_file_changes_nothing_and_a_good_one_takes_the_old_ones_place() {
    let mut zone = Protected::start();
    let refused = |zone: &Protected| !zone.inside(&format!("echo > /dev/udp/{OUTSIDE}/9")).status.success();
    std::fs::write(&zone.rules, "[default]\ninbound = \"perhaps\"\n").unwrap();
    zone.signal(Signal::SIGHUP);
    assert_eq!(zone.hear("reloaded"), 1);
    assert!(refused(&zone));
    std::fs::write(&zone.rules, RULES.replace("ports = 9\n", "ports = 19\n")).unwrap();
    zone.signal(Signal::SIGHUP);
    assert_eq!(zone.hear("reloaded"), 2);
    assert!(!refused(&zone));
}

#[test]
fn a_killed_service_leaves_the_zone_guarded() {
    let mut zone = Protected::start();
    zone.lab.serve_outside("23").unwrap();
    let get = |zone: &Protected, port: u16| {
        let got = zone.inside(&format!("timeout 2 busybox wget -q -O - http://{OUTSIDE}:{port}/"));
        !got.stdout.is_empty() || String::from_utf8_lossy(&got.stderr).contains("HTTP/")
    };
    assert!(get(&zone, 80) && !get(&zone, 23), "while it lives");
    zone.service.kill().unwrap();
    zone.service.wait().unwrap();
    std::thread::sleep(Duration::from_millis(500));
    assert!(get(&zone, 80), "replies still pass");
    assert!(!get(&zone, 23), "the filters at the device judge what the hook at the sockets did");
}
