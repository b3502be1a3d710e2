//! The service as somebody starts it who may not: it says so, and says nothing of the kernel that it can't know.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::path::Path;
use std::process::{Command, Output};

/// Runs the service without a capability, also where this process has them all.
fn run_without_rights(state: &Path, words: &[&str]) -> Output {
    let nowhere = state.join("nothing");
    let program = env!("CARGO_BIN_EXE_gatebelld");
    let mut command = Command::new(program);
    if nix::unistd::geteuid().is_root() {
        command = Command::new("setpriv");
        command.args(["--bounding-set=-all", "--inh-caps=-all", program]);
    }
    command
        .args(words)
        .arg("--state")
        .arg(state)
        .arg("--pins")
        .arg(&nowhere)
        .arg("--socket")
        .arg(nowhere.join("device.sock"))
        .arg("--control")
        .arg(nowhere.join("control.sock"))
        .arg("--nft")
        .arg(&nowhere)
        .output()
        .unwrap()
}

#[test]
fn who_has_no_rights_is_told_what_root_types_and_nothing_of_the_kernel() {
    for words in [&[][..], &["--recover"]] {
        let state = tempfile::tempdir().unwrap();
        let output = run_without_rights(state.path(), words);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{words:?}: {said}");
        assert!(output.stdout.is_empty(), "{words:?}: it has looked nowhere");
        for command in ["sudo systemctl start gatebell", "sudo gatebell recover"] {
            assert!(said.contains(command), "{words:?}: {said}");
        }
        assert!(!said.contains("EVERYTHING PASSES"), "{words:?}: {said}");
        let left = std::fs::read_dir(state.path()).unwrap().count();
        assert_eq!(left, 0, "{words:?}: nothing is written down");
    }
}
