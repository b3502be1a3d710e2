//! ARCHITECTURE.md's table of rooms says what each crate depends on, no more and no less.

use crate::place::root;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// The folders of ours that the crate in this folder depends on, in the clone; not those that its tests alone do.
fn depends_on(room: &str) -> BTreeSet<String> {
    let manifest = root().join(room).join("Cargo.toml");
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--no-deps",
            "--offline",
            "--format-version=1",
            "--manifest-path",
        ])
        .arg(&manifest)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let is_it =
        |package: &&Value| package["manifest_path"].as_str().map(Path::new) == Some(&manifest);
    let package = packages.iter().find(is_it).unwrap();
    let all = package["dependencies"].as_array().unwrap().iter();
    all.filter(|dependency| dependency["kind"].is_null())
        .filter_map(|dependency| dependency["path"].as_str())
        .map(|path| {
            Path::new(path)
                .strip_prefix(root())
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned()
        })
        .collect()
}

/// Returns the folders that a name stands for: `a/{b,c}` is a/b and a/c.
fn folders(name: &str) -> Vec<String> {
    match name.trim_end_matches('}').split_once('{') {
        Some((start, ends)) => ends.split(',').map(|end| format!("{start}{end}")).collect(),
        None => vec![name.to_owned()],
    }
}

/// Returns the names between backticks in a cell that are folders of crates.
fn crates(cell: &str) -> BTreeSet<String> {
    let names = cell.split('`').skip(1).step_by(2).flat_map(folders);
    names
        .map(|name| name.trim_end_matches('/').to_owned())
        .filter(|name| root().join(name).join("Cargo.toml").is_file())
        .collect()
}

#[test]
fn the_table_of_rooms_says_what_each_depends_on() {
    let text = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let (_, rooms) = text.split_once("## The rooms").unwrap();
    let mut compared = 0;
    for row in rooms.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").collect();
        let [room, _, may] = cells[..] else {
            // The table of the article's words follows, and has two.
            continue;
        };
        // Tests, figures and fuzz targets depend on whatever they try.
        if may.trim() == "everything" || may.contains("whatever") {
            continue;
        }
        for room in crates(room) {
            assert_eq!(depends_on(&room), crates(may), "{room}");
            compared += 1;
        }
    }
    assert!(compared > 12, "only {compared} rooms were compared");
}

/// Checks that the crate has no test file of its own: beside one cargo would build this program anew, and put it in the
/// place of the one that runs the tests and starts itself for some of their steps.
#[test]
fn no_test_file_has_this_program_built_while_it_runs() {
    let files = std::fs::read_dir(root().join("xtask/tests"));
    assert_eq!(files.map_or(0, Iterator::count), 0);
}
