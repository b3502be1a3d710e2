//! `gatebell recover`: takes everything out of the kernel, from any state.
//!
//! The service's program does the work, as it does when the package is removed: there is one way out, and the command
//! line loads nothing of the kernel's.

use crate::Error;
use crate::style;
use clap::{Args, ValueHint};
use rules::clean;
use serde_json::Value;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Text below the command's help.
pub const HELP: &str = "\
Exit codes:
  0  nothing of Gatebell is in the kernel any more
  1  something still is, and a message says what; or not root
  2  the command line is wrong";

/// `gatebell recover`.
#[derive(Debug, Args)]
pub struct RecoverArguments {
    /// The folder in which the service writes things down
    #[arg(long, value_name = "FOLDER", default_value = control::STATE, value_hint = ValueHint::DirPath)]
    pub state: PathBuf,
    /// The folder in which the kernel keeps the driver
    #[arg(long, value_name = "FOLDER", default_value = control::PINS, value_hint = ValueHint::DirPath)]
    pub pins: PathBuf,
    /// The driver's device
    #[arg(long, value_name = "PATH", default_value = control::DEVICE, value_hint = ValueHint::FilePath)]
    pub device: PathBuf,
    /// The service's control socket
    #[arg(long, value_name = "PATH", default_value = control::SOCKET, value_hint = ValueHint::FilePath)]
    pub socket: PathBuf,
    /// The service's program, which does the work; left out: the gatebelld beside this
    /// program, else /usr/sbin/gatebelld
    #[arg(long, value_name = "PATH", value_hint = ValueHint::ExecutablePath)]
    pub program: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// The service's program where the package puts it.
const INSTALLED: &str = "/usr/sbin/gatebelld";

/// Takes everything out, and says what was there.
pub fn recover(arguments: &RecoverArguments, out: &mut dyn Write) -> Result<u8, Error> {
    if !nix::unistd::geteuid().is_root() {
        return Err(Error::NotRoot);
    }
    let program = arguments.program.clone().unwrap_or_else(service_program);
    let recovered = run_service(&program, arguments)?;
    if arguments.json {
        writeln!(out, "{}", serde_json::json!({ "recovered": recovered }))?;
    } else {
        print(&recovered, out)?;
    }
    Ok(0)
}

fn print(recovered: &[String], out: &mut dyn Write) -> Result<(), Error> {
    for what in recovered {
        writeln!(out, "taken out: {}", clean(what))?;
    }
    let strong = style::STRONG;
    if recovered.is_empty() {
        writeln!(out, "{strong}Nothing of Gatebell was there.{strong:#}")?;
    } else {
        writeln!(
            out,
            "{strong}Nothing is filtered any more.{strong:#} `sudo systemctl start gatebell` protects again; look at the \
             rules first: gatebell rules check /etc/gatebell/rules.toml"
        )?;
    }
    Ok(())
}

/// The service's program: the one beside this program, else the installed one.
fn service_program() -> PathBuf {
    let beside = std::env::current_exe()
        .ok()
        .map(|this| this.with_file_name("gatebelld"));
    beside
        .filter(|program| program.is_file())
        .unwrap_or_else(|| INSTALLED.into())
}

/// Runs the service's program for this one task, and returns what it reports as taken out.
fn run_service(program: &Path, arguments: &RecoverArguments) -> Result<Vec<String>, Error> {
    let RecoverArguments {
        state,
        pins,
        device,
        socket,
        ..
    } = arguments;
    let mut command = Command::new(program);
    command.arg("--recover").arg("--state").arg(state);
    command.arg("--pins").arg(pins).arg("--socket").arg(device);
    command.arg("--control").arg(socket);
    let unusable = |cause: io::Error| Error::NoServiceProgram {
        file: program.to_owned(),
        cause,
    };
    // What it has to say to people goes where ours goes.
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .map_err(unusable)?;
    let report = recovered(&String::from_utf8_lossy(&output.stdout));
    report
        .filter(|_| output.status.success())
        .ok_or(Error::Recover)
}

/// The report among the lines that the service printed.
fn recovered(printed: &str) -> Option<Vec<String>> {
    let mut lines = printed.lines();
    lines.find_map(|line| {
        let mut line: Value = serde_json::from_str(line).ok()?;
        serde_json::from_value(line.get_mut("recovered")?.take()).ok()
    })
}
