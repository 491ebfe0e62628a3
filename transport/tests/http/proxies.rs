//! Through a proxy, past one, and before one that does not lead on.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use spanwire_transport::exporter::http::HttpExporter;
use spanwire_transport::proxy::Proxies;
use spanwire_transport::tls::ClientTls;

use super::server::{Server, ok};
use super::waiting::failed;
use super::{LONG, failure, identity, pipeline, send};

#[test]
fn in_the_clear_a_proxy_reads_each_request() {
    let proxy = Server::start(|_, _| Some(ok()));
    let url = format!("http://agent:hunter2@{}", proxy.address);
    let exporter = HttpExporter::builder()
        .endpoint("http://collector.example:4318/otlp")
        .proxies(Proxies::from_pairs([("http_proxy", url.as_str())]))
        .timeout(LONG);
    let shown = format!("{exporter:?} {:?}", exporter.clone().build().unwrap());
    assert!(!shown.contains("hunter2"), "{shown}");
    let pipeline = pipeline(exporter);
    assert!(send(&pipeline, 10).is_complete());
    assert!(send(&pipeline, 10).is_complete());
    let seen = proxy.seen();
    for request in &seen {
        assert_eq!(
            request.line,
            "POST http://collector.example:4318/otlp/v1/traces HTTP/1.1"
        );
        assert_eq!(request.headers["host"], "collector.example:4318");
        // "agent:hunter2", by `base64`.
        assert_eq!(
            request.headers["proxy-authorization"],
            "Basic YWdlbnQ6aHVudGVyMg=="
        );
        assert_eq!(request.connection, 0, "it is kept");
        assert_eq!(request.spans(), 10);
    }
    assert_eq!(seen.len(), 2);
}

#[test]
fn this_machine_is_reached_past_a_proxy() {
    let (server, proxy) = (
        Server::start(|_, _| Some(ok())),
        Server::start(|_, _| Some(ok())),
    );
    let url = format!("http://{}", proxy.address);
    let proxies = Proxies::from_pairs([("ALL_PROXY", url.as_str())]);
    assert!(send(&pipeline(server.exporter().proxies(proxies)), 10).is_complete());
    let seen = server.seen();
    assert_eq!((seen.len(), proxy.seen().len()), (1, 0));
    assert_eq!(seen[0].line, "POST /v1/traces HTTP/1.1");
}

/// A proxy that answers what it is asked with this text, and then leads to `server` if it is there. Ends with the process.
fn tunnels(
    says: &'static str,
    server: Option<SocketAddr>,
) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::<Mutex<Vec<String>>>::default();
    let desk = asked.clone();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut near = stream.unwrap();
            let mut head = Vec::new();
            // What asks for anything else has no such end.
            while !head.ends_with(b"\r\n\r\n")
                && b"CONNECT ".starts_with(&head[..head.len().min(8)])
            {
                let mut byte = [0];
                if near.read_exact(&mut byte).is_err() {
                    break;
                }
                head.push(byte[0]);
            }
            if !head.ends_with(b"\r\n\r\n") {
                continue;
            }
            desk.lock().unwrap().push(String::from_utf8(head).unwrap());
            // Whoever does not like the answer hangs up.
            let _ = near.write_all(says.as_bytes());
            if let Some(server) = server {
                let far = TcpStream::connect(server).unwrap();
                for (mut from, mut to) in [
                    (near.try_clone().unwrap(), far.try_clone().unwrap()),
                    (far, near),
                ] {
                    thread::spawn(move || std::io::copy(&mut from, &mut to));
                }
            }
        }
    });
    (address, asked)
}

#[test]
fn under_tls_a_proxy_leads_on_and_reads_nothing() {
    let (config, certificate) = identity("collector.example");
    let server = Server::under(move || Some(config.clone()), |_, _| Some(ok()));
    let (proxy, asked) = tunnels(
        "HTTP/1.1 200 Connected\r\nvia: x\r\n\r\n",
        Some(server.address),
    );
    let url = format!("http://agent:hunter2@{proxy}");
    let exporter = HttpExporter::builder()
        .endpoint("https://collector.example:4318")
        .proxies(Proxies::from_pairs([("HTTPS_PROXY", url.as_str())]))
        .tls(ClientTls::new().roots_pem(certificate))
        .timeout(LONG);
    assert!(send(&pipeline(exporter), 10).is_complete());
    assert_eq!(
        *asked.lock().unwrap(),
        [
            "CONNECT collector.example:4318 HTTP/1.1\r\nhost: collector.example:4318\r\n\
          proxy-authorization: Basic YWdlbnQ6aHVudGVyMg==\r\n\r\n"
        ]
    );
    let seen = server.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].line, "POST /v1/traces HTTP/1.1");
    assert_eq!(seen[0].spans(), 10);
    assert!(!seen[0].headers.contains_key("proxy-authorization"));
}

#[test]
fn a_proxy_that_does_not_lead_on_loses_nothing_and_is_named() {
    let long: &'static str = format!("HTTP/1.1 200 OK\r\nx: {}", "x".repeat(20_000)).leak();
    for (says, why) in [
        ("HTTP/1.1 407 Who\r\n\r\n", "HTTP status 407"),
        ("SSH-2.0-OpenSSH\r\n\r\n", "its answer is not HTTP"),
        (long, "its answer is too long"),
    ] {
        let (proxy, _) = tunnels(says, None);
        let url = format!("http://agent:hunter2@{proxy}");
        let exporter = HttpExporter::builder()
            .endpoint("https://collector.example:4318")
            .proxies(Proxies::from_pairs([("ALL_PROXY", url.as_str())]));
        let pipeline = pipeline(exporter);
        pipeline.tracer("scope").start("span").end();
        let report = failed(&pipeline);
        assert_eq!(report.unsettled(), 1, "{report:?}");
        assert_eq!(report.lanes()[0].account.possibly_duplicated, 0);
        let said = failure(&report);
        let expected = format!(
            "can't connect to https://collector.example:4318/: through the proxy {proxy}: {why}"
        );
        assert_eq!(said, expected);
    }
}
