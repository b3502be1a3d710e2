//! Requests by signals, and a descriptor that wakes the main loop.

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub struct Signals {
    stop: Arc<AtomicBool>,
    reload: Arc<AtomicBool>,
    tell: Arc<AtomicBool>,
    wake: UnixStream,
}

impl Signals {
    pub fn watch() -> std::io::Result<Self> {
        let (wake, waker) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        let flags = || Arc::new(AtomicBool::new(false));
        let (stop, reload, tell) = (flags(), flags(), flags());
        for (signal, flag) in [
            (SIGTERM, &stop),
            (SIGINT, &stop),
            (SIGHUP, &reload),
            (SIGUSR1, &tell),
        ] {
            // The flag before the waker: who is woken finds it.
            signal_hook::flag::register(signal, flag.clone())?;
            signal_hook::low_level::pipe::register(signal, waker.try_clone()?)?;
        }
        Ok(Self {
            stop,
            reload,
            tell,
            wake,
        })
    }

    pub fn stop(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    pub fn reload(&self) -> bool {
        self.reload.swap(false, Ordering::AcqRel)
    }

    pub fn tell(&self) -> bool {
        self.tell.swap(false, Ordering::AcqRel)
    }

    /// The main loop was woken: takes the wakes off.
    pub fn drain(&self) {
        let mut rings = [0; 64];
        while matches!((&self.wake).read(&mut rings), Ok(1..)) {}
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}
