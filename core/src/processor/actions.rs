//! What is done to a list of attributes, in one pass over their bytes.

use alloc::string::String;
use alloc::vec::Vec;

use crate::attribute::{KeyValue, Value};
use crate::batch::payload_of;
use crate::wire::encode::{self, Put, ValueLimit};
use crate::wire::raw::Field;
use crate::wire::view;

/// Changes of attributes, made in the order in which they are listed: the `actions` of the OpenTelemetry Collector's
/// attributes and resource processors.
///
/// Where a key occurs more than once among the attributes, a change leaves one value of it, or none.
///
/// ```
/// use spanwire_core::processor::Actions;
///
/// let actions = Actions::new()
///     .upsert("k8s.node.name", "node-1")
///     .insert("deployment.environment.name", "production")
///     .delete("process.command_args");
/// assert!(!actions.is_empty());
/// ```
#[derive(Clone, Debug, Default)]
pub struct Actions(Vec<Change>);

/// All that is done to one key.
#[derive(Clone, Debug)]
struct Change {
    key: String,
    /// What becomes of an attribute that is there.
    present: Present,
    /// The `KeyValue` that is added when there is none.
    absent: Option<Vec<u8>>,
}

#[derive(Clone, Debug, PartialEq)]
enum Present {
    Keep,
    Replace(Vec<u8>),
    Delete,
}

impl Actions {
    /// No change.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds an attribute unless there is one with this key.
    #[must_use]
    pub fn insert<'a>(mut self, key: &'a str, value: impl Into<Value<'a>>) -> Self {
        let new = encoded(key, value.into());
        let change = self.change(key);
        if change.present == Present::Delete {
            change.present = Present::Replace(new.clone());
        }
        change.absent.get_or_insert(new);
        self
    }

    /// Replaces the value of an attribute if there is one with this key.
    #[must_use]
    pub fn update<'a>(mut self, key: &'a str, value: impl Into<Value<'a>>) -> Self {
        let new = encoded(key, value.into());
        let change = self.change(key);
        if change.present != Present::Delete {
            change.present = Present::Replace(new.clone());
        }
        if change.absent.is_some() {
            change.absent = Some(new);
        }
        self
    }

    /// Adds an attribute, or replaces the value of the one that is there.
    #[must_use]
    pub fn upsert<'a>(mut self, key: &'a str, value: impl Into<Value<'a>>) -> Self {
        let new = encoded(key, value.into());
        let change = self.change(key);
        change.present = Present::Replace(new.clone());
        change.absent = Some(new);
        self
    }

    /// Removes the attribute with this key if there is one.
    #[must_use]
    pub fn delete(mut self, key: &str) -> Self {
        let change = self.change(key);
        change.present = Present::Delete;
        change.absent = None;
        self
    }

    /// Whether nothing is changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn change(&mut self, key: &str) -> &mut Change {
        let at = self
            .0
            .iter()
            .position(|change| change.key == key)
            .unwrap_or_else(|| {
                self.0.push(Change {
                    key: key.into(),
                    present: Present::Keep,
                    absent: None,
                });
                self.0.len() - 1
            });
        &mut self.0[at]
    }
}

fn encoded<'a>(key: &'a str, value: Value<'a>) -> Vec<u8> {
    let mut message = Vec::new();
    // A `Display` that contradicts itself has no text to set: its value is empty.
    if encode::write_key_value(&mut message, &KeyValue { key, value }, ValueLimit::NONE).is_err() {
        return encoded(key, Value::Empty);
    }
    message
}

/// The fields of a message, some of which are attributes.
#[derive(Clone)]
pub(super) struct Attributed<I> {
    /// All fields of the message, in order.
    pub(super) fields: I,
    /// The number of the field that holds an attribute.
    pub(super) number: u32,
}

impl<'a, I: Iterator<Item = Field<'a>> + Clone> Attributed<I> {
    /// The bytes of the message after `actions`, or `None` when they change nothing.
    pub(super) fn measure(&self, actions: &Actions) -> Option<usize> {
        let (mut len, mut changes) = (0, false);
        for field in self.fields.clone() {
            if self.keeps(&field, actions) {
                len += field.record.len();
            } else {
                changes = true;
            }
        }
        for message in self.added(actions) {
            len += encode::len_field_len(self.number, message.len());
            changes = true;
        }
        changes.then_some(len)
    }

    /// Writes the message after `actions`: as many bytes as [`measure`](Self::measure) says.
    pub(super) fn write(&self, actions: &Actions, out: &mut impl Put) {
        for field in self
            .fields
            .clone()
            .filter(|field| self.keeps(field, actions))
        {
            out.put(field.record);
        }
        for message in self.added(actions) {
            encode::write_len_field(out, self.number, message);
        }
    }

    fn keeps(&self, field: &Field<'_>, actions: &Actions) -> bool {
        let Some(message) = payload_of(field, self.number) else {
            return true;
        };
        let key = view::KeyValue::new(message).key();
        let change = actions.0.iter().find(|change| change.key == key);
        match change.map(|change| &change.present) {
            None | Some(Present::Keep) => true,
            Some(Present::Replace(new)) => message == new,
            Some(Present::Delete) => false,
        }
    }

    /// The `KeyValue`s that are added, be it in the place of others.
    fn added<'s>(&'s self, actions: &'s Actions) -> impl Iterator<Item = &'s [u8]> {
        actions.0.iter().filter_map(|change| {
            let (mut is_there, mut is_as_wanted) = (false, false);
            let messages = self
                .fields
                .clone()
                .filter_map(|field| payload_of(&field, self.number));
            for message in
                messages.filter(|message| view::KeyValue::new(message).key() == change.key)
            {
                is_there = true;
                is_as_wanted |= matches!(&change.present, Present::Replace(new) if message == new);
            }
            match (&change.present, &change.absent) {
                (Present::Replace(new), _) if is_there && !is_as_wanted => Some(new.as_slice()),
                (_, Some(new)) if !is_there => Some(new.as_slice()),
                _ => None,
            }
        })
    }
}
