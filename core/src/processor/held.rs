//! The value of an attribute on its way to another.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::{String, ToString};

use crate::attribute;
use crate::wire::encode::{self, Put, ValueLimit};
use crate::wire::field::key_value;
use crate::wire::raw::{Field, Fields};
use crate::wire::view::{self, Value};

/// A value that is not written yet.
#[derive(Clone, Debug)]
pub(super) enum Held<'a> {
    /// That of this `KeyValue` message: all of its fields but the key.
    Of(&'a [u8]),
    /// An `AnyValue` message.
    Encoded(&'a [u8]),
    Text(Cow<'a, str>),
    Int(i64),
    Double(f64),
}

impl<'a> Held<'a> {
    pub(super) fn value(&self) -> Value<'_> {
        match self {
            Self::Of(message) => view::KeyValue::new(message).value(),
            Self::Encoded(value) => Value::new(value),
            Self::Text(text) => Value::Str(text),
            Self::Int(value) => Value::Int(*value),
            Self::Double(value) => Value::Double(*value),
        }
    }

    /// The text, if it is one; borrowed unless it was made on the way.
    pub(super) fn text(&self) -> Option<Cow<'a, str>> {
        match self {
            Self::Of(message) => view::KeyValue::new(message)
                .value()
                .as_str()
                .map(Cow::Borrowed),
            Self::Encoded(value) => Value::new(value).as_str().map(Cow::Borrowed),
            Self::Text(text) => Some(text.clone()),
            Self::Int(_) | Self::Double(_) => None,
        }
    }

    /// The bytes of a `KeyValue` message with this key and this value.
    pub(super) fn message_len(&self, key: &str) -> usize {
        let mut len = Length(0);
        self.write_message(key, &mut len);
        len.0
    }

    pub(super) fn write_message(&self, key: &str, out: &mut impl Put) {
        let mut made = |value| {
            // Only a `Display` value contradicts itself, and this is none.
            let _ =
                encode::write_key_value(out, &attribute::KeyValue { key, value }, ValueLimit::NONE);
        };
        match self {
            Self::Of(message) => {
                encode::write_len_field(out, key_value::KEY, key.as_bytes());
                not_key(message).for_each(|field| out.put(field.record));
            }
            Self::Encoded(value) => {
                encode::write_len_field(out, key_value::KEY, key.as_bytes());
                encode::write_len_field(out, key_value::VALUE, value);
            }
            Self::Text(text) => made(attribute::Value::Str(text)),
            Self::Int(value) => made(attribute::Value::Int(*value)),
            Self::Double(value) => made(attribute::Value::Double(*value)),
        }
    }

    /// Whether `message` is what would be written.
    pub(super) fn is(&self, key: &str, message: &[u8]) -> bool {
        let mut rest = Matching(Some(message));
        self.write_message(key, &mut rest);
        rest.is_whole()
    }
}

fn not_key(message: &[u8]) -> impl Iterator<Item = Field<'_>> {
    Fields::new(message).filter(|field| field.number != key_value::KEY)
}

/// Counts what is written.
struct Length(usize);

impl Put for Length {
    fn put(&mut self, bytes: &[u8]) {
        self.0 += bytes.len();
    }
}

/// Compares what is written with what is there: the bytes not written yet, or `None` once they differ.
pub(super) struct Matching<'a>(pub(super) Option<&'a [u8]>);

impl Matching<'_> {
    pub(super) fn is_whole(&self) -> bool {
        self.0.is_some_and(<[u8]>::is_empty)
    }
}

impl Put for Matching<'_> {
    fn put(&mut self, bytes: &[u8]) {
        self.0 = self.0.and_then(|rest| rest.strip_prefix(bytes));
    }
}

/// Whether two values are of one type and the same. Goes as deep as the shallower of the two.
pub(super) fn equal(wanted: Value<'_>, found: Value<'_>) -> bool {
    use view::Value::{Array, Bool, Bytes, Double, Empty, Int, Map, Str};
    match (wanted, found) {
        (Empty, Empty) => true,
        (Str(wanted), Str(found)) => wanted == found,
        (Bool(wanted), Bool(found)) => wanted == found,
        (Int(wanted), Int(found)) => wanted == found,
        (Double(wanted), Double(found)) => wanted == found,
        (Bytes(wanted), Bytes(found)) => wanted == found,
        (Array(wanted), Array(found)) => {
            let (mut wanted, mut found) = (wanted.iter(), found.iter());
            wanted
                .by_ref()
                .all(|wanted| found.next().is_some_and(|found| equal(wanted, found)))
                && found.next().is_none()
        }
        (Map(wanted), Map(found)) => {
            let (mut wanted, mut found) = (wanted.iter(), found.iter());
            let is = |wanted: view::KeyValue<'_>, found: view::KeyValue<'_>| {
                wanted.key() == found.key() && equal(wanted.value(), found.value())
            };
            wanted
                .by_ref()
                .all(|wanted| found.next().is_some_and(|found| is(wanted, found)))
                && found.next().is_none()
        }
        _ => false,
    }
}

/// The text of a scalar, as the Collector has it; nothing for bytes, arrays and maps.
pub(super) fn scalar_text<'a>(value: &Value<'a>) -> Option<Cow<'a, str>> {
    Some(match value {
        Value::Str(text) => Cow::Borrowed(*text),
        Value::Empty => Cow::Borrowed(""),
        Value::Bool(true) => Cow::Borrowed("true"),
        Value::Bool(false) => Cow::Borrowed("false"),
        Value::Int(value) => Cow::Owned(value.to_string()),
        Value::Double(value) => Cow::Owned(double_text(*value)),
        Value::Array(_) | Value::Map(_) | Value::Bytes(_) | Value::StrIndex(_) => return None,
    })
}

/// A number as JSON has it; what JSON can't say is told as the Collector tells it.
fn double_text(value: f64) -> String {
    if value.is_nan() {
        return "json: unsupported value: NaN".into();
    }
    if value.is_infinite() {
        let sign = if value < 0.0 { '-' } else { '+' };
        return format!("json: unsupported value: {sign}Inf");
    }
    let size = value.abs();
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = format!("{value:e}");
        return match text.split_once('e') {
            Some((digits, exponent)) if !exponent.starts_with('-') => {
                format!("{digits}e+{exponent}")
            }
            _ => text,
        };
    }
    value.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ECMAScript's rules for numbers, which Go's JSON follows.
    #[test]
    fn numbers_are_written_as_json_has_them() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.5, "1.5"),
            (100.0, "100"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (-2.5e30, "-2.5e+30"),
            (1e-6, "0.000001"),
            (1e-7, "1e-7"),
            (f64::NAN, "json: unsupported value: NaN"),
            (f64::NEG_INFINITY, "json: unsupported value: -Inf"),
        ] {
            assert_eq!(double_text(value), text);
        }
    }
}
