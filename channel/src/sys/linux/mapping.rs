//! Pages shared with the kernel, and what is read in them: each word by an atomic load.

use crate::ring::Memory;
use channel_abi::{Counters, Ledger};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

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

    /// The 64-bit word at `at`, which is a constant, or checked, below the length.
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

/// A ring's pages. The kernel maps its data twice in a row, so that a record never wraps.
#[derive(Debug)]
pub struct Ring {
    /// Our position, in a page of its own that we may write.
    consumer: Mapping,
    /// The kernel's position, then the data twice: read-only.
    producer: Mapping,
    data: usize,
    size: u64,
}

impl Ring {
    /// Maps a ring of `size` bytes.
    ///
    /// # Errors
    /// What the kernel says: it can't be mapped.
    pub fn new(map: BorrowedFd<'_>, size: u32) -> io::Result<Self> {
        let (data, size) = (page(), size as usize);
        let consumer = Mapping::new(map, data, 0, true)?;
        let producer = Mapping::new(map, data + 2 * size, data, false)?;
        Ok(Self {
            consumer,
            producer,
            data,
            size: size as u64,
        })
    }

    /// Throws away what is there: the reader of a named event's owner.
    pub fn reset(&self) {
        self.set_consumer(self.producer());
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
        self.consumer.word(0).store(position, Ordering::Release);
    }

    fn producer(&self) -> u64 {
        self.producer.word(0).load(Ordering::Acquire)
    }

    fn header(&self, offset: u64) -> u32 {
        let at = self.data + (offset % self.size) as usize;
        let word = self.producer.start.wrapping_add(at).cast();
        // SAFETY: within the data, which starts at a page; `offset` is a multiple of 8 (the reader checks).
        let word = unsafe { AtomicU32::from_ptr(word) };
        word.load(Ordering::Acquire)
    }

    fn read(&self, offset: u64, into: &mut [u8]) {
        let at = self.data + (offset % self.size) as usize + 8;
        let from = self.producer.start.wrapping_add(at);
        let length = into.len().min(self.producer.length.saturating_sub(at));
        // SAFETY: within the two copies of the data; the kernel leaves a committed record alone until we move our
        // position past it.
        unsafe { std::ptr::copy_nonoverlapping(from, into.as_mut_ptr(), length) };
    }
}

/// Where an app's reader is in its ring, and where the kernel is: what the app writes, seen by somebody else.
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

    /// Whether the app's page says what no reader of records can have come to.
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

/// An app's ledger, mapped to be read: its map is frozen, only the driver's programs write.
#[derive(Debug)]
pub struct LedgerPage(Mapping);

impl LedgerPage {
    /// Maps it.
    ///
    /// # Errors
    /// What the kernel says: it can't be mapped.
    pub fn new(map: BorrowedFd<'_>) -> io::Result<Self> {
        Mapping::new(map, size_of::<Ledger>().next_multiple_of(page()), 0, false).map(Self)
    }

    /// [`Ledger::ended`]. Acquire: pairs with the exchange by which the driver's program writes it, so that all that was
    /// committed before is seen.
    pub fn ended(&self) -> u64 {
        self.0
            .word(std::mem::offset_of!(Ledger, ended))
            .load(Ordering::Acquire)
    }

    /// The books as they stand. Each number is exact for itself; all together once the driver is quiet.
    pub fn read(&self) -> Ledger {
        let mut ledger = Ledger::ZERO;
        ledger.ended = self.ended();
        for (n, line) in ledger.processors.iter_mut().enumerate() {
            let at = std::mem::offset_of!(Ledger, processors) + n * size_of::<Counters>();
            let word = |n: usize| self.0.word(at + 8 * n).load(Ordering::Relaxed);
            *line = Counters {
                offered: word(0),
                committed: word(1),
                lost: [word(2), word(3), word(4)],
                spare: [0; 3],
            };
        }
        ledger
    }
}
