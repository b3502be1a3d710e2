//! Programs that are run to their end.

use std::ffi::OsStr;
use std::io;
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, Result, bail};

/// Runs a program; that it failed is an error. What it writes goes to standard error.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command.stdin(Stdio::null()).stdout(io::stderr()).status();
    succeeded(command, status.with_context(|| start(command))?)
}

/// Returns what a program writes; that it failed is an error. Its own errors go to standard error.
pub fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output();
    let output = output.with_context(|| start(command))?;
    succeeded(command, output.status)?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn start(command: &Command) -> String {
    format!("starting {}", command.get_program().display())
}

fn succeeded(command: &Command, status: ExitStatus) -> Result<()> {
    if !status.success() {
        let words: Vec<&OsStr> = command.get_args().collect();
        let program = command.get_program().display();
        bail!("{program} {words:?} failed ({status}): its message is above");
    }
    Ok(())
}
