//! Ratings of the units by `systemd-analyze security`: none may get worse unseen.

use std::path::Path;
use std::process::Command;

use crate::place;

/// Ratings that the units have at most, one a line; the proof of the package reads the same.
const BOUNDS: &str = include_str!("../../../package/exposure");

/// Returns the units in the file's order, each with its bound.
fn bounds() -> impl Iterator<Item = (&'static str, &'static str)> {
    let lines = BOUNDS.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once(' '))
}

/// Returns what systemd says of a unit file that it rates worse than this, or `None` if it rates it no worse.
fn complaint(unit: &Path, most: &str) -> Option<String> {
    let rated = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--no-pager"])
        .arg(format!("--threshold={most}"))
        .arg(unit)
        .output()
        .expect("systemd is there: `cargo xtask setup package` installs it");
    let said = String::from_utf8_lossy(&rated.stdout);
    let bad = said.lines().filter(|line| !line.starts_with(['✓', ' ']));
    (!rated.status.success()).then(|| bad.collect::<Vec<_>>().join("\n"))
}

#[test]
fn no_unit_may_do_more_than_it_is_rated_for() {
    let folder = place::root().join("package/gatebell");
    let entries = folder.read_dir().expect("the package's files");
    let names = entries.flatten().map(|entry| entry.file_name());
    let mut units: Vec<_> = names
        .filter_map(|name| name.into_string().ok())
        .filter(|name| name.ends_with(".service"))
        .collect();
    let mut bounded: Vec<_> = bounds().map(|(unit, _)| unit).collect();
    units.sort_unstable();
    bounded.sort_unstable();
    assert_eq!(units, bounded, "each unit has a bound in package/exposure");
    for (unit, most) in bounds() {
        if let Some(bad) = complaint(&folder.join(unit), most) {
            panic!("{unit} is rated worse than {most} tenths:\n{bad}");
        }
    }
}

#[test]
fn a_unit_that_may_do_more_than_it_is_rated_for_is_caught() {
    let folder = std::env::temp_dir().join(format!("gatebell-exposure-{}", std::process::id()));
    super::fresh(&folder).expect("a folder of the test's own");
    let unit = "[Service]\nExecStart=/bin/true\n";
    let file = folder.join("gatebell-wide.service");
    std::fs::write(&file, unit).expect("a unit");
    let bad = complaint(&file, "23");
    std::fs::remove_dir_all(&folder).expect("the folder is there");
    assert!(bad.is_some_and(|bad| bad.contains("CAP_SYS_ADMIN")));
}
