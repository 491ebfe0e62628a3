//! Time as the Collector spells it: in UTC, by the proleptic Gregorian calendar.

use core::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

const NANOS: u64 = 1_000_000_000;
const DAY: u64 = 24 * 60 * 60;

/// Nanoseconds since the Unix epoch; 0 before it.
pub(super) fn unix_nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// A time in nanoseconds since the Unix epoch, taken apart.
struct Civil {
    year: u64,
    month: u64,
    day: u64,
    hour: u64,
    minute: u64,
    second: u64,
    nanos: u64,
}

impl Civil {
    fn of(nanos: u64) -> Self {
        let seconds = nanos / NANOS;
        let (days, rest) = (seconds / DAY, seconds % DAY);
        // Years that begin in March end with their leap day: 400 of them have 146,097 days, and the days before each
        // month follow a straight line. 1970-01-01 is day 719,468 of such a count.
        let days = days + 719_468;
        let (era, of_era) = (days / 146_097, days % 146_097);
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march = (5 * of_year + 2) / 153;
        let month = if march < 10 { march + 3 } else { march - 9 };
        Self {
            year: era * 400 + year_of_era + u64::from(month <= 2),
            month,
            day: of_year - (153 * march + 2) / 5 + 1,
            hour: rest / 3600,
            minute: rest / 60 % 60,
            second: rest % 60,
            nanos: nanos % NANOS,
        }
    }

    fn date(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }

    fn clock(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}:{:02}", self.hour, self.minute, self.second)
    }
}

/// As Go prints a time: `2026-01-02 03:04:05.5 +0000 UTC`, without the zeros at the end of the fraction.
pub(super) struct Time(pub(super) u64);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let civil = Civil::of(self.0);
        civil.date(f)?;
        f.write_str(" ")?;
        civil.clock(f)?;
        if civil.nanos > 0 {
            let fraction = format!("{:09}", civil.nanos);
            write!(f, ".{}", fraction.trim_end_matches('0'))?;
        }
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

    /// Every day of 584 years follows the day before by the calendar's plain rules.
    #[test]
    fn days_follow_each_other() {
        let (mut year, mut month, mut day) = (1970_u64, 1_u64, 1_u64);
        for n in 0..u64::MAX / NANOS / DAY {
            let civil = Civil::of(n * DAY * NANOS);
            assert_eq!((civil.year, civil.month, civil.day), (year, month, day));
            let leap =
                year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
            let last = match month {
                2 => 28 + u64::from(leap),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            day += 1;
            if day > last {
                (day, month) = (1, month + 1);
            }
            if month > 12 {
                (month, year) = (1, year + 1);
            }
        }
    }
}
