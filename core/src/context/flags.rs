use core::fmt;

/// The W3C trace flags: sampled and random.
///
/// Bits the specification does not define are cleared. W3C Trace Context Level 2, section 3.2.2.5.
///
/// ```
/// use spanwire_core::context::TraceFlags;
///
/// let flags = TraceFlags::from_bits(0xff);
/// assert!(flags.is_sampled() && flags.is_random());
/// assert_eq!(flags.with_sampled(false).bits(), 0x02);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct TraceFlags(u8);

impl TraceFlags {
    /// No flag.
    pub const NONE: Self = Self(0);
    /// The caller may have recorded the trace: bit 0.
    pub const SAMPLED: Self = Self(1);
    /// At least the right-most 7 bytes of the trace id are random: bit 1.
    pub const RANDOM: Self = Self(2);

    /// The flags in these bits; bits 2 to 7 are cleared.
    #[inline]
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits & 3)
    }

    /// The flags as bits.
    #[inline]
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Whether the caller may have recorded the trace.
    #[inline]
    #[must_use]
    pub const fn is_sampled(self) -> bool {
        self.0 & Self::SAMPLED.0 != 0
    }

    /// Whether the right-most 7 bytes of the trace id are random.
    #[inline]
    #[must_use]
    pub const fn is_random(self) -> bool {
        self.0 & Self::RANDOM.0 != 0
    }

    /// The same flags with the sampled flag set or cleared.
    #[inline]
    #[must_use]
    pub const fn with_sampled(self, sampled: bool) -> Self {
        Self(self.0 & !Self::SAMPLED.0 | sampled as u8)
    }

    /// The same flags with the random flag set or cleared.
    #[inline]
    #[must_use]
    pub const fn with_random(self, random: bool) -> Self {
        Self(self.0 & !Self::RANDOM.0 | (random as u8) << 1)
    }
}

impl fmt::Debug for TraceFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            0 => "TraceFlags()",
            1 => "TraceFlags(sampled)",
            2 => "TraceFlags(random)",
            _ => "TraceFlags(sampled, random)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_independent_and_masked() {
        for bits in 0..=u8::MAX {
            let flags = TraceFlags::from_bits(bits);
            assert_eq!(flags.bits(), bits & 3);
            assert_eq!(flags.with_sampled(true).bits(), bits & 2 | 1);
            assert_eq!(flags.with_sampled(false).bits(), bits & 2);
            assert_eq!(flags.with_random(true).bits(), bits & 1 | 2);
            assert_eq!(flags.with_random(false).bits(), bits & 1);
        }
    }
}
