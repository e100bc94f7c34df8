use std::fmt;
use std::iter::Sum;
use std::ops::Add;
use std::time::Duration;

use serde::{Deserialize, Serialize};

const MICROS_PER_UNIT: f64 = 1e6;
const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// Rate of operations per second, at least 0.
///
/// Kept as a whole number of millionths, so that rates add up to the same sum in any order and grouping, which
/// floating-point numbers do not. Sums saturate at the largest rate, 1.8 × 10¹³ per second. Formats like an `f64`,
/// and is one in `serde`'s formats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "f64", into = "f64")]
pub struct Rate {
    millionths: u64,
}

impl Rate {
    /// Rate of no operations.
    pub const ZERO: Self = Self { millionths: 0 };

    /// Returns the mean rate of `operations` over a time span; zero if no time has passed.
    ///
    /// ```
    /// # use {counter_protocol::Rate, std::time::Duration};
    /// assert_eq!(Rate::of(50, Duration::from_millis(500)).per_second(), 100.0);
    /// assert_eq!(Rate::of(50, Duration::ZERO), Rate::ZERO);
    /// ```
    #[must_use]
    pub fn of(operations: u64, elapsed: Duration) -> Self {
        let millionths =
            (u128::from(operations) * 1_000_000 * NANOS_PER_SECOND).checked_div(elapsed.as_nanos());
        Self { millionths: u64::try_from(millionths.unwrap_or(0)).unwrap_or(u64::MAX) }
    }

    /// Returns the rate as a floating-point number.
    #[must_use]
    pub fn per_second(self) -> f64 {
        self.millionths as f64 / MICROS_PER_UNIT
    }
}

impl Add for Rate {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { millionths: self.millionths.saturating_add(other.millionths) }
    }
}

impl Sum for Rate {
    fn sum<I: Iterator<Item = Self>>(rates: I) -> Self {
        rates.fold(Self::ZERO, Self::add)
    }
}

impl From<Rate> for f64 {
    fn from(rate: Rate) -> Self {
        rate.per_second()
    }
}

impl From<f64> for Rate {
    /// Rounds to the nearest millionth; what is not a positive number becomes zero.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "`as` saturates at both ends and maps NaN to zero, as documented"
    )]
    fn from(per_second: f64) -> Self {
        Self { millionths: (per_second * MICROS_PER_UNIT).round() as u64 }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.per_second().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extremes_saturate() {
        assert_eq!(Rate::of(u64::MAX, Duration::from_nanos(1)), Rate::of(u64::MAX, Duration::from_millis(1)));
        assert_eq!(Rate::from(-1.0), Rate::ZERO);
        assert_eq!(Rate::from(f64::NAN), Rate::ZERO);
        let largest = Rate::from(f64::INFINITY);
        assert_eq!([largest, largest].into_iter().sum::<Rate>(), largest);
    }

    #[test]
    fn it_formats_like_the_number_it_is() {
        assert_eq!(format!("{:.1}", Rate::from(97.25)), "97.2");
        assert_eq!(serde_json::to_string(&Rate::from(0.5)).unwrap(), "0.5");
        assert_eq!(serde_json::from_str::<Rate>("0.5").unwrap(), Rate::from(0.5));
    }
}
