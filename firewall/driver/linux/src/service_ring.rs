//! Records that are handed to the service by rings which it alone reads.

use aya_ebpf::btf_maps::RingBuf;
use aya_ebpf::helpers::generated::{bpf_ringbuf_discard, bpf_ringbuf_reserve, bpf_ringbuf_submit};
use zerocopy::FromBytes;

/// Puts a record of this kind into a ring. False: it found no room, or what it is filled with could not be read.
#[inline(always)]
pub fn put<T: FromBytes, R, const BYTES: usize>(
    ring: &'static RingBuf<R, BYTES>,
    fill: impl FnOnce(&mut T) -> bool,
) -> bool {
    let ring = core::ptr::from_ref(ring).cast_mut().cast();
    // SAFETY: a ring buffer of this program's own; the size is a constant.
    let room = unsafe { bpf_ringbuf_reserve(ring, size_of::<T>() as u64, 0) };
    if room.is_null() {
        return false;
    }
    let room = room.cast::<T>();
    // SAFETY: ours until it is submitted, 8-aligned and as long as a `T`, which any bytes are:
    // the kernel has initialised them.
    let read = fill(unsafe { &mut *room });
    if read {
        // SAFETY: reserved above, submitted once. No flags: the kernel wakes the service if that had caught up.
        unsafe { bpf_ringbuf_submit(room.cast(), 0) };
    } else {
        // SAFETY: reserved above, given back once.
        unsafe { bpf_ringbuf_discard(room.cast(), 0) };
    }
    read
}
