//! The door's own books. They are kept in a map of the driver, so that they outlive the door: what was taken and released is
//! counted over restarts, also where a door was killed.

use super::hold::{Driver, Registration};
use super::memory::Orphaned;
use crate::sys::linux::bpf;
use channel_abi::command::References;
use channel_abi::{Ending, Ledger, SLOTS};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use zerocopy::{FromZeros, IntoBytes};

#[derive(Debug)]
pub struct Books {
    map: OwnedFd,
    kept: References,
}

impl Books {
    /// Reads them, and releases what a door that was killed has left: its apps get their tombstones.
    pub fn open(map: OwnedFd, driver: &Driver, let_go: &mut Orphaned) -> io::Result<Self> {
        let mut kept = References::new_zeroed();
        bpf::lookup(map.as_fd(), &0_u32.to_ne_bytes(), kept.as_mut_bytes())?;
        let mut books = Self { map, kept };
        let left: Vec<Registration> = (0..SLOTS as u32)
            .filter_map(|slot| Registration::left_over(driver, slot))
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

    /// A reference was taken.
    pub fn took(&mut self) {
        self.kept.taken += 1;
        self.write_down();
    }

    /// A reference was released, with these books, which are final.
    pub fn released(&mut self, ledger: &Ledger) {
        self.kept.past = self.kept.past.plus(ledger.totals());
        self.kept.released += 1;
        self.write_down();
    }

    /// What was counted, beside so many apps that are attached now.
    pub const fn references(&self, attached: u64) -> References {
        References {
            attached,
            ..self.kept
        }
    }

    /// A kernel that takes no more writes has other troubles; the next write is as good.
    fn write_down(&self) {
        drop(self.write());
    }

    fn write(&self) -> io::Result<()> {
        bpf::update(self.map.as_fd(), 0, self.kept.as_bytes())
    }
}
