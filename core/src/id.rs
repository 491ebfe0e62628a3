//! Names of traces and spans.
//!
//! W3C Trace Context Level 2, sections 3.2.2.3 and 3.2.2.4; OpenTelemetry trace API, "SpanContext".

use core::fmt;
use core::str::FromStr;

/// The name of a trace: 16 bytes, of which at least one is not zero in a valid id.
///
/// [`Display`](fmt::Display) and [`FromStr`] use 32 lowercase hexadecimal digits; upper case is accepted too.
///
/// ```
/// use spanwire_core::id::TraceId;
///
/// let id: TraceId = "4bf92f3577b34da6a3ce929d0e0e4736".parse()?;
/// assert!(id.is_valid());
/// assert_eq!(id.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
/// # Ok::<(), spanwire_core::id::InvalidHex>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TraceId {
    // Numbers, which are handed on in registers where bytes would go through memory.
    high: u64,
    low: u64,
}

/// The name of a span within its trace: 8 bytes, of which at least one is not zero in a valid id.
///
/// [`Display`](fmt::Display) and [`FromStr`] use 16 lowercase hexadecimal digits; upper case is accepted too.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct SpanId(u64);

impl TraceId {
    /// The id that names no trace: all zero.
    pub const INVALID: Self = Self::new(0, 0);

    /// The id whose bytes are these two numbers in big-endian order.
    #[inline]
    pub(crate) const fn new(high: u64, low: u64) -> Self {
        Self { high, low }
    }

    /// The id with these bytes, in the order in which they are written.
    #[must_use]
    #[inline]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        let id = u128::from_be_bytes(bytes);
        Self::new((id >> 64) as u64, id as u64)
    }

    /// The bytes, in the order in which they are written.
    #[must_use]
    #[inline]
    pub const fn to_bytes(self) -> [u8; 16] {
        ((self.high as u128) << 64 | self.low as u128).to_be_bytes()
    }

    /// Bytes 0 to 7 as a big-endian number.
    #[inline]
    pub(crate) const fn high64(self) -> u64 {
        self.high
    }

    /// Whether at least one byte is not zero.
    #[must_use]
    #[inline]
    pub const fn is_valid(self) -> bool {
        self.high | self.low != 0
    }

    /// Bytes 8 to 15 as a big-endian number: what Kubernetes samples by.
    #[must_use]
    #[inline]
    pub const fn low64(self) -> u64 {
        self.low
    }

    /// Bytes 9 to 15 as a big-endian number: the 56 bits that W3C Level 2 asks to be random.
    #[must_use]
    pub const fn randomness(self) -> u64 {
        self.low64() & ((1 << 56) - 1)
    }

    /// Reads 32 hexadecimal digits of either case.
    ///
    /// # Errors
    /// Any other length, or a character that is no hexadecimal digit.
    pub const fn from_hex(text: &[u8]) -> Result<Self, InvalidHex> {
        match decode_hex(text) {
            Ok(bytes) => Ok(Self::from_bytes(bytes)),
            Err(error) => Err(error),
        }
    }
}

impl SpanId {
    /// The id that names no span: all zero.
    pub const INVALID: Self = Self(0);

    /// The id whose bytes are this number in big-endian order.
    #[inline]
    pub(crate) const fn new(id: u64) -> Self {
        Self(id)
    }

    /// The id with these bytes, in the order in which they are written.
    #[must_use]
    #[inline]
    pub const fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(u64::from_be_bytes(bytes))
    }

    /// The bytes, in the order in which they are written.
    #[must_use]
    #[inline]
    pub const fn to_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }

    /// Whether at least one byte is not zero.
    #[must_use]
    #[inline]
    pub const fn is_valid(self) -> bool {
        self.0 != 0
    }

    /// Reads 16 hexadecimal digits of either case.
    ///
    /// # Errors
    /// Any other length, or a character that is no hexadecimal digit.
    pub const fn from_hex(text: &[u8]) -> Result<Self, InvalidHex> {
        match decode_hex(text) {
            Ok(bytes) => Ok(Self::from_bytes(bytes)),
            Err(error) => Err(error),
        }
    }
}

/// Text that is not an id: its length is wrong, or a character is no hexadecimal digit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidHex {
    /// The text has this many bytes instead of two for each byte of the id.
    Length(usize),
    /// The byte at this offset is no hexadecimal digit.
    Digit(usize),
}

impl fmt::Display for InvalidHex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length(found) => write!(f, "wrong length for an id: {found} characters"),
            Self::Digit(at) => write!(f, "not a hexadecimal digit at offset {at}"),
        }
    }
}

impl core::error::Error for InvalidHex {}

const fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

const fn decode_hex<const N: usize>(text: &[u8]) -> Result<[u8; N], InvalidHex> {
    if text.len() != 2 * N {
        return Err(InvalidHex::Length(text.len()));
    }
    let mut bytes = [0; N];
    let mut at = 0;
    while at < N {
        let Some(high) = digit(text[2 * at]) else {
            return Err(InvalidHex::Digit(2 * at));
        };
        let Some(low) = digit(text[2 * at + 1]) else {
            return Err(InvalidHex::Digit(2 * at + 1));
        };
        bytes[at] = high << 4 | low;
        at += 1;
    }
    Ok(bytes)
}

/// Writes `bytes` as lowercase hexadecimal digits, two for each byte.
pub(crate) fn fmt_hex(bytes: &[u8], f: &mut dyn fmt::Write) -> fmt::Result {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        f.write_char(DIGITS[usize::from(byte >> 4)] as char)?;
        f.write_char(DIGITS[usize::from(byte & 15)] as char)?;
    }
    Ok(())
}

macro_rules! text {
    ($id:ident) => {
        impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt_hex(&self.to_bytes(), f)
            }
        }

        impl fmt::Debug for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($id), "({})"), self)
            }
        }

        impl FromStr for $id {
            type Err = InvalidHex;

            fn from_str(text: &str) -> Result<Self, InvalidHex> {
                Self::from_hex(text.as_bytes())
            }
        }
    };
}

text!(TraceId);
text!(SpanId);

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn hex_goes_both_ways() {
        let text = "4bf92f3577b34da6a3ce929d0e0e4736";
        let id: TraceId = text.parse().unwrap();
        assert_eq!(id.to_string(), text);
        assert_eq!(text.to_uppercase().parse(), Ok(id));
        assert_eq!(id.low64(), 0xa3ce_929d_0e0e_4736);
        assert_eq!(id.randomness(), 0xce_929d_0e0e_4736);
        let span: SpanId = "00f067aa0ba902b7".parse().unwrap();
        assert_eq!(span.to_string(), "00f067aa0ba902b7");
    }

    #[test]
    fn bad_text_is_refused_by_place() {
        assert_eq!("".parse::<SpanId>(), Err(InvalidHex::Length(0)));
        assert_eq!(
            "00f067aa0ba902b".parse::<SpanId>(),
            Err(InvalidHex::Length(15))
        );
        assert_eq!(
            "00f067aa0ba902bg".parse::<SpanId>(),
            Err(InvalidHex::Digit(15))
        );
        assert_eq!(
            "+bf92f3577b34da6a3ce929d0e0e4736".parse::<TraceId>(),
            Err(InvalidHex::Digit(0))
        );
    }

    #[test]
    fn all_zero_names_nothing() {
        assert!(!TraceId::INVALID.is_valid());
        assert!(!SpanId::INVALID.is_valid());
        assert!(SpanId::from_bytes([0, 0, 0, 0, 0, 0, 0, 1]).is_valid());
    }
}
