//! Promises of the examples that people start from, as they are shown.

use crate::{DEVICE, GROUP, Promise, SOON};
use anyhow::{Context, Result, ensure};
use channel::sys::windows::service::{DriverService, Install};
use std::io::{BufRead, BufReader, Lines};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

pub const ALL: &[Promise] = &[("a_c_program_reads_what_the_driver_tells_it", a_c_program)];

const PAGER_IMAGE: &str = r"C:\windows\system32\drivers\pager.sys";
const PAGER: DriverService<'static> = DriverService::new("Pager");

/// Runs `examples/c/notices.c`, which lies beside this program with the library.
fn a_c_program() -> Result<()> {
    let program = std::env::current_exe()?.with_file_name("notices.exe");
    let output = Command::new(program).args([DEVICE, "20"]).output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    let wrong = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{said}{wrong}");
    let notices = said.lines().filter(|line| line.starts_with("notice "));
    ensure!(notices.count() == 20, "{said}");
    ensure!(said.trim_end().ends_with(": balances"), "{said}");
    Ok(())
}

/// Runs `examples/pager`: its driver, and three of its apps. The stand-in knows one driver at a time: the sample's has
/// to be gone.
pub fn pager() -> Result<()> {
    PAGER.install(&Install {
        display_name: "Pager",
        image: Path::new(PAGER_IMAGE),
        group: Some(GROUP),
    })?;
    PAGER.start()?;
    let mut listeners = [Listener::start()?, Listener::start()?];
    let said = Command::new(pager_app()?).arg("hello, all").status()?;
    ensure!(said.success(), "{said}");
    for listener in &mut listeners {
        ensure!(listener.hears()? == "hello, all");
    }
    // Apps that still listen end by themselves: else it would not be unloaded.
    PAGER.stop(r"\\.\Pager", SOON)?;
    for listener in &mut listeners {
        let end = listener.hears()?;
        ensure!(end == "the driver ended it: DriverStopping", "{end}");
        ensure!(listener.app.wait()?.success());
    }
    Ok(PAGER.remove()?)
}

/// Returns the path of `target/windows/pager.exe`: this program lies in `target/wine`.
fn pager_app() -> Result<PathBuf> {
    let built = std::env::current_exe()?;
    let built = built.ancestors().nth(2).context("a folder above")?;
    Ok(built.join(r"windows\pager.exe"))
}

/// An app that listens. Dropped, it is killed.
struct Listener {
    app: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Listener {
    fn start() -> Result<Self> {
        let mut app = Command::new(pager_app()?).stdout(Stdio::piped()).spawn()?;
        let output = app.stdout.take().context("its output")?;
        let mut listener = Self {
            app,
            lines: BufReader::new(output).lines(),
        };
        ensure!(listener.hears()? == "listening");
        Ok(listener)
    }

    fn hears(&mut self) -> Result<String> {
        Ok(self.lines.next().context("it said no more")??)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // One that has ended is not there to be killed.
        let _ = self.app.kill();
        let _ = self.app.wait();
    }
}
