use alloc::sync::Arc;
use core::fmt;

use super::counters::Counters;
use super::{ClockRef, IdsRef, Recorder, SpanLimits, Wake, WakeRef};
use crate::clock::Clock;
use crate::random::IdGenerator;
use crate::ring::{Layout, Pages, Ring};

/// The bounds of a block's size.
const BLOCK_BYTES: core::ops::RangeInclusive<usize> = 4 * 1024..=64 * 1024;

/// Builds a [`Recorder`] on the heap.
///
/// ```
/// use std::sync::Arc;
/// use spanwire_core::recorder::{Recorder, SpanLimits};
///
/// let recorder = Recorder::builder()
///     .memory(4 * 1024 * 1024)
///     .limits(SpanLimits::DEFAULT.with_attributes(64))
///     .build()?;
/// assert!(recorder.memory() <= 4 * 1024 * 1024);
/// # Ok::<(), spanwire_core::recorder::InvalidMemory>(())
/// ```
#[must_use]
pub struct RecorderBuilder {
    memory: usize,
    limits: SpanLimits,
    shards: usize,
    overwrite: bool,
    block_spans: usize,
    clock: Option<Arc<dyn Clock>>,
    ids: Option<Arc<dyn IdGenerator>>,
    wake: Option<Arc<dyn Wake>>,
    #[cfg(feature = "std")]
    of_no_process: bool,
}

impl RecorderBuilder {
    /// The bytes of the ring and of live spans, all taken when the recorder is built. Default: 8 MiB.
    ///
    /// The system maps memory when it is first touched, and the ring touches as much as it needs at a time.
    pub fn memory(mut self, bytes: usize) -> Self {
        self.memory = bytes;
        self
    }

    /// The limits of each span. Default: [`SpanLimits::DEFAULT`].
    pub fn limits(mut self, limits: SpanLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Append points to start with; 0 counts as 1. Default: sixteen for each processor. Never more than a quarter of the
    /// blocks; the ring grows to that quarter when threads meet.
    ///
    /// Threads that run at the same time on two processors and share an append point pass it and its block back and forth, so
    /// that each of their spans costs more; one that is not used costs nothing.
    pub fn shards(mut self, shards: usize) -> Self {
        self.shards = shards.max(1);
        self
    }

    /// Whether the oldest sealed block makes room for new spans when none is free, as in a flight recorder.
    /// Default: no; new spans are dropped and counted.
    pub fn overwrite_oldest(mut self, overwrite: bool) -> Self {
        self.overwrite = overwrite;
        self
    }

    /// The most spans in one block. Default: no limit but the block's size.
    pub fn block_spans(mut self, spans: usize) -> Self {
        self.block_spans = spans.max(1);
        self
    }

    /// The clock. Default with `std`: [`SystemClock`](crate::clock::SystemClock); without, a clock is required.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// The source of ids. Default with `std`: [`ThreadIds`](crate::random::ThreadIds); without, a source is required.
    pub fn ids(mut self, ids: Arc<dyn IdGenerator>) -> Self {
        self.ids = Some(ids);
        self
    }

    /// Whom to tell when a block is opened or sealed. Default: nobody; the ring is looked at from time to time.
    pub fn wake(mut self, wake: Arc<dyn Wake>) -> Self {
        self.wake = Some(wake);
        self
    }

    /// Records nothing, if `yes`, as in a child that was forked off: spans carry their parent's context.
    #[cfg(feature = "std")]
    pub(crate) fn of_no_process(mut self, yes: bool) -> Self {
        self.of_no_process = yes;
        self
    }

    /// Takes the memory.
    ///
    /// # Errors
    /// The memory is too small for a ring, or, without `std`, the clock or the source of ids is missing.
    pub fn build(self) -> Result<Recorder, InvalidMemory> {
        let measures = Measures::of(self.memory, self.shards, self.block_spans, self.overwrite)?;
        let Measures { layout, pages } = measures;
        // A mark at three quarters means something only where a quarter is more than a block or two.
        let soft_mark = if layout.blocks >= 8 {
            layout.blocks - layout.blocks / 4
        } else {
            usize::MAX
        };
        #[cfg(feature = "std")]
        crate::fork::watch();
        Ok(Recorder {
            ring: Ring::on_heap(layout),
            pages: Pages::on_heap(pages),
            clock: match self.clock {
                Some(clock) => ClockRef::Shared(clock),
                #[cfg(feature = "std")]
                None => ClockRef::System(crate::clock::SystemClock::new()),
                #[cfg(not(feature = "std"))]
                None => return Err(InvalidMemory::NoClock),
            },
            ids: match self.ids {
                Some(ids) => IdsRef::Shared(ids),
                #[cfg(feature = "std")]
                None => IdsRef::Threads,
                #[cfg(not(feature = "std"))]
                None => return Err(InvalidMemory::NoIds),
            },
            limits: self.limits.within_block(layout.block_bytes),
            counters: Counters::on_heap(),
            wake: self.wake.map_or(WakeRef::None, WakeRef::Shared),
            scopes: crate::sync::StaticAtomicUsize::new(0),
            soft_mark,
            #[cfg(feature = "std")]
            generation: match self.of_no_process {
                true => crate::fork::NONE,
                false => crate::fork::generation(),
            },
        })
    }
}

impl Recorder {
    /// Starts to build a recorder on the heap.
    pub fn builder() -> RecorderBuilder {
        #[cfg(feature = "std")]
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        #[cfg(not(feature = "std"))]
        let processors = 1_usize;
        RecorderBuilder {
            memory: 8 * 1024 * 1024,
            limits: SpanLimits::DEFAULT,
            shards: processors.saturating_mul(16),
            overwrite: false,
            block_spans: usize::MAX,
            clock: None,
            ids: None,
            wake: None,
            #[cfg(feature = "std")]
            of_no_process: false,
        }
    }

    /// The bytes that the recorder holds: ring, pages and counters. Zero for one in a `static`.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.ring.heap_bytes()
            + self.pages.heap_bytes()
            + if self.counters.is_on_heap() {
                Counters::BYTES
            } else {
                0
            }
    }
}

/// The parts of a recorder's memory.
struct Measures {
    layout: Layout,
    pages: usize,
}

impl Measures {
    /// A sixteenth of the memory, and what threads keep for themselves, is not for blocks and pages.
    fn of(
        memory: usize,
        shards: usize,
        spans: usize,
        overwrite: bool,
    ) -> Result<Self, InvalidMemory> {
        let fixed = Counters::BYTES + Pages::bytes_of(0);
        let too_small = || InvalidMemory::TooSmall {
            given: memory,
            least: InvalidMemory::LEAST,
        };
        let free = memory.checked_sub(fixed).ok_or_else(too_small)?;
        // Three sixteenths for spans that have not ended, the rest for those that have.
        let pages = free / 16 * 3 / (Pages::bytes_of(64) - Pages::bytes_of(0)) * 64;
        let ring = free - (Pages::bytes_of(pages) - Pages::bytes_of(0));
        // However many processors there are, a span finds a block that it fits.
        let wanted = ring / 8 / shards.min(8);
        let wanted = wanted.clamp(*BLOCK_BYTES.start(), *BLOCK_BYTES.end());
        let block_bytes = wanted / 64 * 64;
        let mut layout = Layout {
            blocks: ring / block_bytes,
            block_bytes,
            shards,
            max_shards: 1,
            spans,
            overwrite,
        };
        loop {
            layout.max_shards = (layout.blocks / 4).max(1);
            layout.shards = shards.min(layout.max_shards);
            if layout.bytes() <= ring {
                break;
            }
            layout.blocks = layout.blocks.checked_sub(1).ok_or_else(too_small)?;
        }
        if layout.blocks < 4 || pages == 0 {
            return Err(too_small());
        }
        Ok(Self { layout, pages })
    }
}

/// Why a recorder can't be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidMemory {
    /// The memory does not hold a ring of four blocks and a few pages.
    TooSmall {
        /// The bytes that were given.
        given: usize,
        /// The least that will do.
        least: usize,
    },
    /// There is no clock, and no operating system to ask.
    NoClock,
    /// There is no source of ids, and no operating system to ask.
    NoIds,
}

impl InvalidMemory {
    /// The least memory of a recorder in bytes.
    pub const LEAST: usize = 320 * 1024;
}

impl fmt::Display for InvalidMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooSmall { given, least } => {
                write!(
                    f,
                    "memory: {given} bytes are too few for a recorder, the least is {least}"
                )
            }
            Self::NoClock => {
                f.write_str("clock: none was given, and there is no operating system to ask")
            }
            Self::NoIds => {
                f.write_str("ids: no source was given, and there is no operating system to ask")
            }
        }
    }
}

impl core::error::Error for InvalidMemory {}

impl fmt::Debug for RecorderBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecorderBuilder")
            .field("memory", &self.memory)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, feature = "std", not(spanwire_loom)))]
mod tests {
    use super::*;

    #[test]
    fn memory_is_never_exceeded_and_well_used() {
        for memory in [
            InvalidMemory::LEAST,
            512 << 10,
            1 << 20,
            3 << 20,
            8 << 20,
            64 << 20,
        ] {
            for shards in [1, 8, 64] {
                let recorder = Recorder::builder()
                    .memory(memory)
                    .shards(shards)
                    .build()
                    .unwrap();
                let used = recorder.memory();
                assert!(used <= memory, "{memory}: {used}");
                assert!(used >= memory / 4 * 3, "{memory}: {used}");
                assert!(recorder.ring().shards() <= (recorder.ring().blocks() / 4).max(1));
            }
        }
        assert!(matches!(
            Recorder::builder().memory(100_000).build(),
            Err(InvalidMemory::TooSmall { given: 100_000, .. })
        ));
    }

    /// Guarantees: a span that fits the ring of a small machine fits that of a large one.
    #[test]
    fn blocks_are_as_large_however_many_shards_there_are() {
        let ring = |shards| {
            let builder = Recorder::builder().memory(8 << 20).shards(shards);
            builder.build().unwrap()
        };
        let (few, many) = (ring(8), ring(1024));
        assert_eq!(few.ring().block_bytes(), many.ring().block_bytes());
        assert_eq!(many.ring().shards(), many.ring().blocks() / 4);
    }
}
