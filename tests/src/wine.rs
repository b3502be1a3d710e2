//! A machine with Windows' interfaces: Wine in a prefix of its own, with a driver of ours loaded in it.
//!
//! `cargo xtask sample --windows` uses it through this package's program `sample-under-wine`. A program with a window
//! wants `DISPLAY` set; one without needs no display. Dropping the machine stops all of it and leaves nothing.
//!
//! What is real here, and what stands in, is said in `tests/wine/kernel/src/main.rs`: outputs that rest on it must say
//! so. [`LIMITS`] says what none of it can show.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Limits of Wine, to be printed wherever a result is shown that was seen under it.
pub const LIMITS: &str = "seen under Wine 8 with test stand-ins for handle checks, CLEANUP and unload, timers, process callbacks and the driver's named event; \
    Wine can't show: interrupt levels (IRQL), races between processors in the kernel, the device's security descriptor, \
    loading and signature checks on real Windows";

/// The sample's service, as the article would have installed it.
pub const SAMPLE_SERVICE: &str = "GatebellSample";

/// The group in which Wine loads drivers into one process: that of the stand-in.
const GROUP: &str = "Gatebell";
/// Greatest time that Wine may take to start, on a busy machine.
const BOOT: Duration = Duration::from_secs(180);

/// Wine, booted in a new prefix. Dropping it ends every process in it and removes the prefix.
pub struct Machine {
    prefix: PathBuf,
    /// A program that waits for ever: with none, Wine ends its services.
    keeper: Option<Child>,
}

impl Machine {
    /// Boots one and starts the stand-in for what Wine's kernel lacks. `built` is the clone's `target`, in which
    /// `cargo xtask build windows` and `… wine` have put the drivers and programs.
    pub fn boot(built: &Path) -> io::Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let prefix = built.join(format!("wine/machine-{}-{number}", std::process::id()));
        fs::create_dir_all(&prefix)?;
        let mut machine = Self {
            prefix,
            keeper: None,
        };
        machine.succeed(machine.wine("wineboot").arg("--init"), BOOT)?;
        // Booting goes on in the background until its server ends.
        machine.succeed(machine.server().arg("-w"), BOOT)?;
        let system = machine.system();
        fs::copy(
            built.join("wine/bcryptprimitives.dll"),
            system.join("bcryptprimitives.dll"),
        )?;
        machine.keeper = Some(
            machine
                .wine("cmd")
                .args(["/c", "pause"])
                .stdin(Stdio::piped())
                .spawn()?,
        );
        machine.start_driver("GatebellKernel", &built.join("wine/gatebell_kernel.sys"))?;
        Ok(machine)
    }

    /// Puts a driver's image where Windows has them, under its own name.
    pub fn copy_driver(&self, image: &Path) -> io::Result<()> {
        let name = image
            .file_name()
            .ok_or_else(|| io::Error::other("a driver's image is a file"))?;
        fs::copy(image, self.system().join("drivers").join(name)).map(drop)
    }

    /// Installs and starts a driver, in the stand-in's group.
    pub fn start_driver(&self, service: &str, image: &Path) -> io::Result<()> {
        self.copy_driver(image)?;
        let name = image.file_name().unwrap_or_default().to_string_lossy();
        let there = format!(r"C:\windows\system32\drivers\{name}");
        let group = ["type=", "kernel", "group=", GROUP];
        self.succeed(
            self.wine("sc")
                .args(["create", service, "binPath=", &there])
                .args(group),
            BOOT,
        )?;
        self.succeed(self.wine("sc").args(["start", service]), BOOT)?;
        // `sc start` may return before it runs, and says so with success even where it failed.
        let state = self.output(self.wine("sc").args(["query", service]), BOOT)?;
        if state.contains("RUNNING") {
            Ok(())
        } else {
            Err(io::Error::other(format!("{service} does not run: {state}")))
        }
    }

    /// Returns the command that runs a program in the machine; its standard streams are the caller's to choose.
    #[must_use]
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("wine");
        command.arg(program);
        self.surround(&mut command);
        command
    }

    /// Runs a program to its end and returns what it wrote; an error if it was not content or took longer.
    pub fn run(
        &self,
        program: &Path,
        arguments: &[&str],
        patience: Duration,
    ) -> io::Result<String> {
        self.output(self.command(program).args(arguments), patience)
    }

    fn wine(&self, program: &str) -> Command {
        self.command(Path::new(program))
    }

    fn server(&self) -> Command {
        let mut command = Command::new("wineserver");
        self.surround(&mut command);
        command
    }

    fn system(&self) -> PathBuf {
        self.prefix.join("drive_c/windows/system32")
    }

    fn surround(&self, command: &mut Command) {
        command
            .env("WINEPREFIX", &self.prefix)
            .env("WINEDEBUG", "-all")
            // No question about Mono or Gecko, no menu entries on the desktop of whoever runs this.
            .env("WINEDLLOVERRIDES", "mscoree,mshtml=;winemenubuilder.exe=d")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
    }

    fn succeed(&self, command: &mut Command, patience: Duration) -> io::Result<()> {
        self.output(command, patience).map(drop)
    }

    /// Through a file: a pipe that Wine's services inherit would never end.
    fn output(&self, command: &mut Command, patience: Duration) -> io::Result<String> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let log = self
            .prefix
            .join(format!("output-{}", NEXT.fetch_add(1, Ordering::Relaxed)));
        let file = fs::File::create(&log)?;
        let mut child = command.stdout(file.try_clone()?).stderr(file).spawn()?;
        let until = Instant::now() + patience;
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            if Instant::now() > until {
                child.kill()?;
                child.wait()?;
                let text = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
                return Err(io::Error::other(format!(
                    "{command:?} took longer than {patience:?}: {text}"
                )));
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        let text = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
        if status.success() {
            Ok(text)
        } else {
            Err(io::Error::other(format!("{command:?}: {status}: {text}")))
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Each on the prefix of this machine alone. What fails here has ended already.
        let _ = self.server().arg("-k").status();
        let _ = self.server().arg("-w").status();
        if let Some(mut keeper) = self.keeper.take() {
            let _ = keeper.kill();
            let _ = keeper.wait();
        }
        let _ = fs::remove_dir_all(&self.prefix);
    }
}
