//! Paces of an attachment: how its waits trade wake-ups for latency.

use std::time::Duration;

/// Trade of wake-ups for latency, chosen by the app. The driver never withholds a signal; the reader decides when it
/// wakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Wakes at each signal.
    Prompt,
    /// Lets more records gather while they follow each other closely, or come by the dozen: for half a millisecond at
    /// first, while few come for longer and longer, and never for longer than this time, nor than a quarter of the ring
    /// takes to fill at their pace. After a single record, or none, goes back to sleep at once. While records gather,
    /// the app's own signal and the end wait too.
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
/// Shortest time that is worth a sleep, which takes about as long by itself. Whoever has less looks again at once.
const WORTH_A_SLEEP: Duration = Duration::from_micros(50);
/// Part of the ring that may fill while records gather: what else keeps the reader has the rest.
const FILLED: u64 = 4;

/// State of [`Pace::Coalesce`]: the findings of the last drain. It asks no clock, only the records' stamps.
#[derive(Debug)]
pub struct Gathering {
    /// Size of the ring, in bytes.
    ring_bytes: u64,
    /// Newest stamp of all records, in nanoseconds.
    newest: u64,
    /// Number of records of the last drain.
    found: u64,
    /// Bytes of those records.
    bytes: u64,
    /// Newest stamp before that drain, in nanoseconds.
    before: u64,
    /// `true` if the first record of the last drain followed closely.
    close: bool,
    /// Time for which the last records gathered; 0 if they did not.
    last: Duration,
}

impl Gathering {
    /// Begins with nothing found in a ring of so many bytes.
    pub fn new(ring_bytes: u32) -> Self {
        Self {
            ring_bytes: ring_bytes.into(),
            newest: 0,
            found: 0,
            bytes: 0,
            before: 0,
            close: false,
            last: Duration::ZERO,
        }
    }

    /// Begins a drain.
    pub fn begin(&mut self) {
        (self.found, self.bytes, self.close) = (0, 0, false);
        self.before = self.newest;
    }

    /// Notes that the drain has found a record of so many bytes with this stamp.
    pub fn note(&mut self, stamp_ns: u64, bytes: usize) {
        if self.found == 0 {
            self.close = Duration::from_nanos(stamp_ns.saturating_sub(self.newest)) < CLOSE;
        }
        self.found += 1;
        self.bytes += bytes as u64;
        self.newest = self.newest.max(stamp_ns);
    }

    /// Returns the time for which to let more gather before the next drain, `longest` at most and 0 if there is no time
    /// to lose, or `None` to sleep until there is a signal.
    pub fn next(&mut self, longest: Duration) -> Option<Duration> {
        let shortest = SHORTEST.min(longest);
        // Whoever waits twice after one drain sleeps.
        let (found, close) = (std::mem::take(&mut self.found), self.close);
        if found == 0 || (found < SEVERAL && !close) {
            self.last = Duration::ZERO;
            return None;
        }
        let gathers = if found >= MANY {
            (self.last / 2).max(shortest)
        } else {
            self.last.saturating_mul(2).clamp(shortest, longest)
        };
        self.last = gathers.min(self.filling());
        (!longest.is_zero()).then_some(self.last)
    }

    /// Returns the time that a quarter of the ring takes to fill at the pace of the last drain's records;
    /// 0 if that is too short for a sleep.
    fn filling(&self) -> Duration {
        let took = u128::from((self.newest - self.before).max(1));
        let time = took * u128::from(self.ring_bytes / FILLED) / u128::from(self.bytes.max(1));
        let time = Duration::from_nanos(u64::try_from(time).unwrap_or(u64::MAX));
        if time < WORTH_A_SLEEP {
            Duration::ZERO
        } else {
            time
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MICROSECOND: u64 = 1000;
    const RING: u32 = 1 << 20;

    /// Returns how long a reader lets more gather after each of these drains, given as the stamps of its records; all
    /// in microseconds.
    fn after<const N: usize>(drains: [&[u64]; N]) -> [Option<u64>; N] {
        after_at_most(Duration::from_millis(4), drains)
    }

    fn after_at_most<const N: usize>(longest: Duration, drains: [&[u64]; N]) -> [Option<u64>; N] {
        let mut gathering = Gathering::new(RING);
        drains.map(|stamps| {
            gathering.begin();
            stamps
                .iter()
                .for_each(|stamp| gathering.note(stamp * MICROSECOND, 64));
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
        let drain = |from, count| (0..count).map(|n| from + 10 * n).collect::<Vec<u64>>();
        let flood = after([
            &drain(1000, SEVERAL),
            &drain(2000, SEVERAL),
            &drain(3000, MANY),
            &drain(4000, MANY),
            &[],
        ]);
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
        let mut gathering = Gathering::new(RING);
        (0..SEVERAL).for_each(|_| gathering.note(MICROSECOND, 64));
        let mut next = || gathering.next(SHORTEST);
        assert!(next().is_some() && next().is_none());
    }
    #[test]
    fn no_more_gathers_than_a_quarter_of_the_ring_holds_at_the_pace_at_which_it_came() {
        // Drains of 128 records, evenly over a time in microseconds before this one.
        let after = |bytes: usize, ring_bytes: u32, took: u64| {
            let mut gathering = Gathering::new(ring_bytes);
            gathering.note(1_000_000_000, bytes);
            gathering.begin();
            (1..=128).for_each(|n| {
                gathering.note(1_000_000_000 + n * took * MICROSECOND / 128, bytes);
            });
            gathering.next(Duration::from_millis(4))
        };
        let micros = |time| Some(Duration::from_micros(time));
        // 128 KiB in a millisecond, and a quarter of a ring of 256 KiB.
        assert_eq!(after(1024, 1 << 18, 1000), micros(500));
        assert_eq!(after(1024, 1 << 18, 800), micros(400));
        assert_eq!(after(1024, 1 << 18, 100), micros(50));
        assert_eq!(
            after(1024, 1 << 18, 99),
            micros(0),
            "it looks again at once"
        );
        assert_eq!(after(1024, 1 << 18, 0), micros(0));
        assert_eq!(after(64, 1 << 18, 99), micros(500));
        assert_eq!(after(64, 1 << 12, 800), micros(100));
    }
}
