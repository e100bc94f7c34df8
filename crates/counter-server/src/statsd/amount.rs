//! Amounts of StatsD: decimal numbers, divided by a sample rate.

/// Number of decimals that count. Further ones are ignored, and so is the error of a client's floating point numbers.
const DECIMALS: i32 = 12;

/// Number of units in 1.
const ONE: i128 = 1_000_000_000_000;

/// Bound above which further digits of a number are not added to it, but to its exponent.
const MAX_MANTISSA: i128 = 10_000_000_000_000_000_000_000_000_000_000;

/// Exact decimal number with twelve decimals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decimal {
    /// The number, in units of 10⁻¹².
    units: i128,
}

/// Sample rate: above 0, and at most 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SampleRate(Decimal);

/// Amount that a line counts, which is a whole number in most cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Amount {
    /// Greatest whole number that is not above the amount.
    floor: i64,
    /// The rest, in units of 2⁻³².
    fraction: u32,
}

impl Decimal {
    /// Parses a number such as `-3`, `0.25` or `1e-05`.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (is_negative, text) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            _ => (false, text),
        };
        let (digits, exponent) = match text.iter().position(|byte| byte.eq_ignore_ascii_case(&b'e')) {
            Some(at) => (&text[..at], exponent(&text[at + 1..])?),
            None => (text, 0),
        };
        let (whole, decimals) = match digits.iter().position(|byte| *byte == b'.') {
            Some(at) => (&digits[..at], &digits[at + 1..]),
            None => (digits, &[][..]),
        };
        if whole.is_empty() && decimals.is_empty() {
            return None;
        }
        let (mut mantissa, mut power) = (0_i128, exponent + DECIMALS - i32::try_from(decimals.len()).ok()?);
        for digit in whole.iter().chain(decimals) {
            if !digit.is_ascii_digit() {
                return None;
            }
            if mantissa < MAX_MANTISSA {
                mantissa = mantissa * 10 + i128::from(digit - b'0');
            } else {
                power += 1;
            }
        }
        let scale = 10_i128.checked_pow(power.unsigned_abs());
        // What is too large for this is too large for any amount, too.
        let units = match scale {
            Some(scale) if power >= 0 => mantissa.saturating_mul(scale),
            Some(scale) => mantissa / scale,
            None if power < 0 || mantissa == 0 => 0,
            None => i128::MAX,
        };
        Some(Self { units: if is_negative { -units } else { units } })
    }

    /// Returns the amount that a sampled number stands for. `None` if it is outside of 64 bits.
    #[must_use]
    pub fn at_rate(self, SampleRate(rate): SampleRate) -> Option<Amount> {
        let floor = i64::try_from(self.units.div_euclid(rate.units)).ok()?;
        // The rest is below the rate, so the quotient is below 2³².
        let fraction = (self.units.rem_euclid(rate.units) << 32) / rate.units;
        Some(Amount { floor, fraction: u32::try_from(fraction).ok()? })
    }
}

impl SampleRate {
    /// Rate of what is not sampled.
    pub const ALL: Self = Self(Decimal { units: ONE });

    /// Parses a rate above 0 and at most 1.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        Decimal::parse(text).filter(|rate| (1..=ONE).contains(&rate.units)).map(Self)
    }
}

impl Amount {
    /// Returns true if nothing has to be rounded.
    #[must_use]
    pub const fn is_whole(self) -> bool {
        self.fraction == 0
    }

    /// Rounds up or down, so that the mean over all random numbers is the amount: a sample is an estimate, which
    /// rounding always to the same side would falsify. `None` if the result is outside of 64 bits.
    #[must_use]
    pub fn round(self, random: u32) -> Option<i64> {
        self.floor.checked_add(i64::from(random < self.fraction))
    }
}

/// Parses an exponent of at most two digits.
fn exponent(text: &[u8]) -> Option<i32> {
    let digits = text.strip_prefix(b"-").or_else(|| text.strip_prefix(b"+")).unwrap_or(text);
    if digits.len() > 2 {
        return None;
    }
    str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn units(text: &str) -> Option<i128> {
        Decimal::parse(text.as_bytes()).map(|decimal| decimal.units)
    }

    fn amount(value: &str, rate: &str) -> Option<Amount> {
        Decimal::parse(value.as_bytes())?.at_rate(SampleRate::parse(rate.as_bytes())?)
    }

    #[test]
    fn numbers_are_decimal_with_twelve_decimals() {
        assert_eq!(units("1"), Some(ONE));
        assert_eq!(units("+007.50"), Some(15 * ONE / 2));
        assert_eq!(units("-.5"), Some(-ONE / 2));
        assert_eq!(units("5."), Some(5 * ONE));
        assert_eq!(units("1e-05"), Some(ONE / 100_000));
        assert_eq!(units("2.5E+3"), Some(2_500 * ONE));
        assert_eq!(units("0.30000000000000004"), Some(3 * ONE / 10));
        assert_eq!(units("1.00000000000000000000000000000000001"), Some(ONE));
        assert_eq!(units("1e-99"), Some(0));
        assert_eq!(units("0e99"), Some(0));
        for text in [
            "", "-", ".", "e5", "1e", "1e-", "1e100", "1e+-1", "0x1", "1,5", "1.5.1", "--1", " 1", "nan",
            "inf",
        ] {
            assert_eq!(units(text), None, "{text}");
        }
        assert_eq!(units("1e30"), Some(i128::MAX));
        assert_eq!(units("-1e99"), Some(-i128::MAX));
    }

    #[test]
    fn sampled_amounts_are_exact_where_they_are_whole() {
        for (value, rate, whole) in [
            ("1", "0.1", 10),
            ("1", "0.5", 2),
            ("3", "0.01", 300),
            ("-1", "0.25", -4),
            ("1", "1e-05", 100_000),
            ("3", "0.3", 10),
            ("1", "0.0009765625", 1024),
            ("9223372036854775807", "1", i64::MAX),
            ("-9223372036854775808", "1.0", i64::MIN),
        ] {
            assert_eq!(amount(value, rate), Some(Amount { floor: whole, fraction: 0 }), "{value} @{rate}");
        }
        assert_eq!(amount("9223372036854775808", "1"), None);
        assert_eq!(amount("9223372036854775807", "0.5"), None);
    }

    #[test]
    fn rates_are_above_0_and_at_most_1() {
        for rate in ["0", "-0.5", "1.1", "1e-13", "", "x"] {
            assert_eq!(SampleRate::parse(rate.as_bytes()), None, "{rate}");
        }
    }

    #[test]
    fn what_is_not_whole_is_rounded_without_bias() {
        // 1 / 0.3 is 3 and a third.
        let third = amount("1", "0.3").unwrap();
        assert_eq!(third.floor, 3);
        assert_eq!((third.round(0), third.round(u32::MAX)), (Some(4), Some(3)));
        let mean = f64::from(third.fraction) / 2_f64.powi(32);
        assert!((mean - 1.0 / 3.0).abs() < 1e-9, "{mean}");
        let negative = amount("-1", "0.3").unwrap();
        assert_eq!((negative.round(0), negative.round(u32::MAX)), (Some(-3), Some(-4)));
    }

    proptest! {
        #[test]
        fn whole_numbers_are_themselves(number: i64, random: u32) {
            let amount = amount(&number.to_string(), "1").unwrap();
            prop_assert!(amount.is_whole());
            prop_assert_eq!(amount.round(random), Some(number));
        }

        #[test]
        fn any_text_is_a_number_or_refused(text: Vec<u8>, rate in "[0-9.e-]{0,6}", random: u32) {
            let rate = SampleRate::parse(rate.as_bytes()).unwrap_or(SampleRate::ALL);
            let amount = Decimal::parse(&text).and_then(|decimal| decimal.at_rate(rate));
            let _ = amount.and_then(|amount| amount.round(random));
        }

        #[test]
        fn decimal_text_is_a_number_or_refused(text in "[-+]?[0-9]{0,45}[.]?[0-9]{0,45}(e[-+]?[0-9]{0,3})?") {
            let expected = text.parse::<f64>().ok().filter(|number| number.abs() < 1e17);
            if let (Some(expected), Some(decimal)) = (expected, Decimal::parse(text.as_bytes())) {
                // Floating point is exact to 2⁻⁵³.
                #[expect(clippy::cast_precision_loss, reason = "the comparison allows for it")]
                let number = decimal.units as f64 / 1e12;
                prop_assert!((number - expected).abs() <= expected.abs() * 1e-15 + 1e-12, "{number} {expected}");
            }
        }
    }
}
