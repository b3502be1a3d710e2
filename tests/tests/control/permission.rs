//! Tests of what polkit permits: a real one, on a bus of the test's own, with rules of the test's own.

use super::person::{Person, connect_as};
use super::zone::{Protected, RULES};
use super::{all_is_well, control, request, say};
use gatebell_tests::PATIENCE;
use lab::in_bus_address;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// User `games`, whom the rules below permit everything.
const PERMITTED: u32 = 5;
/// User `nobody`, whom the rules permit nothing.
const REFUSED: u32 = 65_534;
/// User `bin`, of whom the rules say nothing: it takes an administrator's password.
const UNKNOWN: u32 = 2;

const POLKITD: &str = "/usr/lib/polkit-1/polkitd";
const BUS: &str = r#"<busconfig>
  <type>system</type>
  <listen>unix:path=@FOLDER@/bus</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_destination="*" eavesdrop="false"/>
    <allow receive_sender="*" eavesdrop="false"/>
  </policy>
</busconfig>
"#;
const PERMISSIONS: &str = r#"polkit.addRule(function(action, subject) {
  if (action.id == "org.gatebell.firewall.change") {
    if (subject.user == "games") return polkit.Result.YES;
    if (subject.user == "nobody") return polkit.Result.NO;
  }
});
"#;

/// A polkit of the test's own: the package's policy file, and no other.
struct Polkit {
    folder: PathBuf,
    bus: Child,
    daemon: Child,
}

impl Polkit {
    fn start() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("gatebell-polkit-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        let (actions, rules) = (folder.join("actions"), folder.join("rules"));
        for made in [&folder, &actions, &rules] {
            fs::create_dir(made).unwrap();
            fs::set_permissions(made, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let policy = "org.gatebell.firewall.policy";
        let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("../package/gatebell");
        fs::copy(ours.join(policy), actions.join(policy)).unwrap();
        fs::write(rules.join("gatebell.rules"), PERMISSIONS).unwrap();
        let config = folder.join("bus.conf");
        fs::write(&config, BUS.replace("@FOLDER@", &in_bus_address(&folder))).unwrap();
        for read in [
            actions.join(policy),
            rules.join("gatebell.rules"),
            config.clone(),
        ] {
            fs::set_permissions(read, fs::Permissions::from_mode(0o644)).unwrap();
        }
        let mut bus = Command::new("dbus-daemon");
        bus.args(["--nofork", "--nopidfile", "--config-file"])
            .arg(config);
        let bus = bus.stderr(Stdio::null()).spawn().unwrap();
        wait_until("the bus is there", || folder.join("bus").exists());
        // Its folders are fixed: it sees others there, in mounts of its own.
        let mounts = "mount --bind \"$1\" /usr/share/polkit-1/actions && mount --bind \"$2\" /etc/polkit-1/rules.d && \
             exec \"$3\" --no-debug";
        let mut daemon = Command::new("unshare");
        daemon
            .args(["--mount", "sh", "-c", mounts, "sh"])
            .args([&actions, &rules])
            .arg(POLKITD)
            .env(VARIABLE, address(&folder))
            .stdout(Stdio::null());
        let polkit = Self {
            daemon: daemon.spawn().unwrap(),
            folder,
            bus,
        };
        wait_until("polkit answers", || polkit.answers());
        polkit
    }

    fn answers(&self) -> bool {
        let mut question = Command::new("pkaction");
        question.args(["--action-id", "org.gatebell.firewall.change"]);
        question.env(VARIABLE, self.address());
        question.stderr(Stdio::null()).stdout(Stdio::null());
        question.status().unwrap().success()
    }

    fn address(&self) -> String {
        address(&self.folder)
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.daemon.id().try_into().unwrap()), signal).unwrap();
    }
}

impl Drop for Polkit {
    fn drop(&mut self) {
        for process in [&mut self.daemon, &mut self.bus] {
            process.kill().unwrap();
            process.wait().unwrap();
        }
        fs::remove_dir_all(&self.folder).unwrap();
    }
}

const VARIABLE: &str = "DBUS_SYSTEM_BUS_ADDRESS";

fn address(folder: &Path) -> String {
    format!("unix:path={}/bus", in_bus_address(folder))
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "{what}: not in time");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A zone whose service asks at this bus, and whose control socket lets everybody in; and the files of the test's own.
struct Asked {
    zone: Protected,
    log: PathBuf,
    other: PathBuf,
    // Last: the zone uses its folder.
    _own: tempdir::Own,
}

impl Asked {
    fn at(bus: &str) -> Self {
        let own = tempdir::Own::new();
        let (log, other) = (own.0.join("log"), own.0.join("other.toml"));
        fs::write(&other, RULES.replace("ports = 9\n", "ports = 19\n")).unwrap();
        fs::set_permissions(&other, fs::Permissions::from_mode(0o644)).unwrap();
        let file = fs::File::create(&log).unwrap();
        let zone = Protected::with_log(RULES, &[], &[(VARIABLE, bus)], file);
        fs::set_permissions(control(&zone), fs::Permissions::from_mode(0o666)).unwrap();
        Self {
            zone,
            log,
            other,
            _own: own,
        }
    }

    fn user(&self, user: u32) -> Person {
        Person::root(&self.zone).user(user)
    }

    fn apply(&self) -> [&str; 3] {
        ["rules", "apply", self.other.to_str().unwrap()]
    }

    fn generation(&self) -> u64 {
        let status = Person::root(&self.zone).ok(&["status", "--json"]);
        status["rules"]["generation"].as_u64().unwrap()
    }

    /// The processes by which the service asks now.
    fn asking(&self) -> Vec<u32> {
        let service = self.zone.service.process.id();
        let tasks = fs::read_dir(format!("/proc/{service}/task")).unwrap();
        let children = tasks.flatten().filter_map(|task| {
            let children = fs::read_to_string(task.path().join("children")).ok()?;
            Some(
                children
                    .split_whitespace()
                    .filter_map(|pid| pid.parse().ok())
                    .collect(),
            )
        });
        let children = children.flat_map(|children: Vec<u32>| children);
        children.filter(|process| asks_polkit(*process)).collect()
    }
}

/// Returns whether this child of the service's asks polkit: the one that answers rejected packets is another.
fn asks_polkit(process: u32) -> bool {
    let words = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
    words
        .split(|byte| *byte == 0)
        .any(|word| word == b"--action-id")
}

/// A folder that everybody may walk to.
mod tempdir {
    use super::*;

    pub struct Own(pub PathBuf);

    impl Own {
        pub fn new() -> Self {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = format!("gatebell-permission-{}-{number}", std::process::id());
            let folder = std::env::temp_dir().join(name);
            fs::create_dir(&folder).unwrap();
            fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
            Self(folder)
        }
    }

    impl Drop for Own {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }
}

#[test]
fn who_is_permitted_by_polkit_changes_the_rules_and_others_are_told_what_to_do() {
    let polkit = Polkit::start();
    let asked = Asked::at(&polkit.address());
    for (user, why) in [
        (REFUSED, "polkit does not permit it to you"),
        (UNKNOWN, "an administrator's password could give permission"),
    ] {
        let said = asked.user(user).run(&asked.apply());
        assert_eq!(said.code, 1, "{said:?}");
        assert!(
            said.err.contains(why) && said.err.contains("`sudo gatebell rules apply FILE`"),
            "{said:?}"
        );
    }
    assert_eq!(asked.generation(), 1);
    let said = asked.user(PERMITTED).run(&asked.apply());
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(asked.generation(), 2);
    assert!(!super::discard(&asked.zone), "they are in force");
    let said = asked.user(PERMITTED).run(&["rules", "revert"]);
    assert!(
        said.code == 1 && said.err.contains("no lease"),
        "each change is asked about: {said:?}"
    );
    let log = fs::read_to_string(&asked.log).unwrap();
    let line = log
        .lines()
        .find(|line| line.contains("ApplyRules"))
        .unwrap();
    for part in ["games, user 5, process ", ", permitted by polkit: done"] {
        assert!(line.contains(part), "{line}");
    }
    let said = Person::root(&asked.zone).run(&asked.apply());
    assert_eq!(said.code, 0, "{said:?}");
    let log = fs::read_to_string(&asked.log).unwrap();
    assert!(
        log.contains("user 0, process ") && log.contains(", as root: done"),
        "{log}"
    );
}

#[test]
fn without_polkit_it_takes_root_and_says_so() {
    let asked = Asked::at("unix:path=/nonexistent/gatebell");
    let said = asked.user(PERMITTED).run(&asked.apply());
    assert_eq!(said.code, 1, "{said:?}");
    for part in [
        "only root may change the firewall",
        "polkit does not answer",
        "`sudo gatebell rules apply FILE`",
    ] {
        assert!(said.err.contains(part), "{said:?}");
    }
    assert_eq!(asked.generation(), 1);
    assert_eq!(Person::root(&asked.zone).run(&asked.apply()).code, 0);
}

#[test]
fn a_polkit_that_does_not_answer_holds_up_nobody_and_is_waited_for_ten_seconds() {
    let polkit = Polkit::start();
    let asked = Asked::at(&polkit.address());
    polkit.signal(Signal::SIGSTOP);
    let waiting: Vec<_> = (0..3)
        .map(|_| asked.user(PERMITTED).begin(&asked.apply()))
        .collect();
    wait_until("polkit is asked", || asked.asking().len() == 2);
    has_nothing_to_lose(asked.asking()[0]);
    let other = asked.user(REFUSED).begin(&asked.apply());
    wait_until("about another user too", || {
        let parents = asked.asking();
        assert!(parents.len() <= 3, "two of one user");
        parents.iter().any(|asking| is_about(*asking, REFUSED))
    });
    // Meanwhile others and root are served.
    let mut unknown = connect_as(UNKNOWN, &control(&asked.zone)).unwrap();
    assert!(say(&mut unknown, &request("GetStatus", &json!({}))).is_some());
    let text = fs::read_to_string(&asked.other).unwrap();
    asked.zone.ask().apply("root's", &text, None).unwrap();
    assert!(!asked.asking().is_empty(), "meanwhile");
    let said: Vec<_> = waiting
        .into_iter()
        .chain([other])
        .map(|waits| waits.wait_with_output().unwrap())
        .map(|output| String::from_utf8(output.stderr).unwrap())
        .collect();
    let of = |why: &str| said.iter().filter(|said| said.contains(why)).count();
    let ended = of("nobody gave permission within 10 s");
    let too_many = of("changes of yours wait for permission already");
    // On a slow machine the third comes when the first has ended.
    assert!(ended >= 3 && ended + too_many == 4, "{said:?}");
    wait_until("nobody is left", || asked.asking().is_empty());
    assert_eq!(asked.generation(), 2, "root's, and nobody else's");
    polkit.signal(Signal::SIGCONT);
    assert_eq!(asked.user(PERMITTED).run(&asked.apply()).code, 0);
    all_is_well_with(&asked);
}

fn all_is_well_with(asked: &Asked) {
    fs::write(&asked.other, RULES).unwrap();
    assert_eq!(Person::root(&asked.zone).run(&asked.apply()).code, 0);
    all_is_well(&asked.zone);
}

/// Returns whether this process asks about a process of that user's.
fn is_about(process: u32, user: u32) -> bool {
    let words = fs::read_to_string(format!("/proc/{process}/cmdline")).unwrap_or_default();
    words
        .split('\0')
        .any(|word| word.ends_with(&format!(",{user}")))
}

/// Checks that a process which asks polkit has no capability, no descriptor of the service's, and nothing of its
/// environment.
fn has_nothing_to_lose(process: u32) {
    let of = |what: &str| fs::read_to_string(format!("/proc/{process}/{what}")).unwrap();
    let status = of("status");
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert!(
            status.contains(&format!("{set}:\t0000000000000000")),
            "{status}"
        );
    }
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    let environment = of("environ");
    let mut names: Vec<_> = environment
        .split_terminator('\0')
        .filter_map(|variable| Some(variable.split_once('=')?.0))
        .collect();
    names.sort_unstable();
    assert_eq!(names, [VARIABLE, "LC_ALL"]);
    // What its loader has open is closed again; what it was handed by the service would stay.
    wait_until("it has nothing open but what is its own", || {
        let open = fs::read_dir(format!("/proc/{process}/fd")).unwrap();
        let leads: Vec<_> = open
            .flatten()
            .map(|file| fs::read_link(file.path()).unwrap_or_default())
            .collect();
        let its_own = ["/dev/null", "pipe:", "socket:", "anon_inode:[event"];
        let is_its_own = |leads: &PathBuf| {
            let leads = leads.to_string_lossy();
            its_own.iter().any(|own| leads.starts_with(own))
        };
        // One that has ended has none.
        !leads.is_empty() && leads.iter().all(is_its_own)
    });
}

#[test]
fn who_hangs_up_before_there_is_permission_has_changed_nothing() {
    let polkit = Polkit::start();
    let asked = Asked::at(&polkit.address());
    polkit.signal(Signal::SIGSTOP);
    let mut gone = asked.user(PERMITTED).begin(&asked.apply());
    wait_until("polkit is asked", || asked.asking().len() == 1);
    let begun = Instant::now();
    gone.kill().unwrap();
    gone.wait().unwrap();
    wait_until("it is asked no longer", || asked.asking().is_empty());
    // Not a speed: after ten seconds it would have ended by itself.
    assert!(
        begun.elapsed() < Duration::from_secs(9),
        "the end of the peer ends it"
    );
    polkit.signal(Signal::SIGCONT);
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(asked.generation(), 1);
    all_is_well(&asked.zone);
}
