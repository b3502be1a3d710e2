//! Outputs of a command: results to standard output, everything else to standard error.
//!
//! That nobody hears what is said keeps nothing from being done, and is no answer: what was asked for is done, and the
//! exit code is what was found out. Only what does nothing but show ends with its reader.

use std::fmt;
use std::io::{self, BufWriter, Write};

/// Says something beside the results, in lines of its own. Nobody may hear it: no command ends by that.
pub fn say(lines: fmt::Arguments<'_>) {
    let _unheard = writeln!(anstream::stderr().lock(), "{lines}");
}

/// Standard output, as long as somebody reads it.
pub struct Results<W: Write> {
    to: BufWriter<Reader<W>>,
}

/// The reader of an output.
struct Reader<W> {
    to: W,
    /// `true` if the writer gets an error, once, when nobody reads any more.
    tells: bool,
    gone: bool,
}

impl<W: Write> Results<W> {
    /// `only_shows`: what writes ends once nobody reads, so it is told.
    /// Else what nobody reads is taken as if it was read.
    pub fn new(to: W, only_shows: bool) -> Self {
        let reader = Reader {
            to,
            tells: only_shows,
            gone: false,
        };
        Self {
            to: BufWriter::with_capacity(1 << 16, reader),
        }
    }

    /// Returns whether the reader of the results has closed them.
    pub fn are_unread(&self) -> bool {
        self.to.get_ref().gone
    }
}

impl<W: Write> Write for Results<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.to.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

impl<W: Write> Reader<W> {
    /// Returns the result of a write; a broken pipe is an error once, and only for a writer that ends by it.
    fn said<T>(&mut self, tried: io::Result<T>, taken: T) -> io::Result<T> {
        match tried {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.gone = true;
                if self.tells { Err(error) } else { Ok(taken) }
            }
            other => other,
        }
    }
}

impl<W: Write> Write for Reader<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.gone {
            return Ok(bytes.len());
        }
        let tried = self.to.write(bytes);
        self.said(tried, bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.gone {
            return Ok(());
        }
        let tried = self.to.flush();
        self.said(tried, ())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;

    /// A reader that takes so many bytes, and then fails so.
    struct Takes(usize, io::ErrorKind);

    impl Write for Takes {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.len().min(self.0);
            self.0 -= taken;
            if taken == 0 && !bytes.is_empty() {
                return Err(self.1.into());
            }
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn who_does_something_never_hears_that_nobody_reads_and_who_only_shows_hears_it_once() {
        let gone = || Takes(10, io::ErrorKind::BrokenPipe);
        let much = [b'x'; 1 << 17];
        let mut does = Results::new(gone(), false);
        does.write_all(b"some").unwrap();
        does.flush().unwrap();
        assert!(!does.are_unread());
        does.write_all(&much).unwrap();
        does.flush().unwrap();
        assert!(does.are_unread());
        let mut shows = Results::new(gone(), true);
        shows.write_all(&much).unwrap_err();
        assert!(shows.are_unread());
        shows.write_all(&much).unwrap();
        shows.flush().unwrap();
    }

    #[test]
    fn that_there_is_no_room_for_what_is_written_is_said_to_both() {
        for only_shows in [false, true] {
            let mut full = Results::new(Takes(10, io::ErrorKind::StorageFull), only_shows);
            full.write_all(b"more than there is room for").unwrap();
            full.flush().unwrap_err();
            assert!(!full.are_unread());
        }
    }
}
