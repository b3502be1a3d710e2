//! Progress of reading a long capture, on a terminal that shows nothing else meanwhile.

use std::io::{self, IsTerminal, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Time before the first line of progress, and between two of them.
const INTERVAL: Duration = Duration::from_millis(300);
/// Packets between two looks at the clock.
const LOOKS: u64 = 1024;

/// Shows on standard error how far the reading is.
pub struct Progress {
    read: Arc<AtomicU64>,
    size: Option<u64>,
    last: Instant,
    visible: bool,
    shown: bool,
}

impl Progress {
    /// `busy`: whether standard output shows a line for each packet.
    pub fn new(size: Option<u64>, busy: bool) -> Self {
        let visible = io::stderr().is_terminal() && !(busy && io::stdout().is_terminal());
        Self {
            read: Arc::default(),
            size,
            last: Instant::now(),
            visible,
            shown: false,
        }
    }

    /// Counts what is read through it.
    pub fn meter<R>(&self, inner: R) -> Meter<R> {
        Meter {
            inner,
            read: Arc::clone(&self.read),
        }
    }

    /// Called with each packet's number.
    pub fn at(&mut self, packet: u64) {
        if !self.visible || !packet.is_multiple_of(LOOKS) || self.last.elapsed() < INTERVAL {
            return;
        }
        self.last = Instant::now();
        self.shown = true;
        // A count for the eye, ordered with nothing.
        let read = self.read.load(Ordering::Relaxed);
        let part = self
            .size
            .filter(|size| *size != 0)
            .map(|size| format!("{:3} %, ", read.min(size) * 100 / size));
        let _unseen = write!(
            io::stderr(),
            "\r{}{packet} packets",
            part.unwrap_or_default()
        );
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown {
            let _unseen = write!(io::stderr(), "\r{:40}\r", "");
        }
    }
}

/// A reader that counts.
pub struct Meter<R> {
    inner: R,
    read: Arc<AtomicU64>,
}

impl<R: Read> Read for Meter<R> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(room)?;
        self.read.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}
