//! Schedule of the sweeps: a sweep looks through the connections for those that nobody uses any more.
//!
//! While there are many, or some were forgotten, every five seconds. A table that is nearly empty is left alone until
//! the first of its entries can have grown old, at most a minute, so that an idle service takes no processor time. What
//! else wakes the service, as the look after its hooks does every five seconds, does not end that rest.
//!
//! What a rest costs: room among confirmed connections, up to a minute longer than it could be had, once; then it is
//! every five seconds again. What is over belongs to nothing, looked through or not: the driver compares its time with
//! each packet. What is not confirmed makes room by itself.

use firewall_abi::firewall::MAX_FLOWS;
use std::time::{Duration, Instant};

/// Time between two sweeps as long as there is something to do.
pub const EVERY: Duration = Duration::from_secs(5);
/// Longest time that the table of connections is left alone.
const REST: Duration = Duration::from_secs(60);
/// Largest number of connections that counts as few.
const FEW: u64 = MAX_FLOWS as u64 / 64;

/// Result of a sweep through the connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Connections that were forgotten.
    pub forgotten: u64,
    /// Connections that have carried something since the sweep before.
    pub carrying: u64,
    /// Connections that are left.
    pub left: u64,
    /// Time until the first of the connections left can be forgotten if it stays silent, or `None` if there is none.
    pub soonest: Option<Duration>,
}

impl Swept {
    /// Returns the time until the next sweep has something to do, if nothing wakes the service.
    pub fn rest(&self) -> Duration {
        if self.forgotten > 0 || self.carrying > 0 || self.left > FEW {
            return EVERY;
        }
        self.soonest.unwrap_or(REST).clamp(EVERY, REST)
    }
}

/// Moment of the next sweep.
#[derive(Clone, Copy, Debug)]
pub struct NextSweep(Instant);

impl NextSweep {
    /// After a sweep at this moment, and so long a rest.
    pub fn after(now: Instant, rest: Duration) -> Self {
        Self(now + rest)
    }

    /// Returns the moment of the next sweep.
    pub const fn at(self) -> Instant {
        self.0
    }

    /// Returns whether the next sweep is due, whatever has woken the service.
    pub fn is_due(self, now: Instant) -> bool {
        self.0 <= now
    }
}

/// End of the last look through one of the kernel's tables, and its duration: a full table takes a part of a second.
#[derive(Clone, Copy, Debug)]
pub struct LastLook {
    ended: Instant,
    took: Duration,
}

impl LastLook {
    /// Largest part of the main loop's time that looks at others' request take: one in so many.
    const SHARE: u32 = 20;

    /// Returns the look that took from `begun` to `ended`.
    pub fn new(begun: Instant, ended: Instant) -> Self {
        Self {
            ended,
            took: ended.saturating_duration_since(begun),
        }
    }

    /// Returns whether another look may follow because somebody asks; if not, this one's result is still about right.
    pub fn may_be_followed(self, now: Instant) -> bool {
        self.rest(now).is_zero()
    }

    /// Returns the time until another look may follow.
    pub fn rest(self, now: Instant) -> Duration {
        let passed = now.saturating_duration_since(self.ended);
        (self.took * (Self::SHARE - 1)).saturating_sub(passed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_else_wakes_the_service_does_not_end_the_rest_of_a_sweep() {
        let begin = Instant::now();
        let quiet = Swept::default();
        let mut next = NextSweep::after(begin, quiet.rest());
        let mut swept = 0;
        // The look after the hooks wakes it every five seconds.
        for woken in (1..=120).map(|n| begin + n * EVERY) {
            if next.is_due(woken) {
                swept += 1;
                next = NextSweep::after(woken, quiet.rest());
            }
        }
        assert_eq!(swept, 10, "in ten minutes");
        assert_eq!(next.at(), begin + 11 * REST);
    }

    #[test]
    fn who_asks_without_end_takes_a_twentieth_of_the_time() {
        let begin = Instant::now();
        let took = Duration::from_millis(50);
        let mut last = LastLook::new(begin, begin + took);
        let (mut now, mut sweeps) = (begin + took, 1);
        while now < begin + Duration::from_millis(9500) {
            now += Duration::from_millis(1);
            if last.may_be_followed(now) {
                last = LastLook::new(now, now + took);
                now += took;
                sweeps += 1;
            }
        }
        assert_eq!(sweeps, 10, "of 50 ms each, in less than ten seconds");
        let quick = LastLook::new(begin, begin + Duration::from_micros(20));
        assert!(
            quick.may_be_followed(begin + Duration::from_micros(400)),
            "a small table is looked through for each"
        );
    }

    fn rest(forgotten: u64, left: u64, soonest: Option<u64>) -> u64 {
        Swept {
            forgotten,
            carrying: 0,
            left,
            soonest: soonest.map(Duration::from_secs),
        }
        .rest()
        .as_secs()
    }

    #[test]
    fn a_table_that_is_nearly_empty_is_left_alone_until_its_first_entry_can_be_old() {
        assert_eq!(rest(0, 0, None), 60);
        assert_eq!(rest(0, 3, Some(17)), 17);
        assert_eq!(rest(0, 3, Some(7200)), 60);
        assert_eq!(rest(0, 3, Some(0)), 5);
    }

    #[test]
    fn while_many_come_or_go_it_is_looked_through_every_five_seconds() {
        assert_eq!(rest(1, 0, None), 5);
        assert_eq!(rest(0, FEW + 1, Some(7200)), 5);
    }
}
