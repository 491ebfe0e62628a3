//! Changes of what is said about a span.

use super::actions::Attributed;
use super::condition::Failed;
use super::rewrite::{Fate, Rewrite, rewrite};
use super::{Actions, Condition, Edit, Later, Processor};
use crate::batch::{Record, Segment};
use crate::limiter::Buffer;
use crate::wire::field;
use crate::wire::raw::Fields;
use crate::wire::view::Span;

/// Changes the attributes of spans, not those of their events, links or resource: the OpenTelemetry Collector's
/// `attributes` processor.
///
/// A segment in which at least one span changes is copied into memory of the working reserve, changed spans anew and
/// all others byte for byte; a segment in which none does is handed on as it is. A segment that the reserve could
/// never hold counts its spans as `NoRoom`.
///
/// ```
/// use spanwire_core::processor::{Actions, AttributesProcessor, Condition};
/// use spanwire_core::wire::SpanKind;
///
/// let actions = Actions::new().delete("http.request.header.authorization").upsert("checked", true);
/// let processor = AttributesProcessor::new(actions).only(Condition::Kind(SpanKind::Server));
/// ```
#[derive(Clone, Debug)]
pub struct AttributesProcessor {
    actions: Actions,
    only: Option<Condition>,
}

impl AttributesProcessor {
    /// One that makes these changes to every span.
    #[must_use]
    pub const fn new(actions: Actions) -> Self {
        Self {
            actions,
            only: None,
        }
    }

    /// Changes only the spans of which `condition` is true. Replaces an earlier condition.
    #[must_use]
    pub fn only(mut self, condition: Condition) -> Self {
        self.only = Some(condition);
        self
    }
}

impl Processor for AttributesProcessor {
    fn name(&self) -> &str {
        "attributes"
    }

    fn process(&mut self, segment: Segment, edit: &mut Edit<'_>) -> Result<(), Later> {
        rewrite(self, segment, edit)
    }
}

impl Rewrite for AttributesProcessor {
    fn fate(&self, segment: &Segment, record: &Record<'_>, span: &[u8]) -> Fate {
        if let Some(only) = &self.only {
            match only.holds(segment.head(), record, &Span::new(span)) {
                Ok(true) => {}
                Ok(false) => return Fate::Keep,
                Err(Failed) => return Fate::Fail,
            }
        }
        attributes(segment, span)
            .measure(&self.actions)
            .map_or(Fate::Keep, Fate::Write)
    }

    fn write(&self, segment: &Segment, span: &[u8], out: &mut Buffer) {
        attributes(segment, span).write(&self.actions, out);
    }
}

fn attributes<'a>(segment: &'a Segment, span: &'a [u8]) -> Attributed<'a, Fields<'a>> {
    Attributed {
        fields: Fields::new(span),
        number: field::span::ATTRIBUTES,
        client: segment.client(),
    }
}
