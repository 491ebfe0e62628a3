//! A gRPC server on a loopback port, or another socket of this machine, that answers as it is told, and remembers.
#![allow(dead_code, reason = "no test uses all of it")]

use core::time::Duration;
use std::collections::HashMap;
use std::future::Future;
use std::io::Read;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use h2::server::SendResponse;
use http::{HeaderMap, Request, Response};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;
use tonic::{Code, Status};

/// What a server makes of a request.
#[derive(Clone)]
pub(crate) enum Answer {
    /// OK, with this message.
    Message(Vec<u8>),
    /// A status, in the headers of an answer without a message, as most servers do.
    Status(Status),
    /// The same, in trailers after headers.
    Trailers(Status),
    /// Another after a while.
    After(Duration, Box<Self>),
    /// Another once this is closed.
    Once(Arc<Semaphore>, Box<Self>),
    /// Nothing, ever.
    Nothing,
    /// The stream is reset.
    Reset,
    /// The connection is cut, in mid-request.
    Cut,
    /// The connection stays, and nobody is behind it any more.
    Freeze,
    /// OK in HTTP, and no word of gRPC's.
    Bare,
    /// A status of HTTP, as proxies give.
    Http(u16),
}

impl Answer {
    pub(crate) fn ok() -> Self {
        Self::Message(Vec::new())
    }

    pub(crate) fn status(code: i32, message: &str, details: &[u8]) -> Self {
        let details = Bytes::copy_from_slice(details);
        Self::Status(Status::with_details(Code::from_i32(code), message, details))
    }
}

/// A request, as it came.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) path: String,
    pub(crate) scheme: Option<String>,
    pub(crate) authority: Option<String>,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) compressed: bool,
    /// Bytes of the message as sent, and as decoded.
    pub(crate) wire_len: usize,
    pub(crate) len: usize,
    pub(crate) request: ExportTraceServiceRequest,
}

impl Received {
    pub(crate) fn spans(&self) -> usize {
        let resources = self.request.resource_spans.iter();
        let scopes = resources.flat_map(|resource| &resource.scope_spans);
        scopes.map(|scope| scope.spans.len()).sum()
    }
}

/// How a connection ends before its time.
enum End {
    Cut,
    Freeze,
}

type Judge = Arc<dyn Fn(usize, &Received) -> Answer + Send + Sync>;

/// Shared by a server and its connections.
#[derive(Clone)]
struct Desk {
    judge: Judge,
    seen: Arc<Mutex<Vec<Received>>>,
}

/// A server; gone, with its connections, when dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    desk: Desk,
    runtime: Option<Runtime>,
}

impl Server {
    /// Answers each request, the first of them number 0, as `judge` says.
    pub(crate) fn start(
        judge: impl Fn(usize, &Received) -> Answer + Send + Sync + 'static,
    ) -> Self {
        Self::listen("127.0.0.1:0", judge, None)
    }

    /// The same at an address that is free, or was.
    pub(crate) fn listen(
        address: &str,
        judge: impl Fn(usize, &Received) -> Answer + Send + Sync + 'static,
        tls: Option<Arc<rustls::ServerConfig>>,
    ) -> Self {
        let (runtime, desk) = Self::parts(judge);
        let listener = runtime.block_on(TcpListener::bind(address)).unwrap();
        let address = listener.local_addr().unwrap();
        let at = desk.clone();
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                let (desk, tls) = (at.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => desk.serve(stream).await,
                        Some(tls) => {
                            let acceptor = tokio_rustls::TlsAcceptor::from(tls);
                            if let Ok(stream) = acceptor.accept(stream).await {
                                desk.serve(stream).await;
                            }
                        }
                    }
                });
            }
        });
        Self {
            address,
            desk,
            runtime: Some(runtime),
        }
    }

    /// The same on a Unix domain socket.
    #[cfg(unix)]
    pub(crate) fn on_socket(
        listener: std::os::unix::net::UnixListener,
        judge: impl Fn(usize, &Received) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let (runtime, desk) = Self::parts(judge);
        listener.set_nonblocking(true).unwrap();
        let listener = {
            let _within = runtime.enter();
            tokio::net::UnixListener::from_std(listener).unwrap()
        };
        let at = desk.clone();
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let desk = at.clone();
                tokio::spawn(async move { desk.serve(stream).await });
            }
        });
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            desk,
            runtime: Some(runtime),
        }
    }

    fn parts(
        judge: impl Fn(usize, &Received) -> Answer + Send + Sync + 'static,
    ) -> (Runtime, Desk) {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let desk = Desk {
            judge: Arc::new(judge),
            seen: Arc::default(),
        };
        (runtime, desk)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Every request so far.
    pub(crate) fn seen(&self) -> Vec<Received> {
        self.desk.seen.lock().unwrap().clone()
    }

    /// Spans in the requests so far.
    pub(crate) fn spans(&self) -> usize {
        self.seen().iter().map(Received::spans).sum()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Desk {
    async fn serve(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let Ok(mut connection) = h2::server::handshake(stream).await else {
            return;
        };
        let (end, mut ends) = tokio::sync::mpsc::channel::<End>(1);
        loop {
            tokio::select! {
                end = ends.recv() => match end {
                    Some(End::Freeze) => core::future::pending().await,
                    _ => return,
                },
                accepted = connection.accept() => match accepted {
                    Some(Ok((request, respond))) => {
                        let desk = self.clone();
                        let end = end.clone();
                        tokio::spawn(async move {
                            let _ = desk.answer(request, respond, end).await;
                        });
                    }
                    _ => return,
                },
            }
        }
    }

    async fn answer(
        self,
        request: Request<h2::RecvStream>,
        respond: SendResponse<Bytes>,
        end: tokio::sync::mpsc::Sender<End>,
    ) -> Result<(), h2::Error> {
        let (parts, mut body) = request.into_parts();
        let mut bytes = Vec::new();
        while let Some(data) = body.data().await {
            let data = data?;
            body.flow_control().release_capacity(data.len())?;
            bytes.extend_from_slice(&data);
        }
        let headers: HashMap<String, String> = parts
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_string()))
            .collect();
        let len = u32::from_be_bytes(bytes[1..5].try_into().unwrap());
        assert_eq!(
            bytes.len() - 5,
            len as usize,
            "the prefix says how long the message is"
        );
        let compressed = bytes[0] == 1;
        let encoding = headers.get("grpc-encoding").map(String::as_str);
        assert_eq!(compressed, encoding.is_some());
        let message = expand(encoding, &bytes[5..]);
        let received = Received {
            path: parts.uri.path().into(),
            scheme: parts.uri.scheme_str().map(Into::into),
            authority: parts.uri.authority().map(ToString::to_string),
            headers,
            compressed,
            wire_len: bytes.len() - 5,
            len: message.len(),
            request: ExportTraceServiceRequest::decode(&*message).unwrap(),
        };
        let number = {
            let mut seen = self.seen.lock().unwrap();
            seen.push(received.clone());
            seen.len() - 1
        };
        give((self.judge)(number, &received), respond, end).await
    }
}

fn expand(encoding: Option<&str>, bytes: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    match encoding {
        None => message.extend_from_slice(bytes),
        Some("gzip") => {
            flate2::read::GzDecoder::new(bytes)
                .read_to_end(&mut message)
                .unwrap();
        }
        Some("zstd") => message = zstd::stream::decode_all(bytes).unwrap(),
        Some(other) => panic!("{other} was not asked for"),
    }
    message
}

fn headers(status: u16) -> Response<()> {
    Response::builder()
        .status(status)
        .header("content-type", "application/grpc")
        .body(())
        .unwrap()
}

async fn give(
    answer: Answer,
    mut respond: SendResponse<Bytes>,
    end: tokio::sync::mpsc::Sender<End>,
) -> Result<(), h2::Error> {
    match answer {
        Answer::After(wait, answer) => {
            tokio::time::sleep(wait).await;
            Box::pin(give(*answer, respond, end)).await?;
        }
        Answer::Once(gate, answer) => {
            let _ = gate.acquire().await;
            Box::pin(give(*answer, respond, end)).await?;
        }
        Answer::Message(message) => {
            let mut stream = respond.send_response(headers(200), false)?;
            let mut framed = vec![0];
            framed.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
            framed.extend_from_slice(&message);
            stream.send_data(framed.into(), false)?;
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", "0".parse().unwrap());
            stream.send_trailers(trailers)?;
        }
        Answer::Status(status) => {
            let mut response = headers(200);
            status.add_header(response.headers_mut()).unwrap();
            respond.send_response(response, true)?;
        }
        Answer::Trailers(status) => {
            let mut stream = respond.send_response(headers(200), false)?;
            let mut trailers = HeaderMap::new();
            status.add_header(&mut trailers).unwrap();
            stream.send_trailers(trailers)?;
        }
        Answer::Nothing => {
            core::future::pending::<()>().await;
        }
        Answer::Reset => respond.send_reset(h2::Reason::INTERNAL_ERROR),
        Answer::Cut => {
            let _ = end.send(End::Cut).await;
        }
        Answer::Freeze => {
            let _ = end.send(End::Freeze).await;
            core::future::pending::<()>().await;
        }
        Answer::Bare => {
            respond.send_response(headers(200), true)?;
        }
        Answer::Http(status) => {
            let response = Response::builder().status(status).body(()).unwrap();
            respond.send_response(response, true)?;
        }
    }
    Ok(())
}

/// An address where nobody listens. While this is there nobody is given it by chance; who asks for it gets it.
pub(crate) struct Nobody {
    pub(crate) address: SocketAddr,
    _held: TcpSocket,
}

impl core::fmt::Display for Nobody {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.address.fmt(f)
    }
}

pub(crate) fn refusing() -> Nobody {
    let held = TcpSocket::new_v4().unwrap();
    held.set_reuseaddr(true).unwrap();
    held.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    Nobody {
        address: held.local_addr().unwrap(),
        _held: held,
    }
}

/// Runs a future on a runtime of its own.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}
