//! The apps that are attached to a driver: their events, queues and books.
//!
//! Whatever can go wrong between an app and a driver is decided here, once, for the WDM driver and for the model
//! that tests and loom run. A driver only decodes its kernel's requests and calls.
//!
//! Locks: a file's, then a slot's or the owners'; the books' alone. Nothing is allocated, signalled or dropped while one is held, and
//! what is done has a bound that no app chooses: on Windows they are spin locks, which whoever offers a record waits for.

use super::queue::Queue;
use crate::sync::atomic::{AtomicBool, Ordering};
use channel_abi::command::{ALL_USERS, Drained, MAX_RING, MIN_RING, References};
use channel_abi::ledger::PROCESSORS;
use channel_abi::{
    Command, Ending, Header, Kind, Ledger, Mask, Reference, Referenced, Refusal, SLOTS, Totals,
    VERSION,
};
use core::fmt;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// What a kernel gives to a driver.
pub trait Platform: Sized + 'static {
    /// A reference on an app's event. A clone is another reference; dropping one releases it.
    type Event: Signal + Clone + Send;
    /// A lock that may be taken at any interrupt level at which records are offered.
    type Lock<T: Send>: Lock<T>;
    /// Memory that may be touched there: zeroed 64-bit words.
    type Memory: AsRef<[u64]> + AsMut<[u64]> + Send;
    /// Who a user is.
    type User: Copy + PartialEq + Send;

    /// So many words, or `None` if the kernel has none. Never called with a lock held.
    fn allocate(words: usize) -> Option<Self::Memory>;
    /// The processor that runs this.
    fn processor() -> u32;
    /// Nanoseconds of the clock that stamps records.
    fn now_ns() -> u64;
}

/// A lock that owns what it guards.
pub trait Lock<T> {
    /// Guards a value.
    fn new(value: T) -> Self;
    /// Runs with the value, alone.
    fn with<R>(&self, run: impl FnOnce(&mut T) -> R) -> R;
}

/// An event as a driver uses it.
pub trait Signal {
    /// Wakes its waiter, or lets the next wait return at once.
    fn signal(&self);
}

/// Slots that one user's apps may have at once, but an administrator's.
pub const SLOTS_PER_USER: usize = 4;

/// Who has a device open.
#[derive(Clone, Copy, Debug)]
pub struct Opener<U> {
    /// The user.
    pub user: U,
    /// Whether that is an administrator: told of everybody's, given the last slot, and as many as there are.
    pub administrator: bool,
}

/// Whom a record is about, and so who is told.
#[derive(Clone, Copy, Debug)]
pub enum About<U> {
    /// Nobody: told to every app.
    Nobody,
    /// A user: told to that user's apps and to administrators.
    User(U),
    /// A user whom the kernel would not name: told to administrators alone.
    Unknown,
}

impl<U: PartialEq> Opener<U> {
    fn may_know(&self, about: &About<U>) -> bool {
        match about {
            About::Nobody => true,
            About::User(user) => self.administrator || self.user == *user,
            About::Unknown => self.administrator,
        }
    }
}

/// One open device, as the driver keeps it: made in CREATE, gone in CLOSE.
pub struct File<P: Platform> {
    opener: Opener<P::User>,
    state: P::Lock<FileState>,
}

impl<P: Platform> fmt::Debug for File<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File").finish_non_exhaustive()
    }
}

impl<P: Platform> fmt::Debug for Table<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").finish_non_exhaustive()
    }
}

#[derive(Default)]
struct FileState {
    slot: Option<usize>,
    /// A REFERENCE is under way: another would take as much memory again.
    referencing: bool,
    closing: bool,
}

/// All that a driver keeps of its apps.
pub struct Table<P: Platform> {
    slots: [P::Lock<Option<Slot<P>>>; SLOTS],
    /// Whose each slot is, from before anything is allocated for it until nothing is left of it.
    owners: P::Lock<Owners<P>>,
    books: P::Lock<References>,
    stopping: AtomicBool,
}

type Owners<P> = [Option<Opener<<P as Platform>::User>>; SLOTS];

/// A slot that is a file's, to be filled.
struct Reserved {
    number: usize,
    /// It was nobody's before.
    fresh: bool,
}

/// One app's reference, from REFERENCE until its file is closed or references again.
struct Slot<P: Platform> {
    /// `None` once the reference ended: the books stay readable.
    event: Option<P::Event>,
    opener: Opener<P::User>,
    mask: Mask,
    queue: Queue,
    memory: P::Memory,
    ledger: P::Memory,
    ended: Option<Ending>,
}

/// What found no place, and why: handed back, because it may not be dropped under the lock it met.
type Unplaced<P> = (Refusal, Option<Slot<P>>);

/// Words of a ledger.
const LEDGER_WORDS: usize = size_of::<Ledger>() / 8;

impl<P: Platform> File<P> {
    /// Just opened.
    #[must_use]
    pub fn new(opener: Opener<P::User>) -> Self {
        Self {
            opener,
            state: P::Lock::new(FileState::default()),
        }
    }
}

impl<P: Platform> Default for Table<P> {
    fn default() -> Self {
        Self {
            slots: core::array::from_fn(|_| P::Lock::new(None)),
            owners: P::Lock::new([None; SLOTS]),
            books: P::Lock::new(References::default()),
            stopping: AtomicBool::new(false),
        }
    }
}

#[cfg(all(feature = "wdm", windows, not(loom)))]
impl Table<super::wdm::Nt> {
    /// No app yet. Made at compile time: it is too large for a kernel's stack.
    #[expect(
        clippy::declare_interior_mutable_const,
        reason = "it initialises the driver's one static"
    )]
    pub(super) const EMPTY: Self = {
        use super::wdm::SpinLock;
        Self {
            slots: [const { SpinLock::guard(None) }; SLOTS],
            owners: SpinLock::guard([None; SLOTS]),
            books: SpinLock::guard(References {
                taken: 0,
                released: 0,
                attached: 0,
                past: Totals {
                    offered: 0,
                    committed: 0,
                    lost: [0; channel_abi::ledger::CAUSES],
                },
            }),
            stopping: AtomicBool::new(false),
        }
    };
}

/// A request's one buffer, as METHOD_BUFFERED has it: what the app sent stands where the answer will.
#[derive(Debug)]
pub struct Buffer<'a> {
    /// The memory, at least as long as the longer of the two.
    pub bytes: &'a mut [u8],
    /// Bytes that the app sent.
    pub input: usize,
    /// Bytes that the app has room for.
    pub output: usize,
}

impl Buffer<'_> {
    fn input(&self, length: usize) -> Result<&[u8], Refusal> {
        self.bytes
            .get(..self.input)
            .filter(|bytes| bytes.len() == length)
            .ok_or(Refusal::Length)
    }

    fn output(&mut self) -> Result<&mut [u8], Refusal> {
        self.bytes.get_mut(..self.output).ok_or(Refusal::Room)
    }

    /// Puts the answer in place of the request; returns its length.
    ///
    /// # Errors
    /// [`Refusal::Room`] if the answer has no room.
    pub fn answer<T: IntoBytes + Immutable>(&mut self, answer: &T) -> Result<usize, Refusal> {
        let room = self
            .output()?
            .get_mut(..size_of::<T>())
            .ok_or(Refusal::Room)?;
        room.copy_from_slice(answer.as_bytes());
        Ok(size_of::<T>())
    }

    /// What the app sent, if it is exactly a `T`.
    ///
    /// # Errors
    /// [`Refusal::Length`] if the request has another length.
    pub fn request<T: FromBytes>(&self) -> Result<T, Refusal> {
        T::read_from_bytes(self.input(size_of::<T>())?).map_err(|_| Refusal::Length)
    }
}

impl<P: Platform> Table<P> {
    /// Serves a request on an open file; returns the bytes of the answer. What is refused changes nothing.
    ///
    /// `take` turns the event's handle into a reference, in the app's own context. `may_change` says whether the file
    /// was opened with the right to change the driver for others.
    ///
    /// # Errors
    /// The [`Refusal`] that the app gets as its answer.
    pub fn request(
        &self,
        file: &File<P>,
        command: Command,
        buffer: &mut Buffer<'_>,
        may_change: bool,
        take: impl FnOnce(u64) -> Result<P::Event, Refusal>,
    ) -> Result<usize, Refusal> {
        match command {
            Command::Reference => {
                let request = buffer.request()?;
                // The answer's room first: an app that can't be told its slot must not have one.
                buffer
                    .output()?
                    .get(..size_of::<Referenced>())
                    .ok_or(Refusal::Room)?;
                let referenced = self.reference(file, &request, take)?;
                buffer.answer(&referenced)
            }
            Command::Dereference => buffer
                .input(0)
                .and_then(|_| self.dereference(file))
                .map(|()| 0),
            Command::Drain => {
                buffer.input(0)?;
                self.drain(file, buffer.output()?)
            }
            Command::Account => {
                buffer.input(0)?;
                self.account(file, buffer.output()?)
            }
            Command::References => {
                buffer.input(0)?;
                buffer.answer(&self.references())
            }
            Command::DetachAll if may_change => {
                buffer.input(0)?;
                self.detach_all(Ending::DriverStopping);
                Ok(0)
            }
            Command::Resume if may_change => {
                buffer.input(0)?;
                self.resume();
                Ok(0)
            }
            Command::DetachAll | Command::Resume => Err(Refusal::NotPermitted),
        }
    }

    /// An app hands its event down. `take` turns the handle into a reference, in the app's own context.
    ///
    /// # Errors
    /// The [`Refusal`] that the app gets as its answer; no reference is held then.
    // A frame of its own: what it moves about is large, and no other request needs so much of a kernel's stack.
    #[inline(never)]
    pub fn reference(
        &self,
        file: &File<P>,
        request: &Reference,
        take: impl FnOnce(u64) -> Result<P::Event, Refusal>,
    ) -> Result<Referenced, Refusal> {
        check(request)?;
        let reserved = self.reserve(file)?;
        let number = reserved.number;
        // The place first, then the memory: who gets no place takes no memory meanwhile.
        let made = Slot::for_request(request, file.opener, take);
        if made.is_ok() {
            self.books.with(|books| books.taken += 1);
        }
        match self.fill(file, &reserved, made) {
            Ok(old) => {
                if let Some(old) = old {
                    self.retire(old);
                }
                Ok(Referenced {
                    version: VERSION,
                    slot: number as u32,
                    token: 0,
                })
            }
            Err((refusal, slot)) => {
                if reserved.fresh {
                    self.free(number);
                }
                if slot.is_some() {
                    drop(slot);
                    self.books.with(|books| books.released += 1);
                }
                Err(refusal)
            }
        }
    }

    /// A slot for the file: its old one if that reference ended, else one that is nobody's.
    fn reserve(&self, file: &File<P>) -> Result<Reserved, Refusal> {
        file.state.with(|state| {
            if state.closing {
                return Err(Refusal::Closing);
            }
            if self.stopping.load(Ordering::SeqCst) {
                return Err(Refusal::Stopping);
            }
            if state.referencing {
                return Err(Refusal::Busy);
            }
            let reserved = match state.slot {
                Some(number) if self.is_attached(number) => Err(Refusal::AlreadyReferenced),
                Some(number) => Ok(Reserved {
                    number,
                    fresh: false,
                }),
                None => self.owners.with(|owners| own(owners, file.opener)),
            };
            state.referencing = reserved.is_ok();
            reserved
        })
    }

    fn is_attached(&self, number: usize) -> bool {
        let attached = |slot: &mut Option<Slot<P>>| {
            let slot = slot.as_ref();
            slot.is_some_and(|slot| slot.event.is_some())
        };
        self.slots
            .get(number)
            .is_some_and(|lock| lock.with(attached))
    }

    /// Puts what was made, if it was, into the slot that was reserved for it. Gives back what that held.
    fn fill(
        &self,
        file: &File<P>,
        reserved: &Reserved,
        made: Result<Slot<P>, Refusal>,
    ) -> Result<Option<Slot<P>>, Unplaced<P>> {
        file.state.with(|state| {
            state.referencing = false;
            let slot = made.map_err(|refusal| (refusal, None))?;
            if state.closing {
                return Err((Refusal::Closing, Some(slot)));
            }
            let Some(lock) = self.slots.get(reserved.number) else {
                return Err((Refusal::NoSlot, Some(slot)));
            };
            let old = lock.with(|held| self.put(held, slot))?;
            state.slot = Some(reserved.number);
            Ok(old)
        })
    }

    /// With the slot's lock held, so that `stopping` is either seen here or sees what was put.
    fn put(
        &self,
        held: &mut Option<Slot<P>>,
        slot: Slot<P>,
    ) -> Result<Option<Slot<P>>, Unplaced<P>> {
        // Pairs with the store in `detach_all`, which takes this slot's lock after it.
        if self.stopping.load(Ordering::SeqCst) {
            return Err((Refusal::Stopping, Some(slot)));
        }
        Ok(held.replace(slot))
    }

    /// Of which nothing is left.
    fn free(&self, number: usize) {
        self.owners.with(|owners| {
            if let Some(owner) = owners.get_mut(number) {
                *owner = None;
            }
        });
    }

    /// The app wants its event back. What is queued can still be drained.
    ///
    /// # Errors
    /// [`Refusal::NotReferenced`] if the file has no event.
    pub fn dereference(&self, file: &File<P>) -> Result<(), Refusal> {
        let event = self
            .with_slot(file, |slot| slot.end(Ending::Dereferenced))?
            .ok_or(Refusal::NotReferenced)?;
        self.release(event);
        Ok(())
    }

    /// The app's last handle on the file is closed: no reference is taken after this, and none is left.
    pub fn cleanup(&self, file: &File<P>) {
        let number = file.state.with(|state| {
            state.closing = true;
            state.slot.take()
        });
        let slot = number
            .and_then(|number| self.slots.get(number))
            .and_then(|lock| lock.with(Option::take));
        if let Some(slot) = slot {
            self.retire(slot);
        }
        if let Some(number) = number {
            self.free(number);
        }
    }

    /// Before the driver stops: refuses new references and ends all there are, each with a tombstone and a last signal.
    pub fn detach_all(&self, why: Ending) {
        // Pairs with the load in `put`: see there.
        self.stopping.store(true, Ordering::SeqCst);
        for lock in &self.slots {
            let event = lock.with(|slot| slot.as_mut().and_then(|slot| slot.end(why)));
            if let Some(event) = event {
                event.signal();
                self.release(event);
            }
        }
    }

    /// The driver was not stopped after all: takes new references again. Those that were ended stay ended.
    pub fn resume(&self) {
        self.stopping.store(false, Ordering::SeqCst);
    }

    /// Offers a record to every app that wants its kind and may know of whom it is about: `R`'s first field is its header,
    /// which is filled in here.
    pub fn offer<R: IntoBytes + Immutable>(&self, kind: Kind, about: &About<P::User>, record: &R) {
        let bytes = record.as_bytes();
        for lock in &self.slots {
            let wake = lock.with(|slot| {
                let told = slot.as_mut().filter(|slot| slot.opener.may_know(about));
                told.and_then(|slot| slot.offer(kind, bytes))
            });
            signal(wake);
        }
    }

    /// Offers a record to the app of one file alone, if its mask wants the kind.
    ///
    /// # Errors
    /// [`Refusal::NotReferenced`] if the file has no event.
    pub fn offer_to<R: IntoBytes + Immutable>(
        &self,
        file: &File<P>,
        kind: Kind,
        record: &R,
    ) -> Result<(), Refusal> {
        let wake = self.with_slot(file, |slot| match slot.event {
            Some(_) => Ok(slot.offer(kind, record.as_bytes())),
            None => Err(Refusal::NotReferenced),
        })??;
        signal(wake);
        Ok(())
    }

    /// Fills `out` with [`Drained`] and as many whole records as fit; returns the bytes used.
    ///
    /// The slot's lock is let go of after each [`queue::MOST_RECORDS`](super::queue::MOST_RECORDS): an app with much
    /// room and a full ring holds up nobody for longer than one with little.
    ///
    /// # Errors
    /// [`Refusal::NotReferenced`] if the file never had an event, [`Refusal::Room`] if not even the head has room.
    pub fn drain(&self, file: &File<P>, out: &mut [u8]) -> Result<usize, Refusal> {
        let (head, room) = out
            .split_at_mut_checked(size_of::<Drained>())
            .ok_or(Refusal::Room)?;
        let mut drained = Drained::default();
        loop {
            let left = room.get_mut(drained.bytes as usize..).unwrap_or_default();
            if !self.with_slot(file, |slot| slot.drain(left, &mut drained))? {
                break;
            }
        }
        head.copy_from_slice(drained.as_bytes());
        Ok(size_of::<Drained>() + drained.bytes as usize)
    }

    /// Fills `out` with the app's [`Ledger`]; returns the bytes used.
    ///
    /// # Errors
    /// [`Refusal::NotReferenced`] if the file never had an event, [`Refusal::Room`] if the ledger has no room.
    pub fn account(&self, file: &File<P>, out: &mut [u8]) -> Result<usize, Refusal> {
        self.with_slot(file, |slot| {
            let room = out.get_mut(..size_of::<Ledger>()).ok_or(Refusal::Room)?;
            let ledger = slot
                .ledger
                .as_ref()
                .as_bytes()
                .get(..room.len())
                .ok_or(Refusal::Room)?;
            room.copy_from_slice(ledger);
            Ok(room.len())
        })?
    }

    /// A further reference on the app's event, for a driver that operates it. It counts for nobody: drop it soon.
    ///
    /// # Errors
    /// [`Refusal::NotReferenced`] if the file has no event.
    pub fn event(&self, file: &File<P>) -> Result<P::Event, Refusal> {
        self.with_slot(file, |slot| slot.event.clone())?
            .ok_or(Refusal::NotReferenced)
    }

    /// How many records wait for the app.
    ///
    /// # Errors
    /// [`Refusal::NotReferenced`] if the file has no event.
    pub fn waiting(&self, file: &File<P>) -> Result<u64, Refusal> {
        self.with_slot(file, |slot| slot.queue.records())
    }

    /// References taken and released, and what apps that are gone were offered.
    pub fn references(&self) -> References {
        let mut references = self.books.with(|books| *books);
        for lock in &self.slots {
            let attached = lock.with(|slot| slot.as_ref().is_some_and(|slot| slot.event.is_some()));
            references.attached += u64::from(attached);
        }
        references
    }

    fn with_slot<R>(
        &self,
        file: &File<P>,
        run: impl FnOnce(&mut Slot<P>) -> R,
    ) -> Result<R, Refusal> {
        let number = file.state.with(|state| {
            if state.closing {
                Err(Refusal::Closing)
            } else {
                Ok(state.slot)
            }
        })?;
        let lock = number
            .and_then(|number| self.slots.get(number))
            .ok_or(Refusal::NotReferenced)?;
        lock.with(|slot| slot.as_mut().map(run))
            .ok_or(Refusal::NotReferenced)
    }

    /// Books a slot that nobody reads any more, and lets go of its event.
    fn retire(&self, mut slot: Slot<P>) {
        let totals = slot.totals();
        self.books
            .with(|books| books.past = books.past.plus(totals));
        if let Some(event) = slot.end(Ending::Dereferenced) {
            self.release(event);
        }
    }

    fn release(&self, event: P::Event) {
        drop(event);
        self.books.with(|books| books.released += 1);
    }
}

impl<P: Platform> Slot<P> {
    /// Makes room, and takes the event last: nothing can fail after it.
    fn for_request(
        request: &Reference,
        opener: Opener<P::User>,
        take: impl FnOnce(u64) -> Result<P::Event, Refusal>,
    ) -> Result<Self, Refusal> {
        let memory = P::allocate(request.ring_bytes as usize / 8).ok_or(Refusal::Memory)?;
        let ledger = P::allocate(LEDGER_WORDS).ok_or(Refusal::Memory)?;
        let event = Some(take(request.event)?);
        let (mask, queue, ended) = (Mask(request.mask), Queue::default(), None);
        Ok(Self {
            event,
            opener,
            mask,
            queue,
            memory,
            ledger,
            ended,
        })
    }

    /// Gives the event to signal once the lock is let go of: waking takes as long as the app has threads that wait.
    fn offer(&mut self, kind: Kind, record: &[u8]) -> Option<P::Event> {
        let wanted = self.event.is_some() && self.mask.wants(kind);
        wanted.then(|| self.deliver(kind, record)).flatten()
    }

    /// One attempt: the next sequence number, the queue, the books; what is left is the signal.
    fn deliver(&mut self, kind: Kind, record: &[u8]) -> Option<P::Event> {
        let rest = record.get(size_of::<Header>()..)?;
        let processor = P::processor();
        let line = line(&mut self.ledger, processor)?;
        let header = Header {
            length: record.len() as u32,
            kind: kind.number(),
            version: VERSION,
            processor,
            sequence: line.offered,
            stamp_ns: P::now_ns(),
            lost: line.lost,
        };
        line.offered += 1;
        match self.queue.push(self.memory.as_mut(), &header, rest) {
            Ok(()) => line.committed += 1,
            Err(cause) => line.lost[cause as usize] += 1,
        }
        // Also after a loss, and also if an earlier signal may still stand: a signal too many costs a drain that finds
        // nothing, one too few costs an app that sleeps for ever (I6).
        self.event.clone()
    }

    /// One hold of the lock: whether there may be more to move.
    fn drain(&mut self, room: &mut [u8], drained: &mut Drained) -> bool {
        let popped = self.queue.pop(self.memory.as_ref(), room);
        drained.bytes += popped.bytes as u32;
        drained.records += popped.records;
        drained.waiting = self.queue.records();
        drained.ended = self.ended.map_or(0, |ending| ending as u64);
        popped.more
    }

    /// Ends the reference; gives back the event to let go of, once.
    fn end(&mut self, why: Ending) -> Option<P::Event> {
        let event = self.event.take()?;
        self.ended = Some(why);
        if let Some(ended) = self.ledger.as_mut().first_mut() {
            *ended = why as u64;
        }
        Some(event)
    }

    fn totals(&self) -> Totals {
        Ledger::ref_from_bytes(self.ledger.as_ref().as_bytes())
            .map_or(Totals::default(), Ledger::totals)
    }
}

/// A request's numbers.
fn check(request: &Reference) -> Result<(), Refusal> {
    if request.version != VERSION {
        return Err(Refusal::Version);
    }
    if !request.ring_bytes.is_power_of_two() || !(MIN_RING..=MAX_RING).contains(&request.ring_bytes)
    {
        return Err(Refusal::Size);
    }
    // Whose records an app is told is who opened it: no number says more, or less.
    if request.users != ALL_USERS {
        return Err(Refusal::Range);
    }
    Ok(())
}

/// Gives a slot to who opened the file, within what one user may have; the last one to an administrator alone.
fn own<U: PartialEq>(
    owners: &mut [Option<Opener<U>>; SLOTS],
    opener: Opener<U>,
) -> Result<Reserved, Refusal> {
    let taken = owners.iter().flatten();
    let theirs = taken.clone().filter(|owner| owner.user == opener.user);
    if !opener.administrator && theirs.count() >= SLOTS_PER_USER {
        return Err(Refusal::Quota);
    }
    if !opener.administrator && taken.count() >= SLOTS - 1 {
        return Err(Refusal::NoSlot);
    }
    let mut places = owners.iter_mut().enumerate();
    let (number, free) = places
        .find(|(_, owner)| owner.is_none())
        .ok_or(Refusal::NoSlot)?;
    *free = Some(opener);
    Ok(Reserved {
        number,
        fresh: true,
    })
}

/// With no lock held, by a reference of its own: the app may have let go of the event meanwhile.
fn signal(event: Option<impl Signal>) {
    if let Some(event) = event {
        event.signal();
    }
}

/// A processor's line in a ledger.
fn line<M: AsMut<[u64]>>(ledger: &mut M, processor: u32) -> Option<&mut channel_abi::Counters> {
    let ledger = Ledger::mut_from_bytes(ledger.as_mut().as_mut_bytes()).ok()?;
    ledger.processors.get_mut(processor as usize % PROCESSORS)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::driver::queue::MOST_RECORDS;
    use core::cell::Cell;
    use std::sync::Mutex;

    thread_local! { static HOLDS: Cell<u32> = const { Cell::new(0) }; }
    thread_local! { static ALLOCATED: Cell<u32> = const { Cell::new(0) }; }

    /// A kernel that counts how often its locks are taken.
    struct Counting;

    struct Counted<T>(Mutex<T>);

    #[derive(Clone)]
    struct Nothing;

    impl<T: Send> Lock<T> for Counted<T> {
        fn new(value: T) -> Self {
            Self(Mutex::new(value))
        }

        fn with<R>(&self, run: impl FnOnce(&mut T) -> R) -> R {
            HOLDS.with(|holds| holds.set(holds.get() + 1));
            run(&mut self.0.lock().expect("no panic with the lock held"))
        }
    }

    impl Signal for Nothing {
        fn signal(&self) {}
    }

    impl Platform for Counting {
        type Event = Nothing;
        type Lock<T: Send> = Counted<T>;
        type Memory = Vec<u64>;
        type User = u32;

        fn allocate(words: usize) -> Option<Vec<u64>> {
            ALLOCATED.with(|allocated| allocated.set(allocated.get() + 1));
            Some(vec![0; words])
        }

        fn processor() -> u32 {
            0
        }

        fn now_ns() -> u64 {
            0
        }
    }

    const LARGE: Reference = Reference {
        version: VERSION,
        ring_bytes: MAX_RING,
        mask: u64::MAX,
        users: ALL_USERS,
        event: 0,
    };

    fn opened(user: u32, administrator: bool) -> File<Counting> {
        File::new(Opener {
            user,
            administrator,
        })
    }

    #[test]
    fn who_gets_no_slot_takes_no_memory() {
        let table = Table::<Counting>::default();
        let files = [(); SLOTS_PER_USER + 1].map(|()| opened(1, false));
        let [mine @ .., more] = &files;
        for file in mine {
            assert!(table.reference(file, &LARGE, |_| Ok(Nothing)).is_ok());
        }
        ALLOCATED.with(|allocated| allocated.set(0));
        for (file, refusal) in [
            (more, Refusal::Quota),
            (&mine[0], Refusal::AlreadyReferenced),
        ] {
            let refused = table.reference(file, &LARGE, |_| Ok(Nothing));
            assert_eq!(refused.map(drop), Err(refusal));
        }
        // Nor does one that asks again while its first request is still under way.
        let other = opened(2, false);
        let twice = table.reference(&other, &LARGE, |_| {
            let again = table.reference(&other, &LARGE, |_| Ok(Nothing));
            Err(again.err().unwrap_or(Refusal::Version))
        });
        assert_eq!(twice.map(drop), Err(Refusal::Busy));
        assert_eq!(ALLOCATED.with(Cell::get), 2, "the first request's own");
        // What was refused left nothing: the slot is free again.
        assert!(table.reference(&other, &LARGE, |_| Ok(Nothing)).is_ok());
    }

    #[test]
    fn a_lock_is_held_no_longer_for_an_app_with_much_room() {
        let (table, file) = (Table::<Counting>::default(), opened(1, false));
        table
            .reference(&file, &LARGE, |_| Ok(Nothing))
            .expect("a free slot");
        let records = 50 * MOST_RECORDS;
        for _ in 0..records {
            table.offer(Kind::new::<40>(), &About::Nobody, &Header::default());
        }
        HOLDS.with(|holds| holds.set(0));
        let mut out = vec![0; 1 << 20];
        table.drain(&file, &mut out).expect("room");
        let (drained, _) = Drained::read_from_prefix(&out).expect("a head");
        assert_eq!((drained.records, drained.waiting), (records, 0));
        let holds = HOLDS.with(Cell::get);
        assert!(holds >= 50, "{records} records in {holds} holds of a lock");
    }
}
