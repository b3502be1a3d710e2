//! What the service takes while nothing happens.

use super::Setting;
use crate::book::Book;
use crate::gatebell::{Gatebell, kernel_bytes};
use crate::machine::kibibytes;
use crate::ruleset::{Ordered, refuse};
use anyhow::{Context, Result};
use std::fs;
use std::time::Duration;

const FIGURE: &str = "idle";
const MIB: f64 = (1 << 20) as f64;

/// Measures an idle service.
pub fn measure(setting: &Setting<'_>, book: &mut Book) -> Result<()> {
    let mut gatebell = Gatebell::start(setting.programs, setting.ground, &refuse(true))?;
    let pid = gatebell.pid();
    std::thread::sleep(Duration::from_secs(1));
    let before = processor_ms(pid)?;
    std::thread::sleep(Duration::from_secs(10));
    book.put("idle_processor", &[processor_ms(pid)? - before]);
    book.put("idle_memory", &[resident_mib(pid)?]);
    book.beside(
        FIGURE,
        "kernel memory of its maps and programs",
        &[kernel_bytes(pid) as f64 / MIB],
        "MiB",
    );
    // A release that has no room for so many says so in the figure `rules`.
    if gatebell.publish(&Ordered::of(10_000).toml).is_ok() {
        book.beside(
            FIGURE,
            "resident memory after 10,000 rules",
            &[resident_mib(pid)?],
            "MiB",
        );
        book.beside(
            FIGURE,
            "kernel memory with 10,000 rules",
            &[kernel_bytes(pid) as f64 / MIB],
            "MiB",
        );
    }
    Ok(())
}

/// What the scheduler has given all of its threads, to the nanosecond.
fn processor_ms(pid: u32) -> Result<f64> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).context("the service has ended")?;
    let of_thread = |thread: fs::DirEntry| {
        let said = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        said.split(' ').next()?.parse::<f64>().ok()
    };
    let nanoseconds: f64 = threads.flatten().filter_map(of_thread).sum();
    Ok((nanoseconds / 1e6 * 100.0).round() / 100.0)
}

fn resident_mib(pid: u32) -> Result<f64> {
    let kib =
        kibibytes(&format!("/proc/{pid}/status"), "VmRSS").context("the service has no memory")?;
    Ok(kib as f64 / 1024.0)
}
