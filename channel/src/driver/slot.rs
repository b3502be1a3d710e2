//! The slot of one app in an eBPF driver: written by the device server,
//! read by the programs; and what else the two share.
//!
//! | map | type | values |
//! | --- | --- | --- |
//! | [`SLOTS_MAP`] | array of [`SLOTS`](channel_abi::SLOTS) | [`Slot`] |
//! | [`USED_MAP`] | array of 1 | a `u64` |
//! | [`RINGS_MAP`] | array of maps, as many | ring buffers of any size |
//! | [`LEDGERS_MAP`] | array of maps, as many | arrays of 1 that can be mapped: a [`Ledger`](channel_abi::Ledger) |
//! | [`BOOKS_MAP`] | array of 1 | [`References`](channel_abi::command::References) |
//!
//! [`RING_PROGRAM`] and [`PROBE_PROGRAM`] are run by the device server alone, by `BPF_PROG_RUN`.

use channel_abi::Mask;
use channel_abi::command::ALL_USERS;
use channel_abi::command::NO_USER;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Name of the map of [`Slot`]s, one for each app.
pub const SLOTS_MAP: &str = "SLOTS";
/// Name of the map of one number: above the last slot in which an app is attached. Programs look no further.
pub const USED_MAP: &str = "USED";
/// Name of the map of the apps' rings.
pub const RINGS_MAP: &str = "RINGS";
/// Name of the map of the apps' ledgers.
pub const LEDGERS_MAP: &str = "LEDGERS";
/// Name of the map of the counts that outlive the device server: references taken and released, and what past apps were
/// offered and lost ([`channel_abi::command::References`]).
pub const BOOKS_MAP: &str = "BOOKS";
/// Name of the program that writes an app's tombstone and signals its event a last time, for the device server.
pub const RING_PROGRAM: &str = "gatebell_ring";
/// Name of the program that tells the device server whether this kernel lets a lying reader make records overlap.
pub const PROBE_PROGRAM: &str = "gatebell_probe";
/// Length in bytes of each of the two records that the probe makes in the ring of slot 0, which has [`PROBE_RING`].
pub const PROBE_RECORD: u64 = 3000;
/// Size in bytes of the ring in which the probe makes two records of [`PROBE_RECORD`].
pub const PROBE_RING: u32 = 4096;

/// An app's entry in an eBPF driver's map: what the programs know of it. Integers only: the device server writes it by
/// one map update.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Slot {
    /// State of the reference: [`Slot::ATTACHED`], [`Slot::CLOSING`] or 0. Only while it is attached do the programs
    /// offer.
    pub attached: u64,
    /// Token that proves to the driver's own programs that a caller has this slot.
    pub token: u64,
    /// Kinds of records that the app wants: a [`Mask`].
    pub mask: u64,
    /// User whose records the app gets beside those about nobody: a user's number, or [`ALL_USERS`].
    pub users: u64,
}

impl Slot {
    /// State of a slot whose reference stands.
    pub const ATTACHED: u64 = 1;
    /// State of a slot that is being detached: nothing is offered any more, the last signal is still to come.
    pub const CLOSING: u64 = 2;
    /// A slot that no app has.
    pub const FREE: Self = Self {
        attached: 0,
        token: 0,
        mask: 0,
        users: 0,
    };

    /// Returns whether the app that has the slot gets a record of this kind, which is about this user, or about
    /// [`NO_USER`]: then every app gets it.
    #[must_use]
    pub const fn wants(&self, kind: channel_abi::Kind, user: u32) -> bool {
        let theirs = self.users == ALL_USERS || self.users == user as u64 || user == NO_USER;
        self.attached == Self::ATTACHED && Mask(self.mask).wants(kind) && theirs
    }
}

/// Input of [`RING_PROGRAM`], which the device server hands to it as if it were a packet.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Ring {
    /// Slot of the app: [`channel_abi::Referenced::slot`].
    pub slot: u64,
    /// Token of the app: [`channel_abi::Referenced::token`].
    pub token: u64,
    /// Number of the [`channel_abi::Ending`] that becomes the tombstone.
    pub ending: u64,
}
