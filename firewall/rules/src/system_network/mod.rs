//! Own network of this machine, which rules must not cut it off from, and its default routes, by which the network that
//! it is in is known. Asks the system, as [`crate::SystemResolver`] does.

#[cfg(target_os = "linux")]
mod connection;
#[cfg(target_os = "linux")]
mod default_routes;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
mod netlink;
#[cfg(target_os = "linux")]
mod other_names;
#[cfg(target_os = "linux")]
mod wireless;

#[cfg(target_os = "linux")]
pub use connection::CONNECTION_FOLDERS;
#[cfg(target_os = "linux")]
pub use default_routes::{default_routes, look_for_gateway};
#[cfg(target_os = "linux")]
pub use linux::{own_network, resolver_files};
#[cfg(target_os = "linux")]
pub use netlink::RouteChanges;

/// Returns an empty network: nothing is known of it on this system.
#[cfg(not(target_os = "linux"))]
#[must_use]
pub fn own_network() -> crate::OwnNetwork {
    crate::OwnNetwork::default()
}

/// Error of reading the kernel's routes.
#[cfg(target_os = "linux")]
#[derive(Debug, thiserror::Error)]
pub enum RoutesUnknown {
    /// No netlink socket could be opened.
    #[error("can't open a socket for routes: {0}")]
    Socket(std::io::Error),
    /// The request could not be sent.
    #[error("can't ask for routes: {0}")]
    Question(std::io::Error),
    /// No answer could be received.
    #[error("the kernel does not answer about its routes: {0}")]
    NoAnswer(std::io::Error),
    /// The kernel answered with an error.
    #[error("the kernel does not tell: {0}")]
    Refused(std::io::Error),
    /// A message ends before it is whole.
    #[error("an answer is cut short")]
    CutShort,
    /// The answer has more routes than a person's machine has.
    #[error("there are too many routes")]
    TooMany,
    /// An answer was changed while the kernel told it, each time.
    #[error("routes change all the time")]
    ChangedMeanwhile,
}
