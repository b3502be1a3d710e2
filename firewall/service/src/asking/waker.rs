//! Ring by which the driver wakes the service for a new question.

use crate::driver::Driver;
use anyhow::{Context, Result};
use channel::ring::Memory as _;
use channel::sys::linux::Ring;
use firewall_abi::asking::WAKER_BYTES;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Waker of the service for new questions: a ring that the driver writes to.
pub struct DriverWaker {
    map: OwnedFd,
    ring: Ring,
}

impl DriverWaker {
    /// Opens the driver's waker.
    pub fn of(driver: &Driver) -> Result<Self> {
        let map = driver.map("WAKER")?.try_clone_to_owned()?;
        let ring = Ring::new(map.as_fd(), WAKER_BYTES as u32)
            .context("mapping the ring by which the driver wakes the service")?;
        Ok(Self { map, ring })
    }

    /// Returns whether the driver has woken the service since the last call. The questions asked by then are in the
    /// table.
    pub fn is_woken(&self) -> bool {
        let woken = self.ring.producer() != self.ring.consumer();
        if woken {
            self.ring.reset();
            self.ring.fence();
        }
        woken
    }
}

impl AsFd for DriverWaker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.map.as_fd()
    }
}
