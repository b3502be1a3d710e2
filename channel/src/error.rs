//! Errors of the app's half of the channel: each says whose fault it is.

use channel_abi::{AnyCommand, Refusal, UnknownRefusal};
use std::io;

/// Error of a call of the app's half.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The device does not exist, or this user may not open it.
    #[error("can't open {device}: {source}; {hint}")]
    Open {
        /// Name of the device.
        device: String,
        /// Error of the kernel.
        source: io::Error,
        /// Advice: what to do about the error.
        hint: &'static str,
    },
    /// The driver, or the device server before it, refused the request: the app broke a rule, or has to wait its turn.
    #[error("{command} was refused: {refusal}")]
    Refused {
        /// Command of the request.
        command: AnyCommand,
        /// Rule that was broken.
        refusal: Refusal,
    },
    /// The driver, or the device server before it, refused the request by a rule that only a later release knows.
    #[error("{command} was refused: {refusal}")]
    UnknownRefusal {
        /// Command of the request.
        command: AnyCommand,
        /// Number of the rule.
        refusal: UnknownRefusal,
    },
    /// The machine's kernel refused something that the app's half needs for itself, or the driver, or the device server
    /// before it, is gone.
    #[error("can't {what}: {source}")]
    System {
        /// Action that failed, as a sentence's second half: "can't …".
        what: &'static str,
        /// Error of the kernel.
        source: io::Error,
    },
    /// Windows' service manager refused, or could not load or unload the driver.
    #[error("can't {what}: {source}; {hint}")]
    Service {
        /// Action that failed, as a sentence's second half: "can't …".
        what: &'static str,
        /// Error of Windows.
        source: io::Error,
        /// Advice: what to do about the error.
        hint: &'static str,
    },
    /// The driver broke the contract; its records can't be trusted any further.
    #[error("the driver broke the contract: {0}; install the same release of driver and app")]
    Contract(&'static str),
}

impl Error {
    /// Makes an error of this thread's last system call, which failed at `what`.
    #[must_use]
    pub fn last_os(what: &'static str) -> Self {
        Self::System {
            what,
            source: io::Error::last_os_error(),
        }
    }

    /// Makes the error of a request that was answered by this number of a refusal.
    #[cfg(target_os = "linux")]
    pub(crate) fn refused_by(command: impl Into<AnyCommand>, number: u32) -> Self {
        match Refusal::try_from(number) {
            Ok(refusal) => Self::refused(command, refusal),
            Err(refusal) => Self::UnknownRefusal {
                command: command.into(),
                refusal,
            },
        }
    }

    pub(crate) fn refused(command: impl Into<AnyCommand>, refusal: Refusal) -> Self {
        Self::Refused {
            command: command.into(),
            refusal,
        }
    }

    /// Returns the refusal, or `None` if the error is another one,
    /// a refusal that this version does not know among them.
    #[must_use]
    pub const fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Refused { refusal, .. } => Some(*refusal),
            _ => None,
        }
    }
}
