//! The article's two projects on Windows' interfaces: the sample's driver loaded in Wine, its app run beside it with
//! the arguments given. For `cargo xtask sample --windows`, after `cargo xtask build windows` and `… wine`.

use gatebell_tests::wine::{LIMITS, Machine, SAMPLE_SERVICE};
use std::path::Path;
use std::process::{ExitCode, Stdio};

fn main() -> std::io::Result<ExitCode> {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
    eprintln!("sample: starting Wine in a prefix of its own; this takes about twenty seconds");
    let machine = Machine::boot(&built.canonicalize()?)?;
    machine.start_driver(SAMPLE_SERVICE, &built.join("drivers/gatebell_sample.sys"))?;
    let mut app = machine.command(&built.join("windows/gatebell-sample-app.exe"));
    app.args(std::env::args_os().skip(1));
    let status = app
        .stdin(Stdio::inherit())
        .stdout(Stdio::inherit())
        .stderr(Stdio::inherit())
        .status()?;
    drop(machine);
    eprintln!("sample: {LIMITS}");
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
