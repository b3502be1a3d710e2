//! SPECIFICATION.md names the test of each promise: each of them must exist.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Every file of the project's own that may hold a test.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            sources(&path, found);
        } else if name.ends_with(".rs") || name.ends_with(".sh") {
            found.push(path);
        }
    }
}

/// What a test may be called by: `fn name`, or `"name"` as Wine's promises are listed, or `name() {` in a script.
fn known_names() -> BTreeSet<String> {
    let mut files = Vec::new();
    sources(root(), &mut files);
    let mut names = BTreeSet::new();
    for file in files {
        let text = std::fs::read_to_string(file).unwrap();
        for before in ["fn ", "\""] {
            names.extend(
                text.match_indices(before)
                    .map(|(at, _)| word(&text[at + before.len()..])),
            );
        }
        names.extend(
            text.lines()
                .filter_map(|line| line.strip_suffix("() {"))
                .map(word),
        );
    }
    names
}

fn word(text: &str) -> String {
    text.chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect()
}

/// What stands between backticks in the last column of the specification's tables.
fn tests_named(specification: &str) -> Vec<String> {
    let rows = specification
        .lines()
        .filter(|line| line.starts_with("| ") && line.ends_with(" |"));
    rows.filter_map(|row| row.trim_end_matches(" |").rsplit("| ").next())
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .map(|name| name.rsplit("::").next().unwrap().to_owned())
        .collect()
}

#[test]
fn every_promise_names_a_test_that_exists() {
    let specification = std::fs::read_to_string(root().join("SPECIFICATION.md")).unwrap();
    let (named, known) = (tests_named(&specification), known_names());
    assert!(
        named.len() > 40,
        "only {} tests are named: is this the right table?",
        named.len()
    );
    let missing: Vec<_> = named.iter().filter(|name| !known.contains(*name)).collect();
    assert!(
        missing.is_empty(),
        "SPECIFICATION.md names tests that do not exist: {missing:#?}"
    );
}

#[test]
fn every_answer_to_a_predecessor_names_a_test_that_exists() {
    let predecessors = std::fs::read_to_string(root().join("docs/predecessors.md")).unwrap();
    let known = known_names();
    for name in tests_named(&predecessors)
        .iter()
        .filter(|name| name.contains('_'))
    {
        assert!(
            known.contains(name),
            "docs/predecessors.md names {name}, which does not exist"
        );
    }
}

#[test]
fn every_promise_has_a_number_of_its_own_and_a_test() {
    let specification = std::fs::read_to_string(root().join("SPECIFICATION.md")).unwrap();
    let mut numbers = BTreeSet::new();
    for row in specification.lines().filter(|line| line.starts_with("| P")) {
        let number = row[2..].split(' ').next().unwrap();
        assert!(numbers.insert(number.to_owned()), "{number} stands twice");
        assert!(
            row.contains('`') || row.contains("pending"),
            "{number} names no test"
        );
    }
}
