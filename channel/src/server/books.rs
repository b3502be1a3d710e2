//! Counts of the device server over restarts. They are kept in a map of the driver, so that they outlive it: what was
//! taken and released is counted also where a device server was killed.

use super::hold::{Driver, Registration};
use super::memory::Orphaned;
use crate::sys::linux::TypedMap;
use channel_abi::command::References;
use channel_abi::{Ending, Ledger, SLOTS};
use std::io;
use std::os::fd::OwnedFd;

#[derive(Debug)]
pub struct Books {
    map: TypedMap<OwnedFd, u32, References>,
    kept: References,
}

impl Books {
    /// Reads the counts, and releases what a device server that was killed has left: its apps get their tombstones.
    pub fn open(
        map: TypedMap<OwnedFd, u32, References>,
        driver: &Driver,
        share_of: fn(u32) -> u32,
        let_go: &mut Orphaned,
    ) -> io::Result<Self> {
        let kept = map.get(&0)?.unwrap_or_default();
        let mut books = Self { map, kept };
        let left: Vec<Registration> = (0..SLOTS as u32)
            .filter_map(|slot| Registration::left_over(driver, share_of, slot))
            .collect();
        // It may have been killed between taking or releasing and writing that down. What is there is what counts.
        let References {
            taken, released, ..
        } = &mut books.kept;
        *taken = (*taken).max(released.saturating_add(left.len() as u64));
        *released = taken.saturating_sub(left.len() as u64);
        for hold in left {
            let (ledger, charge) = hold.release(driver, Ending::DriverStopping);
            books.released(&ledger);
            let_go.add(charge);
        }
        books.write()?;
        Ok(books)
    }

    /// Counts a reference that was taken.
    pub fn took(&mut self) {
        self.kept.taken += 1;
        self.write_down();
    }

    /// Counts a reference that was released, with its ledger, which is final.
    pub fn released(&mut self, ledger: &Ledger) {
        self.kept.past = self.kept.past.plus(ledger.totals());
        self.kept.released += 1;
        self.write_down();
    }

    /// Returns the counts, beside the number of apps that are attached now.
    pub const fn references(&self, attached: u64) -> References {
        References {
            attached,
            ..self.kept
        }
    }

    /// Writes the counts down. A kernel that takes no more writes has other troubles; the next write is as good.
    fn write_down(&self) {
        drop(self.write());
    }

    fn write(&self) -> io::Result<()> {
        self.map.set(&0, &self.kept)
    }
}
