//! Samplers: which traces are kept.
//!
//! A sampler is asked once for each new span, before anything is recorded. OpenTelemetry trace SDK specification,
//! "Sampling".

use core::fmt;

use crate::attribute::KeyValue;
use crate::clock::Moment;
use crate::context::{Link, SpanContext, TraceState};
use crate::id::TraceId;
use crate::wire::SpanKind;

mod annotating;
mod composite;
mod condition;
mod fixed;
mod foresight;
pub(crate) mod glob;
mod meter;
pub(crate) mod ot;
mod parent_based;
mod per_million;
mod probability;
mod rate_limiting;
mod rules;
mod threshold;

pub use annotating::Annotating;
pub use composite::{AnyOf, ComposableSampler, CompositeSampler, ParentThreshold, SamplingIntent};
#[cfg(feature = "alloc")]
pub use condition::OwnedCondition;
pub use condition::{AttributePatterns, AttributeValues, Condition, ParentKind, Predicate};
pub use fixed::{AlwaysOff, AlwaysOn, AlwaysRecord};
pub(crate) use foresight::{Case, Foresight, Outlooks};
pub use parent_based::ParentBased;
pub use per_million::{InvalidRate, PerMillion};
pub use probability::{InvalidRatio, Probability};
pub use rate_limiting::{InvalidRateLimit, RateLimiting};
pub use rules::{Rule, RuleBased};
pub use threshold::Threshold;

/// Decides, for each new span, whether it is recorded and whether it is exported.
///
/// Samplers are asked from many threads at once, on the path of every span: none in this module allocates, locks or
/// waits. A sampler that panics counts as one that drops.
///
/// ```
/// use core::fmt;
/// use spanwire_core::attribute::KeyValue;
/// use spanwire_core::sampler::{Sampler, Sampling, SamplingInput};
/// use spanwire_core::wire::SpanKind;
///
/// /// Keeps what comes in from outside.
/// struct ServersOnly;
///
/// impl Sampler for ServersOnly {
///     fn sample(&self, input: &SamplingInput<'_>, add: &mut dyn FnMut(KeyValue<'_>)) -> Sampling {
///         if input.kind == SpanKind::Server {
///             add(KeyValue::new("sampler", "servers"));
///             Sampling::SAMPLE
///         } else {
///             Sampling::DROP
///         }
///     }
///
///     fn description(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
///         f.write_str("ServersOnly")
///     }
/// }
/// ```
pub trait Sampler: Send + Sync {
    /// Decides about one new span.
    ///
    /// `add` takes attributes for the span; they are kept only if the decision is to record it.
    fn sample(&self, input: &SamplingInput<'_>, add: &mut dyn FnMut(KeyValue<'_>)) -> Sampling;

    /// Writes what the sampler does, for people: its name, and its configuration in braces.
    ///
    /// # Errors
    /// Those of the formatter.
    fn description(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;

    /// Whether [`sample`](Self::sample) looks at [`SamplingInput::moment`]. Without such a sampler no clock is read
    /// for a span that is dropped. Default: `false`. A sampler that wraps others answers for them.
    fn needs_moment(&self) -> bool {
        false
    }

    /// What is known of all answers about spans of this case. A tracer asks once and spares itself the question
    /// later. For the samplers of this crate: others can't name the case, and are always asked.
    #[doc(hidden)]
    fn foresee(&self, case: Case) -> Foresight {
        let _ = case;
        Foresight::Ask
    }
}

/// What a sampler may know about a span that is about to start.
///
/// ```
/// use spanwire_core::id::TraceId;
/// use spanwire_core::sampler::SamplingInput;
/// use spanwire_core::wire::SpanKind;
///
/// let input = SamplingInput {
///     kind: SpanKind::Server,
///     ..SamplingInput::root("4bf92f3577b34da6a3ce929d0e0e4736".parse()?, "GET /pods")
/// };
/// assert!(input.parent.is_none());
/// # Ok::<(), spanwire_core::id::InvalidHex>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct SamplingInput<'a> {
    /// The parent; `None` for a root. Always valid.
    pub parent: Option<&'a SpanContext>,
    /// The trace the span belongs to: the parent's, if there is one.
    pub trace_id: TraceId,
    /// Whether the lowest 56 bits of the trace id are known to be random: W3C trace flag 2.
    pub random: bool,
    /// The name of the span.
    pub name: &'a str,
    /// The kind of the span.
    pub kind: SpanKind,
    /// The attributes known at the start.
    pub attributes: &'a [KeyValue<'a>],
    /// The links known at the start.
    pub links: &'a [Link<'a>],
    /// When the span starts; the origin of the clock unless the sampler [needs it](Sampler::needs_moment).
    pub moment: Moment,
}

impl<'a> SamplingInput<'a> {
    /// A root span of kind `Internal` about which nothing else is known.
    #[must_use]
    pub const fn root(trace_id: TraceId, name: &'a str) -> Self {
        Self {
            parent: None,
            trace_id,
            random: false,
            name,
            kind: SpanKind::Internal,
            attributes: &[],
            links: &[],
            moment: Moment::from_nanos(0),
        }
    }

    /// A child of kind `Internal` about which nothing else is known. With an invalid parent it is a root.
    #[must_use]
    pub const fn child(parent: &'a SpanContext, name: &'a str) -> Self {
        let mut input = Self::root(parent.trace_id(), name);
        input.random = parent.flags().is_random();
        if parent.is_valid() {
            input.parent = Some(parent);
        }
        input
    }
}

/// What happens to a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Decision {
    /// Nothing is recorded. The span has ids, and its context is passed on.
    Drop,
    /// Recorded, seen by processors, not exported. The sampled flag is not set.
    RecordOnly,
    /// Recorded and exported. The sampled flag is set.
    RecordAndSample,
}

impl Decision {
    /// Whether the span takes attributes and events.
    #[must_use]
    #[inline]
    pub const fn is_recorded(self) -> bool {
        !matches!(self, Self::Drop)
    }

    /// Whether the span is exported, which is what the sampled flag says.
    #[must_use]
    #[inline]
    pub const fn is_sampled(self) -> bool {
        matches!(self, Self::RecordAndSample)
    }
}

/// A sampler's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sampling {
    /// What happens to the span.
    pub decision: Decision,
    /// The trace state of the span's context.
    pub trace_state: TraceStateChange,
}

impl Sampling {
    /// Dropped; the parent's trace state stays.
    pub const DROP: Self = Self::new(Decision::Drop);

    /// Recorded and exported; the parent's trace state stays.
    pub const SAMPLE: Self = Self::new(Decision::RecordAndSample);

    /// This decision; the parent's trace state stays.
    #[must_use]
    #[inline]
    pub const fn new(decision: Decision) -> Self {
        Self {
            decision,
            trace_state: TraceStateChange::Keep,
        }
    }

    /// [`SAMPLE`](Self::SAMPLE) or [`DROP`](Self::DROP).
    #[must_use]
    #[inline]
    pub const fn sample_if(keep: bool) -> Self {
        Self::new(if keep {
            Decision::RecordAndSample
        } else {
            Decision::Drop
        })
    }
}

/// What becomes of the parent's trace state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TraceStateChange {
    /// The new span has the parent's; a root has none.
    Keep,
    /// The new span has this one.
    Replace(TraceState),
}

/// A sampler's description as something to print.
///
/// ```
/// use spanwire_core::sampler::{Description, ParentBased, PerMillion};
///
/// let sampler = ParentBased::new(PerMillion::new(10_000)?);
/// assert!(Description(&sampler).to_string().starts_with("ParentBased{root:TraceIDRatioBased{0.01},"));
/// # Ok::<(), spanwire_core::sampler::InvalidRate>(())
/// ```
pub struct Description<'a, S: ?Sized>(pub &'a S);

impl<S: Sampler + ?Sized> fmt::Display for Description<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.description(f)
    }
}

impl<S: Sampler + ?Sized> fmt::Debug for Description<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.description(f)
    }
}

macro_rules! forward {
    ($($(#[$gate:meta])? $pointer:ty),+ $(,)?) => {
        $($(#[$gate])? impl<S: Sampler + ?Sized> Sampler for $pointer {
            #[inline]
            fn sample(&self, input: &SamplingInput<'_>, add: &mut dyn FnMut(KeyValue<'_>)) -> Sampling {
                (**self).sample(input, add)
            }

            fn description(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                (**self).description(f)
            }

            fn needs_moment(&self) -> bool {
                (**self).needs_moment()
            }

            fn foresee(&self, case: Case) -> Foresight {
                (**self).foresee(case)
            }
        })+
    };
}

forward! {
    &S,
    #[cfg(feature = "alloc")] alloc::boxed::Box<S>,
    #[cfg(feature = "alloc")] alloc::sync::Arc<S>,
}
