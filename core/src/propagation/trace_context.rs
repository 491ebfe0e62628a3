use core::fmt;
use core::str::FromStr;

use super::line::Line;
use super::{Context, Extractor, Injector, Propagator, SamplingRequest, hex};
use crate::context::{SpanContext, TraceFlags, TraceState, TraceStateRef, chars};
use crate::id::{SpanId, TraceId};

const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";

/// W3C trace context: the headers `traceparent` and `tracestate`.
///
/// More than one `traceparent` is none. Several `tracestate` are one list, in order. A malformed `tracestate` is ignored
/// as a whole and does not touch the rest. W3C Trace Context Level 2.
///
/// ```
/// use spanwire_core::propagation::TraceContext;
///
/// let headers = [("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")];
/// let parent = TraceContext::read(&headers).unwrap();
/// assert!(parent.is_remote() && parent.is_sampled());
///
/// let mut onward = Vec::<(String, String)>::new();
/// TraceContext::write(&parent, &mut onward);
/// assert_eq!(onward[0].1, headers[0].1);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct TraceContext;

impl TraceContext {
    /// The span context in the carrier, if there is a valid one.
    ///
    /// Allocates only for a trace state of more than 30 bytes.
    #[must_use]
    pub fn read(carrier: &dyn Extractor) -> Option<SpanContext> {
        let mut parent = None;
        let mut parents = 0_usize;
        carrier.get_all(TRACEPARENT, &mut |value| {
            parent = Some(value);
            parents += 1;
        });
        if parents > 1 {
            return None;
        }
        let parent = TraceParent::parse(parent?).ok()?;
        let mut list = None;
        let mut lists = 0_usize;
        carrier.get_all(TRACESTATE, &mut |value| {
            list = Some(value);
            lists += 1;
        });
        let state = match list {
            None => Ok(TraceState::EMPTY),
            Some(list) if lists == 1 => TraceState::parse(list),
            Some(_) => TraceState::collect(|each| carrier.get_all(TRACESTATE, each)),
        };
        // A list that can't be read is ignored and leaves the rest alone.
        let state = state.unwrap_or_default();
        Some(parent.into_remote(state))
    }

    /// Writes the span context into the carrier, if it is valid. `tracestate` is set only if there is one.
    pub fn write(context: &SpanContext, carrier: &mut dyn Injector) {
        let parent = TraceParent::from(context);
        Self::forward(parent, context.trace_state().view(), carrier);
    }

    /// Writes a parent and a trace state of any length into the carrier, if both ids are valid.
    ///
    /// A proxy that takes no part in the trace passes both on as they came, without owning either.
    ///
    /// ```
    /// use spanwire_core::context::TraceStateRef;
    /// use spanwire_core::propagation::{TraceContext, TraceParent};
    ///
    /// let parent = TraceParent::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")?;
    /// let state = TraceStateRef::parse("congo=t61rcWkgMzE").unwrap_or(TraceStateRef::EMPTY);
    /// let mut onward = Vec::<(String, String)>::new();
    /// TraceContext::forward(parent, state, &mut onward);
    /// assert_eq!(onward[1].1, "congo=t61rcWkgMzE");
    /// # Ok::<(), spanwire_core::propagation::InvalidTraceParent>(())
    /// ```
    pub fn forward(parent: TraceParent, state: TraceStateRef<'_>, carrier: &mut dyn Injector) {
        if !parent.trace_id.is_valid() || !parent.span_id.is_valid() {
            return;
        }
        let mut line = Line::<{ TraceParent::LEN }>::new();
        carrier.set(TRACEPARENT, parent.put(&mut line));
        if !state.is_empty() {
            carrier.set(TRACESTATE, state.as_str());
        }
    }
}

impl Propagator for TraceContext {
    fn extract(&self, carrier: &dyn Extractor, into: &mut Context) {
        if let Some(context) = Self::read(carrier) {
            into.set_span(context, SamplingRequest::Unspecified);
        }
    }

    fn inject(&self, context: &Context, carrier: &mut dyn Injector) {
        Self::write(context.span_context(), carrier);
    }

    fn fields(&self, each: &mut dyn FnMut(&'static str)) {
        each(TRACEPARENT);
        each(TRACESTATE);
    }
}

/// What a `traceparent` header says.
///
/// [`Display`](fmt::Display) and [`encode`](Self::encode) write version 00; any version but `ff` is read. W3C Trace
/// Context Level 2, section 3.2.
///
/// ```
/// use spanwire_core::propagation::TraceParent;
///
/// let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03";
/// let parent = TraceParent::parse(text)?;
/// assert!(parent.flags.is_sampled() && parent.flags.is_random());
/// assert_eq!(parent.to_string(), text);
/// # Ok::<(), spanwire_core::propagation::InvalidTraceParent>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    /// The trace. Never all zero if it was parsed.
    pub trace_id: TraceId,
    /// The caller's span. Never all zero if it was parsed.
    pub span_id: SpanId,
    /// The flags.
    pub flags: TraceFlags,
}

impl TraceParent {
    /// The length of a `traceparent` of version 00.
    pub const LEN: usize = 55;

    /// Reads a header value. White space at its ends is ignored; undefined flags are cleared.
    ///
    /// # Errors
    /// The value is no `traceparent` of any version, or an id is all zero.
    pub fn parse<T: AsRef<[u8]> + ?Sized>(text: &T) -> Result<Self, InvalidTraceParent> {
        let text = chars::trim(text.as_ref());
        let Some((head, rest)) = text.split_first_chunk::<{ Self::LEN }>() else {
            return Err(InvalidTraceParent::Length);
        };
        let [a, b, b'-', middle @ .., c, d] = head else {
            return Err(InvalidTraceParent::Separator);
        };
        let Some([version]) = hex::decode(&[*a, *b]) else {
            return Err(InvalidTraceParent::Version);
        };
        match (version, rest) {
            (0xff, _) => return Err(InvalidTraceParent::Version),
            (_, []) => {}
            (0, _) => return Err(InvalidTraceParent::Length),
            (_, [b'-', ..]) => {}
            _ => return Err(InvalidTraceParent::Separator),
        }
        let (trace_id, after) = middle.split_at(32);
        let [b'-', span_id @ .., b'-'] = after else {
            return Err(InvalidTraceParent::Separator);
        };
        let trace_id = hex::decode(trace_id).map(TraceId::from_bytes);
        let Some(trace_id) = trace_id.filter(|id| id.is_valid()) else {
            return Err(InvalidTraceParent::TraceId);
        };
        let span_id = hex::decode(span_id).map(SpanId::from_bytes);
        let Some(span_id) = span_id.filter(|id| id.is_valid()) else {
            return Err(InvalidTraceParent::SpanId);
        };
        let Some([flags]) = hex::decode(&[*c, *d]) else {
            return Err(InvalidTraceParent::Flags);
        };
        Ok(Self {
            trace_id,
            span_id,
            flags: TraceFlags::from_bits(flags),
        })
    }

    /// Writes the header value into the buffer and returns it as text.
    pub fn encode(self, buffer: &mut [u8; Self::LEN]) -> &str {
        let mut line = Line::<{ Self::LEN }>::new();
        buffer.copy_from_slice(self.put(&mut line).as_bytes());
        core::str::from_utf8(buffer).unwrap_or_default()
    }

    fn put(self, line: &mut Line<{ Self::LEN }>) -> &str {
        line.push(b"00-");
        line.push_hex(&self.trace_id.to_bytes());
        line.push(b"-");
        line.push_hex(&self.span_id.to_bytes());
        line.push(b"-");
        line.push_hex(&[self.flags.bits()]);
        line.as_str()
    }

    /// The span context of the caller: remote, with this trace state.
    #[must_use]
    pub const fn into_remote(self, trace_state: TraceState) -> SpanContext {
        SpanContext::new(self.trace_id, self.span_id, self.flags, true, trace_state)
    }
}

impl From<&SpanContext> for TraceParent {
    fn from(context: &SpanContext) -> Self {
        Self {
            trace_id: context.trace_id(),
            span_id: context.span_id(),
            flags: context.flags(),
        }
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.put(&mut Line::new()))
    }
}

impl FromStr for TraceParent {
    type Err = InvalidTraceParent;

    fn from_str(text: &str) -> Result<Self, InvalidTraceParent> {
        Self::parse(text)
    }
}

/// Text that is no `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidTraceParent {
    /// The text is shorter than 55 bytes, or longer in version 00.
    Length,
    /// The version is `ff` or not two lowercase hexadecimal digits.
    Version,
    /// A `-` is missing.
    Separator,
    /// The trace id is all zero or not 32 lowercase hexadecimal digits.
    TraceId,
    /// The parent id is all zero or not 16 lowercase hexadecimal digits.
    SpanId,
    /// The flags are not two lowercase hexadecimal digits.
    Flags,
}

impl fmt::Display for InvalidTraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Length => "wrong length for a traceparent",
            Self::Version => "invalid traceparent version",
            Self::Separator => "separator missing in traceparent",
            Self::TraceId => "invalid trace id in traceparent",
            Self::SpanId => "invalid parent id in traceparent",
            Self::Flags => "invalid flags in traceparent",
        })
    }
}

impl core::error::Error for InvalidTraceParent {}
