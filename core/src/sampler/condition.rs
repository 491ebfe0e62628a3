//! What a rule looks at.

use core::fmt::{self, Write as _};

use super::{SamplingInput, glob};
use crate::attribute::Value;
use crate::wire::SpanKind;

/// Whether a rule applies to a span. It must not look at the parent's sampled flag nor at the lowest 56 bits of the
/// trace id, or samples stop being fair.
pub trait Predicate: Send + Sync {
    /// Whether it applies.
    fn matches(&self, input: &SamplingInput<'_>) -> bool;

    /// Writes what it looks at, for people.
    ///
    /// # Errors
    /// Those of the formatter.
    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;
}

/// Where a span's parent is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ParentKind {
    /// There is none: the span is a root.
    None,
    /// In another process.
    Remote,
    /// In this process.
    Local,
}

impl ParentKind {
    /// Where the parent of this span is.
    #[must_use]
    pub fn of(input: &SamplingInput<'_>) -> Self {
        match input.parent {
            None => Self::None,
            Some(parent) if parent.is_remote() => Self::Remote,
            Some(_) => Self::Local,
        }
    }
}

/// Conditions on a span, of which all must hold; one that is left empty holds always.
///
/// Names and patterns are globs: `*` stands for any run of characters, `?` for one; case counts.
///
/// An attribute is compared by its text: booleans, integers and doubles as Rust's `Display` writes them. Of an array
/// one matching element is enough. Bytes, maps and empty values have no text and match nothing, nor does a text made
/// by `Display` that is longer than 512 bytes. If a key occurs twice, the last one counts. Rule schema of
/// opentelemetry-configuration, `schema/tracer_provider.yaml`.
///
/// ```
/// use spanwire_core::id::TraceId;
/// use spanwire_core::sampler::{Condition, ParentKind, Predicate, SamplingInput};
///
/// let probes = Condition {
///     names: &["GET /healthz", "GET /readyz*"],
///     parents: &[ParentKind::None, ParentKind::Remote],
///     ..Condition::ANY
/// };
/// assert!(probes.matches(&SamplingInput::root(TraceId::from_bytes([1; 16]), "GET /readyz?verbose")));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Condition<'a> {
    /// The name matches one of these globs.
    pub names: &'a [&'a str],
    /// The kind is one of these.
    pub kinds: &'a [SpanKind],
    /// The parent is in one of these places.
    pub parents: &'a [ParentKind],
    /// Each of these attributes has one of its values.
    pub attribute_values: &'a [AttributeValues<'a>],
    /// Each of these attributes matches its patterns.
    pub attribute_patterns: &'a [AttributePatterns<'a>],
}

/// An attribute has one of these values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttributeValues<'a> {
    /// The key.
    pub key: &'a str,
    /// The values, as text.
    pub values: &'a [&'a str],
}

/// An attribute matches one glob, and none of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttributePatterns<'a> {
    /// The key.
    pub key: &'a str,
    /// Globs of which one must match; if there are none, any value will do, but the attribute must be there.
    pub included: &'a [&'a str],
    /// Globs of which none may match; they win over those included.
    pub excluded: &'a [&'a str],
}

impl Condition<'_> {
    /// Holds for every span.
    pub const ANY: Self = Self {
        names: &[],
        kinds: &[],
        parents: &[],
        attribute_values: &[],
        attribute_patterns: &[],
    };
}

impl Predicate for Condition<'_> {
    fn matches(&self, input: &SamplingInput<'_>) -> bool {
        is_one_of(self.kinds, &input.kind)
            && is_one_of(self.parents, &ParentKind::of(input))
            && name_matches(self.names, input)
            && self
                .attribute_values
                .iter()
                .all(|one| has_value(input, one.key, one.values))
            && self
                .attribute_patterns
                .iter()
                .all(|one| has_pattern(input, one.key, one.included, one.excluded))
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut list = f.debug_list();
        describe_common(&mut list, self.names, self.kinds, self.parents);
        list.entries(self.attribute_values)
            .entries(self.attribute_patterns)
            .finish()
    }
}

/// A [`Condition`] that owns its text, for rules that come from a configuration.
///
/// ```
/// use spanwire_core::id::TraceId;
/// use spanwire_core::sampler::{OwnedCondition, Predicate, SamplingInput};
///
/// let probes = OwnedCondition::new().name("GET /healthz").name("GET /readyz*");
/// assert!(probes.matches(&SamplingInput::root(TraceId::from_bytes([1; 16]), "GET /healthz")));
/// ```
#[cfg(feature = "alloc")]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnedCondition {
    names: Texts,
    kinds: alloc::vec::Vec<SpanKind>,
    parents: alloc::vec::Vec<ParentKind>,
    attribute_values: alloc::vec::Vec<(Text, Texts)>,
    attribute_patterns: alloc::vec::Vec<(Text, Texts, Texts)>,
}

#[cfg(feature = "alloc")]
type Text = alloc::string::String;
#[cfg(feature = "alloc")]
type Texts = alloc::vec::Vec<Text>;

#[cfg(feature = "alloc")]
impl OwnedCondition {
    /// Holds for every span.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a glob; the name has to match one of those that were added.
    #[must_use]
    pub fn name(mut self, glob: impl Into<Text>) -> Self {
        self.names.push(glob.into());
        self
    }

    /// Adds a kind; the span's has to be one of those that were added.
    #[must_use]
    pub fn kind(mut self, kind: SpanKind) -> Self {
        self.kinds.push(kind);
        self
    }

    /// Adds a place; the parent has to be in one of those that were added.
    #[must_use]
    pub fn parent(mut self, parent: ParentKind) -> Self {
        self.parents.push(parent);
        self
    }

    /// And this attribute has one of these values.
    #[must_use]
    pub fn attribute_values<T: Into<Text>>(
        mut self,
        key: impl Into<Text>,
        values: impl IntoIterator<Item = T>,
    ) -> Self {
        self.attribute_values
            .push((key.into(), values.into_iter().map(Into::into).collect()));
        self
    }

    /// And this attribute matches one of the globs `included`, or there are none, and none of those `excluded`.
    #[must_use]
    pub fn attribute_patterns<I: Into<Text>, E: Into<Text>>(
        mut self,
        key: impl Into<Text>,
        included: impl IntoIterator<Item = I>,
        excluded: impl IntoIterator<Item = E>,
    ) -> Self {
        let included = included.into_iter().map(Into::into).collect();
        let excluded = excluded.into_iter().map(Into::into).collect();
        self.attribute_patterns
            .push((key.into(), included, excluded));
        self
    }
}

#[cfg(feature = "alloc")]
impl Predicate for OwnedCondition {
    fn matches(&self, input: &SamplingInput<'_>) -> bool {
        is_one_of(&self.kinds, &input.kind)
            && is_one_of(&self.parents, &ParentKind::of(input))
            && name_matches(&self.names, input)
            && self
                .attribute_values
                .iter()
                .all(|(key, values)| has_value(input, key, values))
            && self
                .attribute_patterns
                .iter()
                .all(|(key, included, excluded)| has_pattern(input, key, included, excluded))
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut list = f.debug_list();
        describe_common(&mut list, &self.names, &self.kinds, &self.parents);
        list.entries(&self.attribute_values)
            .entries(&self.attribute_patterns)
            .finish()
    }
}

impl<P: Predicate + ?Sized> Predicate for &P {
    fn matches(&self, input: &SamplingInput<'_>) -> bool {
        (**self).matches(input)
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).describe(f)
    }
}

#[cfg(feature = "alloc")]
impl<P: Predicate + ?Sized> Predicate for alloc::boxed::Box<P> {
    fn matches(&self, input: &SamplingInput<'_>) -> bool {
        (**self).matches(input)
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).describe(f)
    }
}

fn describe_common<T: fmt::Debug>(
    list: &mut fmt::DebugList<'_, '_>,
    names: &[T],
    kinds: &[SpanKind],
    parents: &[ParentKind],
) {
    if !names.is_empty() {
        list.entry(&names);
    }
    if !kinds.is_empty() {
        list.entry(&kinds);
    }
    if !parents.is_empty() {
        list.entry(&parents);
    }
}

fn is_one_of<T: PartialEq>(allowed: &[T], found: &T) -> bool {
    allowed.is_empty() || allowed.contains(found)
}

fn name_matches(globs: &[impl AsRef<str>], input: &SamplingInput<'_>) -> bool {
    globs.is_empty() || any_glob(globs, input.name)
}

fn any_glob(globs: &[impl AsRef<str>], text: &str) -> bool {
    globs.iter().any(|glob| glob::matches(glob.as_ref(), text))
}

fn has_value(input: &SamplingInput<'_>, key: &str, values: &[impl AsRef<str>]) -> bool {
    any_text(input, key, &|text| {
        values.iter().any(|value| value.as_ref() == text)
    })
}

fn has_pattern(
    input: &SamplingInput<'_>,
    key: &str,
    included: &[impl AsRef<str>],
    excluded: &[impl AsRef<str>],
) -> bool {
    any_text(input, key, &|text| {
        (included.is_empty() || any_glob(included, text)) && !any_glob(excluded, text)
    })
}

/// Whether a text of this attribute passes: its own, or that of an element.
fn any_text(input: &SamplingInput<'_>, key: &str, pass: &dyn Fn(&str) -> bool) -> bool {
    let Some(attribute) = input
        .attributes
        .iter()
        .rev()
        .find(|attribute| attribute.key == key)
    else {
        return false;
    };
    match attribute.value {
        Value::Array(values) => values.iter().any(|value| text_passes(value, pass)),
        Value::Bools(values) => values
            .iter()
            .any(|value| text_passes(&Value::Bool(*value), pass)),
        Value::Ints(values) => values
            .iter()
            .any(|value| text_passes(&Value::Int(*value), pass)),
        Value::Doubles(values) => values
            .iter()
            .any(|value| text_passes(&Value::Double(*value), pass)),
        Value::Strs(values) => values.iter().any(|value| pass(value)),
        value => text_passes(&value, pass),
    }
}

fn text_passes(value: &Value<'_>, pass: &dyn Fn(&str) -> bool) -> bool {
    let mut short = ShortText::default();
    let written = match value {
        Value::Str(text) => return pass(text),
        Value::Bool(truth) => write!(short, "{truth}"),
        Value::Int(number) => write!(short, "{number}"),
        Value::Double(number) => write!(short, "{number}"),
        Value::Display(text) => write!(short, "{text}"),
        _ => return false,
    };
    written.is_ok() && pass(short.as_str())
}

/// Room for the text of a number: the longest double has 327 characters.
struct ShortText {
    bytes: [u8; 512],
    len: usize,
}

impl Default for ShortText {
    fn default() -> Self {
        Self {
            bytes: [0; 512],
            len: 0,
        }
    }
}

impl ShortText {
    fn as_str(&self) -> &str {
        self.bytes
            .get(..self.len)
            .and_then(|bytes| core::str::from_utf8(bytes).ok())
            .unwrap_or_default()
    }
}

impl fmt::Write for ShortText {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len + text.len();
        self.bytes
            .get_mut(self.len..end)
            .ok_or(fmt::Error)?
            .copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::format;

    use super::*;
    use crate::attribute::KeyValue;
    use crate::context::{SpanContext, TraceFlags, TraceState};
    use crate::id::{SpanId, TraceId};

    const ROOT: SamplingInput<'static> =
        SamplingInput::root(TraceId::from_bytes([1; 16]), "GET /pods");

    fn values(value: Value<'_>, values: &[&str]) -> bool {
        let condition = Condition {
            attribute_values: &[AttributeValues { key: "k", values }],
            ..Condition::ANY
        };
        condition.matches(&SamplingInput {
            attributes: &[KeyValue::new("k", value)],
            ..ROOT
        })
    }

    #[test]
    fn values_are_compared_as_text() {
        let long = "x".repeat(513);
        let fits = "x".repeat(512);
        for (value, text, expected) in [
            (Value::Str("a"), "a", true),
            (Value::Str("a"), "A", false),
            (Value::Str("a*"), "a*", true),
            (Value::Str("ab"), "a*", false),
            (Value::Bool(true), "true", true),
            (Value::Int(-3), "-3", true),
            (Value::Double(0.5), "0.5", true),
            (Value::Double(3.0), "3", true),
            (Value::Display(&7), "7", true),
            (Value::Display(&fits), &*fits, true),
            (Value::Display(&long), &*long, false),
            (Value::Str(&long), &*long, true),
            (Value::Strs(&["x", "a"]), "a", true),
            (Value::Ints(&[1, 2]), "2", true),
            (Value::Bools(&[true]), "false", false),
            (Value::Doubles(&[0.25]), "0.25", true),
            (Value::Array(&[Value::Empty, Value::Str("a")]), "a", true),
            (Value::Array(&[Value::Strs(&["a"])]), "a", false),
            (Value::Strs(&[]), "", false),
            (Value::Bytes(b"a"), "a", false),
            (Value::Empty, "", false),
            (Value::Str(""), "", true),
            (Value::Map(&[]), "", false),
        ] {
            assert_eq!(
                values(value, &["other", text]),
                expected,
                "{value:?} is {text:?}"
            );
        }
        assert!(!values(Value::Str("a"), &[]));
        assert!(values(
            Value::Double(f64::MIN_POSITIVE),
            &[&format!("{}", f64::MIN_POSITIVE)]
        ));
        assert!(values(
            Value::Double(-f64::MAX),
            &[&format!("{}", -f64::MAX)]
        ));
    }

    #[test]
    fn patterns_include_and_exclude() {
        for (value, included, excluded, expected) in [
            (Value::Str("/api/pods"), &["/api/*"][..], &[][..], true),
            (Value::Str("/api/pods"), &["/api/*"], &["*/pods"], false),
            (Value::Str("/api/pods"), &[], &["/x*"], true),
            (Value::Str("/api/pods"), &[], &[], true),
            (Value::Str("/api/pods"), &["/API/*"], &[], false),
            (Value::Int(503), &["5??"], &[], true),
            (Value::Strs(&["a", "b"]), &["?"], &["a"], true),
            (Value::Strs(&["a", "a"]), &["?"], &["a"], false),
        ] {
            let condition = Condition {
                attribute_patterns: &[AttributePatterns {
                    key: "k",
                    included,
                    excluded,
                }],
                ..Condition::ANY
            };
            let attributes = [KeyValue::new("k", value)];
            assert_eq!(
                condition.matches(&SamplingInput {
                    attributes: &attributes,
                    ..ROOT
                }),
                expected,
                "{value:?}"
            );
            let attributes = [KeyValue::new("other", value)];
            assert!(
                !condition.matches(&SamplingInput {
                    attributes: &attributes,
                    ..ROOT
                }),
                "{value:?}"
            );
        }
    }

    #[test]
    fn all_conditions_must_hold() {
        let remote = SpanContext::new(
            ROOT.trace_id,
            SpanId::from_bytes([1; 8]),
            TraceFlags::NONE,
            true,
            TraceState::EMPTY,
        );
        let local = remote.clone().with_remote(false);
        let server = SamplingInput {
            kind: SpanKind::Server,
            ..ROOT
        };
        let twice = [KeyValue::new("k", "old"), KeyValue::new("k", "new")];
        let any = Condition::ANY;
        for (at, (condition, input, expected)) in [
            (any, ROOT, true),
            (
                Condition {
                    names: &["x", "GET *"],
                    ..any
                },
                ROOT,
                true,
            ),
            (
                Condition {
                    names: &["get *"],
                    ..any
                },
                ROOT,
                false,
            ),
            (
                Condition {
                    kinds: &[SpanKind::Server, SpanKind::Client],
                    ..any
                },
                server,
                true,
            ),
            (
                Condition {
                    kinds: &[SpanKind::Client],
                    ..any
                },
                server,
                false,
            ),
            (
                Condition {
                    names: &["GET *"],
                    kinds: &[SpanKind::Client],
                    ..any
                },
                server,
                false,
            ),
            (
                Condition {
                    parents: &[ParentKind::None],
                    ..any
                },
                ROOT,
                true,
            ),
            (
                Condition {
                    parents: &[ParentKind::Remote, ParentKind::Local],
                    ..any
                },
                ROOT,
                false,
            ),
            (
                Condition {
                    parents: &[ParentKind::Remote],
                    ..any
                },
                SamplingInput::child(&remote, "x"),
                true,
            ),
            (
                Condition {
                    parents: &[ParentKind::Local],
                    ..any
                },
                SamplingInput::child(&remote, "x"),
                false,
            ),
            (
                Condition {
                    parents: &[ParentKind::Local],
                    ..any
                },
                SamplingInput::child(&local, "x"),
                true,
            ),
            (
                Condition {
                    attribute_values: &[AttributeValues {
                        key: "k",
                        values: &["new"],
                    }],
                    ..any
                },
                SamplingInput {
                    attributes: &twice,
                    ..ROOT
                },
                true,
            ),
            (
                Condition {
                    attribute_values: &[AttributeValues {
                        key: "k",
                        values: &["old"],
                    }],
                    ..any
                },
                SamplingInput {
                    attributes: &twice,
                    ..ROOT
                },
                false,
            ),
        ]
        .into_iter()
        .enumerate()
        {
            assert_eq!(condition.matches(&input), expected, "case {at}");
            #[cfg(feature = "alloc")]
            assert_eq!(
                owned(&condition).matches(&input),
                expected,
                "case {at}, owned"
            );
        }
    }

    #[cfg(feature = "alloc")]
    fn owned(condition: &Condition<'_>) -> OwnedCondition {
        let mut owned = OwnedCondition::new();
        for name in condition.names {
            owned = owned.name(*name);
        }
        for kind in condition.kinds {
            owned = owned.kind(*kind);
        }
        for parent in condition.parents {
            owned = owned.parent(*parent);
        }
        for one in condition.attribute_values {
            owned = owned.attribute_values(one.key, one.values.iter().copied());
        }
        for one in condition.attribute_patterns {
            owned = owned.attribute_patterns(
                one.key,
                one.included.iter().copied(),
                one.excluded.iter().copied(),
            );
        }
        owned
    }
}
