//! Addresses that join sets while the rules stay, as the service keeps them and the driver asks.
//!
//! An address's entry says, for each table of sets that the driver may hold, which equivalence class the address has with the sets
//! that it has joined. So joining is one update of one entry; and it ends by itself, for whoever asks compares the time.

use crate::rules::SETS_TABLES;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// How many addresses the driver holds that have joined sets.
pub const MAX_MEMBERS: usize = 65_536;
/// How many sets one address can be in by joining them: each may end at a time of its own.
pub const MEMBER_STAGES: usize = 4;
/// The time of what has no end.
pub const NO_END: u64 = u64::MAX;
/// Stands where nothing is known of a table of sets: what the table itself says holds.
pub const NO_CLASS: u32 = u32::MAX;

/// What holds until one membership ends: this one, and those that end later.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Stage {
    /// When it ends, in nanoseconds of the clock that includes sleep; [`NO_END`]; 0: there is no such stage.
    pub until_ns: u64,
    /// A number that is made of the name of the set whose membership ends then.
    pub set: u64,
    /// The class of the address, by the index of the table of sets.
    pub classes: [u32; SETS_TABLES as usize],
}

/// What an address has joined.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Member {
    /// In the order in which they end.
    pub stages: [Stage; MEMBER_STAGES],
    /// 1 if it is an address of IPv6: one that looks like a mapped IPv4 address is another one.
    pub is_v6: u64,
}

impl Member {
    /// The class of the address in the table of sets at this index; none: nothing that it has joined lasts until now.
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

/// The number of a set's name (Fowler, Noll, Vo: FNV-1a).
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
