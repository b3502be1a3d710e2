//! The thread's loop: everybody gets one turn, nobody is waited for.

use super::heartbeat::Heartbeat;
use super::methods::Answer;
use super::peer::{PeerConnection, Requester};
use super::polkit::{Polkit, Question};
use super::quota;
use super::quota::Quotas;
use super::socket::Socket;
use crate::asking::have_one_share;
use channel::sys::linux::Closer;
use control::{GROUP, root_socket};
use engine::quota::of_user;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Maximum number of bytes of answers that wait for one user, not root, before that user's next request is looked at.
const MOST_OWED: usize = 1 << 20;
/// Time that the thread leaves an error of the system alone before it tries again.
const BREATH: Duration = Duration::from_millis(100);

/// Server of the control socket and of everybody who is connected.
pub struct Server {
    socket: Socket,
    /// Root's own socket: nobody keeps root out by what the service has to close for others.
    of_root: Socket,
    heartbeat: Heartbeat,
    answer: Arc<dyn Answer>,
    polkit: Polkit,
    closer: Closer,
    /// Time until which nobody is let in, since this process has no number left for a descriptor.
    rests: Option<Instant>,
    peers: Vec<PeerConnection>,
    quotas: Quotas,
}

impl Server {
    /// Opens the socket, which serves until the other end of `heartbeat` is dropped.
    pub fn open(
        path: &Path,
        heartbeat: Heartbeat,
        polkit: Polkit,
        answer: impl Answer,
        closer: Closer,
    ) -> io::Result<Self> {
        let socket = Socket::open(path, Some(GROUP))?;
        let of_root = Socket::open(&root_socket(path), None)?;
        let (peers, quotas) = (Vec::new(), Quotas::default());
        Ok(Self {
            socket,
            of_root,
            heartbeat,
            answer: Arc::new(answer),
            polkit,
            closer,
            rests: None,
            peers,
            quotas,
        })
    }

    /// Serves until it is stopped.
    pub fn run(mut self) {
        loop {
            let ready = match self.wait(Instant::now()) {
                Ok(ready) => ready,
                Err(Errno::EINTR) => continue,
                Err(_) => {
                    std::thread::sleep(BREATH);
                    continue;
                }
            };
            if ready.called && !self.heartbeat.answer() {
                return;
            }
            self.turn(&ready.peers, Instant::now());
            for (which, arrived) in [Which::Roots, Which::Everybodys]
                .into_iter()
                .zip(ready.arrivals)
            {
                if arrived {
                    self.accept_waiting(which, Instant::now());
                }
            }
        }
    }

    /// Sleeps until there is something to do.
    fn wait(&self, now: Instant) -> Result<Ready, Errno> {
        let rests = self.rests.is_some_and(|end| now < end);
        let is_shut = rests || self.closer.is_full();
        let arrival = |is_shut| {
            if is_shut {
                PollFlags::empty()
            } else {
                PollFlags::POLLIN
            }
        };
        let mut fds = vec![
            PollFd::new(self.heartbeat.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.of_root.listener.as_fd(), arrival(rests)),
            PollFd::new(self.socket.listener.as_fd(), arrival(is_shut)),
        ];
        fds.extend(
            self.peers
                .iter()
                .map(|peer| PollFd::new(peer.stream.as_fd(), self.interest(peer, now))),
        );
        let questions = self.peers.iter().filter_map(|peer| peer.waits()?.1);
        fds.extend(questions.map(|question| PollFd::new(question.as_fd(), PollFlags::POLLIN)));
        let next = self.next(now).into_iter().chain(is_shut.then_some(BREATH));
        poll(&mut fds, timeout(next.min()))?;
        // What this version has no name for is an error that we have not heard of.
        let mut ready = fds
            .iter()
            .map(|fd| fd.revents().unwrap_or(PollFlags::POLLERR));
        let mut own = || ready.next().is_some_and(|events| !events.is_empty());
        let (called, arrivals) = (own(), [own(), own()]);
        Ok(Ready {
            called,
            arrivals,
            peers: ready.take(self.peers.len()).collect(),
        })
    }

    /// Returns the events that a peer is waited for. Hanging up is noticed in any case.
    fn interest(&self, peer: &PeerConnection, now: Instant) -> PollFlags {
        if peer.owes() > 0 {
            PollFlags::POLLOUT
        } else if peer.waits().is_some()
            || peer.has_asked()
            || self.must_wait(peer.requester, now).is_some()
        {
            PollFlags::empty()
        } else {
            PollFlags::POLLIN
        }
    }

    /// Returns the time until a deadline of a peer's passes or the wait of a request is over, or `None` if nothing is
    /// due by itself.
    fn next(&self, now: Instant) -> Option<Duration> {
        let of = |peer: &PeerConnection| {
            // Its question ends by itself, which is heard of.
            if peer.waits().is_some() {
                return None;
            }
            let patience = peer
                .deadline()
                .map(|end| end.saturating_duration_since(now));
            let request = match self.must_wait(peer.requester, now) {
                None if peer.has_asked() && peer.owes() == 0 => Some(Duration::ZERO),
                turn => turn,
            };
            patience.into_iter().chain(request).min()
        };
        self.peers.iter().filter_map(of).min()
    }

    /// Returns the time that a user's requests wait, because of how many there were, because of answers that wait to be
    /// taken (those have a deadline of their own), or because of what that user sent and nobody could close yet.
    fn must_wait(&self, requester: Requester, now: Instant) -> Option<Duration> {
        let owed: usize = self
            .peers
            .iter()
            .filter(|peer| have_one_share(peer.requester.user, requester.user))
            .map(PeerConnection::owes)
            .sum();
        let behind = self.closer.is_behind(of_user(requester.user));
        if behind || requester.user != 0 && owed > MOST_OWED {
            return Some(BREATH);
        }
        self.quotas.wait(requester.user, now)
    }

    /// Gives every peer one turn.
    fn turn(&mut self, ready: &[PollFlags], now: Instant) {
        let turns: Vec<_> = ready
            .iter()
            .enumerate()
            .map(|(n, events)| self.serve(n, *events, now))
            .collect();
        let mut stays = turns.into_iter();
        let quotas = &mut self.quotas;
        self.peers.retain(|peer| {
            let stays = stays.next() == Some(true);
            if !stays {
                quotas.leave(peer.requester.user);
            }
            stays
        });
    }

    /// Gives one peer a turn: an answer goes on, or something comes, and one request is answered. Returns `false` if
    /// the connection is over.
    fn serve(&mut self, n: usize, events: PollFlags, now: Instant) -> bool {
        if self.peers[n].deadline().is_some_and(|end| end <= now) {
            return false;
        }
        if self.peers[n].owes() > 0 {
            return events.is_empty() || self.peers[n].speak();
        }
        if self.peers[n].waits().is_some() {
            return !events.intersects(PollFlags::POLLHUP | PollFlags::POLLERR)
                && self.ask_for_permission(n, now);
        }
        let requester = self.peers[n].requester;
        if self.must_wait(requester, now).is_some() {
            return !events.intersects(PollFlags::POLLHUP | PollFlags::POLLERR);
        }
        if !self.peers[n].has_asked() && !events.is_empty() && !self.peers[n].hear(now) {
            return false;
        }
        if self.peers[n].owes() > 0 || !self.peers[n].has_asked() {
            return true;
        }
        self.quotas.take(requester.user, now);
        self.peers[n].answer(Instant::now()) && self.ask_for_permission(n, now)
    }

    /// Asks polkit about a request that waits for permission, and goes on with it once there is a verdict. Returns
    /// `false` if the connection is over.
    fn ask_for_permission(&mut self, n: usize, now: Instant) -> bool {
        let peer = &mut self.peers[n];
        let Some((change, question)) = peer.waits() else {
            return true;
        };
        match question.map(Question::verdict) {
            Some(None) => true,
            Some(Some(verdict)) => peer.decide(verdict, Instant::now()),
            None => match self.polkit.ask(peer.subject.as_ref(), change) {
                Ok(question) => {
                    self.quotas.take_question(peer.requester.user, now);
                    peer.wait_for(question);
                    true
                }
                Err(refused) => peer.decide(Err(refused), now),
            },
        }
    }

    /// Accepts the connections that wait, within their users' shares; the others are hung up on.
    fn accept_waiting(&mut self, which: Which, now: Instant) {
        let socket = match which {
            Which::Roots => &self.of_root,
            Which::Everybodys => &self.socket,
        };
        for _ in 0..quota::MOST_PEERS {
            let stream = match socket.listener.accept() {
                Ok((stream, _)) => stream,
                Err(none) if none.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => {
                    // Who knocks goes on knocking.
                    self.rests = Some(now + BREATH);
                    return;
                }
            };
            let peer = PeerConnection::new(stream.into(), &self.closer, self.answer.clone());
            let Ok(peer) = peer else {
                continue;
            };
            if self.quotas.enter(peer.requester.user, now) {
                self.peers.push(peer);
            }
        }
    }
}

/// Choice of one of the two sockets.
#[derive(Clone, Copy, Debug)]
enum Which {
    Roots,
    Everybodys,
}

/// Result of a wait.
struct Ready {
    called: bool,
    /// `true` if a connection waits at root's socket, and at everybody's.
    arrivals: [bool; 2],
    peers: Vec<PollFlags>,
}

fn timeout(time: Option<Duration>) -> PollTimeout {
    let Some(time) = time else {
        return PollTimeout::NONE;
    };
    // Rounded up, so that what was waited for is there.
    PollTimeout::try_from(time.as_micros().div_ceil(1000)).unwrap_or(PollTimeout::MAX)
}
