use crate::context::{Baggage, SpanContext};

/// What travels with a request: a span context, what was asked about sampling, and baggage.
///
/// OpenTelemetry context specification: the entries of a Context that propagators know.
///
/// ```
/// use spanwire_core::context::{Baggage, SpanContext};
/// use spanwire_core::propagation::Context;
///
/// let context = Context::new(SpanContext::INVALID);
/// assert_eq!(context, Context::EMPTY);
/// let baggage = Baggage::parse("user=alice");
/// assert!(!context.with_baggage(baggage).baggage().is_empty());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    span_context: SpanContext,
    baggage: Baggage,
    request: SamplingRequest,
}

impl Context {
    /// Nothing.
    pub const EMPTY: Self = Self {
        span_context: SpanContext::INVALID,
        baggage: Baggage::EMPTY,
        request: SamplingRequest::Unspecified,
    };

    /// This span context and nothing else.
    #[must_use]
    pub const fn new(span_context: SpanContext) -> Self {
        Self {
            span_context,
            baggage: Baggage::EMPTY,
            request: SamplingRequest::Unspecified,
        }
    }

    /// The span context; [`SpanContext::INVALID`] if there is none.
    #[inline]
    #[must_use]
    pub const fn span_context(&self) -> &SpanContext {
        &self.span_context
    }

    /// The baggage.
    #[inline]
    #[must_use]
    pub const fn baggage(&self) -> &Baggage {
        &self.baggage
    }

    /// What B3 or Jaeger headers asked for beyond the sampled flag.
    #[inline]
    #[must_use]
    pub const fn sampling_request(&self) -> SamplingRequest {
        self.request
    }

    /// The same context around another span: for a child before it is injected.
    ///
    /// [`SamplingRequest::Debug`] stays; any other request is settled by the span.
    #[must_use]
    pub fn with_span_context(mut self, span_context: SpanContext) -> Self {
        let request = match self.request {
            SamplingRequest::Debug => SamplingRequest::Debug,
            _ => SamplingRequest::Unspecified,
        };
        self.set_span(span_context, request);
        self
    }

    /// The same context with other baggage.
    #[must_use]
    pub fn with_baggage(mut self, baggage: Baggage) -> Self {
        self.baggage = baggage;
        self
    }

    /// The same context with another request.
    #[must_use]
    pub const fn with_sampling_request(mut self, request: SamplingRequest) -> Self {
        self.request = request;
        self
    }

    /// Replaces the span context and the request: what a propagator of one's own calls.
    pub fn set_span(&mut self, span_context: SpanContext, request: SamplingRequest) {
        self.span_context = span_context;
        self.request = request;
    }

    /// Replaces the baggage.
    pub fn set_baggage(&mut self, baggage: Baggage) {
        self.baggage = baggage;
    }
}

impl Default for Context {
    fn default() -> Self {
        Self::EMPTY
    }
}

/// What a caller asked about sampling that one sampled flag can't say.
///
/// B3, "Sampling State"; the flags of `uber-trace-id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum SamplingRequest {
    /// Nothing beyond the sampled flag.
    #[default]
    Unspecified,
    /// The decision is left to this process. The sampled flag is not set.
    Deferred,
    /// Not to sample. Comes without ids: with ids the sampled flag says it.
    Deny,
    /// To sample. Comes without ids: with ids the sampled flag says it.
    Accept,
    /// To sample, whatever the samplers say. With ids the sampled flag is set too.
    Debug,
}
