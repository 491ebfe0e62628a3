//! Guarantees: the table of bad inputs in the documentation of the receivers says what each is answered, over gRPC and over HTTP.
#![cfg(all(
    feature = "receive-grpc",
    feature = "receive-http",
    feature = "gzip",
    feature = "zstd"
))]

use core::time::Duration;
use std::net::SocketAddr;

use client::{Client, framed, head, hear, pipeline, push, request, run};
use http::{Method, Request};
use post::{Answered, Caller, JSON, PROTOBUF, call, gzip, of_type, posted};
use prost::Message;
use spanwire_transport::otlp::grpc::{Code, retry_info};
use spanwire_transport::receiver::BearerTokens;

mod client;
mod post;

const DOCUMENTED: &str = include_str!("../src/receiver/mod.rs");
const TOKEN: &str = "Bearer s3cret";
const MOST: usize = 4 << 20;

/// A bad input, as each protocol puts it; `None` where it can't be put.
struct Row {
    what: &'static str,
    grpc: Option<(Request<()>, Vec<u8>)>,
    http: Option<Vec<u8>>,
}

/// With a token that is known.
fn known() -> Request<()> {
    let mut head = head();
    let token = TOKEN.parse().unwrap();
    head.headers_mut().insert("authorization", token);
    head
}

fn with(name: &'static str, value: &str) -> Request<()> {
    let mut head = known();
    head.headers_mut().insert(name, value.parse().unwrap());
    head
}

fn headers(kind: &str, more: &str) -> String {
    format!("{}authorization: {TOKEN}\r\n{more}", of_type(kind))
}

/// The same message over both.
fn message(what: &'static str, bytes: &[u8]) -> Row {
    Row {
        what,
        grpc: Some((known(), framed(bytes, false))),
        http: Some(posted(&headers(PROTOBUF, ""), bytes)),
    }
}

fn text(what: &'static str, text: &str) -> Row {
    Row {
        what,
        grpc: None,
        http: Some(posted(&headers(JSON, ""), text.as_bytes())),
    }
}

fn nest(tag: u8, inner: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    prost::encoding::encode_varint(inner.len() as u64, &mut out);
    out.extend_from_slice(inner);
    out
}

fn rows() -> Vec<Row> {
    let good = request(1).encode_to_vec();
    let span = |field: &[u8]| nest(0x0a, &nest(0x12, &nest(0x12, field)));
    let value = (0..120).fold(b"\x10\x01".to_vec(), |value, _| {
        nest(0x2a, &nest(0x0a, &value))
    });
    let to = |path: &str| {
        let mut head = known();
        *head.uri_mut() = format!("http://localhost{path}").parse().unwrap();
        head
    };
    let get = {
        let mut head = known();
        *head.method_mut() = Method::GET;
        head
    };
    let line = |line: &str, kind: &str| {
        let request = posted(&headers(kind, ""), &good);
        let end = request.iter().position(|byte| *byte == b'\r').unwrap();
        [line.as_bytes(), &request[end..]].concat()
    };
    let zeros = vec![0; 2 * MOST];
    let bomb = gzip(&zeros);
    let coded = |name: &str| headers(PROTOBUF, &format!("content-encoding: {name}\r\n"));
    vec![
        message("bytes that are no protobuf", b"\xff\xff\xff"),
        message("a message that ends too early", &good[..good.len() - 1]),
        message("a name that is not UTF-8", &span(b"\x2a\x02\xc3\x28")),
        message("a trace id of 15 bytes", &span(b"\x0a\x0f123456789012345")),
        message("a span id of 7 bytes", &span(b"\x12\x071234567")),
        message(
            "arrays in arrays, 120 deep",
            &nest(0x0a, &nest(0x0a, &nest(0x0a, &nest(0x12, &value)))),
        ),
        text("JSON that ends too early", r#"{"resourceSpans":["#),
        text("JSON with a list for an object", "[]"),
        text(
            "JSON with a trace id of 4 digits",
            r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"abcd"}]}]}]}"#,
        ),
        Row {
            what: "a message of twice the bytes that are allowed",
            grpc: Some((known(), {
                let mut prefix = vec![0];
                prefix.extend_from_slice(&(2 * MOST as u32).to_be_bytes());
                prefix
            })),
            http: Some(posted(&headers(PROTOBUF, ""), &zeros)),
        },
        Row {
            what: "twice those bytes, compressed to a few KiB",
            grpc: Some((with("grpc-encoding", "gzip"), framed(&bomb, true))),
            http: Some(posted(&coded("gzip"), &bomb)),
        },
        Row {
            what: "gzip that is none",
            grpc: Some((with("grpc-encoding", "gzip"), framed(&good, true))),
            http: Some(posted(&coded("gzip"), &good)),
        },
        Row {
            what: "a compression that is not known",
            grpc: Some((with("grpc-encoding", "br"), framed(&good, true))),
            http: Some(posted(&coded("br"), &good)),
        },
        Row {
            what: "another content type",
            grpc: Some((with("content-type", "text/plain"), framed(&good, false))),
            http: Some(posted(&headers("text/plain", ""), &good)),
        },
        Row {
            what: "another path",
            grpc: Some((to("/x.Y/Z"), framed(&good, false))),
            http: Some(line("POST /v1/logs HTTP/1.1", PROTOBUF)),
        },
        Row {
            what: "another method than POST",
            grpc: Some((get, Vec::new())),
            http: Some(line("GET /v1/traces HTTP/1.1", PROTOBUF)),
        },
        Row {
            what: "no bearer token where one is asked for",
            grpc: Some((head(), framed(&good, false))),
            http: Some(posted(&of_type(PROTOBUF), &good)),
        },
    ]
}

/// A cell of the table.
fn told(words: &str, again: Option<impl core::fmt::Display>) -> String {
    const LONGEST: usize = 100;
    let again = again.map_or(String::new(), |after| format!(", again after {after} s"));
    match words.get(..LONGEST) {
        Some(start) if start != words => format!("`{start}..`{again}"),
        _ => format!("`{words}`{again}"),
    }
}

fn of_grpc(reply: &client::Reply) -> String {
    let code = Code::from_number(reply.code).expect("a refusal");
    let after = retry_info(&reply.details).map(|after| after.as_secs());
    told(&format!("{code}: {}", reply.message), after)
}

fn of_http(answered: &Answered) -> String {
    let after = answered.header("retry-after");
    told(&format!("{}: {}", answered.status, answered.says()), after)
}

/// A body of which nothing more comes: what both are told when they are cut.
fn stalled(grpc: SocketAddr, mut caller: Caller<std::net::TcpStream>) -> (String, String) {
    let whole = posted(&headers(PROTOBUF, ""), &[0; 1000]);
    caller.write(&whole[..whole.len() - 1]);
    let reply = run(async {
        let client = Client::connect(grpc).await;
        let mut send = client.send.clone().ready().await.unwrap();
        let (answer, mut stream) = send.send_request(known(), false).unwrap();
        push(&mut stream, vec![0, 0, 0, 4, 0, 1].into(), false)
            .await
            .unwrap();
        hear(answer).await.unwrap()
    });
    (of_grpc(&reply), of_http(&caller.read()))
}

#[test]
fn what_the_table_says_is_what_is_answered() {
    let (pipeline, _) = pipeline(64 << 20);
    let tokens = || BearerTokens::new().token("s3cret").unwrap();
    let grpc = client::receiver()
        .bearer(tokens())
        .serve(pipeline.intake())
        .unwrap();
    let http = post::receiver()
        .bearer(tokens())
        .max_request_body_size(MOST)
        .retry_after(Duration::from_secs(1))
        .serve(pipeline.intake())
        .unwrap();
    let address = grpc.local_addr().unwrap();
    let mut table = Vec::new();
    for row in rows() {
        let over_grpc = row.grpc.map(|(head, body)| {
            let reply = run(async { Client::connect(address).await.call(head, body).await });
            of_grpc(&reply.unwrap())
        });
        let over_http = row.http.map(|bytes| {
            let mut caller = call(&http);
            // Who is refused unread may have the rest cut off.
            let _ = caller.try_write(&bytes);
            of_http(&caller.read())
        });
        table.push((row.what, over_grpc, over_http));
    }
    let (over_grpc, over_http) = stalled(address, call(&http));
    table.push(("a body that stalls", Some(over_grpc), Some(over_http)));

    let account = pipeline.intake().account().unwrap();
    let mut caller = call(&http);
    let (bytes, head) = (request(50).encode_to_vec(), known());
    let (over_grpc, over_http) = run(async {
        let mut client = Client::connect(address).await;
        // The connection itself is accepted and paid for.
        assert_eq!(
            client.call(known(), framed(&[], false)).await.unwrap().code,
            0
        );
        assert_eq!(caller.post(&headers(PROTOBUF, ""), &[]).status, 200);
        let _held = account.acquire(account.available()).unwrap();
        let reply = client.call(head, framed(&bytes, false)).await.unwrap();
        (
            of_grpc(&reply),
            of_http(&caller.post(&headers(PROTOBUF, ""), &bytes)),
        )
    });
    table.push((
        "anything, with no memory left for it",
        Some(over_grpc),
        Some(over_http),
    ));

    let cell = |cell: Option<String>| cell.unwrap_or_else(|| "-".into());
    let lines: Vec<_> = table
        .into_iter()
        .map(|(what, grpc, http)| format!("//! | {what} | {} | {} |", cell(grpc), cell(http)))
        .collect();
    println!("{}", lines.join("\n"));
    let documented: Vec<_> = DOCUMENTED
        .lines()
        .skip_while(|line| !line.starts_with("//! |---"))
        .skip(1)
        .take_while(|line| line.starts_with("//! | "))
        .collect();
    assert_eq!(lines, documented);
}
