//! Pages shared with the kernel, each word of which is read by an atomic load.

use super::{bpf, lock};
use crate::orderings;
use crate::ring::{Memory, read_ledger};
use channel_abi::Ledger;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::Mutex;

/// Mapped pages; dropped, they are unmapped.
#[derive(Debug)]
struct Mapping {
    start: *mut u8,
    length: usize,
}

// SAFETY: the pages stay where they are until the drop, whichever thread that is on.
unsafe impl Send for Mapping {}
// SAFETY: all access is by atomic operations, or of bytes that the ring's protocol says are at rest.
unsafe impl Sync for Mapping {}

impl Mapping {
    fn new(map: BorrowedFd<'_>, length: usize, offset: usize, write: bool) -> io::Result<Self> {
        let rights = if write {
            libc::PROT_READ | libc::PROT_WRITE
        } else {
            libc::PROT_READ
        };
        let (fd, offset) = (map.as_raw_fd(), offset as libc::off_t);
        // SAFETY: a new mapping, at a place of the kernel's choice.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                length,
                rights,
                libc::MAP_SHARED,
                fd,
                offset,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Self {
            start: start.cast(),
            length,
        })
    }

    /// Returns the 64-bit word at `at`, which is a constant, or checked, below the length.
    fn word(&self, at: usize) -> &AtomicU64 {
        debug_assert!(at + 8 <= self.length);
        let word = self.start.wrapping_add(at).cast();
        // SAFETY: within the mapping, aligned to 8, and changed by atomic operations alone (the kernel's are).
        unsafe { AtomicU64::from_ptr(word) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`, and nothing borrows from it any longer.
        unsafe { libc::munmap(self.start.cast(), self.length) };
    }
}

pub(super) fn page() -> usize {
    // SAFETY: no preconditions.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(bytes).unwrap_or(4096)
}

/// Mapped pages of a ring. The kernel maps its data twice in a row, so that a record never wraps.
#[derive(Debug)]
pub struct Ring {
    /// Page of the reader's position, the only one that we may write.
    consumer: Mapping,
    /// Page of the kernel's position, then the data twice: read-only.
    producer: Mapping,
    data: usize,
    size: u64,
    _only: OnlyReader,
}

impl Ring {
    /// Maps a ring of `size` bytes, to be its reader. A ring has one reader: who else has its descriptor, in another
    /// process, leaves the reader's position alone.
    ///
    /// # Errors
    /// What the kernel says: it can't be mapped. `ResourceBusy` as long as this process has it mapped already.
    pub fn new(map: BorrowedFd<'_>, size: u32) -> io::Result<Self> {
        let only = OnlyReader::of(map)?;
        let (data, size) = (page(), size as usize);
        let consumer = Mapping::new(map, data, 0, true)?;
        let producer = Mapping::new(map, data + 2 * size, data, false)?;
        Ok(Self {
            consumer,
            producer,
            data,
            size: size as u64,
            _only: only,
        })
    }

    /// Throws away all records that are there: the reader of a named event's owner.
    pub fn reset(&self) {
        self.set_consumer(self.producer());
    }
}

/// Rings that this process reads, by the kernel's numbers of them.
static READ: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

/// Claim of this process's one reader on a ring. Two would each move the same position, past what the other one lends.
#[derive(Debug)]
struct OnlyReader(u32);

impl OnlyReader {
    fn of(map: BorrowedFd<'_>) -> io::Result<Self> {
        let id = bpf::map_id(map)?;
        if lock(&READ).insert(id) {
            Ok(Self(id))
        } else {
            let why = "this process has another reader of the ring: drop that first";
            Err(io::Error::new(io::ErrorKind::ResourceBusy, why))
        }
    }
}

impl Drop for OnlyReader {
    fn drop(&mut self) {
        lock(&READ).remove(&self.0);
    }
}

impl Memory for Ring {
    fn size(&self) -> u64 {
        self.size
    }

    fn consumer(&self) -> u64 {
        self.consumer.word(0).load(Ordering::Relaxed)
    }

    fn set_consumer(&self, position: u64) {
        self.consumer
            .word(0)
            .store(position, orderings::reader_tells());
    }

    fn producer(&self) -> u64 {
        self.producer
            .word(0)
            .load(orderings::reader_sees_reserved())
    }

    fn header(&self, offset: u64) -> u32 {
        let at = self.data + (offset % self.size) as usize;
        let word = self.producer.start.wrapping_add(at).cast();
        // SAFETY: within the data, which starts at a page; `offset` is a multiple of 8 (the reader checks).
        let word = unsafe { AtomicU32::from_ptr(word) };
        word.load(orderings::reader_sees_committed())
    }

    unsafe fn lend<R>(&mut self, offset: u64, length: usize, read: impl FnOnce(&[u8]) -> R) -> R {
        let at = self.data + (offset % self.size) as usize + 8;
        let from = self.producer.start.wrapping_add(at);
        let length = length.min(self.producer.length.saturating_sub(at));
        // SAFETY: within the two copies of the data, which live as long as `self`. A committed record is at rest until
        // our position moves past it. We alone may move it, and don't (the caller's promise): nobody else in this
        // process has mapped the ring to be read (`OnlyReader`), and the data can't be mapped for writing at all.
        read(unsafe { std::slice::from_raw_parts(from, length) })
    }
}

/// Positions of an app's reader in its ring and of the kernel, mapped by the device server: it sees what the app
/// writes.
#[derive(Debug)]
#[cfg(feature = "server")]
pub struct Positions {
    reader: Mapping,
    kernel: Mapping,
    size: u64,
}

#[cfg(feature = "server")]
impl Positions {
    /// Maps the two pages of a ring of `size` bytes, to be read.
    ///
    /// # Errors
    /// What the kernel says: it can't be mapped.
    pub fn new(ring: BorrowedFd<'_>, size: u32) -> io::Result<Self> {
        let (reader, kernel) = (
            Mapping::new(ring, page(), 0, false)?,
            Mapping::new(ring, page(), page(), false)?,
        );
        Ok(Self {
            reader,
            kernel,
            size: size.into(),
        })
    }

    /// Returns whether the app's page has a position that no reader of records can have come to.
    pub fn lie(&self) -> bool {
        let at = || self.reader.word(0).load(Ordering::Acquire);
        let before = at();
        let kernel = self.kernel.word(0).load(Ordering::Acquire);
        // A reader that moves meanwhile is still no further than the kernel is by now.
        let distance = kernel.wrapping_sub(before);
        let too_far_behind = distance > self.size && before == at();
        !before.is_multiple_of(8) || before > kernel || too_far_behind
    }
}

/// Mapped page of an app's ledger, to be read: its map is frozen, only the driver's programs write.
#[derive(Debug)]
pub struct LedgerPage(Mapping);

impl LedgerPage {
    /// Maps the ledger.
    ///
    /// # Errors
    /// What the kernel says: it can't be mapped.
    pub fn new(map: BorrowedFd<'_>) -> io::Result<Self> {
        Mapping::new(map, size_of::<Ledger>().next_multiple_of(page()), 0, false).map(Self)
    }

    /// Returns the tombstone: [`Ledger::ended`].
    pub fn ended(&self) -> u64 {
        self.0
            .word(std::mem::offset_of!(Ledger, ended))
            .load(orderings::reader_sees_the_end())
    }

    /// Reads the ledger as it stands.
    pub fn read(&self) -> Ledger {
        read_ledger(|at, ordering| self.0.word(at).load(ordering))
    }
}
