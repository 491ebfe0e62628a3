//! Time as the Collector spells it.

use core::fmt;

use crate::calendar::Civil;

/// As Go prints a time: `2026-01-02 03:04:05.5 +0000 UTC`, without the zeros at the end of the fraction.
pub(super) struct Time(pub(super) u64);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let civil = Civil::of(self.0);
        civil.date(f)?;
        f.write_str(" ")?;
        civil.clock(f)?;
        civil.fraction(f)?;
        f.write_str(" +0000 UTC")
    }
}

/// As the Collector's log begins: `2026-01-02T03:04:05.500Z`.
#[derive(Clone, Copy)]
pub(super) struct Stamp(pub(super) u64);

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let civil = Civil::of(self.0);
        civil.date(f)?;
        f.write_str("T")?;
        civil.clock(f)?;
        write!(f, ".{:03}Z", civil.nanos / 1_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_spelled_as_go_does() {
        for (nanos, expected) in [
            (0, "1970-01-01 00:00:00 +0000 UTC"),
            (1, "1970-01-01 00:00:00.000000001 +0000 UTC"),
            (951_782_399_500_000_000, "2000-02-28 23:59:59.5 +0000 UTC"),
            (951_782_400_000_000_000, "2000-02-29 00:00:00 +0000 UTC"),
            (951_868_800_000_000_000, "2000-03-01 00:00:00 +0000 UTC"),
            (
                1_581_452_772_000_000_321,
                "2020-02-11 20:26:12.000000321 +0000 UTC",
            ),
            (1_709_164_800_000_000_000, "2024-02-29 00:00:00 +0000 UTC"),
            (
                1_735_689_599_999_000_000,
                "2024-12-31 23:59:59.999 +0000 UTC",
            ),
            (4_107_542_400_000_000_000, "2100-03-01 00:00:00 +0000 UTC"),
            (u64::MAX, "2554-07-21 23:34:33.709551615 +0000 UTC"),
        ] {
            assert_eq!(Time(nanos).to_string(), expected);
        }
        assert_eq!(
            Stamp(1_581_452_772_007_999_999).to_string(),
            "2020-02-11T20:26:12.007Z"
        );
    }
}
