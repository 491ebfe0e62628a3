//! The record of a span that has ended: a header of known length, then its content.

use super::content::Whole;
use super::short;
use super::told::{cut, flags};
use crate::clock::{Moment, Timestamp};
use crate::context::SpanContext;
use crate::id::SpanId;
use crate::recorder::{Appended, Recorder, Refused};
use crate::ring::ScopeRef;
use crate::thread::Seat;
use crate::wire::encode::{self, Put, Writer};
use crate::wire::field::{self, WireType, tag};
use crate::wire::{SpanKind, StatusCode, varint};

/// What is known of a span beside its context and its content.
pub(super) struct Facts<'a> {
    /// `None` when the name is among the content.
    pub(super) name: Option<&'a str>,
    pub(super) parent: SpanId,
    pub(super) started: Timestamp,
    pub(super) kind: SpanKind,
    pub(super) status: StatusCode,
    pub(super) parent_is_remote: bool,
}

/// A span that has ended.
pub(super) struct Ended<'s> {
    pub(super) context: &'s SpanContext,
    pub(super) facts: &'s Facts<'s>,
    pub(super) content: Whole<'s>,
    pub(super) time: Timestamp,
}

/// Trace id, span id, kind, start, end and flags.
const FIXED: usize = 18 + 10 + 2 + 9 + 9 + 6;

/// The parent's span id, with its tag and length.
const PARENT: usize = 10;

/// Tags and lengths around a span in its block, at most.
const FRAME: usize = 16;

/// Fields that few spans have, and their bytes.
#[derive(Clone, Copy)]
struct Rare {
    state: bool,
    status: bool,
    len: usize,
}

impl Rare {
    const NONE: Self = Self {
        state: false,
        status: false,
        len: 0,
    };
}

/// The field of `Span` with this number, one-byte tag.
const fn len_tag(number: u32) -> u8 {
    tag(number, WireType::Len) as u8
}

impl Ended<'_> {
    /// Appends the record of the span to the ring of `recorder`, or has it counted as dropped.
    #[inline(always)]
    pub(super) fn append(
        &self,
        recorder: &Recorder,
        seat: Option<&Seat>,
        scope: ScopeRef<'_>,
        moment: Moment,
    ) -> Result<Appended, Refused> {
        let name = cut(self.facts.name.unwrap_or_default(), recorder.limits().text).as_bytes();
        let parent = self.facts.parent.is_valid();
        let named = if name.is_empty() {
            0
        } else {
            encode::len_field_len(field::span::NAME, name.len())
        };
        let mut payload =
            FIXED + if parent { PARENT } else { 0 } + named + self.content.len();
        let rare = self.rare(recorder, scope, payload);
        payload += rare.len;
        let len = 1 + varint::len(payload as u64) + payload;
        let mut slot = recorder.reserve(seat, scope, moment, len)?;
        // What is left of a slice is passed on, and not an offset into it: each part is checked once.
        let out = write_frame(slot.bytes(), payload);
        let out = fill(out, |fixed| self.write_fixed(fixed));
        let out = if parent {
            fill(out, |field| self.write_parent(field))
        } else {
            out
        };
        let out = write_name(out, name);
        let out = if rare.len > 0 {
            self.write_rare(out, rare)
        } else {
            out
        };
        self.content.write(out);
        Ok(slot.commit())
    }

    /// Which fields that few spans have, this one has.
    #[inline(always)]
    fn rare(&self, recorder: &Recorder, scope: ScopeRef<'_>, payload: usize) -> Rare {
        if self.facts.status == StatusCode::Unset && self.context.trace_state().is_empty() {
            return Rare::NONE;
        }
        self.some_rare(recorder.ring().block_bytes(), scope, payload)
    }

    #[cold]
    fn some_rare(&self, block_bytes: usize, scope: ScopeRef<'_>, payload: usize) -> Rare {
        let mut rare = Rare::NONE;
        // An error without a message, or Ok, is not among the content.
        if self.facts.status != StatusCode::Unset && !self.content.has_status() {
            rare.status = true;
            rare.len += 4;
        }
        let state = self.context.trace_state().as_bytes();
        if !state.is_empty() {
            let len = encode::len_field_len(field::span::TRACE_STATE, state.len());
            if payload + rare.len + len + scope.fields.len() + FRAME <= block_bytes {
                rare.state = true;
                rare.len += len;
            }
        }
        rare
    }

    #[cold]
    fn write_rare<'o>(&self, out: &'o mut [u8], rare: Rare) -> &'o mut [u8] {
        let mut writer = Writer::new(out);
        if rare.state {
            let state = self.context.trace_state().as_bytes();
            encode::write_len_field(&mut writer, field::span::TRACE_STATE, state);
        }
        if rare.status {
            let code = tag(field::status::CODE, WireType::Varint) as u8;
            let status = self.facts.status as u8;
            writer.put(&[len_tag(field::span::STATUS), 2, code, status]);
        }
        writer.rest()
    }

    #[inline(always)]
    fn write_fixed(&self, out: &mut [u8; FIXED]) {
        use field::span;
        let mut at = Fixed { out, at: 0 };
        at.put(&[len_tag(span::TRACE_ID), 16]);
        at.put(&self.context.trace_id().to_bytes());
        at.put(&[len_tag(span::SPAN_ID), 8]);
        at.put(&self.context.span_id().to_bytes());
        at.put(&[tag(span::KIND, WireType::Varint) as u8, self.facts.kind as u8]);
        at.put(&[tag(span::START_TIME_UNIX_NANO, WireType::Fixed64) as u8]);
        at.put(&self.facts.started.as_unix_nanos().to_le_bytes());
        at.put(&[tag(span::END_TIME_UNIX_NANO, WireType::Fixed64) as u8]);
        at.put(&self.time.as_unix_nanos().to_le_bytes());
        let flags_tag = tag(span::FLAGS, WireType::Fixed32);
        at.put(&[flags_tag as u8 | 0x80, (flags_tag >> 7) as u8]);
        at.put(&flags(self.context, self.facts.parent_is_remote).to_le_bytes());
    }

    #[inline(always)]
    fn write_parent(&self, out: &mut [u8; PARENT]) {
        let mut at = Fixed { out, at: 0 };
        at.put(&[len_tag(field::span::PARENT_SPAN_ID), 8]);
        at.put(&self.facts.parent.to_bytes());
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
