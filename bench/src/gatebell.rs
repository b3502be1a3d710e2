//! The service under measurement, and apps that read what its driver says.

use crate::ground::{Ground, go_on, pin, until};
use anyhow::{Context, Result, bail};
use channel::sys::linux::Linux;
use channel::{Account, Attachment, Item, Mask, Pace, Record};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{Signal, kill};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Lines};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Paths of the built programs.
#[derive(Clone, clap::Args)]
pub struct Programs {
    /// The service
    #[arg(long)]
    pub service: PathBuf,
    /// The window
    #[arg(long)]
    pub app: PathBuf,
    /// The command line
    #[arg(long)]
    pub cli: PathBuf,
    /// The driver's object
    #[arg(long)]
    pub driver: PathBuf,
    /// The object of the driver that only makes records
    #[arg(long)]
    pub channel_driver: PathBuf,
    /// Folder of the unpacked competitors
    #[arg(long)]
    pub peers: PathBuf,
}

/// The running service. Dropped, it is asked to end, and made to.
pub struct Gatebell {
    child: Child,
    says: Lines<BufReader<ChildStdout>>,
    rules: PathBuf,
    socket: PathBuf,
    control: PathBuf,
    /// The number of the rules in force.
    generation: u64,
}

impl Gatebell {
    /// Starts it with these rules, and waits until they are in force.
    pub fn start(programs: &Programs, ground: &Ground, rules: &str) -> Result<Self> {
        // Each figure says which apps the driver tells; who keeps a history is one more.
        Self::keeping(programs, ground, rules, None)
    }

    /// Starts the service with these rules; it keeps a history in a folder, if one is given.
    pub fn keeping(
        programs: &Programs,
        ground: &Ground,
        rules: &str,
        history: Option<&Path>,
    ) -> Result<Self> {
        go_on()?;
        let folder = ground.lab.folder();
        let (file, socket) = (folder.join("figures.toml"), folder.join("figures.sock"));
        let control = folder.join("figures.control");
        fs::write(&file, rules)?;
        let mut command = Command::new(&programs.service);
        command.arg("--zone-netns").arg(ground.netns());
        command
            .arg("--zone-cgroup")
            .arg(ground.lab.cgroup())
            .arg("--rules")
            .arg(&file);
        command
            .arg("--socket")
            .arg(&socket)
            .arg("--driver")
            .arg(&programs.driver);
        // What outlives it goes when it ends: the ground is used again without it.
        command
            .arg("--pins")
            .arg(ground.lab.pins())
            .arg("--leave-nothing");
        match history {
            None => command.args(["--history-days", "0"]),
            Some(kept) => command
                .args(["--history-days", "90", "--history-size", "16GiB", "--kept"])
                .arg(kept),
        };
        command.arg("--state").arg(folder.join("figures.state"));
        command.arg("--control").arg(&control);
        let messages = fs::File::create(folder.join("figures.log"))?;
        let command = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(messages);
        let mut child = command.spawn().context("can't start the service")?;
        let out = child.stdout.take().context("the service has no output")?;
        let says = BufReader::new(out).lines();
        let mut gatebell = Self {
            child,
            says,
            rules: file,
            socket,
            control,
            generation: 0,
        };
        match gatebell.hear("ready") {
            Ok(said) => gatebell.generation = said["generation"].as_u64().unwrap_or(0),
            Err(_) => bail!("the service did not start: {}", gatebell.complaint()),
        }
        Ok(gatebell)
    }

    /// Puts other rules in force, and returns how long it took from the request to the answer.
    pub fn publish(&mut self, rules: &str) -> Result<Duration> {
        fs::write(&self.rules, rules)?;
        let start = Instant::now();
        self.signal(Signal::SIGHUP);
        let said = self.hear("reloaded")?;
        let took = start.elapsed();
        let generation = said["reloaded"].as_u64().unwrap_or(0);
        if generation == self.generation {
            bail!("the service did not take the rules: {}", self.complaint());
        }
        self.generation = generation;
        Ok(took)
    }

    /// The last line of what the service says to people.
    fn complaint(&self) -> String {
        let said = fs::read_to_string(self.rules.with_extension("log")).unwrap_or_default();
        said.trim()
            .lines()
            .last()
            .unwrap_or("it says nothing")
            .to_owned()
    }

    /// The socket at which apps attach.
    pub fn device(&self) -> &Path {
        &self.socket
    }

    /// The socket at which it is asked.
    pub fn control(&self) -> &Path {
        &self.control
    }

    /// The service's process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns the kernel's identifiers of the service's eBPF programs.
    pub fn programs(&self) -> BTreeSet<u32> {
        let texts = descriptors(self.pid());
        let id = |text: &String| {
            let mut lines = text.lines();
            lines.find_map(|line| line.strip_prefix("prog_id:")?.trim().parse().ok())
        };
        texts.iter().filter_map(id).collect()
    }

    /// Attaches an app.
    pub fn attach(&self, mask: Mask, pace: Pace, ring_bytes: u32) -> Result<Attachment<Linux>> {
        let attached = channel::open(&self.socket)?.attach(ring_bytes, mask)?;
        Ok(attached.with_pace(pace))
    }

    fn signal(&self, which: Signal) {
        if let Ok(id) = i32::try_from(self.child.id()) {
            // Gone already: whoever waits for its answer will notice.
            let _gone = kill(Pid::from_raw(id), which);
        }
    }

    /// The next line that says this.
    fn hear(&mut self, what: &str) -> Result<Value> {
        for line in self.says.by_ref() {
            let line: Value =
                serde_json::from_str(&line?).context("the service speaks otherwise")?;
            if line.get(what).is_some() {
                return Ok(line);
            }
        }
        bail!("the service has ended")
    }
}

impl Drop for Gatebell {
    fn drop(&mut self) {
        self.signal(Signal::SIGTERM);
        let child = &mut self.child;
        let _soon = until(Duration::from_secs(5), || {
            !matches!(child.try_wait(), Ok(None))
        });
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// An app in a thread of its own, which counts. What else it does with a record is `S`'s.
pub struct App<S> {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Heard<S>>>,
}

/// Result of an app's reading.
pub struct Heard<S> {
    /// Time of the last record, in nanoseconds of the records' clock, or 0 if there was none.
    pub last_ns: u64,
    /// Both sides' books.
    pub account: Account,
    /// Resources that the app's thread took.
    pub spent: Spent,
    /// State that `each` made of the records.
    pub state: S,
}

/// Time without records after which none are expected any more.
const QUIET: Duration = Duration::from_millis(50);

impl<S: Send + 'static> App<S> {
    /// Starts to read, on one processor if that is asked for.
    pub fn start(
        attachment: Attachment<Linux>,
        processor: Option<usize>,
        state: S,
        each: fn(&mut S, &Record<'_>),
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let asked = stop.clone();
        let thread = std::thread::spawn(move || {
            if let Some(processor) = processor {
                pin(processor)?;
            }
            read(attachment, &asked, state, each)
        });
        Self { stop, thread }
    }

    /// Lets it read what is still there, and returns what it has heard.
    pub fn stop(self) -> Result<Heard<S>> {
        // Pairs with the acquire load in `read`; nothing but the wish itself is handed over.
        self.stop.store(true, Ordering::Release);
        self.thread
            .join()
            .unwrap_or_else(|_| bail!("an app that measures has panicked"))
    }
}

fn read<S>(
    mut attachment: Attachment<Linux>,
    stop: &AtomicBool,
    mut state: S,
    each: fn(&mut S, &Record<'_>),
) -> Result<Heard<S>> {
    let (mut last_ns, before) = (0, Spent::by_this_thread()?);
    loop {
        let ending = stop.load(Ordering::Acquire);
        attachment.wait(Some(QUIET))?;
        let drained = attachment.drain(|item| {
            if let Item::Record(record) = item {
                each(&mut state, &record);
            }
        })?;
        if drained.records > 0 {
            last_ns = now_ns();
        } else if ending {
            break;
        }
    }
    Ok(Heard {
        last_ns,
        account: attachment.account()?,
        spent: Spent::by_this_thread()?.since(before),
        state,
    })
}

/// Resources that a thread took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Spent {
    /// Nanoseconds of a processor.
    pub processor_ns: u64,
    /// Number of times that the thread slept and was woken.
    pub wakes: u64,
}

impl Spent {
    /// Returns the resources that the calling thread took so far.
    pub fn by_this_thread() -> Result<Self> {
        let usage = getrusage(UsageWho::RUSAGE_THREAD).context("the kernel counts no switches")?;
        Ok(Self {
            processor_ns: nanoseconds(ClockId::CLOCK_THREAD_CPUTIME_ID),
            wakes: usage.voluntary_context_switches().unsigned_abs(),
        })
    }

    /// Since then.
    pub const fn since(self, before: Self) -> Self {
        Self {
            processor_ns: self.processor_ns - before.processor_ns,
            wakes: self.wakes - before.wakes,
        }
    }
}

/// Now, on the clock of the records' stamps.
pub fn now_ns() -> u64 {
    nanoseconds(ClockId::CLOCK_BOOTTIME)
}

/// Now, on that clock.
pub fn nanoseconds(clock: ClockId) -> u64 {
    let now = clock_gettime(clock).map_or(Duration::ZERO, Duration::from);
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}

/// Bytes of BPF maps and programs that a process holds, as the kernel accounts for them.
pub fn kernel_bytes(pid: u32) -> u64 {
    // A map or a program may have several descriptors.
    let mut seen = BTreeMap::new();
    for text in descriptors(pid) {
        let value = |name: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
        };
        let id: Option<u64> =
            value("map_id:").or_else(|| value("prog_id:").map(|id: u64| id | 1 << 32));
        if let (Some(id), Some(bytes)) = (id, value("memlock:")) {
            seen.insert(id, bytes);
        }
    }
    seen.values().sum()
}

/// Returns the kernel's text (`fdinfo`) about each descriptor of a process.
fn descriptors(pid: u32) -> Vec<String> {
    let entries = Path::new("/proc").join(pid.to_string()).join("fdinfo");
    let entries = entries.read_dir().into_iter().flatten().flatten();
    entries
        .filter_map(|entry| fs::read_to_string(entry.path()).ok())
        .collect()
}
