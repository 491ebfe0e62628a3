//! The text of an answer, as the Collector writes it.

use core::fmt;
use core::time::Duration;
use std::time::SystemTime;

use crate::calendar::{Civil, fraction, unix_nanos};

/// Since when the program is ready, and for how long; `None` while it is not.
pub(super) struct Text(pub(super) Option<(SystemTime, Duration)>);

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some((since, up)) => write!(
                f,
                r#"{{"status":"Server available","upSince":"{}","uptime":"{}"}}"#,
                Rfc3339(unix_nanos(since)),
                Span(up)
            ),
            // The zero of Go's time.
            None => f.write_str(
                r#"{"status":"Server not available","upSince":"0001-01-01T00:00:00Z","uptime":""}"#,
            ),
        }
    }
}

/// A time as Go writes one into JSON: RFC 3339, in UTC.
struct Rfc3339(u64);

impl fmt::Display for Rfc3339 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let civil = Civil::of(self.0);
        civil.date(f)?;
        f.write_str("T")?;
        civil.clock(f)?;
        civil.fraction(f)?;
        f.write_str("Z")
    }
}

/// A span of time as Go prints one: `1h2m3.5s`, `15ms`, `0s`.
struct Span(Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, nanos) = (self.0.as_secs(), u64::from(self.0.subsec_nanos()));
        if seconds == 0 {
            let (unit, digits, name) = match nanos {
                0 => return f.write_str("0s"),
                1..1_000 => (1, 0, "ns"),
                1_000..1_000_000 => (1_000, 3, "µs"),
                _ => (1_000_000, 6, "ms"),
            };
            write!(f, "{}", nanos / unit)?;
            fraction(f, nanos % unit, digits)?;
            return f.write_str(name);
        }
        let (minutes, rest) = (seconds / 60, seconds % 60);
        if minutes >= 60 {
            write!(f, "{}h", minutes / 60)?;
        }
        if minutes > 0 {
            write!(f, "{}m", minutes % 60)?;
        }
        write!(f, "{rest}")?;
        fraction(f, nanos, 9)?;
        f.write_str("s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_of_time_are_spelled_as_go_does() {
        for (nanos, text) in [
            (0, "0s"),
            (1, "1ns"),
            (999, "999ns"),
            (1_100, "1.1µs"),
            (2_000_000, "2ms"),
            (2_200_050, "2.20005ms"),
            (1_000_000_000, "1s"),
            (62_000_000_000, "1m2s"),
            (3_600_000_000_000, "1h0m0s"),
            (93_784_000_000_005, "26h3m4.000000005s"),
        ] {
            assert_eq!(Span(Duration::from_nanos(nanos)).to_string(), text);
        }
    }

    #[test]
    fn the_answer_is_the_collectors() {
        assert_eq!(
            Text(None).to_string(),
            r#"{"status":"Server not available","upSince":"0001-01-01T00:00:00Z","uptime":""}"#
        );
        let since = SystemTime::UNIX_EPOCH + Duration::from_nanos(1_581_452_772_000_320_000);
        let text = Text(Some((since, Duration::from_secs(62)))).to_string();
        assert_eq!(
            text,
            r#"{"status":"Server available","upSince":"2020-02-11T20:26:12.00032Z","uptime":"1m2s"}"#
        );
    }
}
