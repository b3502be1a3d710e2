//! Mailbox in which other threads hand in work for the main loop, which alone touches the kernel's tables.

use crate::firewall::Firewall;
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};

/// Work for the main loop; none any more once it has ended.
type Queue = Arc<Mutex<Option<VecDeque<Work>>>>;
type Work = Box<dyn FnOnce(&mut Firewall) + Send>;

/// Mailbox for the main loop's work. Cheap to clone.
#[derive(Clone)]
pub struct Mailbox {
    queue: Queue,
    waker: Arc<UnixStream>,
}

/// The service ends and takes no more work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending;

impl Mailbox {
    /// A mailbox, and the main loop's side of it.
    pub fn open() -> std::io::Result<(Self, MailboxReceiver)> {
        let (waker, wake) = UnixStream::pair()?;
        waker.set_nonblocking(true)?;
        wake.set_nonblocking(true)?;
        let queue: Queue = Arc::new(Mutex::new(Some(VecDeque::new())));
        let waker = Arc::new(waker);
        Ok((
            Self {
                queue: queue.clone(),
                waker: waker.clone(),
            },
            MailboxReceiver {
                queue,
                wake,
                _waker: waker,
            },
        ))
    }

    /// Has the main loop do this, and waits for what comes back: `mailbox.ask(|firewall| firewall.status())`.
    pub fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Firewall) -> T + Send + 'static,
    ) -> Result<T, Ending> {
        let (tell, hear) = mpsc::sync_channel(1);
        let work = Box::new(move |firewall: &mut Firewall| {
            // Who asked may have gone.
            let _nobody_waits = tell.send(work(firewall));
        });
        lock(&self.queue).as_mut().ok_or(Ending)?.push_back(work);
        // A full waker has been written to.
        let _woken_already = (&*self.waker).write(&[1]);
        hear.recv().map_err(|_| Ending)
    }
}

/// The main loop's side of a [`Mailbox`]. Dropped, each thread that waits is told that the service ends.
pub struct MailboxReceiver {
    queue: Queue,
    wake: UnixStream,
    /// Sending end, held so that the socket never ends: if the mailbox is gone (its control socket could not be
    /// opened), it would wake the loop for ever.
    _waker: Arc<UnixStream>,
}

impl MailboxReceiver {
    /// Does all that has been handed in by now. What comes meanwhile waits for the loop's next turn, so that those who
    /// ask again as soon as they are answered can't keep the loop from everything else.
    pub fn work_off(&self, firewall: &mut Firewall) {
        for work in self.take() {
            work(firewall);
        }
    }

    fn take(&self) -> VecDeque<Work> {
        // First the wakes: a thread that hands in something after this wakes the loop again.
        let mut wakes = [0; 64];
        while matches!((&self.wake).read(&mut wakes), Ok(1..)) {}
        lock(&self.queue)
            .as_mut()
            .map(std::mem::take)
            .unwrap_or_default()
    }
}

impl Drop for MailboxReceiver {
    fn drop(&mut self) {
        // With the work goes the sender that each of them holds: who waits for it hears of that.
        *lock(&self.queue) = None;
    }
}

fn lock(queue: &Queue) -> MutexGuard<'_, Option<VecDeque<Work>>> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

impl AsFd for MailboxReceiver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use std::time::Duration;

    /// Returns whether the loop is woken, now or within this time.
    fn wakes(receiver: &MailboxReceiver, within: PollTimeout) -> bool {
        let mut fds = [PollFd::new(receiver.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, within).is_ok_and(|ready| ready > 0)
    }

    #[test]
    fn what_is_handed_in_meanwhile_waits_for_the_next_turn_and_wakes_it() {
        let (mailbox, receiver) = Mailbox::open().expect("a mailbox");
        let hand_in = || {
            let mailbox = mailbox.clone();
            std::thread::spawn(move || mailbox.ask(|_| ()))
        };
        let waits_for = |count: usize| {
            while lock(&receiver.queue).as_ref().map_or(0, VecDeque::len) < count {
                std::thread::sleep(Duration::from_millis(1));
            }
        };
        let mut asked = vec![hand_in(), hand_in()];
        waits_for(2);
        let now = receiver.take();
        assert_eq!(now.len(), 2);
        asked.push(hand_in());
        waits_for(1);
        assert!(wakes(&receiver, PollTimeout::from(60_000_u16)));
        assert_eq!(receiver.take().len(), 1);
        assert!(!wakes(&receiver, PollTimeout::ZERO));
        // With the work goes the sender of its answer.
        drop(now);
        drop(receiver);
        for asked in asked {
            assert_eq!(asked.join().expect("whoever asked"), Err(Ending));
        }
    }
}
