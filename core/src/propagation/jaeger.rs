use super::line::Line;
use super::{Context, Extractor, Injector, Propagator, SamplingRequest, hex};
use crate::context::{BaggageChars, SpanContext, TraceFlags, TraceState, chars};
use crate::id::{SpanId, TraceId};

const TRACE_ID: &str = "uber-trace-id";
const BAGGAGE: &str = "uberctx-";

/// The most bytes of `uber-trace-id` that are read: twice what four full parts with encoded colons take.
const MAX_LEN: usize = 256;

/// The headers of Jaeger's own clients: `uber-trace-id`, and `uberctx-<name>` for each baggage member.
///
/// Ids may be shorter than 32 and 16 digits; colons may be written `%3A`; the parent id is ignored and written as `0`.
/// Baggage values are percent-encoded. Extracted baggage is added to what the context has. Deprecated by OpenTelemetry
/// in favour of W3C trace context; Jaeger client libraries, "Propagation Format".
///
/// ```
/// use spanwire_core::propagation::{Context, Jaeger, Propagator};
///
/// let mut context = Context::EMPTY;
/// let headers = [("uber-trace-id", "abc:1:0:1"), ("uberctx-user", "al%20ice")];
/// Jaeger.extract(&headers, &mut context);
/// assert_eq!(context.span_context().trace_id().to_string(), "00000000000000000000000000000abc");
/// assert!(context.baggage().get("user").unwrap() == "al ice");
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Jaeger;

impl Propagator for Jaeger {
    fn extract(&self, carrier: &dyn Extractor, into: &mut Context) {
        if let Some((context, request)) = carrier.get(TRACE_ID).and_then(parse) {
            into.set_span(context, request);
        }
        carrier.for_each(&mut |name, value| {
            let key = match name.split_at_checked(BAGGAGE.len()) {
                Some((prefix, key)) if prefix.eq_ignore_ascii_case(BAGGAGE) => key,
                _ => return,
            };
            let value = BaggageChars::new(chars::trim(value));
            // A member that is malformed or for which there is no room is left out.
            if let Ok(baggage) = into.baggage().insert_chars(key, value, "") {
                into.set_baggage(baggage);
            }
        });
    }

    fn inject(&self, context: &Context, carrier: &mut dyn Injector) {
        let span = context.span_context();
        if span.is_valid() {
            let debug = context.sampling_request() == SamplingRequest::Debug;
            let mut line = Line::<53>::new();
            line.push_hex(&span.trace_id().to_bytes());
            line.push(b":");
            line.push_hex(&span.span_id().to_bytes());
            line.push(match (debug, span.is_sampled()) {
                (true, _) => b":0:3",
                (false, true) => b":0:1",
                (false, false) => b":0:0",
            });
            carrier.set(TRACE_ID, line.as_str());
        }
        for member in context.baggage() {
            let mut name = Line::<256>::new();
            // A name that has no room here is none that a header could have.
            if name.push(BAGGAGE.as_bytes()) && name.push(member.key.as_bytes()) {
                carrier.set(name.as_str(), member.value.as_encoded());
            }
        }
    }

    /// Names `uber-trace-id`; those of baggage are not known beforehand.
    fn fields(&self, each: &mut dyn FnMut(&'static str)) {
        each(TRACE_ID);
    }
}

fn parse(text: &[u8]) -> Option<(SpanContext, SamplingRequest)> {
    let text = chars::trim(text);
    if text.len() > MAX_LEN {
        return None;
    }
    let (trace_id, rest) = split(text)?;
    let (span_id, rest) = split(rest)?;
    let (_parent, flags) = split(rest)?;
    let trace_id = TraceId::from_bytes(hex::decode_short(trace_id)?);
    let span_id = SpanId::from_bytes(hex::decode_short(span_id)?);
    let [flags] = hex::decode_short(flags)?;
    if !trace_id.is_valid() || !span_id.is_valid() {
        return None;
    }
    // 1 is sampled, 2 debug and only with it; 8, firehose, has no counterpart.
    let request = match flags & 3 {
        3 => SamplingRequest::Debug,
        _ => SamplingRequest::Unspecified,
    };
    let flags = TraceFlags::NONE.with_sampled(flags & 1 != 0);
    let context = SpanContext::new(trace_id, span_id, flags, true, TraceState::EMPTY);
    Some((context, request))
}

/// Splits at the first colon, plain or percent-encoded.
fn split(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|&byte| byte == b':' || byte == b'%')?;
    let (part, rest) = text.split_at(at);
    match rest {
        [b':', rest @ ..] | [b'%', b'3', b'A' | b'a', rest @ ..] => Some((part, rest)),
        _ => None,
    }
}
