//! Attachments for async code: waits are awaited instead of blocking a thread.

use crate::sys::Arrival;
use crate::{Attachment, DrainFlow, Error, Item, Pace, Wake};
use std::time::Duration;

/// An [`Attachment`] for async code: on Linux in tokio, whose runtime watches the attachment's descriptor; on Windows
/// in any runtime, woken by a wait that is registered with the system's thread pool. Dropped, it is detached.
///
/// Each signal wakes it ([`Pace::Prompt`]): an app that would rather let records gather sleeps between two
/// waits, by its runtime's own timer.
///
/// ```no_run
/// use channel::{Ending, Error, Mask, Wake};
///
/// async fn read(device: &str) -> Result<Ending, Error> {
///     let mut app = channel::open(device)?.attach(64 * 1024, Mask::ALL)?.awaited()?;
///     loop {
///         match app.wait().await? {
///             Wake::Ended(why) => return Ok(why),
///             _ => app.drain(|item| println!("{item:?}"))?,
///         };
///     }
/// }
/// ```
#[derive(Debug)]
pub struct AwaitedAttachment {
    // First, so that nothing is watched any more when the rest is closed.
    arrival: Arrival,
    attachment: Attachment,
}

impl Attachment {
    /// Turns the attachment into one whose waits are awaited.
    ///
    /// # Errors
    /// [`Error::System`] if this machine's kernel can't watch for its signal;
    /// on Linux also outside a runtime of tokio's.
    ///
    /// # Panics
    /// On Linux, in a runtime of tokio's that was built without `enable_io`: tokio itself does.
    pub fn awaited(self) -> Result<AwaitedAttachment, Error> {
        Ok(AwaitedAttachment {
            arrival: Arrival::of(&self)?,
            attachment: self.with_pace(Pace::Prompt),
        })
    }
}

impl AwaitedAttachment {
    /// Awaits the driver's signal: returns what [`Attachment::wait`] does, but never [`Wake::TimedOut`]. A time limit
    /// is the runtime's to set: dropped before it is ready, the future has taken nothing, and the next one is told.
    ///
    /// # Errors
    /// [`Error::System`] if this machine's kernel can't wait, or the runtime is shutting down.
    pub async fn wait(&mut self) -> Result<Wake, Error> {
        loop {
            let wake = self.attachment.wait(Some(Duration::ZERO))?;
            if wake != Wake::TimedOut {
                return Ok(wake);
            }
            if self.arrival.next().await? {
                return Ok(Wake::Ready);
            }
        }
    }

    /// Hands over every record and loss that is there, as [`Attachment::drain`] does: it waits for none.
    ///
    /// # Errors
    /// Those of [`Attachment::drain`].
    pub fn drain<F: DrainFlow>(&mut self, each: impl FnMut(Item<'_>) -> F) -> F::Output {
        self.attachment.drain(each)
    }

    /// Returns the attachment itself, to ask for its account, its event and its device.
    #[must_use]
    pub const fn attachment(&self) -> &Attachment {
        &self.attachment
    }

    /// Detaches the event from the driver: [`Attachment::detach`].
    ///
    /// # Errors
    /// Those of [`Attachment::detach`].
    pub fn detach(&mut self) -> Result<(), Error> {
        self.attachment.detach()
    }
}
