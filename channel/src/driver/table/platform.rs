//! Platform of [`super::Table`]: what it needs of a kernel: memory, locks, events, clocks.

/// A kernel as a driver's table needs it.
pub trait Platform: Sized + 'static {
    /// A reference on an app's event. A clone is another reference; dropping one releases it.
    type Event: Signal + Clone + Send;
    /// A lock that may be taken at any interrupt level at which records are offered.
    type Lock<T: Send>: Lock<T>;
    /// Memory that may be touched at those interrupt levels: zeroed 64-bit words.
    type Memory: AsRef<[u64]> + AsMut<[u64]> + Send;
    /// Identity of a user.
    type User: Copy + PartialEq + Send;

    /// Allocates zeroed 64-bit words, or returns `None` if the kernel has no memory. Never called with a lock held.
    fn allocate(words: usize) -> Option<Self::Memory>;
    /// Returns the number of the processor that runs this.
    fn processor() -> u32;
    /// Returns the time of the clock that stamps records, in nanoseconds.
    fn now_ns() -> u64;
}

/// A lock that owns what it guards.
pub trait Lock<T> {
    /// Makes a lock that guards a value.
    fn new(value: T) -> Self;
    /// Calls `run` with the value, while nobody else has it.
    fn with<R>(&self, run: impl FnOnce(&mut T) -> R) -> R;
}

/// An event that a driver can signal.
pub trait Signal {
    /// Wakes the event's waiter, or lets the next wait return at once.
    fn signal(&self);
}
