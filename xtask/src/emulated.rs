//! The main job in the emulated machine: the very same `cargo xtask run`, with its programs brought along.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::build;
use crate::place;
use crate::setup::{self, Need};
use crate::vm::{self, Machine};

/// The longest that the emulated machine runs the main job, if nobody ends it before.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Runs the main job in the emulated machine and returns its exit code. Ctrl-C goes to it.
pub fn run() -> Result<i32> {
    setup::ensure(&[Need::Vm, Need::Lab])?;
    build::ebpf_drivers()?;
    let programs = Folder::filled()?;
    eprintln!(
        "run: booting an emulated machine with a kernel of Debian's; its processors are slow"
    );
    let mut machine = Machine::new(command(&programs.0)?);
    let curl = place::program("curl").context("curl is missing: cargo xtask setup lab")?;
    machine.files = vec![
        env::current_exe()?,
        programs.0.clone(),
        place::root().join("firewall/rules/examples"),
        curl,
    ];
    machine.files.extend(rule_file());
    machine.directory = env::current_dir()?;
    machine.timeout = LONGEST;
    vm::run(&machine)?.code()
}

/// Returns this very program with the words that it was given, and with the folder of its programs.
fn command(programs: &Path) -> Result<Vec<String>> {
    let ourselves = env::current_exe()?.to_string_lossy().into_owned();
    let mut words = vec![
        ourselves,
        "run".to_owned(),
        "--programs".to_owned(),
        programs.to_string_lossy().into_owned(),
    ];
    words.extend(env::args().skip(2).filter(|word| word != "--vm"));
    Ok(words)
}

/// Returns the rule file among our words, so that it can be copied into the machine.
fn rule_file() -> Option<PathBuf> {
    let words: Vec<String> = env::args().collect();
    let after = words
        .iter()
        .position(|word| word == "--rules")
        .and_then(|at| words.get(at + 1))
        .cloned();
    let file = after.or_else(|| {
        words
            .iter()
            .find_map(|word| word.strip_prefix("--rules=").map(str::to_owned))
    })?;
    std::path::absolute(file).ok()
}

/// Service, app and driver in one folder. Dropped, it is gone.
struct Folder(PathBuf);

impl Folder {
    fn filled() -> Result<Self> {
        let folder = Self(place::machine().join(format!("programs-{}", std::process::id())));
        fs::create_dir_all(&folder.0)?;
        let mut files = build::host(&["gatebell-service", "gatebell-app"])?;
        files.push(place::drivers().join("gatebell_firewall.bpf.o"));
        for file in files {
            let name = file.file_name().context("a program has a name")?;
            fs::copy(&file, folder.0.join(name))
                .with_context(|| format!("copying {}", file.display()))?;
        }
        Ok(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
