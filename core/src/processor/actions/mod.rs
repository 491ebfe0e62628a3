//! What is done to a list of attributes, in one pass over their bytes.

use alloc::vec::Vec;

use super::Pattern;
use crate::attribute::{KeyValue, Value};
use crate::batch::ClientInfo;
use crate::wire::encode::{self, Put, ValueLimit};
use crate::wire::raw::Field;

// Text to attributes.
mod extract;

// Literals set and keys removed.
mod plain;

// Everything, in order.
mod steps;

pub use extract::{Extraction, InvalidExtraction};
use plain::Plain;
use steps::{Outcome, Steps};

/// Changes of attributes, made in the order in which they are listed: the `actions` of the OpenTelemetry Collector's
/// attributes and resource processors.
///
/// Where a key occurs more than once among the attributes, the last value is the one that counts, and a change leaves
/// one value of it, or none. Attributes that no change concerns stay as they are, byte for byte.
///
/// ```
/// use spanwire_core::processor::{Actions, ConvertTo, Pattern};
///
/// let actions = Actions::new()
///     .upsert("k8s.node.name", "node-1")
///     .insert("deployment.environment.name", "production")
///     .insert_from("net.host.name", "host.name")
///     .convert("http.response.status_code", ConvertTo::Int)
///     .delete_matching(Pattern::glob("process.command*"));
/// assert!(!actions.is_empty());
/// ```
#[derive(Clone, Debug)]
pub struct Actions {
    /// The same as `steps`, as long as that is possible.
    plain: Option<Plain>,
    steps: Steps,
}

impl Default for Actions {
    fn default() -> Self {
        Self::new()
    }
}

/// When a value is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    Absent,
    Present,
    Always,
}

/// What a value is converted to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConvertTo {
    /// An integer: of a double the part before the point, of a boolean 0 or 1, of a text its decimal digits.
    Int,
    /// A double: of a boolean 0 or 1.
    Double,
    /// A text. Bytes, arrays and maps stay what they are.
    String,
}

impl Actions {
    /// No change.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            plain: Some(Plain::new()),
            steps: Steps::new(),
        }
    }

    /// Adds an attribute unless there is one with this key.
    #[must_use]
    pub fn insert<'a>(self, key: &'a str, value: impl Into<Value<'a>>) -> Self {
        self.set(When::Absent, key, value.into())
    }

    /// Replaces the value of an attribute if there is one with this key.
    #[must_use]
    pub fn update<'a>(self, key: &'a str, value: impl Into<Value<'a>>) -> Self {
        self.set(When::Present, key, value.into())
    }

    /// Adds an attribute, or replaces the value of the one that is there.
    #[must_use]
    pub fn upsert<'a>(self, key: &'a str, value: impl Into<Value<'a>>) -> Self {
        self.set(When::Always, key, value.into())
    }

    /// As [`insert`](Self::insert), with the value of the attribute `from`; nothing if there is none.
    #[must_use]
    pub fn insert_from(self, key: &str, from: &str) -> Self {
        self.step(|steps| steps.copy(When::Absent, key, from))
    }

    /// As [`update`](Self::update), with the value of the attribute `from`; nothing if there is none.
    #[must_use]
    pub fn update_from(self, key: &str, from: &str) -> Self {
        self.step(|steps| steps.copy(When::Present, key, from))
    }

    /// As [`upsert`](Self::upsert), with the value of the attribute `from`; nothing if there is none.
    #[must_use]
    pub fn upsert_from(self, key: &str, from: &str) -> Self {
        self.step(|steps| steps.copy(When::Always, key, from))
    }

    /// As [`insert`](Self::insert), with what is known by this name about who sent the request, see
    /// [`ClientInfo`](crate::batch::ClientInfo); nothing if that is not known, as of this program's own spans.
    #[must_use]
    pub fn insert_from_client(self, key: &str, name: &str) -> Self {
        self.step(|steps| steps.client(When::Absent, key, name))
    }

    /// As [`update`](Self::update), with what is known by this name about who sent the request; nothing if that is not known.
    #[must_use]
    pub fn update_from_client(self, key: &str, name: &str) -> Self {
        self.step(|steps| steps.client(When::Present, key, name))
    }

    /// As [`upsert`](Self::upsert), with what is known by this name about who sent the request; nothing if that is not known.
    #[must_use]
    pub fn upsert_from_client(self, key: &str, name: &str) -> Self {
        self.step(|steps| steps.client(When::Always, key, name))
    }

    /// Removes the attribute with this key if there is one.
    #[must_use]
    pub fn delete(mut self, key: &str) -> Self {
        if let Some(plain) = &mut self.plain {
            plain.delete(key);
        }
        self.steps.delete(key);
        self
    }

    /// Removes the attributes whose keys are like this.
    #[must_use]
    pub fn delete_matching(self, keys: Pattern) -> Self {
        self.step(|steps| steps.delete_matching(keys))
    }

    /// Replaces a value by its SHA-256, as lower-case hexadecimal text: of the bytes of a text, of one byte of a boolean,
    /// of the eight bytes of a number, lowest first. A text without characters, and any other value, becomes a text without
    /// characters.
    #[cfg(feature = "sha256")]
    #[must_use]
    pub fn hash(self, key: &str) -> Self {
        self.step(|steps| steps.hash(key))
    }

    /// As [`hash`](Self::hash), for all attributes whose keys are like this.
    #[cfg(feature = "sha256")]
    #[must_use]
    pub fn hash_matching(self, keys: Pattern) -> Self {
        self.step(|steps| steps.hash_matching(keys))
    }

    /// Adds, or replaces, an attribute for each group of an expression that is found in the text of an attribute; a group
    /// that took no part makes a text without characters. Nothing if there is no such text.
    #[must_use]
    pub fn extract(self, key: &str, extraction: Extraction) -> Self {
        self.step(|steps| steps.extract(key, extraction))
    }

    /// Replaces a value by what it is as another type, and leaves it where it can't be.
    #[must_use]
    pub fn convert(self, key: &str, to: ConvertTo) -> Self {
        self.step(|steps| steps.convert(key, to))
    }

    /// Whether nothing is changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    fn set<'a>(mut self, when: When, key: &'a str, value: Value<'a>) -> Self {
        let (message, value) = encoded(key, value);
        if let Some(plain) = &mut self.plain {
            plain.set(when, key, message);
        }
        self.steps.set(when, key, value);
        self
    }

    fn step(mut self, add: impl FnOnce(&mut Steps)) -> Self {
        self.plain = None;
        add(&mut self.steps);
        self
    }
}

/// The `KeyValue` message, and the `AnyValue` message in it.
fn encoded<'a>(key: &'a str, value: Value<'a>) -> (Vec<u8>, Vec<u8>) {
    let (mut message, mut alone) = (Vec::new(), Vec::new());
    // A `Display` that contradicts itself has no text to set: its value is empty.
    if encode::write_key_value(&mut message, &KeyValue { key, value }, ValueLimit::NONE).is_err()
        || encode::write_value(&mut alone, &value, ValueLimit::NONE).is_err()
    {
        return encoded(key, Value::Empty);
    }
    (message, alone)
}

/// The fields of a message, some of which are attributes.
#[derive(Clone)]
pub(super) struct Attributed<'a, I> {
    /// All fields of the message, in order.
    pub(super) fields: I,
    /// The number of the field that holds an attribute.
    pub(super) number: u32,
    /// Who sent it, as far as that is known.
    pub(super) client: Option<&'a ClientInfo>,
}

impl<'a, I: Iterator<Item = Field<'a>> + Clone> Attributed<'a, I> {
    /// The bytes of the message after `actions`, or `None` when they change nothing.
    pub(super) fn measure(&self, actions: &'a Actions) -> Option<usize> {
        match &actions.plain {
            Some(plain) => plain.measure(self),
            None => Outcome::of(&actions.steps, self).measure(self),
        }
    }

    /// Writes the message after `actions`: as many bytes as [`measure`](Self::measure) says.
    pub(super) fn write(&self, actions: &'a Actions, out: &mut impl Put) {
        match &actions.plain {
            Some(plain) => plain.write(self, out),
            None => Outcome::of(&actions.steps, self).write(self, out),
        }
    }
}
