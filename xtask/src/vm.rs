//! The emulated machine: a kernel of Debian's under qemu, with nothing of this machine in it but copies of the files
//! that a job needs. It is where an older verifier is tried, and where the main job runs when this machine's kernel
//! refuses BPF or namespaces.
//!
//! Rules that hold here: nothing is installed on this machine (the kernel's package is only unpacked); the machine
//! has no network card; it ends by itself, also when whoever started it is killed.

mod archive;
mod debian;
mod files;
mod init;
pub mod kernel;
mod modules;
mod systemd;

use std::fs;
use std::io::{self, IsTerminal, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::interrupt::Interrupt;
use crate::place;
use debian::Disk;
pub use init::quoted;
use kernel::{Kernel, KernelLine, LINES};

/// Files, command and system of an emulated machine.
pub struct Machine {
    /// Files to copy in, each to the very path it has here. Programs bring their shared libraries along.
    pub files: Vec<PathBuf>,
    /// Variables of the command's environment.
    pub environment: Vec<(String, String)>,
    /// Working directory of the command; made if it is not there.
    pub directory: PathBuf,
    /// The command and its arguments.
    pub command: Vec<String>,
    /// The machine is ended after this long.
    pub timeout: Duration,
    /// System around the command.
    pub system: System,
    /// Line of kernels that the machine boots from.
    pub kernel: &'static KernelLine,
}

/// System of a machine, beside its kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    /// No system: only the files that were brought along.
    Bare,
    /// A Debian under systemd on a disk. The command is a service of it. If it ends with [`REBOOT`], the machine is
    /// rebooted in the way of its system and the command is started again; the disk is as it was left.
    Debian(&'static Disk),
}

/// The exit code with which a command under systemd asks to be started again after a reboot.
pub const REBOOT: i32 = 194;

/// A command that wants to be started again more often than this goes round in circles.
const REBOOTS: usize = 8;

/// Result of an emulated machine's run.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The command ended with this exit code.
    Exited(i32),
    /// The command was still running at the end of its time.
    TimedOut,
    /// The machine stopped without a word: its console says why.
    Crashed {
        /// The console's last lines.
        console: String,
    },
}

impl Outcome {
    /// The command's exit code; no such code is an error that says why.
    pub fn code(self) -> Result<i32> {
        match self {
            Self::Exited(code) => Ok(code),
            Self::TimedOut => bail!("the emulated machine was ended: its time was over"),
            Self::Crashed { console } => {
                bail!("the emulated machine ended without a word; its console said:\n{console}")
            }
        }
    }
}

/// Number of times that a machine is booted before it counts as one that does not start.
const BOOTS: usize = 3;

/// Programs that every machine brings along, beside busybox: where busybox has its own
/// small one, the real one is meant.
const PROGRAMS: [&str; 10] = [
    "bash", "ip", "tc", "nft", "unshare", "nsenter", "timeout", "env", "curl", "wg",
];

impl Machine {
    /// A machine that runs `command` with no files of its own.
    pub fn new(command: Vec<String>) -> Self {
        Self {
            files: Vec::new(),
            environment: Vec::new(),
            directory: PathBuf::from("/root"),
            command,
            timeout: Duration::from_secs(170),
            system: System::Bare,
            kernel: &LINES[0],
        }
    }

    /// Puts a whole Debian under systemd around the command, and takes that Debian's kernel.
    pub fn with_debian(self) -> Self {
        self.on(&debian::ALONE)
    }

    /// Puts a whole Debian under systemd around the command, with what people run beside a firewall: Podman, libvirt's
    /// network, WireGuard.
    pub fn with_debian_and_guests(self) -> Self {
        self.on(&debian::WITH_GUESTS)
    }

    fn on(mut self, disk: &'static Disk) -> Self {
        self.system = System::Debian(disk);
        let own = LINES.iter().find(|line| line.suite == debian::SUITE);
        self.kernel = own.unwrap_or(self.kernel);
        self
    }
}

/// Boots a machine, runs its command with our standard input and output, and waits for its end.
///
/// Ctrl-C goes to the command inside; a second one ends the machine.
pub fn run(machine: &Machine) -> Result<Outcome> {
    let kernel = machine.kernel.prepare()?;
    let folder = RunFolder::new()?;
    let image = folder.path("initramfs");
    write_image(machine, &kernel, &image).context("writing the emulated machine's file system")?;
    let disk = match machine.system {
        System::Bare => None,
        System::Debian(disk) => {
            let copy = folder.path("disk");
            debian::copy(&debian::prepare(disk)?, &copy)?;
            Some(copy)
        }
    };
    let end = Instant::now() + machine.timeout;
    let parts = Parts {
        kernel: &kernel.image,
        image: &image,
        disk: disk.as_deref(),
    };
    for _ in 0..=REBOOTS {
        match folder.run(&parts, end)? {
            Outcome::Exited(REBOOT) if machine.system != System::Bare => folder.forget()?,
            other => return Ok(other),
        }
    }
    bail!("the command asked for more than {REBOOTS} reboots")
}

/// Parts that a machine is booted from.
struct Parts<'a> {
    kernel: &'a Path,
    image: &'a Path,
    disk: Option<&'a Path>,
}

fn write_image(machine: &Machine, kernel: &Kernel, image: &Path) -> Result<()> {
    let mut archive = archive::Archive::create(image)?;
    archive.skeleton()?;
    let (init, brought) = match machine.system {
        System::Bare => (init::script(machine), Path::new("")),
        System::Debian(_) => (systemd::script(machine), Path::new(systemd::BROUGHT)),
    };
    archive.file("init", init.as_bytes(), 0o755)?;
    archive.file(
        "command",
        init::command(machine, io::stdout().is_terminal()).as_bytes(),
        0o755,
    )?;
    let busybox = place::program("busybox").context("busybox is missing: cargo xtask setup vm")?;
    archive.file("busybox/busybox", &fs::read(busybox)?, 0o755)?;
    let mut order = String::new();
    for module in modules::in_order(&kernel.modules)? {
        archive.file(
            &format!("modules/{}.ko", module.name),
            &module.content,
            0o644,
        )?;
        order.push_str(&module.name);
        order.push('\n');
    }
    archive.file("modules/order", order.as_bytes(), 0o644)?;
    let wanted = machine.files.iter().cloned();
    let files = match machine.system {
        System::Bare => {
            let programs = PROGRAMS.iter().filter_map(|name| place::program(name));
            files::with_libraries(programs.chain(wanted))?
        }
        // Debian has its own.
        System::Debian(_) => files::without_libraries(wanted)?,
    };
    for file in files {
        archive.copy(&file, brought)?;
    }
    archive.finish()
}

/// A folder of one run, removed at its end.
struct RunFolder(PathBuf);

impl RunFolder {
    fn new() -> Result<Self> {
        let folder = place::machine().join(format!("run-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        Ok(Self(folder))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Boots until the command was started, and waits for its end.
    fn run(&self, parts: &Parts, end: Instant) -> Result<Outcome> {
        let mut outcome = self.run_once(parts, end)?;
        for _ in 1..BOOTS {
            // On a busy host the emulated clock may stand still long enough for the kernel to
            // give up before it has started.
            if !matches!(outcome, Outcome::Crashed { .. }) || self.started() {
                break;
            }
            eprintln!("vm: the machine did not start; booting it again");
            outcome = self.run_once(parts, end)?;
        }
        Ok(outcome)
    }

    fn run_once(&self, parts: &Parts, end: Instant) -> Result<Outcome> {
        let mut machine = RunningMachine::boot(parts, self)?;
        if machine.wait(end)? {
            self.outcome()
        } else {
            Ok(Outcome::TimedOut)
        }
    }

    /// Removes the end and the start of the last boot: the next boot has its own.
    fn forget(&self) -> Result<()> {
        fs::remove_file(self.path("exit"))?;
        Ok(fs::remove_file(self.path("console"))?)
    }

    /// Returns whether the command was started: it must not be run twice.
    fn started(&self) -> bool {
        let console = fs::read(self.path("console")).unwrap_or_default();
        String::from_utf8_lossy(&console).contains(init::STARTED)
    }

    /// Returns the result that the machine's init wrote at the end, or the last words of its console.
    fn outcome(&self) -> Result<Outcome> {
        let exit = fs::read_to_string(self.path("exit")).unwrap_or_default();
        if let Ok(code) = exit.trim().parse() {
            return Ok(Outcome::Exited(code));
        }
        let console = fs::read(self.path("console")).unwrap_or_default();
        let console = String::from_utf8_lossy(&console);
        let lines: Vec<&str> = console.lines().collect();
        let last = lines[lines.len().saturating_sub(40)..].join("\n");
        Ok(Outcome::Crashed { console: last })
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A running qemu, killed when dropped.
struct RunningMachine {
    qemu: Child,
}

impl RunningMachine {
    fn boot(parts: &Parts, folder: &RunFolder) -> Result<Self> {
        let qemu = place::program("qemu-system-x86_64")
            .context("qemu is missing: cargo xtask setup vm")?;
        let console = folder.path("console");
        let exit = folder.path("exit");
        let mut command = Command::new(qemu);
        command
            .args(["-accel", "tcg,thread=multi", "-machine", "q35", "-cpu", "max", "-smp", "2", "-m", "2048"])
            .args(["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-nic", "none"])
            .arg("-kernel")
            .arg(parts.kernel)
            .arg("-initrd")
            .arg(parts.image)
            .args([
                "-append",
                "console=ttyS0 loglevel=4 panic=-1 oops=panic mitigations=off no_timer_check random.trust_cpu=on \
                 systemd.getty_auto=no",
            ])
            // Four serial lines: the console, the command's input and output, its errors, its exit code.
            .arg("-serial")
            .arg(format!("file:{}", console.display()))
            .args(["-chardev", "stdio,id=command,signal=off", "-serial", "chardev:command"])
            .args(["-serial", "file:/dev/stderr"])
            .arg("-serial")
            .arg(format!("file:{}", exit.display()))
            // A group of its own: Ctrl-C is for the command inside, which gets it as a character.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some(disk) = parts.disk {
            // What is lost when this very machine loses its power need not be kept.
            // A comma would end the file's name.
            let disk = disk.display().to_string().replace(',', ",,");
            let drive = format!("file={disk},if=virtio,format=raw,cache=unsafe");
            command.arg("-drive").arg(drive);
        }
        Ok(Self {
            qemu: command.spawn().context("starting qemu")?,
        })
    }

    /// Passes on what the machine says until it ends; false when its time was over before.
    fn wait(&mut self, end: Instant) -> Result<bool> {
        let interrupt = Interrupt::watch()?;
        let mut input = self.qemu.stdin.take();
        let output = pass_on(self.qemu.stdout.take(), io::stdout());
        let errors = pass_on(self.qemu.stderr.take(), io::stderr());
        let mut interrupts = 0;
        loop {
            if let Some(status) = self.qemu.try_wait()? {
                if !status.success() {
                    bail!("qemu itself failed: {status}");
                }
                break;
            }
            if Instant::now() > end {
                return Ok(false);
            }
            if interrupt.taken() {
                interrupts += 1;
                if interrupts > 1 {
                    bail!("interrupted twice: the emulated machine was ended");
                }
                send_interrupt(&mut input);
            }
            thread::sleep(Duration::from_millis(20));
        }
        for reader in [output, errors].into_iter().flatten() {
            let _ = reader.join();
        }
        Ok(true)
    }
}

impl Drop for RunningMachine {
    fn drop(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

/// The character that a terminal turns into SIGINT: the command inside has such a terminal.
fn send_interrupt(input: &mut Option<impl Write>) {
    if let Some(input) = input {
        let _ = input.write_all(b"\x03").and_then(|()| input.flush());
    }
}

fn pass_on(
    from: Option<impl Read + Send + 'static>,
    mut to: impl Write + Send + 'static,
) -> Option<thread::JoinHandle<()>> {
    let mut from = from?;
    Some(thread::spawn(move || {
        let mut buffer = [0; 16384];
        while let Ok(read) = from.read(&mut buffer) {
            // Nobody reads our output any more: the machine still has to be able to end.
            if read == 0 {
                break;
            }
            let _ = to.write_all(&buffer[..read]).and_then(|()| to.flush());
        }
    }))
}
