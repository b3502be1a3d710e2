//! Record kinds of the firewall.

use channel_abi::Kind;

/// A packet and its verdict: [`crate::packet::Packet`].
pub const PACKET: Kind = Kind::new::<1>();
/// A process that starts to run a program: [`crate::process::Process`].
pub const PROCESS_START: Kind = Kind::new::<3>();
/// Packets and bytes that a connection has carried: [`crate::firewall::Carried`].
pub const CARRIED: Kind = Kind::new::<5>();
/// A process that ended: [`crate::process::Process`].
pub const PROCESS_EXIT: Kind = Kind::new::<4>();
