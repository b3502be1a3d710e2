//! What can go wrong for an app, and whose fault it is.

use channel_abi::{AnyCommand, Refusal};
use std::io;

/// Why the channel could not do what the app asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The device is not there, or not for this user.
    #[error("can't open {device}: {source}; {hint}")]
    Open {
        /// What was to be opened.
        device: String,
        /// What the kernel said.
        source: io::Error,
        /// What to do about it.
        hint: &'static str,
    },
    /// The driver, or the device server before it, refused: the app broke a rule, or has to wait its turn.
    #[error("{command} was refused: {refusal}")]
    Refused {
        /// The request.
        command: AnyCommand,
        /// Which rule.
        refusal: Refusal,
    },
    /// This machine's kernel refused something that the app's half needs for itself.
    #[error("can't {what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// Windows' service manager refused, or could not load or unload the driver.
    #[error("can't {what}: {source}; {hint}")]
    Service {
        /// What was tried.
        what: &'static str,
        /// What Windows said.
        source: io::Error,
        /// What to do about it.
        hint: &'static str,
    },
    /// The driver broke the contract; its records can't be trusted any further.
    #[error("the driver broke the contract: {0}; install the same release of driver and app")]
    Contract(&'static str),
}

impl Error {
    /// The last error of this thread's last system call.
    #[must_use]
    pub fn last_os(what: &'static str) -> Self {
        Self::System {
            what,
            source: io::Error::last_os_error(),
        }
    }

    pub(crate) fn refused(command: impl Into<AnyCommand>, refusal: Refusal) -> Self {
        Self::Refused {
            command: command.into(),
            refusal,
        }
    }

    /// The refusal, if it was one.
    #[must_use]
    pub const fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Refused { refusal, .. } => Some(*refusal),
            _ => None,
        }
    }
}
