//! Checks that cargo in the clone's root does not make: deny.toml in every workspace of the clone, and formatting and
//! clippy of what is built for other machines: the drivers, the parts of the channel that are theirs, what runs on
//! Windows or stands in for it, and the fuzz targets.
//!
//! The lints are those of the project's workspace. An excluded crate can't inherit them and
//! repeats them; a test here compares.

use std::ffi::OsStr;
use std::process::Command;

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::build::{self, BPF, Target, WDM, WINDOWS};
use crate::command;
use crate::fuzz;
use crate::place;
use crate::setup::{self, Need};
use crate::toolchain::{self, Toolchain};

/// Parts of the workspace that are compiled for another machine: the target, and cargo's choice of the part.
const PARTS: [(&Target, &[&str]); 3] = [
    (
        &BPF,
        &[
            "--package=gatebell-channel",
            "--no-default-features",
            "--features=ebpf",
        ],
    ),
    (
        &WDM,
        &[
            "--package=gatebell-channel",
            "--no-default-features",
            "--features=wdm",
        ],
    ),
    (
        &WINDOWS,
        &[
            "--package=gatebell-channel",
            "--package=gatebell-channel-c",
            "--package=gatebell-sample-app",
            "--package=gatebell-app",
            "--package=gatebell-cli",
            "--package=pager",
            "--features=gatebell-channel/async",
        ],
    ),
];

/// Check to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Check {
    /// deny.toml: licences, crates that are banned, and where crates come from
    Deny,
    /// Formatting and clippy
    Clippy,
}

/// Fails at the first crate that does not pass. No check: both.
pub fn run(check: Option<Check>) -> Result<i32> {
    if check != Some(Check::Clippy) {
        deny()?;
    }
    if check != Some(Check::Deny) {
        foreign()?;
    }
    Ok(0)
}

/// Checks every workspace of the clone, each with its own lock file, by deny.toml. Advisories are left out: their list
/// is fetched from the network, and changes without us.
fn deny() -> Result<()> {
    setup::ensure(&[Need::Deny])?;
    for manifest in ["Cargo.toml".to_owned()].into_iter().chain(manifests()) {
        let mut deny = toolchain::cargo();
        deny.args(["deny", "--log-level=error", "--locked", "--manifest-path"])
            .arg(place::root().join(&manifest))
            .args(["check", "licenses", "bans", "sources"])
            .current_dir(place::root());
        command::run(&mut deny).with_context(|| format!("checking {manifest} by deny.toml"))?;
    }
    Ok(())
}

fn foreign() -> Result<()> {
    setup::ensure(&[Need::Lint, Need::Windows, Need::Fuzz])?;
    for manifest in manifests() {
        let mut format = toolchain::cargo();
        format.args(["fmt", "--check", "--manifest-path"]);
        command::run(format.arg(place::root().join(&manifest)))
            .with_context(|| format!("the formatting of {manifest}"))?;
    }
    for (target, selection) in PARTS {
        command::run(&mut clippy(target, ".", selection)?)
            .with_context(|| format!("linting the workspace for {}", target.name))?;
    }
    for krate in build::foreign_crates() {
        command::run(&mut clippy(krate.target, krate.folder, &[])?)
            .with_context(|| format!("linting {}", krate.folder))?;
    }
    command::run(&mut lint_built(fuzz::cargo("build"), "clippy-driver")).context("linting fuzz")
}

/// Has what cargo builds linted on the way, by the linter as the compiler of what is ours: what lies below is not
/// compiled a second time, for checking alone.
fn lint_built(mut cargo: Command, linter: impl AsRef<OsStr>) -> Command {
    cargo
        .env("RUSTC_WORKSPACE_WRAPPER", linter)
        // How cargo-clippy hands its arguments on, each with this behind it.
        .env("CLIPPY_ARGS", format!("{WARNINGS}__CLIPPY_HACKERY__"));
    cargo
}

/// Flag for rustc that makes each warning an error.
const WARNINGS: &str = "-Dwarnings";

/// The manifests of all crates outside the workspace.
fn manifests() -> impl Iterator<Item = String> {
    build::foreign_crates()
        .map(|krate| krate.folder)
        .chain(["fuzz"])
        .map(|folder| format!("{folder}/Cargo.toml"))
}

/// Lints in the profile in which it is built, so that build scripts and macros need not be compiled once more.
///
/// A program for Windows has hundreds of crates below it, which `cargo clippy` would compile a second time, for
/// checking alone. So it is built as for its tests, with the linter as the compiler of what is ours.
fn clippy(target: &Target, folder: &str, selection: &[&str]) -> Result<Command> {
    let toolchain = Toolchain::require()?;
    let mut cargo = if target.has_programs() {
        let mut cargo = toolchain.cargo();
        cargo.arg("build");
        lint_built(cargo, toolchain.linter())
    } else {
        toolchain.clippy()
    };
    build::aim(&mut cargo, target);
    cargo
        .arg("--quiet")
        .args(selection)
        .current_dir(place::root().join(folder));
    if !target.has_programs() {
        cargo.args(["--", WARNINGS]);
    }
    Ok(cargo)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::fs;

    /// The lines of `[PREFIXlints.rust]` and `[PREFIXlints.clippy]`.
    fn lints(manifest: &str, prefix: &str) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let mut section = None;
        for line in manifest.lines().map(str::trim) {
            if line.starts_with('[') {
                section = ["rust", "clippy"]
                    .into_iter()
                    .find(|tool| line == format!("[{prefix}lints.{tool}]"));
            } else if let Some(tool) = section
                && !line.is_empty()
                && !line.starts_with('#')
            {
                found.insert(format!("{tool}: {line}"));
            }
        }
        found
    }

    #[test]
    fn every_crate_outside_the_workspace_has_its_lints() -> Result<()> {
        let workspace = fs::read_to_string(place::root().join("Cargo.toml"))?;
        let expected = lints(&workspace, "workspace.");
        assert!(expected.len() > 4, "{expected:?}");
        for manifest in manifests() {
            let text = fs::read_to_string(place::root().join(&manifest))?;
            assert_eq!(lints(&text, ""), expected, "{manifest}");
        }
        Ok(())
    }

    /// Checks that no driver uses the result of a relaxed addition: LLVM makes one for eBPF that returns nothing, and
    /// what was added is taken for what was there.
    #[test]
    fn no_driver_uses_what_a_relaxed_addition_says() -> Result<()> {
        let folders = build::foreign_crates().map(|krate| format!("{}/src", krate.folder));
        let mut additions = 0;
        for folder in folders.chain(["channel/src/driver".to_owned()]) {
            for file in fs::read_dir(place::root().join(folder))? {
                let file = file?.path();
                let text = fs::read_to_string(&file).unwrap_or_default();
                for line in text.lines().filter(|line| line.contains("atomic_xadd::<")) {
                    additions += 1;
                    let is_dropped = line.trim_end().ends_with("};");
                    assert!(
                        is_dropped || !line.contains("Relaxed"),
                        "{}: {line}",
                        file.display()
                    );
                }
            }
        }
        assert!(additions > 3, "only {additions} additions were found");
        Ok(())
    }

    #[test]
    fn every_crate_outside_the_workspace_is_known_here() -> Result<()> {
        let workspace = fs::read_to_string(place::root().join("Cargo.toml"))?;
        let excluded = workspace
            .lines()
            .find(|line| line.starts_with("exclude = "))
            .context("the workspace excludes something")?;
        let known: Vec<String> = manifests().collect();
        let folders = excluded.split('"').skip(1).step_by(2);
        for folder in folders {
            let mut pending = vec![place::root().join(folder)];
            while let Some(folder) = pending.pop() {
                let manifest = folder.join("Cargo.toml");
                if manifest.is_file() {
                    let name = manifest.strip_prefix(place::root())?.to_string_lossy();
                    let member = workspace
                        .contains(&format!("\"{}\"", name.trim_end_matches("/Cargo.toml")));
                    assert!(member || known.iter().any(|one| *one == name), "{name}");
                } else {
                    let entries = folder.read_dir()?.flatten().map(|entry| entry.path());
                    pending.extend(entries.filter(|path| path.is_dir()));
                }
            }
        }
        Ok(())
    }
}
