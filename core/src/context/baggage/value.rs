use core::fmt;

use crate::context::chars;

/// The value of a baggage member, percent-encoded; decoded while it is read.
///
/// [`Display`](fmt::Display), comparison with `str` and [`chars`](Self::chars) give the decoded text and allocate
/// nothing. Bytes that are no UTF-8 come out as U+FFFD, a `%` without two digits as itself. W3C Baggage, section
/// 3.3.1.3.
///
/// ```
/// use spanwire_core::context::BaggageRef;
///
/// let name = BaggageRef::new("name=Am%C3%A9lie").get("name").unwrap();
/// assert!(name == "Amélie");
/// assert_eq!(name.as_encoded(), "Am%C3%A9lie");
/// ```
#[derive(Clone, Copy)]
pub struct BaggageValue<'a>(pub(super) &'a str);

impl<'a> BaggageValue<'a> {
    /// The text as it stands in the header.
    #[must_use]
    pub const fn as_encoded(self) -> &'a str {
        self.0
    }

    /// The characters of the decoded text.
    #[must_use]
    pub const fn chars(self) -> BaggageChars<'a> {
        BaggageChars::new(self.0.as_bytes())
    }
}

impl fmt::Display for BaggageValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.chars()
            .try_for_each(|char| fmt::Write::write_char(f, char))
    }
}

impl fmt::Debug for BaggageValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl PartialEq for BaggageValue<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.chars().eq(other.chars())
    }
}

impl Eq for BaggageValue<'_> {}

impl PartialEq<str> for BaggageValue<'_> {
    fn eq(&self, other: &str) -> bool {
        self.chars().eq(other.chars())
    }
}

impl PartialEq<&str> for BaggageValue<'_> {
    fn eq(&self, other: &&str) -> bool {
        self == *other
    }
}

/// The characters of a percent-encoded text.
#[derive(Clone, Debug)]
pub struct BaggageChars<'a>(PercentDecoded<'a>);

impl<'a> BaggageChars<'a> {
    pub(crate) const fn new(encoded: &'a [u8]) -> Self {
        Self(PercentDecoded { rest: encoded })
    }
}

impl Iterator for BaggageChars<'_> {
    type Item = char;

    fn next(&mut self) -> Option<char> {
        let first = self.0.next()?;
        // How many bytes follow, and what the next one may be: The Unicode Standard, table 3-7.
        let (more, low, high, start) = match first {
            0..=0x7f => return Some(char::from(first)),
            0xc2..=0xdf => (1, 0x80, 0xbf, first & 0x1f),
            0xe0 => (2, 0xa0, 0xbf, 0),
            0xed => (2, 0x80, 0x9f, first & 0x0f),
            0xe1..=0xef => (2, 0x80, 0xbf, first & 0x0f),
            0xf0 => (3, 0x90, 0xbf, 0),
            0xf1..=0xf3 => (3, 0x80, 0xbf, first & 0x07),
            0xf4 => (3, 0x80, 0x8f, first & 0x07),
            _ => return Some(char::REPLACEMENT_CHARACTER),
        };
        let mut code = u32::from(start);
        let mut range = low..=high;
        for _ in 0..more {
            let mut ahead = self.0.clone();
            match ahead.next() {
                Some(byte) if range.contains(&byte) => {
                    code = code << 6 | u32::from(byte & 0x3f);
                    self.0 = ahead;
                    range = 0x80..=0xbf;
                }
                _ => return Some(char::REPLACEMENT_CHARACTER),
            }
        }
        Some(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER))
    }
}

#[derive(Clone, Debug)]
struct PercentDecoded<'a> {
    rest: &'a [u8],
}

impl Iterator for PercentDecoded<'_> {
    type Item = u8;

    #[inline]
    fn next(&mut self) -> Option<u8> {
        if let [b'%', high, low, rest @ ..] = self.rest
            && let (Some(high), Some(low)) = (digit(*high), digit(*low))
        {
            self.rest = rest;
            return Some(high << 4 | low);
        }
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }
}

const fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// Gives `put` the percent-encoded text in small parts.
pub(super) fn encode(text: impl Iterator<Item = char>, put: &mut dyn FnMut(&[u8])) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for char in text {
        for &byte in char.encode_utf8(&mut [0; 4]).as_bytes() {
            if chars::is(byte, chars::BAGGAGE_PLAIN) {
                put(&[byte]);
            } else {
                let high = DIGITS[usize::from(byte >> 4)];
                let low = DIGITS[usize::from(byte & 15)];
                put(&[b'%', high, low]);
            }
        }
    }
}
