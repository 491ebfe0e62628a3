//! Changes that need to know nothing but the keys that are there: literal values set, and keys removed.

use alloc::string::String;
use alloc::vec::Vec;

use super::{Attributed, When};
use crate::batch::payload_of;
use crate::wire::encode::{self, Put};
use crate::wire::raw::Field;
use crate::wire::view;

/// Changes by key, whatever the order in which they were asked for. Nothing is allocated to make them.
#[derive(Clone, Debug, Default)]
pub(super) struct Plain(Vec<Change>);

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

impl Plain {
    pub(super) const fn new() -> Self {
        Self(Vec::new())
    }

    /// Sets `key` to what the `KeyValue` message `new` says.
    pub(super) fn set(&mut self, when: When, key: &str, new: Vec<u8>) {
        let change = self.change(key);
        match when {
            When::Absent => {
                if change.present == Present::Delete {
                    change.present = Present::Replace(new.clone());
                }
                change.absent.get_or_insert(new);
            }
            When::Present => {
                if change.present != Present::Delete {
                    change.present = Present::Replace(new.clone());
                }
                if change.absent.is_some() {
                    change.absent = Some(new);
                }
            }
            When::Always => {
                change.present = Present::Replace(new.clone());
                change.absent = Some(new);
            }
        }
    }

    pub(super) fn delete(&mut self, key: &str) {
        let change = self.change(key);
        change.present = Present::Delete;
        change.absent = None;
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

    pub(super) fn measure<'a, I>(&self, message: &Attributed<'a, I>) -> Option<usize>
    where
        I: Iterator<Item = Field<'a>> + Clone,
    {
        let (mut len, mut changes) = (0, false);
        for field in message.fields.clone() {
            if self.keeps(message.number, &field) {
                len += field.record.len();
            } else {
                changes = true;
            }
        }
        for new in self.added(message) {
            len += encode::len_field_len(message.number, new.len());
            changes = true;
        }
        changes.then_some(len)
    }

    pub(super) fn write<'a, I>(&self, message: &Attributed<'a, I>, out: &mut impl Put)
    where
        I: Iterator<Item = Field<'a>> + Clone,
    {
        for field in message.fields.clone() {
            if self.keeps(message.number, &field) {
                out.put(field.record);
            }
        }
        for new in self.added(message) {
            encode::write_len_field(out, message.number, new);
        }
    }

    fn keeps(&self, number: u32, field: &Field<'_>) -> bool {
        let Some(message) = payload_of(field, number) else {
            return true;
        };
        let key = view::KeyValue::new(message).key();
        let change = self.0.iter().find(|change| change.key == key);
        match change.map(|change| &change.present) {
            None | Some(Present::Keep) => true,
            Some(Present::Replace(new)) => message == new,
            Some(Present::Delete) => false,
        }
    }

    /// The `KeyValue`s that are added, be it in the place of others.
    fn added<'s, 'a, I>(&'s self, message: &'s Attributed<'a, I>) -> impl Iterator<Item = &'s [u8]>
    where
        I: Iterator<Item = Field<'a>> + Clone,
    {
        self.0.iter().filter_map(|change| {
            let (mut is_there, mut is_as_wanted) = (false, false);
            let messages = message
                .fields
                .clone()
                .filter_map(|field| payload_of(&field, message.number));
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
