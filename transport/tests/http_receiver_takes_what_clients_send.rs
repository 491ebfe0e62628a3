//! Guarantees: what is posted arrives as it was sent, in both encodings, over every kind of socket and compression, however a
//! body is cut into pieces; and a receiver that stops answers what is under way.
#![cfg(all(
    feature = "receive-http",
    feature = "receive-grpc",
    feature = "http",
    feature = "gzip",
    feature = "zstd",
    feature = "tls"
))]

use core::time::Duration;
use std::sync::Arc;
use std::time::Instant;

use client::{LONG, exported, pipeline, request};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use post::{Caller, JSON, PROTOBUF, call, chunked, gzip, of_type, posted, receiver};
use prost::Message;
use spanwire_core::limiter::OVERHEAD;
use spanwire_core::pipeline::Pipeline;
use spanwire_core::testing::InMemoryExporter;
use spanwire_transport::compression::Compression;
use spanwire_transport::exporter::http::{Encoding, HttpExporter};
use spanwire_transport::receiver::{BODY_STALL, HTTP_CONNECTION_BYTES};
use spanwire_transport::tls::{ClientTls, ServerTls};
use waiting::eventually;

mod client;
mod post;
#[path = "../../core/tests/waiting/mod.rs"]
mod waiting;

/// Every span, by its id.
fn spans(requests: &[ExportTraceServiceRequest]) -> Vec<Span> {
    let resources = requests.iter().flat_map(|request| &request.resource_spans);
    let scopes = resources.flat_map(|resource| &resource.scope_spans);
    let mut spans: Vec<_> = scopes.flat_map(|scope| scope.spans.clone()).collect();
    spans.sort_by(|a, b| a.span_id.cmp(&b.span_id));
    spans
}

fn decoded(kept: &InMemoryExporter) -> Vec<ExportTraceServiceRequest> {
    let requests = kept.requests();
    let decode = |bytes: &bytes::Bytes| ExportTraceServiceRequest::decode(&bytes[..]).unwrap();
    requests.iter().map(decode).collect()
}

/// Records spans, and exports them to a receiver and beside it. Returns what was exported there.
fn record(exporter: HttpExporter, count: usize) -> Vec<ExportTraceServiceRequest> {
    let beside = InMemoryExporter::new();
    let kept = beside.clone();
    let own = Pipeline::builder()
        .service_name("kubelet")
        // What is late is not sent again: it would arrive twice.
        .export_timeout(LONG)
        .exporter(move || exporter.clone())
        .exporter(move || beside.clone())
        .build()
        .unwrap();
    let tracer = own.tracer("scope");
    for n in 0..count {
        let mut span = tracer.start("sync");
        span.set_attribute("n", n as i64)
            .set_attribute("ratio", 0.5)
            .set_attribute("text", "much \"the same\" in all, and ü");
        span.add_event("exception", &[]);
    }
    let report = own.shutdown(LONG);
    assert!(report.is_complete(), "{report}");
    decoded(&kept)
}

/// Scenario: an agent with our own exporter.
#[test]
fn spans_of_our_own_exporter_arrive_as_they_were_recorded() {
    for encoding in [Encoding::Protobuf, Encoding::Json] {
        for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
            let (pipeline, kept) = pipeline(64 << 20);
            let receiver = receiver().serve(pipeline.intake()).unwrap();
            let exporter = HttpExporter::builder()
                .endpoint(format!("http://{}", receiver.local_addr().unwrap()))
                .encoding(encoding)
                .compression(compression)
                .timeout(LONG)
                .build()
                .unwrap();
            let sent = spans(&record(exporter, 3000));
            assert_eq!(sent.len(), 3000);
            let arrived = exported(&pipeline, &kept);
            let came = spans(&arrived);
            assert_eq!(came.len(), 3000, "{encoding:?}, {compression:?}");
            assert!(came == sent, "{encoding:?}, {compression:?}");
            let resource = arrived[0].resource_spans[0].resource.as_ref().unwrap();
            assert!(
                resource
                    .attributes
                    .iter()
                    .any(|one| one.key == "service.name")
            );
            let stats = receiver.stats();
            assert_eq!(stats.spans, 3000);
            assert_eq!(
                stats.rejected + stats.refused + stats.unread,
                0,
                "{stats:?}"
            );
        }
    }
}

#[test]
fn a_request_of_another_client_arrives_as_it_was_sent() {
    let sent = request(512);
    let bytes = sent.encode_to_vec();
    let text = serde_json::to_vec(&sent).unwrap();
    for (kind, body, answer) in [
        (PROTOBUF, &bytes, &b""[..]),
        (JSON, &text, b"{}"),
        ("Application/JSON; charset=utf-8", &text, b"{}"),
    ] {
        let (pipeline, kept) = pipeline(8 << 20);
        let receiver = receiver().serve(pipeline.intake()).unwrap();
        let mut caller = call(&receiver);
        let answered = caller.post(&of_type(kind), body);
        assert_eq!((answered.status, &*answered.body), (200, answer));
        let own = if kind == PROTOBUF { PROTOBUF } else { JSON };
        assert_eq!(answered.header("content-type"), Some(own));
        let answered = caller.post(&(of_type(kind) + "content-encoding: gzip\r\n"), &gzip(body));
        assert_eq!(answered.status, 200);
        let zstd = zstd::encode_all(&body[..], 1).unwrap();
        let answered = caller.post(&(of_type(kind) + "Content-Encoding: ZSTD\r\n"), &zstd);
        assert_eq!(answered.status, 200);
        let arrived = exported(&pipeline, &kept);
        // In one batch or in several; in one of them, what has the same resource stands under it once.
        let [one] = &*sent.resource_spans else {
            panic!("{sent:?}")
        };
        for resource in arrived.iter().flat_map(|request| &request.resource_spans) {
            assert_eq!(
                (&resource.resource, &resource.schema_url),
                (&one.resource, &one.schema_url)
            );
            for scope in &resource.scope_spans {
                assert_eq!(*scope, one.scope_spans[0]);
            }
        }
        assert_eq!(spans(&arrived).len(), 3 * 512);
        let stats = receiver.stats();
        assert_eq!(
            (stats.accepted, stats.admitted, stats.spans),
            (1, 3, 3 * 512)
        );
        drop((caller, receiver));
        drop(kept);
        assert!(pipeline.shutdown(LONG).is_complete());
    }
}

/// Scenario: JSON with the names that fields and values of enums have in protobuf, as the Collector takes it and OTLP has nobody
/// write it. Guarantees: the spans arrive whole, and none goes on without its ids.
#[test]
fn json_with_the_names_of_protobuf_arrives() {
    use serde_json::Value;

    fn renamed(value: Value) -> Value {
        match value {
            Value::Object(fields) => fields
                .into_iter()
                .map(|(name, value)| match (&*name, value.as_i64()) {
                    ("kind", Some(2)) => (name, "SPAN_KIND_SERVER".into()),
                    ("code", Some(2)) => (name, "STATUS_CODE_ERROR".into()),
                    _ => {
                        let small = name.chars().flat_map(|letter| {
                            let underscore = letter.is_ascii_uppercase().then_some('_');
                            underscore.into_iter().chain([letter.to_ascii_lowercase()])
                        });
                        (small.collect(), renamed(value))
                    }
                })
                .collect(),
            Value::Array(values) => values.into_iter().map(renamed).collect(),
            other => other,
        }
    }

    let (pipeline, kept) = pipeline(8 << 20);
    let receiver = receiver().serve(pipeline.intake()).unwrap();
    let mut sent = request(3);
    let span = &mut sent.resource_spans[0].scope_spans[0].spans[0];
    span.status = Some(opentelemetry_proto::tonic::trace::v1::Status {
        message: "no".into(),
        code: 2,
    });
    let text = renamed(serde_json::to_value(&sent).unwrap()).to_string();
    for name in [
        "resource_spans",
        "scope_spans",
        "trace_id",
        "_ERROR",
        "_SERVER",
    ] {
        assert!(text.contains(name), "{text}");
    }
    assert!(!text.contains("Spans") && !text.contains("Id\""), "{text}");
    assert_eq!(
        call(&receiver).post(&of_type(JSON), text.as_bytes()).status,
        200
    );
    assert_eq!(exported(&pipeline, &kept), [sent]);
}

#[test]
fn an_empty_request_is_taken() {
    let (pipeline, _) = pipeline(8 << 20);
    let receiver = receiver().serve(pipeline.intake()).unwrap();
    let mut caller = call(&receiver);
    for (kind, body) in [
        (PROTOBUF, &b""[..]),
        (JSON, b"{}"),
        (JSON, b"{\"resourceSpans\":[]}"),
    ] {
        assert_eq!(caller.post(&of_type(kind), body).status, 200);
    }
    let stats = receiver.stats();
    assert_eq!((stats.accepted, stats.admitted, stats.spans), (1, 3, 0));
}

/// Scenario: bodies whose length nobody says, in chunks of every size, with extensions and trailers.
#[test]
fn bodies_come_in_chunks_of_any_size() {
    let (pipeline, kept) = pipeline(16 << 20);
    let receiver = receiver().serve(pipeline.intake()).unwrap();
    let mut caller = call(&receiver);
    let sent = request(1000);
    let bytes = sent.encode_to_vec();
    let head = format!(
        "POST /v1/traces HTTP/1.1\r\n{}transfer-encoding: chunked\r\n\r\n",
        of_type(PROTOBUF)
    );
    for size in [7, 1000, 65_536, usize::MAX] {
        caller.write(head.as_bytes());
        caller.write(&chunked(&bytes, size.min(bytes.len())));
        assert_eq!(caller.read().status, 200, "{size}");
    }
    caller.write(head.as_bytes());
    let body = chunked(&bytes, 100_000);
    let body = [&body[..body.len() - 2], b"x-trailer: y\r\n\r\n"].concat();
    caller.write(&body);
    assert_eq!(caller.read().status, 200);
    let arrived = exported(&pipeline, &kept);
    assert_eq!(spans(&arrived).len(), 5000);
    assert_eq!(receiver.stats().accepted, 1);
}

/// Scenario: a byte at a time, and several requests in one write. Guarantees: answers come in order, on one connection.
#[test]
fn requests_may_be_torn_apart_and_pipelined() {
    let (pipeline, kept) = pipeline(8 << 20);
    let receiver = receiver().serve(pipeline.intake()).unwrap();
    let mut caller = call(&receiver);
    let sent = request(1);
    for byte in posted(&of_type(PROTOBUF), &sent.encode_to_vec()) {
        caller.write(&[byte]);
    }
    assert_eq!(caller.read().status, 200);
    let good = posted(&of_type(PROTOBUF), &sent.encode_to_vec());
    let bad = posted(&of_type(JSON), b"[]");
    caller.write(&[&good[..], &bad, &good, &bad, &good].concat());
    let statuses = [(); 5].map(|()| caller.read().status);
    assert_eq!(statuses, [200, 400, 200, 400, 200]);
    assert_eq!(spans(&exported(&pipeline, &kept)).len(), 4);
    let stats = receiver.stats();
    assert_eq!((stats.accepted, stats.admitted, stats.rejected), (1, 4, 2));
}

#[test]
fn old_and_careful_clients_are_served() {
    let (pipeline, _) = pipeline(8 << 20);
    let receiver = receiver().serve(pipeline.intake()).unwrap();
    let body = request(1).encode_to_vec();
    let head = |version: &str, more: &str| {
        format!(
            "POST http://localhost/v1/traces?x=y HTTP/{version}\r\n{}{more}content-length: {}\r\n\r\n",
            of_type(PROTOBUF),
            body.len()
        )
    };
    // HTTP/1.0 ends its connection.
    let mut caller = call(&receiver);
    caller.write(head("1.0", "").as_bytes());
    caller.write(&body);
    assert_eq!(caller.read().status, 200);
    assert!(caller.is_closed());
    // Who asks first is told to go on before the body is sent.
    let mut caller = call(&receiver);
    caller.write(head("1.1", "expect: 100-continue\r\n").as_bytes());
    assert_eq!(caller.read().status, 100);
    caller.write(&body);
    assert_eq!(caller.read().status, 200);
    // And who wants the connection to end gets that.
    caller.write(head("1.1", "connection: close\r\n").as_bytes());
    caller.write(&body);
    assert_eq!(caller.read().status, 200);
    assert!(caller.is_closed());
}

#[test]
fn a_receiver_that_keeps_no_connections_says_so() {
    let (pipeline, _) = pipeline(8 << 20);
    let receiver = receiver()
        .keep_alives(false)
        .serve(pipeline.intake())
        .unwrap();
    let mut caller = call(&receiver);
    let answered = caller.post(&of_type(PROTOBUF), b"");
    assert_eq!(answered.header("connection"), Some("close"));
    assert!(caller.is_closed());
}

#[test]
fn the_path_can_be_chosen_and_answers_have_the_headers_that_were_set() {
    let (pipeline, _) = pipeline(8 << 20);
    let mut headers = spanwire_transport::headers::Headers::new();
    headers.set("x-node", "a7").unwrap();
    let receiver = receiver()
        .traces_url_path("collect")
        .response_headers(headers)
        .serve(pipeline.intake())
        .unwrap();
    let mut caller = call(&receiver);
    let request =
        "POST /collect HTTP/1.1\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
    caller.write(request.as_bytes());
    let answered = caller.read();
    assert_eq!(
        (answered.status, answered.header("x-node")),
        (200, Some("a7"))
    );
    let answered = caller.post(&of_type(JSON), b"{}");
    assert_eq!(
        (answered.status, answered.header("x-node")),
        (404, Some("a7"))
    );
}

fn tls() -> (ServerTls, String) {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_string()]).unwrap();
    let pem = cert.pem();
    (ServerTls::pem(&pem, signing_key.serialize_pem()), pem)
}

#[test]
fn spans_arrive_under_tls_and_nothing_else_does() {
    let (server, roots) = tls();
    let (pipeline, kept) = pipeline(16 << 20);
    let receiver = receiver().tls(server).serve(pipeline.intake()).unwrap();
    let port = receiver.local_addr().unwrap().port();
    let exporter = HttpExporter::builder()
        .endpoint(format!("https://localhost:{port}"))
        .tls(ClientTls::new().roots_pem(&roots))
        .timeout(LONG)
        .build()
        .unwrap();
    let sent = spans(&record(exporter, 100));
    assert!(spans(&exported(&pipeline, &kept)) == sent);

    // On a machine that is busy a client may have come twice before it was heard.
    let failed = receiver.stats().handshakes_failed;
    let mut plain = call(&receiver);
    plain.write(&posted(&of_type(PROTOBUF), b""));
    assert!(
        plain
            .try_read()
            .is_none_or(|answered| answered.status != 200)
    );
    let begun = Instant::now();
    while receiver.stats().handshakes_failed == failed {
        assert!(begun.elapsed() < LONG, "{:?}", receiver.stats());
        std::thread::sleep(Duration::from_millis(2));
    }

    // HTTP/1.1 is what is agreed upon, also with who would speak HTTP/2 first.
    let mut store = rustls::RootCertStore::empty();
    let pem = rustls::pki_types::CertificateDer::pem_slice(roots.as_bytes());
    store.add(pem).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(store)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let session =
        rustls::ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
    let stream = std::net::TcpStream::connect(receiver.local_addr().unwrap()).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    let mut caller = Caller::over(rustls::StreamOwned::new(session, stream));
    assert_eq!(caller.post(&of_type(PROTOBUF), b"").status, 200);
}

/// Scenario: clients that show a certificate of the authority that the server asks for, none, and one of another.
#[test]
fn under_mutual_tls_whose_certificate_is_known_is_let_in() {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

    let authority = || {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    };
    let issue = |authority: &CertifiedIssuer<'static, KeyPair>| {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".into()]).unwrap();
        let certificate = params.signed_by(&key, authority).unwrap();
        (certificate.pem(), key.serialize_pem())
    };
    let (clients, strangers) = (authority(), authority());
    let (server, roots) = tls();
    let server = server.client_roots_pem(clients.pem());
    for (shown, is_let_in) in [
        (Some(issue(&clients)), true),
        (None, false),
        (Some(issue(&strangers)), false),
    ] {
        let (pipeline, kept) = pipeline(16 << 20);
        let receiver = receiver()
            .tls(server.clone())
            .serve(pipeline.intake())
            .unwrap();
        let port = receiver.local_addr().unwrap().port();
        let mut client = ClientTls::new().roots_pem(&roots);
        if let Some((certificate, key)) = shown {
            client = client.identity_pem(certificate, key);
        }
        let exporter = HttpExporter::builder()
            .endpoint(format!("https://localhost:{port}"))
            .tls(client)
            .timeout(LONG)
            .build()
            .unwrap();
        let own = Pipeline::builder()
            .export_timeout(LONG)
            .exporter(move || exporter.clone())
            .build()
            .unwrap();
        own.tracer("scope").start("sync").end();
        if is_let_in {
            assert!(own.flush(LONG).is_complete());
            assert_eq!(spans(&exported(&pipeline, &kept)).len(), 1);
            assert_eq!(receiver.stats().handshakes_failed, 0);
            continue;
        }
        let begun = Instant::now();
        while receiver.stats().handshakes_failed == 0 {
            drop(own.flush(Duration::from_millis(10)));
            assert!(begun.elapsed() < LONG, "{:?}", receiver.stats());
        }
        drop(own.shutdown(Duration::from_millis(10)));
        let stats = receiver.stats();
        assert_eq!((stats.admitted, stats.bytes), (0, 0));
    }
}

trait PemSlice: Sized {
    fn pem_slice(pem: &[u8]) -> Self;
}

impl PemSlice for rustls::pki_types::CertificateDer<'static> {
    fn pem_slice(pem: &[u8]) -> Self {
        rustls::pki_types::pem::PemObject::from_pem_slice(pem).unwrap()
    }
}

#[cfg(unix)]
#[test]
fn spans_arrive_over_a_unix_domain_socket() {
    let path = std::env::temp_dir().join(format!("spanwire-http-{}.sock", std::process::id()));
    let (pipeline, kept) = pipeline(16 << 20);
    let receiver = receiver()
        .endpoint(format!("unix:{}", path.display()))
        .serve(pipeline.intake())
        .unwrap();
    assert_eq!(receiver.local_addr(), None);
    let exporter = HttpExporter::builder()
        .endpoint(format!("unix:{}", path.display()))
        .timeout(LONG)
        .build()
        .unwrap();
    let sent = spans(&record(exporter, 100));
    assert!(spans(&exported(&pipeline, &kept)) == sent);
    assert!(receiver.stop(LONG).is_complete());
    assert!(!path.exists());
}

/// Scenario: exporters that take, refuse, and never answer.
#[test]
fn an_answer_after_the_export_tells_what_became_of_the_spans() {
    use spanwire_core::exporter::{Exporter, Outcome, Reply};

    struct Sink(Option<Outcome>, Vec<Reply>);

    impl Exporter for Sink {
        fn export(&mut self, _: spanwire_core::batch::Batch, reply: Reply) {
            match &self.0 {
                Some(outcome) => reply.done(outcome.clone()),
                None => self.1.push(reply),
            }
        }
    }

    let text = serde_json::to_vec(&request(3)).unwrap();
    const REFUSED: &str = "a server behind this one refused the spans for good";
    let of_server = |code| Outcome::Rejected {
        code: core::num::NonZeroU8::new(code),
        reason: "no".into(),
    };
    for (outcome, status, says) in [
        (Some(Outcome::Exported), 200, ""),
        (Some(Outcome::rejected("no")), 500, REFUSED),
        (Some(of_server(3)), 400, REFUSED),
        (Some(of_server(16)), 401, REFUSED),
        (Some(of_server(7)), 403, REFUSED),
        (Some(of_server(12)), 404, REFUSED),
        (Some(of_server(8)), 429, REFUSED),
        (Some(of_server(5)), 500, REFUSED),
        (None, 503, "the spans were not exported in time"),
    ] {
        let pipeline = Pipeline::builder()
            .memory_limit(32 << 20)
            .neighbours(8 << 20)
            .schedule_delay(Duration::from_millis(10))
            .exporter(move || Sink(outcome.clone(), Vec::new()))
            .build()
            .unwrap();
        let within = match status {
            503 => Duration::from_millis(200),
            _ => LONG,
        };
        let receiver = receiver()
            .answer_after_export(within)
            .serve(pipeline.intake())
            .unwrap();
        let mut caller = call(&receiver);
        let answered = caller.post(&of_type(JSON), &text);
        assert_eq!(answered.status, status);
        assert!(
            status == 200 || answered.says() == says,
            "{}",
            answered.says()
        );
        // Of nothing there is nothing to wait for.
        assert_eq!(caller.post(&of_type(PROTOBUF), b"").status, 200);
        let stats = receiver.stats();
        assert_eq!((stats.admitted, stats.spans), (2, 3));
        assert_eq!(stats.undelivered, u64::from(status != 200));
    }
}

/// Scenario: a request is half sent when the receiver is told to stop, another connection is idle. Guarantees: the idle one
/// ends, the request is answered, and after it nothing more is taken.
#[test]
fn a_receiver_that_stops_answers_what_is_under_way() {
    let (pipeline, kept) = pipeline(8 << 20);
    let receiver = receiver().serve(pipeline.intake()).unwrap();
    let address = receiver.local_addr().unwrap();
    let (mut busy, mut idle) = (call(&receiver), call(&receiver));
    assert_eq!(idle.post(&of_type(PROTOBUF), b"").status, 200);
    let whole = posted(&of_type(PROTOBUF), &request(5).encode_to_vec());
    let (start, rest) = whole.split_at(whole.len() - 10);
    begun(&pipeline, 2, || busy.write(start));
    let stopped = receiver.stop_async(LONG);
    assert!(idle.is_closed());
    busy.write(rest);
    let answered = busy.read();
    assert_eq!(
        (answered.status, answered.header("connection")),
        (200, Some("close"))
    );
    assert!(busy.is_closed());
    assert!(client::run(stopped).is_complete());
    assert!(std::net::TcpStream::connect(address).is_err());
    assert_eq!(spans(&exported(&pipeline, &kept)).len(), 5);
    assert!(receiver.stats().admitted == 2 && receiver.stats().open == 0);
}

/// Waits until so many connections are there, and then for nothing but what `write` writes to be under way: bytes that were
/// read are not a request yet.
fn begun(pipeline: &Pipeline, connections: usize, write: impl FnOnce()) {
    let account = pipeline.intake().account().unwrap();
    let charged = connections * (HTTP_CONNECTION_BYTES + OVERHEAD);
    eventually("connections are there", || account.in_use() == charged);
    write();
    eventually("it has begun", || account.in_use() > charged);
}

/// Scenario: a request that never ends. Guarantees: the stop ends at its deadline, and says what was cut.
#[test]
fn a_stop_ends_at_its_deadline() {
    let (pipeline, _) = pipeline(8 << 20);
    let receiver = receiver().serve(pipeline.intake()).unwrap();
    let mut caller = call(&receiver);
    let whole = posted(&of_type(PROTOBUF), &request(5).encode_to_vec());
    assert_eq!(caller.post(&of_type(PROTOBUF), b"").status, 200);
    begun(&pipeline, 1, || caller.write(&whole[..whole.len() - 1]));
    // Sooner than the body has stalled: such a one is asked to leave, and would.
    assert_eq!(receiver.stop(BODY_STALL / 10).cut, 1);
    assert!(caller.is_closed());
    // What was cut is counted once it is dropped.
    eventually("it is counted", || receiver.stats().abandoned == 1);
    assert_eq!(receiver.stats().unread_bytes, 1);
}
