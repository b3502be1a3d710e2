//! Kinds of the sample's records.

use channel_abi::Kind;

/// Kind of a notice with a payload: [`crate::Notice`].
pub const NOTICE: Kind = Kind::new::<16>();
/// Kind of a report on an operation: [`crate::Operated`].
pub const OPERATED: Kind = Kind::new::<17>();
/// Kind of a process that starts to run a program: [`crate::Process`].
pub const PROCESS_START: Kind = Kind::new::<18>();
/// Kind of a process that ended: [`crate::Process`]. Windows only.
pub const PROCESS_EXIT: Kind = Kind::new::<19>();
