//! The memory orderings that promises rest on, each by its name.
//!
//! A name is used wherever that ordering is, in the code that ships and in the models that loom explores. There one of
//! them can be weakened from outside (`GATEBELL_WEAKEN=NAME`), which is how `cargo xtask prove` sees a test fail for
//! each. One whose weakening no test sees is not needed, or not proven; both are wrong.

use crate::sync::atomic::Ordering;

macro_rules! orderings {
    ($($(#[doc = $doc:literal])+ $name:ident: $strong:ident => $weak:ident;)+) => {
        $(
            $(#[doc = $doc])+
            #[cfg(not(loom))]
            #[inline]
            #[must_use]
            pub const fn $name() -> Ordering {
                Ordering::$strong
            }

            $(#[doc = $doc])+
            #[cfg(loom)]
            #[must_use]
            pub fn $name() -> Ordering {
                if weakened(stringify!($name)) { Ordering::$weak } else { Ordering::$strong }
            }
        )+
    };
}

// What stands behind the arrow is what it is weakened to.
orderings! {
    /// Ordering of the store by which the reader tells the kernel its position. Pairs with the acquire load in
    /// `__bpf_ringbuf_reserve`: before the room is used again, nothing in it is read any more.
    reader_tells: Release => Relaxed;
    /// Ordering of the load by which the reader sees the kernel's position. Pairs with the release store in
    /// `__bpf_ringbuf_reserve`: the header of what was reserved is there.
    reader_sees_reserved: Acquire => Relaxed;
    /// Ordering of the load of a record's header by the reader. Pairs with the `xchg` in `bpf_ringbuf_commit`: what was
    /// committed is whole.
    reader_sees_committed: Acquire => Relaxed;
    /// Ordering of the fence between the reader's store of its position and its next look at the kernel's. Pairs with
    /// the `xchg` in `bpf_ringbuf_commit`, a full barrier between commit and wake: either the kernel sees that the
    /// reader has caught up and wakes it, or the reader sees the record.
    reader_looks_again: SeqCst => AcqRel;
    /// Ordering of the load of the tombstone by the reader. Pairs with the exchange by which the driver's program
    /// writes it: all that was counted before is in the ledger. (What was committed before is in the ring without it: a
    /// drain that comes after has a barrier of its own.)
    reader_sees_the_end: Acquire => Relaxed;
    /// Ordering of the decrement by which work on a request leaves the driver's code: it counts down who is inside.
    /// Pairs with `work_is_seen_left`: nothing that was done there is still to come when the driver is unloaded.
    work_is_left: Release => Relaxed;
    /// Ordering of the load of that count before the driver is unloaded. Pairs with `work_is_left`.
    work_is_seen_left: Acquire => Relaxed;
}

#[cfg(loom)]
fn weakened(name: &str) -> bool {
    static NAME: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    let weakened = NAME.get_or_init(|| std::env::var("GATEBELL_WEAKEN").ok());
    weakened.as_deref() == Some(name)
}
