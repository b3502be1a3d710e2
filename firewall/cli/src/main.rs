//! gatebell: the command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(cli::run(&cli::parse()))
}
