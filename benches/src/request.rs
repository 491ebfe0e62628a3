//! A request of ten-attribute spans, as a neighbour would send it, made by an encoder that is not ours.

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span, Status},
};
use prost::Message;

use crate::payload::{NAME, Payload, SCOPE, key, value};

/// Which script the string values are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Text {
    /// One byte a character.
    Ascii,
    /// Two and three bytes a character, in every string value.
    NonAscii,
}

/// The bytes of an `ExportTraceServiceRequest` with this many spans of ten attributes and no event.
#[must_use]
pub fn encoded(spans: usize, text: Text) -> Vec<u8> {
    structs(spans, text).encode_to_vec()
}

/// The same, as the structs the generated code works with.
#[must_use]
pub fn structs(spans: usize, text: Text) -> ExportTraceServiceRequest {
    let payload = match text {
        Text::Ascii => Payload::default(),
        Text::NonAscii => Payload {
            pod: "под-проверки-образа-№7".into(),
            container: "容器沙箱一二三四五六七".into(),
            node: "κόμβος-της-συστάδας-α".into(),
            ..Payload::default()
        },
    };
    let attributes = attributes(&payload, text);
    let spans = (1..=spans as u64)
        .map(|number| span(number, attributes.clone()))
        .collect();
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource {
                attributes: vec![string("service.name", SCOPE)],
                ..Resource::default()
            }),
            scope_spans: vec![ScopeSpans {
                scope: Some(InstrumentationScope {
                    name: SCOPE.into(),
                    ..InstrumentationScope::default()
                }),
                spans,
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }],
    }
}

fn span(number: u64, attributes: Vec<KeyValue>) -> Span {
    let id = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    Span {
        trace_id: [id.to_be_bytes(), number.to_be_bytes()].concat(),
        span_id: id.to_be_bytes().to_vec(),
        flags: 0x101,
        name: NAME.into(),
        kind: 1,
        start_time_unix_nano: 1_760_000_000_000_000_000 + number,
        end_time_unix_nano: 1_760_000_000_000_000_400 + number,
        attributes,
        status: Some(Status::default()),
        ..Span::default()
    }
}

fn attributes(payload: &Payload, text: Text) -> Vec<KeyValue> {
    let (component, method, system) = match text {
        Text::Ascii => (value::COMPONENT, value::METHOD, value::SYSTEM),
        Text::NonAscii => ("кубелет", "запустить", "связь"),
    };
    vec![
        string(key::COMPONENT, component),
        string(key::POD, &payload.pod),
        attribute(key::ATTEMPT, any_value::Value::IntValue(payload.attempt)),
        attribute(key::CACHED, any_value::Value::BoolValue(payload.cached)),
        string(key::METHOD, method),
        string(key::SYSTEM, system),
        string(key::CONTAINER, &payload.container),
        string(key::NODE, &payload.node),
        attribute(key::STATUS, any_value::Value::IntValue(payload.status)),
        attribute(key::RETRIED, any_value::Value::BoolValue(payload.retried)),
    ]
}

fn string(key: &str, value: &str) -> KeyValue {
    attribute(key, any_value::Value::StringValue(value.into()))
}

fn attribute(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue {
        key: key.into(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_has_the_spans_it_was_asked_for() {
        for text in [Text::Ascii, Text::NonAscii] {
            let bytes = encoded(512, text);
            let request = ExportTraceServiceRequest::decode(bytes.as_slice()).expect("well-formed");
            let spans = &request.resource_spans[0].scope_spans[0].spans;
            assert_eq!(spans.len(), 512);
            assert_eq!(spans[511].attributes.len(), 10);
        }
    }
}
