//! Where ids come from.
//!
//! OpenTelemetry trace SDK, "Id Generators"; W3C Trace Context Level 2, section 3.2.2.3.

use crate::id::{SpanId, TraceId};
use crate::sync::{Ordering, StaticAtomicUsize};

/// Makes the ids of new traces and spans.
pub trait IdGenerator: Send + Sync {
    /// A valid id for a new trace.
    fn trace_id(&self) -> TraceId;

    /// A valid id for a new span.
    fn span_id(&self) -> SpanId;

    /// Whether the last 7 bytes of every trace id are uniformly random. Only then do roots carry the W3C random flag
    /// (Trace Context Level 2, section 3.2.2.5.2).
    fn is_random(&self) -> bool {
        false
    }
}

impl<G: IdGenerator + ?Sized> IdGenerator for &G {
    fn trace_id(&self) -> TraceId {
        (**self).trace_id()
    }

    fn span_id(&self) -> SpanId {
        (**self).span_id()
    }

    fn is_random(&self) -> bool {
        (**self).is_random()
    }
}

/// Ids from a seed and a counter, for programs without an operating system to ask for randomness.
///
/// Each id is a keyed hash (SipHash-2-4) of a counter. Two programs with the same seed make the same ids, so the seed
/// must be fresh and unpredictable at every start. The counter has the width of a pointer: on a 32-bit target ids
/// repeat after 2^32 calls.
///
/// ```
/// use spanwire_core::random::{IdGenerator, SeededIds};
///
/// static IDS: SeededIds = SeededIds::new(*b"from this board's noise source..");
/// assert_ne!(IDS.trace_id(), IDS.trace_id());
/// ```
#[derive(Debug)]
pub struct SeededIds {
    keys: [u64; 4],
    next: StaticAtomicUsize,
}

impl SeededIds {
    /// The generator that starts from this seed.
    #[must_use]
    pub const fn new(seed: [u8; 32]) -> Self {
        let mut keys = [0; 4];
        let mut at = 0;
        while at < seed.len() {
            keys[at / 8] = keys[at / 8] << 8 | seed[at] as u64;
            at += 1;
        }
        Self {
            keys,
            next: StaticAtomicUsize::new(1),
        }
    }

    fn count(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed) as u64
    }

    fn hash(&self, key: usize, count: u64) -> u64 {
        #[allow(
            deprecated,
            reason = "the keyed SipHash of `core`: its successor lives in `std` and can't be keyed"
        )]
        {
            use core::hash::{Hasher, SipHasher};
            let mut hasher = SipHasher::new_with_keys(self.keys[key], self.keys[key + 1]);
            hasher.write_u64(count);
            hasher.finish()
        }
    }
}

impl IdGenerator for SeededIds {
    fn trace_id(&self) -> TraceId {
        let count = self.count();
        trace_id(self.hash(0, count), self.hash(2, count))
    }

    fn span_id(&self) -> SpanId {
        span_id(self.hash(1, self.count()))
    }

    fn is_random(&self) -> bool {
        true
    }
}

/// The trace with this id. One value in 2^128 names none, and is replaced.
#[inline]
const fn trace_id(high: u64, low: u64) -> TraceId {
    TraceId::new(high, if high | low == 0 { 1 } else { low })
}

/// The span with this id. One value in 2^64 names none, and is replaced.
#[inline]
const fn span_id(id: u64) -> SpanId {
    SpanId::new(if id == 0 { 1 } else { id })
}

#[cfg(feature = "std")]
pub use self::per_thread::ThreadIds;

#[cfg(feature = "std")]
mod per_thread {
    use core::cell::Cell;
    use core::hash::{BuildHasher, Hash, Hasher};
    use std::collections::hash_map::RandomState;
    use std::thread_local;

    use super::{IdGenerator, SpanId, TraceId, span_id, trace_id};
    use crate::fork;

    /// Ids from a generator that each thread has for itself. The default.
    ///
    /// 128 bits of state, seeded by the operating system's randomness once a thread, and anew in a forked child. The
    /// ids are well spread, not secret: do not use them as tokens.
    ///
    /// ```
    /// use spanwire_core::random::{IdGenerator, ThreadIds};
    ///
    /// assert!(ThreadIds.is_random());
    /// assert_ne!(ThreadIds.span_id(), ThreadIds.span_id());
    /// ```
    #[derive(Clone, Copy, Debug, Default)]
    pub struct ThreadIds;

    /// A multiplicative congruential generator modulo 2^128, of which the upper half is used. The multiplier is the
    /// one that P. L'Ecuyer, "Tables of linear congruential generators" (1999), lists for this modulus.
    const MULTIPLIER: u128 = 0x12e1_5e35_b500_f16e_2e71_4eb2_b379_16a5;

    thread_local! {
        static SEEDED: Seeded = const { Seeded { state: Cell::new(0), generation: Cell::new(usize::MAX) } };
    }

    struct Seeded {
        state: Cell<u128>,
        /// Tells a child its parent's state; before the first seed, no process's.
        generation: Cell<usize>,
    }

    #[inline]
    fn next(state: u128) -> u128 {
        state.wrapping_mul(MULTIPLIER)
    }

    #[inline]
    fn upper(state: u128) -> u64 {
        (state >> 64) as u64
    }

    /// An odd number, as every state has to be.
    fn seed() -> u128 {
        // Keyed by the operating system's randomness. The same keys may be at work in a forked child, with another
        // generation, process and time as their input.
        let keys = RandomState::new();
        let half = |half: u8| {
            let mut hasher = keys.build_hasher();
            half.hash(&mut hasher);
            fork::generation().hash(&mut hasher);
            std::process::id().hash(&mut hasher);
            std::time::SystemTime::now().hash(&mut hasher);
            hasher.finish()
        };
        (u128::from(half(0)) << 64 | u128::from(half(1))) | 1
    }

    /// Goes on from the state of this thread, seeded in the process with this generation.
    #[inline(always)]
    fn advance<R>(now: usize, run: impl FnOnce(u128) -> (u128, R)) -> R {
        SEEDED.with(|seeded| {
            if seeded.generation.get() != now {
                seed_anew(seeded, now);
            }
            let (state, result) = run(seeded.state.get());
            seeded.state.set(state);
            result
        })
    }

    #[cold]
    #[inline(never)]
    fn seed_anew(seeded: &Seeded, now: usize) {
        seeded.state.set(seed());
        seeded.generation.set(now);
    }

    impl ThreadIds {
        /// The ids of a new trace and of its first span, in the process with this [generation](fork::generation).
        #[inline(always)]
        pub(crate) fn root_in(self, generation: usize) -> (TraceId, SpanId) {
            advance(generation, |state| {
                let first = next(state);
                let second = next(first);
                let third = next(second);
                let trace = trace_id(upper(first), upper(second));
                (third, (trace, span_id(upper(third))))
            })
        }

        /// The id of a new span, in the process with this [generation](fork::generation).
        #[inline(always)]
        pub(crate) fn span_id_in(self, generation: usize) -> SpanId {
            advance(generation, |state| {
                let state = next(state);
                (state, span_id(upper(state)))
            })
        }
    }

    impl IdGenerator for ThreadIds {
        #[inline]
        fn trace_id(&self) -> TraceId {
            advance(fork::generation(), |state| {
                let first = next(state);
                let second = next(first);
                (second, trace_id(upper(first), upper(second)))
            })
        }

        #[inline]
        fn span_id(&self) -> SpanId {
            self.span_id_in(fork::generation())
        }

        fn is_random(&self) -> bool {
            true
        }
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn differ(ids: &dyn IdGenerator) {
        let mut traces = HashSet::new();
        let mut spans = HashSet::new();
        let mut ones = [0_u32; 128];
        for _ in 0..10_000 {
            let trace = ids.trace_id();
            assert!(trace.is_valid() && traces.insert(trace));
            assert!(spans.insert(ids.span_id()));
            for (bit, ones) in ones.iter_mut().enumerate() {
                *ones += (u128::from_be_bytes(trace.to_bytes()) >> bit & 1) as u32;
            }
        }
        // Six standard deviations of a fair coin thrown 10,000 times.
        assert!(
            ones.iter().all(|ones| (4700..5300).contains(ones)),
            "{ones:?}"
        );
    }

    #[test]
    fn ids_differ_and_every_bit_is_fair() {
        differ(&ThreadIds);
        differ(&SeededIds::new([7; 32]));
    }

    #[test]
    fn threads_have_generators_of_their_own() {
        let here = ThreadIds.trace_id();
        let there = std::thread::spawn(|| ThreadIds.trace_id()).join().unwrap();
        assert_ne!(here, there);
    }
}
