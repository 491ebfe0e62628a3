use spanwire_core::wire::validate::{Limits, validate};

use super::*;

/// The bytes of a request that this text is; they hold what they promise.
fn request(text: &str) -> Result<Vec<u8>, InvalidJson> {
    let mut bytes = Vec::new();
    read_request(text.as_bytes(), &mut bytes)?;
    validate(&bytes, &Limits::new()).unwrap();
    assert!(
        bytes.len() <= text.len(),
        "{} > {}",
        bytes.len(),
        text.len()
    );
    Ok(bytes)
}

/// The bytes of a span whose fields are this text.
fn span(fields: &str) -> Result<Vec<u8>, InvalidJson> {
    let bytes = request(&format!(
        r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{{fields}}}]}}]}}]}}"#
    ))?;
    let request = spanwire_core::wire::view::Request::new(&bytes);
    let spans = request
        .resource_spans()
        .flat_map(|spans| spans.scope_spans())
        .flat_map(|scope| scope.spans());
    Ok(spans.map(|span| span.as_bytes().to_vec()).next().unwrap())
}

/// The bytes of an `AnyValue` that this text is.
fn value(text: &str) -> Result<Vec<u8>, InvalidJson> {
    let bytes = span(&format!(r#""attributes":[{{"value":{text}}}]"#))?;
    // Behind two tags and two lengths of one byte each.
    Ok(bytes.get(4..).unwrap_or_default().to_vec())
}

fn fault_of(result: Result<Vec<u8>, InvalidJson>) -> (Fault, String) {
    let error = result.unwrap_err();
    (error.fault, error.path)
}

const SPAN: &str = "resourceSpans[0].scopeSpans[0].spans[0]";

#[test]
fn what_is_not_known_is_ignored() {
    let plain = span(r#""name":"n""#).unwrap();
    for text in [
        r#""name":"n","unknown":{"a":[1,{"b":null}],"c":"\ud83d\ude00"}"#,
        r#""Name":"x","name":"n""#,
        r#""name":"n","trace-id":"zz","Trace_id":1,"trace_Id":1,"trace__id":1,"trace_id_":1,"_name":1"#,
        r#""name":"n","tracE_id":1,"dropped_attributesCount":"x","droppedAttributes_count":"x""#,
        r#""name":"n","instrumentationLibrary":[]"#,
        r#""n\u0061me":"n""#,
    ] {
        assert_eq!(span(text).unwrap(), plain, "{text}");
    }
    assert_eq!(request(r#"{"resource_span":[{}]}"#).unwrap(), b"");
    assert_eq!(request(" {}\n").unwrap(), b"");
    // Thousands of levels of what is ignored need no stack.
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    assert_eq!(request(&format!(r#"{{"x":{deep}}}"#)).unwrap(), b"");
}

/// The Collector's decoder takes the names that fields have in protobuf, too.
#[test]
fn fields_are_known_by_their_names_in_protobuf_too() {
    let id = "00f067aa0ba902b7";
    let (camel, snake) = (
        format!(
            r#"{{"resourceSpans":[{{"schemaUrl":"s","resource":{{"droppedAttributesCount":1,"entityRefs":[
            {{"schemaUrl":"s","type":"t","idKeys":["a"],"descriptionKeys":["b"]}}]}},"scopeSpans":[{{
            "schemaUrl":"s","scope":{{"name":"n","droppedAttributesCount":2}},"spans":[{{"traceId":"{id}{id}",
            "spanId":"{id}","traceState":"a=b","parentSpanId":"{id}","startTimeUnixNano":"3","endTimeUnixNano":4,
            "attributes":[{{"value":{{"stringValue":"v"}}}},{{"value":{{"boolValue":true}}}},
            {{"value":{{"intValue":"5"}}}},{{"value":{{"doubleValue":6}}}},{{"value":{{"bytesValue":"AA=="}}}},
            {{"value":{{"arrayValue":{{"values":[{{"kvlistValue":{{"values":[]}}}}]}}}}}}],
            "droppedAttributesCount":7,"droppedEventsCount":8,"droppedLinksCount":9,
            "events":[{{"timeUnixNano":10,"droppedAttributesCount":11}}],
            "links":[{{"traceId":"{id}{id}","spanId":"{id}","traceState":"c=d","droppedAttributesCount":12}}]}}]}}]}}]}}"#
        ),
        format!(
            r#"{{"resource_spans":[{{"schema_url":"s","resource":{{"dropped_attributes_count":1,"entity_refs":[
            {{"schema_url":"s","type":"t","id_keys":["a"],"description_keys":["b"]}}]}},"scope_spans":[{{
            "schema_url":"s","scope":{{"name":"n","dropped_attributes_count":2}},"spans":[{{"trace_id":"{id}{id}",
            "span_id":"{id}","trace_state":"a=b","parent_span_id":"{id}","start_time_unix_nano":"3","end_time_unix_nano":4,
            "attributes":[{{"value":{{"string_value":"v"}}}},{{"value":{{"bool_value":true}}}},
            {{"value":{{"int_value":"5"}}}},{{"value":{{"double_value":6}}}},{{"value":{{"bytes_value":"AA=="}}}},
            {{"value":{{"array_value":{{"values":[{{"kvlist_value":{{"values":[]}}}}]}}}}}}],
            "dropped_attributes_count":7,"dropped_events_count":8,"dropped_links_count":9,
            "events":[{{"time_unix_nano":10,"dropped_attributes_count":11}}],
            "links":[{{"trace_id":"{id}{id}","span_id":"{id}","trace_state":"c=d","dropped_attributes_count":12}}]}}]}}]}}]}}"#
        ),
    );
    let bytes = request(&camel).unwrap();
    assert!(bytes.len() > 200, "{}", bytes.len());
    assert_eq!(request(&snake).unwrap(), bytes);
    // What is wrong is told by the name in JSON; both names in one object are one field twice.
    let (fault, path) = fault_of(span(r#""trace_id":"zz""#));
    assert_eq!((fault, path), (Fault::Hex, format!("{SPAN}.traceId")));
    let (fault, path) = fault_of(span(r#""spanId":"","span_id":"""#));
    assert_eq!((fault, path), (Fault::Duplicate, format!("{SPAN}.spanId")));
}

/// The Collector's decoder takes them, the specification numbers only.
#[test]
fn values_of_enums_are_known_by_their_names_too() {
    for (name, number) in [
        ("UNSPECIFIED", 0),
        ("INTERNAL", 1),
        ("SERVER", 2),
        ("CLIENT", 3),
        ("PRODUCER", 4),
        ("CONSUMER", 5),
    ] {
        let named = span(&format!(r#""kind":"SPAN_KIND_{name}""#)).unwrap();
        assert_eq!(named, span(&format!(r#""kind":{number}"#)).unwrap());
        assert_eq!(named.is_empty(), number == 0);
    }
    for (name, number) in [("UNSET", 0), ("OK", 1), ("ERROR", 2)] {
        let named = span(&format!(r#""status":{{"code":"STATUS_CODE_{name}"}}"#)).unwrap();
        let numbered = span(&format!(r#""status":{{"code":{number}}}"#)).unwrap();
        assert_eq!(named, numbered);
    }
}

#[test]
fn null_is_a_field_that_is_not_set() {
    for text in [
        r#""name":null,"kind":null,"traceId":null,"events":null,"status":null,"startTimeUnixNano":null"#,
        r#""attributes":null,"flags":null"#,
    ] {
        assert_eq!(span(text).unwrap(), b"", "{text}");
    }
    assert_eq!(value("null").unwrap(), b"");
    assert_eq!(
        value(r#"{"stringValue":null,"intValue":1}"#).unwrap(),
        b"\x18\x01"
    );
}

#[test]
fn members_of_a_value_are_written_even_as_defaults() {
    for (text, bytes) in [
        (r#"{"stringValue":""}"#, b"\x0a\0".as_slice()),
        (r#"{"boolValue":false}"#, b"\x10\0"),
        (r#"{"intValue":"0"}"#, b"\x18\0"),
        (
            r#"{"intValue":-1}"#,
            b"\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        ),
        (r#"{"intValue":"1e2"}"#, b"\x18\x64"),
        (r#"{"doubleValue":0}"#, b"\x21\0\0\0\0\0\0\0\0"),
        (r#"{"doubleValue":"Infinity"}"#, b"\x21\0\0\0\0\0\0\xf0\x7f"),
        (r#"{"arrayValue":{}}"#, b"\x2a\0"),
        (
            r#"{"arrayValue":{"values":[{},null]}}"#,
            b"\x2a\x04\x0a\0\x0a\0",
        ),
        (
            r#"{"kvlistValue":{"values":[{"key":"k"}]}}"#,
            b"\x32\x05\x0a\x03\x0a\x01k",
        ),
        (r#"{"bytesValue":""}"#, b"\x3a\0"),
        (r#"{"bytesValue":"-_8"}"#, b"\x3a\x02\xfb\xff"),
        ("{}", b""),
        (r#"{"stringValueStrindex":3}"#, b""),
    ] {
        assert_eq!(value(text).unwrap(), bytes, "{text}");
    }
}

/// Another crate of the program may switch the parser to arbitrary precision: numbers come as such objects then.
#[test]
fn numbers_of_arbitrary_precision_are_numbers() {
    let number = |text: &str| format!(r#"{{"$serde_json::private::Number":"{text}"}}"#);
    let plain = span(r#""kind":3,"startTimeUnixNano":18446744073709551615,"flags":1"#).unwrap();
    let (kind, start, flags) = (number("3"), number("18446744073709551615"), number("1"));
    let fields = format!(r#""kind":{kind},"startTimeUnixNano":{start},"flags":{flags}"#);
    assert_eq!(span(&fields).unwrap(), plain);
    for field in ["status", "name", "events"] {
        let (fault, path) = fault_of(span(&format!(r#""{field}":{}"#, number("3"))));
        assert!(matches!(fault, Fault::Type { .. }), "{fault}");
        assert_eq!(path, format!("{SPAN}.{field}"));
    }
}

#[test]
fn a_fault_is_named_with_the_way_to_it_and_nothing_of_the_value() {
    let kind = |expected| Fault::Type { expected };
    let whole = |expected| Fault::Range { expected };
    for (text, fault, field) in [
        (
            r#""kind":"CLIENT""#,
            kind("a number or the name of a value"),
            "kind",
        ),
        (
            r#""kind":"STATUS_CODE_OK""#,
            kind("a number or the name of a value"),
            "kind",
        ),
        (
            r#""kind":"3""#,
            kind("a number or the name of a value"),
            "kind",
        ),
        (
            r#""kind":true"#,
            kind("a number or the name of a value"),
            "kind",
        ),
        (
            r#""kind":1.5"#,
            whole("a number from -2147483648 to 2147483647"),
            "kind",
        ),
        (r#""traceId":"hunter2""#, Fault::Hex, "traceId"),
        (
            r#""traceId":"abcd""#,
            Fault::IdLength {
                digits: 4,
                expected: 32,
            },
            "traceId",
        ),
        (
            r#""spanId":17"#,
            kind("a string of hexadecimal digits"),
            "spanId",
        ),
        (
            r#""parentSpanId":"AAAAAAAAAAA=""#,
            Fault::Hex,
            "parentSpanId",
        ),
        (
            r#""startTimeUnixNano":-1"#,
            whole("a number from 0 to 18446744073709551615"),
            "startTimeUnixNano",
        ),
        (
            r#""endTimeUnixNano":"18446744073709551616""#,
            whole("a number from 0 to 18446744073709551615"),
            "endTimeUnixNano",
        ),
        (
            r#""droppedLinksCount":4294967296"#,
            whole("a number from 0 to 4294967295"),
            "droppedLinksCount",
        ),
        (
            r#""flags":"hunter2""#,
            whole("a number from 0 to 4294967295"),
            "flags",
        ),
        (r#""name":1"#, kind("a string"), "name"),
        (r#""name":["a"]"#, kind("a string"), "name"),
        (r#""events":{}"#, kind("a list"), "events"),
        (r#""events":[null]"#, Fault::Null, "events[0]"),
        (
            r#""events":[{},{"name":true}]"#,
            kind("a string"),
            "events[1].name",
        ),
        (r#""status":3"#, kind("an object"), "status"),
        (r#""name":"a","name":"b""#, Fault::Duplicate, "name"),
        (
            r#""attributes":[{"value":{"intValue":1,"boolValue":true}}]"#,
            Fault::Oneof,
            "attributes[0].value.boolValue",
        ),
        (
            r#""attributes":[{"value":{"boolValue":"true"}}]"#,
            kind("true or false"),
            "attributes[0].value.boolValue",
        ),
        (
            r#""attributes":[{"value":{"bytesValue":"!"}}]"#,
            Fault::Base64,
            "attributes[0].value.bytesValue",
        ),
        (
            r#""attributes":[{"value":{"doubleValue":"secret"}}]"#,
            whole("a number, NaN, Infinity or -Infinity"),
            "attributes[0].value.doubleValue",
        ),
    ] {
        let error = span(text).unwrap_err();
        assert_eq!(error.fault, fault, "{text}");
        assert_eq!(error.path, format!("{SPAN}.{field}"), "{text}");
        assert_eq!(error.line, 1, "{text}");
        let told = format!("{error} {error:?}");
        assert!(
            !told.contains("hunter2") && !told.contains("secret"),
            "{told}"
        );
    }
    for text in [
        "",
        "[]",
        "null",
        "true",
        "1",
        "-1",
        "1.5",
        "\"a\"",
        "{} {}",
        "\u{feff}{}",
    ] {
        let (fault, path) = fault_of(request(text));
        assert_eq!(path, "", "{text:?}: {fault}");
        let is_value = !["", "{} {}", "\u{feff}{}"].contains(&text);
        assert_eq!(fault == kind("an object"), is_value, "{text:?}: {fault}");
    }
}

#[test]
fn a_fault_of_the_text_is_told_with_its_place() {
    let error = request("{\"resourceSpans\":[\n {\"schemaUrl\": \"a\nb\"}]}").unwrap_err();
    assert!(matches!(error.fault, Fault::Syntax(_)), "{error:?}");
    assert_eq!(
        (error.path(), error.line()),
        ("resourceSpans[0].schemaUrl", 3)
    );
    let text = error.to_string();
    assert_eq!(text.matches(" at line ").count(), 1, "{text}");
    for bad in [
        r#"{"resourceSpans":[{}]"#,
        r#"{"resourceSpans":[{},]}"#,
        r#"{"resourceSpans":[{"schemaUrl":"\ud800"}]}"#,
        "{\"resourceSpans\":[{\"schemaUrl\":\"\u{1}\"}]}",
        r#"{'resourceSpans':[]}"#,
        r#"{"resourceSpans":[]} x"#,
        r#"{"resourceSpans":[],"x":01}"#,
    ] {
        assert!(
            matches!(fault_of(request(bad)).0, Fault::Syntax(_)),
            "{bad}"
        );
    }
    let mut out = b"kept".to_vec();
    assert!(read_request(b"{\"resourceSpans\":[{\"schemaUrl\":\"\xff\"}]}", &mut out).is_err());
    assert!(read_request(b"{\"resourceSpans\":[{\"schemaUrl\":\"a\"},1]}", &mut out).is_err());
    assert_eq!(out, b"kept");
}

/// Protobuf facts: at most 47 arrays or 31 maps, one in the other, are taken by widespread decoders.
#[test]
fn nesting_ends_where_decoders_do() {
    let arrays =
        |n: usize| value(&(r#"{"arrayValue":{"values":["#.repeat(n) + "{}" + &"]}}".repeat(n)));
    let maps = |n: usize| {
        value(&(r#"{"kvlistValue":{"values":[{"value":"#.repeat(n) + "{}" + &"}]}}".repeat(n)))
    };
    // A small stack is enough for the deepest.
    let small = std::thread::Builder::new().stack_size(512 << 10);
    let run = move || {
        assert!(arrays(47).is_ok());
        assert!(maps(31).is_ok());
        assert_eq!(fault_of(arrays(48)).0, Fault::Depth);
        let (fault, path) = fault_of(maps(32));
        assert_eq!(fault, Fault::Depth);
        assert!(path.starts_with(SPAN) && path.ends_with(".."), "{path}");
        assert_eq!(fault_of(arrays(5_000)).0, Fault::Depth);
    };
    small.spawn(run).unwrap().join().unwrap();
}

#[test]
fn lengths_are_minimal_at_every_boundary() {
    for len in [0, 1, 100, 127, 128, 300, 16_383, 16_384, 70_000] {
        let name = "a".repeat(len);
        let bytes = request(&format!(
            r#"{{"resourceSpans":[{{"schemaUrl":"{name}"}}]}}"#
        ))
        .unwrap();
        let mut expected = Vec::new();
        let mut inner = Vec::new();
        if len > 0 {
            spanwire_core::wire::encode::write_len_field(&mut inner, 3, name.as_bytes());
        }
        spanwire_core::wire::encode::write_len_field(&mut expected, 1, &inner);
        assert_eq!(bytes, expected, "{len}");
    }
}

#[test]
fn answers_of_a_server_are_read() {
    let response = |text: &str| {
        let mut bytes = Vec::new();
        read_response(text.as_bytes(), &mut bytes).map(|()| bytes)
    };
    assert_eq!(response("{}").unwrap(), b"");
    assert_eq!(response(r#"{"partialSuccess":{}}"#).unwrap(), b"\x0a\0");
    assert_eq!(
        response(r#"{"partialSuccess":{"rejectedSpans":3}}"#).unwrap(),
        b"\x0a\x02\x08\x03"
    );
    let error = response(r#"{"partialSuccess":{"rejectedSpans":"many"}}"#).unwrap_err();
    assert_eq!(error.path(), "partialSuccess.rejectedSpans");
    let mut bytes = Vec::new();
    read_status(
        br#"{"code":14,"details":[{"@type":"x","retryDelay":"1s"}]}"#,
        &mut bytes,
    )
    .unwrap();
    assert_eq!(bytes, b"\x08\x0e");
}
