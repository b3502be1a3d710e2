//! Device server of an eBPF driver: the driver's half on Linux. It owns the driver's maps and serves the apps'
//! requests.
//!
//! It may depend on `aya`, to find maps and programs of a loaded object, and on this crate's own `bpf()` calls.
//!
//! Rules that hold here:
//! - A request is untrusted: its length, its numbers and the descriptors beside it are checked before anything is
//!   touched, and what is refused is refused by name.
//! - One thread, which never waits for an app: an app that does not take its answer is hung up on, and what an app has
//!   sent or had a hand in is closed by others ([`Closer`]).
//! - A connection is an open device: it has at most one reference, and when it ends, however it ends, so does that.
//! - Where the kernel lets a lying reader make records overlap (CVE-2024-41009), only root and the service's own user
//!   may attach; that is tried, not guessed from a version.
//! - A ring counts against its user for as long as it lives, also after its reference ended: see `memory`. A device
//!   server that was killed takes with it what it knew of rings that were released by then.

mod books;
mod client;
mod hold;
mod listener;
mod memory;

pub use memory::{RingMemory, Room};

use crate::Error;
use crate::driver::slot::{
    BOOKS_MAP, LEDGERS_MAP, PROBE_PROGRAM, RING_PROGRAM, RINGS_MAP, SLOTS_MAP, USED_MAP,
};
use crate::sys::linux::socket::{self, Message};
use crate::sys::linux::{Closer, ForeignFd, ObjectMap, TypedMap, bpf, poll};
use aya::Ebpf;
use aya::maps::Map;
use aya::programs::SchedClassifier;
use books::Books;
use channel_abi::command::{MAX_RING, References};
use channel_abi::{Command, Ending, Ledger, Reference, Refusal, SLOTS, Totals, VERSION};
use client::{Client, Request};
use hold::{Driver, Registration};
use listener::Listener;
use memory::{MemoryCharge, Orphaned, needed};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};
use zerocopy::IntoBytes;

/// Largest number of connections that are served at the same time; more are hung up on.
const MOST_CLIENTS: usize = 64;
/// Number of those connections that are kept for root.
const FOR_ROOT: usize = 8;
/// Largest number of those connections of one user who is not root.
const MOST_OF_A_USER: usize = 16;
/// Time for which those apps are left alone whose files are still to be closed.
const BREATH: Duration = Duration::from_millis(100);
/// Length of the longest request, a [`Reference`], in bytes.
const LONGEST: usize = size_of::<Reference>();

/// Limits of the device server: who may connect, and how much one may have. Root, and the user that the service runs
/// as, may also change the driver for others, and are told of all users.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// Mode of the socket: 0o600 lets only the service's own user connect, 0o660 its group too, 0o666 everybody.
    pub mode: u32,
    /// Largest number of slots that one user (not root) may have at the same time, of the 16 that there are.
    /// One slot is always kept for root.
    pub slots_per_user: usize,
    /// Largest number of rings that one user (not root) may have alive at the same time, also those that were released
    /// and are still mapped.
    pub rings_per_user: usize,
    /// Largest number of bytes of kernel memory that the rings of one user (not root) may take.
    pub ring_bytes_per_user: u64,
    /// Share of a user: users to whom it gives the same number count as one in all of this, as the subordinate ones of
    /// a container. Root's number is 0, and nobody else's.
    pub share_of: fn(u32) -> u32,
}

impl Default for Policy {
    fn default() -> Self {
        // Each slot with the largest ring, and some for one that is just being replaced.
        let ring_bytes_per_user = needed(MAX_RING) * 9 / 2;
        Self {
            mode: 0o600,
            slots_per_user: 4,
            rings_per_user: 8,
            ring_bytes_per_user,
            share_of: |user| user,
        }
    }
}

/// Parts of the loaded object that the device server hands out besides the rings.
#[derive(Clone, Copy, Debug, Default)]
pub struct Parts<'a> {
    /// Name of the program that answers commands of the driver's own: `driver::ebpf` says how.
    pub command: Option<&'a str>,
    /// Name of the ring that is the driver's own named event.
    pub named: Option<&'a str>,
}

/// Maps and programs of a loaded driver, by their descriptors, whatever has loaded it: another version of aya, libbpf,
/// or a loader in another language, which pinned them in a bpffs.
///
/// The names are those of the object, [`crate::driver::slot`]. Both programs are of the type `BPF_PROG_TYPE_SCHED_CLS`,
/// in sections named `classifier`, and attached to nothing.
#[derive(Debug)]
pub struct LoadedDriver {
    /// Map of this name: [`SLOTS_MAP`].
    pub slots: OwnedFd,
    /// Map of this name: [`USED_MAP`].
    pub used: OwnedFd,
    /// Map of this name: [`RINGS_MAP`].
    pub rings: OwnedFd,
    /// Map of this name: [`LEDGERS_MAP`].
    pub ledgers: OwnedFd,
    /// Map of this name: [`BOOKS_MAP`].
    pub books: OwnedFd,
    /// Program of this name: [`RING_PROGRAM`].
    pub ring_program: OwnedFd,
    /// Program of this name: [`PROBE_PROGRAM`].
    pub probe_program: OwnedFd,
    /// Program that answers commands of the driver's own, if it has one: of the same type.
    pub command: Option<OwnedFd>,
    /// Ring that is the driver's own named event, if it has one.
    pub named: Option<OwnedFd>,
}

impl LoadedDriver {
    /// Finds the maps and programs of an object that aya has loaded, and loads the programs.
    ///
    /// # Errors
    /// [`DeviceServerError`]: a part of the driver that is missing or refused.
    pub fn of(ebpf: &mut Ebpf, parts: Parts<'_>) -> Result<Self, DeviceServerError> {
        Ok(Self {
            slots: map(ebpf, SLOTS_MAP)?,
            used: map(ebpf, USED_MAP)?,
            rings: map(ebpf, RINGS_MAP)?,
            ledgers: map(ebpf, LEDGERS_MAP)?,
            books: map(ebpf, BOOKS_MAP)?,
            ring_program: program(ebpf, RING_PROGRAM)?,
            probe_program: program(ebpf, PROBE_PROGRAM)?,
            command: parts.command.map(|name| program(ebpf, name)).transpose()?,
            named: parts.named.map(|name| map(ebpf, name)).transpose()?,
        })
    }
}

/// Error of opening the device server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceServerError {
    /// The object lacks this part, or has it as something else: it was built without `channel::driver::ebpf`, or with
    /// another release of it; or it is a part of the driver's own that [`Parts`] names.
    #[error(
        "the driver's object has no usable {0}; build it with the same release of channel, and name its own parts as it does"
    )]
    Part(String),
    /// The kernel's verifier refused a program.
    #[error("the kernel refused the program {name}: {source}")]
    Program {
        /// Name of the program.
        name: String,
        /// Error of aya.
        source: Box<aya::programs::ProgramError>,
    },
    /// The socket could not be made.
    #[error("can't open the device server at {path}: {source}")]
    Socket {
        /// Path of the socket.
        path: String,
        /// Error of the kernel.
        source: io::Error,
    },
    /// The device server could not get something that it needs for itself.
    #[error(transparent)]
    Channel(#[from] Error),
}

/// A running device server. Dropped, it ends every reference with a tombstone and a last
/// signal, and takes the socket away.
///
/// It has up to 64 connections at the same time, 8 of which are kept for root, and no more than 16 of one user who is
/// not root; further ones are refused and hung up on.
#[derive(Debug)]
pub struct DeviceServer {
    listener: Listener,
    clients: Vec<Client>,
    driver: Driver,
    policy: Policy,
    stopping: bool,
    /// `true` if this kernel lets a lying reader make records overlap: see [`DeviceServer::records_may_overlap`].
    overlap: bool,
    books: Books,
    let_go: Orphaned,
    room: Room,
    closer: Closer,
    /// Time until which no connection is accepted, if this process has no number left for a descriptor.
    rests: Option<Instant>,
}

/// An attached app, and what the driver counted for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppBooks {
    /// Slot of the app.
    pub slot: u32,
    /// Number of the process that connected.
    pub pid: u32,
    /// User of the app.
    pub user: u32,
    /// Sum of the driver's ledger of the app.
    pub totals: Totals,
    /// `true` if the app's page of the ring has a position that no reader can have come to. That harms nobody but
    /// itself.
    pub lies: bool,
}

impl DeviceServer {
    /// Opens the device server of an object that aya has loaded, at `path`.
    ///
    /// # Errors
    /// [`DeviceServerError`]: a part of the driver that is missing or refused, and a socket that can't be made.
    pub fn open(
        ebpf: &mut Ebpf,
        path: &Path,
        policy: Policy,
        parts: Parts<'_>,
    ) -> Result<Self, DeviceServerError> {
        Self::serve(LoadedDriver::of(ebpf, parts)?, path, policy)
    }

    /// Opens the device server of a loaded driver at `path`, whatever has loaded it.
    ///
    /// # Errors
    /// [`DeviceServerError`]: a map that is another one, a program that does not run, and a socket that can't be made.
    pub fn serve(
        loaded: LoadedDriver,
        path: &Path,
        policy: Policy,
    ) -> Result<Self, DeviceServerError> {
        let driver = Driver {
            slots: TypedMap::open(loaded.slots).map_err(misfit(SLOTS_MAP))?,
            used: TypedMap::open(loaded.used).map_err(misfit(USED_MAP))?,
            rings: ObjectMap::open(loaded.rings).map_err(misfit(RINGS_MAP))?,
            ledgers: ObjectMap::open(loaded.ledgers).map_err(misfit(LEDGERS_MAP))?,
            ring: loaded.ring_program,
            command: loaded.command,
            named: loaded.named.map(named).transpose()?,
        };
        driver.try_to_ring().map_err(|source| Error::System {
            what: "run the driver's own programs",
            source,
        })?;
        let books = TypedMap::open(loaded.books).map_err(misfit(BOOKS_MAP))?;
        // First: where another device server serves there, nothing of what it has may be taken over.
        let failed = |source| DeviceServerError::Socket {
            path: path.display().to_string(),
            source,
        };
        let listener = Listener::new(path, policy.mode).map_err(failed)?;
        let mut let_go = Orphaned::default();
        let books = Books::open(books, &driver, policy.share_of, &mut let_go);
        let books = books.map_err(|source| Error::System {
            what: "take over the driver's books",
            source,
        })?;
        let overlap = driver.records_may_overlap(&loaded.probe_program);
        let overlap = overlap.map_err(|source| Error::System {
            what: "try this kernel's rings",
            source,
        })?;
        let (clients, stopping, room) = (Vec::new(), false, Room::UNBOUNDED);
        Ok(Self {
            listener,
            clients,
            driver,
            policy,
            stopping,
            overlap,
            books,
            let_go,
            room,
            closer: Closer::default(),
            rests: None,
        })
    }

    /// Waits until there is something to do, at most `timeout`, and does it: new connections, at most one request of
    /// each app, apps that are gone. `beside` wakes it too, so that the caller can stop.
    ///
    /// # Errors
    /// [`Error::System`] if this machine's kernel can't wait.
    pub fn turn(&mut self, timeout: Duration, beside: &[BorrowedFd<'_>]) -> Result<(), Error> {
        let (mut fds, mut timeout) = (Vec::new(), timeout);
        self.rests = self.rests.filter(|end| Instant::now() < *end);
        let is_full = self.closer.is_full() && !self.listener.comes_alone;
        let is_shut = is_full || self.rests.is_some();
        if is_shut {
            timeout = timeout.min(BREATH);
        } else {
            fds.push(self.listener.as_fd());
        }
        for client in &self.clients {
            let process = client.process.as_fd();
            if self.closer.is_behind(client.share) {
                timeout = timeout.min(BREATH);
                // Not heard for now; its process may end all the same.
                fds.extend([process, process]);
            } else {
                fds.extend([client.socket.as_fd(), process]);
            }
        }
        fds.extend(beside);
        let ready = poll(&fds, Some(timeout))?;
        let mut ready = ready.each();
        let knocks = !is_shut && ready.next() == Some(true);
        let states: Vec<_> = self
            .clients
            .iter()
            .map(|_| (ready.next(), ready.next()))
            .collect();
        for (n, (speaks, died)) in states.into_iter().enumerate() {
            if died == Some(true) || speaks == Some(true) && !self.hear(n) {
                self.hang_up(n);
            }
        }
        self.clients.retain(|client| !client.gone);
        if knocks {
            self.welcome();
        }
        Ok(())
    }

    /// Returns the counts of the driver's references to events.
    #[must_use]
    pub fn references(&self) -> References {
        self.books.references(self.holds().count() as u64)
    }

    /// Returns every app that is attached, with what the driver counted for it.
    pub fn accounts(&self) -> impl Iterator<Item = AppBooks> {
        self.holds().map(|(client, hold)| AppBooks {
            slot: hold.slot,
            pid: client.pid,
            user: client.user,
            totals: hold.ledger().totals(),
            lies: hold.lies(),
        })
    }

    /// Returns whether this kernel lets a lying reader make records overlap. If so, only apps of root and of the
    /// service's own user may attach.
    #[must_use]
    pub const fn records_may_overlap(&self) -> bool {
        self.overlap
    }

    /// Returns the kernel memory that the apps' rings take.
    pub fn memory(&mut self) -> RingMemory {
        let attached = self.holds().map(|(_, hold)| hold.charge.bytes()).sum();
        RingMemory {
            attached,
            let_go: self.let_go.living().iter().map(MemoryCharge::bytes).sum(),
        }
    }

    /// Sets how much kernel memory the apps' rings may take from now on. Nothing is taken from an app that has more.
    pub const fn set_room(&mut self, room: Room) {
        self.room = room;
    }

    /// Ends every app's reference and takes no new ones, until an app that may change the driver asks it to by
    /// [`Device::resume`](crate::Device::resume): the first step of stopping the driver.
    pub fn detach_all(&mut self) {
        self.stopping = true;
        for n in 0..self.clients.len() {
            self.release(n, Ending::DriverStopping);
        }
    }

    fn holds(&self) -> impl Iterator<Item = (&Client, &Registration)> {
        self.clients
            .iter()
            .filter_map(|client| client.hold.as_ref().map(|hold| (client, hold)))
    }

    /// Accepts one new connection, and greets it with the descriptors that everybody may have.
    fn welcome(&mut self) {
        let client = match self.listener.accept(&self.closer, self.policy.share_of) {
            Ok(client) => client,
            Err(gone) if gone.kind() == io::ErrorKind::ConnectionAborted => return,
            Err(_) => {
                // Who knocks goes on knocking.
                self.rests = Some(Instant::now() + BREATH);
                return;
            }
        };
        if let Err(refusal) = self.check_room_for(&client) {
            // It is hung up on, whether it hears of it or not.
            let _unheard = client.tell(refusal.number(), 0, &[], &[]);
            if self.listener.comes_alone {
                client.socket.close_here();
            }
            return;
        }
        // It sends them once it was greeted.
        let _older_kernel = socket::pass_descriptors(client.socket.as_fd(), true);
        let mut given = Vec::new();
        let mut which = 0;
        for (bit, part) in [
            (socket::PROGRAM, &self.driver.command),
            (socket::NAMED, &self.driver.named),
        ] {
            if let Some(part) = part {
                which |= bit;
                given.push(part.as_fd());
            }
        }
        if client.tell(0, which, &[], &given).is_ok() {
            self.clients.push(client);
        }
    }

    fn check_room_for(&self, new: &Client) -> Result<(), Refusal> {
        let of_share = self
            .clients
            .iter()
            .filter(|client| client.share == new.share)
            .count();
        let most = if new.share == 0 {
            MOST_CLIENTS
        } else {
            MOST_CLIENTS - FOR_ROOT
        };
        let has_enough = of_share >= MOST_OF_A_USER || self.closer.is_behind(new.share);
        if new.share != 0 && has_enough {
            Err(Refusal::Quota)
        } else if self.clients.len() >= most {
            Err(Refusal::NoSlot)
        } else {
            Ok(())
        }
    }

    /// Receives one request of an app and answers it. Returns `false` if the app hung up, or does not take its answers.
    fn hear(&mut self, n: usize) -> bool {
        // What others of the same share have sent in this turn counts.
        if self.closer.is_behind(self.clients[n].share) {
            return true;
        }
        let Request { message, beside } = match self.clients[n].receive(LONGEST, &self.closer) {
            Ok(Some(request)) => request,
            Err(nothing) if nothing.kind() == io::ErrorKind::WouldBlock => return true,
            Ok(None) | Err(_) => return false,
        };
        match self.answer(n, &message, &beside) {
            Ok(Answer { which, body, given }) => {
                let given: Vec<_> = given.iter().map(AsFd::as_fd).collect();
                self.clients[n].tell(0, which, &body, &given).is_ok()
            }
            Err(refusal) => self.clients[n].tell(refusal.number(), 0, &[], &[]).is_ok(),
        }
    }

    fn answer(
        &mut self,
        n: usize,
        message: &Message,
        beside: &[ForeignFd],
    ) -> Result<Answer, Refusal> {
        let command = Command::try_from(message.prelude.number)?;
        if command == Command::Reference {
            return self.reference(n, message, beside);
        }
        message.read::<()>()?;
        match command {
            Command::Dereference if self.clients[n].hold.is_none() => {
                return Err(Refusal::NotReferenced);
            }
            Command::Dereference => self.release(n, Ending::Dereferenced),
            Command::Account => return self.account(n),
            Command::References => return Ok(Answer::of(self.references().as_bytes())),
            Command::DetachAll | Command::Resume if !self.clients[n].may_change_the_driver() => {
                return Err(Refusal::NotPermitted);
            }
            Command::DetachAll => self.detach_all(),
            Command::Resume => self.stopping = false,
            _ => return Err(Refusal::Command),
        }
        Ok(Answer::default())
    }

    fn reference(
        &mut self,
        n: usize,
        message: &Message,
        beside: &[ForeignFd],
    ) -> Result<Answer, Refusal> {
        let client = &self.clients[n];
        let mut request = message.read::<Reference>()?;
        // What is other people's is for root to see.
        if !client.may_change_the_driver() {
            request.users = client.user.into();
        }
        if request.version != VERSION {
            return Err(Refusal::Version);
        }
        if self.stopping {
            return Err(Refusal::Stopping);
        }
        if self.clients[n].hold.is_some() {
            return Err(Refusal::AlreadyReferenced);
        }
        if self.overlap && !self.clients[n].may_change_the_driver() {
            return Err(Refusal::Unsupported);
        }
        let sent = hold::sent_event(&request, beside)?;
        if let Some(event) = &sent
            && self.holds().any(|(_, other)| other.ring_id == event.id)
        {
            return Err(Refusal::AlreadyReferenced);
        }
        let share = self.clients[n].share;
        let slot = self.free_slot(share)?;
        if let Some(event) = &sent {
            self.let_go.taken_again(event.id);
        }
        self.check_memory(share, needed(request.ring_bytes))?;
        let event = sent.map_or_else(|| hold::made_event(request.ring_bytes), Ok)?;
        let (hold, answer) = Registration::take(&self.driver, slot, share, &request, event)?;
        self.clients[n].hold = Some(hold);
        self.books.took();
        Ok(answer)
    }

    /// Returns a free slot for this share, within the quota; the last one is root's.
    fn free_slot(&self, share: u32) -> Result<u32, Refusal> {
        let of_share = self
            .holds()
            .filter(|(client, _)| client.share == share)
            .count();
        if share != 0 && of_share >= self.policy.slots_per_user {
            return Err(Refusal::Quota);
        }
        let most = if share == 0 { SLOTS } else { SLOTS - 1 };
        if self.holds().count() >= most {
            return Err(Refusal::NoSlot);
        }
        let taken = |slot| self.holds().any(|(_, hold)| hold.slot == slot);
        (0..SLOTS as u32)
            .find(|slot| !taken(*slot))
            .ok_or(Refusal::NoSlot)
    }

    /// Checks that one more ring fits beside those that live, attached or not.
    fn check_memory(&mut self, share: u32, more: u64) -> Result<(), Refusal> {
        let let_go = self.let_go.living().to_vec();
        let attached = self.holds().map(|(_, hold)| &hold.charge);
        let all: Vec<_> = attached.chain(&let_go).collect();
        memory::check(&self.policy, self.room, share, more, &all)
    }

    /// Answers with the app's ledger, also after the reference ended.
    fn account(&self, n: usize) -> Result<Answer, Refusal> {
        let client = &self.clients[n];
        let standing = client.hold.as_ref().map(Registration::ledger);
        let ledger: Ledger = standing.or(client.last).ok_or(Refusal::NotReferenced)?;
        Ok(Answer::of(ledger.as_bytes()))
    }

    fn release(&mut self, n: usize, ending: Ending) {
        if let Some(hold) = self.clients[n].hold.take() {
            let (ledger, charge) = hold.release(&self.driver, ending);
            self.books.released(&ledger);
            self.let_go.add(charge);
            self.clients[n].last = Some(ledger);
        }
    }

    /// Ends a connection whose app is gone, or has to go: the driver releases its event.
    fn hang_up(&mut self, n: usize) {
        self.release(n, Ending::Dereferenced);
        self.clients[n].gone = true;
    }
}

impl Drop for DeviceServer {
    fn drop(&mut self) {
        self.detach_all();
    }
}

/// Answer to a request that is not refused.
#[derive(Debug, Default)]
struct Answer {
    which: u32,
    body: Vec<u8>,
    given: Vec<OwnedFd>,
}

impl Answer {
    fn of(body: &[u8]) -> Self {
        Self {
            body: body.to_vec(),
            ..Self::default()
        }
    }
}

/// Makes the error of a part of the driver that this process can't open for itself.
fn not_opened(source: io::Error) -> DeviceServerError {
    let what = "open the driver's maps and programs";
    Error::System { what, source }.into()
}

/// Makes the error of a map of this name that is not the one that the channel knows by it.
fn misfit(name: &str) -> impl Fn(io::Error) -> DeviceServerError {
    move |source| match source.kind() {
        io::ErrorKind::InvalidInput => DeviceServerError::Part(name.to_owned()),
        _ => not_opened(source),
    }
}

fn map(ebpf: &Ebpf, name: &str) -> Result<OwnedFd, DeviceServerError> {
    let missing = || DeviceServerError::Part(name.to_owned());
    match ebpf.map(name).ok_or_else(missing)? {
        Map::Array(data) | Map::ArrayOfMaps(data) | Map::RingBuf(data) => {
            data.fd().as_fd().try_clone_to_owned().map_err(not_opened)
        }
        _ => Err(missing()),
    }
}

/// Opens the driver's own event for apps: nobody resets it through this descriptor.
fn named(ring: OwnedFd) -> Result<OwnedFd, DeviceServerError> {
    if !bpf::map_info(ring.as_fd()).is_ok_and(|info| info.kind == bpf::RINGBUF) {
        return Err(DeviceServerError::Part(
            "ring as its named event".to_owned(),
        ));
    }
    bpf::read_only(ring.as_fd()).map_err(|source| {
        Error::System {
            what: "open the named event read-only",
            source,
        }
        .into()
    })
}

fn program(ebpf: &mut Ebpf, name: &str) -> Result<OwnedFd, DeviceServerError> {
    let missing = || DeviceServerError::Part(name.to_owned());
    let refused = |source| DeviceServerError::Program {
        name: name.to_owned(),
        source: Box::new(source),
    };
    let program = ebpf.program_mut(name).ok_or_else(missing)?;
    let program: &mut SchedClassifier = program.try_into().map_err(refused)?;
    if program.fd().is_err() {
        program.load().map_err(refused)?;
    }
    program
        .fd()
        .map_err(refused)?
        .as_fd()
        .try_clone_to_owned()
        .map_err(not_opened)
}
