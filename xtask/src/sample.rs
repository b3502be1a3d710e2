//! The article's two projects, both at once: its driver in a kernel, its app beside it.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::build;
use crate::interrupt;
use crate::setup::{self, Need};

/// What `cargo xtask sample` can be told.
#[derive(clap::Args)]
pub struct Arguments {
    /// The Windows driver and app, under Wine
    #[arg(long)]
    windows: bool,
    /// The log as JSON, one object per operation
    #[arg(long)]
    json: bool,
    /// Send 10,000 notices three ways under load, and show how many arrive
    #[arg(long)]
    compare: bool,
}

/// Runs the sample and returns its exit code.
pub fn run(arguments: &Arguments) -> Result<i32> {
    if arguments.windows {
        setup::ensure(&[Need::Wine])?;
        bail!("the sample's driver for Windows can't be loaded yet");
    }
    build::ebpf_drivers()?;
    let programs = build::host(&["gatebell-sample-app"])?;
    let app = programs.first().context("cargo built no sample app")?;
    let mut command = Command::new(app);
    if arguments.json {
        command.arg("--json");
    }
    if arguments.compare {
        command.arg("--compare");
    }
    interrupt::foreground(&mut command)
}
