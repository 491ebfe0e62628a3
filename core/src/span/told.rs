//! The bytes of a span's attributes, events, links, status message and name, and what is noted of them.
//!
//! The bytes are a sequence of fields of the `Span` message. A field that is replaced is not moved: its tag becomes
//! [`GONE`], which is no tag, and the end of the span leaves it out.

use super::chosen::Chosen;
use super::gaps::GONE;
use super::keys::{Index, Keys};
use super::room::AnyPut;
use super::short::{self, Common, ShortValue, Text};
use crate::attribute::KeyValue;
use crate::clock::Timestamp;
use crate::context::{Link, SpanContext};
use crate::recorder::{Short, SpanLimits};
use crate::ring::{Blank, Pages, Told};
use crate::wire::encode::{self, Coder, Inconsistent, Memo, Put, Texts, Writer};
use crate::wire::field::{self, WireType};
use crate::wire::{StatusCode, varint};

/// OTLP flags: bit 8 says that bit 9 is known, bit 9 that the context is remote.
pub(super) const HAS_IS_REMOTE: u32 = 0x100;
pub(super) const IS_REMOTE: u32 = 0x200;

/// What is known of the bytes of a body, beside them in its first page.
#[derive(Debug)]
pub(super) struct Notes {
    keys: Keys,
    /// What the limits allow an attribute or an event that takes the short way.
    short: Short,
    /// Bytes of the body that were replaced.
    gone: u32,
    events: u16,
    links: u16,
    /// Where the name and the status stand in the body, plus one; 0 when they are not there.
    name_at: u32,
    status_at: u32,
}

impl Blank for Notes {
    /// Of a body without a byte, before it knows its limits.
    const BLANK: Self = Self {
        keys: Keys::EMPTY,
        short: Short::NOTHING,
        gone: 0,
        events: 0,
        links: 0,
        name_at: 0,
        status_at: 0,
    };
}

impl Notes {
    #[inline(always)]
    pub(super) fn limit(&mut self, limits: &SpanLimits) {
        self.short = limits.short;
    }

    /// Whether all bytes stay as they stand, and the notes have no pages of their own.
    #[inline(always)]
    pub(super) fn stand_whole(&self) -> bool {
        self.gone == 0 && self.keys.have_no_pages()
    }

    /// Gives back the pages of the notes themselves.
    #[inline(always)]
    pub(super) fn release(&mut self, pages: &Pages) {
        self.keys.release(pages);
    }
}

impl Told<'_, Notes> {
    /// Sets attributes one after another, as long as each is of a new key, has lengths of one byte, and the current page has
    /// room for the longest such left. Returns how many: nothing was done with the others.
    #[inline(always)]
    pub(super) fn set_all(&mut self, attributes: &[KeyValue<'_>]) -> usize {
        let start = self.len();
        let (notes, mut room) = self.notes_and_room();
        let whole = room.len();
        let most = notes.short.text;
        let Some((mut noting, slots)) = notes.keys.noting(notes.short.attributes, attributes.len())
        else {
            return 0;
        };
        let mut done = 0;
        for (attribute, slot) in attributes.iter().zip(slots) {
            let Some(space) = room.first_chunk_mut() else {
                break;
            };
            let value = Common(&attribute.value, most);
            let is_new = |fingerprint| noting.is_new(fingerprint, done);
            let Some((fingerprint, len)) = short::write(attribute.key, space, is_new, &value)
            else {
                break;
            };
            // Never: it was written there. Asked, so that nothing is asked below.
            if len > room.len() {
                break;
            }
            let at = start + (whole - room.len());
            noting.note(slot, fingerprint, at as u16);
            room = room.get_mut(len..).unwrap_or_default();
            done += 1;
        }
        let (taken, filter) = (whole - room.len(), noting.filter);
        notes.keys.keep(filter, done);
        self.take_room(taken as u16);
        done
    }

    #[inline(always)]
    pub(super) fn set_text(&mut self, key: &str, text: &str) -> bool {
        let most = self.notes().short.text;
        self.set_one(key, &Text(text, most))
    }

    /// Sets an attribute of a new key whose lengths take one byte. `false` when it is not so, or there is no room:
    /// nothing was done then.
    #[inline(always)]
    pub(super) fn set_one(&mut self, key: &str, value: &impl ShortValue) -> bool {
        let at = self.len() as u16;
        let (notes, room) = self.notes_and_room();
        let Some(space) = room.first_chunk_mut() else {
            return self.set_across(key, value);
        };
        let Some((mut noting, [slot])) = notes.keys.noting(notes.short.attributes, 1) else {
            return false;
        };
        let is_new = |fingerprint| noting.is_new(fingerprint, 0);
        let written = short::write(key, space, is_new, value);
        let Some((fingerprint, len)) = written else {
            return false;
        };
        noting.note(slot, fingerprint, at);
        let filter = noting.filter;
        notes.keys.keep(filter, 1);
        self.take_room(len as u16);
        true
    }

    /// The same where the current page may have too little room: the attribute goes on in the next one.
    #[inline(never)]
    fn set_across(&mut self, key: &str, value: &impl ShortValue) -> bool {
        let at = self.len();
        let mut whole = [0; short::WHOLE];
        let Notes { keys, short, .. } = self.notes_mut();
        let most = short.bytes;
        let Some((noting, [_])) = keys.noting(short.attributes, 1) else {
            return false;
        };
        let is_new = |fingerprint| noting.is_new(fingerprint, 0);
        let written = short::write(key, &mut whole, is_new, value);
        let Some((fingerprint, len)) = written else {
            return false;
        };
        if at + len > usize::from(most) || !self.reserve(len) {
            return false;
        }
        let pages = self.pages();
        self.notes_mut().keys.push(pages, fingerprint, at as u16);
        self.writer().put(whole.get(..len).unwrap_or_default());
        true
    }

    /// Sets one attribute that [`set_all`](Self::set_all) left, if it only needs the next page.
    #[inline(always)]
    pub(super) fn set_alone(&mut self, attribute: &KeyValue<'_>) -> bool {
        let most = self.notes().short.text;
        self.set_one(attribute.key, &Common(&attribute.value, most))
    }

    /// Sets an attribute of any kind. `false` when it is dropped.
    #[inline(never)]
    pub(super) fn set_any(&mut self, limits: &SpanLimits, attribute: &KeyValue<'_>) -> bool {
        if encode::is_displayed(&attribute.value) {
            let memo = Memo::default();
            self.encode_attribute(limits, attribute, Coder::new(limits.value, &memo))
        } else {
            self.encode_attribute(limits, attribute, Coder::fresh(limits.value))
        }
    }

    #[inline]
    fn encode_attribute<'t, T: Texts<'t>>(
        &mut self,
        limits: &SpanLimits,
        attribute: &KeyValue<'t>,
        coder: Coder<'_, T>,
    ) -> bool {
        let Some(fingerprint) = short::fingerprint(attribute.key.as_bytes()) else {
            return false;
        };
        let payload = coder.key_value_len(attribute);
        let write = |out: &mut AnyPut<'_, '_>| coder.write_key_value(out, attribute);
        if let Some(index) = self.find_key(fingerprint, attribute.key) {
            return self.replace_attribute(limits, index, payload, T::MAY_FAIL, write);
        }
        let pages = self.pages();
        let keys = &mut self.notes_mut().keys;
        if keys.len() >= limits.attributes || !keys.reserve(pages) {
            return false;
        }
        let Some(at) = self.write_field(limits.bytes, field::span::ATTRIBUTES, payload, write)
        else {
            return false;
        };
        self.notes_mut().keys.push(pages, fingerprint, at);
        true
    }

    fn find_key(&mut self, fingerprint: u16, key: &str) -> Option<Index> {
        let pages = self.pages();
        let mut from = Index::FIRST;
        loop {
            let (index, at) = self.notes_mut().keys.find(pages, fingerprint, from)?;
            if self.has_key_at(at, key) {
                return Some(index);
            }
            from = index.next();
        }
    }

    /// Writes an attribute in the place of another, if they are of one length, else at the end.
    #[inline(never)]
    fn replace_attribute(
        &mut self,
        limits: &SpanLimits,
        index: Index,
        payload: usize,
        may_fail: bool,
        write: impl Fn(&mut AnyPut<'_, '_>) -> Result<(), Inconsistent>,
    ) -> bool {
        let pages = self.pages();
        let mut at = self.notes_mut().keys.at(pages, index) + 1;
        if self.read_varint(&mut at) == Some(payload) && !may_fail {
            let end = self.seek(at);
            let written = self.write_measured(payload, &write);
            self.rewind(end);
            return written;
        }
        let Some(at) = self.write_field(limits.bytes, field::span::ATTRIBUTES, payload, write)
        else {
            return false;
        };
        // Read anew: making room may have moved it.
        let keys = &mut self.notes_mut().keys;
        let old = keys.at(pages, index);
        keys.move_to(pages, index, at);
        self.remove(old);
        true
    }

    /// Adds an event with a short name and nothing else. `false` when it is not so, there are too many, or there is no room:
    /// nothing was done then.
    #[inline(always)]
    pub(super) fn add_bare_event(&mut self, time: Timestamp, name: &str) -> bool {
        use field::event;
        const PREFIX: usize = 13;
        let len = PREFIX + name.len();
        let notes = self.notes();
        if name.len() > short::MOST - PREFIX || notes.events >= notes.short.events {
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
        let Some(room) = self.take_short(len) else {
            return false;
        };
        if let Some((head, rest)) = room.split_first_chunk_mut::<PREFIX>() {
            *head = prefix;
            short::copy(rest, name.as_bytes());
        }
        self.notes_mut().events += 1;
        true
    }

    /// Adds an event of any kind. `false` when it is dropped.
    #[inline(never)]
    pub(super) fn add_event(
        &mut self,
        limits: &SpanLimits,
        time: Timestamp,
        name: &str,
        attributes: Chosen<'_, '_>,
    ) -> bool {
        let added = (self.notes().events as usize) < limits.events
            && self.write_event(limits, time, name, attributes);
        if added {
            self.notes_mut().events += 1;
        }
        added
    }

    fn write_event(
        &mut self,
        limits: &SpanLimits,
        time: Timestamp,
        name: &str,
        attributes: Chosen<'_, '_>,
    ) -> bool {
        if attributes.is_displayed() {
            let memo = Memo::default();
            self.encode_event(
                limits,
                time,
                name,
                attributes,
                Coder::new(limits.value, &memo),
            )
        } else {
            self.encode_event(limits, time, name, attributes, Coder::fresh(limits.value))
        }
    }

    #[inline]
    fn encode_event<'t, T: Texts<'t>>(
        &mut self,
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
        let written = self.write_field(limits.bytes, field::span::EVENTS, payload, |out| {
            encode::write_fixed64_field(out, event::TIME_UNIX_NANO, time.as_unix_nanos());
            encode::write_len_field(out, event::NAME, name.as_bytes());
            attributes.write(out, event::ATTRIBUTES, coder)?;
            write_count(out, event::DROPPED_ATTRIBUTES_COUNT, dropped);
            Ok(())
        });
        written.is_some()
    }

    /// Adds a link. `false` when it is dropped.
    pub(super) fn add_link(&mut self, limits: &SpanLimits, link: &Link<'_>) -> bool {
        let added = (self.notes().links as usize) < limits.links && self.write_link(limits, link);
        if added {
            self.notes_mut().links += 1;
        }
        added
    }

    fn write_link(&mut self, limits: &SpanLimits, link: &Link<'_>) -> bool {
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
        let written = self.write_field(limits.bytes, field::span::LINKS, payload, |out| {
            encode::write_len_field(out, fields::TRACE_ID, &context.trace_id().to_bytes());
            encode::write_len_field(out, fields::SPAN_ID, &context.span_id().to_bytes());
            write_text(out, fields::TRACE_STATE, state);
            attributes.write(out, fields::ATTRIBUTES, coder)?;
            write_count(out, fields::DROPPED_ATTRIBUTES_COUNT, dropped);
            encode::write_fixed32_field(out, fields::FLAGS, flags(context, context.is_remote()));
            Ok(())
        });
        written.is_some()
    }

    /// Keeps the status of an error with a message, or no message.
    pub(super) fn set_status_message(&mut self, limits: &SpanLimits, message: Option<&str>) {
        if let Some(at) = self.notes().status_at.checked_sub(1) {
            self.remove(at as usize);
            self.notes_mut().status_at = 0;
        }
        let Some(message) = message.map(|message| cut(message, limits.text)) else {
            return;
        };
        let payload = encode::len_field_len(field::status::MESSAGE, message.len()) + 2;
        // Not bounded by the limit of what a span is told: why it failed is worth more than one attribute.
        let written = self.write_field(FIELD_BYTES, field::span::STATUS, payload, |out| {
            encode::write_len_field(out, field::status::MESSAGE, message.as_bytes());
            encode::write_varint_field(out, field::status::CODE, StatusCode::Error as u64);
            Ok(())
        });
        if let Some(at) = written {
            self.notes_mut().status_at = u32::from(at) + 1;
        }
    }

    /// Keeps the name in the body. `false` when there is no room, and the old name stays.
    pub(super) fn set_name(&mut self, limits: &SpanLimits, name: &str) -> bool {
        let name = cut(name, limits.text);
        let written = self.write_field(FIELD_BYTES, field::span::NAME, name.len(), |out| {
            out.put(name.as_bytes());
            Ok(())
        });
        let Some(at) = written else { return false };
        if let Some(old) = self.notes().name_at.checked_sub(1) {
            self.remove(old as usize);
        }
        self.notes_mut().name_at = u32::from(at) + 1;
        true
    }

    /// The bytes that were not replaced.
    #[inline(always)]
    pub(super) fn kept(&self) -> usize {
        self.len() - self.notes().gone as usize
    }

    /// Whether the status is among them.
    #[inline(always)]
    pub(super) fn has_status(&self) -> bool {
        self.notes().status_at != 0
    }

    /// Writes one field of the span, whole or not at all. Where it stands, or `None`.
    #[inline]
    fn write_field(
        &mut self,
        most: usize,
        number: u32,
        payload: usize,
        write: impl Fn(&mut AnyPut<'_, '_>) -> Result<(), Inconsistent>,
    ) -> Option<u16> {
        let len = 1 + varint::len(payload as u64) + payload;
        if self.len().saturating_add(len) > most && !self.make_room(most, len) {
            return None;
        }
        if !self.reserve(len) {
            return None;
        }
        let at = u16::try_from(self.len()).ok()?;
        let mark = self.mark();
        let written = self.write_measured(len, &|out: &mut AnyPut<'_, '_>| {
            encode::write_len_prefix(out, number, payload);
            write(out)
        });
        if !written {
            self.rewind(mark);
        }
        written.then_some(at)
    }

    /// Writes exactly `len` reserved bytes. `false` when `write` came to another length.
    #[inline]
    fn write_measured(
        &mut self,
        len: usize,
        write: &impl Fn(&mut AnyPut<'_, '_>) -> Result<(), Inconsistent>,
    ) -> bool {
        if let Some(piece) = self.take_piece(len) {
            let mut out = AnyPut::Piece(Writer::new(piece));
            return write(&mut out).is_ok() && out.finish() == Some(len);
        }
        let start = self.len();
        write(&mut AnyPut::Pages(&mut self.writer())).is_ok() && self.len() == start + len
    }

    /// Closes the gaps that replaced fields left, if that makes room for `len` bytes, and they are worth the work.
    #[cold]
    fn make_room(&mut self, most: usize, len: usize) -> bool {
        let gone = self.notes().gone as usize;
        if gone < most / 4 || (self.len() - gone).saturating_add(len) > most {
            return false;
        }
        let (mut from, mut to) = (0, 0);
        while let Some(tag) = self.byte(from) {
            let mut at_payload = from + 1;
            let Some(payload) = self.read_varint(&mut at_payload) else {
                break;
            };
            let next = at_payload + payload;
            if tag != GONE {
                for at in from..next {
                    let byte = self.byte(at).unwrap_or_default();
                    self.set_byte(to + (at - from), byte);
                }
                self.moved(from, to);
                to += next - from;
            }
            from = next;
        }
        self.seek(to);
        self.notes_mut().gone = 0;
        true
    }

    fn moved(&mut self, from: usize, to: usize) {
        let pages = self.pages();
        let notes = self.notes_mut();
        for at in [&mut notes.name_at, &mut notes.status_at] {
            if *at as usize == from + 1 {
                *at = to as u32 + 1;
                return;
            }
        }
        if let (Some(index), Ok(to)) = (notes.keys.find_at(pages, from), u16::try_from(to)) {
            notes.keys.move_to(pages, index, to);
        }
    }

    /// Leaves out the field that stands here.
    fn remove(&mut self, at: usize) {
        let mut at_length = at + 1;
        if let Some(payload) = self.read_varint(&mut at_length) {
            self.notes_mut().gone += (at_length - at + payload) as u32;
            self.set_byte(at, GONE);
        }
    }

    #[cold]
    fn has_key_at(&self, at: usize, key: &str) -> bool {
        // Tag and length of the attribute, tag and length of its key, key.
        let mut at = at + 1;
        if self.read_varint(&mut at).is_none() {
            return false;
        }
        at += 1;
        let Some(len) = self.read_varint(&mut at) else {
            return false;
        };
        len == key.len()
            && key
                .bytes()
                .enumerate()
                .all(|(n, byte)| self.byte(at + n) == Some(byte))
    }

    fn read_varint(&self, at: &mut usize) -> Option<usize> {
        let mut bytes = [0; 5];
        for (n, byte) in bytes.iter_mut().enumerate() {
            *byte = self.byte(*at + n)?;
            if *byte < 0x80 {
                break;
            }
        }
        let (value, len) = varint::read(&bytes)?;
        *at += len;
        usize::try_from(value).ok()
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
pub(super) fn count_len(number: u32, count: u32) -> usize {
    if count == 0 {
        0
    } else {
        encode::varint_field_len(number, count.into())
    }
}

#[inline]
pub(super) fn write_count(out: &mut impl Put, number: u32, count: u32) {
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
