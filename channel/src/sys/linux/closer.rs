//! Closing of descriptors that somebody else has had a hand in, on threads of its own.
//!
//! `close()` may wait for as long as whoever made the file likes: a TCP socket with unsent data lingers for years, a
//! file in user space is closed when its server says so, and a unix socket takes along the descriptors in messages that
//! nobody has read. No thread that others wait for may call it.
//!
//! Rules that hold here:
//! - Files are closed by threads of their share's own, which is a user, or several that count as one:
//!   who holds them up holds up nobody else.
//! - A thread ends when there is nothing more to close, so that none is there at rest.
//! - Where no more threads are to be had, files wait. Who takes some in asks [`Closer::is_behind`] or
//!   [`Closer::is_full`] directly before, each time: so they are bounded, far below what the process may have open. The
//!   kernel closes what it finds no number for at once, in the thread that receives.

use std::collections::{HashMap, VecDeque};
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Largest number of threads that one share's files may hold at the same time.
const THREADS_OF_A_SHARE: usize = 2;
/// Largest number of threads of all shares but root's.
const MOST_THREADS: usize = 16;
/// Largest number of a share's files that wait, before no more of its messages are read.
const MOST_OF_A_SHARE: usize = 256;
/// Largest number of files of all shares but root's that wait, before no messages but root's are read.
const MOST_OF_ALL: usize = 8192;
/// Divisor of the number of files that the process may have open: that part may wait while messages are read.
const PART_OF_OPEN: usize = 16;
/// Factor by which more files must wait before no connection is taken either. The last message brings 253 at once:
/// where only 1024 may be open it does not stop accepting yet, and in two such that are full there is still room.
const TIMES_AT_THE_DOOR: usize = 6;
/// Stack of a thread, in bytes: it closes, and does nothing else.
const STACK: usize = 64 * 1024;

/// Closer of files, for whom nobody waits. Cheap to clone: every clone is the same.
#[derive(Clone, Debug)]
pub struct Closer {
    lanes: Arc<Mutex<HashMap<u32, Lane>>>,
    most: Most,
}

/// Limits of how many files may wait before no more are taken in.
#[derive(Clone, Copy, Debug)]
struct Most {
    of_a_share: usize,
    of_all: usize,
    at_the_door: usize,
}

impl Most {
    /// Returns the limits of a process that may have `open` files open.
    const fn of(open: usize) -> Self {
        let of_all = if open / PART_OF_OPEN < MOST_OF_ALL {
            open / PART_OF_OPEN
        } else {
            MOST_OF_ALL
        };
        let of_a_share = if of_all / 2 < MOST_OF_A_SHARE {
            of_all / 2
        } else {
            MOST_OF_A_SHARE
        };
        Self {
            of_a_share,
            of_all,
            at_the_door: of_all * TIMES_AT_THE_DOOR,
        }
    }
}

impl Default for Closer {
    /// Makes a closer with the limits of this process, by what it may have open now.
    fn default() -> Self {
        Self::of_open(may_open())
    }
}

/// Returns the number of files that this process may have open.
fn may_open() -> usize {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: room for what is asked for.
    let got = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    if got == 0 {
        usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX)
    } else {
        0
    }
}

/// Files of one share that wait to be closed.
#[derive(Debug, Default)]
struct Lane {
    waiting: VecDeque<OwnedFd>,
    /// Number of threads that close this share's files: each of them closes one more file.
    threads: usize,
}

/// A descriptor that somebody else has had a hand in. Dropped, it is closed by its [`Closer`].
#[derive(Debug)]
pub struct ForeignFd {
    fd: ManuallyDrop<OwnedFd>,
    share: u32,
    closer: Closer,
    waits_for_nothing: bool,
}

impl Closer {
    /// Makes a closer with the limits of a process that may have `files` files open.
    #[must_use]
    pub fn of_open(files: usize) -> Self {
        Self {
            lanes: Arc::default(),
            most: Most::of(files),
        }
    }

    /// Takes over a file that comes from this share: a user's number, or one that several users have together; 0 is
    /// root's.
    #[must_use]
    pub fn take(&self, share: u32, fd: OwnedFd) -> ForeignFd {
        ForeignFd {
            fd: ManuallyDrop::new(fd),
            share,
            closer: self.clone(),
            waits_for_nothing: false,
        }
    }

    /// Returns whether so many files of this share, or of all but root's, are still to be closed that no more are to be
    /// taken from there. Root's never are.
    #[must_use]
    pub fn is_behind(&self, share: u32) -> bool {
        let lanes = self.lanes();
        let of_share = lanes.get(&share).map_or(0, Lane::files);
        share != 0 && (of_share >= self.most.of_a_share || others(&lanes) >= self.most.of_all)
    }

    /// Returns whether so many files of all shares but root's are still to be closed that no connection is to be
    /// accepted before some are: more than messages alone can bring, for nobody but root is heard before that.
    #[must_use]
    pub fn is_full(&self) -> bool {
        others(&self.lanes()) >= self.most.at_the_door
    }

    fn close(&self, share: u32, fd: OwnedFd) {
        let mut lanes = self.lanes();
        let busy: usize = lanes
            .iter()
            .filter(|(share, _)| **share != 0)
            .map(|(_, lane)| lane.threads)
            .sum();
        let lane = lanes.entry(share).or_default();
        lane.waiting.push_back(fd);
        let may_start = lane.threads < THREADS_OF_A_SHARE && (share == 0 || busy < MOST_THREADS);
        if !may_start {
            return;
        }
        lane.threads += 1;
        let this = self.clone();
        let started = std::thread::Builder::new()
            .name("closer".to_owned())
            .stack_size(STACK)
            .spawn(move || this.close_all_of(share));
        if started.is_err() {
            // The next one that is to be closed tries again.
            lane.threads -= 1;
        }
    }

    /// Closes this share's files, then those of users who have no thread, until none are left.
    fn close_all_of(&self, share: u32) {
        let mut share = Some(share);
        while let Some(of) = share {
            while let Some(fd) = self.next_of(of) {
                drop(fd);
            }
            share = self.next_lane(of);
        }
    }

    fn next_of(&self, share: u32) -> Option<OwnedFd> {
        self.lanes().get_mut(&share)?.waiting.pop_front()
    }

    /// Returns the next share for a thread that is free of this one: another share whose files have no thread, if there
    /// is one.
    fn next_lane(&self, share: u32) -> Option<u32> {
        let mut lanes = self.lanes();
        if let Some(lane) = lanes.get_mut(&share) {
            // Between the last look and this one something may have come.
            if !lane.waiting.is_empty() {
                return Some(share);
            }
            lane.threads -= 1;
        }
        lanes.retain(|_, lane| lane.files() > 0);
        let (other, lane) = lanes.iter_mut().find(|(_, lane)| lane.threads == 0)?;
        lane.threads += 1;
        Some(*other)
    }

    fn lanes(&self) -> MutexGuard<'_, HashMap<u32, Lane>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the number of files of all shares but root's.
fn others(lanes: &HashMap<u32, Lane>) -> usize {
    let others = lanes.iter().filter(|(share, _)| **share != 0);
    others.map(|(_, lane)| lane.files()).sum()
}

impl Lane {
    fn files(&self) -> usize {
        self.waiting.len() + self.threads
    }
}

impl ForeignFd {
    /// Closes the descriptor in this thread: one that is known to wait for nothing, as a connection that nobody could
    /// send descriptors by.
    pub fn close_here(mut self) {
        self.waits_for_nothing = true;
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
        if self.waits_for_nothing {
            drop(fd);
        } else {
            self.closer.close(self.share, fd);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    /// Largest number of descriptors that come with one message: the kernel's `SCM_MAX_FD`.
    const MOST_BESIDE: usize = 253;

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
    fn what_may_wait_is_far_below_what_may_be_open() {
        for open in [1024, 4096, 65_536, 1 << 30] {
            let most = Most::of(open);
            assert!(2 * most.at_the_door < open - open / 8, "{open}: {most:?}");
            assert!(0 < most.of_a_share && 2 * most.of_a_share <= most.of_all);
        }
    }

    #[test]
    fn what_messages_bring_alone_keeps_nobody_from_being_let_in() {
        for open in [1024, 4096, 65_536, 1 << 30] {
            let closer = Closer::of_open(open);
            let brought = Lane {
                threads: closer.most.of_all - 1 + MOST_BESIDE,
                ..Lane::default()
            };
            closer.lanes().insert(7, brought);
            assert!(closer.is_behind(8) && !closer.is_full(), "{open}");
        }
    }

    #[test]
    fn a_user_whose_files_wait_is_behind_and_others_are_not() {
        let closer = Closer {
            most: Most::of(1024),
            ..Closer::default()
        };
        let Most {
            of_a_share: most,
            of_all,
            at_the_door,
        } = closer.most;
        let file = || OwnedFd::from(UnixStream::pair().expect("a pair of sockets").0);
        let wait = |user, files| {
            let mut lanes = closer.lanes();
            // As many threads as it may have are held up.
            let lane: &mut Lane = lanes.entry(user).or_default();
            lane.threads = THREADS_OF_A_SHARE;
            lane.waiting.extend((0..files).map(|_| file()));
        };
        wait(7, most);
        assert!(closer.is_behind(7) && !closer.is_behind(8) && !closer.is_full());
        wait(0, most);
        assert!(!closer.is_behind(0));
        drop(closer.take(7, file()));
        assert_eq!(closer.lanes()[&7].waiting.len(), most + 1);
        wait(9, of_all - most);
        assert!(closer.is_behind(8) && !closer.is_full() && !closer.is_behind(0));
        wait(10, at_the_door - of_all);
        assert!(closer.is_full() && !closer.is_behind(0));
    }
}
