//! What a live span was told, encoded: attributes, events, links, a status message, a name.
//!
//! The body is a sequence of fields of the `Span` message. A field that is replaced is not moved: its tag becomes
//! [`GONE`], which is no tag, and the end of the span leaves it out.

use super::chosen::Chosen;
use super::gaps::{GONE, Skip};
use super::keys::{Index, Keys};
use super::room::AnyPut;
use super::short;
use crate::attribute::KeyValue;
use crate::clock::Timestamp;
use crate::context::{Link, SpanContext};
use crate::recorder::SpanLimits;
use crate::ring::{Body, Pages};
use crate::thread::Seat;
use crate::wire::encode::{self, Coder, Inconsistent, Memo, Put, Texts, Writer};
use crate::wire::field::{self, WireType};
use crate::wire::{StatusCode, varint};

/// OTLP flags: bit 8 says that bit 9 is known, bit 9 that the context is remote.
pub(super) const HAS_IS_REMOTE: u32 = 0x100;
pub(super) const IS_REMOTE: u32 = 0x200;

/// What a live span was told.
#[derive(Debug)]
pub(crate) struct Content {
    body: Body,
    /// Bytes of the body that were replaced.
    gone: usize,
    keys: Keys,
    events: u32,
    links: u32,
    dropped_attributes: u32,
    dropped_events: u32,
    dropped_links: u32,
    /// Where the name and the status stand in the body, plus one; 0 when they are not there.
    name_at: u32,
    status_at: u32,
}

impl Content {
    /// Nothing was said.
    pub(crate) const EMPTY: Self = Self {
        body: Body::EMPTY,
        gone: 0,
        keys: Keys::EMPTY,
        events: 0,
        links: 0,
        dropped_attributes: 0,
        dropped_events: 0,
        dropped_links: 0,
        name_at: 0,
        status_at: 0,
    };

    #[inline(never)]
    pub(crate) fn set_attribute(
        &mut self,
        pages: &Pages,
        limits: &SpanLimits,
        attribute: &KeyValue<'_>,
    ) {
        if !self.try_set_attribute(pages, limits, attribute) {
            self.dropped_attributes = self.dropped_attributes.saturating_add(1);
        }
    }

    /// Room for a new key, of `len` bytes with its value, which the caller has to fill. `None` when it is another
    /// case, or there is no room: nothing was done then.
    #[inline(always)]
    pub(super) fn short_room<'c>(
        &'c mut self,
        pages: &'c Pages,
        limits: &SpanLimits,
        key: &str,
        len: usize,
    ) -> Option<&'c mut [u8]> {
        let fingerprint = Keys::fingerprint(key.as_bytes());
        let at = self.body.len();
        if key.is_empty()
            || self.keys.may_have(pages, fingerprint)
            || self.keys.len() >= limits.attributes
            || at + len > limits.bytes
            || !(self.keys.fits() && self.body.fits(len) || self.reserve_short(pages, len))
        {
            return None;
        }
        let room = self.body.take_piece(pages, len)?;
        self.keys.push(pages, fingerprint, at as u16);
        Some(room)
    }

    #[inline(never)]
    fn reserve_short(&mut self, pages: &Pages, len: usize) -> bool {
        self.keys.reserve(pages) && self.body.reserve(pages, len)
    }

    #[inline]
    fn try_set_attribute(
        &mut self,
        pages: &Pages,
        limits: &SpanLimits,
        attribute: &KeyValue<'_>,
    ) -> bool {
        if encode::is_displayed(&attribute.value) {
            let memo = Memo::default();
            self.encode_attribute(pages, limits, attribute, Coder::new(limits.value, &memo))
        } else {
            self.encode_attribute(pages, limits, attribute, Coder::fresh(limits.value))
        }
    }

    #[inline]
    fn encode_attribute<'t, T: Texts<'t>>(
        &mut self,
        pages: &Pages,
        limits: &SpanLimits,
        attribute: &KeyValue<'t>,
        coder: Coder<'_, T>,
    ) -> bool {
        if attribute.key.is_empty() {
            return false;
        }
        let fingerprint = Keys::fingerprint(attribute.key.as_bytes());
        let known = self.keys.find(pages, fingerprint, |at| {
            self.has_key_at(pages, at, attribute.key)
        });
        let payload = coder.key_value_len(attribute);
        let write = |out: &mut AnyPut<'_, '_>| coder.write_key_value(out, attribute);
        if let Some(index) = known {
            return self.replace_attribute(pages, limits, index, payload, T::MAY_FAIL, write);
        }
        if self.keys.len() >= limits.attributes || !self.keys.reserve(pages) {
            return false;
        }
        let Some(at) =
            self.write_field(pages, limits.bytes, field::span::ATTRIBUTES, payload, write)
        else {
            return false;
        };
        self.keys.push(pages, fingerprint, at);
        true
    }

    /// Writes an attribute in the place of another, if they are of one length, else at the end.
    #[inline(never)]
    fn replace_attribute(
        &mut self,
        pages: &Pages,
        limits: &SpanLimits,
        index: Index,
        payload: usize,
        may_fail: bool,
        write: impl Fn(&mut AnyPut<'_, '_>) -> Result<(), Inconsistent>,
    ) -> bool {
        let mut at = self.keys.at(pages, index) + 1;
        if self.read_varint(pages, &mut at) == Some(payload) && !may_fail {
            let end = self.body.seek(pages, at);
            let written = self.write_measured(pages, payload, &write);
            self.body.rewind(end);
            return written;
        }
        let Some(at) =
            self.write_field(pages, limits.bytes, field::span::ATTRIBUTES, payload, write)
        else {
            return false;
        };
        // Read anew: making room may have moved it.
        let old = self.keys.at(pages, index);
        self.keys.move_to(pages, index, at);
        self.remove(pages, old);
        true
    }

    #[inline]
    pub(super) fn add_event(
        &mut self,
        pages: &Pages,
        limits: &SpanLimits,
        time: Timestamp,
        name: &str,
        made: &[KeyValue<'_>],
        attributes: &[KeyValue<'_>],
    ) {
        if attributes.is_empty()
            && made.is_empty()
            && self.add_bare_event(pages, limits, time, name)
        {
            return;
        }
        let chosen = Chosen {
            first: attributes,
            then: made,
            most: limits.event_attributes,
        };
        if (self.events as usize) < limits.events
            && self.write_event(pages, limits, time, name, chosen)
        {
            self.events += 1;
        } else {
            self.dropped_events = self.dropped_events.saturating_add(1);
        }
    }

    /// Adds an event with a short name and nothing else. `false` when there is no room: nothing was done then.
    #[inline]
    fn add_bare_event(
        &mut self,
        pages: &Pages,
        limits: &SpanLimits,
        time: Timestamp,
        name: &str,
    ) -> bool {
        use field::event;
        const PREFIX: usize = 13;
        let len = PREFIX + name.len();
        if name.len() > 100
            || self.events as usize >= limits.events
            || self.body.len() + len > limits.bytes
        {
            return false;
        }
        let [a, b, c, d, e, f, g, h] = time.as_unix_nanos().to_le_bytes();
        let prefix: [u8; PREFIX] = [
            field::tag(field::span::EVENTS, WireType::Len) as u8,
            (len - 2) as u8,
            field::tag(event::TIME_UNIX_NANO, WireType::Fixed64) as u8,
            a,
            b,
            c,
            d,
            e,
            f,
            g,
            h,
            field::tag(event::NAME, WireType::Len) as u8,
            name.len() as u8,
        ];
        if !self.body.fits(len) && !self.body.reserve(pages, len) {
            return false;
        }
        let Some(room) = self.body.take_piece(pages, len) else {
            return false;
        };
        if let Some((head, rest)) = room.split_first_chunk_mut::<PREFIX>() {
            *head = prefix;
            short::copy(rest, name.as_bytes());
        }
        self.events += 1;
        true
    }

    #[inline(never)]
    fn write_event(
        &mut self,
        pages: &Pages,
        limits: &SpanLimits,
        time: Timestamp,
        name: &str,
        attributes: Chosen<'_, '_>,
    ) -> bool {
        if attributes.is_displayed() {
            let memo = Memo::default();
            self.encode_event(
                pages,
                limits,
                time,
                name,
                attributes,
                Coder::new(limits.value, &memo),
            )
        } else {
            self.encode_event(
                pages,
                limits,
                time,
                name,
                attributes,
                Coder::fresh(limits.value),
            )
        }
    }

    #[inline]
    fn encode_event<'t, T: Texts<'t>>(
        &mut self,
        pages: &Pages,
        limits: &SpanLimits,
        time: Timestamp,
        name: &str,
        attributes: Chosen<'_, 't>,
        coder: Coder<'_, T>,
    ) -> bool {
        use field::event;
        let (dropped, bytes) = attributes.measure(event::ATTRIBUTES, coder);
        let payload = 9
            + encode::len_field_len(event::NAME, name.len())
            + bytes
            + count_len(event::DROPPED_ATTRIBUTES_COUNT, dropped);
        let written = self.write_field(pages, limits.bytes, field::span::EVENTS, payload, |out| {
            encode::write_fixed64_field(out, event::TIME_UNIX_NANO, time.as_unix_nanos());
            encode::write_len_field(out, event::NAME, name.as_bytes());
            attributes.write(out, event::ATTRIBUTES, coder)?;
            write_count(out, event::DROPPED_ATTRIBUTES_COUNT, dropped);
            Ok(())
        });
        written.is_some()
    }

    pub(crate) fn add_link(&mut self, pages: &Pages, limits: &SpanLimits, link: &Link<'_>) {
        let says_something = link.context.is_valid()
            || !link.attributes.is_empty()
            || !link.context.trace_state().is_empty();
        if says_something
            && (self.links as usize) < limits.links
            && self.write_link(pages, limits, link)
        {
            self.links += 1;
        } else {
            self.dropped_links = self.dropped_links.saturating_add(1);
        }
    }

    fn write_link(&mut self, pages: &Pages, limits: &SpanLimits, link: &Link<'_>) -> bool {
        use field::link as fields;
        let context = link.context;
        let state = context.trace_state().as_str();
        let attributes = Chosen {
            first: link.attributes,
            then: &[],
            most: limits.link_attributes,
        };
        let memo = Memo::default();
        let coder = Coder::new(limits.value, &memo);
        let (dropped, bytes) = attributes.measure(fields::ATTRIBUTES, coder);
        let payload = 18
            + 10
            + text_len(fields::TRACE_STATE, state)
            + bytes
            + count_len(fields::DROPPED_ATTRIBUTES_COUNT, dropped)
            + 5;
        let written = self.write_field(pages, limits.bytes, field::span::LINKS, payload, |out| {
            encode::write_len_field(out, fields::TRACE_ID, context.trace_id().as_bytes());
            encode::write_len_field(out, fields::SPAN_ID, context.span_id().as_bytes());
            write_text(out, fields::TRACE_STATE, state);
            attributes.write(out, fields::ATTRIBUTES, coder)?;
            write_count(out, fields::DROPPED_ATTRIBUTES_COUNT, dropped);
            encode::write_fixed32_field(out, fields::FLAGS, flags(context, context.is_remote()));
            Ok(())
        });
        written.is_some()
    }

    /// Keeps the status of an error with a message, or no message.
    pub(super) fn set_status_message(
        &mut self,
        pages: &Pages,
        limits: &SpanLimits,
        message: Option<&str>,
    ) {
        if let Some(at) = self.status_at.checked_sub(1) {
            self.remove(pages, at as usize);
            self.status_at = 0;
        }
        let Some(message) = message.map(|message| cut(message, limits.text)) else {
            return;
        };
        let payload = encode::len_field_len(field::status::MESSAGE, message.len()) + 2;
        // Not bounded by the limit of what a span is told: why it failed is worth more than one attribute.
        let written = self.write_field(pages, FIELD_BYTES, field::span::STATUS, payload, |out| {
            encode::write_len_field(out, field::status::MESSAGE, message.as_bytes());
            encode::write_varint_field(out, field::status::CODE, StatusCode::Error as u64);
            Ok(())
        });
        if let Some(at) = written {
            self.status_at = u32::from(at) + 1;
        }
    }

    /// Whether the status stands in the body.
    pub(super) fn has_status(&self) -> bool {
        self.status_at != 0
    }

    /// Keeps the name in the body. `false` when there is no room, and the old name stays.
    pub(super) fn set_name(&mut self, pages: &Pages, limits: &SpanLimits, name: &str) -> bool {
        let name = cut(name, limits.text);
        let written = self.write_field(pages, FIELD_BYTES, field::span::NAME, name.len(), |out| {
            out.put(name.as_bytes());
            Ok(())
        });
        let Some(at) = written else { return false };
        if let Some(old) = self.name_at.checked_sub(1) {
            self.remove(pages, old as usize);
        }
        self.name_at = u32::from(at) + 1;
        true
    }

    /// Keeps as much of the name as there is room for.
    #[cfg(feature = "alloc")]
    pub(super) fn set_name_cut(&mut self, pages: &Pages, limits: &SpanLimits, name: &str) {
        let mut name = name;
        while !self.set_name(pages, limits, name) && !name.is_empty() {
            name = cut(name, name.len() / 2);
        }
    }

    /// Writes one field of the span, whole or not at all. Where it stands, or `None`.
    #[inline]
    fn write_field(
        &mut self,
        pages: &Pages,
        most: usize,
        number: u32,
        payload: usize,
        write: impl Fn(&mut AnyPut<'_, '_>) -> Result<(), Inconsistent>,
    ) -> Option<u16> {
        let len = 1 + varint::len(payload as u64) + payload;
        if self.body.len().saturating_add(len) > most && !self.make_room(pages, most, len) {
            return None;
        }
        if !self.body.reserve(pages, len) {
            return None;
        }
        let at = u16::try_from(self.body.len()).ok()?;
        let mark = self.body.mark();
        let written = self.write_measured(pages, len, &|out: &mut AnyPut<'_, '_>| {
            encode::write_len_prefix(out, number, payload);
            write(out)
        });
        if !written {
            self.body.rewind(mark);
        }
        written.then_some(at)
    }

    /// Writes exactly `len` reserved bytes. `false` when `write` came to another length.
    #[inline]
    fn write_measured(
        &mut self,
        pages: &Pages,
        len: usize,
        write: &impl Fn(&mut AnyPut<'_, '_>) -> Result<(), Inconsistent>,
    ) -> bool {
        let start = self.body.len();
        let mut whole = false;
        let in_one_piece = self.body.write_piece(pages, len, |out| {
            let mut out = AnyPut::Piece(Writer::new(out));
            let done = write(&mut out);
            whole = done.is_ok() && out.finish() == Some(len);
        });
        if in_one_piece {
            return whole;
        }
        write(&mut AnyPut::Pages(&mut self.body.writer(pages))).is_ok()
            && self.body.len() == start + len
    }

    /// Closes the gaps that replaced fields left, if that makes room for `len` bytes, and they are worth the work.
    #[cold]
    fn make_room(&mut self, pages: &Pages, most: usize, len: usize) -> bool {
        if self.gone < most / 4 || (self.body.len() - self.gone).saturating_add(len) > most {
            return false;
        }
        let (mut from, mut to) = (0, 0);
        while let Some(tag) = self.body.byte(pages, from) {
            let mut at_payload = from + 1;
            let Some(payload) = self.read_varint(pages, &mut at_payload) else {
                break;
            };
            let next = at_payload + payload;
            if tag != GONE {
                for at in from..next {
                    let byte = self.body.byte(pages, at).unwrap_or_default();
                    self.body.set_byte(pages, to + (at - from), byte);
                }
                self.moved(pages, from, to);
                to += next - from;
            }
            from = next;
        }
        self.body.seek(pages, to);
        self.gone = 0;
        true
    }

    fn moved(&mut self, pages: &Pages, from: usize, to: usize) {
        for at in [&mut self.name_at, &mut self.status_at] {
            if *at as usize == from + 1 {
                *at = to as u32 + 1;
                return;
            }
        }
        if let (Some(index), Ok(to)) = (self.keys.find_at(pages, from), u16::try_from(to)) {
            self.keys.move_to(pages, index, to);
        }
    }

    /// Leaves out the field that stands here.
    fn remove(&mut self, pages: &Pages, at: usize) {
        let mut at_length = at + 1;
        if let Some(payload) = self.read_varint(pages, &mut at_length) {
            self.gone += at_length - at + payload;
            self.body.set_byte(pages, at, GONE);
        }
    }

    #[cold]
    fn has_key_at(&self, pages: &Pages, at: usize, key: &str) -> bool {
        // Tag and length of the attribute, tag and length of its key, key.
        let mut at = at + 1;
        if self.read_varint(pages, &mut at).is_none() {
            return false;
        }
        at += 1;
        let Some(len) = self.read_varint(pages, &mut at) else {
            return false;
        };
        len == key.len()
            && key
                .bytes()
                .enumerate()
                .all(|(n, byte)| self.body.byte(pages, at + n) == Some(byte))
    }

    fn read_varint(&self, pages: &Pages, at: &mut usize) -> Option<usize> {
        let mut bytes = [0; 5];
        for (n, byte) in bytes.iter_mut().enumerate() {
            *byte = self.body.byte(pages, *at + n)?;
            if *byte < 0x80 {
                break;
            }
        }
        let (value, len) = varint::read(&bytes)?;
        *at += len;
        usize::try_from(value).ok()
    }

    /// The bytes of all fields, counts included.
    #[inline]
    pub(super) fn len(&self) -> usize {
        let len = self.body.len() - self.gone;
        if self.dropped() == 0 {
            len
        } else {
            len + self.counts_len()
        }
    }

    #[cold]
    fn counts_len(&self) -> usize {
        use field::span;
        count_len(span::DROPPED_ATTRIBUTES_COUNT, self.dropped_attributes)
            + count_len(span::DROPPED_EVENTS_COUNT, self.dropped_events)
            + count_len(span::DROPPED_LINKS_COUNT, self.dropped_links)
    }

    /// Writes all fields: as many bytes as [`len`](Self::len) says.
    #[inline]
    pub(super) fn write(&self, pages: &Pages, out: &mut [u8]) {
        if self.gone > 0 || self.dropped() > 0 {
            self.write_what_stays(pages, Writer::new(out));
            return;
        }
        let mut rest = out;
        self.body.for_each_piece(pages, |piece| {
            if let Some((room, later)) =
                core::mem::take(&mut rest).split_at_mut_checked(piece.len())
            {
                room.copy_from_slice(piece);
                rest = later;
            }
        });
    }

    #[cold]
    fn write_what_stays(&self, pages: &Pages, mut out: Writer<'_>) {
        use field::span;
        let mut skip = Skip::default();
        self.body
            .for_each_piece(pages, |piece| skip.copy(piece, &mut out));
        let out = &mut out;
        write_count(out, span::DROPPED_ATTRIBUTES_COUNT, self.dropped_attributes);
        write_count(out, span::DROPPED_EVENTS_COUNT, self.dropped_events);
        write_count(out, span::DROPPED_LINKS_COUNT, self.dropped_links);
    }

    /// Zero when nothing was dropped.
    #[inline]
    fn dropped(&self) -> u32 {
        self.dropped_attributes | self.dropped_events | self.dropped_links
    }

    #[inline]
    pub(crate) fn release(&mut self, pages: &Pages, seat: Option<&Seat>) {
        self.body.release(pages, seat);
        self.keys.release(pages, seat);
    }
}

/// The most bytes of a body: places in it are kept as 16-bit numbers.
const FIELD_BYTES: usize = u16::MAX as usize;

/// The start of a text: at most this many bytes, whole characters.
#[inline]
pub(super) fn cut(text: &str, bytes: usize) -> &str {
    if text.len() <= bytes {
        return text;
    }
    let end = (0..=bytes).rev().find(|end| text.is_char_boundary(*end));
    end.and_then(|end| text.get(..end)).unwrap_or_default()
}

/// The OTLP flags of a context: its W3C flags, and whether it, or the parent, is remote.
#[inline]
pub(super) fn flags(context: &SpanContext, remote: bool) -> u32 {
    u32::from(context.flags().bits()) | HAS_IS_REMOTE | if remote { IS_REMOTE } else { 0 }
}

#[inline]
pub(super) fn text_len(number: u32, text: &str) -> usize {
    if text.is_empty() {
        0
    } else {
        encode::len_field_len(number, text.len())
    }
}

#[inline]
pub(super) fn write_text(out: &mut impl Put, number: u32, text: &str) {
    if !text.is_empty() {
        encode::write_len_field(out, number, text.as_bytes());
    }
}

#[inline]
fn count_len(number: u32, count: u32) -> usize {
    if count == 0 {
        0
    } else {
        encode::varint_field_len(number, count.into())
    }
}

#[inline]
fn write_count(out: &mut impl Put, number: u32, count: u32) {
    if count != 0 {
        encode::write_varint_field(out, number, count.into());
    }
}

const _: () = assert!(
    field::tag(field::span::NAME, WireType::Len) < 0x80,
    "fields of a body have one-byte tags"
);
const _: () = assert!(
    field::tag(field::span::STATUS, WireType::Len) < 0x80,
    "fields of a body have one-byte tags"
);
