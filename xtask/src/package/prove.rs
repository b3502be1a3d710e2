//! `cargo xtask package --prove`: the package on a machine, with a world outside, under systemd.

use std::time::Duration;

use anyhow::{Context, Result};

use super::{SERVICE, make};
use crate::build;
use crate::place;
use crate::setup::{self, Need};
use crate::vm::{self, Machine};

/// The longest that all of it takes, reboot included, with another emulated machine beside it.
const LONGEST: Duration = Duration::from_secs(1500);

/// Installs, upgrades, kills, reboots and purges in the emulated machine; 0 if all points held.
pub fn run() -> Result<i32> {
    setup::ensure(&[Need::Vm, Need::Systemd])?;
    let version = env!("CARGO_PKG_VERSION");
    let package = make(&SERVICE, version)?;
    let upgrade = make(&SERVICE, &format!("{version}+1"))?;
    let traffic = build::host(&["gatebell-tests"])?;
    let traffic = traffic
        .iter()
        .find(|file| file.file_name().is_some_and(|name| name == "traffic"));
    let traffic = traffic.context("cargo built no traffic")?.clone();
    let script = place::root().join("package/prove.sh");
    let words =
        [&script, &package, &upgrade, &traffic].map(|path| path.to_string_lossy().into_owned());
    let words = ["bash".to_owned()].into_iter().chain(words);
    let mut machine = Machine::new(words.collect()).with_debian();
    machine.files = vec![script, package, upgrade, traffic];
    machine.timeout = LONGEST;
    vm::run(&machine)?.code()
}
