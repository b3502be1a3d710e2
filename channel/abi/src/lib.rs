//! Layouts of the requests, answers, records and counters that cross between a driver and its apps, whatever the driver
//! is for.
//!
//! The same bytes on every kernel: this crate is compiled into the Windows driver, the eBPF objects, the
//! service and the apps. It may depend on nothing but `zerocopy`, which turns foreign bytes into these types.
//!
//! Rules that hold here:
//! - Every type that crosses is `repr(C)`, made of integers only, without padding: any bytes of the right
//!   length are a valid value, and an enum is never read out of foreign memory. Integers become enums by
//!   `TryFrom`, which can refuse.
//! - What is laid out here is asserted at compile time. A changed layout means a new [`VERSION`].
//! - No panic, no allocation, no `unsafe`.
#![no_std]
#![forbid(unsafe_code)]
#![warn(
    missing_debug_implementations,
    clippy::missing_errors_doc,
    clippy::missing_panics_doc
)]

pub mod command;
pub mod ledger;
pub mod record;
mod refusal;

pub use command::{
    AnyCommand, Command, DriverCommand, DriverRequest, Reference, Referenced, RequestHeader,
};
pub use ledger::{Cause, Counters, Ending, Ledger, Totals};
pub use record::{Header, Kind, Mask};
pub use refusal::{Refusal, UnknownRefusal};

/// Version of everything in this crate. Each side states its own; sides with unequal versions refuse each other.
pub const VERSION: u32 = 3;

/// Number of slots of a driver: the apps that may have an event referenced in it at the same time.
pub const SLOTS: usize = 16;
