//! Named events, as in the article's background: the driver's side makes and owns one; an app can wait on it and look,
//! not reset it.

use super::{Epoll, NOTHING, Ready, poll};
use crate::Error;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// A driver's named event, opened by an app: a ring whose pages the app can't map for writing.
#[derive(Debug)]
pub struct NamedEvent {
    ring: OwnedFd,
    edges: Epoll,
}

impl NamedEvent {
    pub(super) fn new(ring: OwnedFd) -> Result<Self, Error> {
        let edges = Epoll::new("wait for a named event")?;
        // The ring holds what its owner has not thrown away yet, so its level says nothing: a pulse is an edge.
        edges.watch(ring.as_fd(), libc::EPOLLIN | libc::EPOLLET, 0)?;
        Ok(Self { ring, edges })
    }

    /// Waits for a pulse; returns `false` if the time is over. A pulse that came before, while nobody waited, is lost,
    /// as in the article.
    ///
    /// # Errors
    /// [`Error::System`] if this machine's kernel can't wait.
    pub fn wait(&self, timeout: Option<Duration>) -> Result<bool, Error> {
        self.await_edge(Some(Duration::ZERO))?;
        self.await_edge(timeout)
    }

    /// Returns whether the event's owner has left it signalled.
    ///
    /// # Errors
    /// [`Error::System`] if this machine's kernel refuses.
    pub fn is_set(&self) -> Result<bool, Error> {
        poll(&[self.ring.as_fd()], Some(Duration::ZERO)).map(|ready: Ready| ready.any())
    }

    /// Tries to reset the event: the page with the reader's position can't be mapped for writing, so this is always an
    /// error.
    ///
    /// # Errors
    /// Always one.
    pub fn reset(&self) -> Result<(), Error> {
        super::mapping::Ring::new(self.ring.as_fd(), super::page_bytes())
            .map(|ring| ring.reset())
            .map_err(|source| Error::System {
                what: "reset an event that the driver owns",
                source,
            })
    }

    fn await_edge(&self, timeout: Option<Duration>) -> Result<bool, Error> {
        let mut edge = [NOTHING];
        self.edges
            .wait(&mut edge, timeout)
            .map(|edges| !edges.is_empty())
    }
}
