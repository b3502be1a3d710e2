//! A thread that reads a ring which the driver fills for the service alone.
//!
//! Rules that hold here:
//! - It gives up its capabilities for ever before it looks at a byte. It has the ring, which was mapped for it, and
//!   what it was given; it opens nothing.
//! - It takes a fifth of one processor at most, whatever comes:
//!   what finds no room in the ring meanwhile the driver counts.

use crate::capabilities;
use crate::driver::Driver;
use anyhow::{Context, Result, anyhow};
use channel::ring::{Lie, Reader, Step};
use channel::sys::linux::Ring;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// Factor by which the thread rests longer than it has worked.
const REST: u32 = 4;
const SHORTEST_REST: Duration = Duration::from_millis(2);

/// The thread, before it starts. `RECORD` is the size of the longest record.
pub struct RingThread<const RECORD: usize> {
    reader: Reader<Ring, RECORD>,
    map: OwnedFd,
    end: UnixStream,
}

impl<const RECORD: usize> RingThread<RECORD> {
    /// Maps this ring of the driver's. Returns also the other end of the thread's socket: the thread hears of its end
    /// by it, and says by it that something was read which its owner waits for.
    pub fn of(driver: &Driver, ring: &str, bytes: usize) -> Result<(Self, UnixStream)> {
        let map = driver.map(ring)?.try_clone_to_owned()?;
        let (end, ours) = UnixStream::pair()?;
        end.set_nonblocking(true)?;
        let thread = Self::of_map(map, bytes, ours).with_context(|| format!("mapping {ring}"))?;
        Ok((thread, end))
    }

    /// Maps a ring that was handed over. The thread ends with the other end of `end`.
    pub fn of_map(map: OwnedFd, bytes: usize, end: UnixStream) -> Result<Self> {
        let ring = Ring::new(map.as_fd(), bytes as u32)?;
        end.set_nonblocking(true)?;
        Ok(Self {
            reader: Reader::of_any_length(ring),
            map,
            end,
        })
    }

    /// Leaves out what is there by now.
    pub fn skip(&mut self) -> Result<()> {
        self.drain(|_| false).map(drop)
    }

    /// Starts it. `read` is handed each record, and says whether its owner waits for it;
    /// `broken` is told why it has ended, if nobody asked it to.
    pub fn start(
        mut self,
        name: &str,
        mut read: impl FnMut(&[u8]) -> bool + Send + 'static,
        broken: impl FnOnce(&anyhow::Error) + Send + 'static,
    ) -> Result<()> {
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                if let Err(cause) = self.run(&mut read) {
                    broken(&cause);
                }
            })?;
        Ok(())
    }

    /// Reads until it is to end, and says why if nobody asked it to. See [`start`](Self::start).
    pub fn run(&mut self, mut read: impl FnMut(&[u8]) -> bool) -> Result<()> {
        capabilities::give_up().context("giving up capabilities")?;
        // What is owed is rested once the clock of `poll` can tell it from nothing.
        let mut owed = Duration::ZERO;
        loop {
            let began = Instant::now();
            if self.drain(&mut read)? {
                // Where there is no room it was written to before.
                let _woken_already = (&self.end).write(&[1]);
            }
            owed += began.elapsed() * REST;
            if owed >= SHORTEST_REST {
                if self.ends(owed)? {
                    return Ok(());
                }
                owed = Duration::ZERO;
            }
            let waits = Instant::now();
            if self.ends_before_more()? {
                return Ok(());
            }
            owed = owed.saturating_sub(waits.elapsed());
        }
    }

    /// Reads the records. Returns whether somebody waits for something among them.
    fn drain(&mut self, mut read: impl FnMut(&[u8]) -> bool) -> Result<bool> {
        let mut waited_for = false;
        let drained: Result<_, Broken> = self.reader.drain(|record| {
            waited_for |= read(record);
            Ok(Step::Next)
        });
        drained.map_err(|Broken(Lie(what))| anyhow!("the driver's ring is {what}"))?;
        Ok(waited_for)
    }

    /// Rests for so long; true: it is to end.
    fn ends(&self, rest: Duration) -> Result<bool> {
        let mut fds = [PollFd::new(self.end.as_fd(), PollFlags::empty())];
        let rest = PollTimeout::try_from(rest).unwrap_or(PollTimeout::MAX);
        poll(&mut fds, rest).or_else(interrupted)?;
        Ok(fds[0].any() == Some(true))
    }

    /// Waits for more; true: it is to end.
    fn ends_before_more(&self) -> Result<bool> {
        let mut fds = [
            PollFd::new(self.end.as_fd(), PollFlags::empty()),
            PollFd::new(self.map.as_fd(), PollFlags::POLLIN),
        ];
        poll(&mut fds, PollTimeout::NONE).or_else(interrupted)?;
        Ok(fds[0].any() == Some(true))
    }
}

/// A signal is no error.
fn interrupted(cause: Errno) -> nix::Result<i32> {
    if cause == Errno::EINTR {
        Ok(0)
    } else {
        Err(cause)
    }
}

struct Broken(Lie);

impl From<Lie> for Broken {
    fn from(lie: Lie) -> Self {
        Self(lie)
    }
}
