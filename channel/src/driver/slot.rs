//! The slot of one app in an eBPF driver: written by the device server, read by the programs.

use channel_abi::Mask;
use channel_abi::command::ALL_USERS;
use channel_abi::command::NO_USER;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The map of [`Slot`]s, one for each app.
pub const SLOTS_MAP: &str = "SLOTS";
/// The map of one number: above the last slot in which an app is attached. Programs look no further.
pub const USED_MAP: &str = "USED";
/// The map of the apps' rings.
pub const RINGS_MAP: &str = "RINGS";
/// The map of the apps' ledgers.
pub const LEDGERS_MAP: &str = "LEDGERS";
/// The map of the books that outlive the device server: what it took, released and lost ([`channel_abi::command::References`]).
pub const BOOKS_MAP: &str = "BOOKS";
/// The program that writes an app's tombstone and rings its event a last time, for the device server.
pub const RING_PROGRAM: &str = "gatebell_ring";
/// The program that tells the device server whether this kernel lets a lying reader make records overlap.
pub const PROBE_PROGRAM: &str = "gatebell_probe";
/// Bytes of each of the two records that the probe makes in the ring of slot 0, which has [`PROBE_RING`].
pub const PROBE_RECORD: u64 = 3000;
/// See [`PROBE_RECORD`].
pub const PROBE_RING: u32 = 4096;

/// What the programs know of one app. Integers only: the device server writes it by one map update.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Slot {
    /// [`Slot::ATTACHED`] while the reference stands: only then do the programs offer.
    pub attached: u64,
    /// Proves to the driver's own programs that a caller has this slot.
    pub token: u64,
    /// A [`Mask`]: what the app wants to be told of.
    pub mask: u64,
    /// Whose records it is told: a user's number, or [`ALL_USERS`].
    pub users: u64,
}

impl Slot {
    /// The reference stands.
    pub const ATTACHED: u64 = 1;
    /// It is being let go of: nothing is offered any more, the last signal is still to come.
    pub const CLOSING: u64 = 2;
    /// No app has it.
    pub const FREE: Self = Self {
        attached: 0,
        token: 0,
        mask: 0,
        users: 0,
    };

    /// Whether the app that has the slot is to be told of a record of this kind, which is about this user.
    #[must_use]
    pub const fn wants(&self, kind: channel_abi::Kind, user: u32) -> bool {
        let theirs = self.users == ALL_USERS || self.users == user as u64 || user == NO_USER;
        self.attached == Self::ATTACHED && Mask(self.mask).wants(kind) && theirs
    }
}

/// What the device server hands to [`RING_PROGRAM`] as if it were a packet.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Ring {
    /// See [`channel_abi::Referenced::slot`].
    pub slot: u64,
    /// See [`channel_abi::Referenced::token`].
    pub token: u64,
    /// The [`channel_abi::Ending`] that becomes the tombstone.
    pub ending: u64,
}
