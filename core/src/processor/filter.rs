//! Spans left out by what they are.

use alloc::vec::Vec;

use super::condition::Failed;
use super::rewrite::{Fate, Rewrite, rewrite};
use super::{Condition, Edit, Later, Processor};
use crate::batch::{Record, Segment};
use crate::limiter::Buffer;
use crate::wire::view::Span;

/// Leaves out the spans of which one of its conditions is true, and counts them as filtered: the OpenTelemetry
/// Collector's `filter` processor. What it leaves out is its own: children of a span left out stay.
///
/// A segment that loses some of its spans is copied without them into memory of the working reserve; one that loses
/// none is handed on as it is, and one that loses all costs nothing. If the reserve could never hold the copy, its
/// spans count as `NoRoom`. All spans of a segment count as `ConditionFailed` where a condition can't be computed that is to fail
/// then: see [`OttlCondition::or_fail`](super::OttlCondition::or_fail).
///
/// ```
/// use spanwire_core::processor::{AttributeCondition, Condition, FilterProcessor};
///
/// let probes = AttributeCondition::equals("user_agent.synthetic.type", "test");
/// let filter = FilterProcessor::new(vec![Condition::Attribute(probes)]);
/// ```
#[derive(Clone, Debug)]
pub struct FilterProcessor(Condition);

impl FilterProcessor {
    /// One that leaves out what any of these conditions is true of.
    #[must_use]
    pub const fn new(leave_out: Vec<Condition>) -> Self {
        Self(Condition::Any(leave_out))
    }
}

impl Processor for FilterProcessor {
    fn name(&self) -> &str {
        "filter"
    }

    fn process(&mut self, segment: Segment, edit: &mut Edit<'_>) -> Result<(), Later> {
        rewrite(self, segment, edit)
    }
}

impl Rewrite for FilterProcessor {
    fn fate(&self, segment: &Segment, record: &Record<'_>, span: &[u8]) -> Fate {
        match self.0.holds(segment.head(), record, &Span::new(span)) {
            Ok(true) => Fate::Leave,
            Ok(false) => Fate::Keep,
            Err(Failed) => Fate::Fail,
        }
    }

    fn write(&self, _: &Segment, _: &[u8], _: &mut Buffer) {}
}
