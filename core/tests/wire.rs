//! Reading OTLP: what is in a message is seen, whatever order it is written in, and what may not be trusted is refused.
#![cfg(feature = "std")]

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use spanwire_core::id::{SpanId, TraceId};
use spanwire_core::wire::raw::Fault;
use spanwire_core::wire::split::{self, Cut};
use spanwire_core::wire::validate::{Counts, Invalid, Limits, validate};
use spanwire_core::wire::view::{self, Value};
use spanwire_core::wire::{SpanKind, StatusCode};

#[allow(dead_code, reason = "each test binary uses its own share")]
mod properties;

/// One CLIENT span with every field set; upb and prost decode it and encode it again to the same bytes.
const GOLDEN: &str = "\
    0a8e020a170a150a0c736572766963652e6e616d6512050a0373766312f2010a080a036c696212013112e5010a104bf92f3577b34da6a3ce929d\
    0e0e4736120800f067aa0ba902b71a076f743d74683a382208b7ad6b71692033312a0347455430033900002a36fe9c97174140423936fe9c9717\
    4a080a017312030a01764a070a0162120210014a100a0169120b18ffffffffffffffffff014a0e0a0164120921000000000000e03f50015a2d09\
    20a13136fe9c97171209657863657074696f6e1a150a0e657863657074696f6e2e7479706512030a0145200260036a210a104bf92f3577b34da6\
    a3ce929d0e0e47361208b7ad6b7169203331350103000070047a081204626f6f6d1802850103030000";

fn golden() -> Vec<u8> {
    let digits: Vec<u8> = GOLDEN.bytes().collect();
    let byte = |pair: &[u8]| u8::from_str_radix(core::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

fn check(bytes: &[u8]) -> Result<Counts, Invalid> {
    properties::wire::validate(bytes);
    validate(bytes, &Limits::new()).map(|valid| valid.counts())
}

#[track_caller]
fn refused(bytes: &[u8], fault: Fault, offset: usize, path: &str) {
    let invalid = check(bytes).unwrap_err();
    assert_eq!(
        (
            invalid.fault(),
            invalid.offset(),
            invalid.path().to_string().as_str()
        ),
        (fault, offset, path)
    );
}

/// A field of wire type 2.
fn field(number: u32, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let mut out = varint(u64::from(number << 3 | 2));
    out.extend(varint(payload.len() as u64));
    out.extend(payload);
    out
}

/// A field of wire type 0.
fn number(number: u32, value: u64) -> Vec<u8> {
    let mut out = varint(u64::from(number << 3));
    out.extend(varint(value));
    out
}

fn varint(value: u64) -> Vec<u8> {
    let mut out = [0; 10];
    let len = spanwire_core::wire::varint::write(value, &mut out).unwrap();
    out[..len].to_vec()
}

/// A request of one span with these fields.
fn request(span: impl AsRef<[u8]>) -> Vec<u8> {
    field(1, field(2, field(2, span)))
}

/// The only span of a request.
fn span(request: &[u8]) -> view::Span<'_> {
    let spans = view::Request::new(request).resource_spans();
    let mut spans = spans.flat_map(|r| r.scope_spans()).flat_map(|s| s.spans());
    let span = spans.next().unwrap();
    assert!(spans.next().is_none());
    span
}

#[test]
fn the_golden_message_is_read_field_by_field() {
    let bytes = golden();
    assert_eq!(bytes.len(), 273);
    let counts = check(&bytes).unwrap();
    assert_eq!(
        (counts.resource_spans, counts.scope_spans, counts.spans),
        (1, 1, 1)
    );
    assert_eq!((counts.unknown_fields, counts.unknown_bytes), (0, 0));

    let resource_spans = view::Request::new(&bytes).resource_spans().next().unwrap();
    let attributes = resource_spans.resource().unwrap().attributes();
    assert_eq!(
        attributes.get("service.name").unwrap().as_str(),
        Some("svc")
    );
    let scope_spans = resource_spans.scope_spans().next().unwrap();
    let scope = scope_spans.scope().unwrap();
    assert_eq!((scope.name(), scope.version()), ("lib", "1"));

    let span = span(&bytes);
    assert_eq!(
        span.trace_id(),
        "4bf92f3577b34da6a3ce929d0e0e4736".parse().unwrap()
    );
    assert_eq!(span.span_id(), "00f067aa0ba902b7".parse().unwrap());
    assert_eq!(span.parent_span_id(), "b7ad6b7169203331".parse().unwrap());
    assert_eq!((span.trace_state(), span.name()), ("ot=th:8", "GET"));
    assert_eq!(
        (span.kind(), span.kind_number()),
        (Some(SpanKind::Client), 3)
    );
    assert_eq!(span.start_time_unix_nano(), 1_700_000_000_000_000_000);
    assert_eq!(span.end_time_unix_nano(), 1_700_000_000_001_000_000);
    assert_eq!(span.flags(), 0x303);
    assert_eq!(
        (
            span.dropped_attributes_count(),
            span.dropped_events_count(),
            span.dropped_links_count()
        ),
        (1, 3, 4)
    );
    assert_eq!(
        format!("{:?}", span.attributes()),
        r#"["s": "v", "b": true, "i": -1, "d": 0.5]"#
    );
    let event = span.events().next().unwrap();
    assert_eq!(
        (event.name(), event.dropped_attributes_count()),
        ("exception", 2)
    );
    assert_eq!(
        event.attributes().get("exception.type").unwrap().as_str(),
        Some("E")
    );
    let link = span.links().next().unwrap();
    assert_eq!(
        (link.span_id(), link.flags()),
        (span.parent_span_id(), 0x301)
    );
    let status = span.status().unwrap();
    assert_eq!(
        (status.code(), status.message()),
        (StatusCode::Error, "boom")
    );
}

#[test]
fn an_empty_request_is_valid_and_empty() {
    assert_eq!(check(&[]).unwrap(), Counts::default());
    assert_eq!(check(&[0x0a, 0]).unwrap().resource_spans, 1);
}

#[test]
fn every_prefix_of_the_golden_message_but_the_empty_one_is_refused_as_truncated() {
    let bytes = golden();
    for len in 1..bytes.len() {
        refused(
            &bytes[..len],
            Fault::Truncated,
            0,
            if len == 0 { "" } else { "resource_spans" },
        );
    }
}

#[test]
fn no_changed_bit_of_the_golden_message_makes_views_and_prost_disagree() {
    let mut bytes = golden();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            bytes[at] ^= 1 << bit;
            properties::wire::validate(&bytes);
            bytes[at] ^= 1 << bit;
        }
    }
}

#[test]
fn a_fault_is_named_with_its_place() {
    let name = request(field(5, b"\xff"));
    refused(
        &name,
        Fault::Utf8,
        6,
        "resource_spans.scope_spans.spans.name",
    );
    assert_eq!(
        check(&name).unwrap_err().to_string(),
        "text is not UTF-8 at byte 6 in resource_spans.scope_spans.spans.name"
    );
    // A second resource, after a good one.
    let resources = [
        field(1, field(1, b"")),
        field(1, field(1, field(1, field(1, b"\xc0")))),
    ]
    .concat();
    refused(
        &resources,
        Fault::Utf8,
        10,
        "resource_spans.resource.attributes.key",
    );
    refused(b"\x02", Fault::FieldNumber, 0, "");
    refused(b"\x07", Fault::WireType, 0, "");
    refused(b"\x0c", Fault::UnexpectedWireType, 0, "resource_spans");
    refused(b"\x14", Fault::EndGroup, 0, "");
    refused(b"\x10\x80", Fault::Truncated, 0, "");
    refused(&[&b"\x10"[..], &[0xff; 10]].concat(), Fault::Varint, 0, "");
}

#[test]
fn a_known_field_of_another_wire_type_is_refused_as_prost_does() {
    for (bytes, path) in [
        (
            request(number(5, 1)),
            "resource_spans.scope_spans.spans.name",
        ),
        (
            request(field(6, b"")),
            "resource_spans.scope_spans.spans.kind",
        ),
        (
            request(field(16, b"....")),
            "resource_spans.scope_spans.spans.flags",
        ),
        (
            request(number(15, 1)),
            "resource_spans.scope_spans.spans.status",
        ),
        (
            request(field(9, field(3, b""))),
            "resource_spans.scope_spans.spans.attributes.key_strindex",
        ),
        (
            field(1, field(1, number(3, 1))),
            "resource_spans.resource.entity_refs",
        ),
    ] {
        assert!(ExportTraceServiceRequest::decode(&bytes[..]).is_err());
        let invalid = check(&bytes).unwrap_err();
        assert_eq!(invalid.fault(), Fault::UnexpectedWireType);
        assert_eq!(invalid.path().to_string(), path);
        assert!(invalid.fault().is_malformed());
    }
}

#[test]
fn every_text_field_is_text() {
    let bad = b"\xed\xa0\x80";
    let in_span = |number, inner: Vec<u8>| request(field(number, inner));
    let attribute = field(1, bad);
    let scope = |number, inner: &[u8]| field(1, field(2, field(1, field(number, inner))));
    let entity = |number| field(1, field(1, field(3, field(number, bad))));
    for bytes in [
        field(1, field(3, bad)),
        field(1, field(2, field(3, bad))),
        field(1, field(1, field(1, &attribute))),
        entity(1),
        entity(2),
        entity(3),
        entity(4),
        scope(1, bad),
        scope(2, bad),
        scope(3, &attribute),
        request(field(3, bad)),
        request(field(5, bad)),
        in_span(9, attribute.clone()),
        in_span(9, field(2, field(1, bad))),
        in_span(9, [field(1, "k"), field(2, field(1, bad))].concat()),
        in_span(9, [field(1, bad), field(2, number(3, 1))].concat()),
        in_span(11, field(2, bad)),
        in_span(11, field(3, &attribute)),
        in_span(13, field(3, bad)),
        in_span(13, field(4, &attribute)),
        in_span(15, field(2, bad)),
    ] {
        assert_eq!(
            check(&bytes).unwrap_err().fault(),
            Fault::Utf8,
            "{bytes:x?}"
        );
    }
    // Bytes need not be text.
    check(&in_span(
        9,
        [field(1, "k"), field(2, field(7, bad))].concat(),
    ))
    .unwrap();
}

#[test]
fn values_a_byte_too_short_or_too_long_are_judged_as_prost_does() {
    let double = b"\x21\x00\x00\x00\x00\x00\x00\xe0\x3f";
    for value in [
        field(1, "text"),
        number(2, 1),
        number(3, 300),
        number(3, u64::MAX),
        double.to_vec(),
    ] {
        for key in [field(1, "k"), field(1, "ключ")] {
            check(&request(field(9, [key.clone(), field(2, &value)].concat()))).unwrap();
            let shorter = [key.clone(), field(2, &value[..value.len() - 1])].concat();
            assert_eq!(
                check(&request(field(9, shorter))).unwrap_err().fault(),
                Fault::Truncated
            );
            for more in [&b"\x00"[..], b"\x18", b"\x18\x01", b"\x4a\x00"] {
                properties::wire::validate(&request(field(
                    9,
                    [key.clone(), field(2, [&value, more].concat())].concat(),
                )));
                properties::wire::validate(&request(field(
                    9,
                    [&key, &field(2, &value), more].concat(),
                )));
            }
        }
    }
}

#[test]
fn ids_have_their_length_or_none() {
    const SPAN: &str = "resource_spans.scope_spans.spans";
    for len in 0..=33 {
        let id = vec![7; len];
        for (bytes, good, path) in [
            (request(field(1, &id)), 16, format!("{SPAN}.trace_id")),
            (request(field(2, &id)), 8, format!("{SPAN}.span_id")),
            (request(field(4, &id)), 8, format!("{SPAN}.parent_span_id")),
            (
                request(field(13, field(1, &id))),
                16,
                format!("{SPAN}.links.trace_id"),
            ),
            (
                request(field(13, field(2, &id))),
                8,
                format!("{SPAN}.links.span_id"),
            ),
        ] {
            match check(&bytes) {
                Ok(_) => assert!(len == 0 || len == good),
                Err(invalid) => {
                    assert!(len != 0 && len != good);
                    assert_eq!(
                        (invalid.fault(), invalid.path().to_string()),
                        (Fault::IdLength, path)
                    );
                    assert!(!invalid.fault().is_malformed());
                }
            }
        }
    }
    let zeros = request(field(1, [0; 16]));
    check(&zeros).unwrap();
    assert_eq!(span(&zeros).trace_id(), TraceId::INVALID);
    assert_eq!(span(&request(b"")).parent_span_id(), SpanId::INVALID);
}

#[test]
fn lengths_may_be_padded_to_five_bytes() {
    for padding in 0..4 {
        let mut span = b"\x2a\x83".to_vec();
        span.extend(vec![0x80; padding]);
        span.extend(b"\x00GET");
        let bytes = request(&span);
        check(&bytes).unwrap();
        assert_eq!(self::span(&bytes).name(), "GET");
    }
    refused(
        &request(b"\x2a\x83\x80\x80\x80\x80\x00GET"),
        Fault::Length,
        6,
        "resource_spans.scope_spans.spans.name",
    );
}

#[test]
fn a_length_beyond_32_bits_is_refused_on_every_width() {
    // 2^32 + 5 with five bytes there: a careless cast on a 32-bit target reads 5.
    refused(
        b"\x0a\x85\x80\x80\x80\x10.....",
        Fault::Length,
        0,
        "resource_spans",
    );
    refused(b"\x12\x85\x80\x80\x80\x10.....", Fault::Length, 0, "");
    // 2^31: one more than a length may be.
    refused(
        b"\x0a\x80\x80\x80\x80\x08",
        Fault::Length,
        0,
        "resource_spans",
    );
    refused(
        b"\x0a\xff\xff\xff\xff\x07",
        Fault::Truncated,
        0,
        "resource_spans",
    );
}

#[test]
fn tags_may_be_padded_to_five_bytes() {
    let bytes = request(b"\xaa\x80\x80\x80\x00\x03GET\xb0\x00\x03");
    check(&bytes).unwrap();
    assert_eq!(
        (span(&bytes).name(), span(&bytes).kind_number()),
        ("GET", 3)
    );
    refused(
        &request(b"\xaa\x80\x80\x80\x80\x00\x03GET"),
        Fault::Tag,
        6,
        "resource_spans.scope_spans.spans",
    );
    // A padded tag of a scope: its part and the pieces of its body still know it.
    let scope = [field(2, field(5, "a")), field(2, field(5, "b"))].concat();
    let padded = field(1, [vec![0x92, 0, scope.len() as u8], scope].concat());
    check(&padded).unwrap();
    let part = split::parts(&padded).next().unwrap();
    assert_eq!((part.spans(), part.head_len()), (2, 0));
}

#[test]
fn fields_may_stand_in_descending_order() {
    let ascending = golden();
    let bytes = field(1, reversed(&ascending[3..], 0));
    assert_ne!(bytes, ascending);
    check(&bytes).unwrap();
    let (mut found, mut expected) = (
        ExportTraceServiceRequest::decode(&bytes[..]).unwrap(),
        ExportTraceServiceRequest::decode(&ascending[..]).unwrap(),
    );
    for request in [&mut found, &mut expected] {
        let span = &mut request.resource_spans[0].scope_spans[0].spans[0];
        span.attributes.sort_by(|a, b| a.key.cmp(&b.key));
        properties::wire::normalise(request);
    }
    assert_eq!(found, expected);
    assert_eq!(span(&bytes).name(), "GET");
    assert_eq!(span(&bytes).status().unwrap().message(), "boom");
}

/// The fields of a message and of the messages in it, to the level of spans, from last to first.
fn reversed(message: &[u8], depth: usize) -> Vec<u8> {
    use spanwire_core::wire::raw::{Fields, Payload};
    let fields: Vec<_> = Fields::new(message)
        .map(|found| match found.payload {
            Payload::Len(payload) if depth < 2 && found.number == 2 => {
                field(2, reversed(payload, depth + 1))
            }
            _ => found.record.to_vec(),
        })
        .collect();
    fields.into_iter().rev().flatten().collect()
}

#[test]
fn the_last_scalar_wins() {
    let bytes = request(
        [
            field(5, "a"),
            number(6, 1),
            field(5, "b"),
            number(6, 5),
            field(1, [1; 16]),
            field(1, [2; 16]),
        ]
        .concat(),
    );
    check(&bytes).unwrap();
    let span = span(&bytes);
    assert_eq!((span.name(), span.kind()), ("b", Some(SpanKind::Consumer)));
    assert_eq!(span.trace_id(), TraceId::from_bytes([2; 16]));
    // An overwritten text still has to be text, as for prost.
    refused(
        &request([field(5, b"\xff"), field(5, "b")].concat()),
        Fault::Utf8,
        6,
        "resource_spans.scope_spans.spans.name",
    );
}

#[test]
fn messages_that_occur_twice_are_merged() {
    let attribute = |key: &str, value: Vec<u8>| field(1, [field(1, key), field(2, value)].concat());
    let bytes = field(
        1,
        [
            field(1, [attribute("a", number(3, 1)), number(2, 7)].concat()),
            field(
                2,
                [
                    field(1, field(1, "lib")),
                    field(
                        2,
                        [field(15, field(2, "why")), field(15, number(3, 2))].concat(),
                    ),
                ]
                .concat(),
            ),
            field(1, [number(2, 9), attribute("b", number(3, 2))].concat()),
            field(
                2,
                [field(1, field(1, "x")), field(1, field(2, "2"))].concat(),
            ),
        ]
        .concat(),
    );
    check(&bytes).unwrap();
    let resource_spans = view::Request::new(&bytes).resource_spans().next().unwrap();
    let resource = resource_spans.resource().unwrap();
    assert_eq!(
        format!("{:?}", resource.attributes()),
        r#"["a": 1, "b": 2]"#
    );
    assert_eq!(resource.dropped_attributes_count(), 9);
    let scopes: Vec<_> = resource_spans
        .scope_spans()
        .map(|s| s.scope().unwrap())
        .collect();
    assert_eq!((scopes[0].name(), scopes[0].version()), ("lib", ""));
    assert_eq!((scopes[1].name(), scopes[1].version()), ("x", "2"));
    let status = span(&bytes).status().unwrap();
    assert_eq!(
        (status.message(), status.code()),
        ("why", StatusCode::Error)
    );
}

#[test]
fn the_last_member_of_a_value_wins_and_lists_in_a_row_are_one() {
    let text = |text: &str| field(1, text);
    let array = |values: &[&str]| {
        field(
            5,
            values
                .iter()
                .flat_map(|v| field(1, text(v)))
                .collect::<Vec<_>>(),
        )
    };
    let map = |keys: &[&str]| {
        field(
            6,
            keys.iter()
                .flat_map(|k| field(1, field(1, k)))
                .collect::<Vec<_>>(),
        )
    };
    for (value, shown) in [
        (vec![], "Empty"),
        (vec![text("a"), number(3, 5)], "5"),
        (vec![number(3, 5), text("a")], r#""a""#),
        (
            vec![array(&["a"]), array(&["b", "c"])],
            r#"["a", "b", "c"]"#,
        ),
        (vec![array(&["a"]), text("x"), array(&["b"])], r#"["b"]"#),
        (
            vec![array(&["a"]), field(9, "unknown"), array(&["b"])],
            r#"["a", "b"]"#,
        ),
        (
            vec![map(&["a"]), map(&["b"])],
            r#"{"a": Empty, "b": Empty}"#,
        ),
        (vec![array(&["a"]), map(&["b"]), array(&["c"])], r#"["c"]"#),
        (vec![array(&[]), array(&[])], "[]"),
        (vec![field(7, [1, 2]), field(7, [3])], "[3]"),
        (vec![number(8, 6)], "StrIndex(6)"),
    ] {
        // In one value, and scattered over as many as there are members.
        let together = field(2, value.concat());
        let apart: Vec<u8> = value.iter().flat_map(|member| field(2, member)).collect();
        for value in [together, apart] {
            let bytes = request(field(9, [field(1, "k"), value].concat()));
            check(&bytes).unwrap();
            let value = span(&bytes).attributes().get("k").unwrap();
            assert_eq!(format!("{value:?}"), shown);
        }
    }
}

#[test]
fn empty_values_are_values() {
    for (value, expected) in [
        (&b"\x0a\x00"[..], r#""""#),
        (b"\x10\x00", "false"),
        (b"\x18\x00", "0"),
        (b"\x2a\x00", "[]"),
        (b"\x32\x00", "{}"),
        (b"\x3a\x00", "[]"),
        (b"", "Empty"),
    ] {
        assert_eq!(format!("{:?}", Value::new(value)), expected);
    }
}

#[test]
fn unknown_fields_and_groups_are_passed_over_and_those_of_the_request_are_counted() {
    let group = b"\xfb\x3e\x08\x96\x01\x13\x1a\x01x\x14\xfc\x3e";
    let unknown = [
        &group[..],
        &field(1000, "later"),
        &number(99, u64::MAX),
        b"\x9d\x06....",
        b"\x99\x06........",
    ]
    .concat();
    let span = [unknown.clone(), field(5, "GET"), unknown.clone()].concat();
    let resource = [
        field(1, unknown.clone()),
        unknown.clone(),
        field(2, [unknown.clone(), field(2, span)].concat()),
    ]
    .concat();
    let bytes = [field(1, resource), unknown.clone()].concat();
    let counts = check(&bytes).unwrap();
    assert_eq!(
        (counts.spans, counts.unknown_fields, counts.unknown_bytes),
        (1, 5, unknown.len())
    );
    assert_eq!(self::span(&bytes).name(), "GET");
    let part = split::parts(&bytes).next().unwrap();
    assert_eq!(
        part.head_len(),
        field(1, unknown.clone()).len() + unknown.len()
    );

    refused(b"\xfb\x3e\x08\x01\x0c", Fault::EndGroup, 0, "");
    refused(b"\xfb\x3e\x08\x01", Fault::Truncated, 0, "");
}

#[test]
fn values_nest_as_deep_as_widespread_decoders_go() {
    let nested = |levels: usize, member: u32| {
        (0..levels).fold(number(3, 1), |value, _| match member {
            5 => field(5, field(1, value)),
            _ => field(6, field(1, [field(1, "k"), field(2, value)].concat())),
        })
    };
    for (levels, member) in [(47, 5), (31, 6)] {
        let attribute = |levels| {
            field(
                9,
                [field(1, "k"), field(2, nested(levels, member))].concat(),
            )
        };
        let bytes = request(attribute(levels));
        check(&bytes).unwrap();
        let shown = format!("{:?}", span(&bytes).attributes());
        assert_eq!(
            shown
                .matches(if member == 5 { "[1]" } else { ": 1}" })
                .count(),
            1,
            "{shown}"
        );
        let deeper = check(&request(attribute(levels + 1))).unwrap_err();
        assert_eq!(deeper.fault(), Fault::Depth);
        assert!(deeper.to_string().ends_with("..."), "{deeper}");
        // An event is one level further down: 6 + 2 * 47 is still 100, 6 + 3 * 31 too.
        check(&request(field(11, field(3, &attribute(levels)[2..])))).unwrap_err();
        let event = |levels| {
            request(field(
                11,
                field(
                    3,
                    [field(1, "k"), field(2, nested(levels, member))].concat(),
                ),
            ))
        };
        check(&event(levels)).unwrap();
        check(&event(levels + 1)).unwrap_err();
    }
    // The limit may be lower: plain values only.
    let limits = Limits::new().depth(5);
    let attribute = |levels| {
        request(field(
            9,
            [field(1, "k"), field(2, nested(levels, 5))].concat(),
        ))
    };
    validate(&attribute(0), &limits).unwrap();
    assert_eq!(
        validate(&attribute(1), &limits).unwrap_err().fault(),
        Fault::Depth
    );
    assert_eq!(
        validate(&attribute(0), &limits.depth(4))
            .unwrap_err()
            .fault(),
        Fault::Depth
    );
    // And never higher.
    assert!(validate(&attribute(48), &Limits::new().depth(1000)).is_err());
}

#[test]
fn groups_nest_as_deep_as_prost_goes() {
    for levels in 90..105 {
        // Fields that neither message has: 2 of the request, 20 of a span.
        let outside = [vec![0x13; levels], vec![0x14; levels]].concat();
        let inside = request([[0xa3, 0x01].repeat(levels), [0xa4, 0x01].repeat(levels)].concat());
        for bytes in [outside, inside] {
            let ours = check(&bytes);
            let prost = ExportTraceServiceRequest::decode(&bytes[..]);
            assert_eq!(
                ours.is_ok(),
                prost.is_ok(),
                "{levels} groups: {ours:?} {prost:?}"
            );
        }
    }
}

#[test]
fn a_mountain_of_nested_bytes_neither_overflows_the_stack_nor_takes_forever() {
    // Not valid, so that nothing limits its depth but its length.
    let mut value = number(3, 1);
    for _ in 0..20_000 {
        value = field(5, field(1, value));
        if value.len() > 60_000 {
            break;
        }
    }
    let bytes = request(field(9, [field(1, "k"), field(2, value)].concat()));
    check(&bytes).unwrap_err();
    properties::wire::validate(&vec![0x0b; 1 << 20]);
    properties::wire::validate(&vec![0x13; 1 << 20]);
}

#[test]
fn limits_are_told_apart_from_malformed_bytes() {
    let bytes = golden();
    validate(&bytes, &Limits::new().bytes(273)).unwrap();
    let invalid = validate(&bytes, &Limits::new().bytes(272)).unwrap_err();
    assert_eq!((invalid.fault(), invalid.offset()), (Fault::TooLarge, 0));
    assert!(!invalid.fault().is_malformed());
    assert_eq!(invalid.to_string(), "request is too large at byte 0");

    let many = [0x0a, 0].repeat(3);
    validate(&many, &Limits::new().resource_spans(3)).unwrap();
    let invalid = validate(&many, &Limits::new().resource_spans(2)).unwrap_err();
    assert_eq!(invalid.fault(), Fault::TooManyResourceSpans);
}

#[test]
fn an_error_is_small() {
    assert!(size_of::<Invalid>() <= 48, "{}", size_of::<Invalid>());
}

#[test]
fn a_body_is_cut_between_spans_and_every_piece_has_the_scope() {
    // Scope before, unknown field between, schema URL after the spans.
    let scope_spans = [
        field(1, field(1, "lib")),
        field(2, field(5, "a")),
        field(77, "unknown"),
        field(2, field(5, "b")),
        field(2, field(5, "c")),
        field(3, "url"),
    ]
    .concat();
    let body = [
        field(2, &scope_spans),
        field(2, field(2, field(5, "d"))),
        field(2, b""),
    ]
    .concat();
    assert_eq!(split::count_body_spans(&body), 4);

    let names = |cut| -> Vec<Vec<String>> {
        split::pieces(&body, cut)
            .map(|piece| {
                let mut written = Vec::new();
                piece.write(&mut written);
                assert_eq!(written.len(), piece.encoded_len());
                let mut names = Vec::new();
                for scope in view::ScopeSpans::all_in(&written) {
                    for span in scope.spans() {
                        names.push(span.name().to_owned());
                        if span.name() != "d" {
                            assert_eq!(scope.scope().unwrap().name(), "lib");
                            assert_eq!(scope.schema_url(), "url");
                            assert!(
                                scope
                                    .as_bytes()
                                    .windows(7)
                                    .any(|window| window == b"unknown")
                            );
                        }
                    }
                }
                names
            })
            .collect()
    };
    assert_eq!(names(Cut::spans(1)), [["a"], ["b"], ["c"], ["d"]]);
    assert_eq!(names(Cut::spans(0)), names(Cut::spans(1)));
    assert_eq!(names(Cut::bytes(0)), names(Cut::spans(1)));
    assert_eq!(names(Cut::spans(2)), [["a", "b"], ["c", "d"]]);
    assert_eq!(names(Cut::spans(3)), [vec!["a", "b", "c"], vec!["d"]]);
    assert_eq!(names(Cut::spans(4)), [["a", "b", "c", "d"]]);
    assert_eq!(names(Cut::bytes(body.len())), [["a", "b", "c", "d"]]);
    // The empty record at the end gives way, then a span.
    assert_eq!(names(Cut::bytes(body.len() - 1)).len(), 1);
    assert_eq!(names(Cut::bytes(body.len() - 3)).len(), 2);

    // Uncut, a piece is a range of the body: nothing is copied.
    let whole = split::pieces(&body, Cut::spans(4)).next().unwrap();
    assert_eq!(whole.as_slice().map(<[u8]>::as_ptr), Some(body.as_ptr()));
    assert!(split::pieces(&[], Cut::spans(1)).next().is_none());
}
