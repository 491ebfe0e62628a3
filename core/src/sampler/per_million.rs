//! So many traces of a million, chosen as Kubernetes chooses them.

use core::fmt;

use super::{Case, Foresight, Sampler, Sampling, SamplingInput};
use crate::attribute::KeyValue;
use crate::id::TraceId;

/// All traces.
const MILLION: u32 = 1_000_000;

/// Keeps so many root traces of a million, by the trace id alone: the sampler of `samplingRatePerMillion`.
///
/// The choice is bit for bit that of Kubernetes components, which use the Go SDK's `TraceIDRatioBased`: with
/// `bound = trunc((rate as f64 / 1e6) * 2^63)`, a trace is kept when bytes 8 to 15 of its id, as a big-endian number
/// without its lowest bit, are less than `bound`. A kubelet and a program that uses this sampler therefore agree on
/// every trace, and the traces kept at a lower rate are among those kept at a higher one.
///
/// It looks at no parent. Kubernetes always wraps it: [`ParentBased<PerMillion>`](super::ParentBased). It leaves
/// `tracestate` alone. The rate defaults to 0, which keeps nothing.
///
/// Kubernetes `component-base/tracing`; OpenTelemetry specification, "TraceIdRatioBased".
///
/// ```
/// use spanwire_core::sampler::PerMillion;
///
/// let tenth = PerMillion::new(100_000)?;
/// assert!(tenth.keeps("00000000000000001999999999999900".parse().unwrap()));
/// assert!(!tenth.keeps("00000000000000001999999999999a00".parse().unwrap()));
/// # Ok::<(), spanwire_core::sampler::InvalidRate>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct PerMillion {
    rate: u32,
    /// `2^63` keeps every trace: no 63-bit number reaches it.
    bound: u64,
}

impl PerMillion {
    /// Keeps every trace.
    pub const ALWAYS: Self = Self::from_valid(MILLION);

    /// Keeps no trace.
    pub const NEVER: Self = Self::from_valid(0);

    /// Keeps `rate` traces of a million: 0 to 1,000,000.
    ///
    /// # Errors
    /// A rate outside the range, in the words of the kubelet's validation.
    pub const fn new(rate: i32) -> Result<Self, InvalidRate> {
        if rate < 0 {
            Err(InvalidRate::Negative(rate))
        } else if rate as u32 > MILLION {
            Err(InvalidRate::TooLarge(rate))
        } else {
            Ok(Self::from_valid(rate as u32))
        }
    }

    /// The sampler for the value of a `samplingRatePerMillion` field: when it is not set, no trace is kept.
    ///
    /// # Errors
    /// A rate outside 0 to 1,000,000, in the words of the kubelet's validation.
    pub const fn from_config(rate: Option<i32>) -> Result<Self, InvalidRate> {
        match rate {
            Some(rate) => Self::new(rate),
            None => Ok(Self::NEVER),
        }
    }

    /// Traces kept of a million: 0 to 1,000,000.
    #[must_use]
    pub const fn rate(self) -> u32 {
        self.rate
    }

    /// Whether the trace with this id is kept.
    #[must_use]
    #[inline]
    pub const fn keeps(self, trace_id: TraceId) -> bool {
        trace_id.low64() >> 1 < self.bound
    }

    const fn from_valid(rate: u32) -> Self {
        Self {
            rate,
            bound: bound(rate),
        }
    }
}

/// A rate that is not 0 to 1,000,000.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidRate {
    /// Below 0.
    Negative(i32),
    /// Above 1,000,000.
    TooLarge(i32),
}

impl fmt::Display for InvalidRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The kubelet's own sentences.
        f.write_str(match self {
            Self::Negative(_) => "sampling rate must be positive",
            Self::TooLarge(_) => {
                "sampling rate per million must be less than or equal to one million"
            }
        })
    }
}

impl core::error::Error for InvalidRate {}

/// The first 63-bit number that is not kept.
const fn bound(rate: u32) -> u64 {
    // Multiplying by 2^63 is exact; the division rounds, and the cast truncates, as in Go.
    ((rate as f64 / 1e6) * 9_223_372_036_854_775_808.0) as u64
}

impl Sampler for PerMillion {
    #[inline]
    fn sample(&self, input: &SamplingInput<'_>, _: &mut dyn FnMut(KeyValue<'_>)) -> Sampling {
        Sampling::sample_if(self.keeps(input.trace_id))
    }

    /// `TraceIDRatioBased{0.01}`, as the Go SDK writes it; `AlwaysOffSampler` for the rate 0, for which Kubernetes
    /// components take that sampler.
    fn description(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.rate == 0 {
            return f.write_str("AlwaysOffSampler");
        }
        f.write_str("TraceIDRatioBased{")?;
        write_fraction(self.rate, f)?;
        f.write_str("}")
    }

    fn foresee(&self, _: Case) -> Foresight {
        Foresight::Below(self.bound)
    }
}

/// Writes `rate / 1e6` in the shortest form, as Go's `%g` does: with an exponent below 0.0001.
fn write_fraction(rate: u32, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    // Without trailing zeros: `digits * 10^-places`.
    let (mut digits, mut places) = (rate, 6);
    while places > 0 && digits % 10 == 0 {
        digits /= 10;
        places -= 1;
    }
    match rate {
        // One or two digits, the first in place 6 or 5.
        1..=9 => write!(f, "{rate}e-06"),
        10..=99 if digits < 10 => write!(f, "{digits}e-05"),
        10..=99 => write!(f, "{}.{}e-05", digits / 10, digits % 10),
        MILLION => f.write_str("1"),
        _ => write!(f, "0.{digits:0places$}"),
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use proptest::prelude::*;

    use super::*;
    use crate::sampler::Description;

    fn at(rate: i32) -> PerMillion {
        PerMillion::new(rate).unwrap()
    }

    fn with_low64(low: u64) -> [TraceId; 2] {
        let mut bytes = [0; 16];
        bytes[8..].copy_from_slice(&low.to_be_bytes());
        let zeros = TraceId::from_bytes(bytes);
        bytes[..8].fill(0xff);
        [zeros, TraceId::from_bytes(bytes)]
    }

    /// Boundary vectors: rate, bound, last sampled and first dropped low 64 bits; the high 64 are irrelevant.
    #[test]
    fn the_boundary_table() {
        for (rate, bound, last_kept, first_dropped) in [
            (
                1,
                0x0000_0863_7bd0_5af6,
                0x0000_10c6_f7a0_b5eb,
                0x0000_10c6_f7a0_b5ec,
            ),
            (
                2,
                0x0000_10c6_f7a0_b5ed,
                0x0000_218d_ef41_6bd9,
                0x0000_218d_ef41_6bda,
            ),
            (
                10,
                0x0000_53e2_d623_8da3,
                0x0000_a7c5_ac47_1b45,
                0x0000_a7c5_ac47_1b46,
            ),
            (
                100,
                0x0003_46dc_5d63_8865,
                0x0006_8db8_bac7_10c9,
                0x0006_8db8_bac7_10ca,
            ),
            (
                500,
                0x0010_624d_d2f1_a9fc,
                0x0020_c49b_a5e3_53f7,
                0x0020_c49b_a5e3_53f8,
            ),
            (
                1000,
                0x0020_c49b_a5e3_53f8,
                0x0041_8937_4bc6_a7ef,
                0x0041_8937_4bc6_a7f0,
            ),
            (
                3333,
                0x006d_373a_ffb0_4ee8,
                0x00da_6e75_ff60_9dcf,
                0x00da_6e75_ff60_9dd0,
            ),
            (
                10000,
                0x0147_ae14_7ae1_47b0,
                0x028f_5c28_f5c2_8f5f,
                0x028f_5c28_f5c2_8f60,
            ),
            (
                100000,
                0x0ccc_cccc_cccc_cd00,
                0x1999_9999_9999_99ff,
                0x1999_9999_9999_9a00,
            ),
            (
                123456,
                0x0fcd_67fd_3f5b_5f80,
                0x1f9a_cffa_7eb6_beff,
                0x1f9a_cffa_7eb6_bf00,
            ),
            (
                250000,
                0x2000_0000_0000_0000,
                0x3fff_ffff_ffff_ffff,
                0x4000_0000_0000_0000,
            ),
            (
                333333,
                0x2aaa_a7de_d6ba_8c00,
                0x5555_4fbd_ad75_17ff,
                0x5555_4fbd_ad75_1800,
            ),
            (
                500000,
                0x4000_0000_0000_0000,
                0x7fff_ffff_ffff_ffff,
                0x8000_0000_0000_0000,
            ),
            (
                666667,
                0x5555_5821_2945_7400,
                0xaaaa_b042_528a_e7ff,
                0xaaaa_b042_528a_e800,
            ),
            (
                900000,
                0x7333_3333_3333_3400,
                0xe666_6666_6666_67ff,
                0xe666_6666_6666_6800,
            ),
            (
                999999,
                0x7fff_f79c_842f_a400,
                0xffff_ef39_085f_47ff,
                0xffff_ef39_085f_4800_u64,
            ),
        ] {
            assert_eq!(at(rate).bound, bound, "{rate}");
            for id in with_low64(last_kept) {
                assert!(at(rate).keeps(id), "{rate} {id}");
            }
            for id in with_low64(first_dropped) {
                assert!(!at(rate).keeps(id), "{rate} {id}");
            }
        }
    }

    /// FNV-1a-64 over all bounds; each is larger than the one before, so the kept sets are nested.
    #[test]
    fn every_bound_is_kubernetes_own() {
        let mut hash = 14_695_981_039_346_656_037_u64;
        let mut before = 0;
        for rate in 1..MILLION {
            let bound = bound(rate);
            assert!(bound > before, "{rate}");
            before = bound;
            for byte in bound.to_le_bytes() {
                hash = (hash ^ u64::from(byte)).wrapping_mul(1_099_511_628_211);
            }
        }
        assert_eq!(hash, 0xef6e_4f94_70a4_8e1c);
    }

    /// Checks that follow directly, (3): 0, a million, not set, -1, a million and one.
    #[test]
    fn the_range_is_the_kubelets() {
        let [low, high] = [TraceId::from_bytes([0; 16]), TraceId::from_bytes([255; 16])];
        for never in [
            PerMillion::from_config(None),
            PerMillion::new(0),
            Ok(PerMillion::default()),
        ] {
            assert!(!never.unwrap().keeps(low) && !never.unwrap().keeps(high));
            assert_eq!(never, Ok(PerMillion::NEVER));
        }
        let always = PerMillion::from_config(Some(1_000_000)).unwrap();
        assert!(always.keeps(low) && always.keeps(high));
        assert_eq!(always, PerMillion::ALWAYS);
        for (rate, message) in [
            (-1, "sampling rate must be positive"),
            (i32::MIN, "sampling rate must be positive"),
            (
                1_000_001,
                "sampling rate per million must be less than or equal to one million",
            ),
            (
                i32::MAX,
                "sampling rate per million must be less than or equal to one million",
            ),
        ] {
            assert_eq!(PerMillion::new(rate).unwrap_err().to_string(), message);
        }
    }

    /// Decision vectors against other SDKs, column Go/Rust.
    #[test]
    fn decisions_agree_with_go() {
        for (rate, id, kept) in [
            (10_000, "00000000000000000000000000000001", true),
            (10_000, "ffffffffffffffff028f5c28f5c28f5f", true),
            (10_000, "ffffffffffffffff028f5c28f5c28f60", false),
            (10_000, "0000000000000001ffffffffffffffff", false),
            (10_000, "ffffffffffffffff0147ae147ae147af", true),
            (10_000, "ffffffffffffffff0147ae147ae147b0", true),
            (500_000, "4bf92f3577b34da6a3ce929d0e0e4736", false),
            (500_000, "0af7651916cd43dd8448eb211c80319c", false),
        ] {
            assert_eq!(at(rate).keeps(id.parse().unwrap()), kept, "{rate} {id}");
        }
    }

    #[test]
    fn fractions_are_written_as_go_does() {
        for (rate, text) in [
            (0, "AlwaysOffSampler"),
            (1, "TraceIDRatioBased{1e-06}"),
            (10, "TraceIDRatioBased{1e-05}"),
            (12, "TraceIDRatioBased{1.2e-05}"),
            (99, "TraceIDRatioBased{9.9e-05}"),
            (100, "TraceIDRatioBased{0.0001}"),
            (123, "TraceIDRatioBased{0.000123}"),
            (10_000, "TraceIDRatioBased{0.01}"),
            (333_333, "TraceIDRatioBased{0.333333}"),
            (500_000, "TraceIDRatioBased{0.5}"),
            (1_000_000, "TraceIDRatioBased{1}"),
        ] {
            assert_eq!(Description(&at(rate)).to_string(), text);
        }
        // The shortest text that gives the same double is the decimal fraction itself.
        for rate in 100..MILLION {
            let text = Description(&PerMillion::from_valid(rate)).to_string();
            assert_eq!(
                text,
                std::format!("TraceIDRatioBased{{{}}}", f64::from(rate) / 1e6)
            );
        }
    }

    /// The bound in whole numbers: a quotient of 53 bits, rounded half to even.
    fn naive_bound(rate: u32) -> u64 {
        let mut shift = 53;
        while (u128::from(rate) << shift) / 1_000_000 < 1 << 52 {
            shift += 1;
        }
        let scaled = u128::from(rate) << shift;
        let (mut quotient, rest) = (scaled / 1_000_000, scaled % 1_000_000);
        if 2 * rest > 1_000_000 || (2 * rest == 1_000_000 && quotient % 2 == 1) {
            quotient += 1;
        }
        (if shift <= 63 {
            quotient << (63 - shift)
        } else {
            quotient >> (shift - 63)
        }) as u64
    }

    proptest! {
        #[test]
        fn agrees_with_whole_number_arithmetic(rate in 1..MILLION, id: [u8; 16]) {
            let bound = naive_bound(rate);
            prop_assert_eq!(PerMillion::from_valid(rate).bound, bound);
            let low = u64::from_be_bytes(id[8..].try_into().unwrap());
            prop_assert_eq!(PerMillion::from_valid(rate).keeps(TraceId::from_bytes(id)), low >> 1 < bound);
        }

        #[test]
        fn lower_rates_keep_subsets(mut rates: [u32; 2], id: [u8; 16]) {
            rates = rates.map(|rate| rate % (MILLION + 1));
            rates.sort();
            let id = TraceId::from_bytes(id);
            prop_assert!(PerMillion::from_valid(rates[1]).keeps(id) || !PerMillion::from_valid(rates[0]).keeps(id));
        }
    }
}
