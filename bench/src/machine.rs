//! Machine and time of the measurement.

use serde::Serialize;
use std::fs;
use std::process::Command;

/// The machine, its kernel, and the day.
#[derive(Debug, Serialize)]
pub struct Machine {
    /// Name of the processors, as they report it.
    pub processor: String,
    /// Number of processors.
    pub processors: usize,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Release of the kernel.
    pub kernel: String,
    /// Time at which the run began, in UTC.
    pub date: String,
    /// Programs that were running beside when it began: the load average of the last minute.
    pub load: f64,
    /// `true` for a short run.
    pub quick: bool,
}

impl Machine {
    /// Looks around.
    pub fn here(quick: bool) -> Self {
        Self {
            processor: after("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".to_owned()),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            memory_mib: kibibytes("/proc/meminfo", "MemTotal").unwrap_or(0) / 1024,
            kernel: read("/proc/sys/kernel/osrelease"),
            date: date(),
            load: read("/proc/loadavg")
                .split(' ')
                .next()
                .and_then(|word| word.parse().ok())
                .unwrap_or(0.0),
            quick,
        }
    }
}

/// A line `name: 12 kB` of a file of the kernel's.
pub fn kibibytes(file: &str, name: &str) -> Option<u64> {
    after(file, name)?.split_whitespace().next()?.parse().ok()
}

fn after(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_once(':')
        .map(|(_, value)| value.trim().to_owned())
}

fn read(file: &str) -> String {
    fs::read_to_string(file)
        .unwrap_or_default()
        .trim()
        .to_owned()
}

fn date() -> String {
    let said = Command::new("date")
        .args(["-u", "+%Y-%m-%d %H:%M"])
        .output();
    said.map(|said| String::from_utf8_lossy(&said.stdout).trim().to_owned())
        .unwrap_or_default()
}
