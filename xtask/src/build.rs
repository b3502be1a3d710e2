//! What is built for other machines than this one, and where it ends up.
//!
//! The flags of a target are in `.cargo/config.toml` (the clone's, or the crate's own), so that plain cargo builds the same;
//! here is only which toolchain, which packages, and the stable place of each result.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use serde_json::Value;

use crate::interrupt;
use crate::place;
use crate::setup::{self, Need};
use crate::toolchain::{self, Toolchain};

/// What can be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum What {
    /// The drivers for Linux: eBPF objects
    Ebpf,
    /// The driver and the programs for Windows
    Windows,
    /// The programs for this machine: service, app, sample
    Host,
    /// All of these
    All,
}

/// A crate that is built for another machine.
struct Foreign {
    folder: &'static str,
    target: &'static str,
    /// Features of cargo: which library crates are built along.
    library: &'static str,
    extension: &'static str,
}

const BPF: [Foreign; 2] = [ebpf("sample/driver/linux"), ebpf("drivers/linux")];
const WDM: [Foreign; 2] = [wdm("sample/driver/windows"), wdm("drivers/windows")];
const WINDOWS: &str = "x86_64-pc-windows-gnu";

const fn ebpf(folder: &'static str) -> Foreign {
    Foreign { folder, target: "bpfel-unknown-none", library: "-Zbuild-std=core", extension: "bpf.o" }
}

const fn wdm(folder: &'static str) -> Foreign {
    Foreign { folder, target: "x86_64-pc-windows-msvc", library: "-Zbuild-std=core", extension: "sys" }
}

/// Builds, and says where each result is.
pub fn build(what: What) -> Result<()> {
    match what {
        What::Ebpf => ebpf_drivers(),
        What::Windows => windows(),
        What::Host => host(&[]).map(drop),
        What::All => ebpf_drivers().and_then(|()| windows()).and_then(|()| host(&[]).map(drop)),
    }
}

/// The eBPF objects, at `target/drivers/*.bpf.o`.
pub fn ebpf_drivers() -> Result<()> {
    setup::ensure(&[Need::Ebpf])?;
    drivers(&BPF, "bpf")
}

/// Everything for Windows: `target/drivers/*.sys` and `target/windows/*.exe`.
pub fn windows() -> Result<()> {
    setup::ensure(&[Need::Ebpf, Need::Windows])?;
    drivers(&WDM, "wdm")?;
    windows_programs()
}

/// The programs for this machine; returns where each is. No names: all of them.
pub fn host(packages: &[&str]) -> Result<Vec<PathBuf>> {
    let all = ["gatebell-service", "gatebell-app", "gatebell-sample-app"];
    let packages = if packages.is_empty() { &all } else { packages };
    let mut cargo = toolchain::cargo();
    cargo.arg("build").current_dir(place::root());
    for package in packages {
        cargo.args(["--package", package]);
    }
    let built = executables(&mut cargo)?;
    for file in &built {
        eprintln!("build: {}", shown(file));
    }
    Ok(built)
}

fn drivers(crates: &[Foreign], folder: &str) -> Result<()> {
    let toolchain = Toolchain::require()?;
    for krate in crates.iter().filter(|krate| place::root().join(krate.folder).join("Cargo.toml").is_file()) {
        let mut cargo = toolchain.cargo();
        cargo
            .args(["build", "--release", "--locked", "--target", krate.target, krate.library])
            .arg("--target-dir")
            .arg(place::target().join(folder))
            // Its own folder: cargo reads the configuration that lies there.
            .current_dir(place::root().join(krate.folder));
        for file in executables(&mut cargo).with_context(|| format!("building {}", krate.folder))? {
            let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            keep(&file, &place::drivers().join(format!("{name}.{}", krate.extension)))?;
        }
    }
    Ok(())
}

fn windows_programs() -> Result<()> {
    let mut cargo = Toolchain::require()?.cargo();
    cargo
        .args(["build", "--locked", "--target", WINDOWS, "-Zbuild-std=std,panic_abort"])
        .args(["--package", "gatebell-sample-app"])
        .arg("--target-dir")
        .arg(place::target().join("win"))
        .current_dir(place::root());
    for file in executables(&mut cargo).context("building the programs for Windows")? {
        let name = file.file_name().unwrap_or_default();
        keep(&file, &place::windows().join(name))?;
    }
    Ok(())
}

/// Puts a result at its stable place, in one step, so that nobody ever reads half of it.
fn keep(file: &Path, at: &Path) -> Result<()> {
    let folder = at.parent().context("a result needs a folder")?;
    fs::create_dir_all(folder)?;
    let beside = at.with_extension(format!("new-{}", std::process::id()));
    fs::copy(file, &beside).with_context(|| format!("copying {}", file.display()))?;
    fs::rename(&beside, at)?;
    eprintln!("build: {}", shown(at));
    Ok(())
}

/// Runs a `cargo build` or `cargo test --no-run` and returns the programs it made.
pub fn executables(cargo: &mut Command) -> Result<Vec<PathBuf>> {
    Ok(messages(cargo)?
        .iter()
        .filter_map(|message| message["executable"].as_str())
        .map(PathBuf::from)
        .collect())
}

/// Runs cargo and returns what it says of each artifact; its progress and errors go to standard error.
pub fn messages(cargo: &mut Command) -> Result<Vec<Value>> {
    let _interrupt = interrupt::Interrupt::watch()?;
    let output = cargo
        .arg("--message-format=json-render-diagnostics")
        .stderr(std::process::Stdio::inherit())
        .output()
        .context("starting cargo")?;
    if !output.status.success() {
        bail!("cargo failed ({}): its message is above", output.status);
    }
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
}

/// A path as seen from the clone.
fn shown(path: &Path) -> String {
    path.strip_prefix(place::root()).unwrap_or(path).display().to_string()
}
