//! Terminal that answers are typed at.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::termios::{FlushArg, tcflush};
use std::io::{IsTerminal, Stdin};
use std::os::fd::AsFd;
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

/// Starts a thread that sends each typed line, with the time at which it ended.
pub fn lines(typed: Stdin) -> Receiver<(String, Instant)> {
    let (tell, hear) = channel();
    std::thread::spawn(move || {
        for line in typed.lines().map_while(Result::ok) {
            if tell.send((line, Instant::now())).is_err() {
                return;
            }
        }
    });
    hear
}

/// Discards what has been typed and not read, also a line without its end: whoever began it saw what was shown before.
/// Returns whether a whole line was discarded. What comes by a pipe nobody types, and it stays.
pub fn discard_typed(terminal: &(impl AsFd + IsTerminal)) -> bool {
    if !terminal.is_terminal() {
        return false;
    }
    let mut typed = [PollFd::new(terminal.as_fd(), PollFlags::POLLIN)];
    // A terminal has something to read once a line has ended.
    let is_line = poll(&mut typed, PollTimeout::ZERO).is_ok_and(|ready| ready > 0);
    tcflush(terminal, FlushArg::TCIFLUSH).is_ok() && is_line
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;
    use nix::pty::openpty;
    use std::fs::File;
    use std::io::{Read, Write};
    use std::os::fd::OwnedFd;

    #[test]
    fn what_was_typed_of_a_line_before_another_list_was_shown_is_no_part_of_the_answer() {
        let pair = openpty(None, None).unwrap();
        let (mut keys, mut program) = (File::from(pair.master), File::from(pair.slave));
        let mut types = |typed: &str, echo: &str| {
            keys.write_all(typed.as_bytes()).unwrap();
            // What the terminal shows of it has arrived.
            let mut shown = vec![0; echo.len()];
            keys.read_exact(&mut shown).unwrap();
            assert_eq!(String::from_utf8(shown).unwrap(), echo);
        };
        types("ap", "ap");
        assert!(!discard_typed(&program), "no whole line");
        types("\n", "\r\n");
        let mut line = [0; 16];
        let length = program.read(&mut line).unwrap();
        assert_eq!(&line[..length], b"\n");
        types("b\n", "b\r\n");
        assert!(discard_typed(&program), "a whole line");
        types("s\n", "s\r\n");
        let length = program.read(&mut line).unwrap();
        assert_eq!(&line[..length], b"s\n");
        let (reads, mut writes) = std::io::pipe().unwrap();
        let mut pipe = File::from(OwnedFd::from(reads));
        writes.write_all(b"a\n").unwrap();
        drop(writes);
        assert!(!discard_typed(&pipe));
        let mut all = String::new();
        pipe.read_to_string(&mut all).unwrap();
        assert_eq!(all, "a\n");
    }
}
