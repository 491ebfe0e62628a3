//! A server of plain sockets that answers as it is told, and remembers.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::thread;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use spanwire_transport::exporter::http::{HttpExporter, HttpExporterBuilder};

use super::LONG;

/// A request, as it came.
#[derive(Clone, Debug)]
pub(super) struct Received {
    pub(super) line: String,
    pub(super) headers: HashMap<String, String>,
    pub(super) wire_len: usize,
    pub(super) connection: usize,
    pub(super) request: ExportTraceServiceRequest,
}

impl Received {
    pub(super) fn spans(&self) -> usize {
        let resources = self.request.resource_spans.iter();
        let scopes = resources.flat_map(|resource| &resource.scope_spans);
        scopes.map(|scope| scope.spans.len()).sum()
    }
}

/// What is written in the place of an answer; nothing ends the connection, `None` keeps it silent.
pub(super) type Judge = dyn Fn(usize, &Received) -> Option<Vec<u8>> + Send + Sync;

pub(super) struct Server {
    pub(super) address: SocketAddr,
    seen: Arc<Mutex<Vec<Received>>>,
}

impl Server {
    pub(super) fn start(
        judge: impl Fn(usize, &Received) -> Option<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        Self::under(|| None, judge)
    }

    /// What each connection is shown is asked anew. Its threads end with the process.
    pub(super) fn under(
        tls: impl Fn() -> Option<Arc<rustls::ServerConfig>> + Send + 'static,
        judge: impl Fn(usize, &Received) -> Option<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::<Mutex<Vec<Received>>>::default();
        let judge: Arc<Judge> = Arc::new(judge);
        let desk = seen.clone();
        thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let (stream, desk, judge) = (stream.unwrap(), desk.clone(), judge.clone());
                let tls = tls();
                thread::spawn(move || match tls {
                    None => serve(stream, number, &desk, &*judge),
                    Some(tls) => {
                        let session = rustls::ServerConnection::new(tls).unwrap();
                        serve(
                            rustls::StreamOwned::new(session, stream),
                            number,
                            &desk,
                            &*judge,
                        );
                    }
                });
            }
        });
        Self { address, seen }
    }

    pub(super) fn seen(&self) -> Vec<Received> {
        self.seen.lock().unwrap().clone()
    }

    pub(super) fn exporter(&self) -> HttpExporterBuilder {
        HttpExporter::builder()
            .endpoint(format!("http://{}", self.address))
            .timeout(LONG)
    }
}

pub(super) fn serve(
    stream: impl Read + Write,
    connection: usize,
    desk: &Mutex<Vec<Received>>,
    judge: &Judge,
) {
    let mut stream = BufReader::new(stream);
    loop {
        let received = match read(&mut stream, connection) {
            Ok(Some(received)) => received,
            Ok(None) => return,
            // Nobody sends that again, so a test ends here, and says why.
            Err(why) => {
                let said = answer(400, "content-type: text/plain\r\n", why.as_bytes());
                let _ = stream.get_mut().write_all(&said);
                let _ = stream.get_mut().flush();
                return;
            }
        };
        let number = {
            let mut seen = desk.lock().unwrap();
            seen.push(received.clone());
            seen.len() - 1
        };
        match judge(number, &received) {
            None => thread::sleep(LONG),
            Some(answer) if answer.is_empty() => return,
            Some(answer) => {
                // Whoever reads no more of a long answer hangs up.
                let _ = stream.get_mut().write_all(&answer);
                let _ = stream.get_mut().flush();
            }
        }
    }
}

/// The next request; `None` when there is none, and what is wrong with one that can't be read.
fn read(stream: &mut impl BufRead, connection: usize) -> Result<Option<Received>, String> {
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        match stream.read_line(&mut line) {
            Ok(0) | Err(_) => return Ok(None),
            Ok(_) if line == "\r\n" => break,
            Ok(_) => head.push(line.trim_end().to_string()),
        }
    }
    let headers: HashMap<String, String> = head[1..]
        .iter()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .collect();
    let header = |name: &str| headers.get(name).map(String::as_str);
    let length = header("content-length").and_then(|value| value.parse().ok());
    let mut body = vec![0; length.ok_or("no content-length")?];
    if stream.read_exact(&mut body).is_err() {
        return Ok(None);
    }
    let wire_len = body.len();
    match header("content-encoding") {
        None => {}
        Some("gzip") => {
            let sent = core::mem::take(&mut body);
            flate2::read::GzDecoder::new(&*sent)
                .read_to_end(&mut body)
                .map_err(|error| format!("not gzip: {error}"))?;
        }
        Some(other) => return Err(format!("content-encoding {other}")),
    }
    let request = match header("content-type") {
        Some("application/json") => {
            serde_json::from_slice(&body).map_err(|error| format!("not JSON: {error}"))?
        }
        Some("application/x-protobuf") => ExportTraceServiceRequest::decode(&*body)
            .map_err(|error| format!("not protobuf: {error}"))?,
        other => return Err(format!("content-type {other:?}")),
    };
    Ok(Some(Received {
        line: head[0].clone(),
        headers,
        wire_len,
        connection,
        request,
    }))
}

pub(super) fn answer(status: u16, headers: &str, body: &[u8]) -> Vec<u8> {
    let len = body.len();
    let mut text =
        format!("HTTP/1.1 {status} Why\r\n{headers}content-length: {len}\r\n\r\n").into_bytes();
    text.extend_from_slice(body);
    text
}

pub(super) fn ok() -> Vec<u8> {
    answer(200, "content-type: application/x-protobuf\r\n", b"")
}
