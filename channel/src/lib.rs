//! An event that the app owns and a driver signals: the channel between any driver and any app.
//!
//! The app creates an event and has the driver *reference* it; the driver *signals* it when it has put a *record*
//! into the app's ring (Linux) or queue (Windows); the app waits, wakes, and drains.
//!
//! ```no_run
//! # #[cfg(all(target_os = "linux", feature = "app"))] {
//! use channel::{Attachment, Device, Item, Mask};
//! use std::path::Path;
//!
//! let device: Device = Device::open(Path::new("/run/gatebell/device.sock"))?;
//! let event = device.create_event(64 * 1024)?;
//! let mut attachment = Attachment::reference(device, event, Mask::ALL)?;
//! while attachment.wait(None)?.signalled() {
//!     let drained = attachment.drain(|item| match item {
//!         Item::Record(record) => println!("{:?}", record.header()),
//!         Item::Lost(lost) => println!("lost {} on processor {}", lost.count, lost.processor),
//!     })?;
//!     if drained.ended.is_some() {
//!         break;
//!     }
//! }
//! # }
//! # Ok::<(), channel::Error>(())
//! ```
//!
//! It may depend on `contract` and on what a kernel offers: `libc`, `windows-sys`, `aya`; on nothing of the firewall.
//!
//! Rules that hold here:
//! - One API ([`Device`], [`Event`], [`Attachment`]) with three backings behind [`System`]: Linux, Windows, and a
//!   model of a kernel. The model is never more lenient than a real one.
//! - Each side counts for itself, and what an app was not told of is counted by cause (I1 to I5 in DESIGN's words:
//!   see ARCHITECTURE.md).
//! - Bytes from the other side of the boundary are untrusted until `contract` has made a type of them.
//! - `unsafe` stays in `sys/`, in `door/`, in `driver/ebpf.rs` and in `driver/wdm/`.
#![cfg_attr(not(feature = "app"), no_std)]
// Rust's own atomic types add nothing on a target without compare-and-swap, which eBPF is for it.
#![cfg_attr(target_arch = "bpf", feature(core_intrinsics))]
#![cfg_attr(target_arch = "bpf", expect(internal_features, reason = "see above"))]

pub mod driver;
#[cfg(not(target_arch = "bpf"))]
pub mod ring;
#[cfg(not(target_arch = "bpf"))]
mod sync;

#[cfg(feature = "app")]
mod attachment;
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
    attachment::{Account, Attachment},
    device::{Device, Drain, Event, System, Wake},
    error::Error,
    pace::Pace,
    stream::{Item, Lost, Record},
};

pub use channel_abi::{
    Cause, DriverCommand, DriverRequest, Ending, Header, Kind, Mask, Refusal, RequestHeader, Totals,
};
