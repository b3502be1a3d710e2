//! Processes that end at once.

use super::Done;
use anyhow::{Context, Result};
use std::process::{Command, Stdio};
use std::time::Instant;

/// The smallest real program at hand: linked statically, it does nothing.
const PROGRAM: &str = "busybox";
/// The longest storm.
const MOST_SECONDS: f64 = 60.0;

/// Starts them one after the other.
pub fn storm(count: u32) -> Result<Done> {
    let (start, mut done) = (Instant::now(), 0);
    while done < u64::from(count) && start.elapsed().as_secs_f64() < MOST_SECONDS {
        let ended = Command::new(PROGRAM)
            .arg("true")
            .stdin(Stdio::null())
            .status();
        ended.with_context(|| format!("can't start {PROGRAM}"))?;
        done += 1;
    }
    Ok(Done::since(start, done))
}
