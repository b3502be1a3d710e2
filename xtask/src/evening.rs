//! `cargo xtask evening`: what a person has of a firewall that asks. What happens in it and what is counted is in
//! `evening/`; here is only what it needs.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::build;
use crate::interrupt::Interrupt;
use crate::place;
use crate::run::seconds;
use crate::setup::{self, Need};

/// Arguments of `cargo xtask evening`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Duration of the evening, for instance 90s or 5m
    #[arg(long = "for", value_name = "TIME", value_parser = seconds, default_value = "20m")]
    duration: Duration,
    /// One JSON object with everything, on standard output
    #[arg(long)]
    json: bool,
}

/// Spends the evening, and returns the exit code.
pub fn run(arguments: &Arguments) -> Result<i32> {
    if let Err(lab::Why(why)) = lab::possible() {
        bail!("no evening can be spent here: {why}");
    }
    setup::ensure(&[Need::Lab, Need::Resolver, Need::Evening])?;
    build::ebpf_drivers()?;
    let built = build::host(&["gatebell-service", "gatebell-cli", "gatebell-evening"])?;
    let program = |name: &str| build::named(&built, name);
    let mut command = Command::new(program("gatebell-evening")?);
    command.arg("spend");
    command.arg("--service").arg(program("gatebelld")?);
    command.arg("--command-line").arg(program("gatebell")?);
    command
        .arg("--driver")
        .arg(place::drivers().join("gatebell_firewall.bpf.o"));
    command
        .arg("--seconds")
        .arg(arguments.duration.as_secs().to_string());
    command.args(arguments.json.then_some("--json"));
    // Ctrl-C goes to it as well: it takes down what it has made.
    let _waits_for_it = Interrupt::watch()?;
    let status = command.status().context("starting gatebell-evening")?;
    Ok(status.code().unwrap_or(1))
}
