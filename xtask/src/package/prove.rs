//! `cargo xtask package --prove`: the package on a machine, with a world outside, under systemd; with `--guests` on one
//! with containers, libvirt's network and a VPN.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;

use super::{SERVICE, make};
use crate::build;
use crate::place;
use crate::setup::{self, Need};
use crate::vm::{self, Machine};

/// The longest that all of it takes, reboot included, with another emulated machine beside it.
const LONGEST: Duration = Duration::from_secs(2400);

/// Installs, upgrades, kills, reboots and purges in the emulated machine; 0 if all points held.
pub fn alone() -> Result<i32> {
    setup::ensure(&[Need::Vm, Need::Systemd])?;
    let packages = packages()?;
    let built = build::host(&["gatebell-tests"])?;
    let traffic = build::named(&built, "traffic")?.to_owned();
    let arguments = packages.into_iter().chain([traffic]).collect();
    prove("prove.sh", arguments, Machine::with_debian)
}

/// Has guests and a VPN do what they do before the package, with it, upgraded, rebooted with a broken list,
/// and purged; 0 if each did as it should.
pub fn with_guests() -> Result<i32> {
    setup::ensure(&[Need::Vm, Need::Systemd])?;
    let arguments = packages()?.into();
    prove("guests.sh", arguments, Machine::with_debian_and_guests)
}

/// The package, and a newer one.
fn packages() -> Result<[PathBuf; 2]> {
    let version = env!("CARGO_PKG_VERSION");
    let package = make(&SERVICE, version)?;
    let upgrade = make(&SERVICE, &format!("{version}+1"))?;
    Ok([package, upgrade])
}

/// Runs a script of `package/` with these files as its arguments.
fn prove(script: &str, arguments: Vec<PathBuf>, system: fn(Machine) -> Machine) -> Result<i32> {
    let folder = place::root().join("package");
    let files = [vec![folder.join(script)], arguments].concat();
    let words = files.iter().map(|path| path.to_string_lossy().into_owned());
    let words = ["bash".to_owned()].into_iter().chain(words);
    let mut machine = system(Machine::new(words.collect()));
    machine.files = files;
    // What the scripts have in common, and how the units are rated; each reads it from beside itself.
    let beside = ["machine.sh", "exposure"].map(|name| folder.join(name));
    machine.files.extend(beside);
    machine.timeout = LONGEST;
    vm::run(&machine)?.code()
}
