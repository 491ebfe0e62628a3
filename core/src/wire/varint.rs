//! Base-128 numbers: seven bits a byte, the lowest first, the top bit set on all but the last.

/// The most bytes a 64-bit number takes.
pub const MAX_LEN: usize = 10;

/// How many bytes `value` takes: 1 to 10.
#[must_use]
#[inline]
pub const fn len(value: u64) -> usize {
    // ceil(bits / 7) without a division: exact for 1 to 64 bits.
    ((64 - (value | 1).leading_zeros() as usize) * 9 + 64) / 64
}

/// Writes `value` at the start of `out`; returns the bytes written, or `None` when `out` is too short.
#[must_use]
#[inline]
pub fn write(mut value: u64, out: &mut [u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let slot = out.get_mut(at)?;
        at += 1;
        if value < 0x80 {
            *slot = value as u8;
            return Some(at);
        }
        *slot = value as u8 | 0x80;
        value >>= 7;
    }
}

/// Reads a number from the start of `bytes`: the number and the bytes it takes.
///
/// `None` when the bytes end before the number does, or the number does not fit 64 bits.
#[must_use]
#[inline]
pub fn read(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0;
    for (at, byte) in bytes.iter().take(MAX_LEN).enumerate() {
        // The tenth byte holds only bit 63.
        if at == MAX_LEN - 1 && *byte > 1 {
            return None;
        }
        value |= u64::from(byte & 0x7f) << (7 * at);
        if *byte < 0x80 {
            return Some((value, at + 1));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_is_exact_at_every_boundary() {
        for bits in 0..64 {
            for value in [(1_u64 << bits) - 1, 1 << bits, (1 << bits) + 1] {
                let mut out = [0; MAX_LEN];
                let written = write(value, &mut out).unwrap();
                assert_eq!(written, len(value), "{value:#x}");
                assert_eq!(read(&out), Some((value, written)));
                assert_eq!(read(&out[..written - 1]), None);
                assert_eq!(write(value, &mut out[..written - 1]), None);
            }
        }
        assert_eq!(len(u64::MAX), 10);
    }

    #[test]
    fn more_than_64_bits_are_refused() {
        assert_eq!(
            read(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
            Some((u64::MAX, 10))
        );
        assert_eq!(
            read(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]),
            None
        );
        assert_eq!(read(&[0x80; 11]), None);
    }
}
