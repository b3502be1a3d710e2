//! Where the driver wakes the service for a new question.

use crate::driver::Driver;
use anyhow::{Context, Result};
use channel::ring::Memory as _;
use channel::sys::linux::Ring;
use firewall_abi::asking::WAKER_BYTES;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Where the driver wakes the service.
pub struct DriverWaker {
    map: OwnedFd,
    ring: Ring,
}

impl DriverWaker {
    /// The driver's.
    pub fn of(driver: &Driver) -> Result<Self> {
        let map = driver.map("WAKER")?.try_clone_to_owned()?;
        let ring = Ring::new(map.as_fd(), WAKER_BYTES as u32)
            .context("mapping the ring by which the driver wakes the service")?;
        Ok(Self { map, ring })
    }

    /// Whether it was woken since this was asked last. What was asked by then is in the table.
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
