//! Processors with known habits.

use std::panic;

use spanwire_core::batch::{Head, Segment};
use spanwire_core::processor::{Edit, Later, Processor};
use spanwire_core::stats::DropReason;

use crate::rng::Rng;

/// What planned panics carry.
pub(crate) struct Planned;

/// Keeps the output of the test readable.
pub(crate) fn silence_planned_panics() {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if !info.payload().is::<Planned>() {
            hook(info);
        }
    }));
}

/// Replaces the head.
pub(crate) struct Resource(pub(crate) Head);

impl Processor for Resource {
    fn name(&self) -> &str {
        "resource"
    }

    fn process(&mut self, segment: Segment, edit: &mut Edit<'_>) -> Result<(), Later> {
        edit.emit(segment.with_head(self.0.clone()));
        Ok(())
    }
}

/// Takes out some segments, loses some, and panics over some.
pub(crate) struct Filter {
    pub(crate) rng: Rng,
    pub(crate) panics: bool,
}

impl Processor for Filter {
    fn name(&self) -> &str {
        "filter"
    }

    fn process(&mut self, segment: Segment, edit: &mut Edit<'_>) -> Result<(), Later> {
        match self.rng.below(12) {
            0 => edit.filter(segment.spans()),
            1 => edit.drop_spans(DropReason::NoRoom, segment.spans()),
            2 if self.panics => panic::panic_any(Planned),
            // Says nothing.
            3 => {}
            // Says more than there is.
            4 => edit.filter(segment.spans() + 7),
            _ => edit.emit(segment),
        }
        Ok(())
    }
}

/// Takes memory for a copy of every segment, which may be larger, and keeps it as long as the segment lives.
pub(crate) struct Copying {
    /// Less than 128.
    pub(crate) grows_by: usize,
}

impl Processor for Copying {
    fn name(&self) -> &str {
        "copying"
    }

    fn process(&mut self, segment: Segment, edit: &mut Edit<'_>) -> Result<(), Later> {
        let more = self.grows_by;
        let len = segment.body_len() + if more > 0 { more + 4 } else { 0 };
        let permit = match edit.acquire(&segment, len) {
            Ok(permit) => permit,
            Err(refused) if refused.is_retryable() => return Err(Later(segment)),
            Err(_) => {
                edit.drop_spans(DropReason::NoRoom, segment.spans());
                return Ok(());
            }
        };
        let mut copy = Vec::with_capacity(len);
        for part in segment.body_parts() {
            copy.extend_from_slice(part);
        }
        if more > 0 {
            // A scope without spans, whose schema is long.
            copy.extend([0x12, more as u8 + 2, 0x1a, more as u8]);
            copy.extend(vec![b'u'; more]);
        }
        let body = permit.attach(copy).expect("granted");
        let (head, spans) = (segment.head().clone(), segment.spans());
        edit.emit(Segment::new(
            head,
            body,
            spans,
            segment.first_end(),
            segment.door(),
        ));
        Ok(())
    }
}
