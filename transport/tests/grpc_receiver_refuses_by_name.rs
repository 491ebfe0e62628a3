//! Guarantees: what is wrong with a request is said in the status that gRPC and OTLP have for it, nothing of it is kept, and
//! the next request on the same connection is served.
#![cfg(feature = "receive-grpc")]

use core::time::Duration;

use client::{Client, LONG, framed, head, pipeline, push, receiver, request, run};
use http::Request;
use prost::Message;
use spanwire_transport::otlp::grpc::{Code, retry_info, verdict};
use spanwire_transport::receiver::BearerTokens;

mod client;

/// A request of the table: its head, its body, and the code and the words of the answer.
struct Row {
    head: Request<()>,
    body: Vec<u8>,
    http: u16,
    code: Code,
    says: &'static str,
}

fn row(code: Code, says: &'static str, body: Vec<u8>) -> Row {
    Row {
        head: head(),
        body,
        http: 200,
        code,
        says,
    }
}

impl Row {
    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.head.headers_mut().insert(name, value.parse().unwrap());
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.head.headers_mut().remove(name);
        self
    }

    fn http(mut self, http: u16) -> Self {
        self.http = http;
        self
    }

    fn to(mut self, method: http::Method, path: &str) -> Self {
        *self.head.method_mut() = method;
        *self.head.uri_mut() = format!("http://localhost{path}").parse().unwrap();
        self
    }
}

fn good() -> Vec<u8> {
    framed(&request(1).encode_to_vec(), false)
}

fn twice(bytes: &[u8]) -> Vec<u8> {
    [bytes, bytes].concat()
}

/// A request with one span, of which the bytes of one field are given.
fn span_with(field: &[u8]) -> Vec<u8> {
    let nest = |tag: u8, inner: &[u8]| {
        let mut out = vec![tag, u8::try_from(inner.len()).unwrap()];
        out.extend_from_slice(inner);
        out
    };
    framed(&nest(0x0a, &nest(0x12, &nest(0x12, field))), false)
}

fn rows() -> Vec<Row> {
    use Code::{Internal, InvalidArgument, ResourceExhausted, Unimplemented};
    let mut rows = vec![
        // Not gRPC.
        row(Unimplemented, "method GET is not POST", Vec::new())
            .to(http::Method::GET, client::PATH)
            .http(405),
        row(
            InvalidArgument,
            "content-type 'application/json' is not application/grpc",
            good(),
        )
        .with("content-type", "application/json")
        .http(415),
        row(InvalidArgument, "there is no content-type", good())
            .without("content-type")
            .http(415),
        // Not this method.
        row(Unimplemented, "method /x.Y/Z is not served here", good())
            .to(http::Method::POST, "/x.Y/Z"),
        row(
            Unimplemented,
            "method /opentelemetry.proto.collector.logs.v1.LogsService/Export is not served here",
            good(),
        )
        .to(
            http::Method::POST,
            "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        ),
        // Compression and time.
        row(
            Unimplemented,
            "grpc-encoding 'br' is none of identity,deflate,gzip,zstd",
            good(),
        )
        .with("grpc-encoding", "br"),
        row(
            Internal,
            "message is compressed, and there is no grpc-encoding",
            framed(b"x", true),
        ),
        row(
            Internal,
            "message is compressed, and there is no grpc-encoding",
            framed(b"x", true),
        )
        .with("grpc-encoding", "identity"),
        row(
            InvalidArgument,
            "body is no gzip: ",
            framed(b"not gzip at all", true),
        )
        .with("grpc-encoding", "gzip"),
        row(
            InvalidArgument,
            "body is no zstd: it has no frame header",
            framed(b"not zstd", true),
        )
        .with("grpc-encoding", "zstd"),
        row(InvalidArgument, "grpc-timeout '10' is no duration", good()).with("grpc-timeout", "10"),
        row(
            Code::DeadlineExceeded,
            "the deadline of the request has passed",
            good(),
        )
        .with("grpc-timeout", "0n"),
        // Framing.
        row(InvalidArgument, "request has no message", Vec::new()),
        row(
            InvalidArgument,
            "request ends inside the prefix of its message",
            vec![0, 0, 0],
        ),
        row(
            InvalidArgument,
            "request ends inside its message",
            good()[..20].to_vec(),
        ),
        row(
            InvalidArgument,
            "request has more than one message",
            twice(&good()),
        ),
        row(
            InvalidArgument,
            "request has more than one message",
            [good(), vec![0]].concat(),
        ),
        row(
            InvalidArgument,
            "message has a flag that is neither 0 nor 1",
            vec![2, 0, 0, 0, 0],
        ),
        // Size.
        row(
            ResourceExhausted,
            "received message larger than max (4194305 vs. 4194304)",
            [&[0, 0, 0x40, 0, 1][..], &[0; 100]].concat(),
        ),
        row(
            ResourceExhausted,
            "received message larger than max (4294967295 vs. 4194304)",
            vec![0, 0xff, 0xff, 0xff, 0xff],
        ),
        // OTLP.
        row(
            InvalidArgument,
            "malformed request: field ends after its message at byte 0",
            framed(b"\xff\xff\xff", false),
        ),
        row(
            InvalidArgument,
            "malformed request: field ends after its message at byte 0 in resource_spans",
            framed(b"\x0a\x09\x12", false),
        ),
        // A name that is no UTF-8, an id of 15 bytes, one of 7.
        row(
            InvalidArgument,
            "malformed request: text is not UTF-8 at byte 6 in resource_spans.scope_spans.spans.name",
            span_with(b"\x2a\x02\xc3\x28"),
        ),
        row(
            InvalidArgument,
            "malformed request: id has the wrong length at byte 6 in resource_spans.scope_spans.spans.trace_id",
            span_with(b"\x0a\x0f123456789012345"),
        ),
        row(
            InvalidArgument,
            "malformed request: id has the wrong length at byte 6 in resource_spans.scope_spans.spans.span_id",
            span_with(b"\x12\x071234567"),
        ),
    ];
    let wrap = |tag: u8, inner: &[u8]| {
        let mut out = vec![tag, inner.len() as u8 | 0x80, (inner.len() >> 7) as u8];
        out.extend_from_slice(inner);
        out
    };
    // AnyValue of an attribute of a resource: an array in an array, and so on, deeper than anybody goes.
    let mut value = b"\x10\x01".to_vec();
    for _ in 0..120 {
        let mut array = vec![0x0a];
        prost::encoding::encode_varint(value.len() as u64, &mut array);
        array.extend_from_slice(&value);
        let mut any = vec![0x2a];
        prost::encoding::encode_varint(array.len() as u64, &mut any);
        any.extend_from_slice(&array);
        value = any;
    }
    let deep = wrap(
        0x0a,
        &wrap(
            0x0a,
            &wrap(0x0a, &[b"\x0a\x01k".to_vec(), wrap(0x12, &value)].concat()),
        ),
    );
    rows.push(row(
        InvalidArgument,
        "malformed request: messages are nested too deeply at byte 303 in resource_spans.resource.attributes.value.",
        framed(&deep, false),
    ));
    rows
}

/// Scenario: a table of requests that are each wrong in one way, on one connection, and a good one after each.
#[cfg(all(feature = "gzip", feature = "zstd"))]
#[test]
fn each_fault_has_its_status_and_its_words() {
    let (pipeline, kept) = pipeline(64 << 20);
    let receiver = receiver().serve(pipeline.intake()).unwrap();
    let address = receiver.local_addr().unwrap();
    let rows = rows();
    let many = rows.len();
    run(async {
        let mut client = Client::connect(address).await;
        for row in rows {
            let reply = client.call(row.head, row.body).await.unwrap();
            println!("{} {} {}", reply.http, reply.code, reply.message);
            assert_eq!(
                (reply.http, reply.code),
                (row.http, row.code as i32),
                "{}: {reply:?}",
                row.says
            );
            assert!(
                reply.message.starts_with(row.says),
                "{}: {reply:?}",
                row.says
            );
            assert!(reply.trailers_only && reply.body.is_empty(), "{reply:?}");
            assert_eq!(
                reply.headers["grpc-accept-encoding"],
                "identity,deflate,gzip,zstd"
            );
            // None of them is for later, but what came too late.
            let is_late = row.code == Code::DeadlineExceeded;
            assert_eq!(retry_info(&reply.details).is_some(), is_late);
            assert_eq!(client.export(&request(1).encode_to_vec()).await.code, 0);
        }
    });
    assert!(pipeline.flush(LONG).is_complete());
    assert_eq!(kept.span_count(), many);
    let stats = receiver.stats();
    assert_eq!(stats.admitted as usize, many);
    assert_eq!((stats.rejected + stats.cut) as usize, many, "{stats:?}");
    assert_eq!(stats.accepted, 1);
    assert!(receiver.stop(LONG).is_complete());
    drop(kept);
    assert!(pipeline.shutdown(LONG).is_complete());
}

/// Scenario: 32 MiB of zeros in a few KiB.
/// Guarantees: what comes out is stopped at the limit, whatever a header says of it.
#[cfg(all(feature = "gzip", feature = "zstd"))]
#[test]
fn a_bomb_is_refused_when_it_passes_the_limit() {
    use std::io::Write;
    let zeros = vec![0; 8 << 20];
    let gzip = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    // Several members, and a last word that says there are 5 bytes.
    let liar = {
        let mut bytes = gzip(&zeros[..6 << 20]);
        bytes.extend(gzip(b"small"));
        bytes
    };
    let zstd_streamed = {
        // Without the length in its header.
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
        encoder.write_all(&zeros).unwrap();
        encoder.finish().unwrap()
    };
    let zstd_told = zstd::bulk::compress(&zeros, 3).unwrap();
    let wide = {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
        encoder.window_log(27).unwrap();
        encoder.write_all(&zeros[..1 << 20]).unwrap();
        encoder.finish().unwrap()
    };
    let (pipeline, _) = pipeline(128 << 20);
    let receiver = receiver().serve(pipeline.intake()).unwrap();
    let address = receiver.local_addr().unwrap();
    run(async {
        let mut client = Client::connect(address).await;
        for (coding, body, code, says) in [
            (
                "gzip",
                gzip(&zeros),
                Code::ResourceExhausted,
                "received message after decompression larger than max 4194304",
            ),
            (
                "gzip",
                liar,
                Code::ResourceExhausted,
                "received message after decompression larger than max 4194304",
            ),
            (
                "zstd",
                zstd_streamed,
                Code::ResourceExhausted,
                "received message after decompression larger than max 4194304",
            ),
            (
                "zstd",
                zstd_told,
                Code::ResourceExhausted,
                "received message after decompression larger than max (8388608 vs. 4194304)",
            ),
            (
                "zstd",
                wide,
                Code::InvalidArgument,
                "body is no zstd: its window of 134217728 bytes is larger than 8388608",
            ),
        ] {
            assert!(body.len() < 300_000);
            let mut head = head();
            head.headers_mut()
                .insert("grpc-encoding", coding.parse().unwrap());
            let reply = client.call(head, framed(&body, true)).await.unwrap();
            assert_eq!((reply.code, &*reply.message), (code as i32, says));
            if code == Code::ResourceExhausted {
                // A client that knows how sends it again in pieces.
                let outcome = verdict(code, &reply.message, &reply.details);
                assert!(format!("{outcome:?}").contains("TooLarge"), "{outcome:?}");
            }
        }
    });
    let usage = pipeline.intake().account().unwrap();
    assert!(receiver.stop(LONG).is_complete());
    assert_eq!(usage.in_use(), 0);
}

/// Scenario: the share is full of requests that nobody takes away.
/// Guarantees: the next is refused for now, with a wait, and before its body is read; once there is room it is taken.
#[test]
fn over_budget_is_unavailable_with_a_wait() {
    let (pipeline, _) = pipeline(2 << 20);
    let wait = Duration::from_millis(1234);
    let receiver = receiver()
        .retry_after(wait)
        .serve(pipeline.intake())
        .unwrap();
    let address = receiver.local_addr().unwrap();
    let account = pipeline.intake().account().unwrap();
    run(async {
        let mut client = Client::connect(address).await;
        assert_eq!(client.export(&request(1).encode_to_vec()).await.code, 0);
        let taken = account.acquire(account.available()).unwrap();
        for _ in 0..3 {
            let reply = client.export(&request(1).encode_to_vec()).await;
            assert_eq!(reply.code, Code::Unavailable as i32, "{reply:?}");
            assert_eq!(retry_info(&reply.details), Some(wait));
            assert!(
                reply.message.starts_with("no memory for the request: "),
                "{reply:?}"
            );
        }
        let stats = receiver.stats();
        assert_eq!((stats.refused, stats.unread), (3, 3));
        drop(taken);
        assert_eq!(client.export(&request(1).encode_to_vec()).await.code, 0);

        // A body that is not begun for want of room: its client hears so before it has sent it.
        let taken = account.acquire(account.available() - (100 << 10)).unwrap();
        let mut send = client.send.clone().ready().await.unwrap();
        let (answer, mut stream) = send.send_request(head(), false).unwrap();
        // The answer may be faster.
        let _ = push(&mut stream, vec![0, 0, 2, 0, 0].into(), false).await;
        let reply = client::hear(answer).await.unwrap();
        assert_eq!(reply.code, Code::Unavailable as i32, "{reply:?}");
        assert!(
            reply.message.starts_with("no memory for the request: "),
            "{reply:?}"
        );
        drop(taken);
    });
}

/// Scenario: the pipeline has ended, and its receiver has not.
#[test]
fn after_the_pipeline_clients_are_told_to_come_again() {
    let (pipeline, _) = pipeline(2 << 20);
    let receiver = receiver().serve(pipeline.intake()).unwrap();
    let address = receiver.local_addr().unwrap();
    run(async {
        let mut client = Client::connect(address).await;
        assert_eq!(client.export(&request(1).encode_to_vec()).await.code, 0);
        assert!(pipeline.shutdown(LONG).is_complete());
        let reply = client.export(&request(1).encode_to_vec()).await;
        assert_eq!(reply.code, Code::Unavailable as i32, "{reply:?}");
        assert_eq!(reply.message, "the pipeline is shut down");
        assert!(retry_info(&reply.details).is_some());
    });
    let again = client::receiver().serve(pipeline.intake()).unwrap_err();
    assert_eq!(again.to_string(), "the pipeline is shut down");
}

#[test]
fn tokens_that_cant_be_looked_up_are_for_later() {
    let (pipeline, _) = pipeline(2 << 20);
    let tokens = BearerTokens::new().file("/nowhere/tokens");
    let receiver = receiver().bearer(tokens).serve(pipeline.intake()).unwrap();
    let address = receiver.local_addr().unwrap();
    run(async {
        let mut client = Client::connect(address).await;
        let mut head = head();
        head.headers_mut()
            .insert("authorization", "Bearer s3cret".parse().unwrap());
        let reply = client.call(head, good()).await.unwrap();
        assert_eq!(reply.code, Code::Unavailable as i32);
        assert_eq!(reply.message, "bearer tokens can't be looked up now");
        assert!(retry_info(&reply.details).is_some());
    });
}

/// Scenario: bytes that are no HTTP/2, in all sorts.
#[test]
fn who_speaks_no_http_2_hurts_nobody() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (pipeline, _) = pipeline(8 << 20);
    let receiver = receiver()
        .handshake_timeout(Duration::from_secs(2))
        .serve(pipeline.intake())
        .unwrap();
    let address = receiver.local_addr().unwrap();
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    run(async {
        let mut good = Client::connect(address).await;
        for bytes in [
            b"GET / HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(),
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 and some more of it".to_vec(),
            preface[..10].to_vec(),
            vec![0xff; 4096],
            [&preface[..], &[0xff; 64]].concat(),
            [
                &preface[..],
                &settings,
                &[0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1],
            ]
            .concat(),
        ] {
            let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
            stream.write_all(&bytes).await.unwrap();
            let mut sink = Vec::new();
            let _ = stream.read_to_end(&mut sink).await;
            assert_eq!(good.export(&request(1).encode_to_vec()).await.code, 0);
        }
        // Flooded with resets: the connection ends, the receiver does not.
        let mut flood = Client::connect(address).await;
        for _ in 0..5000 {
            let Ok(mut send) = flood.send.clone().ready().await else {
                break;
            };
            let Ok((_, mut stream)) = send.send_request(head(), false) else {
                break;
            };
            stream.send_reset(h2::Reason::CANCEL);
        }
        let _ = flood.call(head(), Vec::new()).await;
        assert_eq!(good.export(&request(1).encode_to_vec()).await.code, 0);
    });
    assert!(receiver.stop(LONG).is_complete());
    assert!(pipeline.shutdown(LONG).is_complete());
}
