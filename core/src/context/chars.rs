//! Which characters may stand where, as one table.

/// May begin a trace state key: W3C Trace Context Level 2, section 3.3.1.3.1.
pub(crate) const STATE_KEY_START: u8 = 1;
/// May stand in a trace state key.
pub(crate) const STATE_KEY: u8 = 1 << 1;
/// May stand in a trace state value: section 3.3.1.3.2.
pub(crate) const STATE_VALUE: u8 = 1 << 2;
/// May stand in a token: RFC 7230, section 3.2.6.
pub(crate) const TOKEN: u8 = 1 << 3;
/// May stand in a baggage value as it is; `%` only begins an encoded byte: W3C Baggage, section 3.3.1.3.
pub(crate) const BAGGAGE_VALUE: u8 = 1 << 4;
/// Optional white space of HTTP: space and tab.
pub(crate) const SPACE: u8 = 1 << 5;
/// Separates the members of a list.
pub(crate) const COMMA: u8 = 1 << 7;
/// Stands for itself in a baggage value made here. `+` does not, since form decoders take it for a space.
pub(crate) const BAGGAGE_PLAIN: u8 = 1 << 6;

const fn classify(byte: u8) -> u8 {
    let mut class = 0;
    if matches!(byte, b'a'..=b'z' | b'0'..=b'9') {
        class |= STATE_KEY_START | STATE_KEY;
    }
    if matches!(byte, b'_' | b'-' | b'*' | b'/' | b'@') {
        class |= STATE_KEY;
    }
    if matches!(byte, 0x20..=0x7e) && byte != b',' && byte != b'=' {
        class |= STATE_VALUE;
    }
    if byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_'
        )
        || matches!(byte, b'`' | b'|' | b'~')
    {
        class |= TOKEN;
    }
    if matches!(byte, 0x21 | 0x23..=0x2b | 0x2d..=0x3a | 0x3c..=0x5b | 0x5d..=0x7e) {
        class |= BAGGAGE_VALUE;
        if !matches!(byte, b'%' | b'+') {
            class |= BAGGAGE_PLAIN;
        }
    }
    if byte == b',' {
        class |= COMMA;
    }
    if matches!(byte, b' ' | b'\t') {
        class |= SPACE;
    }
    class
}

static CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = classify(byte as u8);
        byte += 1;
    }
    classes
};

/// Whether the byte belongs to any of the classes.
#[inline]
pub(crate) fn is(byte: u8, classes: u8) -> bool {
    CLASSES[usize::from(byte)] & classes != 0
}

/// Whether every byte belongs to any of the classes.
#[inline]
pub(crate) fn all(bytes: &[u8], classes: u8) -> bool {
    bytes.iter().all(|&byte| is(byte, classes))
}

/// How many bytes at the start belong to any of the classes.
#[inline]
pub(crate) fn count(bytes: &[u8], classes: u8) -> usize {
    let end = bytes.iter().position(|&byte| !is(byte, classes));
    end.unwrap_or(bytes.len())
}

/// The bytes without those at the start that belong to any of the classes.
#[inline]
pub(crate) fn skip(mut bytes: &[u8], classes: u8) -> &[u8] {
    while let [first, rest @ ..] = bytes
        && is(*first, classes)
    {
        bytes = rest;
    }
    bytes
}

/// The bytes without those at the end that belong to any of the classes.
#[inline]
pub(crate) fn skip_end(mut bytes: &[u8], classes: u8) -> &[u8] {
    while let [rest @ .., last] = bytes
        && is(*last, classes)
    {
        bytes = rest;
    }
    bytes
}

/// The bytes without optional white space at either end.
#[inline]
pub(crate) fn trim(bytes: &[u8]) -> &[u8] {
    skip_end(skip(bytes, SPACE), SPACE)
}
