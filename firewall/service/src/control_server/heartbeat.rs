//! Handle by which the main loop stops the control thread, and asks it whether it lives.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Main loop's end of the heartbeat. Dropping it stops the thread.
pub struct ThreadHandle {
    call: UnixStream,
    asked: u64,
    answered: Arc<AtomicU64>,
}

/// Thread's end of the heartbeat.
pub struct Heartbeat {
    call: UnixStream,
    answered: Arc<AtomicU64>,
}

/// Creates both ends of a heartbeat.
pub fn pair() -> io::Result<(ThreadHandle, Heartbeat)> {
    let (call, called) = UnixStream::pair()?;
    call.set_nonblocking(true)?;
    called.set_nonblocking(true)?;
    let answered = Arc::new(AtomicU64::new(0));
    let handle = ThreadHandle {
        call,
        asked: 0,
        answered: answered.clone(),
    };
    let heartbeat = Heartbeat {
        call: called,
        answered,
    };
    Ok((handle, heartbeat))
}

impl ThreadHandle {
    /// Returns whether the thread has answered since the last call; if so, it is asked again.
    pub fn lives(&mut self) -> bool {
        // Relaxed: nothing else is handed over by it.
        let lives = self.answered.load(Ordering::Relaxed) >= self.asked;
        if lives && matches!((&self.call).write(&[1]), Ok(1)) {
            self.asked += 1;
        }
        lives
    }
}

impl Heartbeat {
    /// Answers the main loop. Returns `false` if the thread is to end.
    pub fn answer(&self) -> bool {
        let mut asked = [0; 64];
        match (&self.call).read(&mut asked) {
            Ok(0) => false,
            Ok(times) => {
                self.answered.fetch_add(times as u64, Ordering::Relaxed);
                true
            }
            Err(later) => {
                matches!(later.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
            }
        }
    }
}

impl AsFd for Heartbeat {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.call.as_fd()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_does_not_answer_is_not_said_to_live() {
        let (mut handle, heartbeat) = pair().unwrap();
        assert!(handle.lives(), "nobody has asked it yet");
        assert!(!handle.lives() && !handle.lives());
        assert!(heartbeat.answer() && handle.lives());
        assert!(!handle.lives());
        assert!(heartbeat.answer() && heartbeat.answer());
        drop(handle);
        assert!(!heartbeat.answer(), "it is to end");
    }
}
