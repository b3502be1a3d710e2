//! Latency of records: the time from the driver's stamp to this app.

/// Latencies of records that woke the app, in nanoseconds.
#[derive(Clone, Debug, Default)]
pub struct Latency {
    samples: Vec<u64>,
}

/// Largest number of samples that are kept: the figures stay those of the first ones.
const MOST: usize = 1_000_000;

impl Latency {
    /// Notes a record that was stamped then and is received now.
    pub fn note(&mut self, stamp_ns: u64) {
        if let (Some(now), true) = (now(), self.samples.len() < MOST) {
            self.samples.push(now.saturating_sub(stamp_ns));
        }
    }

    /// Returns the value that this share (in percent) of all samples does not exceed, in microseconds, or `None`
    /// without samples.
    #[must_use]
    pub fn percentile_us(&self, percent: usize) -> Option<f64> {
        let mut sorted = self.samples.clone();
        sorted.sort_unstable();
        let last = sorted.len().checked_sub(1)?;
        let rank = (sorted.len() * percent)
            .div_ceil(100)
            .saturating_sub(1)
            .min(last);
        let ns = u32::try_from(sorted.get(rank).copied()?).unwrap_or(u32::MAX);
        Some(f64::from(ns) / 1000.0)
    }
}

/// Returns the time of the clock of the driver's stamps, in nanoseconds.
#[cfg(target_os = "linux")]
fn now() -> Option<u64> {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME).ok()?;
    Some(now.tv_sec().cast_unsigned() * 1_000_000_000 + now.tv_nsec().cast_unsigned())
}

/// Returns `None`: what Wine's clocks say would not be true of Windows.
#[cfg(not(target_os = "linux"))]
fn now() -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_sample_that_was_seen() {
        let latency = Latency {
            samples: (1..=100).map(|n| n * 1000).collect(),
        };
        assert_eq!(latency.percentile_us(50), Some(50.0));
        assert_eq!(latency.percentile_us(99), Some(99.0));
        assert_eq!(
            Latency::default().percentile_us(50),
            None,
            "no sample, no figure"
        );
    }
}
