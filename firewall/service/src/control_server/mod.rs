//! Control socket: requests to the running service, as varlink's `org.gatebell.Firewall`.
//!
//! It is not the driver's device. Records and events go by that one's socket, in the bytes of `firewall_abi`; here are
//! questions about the firewall as a whole, and changes to it, in a documented protocol that other programs speak too.
//! docs/control.md says why varlink, and how to use it without the command line.
//!
//! It may depend on `varlink` for the protocol and on [`crate::firewall`] for the answers. It has a thread of its own,
//! so that reading and writing texts holds up neither records nor devices; what is asked is done by the main loop.
//!
//! Rules that hold here:
//! - The thread has no capabilities: it parses what others say.
//!   What takes a right the main loop does, or who asks polkit.
//! - Who is connected, the kernel says. Root may change things, others may ask;
//!   who else may change things, polkit says.
//! - Every message, every answer that waits and every user's share is bounded;
//!   nobody waits for somebody else's slowness.
//! - A request is untrusted: what is not understood gets varlink's own error, what is no message at all is hung up on.
//! - Nothing to do takes no processor time: without a half-done message there is no clock that runs.

mod failure;
#[cfg(fuzzing)]
pub mod fuzzing;
mod heartbeat;
mod interface;
mod methods;
mod parameters;
mod peer;
mod permission;
mod polkit;
mod quota;
mod server;
mod socket;

use crate::capabilities;
use crate::firewall::Mailbox;
use crate::recorder::HistoryReader;
use channel::sys::linux::Closer;
use polkit::Polkit;
use server::Server;
use std::io;
use std::path::Path;
use std::thread::JoinHandle;
use tracing::error;

/// Open control socket. Dropping it hangs up on everybody and removes the socket.
pub struct Control {
    thread: Option<JoinHandle<()>>,
    /// Handle of the thread, which ends once this is dropped.
    handle: Option<heartbeat::ThreadHandle>,
}

impl Control {
    /// Opens the control socket at `path`. What is asked there is handed in at `mailbox`, but for what is kept: that is
    /// read elsewhere, and the main loop does not wait for a disk.
    pub(crate) fn open(path: &Path, mailbox: Mailbox, history: HistoryReader) -> io::Result<Self> {
        let answer =
            move |request, requester| methods::answer(&mailbox, &history, request, requester);
        Self::serve(path, Polkit::default(), answer, Closer::default())
    }

    /// Returns whether the thread does its work: it has answered since the last call.
    pub fn lives(&mut self) -> bool {
        self.handle
            .as_mut()
            .is_some_and(heartbeat::ThreadHandle::lives)
    }

    fn serve(
        path: &Path,
        polkit: Polkit,
        answer: impl methods::Answer,
        closer: Closer,
    ) -> io::Result<Self> {
        let (handle, heartbeat) = heartbeat::pair()?;
        let server = Server::open(path, heartbeat, polkit, answer, closer)?;
        let thread = std::thread::Builder::new()
            .name("control".to_owned())
            .spawn(move || match capabilities::give_up() {
                Ok(()) => server.run(),
                Err(cause) => {
                    error!("nobody is heard at the control socket: giving up capabilities: {cause}")
                }
            })?;
        Ok(Self {
            thread: Some(thread),
            handle: Some(handle),
        })
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        drop(self.handle.take());
        if let Some(thread) = self.thread.take() {
            // A thread that broke down has nothing more to take away.
            let _broke_down = thread.join();
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests;
