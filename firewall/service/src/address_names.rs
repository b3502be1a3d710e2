//! The names of addresses: the driver hands on the answers of DNS that the zone gets, and a thread reads them.
//!
//! Rules that hold here:
//! - The thread gives up its capabilities for ever before it looks at a byte of them. It has the ring, which was mapped for it,
//!   and the names; it opens nothing and says nothing to anybody.
//! - What it can't read labels nothing. If it breaks down there are no names, and nothing else is missing.
//! - It takes a fifth of one processor at most, whatever comes: what finds no room in the ring meanwhile the driver counts.

use crate::capabilities;
use crate::driver::Driver;
use anyhow::{Context, Result, anyhow};
use channel::ring::{Lie, Reader, Step};
use channel::sys::linux::Ring;
use firewall_abi::dns::{AnswerPacket, AnswersSeen, RING_BYTES};
use names::{Answered, Cache, Learned, Unread};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::panic::catch_unwind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use tracing::error;
use zerocopy::FromBytes;

/// It rests for so many times as long as it has worked.
const REST: u32 = 4;
const SHORTEST_REST: Duration = Duration::from_millis(2);
const RECORD: usize = size_of::<AnswerPacket>();

/// The names that are known, and the thread that learns them. Dropped, the thread ends.
pub struct AddressNames {
    shared: Arc<Shared>,
    /// Its end is what the thread hears of.
    _end: Option<UnixStream>,
}

/// The names, for another thread of ours. Cheap to clone.
#[derive(Clone, Default)]
pub struct KnownNames(Arc<Shared>);

impl KnownNames {
    /// See [`AddressNames::name_of`].
    pub fn name_of(&self, address: IpAddr) -> Option<Arc<str>> {
        self.0.lock().name_of(address, Instant::now())
    }
}

#[derive(Default)]
struct Shared {
    cache: Mutex<Cache>,
    /// Answers that can't be read.
    unread: AtomicU64,
    /// Why no more are learned.
    broken: OnceLock<String>,
}

impl AddressNames {
    /// Begins to learn them. Without them the firewall guards all the same.
    pub fn learn(driver: &Driver) -> Self {
        let shared = Arc::new(Shared::default());
        let started = start(driver, shared.clone());
        let started = started.inspect_err(|cause| shared.break_down(cause));
        Self {
            shared,
            _end: started.ok(),
        }
    }

    /// The names, for another thread.
    pub fn known(&self) -> KnownNames {
        KnownNames(self.shared.clone())
    }

    /// Why no more are learned, if that is so.
    pub fn trouble(&self) -> Option<String> {
        self.shared.broken.get().cloned()
    }

    /// The name that this address was asked for by last.
    pub fn name_of(&self, address: IpAddr) -> Option<Arc<str>> {
        self.shared.lock().name_of(address, Instant::now())
    }

    /// What was learned after this turn, and the last turn.
    pub fn since(&self, turn: u64) -> (Vec<Learned>, u64) {
        self.shared.lock().since(turn, Instant::now())
    }

    /// How many are kept, and how many answers could not be read.
    pub fn counted(&self) -> (u64, u64) {
        let unread = self.shared.unread.load(Ordering::Relaxed);
        (self.shared.lock().len() as u64, unread)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn break_down(&self, cause: &anyhow::Error) {
        let said = format!("addresses get no more names: {cause:#}; restart the service");
        error!("{said}");
        // Said once is enough.
        let _said_before = self.broken.set(said);
    }

    fn learn(&self, record: &[u8]) {
        match read(record) {
            Ok(answered) => self.lock().learn(&answered, Instant::now()),
            Err(Unread::NoAddress) => {}
            Err(Unread::Broken) => {
                self.unread.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// What a packet's answer says.
fn read(record: &[u8]) -> Result<Answered, Unread> {
    let record = AnswerPacket::read_from_bytes(record).map_err(|_| Unread::Broken)?;
    let packet = record.bytes.get(..record.copied as usize);
    let message = packet.and_then(names::message).ok_or(Unread::Broken)?;
    // The library is not ours: whatever it stumbles over is one answer that says nothing.
    catch_unwind(|| names::read(message)).unwrap_or(Err(Unread::Broken))
}

fn start(driver: &Driver, shared: Arc<Shared>) -> Result<UnixStream> {
    let map = driver.map("DNS_ANSWERS")?.try_clone_to_owned()?;
    let ring = Ring::new(map.as_fd(), RING_BYTES as u32)
        .context("mapping the ring in which answers of DNS wait")?;
    let (end, ours) = UnixStream::pair()?;
    let mut learner = Learner {
        reader: Reader::of_any_length(ring),
        map,
        end: ours,
        shared,
    };
    std::thread::Builder::new()
        .name("names".to_owned())
        .spawn(move || {
            if let Err(cause) = learner.run() {
                learner.shared.break_down(&cause);
            }
        })?;
    Ok(end)
}

struct Learner {
    reader: Reader<Ring, RECORD>,
    map: OwnedFd,
    end: UnixStream,
    shared: Arc<Shared>,
}

impl Learner {
    fn run(&mut self) -> Result<()> {
        capabilities::give_up().context("giving up capabilities")?;
        // What is owed is rested once the clock of `poll` can tell it from nothing.
        let mut owed = Duration::ZERO;
        loop {
            let began = Instant::now();
            let shared = &self.shared;
            let drained: Result<_, Broken> = self.reader.drain(|record| {
                shared.learn(record);
                Ok(Step::Next)
            });
            drained.map_err(|Broken(Lie(what))| anyhow!("the ring of answers is {what}"))?;
            owed += began.elapsed() * REST;
            if owed >= SHORTEST_REST {
                if self.ends(owed)? {
                    return Ok(());
                }
                owed = Duration::ZERO;
            }
            let waits = Instant::now();
            if self.ends_before_more()? {
                return Ok(());
            }
            owed = owed.saturating_sub(waits.elapsed());
        }
    }

    /// Rests for so long; true: it is to end.
    fn ends(&self, rest: Duration) -> Result<bool> {
        let mut fds = [PollFd::new(self.end.as_fd(), PollFlags::empty())];
        let rest = PollTimeout::try_from(rest).unwrap_or(PollTimeout::MAX);
        poll(&mut fds, rest).or_else(interrupted)?;
        Ok(fds[0].any() == Some(true))
    }

    /// Waits for more; true: it is to end.
    fn ends_before_more(&self) -> Result<bool> {
        let mut fds = [
            PollFd::new(self.end.as_fd(), PollFlags::empty()),
            PollFd::new(self.map.as_fd(), PollFlags::POLLIN),
        ];
        poll(&mut fds, PollTimeout::NONE).or_else(interrupted)?;
        Ok(fds[0].any() == Some(true))
    }
}

/// A signal is no error.
fn interrupted(cause: nix::errno::Errno) -> nix::Result<i32> {
    if cause == nix::errno::Errno::EINTR {
        Ok(0)
    } else {
        Err(cause)
    }
}

struct Broken(Lie);

impl From<Lie> for Broken {
    fn from(lie: Lie) -> Self {
        Self(lie)
    }
}

impl Driver {
    /// What became of the answers of DNS that the zone got.
    pub fn answers_seen(&self) -> Result<AnswersSeen> {
        self.value("DNS_SEEN", 0)
    }
}
