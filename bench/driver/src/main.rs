//! The driver of the figure `channel`. Run once, a program makes one record: either for every app of the channel, or,
//! as the least that a driver of somebody's own can do, for every bare ring that stands in
//! [`BARE`]. Both write every byte of it.
#![no_std]
#![no_main]
#![expect(
    missing_docs,
    reason = "aya's macros write functions without the comments of ours"
)]

use aya_ebpf::bindings::BPF_RB_NO_WAKEUP;
use aya_ebpf::btf_maps::{Array, ArrayOfMaps, RingBuf};
use aya_ebpf::helpers::generated::{bpf_ringbuf_reserve, bpf_ringbuf_submit};
use aya_ebpf::macros::{btf_map, classifier};
use aya_ebpf::programs::TcContext;
use channel::driver::ebpf;
use channel_abi::command::NO_USER;
use channel_abi::{Header, Kind, SLOTS};
use zerocopy::{FromBytes, IntoBytes};

/// The only kind of record there is.
const RECORD: Kind = Kind::new::<0>();
/// Pattern that fills a record.
const FILLING: u64 = 0x0123_4567_89AB_CDEF;

/// Rings without a channel, the first ones in use.
#[btf_map]
static BARE: ArrayOfMaps<RingBuf<(), 4096>, SLOTS> = ArrayOfMaps::new();

/// Records that found no room, by the place of their ring.
#[btf_map]
static LOST: Array<u64, SLOTS> = Array::new();

/// A record of 64 bytes: most of it is the header.
#[derive(FromBytes, IntoBytes)]
#[repr(C)]
struct Short {
    header: Header,
    body: [u64; 1],
}

/// A record of 1 KiB.
#[derive(FromBytes, IntoBytes)]
#[repr(C)]
struct Long {
    header: Header,
    body: [u64; 121],
}

#[classifier]
pub fn channel_64(_: TcContext) -> i32 {
    ebpf::offer(RECORD, NO_USER, |record: &mut Short| fill(&mut record.body));
    0
}

#[classifier]
pub fn channel_1024(_: TcContext) -> i32 {
    ebpf::offer(RECORD, NO_USER, |record: &mut Long| fill(&mut record.body));
    0
}

#[classifier]
pub fn bare_64(_: TcContext) -> i32 {
    write::<{ size_of::<Short>() / 8 }>(0);
    0
}

#[classifier]
pub fn bare_1024(_: TcContext) -> i32 {
    write::<{ size_of::<Long>() / 8 }>(0);
    0
}

#[classifier]
pub fn silent_64(_: TcContext) -> i32 {
    write::<{ size_of::<Short>() / 8 }>(u64::from(BPF_RB_NO_WAKEUP));
    0
}

#[classifier]
pub fn silent_1024(_: TcContext) -> i32 {
    write::<{ size_of::<Long>() / 8 }>(u64::from(BPF_RB_NO_WAKEUP));
    0
}

/// Puts a record of so many words into each ring that has room, submitted with these flags: without any the kernel
/// wakes the reader as it does by itself. Where there is no room it is counted.
#[inline(always)]
fn write<const WORDS: usize>(flags: u64) {
    for place in 0..SLOTS as u32 {
        let Some(ring) = BARE.get(place) else { return };
        let ring = core::ptr::from_ref(ring).cast_mut().cast();
        // SAFETY: the verifier knows `ring` as a ring buffer; the size is a constant.
        let room = unsafe { bpf_ringbuf_reserve(ring, 8 * WORDS as u64, 0) };
        if room.is_null() {
            if let Some(lost) = LOST.get_ptr_mut(place) {
                // SAFETY: `lost` is a value of the map. Nobody else writes to it:
                // these programs run one at a time, on one processor.
                unsafe { *lost += 1 };
            }
            continue;
        }
        // SAFETY: ours until it is submitted, 8-aligned and so many words long;
        // its bytes are the kernel's own initialised memory.
        fill(unsafe { &mut *room.cast::<[u64; WORDS]>() });
        // SAFETY: reserved above, submitted once.
        unsafe { bpf_ringbuf_submit(room, flags) };
    }
}

#[inline(always)]
fn fill(words: &mut [u64]) {
    words.iter_mut().for_each(|word| *word = FILLING);
}

const _: () = assert!(size_of::<Short>() == 64 && size_of::<Long>() == 1024);

#[used]
#[unsafe(link_section = "license")]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
