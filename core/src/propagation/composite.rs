use super::{B3, BaggageHeader, Context, Extractor, Injector, Jaeger, Propagator, TraceContext};

/// Several propagators, one after the other.
///
/// Each extracts into what those before it found: where two find a span context, the later one wins. OpenTelemetry
/// context specification, "Composite Propagator".
///
/// ```
/// use spanwire_core::propagation::{B3, Composite, Context, Propagator, TraceContext};
///
/// let both = Composite::new([&B3::SINGLE as &dyn Propagator, &TraceContext]);
/// let headers = [
///     ("b3", "463ac35c9f6413ad463ac35c9f6413ad-a2fb4a1d1a96d312-1"),
///     ("traceparent", "malformed"),
/// ];
/// let mut context = Context::EMPTY;
/// both.extract(&headers, &mut context);
/// assert!(context.span_context().is_sampled());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Composite<L>(L);

impl<L> Composite<L> {
    /// The propagators of this list: an array, a slice or a `Vec`.
    #[must_use]
    pub const fn new(list: L) -> Self {
        Self(list)
    }
}

impl<'p, L: AsRef<[&'p dyn Propagator]> + Send + Sync> Propagator for Composite<L> {
    fn extract(&self, carrier: &dyn Extractor, into: &mut Context) {
        for propagator in self.0.as_ref() {
            propagator.extract(carrier, into);
        }
    }

    fn inject(&self, context: &Context, carrier: &mut dyn Injector) {
        for propagator in self.0.as_ref() {
            propagator.inject(context, carrier);
        }
    }

    fn fields(&self, each: &mut dyn FnMut(&'static str)) {
        for propagator in self.0.as_ref() {
            propagator.fields(each);
        }
    }
}

/// W3C trace context, then W3C baggage: what OpenTelemetry and Kubernetes use by default.
pub static STANDARD: Composite<[&'static dyn Propagator; 2]> =
    Composite::new([&TraceContext, &BaggageHeader]);

/// The propagator that `OTEL_PROPAGATORS` calls by this name: `tracecontext`, `baggage`, `b3`, `b3multi` or `jaeger`.
///
/// `none` and unknown names give nothing.
#[must_use]
pub fn by_name(name: &str) -> Option<&'static dyn Propagator> {
    Some(match name {
        "tracecontext" => &TraceContext,
        "baggage" => &BaggageHeader,
        "b3" => &B3::SINGLE,
        "b3multi" => &B3::MULTI,
        "jaeger" => &Jaeger,
        _ => return None,
    })
}
