//! Processes that are known by more than their numbers, which the kernel gives again to others.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The kernel's ticks that `/proc` counts in, in nanoseconds (`USER_HZ`).
const TICK_NS: u64 = 1_000_000_000 / 100;

/// Opens a descriptor of the process that has this number now.
pub fn open(process: u32) -> io::Result<OwnedFd> {
    let pid = i32::try_from(process).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or(io::ErrorKind::InvalidInput)?;
    Ok(pidfd_open(pid, PidfdFlags::empty())?)
}

/// Returns whether the process of this descriptor has not ended: as long as it has not, its number is no other's.
pub fn lives(process: BorrowedFd<'_>) -> bool {
    let mut ended = [PollFd::new(process, PollFlags::POLLIN)];
    poll(&mut ended, PollTimeout::ZERO) == Ok(0)
}

/// Opens a descriptor of the process with this number and start, in ticks since the kernel's,
/// or returns `None` if it ended.
pub fn open_started(process: u32, start: u64) -> Option<OwnedFd> {
    let opened = open(process).ok()?;
    let same = start_of(process) == Some(start);
    (same && lives(opened.as_fd())).then_some(opened)
}

/// Returns the start of a process, in ticks since the kernel's start.
pub fn start_of(process: u32) -> Option<u64> {
    start_in(&fs::read(format!("/proc/{process}/stat")).ok()?)
}

fn start_in(stat: &[u8]) -> Option<u64> {
    // Its name is in brackets, and may hold anything.
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let fields = str::from_utf8(stat.get(end + 1..)?).ok()?;
    fields.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// Returns whether this process lives, which began at this time of the clock that includes sleep.
/// If not, its number may be another's.
pub fn is_alive(process: u32, began_ns: u64) -> bool {
    open_started(process, began_ns / TICK_NS).is_some()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    fn began_ns(pid: u32) -> u64 {
        start_of(pid).unwrap() * TICK_NS + 7
    }

    #[test]
    fn a_process_lives_until_it_ends_and_its_number_alone_is_not_it() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let (pid, began) = (child.id(), began_ns(child.id()));
        assert!(is_alive(pid, began));
        assert!(
            !is_alive(pid, began + 20_000_000),
            "another that began later"
        );
        assert!(!is_alive(pid, began - 20_000_000), "the one before");
        drop(child.stdin.take());
        // Nobody waits for it yet: the number is taken still.
        let over = Instant::now() + Duration::from_secs(60);
        while is_alive(pid, began) {
            assert!(Instant::now() < over, "it has ended");
            std::thread::sleep(Duration::from_millis(5));
        }
        child.wait().unwrap();
        assert!(!is_alive(pid, began));
        assert!(!is_alive(0, 0) && !is_alive(u32::MAX, 0));
    }

    #[test]
    fn a_name_with_brackets_and_blanks_moves_no_field() {
        let fields = (3..=22)
            .map(|n| n.to_string())
            .collect::<Vec<_>>()
            .join(" ");
        let stat = format!("7 (a) b (c\u{ff})) {fields} 23");
        assert_eq!(start_in(stat.as_bytes()), Some(22));
        assert_eq!(start_in(b"7 (a) R 1 2"), None);
        assert_eq!(start_in(b""), None);
    }
}
