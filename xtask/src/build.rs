//! Builds for other machines than this one, and the places of their results.
//!
//! The flags of a target are in `.cargo/config.toml` (the clone's, or the crate's own), so that plain cargo builds the
//! same; here is only which toolchain, which packages, and the stable place of each result.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use clap::ValueEnum;
use serde_json::Value;

use crate::command;
use crate::interrupt;
use crate::place;
use crate::setup::{self, Need};
use crate::test::programs::Programs;
use crate::toolchain::{self, Toolchain};

/// Thing to build.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BuildGoal {
    /// The drivers for Linux: eBPF objects
    Ebpf,
    /// The driver and the programs for Windows
    Windows,
    /// Stand-ins and programs that only the tests under Wine need
    Wine,
    /// The channel's library for C and C++, with its header
    C,
    /// The programs for this machine: service, app, sample
    Host,
    /// All of these
    All,
}

/// A crate that is built for another machine.
pub struct Foreign {
    /// Folder of the crate in the clone.
    pub folder: &'static str,
    /// Target that the crate is built for.
    pub target: &'static Target,
    extension: &'static str,
}

/// Target of a build, with the crates of Rust's library that are built along.
pub struct Target {
    /// Name that rustc has for the target.
    pub name: &'static str,
    library: &'static str,
    /// Arguments that choose cargo's profile for building and linting: one for each target, so that nothing is compiled
    /// twice.
    profile: &'static [&'static str],
    /// Name of cargo's folder in the target folder: one for each, as each has the library in another form.
    folder: &'static str,
}

/// The kernel of Linux.
pub const BPF: Target = Target {
    name: "bpfel-unknown-none",
    library: "-Zbuild-std=core",
    profile: &["--release"],
    folder: "bpf",
};
/// The kernel of Windows.
pub const WDM: Target = Target {
    name: "x86_64-pc-windows-msvc",
    library: "-Zbuild-std=core",
    profile: &["--release"],
    folder: "wdm",
};
/// A program on Windows.
pub const WINDOWS: Target = Target {
    name: "x86_64-pc-windows-gnu",
    library: "-Zbuild-std=std,panic_abort",
    profile: &[],
    folder: "win",
};

impl Target {
    /// Returns whether programs are built for the target, on top of all of Rust's library, and not drivers.
    pub fn has_programs(&self) -> bool {
        self.name == WINDOWS.name
    }
}

static LINUX_DRIVERS: [Foreign; 3] = [
    Foreign {
        folder: "sample/driver/linux",
        target: &BPF,
        extension: "bpf.o",
    },
    Foreign {
        folder: "firewall/driver/linux",
        target: &BPF,
        extension: "bpf.o",
    },
    Foreign {
        folder: "examples/tripwire/driver",
        target: &BPF,
        extension: "bpf.o",
    },
];
/// Driver of the measurements: nobody else needs it.
static FIGURES_DRIVER: [Foreign; 1] = [Foreign {
    folder: "bench/driver",
    target: &BPF,
    extension: "bpf.o",
}];
static WINDOWS_DRIVERS: [Foreign; 2] = [
    Foreign {
        folder: "sample/driver/windows",
        target: &WDM,
        extension: "sys",
    },
    Foreign {
        folder: "examples/pager/driver",
        target: &WDM,
        extension: "sys",
    },
];
static STAND_INS: [Foreign; 2] = [
    Foreign {
        folder: "tests/wine/kernel",
        target: &WDM,
        extension: "sys",
    },
    Foreign {
        folder: "tests/wine/randomness",
        target: &WDM,
        extension: "dll",
    },
];
static PROMISES: [Foreign; 1] = [Foreign {
    folder: "tests/wine/promises",
    target: &WINDOWS,
    extension: "exe",
}];

/// Builds, and says where each result is.
pub fn build(what: BuildGoal) -> Result<()> {
    match what {
        BuildGoal::Ebpf => ebpf_drivers(),
        BuildGoal::Windows => windows(),
        BuildGoal::Wine => wine(),
        BuildGoal::C => c_library(),
        BuildGoal::Host => host(&[]).map(drop),
        BuildGoal::All => {
            ebpf_drivers()?;
            windows()?;
            wine()?;
            c_library()?;
            host(&[]).map(drop)
        }
    }
}

/// The eBPF objects, at `target/drivers/*.bpf.o`.
pub fn ebpf_drivers() -> Result<()> {
    if is_built() {
        return Ok(());
    }
    setup::ensure(&[Need::Ebpf])?;
    foreign(&LINUX_DRIVERS, &place::drivers())
}

/// The eBPF object that the figure `channel` is measured with, at `target/drivers`.
pub fn figures_driver() -> Result<()> {
    setup::ensure(&[Need::Ebpf])?;
    foreign(&FIGURES_DRIVER, &place::drivers())
}

/// Builds everything for Windows: `target/drivers/*.sys`, `target/windows/*.exe`, and the channel for C in
/// `target/c/windows`.
pub fn windows() -> Result<()> {
    if is_built() {
        return Ok(());
    }
    setup::ensure(&[Need::Windows])?;
    foreign(&WINDOWS_DRIVERS, &place::drivers())?;
    windows_programs()
}

/// Builds what the tests under Wine need and nobody ships, at `target/wine`.
fn wine() -> Result<()> {
    stand_ins()?;
    foreign(&PROMISES, &place::wine())
}

/// Builds the stand-ins for what Wine lacks.
pub fn stand_ins() -> Result<()> {
    if is_built() {
        return Ok(());
    }
    setup::ensure(&[Need::Windows])?;
    foreign(&STAND_INS, &place::wine())
}

/// The channel for C and C++ on this machine, at `target/c`: `include`, `lib`, and what pkg-config reads.
pub fn c_library() -> Result<()> {
    setup::ensure(&[Need::C])?;
    let mut cargo = toolchain::cargo();
    cargo
        .args(["build", "--release", "--locked", "--package", C_LIBRARY])
        .current_dir(place::root());
    let lib = place::c().join("lib");
    for file in libraries(&messages(&mut cargo)?) {
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("so") => {
                keep(&file, &lib.join(C_SONAME))?;
                link(C_SONAME, &lib.join("libgatebell_channel.so"))?;
            }
            Some("a") => keep(&file, &lib.join("libgatebell_channel.a"))?,
            _ => {}
        }
    }
    keep_header()?;
    keep(
        &place::root().join("channel/c/gatebell-channel.pc"),
        &lib.join("pkgconfig/gatebell-channel.pc"),
    )
}

/// Package of the channel's library for C.
const C_LIBRARY: &str = "gatebell-channel-c";
/// Name of the shared library, as `channel/c/build.rs` has it.
const C_SONAME: &str = "libgatebell_channel.so.0";

fn keep_header() -> Result<()> {
    const HEADER: &str = "include/gatebell_channel.h";
    keep(
        &place::root().join("channel/c").join(HEADER),
        &place::c().join(HEADER),
    )
}

/// Makes a link beside its target, in one step.
fn link(to: &str, at: &Path) -> Result<()> {
    let beside = at.with_extension(format!("new-{}", std::process::id()));
    std::os::unix::fs::symlink(to, &beside)
        .and_then(|()| fs::rename(&beside, at))
        .with_context(|| format!("linking {}", at.display()))
}

/// The program of this name among those that [`host`] has built.
pub fn named<'b>(built: &'b [PathBuf], name: &str) -> Result<&'b Path> {
    let found = built
        .iter()
        .find(|path| path.file_name().is_some_and(|file| file == name));
    found
        .map(PathBuf::as_path)
        .with_context(|| format!("cargo built no {name}"))
}

/// The programs for this machine: of which package each is.
pub const PROGRAMS: [(&str, &str); 5] = [
    ("gatebell-service", "gatebelld"),
    ("gatebell-app", "gatebell-app"),
    ("gatebell-sample-app", "gatebell-sample-app"),
    ("gatebell-sample-host", "gatebell-sample-host"),
    ("gatebell-cli", "gatebell"),
];

/// Name of the variable that tells a step of the tests where cargo's messages are, and so all that was compiled before
/// it, drivers among it. By themselves a few packages have other features of what lies below them than all have
/// together, and would be compiled a second time.
pub const BUILT: &str = "GATEBELL_BUILT";

fn is_built() -> bool {
    env::var_os(BUILT).is_some()
}

/// The programs for this machine; returns where each is. No names: all of them.
pub fn host(packages: &[&str]) -> Result<Vec<PathBuf>> {
    let all = PROGRAMS.map(|(package, _)| package);
    let packages: &[&str] = if packages.is_empty() { &all } else { packages };
    if let Some(list) = env::var_os(BUILT)
        && let Some(found) = compiled(packages, &Programs::open(list.as_ref())?)
    {
        return Ok(found);
    }
    native(packages, &[])
}

/// Returns the compiled programs of these packages, or `None` if one of the packages has none.
fn compiled(packages: &[&str], programs: &Programs) -> Option<Vec<PathBuf>> {
    let mut found = Vec::new();
    for package in packages {
        let before = found.len();
        found.extend(programs.ordinary(package).map(Path::to_owned));
        if found.len() == before {
            return None;
        }
    }
    Some(found)
}

/// Builds the programs as they are shipped: optimised, and exactly what the lock file says.
pub fn release(packages: &[&str]) -> Result<Vec<PathBuf>> {
    native(packages, &["--release", "--locked"])
}

fn native(packages: &[&str], flags: &[&str]) -> Result<Vec<PathBuf>> {
    let mut cargo = toolchain::cargo();
    cargo.arg("build").args(flags).current_dir(place::root());
    for package in packages {
        cargo.args(["--package", package]);
    }
    let built = executables(&mut cargo)?;
    for file in &built {
        eprintln!("build: {}", shown(file));
    }
    Ok(built)
}

fn foreign(crates: &[Foreign], results: &Path) -> Result<()> {
    for krate in crates {
        let mut cargo = cargo_for(krate.target)?;
        // In its own folder: cargo reads the configuration that lies there.
        cargo.current_dir(place::root().join(krate.folder));
        for file in executables(&mut cargo).with_context(|| format!("building {}", krate.folder))? {
            let name = file
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            keep(&file, &results.join(format!("{name}.{}", krate.extension)))?;
            let symbols = file.with_extension("pdb");
            if symbols.is_file() {
                keep(&symbols, &results.join(format!("{name}.pdb")))?;
            }
        }
    }
    Ok(())
}

fn cargo_for(target: &Target) -> Result<Command> {
    let mut cargo = Toolchain::require()?.cargo();
    cargo.arg("build");
    aim(&mut cargo, target);
    Ok(cargo)
}

/// Makes a cargo command work for another machine.
pub fn aim(cargo: &mut Command, target: &Target) {
    cargo
        .args(["--locked", "--target", target.name, target.library])
        .args(target.profile)
        .arg("--target-dir")
        .arg(place::target().join(target.folder));
}

/// Returns all crates that are built for another machine.
pub fn foreign_crates() -> impl Iterator<Item = &'static Foreign> {
    LINUX_DRIVERS
        .iter()
        .chain(&FIGURES_DRIVER)
        .chain(&WINDOWS_DRIVERS)
        .chain(&STAND_INS)
        .chain(&PROMISES)
}

/// Builds the programs and the channel for C in one run of cargo: their parts are compiled once.
fn windows_programs() -> Result<()> {
    let mut cargo = cargo_for(&WINDOWS)?;
    cargo
        .args(["--package=gatebell-sample-app", "--package=pager"])
        .args(["--package", C_LIBRARY])
        .current_dir(place::root());
    let messages = messages(&mut cargo).context("building the programs for Windows")?;
    for file in messages.iter().filter_map(program) {
        let name = file.file_name().unwrap_or_default();
        keep(&file, &place::windows().join(name))?;
    }
    for file in libraries(&messages) {
        let name = file.file_name().unwrap_or_default();
        keep(&file, &place::c().join("windows").join(name))?;
    }
    keep_header()
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

/// Runs a `cargo build` and returns the programs and libraries that it linked.
fn executables(cargo: &mut Command) -> Result<Vec<PathBuf>> {
    Ok(messages(cargo)?.iter().filter_map(linked).collect())
}

/// A program, or a library that other languages load (`cdylib`): cargo names no executable for those.
fn linked(message: &Value) -> Option<PathBuf> {
    program(message).or_else(|| {
        let is_shared = message["target"]["crate_types"][0] == "cdylib";
        let file = message["filenames"][0].as_str().filter(|_| is_shared)?;
        Some(PathBuf::from(file))
    })
}

fn program(message: &Value) -> Option<PathBuf> {
    message["executable"].as_str().map(PathBuf::from)
}

/// The libraries for other languages, shared and static.
fn libraries(messages: &[Value]) -> Vec<PathBuf> {
    let is_for_c = |message: &&Value| {
        let types = message["target"]["crate_types"].as_array();
        types.is_some_and(|types| types.iter().any(|kind| kind == "staticlib"))
    };
    let files = messages
        .iter()
        .filter(is_for_c)
        .filter_map(|message| message["filenames"].as_array())
        .flatten();
    files
        .filter_map(|file| file.as_str().map(PathBuf::from))
        .filter(|file| file.extension().is_none_or(|extension| extension != "rlib"))
        .collect()
}

/// Runs cargo and returns what it says of each artifact; its progress and errors go to standard error.
fn messages(cargo: &mut Command) -> Result<Vec<Value>> {
    let _interrupt = interrupt::Interrupt::watch()?;
    let text = command::output(cargo.arg("--message-format=json-render-diagnostics"))?;
    Ok(text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect())
}

/// A path as seen from the clone.
fn shown(path: &Path) -> String {
    path.strip_prefix(place::root())
        .unwrap_or(path)
        .display()
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_compiled_with_the_tests_is_not_compiled_again() {
        let line = |package: &str, test: bool| {
            format!(
                r#"{{"package_id":"path+file:///x#{package}@0.1.0","manifest_path":"/x/Cargo.toml","target":{{"name":"t"}},"profile":{{"test":{test}}},"executable":"/x/{package}-{test}"}}"#
            )
        };
        let lines = [
            line("a", false),
            line("a", true),
            line("b", false),
            line("c", true),
        ];
        let programs = Programs::read(&lines.join("\n"));
        let found = compiled(&["b", "a"], &programs);
        assert_eq!(found, Some(vec!["/x/b-false".into(), "/x/a-false".into()]));
        assert_eq!(compiled(&["a", "c"], &programs), None, "tests of c alone");
    }
}
