//! Writing attributes: measured first, written once, never patched.
//!
//! Lengths of keys and values have a closed form, so a value is measured before its first byte is written and every
//! length is a minimal varint. The same functions write into a page, a block, a fixed buffer or a `Vec`.

use core::cell::Cell;
use core::fmt;

use super::field::{self, WireType};
use super::varint;
use crate::attribute::{KeyValue, Value};

/// How many levels of messages an attribute may add below its `KeyValue`.
///
/// The widespread decoders refuse more than 100 nested messages. An attribute of an event or link starts 6 deep; an
/// array adds 2 levels and a map 3. What lies deeper becomes an empty value.
const NESTING: usize = 94;
const ARRAY_NESTING: usize = 2;
const MAP_NESTING: usize = 3;

/// Takes bytes that were measured beforehand.
pub trait Put {
    /// Takes these bytes, after those taken before.
    fn put(&mut self, bytes: &[u8]);

    /// Takes one byte.
    #[inline]
    fn put_byte(&mut self, byte: u8) {
        self.put(&[byte]);
    }
}

#[cfg(feature = "alloc")]
impl Put for alloc::vec::Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// Writes into a fixed buffer. What does not fit is not written, and remembered.
///
/// ```
/// use spanwire_core::wire::encode::{Put, Writer};
///
/// let mut buffer = [0; 4];
/// let mut writer = Writer::new(&mut buffer);
/// writer.put(b"abc");
/// assert_eq!(writer.finish(), Some(3));
/// ```
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut [u8],
    at: usize,
}

impl<'a> Writer<'a> {
    /// Starts at the first byte of `out`.
    #[inline]
    pub fn new(out: &'a mut [u8]) -> Self {
        Self { out, at: 0 }
    }

    /// The room that is left; none when something did not fit.
    pub(crate) fn rest(self) -> &'a mut [u8] {
        self.out.get_mut(self.at..).unwrap_or_default()
    }

    /// The bytes written, or `None` when something did not fit.
    #[must_use]
    #[inline]
    pub fn finish(self) -> Option<usize> {
        (self.at <= self.out.len()).then_some(self.at)
    }
}

impl Put for Writer<'_> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        let end = self.at.saturating_add(bytes.len());
        match self.out.get_mut(self.at..end) {
            Some(room) => {
                room.copy_from_slice(bytes);
                self.at = end;
            }
            None => self.at = usize::MAX,
        }
    }

    #[inline]
    fn put_byte(&mut self, byte: u8) {
        match self.out.get_mut(self.at) {
            Some(room) => {
                *room = byte;
                self.at += 1;
            }
            None => self.at = usize::MAX,
        }
    }
}

/// How much of a value is kept. OpenTelemetry common specification, "Attribute Limits".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValueLimit(usize);

impl ValueLimit {
    /// Values are kept whole. The default.
    pub const NONE: Self = Self(usize::MAX);

    /// Strings are cut after this many Unicode scalar values, byte arrays after this many bytes, inside arrays and
    /// maps too. Other values are never cut.
    #[must_use]
    pub const fn new(length: usize) -> Self {
        Self(length)
    }

    /// The most bytes of which a string or byte array is kept whole, whatever is in it.
    #[inline]
    pub(crate) const fn most(self) -> usize {
        self.0
    }

    #[inline]
    fn cut(self, text: &str) -> &str {
        // Text of n bytes has at most n characters.
        if text.len() <= self.0 {
            return text;
        }
        self.cut_longer(text)
    }

    #[cold]
    fn cut_longer(self, text: &str) -> &str {
        match text.char_indices().nth(self.0) {
            Some((end, _)) => text.get(..end).unwrap_or(text),
            None => text,
        }
    }

    #[inline]
    fn cut_bytes(self, bytes: &[u8]) -> &[u8] {
        bytes.get(..self.0).unwrap_or(bytes)
    }
}

impl Default for ValueLimit {
    fn default() -> Self {
        Self::NONE
    }
}

/// A `Display` implementation wrote less the second time than it did the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inconsistent;

impl fmt::Display for Inconsistent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a Display implementation gave two texts of different length, or failed")
    }
}

impl core::error::Error for Inconsistent {}

/// The bytes of a length-delimited field with a payload of `payload` bytes, tag included.
#[must_use]
#[inline]
pub const fn len_field_len(number: u32, payload: usize) -> usize {
    varint::len(field::tag(number, WireType::Len) as u64) + varint::len(payload as u64) + payload
}

/// The bytes of a varint field, tag included.
#[must_use]
#[inline]
pub const fn varint_field_len(number: u32, value: u64) -> usize {
    varint::len(field::tag(number, WireType::Varint) as u64) + varint::len(value)
}

/// Writes a number.
#[inline]
pub fn write_varint(out: &mut impl Put, mut value: u64) {
    while value >= 0x80 {
        out.put_byte(value as u8 | 0x80);
        value >>= 7;
    }
    out.put_byte(value as u8);
}

/// Writes the tag and length of a length-delimited field; its payload follows.
#[inline]
pub fn write_len_prefix(out: &mut impl Put, number: u32, payload: usize) {
    write_varint(out, field::tag(number, WireType::Len).into());
    write_varint(out, payload as u64);
}

/// Writes a length-delimited field.
#[inline]
pub fn write_len_field(out: &mut impl Put, number: u32, payload: &[u8]) {
    write_len_prefix(out, number, payload.len());
    out.put(payload);
}

/// Writes a varint field.
#[inline]
pub fn write_varint_field(out: &mut impl Put, number: u32, value: u64) {
    write_varint(out, field::tag(number, WireType::Varint).into());
    write_varint(out, value);
}

/// Writes a fixed64 field.
#[inline]
pub fn write_fixed64_field(out: &mut impl Put, number: u32, value: u64) {
    write_varint(out, field::tag(number, WireType::Fixed64).into());
    out.put(&value.to_le_bytes());
}

/// Writes a fixed32 field.
#[inline]
pub fn write_fixed32_field(out: &mut impl Put, number: u32, value: u32) {
    write_varint(out, field::tag(number, WireType::Fixed32).into());
    out.put(&value.to_le_bytes());
}

/// The bytes of a `KeyValue` message, without the tag and length of the field that holds it.
#[must_use]
#[inline]
pub fn key_value_len(attribute: &KeyValue<'_>, limit: ValueLimit) -> usize {
    Coder::fresh(limit).key_value_len(attribute)
}

/// The bytes of an `AnyValue` message, without the tag and length of the field that holds it.
#[must_use]
#[inline]
pub fn value_len(value: &Value<'_>, limit: ValueLimit) -> usize {
    Coder::fresh(limit).value_len(value)
}

/// Writes a `KeyValue` message: as many bytes as [`key_value_len`] says, unless a `Display` value changed in between.
///
/// # Errors
/// A `Display` value did not write the text it was measured by; what was written must be taken back.
pub fn write_key_value(
    out: &mut impl Put,
    attribute: &KeyValue<'_>,
    limit: ValueLimit,
) -> Result<(), Inconsistent> {
    Coder::new(limit, &Memo::default()).write_key_value(out, attribute)
}

/// Writes an `AnyValue` message: as many bytes as [`value_len`] says, unless a `Display` value changed in between.
///
/// # Errors
/// A `Display` value did not write the text it was measured by; what was written must be taken back.
pub fn write_value(
    out: &mut impl Put,
    value: &Value<'_>,
    limit: ValueLimit,
) -> Result<(), Inconsistent> {
    Coder::new(limit, &Memo::default()).write_value(out, value)
}

/// The bytes of one `KeyValue` field for each attribute that counts: for a repeated key only the last.
#[must_use]
pub fn attributes_len(number: u32, attributes: &[KeyValue<'_>], limit: ValueLimit) -> usize {
    unique(attributes)
        .map(|attribute| len_field_len(number, key_value_len(attribute, limit)))
        .sum()
}

/// Writes one `KeyValue` field for each attribute that counts: as many bytes as [`attributes_len`] says, unless a
/// `Display` value changed in between.
///
/// # Errors
/// A `Display` value did not write the text it was measured by; what was written must be taken back.
pub fn write_attributes(
    out: &mut impl Put,
    number: u32,
    attributes: &[KeyValue<'_>],
    limit: ValueLimit,
) -> Result<(), Inconsistent> {
    unique(attributes).try_for_each(|attribute| {
        let memo = Memo::default();
        let coder = Coder::new(limit, &memo);
        write_len_prefix(out, number, coder.key_value_len(attribute));
        coder.write_key_value(out, attribute)
    })
}

/// The attributes with a key, each key once: in the order of their first mention, with their last value.
pub fn unique<'s, 'a>(
    attributes: &'s [KeyValue<'a>],
) -> impl Iterator<Item = &'s KeyValue<'a>> + Clone {
    let same = |key: &'s str| move |other: &&'s KeyValue<'a>| other.key == key;
    attributes
        .iter()
        .enumerate()
        .filter_map(move |(at, attribute)| {
            let (before, after) = attributes.split_at_checked(at)?;
            if attribute.key.is_empty() || before.iter().any(|other| other.key == attribute.key) {
                return None;
            }
            after.iter().rfind(same(attribute.key))
        })
}

/// Whether a text is made by `Display` somewhere in a value: it is then to be measured once and remembered.
#[must_use]
#[inline]
pub(crate) fn is_displayed(value: &Value<'_>) -> bool {
    match value {
        Value::Display(_) => true,
        Value::Array(values) => values.iter().any(is_displayed),
        Value::Map(entries) => entries.iter().any(|entry| is_displayed(&entry.value)),
        _ => false,
    }
}

/// How long the texts are that `Display` makes.
///
/// A length stands in front of each message around a text. All of them must rest on one measurement, whatever a
/// `Display` implementation does when it is asked again.
pub(crate) trait Texts<'t> {
    /// Whether writing may come to another length than measuring.
    const MAY_FAIL: bool;

    /// The bytes of a text. `None` when there are too many to remember.
    fn len(&self, text: &'t (dyn fmt::Display + 't), limit: ValueLimit) -> Option<usize>;
}

/// Measures a text whenever it is asked. For values without texts made by `Display`, and for estimates.
pub(crate) struct Fresh;

impl<'t> Texts<'t> for Fresh {
    const MAY_FAIL: bool = false;

    #[inline]
    fn len(&self, text: &'t (dyn fmt::Display + 't), limit: ValueLimit) -> Option<usize> {
        Some(Measure::of(text, limit))
    }
}

/// The texts of one attribute, event or link that are remembered. What has more of them is not written.
const TEXTS: usize = 16;

/// A text, and its length.
type Known<'t> = (&'t (dyn fmt::Display + 't), usize);

/// Measures each text once.
#[derive(Default)]
pub(crate) struct Memo<'t> {
    known: [Cell<Option<Known<'t>>>; TEXTS],
}

impl<'t> Texts<'t> for Memo<'t> {
    const MAY_FAIL: bool = true;

    fn len(&self, text: &'t (dyn fmt::Display + 't), limit: ValueLimit) -> Option<usize> {
        for place in &self.known {
            match place.get() {
                #[allow(
                    ambiguous_wide_pointer_comparisons,
                    reason = "copies of one reference have one vtable"
                )]
                Some((known, len)) if core::ptr::eq(known, text) => return Some(len),
                Some(_) => {}
                None => {
                    let len = Measure::of(text, limit);
                    place.set(Some((text, len)));
                    return Some(len);
                }
            }
        }
        None
    }
}

/// Measures and writes values under one limit, with one measurement of each text.
pub(crate) struct Coder<'m, T> {
    limit: ValueLimit,
    texts: &'m T,
}

impl<T> Clone for Coder<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Coder<'_, T> {}

impl Coder<'static, Fresh> {
    #[inline]
    pub(crate) fn fresh(limit: ValueLimit) -> Self {
        Self {
            limit,
            texts: &Fresh,
        }
    }
}

impl<'m, 't, T: Texts<'t>> Coder<'m, T> {
    #[inline]
    pub(crate) fn new(limit: ValueLimit, texts: &'m T) -> Self {
        Self { limit, texts }
    }

    #[inline]
    pub(crate) fn key_value_len(self, attribute: &KeyValue<'t>) -> usize {
        self.key_value_len_at(attribute, NESTING)
    }

    #[inline]
    pub(crate) fn value_len(self, value: &Value<'t>) -> usize {
        self.value_len_at(value, NESTING)
    }

    #[inline]
    pub(crate) fn write_key_value(
        self,
        out: &mut impl Put,
        attribute: &KeyValue<'t>,
    ) -> Result<(), Inconsistent> {
        self.write_key_value_at(out, attribute, NESTING)
    }

    #[inline]
    pub(crate) fn write_value(
        self,
        out: &mut impl Put,
        value: &Value<'t>,
    ) -> Result<(), Inconsistent> {
        self.write_value_at(out, value, NESTING)
    }

    #[inline]
    fn key_value_len_at(self, attribute: &KeyValue<'t>, nesting: usize) -> usize {
        len_field_len(field::key_value::KEY, attribute.key.len())
            + len_field_len(
                field::key_value::VALUE,
                self.value_len_at(&attribute.value, nesting),
            )
    }

    #[inline]
    fn write_key_value_at(
        self,
        out: &mut impl Put,
        attribute: &KeyValue<'t>,
        nesting: usize,
    ) -> Result<(), Inconsistent> {
        write_len_field(out, field::key_value::KEY, attribute.key.as_bytes());
        write_len_prefix(
            out,
            field::key_value::VALUE,
            self.value_len_at(&attribute.value, nesting),
        );
        self.write_value_at(out, &attribute.value, nesting)
    }

    #[inline]
    fn value_len_at(self, value: &Value<'t>, nesting: usize) -> usize {
        use field::any_value as any;
        match *value {
            Value::Empty => 0,
            Value::Bool(_) => 2,
            Value::Int(number) => varint_field_len(any::INT_VALUE, number as u64),
            Value::Double(_) => 9,
            Value::Str(text) => len_field_len(any::STRING_VALUE, self.limit.cut(text).len()),
            Value::Bytes(bytes) => {
                len_field_len(any::BYTES_VALUE, self.limit.cut_bytes(bytes).len())
            }
            _ => self.compound_len(value, nesting),
        }
    }

    fn compound_len(self, value: &Value<'t>, nesting: usize) -> usize {
        use field::any_value as any;
        if let Value::Display(text) = *value {
            let len = self.texts.len(text, self.limit).unwrap_or(0);
            return len_field_len(any::STRING_VALUE, len);
        }
        let number = match value {
            Value::Map(_) => any::KVLIST_VALUE,
            _ => any::ARRAY_VALUE,
        };
        match self.list_len(value, nesting) {
            Some(list) => len_field_len(number, list),
            None => 0,
        }
    }

    /// The bytes of the `ArrayValue` or `KeyValueList` message, or `None` where it lies too deep.
    fn list_len(self, value: &Value<'t>, nesting: usize) -> Option<usize> {
        let each = |len: usize| len_field_len(field::list::VALUES, len);
        if let Value::Map(entries) = *value {
            let nesting = nesting.checked_sub(MAP_NESTING)?;
            return Some(
                unique(entries)
                    .map(|entry| each(self.key_value_len_at(entry, nesting)))
                    .sum(),
            );
        }
        let nesting = nesting.checked_sub(ARRAY_NESTING)?;
        let mut sum = 0;
        elements(value, &mut |element| {
            sum += each(self.value_len_at(&element, nesting));
            Ok(())
        })
        .ok()?;
        Some(sum)
    }

    #[inline]
    fn write_value_at<P: Put>(
        self,
        out: &mut P,
        value: &Value<'t>,
        nesting: usize,
    ) -> Result<(), Inconsistent> {
        use field::any_value as any;
        match *value {
            Value::Empty => {}
            Value::Bool(truth) => write_varint_field(out, any::BOOL_VALUE, truth.into()),
            Value::Int(number) => write_varint_field(out, any::INT_VALUE, number as u64),
            Value::Double(number) => write_fixed64_field(out, any::DOUBLE_VALUE, number.to_bits()),
            Value::Str(text) => {
                write_len_field(out, any::STRING_VALUE, self.limit.cut(text).as_bytes());
            }
            Value::Bytes(bytes) => {
                write_len_field(out, any::BYTES_VALUE, self.limit.cut_bytes(bytes));
            }
            _ => return self.write_compound(out, value, nesting),
        }
        Ok(())
    }

    fn write_compound<P: Put>(
        self,
        out: &mut P,
        value: &Value<'t>,
        nesting: usize,
    ) -> Result<(), Inconsistent> {
        use field::any_value as any;
        if let Value::Display(text) = *value {
            let len = self.texts.len(text, self.limit).ok_or(Inconsistent)?;
            write_len_prefix(out, any::STRING_VALUE, len);
            return Exactly::write(out, text, len);
        }
        let Some(list) = self.list_len(value, nesting) else {
            return Ok(());
        };
        if let Value::Map(entries) = *value {
            write_len_prefix(out, any::KVLIST_VALUE, list);
            let nesting = nesting.saturating_sub(MAP_NESTING);
            return unique(entries).try_for_each(|entry| {
                write_len_prefix(
                    out,
                    field::list::VALUES,
                    self.key_value_len_at(entry, nesting),
                );
                self.write_key_value_at(out, entry, nesting)
            });
        }
        write_len_prefix(out, any::ARRAY_VALUE, list);
        let nesting = nesting.saturating_sub(ARRAY_NESTING);
        elements(value, &mut |element| {
            write_len_prefix(
                out,
                field::list::VALUES,
                self.value_len_at(&element, nesting),
            );
            self.write_value_at(out, &element, nesting)
        })
    }
}

fn elements<'t>(
    value: &Value<'t>,
    each: &mut dyn FnMut(Value<'t>) -> Result<(), Inconsistent>,
) -> Result<(), Inconsistent> {
    match *value {
        Value::Array(values) => values.iter().try_for_each(|value| each(*value)),
        Value::Bools(values) => values
            .iter()
            .try_for_each(|value| each(Value::Bool(*value))),
        Value::Ints(values) => values.iter().try_for_each(|value| each(Value::Int(*value))),
        Value::Doubles(values) => values
            .iter()
            .try_for_each(|value| each(Value::Double(*value))),
        Value::Strs(values) => values.iter().try_for_each(|value| each(Value::Str(value))),
        _ => Ok(()),
    }
}

/// Counts the bytes of a text up to a number of characters.
struct Measure {
    bytes: usize,
    characters_left: usize,
}

impl Measure {
    fn of(text: &dyn fmt::Display, limit: ValueLimit) -> usize {
        let mut measure = Self {
            bytes: 0,
            characters_left: limit.0,
        };
        // An error means that the limit is reached, or that the value can't be formatted: its text ends there.
        let _ = fmt::write(&mut measure, format_args!("{text}"));
        measure.bytes
    }
}

impl fmt::Write for Measure {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let kept = ValueLimit(self.characters_left).cut(text);
        self.bytes = self.bytes.saturating_add(kept.len());
        if self.characters_left != usize::MAX {
            self.characters_left -= kept.chars().count();
        }
        if kept.len() == text.len() {
            Ok(())
        } else {
            Err(fmt::Error)
        }
    }
}

/// Writes exactly as many bytes of a text as were measured.
struct Exactly<'a, P> {
    out: &'a mut P,
    left: usize,
    split: bool,
}

impl<'a, P: Put> Exactly<'a, P> {
    fn write(out: &'a mut P, text: &dyn fmt::Display, len: usize) -> Result<(), Inconsistent> {
        let mut exactly = Self {
            out,
            left: len,
            split: false,
        };
        let _ = fmt::write(&mut exactly, format_args!("{text}"));
        if exactly.left == 0 && !exactly.split {
            Ok(())
        } else {
            Err(Inconsistent)
        }
    }
}

impl<P: Put> fmt::Write for Exactly<'_, P> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let Some(kept) = text.get(..text.len().min(self.left)) else {
            // The measured length ends inside a character: the text is not the one that was measured.
            self.split = true;
            return Err(fmt::Error);
        };
        self.out.put(kept.as_bytes());
        self.left -= kept.len();
        if kept.len() == text.len() {
            Ok(())
        } else {
            Err(fmt::Error)
        }
    }
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use std::string::String;
    use std::vec;
    use std::vec::Vec;

    use opentelemetry_proto::tonic::common::v1 as proto;
    use prost::Message;

    use super::*;

    fn decode(attribute: &KeyValue<'_>, limit: ValueLimit) -> proto::KeyValue {
        let mut bytes = Vec::new();
        write_key_value(&mut bytes, attribute, limit).unwrap();
        assert_eq!(bytes.len(), key_value_len(attribute, limit));
        proto::KeyValue::decode(bytes.as_slice()).unwrap()
    }

    fn value(value: Value<'_>) -> Option<proto::any_value::Value> {
        decode(&KeyValue { key: "k", value }, ValueLimit::NONE)
            .value
            .unwrap()
            .value
    }

    #[test]
    fn every_kind_decodes() {
        use proto::any_value::Value as V;
        assert_eq!(value(Value::Empty), None);
        assert_eq!(value(false.into()), Some(V::BoolValue(false)));
        assert_eq!(value(0.into()), Some(V::IntValue(0)));
        assert_eq!(value((-1_i64).into()), Some(V::IntValue(-1)));
        assert_eq!(value(i64::MIN.into()), Some(V::IntValue(i64::MIN)));
        assert_eq!(value(0.5.into()), Some(V::DoubleValue(0.5)));
        assert_eq!(value("".into()), Some(V::StringValue(String::new())));
        assert_eq!(value("é".into()), Some(V::StringValue("é".into())));
        assert_eq!(
            value(b"\xff".as_slice().into()),
            Some(V::BytesValue(vec![0xff]))
        );
        assert_eq!(value(Value::display(&7)), Some(V::StringValue("7".into())));
        let Some(V::ArrayValue(list)) = value([1_i64, 2].as_slice().into()) else {
            panic!()
        };
        assert_eq!(list.values.len(), 2);
        let Some(V::ArrayValue(list)) = value(["a", ""].as_slice().into()) else {
            panic!()
        };
        assert_eq!(list.values[1].value, Some(V::StringValue(String::new())));
        let map = [
            KeyValue::new("a", 1),
            KeyValue::new("b", true),
            KeyValue::new("a", 2),
        ];
        let Some(V::KvlistValue(list)) = value(map.as_slice().into()) else {
            panic!()
        };
        assert_eq!(list.values.len(), 2);
        assert_eq!(list.values[0].key, "a");
        assert_eq!(
            list.values[0].value.clone().unwrap().value,
            Some(V::IntValue(2))
        );
        assert_eq!(
            value([false; 0].as_slice().into()),
            Some(V::ArrayValue(proto::ArrayValue { values: vec![] }))
        );
    }

    #[test]
    fn values_are_cut_on_characters() {
        use proto::any_value::Value as V;
        let cut = |value: Value<'_>, limit| {
            decode(&KeyValue { key: "key", value }, ValueLimit::new(limit))
                .value
                .unwrap()
                .value
        };
        assert_eq!(cut("aé中x".into(), 3), Some(V::StringValue("aé中".into())));
        assert_eq!(cut("aé中x".into(), 4), Some(V::StringValue("aé中x".into())));
        assert_eq!(
            cut(Value::display(&"aé中x"), 2),
            Some(V::StringValue("aé".into()))
        );
        assert_eq!(cut("abc".into(), 0), Some(V::StringValue(String::new())));
        assert_eq!(
            cut(b"abc".as_slice().into(), 2),
            Some(V::BytesValue(b"ab".to_vec()))
        );
        assert_eq!(cut(12345.into(), 1), Some(V::IntValue(12345)));
        let Some(V::ArrayValue(list)) = cut(["abc"].as_slice().into(), 1) else {
            panic!()
        };
        assert_eq!(list.values[0].value, Some(V::StringValue("a".into())));
    }

    #[test]
    fn nesting_stops_where_decoders_would() {
        fn nested(depth: usize, map: bool, check: &mut dyn FnMut(Value<'_>)) {
            fn grow(depth: usize, map: bool, value: Value<'_>, check: &mut dyn FnMut(Value<'_>)) {
                match (depth, map) {
                    (0, _) => check(value),
                    (_, true) => grow(
                        depth - 1,
                        map,
                        Value::Map(&[KeyValue { key: "k", value }]),
                        check,
                    ),
                    (_, false) => grow(depth - 1, map, Value::Array(&[value]), check),
                }
            }
            grow(depth, map, Value::Int(1), check);
        }
        for (map, deepest) in [(false, 47), (true, 31)] {
            for depth in [deepest, deepest + 1, 90] {
                nested(depth, map, &mut |value| {
                    let decoded = decode(&KeyValue { key: "k", value }, ValueLimit::NONE);
                    let mut levels = 0;
                    let mut inner = decoded.value.unwrap().value;
                    while let Some(value) = inner {
                        inner = match value {
                            proto::any_value::Value::ArrayValue(mut list) => {
                                list.values.remove(0).value
                            }
                            proto::any_value::Value::KvlistValue(mut list) => {
                                list.values.remove(0).value.unwrap().value
                            }
                            _ => break,
                        };
                        levels += 1;
                    }
                    assert_eq!(levels, deepest.min(depth));
                });
            }
        }
    }

    #[test]
    fn a_display_that_changes_its_mind_is_refused() {
        struct Shrinking(Cell<usize>);
        impl fmt::Display for Shrinking {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.set(self.0.get() - 1);
                (0..self.0.get()).try_for_each(|_| f.write_str("x"))
            }
        }
        let shrinking = Shrinking(Cell::new(9));
        let mut out = Vec::new();
        let attribute = KeyValue {
            key: "k",
            value: Value::display(&shrinking),
        };
        assert!(key_value_len(&attribute, ValueLimit::NONE) > 0);
        assert_eq!(
            write_key_value(&mut out, &attribute, ValueLimit::NONE),
            Err(Inconsistent)
        );
    }

    #[test]
    fn a_writer_remembers_what_did_not_fit() {
        let mut buffer = [0; 3];
        let mut writer = Writer::new(&mut buffer);
        writer.put(b"ab");
        writer.put(b"cd");
        writer.put(b"");
        writer.put_byte(1);
        assert_eq!(writer.finish(), None);
        let mut writer = Writer::new(&mut buffer);
        writer.put(b"abc");
        assert_eq!(writer.finish(), Some(3));
    }
}
