//! The gRPC exporter against a real server: every status end to end, what is sent, and over what.
#![cfg(feature = "grpc")]

use core::time::Duration;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use server::{Answer, Server, refusing};
use spanwire_core::batch::{Batch, Head, Segment};
use spanwire_core::clock::{Moment, SystemClock};
use spanwire_core::engine::Retry;
use spanwire_core::exporter::{Exporter, Outcome, Provisions, Receipt, Ticket};
use spanwire_core::limiter::{Door, MemoryLimiter};
use spanwire_core::pipeline::{Pipeline, Report};
use spanwire_core::stats::DropReason;
use spanwire_transport::compression::Compression;
use spanwire_transport::exporter::grpc::{GrpcExporter, GrpcExporterBuilder, InvalidGrpcExporter};
use spanwire_transport::headers::Headers;
use spanwire_transport::otlp::grpc::Code;
use spanwire_transport::runtime::Runtime;
use tokio::sync::Semaphore;
use waiting::eventually;

mod server;
#[path = "../../core/tests/waiting/mod.rs"]
mod waiting;

/// Long enough for anything that is not to take long, on a machine that has other things to do.
const LONG: Duration = Duration::from_secs(60);

fn exporter(server: &Server) -> GrpcExporterBuilder {
    GrpcExporter::builder().endpoint(server.url()).timeout(LONG)
}

/// A pipeline that tries again soon.
fn pipeline(exporter: GrpcExporterBuilder) -> Pipeline {
    pipeline_within(8 << 20, exporter)
}

fn pipeline_within(memory: usize, exporter: GrpcExporterBuilder) -> Pipeline {
    let exporter = exporter.build().unwrap();
    let retry = Retry {
        initial: Duration::from_millis(5),
        max: Duration::from_millis(20),
        ..Retry::default()
    };
    Pipeline::builder()
        .service_name("test")
        .memory_limit(memory)
        .retry(retry)
        .exporter(move || exporter.clone())
        .build()
        .unwrap()
}

fn record(pipeline: &Pipeline, spans: usize) {
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
}

/// Sends so many spans, and checks that the account adds up.
fn send(pipeline: &Pipeline, spans: usize) -> Report {
    record(pipeline, spans);
    checked(pipeline.flush(LONG))
}

fn checked(report: Report) -> Report {
    assert_eq!(report.own().live(), 0);
    for lane in report.lanes() {
        assert!(lane.account.balances(), "{report:?}");
        assert_eq!(
            lane.account.admitted + report.stranded(),
            report.own().admitted
        );
    }
    report
}

/// The report once an attempt has failed.
fn failed(pipeline: &Pipeline) -> Report {
    checked(waiting::failed(pipeline))
}

fn failure(report: &Report) -> String {
    report.lanes()[0]
        .last_failure
        .as_ref()
        .map(ToString::to_string)
        .unwrap_or_default()
}

/// "busy", code 14, 30 ms.
fn retry_info() -> Vec<u8> {
    let mut details =
        b"\x1a\x33\x0a\x28type.googleapis.com/google.rpc.RetryInfo\x12\x07\x0a\x05\x10".to_vec();
    details.extend_from_slice(&[0x80, 0x87, 0xa7, 0x0e]);
    details
}

#[test]
fn spans_arrive_as_they_were_recorded() {
    let server = Server::start(|_, _| Answer::ok());
    let pipeline = pipeline(exporter(&server));
    let report = send(&pipeline, 100);
    assert!(report.is_complete(), "{report}");
    assert_eq!(server.spans(), 100);
    let seen = server.seen();
    let request = &seen[0];
    assert_eq!(
        request.path,
        "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
    );
    assert_eq!(request.scheme.as_deref(), Some("http"));
    assert_eq!(request.authority, Some(server.address.to_string()));
    assert_eq!(request.headers["content-type"], "application/grpc");
    assert_eq!(request.headers["te"], "trailers");
    assert!(request.headers["user-agent"].contains("OTel-OTLP-Exporter-Rust/"));
    assert!(request.headers["grpc-timeout"].ends_with('m'));
    let resource = request.request.resource_spans[0].resource.as_ref().unwrap();
    assert!(
        resource
            .attributes
            .iter()
            .any(|attribute| attribute.key == "service.name")
    );
    let scope = &request.request.resource_spans[0].scope_spans[0];
    assert_eq!(scope.scope.as_ref().unwrap().name, "scope");
    assert_eq!(scope.spans[0].name, "span");
    assert!(pipeline.shutdown(LONG).is_complete());
}

/// Scenario: the first answer is a status, every later one is OK.
/// Guarantees: what may be sent again is, and arrives; what may not is counted as rejected, with the status named.
#[test]
fn sixteen_statuses_with_and_without_retry_info() {
    for code in Code::ALL {
        for details in [Vec::new(), retry_info()] {
            for trailers in [false, true] {
                let again =
                    code.is_retryable() || (code == Code::ResourceExhausted && !details.is_empty());
                let answer = match Answer::status(code as i32, "why not", &details) {
                    Answer::Status(status) if trailers => Answer::Trailers(status),
                    answer => answer,
                };
                let server = Server::start(move |number, _| match number {
                    0 => answer.clone(),
                    _ => Answer::ok(),
                });
                let pipeline = pipeline(exporter(&server));
                let start = Instant::now();
                let report = send(&pipeline, 10);
                let lane = report.lanes()[0].account;
                let said = failure(&report);
                assert!(
                    said.contains(code.as_str()) && said.contains("why not"),
                    "{said}"
                );
                if again {
                    assert!(report.is_complete(), "{code}: {report:?}");
                    assert_eq!((lane.exported, server.seen().len()), (10, 2), "{code}");
                    if !details.is_empty() {
                        assert!(start.elapsed() >= Duration::from_millis(30), "{code}");
                    }
                } else {
                    assert!(!report.is_complete(), "{code}: {report:?}");
                    assert_eq!(
                        lane.dropped.get(DropReason::Rejected),
                        10,
                        "{code}: {report:?}"
                    );
                    assert_eq!(server.seen().len(), 1, "{code}");
                }
                let _ = checked(pipeline.shutdown(LONG));
            }
        }
    }
}

#[test]
fn a_partial_success_is_counted_and_never_sent_again() {
    let server = Server::start(|_, _| Answer::Message(vec![0x0a, 5, 8, 3, 0x12, 1, b'x']));
    let pipeline = pipeline(exporter(&server));
    let report = send(&pipeline, 10);
    let lane = report.lanes()[0].account;
    assert_eq!((lane.exported, lane.dropped.total()), (7, 3), "{report:?}");
    assert!(!report.is_complete());
    assert_eq!(failure(&report), "x");
    assert_eq!(server.seen().len(), 1);
    // A warning loses nothing.
    let server = Server::start(|_, _| Answer::Message(vec![0x0a, 3, 0x12, 1, b'w']));
    let pipeline = self::pipeline(exporter(&server));
    let report = send(&pipeline, 10);
    assert!(
        report.is_complete() && failure(&report).ends_with('w'),
        "{report}"
    );
}

/// Guarantees: whatever stands in the place of an answer, no span is called exported that the server did not take, and
/// nothing hangs.
#[test]
fn odd_answers() {
    for (answer, exported, said) in [
        (Answer::Bare, 0, "UNKNOWN: the answer has no status"),
        (Answer::Http(404), 0, "UNIMPLEMENTED: HTTP status 404"),
        (Answer::Http(401), 0, "UNAUTHENTICATED: HTTP status 401"),
        (Answer::Http(500), 0, "UNKNOWN: HTTP status 500"),
        (
            Answer::Message(vec![0xff; 10]),
            10,
            "the answer is no ExportTraceServiceResponse",
        ),
        (
            Answer::Message(vec![0; 70_000]),
            0,
            "the answer is longer than 65536 bytes",
        ),
        (
            Answer::Trailers(tonic::Status::new(tonic::Code::Ok, "")),
            10,
            "the answer has no message",
        ),
    ] {
        let server = Server::start(move |_, _| answer.clone());
        let pipeline = pipeline(exporter(&server));
        let report = send(&pipeline, 10);
        assert_eq!(
            report.lanes()[0].account.exported,
            exported,
            "{said}: {report:?}"
        );
        assert!(failure(&report).contains(said), "{report}");
        let _ = checked(pipeline.shutdown(LONG));
    }
}

#[test]
fn connections_that_break_are_made_anew() {
    for broken in [Answer::Cut, Answer::Reset, Answer::Http(503)] {
        let server = Server::start(move |number, _| match number {
            0..=2 => broken.clone(),
            _ => Answer::ok(),
        });
        let pipeline = pipeline(exporter(&server));
        let report = send(&pipeline, 10);
        assert!(report.is_complete(), "{report:?}");
        assert_eq!(server.seen().len(), 4);
        let _ = checked(pipeline.shutdown(LONG));
    }
}

#[test]
fn a_server_that_comes_late_gets_everything() {
    let address = refusing();
    let exporter = GrpcExporter::builder().endpoint(format!("http://{address}"));
    let pipeline = pipeline(exporter);
    record(&pipeline, 10);
    let report = failed(&pipeline);
    assert!(
        !report.is_complete() && report.unsettled() == 10,
        "{report:?}"
    );
    let said = failure(&report);
    assert!(
        said.contains(&format!("can't connect to http://{address}/")),
        "{said}"
    );
    let server = Server::listen(&address.to_string(), |_, _| Answer::ok(), None);
    let report = checked(pipeline.flush(LONG));
    assert!(report.is_complete(), "{report:?}");
    assert_eq!(server.spans(), 10);
    // Nothing was sent before, so nothing may have been stored twice.
    assert_eq!(report.lanes()[0].account.possibly_duplicated, 0);
}

/// Guarantees: an export that gets no answer ends at its timeout, and the next one takes another connection.
#[test]
fn a_server_that_never_answers_costs_one_timeout() {
    let server = Server::start(|number, _| match number {
        0 => Answer::Nothing,
        _ => Answer::ok(),
    });
    let pipeline = pipeline(exporter(&server).timeout(Duration::from_millis(200)));
    let report = send(&pipeline, 10);
    assert!(report.is_complete(), "{report:?}");
    assert!(failure(&report).contains("no answer in time"), "{report}");
    assert!(server.seen().len() >= 2);
    let lane = report.lanes()[0].account;
    assert!(lane.possibly_duplicated >= 10, "{lane:?}");
}

/// Guarantees: an export also ends when the pipeline has waited long enough, whatever the exporter's own timeout is, and
/// gives its slot back.
#[test]
fn the_deadline_of_the_pipeline_ends_an_export() {
    let server = Server::start(|number, _| match number {
        0..=3 => Answer::Nothing,
        _ => Answer::ok(),
    });
    let exporter = exporter(&server).build().unwrap();
    let pipeline = Pipeline::builder()
        .memory_limit(8 << 20)
        .export_timeout(Duration::from_millis(200))
        .retry(Retry {
            initial: Duration::from_millis(5),
            max: Duration::from_millis(20),
            ..Retry::default()
        })
        .exporter(move || exporter.clone())
        .build()
        .unwrap();
    let report = send(&pipeline, 10);
    assert!(report.is_complete(), "{report:?}");
    assert_eq!(report.lanes()[0].account.exported, 10);
    assert!(server.seen().len() > 4);
}

/// Scenario: the server vanishes behind a connection that stands.
/// Guarantees: with keep-alive that is noticed long before the timeout of an export.
#[test]
fn keepalive_notices_a_server_that_has_vanished() {
    let server = Server::start(|number, _| match number {
        0 => Answer::Freeze,
        _ => Answer::ok(),
    });
    let alive = Duration::from_millis(100);
    let pipeline = pipeline(exporter(&server).keepalive(alive, alive));
    let start = Instant::now();
    let report = send(&pipeline, 10);
    assert!(report.is_complete(), "{report:?}");
    assert!(start.elapsed() < LONG / 2, "{:?}", start.elapsed());
    assert!(failure(&report).contains("keep-alive"), "{report}");
}

/// Scenario: the server takes 4 KiB at most, and says so as C++ does.
#[test]
fn what_is_too_large_is_split() {
    let server = Server::start(|_, received| match received.wire_len {
        0..=4096 => Answer::ok(),
        len => Answer::status(
            8,
            &format!("Received message larger than max ({len} vs. 4096)"),
            &[],
        ),
    });
    let pipeline = pipeline(exporter(&server));
    let report = send(&pipeline, 200);
    assert!(report.is_complete(), "{report:?}");
    let taken = server.seen();
    let taken: usize = taken
        .iter()
        .filter(|one| one.wire_len <= 4096)
        .map(server::Received::spans)
        .sum();
    assert_eq!(taken, 200);
}

#[test]
fn a_request_larger_than_the_cap_is_split_before_it_is_sent() {
    let server = Server::start(|_, _| Answer::ok());
    let pipeline = pipeline(exporter(&server).max_request_bytes(2000));
    let report = send(&pipeline, 100);
    assert!(report.is_complete(), "{report:?}");
    assert_eq!(server.spans(), 100);
    assert!(server.seen().iter().all(|one| one.len <= 2000));
}

#[test]
fn four_exports_are_under_way_at_once() {
    let gate = Arc::new(Semaphore::new(0));
    let held = gate.clone();
    let server = Server::start(move |_, _| Answer::Once(held.clone(), Box::new(Answer::ok())));
    let exporter = exporter(&server).build().unwrap();
    let pipeline = Pipeline::builder()
        .memory_limit(8 << 20)
        .max_export_batch_size(10)
        .exporter(move || exporter.clone())
        .build()
        .unwrap();
    record(&pipeline, 60);
    let call = pipeline.flush_async(LONG);
    eventually("four exports", || server.seen().len() >= 4);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(server.seen().len(), 4, "the fifth waits for a slot");
    gate.close();
    assert!(server::block_on(call).is_complete());
    assert_eq!(server.spans(), 60);
}

/// A path in a place for such, gone when dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let name = format!("spanwire-grpc-{}-{name}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Scenario: a token is rotated while the exporter runs, as a mounted secret is.
#[test]
fn headers_arrive_and_a_rotated_token_needs_no_restart() {
    let token = Scratch::new("token");
    let valid = Arc::new(Mutex::new("Bearer one".to_string()));
    let known = valid.clone();
    let server = Server::start(move |_, received| {
        let known = known.lock().unwrap();
        match received.headers.get("authorization") {
            Some(shown) if *shown == *known => Answer::ok(),
            _ => Answer::status(16, "who are you", &[]),
        }
    });
    let mut headers = Headers::new();
    headers.set("X-Tenant", "blue").unwrap();
    headers
        .set_from_file("authorization", "Bearer ", &token.0)
        .unwrap();
    let builder = exporter(&server)
        .headers(headers)
        .user_agent("node-agent/1.2");
    let shown = format!("{builder:?} {:?}", builder.clone().build().unwrap());
    assert!(!shown.contains("blue"), "{shown}");
    let pipeline = pipeline(builder);
    // The token is not there yet: nothing is sent, nothing is lost.
    record(&pipeline, 10);
    let report = failed(&pipeline);
    assert_eq!(
        (report.unsettled(), server.seen().len()),
        (10, 0),
        "{report:?}"
    );
    assert!(
        failure(&report).contains("header 'authorization' can't be read"),
        "{report}"
    );
    std::fs::write(&token.0, "one\n").unwrap();
    assert!(checked(pipeline.flush(LONG)).is_complete());
    let seen = server.seen();
    assert_eq!(seen[0].headers["x-tenant"], "blue");
    assert!(seen[0].headers["user-agent"].starts_with("node-agent/1.2 Spanwire/"));

    *valid.lock().unwrap() = "Bearer two".into();
    let next = Scratch::new("token-next");
    std::fs::write(&next.0, "two\n").unwrap();
    std::fs::rename(&next.0, &token.0).unwrap();
    let report = send(&pipeline, 10);
    assert!(report.is_complete(), "{report:?}");
    assert_eq!(report.lanes()[0].account.exported, 20);

    // And with the wrong one, no word of it.
    *valid.lock().unwrap() = "Bearer three".into();
    let report = send(&pipeline, 10);
    assert_eq!(report.lost(), 10);
    let shown = format!("{report} {report:?}");
    assert!(
        shown.contains("UNAUTHENTICATED: who are you") && !shown.contains("Bearer"),
        "{shown}"
    );
}

#[cfg(unix)]
#[test]
fn over_a_unix_domain_socket() {
    let path = Scratch::new("socket");
    let listener = std::os::unix::net::UnixListener::bind(&path.0).unwrap();
    let server = Server::on_socket(listener, |_, _| Answer::ok());
    for endpoint in [
        format!("unix:{}", path.0.display()),
        format!("unix://{}", path.0.display()),
    ] {
        let before = server.spans();
        let pipeline = pipeline(GrpcExporter::builder().endpoint(endpoint));
        assert!(send(&pipeline, 10).is_complete());
        assert_eq!(server.spans(), before + 10);
    }
    assert_eq!(server.seen()[0].authority.as_deref(), Some("localhost"));
}

#[cfg(target_os = "linux")]
#[test]
fn over_an_abstract_socket() {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixListener};
    let name = format!("spanwire-grpc-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let server = Server::on_socket(UnixListener::bind_addr(&address).unwrap(), |_, _| {
        Answer::ok()
    });
    let pipeline = pipeline(GrpcExporter::builder().endpoint(format!("unix-abstract:{name}")));
    assert!(send(&pipeline, 10).is_complete());
    assert_eq!(server.spans(), 10);
}

#[cfg(any(feature = "gzip", feature = "zstd"))]
#[test]
fn compressed() {
    for (compression, name) in [
        #[cfg(feature = "gzip")]
        (Compression::Gzip, "gzip"),
        #[cfg(feature = "zstd")]
        (Compression::Zstd, "zstd"),
    ] {
        let server = Server::start(|_, _| Answer::ok());
        // Where a round leaves in several requests, as it may, the reserve has room for all their compressors.
        let pipeline = pipeline_within(64 << 20, exporter(&server).compression(compression));
        for round in 1..=20 {
            let report = send(&pipeline, 500);
            assert!(report.is_complete(), "{report:?}");
            assert_eq!(server.spans(), round * 500);
        }
        let seen = server.seen();
        for one in &seen {
            assert!(
                one.compressed && one.wire_len < one.len * 2 / 3,
                "{} of {}",
                one.wire_len,
                one.len
            );
            assert_eq!(one.headers["grpc-encoding"], name);
        }
        let memory = pipeline.stats().memory.unwrap();
        assert!(memory.reserve.high_water > 0);
        assert!(memory.high_water <= memory.budget);
    }
}

/// Guarantees: a host whose runtime has one thread goes on with its own work while a large batch is compressed.
#[cfg(feature = "gzip")]
#[test]
fn compressing_holds_up_nothing_else_on_its_runtime() {
    let mut batch = Batch::new();
    for n in 0..64_u64 {
        // A link's trace state is any text.
        let text: String = (0..5000)
            .map(|m| format!("{:016x} ", n * 7919 + m * m))
            .collect();
        let len = |bytes: usize| {
            [
                bytes as u8 | 0x80,
                (bytes >> 7) as u8 | 0x80,
                (bytes >> 14) as u8,
            ]
        };
        let mut body = text.into_bytes();
        for tag in [0x1a, 0x12, 0x12] {
            body = [&[tag][..], &len(body.len()), &body].concat();
        }
        let moment = Moment::from_nanos(0);
        batch.push(Segment::new(
            Head::default(),
            body.into(),
            1,
            moment,
            Door::Own,
        ));
    }
    // A busy machine may hold up the runtime too, but not every time for as long as all of the work takes.
    let promptly = (0..5).any(|_| {
        let (longest, took) = longest_wait_beside(batch.clone());
        longest < took / 2
    });
    assert!(
        promptly,
        "its runtime stood still while a batch was compressed"
    );
}

/// How long a task of the host's runtime waits for its turn at most, while that runtime exports a compressed batch; and
/// how long that takes.
fn longest_wait_beside(batch: Batch) -> (Duration, Duration) {
    let server = Server::start(|_, _| Answer::ok());
    let host = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let settings = exporter(&server).compression(Compression::Gzip);
    let mut exporter = settings
        .runtime(Runtime::of_host(host.handle().clone()))
        .build()
        .unwrap();
    let limiter = MemoryLimiter::builder(64 << 20).build().unwrap();
    exporter.begin(&Provisions::new(Arc::new(SystemClock::new()), limiter));
    let done = Arc::<AtomicBool>::default();
    let until = done.clone();
    let ticker = host.spawn(async move {
        let mut longest = Duration::ZERO;
        while !until.load(Ordering::Relaxed) {
            let then = Instant::now();
            tokio::time::sleep(Duration::from_millis(1)).await;
            longest = longest.max(then.elapsed());
        }
        longest
    });
    let begun = Instant::now();
    let waker = std::task::Waker::noop().clone();
    let (receipt, reply) = Receipt::new(Ticket::from_number(1), None, waker);
    exporter.export(batch, reply);
    while receipt.answer().is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    let took = begun.elapsed();
    done.store(true, Ordering::Relaxed);
    let longest = host.block_on(ticker).unwrap();
    assert_eq!(receipt.answer(), Some(Outcome::Exported));
    assert!(server.seen()[0].compressed);
    (longest, took)
}

#[cfg(feature = "tls")]
mod tls {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use rustls::server::WebPkiClientVerifier;
    use rustls::{RootCertStore, ServerConfig};
    use spanwire_transport::diagnostics::Chain;
    use spanwire_transport::tls::ClientTls;

    use super::*;

    struct Authority(CertifiedIssuer<'static, KeyPair>);

    impl Authority {
        fn new() -> Self {
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let key = KeyPair::generate().unwrap();
            Self(CertifiedIssuer::self_signed(params, key).unwrap())
        }

        fn pem(&self) -> String {
            self.0.pem()
        }

        /// A certificate for a name, and its key.
        fn issue(&self, name: &str) -> (String, String) {
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new(vec![name.to_string()]).unwrap();
            let certificate = params.signed_by(&key, &self.0).unwrap();
            (certificate.pem(), key.serialize_pem())
        }

        fn server(&self, name: &str, clients: Option<&Self>) -> Arc<ServerConfig> {
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let builder = ServerConfig::builder_with_provider(provider.clone())
                .with_safe_default_protocol_versions()
                .unwrap();
            let builder = match clients {
                None => builder.with_no_client_auth(),
                Some(authority) => {
                    let mut roots = RootCertStore::empty();
                    roots.add(authority.0.der().clone()).unwrap();
                    let verifier =
                        WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
                    builder.with_client_cert_verifier(verifier.build().unwrap())
                }
            };
            let (chain, key) = self.issue(name);
            let chain = vec![CertificateDer::from_pem_slice(chain.as_bytes()).unwrap()];
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
            let mut config = builder.with_single_cert(chain, key).unwrap();
            config.alpn_protocols = vec![b"h2".to_vec()];
            Arc::new(config)
        }
    }

    fn serve(at: &str, config: Arc<ServerConfig>) -> (Server, String) {
        let server = Server::listen(at, |_, _| Answer::ok(), Some(config));
        let url = format!("https://localhost:{}", server.address.port());
        (server, url)
    }

    /// Tries in vain.
    fn fail(builder: GrpcExporterBuilder) -> Report {
        let pipeline = pipeline(builder);
        record(&pipeline, 10);
        failed(&pipeline)
    }

    #[test]
    fn a_server_that_is_trusted_and_ones_that_are_not() {
        let (ours, other) = (Authority::new(), Authority::new());
        let (server, url) = serve("127.0.0.1:0", ours.server("localhost", None));
        let with = |pem| {
            GrpcExporter::builder()
                .endpoint(&*url)
                .tls(ClientTls::new().roots_pem(pem))
        };
        let pipeline = pipeline(with(ours.pem()));
        let report = send(&pipeline, 10);
        assert!(report.is_complete(), "{report:?}");
        assert_eq!(server.seen()[0].scheme.as_deref(), Some("https"));
        // Without a scheme, it is TLS too.
        let bare = format!("localhost:{}", server.address.port());
        let tls = ClientTls::new().roots_pem(ours.pem());
        let report = send(
            &self::pipeline(GrpcExporter::builder().endpoint(bare).tls(tls)),
            10,
        );
        assert!(report.is_complete(), "{report:?}");

        let report = fail(with(other.pem()));
        assert_eq!(report.unsettled(), 10);
        assert!(
            failure(&report).contains("invalid peer certificate"),
            "{report}"
        );
        // Another name than the certificate is for.
        let tls = ClientTls::new()
            .roots_pem(ours.pem())
            .server_name("other.example");
        let report = fail(GrpcExporter::builder().endpoint(&*url).tls(tls));
        assert!(failure(&report).contains("not valid for name"), "{report}");
        // TLS spoken to one who does not, and the reverse.
        let plain = Server::start(|_, _| Answer::ok());
        let report = fail(
            GrpcExporter::builder()
                .endpoint(format!("https://localhost:{}", plain.address.port()))
                .tls(ClientTls::new().roots_pem(ours.pem())),
        );
        assert_eq!(report.unsettled(), 10, "{report:?}");
        let report = fail(GrpcExporter::builder().endpoint(format!("http://{}", server.address)));
        assert_eq!(report.unsettled(), 10, "{report:?}");
    }

    /// Scenario: the server asks for a certificate, and both it and the roots are renewed in their files.
    #[test]
    fn a_client_certificate_and_its_renewal() {
        let (old, new) = (Authority::new(), Authority::new());
        let files = ["ca", "crt", "key"].map(Scratch::new);
        let write = |authority: &Authority| {
            let (chain, key) = authority.issue("agent");
            let pems = [authority.pem(), chain, key];
            for (file, pem) in files.iter().zip(pems) {
                std::fs::write(&file.0, pem).unwrap();
            }
        };
        write(&old);
        // The address stays taken while there is no server.
        let address = refusing();
        let at = address.to_string();
        let (server, url) = serve(&at, old.server("localhost", Some(&old)));
        let tls = ClientTls::new()
            .roots_file(&files[0].0)
            .identity_files(&files[1].0, &files[2].0);
        let pipeline = pipeline(GrpcExporter::builder().endpoint(&*url).tls(tls));
        assert!(send(&pipeline, 10).is_complete());
        let report = fail(
            GrpcExporter::builder()
                .endpoint(&*url)
                .tls(ClientTls::new().roots_pem(old.pem())),
        );
        assert_eq!(
            report.unsettled(),
            10,
            "a client without a certificate: {report:?}"
        );

        drop(server);
        let server = retry_listen(&at, &new.server("localhost", Some(&new)));
        record(&pipeline, 10);
        let report = failed(&pipeline);
        assert_eq!(report.unsettled(), 10, "{report:?}");
        write(&new);
        let report = checked(pipeline.flush(LONG));
        assert!(report.is_complete(), "{report:?}");
        assert_eq!(server.spans(), 10);
    }

    /// The port may be in use for a moment after the server before is gone.
    fn retry_listen(address: &str, config: &Arc<ServerConfig>) -> Server {
        let start = Instant::now();
        loop {
            if std::net::TcpListener::bind(address).is_ok() {
                return Server::listen(address, |_, _| Answer::ok(), Some(config.clone()));
            }
            assert!(start.elapsed() < LONG);
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn bad_settings_are_named_and_not_shown() {
        let junk = Scratch::new("junk");
        std::fs::write(&junk.0, "s3cret").unwrap();
        let authority = Authority::new();
        let (chain, key) = authority.issue("agent");
        let (_, other) = authority.issue("agent");
        let missing = Scratch::new("missing");
        for (tls, said) in [
            (ClientTls::new().roots_file(&missing.0), "missing"),
            (ClientTls::new().roots_file(&junk.0), "junk"),
            (
                ClientTls::new().roots_pem("s3cret"),
                "trusted roots: no certificate in it",
            ),
            (
                ClientTls::new().identity_files(&junk.0, &junk.0),
                "client certificate",
            ),
            (
                ClientTls::new().identity_pem(&chain, "s3cret"),
                "client key",
            ),
            (
                ClientTls::new().identity_pem(&chain, &other),
                "client certificate and key",
            ),
            (ClientTls::new().server_name("a b"), "server name 'a b'"),
        ] {
            let built = GrpcExporter::builder()
                .endpoint("https://localhost:1")
                .tls(tls.clone())
                .build();
            let error = Chain(&built.unwrap_err()).to_string();
            assert!(
                error.starts_with("tls: ") && error.contains(said),
                "{said}: {error}"
            );
            assert!(!format!("{error} {tls:?}").contains("s3cret"), "{error}");
        }
        let fine = ClientTls::new().identity_pem(&chain, &key);
        assert!(!format!("{fine:?}").contains("PRIVATE"), "{fine:?}");
        assert!(
            GrpcExporter::builder()
                .endpoint("https://localhost:1")
                .tls(fine)
                .build()
                .is_ok()
        );
    }
}

#[test]
fn bad_settings_are_named() {
    let build = |endpoint: &str| {
        GrpcExporter::builder()
            .endpoint(endpoint)
            .build()
            .unwrap_err()
    };
    assert_eq!(
        build("http://localhost:4317/v1/traces").to_string(),
        "endpoint path '/v1/traces' means nothing to gRPC, which has one of its own"
    );
    assert_eq!(
        build("localhost").to_string(),
        "endpoint host 'localhost' has no port after it"
    );
    assert_eq!(
        GrpcExporter::builder()
            .user_agent("a\nb")
            .build()
            .unwrap_err(),
        InvalidGrpcExporter::UserAgent
    );
    assert!(
        GrpcExporter::builder()
            .endpoint("localhost:1")
            .insecure(true)
            .build()
            .is_ok()
    );
}
