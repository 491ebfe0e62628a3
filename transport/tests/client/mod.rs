//! A client of gRPC that says what it is told to, right or wrong, and hears what it is answered.
#![allow(dead_code, reason = "no test uses all of it")]

use core::future::Future;
use core::time::Duration;
use std::net::SocketAddr;

use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, Request};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use spanwire_core::pipeline::Pipeline;
use spanwire_core::testing::InMemoryExporter;
use spanwire_transport::receiver::grpc::{GrpcReceiver, GrpcReceiverBuilder};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// Long enough for anything that is not to take long, on a machine that has other things to do.
pub(crate) const LONG: Duration = Duration::from_secs(60);

pub(crate) const PATH: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// A pipeline for neighbours, and what it exports.
pub(crate) fn pipeline(neighbours: usize) -> (Pipeline, InMemoryExporter) {
    let kept = InMemoryExporter::new();
    let exporter = kept.clone();
    let pipeline = Pipeline::builder()
        .memory_limit(neighbours + (24 << 20))
        .neighbours(neighbours)
        .exporter(move || exporter.clone())
        .build()
        .unwrap();
    (pipeline, kept)
}

pub(crate) fn receiver() -> GrpcReceiverBuilder {
    GrpcReceiver::builder().endpoint("127.0.0.1:0")
}

/// Runs a future of many steps on a runtime of its own, and for no longer than a few minutes.
pub(crate) fn run<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
        .block_on(async { tokio::time::timeout(LONG * 4, future).await.unwrap() })
}

fn attribute(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue {
        key: key.into(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

/// A request as an SDK makes it.
pub(crate) fn request(spans: usize) -> ExportTraceServiceRequest {
    let spans = (0..spans).map(|n| Span {
        trace_id: (n as u128 + 1).to_be_bytes().to_vec(),
        span_id: (n as u64 + 1).to_be_bytes().to_vec(),
        name: format!("span {n}"),
        kind: 2,
        start_time_unix_nano: 1_700_000_000_000_000_000,
        end_time_unix_nano: 1_700_000_000_000_001_000 + n as u64,
        attributes: vec![
            attribute("n", any_value::Value::IntValue(n as i64)),
            attribute(
                "text",
                any_value::Value::StringValue("much the same in all".into()),
            ),
        ],
        ..Span::default()
    });
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource {
                attributes: vec![attribute(
                    "service.name",
                    any_value::Value::StringValue("kubelet".into()),
                )],
                ..Resource::default()
            }),
            scope_spans: vec![ScopeSpans {
                scope: Some(InstrumentationScope {
                    name: "scope".into(),
                    ..InstrumentationScope::default()
                }),
                spans: spans.collect(),
                schema_url: String::new(),
            }],
            schema_url: String::new(),
        }],
    }
}

/// What was exported, once the pipeline has seen it through.
pub(crate) fn exported(
    pipeline: &Pipeline,
    kept: &InMemoryExporter,
) -> Vec<ExportTraceServiceRequest> {
    assert!(pipeline.flush(LONG).is_complete());
    kept.requests()
        .iter()
        .map(|bytes| ExportTraceServiceRequest::decode(&bytes[..]).unwrap())
        .collect()
}

/// A message behind its prefix.
pub(crate) fn framed(message: &[u8], compressed: bool) -> Vec<u8> {
    let mut out = vec![u8::from(compressed)];
    out.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
    out.extend_from_slice(message);
    out
}

/// The head of a request that is right.
pub(crate) fn head() -> Request<()> {
    Request::post(format!("http://localhost{PATH}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .unwrap()
}

/// What a client is answered.
#[derive(Debug, Default)]
pub(crate) struct Reply {
    pub(crate) http: u16,
    pub(crate) code: i32,
    pub(crate) message: String,
    pub(crate) details: Vec<u8>,
    pub(crate) body: Vec<u8>,
    pub(crate) headers: HeaderMap,
    pub(crate) trailers_only: bool,
}

/// A connection. Dropped, it is closed.
pub(crate) struct Client {
    pub(crate) send: SendRequest<Bytes>,
    driver: tokio::task::JoinHandle<()>,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap()).await
    }

    pub(crate) async fn over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        Self::try_over(stream).await.unwrap()
    }

    pub(crate) async fn try_over(
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) -> Result<Self, h2::Error> {
        // Hundreds of short answers may wait until their tasks run.
        let (send, connection) = h2::client::Builder::new()
            .data_frame_budget(1 << 20)
            .handshake(stream)
            .await?;
        let driver = tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(Self {
            send: send.ready().await?,
            driver,
        })
    }

    /// Sends a request whole, and waits for the answer.
    pub(crate) async fn call(
        &mut self,
        head: Request<()>,
        body: Vec<u8>,
    ) -> Result<Reply, h2::Error> {
        let mut send = self.send.clone().ready().await?;
        let (answer, mut stream) = send.send_request(head, body.is_empty())?;
        if !body.is_empty() {
            // Refused before all was sent, the stream is reset, and the answer is there.
            let _ = push(&mut stream, body.into(), true).await;
        }
        hear(answer).await
    }

    /// A message that is right but for what it may hold.
    pub(crate) async fn export(&mut self, message: &[u8]) -> Reply {
        self.call(head(), framed(message, false)).await.unwrap()
    }
}

/// Sends bytes as the window allows.
pub(crate) async fn push(
    stream: &mut h2::SendStream<Bytes>,
    mut bytes: Bytes,
    end: bool,
) -> Result<(), h2::Error> {
    while !bytes.is_empty() {
        stream.reserve_capacity(bytes.len());
        let capacity = core::future::poll_fn(|context| stream.poll_capacity(context)).await;
        let Some(capacity) = capacity else {
            return Err(h2::Reason::STREAM_CLOSED.into());
        };
        let part = bytes.split_to(capacity?.min(bytes.len()));
        let last = bytes.is_empty();
        stream.send_data(part, last && end)?;
    }
    Ok(())
}

pub(crate) async fn hear(answer: h2::client::ResponseFuture) -> Result<Reply, h2::Error> {
    let (parts, mut body) = answer.await?.into_parts();
    let mut reply = Reply {
        http: parts.status.as_u16(),
        code: -1,
        headers: parts.headers.clone(),
        trailers_only: parts.headers.contains_key("grpc-status"),
        ..Reply::default()
    };
    while let Some(data) = body.data().await {
        match data {
            Ok(data) => reply.body.extend_from_slice(&data),
            // The answer ended; what was left of the request is not wanted.
            Err(error) if error.reason() == Some(h2::Reason::NO_ERROR) => break,
            Err(error) => return Err(error),
        }
    }
    let trailers = if reply.trailers_only {
        parts.headers
    } else {
        body.trailers().await?.unwrap_or_default()
    };
    let text = |name: &str| {
        trailers
            .get(name)
            .map(|value| value.to_str().unwrap().to_string())
    };
    reply.code = text("grpc-status").map_or(-1, |code| code.parse().unwrap());
    reply.message = text("grpc-message").unwrap_or_default();
    if let Some(status) = tonic::Status::from_header_map(&trailers) {
        reply.details = status.details().to_vec();
    }
    Ok(reply)
}
