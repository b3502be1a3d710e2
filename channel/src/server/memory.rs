//! Kernel memory of the apps' rings, and the shares that it is counted against: rings of the apps that are attached,
//! and those that were released and still live, because somebody has a descriptor of them or one of their pages mapped.
//!
//! The kernel does not say who holds a map, but whether one with this number lives. We hold nothing of a ring that was
//! released: one that lives is somebody else's doing.

use super::Policy;
use crate::sys::linux::bpf;
use channel_abi::{Ledger, Refusal};
use std::os::fd::AsFd;

/// Limits of the kernel memory that the rings of all apps may take, their ledgers with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Largest number of bytes of all users together.
    pub all: u64,
    /// Largest number of bytes, of those, of others than root: what they take must leave some to root.
    pub others: u64,
}

impl Room {
    /// No limits: as much as the kernel gives.
    pub const UNBOUNDED: Self = Self {
        all: u64::MAX,
        others: u64::MAX,
    };
}

/// Kernel memory that rings take, their ledgers with them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RingMemory {
    /// Bytes of the rings of apps that are attached.
    pub attached: u64,
    /// Bytes of the rings that were released and that somebody still has mapped or open.
    pub let_go: u64,
}

/// Kernel memory of one reference: a ring and a ledger, each by its number and its bytes.
#[derive(Clone, Debug)]
pub struct MemoryCharge {
    /// Share that the memory is counted against: [`Policy::share_of`].
    pub share: u32,
    maps: Vec<(u32, u64)>,
}

impl MemoryCharge {
    /// Charges these maps to the share. What can't be looked at is not counted: it could not be put into the driver's
    /// maps either.
    pub fn of(share: u32, maps: &[impl AsFd]) -> Self {
        let number = |map: &_| {
            Some((
                bpf::map_info(AsFd::as_fd(map)).ok()?.id,
                bpf::memory(AsFd::as_fd(map)),
            ))
        };
        Self {
            share,
            maps: maps.iter().filter_map(number).collect(),
        }
    }

    pub fn bytes(&self) -> u64 {
        self.maps.iter().map(|(_, bytes)| bytes).sum()
    }

    /// Forgets the maps that do not live any more; returns `false` if none does.
    fn lives(&mut self) -> bool {
        // What the kernel does not want to say now counts as alive.
        self.maps
            .retain(|(id, _)| bpf::map_exists(*id).unwrap_or(true));
        !self.maps.is_empty()
    }
}

/// Returns the bytes that a reference to a ring of `ring_bytes` bytes takes.
pub fn needed(ring_bytes: u32) -> u64 {
    bpf::ring_memory(ring_bytes) + (size_of::<Ledger>() as u64).next_multiple_of(4096)
}

/// Charges of references that were released and whose maps still live.
#[derive(Debug, Default)]
pub struct Orphaned(Vec<MemoryCharge>);

impl Orphaned {
    /// Adds the charge of a reference that has ended. Nothing of it is held here.
    pub fn add(&mut self, charge: MemoryCharge) {
        self.0.push(charge);
    }

    /// Forgets a ring that somebody has referenced again: it is counted there.
    pub fn taken_again(&mut self, ring: u32) {
        self.0
            .iter_mut()
            .for_each(|charge| charge.maps.retain(|(id, _)| *id != ring));
    }

    /// Returns the charges of maps that still live.
    pub fn living(&mut self) -> &[MemoryCharge] {
        self.0.retain_mut(MemoryCharge::lives);
        &self.0
    }
}

/// Checks that one more reference, which takes `more` bytes, has room beside these charges.
pub fn check(
    policy: &Policy,
    room: Room,
    share: u32,
    more: u64,
    all: &[&MemoryCharge],
) -> Result<(), Refusal> {
    let bytes = |of: &dyn Fn(u32) -> bool| -> u64 {
        let theirs = all.iter().filter(|charge| of(charge.share));
        theirs
            .map(|charge| charge.bytes())
            .sum::<u64>()
            .saturating_add(more)
    };
    if share != 0 {
        let rings = all.iter().filter(|charge| charge.share == share).count();
        if rings >= policy.rings_per_user
            || bytes(&|other| other == share) > policy.ring_bytes_per_user
        {
            return Err(Refusal::Quota);
        }
        if bytes(&|other| other != 0) > room.others {
            return Err(Refusal::Memory);
        }
    }
    if bytes(&|_| true) > room.all {
        Err(Refusal::Memory)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Policy = Policy {
        mode: 0o600,
        slots_per_user: 4,
        rings_per_user: 3,
        ring_bytes_per_user: 100,
        share_of: |user| user,
    };
    const ROOM: Room = Room {
        all: 200,
        others: 150,
    };

    fn asks(user: u32, more: u64, all: &[(u32, u64)]) -> Result<(), Refusal> {
        let all: Vec<_> = all
            .iter()
            .map(|(user, bytes)| MemoryCharge {
                share: *user,
                maps: vec![(1, *bytes)],
            })
            .collect();
        check(&POLICY, ROOM, user, more, &all.iter().collect::<Vec<_>>())
    }

    #[test]
    fn one_users_rings_and_their_bytes_are_bounded_and_others_have_theirs() {
        assert_eq!(asks(7, 1, &[(7, 1), (7, 1)]), Ok(()));
        assert_eq!(asks(7, 1, &[(7, 1), (7, 1), (7, 1)]), Err(Refusal::Quota));
        assert_eq!(asks(7, 100, &[]), Ok(()));
        assert_eq!(asks(7, 100, &[(7, 1)]), Err(Refusal::Quota));
        assert_eq!(asks(8, 100, &[(7, 1), (7, 1), (7, 1)]), Ok(()));
        assert_eq!(
            asks(0, 1, &[(0, 1), (0, 1), (0, 1), (0, 1)]),
            Ok(()),
            "root's are not"
        );
    }

    #[test]
    fn all_users_together_leave_room_for_root_and_root_stays_within_the_whole() {
        assert_eq!(asks(8, 60, &[(7, 90)]), Ok(()));
        assert_eq!(asks(8, 61, &[(7, 90)]), Err(Refusal::Memory));
        assert_eq!(asks(0, 110, &[(7, 90)]), Ok(()));
        assert_eq!(asks(0, 111, &[(7, 90)]), Err(Refusal::Memory));
        assert_eq!(
            asks(8, 20, &[(0, 180)]),
            Ok(()),
            "what root has is none of theirs"
        );
        assert_eq!(
            asks(8, 21, &[(0, 180)]),
            Err(Refusal::Memory),
            "but takes of the whole"
        );
        assert_eq!(
            asks(0, u64::MAX, &[(0, 1)]),
            Err(Refusal::Memory),
            "and no sum overflows"
        );
    }
}
