//! The driver's half: what a driver needs to serve apps.
//!
//! - [`table`]: the apps that are attached, their queues and their ledgers. Shared by the WDM driver and the model.
//! - [`work`]: requests that take time, and who cancels them. Shared by the WDM driver and a model.
//! - [`repeat`]: work that a timer repeats, and who stops it. Shared by the WDM driver and a model.
//! - `wdm`: what Windows adds (feature `wdm`). On another system it compiles too, and whoever links it brings the
//!   kernel's functions: a model of NT, on which it is held to the kernel's rules.
//! - `ebpf`: the same for eBPF programs, where the kernel's own ring buffers are the queues (feature `ebpf`).
//! - [`text`]: a kernel's UTF-16 in a record's fields.
//! - `slot`: the slot of an app, by which the device server tells those programs of it.

#[cfg(not(target_arch = "bpf"))]
mod claims;
#[cfg(all(feature = "ebpf", target_arch = "bpf"))]
pub mod ebpf;
#[cfg(not(target_arch = "bpf"))]
pub mod queue;
#[cfg(not(target_arch = "bpf"))]
pub mod repeat;
#[cfg(any(feature = "ebpf", feature = "server"))]
pub mod slot;
#[cfg(not(target_arch = "bpf"))]
pub mod table;
#[cfg(not(target_arch = "bpf"))]
pub mod text;
#[cfg(all(feature = "wdm", not(any(loom, shuttle, target_arch = "bpf"))))]
#[expect(
    clippy::declare_interior_mutable_const,
    reason = "each initialises one static at compile time: built at run time they would lie on a kernel's small stack"
)]
#[cfg_attr(
    feature = "app",
    expect(missing_debug_implementations, reason = "a driver prints nothing")
)]
pub mod wdm;
#[cfg(not(target_arch = "bpf"))]
pub mod work;
