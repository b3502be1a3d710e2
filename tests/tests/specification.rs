//! SPECIFICATION.md names the test of each promise: each of them must be one that a room runs.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::LazyLock;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// A test that a room runs, as the compiled tests list it.
struct Listed {
    room: String,
    package: String,
    target: String,
    name: String,
    ignored: bool,
}

/// Tests that the rooms run: `cargo xtask test --names` compiles all tests and asks each program.
static LISTED: LazyLock<Vec<Listed>> = LazyLock::new(|| {
    let output = Command::new("cargo")
        .args(["xtask", "test", "--names"])
        .current_dir(root())
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success(), "the tests can't be listed");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(listed).collect()
});

fn listed(line: &str) -> Listed {
    let parts: Vec<&str> = line.split('\t').collect();
    let [room, package, target, path, state] = parts[..] else {
        panic!("not a line of five parts: {line}")
    };
    Listed {
        room: room.to_owned(),
        package: package.to_owned(),
        target: target.to_owned(),
        name: path.rsplit("::").next().unwrap().to_owned(),
        ignored: state == "ignored",
    }
}

/// Returns whether a test is one of those that the specification calls by this prefix.
fn is_of(prefix: &str, test: &Listed) -> bool {
    let (package, target) = (test.package.as_str(), test.target.as_str());
    match prefix {
        "loom" | "shuttle" | "nt" => test.room == prefix,
        "model" => package == "gatebell-channel" && target == "promises",
        "abi" => package.ends_with("-abi"),
        "unit" => package != "gatebell-tests",
        "wine" => target == "windows",
        "app" => ["gatebell-app", "gatebell-view"].contains(&package),
        "sample" => package.starts_with("gatebell-sample"),
        "" => true,
        other if package == "gatebell-tests" => target == other,
        other => package.strip_prefix("gatebell-") == Some(other),
    }
}

/// Returns why `prefix::name` stands for no test that runs, or `None` if it stands for one.
fn complaint(named: &str) -> Option<String> {
    let (prefix, name) = named.split_once("::").unwrap_or(("", named));
    let known = match prefix {
        "package" => steps_of("package/prove.sh", &["first", "second"]).contains(name),
        "guests" => steps_of("package/guests.sh", &["tour", "second"]).contains(name),
        "fuzz" => fuzz_targets().contains(name),
        _ => {
            let mut found = LISTED
                .iter()
                .filter(|test| test.name == name && is_of(prefix, test))
                .peekable();
            if found.peek().is_some() && found.all(|test| test.ignored) {
                return Some(format!("{named} is ignored"));
            }
            LISTED
                .iter()
                .any(|test| test.name == name && is_of(prefix, test))
        }
    };
    (!known).then(|| format!("{named} is not among the tests that run"))
}

/// Returns the steps that these functions of a script do, as each of them lists them.
fn steps_of(script: &str, functions: &[&str]) -> BTreeSet<String> {
    let script = std::fs::read_to_string(root().join(script)).unwrap();
    let bodies = functions.iter().map(|function| {
        let body = script
            .split(&format!("\n{function}() {{\n"))
            .nth(1)
            .unwrap();
        body.split("\n}").next().unwrap()
    });
    let words = bodies.flat_map(str::split_whitespace);
    words.map(str::to_owned).collect()
}

/// Returns the names of the fuzz targets: the functions that take any bytes.
fn fuzz_targets() -> BTreeSet<String> {
    let files = std::fs::read_dir(root().join("fuzz/targets")).unwrap();
    let texts = files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap());
    let mut names = BTreeSet::new();
    for text in texts {
        let functions = text.lines().filter_map(|line| line.strip_prefix("fn any_"));
        names.extend(functions.map(|rest| format!("any_{}", word(rest))));
    }
    names
}

fn word(text: &str) -> String {
    text.chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect()
}

/// Returns the names between backticks in the last column of the specification's tables.
fn tests_named(specification: &str) -> Vec<String> {
    let rows = specification
        .lines()
        .filter(|line| line.starts_with("| ") && line.ends_with(" |"));
    rows.filter_map(|row| row.trim_end_matches(" |").rsplit("| ").next())
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_promise_names_a_test_that_runs() {
    let specification = std::fs::read_to_string(root().join("SPECIFICATION.md")).unwrap();
    let named = tests_named(&specification);
    assert!(
        named.len() > 40,
        "only {} tests are named: is this the right table?",
        named.len()
    );
    let wrong: Vec<_> = named.iter().filter_map(|name| complaint(name)).collect();
    assert!(wrong.is_empty(), "SPECIFICATION.md: {wrong:#?}");
}

#[test]
fn what_is_no_test_that_runs_stands_for_no_promise() {
    for named in [
        // A function that is no test, text in a test, a test of another room, a step that is not taken, a helper there.
        "unit::tests_named",
        "linux::rusty",
        "linux::the_first_rule_that_matches_decides",
        "package::leaks",
        "guests::leaves",
        "fuzz::read_through",
        "nowhere::every_promise_names_a_test_that_runs",
    ] {
        assert!(complaint(named).is_some(), "{named}");
    }
}

#[test]
fn every_answer_to_a_predecessor_names_a_test_that_runs() {
    let predecessors = std::fs::read_to_string(root().join("docs/predecessors.md")).unwrap();
    let named = tests_named(&predecessors);
    let tests = named.iter().filter(|name| name.contains('_'));
    let wrong: Vec<_> = tests.filter_map(|name| complaint(name)).collect();
    assert!(wrong.is_empty(), "docs/predecessors.md: {wrong:#?}");
}

#[test]
fn every_finding_of_the_review_names_a_test_that_runs_or_why_none_can() {
    let page = std::fs::read_to_string(root().join("docs/windows.md")).unwrap();
    for number in 1..=24 {
        let start = format!("| {number} | ");
        let row = page.lines().find(|line| line.starts_with(&start));
        let row = row.unwrap_or_else(|| panic!("docs/windows.md: no finding {number}"));
        let is_name = |name: &&String| {
            let mut letters = name.chars();
            name.contains('_')
                && letters.all(|c| c.is_ascii_lowercase() || "_:0123456789".contains(c))
        };
        let named = tests_named(row);
        let named: Vec<_> = named.iter().filter(is_name).collect();
        let wrong: Vec<_> = named.iter().filter_map(|name| complaint(name)).collect();
        assert!(wrong.is_empty(), "docs/windows.md, {number}: {wrong:#?}");
        let says_why = row.contains("be shown here");
        assert!(
            !named.is_empty() || says_why,
            "docs/windows.md, {number}: neither a test nor why there is none"
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

/// The texts of all files below this folder.
fn texts_below(folder: &Path) -> Vec<(String, String)> {
    let mut texts = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            texts.extend(texts_below(&path));
        } else if let Ok(text) = std::fs::read_to_string(&path) {
            texts.push((path.display().to_string(), text));
        }
    }
    texts
}

/// The units of ours that a text tells people to start, reload or look at.
/// A string of Rust's goes on in the next line after a backslash.
fn units_in(text: &str) -> Vec<String> {
    let text = text.replace("\\\n", " ").replace(['`', '\\'], " ");
    let commands = text.split("systemctl ").skip(1);
    let units = commands.filter_map(|command| {
        let mut words = command.split_whitespace();
        words.nth(1).map(|unit| {
            unit.trim_end_matches([',', ';', '.', '"', ')', ':'])
                .trim_end_matches(".service")
        })
    });
    let ours = units.filter(|unit| unit.starts_with("gatebell"));
    ours.map(str::to_owned).collect()
}

#[test]
fn what_messages_and_pages_say_of_the_service_names_the_unit_that_the_package_installs() {
    let units = std::fs::read_dir(root().join("package/gatebell")).unwrap();
    let units: Vec<String> = units
        .filter_map(|entry| {
            let name = entry.unwrap().file_name().into_string().unwrap();
            name.strip_suffix(".service").map(str::to_owned)
        })
        .collect();
    let mut seen = 0;
    let files = ["firewall", "package", "docs"].map(|folder| texts_below(&root().join(folder)));
    for (file, text) in files.into_iter().flatten() {
        for unit in units_in(&text) {
            assert!(units.contains(&unit), "{file}: there is no unit {unit}");
            seen += 1;
        }
    }
    assert!(seen > 10, "the messages were read: {seen}");
}
