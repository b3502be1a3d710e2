//! Signals that end the program, as a descriptor beside the device server's.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// SIGINT and SIGTERM, held back until they are read here.
pub struct Signals(OwnedFd);

impl Signals {
    /// Holds the signals back, for this thread and those that it starts.
    pub fn block() -> io::Result<Self> {
        let mut set = empty();
        for signal in [libc::SIGINT, libc::SIGTERM] {
            // SAFETY: an initialised set and a valid signal.
            unsafe { libc::sigaddset(&raw mut set, signal) };
        }
        // SAFETY: an initialised set; the old one is not asked for.
        unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) };
        // SAFETY: an initialised set.
        let fd =
            unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just made it for us.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Returns whether a signal came.
    pub fn came(&self) -> io::Result<bool> {
        let mut entry = libc::pollfd {
            fd: self.0.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one entry, as said.
        let got = unsafe { libc::poll(&raw mut entry, 1, 0) };
        if got < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(got > 0)
        }
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn empty() -> libc::sigset_t {
    let mut set = std::mem::MaybeUninit::uninit();
    // SAFETY: room for a set.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: initialised by the line above.
    unsafe { set.assume_init() }
}
