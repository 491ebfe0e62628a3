//! Attributes from environment text.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::attributes::Resource;

/// What the environment says about the program.
///
/// Lay it under what the program says itself: `environment.resource.merge(&own)`.
///
/// ```
/// use spanwire_core::resource::Environment;
///
/// let environment = Environment::from_texts(Some("service.name=a,k8s.node.name=node%2C1"), Some("b"));
/// let resource = environment.resource;
/// assert_eq!(resource.get("service.name").and_then(|name| name.as_str()), Some("b"));
/// assert_eq!(resource.get("k8s.node.name").and_then(|name| name.as_str()), Some("node,1"));
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Environment {
    /// The attributes, all strings; no schema.
    pub resource: Resource,
    /// Why `OTEL_RESOURCE_ATTRIBUTES` was discarded, if it was.
    pub discarded: Option<InvalidAttributes>,
}

impl Environment {
    /// Reads the values of `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_SERVICE_NAME`; an empty value counts as none.
    ///
    /// The service name beats a `service.name` among the attributes, and counts when they are discarded too.
    /// OpenTelemetry environment variable specification, "General SDK Configuration".
    #[must_use]
    pub fn from_texts(attributes: Option<&str>, service_name: Option<&str>) -> Self {
        let (attributes, discarded) = match parse_attributes(attributes.unwrap_or_default()) {
            Ok(attributes) => (attributes, None),
            Err(error) => (Vec::new(), Some(error)),
        };
        let mut builder = Resource::builder();
        for (key, value) in &attributes {
            builder = builder.attribute(key, value);
        }
        if let Some(name) = service_name.filter(|name| !name.is_empty()) {
            builder = builder.attribute("service.name", name);
        }
        Self {
            resource: builder.build(),
            discarded,
        }
    }
}

/// Reads `key=value,key=value` with percent-encoding: the text of `OTEL_RESOURCE_ATTRIBUTES`.
///
/// Spaces and tabs around keys and values are dropped. The first `=` of a member ends its key; any other belongs to
/// the value, though it should have been encoded. Empty text holds no attribute. Resource SDK specification,
/// "Specifying resource information via an environment variable".
///
/// # Errors
/// The first member that breaks the format. Nothing of the text is used then.
///
/// ```
/// use spanwire_core::resource::parse_attributes;
///
/// assert_eq!(parse_attributes("a=1, b=x%3Dy")?, [("a".into(), "1".into()), ("b".into(), "x=y".into())]);
/// assert!(parse_attributes("a=1,b").is_err());
/// # Ok::<(), spanwire_core::resource::InvalidAttributes>(())
/// ```
pub fn parse_attributes(text: &str) -> Result<Vec<(String, String)>, InvalidAttributes> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    (1..)
        .zip(text.split(','))
        .map(|(member, text)| {
            let (key, value) = text
                .split_once('=')
                .ok_or(InvalidAttributes::NoEquals { member })?;
            let key = decode(key, member)?;
            if key.is_empty() {
                return Err(InvalidAttributes::EmptyKey { member });
            }
            Ok((key, decode(value, member)?))
        })
        .collect()
}

/// Why the text of `OTEL_RESOURCE_ATTRIBUTES` is discarded. Members are counted from 1.
///
/// It says where the fault lies and repeats none of the text, which may hold secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidAttributes {
    /// A member is not `key=value`; an empty one is not, either.
    NoEquals {
        /// Which member.
        member: usize,
    },
    /// A member has no key.
    EmptyKey {
        /// Which member.
        member: usize,
    },
    /// A `%` is not followed by two hexadecimal digits.
    Percent {
        /// Which member.
        member: usize,
    },
    /// What the percent signs stand for is not UTF-8.
    Utf8 {
        /// Which member.
        member: usize,
    },
}

impl fmt::Display for InvalidAttributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (member, fault) = match self {
            Self::NoEquals { member } => (member, "is not key=value"),
            Self::EmptyKey { member } => (member, "has no key"),
            Self::Percent { member } => {
                (member, "has a percent sign without two hexadecimal digits")
            }
            Self::Utf8 { member } => (member, "is not UTF-8 once decoded"),
        };
        write!(
            f,
            "OTEL_RESOURCE_ATTRIBUTES is discarded: member {member} {fault}"
        )
    }
}

impl core::error::Error for InvalidAttributes {}

/// Percent-decodes one side of a member.
fn decode(text: &str, member: usize) -> Result<String, InvalidAttributes> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.trim_matches([' ', '\t']).bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let mut digit = || rest.next().and_then(|digit| (digit as char).to_digit(16));
                match (digit(), digit()) {
                    (Some(high), Some(low)) => (high << 4 | low) as u8,
                    _ => return Err(InvalidAttributes::Percent { member }),
                }
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).map_err(|_| InvalidAttributes::Utf8 { member })
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::ToString;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_is_read_whole_or_not_at_all() {
        use InvalidAttributes::{EmptyKey, NoEquals, Percent, Utf8};
        type Expected = Result<&'static [(&'static str, &'static str)], InvalidAttributes>;
        let cases: [(&str, Expected); 23] = [
            ("", Ok(&[])),
            ("a=1", Ok(&[("a", "1")])),
            ("a=", Ok(&[("a", "")])),
            ("a=1,b=2", Ok(&[("a", "1"), ("b", "2")])),
            (" a = 1 ,\tb=2", Ok(&[("a", "1"), ("b", "2")])),
            ("a=x%20y%2C%3d", Ok(&[("a", "x y,=")])),
            ("a=%20x", Ok(&[("a", " x")])),
            ("%61=1", Ok(&[("a", "1")])),
            ("a=%C3%A9", Ok(&[("a", "é")])),
            ("a=é", Ok(&[("a", "é")])),
            ("a=x+y", Ok(&[("a", "x+y")])),
            ("a=b=c", Ok(&[("a", "b=c")])),
            ("a", Err(NoEquals { member: 1 })),
            ("a=1,", Err(NoEquals { member: 2 })),
            (",", Err(NoEquals { member: 1 })),
            ("a=1,,b=2", Err(NoEquals { member: 2 })),
            ("=1", Err(EmptyKey { member: 1 })),
            ("a=1, =2", Err(EmptyKey { member: 2 })),
            ("a=%", Err(Percent { member: 1 })),
            ("a=%4", Err(Percent { member: 1 })),
            ("a=%4g", Err(Percent { member: 1 })),
            ("a=%+1", Err(Percent { member: 1 })),
            ("a=1,b=%ff", Err(Utf8 { member: 2 })),
        ];
        for (text, expected) in cases {
            let expected = expected.map(|pairs| {
                pairs
                    .iter()
                    .map(|(key, value)| (key.to_string(), value.to_string()))
                    .collect::<Vec<_>>()
            });
            assert_eq!(parse_attributes(text), expected, "{text:?}");
        }
    }

    /// Checks that follow directly, (25); environment variables, `OTEL_SERVICE_NAME`.
    #[test]
    fn the_service_name_beats_the_attributes() {
        for (attributes, service, expected) in [
            (None, None, None),
            (Some("service.name=a"), None, Some("a")),
            (Some("service.name=a"), Some(""), Some("a")),
            (Some("service.name=a"), Some("b"), Some("b")),
            (Some("service.name=a,service.name=c"), None, Some("c")),
            (None, Some("b"), Some("b")),
            (Some("service.name=a,x"), None, None),
            (Some("service.name=a,x"), Some("b"), Some("b")),
        ] {
            let environment = Environment::from_texts(attributes, service);
            let name = environment
                .resource
                .get("service.name")
                .and_then(|name| name.as_str());
            assert_eq!(name, expected, "{attributes:?} {service:?}");
            assert_eq!(
                environment.discarded.is_some(),
                attributes.is_some_and(|text| text.ends_with('x'))
            );
        }
    }

    #[test]
    fn the_error_names_the_variable_and_keeps_the_text_to_itself() {
        let text = parse_attributes("a=1,token=hunter2%")
            .unwrap_err()
            .to_string();
        assert!(text.starts_with("OTEL_RESOURCE_ATTRIBUTES "), "{text}");
        assert!(
            !text.contains("hunter2") && !text.contains("token"),
            "{text}"
        );
    }

    proptest! {
        #[test]
        fn encoded_text_comes_back(pairs in prop::collection::vec(("\\PC{1,5}", "\\PC{0,5}"), 0..5)) {
            let encode = |text: &str| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
            let text: Vec<String> =
                pairs.iter().map(|(key, value)| format!("{}={}", encode(key), encode(value))).collect();
            prop_assert_eq!(parse_attributes(&text.join(",")), Ok(pairs));
        }

        #[test]
        fn any_text_is_answered(text in "\\PC*") {
            let _ = parse_attributes(&text);
        }
    }
}
