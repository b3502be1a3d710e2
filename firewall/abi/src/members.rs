//! Addresses that join sets while the rules stay: the service enters them, the driver looks them up.
//!
//! An address's entry says, for each table of sets that the driver may hold, which equivalence class the address has
//! with the sets that it has joined. So joining is one update of one entry; and it ends by itself,
//! for whoever asks compares the time.

use crate::rules::SETS_TABLES;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Capacity of the driver's table of addresses that have joined sets.
pub const MAX_MEMBERS: usize = 65_536;
/// Number of sets that one address can be in by joining them: each membership may end at a time of its own.
pub const MEMBER_STAGES: usize = 4;
/// Expiry time of a membership that never ends.
pub const NO_END: u64 = u64::MAX;
/// Class in a [`Stage`] where nothing is known of a table of sets: the class that the table itself gives holds.
pub const NO_CLASS: u32 = u32::MAX;

/// Classes of an address until one of its memberships ends: those with this membership, and with the ones that end
/// later.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Stage {
    /// End of that membership, in nanoseconds of the clock that includes sleep; [`NO_END`] if it never ends; 0 if there
    /// is no such stage.
    pub until_ns: u64,
    /// Hash ([`number_of`]) of the name of the set whose membership ends then.
    pub set: u64,
    /// Equivalence class of the address, by the index of the table of sets.
    pub classes: [u32; SETS_TABLES as usize],
}

/// Memberships of an address in the sets that it has joined.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Member {
    /// Stages, in the order in which they end.
    pub stages: [Stage; MEMBER_STAGES],
    /// 1 if it is an IPv6 address: one that looks like a mapped IPv4 address is not that IPv4 address.
    pub is_v6: u64,
}

impl Member {
    /// Returns the equivalence class of the address in the table of sets at this index, or `None` if no membership
    /// lasts or the class there is not known.
    #[must_use]
    #[inline(always)]
    pub fn class(&self, sets_index: u32, ip_version: u8, now_ns: u64) -> Option<u32> {
        if self.is_v6 != u64::from(ip_version == 6) {
            return None;
        }
        let lasts = self.stages.iter().find(|stage| now_ns < stage.until_ns)?;
        // In 64 bits, as the engine's own numbers.
        let sets_index = u64::from(sets_index) & (SETS_TABLES as u64 - 1);
        let class = lasts.classes[sets_index as usize];
        (class != NO_CLASS).then_some(class)
    }
}

/// Hashes the name of a set into 64 bits (FNV-1a, of Fowler, Noll and Vo).
#[must_use]
pub fn number_of(set: &str) -> u64 {
    set.bytes().fold(0xCBF2_9CE4_8422_2325, |number, byte| {
        (number ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
    })
}

const _: () = {
    assert!(SETS_TABLES.is_power_of_two());
    assert!(size_of::<Stage>() == 48 && size_of::<Member>() == 200);
};
