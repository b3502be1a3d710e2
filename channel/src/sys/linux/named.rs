//! The background's way: an event that the driver's side made and owns. An app can wait on it and look, not reset it.

use super::{Deadline, Ready, poll};
use crate::{Error, Wake};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// A driver's named event, opened by an app: a ring whose pages the app can't map for writing.
#[derive(Debug)]
pub struct NamedEvent {
    ring: OwnedFd,
    edges: OwnedFd,
}

impl NamedEvent {
    pub(super) fn new(ring: OwnedFd) -> Result<Self, Error> {
        // SAFETY: no preconditions.
        let edges = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        let edges = super::owned(edges, "wait for a named event")?;
        // The ring holds what its owner has not thrown away yet, so its level says nothing: a pulse is an edge.
        super::watch(&edges, ring.as_fd(), libc::EPOLLIN | libc::EPOLLET)?;
        Ok(Self { ring, edges })
    }

    /// Waits for a pulse. One that fired before, while nobody waited, is lost, as in the article.
    pub fn wait(&self, timeout: Option<Duration>) -> Result<Wake, Error> {
        self.await_edge(Some(Duration::ZERO))?;
        self.await_edge(timeout)
    }

    /// Whether its owner has left it signalled.
    pub fn is_set(&self) -> Result<bool, Error> {
        poll(&[self.ring.as_fd()], Some(Duration::ZERO)).map(|ready: Ready| ready.any())
    }

    /// Tries to reset it: the page with the reader's position can't be mapped for writing, so this is always an error.
    pub fn reset(&self) -> Result<(), Error> {
        super::mapping::Ring::new(self.ring.as_fd(), super::page_bytes())
            .map(|ring| ring.reset())
            .map_err(|source| Error::System {
                what: "reset an event that the driver owns",
                source,
            })
    }

    fn await_edge(&self, timeout: Option<Duration>) -> Result<Wake, Error> {
        let mut event = libc::epoll_event { events: 0, u64: 0 };
        let fd = std::os::fd::AsRawFd::as_raw_fd(&self.edges);
        let deadline = Deadline::of(timeout);
        loop {
            let left = super::milliseconds(deadline.left());
            // SAFETY: room for one event, as said.
            let got = unsafe { libc::epoll_wait(fd, &raw mut event, 1, left) };
            if let Some(wake) = super::woken(got)? {
                return Ok(wake);
            }
        }
    }
}
