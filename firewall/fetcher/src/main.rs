//! The program `gatebell-fetch`.

fn main() -> std::process::ExitCode {
    #[cfg(target_os = "linux")]
    return fetcher::run(std::env::args_os());
    #[cfg(not(target_os = "linux"))]
    {
        eprintln!("gatebell-fetch fetches lists for the service, which there is on Linux alone");
        std::process::ExitCode::FAILURE
    }
}
