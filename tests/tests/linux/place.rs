//! Place where the tests of `linux.rs` run: a started driver, control groups and processes of their own.

use channel::Device;
use channel::server::Policy;
use channel::sys::linux::{Linux, socket};
use gatebell_tests::PATIENCE;
use sample_host::{Config, Sample};
use std::fmt::Display;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

static NEXT: AtomicU32 = AtomicU32::new(0);

fn unique(what: &str) -> String {
    format!(
        "gatebell-test-{}-{}{what}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    )
}

/// Folder of a test's own. Dropping it removes it with all that is in it.
pub struct Folder(PathBuf);

impl Folder {
    pub fn make() -> Self {
        let path = std::env::temp_dir().join(unique(""));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What can't be taken away is not what a test is about.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A driver that was built.
pub fn object(name: &str) -> PathBuf {
    let clone = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/drivers");
    let folder = std::env::var_os("GATEBELL_DRIVERS").map_or(clone, PathBuf::from);
    folder.join(name).with_extension("bpf.o")
}

/// Started driver of the sample. Dropping it stops it.
pub struct Host {
    pub socket: PathBuf,
    pub records_may_overlap: bool,
    stop: OwnedFd,
    serving: Option<JoinHandle<()>>,
}

impl Host {
    pub fn start(zone: Option<&Zone>) -> Self {
        Self::start_with(zone, Policy::default().share_of)
    }

    /// Starts a host whose policy counts users as one share by this function.
    pub fn start_with(zone: Option<&Zone>, share_of: fn(u32) -> u32) -> Self {
        let socket = std::env::temp_dir().join(unique(".sock"));
        let policy = Policy {
            mode: 0o666,
            share_of,
            ..Policy::default()
        };
        let zone = zone.map(|zone| zone.path().to_owned());
        let mut sample = Sample::start(&Config {
            object: object("gatebell_sample"),
            socket: socket.clone(),
            zone,
            policy,
        })
        .unwrap_or_else(|error| panic!("{error}: {error:?}"));
        let records_may_overlap = sample.server().records_may_overlap();
        // SAFETY: no preconditions.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        // SAFETY: the kernel has just made it for us.
        let stop = unsafe { OwnedFd::from_raw_fd(fd) };
        let told = stop.try_clone().unwrap();
        let serving = std::thread::spawn(move || {
            while !readable(&told) {
                sample.turn(told.as_fd()).unwrap();
            }
        });
        Self {
            socket,
            records_may_overlap,
            stop,
            serving: Some(serving),
        }
    }

    pub fn open(&self) -> Device<Linux> {
        open(self.socket.to_str().unwrap())
    }

    /// A bare connection, greeted.
    pub fn line(&self) -> OwnedFd {
        line(&self.socket)
    }

    /// The driver's command program.
    pub fn program(&self) -> OwnedFd {
        greeted(&self.socket).1
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let mut stop = std::fs::File::from(self.stop.try_clone().unwrap());
        stop.write_all(&1_u64.to_ne_bytes()).unwrap();
        let ended = self.serving.take().map(JoinHandle::join);
        assert!(
            std::thread::panicking() || ended.is_some_and(|ended| ended.is_ok()),
            "the host failed"
        );
    }
}

fn readable(fd: &OwnedFd) -> bool {
    let mut entry = libc::pollfd {
        fd: fd.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: one entry, as said.
    unsafe { libc::poll(&raw mut entry, 1, 0) > 0 }
}

pub fn open(socket: &str) -> Device<Linux> {
    Device::open(socket).unwrap()
}

/// The reader's page of a ring, mapped, with no descriptor of the ring. Dropped, it is unmapped.
pub struct Page(*mut libc::c_void);

const PAGE: usize = 4096;

impl Page {
    pub fn of(ring: BorrowedFd<'_>) -> Self {
        let (rights, fd) = (libc::PROT_READ | libc::PROT_WRITE, ring.as_raw_fd());
        // SAFETY: a new mapping, at a place of the kernel's choice.
        let page =
            unsafe { libc::mmap(std::ptr::null_mut(), PAGE, rights, libc::MAP_SHARED, fd, 0) };
        assert_ne!(page, libc::MAP_FAILED);
        Self(page)
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: mapped by `of`, and nobody reads it.
        unsafe { libc::munmap(self.0, PAGE) };
    }
}

/// Asks until a condition holds, and fails if it does not in time.
pub fn within(limit: Duration, mut so: impl FnMut() -> bool) {
    let end = Instant::now() + limit;
    while !so() {
        assert!(Instant::now() < end, "not within {limit:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A control group of a test's own.
pub struct Zone(PathBuf);

impl Zone {
    pub fn make() -> Self {
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
        let mut lines = mounts
            .lines()
            .map(|line| line.split(' ').collect::<Vec<_>>());
        let mount = lines
            .find(|line| line[2] == "cgroup2")
            .expect("cgroup2 is mounted");
        let path = Path::new(mount[1]).join(unique(""));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Zone {
    fn drop(&mut self) {
        // A process that has just ended may still count for a moment.
        within(PATIENCE, || std::fs::remove_dir(&self.0).is_ok());
    }
}

/// A bare connection to a device server, greeted.
pub fn line(path: &Path) -> OwnedFd {
    greeted(path).0
}

fn greeted(path: &Path) -> (OwnedFd, OwnedFd) {
    // SAFETY: no preconditions.
    let fd = unsafe { libc::socket(libc::AF_UNIX, libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC, 0) };
    // SAFETY: the kernel has just made it for us.
    let line = unsafe { OwnedFd::from_raw_fd(fd) };
    let (address, length) = channel::sys::linux::address(path).unwrap();
    // SAFETY: an initialised address and its length.
    let connected = unsafe { libc::connect(fd, (&raw const address).cast(), length) };
    assert_eq!(connected, 0);
    let greeting = socket::receive(line.as_fd(), 0, 0).unwrap().unwrap();
    (line, greeting.descriptors.into_iter().next().unwrap())
}

/// A process of a test's own: this program in a role. Dropped, it is killed.
pub struct Child {
    process: std::process::Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Child {
    pub fn start(role: &str, host: &Host) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["child", "--exact", "--nocapture", "--test-threads=1"])
            .env("GATEBELL_CHILD", role)
            .env("GATEBELL_DEVICE", &host.socket)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = process.stdin.take().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        Self {
            process,
            input,
            output,
        }
    }

    /// The value that the child says for `key`.
    pub fn says(&mut self, key: &str) -> String {
        let start = format!("{key}: ");
        let mut line = String::new();
        while self.output.read_line(&mut line).unwrap() > 0 {
            if let Some((_, value)) = line.trim_end().split_once(&start) {
                return value.to_owned();
            }
            line.clear();
        }
        panic!("the child did not say {key:?}");
    }

    /// Says to the child that it goes on.
    pub fn goes_on(&mut self) {
        self.input.write_all(b"\n").unwrap();
    }

    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    pub fn ends_well(&mut self) {
        assert!(self.process.wait().unwrap().success());
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Waits, in a child, until the test says that it goes on.
pub fn wait_for_word() {
    let _word = std::io::stdin().read_line(&mut String::new()).unwrap();
}

/// Returns the time that this process has kept processors busy.
pub fn busy() -> Duration {
    // SAFETY: a plain C struct, for which zero is a valid value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: room for what is asked for.
    let got = unsafe { libc::getrusage(libc::RUSAGE_SELF, &raw mut usage) };
    assert_eq!(got, 0);
    let time = |time: libc::timeval| {
        Duration::from_secs(time.tv_sec as u64) + Duration::from_micros(time.tv_usec as u64)
    };
    time(usage.ru_utime) + time(usage.ru_stime)
}

/// Tells the test something, from a child.
pub fn say(key: &str, value: impl Display) {
    println!("{key}: {value}");
}

/// Becomes, in a child, a user without rights.
pub fn become_user(number: u32) {
    // SAFETY: no groups are given, so none are read.
    assert_eq!(unsafe { libc::setgroups(0, std::ptr::null()) }, 0);
    // SAFETY: no preconditions.
    assert_eq!(unsafe { libc::setgid(number) }, 0);
    // SAFETY: no preconditions.
    assert_eq!(unsafe { libc::setuid(number) }, 0);
}

/// Joins the control group, in a child, then runs this program once more, in no role.
pub fn exec_in(zone: &str) {
    let pid = std::process::id();
    std::fs::write(Path::new(zone).join("cgroup.procs"), pid.to_string()).unwrap();
    say("pid", pid);
    let program = std::env::current_exe().unwrap();
    let error = Command::new(program)
        .args(["child", "--exact"])
        .env_remove("GATEBELL_CHILD")
        .exec();
    panic!("{error}");
}
