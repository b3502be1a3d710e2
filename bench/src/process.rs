//! Resources that a process has taken, as reported by the kernel.

use crate::machine::kibibytes;
use anyhow::{Context, Result};
use std::fs;

/// Milliseconds that the scheduler has given all of its threads, to a hundredth.
pub fn processor_ms(pid: u32) -> Result<f64> {
    let threads = fs::read_dir(format!("/proc/{pid}/task"))
        .with_context(|| format!("process {pid} has ended"))?;
    let of_thread = |thread: fs::DirEntry| {
        let said = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        said.split(' ').next()?.parse::<f64>().ok()
    };
    let nanoseconds: f64 = threads.flatten().filter_map(of_thread).sum();
    Ok((nanoseconds / 1e6 * 100.0).round() / 100.0)
}

/// Returns the resident memory of a process, in MiB.
pub fn resident_mib(pid: u32) -> Result<f64> {
    let kib = kibibytes(&format!("/proc/{pid}/status"), "VmRSS")
        .with_context(|| format!("process {pid} has no memory"))?;
    Ok(kib as f64 / 1024.0)
}
