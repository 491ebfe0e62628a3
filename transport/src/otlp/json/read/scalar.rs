//! Numbers and bytes that JSON spells in more than one way.

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::Fault;

/// A number as the parser hands it out, or the text of one.
#[derive(Clone, Copy)]
pub(super) enum Number<'a> {
    Unsigned(u64),
    Signed(i64),
    Double(f64),
    Text(&'a str),
}

impl Number<'_> {
    /// The whole number, within these bounds.
    pub(super) fn whole(
        self,
        least: i64,
        most: u64,
        expected: &'static str,
    ) -> Result<i128, Fault> {
        let range = i128::from(least)..=i128::from(most);
        let number = match self {
            Self::Unsigned(number) => Some(number.into()),
            Self::Signed(number) => Some(number.into()),
            Self::Double(number) => whole_of(number),
            Self::Text(text) => match text.parse::<i128>() {
                // Rust reads a leading plus, which JSON has not.
                Ok(number) if !text.starts_with('+') => Some(number),
                _ => json_number(text).and_then(whole_of),
            },
        };
        number
            .filter(|number| range.contains(number))
            .ok_or(Fault::Range { expected })
    }

    pub(super) fn double(self) -> Result<f64, Fault> {
        let expected = "a number, NaN, Infinity or -Infinity";
        match self {
            Self::Unsigned(number) => Ok(number as f64),
            Self::Signed(number) => Ok(number as f64),
            Self::Double(number) => Ok(number),
            Self::Text("NaN") => Ok(f64::NAN),
            Self::Text("Infinity") => Ok(f64::INFINITY),
            Self::Text("-Infinity") => Ok(f64::NEG_INFINITY),
            Self::Text(text) => json_number(text).ok_or(Fault::Range { expected }),
        }
    }
}

/// The double, if it is a whole number that fits 64 bits.
fn whole_of(number: f64) -> Option<i128> {
    // Within these bounds the conversion is exact.
    (number.fract() == 0.0 && number.abs() < 18_446_744_073_709_551_616.0).then_some(number as i128)
}

/// The finite number that this text spells as JSON does.
fn json_number(text: &str) -> Option<f64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    // What Rust reads beyond that: `inf`, `.5`, `5.`, `+5`, `05`.
    let mut chars = digits.bytes();
    let leads = chars.next()?.is_ascii_digit();
    let zero_leads = digits.starts_with('0') && chars.next().is_some_and(|c| c.is_ascii_digit());
    let ends = digits.ends_with(|c: char| c.is_ascii_digit());
    let bare_point = digits
        .split_once('.')
        .is_some_and(|(_, fraction)| !fraction.starts_with(|c: char| c.is_ascii_digit()));
    if !leads || zero_leads || !ends || bare_point {
        return None;
    }
    text.parse::<f64>().ok().filter(|number| number.is_finite())
}

/// Appends the bytes of an id of `len` bytes; none for an empty text.
pub(super) fn id(text: &str, len: usize, out: &mut Vec<u8>) -> Result<(), Fault> {
    let digits = text.as_bytes();
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(Fault::Hex);
    }
    if !digits.is_empty() && digits.len() != 2 * len {
        return Err(Fault::IdLength {
            digits: digits.len(),
            expected: 2 * len,
        });
    }
    let value = |digit: u8| (digit as char).to_digit(16).unwrap_or_default() as u8;
    out.extend(digits.chunks_exact(2).map(|pair| match pair {
        [high, low] => value(*high) << 4 | value(*low),
        _ => 0,
    }));
    Ok(())
}

/// Appends the bytes that base64 of either alphabet, with padding or without, stands for.
pub(super) fn base64(text: &str, out: &mut Vec<u8>) -> Result<(), Fault> {
    const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
    const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);
    let engine = if text.contains(['-', '_']) {
        &URL_SAFE
    } else {
        &STANDARD
    };
    engine.decode_vec(text, out).map_err(|_| Fault::Base64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_read_in_every_spelling_and_kept_in_range() {
        let whole = |number: Number<'_>| number.whole(i64::MIN, i64::MAX as u64, "").ok();
        for (text, expected) in [
            ("0", Some(0)),
            ("-0", Some(0)),
            ("9223372036854775807", Some(i64::MAX.into())),
            ("-9223372036854775808", Some(i64::MIN.into())),
            ("9223372036854775808", None),
            ("1e3", Some(1000)),
            ("1E3", Some(1000)),
            ("1.0", Some(1)),
            ("1.5", None),
            ("1e400", None),
            ("1e19", None),
            ("+1", None),
            (" 1", None),
            ("1 ", None),
            ("", None),
            ("-", None),
            ("0x1", None),
            ("inf", None),
            ("NaN", None),
            ("1_000", None),
        ] {
            assert_eq!(whole(Number::Text(text)), expected, "{text:?}");
        }
        assert_eq!(whole(Number::Double(1e18)), Some(10i128.pow(18)));
        assert_eq!(whole(Number::Double(9.3e18)), None);
        assert_eq!(whole(Number::Double(0.1)), None);
        assert_eq!(whole(Number::Unsigned(u64::MAX)), None);
        let unsigned = Number::Text("18446744073709551615").whole(0, u64::MAX, "");
        assert_eq!(unsigned, Ok(u64::MAX.into()));
        assert!(Number::Signed(-1).whole(0, u64::MAX, "").is_err());
        // The nearest double to the largest number lies beyond it.
        assert!(
            Number::Double(u64::MAX as f64)
                .whole(0, u64::MAX, "")
                .is_err()
        );
    }

    #[test]
    fn doubles_are_json_or_one_of_three_words() {
        for (text, expected) in [
            ("1.5", Some(1.5)),
            ("-0", Some(-0.0)),
            ("1e-3", Some(0.001)),
            ("Infinity", Some(f64::INFINITY)),
            ("-Infinity", Some(f64::NEG_INFINITY)),
            ("infinity", None),
            ("nan", None),
            ("1e400", None),
            (".5", None),
            ("5.", None),
            ("5.e1", None),
            ("05", None),
            ("+5", None),
            ("5e", None),
        ] {
            assert_eq!(Number::Text(text).double().ok(), expected, "{text:?}");
        }
        assert!(Number::Text("NaN").double().unwrap().is_nan());
    }

    #[test]
    fn ids_are_hexadecimal_and_whole_or_empty() {
        let read = |text: &str| {
            let mut out = Vec::new();
            id(text, 8, &mut out).map(|()| out)
        };
        assert_eq!(
            read("00f067AA0ba902b7").unwrap(),
            b"\0\xf0\x67\xaa\x0b\xa9\x02\xb7"
        );
        assert_eq!(read("").unwrap(), b"");
        assert_eq!(read("0g"), Err(Fault::Hex));
        assert_eq!(read("é0"), Err(Fault::Hex));
        for digits in [2, 15, 17, 32] {
            let expected = 16;
            assert_eq!(
                read(&"a".repeat(digits)),
                Err(Fault::IdLength { digits, expected })
            );
        }
    }

    #[test]
    fn base64_of_any_kind_is_read() {
        let read = |text: &str| {
            let mut out = b"x".to_vec();
            base64(text, &mut out).map(|()| out)
        };
        assert_eq!(read("+/8=").unwrap(), b"x\xfb\xff");
        assert_eq!(read("-_8").unwrap(), b"x\xfb\xff");
        assert_eq!(read("-_").unwrap(), b"x\xfb");
        assert_eq!(read("").unwrap(), b"x");
        for bad in ["a", "====", "a b=", "+_8="] {
            assert_eq!(read(bad), Err(Fault::Base64), "{bad:?}");
        }
    }
}
