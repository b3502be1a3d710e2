//! The driver's half for eBPF programs: the kernel's ring buffers are the apps' queues.
//!
//! The maps are defined here once and linked into every driver's object. `SLOTS` says who is attached and what they
//! want, `RINGS` holds their rings, `LEDGERS` their ledgers. [`offer`] puts a record into every ring that wants it.
//!
//! Commands of the driver's own are answered by one program, a `classifier` that the device server is given the name of
//! (`server::Parts::command`). Each request is a run of it, in the app's own context (`BPF_PROG_RUN`); [`answer`] does
//! what each such program has to. It returns 0 when it is done, or n to be run again after n - 1 microseconds with what
//! it left in the request, at most a million times.
//!
//! Rules that hold here:
//! - Every loop and every size is a constant, no path stops half-way: what is reserved is submitted or discarded.
//! - Each attempt is counted before it is made, and each outcome after it, by atomic adds: an interrupt that offers a
//!   record in the middle of another's loses no count.
//! - The signal is the kernel's: `bpf_ringbuf_submit` wakes a reader that had caught up.

use super::slot::{PROBE_RECORD, Ring, Slot};
use aya_ebpf::bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP};
use aya_ebpf::btf_maps::{Array, ArrayOfMaps, RingBuf};
use aya_ebpf::helpers::generated::{
    bpf_get_smp_processor_id, bpf_ktime_get_boot_ns, bpf_ringbuf_discard, bpf_ringbuf_query,
    bpf_ringbuf_reserve, bpf_ringbuf_submit,
};
use aya_ebpf::macros::{btf_map, classifier};
use aya_ebpf::programs::TcContext;
use channel_abi::command::References;
use channel_abi::ledger::PROCESSORS;
use channel_abi::{
    Cause, Counters, DriverRequest, Header, Kind, Ledger, Refusal, RequestHeader, SLOTS as COUNT,
};
use core::ffi::c_void;
use core::intrinsics::{AtomicOrdering, atomic_xadd, atomic_xchg};
use zerocopy::{FromBytes, IntoBytes};

/// `BPF_F_MMAPABLE`: the app maps its ledger, read-only.
const MMAPABLE: usize = 1 << 10;

/// The template of an app's ring; the apps' own may have any size.
pub type AppRing = RingBuf<(), 4096>;
/// The template of an app's ledger: a [`Ledger`] as words. Linux 6.1 tells a map whose type data names a struct from
/// one without type data, as the device server makes them, and refuses it as an inner map.
pub type AppLedger = Array<[u64; size_of::<Ledger>() / 8], 1, MMAPABLE>;

#[btf_map]
static SLOTS: Array<Slot, COUNT> = Array::new();
#[btf_map]
static USED: Array<u64, 1> = Array::new();
#[btf_map]
static RINGS: ArrayOfMaps<AppRing, COUNT> = ArrayOfMaps::new();
#[btf_map]
static LEDGERS: ArrayOfMaps<AppLedger, COUNT> = ArrayOfMaps::new();
/// References taken and released, and past apps' totals, as the device server counts them. No program touches them:
/// they are here so that they outlive the device server, pinned with the rest.
#[btf_map]
static BOOKS: Array<References, 1> = Array::new();

/// Result of offering a record to one slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offered {
    /// No app has the slot, or its mask does not ask for this kind: nothing was counted.
    Unwanted,
    /// The record is in the app's ring.
    Committed,
    /// The record is not in the app's ring, and is counted as a loss.
    Lost,
}

/// Offers a record that is about `user` to every app that wants its kind and may know of that user: its own apps, and
/// those of root and of the user that the service runs as. What is about [`NO_USER`](channel_abi::command::NO_USER)
/// every app gets. `fill` writes what follows the header; [`offer`] writes the header.
///
/// A record that is shorter than a header, longer than [`MAX_RECORD`](channel_abi::record::MAX_RECORD),
/// or no multiple of 8 bytes does not compile.
#[inline(always)]
pub fn offer<R: FromBytes + IntoBytes>(kind: Kind, user: u32, fill: impl Fn(&mut R)) {
    if used() == 0 {
        return;
    }
    for slot in 0..COUNT as u32 {
        offer_to(slot, kind, user, &fill);
    }
}

/// Returns the number of slots to look at: apps have the lowest ones. 0: no app is attached.
#[inline(always)]
pub fn used() -> u32 {
    let used = USED.get(0).copied().unwrap_or(0);
    if used > COUNT as u64 {
        COUNT as u32
    } else {
        used as u32
    }
}

/// Returns whether any app gets a record of this kind that is about `user`: whether what it says is worth finding out.
#[inline(always)]
pub fn wanted(kind: Kind, user: u32) -> bool {
    let used = used();
    (0..COUNT as u32)
        .take_while(|slot| *slot < used)
        .any(|slot| SLOTS.get(slot).is_some_and(|entry| entry.wants(kind, user)))
}

/// Offers a record to the app in `slot`, if it wants such.
#[inline(always)]
pub fn offer_to<R: FromBytes + IntoBytes>(
    slot: u32,
    kind: Kind,
    user: u32,
    fill: impl Fn(&mut R),
) -> Offered {
    offer_stamped(slot, kind, user, now_ns, fill)
}

/// Offers a record that several apps are offered, one by one, with one stamp: `stamp_ns` is called if this app wants
/// the record. The clock is a good part of what a record costs.
#[inline(always)]
pub fn offer_stamped<R: FromBytes + IntoBytes>(
    slot: u32,
    kind: Kind,
    user: u32,
    stamp_ns: impl FnOnce() -> u64,
    fill: impl Fn(&mut R),
) -> Offered {
    const {
        assert!(
            size_of::<R>() >= size_of::<Header>()
                && size_of::<R>() <= channel_abi::record::MAX_RECORD
        )
    };
    const { assert!(size_of::<R>().is_multiple_of(8) && align_of::<R>() <= 8) };
    if !SLOTS.get(slot).is_some_and(|entry| entry.wants(kind, user)) {
        return Offered::Unwanted;
    }
    let Some(ledger) = ledger(slot) else {
        return Offered::Unwanted;
    };
    // SAFETY: the map's value outlives the program, and is as long as a `Ledger`; any bytes are one.
    let ledger = unsafe { &*ledger };
    // Processors above the ledger's share its lines, and with a line its sequence: to the app they are one.
    // SAFETY: the helper has no preconditions.
    let processor = unsafe { bpf_get_smp_processor_id() } % PROCESSORS as u32;
    let line = &ledger.processors[processor as usize];
    let header = Header {
        length: size_of::<R>() as u32,
        kind: kind.number(),
        version: channel_abi::VERSION,
        processor,
        sequence: next(&line.offered),
        stamp_ns: stamp_ns(),
        lost: line.lost,
    };
    match commit(slot, header, fill) {
        Ok(()) => {
            add_one(&line.committed);
            Offered::Committed
        }
        Err(cause) => {
            lose(line, cause);
            Offered::Lost
        }
    }
}

/// The time of a record's stamp, now: nanoseconds since boot, on the clock that includes sleep.
#[inline(always)]
pub fn now_ns() -> u64 {
    // SAFETY: the helper has no preconditions.
    unsafe { bpf_ktime_get_boot_ns() }
}

#[inline(always)]
fn commit<R: FromBytes + IntoBytes>(
    slot: u32,
    header: Header,
    fill: impl Fn(&mut R),
) -> Result<(), Cause> {
    // The device server deletes the ring first, the ledger after every running program has
    // ended: no ring means closing.
    let ring = ring(slot).ok_or(Cause::Closing)?;
    // SAFETY: the verifier knows `ring` as a ring buffer; the size is a constant.
    let room = unsafe { bpf_ringbuf_reserve(ring, size_of::<R>() as u64, 0) };
    if room.is_null() {
        return Err(Cause::NoRoom);
    }
    let room = room.cast::<R>();
    // SAFETY: `room` is ours until it is submitted, 8-aligned and as long as an `R`. Its bytes are the kernel's own
    // initialised memory, and any bytes are an `R`.
    fill(unsafe { &mut *room });
    // SAFETY: as above; every `R` starts with a header (the contract's layout).
    unsafe { room.cast::<Header>().write(header) };
    // SAFETY: reserved above, submitted once. No flags: the kernel wakes the reader if it had caught up.
    unsafe { bpf_ringbuf_submit(room.cast(), 0) };
    Ok(())
}

#[inline(always)]
fn lose(line: &Counters, cause: Cause) {
    match cause {
        Cause::NoRoom => add_one(&line.lost[0]),
        Cause::Closing => add_one(&line.lost[1]),
        Cause::TooLarge => add_one(&line.lost[2]),
    };
}

/// Adds one to a counter. Relaxed: each counter is exact for itself, none orders another.
#[inline(always)]
fn add_one(counter: &u64) {
    let counter = core::ptr::from_ref(counter).cast_mut();
    // SAFETY: a map's value, aligned; programs change it by atomic operations alone.
    unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(counter, 1) };
}

/// Adds one to a counter and returns what was there. Not relaxed: LLVM 22 makes an add that returns nothing of a
/// relaxed one, and the "result" is then the 1 that was added.
#[inline(always)]
fn next(counter: &u64) -> u64 {
    let counter = core::ptr::from_ref(counter).cast_mut();
    // SAFETY: as above.
    unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::AcqRel }>(counter, 1) }
}

/// Takes a map's value and leaves 0: of two programs at once only one gets it.
#[inline(always)]
pub fn take(value: &mut u64) -> u64 {
    // SAFETY: aligned, ours.
    unsafe { atomic_xchg::<u64, { AtomicOrdering::Relaxed }>(value, 0) }
}

#[inline(always)]
fn ledger(slot: u32) -> Option<*mut Ledger> {
    LEDGERS
        .get_value_ptr_mut(slot, &0)
        .map(|words| words.cast())
}

#[inline(always)]
fn ring(slot: u32) -> Option<*mut c_void> {
    RINGS
        .get(slot)
        .map(|ring| core::ptr::from_ref(ring).cast_mut().cast())
}

/// Checks that `slot` is attached and `token` is its own: both are a caller's untrusted input.
///
/// # Errors
/// [`Refusal::Range`] if there is no such slot, [`Refusal::NotReferenced`] if no app has it, or another one.
#[inline(always)]
pub fn check(slot: u32, token: u64) -> Result<(), Refusal> {
    let slot = SLOTS.get(slot).ok_or(Refusal::Range)?;
    if slot.attached == Slot::ATTACHED && slot.token == token {
        Ok(())
    } else {
        Err(Refusal::NotReferenced)
    }
}

/// Returns the number of bytes that wait in the ring of `slot`, discarded ones too: not 0 is what the event's
/// "signalled" is here.
///
/// # Errors
/// [`Refusal::NotReferenced`] if no app has the slot.
#[inline(always)]
pub fn waiting(slot: u32) -> Result<u64, Refusal> {
    let ring = ring(slot).ok_or(Refusal::NotReferenced)?;
    // SAFETY: the verifier knows `ring` as a ring buffer.
    Ok(unsafe { bpf_ringbuf_query(ring, BPF_RB_AVAIL_DATA.into()) })
}

/// Signals the event of `slot` with no record: its reader wakes and finds nothing to deliver.
///
/// # Errors
/// [`Refusal::NotReferenced`] if no app has the slot.
#[inline(always)]
pub fn signal(slot: u32) -> Result<(), Refusal> {
    let ring = ring(slot).ok_or(Refusal::NotReferenced)?;
    // SAFETY: a ring buffer of the map's.
    unsafe { ring_event(ring) };
    Ok(())
}

/// Signals the event that a ring buffer is. A full ring stays as it is: it is signalled already.
///
/// # Safety
///
/// `ring` is a ring buffer of the program's own, or one that it looked up in a map of them.
#[inline(always)]
pub unsafe fn ring_event(ring: *mut c_void) {
    // SAFETY: `ring` is a ring buffer, as the caller promises; the size is a constant.
    let room = unsafe { bpf_ringbuf_reserve(ring, 8, 0) };
    if !room.is_null() {
        // SAFETY: reserved above, given back once.
        unsafe { bpf_ringbuf_discard(room, BPF_RB_FORCE_WAKEUP.into()) };
    }
}

/// Answers a request of an app's to the driver: if it is a `T`, and the app's own slot is in its header, `run` makes
/// the answer in its place. Returns what the program is to return: what `run` does, or 0 if the request is refused.
#[inline(always)]
pub fn answer<T: DriverRequest>(
    ctx: &mut TcContext,
    run: impl FnOnce(&mut T) -> Result<i32, Refusal>,
) -> i32 {
    let (refusal, again) = match answered(ctx, run) {
        Ok(again) => (0, again),
        Err(refusal) => (refusal.number(), 0),
    };
    // The app's half sends no request without a header: whoever else does hears nothing.
    if let Some(header) = request::<RequestHeader>(ctx) {
        header.refusal = refusal;
    }
    again
}

#[inline(always)]
fn answered<T: DriverRequest>(
    ctx: &mut TcContext,
    run: impl FnOnce(&mut T) -> Result<i32, Refusal>,
) -> Result<i32, Refusal> {
    let RequestHeader {
        command,
        slot,
        token,
        ..
    } = *request(ctx).ok_or(Refusal::Length)?;
    if command != T::COMMAND.number() {
        return Err(Refusal::Command);
    }
    if ctx.data() + size_of::<T>() != ctx.data_end() {
        return Err(Refusal::Length);
    }
    check(slot, token)?;
    run(request(ctx).ok_or(Refusal::Length)?)
}

/// Returns the caller's bytes, which the kernel hands to the program as a packet's, or `None` if they are fewer than a
/// `T`.
#[inline(always)]
pub fn request<T: FromBytes + IntoBytes>(ctx: &mut TcContext) -> Option<&mut T> {
    let (start, end) = (ctx.data(), ctx.data_end());
    if start + size_of::<T>() > end {
        return None;
    }
    // SAFETY: within the packet, as just checked, which nobody else has while the program runs, and which `ctx` is
    // borrowed for; any bytes are a `T`; alignment does not matter to this machine.
    Some(unsafe { &mut *(start as *mut T) })
}

/// Programs that are linked into every driver's object.
mod program {
    use super::{
        AtomicOrdering, BPF_RB_NO_WAKEUP, PROBE_RECORD, Ring, SLOTS, Slot, TcContext, atomic_xchg,
        bpf_ringbuf_discard, bpf_ringbuf_reserve, classifier, ledger, request, ring, signal,
    };

    /// Writes an app's tombstone, then signals its event a last time; run by the device server once nothing is offered
    /// to the slot any more.
    #[classifier]
    pub fn gatebell_ring(mut ctx: TcContext) -> i32 {
        let Some(&mut Ring {
            slot,
            token,
            ending,
        }) = request::<Ring>(&mut ctx)
        else {
            return 1;
        };
        let slot = slot as u32;
        let closing = |entry: &Slot| entry.attached == Slot::CLOSING && entry.token == token;
        if !SLOTS.get(slot).is_some_and(closing) {
            return 1;
        }
        let Some(ledger) = ledger(slot) else { return 1 };
        // SAFETY: the map's value outlives the program; no reference to it is held.
        let ended = unsafe { &raw mut (*ledger).ended };
        // SAFETY: aligned. A full barrier: who reads the tombstone sees every record before it.
        unsafe { atomic_xchg::<u64, { AtomicOrdering::SeqCst }>(ended, ending) };
        signal(slot).is_err().into()
    }

    /// Asks for two records at once that cannot both fit; run by the device server as it opens, on a ring of its own
    /// whose reader's position lies. The producer's position tells the device server whether the program got them.
    #[classifier]
    pub fn gatebell_probe(_: TcContext) -> i32 {
        let Some(ring) = ring(0) else { return 1 };
        // SAFETY: the verifier knows `ring` as a ring buffer; the size is a constant.
        let first = unsafe { bpf_ringbuf_reserve(ring, PROBE_RECORD, 0) };
        if first.is_null() {
            return 1;
        }
        // SAFETY: as above.
        let second = unsafe { bpf_ringbuf_reserve(ring, PROBE_RECORD, 0) };
        if !second.is_null() {
            // SAFETY: reserved above, given back once; nothing was written to it.
            unsafe { bpf_ringbuf_discard(second, BPF_RB_NO_WAKEUP.into()) };
        }
        // SAFETY: as above.
        unsafe { bpf_ringbuf_discard(first, BPF_RB_NO_WAKEUP.into()) };
        0
    }
}
