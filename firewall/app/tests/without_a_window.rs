//! The app where there is no window: in a terminal, and as JSON.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::process::Command;

#[test]
fn a_service_that_does_not_run_is_said_with_what_starts_it_as_on_the_command_line() {
    for view in ["--terminal", "--json"] {
        let output = Command::new(env!("CARGO_BIN_EXE_gatebell-app"))
            .args([view, "--device", "/nonexistent/device.sock"])
            .env("LANG", "de_DE.UTF-8")
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1), "{view}");
        assert_eq!(
            String::from_utf8(output.stderr).unwrap(),
            "gatebell-app: gatebelld is not running; start it with `sudo systemctl start gatebell`\n",
            "{view}"
        );
    }
}
