//! gatebelld's command line. See the library beside it.
#![forbid(unsafe_code)]

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    service::run(std::env::args_os())
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("gatebelld serves the Linux driver; there is no firewall for Windows yet");
}
