//! Schedule of looks at the default routes: after word that they or the connections of their devices change, or from
//! time to time without it.
//!
//! However often they change, they are looked at once in [`BETWEEN`] at most, and one look is due at a time.

use crate::connection_watch::ConnectionWatch;
use crate::sweep::EVERY;
use anyhow::{Context, Result};
use rules::RouteChanges;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

/// Time from the first word of a change to the look: what changes together is looked at once.
const SETTLE: Duration = Duration::from_millis(30);
/// Shortest time between two looks.
const BETWEEN: Duration = Duration::from_secs(1);

/// Messages of changes that are thrown away at a time, before it is looked what has become of it.
const WORDS: usize = 4096;

/// Word of changes to routes, devices, neighbours and connections, while rules ask for networks.
#[derive(Default)]
pub struct RouteWatch {
    wanted: bool,
    /// Listener for changes; `None`: nobody wants to know, or the kernel does not tell.
    changes: Option<RouteChanges>,
    /// Listener for NetworkManager's connections; `None`: the same.
    connections: Option<ConnectionWatch>,
    due: Option<Instant>,
    looked: Option<Instant>,
}

impl RouteWatch {
    /// Begins to listen, or ends. What was there before is looked at first.
    ///
    /// # Errors
    /// The kernel does not tell. It is looked from time to time all the same.
    pub fn listen(&mut self, wanted: bool) -> Result<()> {
        if !wanted {
            *self = Self::default();
            return Ok(());
        }
        if !self.wanted {
            self.wanted = true;
            self.due = Some(Instant::now());
            // Without it they are seen as late as whatever else nobody tells of.
            self.connections = ConnectionWatch::listen().ok();
        }
        if self.changes.is_none() {
            self.changes =
                Some(RouteChanges::listen().context("can't listen for changes of routes")?);
        }
        Ok(())
    }

    /// Returns the descriptors that wake the main loop once something changes; none while a look is due anyway.
    pub fn wakers(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let routes = self.changes.as_ref().map(AsFd::as_fd);
        let connections = self.connections.as_ref().map(AsFd::as_fd);
        let both = routes.into_iter().chain(connections);
        both.filter(|_| self.due.is_none())
    }

    /// Returns the time until the next look, or `None` if none is due.
    pub fn due(&self) -> Option<Duration> {
        self.due
            .map(|due| due.saturating_duration_since(Instant::now()))
    }

    /// Has it looked soon, as after a change.
    pub fn is_to_look(&mut self) {
        let soon = Instant::now() + SETTLE;
        let next = self.looked.map_or(soon, |looked| looked + BETWEEN);
        self.due.get_or_insert(soon.max(next));
    }

    /// Returns whether it is time to look: something had changed before. A later change makes another look due.
    pub fn takes_turn(&mut self) -> bool {
        if !self.wanted {
            return false;
        }
        if self.due.is_none() {
            let is_old = self.looked.is_none_or(|looked| looked.elapsed() >= EVERY);
            if is_old || self.takes_word() {
                self.is_to_look();
            }
        }
        if self.due.is_none_or(|due| Instant::now() < due) {
            return false;
        }
        if let Some(connections) = &self.connections {
            connections.listen_again();
        }
        // What is left has it looked once more.
        let _rest = (0..WORDS).all(|_| self.takes_word());
        self.due = None;
        self.looked = Some(Instant::now());
        true
    }

    /// Takes one word of a change, and returns whether there was one.
    fn takes_word(&self) -> bool {
        let changes = self.changes.as_ref();
        let connections = self.connections.as_ref();
        changes.is_some_and(RouteChanges::takes_word)
            || connections.is_some_and(ConnectionWatch::takes_word)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

    use super::*;

    #[test]
    fn however_often_routes_change_they_are_looked_at_once_a_second_and_not_forgotten() {
        let mut watch = RouteWatch::default();
        assert!(!watch.takes_turn() && watch.due().is_none());
        watch.listen(true).unwrap();
        assert!(watch.takes_turn(), "what was there before");
        watch.is_to_look();
        let due = watch.due;
        assert!(due.unwrap() >= watch.looked.unwrap() + BETWEEN);
        for _ in 0..1000 {
            watch.is_to_look();
            assert_eq!(
                watch.wakers().count(),
                0,
                "one look is due, and nobody wakes"
            );
        }
        assert_eq!(watch.due, due, "none puts it off");
        watch.due = Some(Instant::now() + Duration::from_secs(600));
        assert!(!watch.takes_turn());
        watch.looked = Instant::now().checked_sub(BETWEEN);
        watch.due = Some(Instant::now());
        assert!(watch.takes_turn() && watch.wakers().count() > 0);
        watch.listen(false).unwrap();
        assert!(watch.wakers().count() == 0 && watch.due().is_none());
    }
}
