//! Notifications to the service manager: systemd, or nobody.

use sd_notify::{NotifyState, notify};
use std::time::{Duration, Instant};

/// The service manager, if one started us.
pub struct Manager {
    /// Interval at which the manager wants to hear that the service lives, and the moment of the next report.
    watchdog: Option<(Duration, Instant)>,
}

impl Manager {
    pub fn meet() -> Self {
        // Twice as often as it asks: one may come late.
        let watchdog = sd_notify::watchdog_enabled().map(|time| (time / 2, Instant::now()));
        Self { watchdog }
    }

    pub fn ready(&self, status: &str) {
        tell(&[NotifyState::Ready, NotifyState::Status(status)]);
    }

    /// We have begun to read the rules again; [`Self::ready`] says that it is done.
    pub fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => tell(&[NotifyState::Reloading, now]),
            Err(_) => tell(&[NotifyState::Reloading]),
        }
    }

    pub fn stopping(&self) {
        tell(&[NotifyState::Stopping]);
    }

    pub fn status(&self, status: &str) {
        tell(&[NotifyState::Status(status)]);
    }

    /// Returns the moment at which the manager wants to hear of the service, or `None` if it does not.
    pub fn due(&self) -> Option<Instant> {
        self.watchdog.map(|(_, due)| due)
    }

    /// Says that we live, if it is time to and every other thread does too.
    pub fn alive(&mut self, others_live: impl FnOnce() -> bool) {
        if let Some((every, due)) = &mut self.watchdog
            && Instant::now() >= *due
        {
            if others_live() {
                tell(&[NotifyState::Watchdog]);
            }
            *due = Instant::now() + *every;
        }
    }
}

/// A manager that does not listen is none.
fn tell(what: &[NotifyState<'_>]) {
    let _does_not_listen = notify(what);
}
