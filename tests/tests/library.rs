//! The library as others get it: what its crates offer is written down, and a change of that is a change of version.
//!
//! `library/api` has the public items of each crate, read from its source for every system at once. Where one differs,
//! say so in `channel/CHANGELOG.md`, raise the version if `library/released` asks for it, and write the list anew:
//!
//!     GATEBELL_WRITE_API=1 cargo test -p gatebell-tests --test library
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    reason = "a test may fail"
)]

#[path = "library/items.rs"]
mod items;
#[path = "library/text.rs"]
mod text;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Crate of the library: its folder, and the name of its code.
struct Crate {
    package: &'static str,
    folder: &'static str,
    name: &'static str,
}

const CRATES: [Crate; 4] = [
    Crate {
        package: "gatebell-channel-abi",
        folder: "channel/abi",
        name: "channel_abi",
    },
    Crate {
        package: "gatebell-channel",
        folder: "channel",
        name: "channel",
    },
    Crate {
        package: "gatebell-channel-link",
        folder: "channel/link",
        name: "channel_link",
    },
    Crate {
        package: "gatebell-channel-c",
        folder: "channel/c",
        name: "gatebell_channel",
    },
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

fn lists() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/library")
}

impl Crate {
    fn manifest(&self) -> String {
        fs::read_to_string(root().join(self.folder).join("Cargo.toml")).unwrap()
    }

    /// Returns the version in the crate's manifest.
    fn version(&self) -> [u64; 3] {
        let manifest = self.manifest();
        let mut lines = manifest.lines();
        let line = lines.find_map(|line| line.strip_prefix("version = "));
        version(line.expect("a version of its own").trim_matches('"'))
    }

    fn items(&self) -> BTreeSet<String> {
        items::of(&root().join(self.folder).join("src/lib.rs"), self.name)
    }
}

fn version(text: &str) -> [u64; 3] {
    let numbers: Vec<u64> = text.split('.').map(|part| part.parse().unwrap()).collect();
    numbers.try_into().unwrap()
}

fn read_list(file: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// Returns the items that are gone or have changed, and those that are new.
fn differences(before: &BTreeSet<String>, now: &BTreeSet<String>) -> [Vec<String>; 2] {
    let [gone, new] = [(before, now), (now, before)];
    [gone, new].map(|(these, those)| these.difference(those).cloned().collect())
}

/// Returns whether a version may lack what an earlier one offered, or offer more: by cargo's rules, where the first
/// number that is not zero is the one that breaks.
fn allows(before: [u64; 3], now: [u64; 3], gone: bool, new: bool) -> bool {
    let breaks = if before[0] > 0 {
        now[0] > before[0]
    } else if before[1] > 0 {
        now[..2] > before[..2]
    } else {
        now > before
    };
    match (gone, new) {
        (true, _) => breaks,
        (false, true) => now > before,
        (false, false) => now >= before,
    }
}

#[test]
fn what_the_library_offers_is_written_down() {
    let write = std::env::var_os("GATEBELL_WRITE_API").is_some();
    for krate in &CRATES {
        let file = lists()
            .join("api")
            .join(krate.package)
            .with_extension("txt");
        let now = krate.items();
        if write {
            let text: String = now.iter().map(|item| format!("{item}\n")).collect();
            fs::write(&file, text).unwrap();
        }
        let [gone, new] = differences(&read_list(&file), &now);
        assert!(
            gone.is_empty() && new.is_empty(),
            "what {} offers has changed. Say it in channel/CHANGELOG.md, raise the version if something is gone or something else, \
             and write the list anew with GATEBELL_WRITE_API=1.\ngone: {gone:#?}\nnew: {new:#?}",
            krate.package
        );
    }
}

#[test]
fn who_takes_something_away_from_the_library_raises_the_version_that_says_so() {
    for release in fs::read_dir(lists().join("released")).unwrap() {
        let folder = release.unwrap().path();
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let released = version(name.trim_start_matches('v'));
        for krate in &CRATES {
            let file = folder.join(krate.package).with_extension("txt");
            if !file.exists() {
                continue;
            }
            let [gone, new] = differences(&read_list(&file), &krate.items());
            assert!(
                allows(released, krate.version(), !gone.is_empty(), !new.is_empty()),
                "{} {:?} is not what {name} was: raise its version.\ngone: {gone:#?}\nnew: {new:#?}",
                krate.package,
                krate.version()
            );
        }
    }
    assert!(allows([0, 1, 0], [0, 1, 0], false, false));
    assert!(!allows([0, 1, 0], [0, 1, 0], false, true));
    assert!(allows([0, 1, 0], [0, 1, 1], false, true));
    assert!(!allows([0, 1, 0], [0, 1, 9], true, true));
    assert!(allows([0, 1, 9], [0, 2, 0], true, true));
    assert!(!allows([1, 2, 0], [1, 3, 0], true, false));
    assert!(allows([1, 2, 0], [2, 0, 0], true, false));
}

#[test]
fn every_version_of_the_library_is_in_its_change_log() {
    let log = fs::read_to_string(root().join("channel/CHANGELOG.md")).unwrap();
    let headings: Vec<_> = log
        .lines()
        .filter_map(|line| line.strip_prefix("## ["))
        .map(|rest| rest.split(']').next().unwrap())
        .collect();
    assert!(headings.is_sorted_by(|newer, older| version(newer) > version(older)));
    for krate in &CRATES {
        assert_eq!(krate.version(), version(headings[0]), "{}", krate.package);
    }
    // What others look at instead.
    let pkg_config = fs::read_to_string(root().join("channel/c/gatebell-channel.pc")).unwrap();
    assert!(pkg_config.contains(&format!("\nVersion: {}\n", headings[0])));
}

#[test]
fn a_crate_of_the_library_has_all_that_a_registry_asks_for() {
    for krate in &CRATES {
        let manifest = krate.manifest();
        for key in ["description", "readme", "include", "keywords", "categories"] {
            let has = manifest
                .lines()
                .any(|line| line.starts_with(&format!("{key} = ")));
            assert!(has, "{}: no {key}", krate.package);
        }
        assert!(manifest.contains("\nlicense.workspace = true\n"));
        for file in ["README.md", "LICENSE-MIT", "LICENSE-APACHE"] {
            let text = fs::read_to_string(root().join(krate.folder).join(file));
            assert!(
                text.is_ok_and(|text| !text.is_empty()),
                "{}: {file}",
                krate.package
            );
        }
    }
    // What one needs of another has a version beside its path.
    let workspace = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let [major, minor, patch] = CRATES[0].version();
    for name in ["channel-abi", "channel"] {
        let line = workspace
            .lines()
            .find(|line| line.starts_with(&format!("{name} = {{")));
        let asked = format!("version = \"{major}.{minor}.{patch}\"");
        assert!(line.unwrap().contains(&asked), "{name}: {asked}");
    }
}
