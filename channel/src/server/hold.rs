//! Registrations: the driver's hold on each app's event, taken and released again.

use super::Answer;
use super::memory::MemoryCharge;
use crate::driver::slot::{PROBE_RECORD, PROBE_RING, Ring, Slot};
use crate::ring::Memory;
use crate::sys::linux::socket::{LEDGER, RING};
use crate::sys::linux::{ForeignFd, LedgerPage, ObjectMap, Positions, TypedMap, bpf};
use channel_abi::command::{ALL_USERS, MAX_RING, MIN_RING};
use channel_abi::{Ending, Ledger, Reference, Referenced, Refusal, SLOTS, VERSION};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use zerocopy::IntoBytes;

/// Maps and programs of the driver that the device server uses.
#[derive(Debug)]
pub struct Driver {
    pub slots: TypedMap<OwnedFd, u32, Slot>,
    pub used: TypedMap<OwnedFd, u32, u64>,
    pub rings: ObjectMap<OwnedFd>,
    pub ledgers: ObjectMap<OwnedFd>,
    /// Program that writes an app's tombstone and signals its event a last time.
    pub ring: OwnedFd,
    pub command: Option<OwnedFd>,
    pub named: Option<OwnedFd>,
}

impl Driver {
    /// Writes down for the programs how many slots there are to look at.
    fn note_used(&self) -> io::Result<()> {
        let mut used = 0_u64;
        for slot in 0..SLOTS as u32 {
            let entry = self.slots.get(&slot)?;
            if entry.is_some_and(|entry| entry.attached == Slot::ATTACHED) {
                used = u64::from(slot) + 1;
            }
        }
        self.used.set(&0, &used)
    }

    /// Tries whether the program that writes tombstones runs: for a slot that there is
    /// not, so that nothing comes of it.
    pub fn try_to_ring(&self) -> io::Result<()> {
        let mut nobody = Ring {
            slot: SLOTS as u64,
            ..Ring::default()
        };
        bpf::run(self.ring.as_fd(), nobody.as_mut_bytes()).map(drop)
    }

    /// Tries whether this kernel, unaware of CVE-2024-41009, makes records that overlap where the reader's position
    /// lies: on a ring of the device server's own, which lies as a hostile app would.
    pub fn records_may_overlap(&self, probe: &OwnedFd) -> io::Result<bool> {
        let ring = bpf::create_ring(PROBE_RING)?;
        let pages = crate::sys::linux::Ring::new(ring.as_fd(), PROBE_RING)?;
        pages.set_consumer(PROBE_RECORD);
        self.rings.put(0, &ring)?;
        let ran = bpf::run(probe.as_fd(), &mut [0; 16]);
        self.rings.remove(0)?;
        // The first record with its header, and no second: anything else is no kernel to trust.
        ran.map(|_| pages.producer() != PROBE_RECORD + 8)
    }
}

/// An app's event, checked: it is a ring of the size that the request says.
#[derive(Debug)]
pub struct Event {
    ring: OwnedFd,
    pub id: u32,
    by_service: bool,
}

/// Checks the app's own event, if the request speaks of one; `None` if one is to be made on its behalf.
pub fn sent_event(request: &Reference, beside: &[ForeignFd]) -> Result<Option<Event>, Refusal> {
    let bytes = request.ring_bytes;
    if !bytes.is_power_of_two() || !(MIN_RING..=MAX_RING).contains(&bytes) {
        return Err(Refusal::Size);
    }
    match request.event {
        0 => Ok(None),
        1 => sent_by_the_app(bytes, beside.first().ok_or(Refusal::Handle)?.as_fd()).map(Some),
        _ => Err(Refusal::Range),
    }
}

/// Makes an event on an app's behalf.
pub fn made_event(bytes: u32) -> Result<Event, Refusal> {
    let ring = bpf::create_ring(bytes).map_err(|_| Refusal::Memory)?;
    let id = bpf::map_info(ring.as_fd()).map_err(|_| Refusal::Memory)?.id;
    Ok(Event {
        ring,
        id,
        by_service: true,
    })
}

fn sent_by_the_app(bytes: u32, sent: BorrowedFd<'_>) -> Result<Event, Refusal> {
    let info = bpf::map_info(sent).map_err(|_| Refusal::Type)?;
    if info.kind != bpf::RINGBUF || info.flags != 0 {
        return Err(Refusal::Type);
    }
    if info.max_entries != bytes {
        return Err(Refusal::Size);
    }
    if !may_be_written(sent) {
        return Err(Refusal::Access);
    }
    // A ring, which is closed without waiting.
    let ring = sent.try_clone_to_owned().map_err(|_| Refusal::Memory)?;
    Ok(Event {
        ring,
        id: info.id,
        by_service: false,
    })
}

/// Returns whether a descriptor may signal: one that was opened only to look, such as the named event's, may not.
fn may_be_written(fd: BorrowedFd<'_>) -> bool {
    // SAFETY: no preconditions.
    let flags = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) };
    flags >= 0 && flags & libc::O_ACCMODE == libc::O_RDWR
}

/// Registration of an app's event in the driver.
#[derive(Debug)]
pub struct Registration {
    pub slot: u32,
    pub ring_id: u32,
    token: u64,
    ledger: LedgerPage,
    books: OwnedFd,
    /// Positions of the ring, or `None` if an earlier device server took hold of it.
    positions: Option<Positions>,
    pub charge: MemoryCharge,
}

impl Registration {
    /// Puts the event and a new ledger into the driver's maps: the kernel resolves the descriptors and holds both.
    pub fn take(
        driver: &Driver,
        slot: u32,
        share: u32,
        request: &Reference,
        event: Event,
    ) -> Result<(Self, Answer), Refusal> {
        let memory = |_| Refusal::Memory;
        let books = bpf::create_page(size_of::<Ledger>() as u32).map_err(memory)?;
        // The app gets the very map: it may read it, and nobody but the programs writes.
        bpf::freeze(books.as_fd()).map_err(memory)?;
        let ledger = LedgerPage::new(books.as_fd()).map_err(memory)?;
        let for_app = books.try_clone().map_err(memory)?;
        let token = token().map_err(memory)?;
        let positions =
            Some(Positions::new(event.ring.as_fd(), request.ring_bytes).map_err(memory)?);
        let charge = MemoryCharge::of(share, &[event.ring.as_fd(), books.as_fd()]);
        let hold = Self {
            slot,
            ring_id: event.id,
            token,
            ledger,
            books,
            positions,
            charge,
        };
        hold.enter(driver, request, &event)
            .inspect_err(|_| hold.leave(driver))?;
        let referenced = Referenced {
            version: VERSION,
            slot,
            token,
        };
        let (mut which, mut given) = (LEDGER, vec![for_app]);
        if event.by_service {
            which |= RING;
            given.push(event.ring);
        }
        Ok((
            hold,
            Answer {
                which,
                body: referenced.as_bytes().to_vec(),
                given,
            },
        ))
    }

    /// Returns the registration that a device server which was killed has left in this slot, or `None` if it left none
    /// there.
    pub fn left_over(driver: &Driver, share_of: fn(u32) -> u32, slot: u32) -> Option<Self> {
        // What can't be read can't be released either, and is cleared.
        let entry = driver.slots.get(&slot);
        let books = driver.ledgers.map(slot).ok().flatten();
        let ledger = books
            .as_ref()
            .and_then(|books| LedgerPage::new(books.as_fd()).ok());
        match (entry, books, ledger) {
            (Ok(Some(entry)), Some(books), Some(ledger))
                if entry.attached != Slot::FREE.attached =>
            {
                let ring = driver.rings.map(slot).ok().flatten();
                let maps: Vec<_> = ring.iter().chain([&books]).collect();
                // Whose it is nobody wrote down. Of others than root, what they are told is their own.
                let user = if entry.users == ALL_USERS {
                    0
                } else {
                    entry.users as u32
                };
                let charge = MemoryCharge::of(share_of(user), &maps);
                Some(Self {
                    slot,
                    ring_id: 0,
                    token: entry.token,
                    ledger,
                    books,
                    positions: None,
                    charge,
                })
            }
            _ => {
                clear(driver, slot);
                None
            }
        }
    }

    /// Returns whether the app's page of the ring lies about what it has read.
    pub fn lies(&self) -> bool {
        self.positions.as_ref().is_some_and(Positions::lie)
    }

    /// Reads the ledger as it stands.
    pub fn ledger(&self) -> Ledger {
        self.ledger.read()
    }

    /// Releases the event, in an order in which nothing can follow the tombstone: no new offers; no running program
    /// that still makes one; then the tombstone, the last signal, and the ring. Returns the ledger, which is final, and
    /// what may live on.
    pub fn release(self, driver: &Driver, ending: Ending) -> (Ledger, MemoryCharge) {
        let Self { slot, token, .. } = self;
        let closing = Slot {
            attached: Slot::CLOSING,
            token,
            ..Slot::FREE
        };
        drop(driver.slots.set(&slot, &closing));
        // Changes nothing; but an update of a map of maps returns when every program has ended that was running before.
        drop(self.keep_books(driver));
        let mut ring = Ring {
            slot: u64::from(slot),
            token,
            ending: ending as u64,
        };
        drop(bpf::run(driver.ring.as_fd(), ring.as_mut_bytes()));
        self.leave(driver);
        (self.ledger(), self.charge)
    }

    fn enter(&self, driver: &Driver, request: &Reference, event: &Event) -> Result<(), Refusal> {
        self.keep_books(driver).map_err(|_| Refusal::Memory)?;
        driver
            .rings
            .put(self.slot, &event.ring)
            .map_err(|e| refusal_of(&e))?;
        let slot = Slot {
            attached: Slot::ATTACHED,
            token: self.token,
            mask: request.mask,
            users: request.users,
        };
        driver
            .slots
            .set(&self.slot, &slot)
            .map_err(|_| Refusal::Memory)?;
        driver.note_used().map_err(|_| Refusal::Memory)
    }

    fn keep_books(&self, driver: &Driver) -> io::Result<()> {
        driver.ledgers.put(self.slot, &self.books)
    }

    fn leave(&self, driver: &Driver) {
        clear(driver, self.slot);
    }
}

/// Takes everything of this slot out of the maps. What is not there need not be taken out.
fn clear(driver: &Driver, slot: u32) {
    drop(driver.slots.set(&slot, &Slot::FREE));
    drop(driver.ledgers.remove(slot));
    drop(driver.rings.remove(slot));
    // Programs that look at a slot too many find it free.
    drop(driver.note_used());
}

/// Returns the refusal of a ring that the kernel did not take: it is not what the map of rings holds, or there is no
/// memory.
fn refusal_of(error: &io::Error) -> Refusal {
    match error.raw_os_error() {
        Some(libc::ENOMEM) => Refusal::Memory,
        _ => Refusal::Type,
    }
}

/// Makes a token that is hard to guess, so that an app can't have another's slot operated.
fn token() -> io::Result<u64> {
    let mut bytes = [0; 8];
    // SAFETY: eight bytes to fill.
    let got = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    if got == 8 {
        Ok(u64::from_ne_bytes(bytes))
    } else {
        Err(io::Error::last_os_error())
    }
}
