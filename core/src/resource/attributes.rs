//! The program that made the spans.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;

use super::header::ResourceHeader;
use super::value::{AttributeSet, OwnedValue};
use crate::attribute::Value;
use crate::wire::field;

/// What all spans of a program have in common: attributes such as `service.name`, and the schema they follow.
///
/// It never changes once built, and is encoded once. Its values are exempt from every limit on attributes. A clone
/// shares the encoded bytes.
///
/// ```
/// use spanwire_core::resource::Resource;
///
/// let kubelet = Resource::builder()
///     .attribute("service.name", "kubelet")
///     .attribute("host.name", "node-1")
///     .build();
/// let all = Resource::sdk(None).merge(&kubelet)?;
/// assert_eq!(all.get("service.name").and_then(|name| name.as_str()), Some("kubelet"));
/// assert_eq!(all.get("telemetry.sdk.name").and_then(|name| name.as_str()), Some("spanwire"));
/// # Ok::<(), spanwire_core::resource::SchemaConflict>(())
/// ```
#[derive(Clone, PartialEq)]
pub struct Resource {
    attributes: AttributeSet,
    schema_url: Box<str>,
    bytes: Bytes,
}

impl Resource {
    /// A resource about which nothing is said.
    #[must_use]
    pub fn empty() -> Self {
        Self::builder().build()
    }

    /// Starts an empty resource.
    #[must_use]
    pub fn builder() -> ResourceBuilder {
        ResourceBuilder {
            attributes: AttributeSet::default(),
            schema_url: "".into(),
        }
    }

    /// What an SDK must say when nobody says more: `service.name` is `unknown_service:<executable>`, or
    /// `unknown_service` without one; `telemetry.sdk.name` is `spanwire`, `telemetry.sdk.language` is `rust`, and
    /// `telemetry.sdk.version` is the version of this crate.
    ///
    /// It names no schema. Lay it under everything else: `Resource::sdk(..).merge(&environment)?.merge(&own)?`.
    /// Resource SDK specification, "SDK-provided resource attributes"; semantic conventions, "Service".
    #[must_use]
    pub fn sdk(executable: Option<&str>) -> Self {
        let sdk = Self::builder()
            .attribute("telemetry.sdk.name", "spanwire")
            .attribute("telemetry.sdk.language", "rust")
            .attribute("telemetry.sdk.version", env!("CARGO_PKG_VERSION"));
        match executable {
            Some(name) if !name.is_empty() => sdk.attribute(
                "service.name",
                Value::display(&format_args!("unknown_service:{name}")),
            ),
            _ => sdk.attribute("service.name", "unknown_service"),
        }
        .build()
    }

    /// Both resources in one: where both say something, `updating` wins, even with an empty value.
    ///
    /// An empty schema URL yields to the other. Resource SDK specification, "Merge".
    ///
    /// # Errors
    /// Both name a schema, and not the same one.
    pub fn merge(&self, updating: &Self) -> Result<Self, SchemaConflict> {
        let schema_url = match (&*self.schema_url, &*updating.schema_url) {
            (one, "") | ("", one) => one,
            (old, new) if old == new => old,
            (old, new) => {
                return Err(SchemaConflict {
                    old: old.into(),
                    updating: new.into(),
                });
            }
        };
        let mut attributes = self.attributes.clone();
        for (key, value) in updating.iter() {
            attributes.set(key, value.clone());
        }
        Ok(ResourceBuilder {
            attributes,
            schema_url: schema_url.into(),
        }
        .build())
    }

    /// The schema that the attributes follow; empty when there is none.
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

    /// The fields of the `Resource` message.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The same bytes, shared.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The same bytes and the schema URL, in the form that the bare tier uses too.
    #[must_use]
    pub fn header(&self) -> ResourceHeader<'_> {
        ResourceHeader::from_encoded(&self.bytes, &self.schema_url)
    }
}

impl fmt::Debug for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resource")
            .field("attributes", &self.attributes)
            .field("schema_url", &self.schema_url)
            .finish()
    }
}

/// A resource in the making.
#[derive(Clone, Debug)]
pub struct ResourceBuilder {
    attributes: AttributeSet,
    schema_url: Box<str>,
}

impl ResourceBuilder {
    /// Sets an attribute. The same key again replaces the value; an empty key is left out.
    #[must_use]
    pub fn attribute<'v>(mut self, key: &str, value: impl Into<Value<'v>>) -> Self {
        self.attributes.set(key, value.into().into());
        self
    }

    /// Sets the schema that the attributes follow. Default: none.
    #[must_use]
    pub fn schema_url(mut self, schema_url: &str) -> Self {
        self.schema_url = schema_url.into();
        self
    }

    /// Encodes the resource.
    #[must_use]
    pub fn build(self) -> Resource {
        let Self {
            attributes,
            schema_url,
        } = self;
        let mut bytes = Vec::new();
        attributes.encode(field::resource::ATTRIBUTES, &mut bytes);
        Resource {
            attributes,
            schema_url,
            bytes: bytes.into(),
        }
    }
}

/// Two resources that follow different schemas cannot be merged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaConflict {
    /// The schema of the resource that was to be updated.
    pub old: Box<str>,
    /// The schema of the updating resource.
    pub updating: Box<str>,
}

impl fmt::Display for SchemaConflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "resources follow different schemas: {} and {}",
            self.old, self.updating
        )
    }
}

impl core::error::Error for SchemaConflict {}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use alloc::vec::Vec;

    use opentelemetry_proto::tonic::resource::v1::Resource as Message;
    use prost::Message as _;

    use super::*;

    fn resource(attributes: &[(&str, &str)], schema_url: &str) -> Resource {
        attributes
            .iter()
            .fold(Resource::builder(), |builder, (key, value)| {
                builder.attribute(key, *value)
            })
            .schema_url(schema_url)
            .build()
    }

    fn texts(resource: &Resource) -> Vec<(&str, &str)> {
        resource
            .iter()
            .map(|(key, value)| (key, value.as_str().unwrap()))
            .collect()
    }

    /// Resource SDK specification, "Merge": the updating resource wins, also with an empty value.
    #[test]
    fn the_updating_resource_wins() {
        let old = resource(&[("a", "1"), ("b", "2"), ("c", "3")], "");
        let new = resource(&[("d", "4"), ("b", ""), ("a", "9")], "");
        let merged = old.merge(&new).unwrap();
        assert_eq!(
            texts(&merged),
            [("a", "9"), ("b", ""), ("c", "3"), ("d", "4")]
        );
        assert_eq!(old.merge(&Resource::empty()).unwrap(), old);
        assert_eq!(Resource::empty().merge(&old).unwrap(), old);
    }

    /// Resource SDK specification, "Merge": the four rules for the schema URL.
    #[test]
    fn schema_urls_agree_or_refuse() {
        for (old, new, expected) in [
            ("", "", Some("")),
            ("https://a", "", Some("https://a")),
            ("", "https://a", Some("https://a")),
            ("https://a", "https://a", Some("https://a")),
            ("https://a", "https://b", None),
        ] {
            let merged = resource(&[], old).merge(&resource(&[], new));
            match expected {
                Some(url) => assert_eq!(merged.unwrap().schema_url(), url),
                None => {
                    let error = merged.unwrap_err().to_string();
                    assert!(error.contains(old) && error.contains(new), "{error}");
                }
            }
        }
    }

    #[test]
    fn the_last_value_of_a_key_wins() {
        let one = resource(&[("k", "1"), ("", "x"), ("k", "2")], "");
        assert_eq!(texts(&one), [("k", "2")]);
        let message = Message::decode(one.as_bytes()).unwrap();
        assert_eq!(message.attributes.len(), 1);
        assert_eq!(message.attributes[0].key, "k");
        assert_eq!(message.dropped_attributes_count, 0);
    }

    #[test]
    fn the_sdk_names_itself_and_an_unknown_service() {
        for (executable, name) in [
            (None, "unknown_service"),
            (Some(""), "unknown_service"),
            (Some("kubelet"), "unknown_service:kubelet"),
        ] {
            let sdk = Resource::sdk(executable);
            assert_eq!(
                texts(&sdk),
                [
                    ("telemetry.sdk.name", "spanwire"),
                    ("telemetry.sdk.language", "rust"),
                    ("telemetry.sdk.version", env!("CARGO_PKG_VERSION")),
                    ("service.name", name),
                ]
            );
            assert_eq!(sdk.schema_url(), "");
        }
    }
}
