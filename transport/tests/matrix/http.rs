//! OTLP/HTTP for the matrix: a sink of plain sockets, and an exporter to it.

use core::time::Duration;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use spanwire_transport::exporter::http::HttpExporter;
use spanwire_transport::runtime::Runtime;

use super::{Factory, Running};

pub(super) fn exporter(address: SocketAddr, runtime: Runtime) -> Factory {
    let exporter = HttpExporter::builder()
        .endpoint(format!("http://{address}"))
        .runtime(runtime)
        .build()
        .unwrap();
    Box::new(move || Box::new(exporter.clone()))
}

/// Takes everything, and answers after a while. Its threads end with the process.
pub(super) fn sink(wait: Duration) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let spans = Arc::<AtomicUsize>::default();
    let seen = spans.clone();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let seen = seen.clone();
            thread::spawn(move || while answer(&stream, wait, &seen).is_some() {});
        }
    });
    Running {
        address,
        spans: Some(Box::new(move || spans.load(Ordering::Relaxed))),
        _nobody: None,
    }
}

/// One request. `None` when there is no other.
fn answer(mut stream: &TcpStream, wait: Duration, seen: &AtomicUsize) -> Option<()> {
    // Whoever waits for an answer sends nothing meanwhile, so that no byte is read ahead and lost.
    let mut input = BufReader::new(stream);
    let mut len = None;
    loop {
        let mut line = String::new();
        input.read_line(&mut line).ok().filter(|&read| read > 0)?;
        match line.trim_end().strip_prefix("content-length: ") {
            Some(text) => len = text.parse().ok(),
            None if line == "\r\n" => break,
            None => {}
        }
    }
    let mut body = vec![0; len?];
    input.read_exact(&mut body).ok()?;
    let request = ExportTraceServiceRequest::decode(&*body).unwrap();
    let resources = request.resource_spans.iter();
    let scopes = resources.flat_map(|resource| &resource.scope_spans);
    seen.fetch_add(
        scopes.map(|scope| scope.spans.len()).sum(),
        Ordering::Relaxed,
    );
    thread::sleep(wait);
    stream
        .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        .ok()
}
