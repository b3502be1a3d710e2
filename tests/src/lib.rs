//! Helpers of the tests on real kernels.

#[cfg(target_os = "linux")]
pub mod acting;
#[cfg(target_os = "linux")]
pub mod again;
pub mod image;
pub mod wine;

use std::time::Duration;

/// Greatest time that a test waits for what is meant to come about. A net for what never does, and no promise: where a
/// kernel is emulated on a busy machine, what takes milliseconds elsewhere takes seconds.
pub const PATIENCE: Duration = Duration::from_secs(60);
