//! A body with some of its spans changed or left out.

use super::{Edit, Later};
use crate::batch::{Record, Segment, payload_of, write_record_prefix};
use crate::limiter::{Buffer, Refused};
use crate::stats::DropReason;
use crate::wire::encode::{self, Put};
use crate::wire::field::{resource_spans, scope_spans};

/// What becomes of a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It goes on as it is, byte for byte.
    Keep,
    /// It is left out.
    Leave,
    /// It is written anew, in so many bytes.
    Write(usize),
    /// It can't be said, and the segment is lost for it.
    Fail,
}

/// Changes spans one by one. Asked twice about each: to measure, then to write; both answers are the same.
pub(super) trait Rewrite {
    /// What becomes of this span.
    fn fate(&self, segment: &Segment, record: &Record<'_>, span: &[u8]) -> Fate;

    /// Writes a span whose fate is [`Fate::Write`].
    fn write(&self, segment: &Segment, span: &[u8], out: &mut Buffer);
}

/// Puts a segment through: unchanged spans are copied whole, and an unchanged segment is not copied at all.
pub(super) fn rewrite(
    rewrite: &impl Rewrite,
    segment: Segment,
    edit: &mut Edit<'_>,
) -> Result<(), Later> {
    let plan = Plan::of(rewrite, &segment);
    if plan.fails {
        edit.drop_spans(DropReason::ConditionFailed, segment.spans());
        return Ok(());
    }
    if !plan.changes || plan.kept + plan.left_out != segment.spans() {
        edit.emit(segment);
        return Ok(());
    }
    if plan.kept == 0 {
        edit.filter(plan.left_out);
        return Ok(());
    }
    let mut out = match edit.acquire(&segment, plan.len) {
        Ok(permit) => permit.into_buffer(),
        Err(refused) => return no_room(refused, segment, &plan, edit),
    };
    for (at, record) in segment.records().enumerate() {
        let new = plan.records.get(at).copied();
        let new = new.unwrap_or_else(|| Plan::default().record(rewrite, &segment, &record));
        write_record(rewrite, &segment, &record, new, &mut out);
    }
    edit.filter(plan.left_out);
    edit.emit(segment.with_body(out.freeze(), plan.kept));
    Ok(())
}

fn no_room(
    refused: Refused,
    segment: Segment,
    plan: &Plan,
    edit: &mut Edit<'_>,
) -> Result<(), Later> {
    if refused.is_retryable() {
        return Err(Later(segment));
    }
    edit.filter(plan.left_out);
    edit.drop_spans(DropReason::NoRoom, plan.kept);
    Ok(())
}

/// What a rewrite will do to a segment.
#[derive(Debug, Default)]
struct Plan {
    fails: bool,
    changes: bool,
    kept: usize,
    left_out: usize,
    /// The bytes of the new body.
    len: usize,
    /// The first records. The others are measured again: their number is up to the sender, and this is memory that
    /// no budget covers.
    records: [NewRecord; 16],
}

#[derive(Clone, Copy, Debug, Default)]
struct NewRecord {
    /// The bytes of the new `ScopeSpans`.
    len: usize,
    /// Its spans.
    kept: usize,
}

impl Plan {
    fn of(rewrite: &impl Rewrite, segment: &Segment) -> Self {
        let mut plan = Self::default();
        for (at, record) in segment.records().enumerate() {
            let new = plan.record(rewrite, segment, &record);
            if plan.fails {
                break;
            }
            if new.kept > 0 {
                plan.len += encode::len_field_len(resource_spans::SCOPE_SPANS, new.len);
            }
            if let Some(slot) = plan.records.get_mut(at) {
                *slot = new;
            }
        }
        plan
    }

    /// What becomes of a record.
    fn record(
        &mut self,
        rewrite: &impl Rewrite,
        segment: &Segment,
        record: &Record<'_>,
    ) -> NewRecord {
        let (mut len, mut kept) = (0, 0);
        for field in record.all() {
            let Some(span) = payload_of(&field, scope_spans::SPANS) else {
                len += field.record.len();
                continue;
            };
            kept += 1;
            match rewrite.fate(segment, record, span) {
                Fate::Keep => len += field.record.len(),
                Fate::Leave => {
                    kept -= 1;
                    self.left_out += 1;
                    self.changes = true;
                }
                Fate::Fail => {
                    self.fails = true;
                    break;
                }
                Fate::Write(bytes) => {
                    len += encode::len_field_len(scope_spans::SPANS, bytes);
                    self.changes = true;
                }
            }
        }
        self.kept += kept;
        NewRecord { len, kept }
    }
}

fn write_record(
    rewrite: &impl Rewrite,
    segment: &Segment,
    record: &Record<'_>,
    new: NewRecord,
    out: &mut Buffer,
) {
    // A scope that says nothing is not worth its envelope.
    if new.kept == 0 {
        return;
    }
    write_record_prefix(out, new.len);
    for field in record.all() {
        let Some(span) = payload_of(&field, scope_spans::SPANS) else {
            out.put(field.record);
            continue;
        };
        match rewrite.fate(segment, record, span) {
            Fate::Keep => out.put(field.record),
            // What fails was found before anything is written.
            Fate::Leave | Fate::Fail => {}
            Fate::Write(len) => {
                encode::write_len_prefix(out, scope_spans::SPANS, len);
                rewrite.write(segment, span, out);
            }
        }
    }
}
