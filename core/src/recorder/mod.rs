//! What a span needs to be recorded: a ring, pages, a clock, ids, limits, and counters.

use core::fmt;

use crate::clock::{Clock, Moment, Stopwatch};
use crate::id::{SpanId, TraceId};
use crate::random::IdGenerator;
pub(crate) use crate::ring::{Appended, Refused};
use crate::ring::{Pages, Ring, ScopeRef, Slot};
use crate::stats::Dropped;
use crate::thread::{self, Seat};

mod counters;
mod limits;

#[cfg(feature = "alloc")]
mod build;

#[cfg(feature = "alloc")]
pub use self::build::{InvalidMemory, RecorderBuilder};
use self::counters::{Count, Counters};
pub(crate) use self::limits::Short;
pub use self::limits::SpanLimits;

/// Records the spans of this program into a ring. Door A.
///
/// On the heap a recorder is made by [`Recorder::builder`]; in a `static` by [`Recorder::fixed`]. Its memory is all
/// taken when it is made. Spans come to it through a [`Tracer`](crate::tracer::Tracer); ended spans leave it through
/// [`Ring::take`].
pub struct Recorder {
    ring: Ring,
    pages: Pages,
    clock: ClockRef,
    ids: IdsRef,
    limits: SpanLimits,
    counters: Counters,
    wake: WakeRef,
    /// The number of the next scope.
    #[cfg(feature = "alloc")]
    scopes: crate::sync::StaticAtomicUsize,
    /// Used blocks from which on roots are thinned.
    soft_mark: usize,
    /// The process that may use this recorder.
    #[cfg(feature = "std")]
    generation: usize,
}

/// Learns when there is something to do for whoever empties the ring.
///
/// Called by the thread that ends a span, never with a lock held.
pub trait Wake: Send + Sync {
    /// A block was opened: it is to be sealed when it is old enough.
    fn opened(&self) {}

    /// A block was sealed: it can be taken.
    fn sealed(&self);

    /// A block was sealed, and so were many before it that nobody has taken yet. A good moment to let whoever empties
    /// the ring have the processor.
    fn crowded(&self) {
        self.sealed();
    }
}

#[allow(
    clippy::large_enum_variant,
    reason = "a recorder has one, and reads it for every span"
)]
enum ClockRef {
    #[cfg(feature = "std")]
    System(crate::clock::SystemClock),
    #[cfg_attr(
        spanwire_loom,
        expect(dead_code, reason = "loom's atomics can't live in a static")
    )]
    Static(&'static dyn Clock),
    #[cfg(feature = "alloc")]
    Shared(alloc::sync::Arc<dyn Clock>),
}

enum IdsRef {
    #[cfg(feature = "std")]
    Threads,
    #[cfg_attr(
        spanwire_loom,
        expect(dead_code, reason = "loom's atomics can't live in a static")
    )]
    Static(&'static dyn IdGenerator),
    #[cfg(feature = "alloc")]
    Shared(alloc::sync::Arc<dyn IdGenerator>),
}

impl IdsRef {
    fn get(&self) -> &dyn IdGenerator {
        match self {
            #[cfg(feature = "std")]
            Self::Threads => &crate::random::ThreadIds,
            Self::Static(ids) => *ids,
            #[cfg(feature = "alloc")]
            Self::Shared(ids) => &**ids,
        }
    }
}

enum WakeRef {
    None,
    #[cfg_attr(
        spanwire_loom,
        expect(dead_code, reason = "loom's atomics can't live in a static")
    )]
    Static(&'static dyn Wake),
    #[cfg(feature = "alloc")]
    Shared(alloc::sync::Arc<dyn Wake>),
}

#[cfg(not(spanwire_loom))]
impl Recorder {
    /// A recorder without a heap, over memory in a `static`.
    ///
    /// Roots are not thinned: with few blocks a mark would be a step. Set [`with_soft_mark`](Self::with_soft_mark)
    /// where there are many.
    ///
    /// ```
    /// use spanwire_core::clock::{Clock, Moment, Timestamp};
    /// use spanwire_core::random::SeededIds;
    /// use spanwire_core::recorder::Recorder;
    /// use spanwire_core::ring::Storage;
    ///
    /// struct Stopped;
    /// impl Clock for Stopped {
    ///     fn now(&self) -> Timestamp {
    ///         Timestamp::from_unix_nanos(0)
    ///     }
    ///     fn moment(&self) -> Moment {
    ///         Moment::from_nanos(0)
    ///     }
    /// }
    ///
    /// static STORAGE: Storage<4, 1024, 2, 8> = Storage::new();
    /// static IDS: SeededIds = SeededIds::new(*b"from this board's noise source..");
    /// static RECORDER: Recorder = Recorder::fixed(&STORAGE, &Stopped, &IDS);
    ///
    /// assert_eq!(RECORDER.account().started, 0);
    /// ```
    #[must_use]
    pub const fn fixed<
        const BLOCKS: usize,
        const BLOCK_BYTES: usize,
        const SHARDS: usize,
        const PAGES: usize,
    >(
        storage: &'static crate::ring::Storage<BLOCKS, BLOCK_BYTES, SHARDS, PAGES>,
        clock: &'static dyn Clock,
        ids: &'static dyn IdGenerator,
    ) -> Self {
        Self {
            ring: Ring::fixed(storage),
            pages: Pages::fixed(storage),
            clock: ClockRef::Static(clock),
            ids: IdsRef::Static(ids),
            limits: SpanLimits::DEFAULT.within_block(BLOCK_BYTES),
            counters: Counters::fixed(),
            wake: WakeRef::None,
            #[cfg(feature = "alloc")]
            scopes: crate::sync::StaticAtomicUsize::new(0),
            soft_mark: usize::MAX,
            #[cfg(feature = "std")]
            generation: 0,
        }
    }

    /// The same recorder with other limits; their bytes stay below what a block takes.
    #[must_use]
    pub const fn with_limits(mut self, limits: SpanLimits, block_bytes: usize) -> Self {
        self.limits = limits.within_block(block_bytes);
        self
    }

    /// The same recorder, which thins out new roots while at least this many blocks are in use.
    #[must_use]
    pub const fn with_soft_mark(mut self, used_blocks: usize) -> Self {
        self.soft_mark = used_blocks;
        self
    }

    /// The same recorder, which calls this when a block is opened or sealed.
    #[must_use]
    pub const fn with_wake(mut self, wake: &'static dyn Wake) -> Self {
        // A destructor can't run here; there is nothing to destroy in what a `fixed` recorder holds.
        #[cfg_attr(
            not(feature = "alloc"),
            allow(
                clippy::forget_non_drop,
                reason = "with a heap there is an `Arc` in it"
            )
        )]
        core::mem::forget(core::mem::replace(&mut self.wake, WakeRef::Static(wake)));
        self
    }
}

impl Recorder {
    /// The ring that ended spans wait in.
    #[must_use]
    #[inline]
    pub fn ring(&self) -> &Ring {
        &self.ring
    }

    /// The limits of its spans.
    #[must_use]
    #[inline]
    pub fn limits(&self) -> &SpanLimits {
        &self.limits
    }

    /// What became of the spans so far.
    #[must_use]
    pub fn account(&self) -> RecorderAccount {
        let mut dropped = Dropped::default();
        for (count, reason) in Count::DROPS {
            dropped.add(reason, self.counters.get(count) as u64);
        }
        // Read after the drops: a span that is being counted is seen as live, never as both.
        let admitted = self.ring.admitted() as u64;
        let started = self.counters.get(Count::Started) as u64;
        RecorderAccount {
            started,
            admitted,
            dropped,
            overwritten: self.ring.overwritten() as u64,
            not_sampled: self.counters.get(Count::NotSampled) as u64,
            not_sampled_overload: self.counters.get(Count::Overload) as u64,
        }
    }

    /// A number for a scope, no other scope's.
    #[cfg(feature = "alloc")]
    pub(crate) fn next_scope(&self) -> usize {
        self.scopes.fetch_add(1, crate::sync::Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn pages(&self) -> &Pages {
        &self.pages
    }

    /// The generation of the process that made the recorder.
    #[cfg(feature = "std")]
    pub(crate) const fn generation(&self) -> usize {
        self.generation
    }

    /// Whether this process made the recorder, and not one that it was forked from.
    #[inline]
    pub(crate) fn is_of_this_process(&self) -> bool {
        #[cfg(feature = "std")]
        return self.generation == crate::fork::generation();
        #[cfg(not(feature = "std"))]
        true
    }

    /// Starts a stopwatch as fast as may be. `None` when it takes [`start`](Self::start).
    #[inline(always)]
    pub(crate) fn start_anchored(&self) -> Option<Stopwatch> {
        match &self.clock {
            #[cfg(feature = "std")]
            ClockRef::System(clock) => clock.start_anchored(),
            _ => None,
        }
    }

    pub(crate) fn start(&self) -> Stopwatch {
        match &self.clock {
            #[cfg(feature = "std")]
            ClockRef::System(clock) => clock.start(),
            ClockRef::Static(clock) => clock.start(),
            #[cfg(feature = "alloc")]
            ClockRef::Shared(clock) => clock.start(),
        }
    }

    /// Nanoseconds since the start of a stopwatch. A caller's clock that panics counts as stopped: the end of a span can't
    /// report it.
    #[inline(always)]
    pub(crate) fn elapsed(&self, stopwatch: &Stopwatch) -> u64 {
        match &self.clock {
            #[cfg(feature = "std")]
            ClockRef::System(clock) => clock.elapsed(stopwatch),
            _ => self.elapsed_elsewhere(stopwatch),
        }
    }

    #[inline(never)]
    fn elapsed_elsewhere(&self, stopwatch: &Stopwatch) -> u64 {
        let moment = match &self.clock {
            #[cfg(feature = "std")]
            ClockRef::System(clock) => clock.read(stopwatch),
            ClockRef::Static(clock) => read(*clock, stopwatch),
            #[cfg(feature = "alloc")]
            ClockRef::Shared(clock) => read(&**clock, stopwatch),
        };
        moment
            .as_nanos()
            .wrapping_sub(stopwatch.moment().as_nanos())
    }

    /// The clock's present moment.
    pub fn moment(&self) -> Moment {
        match &self.clock {
            #[cfg(feature = "std")]
            ClockRef::System(clock) => clock.moment(),
            ClockRef::Static(clock) => clock.moment(),
            #[cfg(feature = "alloc")]
            ClockRef::Shared(clock) => clock.moment(),
        }
    }

    /// The ids of a new trace and of its first span, and whether they are random, on a thread that is
    /// [ready](crate::fork::is_ready_in).
    #[inline(always)]
    pub(crate) fn new_root(&self) -> (TraceId, SpanId, bool) {
        match &self.ids {
            #[cfg(feature = "std")]
            IdsRef::Threads => {
                let (trace, span) = crate::random::ThreadIds.seeded_root();
                (trace, span, true)
            }
            _ => self.new_other_root(),
        }
    }

    #[cold]
    #[inline(never)]
    fn new_other_root(&self) -> (TraceId, SpanId, bool) {
        let ids = self.ids.get();
        (ids.trace_id(), ids.span_id(), ids.is_random())
    }

    /// The id of a new span, on a thread that is [ready](crate::fork::is_ready_in).
    #[inline(always)]
    pub(crate) fn new_span_id(&self) -> SpanId {
        match &self.ids {
            #[cfg(feature = "std")]
            IdsRef::Threads => crate::random::ThreadIds.seeded_span_id(),
            _ => self.new_other_span_id(),
        }
    }

    /// Whether ids are made by the generator of each thread.
    #[cfg(feature = "alloc")]
    pub(crate) const fn has_thread_ids(&self) -> bool {
        #[cfg(feature = "std")]
        return matches!(self.ids, IdsRef::Threads);
        #[cfg(not(feature = "std"))]
        false
    }

    #[cold]
    #[inline(never)]
    fn new_other_span_id(&self) -> SpanId {
        self.ids.get().span_id()
    }

    /// Whether a new root is to be thinned out, because the ring fills faster than it is emptied; and with it a child of a local
    /// parent that is not sampled, of which the sampler alone would make the root of a piece.
    ///
    /// From the soft mark to the last block the share of roots that are kept falls from all to none. Which are kept
    /// is told by the upper half of the trace id, which no sampler of this crate looks at: the same trace is kept
    /// whoever asks, and what is kept at a higher load is kept at a lower one.
    #[inline]
    pub(crate) fn thins(&self, trace_id: TraceId) -> bool {
        let used = self.ring.used_blocks();
        used >= self.soft_mark && self.thins_at(used, trace_id)
    }

    #[cold]
    fn thins_at(&self, used: usize, trace_id: TraceId) -> bool {
        let blocks = self.ring.blocks();
        let span = blocks.saturating_sub(self.soft_mark).saturating_add(1) as u64;
        let left = blocks.saturating_sub(used) as u64;
        trace_id.high64() / (u64::MAX / span + 1) >= left
    }

    #[inline]
    pub(crate) fn count_started(&self) {
        thread::with(|seat| self.counters.add(Count::Started, seat));
    }

    #[inline]
    pub(crate) fn count_not_sampled(&self) {
        thread::with(|seat| self.counters.add(Count::NotSampled, seat));
    }

    #[cold]
    pub(crate) fn count_overload(&self) {
        thread::with(|seat| self.counters.add(Count::Overload, seat));
    }

    #[cold]
    pub(crate) fn count_forked(&self) {
        thread::with(|seat| self.counters.add(Count::Forked, seat));
    }

    /// Holds room for the record of a span that has ended. What comes of it is to be [settled](Self::settle).
    pub(crate) fn reserve(
        &self,
        seat: Option<Seat>,
        scope: ScopeRef<'_>,
        now: Moment,
        len: usize,
    ) -> Result<Slot<'_>, Refused> {
        self.ring.reserve(home(seat, scope.number), scope, now, len)
    }

    /// Holds room for the record of a span where this thread usually finds it. `None` when it is to be looked for.
    #[inline(always)]
    pub(crate) fn enter(&self, seat: Seat, scope: usize, len: usize) -> Option<Slot<'_>> {
        self.ring.enter(home(Some(seat), scope), scope, len)
    }

    /// Wakes whoever empties the ring, or counts a span that was not taken.
    #[cold]
    pub(crate) fn settle(&self, appended: Result<Appended, Refused>) {
        match appended {
            Ok(appended) => self.wake(appended),
            Err(refused) => self.count_refused(refused),
        }
    }

    fn wake(&self, appended: Appended) {
        let wake: &dyn Wake = match &self.wake {
            WakeRef::None => return,
            WakeRef::Static(wake) => *wake,
            #[cfg(feature = "alloc")]
            WakeRef::Shared(wake) => &**wake,
        };
        if appended.sealed && self.ring.is_crowded() {
            wake.crowded();
        } else if appended.sealed {
            wake.sealed();
        } else {
            wake.opened();
        }
    }

    fn count_refused(&self, refused: Refused) {
        let count = match refused {
            Refused::Full => Count::RingFull,
            Refused::Contended => Count::Contended,
            Refused::Closed => Count::AfterShutdown,
            Refused::TooLarge => Count::SpanTooLarge,
        };
        thread::with(|seat| self.counters.add(count, seat));
    }
}

/// The shard that a thread goes to first: scopes are 5 apart and threads neighbours, so that neither meets itself.
#[inline(always)]
fn home(seat: Option<Seat>, scope: usize) -> usize {
    let thread = seat.map_or(0, |seat| seat.number() + 1);
    scope.wrapping_mul(5).wrapping_add(thread)
}

/// Reads a clock of the caller's.
#[inline]
fn read(clock: &dyn Clock, stopwatch: &Stopwatch) -> Moment {
    #[cfg(feature = "std")]
    {
        let read = core::panic::AssertUnwindSafe(|| clock.read(stopwatch));
        std::panic::catch_unwind(read).unwrap_or(stopwatch.moment())
    }
    #[cfg(not(feature = "std"))]
    clock.read(stopwatch)
}

impl AsRef<Ring> for Recorder {
    fn as_ref(&self) -> &Ring {
        &self.ring
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder")
            .field("ring", &self.ring)
            .field("account", &self.account())
            .finish_non_exhaustive()
    }
}

/// What became of this program's spans: door A's side of the law that no span is lost uncounted.
///
/// `started = live + dropped + admitted` once no span is being started or ended. Counts are modulo 2^32 where a
/// pointer has 32 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecorderAccount {
    /// Spans that were sampled.
    pub started: u64,
    /// Spans that ended and were taken into the ring.
    pub admitted: u64,
    /// Spans that ended and were not.
    pub dropped: Dropped,
    /// Of the admitted spans, those that newer ones overwrote in the ring before they were taken from it.
    pub overwritten: u64,
    /// Spans that the sampler did not keep; outside the law.
    pub not_sampled: u64,
    /// Spans of traces thinned out because the ring filled faster than it was emptied: roots, and their children where the sampler
    /// does not follow the parent; outside the law.
    pub not_sampled_overload: u64,
}

impl RecorderAccount {
    /// Sampled spans that have not ended.
    #[must_use]
    pub fn live(&self) -> u64 {
        self.started
            .wrapping_sub(self.admitted)
            .wrapping_sub(self.dropped.total())
    }
}

/// Where spans come from: a recorder, and the scope they are recorded under.
pub(crate) struct Origin {
    recorder: RecorderRef,
    number: usize,
    scope: ScopeBytes,
}

enum RecorderRef {
    Static(&'static Recorder),
    #[cfg(feature = "alloc")]
    Shared(alloc::sync::Arc<Recorder>),
}

enum ScopeBytes {
    Static(&'static [u8]),
    #[cfg(feature = "alloc")]
    Shared(bytes::Bytes),
}

impl Origin {
    /// Spans of a scope in a `static` recorder. Scopes of one recorder have different numbers.
    pub(crate) const fn fixed(
        recorder: &'static Recorder,
        number: usize,
        scope: &'static [u8],
    ) -> Self {
        Self {
            recorder: RecorderRef::Static(recorder),
            number,
            scope: ScopeBytes::Static(scope),
        }
    }

    /// The same origin once more.
    #[cfg(feature = "alloc")]
    pub(crate) fn duplicate(&self) -> Self {
        Self {
            recorder: match &self.recorder {
                RecorderRef::Static(recorder) => RecorderRef::Static(recorder),
                RecorderRef::Shared(recorder) => RecorderRef::Shared(recorder.clone()),
            },
            number: self.number,
            scope: match &self.scope {
                ScopeBytes::Static(bytes) => ScopeBytes::Static(bytes),
                ScopeBytes::Shared(bytes) => ScopeBytes::Shared(bytes.clone()),
            },
        }
    }

    /// Spans of a scope. Scopes of one recorder have different numbers.
    #[cfg(feature = "alloc")]
    pub(crate) fn shared(
        recorder: alloc::sync::Arc<Recorder>,
        number: usize,
        scope: bytes::Bytes,
    ) -> Self {
        Self {
            recorder: RecorderRef::Shared(recorder),
            number,
            scope: ScopeBytes::Shared(scope),
        }
    }

    #[inline]
    pub(crate) fn recorder(&self) -> &Recorder {
        match &self.recorder {
            RecorderRef::Static(recorder) => recorder,
            #[cfg(feature = "alloc")]
            RecorderRef::Shared(recorder) => recorder,
        }
    }

    /// Whether spans from here are recorded by this process, and not by one that it was forked from.
    #[inline(always)]
    pub(crate) fn is_of_this_process(&self) -> bool {
        self.recorder().is_of_this_process()
    }

    /// The number of the scope.
    #[inline(always)]
    pub(crate) fn number(&self) -> usize {
        self.number
    }

    pub(crate) fn scope(&self) -> ScopeRef<'_> {
        #[cfg_attr(
            not(feature = "alloc"),
            allow(
                clippy::infallible_destructuring_match,
                reason = "with a heap there are two"
            )
        )]
        let fields = match &self.scope {
            ScopeBytes::Static(bytes) => bytes,
            #[cfg(feature = "alloc")]
            ScopeBytes::Shared(bytes) => bytes.as_ref(),
        };
        ScopeRef {
            number: self.number,
            fields,
        }
    }
}
