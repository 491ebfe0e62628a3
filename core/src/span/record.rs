//! The record of a span that has ended: a header of known length, then its content.

use super::content::{Content, cut, flags, text_len, write_text};
use crate::clock::{Moment, Timestamp};
use crate::context::SpanContext;
use crate::id::SpanId;
use crate::recorder::Recorder;
use crate::ring::ScopeRef;
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
        scope: ScopeRef<'_>,
        moment: Moment,
        content: &Content,
    ) {
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
        recorder.append(scope, moment, len, |out| {
            let mut out = Writer::new(out);
            encode::write_len_prefix(&mut out, field::scope_spans::SPANS, payload);
            out.put_array(|fixed| self.write_fixed(fixed));
            if parent {
                out.put_array(|field| self.write_parent(field));
            }
            write_text(&mut out, field::span::NAME, name);
            if !state.is_empty() {
                encode::write_len_field(&mut out, field::span::TRACE_STATE, state);
            }
            if status {
                let code = tag(field::status::CODE, WireType::Varint) as u8;
                out.put(&[len_tag(field::span::STATUS), 2, code, self.status as u8]);
            }
            content.write(recorder.pages(), &mut out);
        });
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
