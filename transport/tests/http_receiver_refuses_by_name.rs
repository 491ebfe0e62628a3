//! Guarantees: what is wrong with a request is said in the status and the body that HTTP, OTLP and the Collector have for it,
//! nothing of it is kept, the answer is read whatever the client is still sending, and the next request is served.
#![cfg(all(
    feature = "receive-http",
    feature = "receive-grpc",
    feature = "gzip",
    feature = "zstd"
))]

use core::time::Duration;
use std::time::Instant;

use client::{LONG, exported, pipeline, request};
use post::{Answered, JSON, PROTOBUF, call, gzip, of_type, posted, receiver};
use prost::Message;
use spanwire_core::pipeline::Pipeline;
use spanwire_transport::receiver::BearerTokens;
use spanwire_transport::receiver::http::Cors;

mod client;
mod post;

fn in_use(pipeline: &Pipeline) -> usize {
    pipeline.intake().account().unwrap().in_use()
}

fn eventually(what: impl Fn() -> bool) {
    let begun = Instant::now();
    while !what() {
        assert!(begun.elapsed() < LONG);
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A request of the table, and its answer: status, code, and what its words begin with.
struct Row {
    request: Vec<u8>,
    status: u16,
    code: Option<u8>,
    says: &'static str,
}

fn row(
    status: u16,
    code: impl Into<Option<u8>>,
    says: &'static str,
    headers: &str,
    body: &[u8],
) -> Row {
    Row {
        request: posted(headers, body),
        status,
        code: code.into(),
        says,
    }
}

/// A request with one span, of which the bytes of one field are given.
fn span_with(field: &[u8]) -> Vec<u8> {
    let nest = |tag: u8, inner: &[u8]| {
        let mut out = vec![tag, u8::try_from(inner.len()).unwrap()];
        out.extend_from_slice(inner);
        out
    };
    nest(0x0a, &nest(0x12, &nest(0x12, field)))
}

/// A request with an array in an array, and so on, deeper than anybody goes.
fn nested_bytes() -> Vec<u8> {
    let nest = |tag: u8, inner: &[u8]| {
        let mut out = vec![tag];
        prost::encoding::encode_varint(inner.len() as u64, &mut out);
        out.extend_from_slice(inner);
        out
    };
    let value = (0..120).fold(b"\x10\x01".to_vec(), |value, _| {
        nest(0x2a, &nest(0x0a, &value))
    });
    let attribute = [b"\x0a\x01k".to_vec(), nest(0x12, &value)].concat();
    nest(0x0a, &nest(0x0a, &nest(0x0a, &attribute)))
}

const SUPPORTED: &str =
    "415 unsupported media type, supported: [application/json, application/x-protobuf]";
const ONLY_POST: &str = "405 method not allowed, supported: [POST]";

/// Bodies are whole, so that the connection goes on.
fn rows() -> Vec<Row> {
    let (proto, json) = (&*of_type(PROTOBUF), &*of_type(JSON));
    let encoded = |kind: &str, name: &str| format!("{kind}content-encoding: {name}\r\n");
    let good = request(1).encode_to_vec();
    let to = |line: &str, mut row: Row| {
        let start = row.request.iter().position(|byte| *byte == b'\r').unwrap();
        row.request.splice(..start, line.bytes());
        row
    };
    let deep = "[".repeat(5000) + &"]".repeat(5000);
    let nested = format!(
        r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{"attributes":[{{"key":"k","value":{}{{}}{}}}]}}]}}]}}]}}"#,
        r#"{"arrayValue":{"values":["#.repeat(60),
        "]}}".repeat(60)
    );
    let in_span = |field: &str| {
        format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{{field}}}]}}]}}]}}"#)
            .into_bytes()
    };
    vec![
        // Not spans.
        to(
            "POST /v1/metrics HTTP/1.1",
            row(404, None, "404 page not found", proto, &good),
        ),
        to(
            "POST / HTTP/1.1",
            row(404, None, "404 page not found", json, b"{}"),
        ),
        to(
            "POST /v1/traces/ HTTP/1.1",
            row(404, None, "404 page not found", json, b"{}"),
        ),
        to(
            "GET /v1/traces HTTP/1.1",
            row(405, None, ONLY_POST, "", b""),
        ),
        to(
            "PUT /v1/traces HTTP/1.1",
            row(405, None, ONLY_POST, proto, &good),
        ),
        to(
            "OPTIONS /v1/traces HTTP/1.1",
            row(405, None, ONLY_POST, "", b""),
        ),
        row(415, None, SUPPORTED, "", &good),
        row(415, None, SUPPORTED, "content-type: text/plain\r\n", &good),
        row(
            415,
            None,
            SUPPORTED,
            "content-type: application/grpc\r\n",
            &good,
        ),
        row(415, None, SUPPORTED, "content-type: \u{e4}\r\n", &good),
        // Compression.
        row(
            400,
            3,
            "unsupported Content-Encoding: br; supported: ",
            &encoded(proto, "br"),
            &good,
        ),
        row(
            400,
            3,
            "unsupported Content-Encoding: br; supported: ",
            &encoded(json, "br"),
            b"{}",
        ),
        row(
            400,
            3,
            "unsupported Content-Encoding: gzip, gzip; ",
            &encoded(proto, "gzip, gzip"),
            &good,
        ),
        row(
            400,
            3,
            "unsupported Content-Encoding: gzip, gzip; ",
            &encoded(&encoded(proto, "gzip"), "gzip"),
            &good,
        ),
        row(400, 3, "body is no gzip: ", &encoded(proto, "gzip"), &good),
        row(400, 3, "body is no gzip: ", &encoded(json, "gzip"), b""),
        row(
            400,
            3,
            "body is no gzip: ",
            &encoded(proto, "gzip"),
            &gzip(&good)[..20],
        ),
        row(
            400,
            3,
            "body is no zstd: it has no frame header",
            &encoded(json, "zstd"),
            b"{}",
        ),
        // Protobuf.
        row(
            400,
            3,
            "malformed request: field ends after its message at byte 0",
            proto,
            b"\xff\xff\xff",
        ),
        row(
            400,
            3,
            "malformed request: field ends after its message at byte 0 in resource_spans",
            proto,
            &good[..good.len() - 1],
        ),
        row(
            400,
            3,
            "malformed request: field ends after its message at byte 0",
            proto,
            b"{}",
        ),
        row(
            400,
            3,
            "malformed request: id has the wrong length at byte 6 in resource_spans.scope_spans.spans.trace_id",
            proto,
            &span_with(b"\x0a\x03abc"),
        ),
        row(
            400,
            3,
            "malformed request: id has the wrong length at byte 6 in resource_spans.scope_spans.spans.span_id",
            proto,
            &span_with(b"\x12\x09123456789"),
        ),
        row(
            400,
            3,
            "malformed request: text is not UTF-8 at byte 6 in resource_spans.scope_spans.spans.name",
            proto,
            &span_with(b"\x2a\x02\xc3\x28"),
        ),
        row(
            400,
            3,
            "malformed request: messages are nested too deeply at byte ",
            proto,
            &nested_bytes(),
        ),
        // JSON.
        row(
            400,
            3,
            "malformed request: EOF while parsing a value at line 1 column 0",
            json,
            b"",
        ),
        row(
            400,
            3,
            "malformed request: EOF while parsing an object at line 1 column 1",
            json,
            b"{",
        ),
        row(
            400,
            3,
            "malformed request: expected an object at line 1 column ",
            json,
            b"[]",
        ),
        row(
            400,
            3,
            "malformed request: trailing characters at line 1 column 4",
            json,
            b"{} {}",
        ),
        row(
            400,
            3,
            "malformed request: expected value at line 1 column 1",
            json,
            b"\xff\xfe",
        ),
        row(
            400,
            3,
            "malformed request: expected an object at line 1 column ",
            json,
            deep.as_bytes(),
        ),
        row(
            400,
            3,
            "malformed request: resourceSpans[0].scopeSpans[0].spans[0].attributes[0].value.arrayValue.values[0].",
            json,
            nested.as_bytes(),
        ),
        row(
            400,
            3,
            "malformed request: resourceSpans[0].scopeSpans[0].spans[0].traceId: id has 4 hexadecimal \
             digits, expected 32 at line 1 column ",
            json,
            &in_span(r#""traceId":"abcd""#),
        ),
        row(
            400,
            3,
            "malformed request: resourceSpans[0].scopeSpans[0].spans[0].kind: expected ",
            json,
            &in_span(r#""kind":"SERVER""#),
        ),
    ]
}

#[test]
fn what_is_wrong_is_said_and_the_next_request_is_served() {
    let (pipeline, kept) = pipeline(8 << 20);
    let receiver = receiver().serve(pipeline.intake()).unwrap();
    let mut caller = call(&receiver);
    let rows = rows();
    let count = rows.len() as u64;
    for row in rows {
        let shown =
            String::from_utf8_lossy(&row.request[..row.request.len().min(300)]).into_owned();
        caller.write(&row.request);
        let answered = caller.read();
        println!(
            "{} {:?} {:?}",
            answered.status,
            answered.code(),
            answered.says()
        );
        assert_eq!(answered.status, row.status, "{shown}: {answered:?}");
        assert_eq!(answered.code(), row.code, "{shown}: {answered:?}");
        assert!(
            answered.says().starts_with(row.says),
            "{shown}: {}",
            answered.says()
        );
        assert!(answered.says().len() <= 220);
        assert_eq!(answered.header("retry-after"), None);
        let allow = (row.status == 405).then_some("POST");
        assert_eq!(answered.header("allow"), allow);
        // In the encoding of the request, or in words where it has none.
        let asked = [JSON, PROTOBUF]
            .into_iter()
            .find(|kind| shown.contains(kind))
            .filter(|_| row.code.is_some());
        assert_eq!(
            answered.header("content-type"),
            Some(asked.unwrap_or("text/plain"))
        );
    }
    let good = request(3).encode_to_vec();
    assert_eq!(caller.post(&of_type(PROTOBUF), &good).status, 200);
    assert_eq!(exported(&pipeline, &kept).len(), 1);
    let stats = receiver.stats();
    assert_eq!((stats.rejected, stats.admitted), (count, 1));
    assert_eq!(stats.accepted, 1, "all on one connection");
    assert_eq!(
        stats.refused + stats.abandoned + stats.unauthenticated + stats.cut,
        0
    );
}

/// Scenario: heads that are none. Guarantees: an answer in HTTP, and the end of the connection.
#[test]
fn what_is_not_http_is_told_so() {
    let (pipeline, _) = pipeline(8 << 20);
    let receiver = receiver().serve(pipeline.intake()).unwrap();
    let long = format!(
        "POST /v1/traces HTTP/1.1\r\nx: {}\r\n\r\n",
        "x".repeat(40_000)
    );
    let many = format!("POST /v1/traces HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(200));
    for (request, status) in [
        ("nonsense\r\n\r\n", Some(400)),
        (
            "POST /v1/traces HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
            Some(400),
        ),
        (
            "POST /v1/traces HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
            Some(400),
        ),
        ("POST /v1/traces HTTP/1.1\r\na b: c\r\n\r\n", Some(400)),
        (&long, Some(431)),
        (&many, Some(431)),
        // Its opening is no request of HTTP/1.1, which is all that is spoken here.
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", None),
    ] {
        let mut caller = call(&receiver);
        caller.write(request.as_bytes());
        let answered = caller.try_read().map(|answered| answered.status);
        assert_eq!(answered, status, "{}", &request[..request.len().min(80)]);
        assert!(caller.is_closed());
    }
    // A chunk that is none: the request is taken back, and the connection ends.
    let mut caller = call(&receiver);
    caller.write(b"POST /v1/traces HTTP/1.1\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n");
    assert!(
        caller
            .try_read()
            .is_none_or(|answered| answered.status >= 400)
    );
    assert!(caller.is_closed());
    eventually(|| receiver.stats().open == 0);
    eventually(|| in_use(&pipeline) == 0);
    assert_eq!(receiver.stats().admitted, 0);
}

/// Scenario: a client that sends all of a body before it reads, and one that says how much comes and waits. Guarantees: both
/// read 413, nothing of the body is held, and the connection ends.
#[test]
fn what_is_too_large_is_refused_unread_and_the_answer_arrives() {
    let (pipeline, _) = pipeline(32 << 20);
    let receiver = receiver()
        .max_request_body_size(1 << 20)
        .serve(pipeline.intake())
        .unwrap();
    let mut asked = 0;
    for kind in [PROTOBUF, JSON] {
        let before = in_use(&pipeline);
        // More than the buffers of both sockets.
        let whole = posted(&of_type(kind), &vec![b'x'; 12 << 20]);
        let (mut caller, answered) = loop {
            let (mut caller, begun) = (call(&receiver), Instant::now());
            asked += 1;
            let _ = caller.try_write(&whole);
            match caller.try_read() {
                Some(answered) => break (caller, answered),
                // Who takes longer to say all of it is not listened to for ever, and comes again.
                None => assert!(begun.elapsed() >= Duration::from_secs(2)),
            }
        };
        assert_eq!((answered.status, answered.code()), (413, Some(8)));
        assert_eq!(
            answered.says(),
            "received message larger than max (12582912 vs. 1048576)"
        );
        assert_eq!(answered.header("connection"), Some("close"));
        assert!(in_use(&pipeline) <= before + (1 << 20));
        assert!(caller.is_closed());

        let mut caller = call(&receiver);
        let head = posted(&of_type(kind), &vec![0; (1 << 20) + 1]);
        let end = head
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .unwrap()
            + 4;
        caller.write(&head[..end]);
        assert_eq!(caller.read().status, 413);
        assert!(
            caller.is_closed(),
            "nobody waits for a body that is not wanted for long"
        );
        // Its socket stays open, and the connection is gone all the same.
        eventually(|| receiver.stats().open == 0);
    }
    // Whose length nobody said.
    let mut caller = call(&receiver);
    caller.write(
        format!(
            "POST /v1/traces HTTP/1.1\r\n{}transfer-encoding: chunked\r\n\r\n",
            of_type(PROTOBUF)
        )
        .as_bytes(),
    );
    caller.write(&post::chunked(&vec![0; 4 << 20], 100_000));
    let answered = caller.read();
    assert_eq!(answered.status, 413);
    assert_eq!(answered.says(), "received message larger than max 1048576");
    let stats = receiver.stats();
    assert_eq!((stats.rejected, stats.unread), (asked + 3, asked + 3));
    assert_eq!(stats.unread_bytes, asked * (12 << 20) + 2 * ((1 << 20) + 1));
    drop(caller);
    eventually(|| in_use(&pipeline) == 0);
}

/// Scenario: JSON that a connection has room for, but not with its protobuf beside it.
#[test]
fn encodings_are_those_that_are_taken() {
    let (pipeline, kept) = pipeline(8 << 20);
    let only = |names: &[&str]| {
        let names = names.iter().copied();
        receiver().content_encodings(names).serve(pipeline.intake())
    };
    let good = request(1).encode_to_vec();
    let zipped = of_type(PROTOBUF) + "content-encoding: gzip\r\n";
    let receiver = only(&["", "zstd"]).unwrap();
    let answered = call(&receiver).post(&zipped, &gzip(&good));
    assert_eq!((answered.status, answered.code()), (400, Some(3)));
    assert_eq!(
        answered.says(),
        "unsupported Content-Encoding: gzip; supported: identity,zstd"
    );
    assert_eq!(call(&receiver).post(&of_type(PROTOBUF), &good).status, 200);
    // A list without the empty one takes nothing that is not compressed.
    let receiver = only(&["gzip"]).unwrap();
    assert_eq!(call(&receiver).post(&of_type(PROTOBUF), &good).status, 400);
    assert_eq!(call(&receiver).post(&zipped, &gzip(&good)).status, 200);
    assert_eq!(
        only(&["snappy"]).unwrap_err().to_string(),
        "content encoding \"snappy\" is not supported; supported: identity,deflate,gzip,zstd"
    );
    let spans = exported(&pipeline, &kept)
        .into_iter()
        .flat_map(|it| it.resource_spans);
    assert_eq!(spans.flat_map(|it| it.scope_spans).count(), 2);
}

#[test]
fn json_has_half_of_the_room() {
    let (pipeline, _) = pipeline(8 << 20);
    let receiver = receiver().serve(pipeline.intake()).unwrap();
    for (len, status) in [(400 << 10, 400), (600 << 10, 413)] {
        let text = vec![b' '; len];
        assert_eq!(call(&receiver).post(&of_type(JSON), &text).status, status);
    }
    assert_eq!(receiver.stats().unread_bytes, 600 << 10);
    assert_eq!(
        call(&receiver)
            .post(&of_type(PROTOBUF), &vec![0; 600 << 10])
            .status,
        400
    );
}

/// Scenario: 32 MiB of zeros in a few KiB. Guarantees: 413 that says so, and not more held than one request may.
#[test]
fn a_bomb_is_refused_by_name() {
    let (pipeline, _) = pipeline(16 << 20);
    let receiver = receiver().serve(pipeline.intake()).unwrap();
    let zeros = vec![0; 32 << 20];
    let bombs = [
        ("gzip", gzip(&zeros)),
        ("zstd", zstd::encode_all(&zeros[..], 1).unwrap()),
    ];
    drop(zeros);
    for (name, bomb) in bombs {
        assert!(bomb.len() < 1 << 20, "{name}: {}", bomb.len());
        for kind in [PROTOBUF, JSON] {
            let mut caller = call(&receiver);
            let headers = format!("{}content-encoding: {name}\r\n", of_type(kind));
            let answered = caller.post(&headers, &bomb);
            assert_eq!(answered.status, 413, "{name}: {answered:?}");
            let says = answered.says();
            assert!(says.contains("decompress"), "{says}");
            // All of it had been read, so the connection goes on.
            assert_eq!(caller.post(&of_type(PROTOBUF), b"").status, 200);
        }
    }
    let usage = pipeline.intake().account().unwrap();
    assert!(usage.in_use() < 1 << 20, "{usage:?}");
}

#[test]
fn who_shows_no_token_that_is_known_is_refused_unread() {
    let (pipeline, _) = pipeline(8 << 20);
    let receiver = receiver()
        .bearer(BearerTokens::new().token("s3cret").unwrap())
        .cors(Cors::new().allow_origin("*"))
        .serve(pipeline.intake())
        .unwrap();
    let body = request(1).encode_to_vec();
    for (kind, shown, says) in [
        (PROTOBUF, "", "there is no bearer token"),
        (JSON, "", "there is no bearer token"),
        ("text/plain", "", "there is no bearer token"),
        (
            JSON,
            "authorization: Bearer other\r\n",
            "the bearer token is not known",
        ),
        (
            PROTOBUF,
            "authorization: Basic s3cret\r\n",
            "the bearer token is not known",
        ),
    ] {
        let answered = call(&receiver).post(&(of_type(kind) + shown), &body);
        assert_eq!((answered.status, &*answered.says()), (401, says));
        assert_eq!(answered.header("www-authenticate"), Some("Bearer"));
        assert_eq!(answered.header("content-type"), Some(kind));
        assert!(kind == "text/plain" || answered.code() == Some(16));
    }
    let shown = of_type(PROTOBUF) + "Authorization: Bearer s3cret\r\n";
    assert_eq!(call(&receiver).post(&shown, &body).status, 200);
    // A browser asks before it may show anything.
    let mut caller = call(&receiver);
    caller.write(b"OPTIONS /v1/traces HTTP/1.1\r\norigin: https://a\r\naccess-control-request-method: POST\r\n\r\n");
    assert_eq!(caller.read().status, 204);
    let stats = receiver.stats();
    assert_eq!(
        (stats.unauthenticated, stats.admitted, stats.unread),
        (5, 1, 5)
    );
    assert_eq!(stats.unread_bytes, 5 * body.len() as u64);
}

#[test]
fn pages_of_other_origins_are_let_in_when_asked_for_and_not_before() {
    let asks = "OPTIONS /v1/traces HTTP/1.1\r\norigin: https://app.example\r\n\
        access-control-request-method: POST\r\naccess-control-request-headers: content-type\r\n\r\n";
    let sends = posted(
        "origin: https://app.example\r\ncontent-type: application/json\r\n",
        b"{}",
    );
    let about = |answered: &Answered| {
        let of_cors = |name: &str| name.starts_with("access-control-");
        answered.headers.iter().any(|(name, _)| of_cors(name))
    };
    let (pipeline, _) = pipeline(8 << 20);
    let plain = receiver().serve(pipeline.intake()).unwrap();
    let mut caller = call(&plain);
    caller.write(asks.as_bytes());
    let answered = caller.read();
    assert_eq!((answered.status, about(&answered)), (405, false));
    caller.write(&sends);
    let answered = caller.read();
    assert_eq!((answered.status, about(&answered)), (200, false));

    for (cors, is_let_in) in [
        (Cors::new().allow_origin("https://*.example"), true),
        (Cors::new().allow_origin("https://other.example"), false),
    ] {
        let open = receiver().cors(cors).serve(pipeline.intake()).unwrap();
        let mut caller = call(&open);
        caller.write(asks.as_bytes());
        let answered = caller.read();
        assert_eq!((answered.status, &*answered.body), (204, &b""[..]));
        assert_eq!(about(&answered), is_let_in);
        caller.write(&sends);
        let answered = caller.read();
        // It is the browser that keeps the answer from the page.
        assert_eq!((answered.status, about(&answered)), (200, is_let_in));
        let origin = answered.header("access-control-allow-origin");
        assert_eq!(origin, is_let_in.then_some("https://app.example"));
        // Also a failure can be read.
        let bad = posted("origin: https://app.example\r\ncontent-type: x/y\r\n", b"");
        caller.write(&bad);
        let answered = caller.read();
        assert_eq!((answered.status, about(&answered)), (415, is_let_in));
        assert_eq!(open.stats().rejected, 1, "a preflight is no request");
    }
}

/// Scenario: the neighbours' share is used up by others. Guarantees: 503 and when to come again, in both encodings, before
/// the body is sent; and the same request is taken once there is room.
#[test]
fn who_finds_no_room_is_told_when_to_come_again() {
    let (pipeline, kept) = pipeline(8 << 20);
    let receiver = receiver()
        .retry_after(Duration::from_millis(1500))
        .serve(pipeline.intake())
        .unwrap();
    let body = request(100).encode_to_vec();
    let text = serde_json::to_vec(&request(100)).unwrap();
    let mut callers = [call(&receiver), call(&receiver), call(&receiver)];
    for caller in &mut callers {
        assert_eq!(caller.post(&of_type(JSON), b"{}").status, 200);
    }
    let account = pipeline.intake().account().unwrap();
    let held = account.acquire(account.available() - 1000).unwrap();
    let [first, second, third] = &mut callers;
    let answered = first.post(&of_type(PROTOBUF), &body);
    assert_eq!((answered.status, answered.code()), (503, Some(14)));
    assert_eq!(answered.header("retry-after"), Some("2"));
    assert!(
        answered.says().starts_with("no memory for the request: "),
        "{}",
        answered.says()
    );
    let answered = second.post(&of_type(JSON), &text);
    assert_eq!((answered.status, answered.code()), (503, Some(14)));
    assert_eq!(answered.header("retry-after"), Some("2"));
    // Who waits to be told to go on is not.
    let head = posted(&(of_type(PROTOBUF) + "expect: 100-continue\r\n"), &body);
    third.write(&head[..head.len() - body.len()]);
    assert_eq!(third.read().status, 503);
    drop(held);
    let mut caller = call(&receiver);
    assert_eq!(caller.post(&of_type(PROTOBUF), &body).status, 200);
    assert_eq!(caller.post(&of_type(JSON), &text).status, 200);
    // In one batch or in two.
    let exported = exported(&pipeline, &kept).into_iter();
    let resources = exported.flat_map(|request| request.resource_spans);
    let scopes = resources.flat_map(|resource| resource.scope_spans);
    assert_eq!(scopes.map(|scope| scope.spans.len()).sum::<usize>(), 200);
    let stats = receiver.stats();
    assert_eq!((stats.refused, stats.unread), (3, 3));
}

#[test]
fn after_the_pipeline_has_ended_everything_may_be_sent_again() {
    let (pipeline, _) = pipeline(8 << 20);
    let receiver = receiver().serve(pipeline.intake()).unwrap();
    let mut caller = call(&receiver);
    assert_eq!(caller.post(&of_type(JSON), b"{}").status, 200);
    assert!(pipeline.shutdown(LONG).is_complete());
    let answered = caller.post(&of_type(JSON), b"{}");
    assert_eq!((answered.status, answered.code()), (503, Some(14)));
    assert_eq!(answered.says(), "the pipeline is shut down");
    assert_eq!(answered.header("retry-after"), Some("1"));
}

/// Scenario: 64 connections that each say 1 MiB and stall near the end. Guarantees: what they hold stays within the share,
/// those that have stalled go, and another client is served.
#[test]
fn stalled_bodies_hold_their_part_and_no_more() {
    let (pipeline, _) = pipeline(16 << 20);
    let receiver = receiver().serve(pipeline.intake()).unwrap();
    let part = vec![0; (1 << 20) - 1];
    let head = format!(
        "POST /v1/traces HTTP/1.1\r\n{}content-length: {}\r\n\r\n",
        of_type(PROTOBUF),
        1 << 20
    );
    let mut stalled = Vec::new();
    for _ in 0..64 {
        let mut caller = call(&receiver);
        caller.write(head.as_bytes());
        // Who is told to come again may have the rest cut off.
        let _ = caller.try_write(&part);
        stalled.push(caller);
    }
    eventually(|| receiver.stats().cut > 0);
    let mut other = call(&receiver);
    let answered = other.post(&of_type(PROTOBUF), &request(1).encode_to_vec());
    assert_eq!(answered.status, 200, "{answered:?}");
    let account = pipeline.intake().account().unwrap();
    println!("{:?}, {account:?}", receiver.stats());
    drop(stalled);
    eventually(|| in_use(&pipeline) < 1 << 20);
    let mut other = call(&receiver);
    let answered = other.post(&of_type(PROTOBUF), &request(1).encode_to_vec());
    assert_eq!(answered.status, 200);
}

/// Scenario: a head that never ends, and one that a byte is added to now and then. Guarantees: both connections end when the
/// time for a head is over, however often something comes; a kept connection that says nothing does not.
#[test]
fn a_slow_head_is_cut() {
    let (pipeline, _) = pipeline(8 << 20);
    let receiver = receiver()
        .read_header_timeout(Duration::from_secs(2))
        .serve(pipeline.intake())
        .unwrap();
    let mut kept = call(&receiver);
    assert_eq!(kept.post(&of_type(JSON), b"{}").status, 200);
    let mut silent = call(&receiver);
    silent.write(b"POST /v1/tra");
    let mut trickle = std::net::TcpStream::connect(receiver.local_addr().unwrap()).unwrap();
    let begun = Instant::now();
    while std::io::Write::write_all(&mut trickle, b"x").is_ok() {
        assert!(begun.elapsed() < LONG);
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(silent.is_closed());
    std::thread::sleep(Duration::from_millis(2200));
    assert_eq!(kept.post(&of_type(JSON), b"{}").status, 200);
    // A head that begins on a kept connection has its time, too.
    kept.write(b"POST /");
    assert!(kept.is_closed());
}

#[test]
fn an_idle_connection_ends() {
    let (pipeline, _) = pipeline(8 << 20);
    let receiver = receiver()
        .idle_timeout(Duration::from_millis(200))
        .serve(pipeline.intake())
        .unwrap();
    let mut caller = call(&receiver);
    assert_eq!(caller.post(&of_type(JSON), b"{}").status, 200);
    assert!(caller.is_closed());
}

/// Scenario: a body of which a byte comes now and then, and one that must be here at a time. Guarantees: both are cut, with an
/// answer after which a client comes again.
#[test]
fn a_slow_body_is_cut() {
    let (pipeline, _) = pipeline(8 << 20);
    for (timeout, says) in [
        (Duration::ZERO, "body is slower than 65536 bytes a second"),
        (
            Duration::from_millis(300),
            "the deadline of the request has passed",
        ),
    ] {
        let receiver = receiver()
            .read_timeout(timeout)
            .retry_after(Duration::from_secs(2))
            .serve(pipeline.intake())
            .unwrap();
        let mut caller = call(&receiver);
        caller.write(
            format!(
                "POST /v1/traces HTTP/1.1\r\n{}content-length: 100\r\n\r\nxyz",
                of_type(JSON)
            )
            .as_bytes(),
        );
        let answered = caller.read();
        assert_eq!((answered.status, &*answered.says()), (503, says));
        assert_eq!(answered.header("retry-after"), Some("2"));
        assert_eq!(answered.header("connection"), Some("close"));
        let stats = receiver.stats();
        assert_eq!((stats.cut, stats.unread, stats.unread_bytes), (1, 1, 97));
    }
}

/// Scenario: clients that go away in the middle of everything. Guarantees: each is counted, and all memory comes back.
#[test]
fn who_goes_away_leaves_nothing_behind() {
    let (pipeline, _) = pipeline(8 << 20);
    let receiver = receiver().serve(pipeline.intake()).unwrap();
    let whole = posted(&of_type(PROTOBUF), &request(50).encode_to_vec());
    for cut in (1..whole.len()).step_by(97) {
        let mut caller = call(&receiver);
        caller.write(&whole[..cut]);
    }
    let head = whole
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap()
        + 4;
    let begun = (1..whole.len())
        .step_by(97)
        .filter(|cut| *cut >= head)
        .count();
    eventually(|| receiver.stats().abandoned == begun as u64);
    eventually(|| receiver.stats().open == 0);
    eventually(|| in_use(&pipeline) == 0);
    assert_eq!(receiver.stats().admitted, 0);
}

/// Scenario: requests with a few bytes changed, dropped or doubled, and then the end of what the client says. Guarantees:
/// whatever it is, it is answered or cut, memory comes back, and a request that is right is served.
#[test]
fn bytes_of_any_kind_harm_nobody() {
    let (pipeline, _) = pipeline(8 << 20);
    let receiver = receiver().serve(pipeline.intake()).unwrap();
    let bytes = request(3).encode_to_vec();
    let text = serde_json::to_vec(&request(3)).unwrap();
    let encoded = |kind: &str, name: &str| format!("{}content-encoding: {name}\r\n", of_type(kind));
    let chunks = format!(
        "POST /v1/traces HTTP/1.1\r\n{}transfer-encoding: chunked\r\n\r\n",
        of_type(JSON)
    );
    let bases = [
        posted(&of_type(PROTOBUF), &bytes),
        posted(&of_type(JSON), &text),
        posted(&encoded(JSON, "gzip"), &gzip(&text)),
        posted(
            &encoded(PROTOBUF, "zstd"),
            &zstd::encode_all(&bytes[..], 1).unwrap(),
        ),
        [chunks.as_bytes(), &post::chunked(&text, 50)].concat(),
    ];
    // A sequence that is the same each time.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 16).unwrap() % below.max(1)
    };
    let mut statuses = std::collections::BTreeMap::<_, usize>::new();
    for _ in 0..500 {
        let mut request = bases[random(bases.len())].clone();
        for _ in 0..=random(4) {
            let at = random(request.len());
            match random(4) {
                0 => request[at] = random(256) as u8,
                1 => request.insert(at, random(256) as u8),
                2 => drop(request.remove(at)),
                _ => request[at] ^= 1 << random(8),
            }
        }
        let mut caller = call(&receiver);
        caller.write(&request);
        caller.end();
        while let Some(answered) = caller.try_read() {
            *statuses.entry(answered.status).or_default() += 1;
        }
        assert!(
            caller.is_closed(),
            "{:?}",
            String::from_utf8_lossy(&request)
        );
    }
    println!("{statuses:?}, {:?}", receiver.stats());
    assert!(!statuses.contains_key(&500));
    assert!(statuses.contains_key(&200) && statuses.contains_key(&400));
    eventually(|| receiver.stats().open == 0);
    eventually(|| in_use(&pipeline) < 1 << 20);
    assert_eq!(call(&receiver).post(&of_type(PROTOBUF), &bytes).status, 200);
}

#[test]
fn a_setting_that_is_wrong_is_named() {
    let (pipeline, _) = pipeline(8 << 20);
    let fault = |builder: spanwire_transport::receiver::http::HttpReceiverBuilder| {
        builder.serve(pipeline.intake()).unwrap_err().to_string()
    };
    assert_eq!(
        fault(receiver().endpoint("localhost")),
        "endpoint host 'localhost' has no port after it"
    );
    assert_eq!(
        fault(receiver().traces_url_path("/a?b")),
        "traces_url_path '/a?b' has a query, or characters that have to be percent-encoded"
    );
    assert_eq!(
        fault(receiver().cors(Cors::new().allow_origin("*.*"))),
        "cors: allowed origin '*.*' has more than one *"
    );
}
