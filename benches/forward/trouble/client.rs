//! A neighbour: sends requests over HTTP/2 or HTTP/1.1, and hears what it is answered.

use std::{io, time::Duration};

use bytes::Bytes;
use h2::{
    SendStream,
    client::{ResponseFuture, SendRequest},
};
use http::{HeaderMap, Request};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use spanwire_benches::{
    grpc,
    request::{Text, structs},
};
use spanwire_transport::otlp::grpc::retry_info;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
};

use crate::load::SPANS;

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    Taken,
    /// `UNAVAILABLE` with a `RetryInfo`, or 503 with `Retry-After`.
    Later(Duration),
    /// Anything else.
    Wrong(u16),
}

/// Makes requests, each with spans of its own.
pub struct Requests {
    template: ExportTraceServiceRequest,
    next: u64,
}

impl Requests {
    pub fn numbered_from(next: u64) -> Self {
        Self {
            template: structs(SPANS, Text::Ascii),
            next,
        }
    }

    /// The number of the next, and its bytes.
    pub fn make(&mut self) -> (u64, Vec<u8>) {
        let number = self.next;
        self.next += 1;
        let parts = self.template.resource_spans.iter_mut();
        let scopes = parts.flat_map(|part| &mut part.scope_spans);
        for (n, span) in scopes.flat_map(|scope| &mut scope.spans).enumerate() {
            let id = number * SPANS as u64 + n as u64 + 1;
            span.trace_id = [number.to_be_bytes(), id.to_be_bytes()].concat();
            span.span_id = id.to_be_bytes().to_vec();
        }
        (number, self.template.encode_to_vec())
    }
}

/// The head of an export.
pub fn head() -> Request<()> {
    let mut request = Request::new(());
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = http::Uri::from_static(
        "http://localhost/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    );
    let headers = request.headers_mut();
    let value = http::HeaderValue::from_static;
    headers.insert("content-type", value("application/grpc"));
    headers.insert("te", value("trailers"));
    request
}

/// A connection of HTTP/2. Dropped, it is closed.
pub struct Grpc {
    pub send: SendRequest<Bytes>,
    driver: JoinHandle<()>,
}

impl Drop for Grpc {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Grpc {
    pub async fn connect(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        let (send, connection) = h2::client::handshake(stream)
            .await
            .map_err(io::Error::other)?;
        let driver = tokio::spawn(async move {
            // Its streams say what went wrong.
            let _ = connection.await;
        });
        Ok(Self { send, driver })
    }

    pub async fn export(&self, message: &[u8]) -> Result<Heard, h2::Error> {
        let mut send = self.send.clone().ready().await?;
        let (answer, mut stream) = send.send_request(head(), false)?;
        // Refused before all was sent, the stream is reset, and the answer is there.
        let _ = push(&mut stream, grpc::message(false, message), true).await;
        hear(answer).await
    }
}

/// Sends bytes as the window allows.
pub async fn push(
    stream: &mut SendStream<Bytes>,
    mut bytes: Bytes,
    end: bool,
) -> Result<(), h2::Error> {
    while !bytes.is_empty() {
        stream.reserve_capacity(bytes.len());
        let capacity = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await;
        let Some(capacity) = capacity else {
            return Err(h2::Reason::STREAM_CLOSED.into());
        };
        let part = bytes.split_to(capacity?.min(bytes.len()));
        let last = bytes.is_empty();
        stream.send_data(part, last && end)?;
    }
    Ok(())
}

pub async fn hear(answer: ResponseFuture) -> Result<Heard, h2::Error> {
    let (parts, mut body) = answer.await?.into_parts();
    if parts.headers.contains_key("grpc-status") {
        return Ok(read(&parts.headers));
    }
    while let Some(data) = body.data().await {
        data?;
    }
    Ok(read(&body.trailers().await?.unwrap_or_default()))
}

fn read(trailers: &HeaderMap) -> Heard {
    let Some(status) = tonic::Status::from_header_map(trailers) else {
        return Heard::Wrong(0);
    };
    match (status.code(), retry_info(status.details())) {
        (tonic::Code::Ok, _) => Heard::Taken,
        (tonic::Code::Unavailable, Some(wait)) => Heard::Later(wait),
        (code, _) => Heard::Wrong(code as u16),
    }
}

/// A connection of HTTP/1.1, which is kept.
pub struct Http(TcpStream);

impl Http {
    pub async fn connect(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        Ok(Self(stream))
    }

    pub async fn export(&mut self, message: &[u8]) -> io::Result<Heard> {
        let mut request = http_head(message.len());
        request.extend(message);
        self.0.write_all(&request).await?;
        let mut heard = Vec::new();
        loop {
            if self.0.read_buf(&mut heard).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let text = String::from_utf8_lossy(&heard).to_lowercase();
            let Some((head, body)) = text.split_once("\r\n\r\n") else {
                continue;
            };
            let field = |name: &str| {
                let mut lines = head.lines().filter_map(|line| line.split_once(": "));
                lines.find(|(key, _)| *key == name).map(|(_, value)| value)
            };
            let length = field("content-length").and_then(|length| length.parse().ok());
            // What is no text may have grown; then it is all there, because the body is short.
            if body.len() < length.unwrap_or(0) {
                continue;
            }
            let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
            let wait = field("retry-after").and_then(|wait| wait.parse().ok());
            return Ok(match (status, wait) {
                (Some(200), _) => Heard::Taken,
                (Some(503), Some(wait)) => Heard::Later(Duration::from_secs(wait)),
                (status, _) => Heard::Wrong(status.unwrap_or(0)),
            });
        }
    }
}

/// The head of a request with so many bytes.
pub fn http_head(bytes: usize) -> Vec<u8> {
    format!(
        "POST /v1/traces HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-protobuf\r\n\
         content-length: {bytes}\r\n\r\n"
    )
    .into_bytes()
}
