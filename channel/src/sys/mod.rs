//! Backings of [`crate::System`]: the kernels, and a model of one.

mod fetched;
#[cfg(target_os = "linux")]
pub mod linux;
pub mod model;
#[cfg(windows)]
pub mod windows;

/// Backing of the kernel that this program runs on.
#[cfg(target_os = "linux")]
pub type Host = linux::Linux;
/// Backing of the kernel that this program runs on.
#[cfg(windows)]
pub type Host = windows::Windows;
/// Backing on other systems, whose kernels have no driver: the model.
#[cfg(not(any(target_os = "linux", windows)))]
pub type Host = model::Model;

pub use fetched::Fetched;

#[cfg(all(feature = "async", target_os = "linux"))]
pub(crate) use linux::Arrival;
#[cfg(all(feature = "async", windows))]
pub(crate) use windows::Arrival;
