//! Watch of tokio's runtime over an attachment.

use super::Linux;
use crate::{Attachment, Error};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use tokio::io::unix::AsyncFd;
use tokio::runtime::Handle;

/// Descriptor of an attachment, in the reactor of the runtime that the watch was made in.
#[derive(Debug)]
pub(crate) struct Arrival(AsyncFd<OwnedFd>);

impl Arrival {
    /// Has the runtime watch an attachment.
    pub fn of(attachment: &Attachment<Linux>) -> Result<Self, Error> {
        // Without a runtime the next call would panic.
        let runtime = Handle::try_current().map_err(|why| cannot_watch(io::Error::other(why)))?;
        let _entered = runtime.enter();
        let descriptor = attachment.as_fd().try_clone_to_owned();
        let descriptor = descriptor.map_err(cannot_watch)?;
        // SAFETY: an owned descriptor is the same one each time it is asked for, and open for as long as it is owned.
        let watched = unsafe { AsyncFd::register(descriptor) };
        watched
            .map(Self)
            .map_err(|why| cannot_watch(io::Error::from(why)))
    }

    /// Awaits the next time that something may have come. Returns `false`: the attachment itself says what came.
    ///
    /// What came is forgotten first and then looked for: an edge between the two is seen by the
    /// look, one after it is the next.
    pub async fn next(&mut self) -> Result<bool, Error> {
        let mut came = self.0.readable().await.map_err(cannot_watch)?;
        came.clear_ready();
        Ok(false)
    }
}

fn cannot_watch(source: io::Error) -> Error {
    Error::System {
        what: "have the runtime watch an attachment",
        source,
    }
}
