//! The part of a program that makes spans.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;

use super::header::ScopeHeader;
use super::value::{AttributeSet, OwnedValue};
use crate::attribute::Value;
use crate::wire::{encode, field};

/// The library or module that makes spans: name, version, schema URL and attributes, encoded once.
///
/// A clone shares the encoded bytes. OpenTelemetry trace API, "Get a Tracer"; OTLP `ScopeSpans`.
///
/// ```
/// use spanwire_core::resource::InstrumentationScope;
///
/// let scope = InstrumentationScope::builder("k8s.io/kubernetes/pkg/kubelet")
///     .version("1.34.0")
///     .attribute("component", "kubelet")
///     .build();
/// assert_eq!(scope.name(), "k8s.io/kubernetes/pkg/kubelet");
/// assert_eq!(InstrumentationScope::new("x").as_bytes(), b"\x0a\x03\x0a\x01x");
/// ```
#[derive(Clone, PartialEq)]
pub struct InstrumentationScope {
    name: Box<str>,
    version: Box<str>,
    schema_url: Box<str>,
    attributes: AttributeSet,
    bytes: Bytes,
}

impl From<&str> for InstrumentationScope {
    /// The scope of this name, without version.
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}

impl InstrumentationScope {
    /// The scope with this name and nothing else.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self::builder(name).build()
    }

    /// Starts a scope with this name.
    #[must_use]
    pub fn builder(name: &str) -> InstrumentationScopeBuilder {
        InstrumentationScopeBuilder {
            name: name.into(),
            version: "".into(),
            schema_url: "".into(),
            attributes: AttributeSet::default(),
        }
    }

    /// The name; may be empty.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The version; empty when there is none.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The schema that scope, spans and events follow; empty when there is none.
    #[must_use]
    pub fn schema_url(&self) -> &str {
        &self.schema_url
    }

    /// The value of an attribute.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&OwnedValue> {
        self.attributes.get(key)
    }

    /// The attributes, in the order in which their keys were first set.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &OwnedValue)> + Clone {
        self.attributes.iter()
    }

    /// The fields `scope` and `schema_url` of a `ScopeSpans` message.
    #[must_use]
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The same bytes, shared.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The same bytes, in the form that the bare tier uses too.
    #[must_use]
    #[inline]
    pub fn header(&self) -> ScopeHeader<'_> {
        ScopeHeader::from_encoded(&self.bytes)
    }
}

impl fmt::Debug for InstrumentationScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InstrumentationScope")
            .field("name", &self.name)
            .field("version", &self.version)
            .field("schema_url", &self.schema_url)
            .field("attributes", &self.attributes)
            .finish()
    }
}

/// A scope in the making.
#[derive(Clone, Debug)]
pub struct InstrumentationScopeBuilder {
    name: Box<str>,
    version: Box<str>,
    schema_url: Box<str>,
    attributes: AttributeSet,
}

impl InstrumentationScopeBuilder {
    /// Sets the version. Default: none.
    #[must_use]
    pub fn version(mut self, version: &str) -> Self {
        self.version = version.into();
        self
    }

    /// Sets the schema that scope, spans and events follow. Default: none.
    #[must_use]
    pub fn schema_url(mut self, schema_url: &str) -> Self {
        self.schema_url = schema_url.into();
        self
    }

    /// Sets an attribute. The same key again replaces the value; an empty key is left out.
    #[must_use]
    pub fn attribute<'v>(mut self, key: &str, value: impl Into<Value<'v>>) -> Self {
        self.attributes.set(key, value.into().into());
        self
    }

    /// Encodes the scope.
    #[must_use]
    pub fn build(self) -> InstrumentationScope {
        let Self {
            name,
            version,
            schema_url,
            attributes,
        } = self;
        let mut scope = Vec::new();
        for (number, text) in [
            (field::scope::NAME, &name),
            (field::scope::VERSION, &version),
        ] {
            if !text.is_empty() {
                encode::write_len_field(&mut scope, number, text.as_bytes());
            }
        }
        attributes.encode(field::scope::ATTRIBUTES, &mut scope);
        let mut bytes = Vec::new();
        encode::write_len_field(&mut bytes, field::scope_spans::SCOPE, &scope);
        if !schema_url.is_empty() {
            encode::write_len_field(
                &mut bytes,
                field::scope_spans::SCHEMA_URL,
                schema_url.as_bytes(),
            );
        }
        InstrumentationScope {
            name,
            version,
            schema_url,
            attributes,
            bytes: bytes.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribute::KeyValue;

    #[test]
    fn both_forms_are_the_same_bytes() {
        let owned = InstrumentationScope::builder("a")
            .version("1")
            .schema_url("https://schema")
            .attribute("x", 1)
            .attribute("y", "2")
            .attribute("x", true)
            .attribute("", "no key")
            .build();
        let mut room = [0; 64];
        let attributes = [KeyValue::new("x", true), KeyValue::new("y", "2")];
        let borrowed =
            ScopeHeader::encode("a", "1", "https://schema", &attributes, &mut room).unwrap();
        assert_eq!(owned.header(), borrowed);
        assert_eq!(owned.get("x"), Some(&OwnedValue::Bool(true)));
        assert_eq!(owned.iter().len(), 2);
        assert_eq!(
            InstrumentationScope::new("").header(),
            ScopeHeader::encode("", "", "", &[], &mut [0; 2]).unwrap()
        );
    }
}
