//! Guarantees: what a Collector's YAML says of receivers, batches and exporters is what they do, seen from the other end.
#![cfg(all(
    feature = "config",
    feature = "grpc",
    feature = "gzip",
    feature = "http",
    feature = "receive-grpc",
    feature = "receive-http",
    feature = "tls",
    feature = "zstd"
))]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use client::{Client, LONG, request};
use post::{Answered, Caller, PROTOBUF, gzip, of_type, posted};
use prost::Message;
use server::{Answer, Server};
use spanwire_core::pipeline::Pipeline;
use spanwire_transport::config::Process;
use spanwire_transport::config::collector::Config;
use spanwire_transport::diagnostics::Diagnostics;
use spanwire_transport::exporter::grpc::GrpcExporter;
use spanwire_transport::setup::collector::{Collector, Node};
use tonic::Status;

mod client;
mod post;
mod server;

/// A node of these sections in the place of the usual ones: a receiver of gRPC on a free port, no batch.
fn node(protocols: &str, processors: &str, exporter: &str) -> Node {
    let names = match processors.split_once(':') {
        Some((name, _)) => name,
        None => "",
    };
    let kind = exporter.split_once(':').unwrap().0;
    let text = format!(
        "
receivers: {{otlp: {{protocols: {{{protocols}}}}}}}
processors: {{{processors}}}
exporters: {{{exporter}}}
service: {{pipelines: {{traces: {{receivers: [otlp], processors: [{names}], exporters: [{kind}]}}}}}}
"
    );
    let loaded = Config::load(&text, &Process).unwrap_or_else(|error| panic!("{text}\n{error}"));
    let collector =
        Collector::from_config(loaded).unwrap_or_else(|error| panic!("{text}\n{error}"));
    assert_eq!(collector.warnings(), [], "{text}");
    collector
        .diagnostics(Diagnostics::silent())
        .start()
        .unwrap()
}

const GRPC: &str = "grpc: {endpoint: '127.0.0.1:0'}";

fn to(server: &Server, keys: &str) -> String {
    let address = server.address;
    format!("otlp: {{endpoint: '{address}', timeout: 30s, tls: {{insecure: true}}, {keys}}}")
}

fn sink() -> Server {
    Server::start(|_, _| Answer::ok())
}

fn caller(node: &Node) -> Caller<TcpStream> {
    let stream = TcpStream::connect(node.listening()[0].address()).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream.set_write_timeout(Some(LONG)).unwrap();
    Caller::over(stream)
}

/// Sends spans as a neighbour does.
fn post_grpc(node: &Node, spans: usize) {
    let address = node.listening()[0].address().parse().unwrap();
    let message = request(spans).encode_to_vec();
    let reply = client::run(async { Client::connect(address).await.export(&message).await });
    assert_eq!(reply.code, 0, "{}", reply.message);
}

fn until(what: impl Fn() -> bool) {
    let begun = Instant::now();
    while !what() {
        assert!(begun.elapsed() < LONG);
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// How many are lost of the spans that a neighbour sends.
fn neighbour(endpoint: String, spans: usize) -> u64 {
    let exporter = GrpcExporter::builder().endpoint(endpoint).timeout(LONG);
    let exporter = exporter.build().unwrap();
    let pipeline = Pipeline::builder()
        .exporter(move || exporter.clone())
        .build()
        .unwrap();
    let tracer = pipeline.tracer("neighbour");
    (0..spans).for_each(|_| tracer.start("syncPod").end());
    pipeline.shutdown(LONG).lost()
}

/// A directory of files, gone when it is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("spanwire-parts-{}-{count}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        if !text.is_empty() {
            std::fs::write(&path, text).unwrap();
        }
        path.display().to_string()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_receiver_of_http_does_what_its_section_says() {
    let backend = sink();
    let node = node(
        "http: {endpoint: '127.0.0.1:0', max_request_body_size: 2000, traces_url_path: in, compression_algorithms: ['', gzip], \
         response_headers: {x-node: n-1}, cors: {allowed_origins: ['https://shop.example'], allowed_headers: [x-page], max_age: 600}}",
        "",
        &to(&backend, ""),
    );
    let post = |headers: &str, body: &[u8]| {
        let text = posted(&(of_type(PROTOBUF) + headers), body);
        let mut caller = caller(&node);
        let at = "POST /".len();
        let mut moved = text[..at].to_vec();
        moved.extend_from_slice(b"in");
        moved.extend_from_slice(&text[at + "v1/traces".len()..]);
        caller.write(&moved);
        caller.read()
    };
    let good = request(1).encode_to_vec();
    let answered = post("", &good);
    assert_eq!(
        (answered.status, answered.header("x-node")),
        (200, Some("n-1"))
    );
    let says = |answered: Answered| (answered.status, answered.says());
    let large = request(100).encode_to_vec();
    assert_eq!(post("", &large).status, 413);
    // Small as it comes, and large inside.
    let zipped = gzip(&large);
    assert!(zipped.len() < 2000, "{}", zipped.len());
    assert_eq!(post("content-encoding: gzip\r\n", &zipped).status, 413);
    assert_eq!(post("content-encoding: gzip\r\n", &gzip(&good)).status, 200);
    assert_eq!(
        says(post("content-encoding: zstd\r\n", &good)),
        (
            400,
            "unsupported Content-Encoding: zstd; supported: identity,gzip".into()
        )
    );
    assert_eq!(caller(&node).post(&of_type(PROTOBUF), &good).status, 404);

    let mut page = caller(&node);
    page.write(b"OPTIONS /in HTTP/1.1\r\nhost: a\r\norigin: https://shop.example\r\naccess-control-request-method: POST\r\naccess-control-request-headers: x-page\r\n\r\n");
    let allowed = page.read();
    assert_eq!(
        allowed.header("access-control-allow-origin"),
        Some("https://shop.example")
    );
    assert_eq!(allowed.header("access-control-max-age"), Some("600"));
    let headers = allowed
        .header("access-control-allow-headers")
        .unwrap_or_default();
    assert!(headers.contains("x-page"), "{headers}");
    assert!(node.shutdown(LONG).is_complete());
    assert_eq!(backend.spans(), 2);

    // One request on each connection.
    let node = self::node(
        "http: {endpoint: '127.0.0.1:0', keep_alives_enabled: false}",
        "",
        &to(&backend, ""),
    );
    let mut caller = caller(&node);
    assert_eq!(caller.post(&of_type(PROTOBUF), &good).status, 200);
    assert!(caller.is_closed());
    assert!(node.shutdown(LONG).is_complete());
}

#[test]
fn a_receiver_of_grpc_does_what_its_section_says() {
    let backend = sink();
    let node = node(
        "grpc: {endpoint: '127.0.0.1:0', max_recv_msg_size_mib: 1, max_concurrent_streams: 3}",
        "",
        &to(&backend, ""),
    );
    let address = node.listening()[0].address().parse().unwrap();
    assert_eq!(neighbour(format!("http://{address}"), 2), 0);
    // Above what this one may take, and below what is usual.
    let large = request(20_000).encode_to_vec();
    assert!(large.len() > 1 << 20 && large.len() < 4 << 20);
    let (streams, reply) = client::run(async {
        let mut client = Client::connect(address).await;
        let reply = client.export(&large).await;
        let begun = Instant::now();
        while client.send.current_max_send_streams() != 3 && begun.elapsed() < LONG {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        (client.send.current_max_send_streams(), reply)
    });
    assert_eq!(reply.code, 8, "{}", reply.message);
    let usual = self::node(GRPC, "", &to(&backend, ""));
    let address = usual.listening()[0].address().parse().unwrap();
    let taken = client::run(async { Client::connect(address).await.export(&large).await });
    assert_eq!(taken.code, 0, "{}", taken.message);
    assert!(usual.shutdown(LONG).is_complete());
    assert_eq!(streams, 3);
    let account = node.shutdown(LONG);
    assert!(account.is_complete(), "{account}");
    assert_eq!(backend.spans(), 20_002);
}

#[cfg(unix)]
#[test]
fn receivers_listen_on_sockets_of_files() {
    use std::os::unix::net::UnixStream;

    let scratch = Scratch::new();
    let backend = sink();
    let (grpc, http) = (scratch.file("grpc", ""), scratch.file("http", ""));
    let node = node(
        &format!(
            "grpc: {{transport: unix, endpoint: '{grpc}'}}, http: {{transport: unix, endpoint: '{http}'}}"
        ),
        "",
        &to(&backend, ""),
    );
    assert_eq!(neighbour(format!("unix:{grpc}"), 2), 0);
    let stream = UnixStream::connect(&http).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    let answered = Caller::over(stream).post(&of_type(PROTOBUF), &request(3).encode_to_vec());
    assert_eq!(answered.status, 200);
    assert!(node.shutdown(LONG).is_complete());
    assert_eq!(backend.spans(), 5);
}

#[test]
fn two_nodes_show_each_other_their_certificates() {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

    let scratch = Scratch::new();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let ca = scratch.file("ca.pem", &authority.pem());
    let issue = |name: &str| {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.into()]).unwrap();
        let certificate = params.signed_by(&key, &authority).unwrap();
        (
            scratch.file(&format!("{name}.pem"), &certificate.pem()),
            scratch.file(&format!("{name}.key"), &key.serialize_pem()),
        )
    };
    let (server, client) = (issue("gateway.example"), issue("node.example"));
    let backend = sink();
    for protocol in ["grpc", "http"] {
        let before = backend.spans();
        let gateway = node(
            &format!(
                "{protocol}: {{endpoint: '127.0.0.1:0', tls: {{cert_file: '{}', key_file: '{}', client_ca_file: '{ca}', min_version: '1.3'}}}}",
                server.0, server.1
            ),
            "",
            &to(&backend, ""),
        );
        let there = gateway.listening()[0].address().to_owned();
        let exporter = |tls: &str| match protocol {
            "grpc" => format!(
                "otlp: {{endpoint: '{there}', retry_on_failure: {{enabled: false}}, tls: {{{tls}}}}}"
            ),
            _ => format!(
                "otlp_http: {{endpoint: 'https://{there}', retry_on_failure: {{enabled: false}}, tls: {{{tls}}}}}"
            ),
        };
        let trusting = format!("ca_file: '{ca}', server_name_override: gateway.example");
        let identity = format!("cert_file: '{}', key_file: '{}'", client.0, client.1);
        for (tls, arrives) in [
            (format!("{trusting}, {identity}"), true),
            // Nobody is shown, and the wrong name is looked for.
            (trusting.clone(), false),
            (format!("ca_file: '{ca}', {identity}"), false),
        ] {
            let sender = node(GRPC, "", &exporter(&tls));
            sender.tracer("agent").start("relist").end();
            let account = sender.shutdown(LONG);
            assert_eq!(
                account.is_complete(),
                arrives,
                "{protocol} {tls}: {account}"
            );
        }
        assert!(gateway.shutdown(LONG).is_complete());
        assert_eq!(backend.spans(), before + 1);
    }
}

#[test]
fn batches_are_as_large_and_as_late_as_their_section_says() {
    let backend = sink();
    let held = node(
        GRPC,
        "batch: {send_batch_size: 10, send_batch_max_size: 10, timeout: 1h}",
        &to(&backend, ""),
    );
    // Ten are a batch, and what is less waits.
    post_grpc(&held, 10);
    until(|| backend.spans() == 10);
    post_grpc(&held, 15);
    until(|| backend.spans() >= 20);
    let account = held.shutdown(LONG);
    assert!(account.is_complete(), "{account}");
    let sizes: Vec<_> = backend.seen().iter().map(server::Received::spans).collect();
    assert_eq!(sizes.iter().sum::<usize>(), 25);
    assert!(sizes.iter().all(|size| *size <= 10), "{sizes:?}");

    // At once, though ten thousand would be a batch.
    let backend = sink();
    let node = node(
        GRPC,
        "batch: {send_batch_size: 10000, timeout: 0s}",
        &to(&backend, ""),
    );
    post_grpc(&node, 1);
    until(|| backend.spans() == 1);
    assert!(node.shutdown(LONG).is_complete());
}

#[test]
fn an_exporter_of_http_speaks_as_its_section_says() {
    for (keys, wanted, unwanted) in [
        (
            "encoding: json, compression: none",
            "content-type: application/json",
            "content-encoding",
        ),
        (
            "encoding: proto, compression: gzip, headers: {X-Cluster: c-1}",
            "x-cluster: c-1",
            "application/json",
        ),
        (
            "compression: zstd",
            "content-encoding: zstd",
            "application/json",
        ),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let heard = std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(LONG)).unwrap();
            let mut reader = BufReader::new(&stream);
            let (mut head, mut length) = (String::new(), 0);
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                let line = line.trim_end().to_ascii_lowercase();
                if let Some(text) = line.strip_prefix("content-length: ") {
                    length = text.parse().unwrap();
                }
                if line.is_empty() {
                    break;
                }
                head += &(line + "\n");
            }
            reader.read_exact(&mut vec![0; length]).unwrap();
            (&stream)
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                .unwrap();
            head
        });
        let node = node(
            GRPC,
            "",
            &format!("otlp_http: {{traces_endpoint: 'http://{address}/in', {keys}}}"),
        );
        node.tracer("agent").start("relist").end();
        let account = node.shutdown(LONG);
        assert!(account.is_complete(), "{account}");
        let head = heard.join().unwrap();
        assert!(head.starts_with("post /in http/1.1\n"), "{head}");
        assert!(
            head.contains(wanted) && !head.contains(unwanted),
            "{keys}: {head}"
        );
    }
}

#[test]
fn an_exporter_tries_again_as_its_section_says() {
    for (retry, arrives, attempts) in [
        (
            "{initial_interval: 10ms, max_interval: 20ms, max_elapsed_time: 1m}",
            true,
            3,
        ),
        ("{enabled: false}", false, 1),
        (
            "{initial_interval: 10ms, max_interval: 10ms, max_elapsed_time: 10ms, randomization_factor: 0, multiplier: 1}",
            false,
            0,
        ),
    ] {
        let backend = Server::start(|number, _| match number {
            0 | 1 => Answer::Status(Status::unavailable("later")),
            _ => Answer::ok(),
        });
        let node = node(
            GRPC,
            "",
            &to(&backend, &format!("retry_on_failure: {retry}")),
        );
        node.tracer("agent").start("relist").end();
        let begun = Instant::now();
        let account = node.flush(LONG);
        assert_eq!(account.is_complete(), arrives, "{retry}: {account}");
        // The usual delays take longer than that together.
        assert!(begun.elapsed() < Duration::from_secs(6), "{retry}");
        let seen = backend.seen().len();
        // How many attempts fit into so short a time is not for a test to say.
        assert!(
            attempts == 0 && seen <= 2 || seen == attempts,
            "{retry}: {seen}"
        );
        drop(node);
    }
}
