//! Which file has which of the driver's few places for work in progress: one each, so no app can take them all.

use super::{OpenFile, SpinLock};
use crate::driver::table::Lock;
use channel_abi::{Refusal, SLOTS};
use core::ptr::NonNull;

/// A file's identity while it is open: an address, never followed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct FileId(usize);

impl FileId {
    pub(super) fn of(file: &OpenFile) -> Self {
        Self(core::ptr::from_ref(file).addr())
    }

    pub(super) fn of_pointer(file: NonNull<OpenFile>) -> Self {
        Self(file.as_ptr().addr())
    }
}

/// Who has claimed which place.
pub(super) struct Claims(SpinLock<[Option<FileId>; SLOTS]>);

impl Claims {
    /// Nobody has any.
    pub(super) const NONE: Self = Self(SpinLock::guard([None; SLOTS]));

    /// A place for this file, until it is released; refused if the file has one already.
    pub(super) fn claim(&self, file: &OpenFile) -> Result<usize, Refusal> {
        let file = FileId::of(file);
        self.0.with(|places| {
            if places.contains(&Some(file)) {
                return Err(Refusal::Busy);
            }
            let (place, free) = places
                .iter_mut()
                .enumerate()
                .find(|(_, held)| held.is_none())
                .ok_or(Refusal::Busy)?;
            *free = Some(file);
            Ok(place)
        })
    }

    /// Runs with the file's place, which stays claimed meanwhile: at DISPATCH_LEVEL.
    pub(super) fn with_place_of(&self, file: &OpenFile, run: impl FnOnce(usize)) {
        let file = FileId::of(file);
        self.0.with(|places| {
            if let Some(place) = places.iter().position(|held| *held == Some(file)) {
                run(place);
            }
        });
    }

    pub(super) fn release(&self, place: usize) {
        self.0.with(|places| {
            if let Some(held) = places.get_mut(place) {
                *held = None;
            }
        });
    }
}
