//! Moments as a person reads them, and the driver's stamps as such.

use jiff::{Timestamp, tz::TimeZone};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Returns the local time of day, to the millisecond.
#[must_use]
pub fn clock_time(at: SystemTime) -> String {
    clock_time_in(at, TimeZone::system())
}

/// Returns the time of day in this time zone, or question marks for a time beyond what calendars have.
fn clock_time_in(at: SystemTime, zone: TimeZone) -> String {
    match Timestamp::try_from(at) {
        Ok(at) => at
            .to_zoned_datetime(zone)
            .strftime("%H:%M:%S%.3f")
            .to_string(),
        Err(_) => "??:??:??.???".to_owned(),
    }
}

/// Returns the local day and time, to the second, of a moment in seconds since 1970.
#[must_use]
pub fn day_and_time(seconds: u64) -> String {
    let at = i64::try_from(seconds).ok().map(Timestamp::from_second);
    match at {
        Some(Ok(at)) => {
            let at = at.to_zoned_datetime(TimeZone::system());
            at.strftime("%Y-%m-%d %H:%M:%S").to_string()
        }
        _ => "????-??-?? ??:??:??".to_owned(),
    }
}

/// Clock that turns the driver's stamps into the time of day.
///
/// A record is read after it was stamped, so the smallest distance ever seen between the two clocks is the best guess
/// at what lies between them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock {
    offset: Option<Duration>,
}

impl Clock {
    /// Returns the time at which a record with this stamp was made; to be asked as the record is read.
    pub fn time_of(&mut self, stamp_ns: u64) -> SystemTime {
        let stamp = Duration::from_nanos(stamp_ns);
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let distance = now.saturating_sub(stamp);
        let offset = self.offset.map_or(distance, |known| known.min(distance));
        self.offset = Some(offset);
        UNIX_EPOCH + offset + stamp
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_shown_as_the_zone_has_it() {
        let at = UNIX_EPOCH + Duration::from_millis(1_000_000_000_042);
        assert_eq!(clock_time_in(at, TimeZone::UTC), "01:46:40.042");
        let east = jiff::tz::offset(2).to_time_zone();
        assert_eq!(clock_time_in(at, east), "03:46:40.042");
    }

    #[test]
    fn stamps_keep_their_distances_as_times_of_day() {
        let mut clock = Clock::default();
        let first = clock.time_of(1_000_000);
        let second = clock.time_of(3_000_000);
        assert!(second.duration_since(first).unwrap() <= Duration::from_millis(2));
    }
}
