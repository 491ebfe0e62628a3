//! Resources and scopes as bytes, borrowed: what a program without a heap uses.

use crate::attribute::KeyValue;
use crate::wire::encode::{self, Put, ValueLimit, Writer};
use crate::wire::field;

/// The fields of `ScopeSpans` that say who made the spans: `scope` and `schema_url`, encoded.
///
/// Any bytes of this type are well-formed: they come from this crate's encoder.
///
/// ```
/// use spanwire_core::resource::{ScopeBuffer, ScopeHeader};
///
/// static SCOPE: ScopeBuffer<32> = match ScopeBuffer::new("motor", "1.2.0", "") {
///     Some(scope) => scope,
///     None => panic!("32 bytes are too few"),
/// };
/// let header: ScopeHeader<'static> = SCOPE.header();
/// assert_eq!(header.as_bytes(), b"\x0a\x0e\x0a\x05motor\x12\x051.2.0");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScopeHeader<'a>(&'a [u8]);

impl<'a> ScopeHeader<'a> {
    /// A scope about which nothing is said: no field.
    pub const UNKNOWN: ScopeHeader<'static> = ScopeHeader(&[]);

    /// Encodes a scope into the start of `out`; `None` when it does not fit.
    ///
    /// An empty `version` or `schema_url` is left out. Of attributes with the same key the last wins; one with an
    /// empty key is left out.
    pub fn encode(
        name: &str,
        version: &str,
        schema_url: &str,
        attributes: &[KeyValue<'_>],
        out: &'a mut [u8],
    ) -> Option<Self> {
        let mut writer = Writer::new(out);
        let scope = text_len(field::scope::NAME, name)
            + text_len(field::scope::VERSION, version)
            + encode::attributes_len(field::scope::ATTRIBUTES, attributes, ValueLimit::NONE);
        encode::write_len_prefix(&mut writer, field::scope_spans::SCOPE, scope);
        write_text(&mut writer, field::scope::NAME, name);
        write_text(&mut writer, field::scope::VERSION, version);
        encode::write_attributes(
            &mut writer,
            field::scope::ATTRIBUTES,
            attributes,
            ValueLimit::NONE,
        )
        .ok()?;
        write_text(&mut writer, field::scope_spans::SCHEMA_URL, schema_url);
        let len = writer.finish()?;
        out.get(..len).map(Self)
    }

    /// The fields, in the order of their writing.
    #[must_use]
    #[inline]
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// Takes bytes made by this crate's encoder.
    #[cfg(feature = "alloc")]
    pub(super) const fn from_encoded(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }
}

/// Room for a scope without attributes, encoded at compile time or on the stack.
#[derive(Clone, Copy, Debug)]
pub struct ScopeBuffer<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> ScopeBuffer<N> {
    /// Encodes a scope; `None` when `N` bytes are too few.
    ///
    /// Takes the bytes of all three strings and 8 to 14 more. An empty `version` or `schema_url` is left out.
    #[must_use]
    pub const fn new(name: &str, version: &str, schema_url: &str) -> Option<Self> {
        let mut buffer = Self {
            bytes: [0; N],
            len: 0,
        };
        let scope = text_len(field::scope::NAME, name) + text_len(field::scope::VERSION, version);
        let fits = buffer.prefix(field::scope_spans::SCOPE, scope)
            && buffer.text(field::scope::NAME, name)
            && buffer.text(field::scope::VERSION, version)
            && buffer.text(field::scope_spans::SCHEMA_URL, schema_url);
        if fits { Some(buffer) } else { None }
    }

    /// The encoded scope.
    #[must_use]
    pub const fn header(&self) -> ScopeHeader<'_> {
        // `len` never passes `N`: `push` checks.
        ScopeHeader(self.bytes.split_at(self.len).0)
    }

    const fn text(&mut self, number: u32, text: &str) -> bool {
        if text.is_empty() {
            return true;
        }
        let text = text.as_bytes();
        if !self.prefix(number, text.len()) {
            return false;
        }
        let mut at = 0;
        while at < text.len() {
            if !self.push(text[at]) {
                return false;
            }
            at += 1;
        }
        true
    }

    const fn prefix(&mut self, number: u32, len: usize) -> bool {
        // Field numbers of these messages take one byte.
        if !self.push(field::tag(number, field::WireType::Len) as u8) {
            return false;
        }
        let mut rest = len;
        while rest >= 0x80 {
            if !self.push(rest as u8 | 0x80) {
                return false;
            }
            rest >>= 7;
        }
        self.push(rest as u8)
    }

    const fn push(&mut self, byte: u8) -> bool {
        if self.len >= N {
            return false;
        }
        self.bytes[self.len] = byte;
        self.len += 1;
        true
    }
}

/// The fields of a `Resource` message, encoded, and the schema URL that stands beside it in `ResourceSpans`.
///
/// ```
/// use spanwire_core::attribute::KeyValue;
/// use spanwire_core::resource::ResourceHeader;
///
/// let mut room = [0; 64];
/// let resource = ResourceHeader::encode(&[KeyValue::new("service.name", "motor")], "", &mut room).unwrap();
/// assert_eq!(resource.as_bytes().len(), 25);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResourceHeader<'a> {
    bytes: &'a [u8],
    schema_url: &'a str,
}

impl<'a> ResourceHeader<'a> {
    /// A resource about which nothing is said.
    pub const EMPTY: ResourceHeader<'static> = ResourceHeader {
        bytes: &[],
        schema_url: "",
    };

    /// Encodes a resource into the start of `out`; `None` when it does not fit.
    ///
    /// Of attributes with the same key the last wins; one with an empty key is left out. An empty `schema_url` says
    /// that there is none.
    pub fn encode(
        attributes: &[KeyValue<'_>],
        schema_url: &'a str,
        out: &'a mut [u8],
    ) -> Option<Self> {
        let mut writer = Writer::new(out);
        encode::write_attributes(
            &mut writer,
            field::resource::ATTRIBUTES,
            attributes,
            ValueLimit::NONE,
        )
        .ok()?;
        let len = writer.finish()?;
        Some(Self {
            bytes: out.get(..len)?,
            schema_url,
        })
    }

    /// The fields of the `Resource` message.
    #[must_use]
    pub const fn as_bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// The schema that the attributes follow; empty when there is none.
    #[must_use]
    pub const fn schema_url(self) -> &'a str {
        self.schema_url
    }

    /// The bytes of the fields `resource` and `schema_url` of `ResourceSpans`.
    #[must_use]
    pub const fn fields_len(self) -> usize {
        encode::len_field_len(field::resource_spans::RESOURCE, self.bytes.len())
            + text_len(field::resource_spans::SCHEMA_URL, self.schema_url)
    }

    /// Writes the fields `resource` and `schema_url` of `ResourceSpans`: as many bytes as
    /// [`fields_len`](Self::fields_len) says.
    pub fn write_fields(self, out: &mut impl Put) {
        encode::write_len_field(out, field::resource_spans::RESOURCE, self.bytes);
        write_text(out, field::resource_spans::SCHEMA_URL, self.schema_url);
    }

    /// Takes bytes made by this crate's encoder.
    #[cfg(feature = "alloc")]
    pub(super) const fn from_encoded(bytes: &'a [u8], schema_url: &'a str) -> Self {
        Self { bytes, schema_url }
    }
}

/// The bytes of a string field, which is left out when it is empty.
const fn text_len(number: u32, text: &str) -> usize {
    if text.is_empty() {
        0
    } else {
        encode::len_field_len(number, text.len())
    }
}

fn write_text(out: &mut impl Put, number: u32, text: &str) {
    if !text.is_empty() {
        encode::write_len_field(out, number, text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use std::string::String;
    use std::vec;

    use opentelemetry_proto::tonic::{resource::v1::Resource, trace::v1::ScopeSpans};
    use prost::Message;

    use super::*;

    #[test]
    fn a_scope_decodes_to_what_was_said() {
        let mut room = [0; 128];
        let attributes = [
            KeyValue::new("a", 1),
            KeyValue::new("a", 2),
            KeyValue::new("", 3),
        ];
        let header = ScopeHeader::encode(
            "k8s.io/kubelet",
            "1.34",
            "https://schema",
            &attributes,
            &mut room,
        )
        .unwrap();
        let decoded = ScopeSpans::decode(header.as_bytes()).unwrap();
        let scope = decoded.scope.unwrap();
        assert_eq!((&*scope.name, &*scope.version), ("k8s.io/kubelet", "1.34"));
        assert_eq!(decoded.schema_url, "https://schema");
        assert_eq!(scope.attributes.len(), 1);
        assert!(
            ScopeSpans::decode(ScopeHeader::UNKNOWN.as_bytes())
                .unwrap()
                .scope
                .is_none()
        );
    }

    #[test]
    fn the_buffer_holds_what_the_encoder_writes() {
        let long: String = "n".repeat(130);
        for (name, version, schema_url) in [
            ("", "", ""),
            ("motor", "", ""),
            ("motor", "1", "https://schema"),
            (&*long, "", &*long),
        ] {
            let mut room = [0; 300];
            let expected = ScopeHeader::encode(name, version, schema_url, &[], &mut room).unwrap();
            let buffer = ScopeBuffer::<300>::new(name, version, schema_url).unwrap();
            assert_eq!(buffer.header(), expected);
            let mut exact = vec![0; expected.as_bytes().len()];
            assert_eq!(
                ScopeHeader::encode(name, version, schema_url, &[], &mut exact),
                Some(expected)
            );
            let mut short = vec![0; expected.as_bytes().len() - 1];
            assert_eq!(
                ScopeHeader::encode(name, version, schema_url, &[], &mut short),
                None
            );
        }
        assert!(ScopeBuffer::<9>::new("motor", "", "").is_some());
        assert!(ScopeBuffer::<8>::new("motor", "", "").is_none());
        assert!(ScopeBuffer::<0>::new("", "", "").is_none());
    }

    #[test]
    fn a_resource_decodes_to_what_was_said() {
        let mut room = [0; 64];
        let attributes = [KeyValue::new("k", "old"), KeyValue::new("k", "new")];
        let header = ResourceHeader::encode(&attributes, "s", &mut room).unwrap();
        assert_eq!(
            Resource::decode(header.as_bytes())
                .unwrap()
                .attributes
                .len(),
            1
        );
        assert_eq!(header.schema_url(), "s");
        let mut fields = [0; 64];
        let mut writer = Writer::new(&mut fields);
        header.write_fields(&mut writer);
        assert_eq!(writer.finish(), Some(header.fields_len()));
        assert_eq!(ResourceHeader::encode(&attributes, "", &mut [0; 5]), None);
    }
}
