//! Processor time and memory of the idle service.

use super::Setting;
use crate::book::Book;
use crate::gatebell::{Gatebell, kernel_bytes};
use crate::process::{processor_ms, resident_mib};
use crate::ruleset::{Ordered, refuse};
use anyhow::Result;
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
