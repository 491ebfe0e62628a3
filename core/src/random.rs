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
pub(crate) use self::per_thread::seed_thread;

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

    /// A multiplicative congruential generator modulo 2^128, of which the upper half is used. The multiplier is the one
    /// that the DXSM generators of the PCG family and lehmer64 use for this modulus. It has 64 bits: a step takes two
    /// multiplications, where one of 128 bits takes three.
    const MULTIPLIER: u128 = 0xda94_2042_e4dd_58b5;

    thread_local! {
        static SEEDED: Seeded = const { Seeded { state: Cell::new(0), generation: Cell::new(fork::NONE) } };
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

    /// Seeds the generator of this thread, if that was not done in this process.
    pub(crate) fn seed_thread() {
        SEEDED.with(|seeded| {
            let now = fork::generation();
            if seeded.generation.get() != now {
                seeded.state.set(seed());
                seeded.generation.set(now);
            }
        });
    }

    /// Goes on from the state of this thread, which is [seeded](seed_thread).
    #[inline(always)]
    fn advance<R>(run: impl FnOnce(u128) -> (u128, R)) -> R {
        SEEDED.with(|seeded| {
            debug_assert!(seeded.state.get() != 0, "the thread is not seeded");
            let (state, result) = run(seeded.state.get());
            seeded.state.set(state);
            result
        })
    }

    impl ThreadIds {
        /// The ids of a new trace and of its first span, on a thread that is [seeded](seed_thread).
        #[inline(always)]
        pub(crate) fn seeded_root(self) -> (TraceId, SpanId) {
            advance(|state| {
                let first = next(state);
                let second = next(first);
                let trace = trace_id(upper(first), upper(second));
                // What the trace leaves over of a step. Its low bits repeat early; over them go some that don't.
                let span = second as u64 ^ upper(first).rotate_left(32);
                (second, (trace, span_id(span)))
            })
        }

        /// The id of a new span, on a thread that is [seeded](seed_thread).
        #[inline(always)]
        pub(crate) fn seeded_span_id(self) -> SpanId {
            advance(|state| {
                let state = next(state);
                (state, span_id(upper(state)))
            })
        }
    }

    impl IdGenerator for ThreadIds {
        #[inline]
        fn trace_id(&self) -> TraceId {
            seed_thread();
            advance(|state| {
                let first = next(state);
                let second = next(first);
                (second, trace_id(upper(first), upper(second)))
            })
        }

        #[inline]
        fn span_id(&self) -> SpanId {
            seed_thread();
            self.seeded_span_id()
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

    fn differ(mut ids: impl FnMut() -> (TraceId, SpanId)) {
        let mut traces = HashSet::new();
        let mut spans = HashSet::new();
        // Of each bit of the trace id, and of the span id and its difference from the same bit of the span id before.
        let mut ones = [0_u32; 128 + 64 + 64];
        let mut before = 0;
        for _ in 0..10_000 {
            let (trace, span) = ids();
            assert!(trace.is_valid() && traces.insert(trace));
            assert!(span.is_valid() && spans.insert(span));
            let trace = u128::from_be_bytes(trace.to_bytes());
            let span = u64::from_be_bytes(span.to_bytes());
            let bits = (0..128)
                .map(|bit| trace >> bit & 1 == 1)
                .chain((0..64).map(|bit| span >> bit & 1 == 1))
                .chain((0..64).map(|bit| (span ^ before) >> bit & 1 == 1));
            for (ones, bit) in ones.iter_mut().zip(bits) {
                *ones += u32::from(bit);
            }
            before = span;
        }
        // Six standard deviations of a fair coin thrown 10,000 times.
        assert!(
            ones.iter().all(|ones| (4700..5300).contains(ones)),
            "{ones:?}"
        );
    }

    #[test]
    fn ids_differ_and_every_bit_is_fair() {
        differ(|| (ThreadIds.trace_id(), ThreadIds.span_id()));
        seed_thread();
        differ(|| ThreadIds.seeded_root());
        let seeded = SeededIds::new([7; 32]);
        differ(|| (seeded.trace_id(), seeded.span_id()));
    }

    #[test]
    fn threads_have_generators_of_their_own() {
        let here = ThreadIds.trace_id();
        let there = std::thread::spawn(|| ThreadIds.trace_id()).join().unwrap();
        assert_ne!(here, there);
    }
}
