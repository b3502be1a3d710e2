//! The driver's half: what a driver needs to serve apps.
//!
//! - [`table`]: the apps that are attached, their queues and their books. Shared by the WDM driver and the model.
//! - `wdm`: what Windows adds (feature `wdm`).
//! - `ebpf`: the same for eBPF programs, where the kernel's own ring buffers are the queues (feature `ebpf`).

#[cfg(all(feature = "ebpf", target_arch = "bpf"))]
pub mod ebpf;
pub mod queue;
pub mod table;
#[cfg(all(feature = "wdm", windows))]
pub mod wdm;
