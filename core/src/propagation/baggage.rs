use super::{Context, Extractor, Injector, Propagator};
use crate::context::Baggage;

const BAGGAGE: &str = "baggage";

/// W3C baggage: the header `baggage`.
///
/// Several headers are one list, in order. Extracting replaces the baggage of the context if the carrier has any.
///
/// ```
/// use spanwire_core::propagation::{BaggageHeader, Context, Propagator};
///
/// let mut context = Context::EMPTY;
/// BaggageHeader.extract(&[("baggage", "a=1"), ("baggage", "b=2")], &mut context);
/// assert_eq!(context.baggage().as_str(), "a=1,b=2");
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct BaggageHeader;

impl Propagator for BaggageHeader {
    fn extract(&self, carrier: &dyn Extractor, into: &mut Context) {
        if carrier.get(BAGGAGE).is_none() {
            return;
        }
        let baggage = Baggage::collect(|each| carrier.get_all(BAGGAGE, each));
        if !baggage.is_empty() {
            into.set_baggage(baggage);
        }
    }

    fn inject(&self, context: &Context, carrier: &mut dyn Injector) {
        if !context.baggage().is_empty() {
            carrier.set(BAGGAGE, context.baggage().as_str());
        }
    }

    fn fields(&self, each: &mut dyn FnMut(&'static str)) {
        each(BAGGAGE);
    }
}
