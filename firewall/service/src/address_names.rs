//! The names of addresses: the driver hands on the answers of DNS that the zone gets and its questions, and a thread reads them.
//!
//! Rules that hold here:
//! - The thread gives up its capabilities for ever before it looks at a byte of them. It has the ring, which was mapped for it,
//!   and the names; it opens nothing and says nothing to anybody.
//! - What it can't read labels nothing. If it breaks down there are no names, and nothing else is missing.
//! - It takes a fifth of one processor at most, whatever comes: what finds no room in the ring meanwhile the driver counts.

use crate::capabilities;
use crate::driver::Driver;
use crate::named_sets::{Belief, Join, NotJoined, Wanted, own_resolvers};
use anyhow::{Context, Result, anyhow};
use channel::ring::{Lie, Reader, Step};
use channel::sys::linux::Ring;
use firewall_abi::dns::{AnswerPacket, AnswersSeen, QuestionPacket, RING_BYTES};
use names::{Answered, Cache, Ends, Learned, Unread};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io::{Read, Write};
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
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
    /// Its end is what the thread hears of. By it that thread says that something is to join a set.
    end: Option<UnixStream>,
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
    belief: Mutex<Belief>,
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
            end: started.ok(),
        }
    }

    /// The names, for another thread.
    pub fn known(&self) -> KnownNames {
        KnownNames(self.shared.clone())
    }

    /// Why no more are learned, or what keeps addresses from joining sets by them, if something does.
    pub fn trouble(&self) -> Option<String> {
        let broken = self.shared.broken.get().cloned();
        broken.or_else(|| self.shared.belief().trouble(Instant::now()))
    }

    /// What wakes whoever has addresses join sets, once one is to.
    pub fn waker(&self) -> Option<BorrowedFd<'_>> {
        let lives = self.shared.broken.get().is_none();
        self.end.as_ref().filter(|_| lives).map(AsFd::as_fd)
    }

    /// What is to join sets since this was asked last.
    pub fn joins(&self) -> Vec<Join> {
        let mut wakes = [0; 64];
        if let Some(mut end) = self.end.as_ref() {
            loop {
                match end.read(&mut wakes) {
                    Ok(0) => {
                        self.shared
                            .break_down(&anyhow!("who reads answers is gone"));
                        break;
                    }
                    Ok(_) => {}
                    Err(_) => break,
                }
            }
        }
        self.shared.belief().take()
    }

    /// From now on these sets ask for names. Returns what joins them by what is known.
    pub fn want(&self, wanted: Wanted) -> Vec<Join> {
        self.shared.belief().want(wanted, Instant::now())
    }

    /// Looks whom this machine asks.
    pub fn look_for_resolvers(&self) {
        let own = own_resolvers();
        self.shared.belief().ask_them(own);
    }

    /// So many addresses found no room in sets.
    pub fn found_no_room(&self, number: u64) {
        self.shared.belief().found_no_room(number, Instant::now());
    }

    /// What had no address join a set.
    pub fn not_joined(&self) -> NotJoined {
        self.shared.belief().not_joined()
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

    fn belief(&self) -> MutexGuard<'_, Belief> {
        self.belief.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn break_down(&self, cause: &anyhow::Error) {
        let said = format!("addresses get no more names: {cause:#}; restart the service");
        error!("{said}");
        // Said once is enough.
        let _said_before = self.broken.set(said);
    }

    /// True: something is to join a set by it.
    fn learn(&self, record: &[u8]) -> bool {
        let now = Instant::now();
        if record.len() == size_of::<QuestionPacket>() {
            // What can't be read asks for nothing that a set would.
            if let Some((ends, asked)) = read_question(record) {
                self.belief().ask(ends, asked, now);
            }
            return false;
        }
        match read(record) {
            Ok((ends, answered)) => {
                self.lock().learn(&answered, now);
                return self.belief().answer(ends, &answered, now);
            }
            Err(Unread::NoAddress) => {}
            Err(Unread::Broken) => {
                self.unread.fetch_add(1, Ordering::Relaxed);
            }
        }
        false
    }
}

/// What a packet's answer says.
fn read(record: &[u8]) -> Result<(Ends, Answered), Unread> {
    let record = AnswerPacket::read_from_bytes(record).map_err(|_| Unread::Broken)?;
    let packet = record.bytes.get(..record.copied as usize);
    let (ends, message) = packet.and_then(names::message).ok_or(Unread::Broken)?;
    // The library is not ours: whatever it stumbles over is one answer that says nothing.
    let answered = catch_unwind(|| names::read(message)).unwrap_or(Err(Unread::Broken))?;
    Ok((ends, answered))
}

/// What a packet's question asks, and whom.
fn read_question(record: &[u8]) -> Option<(Ends, names::Asked)> {
    let record = QuestionPacket::read_from_bytes(record).ok()?;
    let (ends, message) = names::sent(record.bytes.get(..record.copied as usize)?)?;
    let asked = catch_unwind(|| names::question(message)).ok()?.ok()?;
    Some((ends, asked))
}

fn start(driver: &Driver, shared: Arc<Shared>) -> Result<UnixStream> {
    let map = driver.map("DNS_ANSWERS")?.try_clone_to_owned()?;
    let ring = Ring::new(map.as_fd(), RING_BYTES as u32)
        .context("mapping the ring in which answers of DNS wait")?;
    let (end, ours) = UnixStream::pair()?;
    end.set_nonblocking(true)?;
    ours.set_nonblocking(true)?;
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
            let (shared, mut joins) = (&self.shared, false);
            let drained: Result<_, Broken> = self.reader.drain(|record| {
                joins |= shared.learn(record);
                Ok(Step::Next)
            });
            if joins {
                // Where there is no room it was written to before.
                let _woken_already = (&self.end).write(&[1]);
            }
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
