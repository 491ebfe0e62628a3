//! Dates and times of day: in UTC, by the proleptic Gregorian calendar.

use core::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

const NANOS: u64 = 1_000_000_000;
const DAY: u64 = 24 * 60 * 60;

/// Nanoseconds since the Unix epoch; 0 before it.
pub(crate) fn unix_nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// A time in nanoseconds since the Unix epoch, taken apart.
pub(crate) struct Civil {
    year: u64,
    month: u64,
    day: u64,
    hour: u64,
    minute: u64,
    second: u64,
    pub(crate) nanos: u64,
}

impl Civil {
    pub(crate) fn of(nanos: u64) -> Self {
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

    pub(crate) fn date(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }

    pub(crate) fn clock(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}:{:02}", self.hour, self.minute, self.second)
    }

    /// The part of a second, without the zeros at its end; nothing for none.
    pub(crate) fn fraction(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fraction(f, self.nanos, 9)
    }
}

/// Writes `part`, of `10^digits`, as the digits behind a point, without the zeros at the end; nothing for none.
pub(crate) fn fraction(f: &mut fmt::Formatter<'_>, part: u64, digits: usize) -> fmt::Result {
    if part == 0 {
        return Ok(());
    }
    let text = format!("{part:0digits$}");
    write!(f, ".{}", text.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

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
