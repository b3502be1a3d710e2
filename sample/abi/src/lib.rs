//! Requests and records of the article's sample and its driver: operations on the event object, notices, new processes.
//!
//! It may depend on `channel_abi` and `zerocopy` alone.
//!
//! Rules that hold here:
//! - Every type that crosses is `repr(C)`, made of integers only, without padding: any bytes of the right length are a
//!   valid value. Integers become enums by `TryFrom`, which can refuse.
//! - No panic, no allocation, no `unsafe`.
#![no_std]
#![forbid(unsafe_code)]

pub mod kind;
pub mod notice;
pub mod process;

pub use notice::{MAX_COUNT, MAX_INTERVAL_US, Notice, Operate, Operated, Operation, Seen};
pub use process::Process;
