//! Helpers of the tests on real kernels.

#[cfg(target_os = "linux")]
pub mod acting;
#[cfg(target_os = "linux")]
pub mod again;
pub mod image;
pub mod wine;
