//! Rejection thresholds: 56-bit numbers, and their hexadecimal text.

use core::fmt;

/// `2^56`: the number of randomness values, and the threshold that no value reaches.
const END: u64 = 1 << 56;

/// Hexadecimal digits of a whole threshold or randomness value.
pub(super) const DIGITS: u32 = 14;

/// The digits a sampler writes unless told otherwise; a leading run of `f` or `0` adds to them.
pub(super) const DEFAULT_PRECISION: u8 = 4;

/// Where the kept traces begin: a trace is kept when its 56-bit randomness is at least this.
///
/// A threshold `T` stands for the probability `(2^56 - T) / 2^56`, so each kept span speaks for `2^56 / (2^56 - T)`
/// spans. "Never" has no threshold.
///
/// The text is the `th` sub-key of the `ot` entry of `tracestate`: 1 to 14 lowercase hexadecimal digits, of which
/// trailing zeros are left out. OpenTelemetry specification, "TraceState: Probability Sampling".
///
/// ```
/// use spanwire_core::sampler::Threshold;
///
/// let one_in_four = Threshold::from_text("c").unwrap();
/// assert_eq!(one_in_four.probability(), 0.25);
/// assert!(one_in_four.keeps(0xc0_0000_0000_0000));
/// assert!(!one_in_four.keeps(0xbf_ffff_ffff_ffff));
/// assert_eq!(one_in_four.to_string(), "c");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Threshold(u64);

impl Threshold {
    /// Keeps every trace: zero.
    pub const ALWAYS: Self = Self(0);

    /// The threshold with this value; `None` from `2^56` on, which keeps nothing.
    #[must_use]
    pub const fn from_value(value: u64) -> Option<Self> {
        if value < END { Some(Self(value)) } else { None }
    }

    /// The value: 0 to `2^56 - 1`.
    #[must_use]
    pub const fn value(self) -> u64 {
        self.0
    }

    /// The threshold that keeps this share of the traces: `2^-56` to 1; `None` outside.
    ///
    /// `precision` is the number of significant hexadecimal digits, 1 to 14 and clamped to it: a run of `f` or `0` at
    /// the left does not count. Text gets shorter with it, and the share kept differs by at most one part in
    /// `16^precision` of itself or of its complement, whichever is smaller. With 14 the threshold is
    /// `2^56 - round(ratio * 2^56)`.
    ///
    /// The algorithm is that of the Collector's `pkg/sampling`.
    #[must_use]
    pub fn from_ratio(ratio: f64, precision: u8) -> Option<Self> {
        // Also refuses NaN.
        if !(SMALLEST_RATIO..=1.0).contains(&ratio) {
            return None;
        }
        let exact = END - round(ratio * END as f64);
        let precision = u32::from(precision)
            .saturating_add(leading_digits(ratio).max(leading_digits(1.0 - ratio)))
            .clamp(1, DIGITS);
        let dropped = 4 * (DIGITS - precision);
        let half = (1 << dropped) >> 1;
        let rounded = (exact + half) >> dropped << dropped;
        Self::from_value(rounded).or_else(|| Self::from_value(exact))
    }

    /// Reads 1 to 14 lowercase hexadecimal digits, as if zeros followed up to 14; `None` for anything else.
    #[must_use]
    pub const fn from_text(text: &str) -> Option<Self> {
        match hex(text.as_bytes()) {
            Some(value) => Some(Self(value)),
            None => None,
        }
    }

    /// Whether a trace with this randomness is kept.
    #[must_use]
    #[inline]
    pub const fn keeps(self, randomness: u64) -> bool {
        randomness >= self.0
    }

    /// The share of traces kept: `2^-56` to 1.
    #[must_use]
    pub fn probability(self) -> f64 {
        (END - self.0) as f64 / END as f64
    }

    /// The text in `out`, and its length: 1 to 14.
    pub(super) fn write(self, out: &mut [u8; DIGITS as usize]) -> &str {
        let mut len = 1;
        let mut rest = self.0 << 8;
        for (at, digit) in out.iter_mut().enumerate() {
            let nibble = (rest >> 60) as u8;
            *digit = if nibble < 10 {
                b'0' + nibble
            } else {
                b'a' + nibble - 10
            };
            if nibble != 0 {
                len = at + 1;
            }
            rest <<= 4;
        }
        out.get(..len)
            .and_then(|text| core::str::from_utf8(text).ok())
            .unwrap_or("0")
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.write(&mut [0; DIGITS as usize]))
    }
}

impl fmt::Debug for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Threshold({self})")
    }
}

/// The smallest share a threshold can keep: `2^-56`.
const SMALLEST_RATIO: f64 = 1.0 / END as f64;

/// Reads the `rv` sub-key: exactly 14 lowercase hexadecimal digits.
pub(super) const fn randomness_from_text(text: &str) -> Option<u64> {
    if text.len() == DIGITS as usize {
        hex(text.as_bytes())
    } else {
        None
    }
}

/// 1 to 14 lowercase digits, left-aligned in 56 bits.
const fn hex(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > DIGITS as usize {
        return None;
    }
    let mut value = 0;
    let mut at = 0;
    while at < DIGITS as usize {
        let digit = if at < text.len() {
            match text[at] {
                byte @ b'0'..=b'9' => byte - b'0',
                byte @ b'a'..=b'f' => byte - b'a' + 10,
                _ => return None,
            }
        } else {
            0
        };
        value = value << 4 | digit as u64;
        at += 1;
    }
    Some(value)
}

/// Whole hexadecimal zeros between the point and the first digit of `ratio`, as `frexp` counts them.
fn leading_digits(ratio: f64) -> u32 {
    // `frexp`'s exponent puts the mantissa into [0.5, 1); 0 has exponent 0.
    let biased = (ratio.to_bits() >> 52 & 0x7ff) as i32;
    if biased == 0 {
        0
    } else {
        (1022 - biased).max(0) as u32 / 4
    }
}

/// The nearest whole number, halves up, of a number that is not negative.
fn round(value: f64) -> u64 {
    let whole = value as u64;
    whole + u64::from(value - whole as f64 >= 0.5)
}

#[cfg(test)]
mod tests {
    use std::string::{String, ToString};

    use proptest::prelude::*;

    use super::*;

    fn text(ratio: f64, precision: u8) -> String {
        Threshold::from_ratio(ratio, precision).unwrap().to_string()
    }

    /// Specification table "T from ratio": probability, 4 digits with variant (b), full precision.
    #[test]
    fn ratios_have_the_published_text() {
        for (ratio, four, full) in [
            (1.0, "0", "0"),
            (0.999999, "000010c7", "000010c6f7a0b8"),
            (0.9999, "00068dc", "00068db8bac71"),
            (0.99, "028f6", "028f5c28f5c29"),
            (0.9, "199a", "19999999999998"),
            (0.75, "4", "4"),
            (0.5, "8", "8"),
            (0.25, "c", "c"),
            (0.125, "e", "e"),
            (2.0 / 3.0, "5555", "55555555555558"),
            (1.0 / 3.0, "aaab", "aaaaaaaaaaaaac"),
            (0.45, "8ccd", "8ccccccccccccc"),
            (0.2, "cccd", "cccccccccccccc"),
            (0.1, "e666", "e6666666666666"),
            (0.05, "f3333", "f3333333333333"),
            (0.01, "fd70a", "fd70a3d70a3d71"),
            (0.001, "ffbe77", "ffbe76c8b43958"),
            (1e-4, "fff9724", "fff972474538ef"),
            (1e-5, "ffff583a", "ffff583a53b8e5"),
            (1e-6, "ffffef39", "ffffef39085f4a"),
            (SMALLEST_RATIO, "ffffffffffffff", "ffffffffffffff"),
        ] {
            assert_eq!(text(ratio, 4), four, "{ratio} with 4 digits");
            assert_eq!(text(ratio, 14), full, "{ratio} in full");
        }
    }

    /// The same section, "Precisions 3/4/5".
    #[test]
    fn precision_is_counted_after_the_leading_run() {
        for (ratio, texts) in [
            (1.0 / 3.0, ["aab", "aaab", "aaaab"]),
            (0.1, ["e66", "e666", "e6666"]),
            (0.01, ["fd71", "fd70a", "fd70a4"]),
            (0.001, ["ffbe7", "ffbe77", "ffbe76d"]),
            (1e-6, ["ffffef4", "ffffef39", "ffffef391"]),
        ] {
            for (precision, expected) in (3..).zip(texts) {
                assert_eq!(
                    text(ratio, precision),
                    expected,
                    "{ratio} with {precision} digits"
                );
            }
        }
    }

    #[test]
    fn ratios_outside_the_range_have_no_threshold() {
        for ratio in [
            0.0,
            -0.0,
            -0.5,
            1.0 + f64::EPSILON,
            f64::NAN,
            f64::INFINITY,
            SMALLEST_RATIO / 2.0,
            f64::MIN_POSITIVE,
        ] {
            assert_eq!(Threshold::from_ratio(ratio, 4), None, "{ratio}");
        }
        // A precision outside 1..=14 is clamped.
        assert_eq!(text(0.1, 0), "e");
        assert_eq!(text(0.1, 255), "e6666666666666");
    }

    /// Checks that follow directly, (6): the empty string, 0, 14 digits, 15 digits, upper case.
    #[test]
    fn text_is_read_by_the_grammar() {
        for (text, value) in [
            ("0", Some(0)),
            ("00000000000000", Some(0)),
            ("8", Some(1 << 55)),
            ("10", Some(1 << 52)),
            ("ffffffffffffff", Some(END - 1)),
            ("00000000000001", Some(1)),
            ("", None),
            ("000000000000000", None),
            ("A", None),
            ("x", None),
            ("+1", None),
            (" 1", None),
        ] {
            assert_eq!(
                Threshold::from_text(text).map(Threshold::value),
                value,
                "{text:?}"
            );
        }
        assert_eq!(randomness_from_text("00000000000000"), Some(0));
        assert_eq!(randomness_from_text("ffffffffffffff"), Some(END - 1));
        for text in [
            "",
            "0",
            "1000000000000",
            "100000000000000",
            "FFFFFFFFFFFFFF",
        ] {
            assert_eq!(randomness_from_text(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn text_goes_both_ways(value in 0..END) {
            let threshold = Threshold::from_value(value).unwrap();
            let text = threshold.to_string();
            prop_assert_eq!(Threshold::from_text(&text), Some(threshold));
            // The naive form: 14 digits without trailing zeros.
            let naive = std::format!("{value:014x}");
            let naive = naive.trim_end_matches('0');
            prop_assert_eq!(&*text, if naive.is_empty() { "0" } else { naive });
        }

        #[test]
        fn rounding_stays_near(ratio in SMALLEST_RATIO..=1.0, exponent in 0..56, precision in 1..=14_u8) {
            let ratio = (ratio / (1_u64 << exponent) as f64).max(SMALLEST_RATIO);
            let exact = Threshold::from_ratio(ratio, 14).unwrap().value();
            prop_assert_eq!(exact, END - (ratio * END as f64).round() as u64);
            let near = Threshold::from_ratio(ratio, precision).unwrap().value();
            let smaller = exact.min(END - exact);
            prop_assert!(near.abs_diff(exact) as f64 <= (smaller as f64 * 16_f64.powi(1 - i32::from(precision))).max(0.0)
                || near.abs_diff(exact) == 0, "{} {}", near, exact);
        }
    }
}
