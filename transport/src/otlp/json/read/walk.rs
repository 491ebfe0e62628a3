//! The walk over the text: a visitor for each message and each field, driven by the schema.

use core::fmt;

use serde_core::de::{
    DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use spanwire_core::wire::encode;
use spanwire_core::wire::raw::MAX_DEPTH;
use spanwire_core::wire::varint;

use super::scalar::{self, Number};
use super::schema::{Field, Kind, Message};
use super::{Fault, InvalidJson};

/// Names of a path that an error tells.
const PATH_ROOM: usize = 32;

/// How the parser hands out a number, as an object with the number's text, where another crate of the program has
/// switched it to arbitrary precision.
const ARBITRARY_PRECISION: &str = "$serde_json::private::Number";

/// One step from a message to what is in it.
enum Step {
    Field(&'static str),
    Index(usize),
}

/// Where the walk is, and what it has written.
pub(super) struct Walk<'o> {
    out: &'o mut Vec<u8>,
    /// From the root to the value at hand. Steps are taken back when a value has been read, so that after a fault this
    /// is the way to it.
    path: Vec<Step>,
    /// Messages open around the value at hand, the root not counted.
    depth: u32,
    fault: Option<Fault>,
}

impl<'o> Walk<'o> {
    pub(super) fn new(out: &'o mut Vec<u8>) -> Self {
        Self {
            out,
            path: Vec::new(),
            depth: 0,
            fault: None,
        }
    }

    /// Reads the message that is the whole text.
    pub(super) fn root<'de, D: Deserializer<'de>>(
        &mut self,
        message: &'static Message,
        json: D,
    ) -> Result<(), D::Error> {
        json.deserialize_map(Root {
            walk: self,
            message,
        })
    }

    /// The error that stopped the walk, where it stands now.
    pub(super) fn invalid(&mut self, error: &serde_json::Error) -> InvalidJson {
        let fault = self.fault.take().unwrap_or_else(|| {
            // The walk takes every type but at the root, whose text the parser would quote.
            if error.is_data() {
                return Fault::Type {
                    expected: "an object",
                };
            }
            let text = error.to_string();
            // The place is told apart.
            let words = text
                .rsplit_once(" at line ")
                .map_or(text.as_str(), |(words, _)| words);
            Fault::Syntax(words.into())
        });
        InvalidJson {
            fault,
            path: self.path(),
            line: error.line(),
            column: error.column(),
        }
    }

    fn path(&self) -> String {
        let mut path = String::new();
        let mut names = 0;
        for step in &self.path {
            match step {
                Step::Field(_) if names == PATH_ROOM => {
                    path.push_str("..");
                    break;
                }
                Step::Field(name) => {
                    if !path.is_empty() {
                        path.push('.');
                    }
                    path.push_str(name);
                    names += 1;
                }
                Step::Index(index) => path.push_str(&format!("[{index}]")),
            }
        }
        path
    }

    /// Remembers the fault; what the parser is told is only that there is one.
    #[cold]
    fn fail<E: Error>(&mut self, fault: Fault) -> E {
        self.fault.get_or_insert(fault);
        E::custom("not OTLP/JSON")
    }

    /// Writes a length-delimited field whose payload `write` appends: minimal in length, moved once if its length
    /// takes more than a byte.
    fn nested<E>(
        &mut self,
        number: u32,
        write: impl FnOnce(&mut Self) -> Result<(), E>,
    ) -> Result<(), E> {
        encode::write_len_prefix(self.out, number, 0);
        let start = self.out.len();
        write(self)?;
        let len = self.out.len().saturating_sub(start);
        let room = varint::len(len as u64);
        let mut prefix = [0; 10];
        let written = varint::write(len as u64, &mut prefix).unwrap_or_default();
        // The one byte that stands for the length gives way to as many as it takes.
        debug_assert_eq!(room, written);
        self.out
            .splice(start - 1..start, prefix.into_iter().take(written));
        Ok(())
    }

    fn message<'de, A: MapAccess<'de>>(
        &mut self,
        message: &'static Message,
        mut object: A,
    ) -> Result<(), A::Error> {
        let mut seen = 0_u32;
        let mut member = false;
        while let Some(name) = object.next_key_seed(Name { message })? {
            let (index, field) = match name {
                Named::Field(index, field) => (index, field),
                Named::Unknown => {
                    object.next_value::<IgnoredAny>()?;
                    continue;
                }
                Named::Number => {
                    return Err(self.fail(Fault::Type {
                        expected: "an object",
                    }));
                }
            };
            self.path.push(Step::Field(field.name));
            if seen & 1 << index != 0 {
                return Err(self.fail(Fault::Duplicate));
            }
            seen |= 1 << index;
            let is_set = object.next_value_seed(Value {
                walk: self,
                field,
                oneof: message.oneof,
                element: false,
            })?;
            if is_set && message.oneof && core::mem::replace(&mut member, true) {
                return Err(self.fail(Fault::Oneof));
            }
            self.path.pop();
        }
        Ok(())
    }

    /// A message in a field.
    fn child<'de, A: MapAccess<'de>>(
        &mut self,
        number: u32,
        message: &'static Message,
        object: A,
    ) -> Result<(), A::Error> {
        if self.depth >= MAX_DEPTH {
            return Err(self.fail(Fault::Depth));
        }
        self.depth += 1;
        self.nested(number, |walk| walk.message(message, object))?;
        self.depth -= 1;
        Ok(())
    }

    /// A number in a field of a kind that takes one.
    fn number(
        &mut self,
        field: &Field,
        number: Number<'_>,
        keep_default: bool,
    ) -> Result<(), Fault> {
        let of = field.number;
        let out = &mut *self.out;
        match field.kind {
            Kind::Uint32 => {
                let value = number.whole(0, u32::MAX.into(), "a number from 0 to 4294967295")?;
                if value != 0 || keep_default {
                    encode::write_varint_field(out, of, value as u64);
                }
            }
            Kind::Fixed32 => {
                let value = number.whole(0, u32::MAX.into(), "a number from 0 to 4294967295")?;
                if value != 0 || keep_default {
                    encode::write_fixed32_field(out, of, value as u32);
                }
            }
            Kind::Fixed64 => {
                let value = number.whole(0, u64::MAX, "a number from 0 to 18446744073709551615")?;
                if value != 0 || keep_default {
                    encode::write_fixed64_field(out, of, value as u64);
                }
            }
            Kind::Int64 => {
                let value = number.whole(
                    i64::MIN,
                    i64::MAX as u64,
                    "a number from -9223372036854775808 to 9223372036854775807",
                )?;
                if value != 0 || keep_default {
                    encode::write_varint_field(out, of, value as i64 as u64);
                }
            }
            Kind::Int32 | Kind::Enum(_) => {
                let value = number.whole(
                    i32::MIN.into(),
                    i32::MAX as u64,
                    "a number from -2147483648 to 2147483647",
                )?;
                if value != 0 || keep_default {
                    encode::write_varint_field(out, of, value as i64 as u64);
                }
            }
            Kind::Double => {
                let value = number.double()?;
                encode::write_fixed64_field(out, of, value.to_bits());
            }
            _ => {
                return Err(Fault::Type {
                    expected: expected(field.kind),
                });
            }
        }
        Ok(())
    }

    /// A string in a field.
    fn text(&mut self, field: &Field, text: &str, keep_default: bool) -> Result<(), Fault> {
        match field.kind {
            Kind::Str => {
                if !text.is_empty() || keep_default {
                    encode::write_len_field(self.out, field.number, text.as_bytes());
                }
                Ok(())
            }
            Kind::Id(len) => {
                if text.is_empty() {
                    return Ok(());
                }
                self.nested(field.number, |walk| scalar::id(text, len, walk.out))
            }
            Kind::Bytes => self.nested(field.number, |walk| scalar::base64(text, walk.out)),
            Kind::Enum(names) => match (0_u32..).zip(names).find(|(_, name)| **name == text) {
                Some((value, _)) => {
                    self.number(field, Number::Unsigned(value.into()), keep_default)
                }
                None => Err(Fault::Type {
                    expected: expected(field.kind),
                }),
            },
            Kind::Bool | Kind::Message(_) => Err(Fault::Type {
                expected: expected(field.kind),
            }),
            _ => self.number(field, Number::Text(text), keep_default),
        }
    }
}

/// What a field of this kind takes, for people.
fn expected(kind: Kind) -> &'static str {
    match kind {
        Kind::Message(_) => "an object",
        Kind::Str => "a string",
        Kind::Id(_) => "a string of hexadecimal digits",
        Kind::Bytes => "a string in base64",
        Kind::Bool => "true or false",
        Kind::Enum(_) => "a number or the name of a value",
        Kind::Int64 | Kind::Uint32 | Kind::Fixed32 | Kind::Fixed64 | Kind::Double | Kind::Int32 => {
            "a number"
        }
    }
}

/// The whole text.
struct Root<'w, 'o> {
    walk: &'w mut Walk<'o>,
    message: &'static Message,
}

impl<'de> Visitor<'de> for Root<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<(), A::Error> {
        self.walk.message(self.message, object)
    }
}

/// The name of a field.
struct Name {
    message: &'static Message,
}

enum Named {
    Field(usize, &'static Field),
    Unknown,
    /// This is no object, but a number.
    Number,
}

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Named;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Named, D::Error> {
        json.deserialize_str(self)
    }
}

impl Visitor<'_> for Name {
    type Value = Named;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Named, E> {
        let mut fields = self.message.fields.iter().enumerate();
        Ok(match fields.find(|(_, field)| field.is_called(name)) {
            Some((index, field)) => Named::Field(index, field),
            None if name == ARBITRARY_PRECISION => Named::Number,
            None => Named::Unknown,
        })
    }
}

/// The value of a field, or one element of it. Says whether it is set: `null` is not.
struct Value<'w, 'o> {
    walk: &'w mut Walk<'o>,
    field: &'static Field,
    /// Defaults are written: the field is a member of a `oneof`.
    oneof: bool,
    /// An element of a repeated field, not the field itself.
    element: bool,
}

impl Value<'_, '_> {
    /// Lists are for repeated fields, and nothing else is.
    fn is_single(&self) -> bool {
        self.element || !self.field.repeated
    }

    fn wrong_type<E: Error>(self) -> Result<bool, E> {
        let expected = if self.is_single() {
            expected(self.field.kind)
        } else {
            "a list"
        };
        Err(self.walk.fail(Fault::Type { expected }))
    }

    fn settle<E: Error>(
        self,
        write: impl FnOnce(&mut Walk<'_>, &Field, bool) -> Result<(), Fault>,
    ) -> Result<bool, E> {
        if !self.is_single() {
            return self.wrong_type();
        }
        let keep_default = self.oneof || self.element;
        match write(self.walk, self.field, keep_default) {
            Ok(()) => Ok(true),
            Err(fault) => Err(self.walk.fail(fault)),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Value<'_, '_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<bool, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_, '_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(expected(self.field.kind))
    }

    fn visit_unit<E: Error>(self) -> Result<bool, E> {
        if !self.element {
            return Ok(false);
        }
        match self.field.kind {
            // Some senders write an empty value so; proto3 has no `null` in lists.
            Kind::Message(message) if message.oneof => {
                encode::write_len_field(self.walk.out, self.field.number, &[]);
                Ok(true)
            }
            _ => Err(self.walk.fail(Fault::Null)),
        }
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<bool, E> {
        self.settle(|walk, field, keep_default| match field.kind {
            Kind::Bool => {
                if value || keep_default {
                    encode::write_varint_field(walk.out, field.number, value.into());
                }
                Ok(())
            }
            kind => Err(Fault::Type {
                expected: expected(kind),
            }),
        })
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<bool, E> {
        self.settle(|walk, field, keep| walk.number(field, Number::Unsigned(value), keep))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<bool, E> {
        self.settle(|walk, field, keep| walk.number(field, Number::Signed(value), keep))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<bool, E> {
        self.settle(|walk, field, keep| walk.number(field, Number::Double(value), keep))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<bool, E> {
        self.settle(|walk, field, keep| walk.text(field, value, keep))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<bool, A::Error> {
        match self.field.kind {
            Kind::Message(message) if self.is_single() => {
                self.walk.child(self.field.number, message, object)?;
                Ok(true)
            }
            Kind::Message(_) => self.wrong_type(),
            _ if object.next_key::<String>()?.as_deref() == Some(ARBITRARY_PRECISION) => {
                let number = object.next_value::<String>()?;
                self.settle(|walk, field, keep| walk.number(field, Number::Text(&number), keep))
            }
            _ => self.wrong_type(),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<bool, A::Error> {
        if self.is_single() {
            return self.wrong_type();
        }
        for index in 0.. {
            self.walk.path.push(Step::Index(index));
            let element = Value {
                walk: &mut *self.walk,
                field: self.field,
                oneof: false,
                element: true,
            };
            if list.next_element_seed(element)?.is_none() {
                self.walk.path.pop();
                break;
            }
            self.walk.path.pop();
        }
        Ok(true)
    }
}
