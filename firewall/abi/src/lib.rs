//! Layout of the records and tables that the firewall's driver, its service and the tools that read its records share.
//!
//! Private to one release: driver, service and tools are built from the same tree, and nothing of it is promised to
//! others. It may depend on `channel_abi` and `zerocopy` alone.
//!
//! Rules that hold here:
//! - Every type that crosses is `repr(C)`, made of integers only, without padding: any bytes of the right length are a
//!   valid value. Integers become enums by `TryFrom`, which can refuse.
//! - What is laid out here is asserted at compile time.
//! - No panic, no allocation, no `unsafe`.
#![no_std]
#![forbid(unsafe_code)]

pub mod asking;
pub mod dns;
pub mod firewall;
pub mod kind;
pub mod members;
pub mod packet;
pub mod process;
pub mod rejected;
pub mod rules;

/// Version of this layout, a hash that the build makes of it: the driver's pinned maps carry it, and maps of another
/// version are replaced.
pub const VERSION: u32 = match u32::from_str_radix(env!("LAYOUT_HASH"), 16) {
    Ok(hash) => hash,
    Err(_) => panic!("the build makes no hash"),
};
