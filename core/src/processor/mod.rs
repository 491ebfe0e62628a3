//! Processors: what may change or drop a batch on its way out.
//!
//! A [`Processor`] takes segments and gives segments, on bytes: what it does not touch it does not re-encode, and a
//! change of the resource replaces the head and leaves every span where it is. "Processor" has the OpenTelemetry
//! Collector's meaning.

use core::fmt;

// Regular expressions, or their absence.
#[cfg(feature = "regex")]
mod regex;
#[cfg(not(feature = "regex"))]
#[path = "no_regex.rs"]
mod regex;

// What a text is to be like.
mod pattern;

// A value on its way to another attribute.
mod held;

// A value that can't be read any more.
#[cfg(feature = "sha256")]
mod sha256;

// Changes of attributes.
mod actions;

// What is asked of a span in the Collector's language.
mod ottl;

// What is asked of a span.
mod condition;

// A body with some spans changed or left out.
mod rewrite;

// Changes of what is said about a span.
mod attributes;

// Spans left out by what they are.
mod filter;

// A share of the traces, after the spans have ended.
mod probabilistic_sampler;

// Changes of who speaks.
mod resource;

pub use actions::{Actions, ConvertTo, Extraction, InvalidExtraction};
pub use attributes::AttributesProcessor;
pub use condition::{AttributeCondition, Condition};
pub use filter::FilterProcessor;
pub use ottl::{InvalidOttl, OttlCondition, OttlContext};
pub use pattern::Pattern;
pub use probabilistic_sampler::ProbabilisticSampler;
pub use regex::InvalidRegex;
pub use resource::ResourceProcessor;

use crate::batch::Segment;
use crate::limiter::{Account, Permit, Refused};
use crate::stats::{DropReason, Dropped};

/// A stage of a pipeline.
///
/// Every span of the segment that comes in goes out in a segment, or is counted as filtered or dropped, and none is
/// counted twice: that is what the engine's account rests on. A processor keeps no span between calls. If it panics,
/// the spans it was given and has not emitted count as `Panicked`.
///
/// ```
/// # #[cfg(all(feature = "std", feature = "testing"))] {
/// use core::time::Duration;
/// use spanwire_core::batch::Segment;
/// use spanwire_core::pipeline::Pipeline;
/// use spanwire_core::processor::{Edit, Later, Processor};
/// use spanwire_core::testing::InMemoryExporter;
///
/// /// Leaves out what a library says that is too talkative.
/// struct Without(&'static str);
///
/// impl Processor for Without {
///     fn name(&self) -> &str {
///         "without"
///     }
///
///     fn process(&mut self, segment: Segment, edit: &mut Edit<'_>) -> Result<(), Later> {
///         // A segment of this program's spans has one scope.
///         let scope = segment.views().find_map(|span| span.scope());
///         if scope.is_some_and(|scope| scope.name() == self.0) {
///             edit.filter(segment.spans());
///         } else {
///             edit.emit(segment);
///         }
///         Ok(())
///     }
/// }
///
/// let kept = InMemoryExporter::new();
/// let exporter = kept.clone();
/// let pipeline = Pipeline::builder()
///     .stage(|| Box::new(Without("talkative")) as Box<dyn Processor>)
///     .exporter(move || exporter.clone())
///     .build()?;
/// pipeline.tracer("talkative").start("noise").end();
/// assert!(pipeline.flush(Duration::from_secs(5)).is_complete());
/// assert_eq!(kept.span_count(), 0);
/// # pipeline.shutdown(Duration::from_secs(5));
/// # }
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
pub trait Processor: Send {
    /// Its name in reports: `resource`, `filter`.
    fn name(&self) -> &str;

    /// Takes a segment; what is left of it goes to [`Edit::emit`].
    ///
    /// # Errors
    ///
    /// [`Later`] gives the segment back, with nothing emitted and nothing counted, when the working reserve has no
    /// room now but will have: once what is in flight has been sent. The engine offers it again then. An edit that
    /// the reserve could never hold is `NoRoom`, and costs its spans.
    fn process(&mut self, segment: Segment, edit: &mut Edit<'_>) -> Result<(), Later>;
}

/// The segment waits for room in the working reserve.
#[derive(Debug)]
pub struct Later(pub Segment);

impl fmt::Display for Later {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the working reserve has no room for this edit now")
    }
}

impl core::error::Error for Later {}

/// One call of a processor: where memory comes from, where segments go, and what became of the other spans.
pub struct Edit<'a> {
    reserve: &'a Account,
    out: &'a mut dyn FnMut(Segment),
    filtered: u64,
    dropped: Dropped,
    emitted: u64,
}

impl<'a> Edit<'a> {
    /// An edit that takes memory from `reserve` and gives segments to `out`.
    pub fn new(reserve: &'a Account, out: &'a mut dyn FnMut(Segment)) -> Self {
        Self {
            reserve,
            out,
            filtered: 0,
            dropped: Dropped::default(),
            emitted: 0,
        }
    }

    /// Hands a segment on.
    pub fn emit(&mut self, segment: Segment) {
        self.emitted = self.emitted.saturating_add(segment.spans() as u64);
        (self.out)(segment);
    }

    /// Counts spans that are left out on purpose.
    pub fn filter(&mut self, spans: usize) {
        self.filtered = self.filtered.saturating_add(spans as u64);
    }

    /// Counts spans that are lost.
    pub fn drop_spans(&mut self, reason: DropReason, spans: usize) {
        self.dropped.add(reason, spans as u64);
    }

    /// Memory for `bytes` of output in the place of `segment`: measured first, so that it is granted whole or not at
    /// all. The segment's own door is asked first, up to its hard limit, because the output may wait as long as the
    /// segment would have; then the working reserve.
    ///
    /// # Errors
    ///
    /// [`Refused`] by the reserve: try later if [`is_retryable`](Refused::is_retryable), else count
    /// [`NoRoom`](DropReason::NoRoom).
    pub fn acquire(&self, segment: &Segment, bytes: usize) -> Result<Permit, Refused> {
        let door = self.reserve.of(segment.door().into());
        door.acquire_quietly(bytes)
            .or_else(|_| self.reserve.acquire(bytes))
    }

    /// The working reserve.
    #[must_use]
    pub fn reserve(&self) -> &Account {
        self.reserve
    }

    /// The spans left out on purpose.
    #[must_use]
    pub fn filtered(&self) -> u64 {
        self.filtered
    }

    /// The spans lost.
    #[must_use]
    pub fn dropped(&self) -> &Dropped {
        &self.dropped
    }

    /// The spans handed on.
    #[must_use]
    pub fn emitted(&self) -> u64 {
        self.emitted
    }
}

impl fmt::Debug for Edit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Edit")
            .field("emitted", &self.emitted)
            .field("filtered", &self.filtered)
            .field("dropped", &self.dropped)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
