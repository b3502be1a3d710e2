//! The kinds of the sample's records.

use channel_abi::Kind;

/// A notice with a payload: [`crate::Notice`].
pub const NOTICE: Kind = Kind::new::<16>();
/// What the driver saw when it operated the event: [`crate::Operated`].
pub const OPERATED: Kind = Kind::new::<17>();
/// A process that starts to run a program: [`crate::Process`].
pub const PROCESS_START: Kind = Kind::new::<18>();
/// A process that ended: [`crate::Process`]. Windows only.
pub const PROCESS_EXIT: Kind = Kind::new::<19>();
