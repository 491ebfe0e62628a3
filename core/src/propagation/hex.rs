//! Hexadecimal digits in lower case, by table.

static DIGITS: [u8; 256] = {
    let mut digits = [NONE; 256];
    let mut value = 0;
    while value < 16 {
        digits[b"0123456789abcdef"[value as usize] as usize] = value;
        value += 1;
    }
    digits
};

/// No digit: a value with a bit outside the low four.
const NONE: u8 = 0x80;

static PAIRS: [[u8; 2]; 256] = {
    let mut pairs = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        pairs[byte] = [
            b"0123456789abcdef"[byte >> 4],
            b"0123456789abcdef"[byte & 15],
        ];
        byte += 1;
    }
    pairs
};

/// The two digits of a byte.
#[inline]
pub(super) fn pair(byte: u8) -> [u8; 2] {
    PAIRS[usize::from(byte)]
}

/// Reads exactly two lowercase digits for each byte.
#[inline]
pub(super) fn decode<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let (pairs, rest) = text.as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    let mut bytes = [0; N];
    let mut seen = 0;
    for (byte, &[high, low]) in bytes.iter_mut().zip(pairs) {
        let high = DIGITS[usize::from(high)];
        let low = DIGITS[usize::from(low)];
        seen |= high | low;
        *byte = high << 4 | low;
    }
    (seen & NONE == 0).then_some(bytes)
}

/// Reads one to `2 * N` lowercase digits; what is missing at the left is zero.
pub(super) fn decode_short<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    if text.is_empty() || text.len() > 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    let mut seen = 0;
    // From the right: digits 0 and 1 make the last byte.
    for (at, &digit) in text.iter().rev().enumerate() {
        let digit = DIGITS[usize::from(digit)];
        seen |= digit;
        if let Some(byte) = bytes.get_mut(N - 1 - at / 2) {
            *byte |= if at % 2 == 0 { digit } else { digit << 4 };
        }
    }
    (seen & NONE == 0).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_go_both_ways() {
        for byte in 0..=u8::MAX {
            assert_eq!(decode(&pair(byte)), Some([byte]));
        }
    }

    #[test]
    fn only_lowercase_digits_are_read() {
        for byte in 0..=u8::MAX {
            let digit = matches!(byte, b'0'..=b'9' | b'a'..=b'f');
            assert_eq!(decode::<1>(&[byte, b'0']).is_some(), digit);
            assert_eq!(decode::<1>(&[b'0', byte]).is_some(), digit);
            assert_eq!(decode_short::<1>(&[byte]).is_some(), digit);
        }
        assert_eq!(decode::<2>(b"123"), None);
        assert_eq!(decode::<2>(b"12345"), None);
        assert_eq!(decode::<2>(b""), None);
    }

    #[test]
    fn short_text_is_padded_at_the_left() {
        assert_eq!(decode_short(b"a"), Some([0, 0x0a]));
        assert_eq!(decode_short(b"abc"), Some([0x0a, 0xbc]));
        assert_eq!(decode_short(b"1234"), Some([0x12, 0x34]));
        assert_eq!(decode_short::<2>(b"12345"), None);
        assert_eq!(decode_short::<2>(b""), None);
    }
}
