#![doc = include_str!("../README.md")]
//!
//! # For who works on it
//!
//! It may depend on `channel_abi` and on what a kernel offers: `libc`, `windows-sys`, `aya`; with the feature `async`
//! on Linux on `tokio`; on nothing of the firewall.
//!
//! Rules that hold here:
//! - One API ([`Device`], [`Event`], [`Attachment`]) with three backings behind [`System`]: Linux, Windows, and a
//!   model of a kernel. The model is never more lenient than a real one.
//! - Each side counts for itself, and what an app was not told of is counted by cause (I1 to I5: see
//!   ARCHITECTURE.md).
//! - Bytes from the other side of the boundary are untrusted until `channel_abi` has made a type of them.
//! - `unsafe` stays in `sys/`, in `server/`, in `driver/ebpf.rs` and in `driver/wdm/`;
//!   and in `ring.rs` at one place, where it lends a record.
//! - A memory ordering that a promise rests on has its name in `orderings.rs`, and a test that fails without it.
#![cfg_attr(not(feature = "app"), no_std)]
// So that it stays so for whoever uses it. The driver's half alone has nobody who prints it.
#![cfg_attr(
    feature = "app",
    warn(
        missing_debug_implementations,
        clippy::missing_errors_doc,
        clippy::missing_panics_doc
    )
)]
// Rust's own atomic types add nothing on a target without compare-and-swap, which eBPF is for it.
#![cfg_attr(target_arch = "bpf", feature(core_intrinsics))]
#![cfg_attr(target_arch = "bpf", expect(internal_features, reason = "see above"))]

/// Doctests of the project's own page: what it shows of this library is compiled as the crate's page is.
#[cfg(all(doctest, feature = "app"))]
#[doc = include_str!("../../README.md")]
pub struct ProjectPage;

pub mod driver;
#[cfg(not(target_arch = "bpf"))]
pub mod orderings;
#[cfg(not(target_arch = "bpf"))]
pub mod ring;
#[cfg(not(target_arch = "bpf"))]
mod sync;

#[cfg(feature = "app")]
mod attachment;
#[cfg(all(feature = "async", any(target_os = "linux", windows)))]
mod awaited;
#[cfg(feature = "app")]
mod device;
#[cfg(feature = "app")]
mod error;
#[cfg(feature = "app")]
mod pace;
#[cfg(all(feature = "server", target_os = "linux"))]
pub mod server;
#[cfg(feature = "app")]
mod stream;
#[cfg(feature = "app")]
pub mod sys;

#[cfg(feature = "app")]
pub use {
    attachment::{Account, Attachment, DrainFlow},
    device::{Device, Drain, Event, System, Wake},
    error::Error,
    pace::Pace,
    stream::{Item, Lost, Record},
};

#[cfg(all(feature = "async", any(target_os = "linux", windows)))]
pub use awaited::AwaitedAttachment;
#[cfg(all(feature = "app", any(target_os = "linux", windows)))]
pub use device::open;

pub use channel_abi::{
    Cause, DriverCommand, DriverRequest, Ending, Header, Kind, Mask, Refusal, RequestHeader,
    Totals, UnknownRefusal,
};
