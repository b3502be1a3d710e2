//! Period that is shown, and the amount of traffic in each part of it.

use control::HistoryRow;
use view::text;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
/// Largest number of days that a chart has room for.
const MOST_DAYS: u64 = 366;

/// Period that is shown, until now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Since {
    /// Last hour, by the minute.
    Hour,
    /// Last day, by the hour.
    #[default]
    Day,
    /// Last week, by the hour.
    Week,
    /// All that is kept, by the day.
    All,
}

impl Since {
    /// All periods, the shortest first.
    pub const ALL: [Self; 4] = [Self::Hour, Self::Day, Self::Week, Self::All];

    /// Returns the words on a choice.
    pub fn words(self) -> String {
        match self {
            Self::Hour => text!("since-hour"),
            Self::Day => text!("since-day"),
            Self::Week => text!("since-week"),
            Self::All => text!("since-all"),
        }
    }

    /// Returns the time at which the period begins, in seconds since 1970.
    pub fn begin(self, now: u64) -> u64 {
        let length = match self {
            Self::Hour => HOUR,
            Self::Day => DAY,
            Self::Week => 7 * DAY,
            Self::All => return 0,
        };
        now.saturating_sub(length)
    }

    fn step(self) -> u64 {
        match self {
            Self::Hour => MINUTE,
            Self::Day | Self::Week => HOUR,
            Self::All => DAY,
        }
    }
}

/// Amount of traffic in one part of a period.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bar {
    /// Time at which the part begins, in seconds since 1970.
    pub start: u64,
    /// Bytes in both directions.
    pub bytes: u64,
    /// Number of records that were allowed.
    pub allowed: u64,
    /// Number of records that were not allowed.
    pub refused: u64,
}

/// Returns a bar for each part of a period, those in which nothing was too.
pub fn bars<'a>(rows: impl Iterator<Item = &'a HistoryRow>, since: Since, now: u64) -> Vec<Bar> {
    let step = since.step();
    let rows: Vec<_> = rows.collect();
    let first = match since {
        Since::All => rows.iter().map(|row| row.start).min().unwrap_or(now),
        other => other.begin(now),
    };
    let last = now / step;
    let first = (first / step).max(last.saturating_sub(MOST_DAYS)).min(last);
    let mut bars: Vec<_> = (first..=last)
        .map(|at| Bar {
            start: at * step,
            ..Bar::default()
        })
        .collect();
    for row in rows {
        let at = (row.start / step).clamp(first, last) - first;
        let Some(bar) = usize::try_from(at).ok().and_then(|at| bars.get_mut(at)) else {
            continue;
        };
        let records = if row.verdict == "allow" {
            &mut bar.allowed
        } else {
            &mut bar.refused
        };
        *records = records.saturating_add(row.count);
        let bytes = row.bytes_sent.saturating_add(row.bytes_received);
        bar.bytes = bar.bytes.saturating_add(bytes);
    }
    bars
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::past::talkers::tests::{curl, ssh};

    #[test]
    fn each_row_counts_in_its_part_of_the_time_and_times_of_nothing_have_their_bars() {
        let now = 1_000 * DAY + 5 * HOUR;
        let rows = [curl(now - 2 * HOUR), ssh(now - 2 * HOUR), curl(now)];
        for (since, parts) in [(Since::Hour, 61), (Since::Day, 25), (Since::Week, 169)] {
            let bars = bars(rows.iter(), since, now);
            assert_eq!(bars.len(), parts, "{since:?}");
            let all: u64 = bars.iter().map(|bar| bar.allowed + bar.refused).sum();
            assert_eq!(all, 4, "{since:?}");
        }
        let day = bars(rows.iter(), Since::Day, now);
        assert_eq!((day[22].allowed, day[22].refused), (2, 1));
        assert_eq!(day[23].bytes, 0);
        let all = bars(rows.iter(), Since::All, now);
        assert_eq!((all.len(), all[0].start), (1, 1_000 * DAY));
        assert_eq!(bars(std::iter::empty(), Since::All, now).len(), 1);
    }
}
