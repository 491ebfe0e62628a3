use core::task::Waker;
use std::io;

use spanwire_core::batch::{Head, Segment};
use spanwire_core::clock::Moment;
use spanwire_core::exporter::{Receipt, Ticket};
use spanwire_core::limiter::Door;

use super::*;
use opentelemetry_proto::tonic::common::v1::any_value::Value::*;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, EntityRef, InstrumentationScope, KeyValue, KeyValueList, any_value,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span};
use prost::Message;

fn attribute(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue {
        key: key.into(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

fn text(value: &str) -> any_value::Value {
    StringValue(value.into())
}

fn segment(resource: ResourceSpans, scopes: Vec<ScopeSpans>) -> Segment {
    let spans = scopes.iter().map(|scope| scope.spans.len()).sum();
    let body = ResourceSpans {
        scope_spans: scopes,
        ..ResourceSpans::default()
    };
    Segment::new(
        Head::new(resource.encode_to_vec().into()),
        body.encode_to_vec().into(),
        spans,
        Moment::from_nanos(0),
        Door::Own,
    )
}

fn kubelet() -> ResourceSpans {
    ResourceSpans {
        resource: Some(Resource {
            attributes: vec![
                attribute("service.name", text("kubelet")),
                attribute("host.name", text("n1")),
            ],
            ..Resource::default()
        }),
        schema_url: "https://schema".into(),
        ..ResourceSpans::default()
    }
}

fn sync_pod() -> Span {
    Span {
        trace_id: (1..=16).collect(),
        span_id: (1..=8).collect(),
        name: "syncPod".into(),
        kind: 1,
        trace_state: "ot=th:8".into(),
        start_time_unix_nano: 1_767_323_045_000_000_678,
        end_time_unix_nano: 1_767_323_046_000_000_000,
        attributes: vec![attribute("n", IntValue(3))],
        dropped_events_count: 7,
        status: Some(Status {
            message: "boom".into(),
            code: 2,
        }),
        events: vec![span::Event {
            time_unix_nano: 1_767_323_045_500_000_000,
            name: "exception".into(),
            attributes: vec![attribute("exception.type", text("x"))],
            dropped_attributes_count: 0,
        }],
        links: vec![span::Link {
            attributes: vec![attribute("k", BoolValue(true))],
            ..span::Link::default()
        }],
        ..Span::default()
    }
}

fn my_scope(spans: Vec<Span>) -> ScopeSpans {
    ScopeSpans {
        scope: Some(InstrumentationScope {
            name: "my.scope".into(),
            version: "1.2".into(),
            attributes: vec![attribute("k", text("v"))],
            ..InstrumentationScope::default()
        }),
        spans,
        schema_url: "https://schema".into(),
    }
}

fn export(exporter: &mut impl Exporter, batch: Batch) -> Outcome {
    let (receipt, reply) = Receipt::new(Ticket::from_number(0), None, Waker::noop().clone());
    exporter.export(batch, reply);
    receipt.answer().unwrap()
}

/// What is written about one batch, without the times of writing.
fn shown(verbosity: Verbosity, batch: &Batch) -> String {
    let mut out = Vec::new();
    let mut exporter = DebugExporter::new(&mut out).verbosity(verbosity);
    assert!(exporter.may_block());
    assert_eq!(export(&mut exporter, batch.clone()), Outcome::Exported);
    let text = String::from_utf8(out).unwrap();
    let mut records = text.split_inclusive("\tinfo\t");
    let stamp = records.next().unwrap();
    assert_eq!(
        stamp.len(),
        "2026-01-02T03:04:05.678Z\tinfo\t".len(),
        "{stamp}"
    );
    let (summary, record) = records
        .next()
        .unwrap()
        .split_once('\n')
        .map(|(summary, _)| (summary.to_string(), records.next().unwrap_or_default()))
        .unwrap();
    format!("{summary}\n{record}")
}

fn batch() -> Batch {
    let lone = ResourceSpans::default();
    [
        segment(kubelet(), vec![my_scope(vec![sync_pod()])]),
        segment(kubelet(), vec![ScopeSpans::default()]),
        segment(
            lone,
            vec![ScopeSpans {
                spans: vec![Span::default()],
                ..ScopeSpans::default()
            }],
        ),
    ]
    .into_iter()
    .collect()
}

#[test]
fn basic_says_how_much_there_is() {
    assert_eq!(
        shown(Verbosity::Basic, &batch()),
        "Traces\t{\"resource spans\": 2, \"spans\": 2}\n"
    );
}

#[test]
fn normal_has_a_line_for_each_span() {
    let expected = "\
Traces\t{\"resource spans\": 2, \"spans\": 2}
ResourceTraces #0 [https://schema] service.name=kubelet host.name=n1
ScopeTraces #0 my.scope@1.2 [https://schema] k=v
syncPod 0102030405060708090a0b0c0d0e0f10 0102030405060708 n=3
ScopeTraces #1
ResourceTraces #1
ScopeTraces #0
 00000000000000000000000000000000 0000000000000000
";
    assert_eq!(shown(Verbosity::Normal, &batch()), expected);
}

#[test]
fn detailed_has_everything_in_the_collector_s_shape() {
    let expected = "\
Traces\t{\"resource spans\": 2, \"spans\": 2}
ResourceSpans #0
Resource SchemaURL: https://schema
Resource attributes:
     -> service.name: Str(kubelet)
     -> host.name: Str(n1)
ScopeSpans #0
ScopeSpans SchemaURL: https://schema
InstrumentationScope my.scope 1.2
InstrumentationScope attributes:
     -> k: Str(v)
Span #0
    Trace ID       : 0102030405060708090a0b0c0d0e0f10
    Parent ID      :\u{20}
    ID             : 0102030405060708
    Name           : syncPod
    Kind           : Internal
    TraceState     : ot=th:8
    Start time     : 2026-01-02 03:04:05.000000678 +0000 UTC
    End time       : 2026-01-02 03:04:06 +0000 UTC
    Status code    : Error
    Status message : boom
    DroppedAttributesCount: 0
    DroppedEventsCount: 7
    DroppedLinksCount: 0
Attributes:
     -> n: Int(3)
Events:
SpanEvent #0
     -> Name: exception
     -> Timestamp: 2026-01-02 03:04:05.5 +0000 UTC
     -> DroppedAttributesCount: 0
     -> Attributes::
          -> exception.type: Str(x)
Links:
SpanLink #0
     -> Trace ID:\u{20}
     -> ID:\u{20}
     -> TraceState:\u{20}
     -> DroppedAttributesCount: 0
     -> Attributes::
          -> k: Bool(true)
ScopeSpans #1
ScopeSpans SchemaURL:\u{20}
InstrumentationScope \u{20}
ResourceSpans #1
Resource SchemaURL:\u{20}
ScopeSpans #0
ScopeSpans SchemaURL:\u{20}
InstrumentationScope \u{20}
Span #0
    Trace ID       :\u{20}
    Parent ID      :\u{20}
    ID             :\u{20}
    Name           :\u{20}
    Kind           : Unspecified
    Start time     : 1970-01-01 00:00:00 +0000 UTC
    End time       : 1970-01-01 00:00:00 +0000 UTC
    Status code    : Unset
    Status message :\u{20}
    DroppedAttributesCount: 0
    DroppedEventsCount: 0
    DroppedLinksCount: 0
";
    assert_eq!(shown(Verbosity::Detailed, &batch()), expected);
}

#[test]
fn values_are_told_by_their_type_and_entities_by_their_keys() {
    let list = ArrayValue {
        values: vec![
            AnyValue {
                value: Some(text("a\"b")),
            },
            AnyValue { value: None },
        ],
    };
    let map = KeyValueList {
        values: vec![attribute("x", DoubleValue(1.5))],
    };
    let mut resource = kubelet();
    resource.resource = Some(Resource {
        attributes: vec![
            attribute("d", DoubleValue(1.5)),
            attribute("b", BytesValue(b"\xfb\xff".to_vec())),
            attribute("l", ArrayValue(list)),
            attribute("m", KvlistValue(map)),
            KeyValue {
                key: "e".into(),
                ..KeyValue::default()
            },
        ],
        entity_refs: vec![
            EntityRef {
                r#type: "service".into(),
                schema_url: "u".into(),
                id_keys: vec!["service.name".into()],
                description_keys: vec!["service.version".into()],
            },
            EntityRef {
                r#type: "host".into(),
                ..EntityRef::default()
            },
        ],
        ..Resource::default()
    });
    let batch = Batch::from_iter([segment(resource, vec![])]);
    let shown_text = shown(Verbosity::Detailed, &batch);
    let expected = "\
     -> d: Double(1.5)
     -> b: Bytes(+/8=)
     -> l: Slice([\"a\\\"b\",null])
     -> m: Map({\"x\":1.5})
     -> e: Empty()
Resource entity refs:
     -> Entity ref #0:
          -> Type: service
          -> Schema URL: u
          -> ID keys:
               -> service.name
          -> Description keys:
               -> service.version
     -> Entity ref #1:
          -> Type: host
";
    assert!(shown_text.ends_with(expected), "{shown_text}");
    assert!(
        shown(Verbosity::Normal, &batch)
            .contains(" d=1.5 b=+/8= l=[\"a\\\"b\",null] m={\"x\":1.5} e=\n")
    );
}

#[test]
fn control_characters_are_escaped_wherever_they_stand() {
    let evil = "a\n\u{1b}[2J\u{9b}b\tc";
    let mut resource = kubelet();
    resource.schema_url = evil.into();
    let list = ArrayValue {
        values: vec![AnyValue {
            value: Some(text("\u{9b}")),
        }],
    };
    let span = Span {
        name: evil.into(),
        trace_state: evil.into(),
        attributes: vec![
            attribute(evil, text(evil)),
            attribute("l", ArrayValue(list)),
        ],
        status: Some(Status {
            message: evil.into(),
            code: 2,
        }),
        ..Span::default()
    };
    let batch = Batch::from_iter([segment(resource, vec![my_scope(vec![span])])]);
    for verbosity in [Verbosity::Normal, Verbosity::Detailed] {
        let shown = shown(verbosity, &batch);
        let escaped = r"a\n\u{1b}[2J\u{9b}b\tc";
        assert!(shown.matches(escaped).count() >= 4, "{shown}");
        let (_, record) = shown.split_once('\n').unwrap();
        assert!(
            !record.contains(|c: char| c.is_control() && c != '\n'),
            "{shown:?}"
        );
    }
}

#[test]
fn what_is_not_shown_is_told_later() {
    let mut out = Vec::new();
    let mut exporter = DebugExporter::new(&mut out)
        .sampling_initial(0)
        .sampling_thereafter(3);
    for _ in 0..3 {
        assert_eq!(export(&mut exporter, batch()), Outcome::Exported);
    }
    let text = String::from_utf8(out).unwrap();
    assert!(
        text.ends_with("\"spans\": 2, \"batches not shown\": 2}\n"),
        "{text}"
    );
    assert_eq!(text.lines().count(), 1);
}

#[test]
fn a_writer_that_fails_costs_the_batch_and_says_so() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let outcome = export(&mut DebugExporter::new(Closed), batch());
    let expected = Outcome::rejected("debug output failed: broken pipe");
    assert_eq!(outcome, expected);
}

#[test]
fn verbosity_is_read_from_a_command_line() {
    assert_eq!("Detailed".parse(), Ok(Verbosity::Detailed));
    assert_eq!("basic".parse(), Ok(Verbosity::Basic));
    assert_eq!("none".parse::<Verbosity>(), Err(InvalidVerbosity));
}
