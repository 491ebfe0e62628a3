//! The record of a span that has ended: a header of known length, then its content.

use super::Start;
use super::content::{Plain, Whole};
use super::short;
use super::told::{cut, flags};
use crate::clock::{Moment, Timestamp};
use crate::context::SpanContext;
use crate::id::SpanId;
use crate::recorder::{Appended, Recorder, Refused, SpanLimits};
use crate::ring::ScopeRef;
use crate::thread::Seat;
use crate::wire::encode::{self, Put, Writer};
use crate::wire::field::{self, WireType, tag};
use crate::wire::{SpanKind, StatusCode, varint};

/// What is known of a span beside its context and its content.
pub(super) struct Facts<'a> {
    /// Empty when the name is among the content.
    pub(super) name: &'a str,
    pub(super) parent: SpanId,
    pub(super) started: Timestamp,
    /// The bytes of the record without its content, if it is plain.
    header: u32,
    pub(super) kind: SpanKind,
    pub(super) status: StatusCode,
    pub(super) parent_is_remote: bool,
    /// Whether it is all that most spans are: no status, no trace state, a short name. Else the record is written the
    /// long way.
    pub(super) is_plain: bool,
}

impl<'a> Facts<'a> {
    #[inline(always)]
    pub(super) fn new(start: &Start<'a>, limits: &SpanLimits, has_state: bool) -> Self {
        let name = start.name.len();
        let header = FIXED
            + if start.parent.is_valid() { PARENT } else { 0 }
            + if name > 0 { NAMED + name } else { 0 };
        Self {
            name: start.name,
            parent: start.parent,
            started: start.started.unwrap_or(start.watch.started()),
            header: header as u32,
            kind: start.kind,
            status: StatusCode::Unset,
            parent_is_remote: start.parent_is_remote,
            is_plain: name < 0x80 && name <= limits.text && !has_state,
        }
    }

    /// Notes that the name is among the content.
    pub(super) fn move_name(&mut self) {
        let name = core::mem::take(&mut self.name);
        if !name.is_empty() {
            self.header = self.header.saturating_sub((NAMED + name.len()) as u32);
        }
    }

    /// The same facts, borrowing no name.
    #[cfg(feature = "alloc")]
    pub(super) fn into_nameless(self) -> Facts<'static> {
        Facts { name: "", ..self }
    }

    /// Appends the record of a plain span that was told this, where its thread usually finds room. `false` when it is to
    /// be written the long way; nothing was done then.
    #[inline(always)]
    pub(super) fn append(
        &self,
        context: &SpanContext,
        time: Timestamp,
        content: &Plain<'_>,
        recorder: &Recorder,
        seat: Seat,
        scope: usize,
    ) -> bool {
        let payload = self.header as usize + content.len();
        if payload >= 0x4000 {
            return false;
        }
        let prefix = 2 + usize::from(payload >= 0x80);
        let Some(mut slot) = recorder.enter(seat, scope, prefix + payload) else {
            return false;
        };
        // What is left of a slice is passed on, and not an offset into it: each part is checked once.
        let out = slot.bytes();
        // Three bytes for the prefix, however many it takes: where it is two, the third is written again. Only a record
        // without a name or anything told is shorter.
        let Some(start) = out.first_chunk_mut::<{ 3 + FIXED }>() else {
            return false;
        };
        let low = payload as u8 | ((prefix - 2) << 7) as u8;
        fill(start, |head| *head = [SPAN, low, (payload >> 7) as u8]);
        self.write_fixed(context, time, start.get_mut(prefix..).unwrap_or_default());
        let out = out.get_mut(prefix + FIXED..).unwrap_or_default();
        let out = if self.parent.is_valid() {
            fill(out, |field| self.write_parent(field))
        } else {
            out
        };
        let out = write_short_name(out, self.name.as_bytes());
        content.write(out);
        // No block was opened or sealed, so there is nobody to be told.
        slot.commit();
        true
    }

    #[inline(always)]
    fn write_fixed(&self, context: &SpanContext, time: Timestamp, out: &mut [u8]) {
        use field::span;
        let Some(out) = out.first_chunk_mut::<FIXED>() else {
            return;
        };
        let mut at = Fixed { out, at: 0 };
        at.put(&[len_tag(span::TRACE_ID), 16]);
        at.put(&context.trace_id().to_bytes());
        at.put(&[len_tag(span::SPAN_ID), 8]);
        at.put(&context.span_id().to_bytes());
        at.put(&[tag(span::KIND, WireType::Varint) as u8, self.kind as u8]);
        at.put(&[tag(span::START_TIME_UNIX_NANO, WireType::Fixed64) as u8]);
        at.put(&self.started.as_unix_nanos().to_le_bytes());
        at.put(&[tag(span::END_TIME_UNIX_NANO, WireType::Fixed64) as u8]);
        at.put(&time.as_unix_nanos().to_le_bytes());
        let flags_tag = tag(span::FLAGS, WireType::Fixed32);
        at.put(&[flags_tag as u8 | 0x80, (flags_tag >> 7) as u8]);
        at.put(&flags(context, self.parent_is_remote).to_le_bytes());
    }

    #[inline(always)]
    fn write_parent(&self, out: &mut [u8; PARENT]) {
        let mut at = Fixed { out, at: 0 };
        at.put(&[len_tag(field::span::PARENT_SPAN_ID), 8]);
        at.put(&self.parent.to_bytes());
    }
}

/// A span that has ended, to be written the long way.
pub(super) struct Ended<'s> {
    pub(super) context: &'s SpanContext,
    pub(super) facts: &'s Facts<'s>,
    pub(super) content: Whole<'s>,
    pub(super) time: Timestamp,
}

/// Trace id, span id, kind, start, end and flags.
const FIXED: usize = 18 + 10 + 2 + 9 + 9 + 6;

/// The tag and the length of a short name.
const NAMED: usize = 2;

const SPAN: u8 = tag(field::scope_spans::SPANS, WireType::Len) as u8;

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
    /// Appends the record of the span to the ring of `recorder`. One that is refused is the caller's to count.
    pub(super) fn append(
        &self,
        recorder: &Recorder,
        seat: Option<Seat>,
        scope: ScopeRef<'_>,
        moment: Moment,
    ) -> Result<Appended, Refused> {
        let name = cut(self.facts.name, recorder.limits().text).as_bytes();
        let parent = self.facts.parent.is_valid();
        let named = if name.is_empty() {
            0
        } else {
            encode::len_field_len(field::span::NAME, name.len())
        };
        let mut payload = FIXED + if parent { PARENT } else { 0 } + named + self.content.len();
        let rare = self.rare(recorder.ring().block_bytes(), scope, payload);
        payload += rare.len;
        let len = 1 + varint::len(payload as u64) + payload;
        let mut slot = recorder.reserve(seat, scope, moment, len)?;
        let mut out = Writer::new(slot.bytes());
        encode::write_len_prefix(&mut out, field::scope_spans::SPANS, payload);
        let mut fixed = [0; FIXED];
        self.facts.write_fixed(self.context, self.time, &mut fixed);
        out.put(&fixed);
        if parent {
            let mut field = [0; PARENT];
            self.facts.write_parent(&mut field);
            out.put(&field);
        }
        if !name.is_empty() {
            encode::write_len_field(&mut out, field::span::NAME, name);
        }
        self.write_rare(&mut out, rare);
        self.content.write(out.rest());
        Ok(slot.commit())
    }

    /// Which fields that few spans have, this one has.
    fn rare(&self, block_bytes: usize, scope: ScopeRef<'_>, payload: usize) -> Rare {
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

    fn write_rare(&self, out: &mut Writer<'_>, rare: Rare) {
        if rare.state {
            let state = self.context.trace_state().as_bytes();
            encode::write_len_field(out, field::span::TRACE_STATE, state);
        }
        if rare.status {
            let code = tag(field::status::CODE, WireType::Varint) as u8;
            let status = self.facts.status as u8;
            out.put(&[len_tag(field::span::STATUS), 2, code, status]);
        }
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

/// Writes a name of less than 128 bytes, if it is not empty; returns the rest.
#[inline(always)]
fn write_short_name<'o>(out: &'o mut [u8], name: &[u8]) -> &'o mut [u8] {
    if name.is_empty() {
        return out;
    }
    let prefix = [len_tag(field::span::NAME), name.len() as u8];
    let out = fill(out, |room| *room = prefix);
    let Some((room, rest)) = out.split_at_mut_checked(name.len()) else {
        return &mut [];
    };
    short::copy(room, name);
    rest
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
