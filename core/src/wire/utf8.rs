//! Whether bytes are text.
//!
//! Attributes are short and mostly ASCII, so that what counts is the start and the end of a string: loads overlap
//! instead of ending in a loop over the last bytes. What is not ASCII runs through an automaton that takes one load and
//! one shift a byte, whatever the script, and never guesses which branch a letter takes.
//!
//! Unicode 16, table 3-7 "Well-Formed UTF-8 Byte Sequences".

/// Whether the bytes are well-formed UTF-8.
#[inline]
pub(super) fn is_utf8(bytes: &[u8]) -> bool {
    is_ascii(bytes) || runs_through(bytes)
}

/// Whether no byte has its top bit set.
#[inline]
pub(super) fn is_ascii(bytes: &[u8]) -> bool {
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let load = |chunk: &[u8; 8]| u64::from_ne_bytes(*chunk);
    let (chunks, _) = bytes.as_chunks::<8>();
    match (chunks, bytes.last_chunk::<8>()) {
        ([first], Some(last)) => (load(first) | load(last)) & HIGH == 0,
        ([first, second], Some(last)) => (load(first) | load(second) | load(last)) & HIGH == 0,
        (chunks, Some(last)) => {
            chunks
                .iter()
                .fold(load(last), |seen, chunk| seen | load(chunk))
                & HIGH
                == 0
        }
        (_, None) => bytes.iter().fold(0, |seen, byte| seen | byte) < 0x80,
    }
}

/// An automaton's states as shifts: a row of the table holds, six bits each, where a byte leads from each state.
///
/// Per Vognsen, "Shift-based DFAs".
const BITS: u64 = 6;
const REFUSED: u64 = 0;
const ACCEPTED: u64 = BITS;
const ONE_MORE: u64 = 2 * BITS;
const TWO_MORE: u64 = 3 * BITS;
const THREE_MORE: u64 = 4 * BITS;
const AFTER_E0: u64 = 5 * BITS;
const AFTER_ED: u64 = 6 * BITS;
const AFTER_F0: u64 = 7 * BITS;
const AFTER_F4: u64 = 8 * BITS;

static TABLE: [u64; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < table.len() {
        let from_start = match byte as u8 {
            0..=0x7f => ACCEPTED,
            0xc2..=0xdf => ONE_MORE,
            0xe0 => AFTER_E0,
            0xe1..=0xec | 0xee..=0xef => TWO_MORE,
            0xed => AFTER_ED,
            0xf0 => AFTER_F0,
            0xf1..=0xf3 => THREE_MORE,
            0xf4 => AFTER_F4,
            _ => REFUSED,
        };
        let mut row = from_start << ACCEPTED;
        if byte >> 6 == 2 {
            row |= ACCEPTED << ONE_MORE | ONE_MORE << TWO_MORE | TWO_MORE << THREE_MORE;
            if byte >= 0xa0 {
                row |= ONE_MORE << AFTER_E0;
            } else {
                row |= ONE_MORE << AFTER_ED;
            }
            if byte >= 0x90 {
                row |= TWO_MORE << AFTER_F0;
            } else {
                row |= TWO_MORE << AFTER_F4;
            }
        }
        table[byte] = row;
        byte += 1;
    }
    table
};

fn runs_through(bytes: &[u8]) -> bool {
    let step = |state: u64, byte: &u8| TABLE[usize::from(*byte)].wrapping_shr(state as u32);
    let (chunks, rest) = bytes.as_chunks::<8>();
    let mut state = ACCEPTED;
    for chunk in chunks {
        state = chunk.iter().fold(state, step);
    }
    rest.iter().fold(state, step) & ((1 << BITS) - 1) == ACCEPTED
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agrees(bytes: &[u8]) {
        assert_eq!(
            is_utf8(bytes),
            core::str::from_utf8(bytes).is_ok(),
            "{bytes:x?}"
        );
        assert_eq!(
            runs_through(bytes),
            core::str::from_utf8(bytes).is_ok(),
            "{bytes:x?}"
        );
        assert_eq!(is_ascii(bytes), bytes.is_ascii(), "{bytes:x?}");
    }

    #[test]
    fn every_sequence_of_up_to_three_bytes_is_judged_as_core_does() {
        agrees(&[]);
        for first in 0..=u8::MAX {
            agrees(&[first]);
            for second in 0..=u8::MAX {
                agrees(&[first, second]);
                if first >= 0xc0 {
                    for third in (0..=u8::MAX).step_by(3) {
                        agrees(&[first, second, third]);
                    }
                }
            }
        }
    }

    #[test]
    fn every_class_of_four_bytes_is_judged_as_core_does() {
        let edges = [
            0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0,
            0xec, 0xed, 0xee, 0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xff,
        ];
        for a in edges {
            for b in edges {
                for c in edges {
                    for d in edges {
                        agrees(&[a, b, c, d]);
                    }
                }
            }
        }
    }

    #[test]
    fn one_bad_byte_is_found_wherever_it_stands() {
        for len in 1..70 {
            for at in 0..len {
                let mut bytes = [b'a'; 70];
                agrees(&bytes[..len]);
                bytes[at] = 0xff;
                agrees(&bytes[..len]);
                // Two bytes that are one letter, unless the end comes between them.
                bytes[at] = 0xc3;
                if let Some(next) = bytes.get_mut(at + 1) {
                    *next = 0xa9;
                }
                agrees(&bytes[..len]);
            }
        }
    }
}
