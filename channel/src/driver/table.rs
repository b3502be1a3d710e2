//! Table of the apps that are attached to a driver: their events, queues and ledgers.
//!
//! Whatever can go wrong between an app and a driver is decided here, once, for the WDM driver and for the model
//! that tests and loom run. A driver only decodes its kernel's requests and calls.
//!
//! Locks: a file's, then a slot's or the owners'; that of the counts alone. Nothing is allocated, signalled or dropped
//! while one is held, and what is done has a bound that no app chooses: on Windows they are spin locks, which whoever
//! offers a record waits for.

mod attached;
mod buffer;
mod opener;
mod platform;

pub use buffer::Buffer;
pub use opener::{About, Opener, SLOTS_PER_USER};
pub use platform::{Lock, Platform, Signal};

use super::work::GiveUps;
use crate::sync::atomic::{AtomicBool, Ordering};
use attached::{Slot, signal};
use channel_abi::command::{ALL_USERS, Drained, MAX_RING, MIN_RING, References};
use channel_abi::record::MAX_RECORD;
use channel_abi::{
    Command, Ending, Header, Kind, Ledger, Reference, Referenced, Refusal, SLOTS, VERSION,
};
use core::fmt;
use opener::{Owners, Reserved, own};
use zerocopy::{Immutable, IntoBytes};

/// An open device, as the driver keeps it: made in CREATE, gone in CLOSE.
pub struct File<P: Platform> {
    opener: Opener<P::User>,
    state: P::Lock<FileState>,
    give_ups: GiveUps,
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
    /// `true` while a REFERENCE is under way: another would take as much memory again.
    referencing: bool,
    closing: bool,
}

/// Table of the apps that are attached to a driver: all that it keeps of them.
pub struct Table<P: Platform> {
    slots: [P::Lock<Option<Slot<P>>>; SLOTS],
    /// Owner of each slot, from before anything is allocated for it until nothing is left of it.
    owners: P::Lock<Owners<P>>,
    books: P::Lock<References>,
    stopping: AtomicBool,
}

/// Refusal of a reference, and the slot that found no place: handed back, because no slot may be dropped under a lock.
type Unplaced<P> = (Refusal, Option<Slot<P>>);

impl<P: Platform> File<P> {
    /// Makes a file that was just opened: it has no event.
    #[must_use]
    pub fn new(opener: Opener<P::User>) -> Self {
        Self {
            opener,
            state: P::Lock::new(FileState::default()),
            give_ups: GiveUps::default(),
        }
    }

    /// Returns the count of how often the file's work was told to give up.
    pub const fn give_ups(&self) -> &GiveUps {
        &self.give_ups
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

#[cfg(all(feature = "wdm", not(any(loom, shuttle, target_arch = "bpf"))))]
impl Table<super::wdm::Nt> {
    /// A table without apps. Made at compile time: it is too large for a kernel's stack.
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
                past: channel_abi::Totals {
                    offered: 0,
                    committed: 0,
                    lost: [0; channel_abi::ledger::CAUSES],
                },
            }),
            stopping: AtomicBool::new(false),
        }
    };
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

    /// Attaches an app's event. `take` turns its handle into a reference, in the app's own context.
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

    /// Reserves a slot for the file: its old one if that reference ended, else one that no file has.
    fn reserve(&self, file: &File<P>) -> Result<Reserved, Refusal> {
        file.state.with(|state| {
            if state.closing {
                return Err(Refusal::Closing);
            }
            // Early, and without a promise: `put` looks again.
            if self.stopping.load(Ordering::Relaxed) {
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

    /// Puts what was made, if it was, into the slot that was reserved for it. Returns what the slot held.
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

    /// Puts an app into its slot, unless the driver is stopping. With the slot's lock held, so that `stopping` is
    /// either seen here or sees what was put.
    fn put(
        &self,
        held: &mut Option<Slot<P>>,
        slot: Slot<P>,
    ) -> Result<Option<Slot<P>>, Unplaced<P>> {
        // Needs no ordering of its own: `detach_all` stores it before it takes this slot's lock. Who has the lock
        // before it, it finds; who has it after it sees the store.
        if self.stopping.load(Ordering::Relaxed) {
            return Err((Refusal::Stopping, Some(slot)));
        }
        Ok(held.replace(slot))
    }

    /// Frees a slot of which nothing is left.
    fn free(&self, number: usize) {
        self.owners.with(|owners| {
            if let Some(owner) = owners.get_mut(number) {
                *owner = None;
            }
        });
    }

    /// Detaches the app's event, as the app asks. What is queued can still be drained.
    ///
    /// # Errors
    /// [`Refusal::NotReferenced`] if the file has no event, [`Refusal::Closing`] if it is being closed.
    pub fn dereference(&self, file: &File<P>) -> Result<(), Refusal> {
        let event = self
            .with_slot(file, |slot| slot.end(Ending::Dereferenced))?
            .ok_or(Refusal::NotReferenced)?;
        self.release(event);
        Ok(())
    }

    /// Ends whatever the file has, when the app's last handle on it is closed: no reference is taken after this, and
    /// none is left.
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

    /// Refuses new references and ends all there are, before the driver stops: each with a tombstone and a last signal.
    pub fn detach_all(&self, why: Ending) {
        // Before any slot's lock is taken: see `put`.
        self.stopping.store(true, Ordering::Relaxed);
        for lock in &self.slots {
            let event = lock.with(|slot| slot.as_mut().and_then(|slot| slot.end(why)));
            if let Some(event) = event {
                event.signal();
                self.release(event);
            }
        }
    }

    /// Takes new references again, if the driver was not stopped after all. Those that were ended stay ended.
    pub fn resume(&self) {
        self.stopping.store(false, Ordering::Relaxed);
    }

    /// Offers a record to every app that wants its kind and may know of whom it is about: `R`'s first field is its
    /// header, which is filled in here.
    ///
    /// A record that is shorter than a header, longer than [`MAX_RECORD`], or no multiple of 8 bytes does not compile:
    ///
    /// ```compile_fail,E0080
    /// # use channel::{Kind, sys::model::Kernel};
    /// Kernel::default().offer(Kind::new::<0>(), &[0_u64; 129]); // one word too long
    /// ```
    pub fn offer<R: IntoBytes + Immutable>(&self, kind: Kind, about: &About<P::User>, record: &R) {
        const {
            assert!(
                is_record::<R>(),
                "a record has one header to 1024 bytes, in words of 8"
            )
        };
        let bytes = record.as_bytes();
        for lock in &self.slots {
            let wake = lock.with(|slot| {
                let told = slot.as_mut().filter(|slot| slot.opener.may_know(about));
                told.and_then(|slot| slot.offer(kind, bytes))
            });
            signal(wake);
        }
    }

    /// Offers a record to the app of one file alone, if its mask wants the kind: as [`Table::offer`] does.
    ///
    /// # Errors
    /// [`Refusal::NotReferenced`] if the file has no event, [`Refusal::Closing`] if it is being closed.
    pub fn offer_to<R: IntoBytes + Immutable>(
        &self,
        file: &File<P>,
        kind: Kind,
        record: &R,
    ) -> Result<(), Refusal> {
        const {
            assert!(
                is_record::<R>(),
                "a record has one header to 1024 bytes, in words of 8"
            )
        };
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
    /// [`Refusal::NotReferenced`] if the file never had an event, [`Refusal::Closing`] if it is being closed,
    /// [`Refusal::Room`] if not even the head has room.
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
    /// [`Refusal::NotReferenced`] if the file never had an event, [`Refusal::Closing`] if it is being closed,
    /// [`Refusal::Room`] if the ledger has no room.
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

    /// Takes a further reference on the app's event, for a driver that operates it. It is not counted in
    /// [`References`]: drop it soon.
    ///
    /// # Errors
    /// [`Refusal::NotReferenced`] if the file has no event, [`Refusal::Closing`] if it is being closed.
    pub fn event(&self, file: &File<P>) -> Result<P::Event, Refusal> {
        self.with_slot(file, |slot| slot.event.clone())?
            .ok_or(Refusal::NotReferenced)
    }

    /// Returns the number of records that wait for the app, also of a reference that has ended.
    ///
    /// # Errors
    /// [`Refusal::NotReferenced`] if the file never had an event, [`Refusal::Closing`] if it is being closed.
    pub fn waiting(&self, file: &File<P>) -> Result<u64, Refusal> {
        self.with_slot(file, |slot| slot.queue.records())
    }

    /// Returns the counts of references taken and released, and the totals of past apps.
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

    /// Adds up the ledger of a slot that nobody reads any more, and releases its event.
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

/// Returns whether an app takes what has this type's length for a record. What loom explores fills a ring by one.
const fn is_record<R>() -> bool {
    let bytes = size_of::<R>();
    let longest = if cfg!(loom) {
        MAX_RING as usize
    } else {
        MAX_RECORD
    };
    size_of::<Header>() <= bytes && bytes <= longest && bytes.is_multiple_of(8)
}

/// Checks a request's numbers: version, ring size and users.
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

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::driver::queue::MOST_RECORDS;
    use core::cell::Cell;
    use std::sync::Mutex;
    use zerocopy::FromBytes;

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
