use super::line::Line;
use super::{Context, Extractor, Injector, Propagator, SamplingRequest, hex};
use crate::context::{SpanContext, TraceFlags, TraceState, chars};
use crate::id::{SpanId, TraceId};

const SINGLE: &str = "b3";
const TRACE_ID: &str = "x-b3-traceid";
const SPAN_ID: &str = "x-b3-spanid";
const PARENT_SPAN_ID: &str = "x-b3-parentspanid";
const SAMPLED: &str = "x-b3-sampled";
const FLAGS: &str = "x-b3-flags";

/// The headers of Zipkin: `b3`, or `x-b3-traceid` and its companions.
///
/// Extracting tries the single header first, then the others; injecting writes the kind this value stands for, and no
/// parent id. A trace id of 16 digits is padded with zeros. OpenTelemetry context specification, "B3 Requirements";
/// openzipkin/b3-propagation.
///
/// ```
/// use spanwire_core::propagation::{B3, Context, Propagator, SamplingRequest};
///
/// let mut context = Context::EMPTY;
/// B3::SINGLE.extract(&[("b3", "463ac35c9f6413ad-a2fb4a1d1a96d312-d")], &mut context);
/// assert_eq!(context.sampling_request(), SamplingRequest::Debug);
///
/// let mut onward = Vec::<(String, String)>::new();
/// B3::SINGLE.inject(&context, &mut onward);
/// assert_eq!(onward[0].1, "0000000000000000463ac35c9f6413ad-a2fb4a1d1a96d312-d");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct B3 {
    multi: bool,
}

impl B3 {
    /// Injects the single header `b3`.
    pub const SINGLE: Self = Self { multi: false };

    /// Injects `x-b3-traceid`, `x-b3-spanid` and `x-b3-sampled` or `x-b3-flags`.
    pub const MULTI: Self = Self { multi: true };
}

impl Propagator for B3 {
    fn extract(&self, carrier: &dyn Extractor, into: &mut Context) {
        let single = carrier.get(SINGLE).and_then(Found::single);
        let found = match single {
            Some(found) if found.ids.is_some() => Some(found),
            // What the single header asks without ids stands unless the others have ids.
            single => match Found::multi(carrier) {
                Some(found) if found.ids.is_some() || single.is_none() => Some(found),
                _ => single,
            },
        };
        match found {
            Some(Found {
                ids: Some(ids),
                state,
            }) => into.set_span(state.with_ids(ids), state.request()),
            // A request without ids says nothing about a span that is already known.
            Some(Found { ids: None, state }) if !into.span_context().is_valid() => {
                into.set_span(SpanContext::INVALID, state.request_alone());
            }
            _ => {}
        }
    }

    fn inject(&self, context: &Context, carrier: &mut dyn Injector) {
        let span = context.span_context();
        let state = State::of(context);
        if !span.is_valid() {
            match state {
                State::Deferred => {}
                state if self.multi => state.inject(carrier),
                state => carrier.set(SINGLE, state.as_str()),
            }
            return;
        }
        let mut line = Line::<51>::new();
        line.push_hex(&span.trace_id().to_bytes());
        if self.multi {
            carrier.set(TRACE_ID, line.as_str());
            let mut line = Line::<16>::new();
            line.push_hex(&span.span_id().to_bytes());
            carrier.set(SPAN_ID, line.as_str());
            state.inject(carrier);
            return;
        }
        line.push(b"-");
        line.push_hex(&span.span_id().to_bytes());
        if state != State::Deferred {
            line.push(b"-");
            line.push(state.as_str().as_bytes());
        }
        carrier.set(SINGLE, line.as_str());
    }

    fn fields(&self, each: &mut dyn FnMut(&'static str)) {
        for name in [SINGLE, TRACE_ID, SPAN_ID, PARENT_SPAN_ID, SAMPLED, FLAGS] {
            each(name);
        }
    }
}

/// The sampling state of B3.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Deferred,
    Deny,
    Accept,
    Debug,
}

impl State {
    fn parse(text: &[u8]) -> Option<Self> {
        Some(match text {
            b"0" => Self::Deny,
            b"1" => Self::Accept,
            b"d" => Self::Debug,
            _ => return None,
        })
    }

    /// What to tell the next process.
    const fn of(context: &Context) -> Self {
        let span = context.span_context();
        match context.sampling_request() {
            SamplingRequest::Debug => Self::Debug,
            // Nobody has decided since it was deferred: the caller's own context is passed on.
            SamplingRequest::Deferred if span.is_remote() && !span.is_sampled() => Self::Deferred,
            _ if span.is_sampled() => Self::Accept,
            _ if span.is_valid() => Self::Deny,
            SamplingRequest::Accept => Self::Accept,
            SamplingRequest::Deny => Self::Deny,
            _ => Self::Deferred,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Deferred => "",
            Self::Deny => "0",
            Self::Accept => "1",
            Self::Debug => "d",
        }
    }

    fn inject(self, carrier: &mut dyn Injector) {
        match self {
            Self::Deferred => {}
            // Debug implies accept: only one of the two is sent.
            Self::Debug => carrier.set(FLAGS, "1"),
            state => carrier.set(SAMPLED, state.as_str()),
        }
    }

    const fn with_ids(self, (trace_id, span_id): (TraceId, SpanId)) -> SpanContext {
        let sampled = matches!(self, Self::Accept | Self::Debug);
        let flags = TraceFlags::NONE.with_sampled(sampled);
        SpanContext::new(trace_id, span_id, flags, true, TraceState::EMPTY)
    }

    /// What is asked beyond the sampled flag.
    const fn request(self) -> SamplingRequest {
        match self {
            Self::Deferred => SamplingRequest::Deferred,
            Self::Debug => SamplingRequest::Debug,
            Self::Deny | Self::Accept => SamplingRequest::Unspecified,
        }
    }

    /// What is asked where there are no ids.
    const fn request_alone(self) -> SamplingRequest {
        match self {
            Self::Deferred => SamplingRequest::Unspecified,
            Self::Deny => SamplingRequest::Deny,
            Self::Accept => SamplingRequest::Accept,
            Self::Debug => SamplingRequest::Debug,
        }
    }
}

/// What well-formed headers say.
#[derive(Clone, Copy)]
struct Found {
    ids: Option<(TraceId, SpanId)>,
    state: State,
}

impl Found {
    fn single(text: &[u8]) -> Option<Self> {
        let text = chars::trim(text);
        if let Some(state) = State::parse(text) {
            return Some(Self { ids: None, state });
        }
        let mut parts = text.split(|&byte| byte == b'-');
        let trace_id = trace_id(parts.next()?)?;
        let span_id = span_id(parts.next()?)?;
        let state = match parts.next() {
            None => State::Deferred,
            Some(state) => State::parse(state)?,
        };
        // The parent is checked and forgotten.
        if let Some(parent) = parts.next() {
            self::span_id(parent)?;
        }
        if parts.next().is_some() {
            return None;
        }
        Some(Self {
            ids: Some((trace_id, span_id)),
            state,
        })
    }

    fn multi(carrier: &dyn Extractor) -> Option<Self> {
        let get = |name| carrier.get(name).map(chars::trim);
        let mut state = match get(SAMPLED) {
            None | Some(b"") => State::Deferred,
            Some(b"0") => State::Deny,
            Some(b"1") => State::Accept,
            Some(text) if text.eq_ignore_ascii_case(b"false") => State::Deny,
            Some(text) if text.eq_ignore_ascii_case(b"true") => State::Accept,
            Some(_) => return None,
        };
        if get(FLAGS) == Some(b"1") {
            state = State::Debug;
        }
        let trace_id = get(TRACE_ID).filter(|text| !text.is_empty());
        let span_id = get(SPAN_ID).filter(|text| !text.is_empty());
        let parent = get(PARENT_SPAN_ID).filter(|text| !text.is_empty());
        let ids = match (trace_id, span_id) {
            (Some(trace_id), Some(span_id)) => {
                if let Some(parent) = parent {
                    self::span_id(parent)?;
                }
                Some((self::trace_id(trace_id)?, self::span_id(span_id)?))
            }
            (None, None) if parent.is_none() && state != State::Deferred => None,
            _ => return None,
        };
        Some(Self { ids, state })
    }
}

/// 32 digits, or 16 for the lower half.
fn trace_id(text: &[u8]) -> Option<TraceId> {
    match text.len() {
        16 => hex::decode_short(text),
        _ => hex::decode(text),
    }
    .map(TraceId::from_bytes)
    .filter(|id| id.is_valid())
}

fn span_id(text: &[u8]) -> Option<SpanId> {
    hex::decode(text)
        .map(SpanId::from_bytes)
        .filter(|id| id.is_valid())
}
