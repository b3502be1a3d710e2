//! What a kernel gives to a driver, for [`super::Table`]: memory, locks, events, clocks.

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
