//! `cargo xtask figures`: how fast Gatebell is, and others beside it in the same run. What is measured and how is in
//! `bench/`; here is only what it needs.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::build;
use crate::debian;
use crate::interrupt::Interrupt;
use crate::place;
use crate::setup::{self, Need};

/// Arguments of `cargo xtask figures`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Figures to measure; all of them if none is named
    figures: Vec<String>,
    /// One JSON object with everything, on standard output
    #[arg(long)]
    json: bool,
    /// Fewer and shorter rounds: about six minutes in all, and figures that vary more
    #[arg(long)]
    quick: bool,
    /// Path of the page to write
    #[arg(long, default_value_os_t = place::root().join("docs/figures.md"))]
    page: PathBuf,
}

/// Peers that would start services if they were installed: unpacked instead. The package, and the program in it.
const PEERS: [(&str, &str); 2] = [
    ("nginx", "usr/sbin/nginx"),
    ("opensnitch", "usr/bin/opensnitchd"),
];

/// Measures, and returns the exit code.
pub fn run(arguments: &Arguments) -> Result<i32> {
    if let Err(lab::Why(why)) = lab::possible() {
        bail!("nothing can be measured here: {why}");
    }
    setup::ensure(&[Need::Lab, Need::Desktop, Need::Figures])?;
    let peers = peers()?;
    build::ebpf_drivers()?;
    build::figures_driver()?;
    let built = build::release(&[
        "gatebell-service",
        "gatebell-app",
        "gatebell-cli",
        "gatebell-bench",
    ])?;
    let program = |name: &str| build::named(&built, name);
    // Before everything else on the machine: Gatebell, its peers and their loads alike.
    let mut command = Command::new("nice");
    command
        .args(["-n", "-20"])
        .arg(program("gatebell-figures")?);
    command
        .arg("measure")
        .arg("--service")
        .arg(program("gatebelld")?);
    command.arg("--app").arg(program("gatebell-app")?);
    command.arg("--cli").arg(program("gatebell")?);
    command
        .arg("--driver")
        .arg(place::drivers().join("gatebell_firewall.bpf.o"));
    command
        .arg("--channel-driver")
        .arg(place::drivers().join("gatebell_figures.bpf.o"))
        .arg("--peers")
        .arg(peers)
        .arg("--page")
        .arg(&arguments.page)
        .args(&arguments.figures);
    command
        .args(arguments.json.then_some("--json"))
        .args(arguments.quick.then_some("--quick"));
    // Ctrl-C goes to it as well: it takes down what it has made.
    let _waits_for_it = Interrupt::watch()?;
    let status = command.status().context("starting gatebell-figures")?;
    Ok(status.code().unwrap_or(1))
}

/// The folder in which the unpacked peers are.
fn peers() -> Result<PathBuf> {
    let folder = place::target().join("peers");
    for (package, program) in PEERS {
        let at = folder.join(package);
        if !at.join(program).is_file() {
            eprintln!("figures: fetching {package} to measure beside it (unpacked, not installed)");
            debian::unpack_whole(&[package], &at)?;
        }
    }
    Ok(folder)
}
