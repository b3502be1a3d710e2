//! One moment by two clocks.

use firewall_abi::members::NO_END;

/// Now, by both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// The clock that includes sleep.
    pub boot_ns: u64,
    /// Milliseconds since 1970.
    pub unix_ms: u64,
}

impl Now {
    /// Returns the lead of the day's clock over the boot clock, in milliseconds. It may be behind: the number wraps.
    pub(super) const fn ahead_ms(self) -> u64 {
        self.unix_ms.wrapping_sub(self.boot_ns / 1_000_000)
    }

    /// A moment of the other clock.
    pub(super) fn boot_ns(self, unix_ms: u64) -> u64 {
        let left = unix_ms.saturating_sub(self.unix_ms);
        if left == 0 {
            return 0;
        }
        self.boot_ns
            .saturating_add(left.saturating_mul(1_000_000))
            .min(NO_END - 1)
    }

    pub(super) fn since_1970(self, boot_ns: u64) -> u64 {
        let left = boot_ns.saturating_sub(self.boot_ns).div_ceil(1_000_000);
        self.unix_ms.saturating_add(left)
    }
}
