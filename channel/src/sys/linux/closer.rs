//! Closes descriptors that somebody else has had a hand in, on threads of its own.
//!
//! `close()` may wait for as long as whoever made the file likes: a TCP socket with unsent data lingers for years, a file in
//! user space is closed when its server says so, and a unix socket takes along the descriptors in messages that nobody has
//! read. No thread that others wait for may call it.
//!
//! Rules that hold here:
//! - Each user's files are closed by that user's own threads: who holds them up holds up nobody else.
//! - A thread ends when there is nothing more to close, so that none is there at rest.
//! - Where no more threads are to be had, files wait. Whoever takes them in asks [`Closer::is_behind`] and
//!   [`Closer::is_full`] first, so that they are bounded.

use std::collections::{HashMap, VecDeque};
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Threads that one user's files may hold at the same time.
const THREADS_OF_A_USER: usize = 2;
/// Threads of all users but root.
const MOST_THREADS: usize = 16;
/// A user's messages are read while fewer than these of that user's files wait.
const MOST_OF_A_USER: usize = 256;
/// And new connections are taken while fewer than these of all users but root do.
const MOST_OF_ALL: usize = 8192;
/// A thread closes, and does nothing else.
const STACK: usize = 64 * 1024;

/// Closes files without waiting for them. Cheap to clone: every clone is the same.
#[derive(Clone, Debug, Default)]
pub struct Closer(Arc<Mutex<HashMap<u32, Lane>>>);

/// What one user's files wait in.
#[derive(Debug, Default)]
struct Lane {
    waiting: VecDeque<OwnedFd>,
    /// Each of them closes one more file.
    threads: usize,
}

/// A descriptor that somebody else has had a hand in. Dropped, it is closed by its [`Closer`].
#[derive(Debug)]
pub struct ForeignFd {
    fd: ManuallyDrop<OwnedFd>,
    user: u32,
    closer: Closer,
}

impl Closer {
    /// Takes over a file that comes from this user.
    #[must_use]
    pub fn take(&self, user: u32, fd: OwnedFd) -> ForeignFd {
        ForeignFd {
            fd: ManuallyDrop::new(fd),
            user,
            closer: self.clone(),
        }
    }

    /// Whether so many files of this user are still to be closed that no more are to be taken from there. Root's never are.
    #[must_use]
    pub fn is_behind(&self, user: u32) -> bool {
        let of_user = self.lanes().get(&user).map_or(0, Lane::files);
        user != 0 && of_user >= MOST_OF_A_USER
    }

    /// Whether so many files of all users but root are still to be closed that nobody is to be let in before some are.
    #[must_use]
    pub fn is_full(&self) -> bool {
        let lanes = self.lanes();
        let others = lanes.iter().filter(|(user, _)| **user != 0);
        others.map(|(_, lane)| lane.files()).sum::<usize>() >= MOST_OF_ALL
    }

    fn close(&self, user: u32, fd: OwnedFd) {
        let mut lanes = self.lanes();
        let busy: usize = lanes
            .iter()
            .filter(|(user, _)| **user != 0)
            .map(|(_, lane)| lane.threads)
            .sum();
        let lane = lanes.entry(user).or_default();
        lane.waiting.push_back(fd);
        let may_start = lane.threads < THREADS_OF_A_USER && (user == 0 || busy < MOST_THREADS);
        if !may_start {
            return;
        }
        lane.threads += 1;
        let this = self.clone();
        let started = std::thread::Builder::new()
            .name("closer".to_owned())
            .stack_size(STACK)
            .spawn(move || this.close_all_of(user));
        if started.is_err() {
            // The next one that is to be closed tries again.
            lane.threads -= 1;
        }
    }

    /// Closes this user's files, then those of users who have no thread, until none are left.
    fn close_all_of(&self, user: u32) {
        let mut user = Some(user);
        while let Some(of) = user {
            while let Some(fd) = self.next_of(of) {
                drop(fd);
            }
            user = self.next_lane(of);
        }
    }

    fn next_of(&self, user: u32) -> Option<OwnedFd> {
        self.lanes().get_mut(&user)?.waiting.pop_front()
    }

    /// This user's thread is free. Another user whose files have no thread gets it, if there is one.
    fn next_lane(&self, user: u32) -> Option<u32> {
        let mut lanes = self.lanes();
        if let Some(lane) = lanes.get_mut(&user) {
            // Between the last look and this one something may have come.
            if !lane.waiting.is_empty() {
                return Some(user);
            }
            lane.threads -= 1;
        }
        lanes.retain(|_, lane| lane.files() > 0);
        let (other, lane) = lanes.iter_mut().find(|(_, lane)| lane.threads == 0)?;
        lane.threads += 1;
        Some(*other)
    }

    fn lanes(&self) -> MutexGuard<'_, HashMap<u32, Lane>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lane {
    fn files(&self) -> usize {
        self.waiting.len() + self.threads
    }
}

impl AsFd for ForeignFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for ForeignFd {
    fn drop(&mut self) {
        // SAFETY: it is taken here alone, and nobody uses it after this.
        let fd = unsafe { ManuallyDrop::take(&mut self.fd) };
        self.closer.close(self.user, fd);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    #[test]
    fn what_is_dropped_is_closed_and_threads_end_when_nothing_is_left() {
        let closer = Closer::default();
        let (ends, mut others): (Vec<_>, Vec<_>) = (0..600_u32)
            .map(|n| {
                let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
                (closer.take(n % 40, ours.into()), theirs)
            })
            .unzip();
        drop(ends);
        for other in &mut others {
            assert_eq!(other.read(&mut [0]).expect("its end"), 0);
        }
        while closer.lanes().values().any(|lane| lane.files() > 0) {
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_user_whose_files_wait_is_behind_and_others_are_not() {
        let closer = Closer::default();
        let file = || OwnedFd::from(UnixStream::pair().expect("a pair of sockets").0);
        let wait = |user, files| {
            let mut lanes = closer.lanes();
            // As many threads as it may have are held up.
            let lane: &mut Lane = lanes.entry(user).or_default();
            lane.threads = THREADS_OF_A_USER;
            lane.waiting.extend((0..files).map(|_| file()));
        };
        wait(7, MOST_OF_A_USER);
        assert!(closer.is_behind(7) && !closer.is_behind(8) && !closer.is_full());
        wait(0, MOST_OF_A_USER);
        assert!(!closer.is_behind(0));
        drop(closer.take(7, file()));
        assert_eq!(closer.lanes()[&7].waiting.len(), MOST_OF_A_USER + 1);
    }
}
