//! The record of a span that has ended: a header of known length, then its content.

use super::content::Whole;
use super::short;
use super::told::{cut, flags, text_len};
use crate::clock::{Moment, Timestamp};
use crate::context::SpanContext;
use crate::id::SpanId;
use crate::recorder::{Appended, Recorder, Refused};
use crate::ring::ScopeRef;
use crate::thread::Seat;
use crate::wire::encode::{self, Put, Writer};
use crate::wire::field::{self, WireType, tag};
use crate::wire::{SpanKind, StatusCode, varint};

/// What is known of a span beside its content, when it ends.
pub(super) struct Header<'s> {
    pub(super) context: &'s SpanContext,
    pub(super) parent: SpanId,
    pub(super) parent_is_remote: bool,
    /// `None` when the name is among the content.
    pub(super) name: Option<&'s str>,
    pub(super) kind: SpanKind,
    pub(super) status: StatusCode,
    pub(super) started: Timestamp,
    pub(super) ended: Timestamp,
}

/// Trace id, span id, kind, start, end and flags.
const FIXED: usize = 18 + 10 + 2 + 9 + 9 + 6;

/// The parent's span id, with its tag and length.
const PARENT: usize = 10;

/// Tags and lengths around a span in its block, at most.
const FRAME: usize = 16;

/// The field of `Span` with this number, one-byte tag.
const fn len_tag(number: u32) -> u8 {
    tag(number, WireType::Len) as u8
}

impl Header<'_> {
    /// Appends the record of the span to the ring of `recorder`, or has it counted as dropped.
    #[inline]
    pub(super) fn append(
        &self,
        recorder: &Recorder,
        seat: Option<&Seat>,
        scope: ScopeRef<'_>,
        moment: Moment,
        content: &Whole<'_>,
    ) -> Result<Appended, Refused> {
        let name = cut(self.name.unwrap_or_default(), recorder.limits().text);
        // An error without a message, or Ok, is not among the content.
        let status = self.status != StatusCode::Unset && !content.has_status();
        let parent = self.parent.is_valid();
        let mut payload = FIXED
            + if parent { PARENT } else { 0 }
            + if status { 4 } else { 0 }
            + text_len(field::span::NAME, name)
            + content.len();
        let mut state = self.context.trace_state().as_bytes();
        if !state.is_empty() {
            let with_state = payload + encode::len_field_len(field::span::TRACE_STATE, state.len());
            if with_state + scope.fields.len() + FRAME <= recorder.ring().block_bytes() {
                payload = with_state;
            } else {
                state = &[];
            }
        }
        let len = 1 + varint::len(payload as u64) + payload;
        recorder.append(seat, scope, moment, len, |out| {
            // What is left of a slice is passed on, and not an offset into it: each part is checked once.
            let out = write_frame(out, payload);
            let out = fill(out, |fixed| self.write_fixed(fixed));
            let out = if parent {
                fill(out, |field| self.write_parent(field))
            } else {
                out
            };
            let out = write_name(out, name.as_bytes());
            let out = if status || !state.is_empty() {
                self.write_rare(out, state, status)
            } else {
                out
            };
            content.write(out);
        })
    }

    #[cold]
    fn write_rare<'o>(&self, out: &'o mut [u8], state: &[u8], status: bool) -> &'o mut [u8] {
        let mut writer = Writer::new(out);
        if !state.is_empty() {
            encode::write_len_field(&mut writer, field::span::TRACE_STATE, state);
        }
        if status {
            let code = tag(field::status::CODE, WireType::Varint) as u8;
            writer.put(&[len_tag(field::span::STATUS), 2, code, self.status as u8]);
        }
        writer.rest()
    }

    #[inline(always)]
    fn write_fixed(&self, out: &mut [u8; FIXED]) {
        use field::span;
        let mut at = Fixed { out, at: 0 };
        at.put(&[len_tag(span::TRACE_ID), 16]);
        at.put(self.context.trace_id().as_bytes());
        at.put(&[len_tag(span::SPAN_ID), 8]);
        at.put(self.context.span_id().as_bytes());
        at.put(&[tag(span::KIND, WireType::Varint) as u8, self.kind as u8]);
        at.put(&[tag(span::START_TIME_UNIX_NANO, WireType::Fixed64) as u8]);
        at.put(&self.started.as_unix_nanos().to_le_bytes());
        at.put(&[tag(span::END_TIME_UNIX_NANO, WireType::Fixed64) as u8]);
        at.put(&self.ended.as_unix_nanos().to_le_bytes());
        let flags_tag = tag(span::FLAGS, WireType::Fixed32);
        at.put(&[flags_tag as u8 | 0x80, (flags_tag >> 7) as u8]);
        at.put(&flags(self.context, self.parent_is_remote).to_le_bytes());
    }

    #[inline(always)]
    fn write_parent(&self, out: &mut [u8; PARENT]) {
        let mut at = Fixed { out, at: 0 };
        at.put(&[len_tag(field::span::PARENT_SPAN_ID), 8]);
        at.put(self.parent.as_bytes());
    }
}

/// Fills the next `N` bytes; returns the rest.
#[inline(always)]
fn fill<const N: usize>(out: &mut [u8], write: impl FnOnce(&mut [u8; N])) -> &mut [u8] {
    match out.split_first_chunk_mut() {
        Some((room, rest)) => {
            write(room);
            rest
        }
        None => &mut [],
    }
}

/// Writes the tag and the length of a span; returns the rest.
#[inline(always)]
fn write_frame(out: &mut [u8], payload: usize) -> &mut [u8] {
    const TAG: u8 = tag(field::scope_spans::SPANS, WireType::Len) as u8;
    match payload {
        0..0x80 => fill(out, |room| *room = [TAG, payload as u8]),
        0x80..0x4000 => fill(out, |room| {
            *room = [TAG, payload as u8 | 0x80, (payload >> 7) as u8];
        }),
        _ => {
            let mut writer = Writer::new(out);
            encode::write_len_prefix(&mut writer, field::scope_spans::SPANS, payload);
            writer.rest()
        }
    }
}

/// Writes the name, if it is not empty; returns the rest.
#[inline(always)]
fn write_name<'o>(out: &'o mut [u8], name: &[u8]) -> &'o mut [u8] {
    if name.len() < 0x80 {
        if name.is_empty() {
            return out;
        }
        let prefix = [len_tag(field::span::NAME), name.len() as u8];
        let out = fill(out, |room| *room = prefix);
        let Some((room, rest)) = out.split_at_mut_checked(name.len()) else {
            return &mut [];
        };
        short::copy(room, name);
        return rest;
    }
    let mut writer = Writer::new(out);
    encode::write_len_field(&mut writer, field::span::NAME, name);
    writer.rest()
}

/// Fills an array of known length; the compiler sees every offset.
struct Fixed<'o, const N: usize> {
    out: &'o mut [u8; N],
    at: usize,
}

impl<const N: usize> Fixed<'_, N> {
    #[inline(always)]
    fn put<const M: usize>(&mut self, bytes: &[u8; M]) {
        if let Some(room) = self
            .out
            .get_mut(self.at..)
            .and_then(|rest| rest.first_chunk_mut::<M>())
        {
            *room = *bytes;
            self.at += M;
        }
    }
}
