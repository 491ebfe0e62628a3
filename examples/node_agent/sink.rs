//! An OTLP/gRPC server inside this program, so that it needs no other: it counts what it is sent.

use std::error::Error;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use bytes::Bytes;
use h2::server::SendResponse;
use http::{HeaderMap, HeaderValue, Request, Response};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use tokio::net::{TcpListener, TcpStream};

/// The most bytes of a request, as sent and as decoded.
const MOST: usize = 64 << 20;

/// OTLP asks for a message in the answer; an empty one says that all went well.
const EMPTY_MESSAGE: &[u8] = &[0; 5];

const OK: HeaderValue = HeaderValue::from_static("0");
const INVALID_ARGUMENT: HeaderValue = HeaderValue::from_static("3");

/// A server on a free port of the loopback interface. It ends with the program.
pub(crate) struct Sink {
    address: SocketAddr,
    received: Arc<Received>,
}

/// What came, as an independent decoder understands it.
#[derive(Default)]
struct Received {
    spans: AtomicU64,
    bytes: AtomicU64,
    requests: AtomicU64,
    compressed: AtomicU64,
}

impl Sink {
    /// Binds a port, and serves it on a thread of its own.
    pub(crate) fn start() -> io::Result<Self> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let received = Arc::<Received>::default();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()?;
        let counted = received.clone();
        thread::Builder::new().name("sink".into()).spawn(move || {
            if let Err(error) = runtime.block_on(serve(listener, counted)) {
                eprintln!("sink: {error}");
            }
        })?;
        Ok(Self { address, received })
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Spans received.
    pub(crate) fn spans(&self) -> u64 {
        self.received.spans.load(Ordering::Relaxed)
    }

    /// Bytes received in the bodies of requests.
    pub(crate) fn bytes(&self) -> u64 {
        self.received.bytes.load(Ordering::Relaxed)
    }

    /// Requests received, and those of them that were compressed.
    pub(crate) fn requests(&self) -> (u64, u64) {
        let received = &*self.received;
        let [all, compressed] = [&received.requests, &received.compressed];
        (
            all.load(Ordering::Relaxed),
            compressed.load(Ordering::Relaxed),
        )
    }
}

async fn serve(listener: std::net::TcpListener, received: Arc<Received>) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        let received = received.clone();
        tokio::spawn(async move {
            if let Err(error) = connection(stream, received).await {
                eprintln!("sink: {error}");
            }
        });
    }
}

async fn connection(stream: TcpStream, received: Arc<Received>) -> Result<(), h2::Error> {
    let mut connection = h2::server::Builder::new()
        .initial_window_size(1 << 20)
        .initial_connection_window_size(4 << 20)
        .handshake::<_, Bytes>(stream)
        .await?;
    while let Some(request) = connection.accept().await {
        let (request, respond) = request?;
        let received = received.clone();
        tokio::spawn(async move {
            if let Err(error) = answer(request, respond, &received).await {
                eprintln!("sink: {error}");
            }
        });
    }
    Ok(())
}

async fn answer(
    request: Request<h2::RecvStream>,
    mut respond: SendResponse<Bytes>,
    received: &Received,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let (head, mut body) = request.into_parts();
    let mut bytes = Vec::new();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        bytes.extend_from_slice(&data);
        if bytes.len() > MOST {
            respond.send_reset(h2::Reason::ENHANCE_YOUR_CALM);
            return Ok(());
        }
    }
    let (status, message) = match spans(&head.headers, &bytes) {
        Ok(spans) => {
            received.spans.fetch_add(spans, Ordering::Relaxed);
            let len = bytes.len() as u64;
            received.bytes.fetch_add(len, Ordering::Relaxed);
            received.requests.fetch_add(1, Ordering::Relaxed);
            if bytes.first() == Some(&1) {
                received.compressed.fetch_add(1, Ordering::Relaxed);
            }
            (OK, Some(EMPTY_MESSAGE))
        }
        Err(error) => {
            eprintln!("sink: {error}");
            (INVALID_ARGUMENT, None)
        }
    };
    let response = Response::builder()
        .header("content-type", "application/grpc")
        .body(())?;
    let mut stream = respond.send_response(response, false)?;
    if let Some(message) = message {
        stream.send_data(Bytes::from_static(message), false)?;
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", status);
    stream.send_trailers(trailers)?;
    Ok(())
}

/// Decodes the body of a request: a flag, a length, a message.
fn spans(headers: &HeaderMap, body: &[u8]) -> Result<u64, Box<dyn Error + Send + Sync>> {
    let (prefix, message) = body.split_at_checked(5).ok_or("no message")?;
    let expanded = match (prefix.first(), headers.get("grpc-encoding")) {
        (Some(0), _) => None,
        (Some(1), Some(encoding)) if encoding == "gzip" => {
            let mut text = Vec::new();
            flate2::read::GzDecoder::new(message)
                .take(MOST as u64)
                .read_to_end(&mut text)?;
            Some(text)
        }
        _ => return Err("a compression that was not agreed on".into()),
    };
    let message = expanded.as_deref().unwrap_or(message);
    let request = ExportTraceServiceRequest::decode(message)?;
    let scopes = request.resource_spans.iter().flat_map(|of| &of.scope_spans);
    Ok(scopes.map(|scope| scope.spans.len() as u64).sum())
}
