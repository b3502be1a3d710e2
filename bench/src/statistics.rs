//! Statistics of several rounds.

use serde::Serialize;

/// The middle of several rounds, and how far they lay apart.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// Half of the rounds are below, half above.
    pub median: f64,
    /// The lowest round.
    pub low: f64,
    /// The highest round.
    pub high: f64,
    /// Number of rounds.
    pub rounds: usize,
}

impl Spread {
    /// Returns the spread of rounds, or `None` if there are none.
    pub fn of(rounds: &[f64]) -> Option<Self> {
        let mut sorted: Vec<f64> = rounds
            .iter()
            .copied()
            .filter(|value| value.is_finite())
            .collect();
        sorted.sort_by(f64::total_cmp);
        let (low, high) = (*sorted.first()?, *sorted.last()?);
        Some(Self {
            median: middle(&sorted),
            low,
            high,
            rounds: sorted.len(),
        })
    }
}

fn middle(sorted: &[f64]) -> f64 {
    let half = sorted.len() / 2;
    match (sorted.get(half.wrapping_sub(1)), sorted.get(half)) {
        (Some(below), Some(above)) if sorted.len().is_multiple_of(2) => {
            f64::midpoint(*below, *above)
        }
        (_, Some(value)) => *value,
        _ => f64::NAN,
    }
}

/// The value below which `share` of all lie. Not a number if there is none.
pub fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = ((values.len().saturating_sub(1)) as f64 * share).round() as usize;
    values.get(at).copied().unwrap_or(f64::NAN)
}

/// Round by round, one divided by the other: what drifts in the machine drifts in both.
pub fn ratios(ours: &[f64], theirs: &[f64]) -> Vec<f64> {
    ours.iter()
        .zip(theirs)
        .map(|(ours, theirs)| ours / theirs)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_round_or_the_mean_of_the_two_in_the_middle() {
        assert_eq!(
            Spread::of(&[3.0, 1.0, 2.0]).map(|spread| spread.median),
            Some(2.0)
        );
        assert_eq!(
            Spread::of(&[4.0, 1.0, 2.0, 3.0]).map(|spread| spread.median),
            Some(2.5)
        );
        assert_eq!(Spread::of(&[]), None);
        assert_eq!(Spread::of(&[f64::NAN]), None);
    }

    #[test]
    fn a_quantile_is_one_of_the_values() {
        let mut values: Vec<f64> = (1..=101).rev().map(f64::from).collect();
        assert_eq!(
            (quantile(&mut values, 0.5), quantile(&mut values, 0.99)),
            (51.0, 100.0)
        );
        assert!(quantile(&mut [], 0.5).is_nan());
    }
}
