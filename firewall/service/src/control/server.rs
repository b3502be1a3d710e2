//! The thread's loop: everybody gets one turn, nobody is waited for.

use super::guest::{Asker, Guest};
use super::interface::Answer;
use super::quota::Quotas;
use super::socket::Socket;
use super::{GROUP, quota};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Bytes of answers that wait for one user, not root, before that user's next request is looked at.
const MOST_OWED: usize = 1 << 20;
/// How long the thread leaves an error of the system alone before it tries again.
const BREATH: Duration = Duration::from_millis(100);

/// The control socket and everybody who is connected.
pub struct Server {
    socket: Socket,
    stopped: UnixStream,
    answer: Arc<dyn Answer>,
    guests: Vec<Guest>,
    quotas: Quotas,
}

impl Server {
    /// Opens the socket. It serves until the other end of `stopped` is closed.
    pub fn open(path: &Path, stopped: UnixStream, answer: impl Answer) -> io::Result<Self> {
        let socket = Socket::open(path, GROUP)?;
        let (guests, quotas) = (Vec::new(), Quotas::default());
        Ok(Self {
            socket,
            stopped,
            answer: Arc::new(answer),
            guests,
            quotas,
        })
    }

    /// Serves until it is stopped.
    pub fn run(mut self) {
        loop {
            let ready = match self.wait(Instant::now()) {
                Ok(Ready { stopped: true, .. }) => return,
                Ok(ready) => ready,
                Err(Errno::EINTR) => continue,
                Err(_) => {
                    std::thread::sleep(BREATH);
                    continue;
                }
            };
            self.turn(&ready.guests, Instant::now());
            if ready.knocks {
                self.welcome(Instant::now());
            }
        }
    }

    /// Sleeps until there is something to do.
    fn wait(&self, now: Instant) -> Result<Ready, Errno> {
        let mut fds = vec![
            PollFd::new(self.stopped.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.socket.listener.as_fd(), PollFlags::POLLIN),
        ];
        fds.extend(
            self.guests
                .iter()
                .map(|guest| PollFd::new(guest.stream.as_fd(), self.interest(guest, now))),
        );
        poll(&mut fds, timeout(self.next(now)))?;
        // What this version has no name for is an error that we have not heard of.
        let mut ready = fds
            .iter()
            .map(|fd| fd.revents().unwrap_or(PollFlags::POLLERR));
        let mut own = || ready.next().is_some_and(|events| !events.is_empty());
        let (stopped, knocks) = (own(), own());
        Ok(Ready {
            stopped,
            knocks,
            guests: ready.collect(),
        })
    }

    /// What a guest is waited for. Who hangs up is heard of in any case.
    fn interest(&self, guest: &Guest, now: Instant) -> PollFlags {
        if guest.owes() > 0 {
            PollFlags::POLLOUT
        } else if guest.has_asked() || self.must_wait(guest.asker, now).is_some() {
            PollFlags::empty()
        } else {
            PollFlags::POLLIN
        }
    }

    /// The next moment at which something is to be done without anybody's doing.
    fn next(&self, now: Instant) -> Option<Duration> {
        let of = |guest: &Guest| {
            let patience = guest
                .deadline()
                .map(|end| end.saturating_duration_since(now));
            let request = match self.must_wait(guest.asker, now) {
                None if guest.has_asked() && guest.owes() == 0 => Some(Duration::ZERO),
                turn => turn,
            };
            patience.into_iter().chain(request).min()
        };
        self.guests.iter().filter_map(of).min()
    }

    /// How long a user's requests wait, because of how many there were or because of answers that wait to be taken: those
    /// have a deadline of their own.
    fn must_wait(&self, asker: Asker, now: Instant) -> Option<Duration> {
        let owed: usize = self
            .guests
            .iter()
            .filter(|guest| guest.asker.user == asker.user)
            .map(Guest::owes)
            .sum();
        if asker.user != 0 && owed > MOST_OWED {
            return Some(BREATH);
        }
        self.quotas.wait(asker.user, now)
    }

    /// Gives every guest one turn.
    fn turn(&mut self, ready: &[PollFlags], now: Instant) {
        let turns: Vec<_> = ready
            .iter()
            .enumerate()
            .map(|(n, events)| self.serve(n, *events, now))
            .collect();
        let mut stays = turns.into_iter();
        let quotas = &mut self.quotas;
        self.guests.retain(|guest| {
            let stays = stays.next() == Some(true);
            if !stays {
                quotas.leave(guest.asker.user);
            }
            stays
        });
    }

    /// One guest's turn: an answer goes on, or something comes, and one request is answered. False: it is over.
    fn serve(&mut self, n: usize, events: PollFlags, now: Instant) -> bool {
        if self.guests[n].deadline().is_some_and(|end| end <= now) {
            return false;
        }
        if self.guests[n].owes() > 0 {
            return events.is_empty() || self.guests[n].speak();
        }
        let asker = self.guests[n].asker;
        if self.must_wait(asker, now).is_some() {
            return !events.intersects(PollFlags::POLLHUP | PollFlags::POLLERR);
        }
        if !self.guests[n].has_asked() && !events.is_empty() && !self.guests[n].hear(now) {
            return false;
        }
        if self.guests[n].owes() > 0 || !self.guests[n].has_asked() {
            return true;
        }
        self.quotas.take(asker.user, now);
        self.guests[n].answer(Instant::now())
    }

    /// Lets those in who knock, within their users' shares; the others are hung up on.
    fn welcome(&mut self, now: Instant) {
        for _ in 0..quota::MOST_GUESTS {
            let Ok((stream, _)) = self.socket.listener.accept() else {
                return;
            };
            let Ok(guest) = Guest::new(stream, self.answer.clone()) else {
                continue;
            };
            if self.quotas.enter(guest.asker.user, now) {
                self.guests.push(guest);
            }
        }
    }
}

/// What a wait found.
struct Ready {
    stopped: bool,
    knocks: bool,
    guests: Vec<PollFlags>,
}

fn timeout(time: Option<Duration>) -> PollTimeout {
    let Some(time) = time else {
        return PollTimeout::NONE;
    };
    // Rounded up, so that what was waited for is there.
    PollTimeout::try_from(time.as_micros().div_ceil(1000)).unwrap_or(PollTimeout::MAX)
}
