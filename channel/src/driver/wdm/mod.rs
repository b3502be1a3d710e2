//! The driver's half for WDM: it adds the kernel's events, locks and memory, and its requests, to the
//! [table](super::table).
//!
//! A driver implements [`Driver`] and names itself with [`wdm_driver!`](crate::wdm_driver); what it offers to its apps
//! goes through its [`Channel`].
//!
//! Rules that hold here:
//! - `nt` alone declares the kernel's functions; what is built on it is safe to use.
//! - A request's bytes are copied into a type of `channel_abi` before anything is believed.
//! - An I/O request's status is set before it is completed, and nothing of it is touched after.
//! - No panic is left: the panic handler calls a function that does not exist, so a panic that the compiler cannot
//!   rule out fails the link.
//! - Nothing is allocated per record.

mod channel;
mod entry;
mod event;
mod irp;
mod lock;
pub mod nt;
mod pool;
mod repeat;
pub mod security;
mod text;
mod thread;
mod user;
mod work;

pub use crate::driver::repeat::Again;
pub use channel::{Channel, Driver, Reply};
pub use entry::{Installed, Late, driver_entry};
pub use event::{EventReference, GiveUp, NamedEvent, Waited};
pub use lock::SpinLock;
pub use repeat::{FilePointer, Timer};
pub use text::{Name, Wide};
pub use user::{Sid, about};

use super::table::{File, Platform};
use core::num::NonZeroU64;
use core::ptr::null_mut;

/// Windows as the [table](super::table)'s platform.
pub struct Nt;

/// An open device of a Windows driver.
pub type OpenFile = File<Nt>;

impl Platform for Nt {
    type Event = EventReference;
    type Lock<T: Send> = SpinLock<T>;
    type Memory = pool::Words;
    type User = Sid;

    fn allocate(words: usize) -> Option<pool::Words> {
        pool::Words::new(words)
    }

    fn processor() -> u32 {
        // SAFETY: at any level; a null asks for the number alone.
        unsafe { nt::KeGetCurrentProcessorNumberEx(null_mut()) }
    }

    fn now_ns() -> u64 {
        let mut frequency = 0;
        // SAFETY: at any level; writes the frequency.
        let counter = unsafe { nt::KeQueryPerformanceCounter(&raw mut frequency) }.cast_unsigned();
        let frequency = NonZeroU64::new(frequency.cast_unsigned()).unwrap_or(NonZeroU64::MIN);
        let (seconds, rest) = (counter / frequency, counter % frequency);
        seconds
            .wrapping_mul(1_000_000_000)
            .wrapping_add(rest.wrapping_mul(1_000_000_000) / frequency)
    }
}
