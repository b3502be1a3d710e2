//! Records that one thread hands to another, as programs do that have no driver: by a Unix datagram socket, by a pipe,
//! or by [a queue in shared memory](super::queue).

use crate::gatebell::now_ns;
use crate::ground::{go_on, pin};
use crate::load::Done;
use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{setsockopt, sockopt};
use nix::unistd::{pipe2, read, write};
use std::hint::black_box;
use std::io::ErrorKind;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A way from one thread to another.
pub trait Way: Sync {
    /// Hands over a record, and never waits: false if there is no room for it.
    fn put(&self, record: &Record) -> Result<bool>;
    /// Takes what is there, and waits for a moment if there is nothing. Returns how many records it has looked at.
    fn take(&self, room: &mut [u8]) -> Result<u64>;
}

/// A record, as each way wants it.
pub struct Record {
    /// Bytes of the record.
    pub bytes: Vec<u8>,
    /// Content of the record as 64-bit words.
    pub words: Vec<u64>,
}

impl Record {
    /// Creates a record of a length in bytes, a multiple of 8.
    pub fn of(bytes: usize) -> Self {
        let words = vec![0x0123_4567_89AB_CDEF_u64; bytes / 8];
        Self {
            bytes: words.iter().flat_map(|word| word.to_ne_bytes()).collect(),
            words,
        }
    }
}

/// Time without records after which none are expected any more.
pub const QUIET: Duration = Duration::from_millis(50);
/// Maximum time of a flood.
const AT_MOST: Duration = Duration::from_secs(5);
/// A whole number of records of every size that is measured: a read takes no part of one.
const ROOM: usize = 1 << 16;
/// Capacity of a queue in bytes, as large as the rings that it is compared with.
pub const KEEPS: usize = 1 << 20;

/// Result of a flood.
#[derive(Clone, Copy, Debug)]
pub struct Flooded {
    /// Records that were written, and the time that they took.
    pub done: Done,
    /// Records that found no room, as the writer counted them.
    pub lost: u64,
    /// Records that the reader looked at.
    pub taken: u64,
    /// Time at which the reader had the last record.
    pub last_ns: u64,
}

/// Hands over so many records as fast as it goes, from one processor to the next.
pub fn flood(way: &impl Way, record: &Record, count: u64) -> Result<Flooded> {
    flood_by(way, record, count, pin)
}

/// Floods by two threads, the writer with the number 0 and the reader with 1; each first calls `place` with its number.
fn flood_by(
    way: &impl Way,
    record: &Record,
    count: u64,
    place: fn(usize) -> Result<()>,
) -> Result<Flooded> {
    go_on()?;
    let written = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| place(1).and_then(|()| drain(way, &written)));
        let writer = scope.spawn(|| place(0).and_then(|()| fill(way, record, count)));
        let filled = writer.join();
        // Pairs with the acquire load in `drain`: what was written before it is taken after it.
        written.store(true, Ordering::Release);
        let (Ok(filled), Ok(drained)) = (filled, reader.join()) else {
            bail!("a thread that measures has panicked");
        };
        let ((done, lost), (taken, last_ns)) = (filled?, drained?);
        Ok(Flooded {
            done,
            lost,
            taken,
            last_ns,
        })
    })
}

fn fill(way: &impl Way, record: &Record, count: u64) -> Result<(Done, u64)> {
    /// Looks at the clock are dear.
    const AT_ONCE: u64 = 256;
    let (start, mut sent, mut lost) = (Instant::now(), 0, 0);
    while sent < count && start.elapsed() < AT_MOST {
        for _ in 0..AT_ONCE.min(count - sent) {
            lost += u64::from(!way.put(record)?);
            sent += 1;
        }
    }
    Ok((Done::since(start, sent), lost))
}

fn drain(way: &impl Way, written: &AtomicBool) -> Result<(u64, u64)> {
    let mut room = vec![0; ROOM];
    let (mut all, mut last_ns) = (0, 0);
    loop {
        let ending = written.load(Ordering::Acquire);
        let taken = way.take(&mut room)?;
        all += taken;
        if taken > 0 {
            last_ns = now_ns();
        } else if ending {
            return Ok((all, last_ns));
        }
    }
}

/// The first word of each record: as little as an app can do with it.
fn look(room: &[u8], bytes: usize) -> u64 {
    let records = room.chunks_exact(bytes);
    let count = records.len() as u64;
    for record in records {
        black_box(
            record
                .first_chunk::<8>()
                .map(|word| u64::from_ne_bytes(*word)),
        );
    }
    count
}

/// A pair of Unix datagram sockets: one system call for each record, on either side.
pub struct Datagrams {
    writer: UnixDatagram,
    reader: UnixDatagram,
}

impl Datagrams {
    /// Makes them.
    pub fn new() -> Result<Self> {
        let (writer, reader) = UnixDatagram::pair()?;
        writer.set_nonblocking(true)?;
        setsockopt(&writer, sockopt::SndBuf, &KEEPS).context("SO_SNDBUF")?;
        reader.set_read_timeout(Some(QUIET))?;
        Ok(Self { writer, reader })
    }
}

impl Way for Datagrams {
    fn put(&self, record: &Record) -> Result<bool> {
        match self.writer.send(&record.bytes) {
            Ok(_) => Ok(true),
            Err(full) if full.kind() == ErrorKind::WouldBlock => Ok(false),
            // The queue of the other socket has a length of its own.
            Err(full) if full.raw_os_error() == Some(Errno::ENOBUFS as i32) => Ok(false),
            Err(other) => Err(other).context("sending a datagram"),
        }
    }

    fn take(&self, room: &mut [u8]) -> Result<u64> {
        match self.reader.recv(room) {
            Ok(got) => Ok(look(&room[..got], got.max(1))),
            Err(nothing) if nothing.kind() == ErrorKind::WouldBlock => Ok(0),
            Err(other) => Err(other).context("taking a datagram"),
        }
    }
}

/// A pipe: a system call for each record on the writer's side, and one for as many as are there on the reader's.
pub struct Pipe {
    writer: OwnedFd,
    reader: OwnedFd,
    bytes: usize,
}

impl Pipe {
    /// Makes one for records of so many bytes, with the room that the kernel gives to any.
    pub fn new(bytes: usize) -> Result<Self> {
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
        Ok(Self {
            writer,
            reader,
            bytes,
        })
    }

    /// Sets the capacity to that of the others, which the kernel may refuse to a user.
    pub fn with_room(self) -> Result<Self> {
        fcntl(&self.writer, FcntlArg::F_SETPIPE_SZ(KEEPS as i32)).context("F_SETPIPE_SZ")?;
        Ok(self)
    }
}

impl Way for Pipe {
    fn put(&self, record: &Record) -> Result<bool> {
        // As short as they are they are written as a whole or not at all.
        match write(&self.writer, &record.bytes) {
            Ok(_) => Ok(true),
            Err(Errno::EAGAIN) => Ok(false),
            Err(other) => Err(other).context("writing to a pipe"),
        }
    }

    fn take(&self, room: &mut [u8]) -> Result<u64> {
        match read(&self.reader, room) {
            Ok(got) => return Ok(look(&room[..got], self.bytes)),
            Err(Errno::EAGAIN) => {}
            Err(other) => return Err(other).context("reading a pipe"),
        }
        wait(&self.reader).map(|_| 0)
    }
}

/// Waits until it can be read, for a moment at most: false if that was over.
pub fn wait(descriptor: &impl AsFd) -> Result<bool> {
    let most = PollTimeout::try_from(QUIET).context("a moment is short")?;
    let mut one = [PollFd::new(descriptor.as_fd(), PollFlags::POLLIN)];
    match poll(&mut one, most) {
        Ok(ready) => Ok(ready > 0),
        Err(Errno::EINTR) => Ok(false),
        Err(other) => Err(other).context("waiting"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::queue::Queue;

    /// Floods are of a few thousand records: whatever is not taken was counted as lost. On which processors, and to how
    /// many of them a slow machine comes in time, is all one.
    fn nothing_is_unaccounted(way: &impl Way, bytes: usize) {
        let flooded = flood_by(way, &Record::of(bytes), 20_000, |_| Ok(())).expect("it goes on");
        assert_eq!(flooded.taken + flooded.lost, flooded.done.count);
        assert!(flooded.taken > 0 && flooded.last_ns >= flooded.done.began_ns);
    }

    #[test]
    fn what_finds_no_room_on_any_way_is_counted_and_all_else_arrives() {
        for bytes in [64, 1024] {
            nothing_is_unaccounted(&Datagrams::new().expect("sockets"), bytes);
            nothing_is_unaccounted(&Pipe::new(bytes).expect("a pipe"), bytes);
            nothing_is_unaccounted(&Queue::new(KEEPS, bytes).expect("a queue"), bytes);
            // Room for two: nearly every record has to wake the reader, or is lost.
            nothing_is_unaccounted(&Queue::new(2 * bytes, bytes).expect("a queue"), bytes);
        }
    }
}
