//! Spans of time as Go writes them.

use core::time::Duration;

const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Why a text is no span of time here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoDuration {
    Negative,
    Malformed,
}

/// Reads `1m30s`, `1.5h`, `0`: numbers with units of which the sum fits into 63 bits of nanoseconds.
pub(super) fn parse(text: &str) -> Result<Duration, NoDuration> {
    let malformed = NoDuration::Malformed;
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(malformed);
    }
    let mut total: u128 = 0;
    while !rest.is_empty() {
        let end = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .ok_or(malformed)?;
        let (number, tail) = rest.split_at(end);
        let end = tail
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        let (_, unit) = UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .ok_or(malformed)?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && fraction.is_empty() || fraction.contains('.') || whole.len() > 20 {
            return Err(malformed);
        }
        let whole: u128 = match whole {
            "" => 0,
            whole => whole.parse().map_err(|_| malformed)?,
        };
        total += whole * u128::from(*unit);
        // Digits below a nanosecond of an hour are beyond what counts.
        let mut scale = u128::from(*unit);
        for digit in fraction.bytes() {
            scale /= 10;
            total += scale * u128::from(digit - b'0');
        }
        rest = tail;
        if total > i64::MAX as u128 {
            return Err(malformed);
        }
    }
    if negative && total > 0 {
        return Err(NoDuration::Negative);
    }
    u64::try_from(total)
        .map(Duration::from_nanos)
        .map_err(|_| malformed)
}

/// Writes the shortest text that is read back as the same.
pub(super) fn print(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    if nanos == 0 {
        return "0s".into();
    }
    for (unit, size) in UNITS.iter().rev() {
        if nanos.is_multiple_of(u128::from(*size)) {
            return format!("{}{unit}", nanos / u128::from(*size));
        }
    }
    format!("{nanos}ns")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        for (text, nanos) in [
            ("0", 0),
            ("-0", 0),
            ("1ns", 1),
            ("1m30s", 90_000_000_000),
            ("1.5h", 5_400_000_000_000),
            (".5s", 500_000_000),
            ("200ms", 200_000_000),
            ("3µs", 3_000),
            ("+1s", 1_000_000_000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_nanos(nanos)), "{text}");
            assert_eq!(parse(&print(Duration::from_nanos(nanos))), parse(text));
        }
        assert_eq!(parse("-1s"), Err(NoDuration::Negative));
        for text in [
            "", "1", "s", "1d", "1 s", ".s", "1.2.3s", "3000000h", "-", "1s2",
        ] {
            assert_eq!(parse(text), Err(NoDuration::Malformed), "{text}");
        }
    }
}
