//! Named event of the driver, as its owner sees it: the one who can clear it.

use aya::{Ebpf, maps::Map};
use channel::ring::Memory;
use channel::sys::linux::{Ring, bpf};
use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// Time for which a pulse stays, so that a busy machine has time to run whoever waited for it.
const STAYS: Duration = Duration::from_secs(1);

/// Named event of the driver, and when its owner last looked.
#[derive(Debug)]
pub struct Named {
    ring: Ring,
    looked: Instant,
    seen: u64,
}

impl Named {
    /// Opens the named event in a loaded driver.
    pub fn of(driver: &Ebpf) -> io::Result<Self> {
        let Some(Map::RingBuf(map)) = driver.map("NAMED") else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let size = bpf::map_info(map.fd().as_fd())?.max_entries;
        Ok(Self {
            ring: Ring::new(map.fd().as_fd(), size)?,
            looked: Instant::now(),
            seen: 0,
        })
    }

    /// Clears the event (`KeClearEvent`), a while after the last pulse, or when pulses have taken half of the ring's
    /// room.
    pub fn look_after(&mut self) {
        let pulsed = self.ring.producer();
        if pulsed.wrapping_sub(self.ring.consumer()) > self.ring.size() / 2 {
            self.ring.reset();
        }
        if self.looked.elapsed() >= STAYS {
            if self.seen == pulsed {
                self.ring.reset();
            }
            (self.seen, self.looked) = (pulsed, Instant::now());
        }
    }
}
