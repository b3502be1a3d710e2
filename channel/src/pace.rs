//! Paces of an attachment: how its waits trade wake-ups for latency.

use std::time::Duration;

/// Trade of wake-ups for latency, chosen by the app. The driver never withholds a signal; the reader decides when it
/// wakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Wakes at each signal.
    Prompt,
    /// Lets more records gather while they follow each other closely, or come by the dozen: for half a millisecond at
    /// first, while few come for longer and longer, and never for longer than this time. After a single record, or
    /// none, goes back to sleep at once. While records gather, the app's own signal and the end wait too.
    Coalesce(Duration),
    /// Looks again and again, for this long in each wait, and takes each record at once; then sleeps. It keeps a
    /// processor busy meanwhile: with [`Duration::MAX`] always.
    Spin(Duration),
}

/// Lets records gather for up to four milliseconds.
impl Default for Pace {
    fn default() -> Self {
        Self::Coalesce(Duration::from_millis(4))
    }
}

/// Number of records of a drain that is worth gathering after, however late they came.
const SEVERAL: u64 = 8;
/// Number of records of a drain that took enough at once: a ring has to hold what gathers.
const MANY: u64 = 64;
/// Longest time after the last record at which the next one still follows closely. If nothing gathered, each of those
/// would have a wake-up.
const CLOSE: Duration = Duration::from_micros(500);
/// Time for which records gather at first.
const SHORTEST: Duration = Duration::from_micros(500);

/// State of [`Pace::Coalesce`]: the findings of the last drain. It asks no clock, only the records' stamps.
#[derive(Debug, Default)]
pub struct Gathering {
    /// Newest stamp of all records, in nanoseconds.
    newest: u64,
    /// Number of records of the last drain.
    found: u64,
    /// `true` if the first record of the last drain followed closely.
    close: bool,
    /// Time for which the last records gathered; 0 if they did not.
    last: Duration,
}

impl Gathering {
    /// Begins a drain.
    pub fn begin(&mut self) {
        (self.found, self.close) = (0, false);
    }

    /// Notes that the drain has found a record with this stamp.
    pub fn note(&mut self, stamp_ns: u64) {
        if self.found == 0 {
            self.close = Duration::from_nanos(stamp_ns.saturating_sub(self.newest)) < CLOSE;
        }
        self.found += 1;
        self.newest = self.newest.max(stamp_ns);
    }

    /// Returns the time for which to let more gather before the next drain, `longest` at most, or `None` to sleep until
    /// there is a signal.
    pub fn next(&mut self, longest: Duration) -> Option<Duration> {
        let shortest = SHORTEST.min(longest);
        // Whoever waits twice after one drain sleeps.
        let (found, close) = (std::mem::take(&mut self.found), self.close);
        self.last = if found == 0 || (found < SEVERAL && !close) {
            Duration::ZERO
        } else if found >= MANY {
            (self.last / 2).max(shortest)
        } else {
            self.last.saturating_mul(2).clamp(shortest, longest)
        };
        (!self.last.is_zero()).then_some(self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MICROSECOND: u64 = 1000;

    /// Returns how long a reader lets more gather after each of these drains, given as the stamps of its records; all
    /// in microseconds.
    fn after<const N: usize>(drains: [&[u64]; N]) -> [Option<u64>; N] {
        after_at_most(Duration::from_millis(4), drains)
    }

    fn after_at_most<const N: usize>(longest: Duration, drains: [&[u64]; N]) -> [Option<u64>; N] {
        let mut gathering = Gathering::default();
        drains.map(|stamps| {
            gathering.begin();
            stamps
                .iter()
                .for_each(|stamp| gathering.note(stamp * MICROSECOND));
            gathering
                .next(longest)
                .map(|time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX))
        })
    }

    #[test]
    fn records_that_come_alone_are_taken_at_once() {
        assert_eq!(
            after([&[1000], &[2000], &[], &[3000, 3001], &[4000]]),
            [None; 5]
        );
    }

    #[test]
    fn records_that_follow_closely_gather_for_longer_and_longer_until_none_comes() {
        let steady = after([
            &[1000],
            &[1200],
            &[1400, 1600],
            &[1800],
            &[2000],
            &[2200],
            &[],
            &[9000],
        ]);
        assert_eq!(
            steady,
            [
                None,
                Some(500),
                Some(1000),
                Some(2000),
                Some(4000),
                Some(4000),
                None,
                None
            ]
        );
    }

    #[test]
    fn many_at_once_gather_for_a_shorter_time_but_for_some() {
        let (several, many) = ([1000; SEVERAL as usize], [1000; MANY as usize]);
        let flood = after([&several, &several, &many, &many, &[]]);
        assert_eq!(flood, [Some(500), Some(1000), Some(500), Some(500), None]);
    }

    #[test]
    fn nothing_gathers_for_longer_than_the_app_has_chosen() {
        let few: [&[u64]; 5] = [&[1000], &[1200], &[1400], &[1600], &[1800]];
        for (longest, expected) in [
            (0, [None; 5]),
            (100, [None, Some(100), Some(100), Some(100), Some(100)]),
            (1500, [None, Some(500), Some(1000), Some(1500), Some(1500)]),
        ] {
            let longest = Duration::from_micros(longest);
            assert_eq!(after_at_most(longest, few), expected, "{longest:?}");
        }
    }

    #[test]
    fn whoever_waits_twice_after_one_drain_sleeps() {
        let mut gathering = Gathering::default();
        (0..SEVERAL).for_each(|_| gathering.note(1));
        let mut next = || gathering.next(SHORTEST);
        assert!(next().is_some() && next().is_none());
    }
}
