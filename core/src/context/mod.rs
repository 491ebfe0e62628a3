//! What crosses a process boundary: span context, trace state, baggage.
//!
//! W3C Trace Context Level 2; W3C Baggage; OpenTelemetry trace API, "SpanContext"; baggage API.

use crate::attribute::KeyValue;
use crate::id::{SpanId, TraceId};

mod baggage;
pub(crate) mod chars;
mod flags;
pub(crate) mod member;
mod text;
mod trace_state;

pub use baggage::{
    Baggage, BaggageChars, BaggageIter, BaggageMember, BaggageRef, BaggageValue, InvalidBaggage,
};
pub use flags::TraceFlags;
pub use trace_state::{InvalidTraceState, TraceState, TraceStateIter, TraceStateRef};

/// The part of a span that others may know: its ids, its flags, where it came from and its trace state.
///
/// A value is immutable; `with_*` makes a changed copy. It takes at most 64 bytes, and a clone is a plain copy unless the
/// trace state is longer than 30 bytes. OpenTelemetry trace API, "SpanContext".
///
/// ```
/// use spanwire_core::context::{SpanContext, TraceFlags, TraceState};
/// use spanwire_core::id::{SpanId, TraceId};
///
/// let context = SpanContext::new(
///     "4bf92f3577b34da6a3ce929d0e0e4736".parse::<TraceId>()?,
///     "00f067aa0ba902b7".parse::<SpanId>()?,
///     TraceFlags::SAMPLED,
///     true,
///     TraceState::EMPTY,
/// );
/// assert!(context.is_valid() && context.is_sampled() && context.is_remote());
/// assert!(!SpanContext::INVALID.is_valid());
/// # Ok::<(), spanwire_core::id::InvalidHex>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SpanContext {
    trace_state: TraceState,
    trace_id: TraceId,
    span_id: SpanId,
    flags: TraceFlags,
    is_remote: bool,
}

impl SpanContext {
    /// The context of no span: ids all zero, no flags, not remote.
    pub const INVALID: Self = Self::new(
        TraceId::INVALID,
        SpanId::INVALID,
        TraceFlags::NONE,
        false,
        TraceState::EMPTY,
    );

    /// The context with these parts. It is valid only if both ids are.
    #[inline]
    #[must_use]
    pub const fn new(
        trace_id: TraceId,
        span_id: SpanId,
        flags: TraceFlags,
        is_remote: bool,
        trace_state: TraceState,
    ) -> Self {
        Self {
            trace_state,
            trace_id,
            span_id,
            flags,
            is_remote,
        }
    }

    /// The trace the span belongs to.
    #[inline]
    #[must_use]
    pub const fn trace_id(&self) -> TraceId {
        self.trace_id
    }

    /// The span.
    #[inline]
    #[must_use]
    pub const fn span_id(&self) -> SpanId {
        self.span_id
    }

    /// The W3C trace flags.
    #[inline]
    #[must_use]
    pub const fn flags(&self) -> TraceFlags {
        self.flags
    }

    /// Whether the sampled flag is set.
    #[inline]
    #[must_use]
    pub const fn is_sampled(&self) -> bool {
        self.flags.is_sampled()
    }

    /// Whether the context came from another process.
    #[inline]
    #[must_use]
    pub const fn is_remote(&self) -> bool {
        self.is_remote
    }

    /// What vendors add to the context.
    #[inline]
    #[must_use]
    pub const fn trace_state(&self) -> &TraceState {
        &self.trace_state
    }

    /// All of it but the trace state; the names of no span, if it is invalid.
    #[inline(always)]
    pub(crate) const fn names(&self) -> Names {
        if !self.is_valid() {
            return Names::NONE;
        }
        let marks = Marks::of(self.flags).with(Marks::VALID, true);
        let marks = marks.with(Marks::REMOTE, self.is_remote);
        Names {
            trace_id: self.trace_id,
            span_id: self.span_id,
            marks: marks.with(Marks::STATE, !self.trace_state.is_empty()),
        }
    }

    /// Whether both ids have a byte that is not zero.
    #[inline]
    #[must_use]
    pub const fn is_valid(&self) -> bool {
        self.trace_id.is_valid() && self.span_id.is_valid()
    }

    /// The same context with another span id.
    #[inline]
    #[must_use]
    pub const fn with_span_id(mut self, span_id: SpanId) -> Self {
        self.span_id = span_id;
        self
    }

    /// The same context with other flags.
    #[inline]
    #[must_use]
    pub const fn with_flags(mut self, flags: TraceFlags) -> Self {
        self.flags = flags;
        self
    }

    /// The same context, said to come from another process or not.
    #[inline]
    #[must_use]
    pub const fn with_remote(mut self, is_remote: bool) -> Self {
        self.is_remote = is_remote;
        self
    }

    /// The same context with another trace state.
    #[inline]
    #[must_use]
    pub fn with_trace_state(mut self, trace_state: TraceState) -> Self {
        self.trace_state = trace_state;
        self
    }
}

impl Default for SpanContext {
    fn default() -> Self {
        Self::INVALID
    }
}

/// All of a context but its trace state: a few numbers, which are handed on without going through memory.
#[derive(Clone, Copy)]
pub(crate) struct Names {
    pub(crate) trace_id: TraceId,
    pub(crate) span_id: SpanId,
    pub(crate) marks: Marks,
}

/// What is said of a context beside its ids, as one small number: one look at a table tells what becomes of a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Marks(u8);

impl Marks {
    const FLAGS: u8 = TraceFlags::SAMPLED.bits() | TraceFlags::RANDOM.bits();
    const REMOTE: u8 = 4;
    const STATE: u8 = 8;
    const VALID: u8 = 16;

    /// How many there are.
    pub(crate) const COUNT: usize = 32;

    /// The marks with this number, below [`COUNT`](Self::COUNT).
    pub(crate) const fn from_index(index: usize) -> Self {
        Self((index % Self::COUNT) as u8)
    }

    /// Their number, below [`COUNT`](Self::COUNT).
    #[inline(always)]
    pub(crate) const fn index(self) -> usize {
        self.0 as usize % Self::COUNT
    }

    #[inline(always)]
    const fn of(flags: TraceFlags) -> Self {
        Self(flags.bits())
    }

    #[inline(always)]
    const fn with(self, mark: u8, set: bool) -> Self {
        Self(self.0 | if set { mark } else { 0 })
    }

    const fn has(self, mark: u8) -> bool {
        self.0 & mark != 0
    }

    /// The W3C trace flags.
    #[inline(always)]
    pub(crate) const fn flags(self) -> TraceFlags {
        TraceFlags::from_bits(self.0 & Self::FLAGS)
    }

    #[inline(always)]
    pub(crate) const fn is_remote(self) -> bool {
        self.has(Self::REMOTE)
    }

    /// Of a span of this process that is not sampled.
    #[inline(always)]
    pub(crate) const fn is_local_not_sampled(self) -> bool {
        self.0 & (Self::VALID | Self::REMOTE | TraceFlags::SAMPLED.bits()) == Self::VALID
    }

    /// Whether there is a trace state to be looked up.
    #[inline(always)]
    pub(crate) const fn has_state(self) -> bool {
        self.has(Self::STATE)
    }

    /// See [`SpanContext::is_valid`].
    #[inline(always)]
    pub(crate) const fn is_valid(self) -> bool {
        self.has(Self::VALID)
    }
}

impl Names {
    pub(crate) const NONE: Self = Self {
        trace_id: TraceId::INVALID,
        span_id: SpanId::INVALID,
        marks: Marks(0),
    };

    /// The names of a span of this process that has no trace state yet.
    #[inline(always)]
    pub(crate) const fn new(trace_id: TraceId, span_id: SpanId, flags: TraceFlags) -> Self {
        Self {
            trace_id,
            span_id,
            marks: Marks::of(flags).with(Marks::VALID, true),
        }
    }

    #[inline(always)]
    pub(crate) const fn with_sampled(self, sampled: bool) -> Self {
        let flags = self.marks.flags().with_sampled(sampled);
        Self::new(self.trace_id, self.span_id, flags)
    }

    /// The context with these names and no trace state.
    #[inline(always)]
    pub(crate) const fn stateless(self) -> SpanContext {
        self.with_state(TraceState::none())
    }

    /// The context with these names and this trace state.
    #[inline(always)]
    pub(crate) const fn with_state(self, state: TraceState) -> SpanContext {
        SpanContext::new(
            self.trace_id,
            self.span_id,
            self.marks.flags(),
            self.marks.is_remote(),
            state,
        )
    }
}

/// A pointer from one span to another, with what is said about the relation.
///
/// OpenTelemetry trace API, "Link". A link to an invalid context is legal and is recorded if it has attributes or a
/// trace state.
///
/// ```
/// use spanwire_core::attribute::KeyValue;
/// use spanwire_core::context::{Link, SpanContext};
///
/// let context = SpanContext::INVALID;
/// let attributes = [KeyValue::new("messaging.batch.index", 3)];
/// let link = Link::new(&context).with_attributes(&attributes);
/// assert_eq!(link.attributes.len(), 1);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Link<'a> {
    /// The span pointed to.
    pub context: &'a SpanContext,
    /// What is said about the relation.
    pub attributes: &'a [KeyValue<'a>],
}

impl<'a> Link<'a> {
    /// A link without attributes.
    #[inline]
    #[must_use]
    pub const fn new(context: &'a SpanContext) -> Self {
        Self {
            context,
            attributes: &[],
        }
    }

    /// The same link with these attributes.
    #[inline]
    #[must_use]
    pub const fn with_attributes(mut self, attributes: &'a [KeyValue<'a>]) -> Self {
        self.attributes = attributes;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_is_one_cache_line() {
        assert!(size_of::<SpanContext>() <= 64);
        assert_eq!(size_of::<TraceFlags>(), 1);
    }

    #[test]
    fn changed_copies_keep_the_rest() {
        let span = SpanId::from_bytes([1; 8]);
        let context = SpanContext::INVALID
            .with_span_id(span)
            .with_flags(TraceFlags::RANDOM)
            .with_remote(true);
        assert_eq!(context.span_id(), span);
        assert!(context.flags().is_random() && !context.is_sampled());
        assert!(context.is_remote() && !context.is_valid());
        assert_eq!(SpanContext::default(), SpanContext::INVALID);
    }
}
