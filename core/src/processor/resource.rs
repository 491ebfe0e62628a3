//! Changes of who speaks.

use super::actions::Attributed;
use super::held::Matching;
use super::{Actions, Edit, Later, Processor};
use crate::batch::{ClientInfo, Head, Segment, payload_of};
use crate::stats::DropReason;
use crate::wire::encode::{self, Put};
use crate::wire::field::{resource, resource_spans};
use crate::wire::raw::{Field, Fields};

/// Changes the attributes of the resource: the OpenTelemetry Collector's `resource` processor.
///
/// A change writes a new head of a few hundred bytes, charged to the working reserve; the spans stay where they are.
/// Neighbouring segments that end up with the same resource share one head, and so one `ResourceSpans`; that head is
/// kept, and stays charged, until another takes its place. A change that the reserve could never hold counts its
/// spans as `NoRoom`.
///
/// ```
/// use spanwire_core::batch::{Head, Segment};
/// use spanwire_core::clock::Moment;
/// use spanwire_core::limiter::{Door, MemoryLimiter};
/// use spanwire_core::processor::{Actions, Edit, Processor, ResourceProcessor};
///
/// let mut processor = ResourceProcessor::new(Actions::new().upsert("k8s.node.name", "node-1"));
/// let limiter = MemoryLimiter::builder(32 << 20).build()?;
/// let reserve = limiter.reserve();
/// let segment =
///     Segment::new(Head::default(), [0x12, 2, 0x12, 0].as_slice().into(), 1, Moment::from_nanos(0), Door::Own);
///
/// let mut named = Vec::new();
/// let mut out = |segment| named.push(segment);
/// processor.process(segment, &mut Edit::new(&reserve, &mut out))?;
/// assert!(named[0].head().as_bytes().ends_with(b"node-1"));
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct ResourceProcessor {
    actions: Actions,
    /// The head written last.
    last: Option<Head>,
}

impl ResourceProcessor {
    /// One that makes these changes.
    #[must_use]
    pub const fn new(actions: Actions) -> Self {
        Self {
            actions,
            last: None,
        }
    }
}

impl Processor for ResourceProcessor {
    fn name(&self) -> &str {
        "resource"
    }

    fn process(&mut self, segment: Segment, edit: &mut Edit<'_>) -> Result<(), Later> {
        let Some(new) = NewHead::of(segment.head(), segment.client(), &self.actions) else {
            edit.emit(segment);
            return Ok(());
        };
        if let Some(last) = self.last.as_ref().filter(|last| new.is(last)) {
            edit.emit(segment.with_head(last.clone()));
            return Ok(());
        }
        let mut out = match edit.acquire(&segment, new.len) {
            Ok(permit) => permit.into_buffer(),
            Err(refused) if refused.is_retryable() => {
                // The head kept for others may be what is in the way.
                self.last = None;
                return Err(Later(segment));
            }
            Err(_) => {
                edit.drop_spans(DropReason::NoRoom, segment.spans());
                return Ok(());
            }
        };
        new.write(&mut out);
        let head = Head::new(out.freeze());
        self.last = Some(head.clone());
        edit.emit(segment.with_head(head));
        Ok(())
    }
}

/// A head with other attributes.
struct NewHead<'a> {
    old: &'a Head,
    client: Option<&'a ClientInfo>,
    actions: &'a Actions,
    /// The bytes of the resource.
    resource: usize,
    len: usize,
}

impl<'a> NewHead<'a> {
    /// `None` when the actions change nothing.
    fn of(old: &'a Head, client: Option<&'a ClientInfo>, actions: &'a Actions) -> Option<Self> {
        let resource = attributes(old, client).measure(actions)?;
        let others: usize = others(old).map(|field| field.record.len()).sum();
        Some(Self {
            old,
            client,
            actions,
            resource,
            len: encode::len_field_len(resource_spans::RESOURCE, resource) + others,
        })
    }

    /// One resource, though it may have come in several parts.
    fn write(&self, out: &mut impl Put) {
        encode::write_len_prefix(out, resource_spans::RESOURCE, self.resource);
        attributes(self.old, self.client).write(self.actions, out);
        for field in others(self.old) {
            out.put(field.record);
        }
    }

    /// Whether `head` is what would be written.
    fn is(&self, head: &Head) -> bool {
        let mut rest = Matching(Some(head.as_bytes()));
        if head.len() == self.len {
            self.write(&mut rest);
        }
        rest.is_whole()
    }
}

fn attributes<'a>(
    head: &'a Head,
    client: Option<&'a ClientInfo>,
) -> Attributed<'a, impl Iterator<Item = Field<'a>> + Clone> {
    Attributed {
        fields: head.resources().flat_map(Fields::new),
        number: resource::ATTRIBUTES,
        client,
    }
}

fn others(head: &Head) -> impl Iterator<Item = Field<'_>> {
    Fields::new(head.as_bytes())
        .filter(|field| payload_of(field, resource_spans::RESOURCE).is_none())
}
