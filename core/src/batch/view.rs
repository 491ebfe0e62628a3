//! Spans of a batch, read in place.

use super::segment::{Record, payload_of};
use super::{Batch, Segment};
use crate::wire::field::scope_spans;
use crate::wire::view::{Resource, ResourceSpans, Scope, ScopeSpans, Span};

/// A span, and what is said once for it and its neighbours. Borrows from the bytes of the segment.
///
/// ```
/// use spanwire_core::batch::{Batch, Head, Segment};
/// use spanwire_core::clock::Moment;
/// use spanwire_core::limiter::Door;
///
/// let head = Head::from_resource(b"\x0a\x15\x0a\x0cservice.name\x12\x05\x0a\x03svc", "");
/// let body = b"\x12\x0a\x0a\x03\x0a\x01s\x12\x03\x2a\x01n".as_slice().into();
/// let batch = Batch::from_iter([Segment::new(head, body, 1, Moment::from_nanos(0), Door::Own)]);
///
/// let view = batch.views().next().ok_or("no span")?;
/// assert_eq!(view.span.name(), "n");
/// assert_eq!(view.scope().ok_or("no scope")?.name(), "s");
/// let service = view.resource().and_then(|resource| resource.attributes().get("service.name"));
/// assert_eq!(service.and_then(|name| name.as_str()), Some("svc"));
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct SpanView<'a> {
    /// The span.
    pub span: Span<'a>,
    head: ResourceSpans<'a>,
    scope: ScopeSpans<'a>,
}

impl<'a> SpanView<'a> {
    /// Who speaks; `None` if nobody said.
    #[must_use]
    pub fn resource(&self) -> Option<Resource<'a>> {
        self.head.resource()
    }

    /// The schema of the resource; empty if nobody said.
    #[must_use]
    pub fn resource_schema_url(&self) -> &'a str {
        self.head.schema_url()
    }

    /// The instrumentation that made the span; `None` if nobody said.
    #[must_use]
    pub fn scope(&self) -> Option<Scope<'a>> {
        self.scope.scope()
    }

    /// The schema of the scope and the span; empty if nobody said.
    #[must_use]
    pub fn schema_url(&self) -> &'a str {
        self.scope.schema_url()
    }
}

impl Segment {
    /// Its spans, in order, read in place.
    pub fn views(&self) -> impl Iterator<Item = SpanView<'_>> {
        let head = ResourceSpans::new(self.head().as_bytes());
        self.records().flat_map(move |record| {
            let scope = ScopeSpans::new(said_once(&record));
            let spans = record
                .all()
                .filter_map(|field| payload_of(&field, scope_spans::SPANS));
            spans.map(move |span| SpanView {
                span: Span::new(span),
                head,
                scope,
            })
        })
    }
}

impl Batch {
    /// Its spans, in order, read in place.
    pub fn views(&self) -> impl Iterator<Item = SpanView<'_>> {
        self.segments().iter().flat_map(Segment::views)
    }
}

/// The fields of a record that are not spans: a split repeats all of them, so they are on one side or the other.
fn said_once<'a>(record: &Record<'a>) -> &'a [u8] {
    if record.repeated.is_empty() {
        record.fields
    } else {
        record.repeated
    }
}
