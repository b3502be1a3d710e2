//! Network namespaces for the measurements: the lab of `cargo xtask run` without its judge, whose rules would cost
//! time.

use anyhow::{Context, Result, bail};
use lab::{DEVICE, Lab};
use nix::sched::{CloneFlags, CpuSet, sched_setaffinity, setns};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::de::DeserializeOwned;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::fs::File;
use std::io::{BufRead, BufReader, Lines, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Two namespaces joined by a device pair, with nothing in them.
pub struct Ground {
    /// The lab. It goes last.
    pub lab: Lab,
}

/// The device on the other side.
pub const FAR_DEVICE: &str = "gb1";

impl Ground {
    /// Makes it.
    pub fn make() -> Result<Self> {
        let ground = Self { lab: Lab::build()? };
        for side in [true, false] {
            ground.done(side, &["nft", "flush", "ruleset"])?;
            // Many short connections from one address, one after the other.
            let wide = "echo 1024 65535 > /proc/sys/net/ipv4/ip_local_port_range; \
                        echo 1 > /proc/sys/net/ipv4/tcp_tw_reuse; \
                        echo 8192 > /proc/sys/net/ipv4/tcp_max_syn_backlog; echo 8192 > /proc/sys/net/core/somaxconn";
            ground.done(side, &["sh", "-c", wide])?;
        }
        Ok(ground)
    }

    /// A program inside the zone or outside of it.
    pub fn program(&self, inside: bool, words: &[&str]) -> Command {
        if inside {
            self.lab.inside(words)
        } else {
            self.lab.outside(words)
        }
    }

    /// Runs a program to its end, which has to be a good one.
    pub fn done(&self, inside: bool, words: &[&str]) -> Result<String> {
        let done = self.program(inside, words).stdin(Stdio::null()).output();
        text(
            words,
            &done.with_context(|| format!("can't start {}", words.join(" ")))?,
        )
    }

    /// One of our own loads, on that side; what it says at its end.
    pub fn load<T: DeserializeOwned>(&self, inside: bool, words: &[&str]) -> Result<T> {
        go_on()?;
        let ourselves = ourselves()?;
        let words = [&[ourselves.as_str(), "load"], words].concat();
        let said = self.done(inside, &words)?;
        serde_json::from_str(&said)
            .with_context(|| format!("{} speaks otherwise: {said}", words.join(" ")))
    }

    /// One of our own loads that serves another one.
    pub fn serve(&self, inside: bool, words: &[&str]) -> Result<Server> {
        let ourselves = ourselves()?;
        Server::start(&mut self.program(inside, &[&[ourselves.as_str(), "load"], words].concat()))
    }

    /// One of our own loads that does what it is told, line by line.
    pub fn converse(&self, inside: bool, words: &[&str]) -> Result<Dialogue> {
        let ourselves = ourselves()?;
        let words = [&[ourselves.as_str(), "load"], words].concat();
        let mut command = self.program(inside, &words);
        let (mut server, says) = Server::that_says(command.stdin(Stdio::piped()))?;
        let tell = server.0.stdin.take();
        Ok(Dialogue {
            tell: tell.context("a load has no input")?,
            says,
            _server: server,
        })
    }

    /// Turns the devices' offloads on or off: without them each packet goes by itself.
    pub fn offload(&self, on: bool) -> Result<()> {
        let how = if on { "on" } else { "off" };
        for (inside, device) in [(true, DEVICE), (false, FAR_DEVICE)] {
            let cut = [
                "tso",
                how,
                "gso",
                how,
                "gro",
                how,
                "tx-udp-segmentation",
                how,
            ];
            self.done(inside, &[&["ethtool", "-K", device], &cut[..]].concat())?;
        }
        Ok(())
    }

    /// Packets that have come out of the pair on the other side.
    pub fn arrived(&self) -> Result<u64> {
        let said = self.done(false, &["ip", "-j", "-s", "link", "show", FAR_DEVICE])?;
        let said: serde_json::Value = serde_json::from_str(&said).context("ip speaks otherwise")?;
        said[0]["stats64"]["rx"]["packets"]
            .as_u64()
            .context("ip counts no packets")
    }

    /// The zone's network namespace.
    pub fn netns(&self) -> PathBuf {
        self.lab.netns()
    }
}

/// Set by Ctrl-C.
static INTERRUPTED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// Installs signal handlers: Ctrl-C ends a measurement at its next step, and what was made is taken down.
pub fn watch_for_the_end() -> Result<()> {
    let flag = INTERRUPTED.get_or_init(Arc::default);
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, flag.clone())?;
    }
    Ok(())
}

/// An error once that has come.
pub fn go_on() -> Result<()> {
    if INTERRUPTED
        .get()
        .is_some_and(|flag| flag.load(Ordering::Acquire))
    {
        bail!("interrupted");
    }
    Ok(())
}

/// Returns the path of this program.
pub fn ourselves() -> Result<String> {
    Ok(std::env::current_exe()?.to_string_lossy().into_owned())
}

fn text(words: &[&str], done: &Output) -> Result<String> {
    if !done.status.success() {
        bail!(
            "{} failed: {}",
            words.join(" "),
            String::from_utf8_lossy(&done.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}

/// A thread in the zone's network namespace, and on one processor if that is asked for.
pub fn thread_in<T: Send + 'static>(
    netns: &Path,
    processor: Option<usize>,
    what: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<JoinHandle<Result<T>>> {
    let netns = File::open(netns).with_context(|| format!("can't open {}", netns.display()))?;
    Ok(std::thread::spawn(move || {
        setns(netns, CloneFlags::CLONE_NEWNET)
            .context("can't enter the zone's network namespace")?;
        if let Some(processor) = processor {
            pin(processor)?;
        }
        what()
    }))
}

/// Keeps this thread on one processor, if the machine has that many.
pub fn pin(processor: usize) -> Result<()> {
    let there = std::thread::available_parallelism().map_or(1, usize::from);
    let mut set = CpuSet::new();
    set.set(processor % there)?;
    sched_setaffinity(Pid::from_raw(0), &set).context("can't stay on one processor")
}

/// Takes what a thread came to.
pub fn join<T>(thread: JoinHandle<Result<T>>) -> Result<T> {
    thread
        .join()
        .unwrap_or_else(|_| bail!("a thread that measures has panicked"))
}

/// A program that runs beside. Dropped, it is asked to end, and made to.
pub struct Server(pub Child);

impl Server {
    /// Starts it; what it says is not wanted.
    pub fn start(command: &mut Command) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let command = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
            .spawn()
            .map(Self)
            .with_context(|| format!("can't start {name}"))
    }

    /// Starts it; what it says is read line by line. Whether it has an input is the caller's to say.
    pub fn that_says(command: &mut Command) -> Result<(Self, Lines<BufReader<ChildStdout>>)> {
        let name = command.get_program().to_string_lossy().into_owned();
        let command = command.stdout(Stdio::piped()).stderr(Stdio::null());
        let child = command.spawn();
        let mut server = child
            .map(Self)
            .with_context(|| format!("can't start {name}"))?;
        let says = server.0.stdout.take();
        let says = says.with_context(|| format!("{name} has no output"))?;
        Ok((server, BufReader::new(says).lines()))
    }

    /// Returns whether the process still runs.
    pub fn runs(&mut self) -> bool {
        matches!(self.0.try_wait(), Ok(None))
    }

    /// Sends it a signal.
    pub fn signal(&self, which: Signal) {
        if let Ok(id) = i32::try_from(self.0.id()) {
            // Gone already: nothing to ask for.
            let _gone = kill(Pid::from_raw(id), which);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.runs() {
            self.signal(Signal::SIGTERM);
            let _soon = until(Duration::from_secs(3), || !self.runs());
            let _ended = self.0.kill();
        }
        let _reaped = self.0.wait();
    }
}

/// A load that does what it is told, and says what came of it. Dropped, it ends.
pub struct Dialogue {
    tell: ChildStdin,
    says: Lines<BufReader<ChildStdout>>,
    _server: Server,
}

impl Dialogue {
    /// Tells it what to do, and hears what it says.
    pub fn ask<T: DeserializeOwned>(&mut self, line: &str) -> Result<T> {
        writeln!(self.tell, "{line}").context("a load has ended")?;
        self.hear()
    }

    /// Reads the next line of the load's output, as JSON.
    pub fn hear<T: DeserializeOwned>(&mut self) -> Result<T> {
        let said = self.says.next().context("a load has ended")??;
        serde_json::from_str(&said).with_context(|| format!("a load speaks otherwise: {said}"))
    }
}

/// Waits until something is so, not longer than `most`.
pub fn until(most: Duration, mut so: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + most;
    while Instant::now() < end {
        if so() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    so()
}
