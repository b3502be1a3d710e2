//! Claims of files on a driver's few places for work in progress: one each, so no app can take them all.

use super::table::Lock;
use channel_abi::{Refusal, SLOTS};

/// Claims of files on places, behind a lock: the file that has claimed each place, if any.
pub(super) struct Claims<L>(L);

impl<L> Claims<L> {
    /// Puts claims behind their lock.
    pub(super) const fn behind(lock: L) -> Self {
        Self(lock)
    }

    /// Claims a place for this file, until it is released; refused if the file has one already.
    pub(super) fn claim<F: PartialEq>(&self, file: F) -> Result<usize, Refusal>
    where
        L: Lock<[Option<F>; SLOTS]>,
    {
        let file = Some(file);
        self.0.with(|places| {
            if places.contains(&file) {
                return Err(Refusal::Busy);
            }
            let (place, free) = places
                .iter_mut()
                .enumerate()
                .find(|(_, held)| held.is_none())
                .ok_or(Refusal::Busy)?;
            *free = file;
            Ok(place)
        })
    }

    /// Runs with the number of the file's place, if it has one; with the lock held, so the place stays claimed
    /// meanwhile.
    pub(super) fn with_place_of<F: PartialEq>(&self, file: F, run: impl FnOnce(usize))
    where
        L: Lock<[Option<F>; SLOTS]>,
    {
        let file = Some(file);
        self.0.with(|places| {
            if let Some(place) = places.iter().position(|held| *held == file) {
                run(place);
            }
        });
    }

    pub(super) fn release<F>(&self, place: usize)
    where
        L: Lock<[Option<F>; SLOTS]>,
    {
        self.0.with(|places| {
            if let Some(held) = places.get_mut(place) {
                *held = None;
            }
        });
    }
}
