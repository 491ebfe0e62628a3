//! Changes in which values come from other attributes: one after another, over a table of the keys they name.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use super::extract::Extraction;
use super::{Attributed, ConvertTo, When};
use crate::batch::{ClientInfo, payload_of};
use crate::processor::Pattern;
use crate::processor::held::{Held, scalar_text};
#[cfg(feature = "sha256")]
use crate::processor::sha256::digest;
use crate::wire::encode::{self, Put};
use crate::wire::raw::Field;
use crate::wire::view::{self, Value};

/// Steps and the keys they name. What a step needs beyond the bytes of a message is a row for each of these keys, so
/// that memory is bounded by what was configured and not by what a neighbour sends.
#[derive(Clone, Debug, Default)]
pub(super) struct Steps {
    keys: Vec<String>,
    steps: Vec<Step>,
}

#[derive(Clone, Debug)]
enum Step {
    Set(When, usize, Source),
    Delete(usize),
    DeleteMatching(Pattern),
    #[cfg(feature = "sha256")]
    Hash(usize),
    #[cfg(feature = "sha256")]
    HashMatching(Pattern),
    Extract(usize, Extraction, Vec<usize>),
    Convert(usize, ConvertTo),
}

#[derive(Clone, Debug)]
enum Source {
    /// An `AnyValue` message.
    Literal(Vec<u8>),
    /// The row of a key.
    Attribute(usize),
    /// What is known by this name about who sent the request.
    Client(String),
}

impl Steps {
    pub(super) const fn new() -> Self {
        Self {
            keys: Vec::new(),
            steps: Vec::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    pub(super) fn set(&mut self, when: When, key: &str, value: Vec<u8>) {
        let key = self.row(key);
        self.steps
            .push(Step::Set(when, key, Source::Literal(value)));
    }

    pub(super) fn copy(&mut self, when: When, key: &str, from: &str) {
        let (key, from) = (self.row(key), self.row(from));
        self.steps
            .push(Step::Set(when, key, Source::Attribute(from)));
    }

    pub(super) fn client(&mut self, when: When, key: &str, name: &str) {
        let key = self.row(key);
        self.steps
            .push(Step::Set(when, key, Source::Client(name.into())));
    }

    pub(super) fn delete(&mut self, key: &str) {
        let key = self.row(key);
        self.steps.push(Step::Delete(key));
    }

    pub(super) fn delete_matching(&mut self, keys: Pattern) {
        self.steps.push(Step::DeleteMatching(keys));
    }

    #[cfg(feature = "sha256")]
    pub(super) fn hash(&mut self, key: &str) {
        let key = self.row(key);
        self.steps.push(Step::Hash(key));
    }

    #[cfg(feature = "sha256")]
    pub(super) fn hash_matching(&mut self, keys: Pattern) {
        self.steps.push(Step::HashMatching(keys));
    }

    pub(super) fn extract(&mut self, key: &str, extraction: Extraction) {
        let key = self.row(key);
        let into = extraction.names().map(|name| self.row(name)).collect();
        self.steps.push(Step::Extract(key, extraction, into));
    }

    pub(super) fn convert(&mut self, key: &str, to: ConvertTo) {
        let key = self.row(key);
        self.steps.push(Step::Convert(key, to));
    }

    fn row(&mut self, key: &str) -> usize {
        let found = self.keys.iter().position(|known| known == key);
        found.unwrap_or_else(|| {
            self.keys.push(key.into());
            self.keys.len() - 1
        })
    }
}

/// What becomes of the attribute with one of the keys.
#[derive(Clone, Debug, Default)]
struct Row<'a> {
    /// The last `KeyValue` message with this key.
    before: Option<&'a [u8]>,
    now: Option<Held<'a>>,
    is_changed: bool,
}

impl<'a> Row<'a> {
    fn set(&mut self, value: Option<Held<'a>>) {
        self.now = value;
        self.is_changed = true;
    }
}

/// What becomes of one message.
pub(super) struct Outcome<'a> {
    steps: &'a Steps,
    rows: Vec<Row<'a>>,
}

impl<'a> Outcome<'a> {
    pub(super) fn of<I>(steps: &'a Steps, message: &Attributed<'a, I>) -> Self
    where
        I: Iterator<Item = Field<'a>> + Clone,
    {
        let mut rows = Vec::new();
        rows.resize_with(steps.keys.len(), Row::default);
        let messages = message.fields.clone();
        for found in messages.filter_map(|field| payload_of(&field, message.number)) {
            let key = view::KeyValue::new(found).key();
            let known = steps.keys.iter().zip(&mut rows);
            if let Some((_, row)) = known.into_iter().find(|(known, _)| *known == key) {
                row.before = Some(found);
                row.now = Some(Held::Of(found));
            }
        }
        let mut outcome = Self { steps, rows };
        steps
            .steps
            .iter()
            .for_each(|step| outcome.take(step, message.client));
        outcome
    }

    fn take(&mut self, step: &'a Step, client: Option<&'a ClientInfo>) {
        match step {
            Step::Set(when, key, source) => {
                let value = match source {
                    Source::Literal(value) => Some(Held::Encoded(value)),
                    Source::Attribute(from) => self.rows[*from].now.clone(),
                    Source::Client(name) => {
                        client.and_then(|client| client.entry(name)).map(Held::Of)
                    }
                };
                let row = &mut self.rows[*key];
                let is_due = match when {
                    When::Absent => row.now.is_none(),
                    When::Present => row.now.is_some(),
                    When::Always => true,
                };
                if is_due && value.is_some() {
                    row.set(value);
                }
            }
            Step::Delete(key) => {
                if self.rows[*key].now.is_some() {
                    self.rows[*key].set(None);
                }
            }
            Step::DeleteMatching(keys) => self.matching(keys, |row| row.set(None)),
            #[cfg(feature = "sha256")]
            Step::Hash(key) => self.rows[*key] = hashed(core::mem::take(&mut self.rows[*key])),
            #[cfg(feature = "sha256")]
            Step::HashMatching(keys) => {
                self.matching(keys, |row| *row = hashed(core::mem::take(row)))
            }
            Step::Extract(key, extraction, into) => {
                let text = self.rows[*key].now.as_ref().and_then(Held::text);
                let groups = match &text {
                    Some(Cow::Borrowed(text)) => extraction.of(text, Cow::Borrowed),
                    Some(Cow::Owned(text)) => extraction.of(text, |group| Cow::Owned(group.into())),
                    None => Vec::new(),
                };
                for (into, group) in into.iter().zip(groups) {
                    self.rows[*into].set(Some(Held::Text(group)));
                }
            }
            Step::Convert(key, to) => {
                let row = &mut self.rows[*key];
                if let Some(new) = row
                    .now
                    .as_ref()
                    .and_then(|now| converted(&now.value(), *to))
                {
                    row.set(Some(new));
                }
            }
        }
    }

    fn matching(&mut self, keys: &Pattern, change: impl Fn(&mut Row<'a>)) {
        for (key, row) in self.steps.keys.iter().zip(&mut self.rows) {
            if row.now.is_some() && keys.matches(key) {
                change(row);
            }
        }
    }

    pub(super) fn measure<I>(&self, message: &Attributed<'a, I>) -> Option<usize>
    where
        I: Iterator<Item = Field<'a>> + Clone,
    {
        let (mut len, mut changes) = (0, false);
        self.walk(message, |part| match part {
            Part::Kept(record) => len += record.len(),
            Part::Left => changes = true,
            Part::New(key, value) => {
                len += encode::len_field_len(message.number, value.message_len(key));
                changes = true;
            }
        });
        changes.then_some(len)
    }

    pub(super) fn write<I>(&self, message: &Attributed<'a, I>, out: &mut impl Put)
    where
        I: Iterator<Item = Field<'a>> + Clone,
    {
        self.walk(message, |part| match part {
            Part::Kept(record) => out.put(record),
            Part::Left => {}
            Part::New(key, value) => {
                encode::write_len_prefix(out, message.number, value.message_len(key));
                value.write_message(key, out);
            }
        });
    }

    /// Every part of the new message, in order.
    fn walk<I>(&self, message: &Attributed<'a, I>, mut part: impl FnMut(Part<'_>))
    where
        I: Iterator<Item = Field<'a>> + Clone,
    {
        for field in message.fields.clone() {
            let Some(found) = payload_of(&field, message.number) else {
                part(Part::Kept(field.record));
                continue;
            };
            let key = view::KeyValue::new(found).key();
            let mut known = self.steps.keys.iter().zip(&self.rows);
            match known.find(|(known, _)| *known == key) {
                Some((_, row)) if !row.is_changed => part(Part::Kept(field.record)),
                // Of a key that repeats, the last one is looked at: it stays if it is as it is to be.
                Some((_, row)) => part(match (&row.now, row.before) {
                    (Some(now), Some(before))
                        if core::ptr::eq(before, found) && now.is(key, found) =>
                    {
                        Part::Kept(field.record)
                    }
                    _ => Part::Left,
                }),
                None => self.other(key, found, field.record, &mut part),
            }
        }
        for (key, row) in self.steps.keys.iter().zip(&self.rows) {
            let Some(now) = row.now.as_ref().filter(|_| row.is_changed) else {
                continue;
            };
            if !row.before.is_some_and(|before| now.is(key, before)) {
                part(Part::New(key, now));
            }
        }
    }

    /// An attribute that no step names: patterns may mean it all the same.
    fn other<'f>(
        &self,
        key: &str,
        found: &'f [u8],
        record: &'f [u8],
        part: &mut impl FnMut(Part<'_>),
    ) {
        let row = Row {
            before: Some(found),
            now: Some(Held::Of(found)),
            is_changed: false,
        };
        let row = self
            .steps
            .steps
            .iter()
            .try_fold(row, |row, step| match step {
                Step::DeleteMatching(keys) if keys.matches(key) => None,
                #[cfg(feature = "sha256")]
                Step::HashMatching(keys) if keys.matches(key) => Some(hashed(row)),
                _ => Some(row),
            });
        let Some(row) = row else {
            return part(Part::Left);
        };
        match row.now {
            Some(now) if row.is_changed && !now.is(key, found) => part(Part::New(key, &now)),
            _ => part(Part::Kept(record)),
        }
    }
}

enum Part<'p> {
    /// A field as it is.
    Kept(&'p [u8]),
    /// A field that is left out, be it for a new one.
    Left,
    /// An attribute that is written.
    New(&'p str, &'p Held<'p>),
}

#[cfg(feature = "sha256")]
fn hashed(mut row: Row<'_>) -> Row<'_> {
    if let Some(now) = &row.now {
        let digest = digest(&now.value());
        row.set(Some(digest));
    }
    row
}

/// The value as another type; `None` where it has it already, or can't have it.
fn converted(value: &Value<'_>, to: ConvertTo) -> Option<Held<'static>> {
    match (to, value) {
        (ConvertTo::Int, Value::Double(value)) if value.is_finite() => {
            Some(Held::Int(*value as i64))
        }
        (ConvertTo::Int, Value::Bool(value)) => Some(Held::Int((*value).into())),
        (ConvertTo::Int, Value::Str(text)) => text.parse().ok().map(Held::Int),
        (ConvertTo::Double, Value::Int(value)) => Some(Held::Double(*value as f64)),
        (ConvertTo::Double, Value::Bool(value)) => {
            Some(Held::Double(if *value { 1.0 } else { 0.0 }))
        }
        (ConvertTo::Double, Value::Str(text)) => text.parse().ok().map(Held::Double),
        (ConvertTo::String, Value::Str(_)) => None,
        (ConvertTo::String, value) => {
            scalar_text(value).map(|text| Held::Text(Cow::Owned(text.into_owned())))
        }
        _ => None,
    }
}
