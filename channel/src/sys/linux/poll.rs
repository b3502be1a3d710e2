//! Waits for several descriptors at once, whatever signal handlers run meanwhile.

use super::owned;
use crate::Error;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

pub(super) const NOTHING: libc::epoll_event = libc::epoll_event { events: 0, u64: 0 };

/// An epoll descriptor, which waits for several descriptors at once.
#[derive(Debug)]
pub(super) struct Epoll(pub(super) OwnedFd);

impl Epoll {
    pub(super) fn new(what: &'static str) -> Result<Self, Error> {
        // SAFETY: no preconditions.
        let epoll = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        owned(epoll, what).map(Self)
    }

    /// Watches this descriptor too from now on, by this name.
    pub(super) fn watch(&self, fd: BorrowedFd<'_>, events: i32, name: u64) -> Result<(), Error> {
        let mut event = libc::epoll_event {
            events: events.cast_unsigned(),
            u64: name,
        };
        let (epoll, fd) = (self.0.as_raw_fd(), fd.as_raw_fd());
        // SAFETY: an initialised event, which the kernel copies.
        let done = unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, fd, &raw mut event) };
        if done < 0 {
            Err(Error::last_os("wait for an event"))
        } else {
            Ok(())
        }
    }

    /// Waits, and returns the events of the descriptors that are ready; none if the time is over.
    pub(super) fn wait<'a>(
        &self,
        room: &'a mut [libc::epoll_event],
        timeout: Option<Duration>,
    ) -> Result<&'a [libc::epoll_event], Error> {
        let deadline = Deadline::of(timeout);
        let most = i32::try_from(room.len()).unwrap_or(i32::MAX);
        loop {
            let left = deadline.left().map(timespec);
            let left = left.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
            // SAFETY: room for as many events as said; the time outlives the call; no mask of signals.
            let got = unsafe {
                libc::syscall(
                    libc::SYS_epoll_pwait2,
                    self.0.as_raw_fd(),
                    room.as_mut_ptr(),
                    most,
                    left,
                    std::ptr::null::<libc::sigset_t>(),
                    0_usize,
                )
            };
            if let Some(ready) = woken(got)? {
                return Ok(room.get(..ready).unwrap_or(&[]));
            }
        }
    }
}

/// Readiness of the descriptors that were polled, in their order.
pub(crate) struct Ready(Vec<bool>);

impl Ready {
    pub(crate) fn any(&self) -> bool {
        self.0.contains(&true)
    }

    /// Returns whether each descriptor is ready, in the order asked for.
    #[cfg(feature = "server")]
    pub(crate) fn each(&self) -> impl Iterator<Item = bool> {
        self.0.iter().copied()
    }
}

/// Waits until one of the descriptors can be read or has hung up.
pub(crate) fn poll(fds: &[BorrowedFd<'_>], timeout: Option<Duration>) -> Result<Ready, Error> {
    poll_for(libc::POLLIN, fds, timeout)
}

/// Waits until one of the descriptors has one of these events or has hung up.
pub(super) fn poll_for(
    events: i16,
    fds: &[BorrowedFd<'_>],
    timeout: Option<Duration>,
) -> Result<Ready, Error> {
    let entry = |fd: &BorrowedFd<'_>| libc::pollfd {
        fd: fd.as_raw_fd(),
        events,
        revents: 0,
    };
    let mut entries: Vec<_> = fds.iter().map(entry).collect();
    let deadline = Deadline::of(timeout);
    loop {
        let left = deadline.left().map(timespec);
        let left = left.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
        // SAFETY: as many entries as said; the time outlives the call.
        let got = unsafe {
            libc::ppoll(
                entries.as_mut_ptr(),
                entries.len() as _,
                left,
                std::ptr::null(),
            )
        };
        if woken(got.into())?.is_some() {
            break;
        }
    }
    Ok(Ready(
        entries.iter().map(|entry| entry.revents != 0).collect(),
    ))
}

/// Time at which a wait is over, however often a signal handler interrupts it; `None` for never.
#[derive(Clone, Copy)]
struct Deadline(Option<Instant>);

impl Deadline {
    /// Returns the deadline that is `timeout` later than now. Without a time, or with one that no clock can show,
    /// never.
    fn of(timeout: Option<Duration>) -> Self {
        Self(timeout.and_then(|time| Instant::now().checked_add(time)))
    }

    /// Returns the time that is left, or `None` if there is no end to it.
    fn left(self) -> Option<Duration> {
        self.0
            .map(|end| end.saturating_duration_since(Instant::now()))
    }
}

/// Returns how many descriptors ended a wait, or `None` if a signal handler came in between, and the wait goes on.
fn woken(got: i64) -> Result<Option<usize>, Error> {
    match usize::try_from(got) {
        Ok(ready) => Ok(Some(ready)),
        _ if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => Ok(None),
        _ => Err(Error::last_os("wait")),
    }
}

fn timespec(time: Duration) -> libc::timespec {
    libc::timespec {
        tv_sec: time.as_secs() as _,
        tv_nsec: time.subsec_nanos().into(),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;
    use std::os::unix::thread::JoinHandleExt;

    extern "C" fn nothing(_: i32) {}

    /// Waits for this descriptor as an attachment waits; returns whether the wait ended before its time was over.
    fn waits(fd: BorrowedFd<'_>, timeout: Option<Duration>) -> bool {
        let epoll = Epoll::new("wait").unwrap();
        epoll.watch(fd, libc::EPOLLIN, 0).unwrap();
        let ready = epoll.wait(&mut [NOTHING], timeout).unwrap().len();
        assert_eq!(ready > 0, poll(&[fd], Some(Duration::ZERO)).unwrap().any());
        ready > 0
    }

    /// Runs `wait` while a signal handler keeps interrupting it, and returns its result and how long it took.
    fn interrupted(wait: impl FnOnce() -> bool + Send + 'static) -> (bool, Duration) {
        let handler: extern "C" fn(i32) = nothing;
        // SAFETY: the handler does nothing, so it may run anywhere.
        unsafe { libc::signal(libc::SIGUSR1, handler as libc::sighandler_t) };
        let begun = Instant::now();
        let waiter = std::thread::spawn(wait);
        for _ in 0..10 {
            std::thread::sleep(Duration::from_millis(10));
            // SAFETY: a thread that was not joined yet; its handler is set.
            unsafe { libc::pthread_kill(waiter.as_pthread_t(), libc::SIGUSR1) };
        }
        (waiter.join().unwrap(), begun.elapsed())
    }

    #[test]
    fn a_wait_that_a_signal_handler_interrupts_goes_on_with_the_time_that_is_left() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let most = Duration::from_millis(300);
        let (signalled, took) = interrupted(move || waits(ours.as_fd(), Some(most)));
        assert!(!signalled && took >= most, "it ended after {took:?}");
    }

    #[test]
    fn a_wait_without_end_is_not_ended_by_a_signal_handler() {
        use std::io::Write;
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let writer = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(300));
            theirs.write_all(b"!").unwrap();
        });
        let (signalled, _) = interrupted(move || waits(ours.as_fd(), None));
        assert!(signalled, "nothing was signalled, and it ended");
        writer.join().unwrap();
    }
}
