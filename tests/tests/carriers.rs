//! I11 row by row: whatever carries a packet, it is judged once, in, out and through, over IPv4 and IPv6.
//!
//! A row that a kernel lacks says "not on this kernel". On the kernels of the emulated machine it must not: each row
//! names those that have it (`rows`), so that a row which ran nowhere fails there.
//!
//! Needs what the tests of the firewall need.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test may fail")]

#[path = "carriers/actor.rs"]
mod actor;
#[path = "carriers/devices.rs"]
mod devices;
#[path = "carriers/elsewhere.rs"]
mod elsewhere;
#[path = "carriers/links.rs"]
mod links;
#[path = "carriers/multicast.rs"]
mod multicast;
#[path = "carriers/rows.rs"]
mod rows;
#[path = "carriers/sockets.rs"]
mod sockets;
#[path = "carriers/subflows.rs"]
mod subflows;
#[path = "carriers/vrf.rs"]
mod vrf;
#[path = "carriers/world.rs"]
mod world;
mod zone;
