//! Runs the program as a person does.

#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "each test file uses a part; a test that can't go on has failed"
)]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// Runs `gatebell` with these arguments, in the captures' folder.
pub fn gatebell(arguments: &[&str]) -> Output {
    command(arguments).output().unwrap()
}

/// Runs `gatebell` with these arguments and this standard input.
pub fn gatebell_given(input: &[u8], arguments: &[&str]) -> Output {
    let mut child = command(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may end before it has read everything.
    let _unread = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatebell"));
    command.args(arguments).current_dir(captures());
    command
}

/// Returns a pipe whose reader is closed.
pub fn nobody() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

pub fn captures() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/captures"))
}

pub fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Returns both outputs of a run and the exit code.
pub fn shown(output: &Output) -> String {
    format!(
        "{}{}exit code {}\n",
        out(output),
        err(output),
        output.status.code().unwrap()
    )
}

/// Holds what a run shows against the file of that name.
pub fn golden(name: &str, output: &Output) {
    let shown = shown(output);
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden")).join(name);
    if std::env::var_os("GOLDEN").is_some_and(|word| word == "write") {
        std::fs::write(&path, &shown).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(shown == expected, "{name} has changed; it is now:\n{shown}");
}

/// A rule file in a folder of its own, which goes with it.
pub struct File {
    pub folder: TempDir,
    pub path: String,
}

impl File {
    pub fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rules.toml");
        std::fs::write(&path, text).unwrap();
        Self {
            path: path.display().to_string(),
            folder,
        }
    }

    pub fn text(&self) -> String {
        std::fs::read_to_string(&self.path).unwrap()
    }

    /// `gatebell rules` with these words on this file; a socket that nobody serves.
    pub fn rules(&self, words: &[&str]) -> Output {
        let mut all = vec!["rules"];
        all.extend(words);
        all.extend(["--file", &self.path]);
        if cfg!(target_os = "linux") {
            all.extend(["--socket", "/nonexistent/gatebell.sock"]);
        }
        gatebell(&all)
    }

    pub fn shown(&self, words: &[&str]) -> String {
        shown(&self.rules(words)).replace(&self.path, "FILE")
    }
}
