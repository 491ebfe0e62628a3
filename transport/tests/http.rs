//! The HTTP exporter against a server of plain sockets: every status end to end, what is sent, and over what.
#![cfg(all(feature = "http", feature = "gzip", feature = "tls"))]

use core::time::Duration;
use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Instant, SystemTime};

use prost::Message;
use spanwire_core::engine::Retry;
use spanwire_core::pipeline::{Pipeline, Report};
use spanwire_core::stats::DropReason;
use spanwire_transport::compression::Compression;
use spanwire_transport::exporter::http::{Encoding, HttpExporter, HttpExporterBuilder};
use spanwire_transport::headers::Headers;
use spanwire_transport::runtime::Runtime;
use spanwire_transport::tls::ClientTls;

use authority::Authority;
use server::{Received, Server, answer, ok, serve};
use waiting::failed;

mod authority;
#[path = "http/proxies.rs"]
mod proxies;
#[path = "http/server.rs"]
mod server;
#[path = "../../core/tests/waiting/mod.rs"]
mod waiting;

/// Long enough for anything that is not to take long, on a machine that has other things to do.
const LONG: Duration = Duration::from_secs(60);

/// Sooner than a pipeline gives up an export, which is after 30 s.
const SOON: Duration = Duration::from_secs(20);

fn pipeline(exporter: HttpExporterBuilder) -> Pipeline {
    let exporter = exporter.build().unwrap();
    let retry = Retry {
        initial: Duration::from_millis(5),
        max: Duration::from_millis(20),
        ..Retry::default()
    };
    Pipeline::builder()
        .service_name("test")
        .memory_limit(16 << 20)
        .retry(retry)
        .exporter(move || exporter.clone())
        .build()
        .unwrap()
}

/// Sends so many spans, and checks that the account adds up.
fn send(pipeline: &Pipeline, spans: usize) -> Report {
    let tracer = pipeline.tracer("scope");
    for n in 0..spans {
        tracer
            .start("span")
            .set_attribute("n", n as i64)
            .set_attribute(
                "text",
                "a text that may well be compressed, compressed, compressed",
            );
    }
    let report = pipeline.flush(LONG);
    assert_eq!(report.own().live(), 0);
    for lane in report.lanes() {
        assert!(lane.account.balances(), "{report:?}");
    }
    report
}

fn wait_until(is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < LONG, "it does not come to pass");
        thread::sleep(Duration::from_millis(5));
    }
}

fn failure(report: &Report) -> String {
    let failure = report.lanes()[0].last_failure.as_ref();
    failure.map(ToString::to_string).unwrap_or_default()
}

#[test]
fn spans_arrive_as_they_were_recorded_in_every_encoding() {
    for (encoding, media_type) in [
        (Encoding::Protobuf, "application/x-protobuf"),
        (Encoding::Json, "application/json"),
    ] {
        for compression in [Compression::None, Compression::Gzip] {
            let server = Server::start(|_, _| Some(ok()));
            let mut headers = Headers::new();
            headers.set("x-tenant", "blue").unwrap();
            let exporter = server
                .exporter()
                .encoding(encoding)
                .compression(compression);
            let pipeline = pipeline(exporter.headers(headers));
            let report = send(&pipeline, 100);
            assert!(report.is_complete(), "{report}");
            let seen = server.seen();
            assert_eq!(seen.iter().map(Received::spans).sum::<usize>(), 100);
            let first = &seen[0];
            assert_eq!(first.line, "POST /v1/traces HTTP/1.1");
            assert_eq!(first.headers["host"], server.address.to_string());
            assert_eq!(first.headers["content-type"], media_type);
            assert_eq!(first.headers["x-tenant"], "blue");
            assert!(first.headers["user-agent"].contains("OTel-OTLP-Exporter-Rust/"));
            let encoded = first.headers.get("content-encoding").map(String::as_str);
            assert_eq!(encoded, compression.encoding());
            let whole = first.request.encoded_len();
            // Also JSON, which is more than twice as long as protobuf, becomes shorter than that.
            assert!(
                encoded.is_none() || first.wire_len < whole,
                "{} of {whole}",
                first.wire_len
            );
            println!(
                "{encoding:?}, {compression:?}: {} bytes of {whole}",
                first.wire_len
            );
            let scope = &first.request.resource_spans[0].scope_spans[0];
            assert_eq!(scope.spans[0].name, "span");
            assert_eq!(scope.spans[0].attributes.len(), 2);
        }
    }
}

#[test]
fn a_connection_is_kept_for_the_next_export() {
    let server = Server::start(|_, _| Some(ok()));
    let pipeline = pipeline(server.exporter());
    for _ in 0..3 {
        assert!(send(&pipeline, 1).is_complete());
        thread::sleep(Duration::from_millis(50));
    }
    let seen = server.seen();
    assert_eq!(seen.len(), 3);
    assert!(seen.iter().all(|one| one.connection == 0), "{seen:?}");
}

/// Scenario: the first answer is a status, every later one is OK.
#[test]
fn every_class_of_status() {
    let json = "content-type: application/json; charset=utf-8\r\n";
    for status in [
        301, 307, 400, 401, 403, 404, 405, 408, 415, 429, 500, 501, 502, 503, 504,
    ] {
        for (kind, body) in [
            (
                "content-type: application/x-protobuf\r\n",
                &b"\x08\x03\x12\x07why not"[..],
            ),
            (json, br#"{"message":"why not","details":[]}"#),
            ("content-type: text/plain\r\n", b"why not"),
        ] {
            let again = [429, 502, 503, 504].contains(&status);
            let headers = format!("{kind}location: /elsewhere\r\n");
            let first = answer(status, &headers, body);
            let server = Server::start(move |number, _| match number {
                0 => Some(first.clone()),
                _ => Some(ok()),
            });
            let report = send(&pipeline(server.exporter()), 10);
            let lane = report.lanes()[0].account;
            let said = failure(&report);
            assert!(
                said.contains(&format!("HTTP status {status}: why not")),
                "{said}"
            );
            if again {
                assert!(report.is_complete(), "{status}: {report:?}");
                assert_eq!((lane.exported, server.seen().len()), (10, 2));
            } else {
                assert_eq!(
                    lane.dropped.get(DropReason::Rejected),
                    10,
                    "{status}: {report:?}"
                );
                assert_eq!(server.seen().len(), 1, "{status}");
            }
        }
    }
}

#[test]
fn retry_after_is_waited_for_in_both_forms() {
    let seconds: fn() -> String = || "1".into();
    // Of a date only whole seconds are told.
    let date: fn() -> String =
        || httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(2));
    for when in [seconds, date] {
        let server = Server::start(move |number, _| match number {
            0 => Some(answer(503, &format!("retry-after: {}\r\n", when()), b"")),
            _ => Some(ok()),
        });
        let start = Instant::now();
        let report = send(&pipeline(server.exporter()), 1);
        assert!(report.is_complete(), "{report:?}");
        assert!(start.elapsed() >= Duration::from_secs(1), "{}", when());
    }
}

#[test]
fn a_partial_success_is_counted_and_never_sent_again() {
    for (kind, body) in [
        ("x-protobuf", &b"\x0a\x05\x08\x03\x12\x01x"[..]),
        (
            "json",
            br#"{"partialSuccess":{"rejectedSpans":"3","errorMessage":"x"}}"#,
        ),
    ] {
        let said = answer(200, &format!("content-type: application/{kind}\r\n"), body);
        let server = Server::start(move |_, _| Some(said.clone()));
        let report = send(&pipeline(server.exporter()), 10);
        let lane = report.lanes()[0].account;
        assert_eq!((lane.exported, lane.dropped.total()), (7, 3), "{report:?}");
        assert_eq!((failure(&report).as_str(), server.seen().len()), ("x", 1));
    }
}

#[test]
fn what_is_too_large_is_split() {
    for encoding in [Encoding::Protobuf, Encoding::Json] {
        let server = Server::start(|_, received| match received.wire_len {
            0..=8000 => Some(ok()),
            _ => Some(answer(413, "", b"")),
        });
        let report = send(&pipeline(server.exporter().encoding(encoding)), 200);
        assert!(report.is_complete(), "{report:?}");
        let seen = server.seen();
        let taken = seen.iter().filter(|one| one.wire_len <= 8000);
        assert_eq!(taken.map(Received::spans).sum::<usize>(), 200);
        assert!(seen.iter().any(|one| one.wire_len > 8000));
    }
}

#[test]
fn a_request_larger_than_the_cap_is_split_before_it_is_sent() {
    for encoding in [Encoding::Protobuf, Encoding::Json] {
        let server = Server::start(|_, _| Some(ok()));
        let exporter = server.exporter().encoding(encoding);
        let report = send(&pipeline(exporter.max_request_bytes(4000)), 100);
        assert!(report.is_complete(), "{report:?}");
        let seen = server.seen();
        assert_eq!(seen.iter().map(Received::spans).sum::<usize>(), 100);
        let lengths: Vec<_> = seen.iter().map(|one| one.wire_len).collect();
        assert!(
            lengths.iter().all(|&len| len <= 4000),
            "{encoding:?}: {lengths:?}"
        );
    }
}

/// Guarantees: whatever stands in the place of an answer, no span is called exported that the server did not take, and
/// nothing hangs.
#[test]
fn odd_answers() {
    let protobuf = "content-type: application/x-protobuf\r\n";
    for (said, exported, why) in [
        (
            answer(200, "", &[0; 70_000]),
            0,
            "the answer is longer than 65536 bytes",
        ),
        (
            answer(200, protobuf, &[0xff; 9]),
            10,
            "the answer is no ExportTraceServiceResponse",
        ),
        (
            answer(200, "content-type: text/html\r\n", b"<p>"),
            10,
            "the answer is no ExportTraceServiceResponse",
        ),
        (answer(404, protobuf, &[0; 70_000]), 0, "HTTP status 404"),
    ] {
        let server = Server::start(move |_, _| Some(said.clone()));
        let report = send(&pipeline(server.exporter()), 10);
        assert_eq!(report.lanes()[0].account.exported, exported, "{report:?}");
        assert!(failure(&report).contains(why), "{report}");
    }
}

/// Scenario: silence, a hang-up, garbage, endless headers, an answer that breaks off; then all is well.
#[test]
fn connections_that_break_are_made_anew() {
    let mut endless = b"HTTP/1.1 200 OK\r\nx: ".to_vec();
    endless.resize(1 << 20, b'x');
    for broken in [
        None,
        Some(Vec::new()),
        Some(b"SSH-2.0-OpenSSH\r\n\r\n".to_vec()),
        Some(endless),
        Some(b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nshort".to_vec()),
    ] {
        let server = Server::start(move |number, _| match number {
            0 => broken.clone(),
            _ => Some(ok()),
        });
        let exporter = server.exporter().timeout(Duration::from_secs(5));
        let start = Instant::now();
        let report = send(&pipeline(exporter), 10);
        assert!(report.is_complete(), "{report:?}");
        assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
        assert_eq!(server.seen().len(), 2, "{report}");
        assert_eq!(report.lanes()[0].account.possibly_duplicated, 10);
    }
}

/// Guarantees: an export that gets no answer ends at the exporter's own timeout, long before the pipeline gives it up, and
/// the next one takes another connection.
#[test]
fn a_server_that_never_answers_costs_one_timeout() {
    let server = Server::start(|number, _| match number {
        0 => None,
        _ => Some(ok()),
    });
    let exporter = server.exporter().timeout(Duration::from_secs(5));
    let start = Instant::now();
    let report = send(&pipeline(exporter), 10);
    assert!(report.is_complete(), "{report:?}");
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
    assert!(failure(&report).contains("no answer in time"), "{report}");
    let connections: Vec<_> = server.seen().iter().map(|one| one.connection).collect();
    assert_eq!(connections, [0, 1]);
    assert_eq!(report.lanes()[0].account.possibly_duplicated, 10);
}

/// Scenario: the server closes a kept connection, and the next request is handed to it before that is noticed.
/// Guarantees: the request goes to another connection at once. It was not sent, so nothing counts as tried again.
#[test]
fn a_request_that_a_closed_connection_did_not_take_goes_to_another() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (made, connections) = mpsc::channel::<TcpStream>();
    let seen = Arc::<Mutex<Vec<Received>>>::default();
    let desk = seen.clone();
    thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let (stream, desk) = (stream.unwrap(), desk.clone());
            made.send(stream.try_clone().unwrap()).unwrap();
            thread::spawn(move || serve(stream, number, &desk, &|_, _| Some(ok())));
        }
    });
    // A thread that runs what it is given before what its sockets have to say, one at a time.
    let host = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .event_interval(1)
        .global_queue_interval(1)
        .build()
        .unwrap();
    let handle = host.handle().clone();
    thread::spawn(move || host.block_on(core::future::pending::<()>()));
    let exporter = HttpExporter::builder().endpoint(url).timeout(LONG);
    let pipeline = pipeline(exporter.runtime(Runtime::of_host(handle.clone())));
    assert!(send(&pipeline, 1).is_complete());

    let (held, is_held) = mpsc::channel();
    let (let_go, wait) = mpsc::channel::<()>();
    handle.spawn(async move {
        held.send(()).unwrap();
        let _ = wait.recv();
    });
    is_held.recv_timeout(LONG).unwrap();
    let kept = connections.recv_timeout(LONG).unwrap();
    kept.shutdown(std::net::Shutdown::Both).unwrap();
    let report = thread::scope(|scope| {
        let sent = scope.spawn(|| send(&pipeline, 1));
        wait_until(|| handle.metrics().global_queue_depth() > 0);
        let_go.send(()).unwrap();
        sent.join().unwrap()
    });
    assert!(report.is_complete(), "{report:?}");
    assert_eq!(failure(&report), "");
    assert_eq!(report.lanes()[0].account.possibly_duplicated, 0);
    let connections: Vec<_> = seen
        .lock()
        .unwrap()
        .iter()
        .map(|one| one.connection)
        .collect();
    assert_eq!(connections, [0, 1]);
}

/// Scenario: the runtime of the host ends while an export waits for its answer.
#[test]
fn an_export_that_its_runtime_leaves_behind_is_made_again() {
    let server = Server::start(|number, _| match number {
        0 => None,
        _ => Some(ok()),
    });
    let host = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let lent = Runtime::of_host(host.handle().clone());
    let pipeline = pipeline(server.exporter().runtime(lent));
    let report = thread::scope(|scope| {
        let sent = scope.spawn(|| send(&pipeline, 10));
        wait_until(|| !server.seen().is_empty());
        host.shutdown_background();
        sent.join().unwrap()
    });
    assert!(report.is_complete(), "{report:?}");
    assert!(failure(&report).contains("cut off: "), "{report}");
    assert_eq!(report.lanes()[0].account.possibly_duplicated, 10);
    assert_eq!(server.seen().len(), 2);
}

#[test]
fn a_server_that_refuses_loses_nothing_before_its_time() {
    // It is bound, and nobody listens.
    let held = tokio::net::TcpSocket::new_v4().unwrap();
    held.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = held.local_addr().unwrap();
    let pipeline = pipeline(HttpExporter::builder().endpoint(format!("http://{address}")));
    pipeline.tracer("scope").start("span").end();
    let report = failed(&pipeline);
    assert_eq!(report.unsettled(), 1, "{report:?}");
    assert!(
        failure(&report).contains("can't connect to http://"),
        "{report}"
    );
    assert_eq!(report.lanes()[0].account.possibly_duplicated, 0);
}

#[test]
fn a_rotated_token_needs_no_restart() {
    let path = std::env::temp_dir().join(format!("spanwire-http-{}-token", std::process::id()));
    std::fs::write(&path, "first\n").unwrap();
    let server = Server::start(|_, _| Some(ok()));
    let mut headers = Headers::new();
    headers
        .set_from_file("authorization", "Bearer ", &path)
        .unwrap();
    let pipeline = pipeline(server.exporter().headers(headers));
    assert!(send(&pipeline, 1).is_complete());
    std::fs::write(&path, "the second\n").unwrap();
    assert!(send(&pipeline, 1).is_complete());
    std::fs::remove_file(&path).unwrap();
    let seen = server.seen();
    assert_eq!(seen[0].headers["authorization"], "Bearer first");
    assert_eq!(seen[1].headers["authorization"], "Bearer the second");
}

/// What a server of this name shows, and the certificate as text.
fn identity(name: &str) -> (Arc<rustls::ServerConfig>, String) {
    let made = rcgen::generate_simple_self_signed(vec![name.into()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    (Arc::new(config), made.cert.pem())
}

#[test]
fn under_tls_a_server_is_trusted_by_its_root_alone() {
    let (config, certificate) = identity("localhost");
    let server = Server::under(move || Some(config.clone()), |_, _| Some(ok()));
    let url = format!("https://localhost:{}", server.address.port());
    let exporter = HttpExporter::builder().endpoint(&url).timeout(LONG);
    let trusting = exporter
        .clone()
        .tls(ClientTls::new().roots_pem(certificate));
    assert!(send(&pipeline(trusting), 10).is_complete());
    assert_eq!(server.seen()[0].spans(), 10);
    let other = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let pipeline = pipeline(exporter.tls(ClientTls::new().roots_pem(other.cert.pem())));
    pipeline.tracer("scope").start("span").end();
    let report = failed(&pipeline);
    assert!(failure(&report).contains("tls: "), "{report}");
    assert_eq!(server.seen().len(), 1);
}

/// Scenario: the server asks for a certificate, and both it and the roots are renewed in their files.
#[test]
fn a_client_certificate_and_its_renewal() {
    let (old, new) = (Authority::new(), Authority::new());
    let name = format!("spanwire-http-{}-identity", std::process::id());
    let files =
        ["ca", "crt", "key"].map(|kind| std::env::temp_dir().join(&name).with_extension(kind));
    let write = |authority: &Authority| {
        let (chain, key) = authority.issue("agent");
        for (file, pem) in files.iter().zip([authority.pem(), chain, key]) {
            std::fs::write(file, pem).unwrap();
        }
    };
    write(&old);
    let shown = Arc::new(Mutex::new(old.server("localhost", Some(&old), "http/1.1")));
    let shows = shown.clone();
    // A connection for each request, as behind a server that restarts.
    let close = || answer(200, "connection: close\r\n", b"");
    let server = Server::under(
        move || Some(shows.lock().unwrap().clone()),
        move |_, _| Some(close()),
    );
    let url = format!("https://localhost:{}", server.address.port());
    let exporter = HttpExporter::builder().endpoint(&url).timeout(LONG);
    let without = exporter.clone().tls(ClientTls::new().roots_pem(old.pem()));
    let tls = ClientTls::new()
        .roots_file(&files[0])
        .identity_files(&files[1], &files[2]);
    let renewed = pipeline(exporter.tls(tls));
    assert!(send(&renewed, 10).is_complete());
    assert_eq!(server.seen().len(), 1);

    let without = pipeline(without);
    without.tracer("scope").start("span").end();
    let report = failed(&without);
    assert_eq!(
        report.unsettled(),
        1,
        "a client without a certificate: {report:?}"
    );
    assert_eq!(server.seen().len(), 1);

    *shown.lock().unwrap() = new.server("localhost", Some(&new), "http/1.1");
    renewed.tracer("scope").start("span").end();
    let report = failed(&renewed);
    assert_eq!(report.unsettled(), 1, "{report:?}");
    assert!(
        failure(&report).contains("invalid peer certificate"),
        "{report}"
    );
    write(&new);
    let report = renewed.flush(LONG);
    assert!(report.is_complete(), "{report:?}");
    assert_eq!(server.seen().len(), 2);
    assert_eq!(server.seen()[1].spans(), 1);
    for file in files {
        std::fs::remove_file(file).unwrap();
    }
}

#[test]
fn four_exports_are_under_way_at_once() {
    let (now, most) = (AtomicUsize::new(0), Arc::<AtomicUsize>::default());
    let told = most.clone();
    let server = Server::start(move |_, _| {
        told.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        // The first ones wait for the fourth, and a fifth has time to come.
        wait_until(|| told.load(Ordering::SeqCst) >= 4);
        thread::sleep(Duration::from_millis(300));
        now.fetch_sub(1, Ordering::SeqCst);
        Some(ok())
    });
    let exporter = server.exporter().build().unwrap();
    let pipeline = Pipeline::builder()
        .memory_limit(8 << 20)
        .max_export_batch_size(10)
        .exporter(move || exporter.clone())
        .build()
        .unwrap();
    assert!(send(&pipeline, 80).is_complete());
    assert_eq!(most.load(Ordering::SeqCst), 4);
    let connections: HashSet<usize> = server.seen().iter().map(|one| one.connection).collect();
    assert_eq!(connections.len(), 4, "connections are kept");
}

#[cfg(unix)]
#[test]
fn a_unix_domain_socket_is_an_endpoint() {
    let path = std::env::temp_dir().join(format!("spanwire-http-{}.sock", std::process::id()));
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let seen = Arc::<Mutex<Vec<Received>>>::default();
    let desk = seen.clone();
    thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        serve(stream, 0, &desk, &|_, _| Some(ok()));
    });
    let endpoint = format!("unix:{}", path.display());
    let exporter = HttpExporter::builder().endpoint(endpoint).timeout(LONG);
    let report = send(&pipeline(exporter), 10);
    std::fs::remove_file(&path).unwrap();
    assert!(report.is_complete(), "{report:?}");
    let seen = seen.lock().unwrap();
    assert_eq!(seen[0].line, "POST /v1/traces HTTP/1.1");
    assert_eq!(
        (seen[0].spans(), &*seen[0].headers["host"]),
        (10, "localhost")
    );
}

/// Scenario: a server that knows from the head that a request is too long says so, and reads no body. As Go's does, it
/// leaves its answer time to arrive before it hangs up.
#[test]
fn an_answer_that_comes_before_the_body_is_read_splits_the_batch() {
    const MOST: usize = 300_000;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let lengths = Arc::<Mutex<Vec<usize>>>::default();
    let desk = lengths.clone();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, desk) = (BufReader::new(stream.unwrap()), desk.clone());
            thread::spawn(move || {
                loop {
                    let mut length = 0;
                    loop {
                        let mut line = String::new();
                        match stream.read_line(&mut line) {
                            Ok(0) | Err(_) => return,
                            Ok(_) if line == "\r\n" => break,
                            Ok(_) => {}
                        }
                        if let Some(value) = line.strip_prefix("content-length: ") {
                            length = value.trim_end().parse().unwrap();
                        }
                    }
                    desk.lock().unwrap().push(length);
                    if length > MOST {
                        let said = answer(413, "connection: close\r\n", b"");
                        stream.get_mut().write_all(&said).unwrap();
                        stream
                            .get_mut()
                            .shutdown(std::net::Shutdown::Write)
                            .unwrap();
                        // A client that has heard it hangs up first.
                        thread::sleep(LONG);
                        return;
                    }
                    let mut body = vec![0; length];
                    stream.read_exact(&mut body).unwrap();
                    stream.get_mut().write_all(&ok()).unwrap();
                }
            });
        }
    });
    let exporter = HttpExporter::builder().endpoint(format!("http://{address}"));
    let pipeline = pipeline(exporter.timeout(LONG));
    let tracer = pipeline.tracer("scope");
    let text = "x".repeat(1000);
    for _ in 0..900 {
        let mut span = tracer.start("span");
        span.set_attribute("text", &*text);
        span.end();
    }
    let report = pipeline.shutdown(LONG);
    assert!(report.is_complete(), "{report}");
    let account = report.lanes()[0].account;
    assert_eq!((account.exported, account.possibly_duplicated), (900, 0));
    let lengths = lengths.lock().unwrap();
    assert!(lengths.iter().any(|&length| length > MOST), "{lengths:?}");
}
