//! Bytes as a script: what to do next, and with what.

use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, KeyValue, KeyValueList, any_value,
};
use spanwire_core::attribute::{self, Value};

/// Reads decisions from bytes. When they end, every decision is zero.
pub(crate) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        let Some((byte, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *byte
    }

    pub(crate) fn below(&mut self, bound: u8) -> u8 {
        self.byte() % bound
    }

    pub(crate) fn number(&mut self) -> u64 {
        let len = self.below(9);
        (0..len).fold(0, |number, _| number << 8 | u64::from(self.byte()))
    }

    /// The longest text at the start of the next few bytes; half of all texts are one of four.
    pub(crate) fn text(&mut self) -> &'a str {
        let len = usize::from(self.below(32));
        if len < 16 {
            return ["a", "b", "http.request.method", "ключ"][len % 4];
        }
        let (bytes, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        bytes.utf8_chunks().next().map_or("", |chunk| chunk.valid())
    }

    pub(crate) fn value(&mut self, depth: u8) -> Tree<'a> {
        match self.below(if depth < 4 { 9 } else { 7 }) {
            0 => Tree::Empty,
            1 => Tree::Bool(self.byte() < 128),
            2 => Tree::Int(self.number() as i64),
            3 => Tree::Double(f64::from_bits(self.number())),
            4 => Tree::Bytes(self.text().as_bytes()),
            5 | 6 => Tree::Str(self.text()),
            7 => Tree::Array((0..self.below(4)).map(|_| self.value(depth + 1)).collect()),
            _ => Tree::Map((0..self.below(4)).map(|_| self.value(depth + 1)).collect()),
        }
    }

    pub(crate) fn attributes(&mut self) -> Vec<(&'a str, Tree<'a>)> {
        (0..self.below(5))
            .map(|_| (self.text(), self.value(1)))
            .collect()
    }
}

/// A value that owns its lists.
#[derive(Clone, Debug)]
pub(crate) enum Tree<'a> {
    Empty,
    Bool(bool),
    Int(i64),
    Double(f64),
    Str(&'a str),
    Bytes(&'a [u8]),
    Array(Vec<Self>),
    /// The values; their keys are [`KEYS`].
    Map(Vec<Self>),
}

/// The keys of maps, in order.
const KEYS: [&str; 4] = ["k", "ke", "key", "keys"];

impl Tree<'_> {
    /// What is to arrive.
    pub(crate) fn expected(&self) -> AnyValue {
        let value = match self {
            Self::Empty => None,
            Self::Bool(value) => Some(any_value::Value::BoolValue(*value)),
            Self::Int(value) => Some(any_value::Value::IntValue(*value)),
            Self::Double(value) => Some(any_value::Value::DoubleValue(*value)),
            Self::Str(text) => Some(any_value::Value::StringValue((*text).into())),
            Self::Bytes(bytes) => Some(any_value::Value::BytesValue(bytes.to_vec())),
            Self::Array(values) => Some(any_value::Value::ArrayValue(ArrayValue {
                values: values.iter().map(Self::expected).collect(),
            })),
            Self::Map(values) => Some(any_value::Value::KvlistValue(KeyValueList {
                values: KEYS
                    .iter()
                    .zip(values)
                    .map(|(key, value)| KeyValue {
                        key: (*key).into(),
                        value: Some(value.expected()),
                        key_strindex: 0,
                    })
                    .collect(),
            })),
        };
        AnyValue { value }
    }
}

/// Lends a value as the API takes it.
pub(crate) fn with_value(tree: &Tree<'_>, run: &mut dyn FnMut(Value<'_>)) {
    with_values(core::slice::from_ref(tree), Vec::new(), &mut |values| {
        run(values[0])
    });
}

fn with_values<'a>(
    trees: &'a [Tree<'a>],
    mut values: Vec<Value<'a>>,
    run: &mut dyn FnMut(&[Value<'_>]),
) {
    let Some((first, rest)) = trees.split_first() else {
        return run(&values);
    };
    let value = match first {
        Tree::Array(inner) => {
            return with_values(inner, Vec::new(), &mut |inner| {
                let mut values: Vec<Value<'_>> = values.clone();
                values.push(Value::Array(inner));
                with_values(rest, values, run);
            });
        }
        Tree::Map(inner) => {
            return with_values(inner, Vec::new(), &mut |inner| {
                let entries: Vec<_> = KEYS
                    .iter()
                    .zip(inner)
                    .map(|(key, value)| attribute::KeyValue { key, value: *value })
                    .collect();
                let mut values: Vec<Value<'_>> = values.clone();
                values.push(Value::Map(&entries));
                with_values(rest, values, run);
            });
        }
        Tree::Empty => Value::Empty,
        Tree::Bool(value) => Value::Bool(*value),
        Tree::Int(value) => Value::Int(*value),
        Tree::Double(value) => Value::Double(*value),
        Tree::Str(text) => Value::Str(text),
        Tree::Bytes(bytes) => Value::Bytes(bytes),
    };
    values.push(value);
    with_values(rest, values, run);
}

/// Lends attributes as the API takes them.
pub(crate) fn with_attributes(
    attributes: &[(&str, Tree<'_>)],
    run: &mut dyn FnMut(&[attribute::KeyValue<'_>]),
) {
    let trees: Vec<Tree<'_>> = attributes.iter().map(|(_, tree)| tree.clone()).collect();
    with_values(&trees, Vec::new(), &mut |values| {
        let attributes: Vec<_> = attributes
            .iter()
            .zip(values)
            .map(|((key, _), value)| attribute::KeyValue { key, value: *value })
            .collect();
        run(&attributes);
    });
}
