//! Changes of what is said about a span.

use super::actions::Attributed;
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
        if self
            .only
            .as_ref()
            .is_some_and(|only| !only.holds(segment.head(), record, &Span::new(span)))
        {
            return Fate::Keep;
        }
        attributes(span)
            .measure(&self.actions)
            .map_or(Fate::Keep, Fate::Write)
    }

    fn write(&self, span: &[u8], out: &mut Buffer) {
        attributes(span).write(&self.actions, out);
    }
}

fn attributes(span: &[u8]) -> Attributed<Fields<'_>> {
    Attributed {
        fields: Fields::new(span),
        number: field::span::ATTRIBUTES,
    }
}
